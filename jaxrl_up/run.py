"""The host-driven gear: many seeds in one program, with progress, records and an orderly stop."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_up import records
from jaxrl_up.config import canonical, check_support
from jaxrl_up.envs import Env
from jaxrl_up.memory import check_memory
from jaxrl_up.reporting import Reporter
from jaxrl_up.scores import Score, score
from jaxrl_up.training import (
    Evaluation,
    Log,
    advance_lanes,
    begin_lanes,
    lane_mesh,
    schedule,
)
from jaxrl_up.types import Algorithm, Array, Key, PyTree


class RunResult(NamedTuple):
    """What a run reached. Every seed is in it, failed ones too."""

    algo: Algorithm
    env: Env
    config: PyTree
    seeds: tuple[int, ...]
    state: PyTree  # [S, ...], counters unbatched
    log: Log  # [S, E]
    compile_seconds: float
    train_seconds: float  # without compiling
    stopped: bool  # by Ctrl-C, before total_steps

    @property
    def env_steps(self) -> np.ndarray:
        """Environment steps per seed at each evaluation, `[E]`."""
        return np.asarray(self.log.env_steps)[0]

    @property
    def returns(self) -> np.ndarray:
        """Mean evaluation returns, `[S, E]`."""
        return np.asarray(self.log.returns)

    @property
    def score(self) -> Score:
        """IQM over seeds of the final policies' returns, with a 95% stratified bootstrap interval."""
        return score(self.returns[:, -1])

    @property
    def failed(self) -> dict[int, int]:
        """Seed -> the update at which its loss or learner was first not finite."""
        failed_at = self.log.failed_at[:, -1]
        return {s: int(u) for s, u in zip(self.seeds, failed_at, strict=True) if u >= 0}

    @property
    def steps_per_second(self) -> float:
        """Environment steps per second, all seeds together, without compiling."""
        return len(self.seeds) * float(self.env_steps[-1]) / self.train_seconds

    def policy(self, seed: int | None = None, deterministic: bool = True) -> Callable[..., Array]:
        """The final policy of one seed (default: the first) as `(obs [..., *shape], key=None) -> action`.

        A stochastic policy needs a key. Raises `ValueError` for a seed that was not run.
        """
        seed = self.seeds[0] if seed is None else seed
        if seed not in self.seeds:
            raise ValueError(f"seed {seed} was not run; choose from {list(self.seeds)}")
        lane = self.seeds.index(seed)
        params = jax.tree.map(lambda x: x[lane], self.state.policy)
        config = canonical(self.config)

        @jax.jit
        def act(obs: Array, key: Key | None = None) -> Array:
            if key is None and not deterministic:
                raise ValueError("a stochastic policy needs a key: policy(obs, jax.random.key(0))")
            return self.algo.act(config, self.env, params, obs, None if deterministic else key)

        return act


def run(
    algo: Algorithm,
    env: Env,
    config: PyTree | None = None,
    seeds: int | Sequence[int] = 8,
    directory: str | Path | None = None,
    num_evals: int = 20,
    num_episodes: int = 16,
    deterministic: bool = True,
    max_eval_steps: int | None = None,
    progress: bool = True,
) -> RunResult:
    """Train many seeds together, on all devices, and report.

    `seeds` is how many (0, 1, ...) or which. Between the evaluations the host draws progress on standard error
    and, with a `directory`, writes config.toml, progress.csv and at the end curve.png there. Ctrl-C stops after
    the current part and returns what was reached. Raises `ValueError` for a config or seeds out of range and
    `FileExistsError` for a directory that already holds a run.
    """
    config = algo.Config() if config is None else config
    check_run(algo, env, config, seeds, directory, num_evals, num_episodes, deterministic, max_eval_steps)
    canonical_config = canonical(config)
    seeds = seed_list(seeds)
    evaluation = Evaluation(num_episodes, deterministic, max_eval_steps)
    updates = schedule(algo, config, num_evals)
    record = None
    if directory is not None:
        how = {"num_evals": num_evals, "num_episodes": num_episodes, "deterministic": deterministic}
        how["max_eval_steps"] = max_eval_steps
        record = records.Recorder(directory, algo, env, config, seeds, how)
    reporter = Reporter(algo, env, config, seeds, enabled=progress)

    mesh = lane_mesh(len(seeds))
    keys = jax.vmap(jax.random.key)(jnp.asarray(seeds, jnp.uint32))
    logs: list[Log] = []
    with reporter, interruptible() as interrupted:
        start = time.perf_counter()
        state = begin_lanes(algo, env, canonical_config, {}, keys, mesh)
        arguments = (algo, env, canonical_config, {}, state, updates[0], evaluation, mesh)
        compiled = advance_lanes.lower(*arguments).compile()
        jax.block_until_ready(state)
        compile_seconds = time.perf_counter() - start
        reporter.compiled(compile_seconds)
        start = time.perf_counter()
        for count in updates:
            state, log = compiled(env, canonical_config, {}, state, count)
            log = jax.tree.map(lambda x: np.asarray(x)[: len(seeds)], log)
            logs.append(log)
            reporter.evaluated(log, time.perf_counter() - start)
            if record is not None:
                record.append(log)
            if interrupted():
                break
        train_seconds = time.perf_counter() - start

    counters = state.state.counters
    final = jax.tree.map(lambda x: x[: len(seeds)], state.state._replace(counters=None))
    result = RunResult(
        algo,
        env,
        config,
        seeds,
        final._replace(counters=counters),
        jax.tree.map(lambda *x: np.stack(x, axis=1), *logs),
        compile_seconds,
        train_seconds,
        stopped=len(logs) < len(updates),
    )
    if record is not None:
        record.finish(result)
    reporter.finished(result)
    return result


def check_run(
    algo: Algorithm,
    env: Env,
    config: PyTree,
    seeds: int | Sequence[int],
    directory: str | Path | None,
    num_evals: int,
    num_episodes: int,
    deterministic: bool,
    max_eval_steps: int | None,
) -> None:
    """Raise what `run` would raise for these arguments, before anything is compiled or written."""
    check_support(algo, env)
    canonical(config)
    number = int(seeds) if isinstance(seeds, int | np.integer) else len(seed_list(seeds))
    check_memory(algo, env, config, max(number, 1))  # of a number of seeds before a list of them is made
    seed_list(seeds)
    schedule(algo, config, num_evals)
    if num_episodes < 1:
        raise ValueError(f"num_episodes={num_episodes} must be at least 1")
    if max_eval_steps is not None and max_eval_steps < 1:
        raise ValueError(f"max_eval_steps={max_eval_steps} must be at least 1, or None")
    if directory is not None:
        records.check_directory(directory)


def seed_list(seeds: int | Sequence[int]) -> tuple[int, ...]:
    """The seeds as a tuple. Raises `ValueError` for none, negative, fractional or repeated ones."""
    given = seeds
    if isinstance(seeds, int | np.integer) and not isinstance(seeds, bool):
        seeds = range(int(seeds))
    seeds = tuple(seeds) if isinstance(seeds, Iterable) else ()
    if not seeds or len(set(seeds)) < len(seeds) or not all(_is_seed(s) for s in seeds):
        raise ValueError(f"seeds={given}: give how many (at least 1) or distinct whole numbers from 0 to 2^32 - 1")
    return tuple(int(s) for s in seeds)


def _is_seed(seed: Any) -> bool:
    return isinstance(seed, int | np.integer) and not isinstance(seed, bool) and 0 <= int(seed) < 2**32


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Within, the first Ctrl-C only sets a flag; the second raises as usual."""
    pressed = False

    def handle(signum: int, frame: Any) -> None:
        nonlocal pressed
        if pressed:
            raise KeyboardInterrupt
        pressed = True

    try:
        previous = signal.signal(signal.SIGINT, handle)
    except ValueError:  # not in the main thread: Ctrl-C is not ours to handle
        yield lambda: False
        return
    try:
        yield lambda: pressed
    finally:
        signal.signal(signal.SIGINT, previous)
