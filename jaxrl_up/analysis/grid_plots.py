"""Pictures of grid worlds: values or visits as colours, a policy as arrows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxrl_up.analysis.looks import COLOUR_MAP, Looks, looks, save, wrapped, write
from jaxrl_up.tabular import MDP, as_policy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

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
    style = looks("none", width, FONT_SIZE if font_size is None and width is None else font_size)
    if mdp.layout is None:
        raise ValueError("this MDP was not built from a grid: tabular.from_grid gives one that was")
    given = np.zeros(mdp.states) if values is None else np.asarray(values, float)
    if given.shape != (mdp.states,):
        raise ValueError(f"values of shape [{mdp.states}], got {list(given.shape)}")
    arrows = None if policy is None else np.asarray(as_policy(mdp.replace(horizon=None), policy))
    terminal = np.asarray(mdp.terminal)
    rows, has_values, scale = mdp.layout.text.split("\n"), values is not None, style.font_size / FONT_SIZE
    figure, axes = _canvas(len(rows), len(rows[0]), has_values, title, style)
    middle = _colours(figure, axes, mdp, given, label if has_values else None, style)
    below, size = (0.0, 9) if arrows is None else (0.37, 7)
    for state, (i, j) in enumerate(mdp.layout.cells):
        colour = "black" if not has_values or given[state] > middle else "white"
        if terminal[state]:
            sides = (-0.5, 0.5, 0.5, -0.5), (-0.5, -0.5, 0.5, 0.5)
            axes.fill(j + np.array(sides[0]), i + np.array(sides[1]), color="white", zorder=2)
            axes.text(j, i, rows[i][j], ha="center", va="center", fontsize=14 * scale, weight="bold", zorder=3)
            continue
        if arrows is not None:
            _arrows(axes, (j, i - 0.1 if has_values else i), arrows[state], colour, scale)
        if has_values and mdp.states <= MAX_NUMBERS:
            number = {"fontsize": size * scale, "color": colour, "zorder": 3}
            axes.text(j, i + below, f"{given[state]:.2f}", ha="center", va="center", **number)
    return save(figure, path, style)


def _canvas(rows: int, columns: int, has_values: bool, title: str | None, style: Looks) -> tuple[Figure, Axes]:
    """An empty grid, as large as its cells and its title want."""
    from matplotlib.figure import Figure

    scale = style.font_size / FONT_SIZE
    beside = (1.7 if has_values else 0.6) * scale  # margins, and the bar of colours
    across = CELL * scale * columns + beside if style.width is None else style.width
    cell = max(across - beside, 0.3 * across) / columns
    text = wrapped(title or "", 0.95 * across, 1.2 * style.font_size)
    above = 0.3 * (text.count("\n") + 1) if text else 0.0
    figure = Figure(figsize=(across, cell * rows + (0.6 + above) * scale), dpi=150)
    figure.set_layout_engine("constrained")
    axes = figure.add_subplot()
    axes.set_facecolor(WALL)
    axes.set_xticks(np.arange(columns + 1) - 0.5, labels=[])
    axes.set_yticks(np.arange(rows + 1) - 0.5, labels=[])
    axes.grid(color="white" if has_values else "#BBBBBB", linewidth=1, zorder=2)
    axes.tick_params(length=0)
    if text:
        write(axes.set_title, text, fontsize=1.2 * style.font_size)
    return figure, axes


def _colours(figure: Figure, axes: Axes, mdp: MDP, given: np.ndarray, label: str | None, style: Looks) -> float:
    """Colour the cells by what is given, `[S]`, with a bar that has a label; grey without one. Return the middle."""
    assert mdp.layout is not None
    rows, terminal = mdp.layout.text.split("\n"), np.asarray(mdp.terminal)
    shown = np.full((len(rows), len(rows[0])), np.nan)
    for state, cell in enumerate(mdp.layout.cells):
        shown[cell] = np.nan if terminal[state] and label is not None else given[state]
    image = axes.imshow(np.ma.masked_invalid(shown), cmap="Greys" if label is None else COLOUR_MAP, zorder=1)
    if label is not None:
        bar = figure.colorbar(image, fraction=0.05)
        bar.set_label(label, fontsize=style.font_size)
        bar.ax.tick_params(labelsize=style.font_size)
    return (np.nanmin(shown) + np.nanmax(shown)) / 2


def _arrows(axes: Axes, middle: tuple[float, float], policy: np.ndarray, colour: str, scale: float) -> None:
    """Draw the arrows of a state's probabilities `[4]` from the middle `(x, y)` of its cell."""
    shape = {"color": colour, "lw": 1.5 * scale, "mutation_scale": 10 * scale}
    for (x, y), probability in zip(ARROWS, policy, strict=True):
        if probability > 0.02:
            to = middle[0] + LONGEST * probability * x, middle[1] + LONGEST * probability * y
            axes.annotate("", to, middle, zorder=3, arrowprops=ARROW | shape)
