"""Comparisons of runs: performance profiles, probability of improvement, and sample efficiency.

The definitions are in `jaxrl_up.ops.scores`. Bands and intervals are percentile bootstraps (Agarwal et al. 2021), which
few seeds make too narrow (docs/plots.md). A score is a seed's value at the evaluation nearest to the end that all runs
of the environment reached.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxrl_up.analysis.curves import Panels, final_scores, gather
from jaxrl_up.analysis.looks import COLOURS, label_looks, looks, panel_figure, save, wrapped, write
from jaxrl_up.analysis.plots import (
    X_LABELS,
    X_NAMES,
    Y_LABELS,
    Band,
    Bands,
    count_seeds,
    draw_bands,
    of_seeds,
    with_seeds,
    write_bands,
)
from jaxrl_up.ops import performance_profile, probability_of_improvement, score, steps_to_threshold
from jaxrl_up.records import expand, table_text, write_atomically

MAX_PAIRS = 6
MAX_NAMED = 3  # environments in a title


class Improvement(NamedTuple):
    """How likely a run of `x` scores above a run of `y`, with its 95% bootstrap interval."""

    x: str
    y: str
    num_seeds: tuple[int, int]  # of all environments
    probability: float
    low: float
    high: float


def plot_profiles(
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
    """Draw performance profiles, the fraction of seeds that score above each threshold, to `path` and return it.

    The arguments are those of `jaxrl_up.analysis.plot_curves`, and so is what it raises. Each environment has its own
    panel and thresholds. `numbers` has the columns environment, label, column, seeds, threshold, fraction_above, low,
    high.
    """
    style = looks(legend, width, font_size)
    bands = profile_bands(gather(runs, column, x, smooth, group, select, exclude))
    y_label = f"fraction{of_seeds(bands) or ' of seeds'} above τ\n95% bootstrap band"
    figure = draw_bands(bands, title, f"threshold τ of the {_name(column)}", y_label, True, style)
    if numbers:
        write_bands(bands, numbers, column, "threshold", "fraction_above")
    return save(figure, path, style)


def plot_improvement(
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
    width: float | str | None = None,
    font_size: float | None = None,
) -> Path:
    """Draw the probability that a run of one label scores above a run of another, to `path`, and return it.

    The arguments are those of `jaxrl_up.analysis.plot_curves`. All pairs of labels are drawn up to six, else the best
    against each other one. Environments are the tasks of the mean. `numbers` has the columns environments, column, x,
    y, seeds_x, seeds_y, probability, low, high. Raises `ValueError` also for a single label, and for labels that were
    not run on the same environments.
    """
    style = looks("none", width, font_size)
    panels = gather(runs, column, x, smooth, group, select, exclude)
    pairs = improvements(panels)
    names = [name for name in panels if name]
    tasks = ", ".join(names) if len(names) <= MAX_NAMED else f"{len(names)} environments"
    figure, axes_of = panel_figure([tasks], title, style)
    (axes,) = axes_of.values()
    colours = label_looks(panels)
    across = 7.5 if style.width is None else style.width
    ticks = [_tick(pair, 0.4 * across, style.small) for pair in pairs]
    lines = sum(max(2, tick.count("\n") + 1) for tick in ticks)
    figure.set_size_inches(across, (7.5 + 1.5 * lines) * style.font_size / 72)
    for row, pair in enumerate(pairs):
        axes.errorbar(
            pair.probability,
            row,
            xerr=[[pair.probability - pair.low], [pair.high - pair.probability]],
            color=colours[pair.x]["color"],
            marker="o",
            markersize=9 * style.scale,
            linewidth=3 * style.scale,
            capsize=6 * style.scale,
        )
    axes.axvline(0.5, color="black", linestyle="--", linewidth=1.2 * style.scale)
    write(axes.set_yticks, range(len(pairs)), ticks)
    axes.set_ylim(len(pairs) - 0.5, -0.5)
    axes.set_xlim(-0.03, 1.03)
    average = f"mean of {len(names)} environments, " if len(names) > 1 else ""
    x_label = f"P(X > Y) in {_name(column)}\n{average}95% bootstrap interval"
    write(axes.set_xlabel, wrapped(x_label, 0.5 * across, style.font_size), fontsize=style.font_size)
    axes.tick_params(labelsize=style.small)
    axes.grid(alpha=0.3, axis="x")
    axes.spines[["top", "right"]].set_visible(False)
    if numbers:
        header = ("environments", "column", "x", "y", "seeds_x", "seeds_y", "probability", "low", "high")
        rows = [(" ".join(names), column, p.x, p.y, *p.num_seeds, p.probability, p.low, p.high) for p in pairs]
        write_atomically(expand(numbers), table_text(header, rows))
    return save(figure, path, style)


def plot_bars(
    scores: Mapping[str, np.ndarray],
    path: str | Path,
    title: str | None = None,
    x_label: str = "final return",
    *,
    width: float | str | None = None,
    font_size: float | None = None,
) -> Path:
    """Draw the IQM of the scores `[S]` of each label with its 95% interval, one below the other, and every seed.

    `path` and the rest are as those of `jaxrl_up.analysis.plot_curves`. Raises `ValueError` for no scores.
    """
    if not scores:
        raise ValueError("no scores to draw: give an array [S] for each label")
    style = looks("none", width, font_size)
    figure, axes_of = panel_figure([""], title, style)
    (axes,) = axes_of.values()
    across = 7.0 if style.width is None else style.width
    ticks = [wrapped(label, 0.4 * across, style.small) for label in scores]
    lines = sum(max(1.5, tick.count("\n") + 1) for tick in ticks)
    figure.set_size_inches(across, (5.5 + 1.3 * lines) * style.font_size / 72)
    for row, values in enumerate(scores.values()):
        middle, low, high = score(np.asarray(values))[:3]
        axes.plot(values, np.full(len(values), row), "o", color=COLOURS[0], alpha=0.3, markersize=4 * style.scale)
        axes.plot([low, high], [row, row], color=COLOURS[0], alpha=0.45, linewidth=9 * style.scale)
        axes.plot([middle], [row], "|", color="black", markersize=14 * style.scale, markeredgewidth=2.5 * style.scale)
    write(axes.set_yticks, range(len(scores)), ticks)
    axes.set_ylim(len(scores) - 0.4, -0.6)
    x_label = f"{x_label}: each seed, IQM, 95% interval"
    write(axes.set_xlabel, wrapped(x_label, 0.55 * across, style.font_size), fontsize=style.font_size)
    axes.tick_params(labelsize=style.small)
    axes.grid(alpha=0.3, axis="x")
    axes.spines[["top", "right"]].set_visible(False)
    return save(figure, path, style)


def plot_efficiency(
    runs: Any,
    path: str | Path,
    threshold: float,
    title: str | None = None,
    column: str = "return",
    x: str = "steps",
    *,
    smooth: int = 1,
    group: str | None = None,
    numbers: str | Path | None = None,
    select: str | Sequence[str] = (),
    exclude: str | Sequence[str] = (),
    legend: str = "outside",
    width: float | str | None = None,
    font_size: float | None = None,
) -> Path:
    """Draw the fraction of seeds that have reached `threshold`, over steps or seconds, to `path` and return it.

    The other arguments are those of `jaxrl_up.analysis.plot_curves`. The legend says how many seeds reached it and the
    median over all seeds, where half of them did. `numbers` has the columns environment, label, column, seeds,
    env_steps or seconds, fraction_reached, low, high. Raises `ValueError` also for a threshold that is not finite, and
    for several environments, which one threshold does not suit.
    """
    style = looks(legend, width, font_size)
    panels = gather(runs, column, x, smooth, group, select, exclude)
    if not np.isfinite(threshold):
        raise ValueError(f"threshold={threshold:g} must be a finite number")
    if len(panels) > 1:
        raise ValueError(
            f"one threshold does not suit several environments ({', '.join(panels)}): draw one environment at a time"
        )
    bands = efficiency_bands(panels, threshold)
    y_label = f"fraction of seeds that reached {_name(column)} {threshold:g}\n95% bootstrap band"
    figure = draw_bands(bands, title, X_LABELS[x], y_label, True, style)
    if numbers:
        write_bands(bands, numbers, column, X_NAMES[x], "fraction_reached")
    return save(figure, path, style)


def profile_bands(panels: Panels) -> Bands:
    """The performance profile of each label. It steps down at scores only, so these are the thresholds."""
    bands: Bands = {}
    for environment, groups in panels.items():
        _, scores = final_scores(groups)
        found = np.unique(np.concatenate(list(scores.values())))
        margin = 0.05 * (found[-1] - found[0]) or 1.0
        thresholds = np.concatenate([[found[0] - margin], found, [found[-1] + margin]])
        bands[environment] = {
            label: Band(thresholds, *performance_profile(s, thresholds), len(s), label) for label, s in scores.items()
        }
    return with_seeds(bands)


def improvements(panels: Panels) -> list[Improvement]:
    """P(X > Y) of all pairs of labels, up to six pairs, else of the best label against each other one.

    The best is the one that a run of another is least likely to score above, on average. Raises `ValueError` for a
    single label and for labels that were not run on the same environments.
    """
    labels = list(dict.fromkeys(label for groups in panels.values() for label in groups))
    if len(labels) < 2:
        raise ValueError(f"an improvement is of one over another: there is only {labels[0]!r}")
    for environment, groups in panels.items():
        for label in labels:
            if label not in groups:
                raise ValueError(
                    f"improvement is compared on the same environments: {label!r} has no run on {environment}"
                )
    scores = [final_scores(groups)[1] for groups in panels.values()]
    pairs = list(itertools.combinations(labels, 2))
    if len(pairs) > MAX_PAIRS:
        best = _best(labels, scores)
        pairs = [(best, other) for other in labels if other != best]
    found = []
    for one, other in pairs:
        xs, ys = [task[one] for task in scores], [task[other] for task in scores]
        seeds = (sum(map(len, xs)), sum(map(len, ys)))
        found.append(Improvement(one, other, seeds, *probability_of_improvement(xs, ys)))
    return found


def _best(labels: Sequence[str], scores: Sequence[Mapping[str, np.ndarray]]) -> str:
    """The label whose runs win most often against those of all others; of equals the first."""

    def wins(one: str) -> float:
        mine = [task[one] for task in scores]
        rest = [[task[other] for task in scores] for other in labels if other != one]
        return sum(probability_of_improvement(mine, others, resamples=1)[0] for others in rest)

    return max(labels, key=wins)


def efficiency_bands(panels: Panels, threshold: float) -> Bands:
    """The fraction of each label's seeds that have reached `threshold`, as far as all its runs go."""
    bands: Bands = {}
    for environment, groups in panels.items():
        bands[environment] = {}
        for label, curves in groups.items():
            end = min(curve.x[-1] for curve in curves)
            first = np.concatenate([steps_to_threshold(c.x, c.values, threshold).steps for c in curves])
            first = np.where(first <= end, first, np.inf)
            x = np.unique(np.concatenate([[0], *(curve.x for curve in curves)]))
            x = x[x <= end]
            above, low, high = performance_profile(first, x)  # the fraction that takes longer
            reached, median = int(np.isfinite(first).sum()), float(np.median(first))
            half = f", median {_short(median)}" if np.isfinite(median) else ""
            legend = f"{label}: {reached} of {count_seeds(len(first))}{half}"
            bands[environment][label] = Band(x, 1 - above, 1 - high, 1 - low, len(first), legend)
    return bands


def _tick(pair: Improvement, inches: float, points: float) -> str:
    """`x > y`, on lines of their own where they are long."""
    text = f"{pair.x} > {pair.y}"
    if wrapped(text, inches, points) == text:
        return text
    return f"{wrapped(pair.x, inches, points)}\n> {wrapped(pair.y, inches, points)}"


def _name(column: str) -> str:
    return Y_LABELS.get(column, column.replace("_", " ")).partition(" (")[0]


def _short(number: float) -> str:
    """12.3k, 1.2M."""
    from matplotlib.ticker import EngFormatter

    return EngFormatter(sep="", places=1)(number).replace(".0", "")
