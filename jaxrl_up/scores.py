"""Scores over seeds with honest error bars: IQM and the stratified bootstrap (Agarwal et al. 2021)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Score(NamedTuple):
    """An interquartile mean with its interval."""

    iqm: float
    low: float
    high: float
    level: float = 0.95

    def __str__(self) -> str:
        return f"{self.iqm:.1f} [{self.low:.1f}, {self.high:.1f}]"


def iqm(scores: np.ndarray, axis: int | tuple[int, ...] | None = None) -> np.ndarray:
    """Interquartile mean: the mean of the middle half (Agarwal et al. 2021, section 4).

    Like `scipy.stats.trim_mean(scores, 0.25)`: floor(n / 4) values are cut from each end. NaN if any score is.
    """
    scores = np.asarray(scores, np.float64)
    if axis is None:
        scores, axis = scores.ravel(), 0
    axes = axis if isinstance(axis, tuple) else (axis,)
    moved = np.moveaxis(scores, axes, range(-len(axes), 0))
    ordered = np.sort(moved.reshape(*moved.shape[: scores.ndim - len(axes)], -1), axis=-1)
    cut = ordered.shape[-1] // 4
    return ordered[..., cut : ordered.shape[-1] - cut].mean(axis=-1)


def bootstrap(
    scores: np.ndarray, level: float = 0.95, resamples: int = 5000, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """IQM and percentile stratified bootstrap interval of `scores [S]`, `[S, E]` or `[tasks, S, E]`.

    Seeds are drawn with replacement within each task (the stratum), and the IQM is taken over all runs of all
    tasks (Agarwal et al. 2021, section 4.1). The same seeds are drawn for every evaluation E. Returns `(iqm,
    low, high)`, each `[E]` or scalar. With one seed the interval is that score.
    """
    scores = np.asarray(scores, np.float64)
    points = scores.ndim > 1
    tasks = {1: scores[None, :, None], 2: scores[None], 3: scores}[scores.ndim]
    num_tasks, num_seeds, _ = tasks.shape
    rng = np.random.default_rng(seed)
    draws = rng.integers(num_seeds, size=(resamples, num_tasks, num_seeds))
    estimates = np.stack([iqm(tasks[:, :, e][np.arange(num_tasks)[:, None], draws], axis=(1, 2)) for e in range(tasks.shape[2])], -1)
    tail = 100 * (1 - level) / 2
    low, high = np.percentile(estimates, [tail, 100 - tail], axis=0)
    value = iqm(tasks, axis=(0, 1))
    return (value, low, high) if points else (value[0], low[0], high[0])


def score(scores: np.ndarray, level: float = 0.95) -> Score:
    """IQM over seeds of `scores [S]` with a 95% interval."""
    value, low, high = bootstrap(np.asarray(scores), level)
    return Score(float(value), float(low), float(high), level)
