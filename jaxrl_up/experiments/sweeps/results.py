"""What a sweep reached, and which of its points did best."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxrl_up.envs import Env
from jaxrl_up.experiments.sweeps.points import configure, configure_evaluation
from jaxrl_up.ops import Score, iqm, probability_of_improvement, score, tied
from jaxrl_up.records import Point, count
from jaxrl_up.types import Algorithm, PyTree


class Ranked(NamedTuple):
    """A point with its score: of the final policies, every seed counted."""

    point: int  # which of the sweep's
    values: Point
    score: Score
    worst: float
    worst_seed: int
    failed: tuple[int, ...]  # seeds whose loss or learner was not finite; they are in the score
    env_steps: int  # of each seed
    rung: int  # of successive halving, at whose end it was stopped; the last if it was not
    tied: bool  # with the best: of its rung, and their intervals overlap (`ops.tied`)
    best_wins: float  # P(a seed of the best scores above one of this point), a tie counting half


class SweepResult(NamedTuple):
    """What a sweep reached so far. Points may differ in their number of evaluations E: what is missing is NaN."""

    directory: Path
    algo: Algorithm
    env: Env  # the base, which the points change
    config: PyTree
    points: tuple[Point, ...]  # [C]
    seeds: tuple[int, ...]  # [S]
    env_steps: np.ndarray  # [C, E], per seed
    returns: np.ndarray  # mean evaluation returns, [C, S, E]
    failed_at: np.ndarray  # the update whose loss or learner was not finite, [C, S]; -1 for none
    rungs: np.ndarray  # of successive halving, that each point has come to, [C]
    finished: np.ndarray  # whether a point is done: trained to the end, or stopped by successive halving, bool [C]
    stopped: str = ""  # what stopped the sweep: "Ctrl-C", "SIGTERM" or nothing
    evaluation_env: Env | None = None  # the base's, if policies are not evaluated in `nominal(env)`

    def __repr__(self) -> str:
        size = f"{count(len(self.points), 'point')} x {count(len(self.seeds), 'seed')}"
        what = f"{self.algo.name} on {self.env.full_name}: {size}, {int(self.finished.sum()):,} done"
        return f"<SweepResult {what}, in {self.directory}>"

    def final(self, point: int) -> np.ndarray:
        """The returns of a point's last evaluation so far, `[S]`."""
        return self.returns[point, :, int(np.isfinite(self.env_steps[point]).sum()) - 1]

    @property
    def ranking(self) -> tuple[Ranked, ...]:
        """The points that are done, from best to worst by the IQM over seeds of their final returns.

        Points of a later rung are above those of an earlier one. Equal scores go by the worst seed, then in order.
        """
        done = np.flatnonzero(self.finished).tolist()
        final = {c: self.final(c) for c in done}
        order = [done[i] for i in rank([final[c] for c in done], [int(self.rungs[c]) for c in done])]
        scores = [score(final[c]) for c in order]
        ties = tied(scores) if order else []
        return tuple(
            Ranked(
                c,
                self.points[c],
                scores[i],
                float(np.min(final[c])),
                self.seeds[int(np.argmin(final[c]))],
                tuple(s for s, update in zip(self.seeds, self.failed_at[c], strict=True) if update >= 0),
                int(np.nanmax(self.env_steps[c])),
                int(self.rungs[c]),
                bool(ties[i] and self.rungs[c] == self.rungs[order[0]]),
                _wins(final[order[0]], final[c]),
            )
            for i, c in enumerate(order)
        )

    @property
    def best(self) -> Ranked:
        """The first of the ranking. Raises `ValueError` where no point is done."""
        ranking = self.ranking
        if not ranking:
            raise ValueError(f"no point of {self.directory} is finished: go on with resume_sweep")
        return ranking[0]

    @property
    def best_env(self) -> Env:
        """The environment of the best point."""
        return configure(self.env, self.config, self.best.values)[0]

    @property
    def best_evaluation_env(self) -> Env | None:
        """Where the best point was evaluated, if not in `nominal(best_env)`."""
        return configure_evaluation(self.evaluation_env, self.best.values)

    @property
    def best_config(self) -> PyTree:
        """The config of the best point."""
        return configure(self.env, self.config, self.best.values)[1]


def _wins(one: np.ndarray, other: np.ndarray) -> float:
    """P(X > Y) of two points, NaN where a return is none."""
    if np.isnan(one).any() or np.isnan(other).any():
        return float("nan")
    return probability_of_improvement(one, other, resamples=1)[0]


def rank(final: Sequence[np.ndarray], rungs: Sequence[int] | None = None) -> list[int]:
    """Indices of points from best to worst: later rungs first, then by the IQM of `final [C, S]`, then the worst seed.

    What is not a number comes last; points that are equal stay in order.
    """
    rungs = [0] * len(final) if rungs is None else rungs
    middle = [float(np.nan_to_num(iqm(row), nan=-np.inf)) for row in final]
    worst = [float(np.nan_to_num(np.min(row), nan=-np.inf)) for row in final]
    return sorted(range(len(final)), key=lambda i: (-rungs[i], -middle[i], -worst[i], i))
