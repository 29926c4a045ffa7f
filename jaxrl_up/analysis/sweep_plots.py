"""Pictures of sweeps: the score over one value, a heat map over two, and slices over more.

A lone name is a line with its interval. Two names, every combination of whose values was trained, are a heat map.
Anything else is a panel for each name, with all points over its values.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxrl_up.analysis.looks import (
    CHARACTER,
    COLOUR_MAP,
    COLOURS,
    Looks,
    add_legend,
    finish_axes,
    looks,
    panel_figure,
    panel_inches,
    save,
    wrapped,
    write,
)
from jaxrl_up.ops import Score, tied
from jaxrl_up.records import (
    RANKING,
    SWEEP,
    Point,
    command,
    count,
    expand,
    from_toml,
    read_config,
    read_table,
    short,
    values_of,
)

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SCORE = "final return, IQM over seeds"
WITH_BAND = "final return\nIQM over seeds, 95% interval"
BEST, TIED = "best", "tied with it: their intervals overlap"
INSET = 0.04  # of a cell: frames of neighbours do not cover one another
MAX_TICKS = 6
MAX_CELLS = 12  # values of an axis up to which a heat map has numbers in it
FAR, VERY_FAR = 9.9, 50.0  # a logarithmic axis has values so many times apart


def plot_scores(
    points: Sequence[Point],
    scores: Sequence[Score],
    path: str | Path,
    title: str | None = None,
    best: int = 0,
    ties: Sequence[bool] | None = None,
    *,
    legend: str = "outside",
    width: float | str | None = None,
    font_size: float | None = None,
) -> Path:
    """Draw the scores of points over the values in which they differ, to `path`, and return it.

    The point `best` is marked, since of equal scores only the ranking knows which that is, and so are those that `ties`
    has as tied with it, by default those whose intervals overlap its own (`ops.tied`). `legend` is "outside", "inside"
    or "none"; `width` and `font_size` are as those of `jaxrl_up.analysis.plot_curves`. Raises `ValueError` for no
    points.
    """
    style = looks(legend, width, font_size)
    if legend == "direct":
        raise ValueError("legend='direct' is for curves, at whose ends it stands: choose outside, inside or none")
    if not points or len(points) != len(scores):
        raise ValueError(f"{len(points)} points and {len(scores)} scores: give one score for each point")
    with_it = tied(scores, best) if ties is None else ties
    others = [i for i, is_tied in enumerate(with_it) if is_tied and i != best]
    names = [name for name in points[0] if len(values_of(points, name)) > 1] or list(points[0])[:1]
    if len(names) == 1:
        figure = _line(points, scores, names[0], best, others, title, style)
    elif len(names) == 2 and len(points) == len(values_of(points, names[0])) * len(values_of(points, names[1])):
        figure = _heat_map(points, scores, names, best, others, title, style)
    else:
        figure = _slices(points, scores, names, best, others, title, style)
    return save(figure, path, style)


def plot_sweep(
    directory: str | Path,
    path: str | Path,
    title: str | None = None,
    *,
    legend: str = "outside",
    width: float | str | None = None,
    font_size: float | None = None,
) -> Path:
    """Draw the scores of a sweep's points that are done, from its files, to `path`, and return it.

    What is drawn, and the rest of the arguments, are those of `plot_scores`. Raises `FileNotFoundError` for a directory
    without a sweep, and `ValueError` for a sweep of which no point is done.
    """
    place = expand(directory, "directory")
    if not (place / SWEEP).exists():
        raise FileNotFoundError(f"{directory} holds no sweep: there is no {SWEEP}")
    names, *rows = read_table(place / RANKING) if (place / RANKING).exists() else [[]]
    if not rows:
        raise ValueError(f"no point of {directory} is done: go on with `{command('resume', directory)}`")
    tables = read_config(place / SWEEP)
    values = {name: [from_toml(value) for value in tables["points"][name]] for name in tables["sweep"]["axes"]}
    ranking = [dict(zip(names, row, strict=True)) for row in rows]
    drawn = sorted(ranking, key=lambda row: int(row["point"]))
    points = [{name: column[int(row["point"])] for name, column in values.items()} for row in drawn]
    scores = [Score(float(row["iqm"]), float(row["low"]), float(row["high"])) for row in drawn]
    if title is None:
        environment = tables["environment"]
        played = " + ".join((environment["name"], *environment["wrappers"]))
        title = f"{tables['run']['algorithm']} on {played}, {count(len(tables['run']['seeds']), 'seed')}"
        title += ", points as far as they came" if tables["sweep"]["halving"] > 1 else ""
    best, ties = drawn.index(ranking[0]), [row["tied"] == "true" for row in drawn]
    return plot_scores(points, scores, path, title, best, ties, legend=legend, width=width, font_size=font_size)


def is_logarithmic(values: Sequence[float]) -> bool:
    """Whether values belong on a logarithmic axis: far apart with even ratios, or very far apart."""
    ordered = np.unique(np.asarray(values, float))
    if len(ordered) < 2 or ordered[0] <= 0 or ordered[-1] < FAR * ordered[0]:
        return False
    gaps, ratios = np.diff(ordered), np.diff(np.log(ordered))
    even = len(ordered) == 2 or bool(ratios.std() / ratios.mean() < gaps.std() / gaps.mean())
    return even or bool(ordered[-1] >= VERY_FAR * ordered[0])


def _line(
    points: Sequence[Point],
    scores: Sequence[Score],
    name: str,
    best: int,
    ties: Sequence[int],
    title: str | None,
    style: Looks,
) -> Figure:
    figure, panels = panel_figure([""], title, style)
    axes = panels[""]
    x = _positions(axes, points, name, style)
    order = np.argsort(x, kind="stable")
    middle, low, high = np.array([score[:3] for score in scores])[order].T
    colour = COLOURS[0]
    if _is_numeric(points, name):
        axes.fill_between(x[order], low, high, color=colour, alpha=0.2, linewidth=0)
        axes.plot(x[order], middle, color=colour, linewidth=2.2 * style.scale, marker="o", markersize=6 * style.scale)
    else:
        shape: Any = {"linewidth": 2 * style.scale, "markersize": 6 * style.scale, "capsize": 4 * style.scale}
        axes.errorbar(x[order], middle, [middle - low, high - middle], color=colour, fmt="o", **shape)
        axes.margins(x=0.15)
    marks = _mark(axes, x, np.array([score.iqm for score in scores]), best, ties, style)
    finish_axes(axes, name, WITH_BAND, style)
    add_legend(figure, [(axes, marks)], style)
    return figure


def _heat_map(
    points: Sequence[Point],
    scores: Sequence[Score],
    names: Sequence[str],
    best: int,
    ties: Sequence[int],
    title: str | None,
    style: Looks,
) -> Figure:
    from matplotlib.patches import Rectangle

    down, across = names
    rows, columns = values_of(points, down), values_of(points, across)
    table = np.full((len(rows), len(columns)), np.nan)
    for point, score in zip(points, scores, strict=True):
        table[rows.index(point[down]), columns.index(point[across])] = score.iqm
    figure, panels = panel_figure([""], title, style)
    beside, cell, small = 2.5 * style.scale, 0.85 * style.scale, style.small
    wide = max(7.0, beside + cell * len(columns)) if style.width is None else style.width
    high = max(4.5 if style.width is None else 0.64 * wide, (1.8 + 0.5 * len(rows)) * style.scale)
    figure.set_size_inches(wide, high)
    axes = panels[""]
    image = axes.imshow(table, cmap=COLOUR_MAP, origin="lower", aspect="auto")
    _name_ticks(axes, columns, wide - beside, style)
    write(axes.set_yticks, range(len(rows)), [short(value) for value in rows])
    write(axes.set_xlabel, wrapped(across, wide - beside, style.font_size), fontsize=style.font_size)
    write(axes.set_ylabel, wrapped(down, 0.8 * high, style.font_size), fontsize=style.font_size)
    axes.tick_params(labelsize=small)
    low, top = np.nanmin(table), np.nanmax(table)
    largest = max(abs(low), abs(top))
    texts = [f"{value:.{0 if largest >= 100 else 1 if largest >= 1 else 3}f}" for value in table.ravel()]
    if max(table.shape) <= MAX_CELLS and _inches(texts, small) <= (wide - beside) / len(columns):
        for ((row, column), value), text in zip(np.ndenumerate(table), texts, strict=True):
            dark = value < low + 0.55 * (top - low)
            axes.text(column, row, text, ha="center", va="center", fontsize=small, color="white" if dark else "black")
    frames = {}
    for i in (*ties, best):
        text, thick, dashes = (BEST, 3, "solid") if i == best else (TIED, 2, "--")
        where = columns.index(points[i][across]) - 0.5 + INSET, rows.index(points[i][down]) - 0.5 + INSET
        size = (1 - 2 * INSET,) * 2
        line = {"edgecolor": COLOURS[1], "linewidth": thick * style.scale, "linestyle": dashes}
        frames[text] = axes.add_patch(Rectangle(where, *size, fill=False, clip_on=False, **line))
    bar = figure.colorbar(image, ax=axes)
    write(bar.set_label, wrapped(SCORE, 0.8 * high, style.font_size), fontsize=style.font_size)
    bar.ax.tick_params(labelsize=small)
    add_legend(figure, [(axes, {text: frames[text] for text in (BEST, TIED) if text in frames})], style)
    return figure


def _slices(
    points: Sequence[Point],
    scores: Sequence[Score],
    names: Sequence[str],
    best: int,
    ties: Sequence[int],
    title: str | None,
    style: Looks,
) -> Figure:
    figure, panels = panel_figure(names, title, style)
    y = np.array([score.iqm for score in scores])
    for name, axes in panels.items():
        axes.set_title("")
        x = _positions(axes, points, name, style)
        axes.scatter(x, y, s=28 * style.scale**2, color=COLOURS[0], alpha=0.6, linewidth=0)
        at = np.unique(x)
        if len(at) < len(x) and _is_numeric(points, name):  # values that several points have: their best
            axes.plot(at, [np.nanmax(y[x == value]) for value in at], color=COLOURS[0], linewidth=1.2 * style.scale)
        marks = _mark(axes, x, y, best, ties, style)
        finish_axes(axes, name, SCORE, style)
        axes.margins(x=0.08)
    add_legend(figure, [(panels[names[0]], marks)], style)
    return figure


def _positions(axes: Axes, points: Sequence[Point], name: str, style: Looks) -> np.ndarray:
    """Where the points are on an axis: at their numbers, or side by side."""
    across = panel_inches(axes)[0]
    if _is_numeric(points, name):
        values = [float(point[name]) for point in points]
        if is_logarithmic(values):
            axes.set_xscale("log")
        _ticks(axes, values, across, style)
        return np.array(values)
    values = values_of(points, name)
    _name_ticks(axes, values, across, style)
    return np.array([float(values.index(point[name])) for point in points])


def _ticks(axes: Axes, values: Sequence[float], across: float, style: Looks) -> None:
    """The values themselves where they are few and apart: powers of ten may miss them all."""
    from matplotlib.ticker import NullLocator

    ordered = np.unique(values)
    at = np.log(ordered) if axes.get_xscale() == "log" else ordered
    texts = [short(value) for value in ordered.tolist()]
    if len(ordered) <= MAX_TICKS and (
        len(at) == 1 or np.diff(at).min() / np.ptp(at) * across >= _inches(texts, style.small)
    ):
        axes.set_xticks(ordered, texts)
        axes.xaxis.set_minor_locator(NullLocator())


def _is_numeric(points: Sequence[Point], name: str) -> bool:
    return all(isinstance(p[name], int | float) and not isinstance(p[name], bool) for p in points)


def _name_ticks(axes: Axes, values: Sequence[Any], across: float, style: Looks) -> None:
    """Values side by side on so many inches; their texts are turned where they are long."""
    texts, each = [short(value) for value in values], across / len(values)
    fit = _inches(texts, style.small) + 2 * CHARACTER * style.small / 72 <= each
    turn = 0 if fit else 30 if each >= 2.5 * style.small / 72 else 90
    write(axes.set_xticks, range(len(values)), texts, rotation=turn)


def _inches(texts: Sequence[str], points: float) -> float:
    """The width of the longest of some texts, about."""
    return CHARACTER * points / 72 * max(map(len, texts))


def _mark(axes: Axes, x: np.ndarray, y: np.ndarray, best: int, ties: Sequence[int], style: Looks) -> dict[str, Artist]:
    """Mark the best point and those that are tied with it; the marks by what they mean."""
    marks, scale = {"color": COLOURS[1], "linestyle": "none", "zorder": 5}, style.scale
    edge = {"markeredgecolor": "white", "markeredgewidth": scale}
    (star,) = axes.plot([x[best]], [y[best]], marker="*", markersize=15 * scale, **edge, **marks)
    if not ties:
        return {BEST: star}
    ring = {"markersize": 11 * scale, "markerfacecolor": "none", "markeredgewidth": 2 * scale}
    return {BEST: star, TIED: axes.plot(x[ties], y[ties], marker="o", **ring, **marks)[0]}
