"""What a run reached."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxrl_up.config import as_key, canonical, flag
from jaxrl_up.envs import Env
from jaxrl_up.learning import acting_space, as_observation, memory_of, remembers
from jaxrl_up.ops import Score, Shares, score, win_draw_loss
from jaxrl_up.records.numbers import count, score_line
from jaxrl_up.training import Log, played_in
from jaxrl_up.types import Algorithm, Key, PyTree


class RunResult(NamedTuple):
    """What a run reached. Every seed is in it, failed ones too."""

    algo: Algorithm
    env: Env
    config: PyTree
    seeds: tuple[int, ...]
    state: PyTree  # [S, ...], counters unbatched; on the host where devices do not divide the seeds. Of several
    # processes only the first has it, on the host; None in the others
    log: Log  # [S, E + 1]: the first evaluation is of the untrained policy
    compile_seconds: float
    train_seconds: float  # without compiling; of all processes that worked on it
    stopped: str  # what stopped it before total_steps: "Ctrl-C", "SIGTERM" or nothing
    directory: Path | None = None  # where it is kept, absolute
    num_episodes: int | None = None  # of each evaluation
    evaluation_env: Env | None = None  # where its policies were evaluated, if not in `nominal(env)`

    def __repr__(self) -> str:
        what = f"{self.algo.name} on {self.env.full_name}"
        if self.log is None:
            return f"<RunResult {what}>"
        return f"<RunResult {what}: {score_line(self.score, len(self.seeds), count(int(self.env_steps[-1]), 'step'))}>"

    @property
    def env_steps(self) -> np.ndarray:
        """Environment steps per seed at each evaluation, `[E + 1]`, the first 0."""
        return np.asarray(self.log.env_steps)[0]

    @property
    def returns(self) -> np.ndarray:
        """Mean evaluation returns, `[S, E + 1]`; those at 0 steps are of the untrained policies."""
        return np.asarray(self.log.returns)

    @property
    def score(self) -> Score:
        """IQM over seeds of the final policies' returns, with a 95% interval: see `jaxrl_up.ops.bootstrap`."""
        return score(self.returns[:, -1])

    @property
    def games(self) -> Shares | None:
        """Shares of the evaluations' games that were won, drawn and lost, `[S, E + 1]`; None without an opponent."""
        played = played_in(self.env, self.evaluation_env)
        return win_draw_loss(self.log.returns, self.log.returns_std) if played.spec.opponent else None

    @property
    def failed(self) -> dict[int, int]:
        """Seed -> the update at which its loss or learner was first not finite."""
        failed_at = self.log.failed_at[:, -1]
        return {s: int(u) for s, u in zip(self.seeds, failed_at, strict=True) if u >= 0}

    @property
    def steps_per_second(self) -> float:
        """Environment steps per second, all seeds together, without compiling."""
        return len(self.seeds) * float(self.env_steps[-1]) / self.train_seconds

    def policy(self, seed: int | None = None, deterministic: bool = True) -> Acting:
        """The final policy of one seed (default: the first): `policy(obs [..., *shape], key=None)` gives an action.

        A stochastic policy needs a key. One that remembers is called as `action, memory = policy(obs, memory,
        key=None)`, and an episode begins with `memory = policy.initial_memory(key)`. Raises `ValueError` for a seed
        that was not run and a `deterministic` that is neither True nor False, and the policy for what is no observation
        of the space.
        """
        deterministic = flag("deterministic", deterministic)
        if self.state is None:
            raise ValueError("of several processes only process 0 has the policies: ask it for them")
        seed = self.seeds[0] if seed is None else seed
        if seed not in self.seeds:
            raise ValueError(f"seed {seed} was not run; choose from {list(self.seeds)}")
        return Acting(self, seed, deterministic)


class Acting:
    """A policy of a run as a function; see `RunResult.policy`. Only what acting needs is pickled of it."""

    def __init__(self, result: RunResult, seed: int, deterministic: bool) -> None:
        self.result, self.seed, self.deterministic = result, seed, deterministic
        algo, env, config = result.algo, result.env, canonical(result.config)
        lane = result.seeds.index(seed)
        params = jax.tree.map(lambda x: x[lane], result.state.policy)
        memory = memory_of(algo, env, config, deterministic)
        self.space = acting_space(env)

        @jax.jit
        def act(obs: PyTree, memory: PyTree, key: Key | None) -> tuple[PyTree, PyTree]:
            return algo.act(config, env, params, obs, memory, key)

        self.act, self.remembers, self._memory = act, remembers(memory), jax.jit(memory)

    def __repr__(self) -> str:
        how = "deterministic" if self.deterministic else "stochastic"
        return f"<{how} policy of seed {self.seed} of {self.result.algo.name} on {self.result.env.name}>"

    def initial_memory(self, key: Key) -> PyTree:
        """What it remembers at the beginning of an episode; `()` where it does not remember."""
        return self._memory(as_key(key))

    def __call__(self, obs: Any, *given: Any, **named: Any) -> Any:
        """An action for `(obs, key=None)`, or an action and the memory after it for `(obs, memory, key=None)`."""
        if not self.remembers:
            return self._act(obs, (), *given, **named)[0]
        if not given and "memory" not in named:
            raise TypeError(
                "this policy remembers: call it as `action, memory = policy(obs, memory)`, and begin an episode with "
                "`memory = policy.initial_memory(key)`"
            )
        return self._act(obs, *given, **named)

    def _act(self, obs: Any, memory: PyTree, key: Key | None = None) -> tuple[PyTree, PyTree]:
        if key is None and not self.deterministic:
            raise ValueError("a stochastic policy needs a key: policy(obs, jax.random.key(0))")
        return self.act(as_observation(self.space, obs), memory, None if self.deterministic else as_key(key))

    def __reduce__(self) -> Any:
        lane = self.result.seeds.index(self.seed)
        policy = jax.tree.map(lambda x: x[lane : lane + 1], self.result.state.policy)
        result = self.result._replace(seeds=(self.seed,), state=SimpleNamespace(policy=policy), log=None)
        result = result._replace(evaluation_env=None)
        return RunResult.policy, (result, self.seed, self.deterministic)
