"""How many updates a run makes, and when it is evaluated."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import numpy as np

from jaxrl_up.config import whole
from jaxrl_up.types import Algorithm, Array, PyTree


def num_updates(algo: Algorithm, config: PyTree) -> int:
    """Whole updates within `total_steps`, but at least one."""
    return max(config.total_steps // algo.steps_per_update(config), 1)


def schedule(algo: Algorithm, config: PyTree, num_evals: int) -> Array:
    """How many updates go before each evaluation `[E + 1]`, E = `num_evals` or fewer; before the first, none."""
    return jax.device_put(updates_between(evaluation_ends(algo, config, num_evals)))


def updates_between(ends: Sequence[int]) -> np.ndarray:
    """How many updates go before each evaluation, int32 `[E + 1]`, of those done at each."""
    return np.diff((0, *ends)).astype(np.int32)


def evaluation_ends(
    algo: Algorithm, config: PyTree, num_evals: int, stages: Sequence[tuple[int, int]] = ()
) -> tuple[int, ...]:
    """Updates done at each evaluation: none at the first, of the untrained policy; then evenly, the last at the end.

    A run that was made longer has `stages` before: total steps of each, and how many evaluations after the first it had
    had by then.
    """
    num_evals = whole("num_evals", num_evals)
    ends = [0]
    for total_steps, evals in (*stages, (config.total_steps, num_evals)):
        first, last = ends[-1], num_updates(algo, config.replace(total_steps=total_steps))
        number = min(evals - len(ends) + 1, last - first)
        ends += np.round(np.linspace(first, last, number + 1)).astype(int).tolist()[1:]
    return tuple(ends)
