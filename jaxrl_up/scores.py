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
        digits = 1 if max(abs(x) for x in self[:3]) >= 10 else 3
        return f"{self.iqm:.{digits}f} [{self.low:.{digits}f}, {self.high:.{digits}f}]"


def iqm(scores: np.ndarray, axis: int | None = None) -> np.ndarray:
    """Interquartile mean: the mean of the middle half (Agarwal et al. 2021, section 4).

    Equal to `scipy.stats.trim_mean(scores, 0.25)`: floor(n / 4) values are cut from each end, over all values or
    along `axis`. NaN where any score is. Raises `ValueError` for no scores.
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
    """IQM and percentile stratified bootstrap interval of `scores [S]`, `[S, E]` or `[tasks, S, E]`.

    Seeds are drawn with replacement within each task (the stratum), and the IQM is taken over all runs of all
    tasks (Agarwal et al. 2021, section 4.1). The same seeds are drawn for every evaluation E. Returns `(iqm,
    low, high)`, each `[E]` or scalar. With one seed the interval is that score; NaN where any score is. Raises
    `ValueError` for scores of another shape, or none.
    """
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
    tail = (1 - level) / 2
    low, high = np.where(np.isnan(value), np.nan, np.quantile(estimates, [tail, 1 - tail], axis=-1))
    return (value[0], low[0], high[0]) if scores.ndim == 1 else (value, low, high)


def score(scores: np.ndarray, level: float = 0.95) -> Score:
    """IQM over seeds of `scores [S]` with a bootstrap interval."""
    value, low, high = bootstrap(np.asarray(scores), level)
    return Score(float(value), float(low), float(high), level)
