"""The compiled gear: one seed from start to end as one program, to be jitted, vmapped and sharded."""

from __future__ import annotations

from functools import partial

import jax

from jaxrl_up.algorithms import take
from jaxrl_up.config import as_key, canonical
from jaxrl_up.envs import GUARD, Env
from jaxrl_up.training.evaluation import Evaluation, as_evaluation
from jaxrl_up.training.evaluation_schedule import schedule
from jaxrl_up.training.progress import Log, Progress, advance, begin
from jaxrl_up.types import Algorithm, Array, Key, PyTree


def train(
    algo: Algorithm | str,
    env: Env | str,
    config: PyTree,
    key: Key,
    num_evals: int = 20,
    evaluation: Evaluation = Evaluation(),
) -> tuple[PyTree, Log]:
    """Train one seed from start to end as one program; vmap over `key` for many. A whole number n is its key too.

    `algo` and `env` may be names. Returns the final state and the log `[E]`. Raises `ValueError` for a config out of
    range, and `TypeError` for arguments that are none or in another order.
    """
    algo, env, config = take(algo, env, config)
    config, evaluation = canonical(config), as_evaluation(evaluation)
    updates, key = schedule(algo, config, num_evals), as_key(key)

    def program() -> tuple[PyTree, Log]:
        return train_program(algo, env, config, key, updates, evaluation)

    return GUARD.watch(program) if env.spec.host else program()


@partial(jax.jit, static_argnames=("algo", "evaluation"))
def train_program(
    algo: Algorithm, env: Env, config: PyTree, key: Key, updates: Array, evaluation: Evaluation
) -> tuple[PyTree, Log]:
    """The program of `train`, its arguments checked."""
    progress, log = run_schedule(algo, env, config, begin(algo, env, config, key), updates, evaluation)
    return progress.state, log


def run_schedule(
    algo: Algorithm, env: Env, config: PyTree, progress: Progress, updates: Array, evaluation: Evaluation
) -> tuple[Progress, Log]:
    """`advance` once for each of `updates [E]`; log `[E]`."""

    def step(progress: Progress, n: Array) -> tuple[Progress, Log]:
        return advance(algo, env, config, progress, n, evaluation)

    return jax.lax.scan(step, progress, updates)
