"""Learning curves: the IQM over seeds with its 95% band, and every seed as a thin line.

The pictures share one look: a panel for each environment, a colour and a line style for each label, both the same in
every panel, and sizes that can still be read at half size. matplotlib.pyplot is not used: no window, no shared state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jaxrl_up.analysis.curves import Panels, gather, pool
from jaxrl_up.ops import bootstrap
from jaxrl_up.records import expand, table_text, write_atomically

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette: told apart with every common colour blindness; the styles tell them apart in grey too
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
STYLES = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)))
COLOUR_MAP = "cividis"  # even for all common colour blindness, and in grey
COLUMNS = 3  # panels beside one another
MAX_INSIDE = 6  # entries of a legend that fit into its panel
MAX_CROWD = 2  # with more curves in a panel, seeds are not drawn one by one
X_LABELS = {"steps": "environment steps per seed", "seconds": "seconds for all seeds, compiling included"}
X_NAMES = {"steps": "env_steps", "seconds": "seconds"}
Y_LABELS = {
    "return": "evaluation return (undiscounted)",
    "train_return": "training return (undiscounted)",
    "length": "episode length (environment steps)",
}


class Band(NamedTuple):
    """A line with an interval around it."""

    x: np.ndarray  # [K]
    middle: np.ndarray  # [K]
    low: np.ndarray  # [K]
    high: np.ndarray  # [K]
    num_seeds: int
    legend: str  # the label and how many seeds
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
) -> Path:
    """Draw learning curves to `path` (its suffix says the format: .png, .svg, .pdf) and return it.

    `runs` is one run, a sequence of them, or a mapping from legend label to a run or to runs whose seeds are pooled; a
    run is a `RunResult` or the directory of one. `column` is the column of progress.csv to draw, `x` "steps" or
    "seconds", `smooth` the number of evaluations in a trailing moving average of each seed, and `group` what runs are
    labelled and pooled by ("algorithm", "run", "environment", a field); see `gather`. Environments get a panel each.
    Bands are 95% intervals of the IQM over seeds (see `jaxrl_up.ops.bootstrap`). `numbers` is a CSV
    file to write with what is drawn: environment, label, column, seeds, env_steps or seconds, iqm, low, high. Raises
    `ValueError` for no run, an unknown column or runs that cannot be pooled, and `FileNotFoundError` for a directory
    without one.
    """
    bands = curve_bands(gather(runs, column, x, smooth, group))
    y_label = f"{Y_LABELS.get(column, column.replace('_', ' '))}\nIQM, 95% band"
    figure = draw_bands(bands, title, X_LABELS[x], y_label)
    if numbers:
        write_bands(bands, numbers, column, X_NAMES[x], "iqm")
    return save(figure, path)


def plot_ratings(
    env_steps: Sequence[int], ratings: Mapping[str, np.ndarray], path: str | Path, title: str | None = None
) -> Path:
    """Draw how strong a policy is over training, as Elo ratings (see `ops.elo`), to `path`, and return it.

    `ratings` holds for each label what the checkpoints after `env_steps [E]` were rated, `[S, E]` over seeds; their IQM
    is drawn, from three seeds on with its 95% band, and each seed. Raises `ValueError` for ratings of another shape,
    and for none.
    """
    steps = np.asarray(env_steps)
    if not ratings or any(np.ndim(x) != 2 or np.shape(x)[1] != len(steps) for x in ratings.values()):
        shapes = {label: np.shape(x) for label, x in ratings.items()}
        raise ValueError(f"ratings of shapes {shapes}: give [S, {len(steps)}] for each label, a column for each step")
    bands = {}
    for label, values in ratings.items():
        legend = f"{label} ({count_seeds(len(values))})"
        single = [(steps, np.asarray(values))] if len(values) > 1 else ()
        middle, low, high = bootstrap(np.asarray(values))
        if len(values) < 3:  # two say so little of others that the band would hide them
            low, high = middle, middle
        bands[label] = Band(steps, middle, low, high, len(values), legend, single)
    what = "IQM, each seed" if all(len(x) < 3 for x in ratings.values()) else "IQM, 95% band"
    return save(draw_bands({title or "": bands}, title, X_LABELS["steps"], f"Elo rating\n{what}"), path)


def curve_bands(panels: Panels) -> Bands:
    """The IQM over seeds of each label, with its 95% interval."""
    bands: Bands = {}
    for environment, groups in panels.items():
        bands[environment] = {}
        for label, curves in groups.items():
            x, values = pool(curves)
            legend = f"{label} ({count_seeds(len(values))})"
            single = [(curve.x, curve.values) for curve in curves] if len(values) > 1 else ()
            bands[environment][label] = Band(x, *bootstrap(values), len(values), legend, single)
    return bands


def draw_bands(bands: Bands, title: str | None, x_label: str, y_label: str, steps: bool = False) -> Figure:
    """A panel for each environment, with a line and a band for each label; `steps` holds a value until the next."""
    figure, panels = panel_figure(bands, title)
    looks = label_looks(bands)
    if max(map(len, bands.values())) > MAX_INSIDE:
        figure.set_figwidth(figure.get_figwidth() + 4 * min(len(bands), COLUMNS))  # room for legends beside the panels
    for environment, axes in panels.items():
        lines = {}
        for label, band in bands[environment].items():
            colour = looks[label]["color"]
            marker = "o" if len(band.x) == 1 else None
            drawing = "steps-post" if steps else "default"
            if len(bands[environment]) <= MAX_CROWD:
                for x, values in band.seeds:
                    axes.plot(x, values.T, color=colour, linewidth=0.6, alpha=0.35, marker=marker)
            if band.num_seeds > 1:
                where = "post" if steps else None
                axes.fill_between(band.x, band.low, band.high, step=where, color=colour, alpha=0.2, linewidth=0)
            lines[band.legend] = axes.plot(band.x, band.middle, linewidth=2.2, marker=marker, drawstyle=drawing,
                                           **looks[label])[0]  # fmt: skip
        finish_axes(axes, x_label, y_label, lines)
    return figure


def panel_figure(names: Iterable[str], title: str | None) -> tuple[Figure, dict[str, Axes]]:
    """A figure with a panel for each name, titled with it (a single one with `title`, where there is one)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = list(names)
    columns = min(len(names), COLUMNS)
    rows = -(-len(names) // columns)
    size = (7, 4.5) if len(names) == 1 else (5.2 * columns, 4.2 * rows)
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    panels = {name: figure.add_subplot(rows, columns, i + 1) for i, name in enumerate(names)}
    for name, axes in panels.items():
        write(axes.set_title, title if title and len(names) == 1 else name, fontsize=14)
    if title and len(names) > 1:
        write(figure.suptitle, title, fontsize=15)
    return figure, panels


def label_looks(panels: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Colour and line style of each label, the same in every panel."""
    labels = dict.fromkeys(label for groups in panels.values() for label in groups)
    return {
        label: {"color": COLOURS[i % len(COLOURS)], "linestyle": STYLES[i % len(STYLES)]}
        for i, label in enumerate(labels)
    }


def write(method: Callable[..., Any], *texts: Any, **looks: Any) -> None:
    """Call what draws texts so that they are drawn as written: to matplotlib a pair of `$` is mathematics."""
    method(*map(printable, texts), parse_math=False, **looks)


def printable(text: Any) -> Any:
    """A text, or a list of texts, without what stands for bytes of a file name that are no UTF-8."""
    if not isinstance(text, str):
        return [printable(item) for item in text] if isinstance(text, list) else text
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def finish_axes(axes: Axes, x_label: str, y_label: str, lines: Mapping[str, Artist]) -> None:
    """Labels, ticks and the legend of some lines in sizes that can be read at half size."""
    from matplotlib.ticker import EngFormatter

    write(axes.set_xlabel, x_label, fontsize=14)
    write(axes.set_ylabel, y_label, fontsize=14)
    if axes.dataLim.x1 >= 10_000:
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.tick_params(labelsize=12)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    # texts come later: matplotlib leaves those out of a legend that begin with an underscore
    numbered = [*lines.values()], [str(i) for i in range(len(lines))]
    if len(lines) <= MAX_INSIDE:
        legend = axes.legend(*numbered, fontsize=11, framealpha=0.8)
    else:
        legend = axes.legend(*numbered, fontsize=10, loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    for entry, text in zip(legend.get_texts(), lines, strict=True):
        entry.set_parse_math(False)
        entry.set_text(printable(text))


def save(figure: Figure, path: str | Path) -> Path:
    """Write a figure in the format that its suffix says."""
    path = expand(path)
    figure.savefig(path, dpi=150)
    return path


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
