"""Logs and results made by hand, so that reporting, records and plots are tested without training."""

from functools import partial

import jax
import numpy as np

from jaxrl_up import PPO, Log, RunResult, envs
from jaxrl_up.config import canonical
from jaxrl_up.envs import Env
from jaxrl_up.experiments import memory
from jaxrl_up.training import begin
from jaxrl_up.types import Mean

SEEDS = (0, 3, 7)
STEPS = (1024, 2048, 3072)
CONFIG = PPO.Config(total_steps=3072)  # 3 updates of 8 x 128 steps
RETURNS = np.array([[20.0, 30.5, 40.25], [10.0, 35.0, 1 / 3], [np.float32(22.1), 50.0, 60.0]], np.float32)


def make_env() -> Env:
    """A small environment that needs no gymnax."""
    spec = envs.Spec("Fake-v0", _nothing, _nothing, envs.Box(-1, 1, (2,)), envs.Discrete(2), max_steps=9)
    return Env(params={"gravity": np.float32(9.8)}, spec=spec._replace(fixed=(("size", 4), ("max_steps", 9))))


def _nothing(*_):
    raise NotImplementedError


def make_log(failed_at=(-1, -1, -1), unfinished=(0, 0, 0), returns=RETURNS) -> Log:
    """A log `[S, E]`, S = 3, E = 3. `failed_at` and `unfinished` are of the last evaluation."""
    shape = returns.shape
    last = np.arange(shape[1]) == shape[1] - 1
    return Log(
        env_steps=np.broadcast_to(np.int32(STEPS), shape),
        returns=returns,
        returns_std=np.full(shape, 0.5, np.float32),
        lengths=returns,
        unfinished=np.where(last, np.array(unfinished)[:, None], 0),
        distinct=np.full(shape, 16),
        trained=Mean(4 * np.where(last, np.float32(np.nan), returns), np.full(shape, 4, np.int32)),
        learned={"loss": mean(shape, 1e-7), "entropy": mean(shape, 0.25)},
        failed_at=np.where(last, np.array(failed_at)[:, None], -1),
    )


def mean(shape, value) -> Mean:
    """The mean of 8 numbers that is `value` everywhere."""
    return Mean(8 * np.full(shape, value, np.float32), np.full(shape, 8, np.int32))


def at(log: Log, evaluation: int) -> Log:
    """One evaluation of a log, `[S]`."""
    return jax.tree.map(lambda x: x[:, evaluation], log)


def make_result(log: Log | None = None, stopped: str = "", config=CONFIG) -> RunResult:
    """A result of PPO with seeds 0, 3 and 7."""
    log = make_log() if log is None else log
    return RunResult(PPO, make_env(), config, SEEDS, None, log, 2.0, 4.0, stopped)


def need_of_beginning(algo, env, config, seeds=1) -> memory.Need:
    """In place of `memory.need`: raises what the beginning of a run does, but traces no update, which takes long."""
    jax.eval_shape(partial(begin, algo), env, canonical(config), jax.random.key(0))
    return memory.Need(1, 0, None, 1)
