"""Pictures of grid worlds: values or visits as colours, a policy as arrows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from jaxrl_up.analysis.looks import COLOUR_MAP, looks, save, wrapped, write
from jaxrl_up.tabular import MDP, as_policy

FONT_SIZE = 10.0  # points, where neither they nor a width are given
CELL = 0.75  # inches, with texts of that size
WALL = "#444444"
ARROWS = ((-1, 0), (0, 1), (1, 0), (0, -1))  # left, down, right, up, as (x, y)
LONGEST = 0.32  # of a cell: the arrow of what is always done
ARROW = {"arrowstyle": "->", "shrinkA": 0, "shrinkB": 0}
MAX_NUMBERS = 150  # states up to which cells have numbers in them


def plot_grid(
    mdp: MDP,
    path: str | Path,
    values: Any = None,
    policy: Any = None,
    *,
    title: str | None = None,
    label: str = "V(s)",
    width: float | str | None = None,
    font_size: float | None = None,
) -> Path:
    """Draw a grid, with numbers `[S]` (values, an occupancy) as colours and a policy `[S, A]` as arrows; return `path`.

    Walls are dark, terminal cells carry their character, and an arrow is as long as its action is probable. `label` is
    what the colours are. `width` and `font_size` are as those of `jaxrl_up.analysis.plot_curves`, by default 10 points
    where there is no width. Raises `ValueError` for an MDP that was not built from a grid, for values of another shape
    and for what is no policy, as one in time.
    """
    from matplotlib.figure import Figure

    style = looks("none", width, FONT_SIZE if font_size is None and width is None else font_size)
    scale = style.font_size / FONT_SIZE

    if mdp.layout is None:
        raise ValueError("this MDP was not built from a grid: tabular.from_grid gives one that was")
    rows = mdp.layout.text.split("\n")
    height, columns = len(rows), len(rows[0])
    terminal = np.asarray(mdp.terminal)
    shown = np.full((height, columns), np.nan)
    given = np.zeros(mdp.states) if values is None else np.asarray(values, float)
    if given.shape != (mdp.states,):
        raise ValueError(f"values of shape [{mdp.states}], got {list(given.shape)}")
    for state, cell in enumerate(mdp.layout.cells):
        shown[cell] = np.nan if terminal[state] and values is not None else given[state]
    beside = (1.7 if values is not None else 0.6) * scale  # margins, and the bar of colours
    across = CELL * scale * columns + beside if style.width is None else style.width
    cell = max(across - beside, 0.3 * across) / columns
    text = wrapped(title or "", 0.95 * across, 1.2 * style.font_size)
    above = 0.3 * (text.count("\n") + 1) if text else 0.0
    figure = Figure(figsize=(across, cell * height + (0.6 + above) * scale), dpi=150)
    figure.set_layout_engine("constrained")
    axes = figure.add_subplot()
    axes.set_facecolor(WALL)
    image = axes.imshow(np.ma.masked_invalid(shown), cmap=COLOUR_MAP if values is not None else "Greys", zorder=1)
    if values is not None:
        colours = figure.colorbar(image, fraction=0.05)
        colours.set_label(label, fontsize=style.font_size)
        colours.ax.tick_params(labelsize=style.font_size)
    middle = (np.nanmin(shown) + np.nanmax(shown)) / 2  # of the colours
    arrows = None if policy is None else np.asarray(as_policy(mdp.replace(horizon=None), policy))
    for state, (i, j) in enumerate(mdp.layout.cells):
        light = values is None or given[state] > middle
        colour = "black" if light else "white"
        if terminal[state]:
            axes.fill(
                (j - 0.5, j + 0.5, j + 0.5, j - 0.5), (i - 0.5, i - 0.5, i + 0.5, i + 0.5), color="white", zorder=2
            )
            axes.text(j, i, rows[i][j], ha="center", va="center", fontsize=14 * scale, weight="bold", zorder=3)
            continue
        if arrows is not None:
            height_of_arrow = i - 0.1 if values is not None else i
            looks_of_arrow = {"color": colour, "lw": 1.5 * scale, "mutation_scale": 10 * scale}
            for (x, y), probability in zip(ARROWS, arrows[state], strict=True):
                if probability > 0.02:
                    to = j + LONGEST * probability * x, height_of_arrow + LONGEST * probability * y
                    axes.annotate("", to, (j, height_of_arrow), zorder=3, arrowprops=ARROW | looks_of_arrow)
        if values is not None and mdp.states <= MAX_NUMBERS:
            below, size = (0.0, 9) if arrows is None else (0.37, 7)
            number = {"fontsize": size * scale, "color": colour, "zorder": 3}
            axes.text(j, i + below, f"{given[state]:.2f}", ha="center", va="center", **number)
    axes.set_xticks(np.arange(columns + 1) - 0.5, labels=[])
    axes.set_yticks(np.arange(height + 1) - 0.5, labels=[])
    axes.grid(color="white" if values is not None else "#BBBBBB", linewidth=1, zorder=2)
    axes.tick_params(length=0)
    if text:
        write(axes.set_title, text, fontsize=1.2 * style.font_size)
    return save(figure, path, style)
