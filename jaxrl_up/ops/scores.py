"""Scores over seeds with honest error bars, and comparisons of algorithms (Agarwal et al. 2021).

Agarwal, Schwarzer, Castro, Courville, Bellemare (2021): Deep Reinforcement Learning at the Edge of the Statistical
Precipice. The interval of the IQM is Student's t with a bootstrap standard error, since their percentile bootstrap is
too narrow for the few seeds of deep learning (see `bootstrap`); those of the comparisons are theirs, percentile
bootstraps. All are stratified: runs are drawn with replacement within each task.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np


class Score(NamedTuple):
    """An interquartile mean with its interval."""

    iqm: float
    low: float
    high: float
    level: float = 0.95

    def __str__(self) -> str:
        digits = 1 if max(abs(x) for x in self[:3]) >= 10 else 3
        return f"{self.iqm:.{digits}f} [{self.low:.{digits}f}, {self.high:.{digits}f}]"


def iqm(scores: np.ndarray, axis: int | None = None) -> np.ndarray:
    """Interquartile mean: the mean of the middle half (Agarwal et al. 2021, section 4).

    Equal to `scipy.stats.trim_mean(scores, 0.25)`: floor(n / 4) values are cut from each end, over all values or
    along `axis`. NaN where any score is. Raises `ValueError` for no scores.

    >>> float(iqm([0.0, 1.0, 2.0, 9.0]))
    1.5
    """
    scores = np.asarray(scores, np.float64)
    scores = scores.ravel() if axis is None else np.moveaxis(scores, axis, -1)
    number = scores.shape[-1]
    if number == 0:
        raise ValueError("an interquartile mean needs at least one score")
    ordered = np.sort(scores, axis=-1)  # NaN last
    middle = ordered[..., number // 4 : number - number // 4].mean(axis=-1)
    return np.where(np.isnan(ordered[..., -1]), np.nan, middle)


def bootstrap(
    scores: np.ndarray, level: float = 0.95, resamples: int = 5000, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """IQM of `scores [S]`, `[S, E]` or `[tasks, S, E]`, and the interval of what it would be with ever more seeds.

    Seeds are drawn with replacement within each task (the stratum), and the IQM is taken over all runs of all
    tasks (Agarwal et al. 2021, section 4.1). The same seeds are drawn for every evaluation E. The ends are
    IQM -+ t s sqrt(S / (S - 1)), where s is the standard deviation of the resampled IQMs, which is too small by that
    root, and t the quantile of Student's distribution with tasks (S - 1) degrees of freedom; or those of the
    percentile bootstrap, where that is wider. With up to three seeds this is the t interval of the mean. Returns
    `(iqm, low, high)`, each `[E]` or scalar. Seeds that are all equal, or one alone, say nothing of others: there the
    interval has no width. `level` is in (0, 1), `resamples` >= 1. NaN where any score is. Raises `ValueError` for
    scores of another shape, or none.
    """
    from scipy.special import stdtrit

    scores = np.asarray(scores, np.float64)
    if scores.ndim not in (1, 2, 3) or scores.size == 0:
        raise ValueError(f"scores of shape {scores.shape}: give [S], [S, E] or [tasks, S, E], none of them 0")
    tasks = {1: scores[None, :, None], 2: scores[None], 3: scores}[scores.ndim]
    num_tasks, num_seeds, num_evals = tasks.shape
    draws = np.random.default_rng(seed).integers(num_seeds, size=(resamples, num_tasks, num_seeds))
    draws = (draws + num_seeds * np.arange(num_tasks)[:, None]).reshape(resamples, -1)
    runs = tasks.reshape(num_tasks * num_seeds, num_evals)
    value = iqm(runs, axis=0)
    estimates = np.stack([iqm(runs[:, e][draws], axis=-1) for e in range(num_evals)])
    freedom = num_tasks * (num_seeds - 1)
    reach = stdtrit(freedom, (1 + level) / 2) * math.sqrt(num_seeds / (num_seeds - 1)) if freedom else 0.0
    with np.errstate(invalid="ignore"):  # of infinite scores
        low, high = _percentiles(estimates.T, level)
        error = reach * estimates.std(axis=-1)
        low, high = np.fmin(low, value - error), np.fmax(high, value + error)
    low, high = np.where(np.isnan(value), np.nan, [low, high])
    return (value[0], low[0], high[0]) if scores.ndim == 1 else (value, low, high)


def score(scores: np.ndarray, level: float = 0.95) -> Score:
    """IQM over seeds of `scores [S]` with its interval, at a `level` in (0, 1); raises as `bootstrap`, which see.

    >>> print(score([2.0, 2.0, 2.0]))  # seeds that are all equal give no width
    2.000 [2.000, 2.000]
    """
    value, low, high = bootstrap(np.asarray(scores), level)
    return Score(float(value), float(low), float(high), level)


def tied(scores: Sequence[Score], best: int = 0) -> list[bool]:
    """Which scores cannot be told from that of index `best`, itself among them: whose interval overlaps its interval.

    A lenient rule, so that what is not tied is behind for sure: where intervals of equal width do not overlap, the
    difference is about 1.4 times as large as a test of it at the same level asks for. A score that is not a number is
    tied with nothing.

    >>> tied([Score(9.0, 8.0, 10.0), Score(7.0, 6.0, 8.5), Score(5.0, 4.0, 6.0)])
    [True, True, False]
    """
    first = scores[best]
    return [i == best or bool(one.high >= first.low and one.low <= first.high) for i, one in enumerate(scores)]


def performance_profile(
    scores: Any, thresholds: np.ndarray, level: float = 0.95, resamples: int = 5000, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fraction of runs that score above each threshold, and its band (Agarwal et al. 2021, section 4.2).

    F(tau) = 1/M sum_m 1/N_m sum_n 1[x_mn > tau], over tasks m and runs n. `scores` is `[S]`, `[tasks, S]` or, where
    tasks differ in their number of runs, a list of `[S]`; `thresholds [K]`. Returns `(fraction, low, high)`, each
    `[K]`; the band is pointwise, at a `level` in (0, 1), a percentile bootstrap that draws runs within each
    task. Raises `ValueError` for no scores and for NaN.

    >>> performance_profile([0.0, 1.0, 2.0, 9.0], thresholds=[0.5, 5.0])[0].tolist()
    [0.75, 0.25]
    """
    rng, thresholds = np.random.default_rng(seed), np.asarray(thresholds, np.float64)
    above = [task[:, None] > thresholds for task in _tasks(scores)]  # [S, K] each
    value = np.mean([task.mean(axis=0) for task in above], axis=0)
    estimates = np.mean([_weights(rng, len(task), resamples) @ task for task in above], axis=0)
    low, high = _percentiles(estimates, level)
    return value, low, high


def probability_of_improvement(
    x: Any, y: Any, level: float = 0.95, resamples: int = 5000, seed: int = 0
) -> tuple[float, float, float]:
    """P(X > Y): how likely a run of X scores above a run of Y on the same task (Agarwal et al. 2021, section 4.3).

    The mean over tasks of the Mann-Whitney statistic U / (N K) = 1/(N K) sum_n sum_k S(x_n, y_k), where S is 1 for
    x_n > y_k, 1/2 for a tie and 0 otherwise. It says how often, not by how much. `x` and `y` are `[S]`, `[tasks, S]`
    or lists of `[S]`, with the same tasks in the same order; numbers of runs may differ. Returns `(probability, low,
    high)`; the interval, at a `level` in (0, 1), draws runs of X and of Y within each task, independently. Raises
    `ValueError` for other tasks, no scores, and NaN.

    >>> probability_of_improvement([1.0, 2.0], [0.0, 2.0])[0]  # of four pairs two are won, one is a tie
    0.625
    """
    xs, ys = _tasks(x), _tasks(y)
    if len(xs) != len(ys):
        raise ValueError(f"x has {len(xs)} tasks and y has {len(ys)}: give both the same tasks, in the same order")
    rng = np.random.default_rng(seed)
    wins = [(a[:, None] > b) + 0.5 * (a[:, None] == b) for a, b in zip(xs, ys, strict=True)]  # [N, K] each
    estimates = np.mean(
        [((_weights(rng, len(w), resamples) @ w) * _weights(rng, w.shape[1], resamples)).sum(axis=1) for w in wins],
        axis=0,
    )
    low, high = _percentiles(estimates, level)
    return float(np.mean([w.mean() for w in wins])), float(low), float(high)


def optimality_gap(scores: Any, target: float) -> float:
    """How far runs stay below `target` on average: mean of max(target - x, 0) (Agarwal et al. 2021, section 4.3).

    `scores` is `[S]`, `[tasks, S]` or a list of `[S]`, in units in which one target suits every task; tasks count
    alike. Runs above the target count as at it. Raises `ValueError` for no scores and for NaN.

    >>> optimality_gap([0.0, 5.0, 20.0], target=10.0)
    5.0
    """
    return float(np.mean([np.maximum(target - task, 0).mean() for task in _tasks(scores)]))


class Efficiency(NamedTuple):
    """When seeds first reached a threshold."""

    steps: np.ndarray  # [S], infinite for a seed that never did
    reached: int  # how many seeds did
    median: float  # over all seeds, infinite unless more than half did


def steps_to_threshold(steps: np.ndarray, returns: np.ndarray, threshold: float) -> Efficiency:
    """Sample efficiency: `steps [E]` at the first evaluation at which each seed of `returns [S, E]` is at `threshold`.

    A seed that never reaches it counts as infinitely late, also in the median: leaving it out would make an algorithm
    that often fails look fast. No interpolation between evaluations; NaN is not reached. Raises `ValueError` for
    other shapes.

    >>> steps_to_threshold([100, 200], returns=[[5.0, 9.0], [9.0, 9.0], [1.0, 2.0]], threshold=8.0).median
    200.0
    """
    steps, returns = np.asarray(steps, np.float64), np.asarray(returns, np.float64)
    if returns.ndim != 2 or steps.shape != returns.shape[1:] or returns.size == 0:
        raise ValueError(f"steps {steps.shape} and returns {returns.shape}: give [E] and [S, E], neither of them empty")
    reached = returns >= threshold
    first = np.where(reached.any(axis=1), steps[reached.argmax(axis=1)], np.inf)
    return Efficiency(first, int(reached.any(axis=1).sum()), float(np.median(first)))


def _tasks(scores: Any) -> list[np.ndarray]:
    """The scores of each task, `[S]`."""
    nested = np.ndim(scores[0]) > 0 if len(scores) else False
    tasks = [np.asarray(task, np.float64) for task in (scores if nested else [scores])]
    if any(task.ndim != 1 or task.size == 0 for task in tasks):
        raise ValueError(f"scores of shape {[task.shape for task in tasks]}: give [S] or [tasks, S], none of them 0")
    if any(np.isnan(task).any() for task in tasks):
        raise ValueError("a score is NaN: it is neither above nor below another")
    return tasks


def _weights(rng: np.random.Generator, number: int, resamples: int) -> np.ndarray:
    """The share of each run in each resample, `[resamples, number]`: drawing with replacement is multinomial."""
    return rng.multinomial(number, np.full(number, 1 / number), size=resamples) / number


def _percentiles(estimates: np.ndarray, level: float) -> np.ndarray:
    """Ends of the middle `level` of `estimates [resamples, ...]`."""
    return np.quantile(estimates, [(1 - level) / 2, (1 + level) / 2], axis=0)
