"""Pictures of sweeps: the score over one value, a heat map over two, and slices over more.

A lone name is a line with its interval. Two names, every combination of whose values was trained, are a heat map.
Anything else is a panel for each name, with all points over its values.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxrl_up.analysis.looks import COLOUR_MAP, COLOURS, Looks, add_legend, finish_axes, panel_figure, save, write
from jaxrl_up.ops import Score, tied
from jaxrl_up.records import Point, short, values_of

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
) -> Path:
    """Draw the scores of points over the values in which they differ, to `path`, and return it.

    The point `best` is marked, since of equal scores only the ranking knows which that is, and so are those that `ties`
    has as tied with it, by default those whose intervals overlap its own (`ops.tied`). Raises `ValueError` for no
    points.
    """
    if not points or len(points) != len(scores):
        raise ValueError(f"{len(points)} points and {len(scores)} scores: give one score for each point")
    with_it = tied(scores, best) if ties is None else ties
    others = [i for i, is_tied in enumerate(with_it) if is_tied and i != best]
    names = [name for name in points[0] if len(values_of(points, name)) > 1] or list(points[0])[:1]
    if len(names) == 1:
        figure = _line(points, scores, names[0], best, others, title)
    elif len(names) == 2 and len(points) == len(values_of(points, names[0])) * len(values_of(points, names[1])):
        figure = _heat_map(points, scores, names, best, others, title)
    else:
        figure = _slices(points, scores, names, best, others, title)
    return save(figure, path)


def is_logarithmic(values: Sequence[float]) -> bool:
    """Whether values belong on a logarithmic axis: far apart with even ratios, or very far apart."""
    ordered = np.unique(np.asarray(values, float))
    if len(ordered) < 2 or ordered[0] <= 0 or ordered[-1] < FAR * ordered[0]:
        return False
    gaps, ratios = np.diff(ordered), np.diff(np.log(ordered))
    even = len(ordered) == 2 or bool(ratios.std() / ratios.mean() < gaps.std() / gaps.mean())
    return even or bool(ordered[-1] >= VERY_FAR * ordered[0])


def _line(
    points: Sequence[Point], scores: Sequence[Score], name: str, best: int, ties: Sequence[int], title: str | None
) -> Figure:
    figure, panels = panel_figure([""], title)
    axes = panels[""]
    x = _positions(axes, points, name)
    order = np.argsort(x, kind="stable")
    middle, low, high = np.array([score[:3] for score in scores])[order].T
    colour = COLOURS[0]
    if _is_numeric(points, name):
        axes.fill_between(x[order], low, high, color=colour, alpha=0.2, linewidth=0)
        axes.plot(x[order], middle, color=colour, linewidth=2.2, marker="o")
    else:
        axes.errorbar(x[order], middle, [middle - low, high - middle], color=colour, fmt="o", capsize=4, linewidth=2)
        axes.margins(x=0.15)
    marks = _mark(axes, x, np.array([score.iqm for score in scores]), best, ties)
    finish_axes(axes, name, WITH_BAND)
    add_legend(figure, [(axes, marks)], Looks())
    return figure


def _heat_map(
    points: Sequence[Point],
    scores: Sequence[Score],
    names: Sequence[str],
    best: int,
    ties: Sequence[int],
    title: str | None,
) -> Figure:
    from matplotlib.patches import Rectangle

    down, across = names
    rows, columns = values_of(points, down), values_of(points, across)
    table = np.full((len(rows), len(columns)), np.nan)
    for point, score in zip(points, scores, strict=True):
        table[rows.index(point[down]), columns.index(point[across])] = score.iqm
    figure, panels = panel_figure([""], title)
    figure.set_size_inches(max(7.0, 2.5 + 0.85 * len(columns)), max(4.5, 1.8 + 0.5 * len(rows)))
    axes = panels[""]
    image = axes.imshow(table, cmap=COLOUR_MAP, origin="lower", aspect="auto")
    write(axes.set_xticks, range(len(columns)), [short(value) for value in columns], rotation=_turn(columns))
    write(axes.set_yticks, range(len(rows)), [short(value) for value in rows])
    write(axes.set_xlabel, across, fontsize=14)
    write(axes.set_ylabel, down, fontsize=14)
    axes.tick_params(labelsize=12)
    if max(table.shape) <= MAX_CELLS:
        low, high = np.nanmin(table), np.nanmax(table)
        largest = max(abs(low), abs(high))
        for (row, column), value in np.ndenumerate(table):
            dark = value < low + 0.55 * (high - low)
            axes.text(column, row, f"{value:.{0 if largest >= 100 else 1 if largest >= 1 else 3}f}", ha="center",
                      va="center", fontsize=12, color="white" if dark else "black")  # fmt: skip
    frames = {}
    for i in (*ties, best):
        text, looks = (BEST, {"linewidth": 3}) if i == best else (TIED, {"linewidth": 2, "linestyle": "--"})
        where = columns.index(points[i][across]) - 0.5 + INSET, rows.index(points[i][down]) - 0.5 + INSET
        size = (1 - 2 * INSET,) * 2
        frame = Rectangle(where, *size, fill=False, edgecolor=COLOURS[1], clip_on=False, **looks)
        frames[text] = axes.add_patch(frame)
    bar = figure.colorbar(image, ax=axes)
    bar.set_label(SCORE, fontsize=13)
    bar.ax.tick_params(labelsize=11)
    add_legend(figure, [(axes, {text: frames[text] for text in (BEST, TIED) if text in frames})], Looks())
    return figure


def _slices(
    points: Sequence[Point],
    scores: Sequence[Score],
    names: Sequence[str],
    best: int,
    ties: Sequence[int],
    title: str | None,
) -> Figure:
    figure, panels = panel_figure(names, title)
    y = np.array([score.iqm for score in scores])
    for name, axes in panels.items():
        axes.set_title("")
        x = _positions(axes, points, name)
        axes.scatter(x, y, s=28, color=COLOURS[0], alpha=0.6, linewidth=0)
        at = np.unique(x)
        if len(at) < len(x) and _is_numeric(points, name):  # values that several points have: their best
            axes.plot(at, [np.nanmax(y[x == value]) for value in at], color=COLOURS[0], linewidth=1.2)
        marks = _mark(axes, x, y, best, ties)
        finish_axes(axes, name, SCORE)
        axes.margins(x=0.08)
    add_legend(figure, [(panels[names[0]], marks)], Looks())
    return figure


def _positions(axes: Axes, points: Sequence[Point], name: str) -> np.ndarray:
    """Where the points are on an axis: at their numbers, or side by side."""
    if _is_numeric(points, name):
        values = [float(point[name]) for point in points]
        if is_logarithmic(values):
            axes.set_xscale("log")
        _ticks(axes, values)
        return np.array(values)
    values = values_of(points, name)
    write(axes.set_xticks, range(len(values)), [short(value) for value in values], rotation=_turn(values))
    return np.array([float(values.index(point[name])) for point in points])


def _ticks(axes: Axes, values: Sequence[float]) -> None:
    """The values themselves where they are few and apart: powers of ten may miss them all."""
    from matplotlib.ticker import NullLocator

    ordered = np.unique(values)
    at = np.log(ordered) if axes.get_xscale() == "log" else ordered
    if len(ordered) <= MAX_TICKS and (len(at) == 1 or np.diff(at).min() >= 0.1 * np.ptp(at)):
        axes.set_xticks(ordered, [short(value) for value in ordered.tolist()])
        axes.xaxis.set_minor_locator(NullLocator())


def _is_numeric(points: Sequence[Point], name: str) -> bool:
    return all(isinstance(p[name], int | float) and not isinstance(p[name], bool) for p in points)


def _turn(values: Sequence[Any]) -> float:
    """Degrees by which long labels are turned."""
    return 30.0 if sum(len(short(value)) + 2 for value in values) > 60 else 0.0


def _mark(axes: Axes, x: np.ndarray, y: np.ndarray, best: int, ties: Sequence[int]) -> dict[str, Artist]:
    """Mark the best point and those that are tied with it; the marks by what they mean."""
    looks = {"color": COLOURS[1], "linestyle": "none", "zorder": 5}
    (star,) = axes.plot([x[best]], [y[best]], marker="*", markersize=15, markeredgecolor="white", **looks)
    if not ties:
        return {BEST: star}
    rings = axes.plot(x[ties], y[ties], marker="o", markersize=11, markerfacecolor="none", markeredgewidth=2, **looks)
    return {BEST: star, TIED: rings[0]}
