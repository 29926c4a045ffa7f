"""Learning curves: the IQM over seeds with its 95% band, and every seed as a thin line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jaxrl_up.analysis.curves import Panels, gather, pool
from jaxrl_up.analysis.looks import Looks, add_legend, finish_axes, label_looks, looks, panel_figure, save
from jaxrl_up.ops import bootstrap
from jaxrl_up.records import expand, table_text, write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_CROWD = 2  # with more curves in a panel, seeds are not drawn one by one
MAX_BANDS = 6  # with more, bands are fainter
X_LABELS = {"steps": "environment steps per seed", "seconds": "seconds for all seeds, compiling included"}
X_NAMES = {"steps": "env_steps", "seconds": "seconds"}
Y_LABELS = {
    "return": "evaluation return",
    "train_return": "training return",
    "length": "episode length (steps)",
}


class Band(NamedTuple):
    """A line with an interval around it."""

    x: np.ndarray  # [K]
    middle: np.ndarray  # [K]
    low: np.ndarray  # [K]
    high: np.ndarray  # [K]
    num_seeds: int
    legend: str  # the label, and what else the legend says of it
    seeds: Sequence[tuple[np.ndarray, np.ndarray]] = ()  # x and values `[S, E]` of single seeds


Bands = dict[str, dict[str, Band]]  # environment -> label -> what is drawn


def plot_curves(
    runs: Any,
    path: str | Path,
    title: str | None = None,
    column: str = "return",
    x: str = "steps",
    smooth: int = 1,
    group: str | None = None,
    numbers: str | Path | None = None,
    *,
    select: str | Sequence[str] = (),
    exclude: str | Sequence[str] = (),
    legend: str = "outside",
    width: float | str | None = None,
    font_size: float | None = None,
) -> Path:
    """Draw learning curves to `path` (its suffix says the format: .png, .svg, .pdf) and return it.

    `runs` is one run, a sequence of them, or a mapping from legend label to a run or to runs whose seeds are pooled; a
    run is a `RunResult` or the directory of one. `column` is the column of progress.csv to draw, `x` "steps" or
    "seconds", `smooth` the number of evaluations in a trailing moving average of each seed, and `group` what runs are
    labelled and pooled by ("algorithm", "run", "environment", a field), `select` and `exclude` patterns of the curves
    to draw; see `gather`. Environments get a panel each. Bands are 95% intervals of the IQM over seeds (see
    `jaxrl_up.ops.bootstrap`). `legend` is "outside", "inside", "direct" or "none", `width` inches, "column" or "page",
    `font_size` points. `numbers` is a CSV file to write with what is drawn: environment, label, column, seeds,
    env_steps or seconds, iqm, low, high. Raises `ValueError` for no run, an unknown column or runs that cannot be
    pooled, and `FileNotFoundError` for a directory without one.
    """
    style = looks(legend, width, font_size)
    bands = curve_bands(gather(runs, column, x, smooth, group, select, exclude))
    y_label = f"{Y_LABELS.get(column, column.replace('_', ' '))}\nIQM{of_seeds(bands)}, 95% band"
    figure = draw_bands(bands, title, X_LABELS[x], y_label, style=style)
    if numbers:
        write_bands(bands, numbers, column, X_NAMES[x], "iqm")
    return save(figure, path, style)


def plot_ratings(
    env_steps: Sequence[int],
    ratings: Mapping[str, np.ndarray],
    path: str | Path,
    title: str | None = None,
    *,
    legend: str = "outside",
    width: float | str | None = None,
    font_size: float | None = None,
) -> Path:
    """Draw how strong a policy is over training, as Elo ratings (see `ops.elo`), to `path`, and return it.

    `ratings` holds for each label what the checkpoints after `env_steps [E]` were rated, `[S, E]` over seeds; their IQM
    is drawn, from three seeds on with its 95% band, and each seed. `legend`, `width` and `font_size` are as those of
    `plot_curves`. Raises `ValueError` for ratings of another shape, and for none.
    """
    style = looks(legend, width, font_size)
    steps = np.asarray(env_steps)
    if not ratings or any(np.ndim(x) != 2 or np.shape(x)[1] != len(steps) for x in ratings.values()):
        shapes = {label: np.shape(x) for label, x in ratings.items()}
        raise ValueError(f"ratings of shapes {shapes}: give [S, {len(steps)}] for each label, a column for each step")
    bands = {}
    for label, values in ratings.items():
        single = [(steps, np.asarray(values))] if len(values) > 1 else ()
        middle, low, high = bootstrap(np.asarray(values))
        if len(values) < 3:  # two say so little of others that the band would hide them
            low, high = middle, middle
        bands[label] = Band(steps, middle, low, high, len(values), label, single)
    panel = with_seeds({title or "": bands})
    what = "each seed" if all(len(x) < 3 for x in ratings.values()) else "95% band"
    y_label = f"Elo rating\nIQM{of_seeds(panel)}, {what}"
    return save(draw_bands(panel, title, X_LABELS["steps"], y_label, style=style), path, style)


def curve_bands(panels: Panels) -> Bands:
    """The IQM over seeds of each label, with its 95% interval."""
    bands: Bands = {}
    for environment, groups in panels.items():
        bands[environment] = {}
        for label, curves in groups.items():
            x, values = pool(curves)
            single = [(curve.x, curve.values) for curve in curves] if len(values) > 1 else ()
            bands[environment][label] = Band(x, *bootstrap(values), len(values), label, single)
    return with_seeds(bands)


def of_seeds(bands: Bands) -> str:
    """` of 8 seeds` where every band is of as many; empty where they differ, and their legends say it."""
    numbers = {band.num_seeds for groups in bands.values() for band in groups.values()}
    return f" of {count_seeds(*numbers)}" if len(numbers) == 1 else ""


def with_seeds(bands: Bands) -> Bands:
    """The same with the number of seeds in each legend, where bands differ in it: of all panels, as one legend has."""
    if of_seeds(bands):
        return bands
    found: dict[str, set[int]] = {}
    for groups in bands.values():
        for label, band in groups.items():
            found.setdefault(label, set()).add(band.num_seeds)
    texts = {
        label: count_seeds(*numbers) if len(numbers) == 1 else f"{min(numbers)} to {count_seeds(max(numbers))}"
        for label, numbers in found.items()
    }
    return {
        environment: {label: band._replace(legend=f"{band.legend} ({texts[label]})") for label, band in groups.items()}
        for environment, groups in bands.items()
    }


def draw_bands(
    bands: Bands, title: str | None, x_label: str, y_label: str, steps: bool = False, style: Looks = Looks()
) -> Figure:
    """A panel for each environment, with a line and a band for each label; `steps` holds a value until the next."""
    figure, panels = panel_figure(bands, title, style)
    colours, lines = label_looks(bands), []
    for environment, axes in panels.items():
        known = {}
        for label, band in bands[environment].items():
            colour = colours[label]["color"]
            marker = "o" if np.isfinite(band.middle).sum() == 1 else None
            drawing = "steps-post" if steps else "default"
            alpha = 0.2 if len(bands[environment]) <= MAX_BANDS else 0.07
            if len(bands[environment]) <= MAX_CROWD:
                for x, values in band.seeds:
                    axes.plot(x, values.T, color=colour, linewidth=0.6 * style.scale, alpha=0.35, marker=marker)
            if band.num_seeds > 1:
                where = "post" if steps else None
                axes.fill_between(band.x, band.low, band.high, step=where, color=colour, alpha=alpha, linewidth=0)
            known[band.legend] = axes.plot(band.x, band.middle, linewidth=2.2 * style.scale, marker=marker,
                                           drawstyle=drawing, **colours[label])[0]  # fmt: skip
        finish_axes(axes, x_label, y_label, style)
        lines.append((axes, known))
    add_legend(figure, lines, style)
    return figure


def write_bands(bands: Bands, path: str | Path, column: str, x_name: str, middle: str) -> None:
    """The numbers of a picture as CSV, a row for each point drawn."""
    header = ("environment", "label", "column", "seeds", x_name, middle, "low", "high")
    rows = [
        (environment, label, column, band.num_seeds, *point)
        for environment, groups in bands.items()
        for label, band in groups.items()
        for point in zip(*(a.tolist() for a in (band.x, band.middle, band.low, band.high)), strict=True)
    ]
    write_atomically(expand(path), table_text(header, rows))


def count_seeds(number: int) -> str:
    """`1 seed`, `8 seeds`."""
    return f"{number} seed" if number == 1 else f"{number} seeds"
