"""The compiled gear: one seed from start to end as one program, to be jitted, vmapped and sharded."""

from __future__ import annotations

from functools import partial

import jax

from jaxrl_up.algorithms import take
from jaxrl_up.config import as_key, canonical
from jaxrl_up.envs import GUARD, Env
from jaxrl_up.training.evaluation import Evaluation, as_evaluation, on_host, take_evaluation_env
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
    evaluation_env: Env | str | None = None,
) -> tuple[PyTree, Log]:
    """Train one seed from start to end as one program; vmap over `key` for many. A whole number n is its key too.

    `algo` and `env` may be names. Policies are evaluated in `evaluation_env`, which has the spaces of `env`; None is
    `env` itself, with its nominal parameters where it draws them. Returns the final state and the log `[E + 1]`, whose
    first entry is of the untrained policy. Raises `ValueError` for a config out of range and an `evaluation_env` of
    other spaces, and `TypeError` for arguments that are none or in another order.
    """
    algo, env, config = take(algo, env, config)
    evaluation_env = take_evaluation_env(algo, env, config, evaluation_env)
    config, evaluation = canonical(config), as_evaluation(evaluation)
    updates, key = schedule(algo, config, num_evals), as_key(key)

    def program() -> tuple[PyTree, Log]:
        return train_program(algo, env, config, key, updates, evaluation, evaluation_env)

    return GUARD.watch(program) if on_host(env, evaluation_env) else program()


@partial(jax.jit, static_argnames=("algo", "evaluation"))
def train_program(
    algo: Algorithm,
    env: Env,
    config: PyTree,
    key: Key,
    updates: Array,
    evaluation: Evaluation,
    evaluation_env: Env | None = None,
) -> tuple[PyTree, Log]:
    """The program of `train`, its arguments checked."""
    progress = begin(algo, env, config, key)
    progress, log = run_schedule(algo, env, config, progress, updates, evaluation, evaluation_env)
    return progress.state, log


def run_schedule(
    algo: Algorithm,
    env: Env,
    config: PyTree,
    progress: Progress,
    updates: Array,
    evaluation: Evaluation,
    evaluation_env: Env | None = None,
) -> tuple[Progress, Log]:
    """`advance` once for each of `updates [E + 1]`; log `[E + 1]`."""

    def step(progress: Progress, n: Array) -> tuple[Progress, Log]:
        return advance(algo, env, config, progress, n, evaluation, evaluation_env)

    return jax.lax.scan(step, progress, updates)
