"""Playing one episode of a policy, recorded step by step."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_up.algorithms import check_policy, take
from jaxrl_up.analysis.drawing.episode import Episode
from jaxrl_up.config import as_key, canonical, flag, whole_or_none
from jaxrl_up.envs import Env, acting, as_action, pick, stored
from jaxrl_up.learning import DEFAULT_STEP_CAP, fresh_start, memory_of
from jaxrl_up.types import Algorithm, Array, Key, PyTree


def record_episode(
    algo: Algorithm | str,
    env: Env | str,
    config: PyTree,
    policy: PyTree,
    key: Key,
    deterministic: bool = True,
    max_steps: int | None = None,
) -> Episode:
    """Play one episode of a policy (`state.policy` of one seed) and keep all of it.

    It is the episode that `evaluate_episodes(algo, env, config, policy, key, 1, deterministic, max_steps)` plays.
    `max_steps` caps its length; None is the environment's time limit, or 10,000 steps where it has none. Raises
    `ValueError` and `TypeError` as that does.
    """
    algo, env, config = take(algo, env, config)
    deterministic, max_steps = flag("deterministic", deterministic), whole_or_none("max_steps", max_steps)
    check_policy(algo, env, config, policy)
    cap = max_steps or env.max_steps or env.spec.longest or DEFAULT_STEP_CAP
    recorded = _record(algo, env, canonical(config), policy, as_key(key), deterministic, cap)
    states, observations, actions, rewards, terminated, truncated = jax.tree.map(_to_host, recorded)
    done = terminated | truncated
    length = int(np.argmax(done)) + 1 if done.any() else cap
    states, observations = jax.tree.map(lambda x: x[: length + 1], (states, observations))
    last = length - 1
    return Episode(
        states,
        observations,
        jax.tree.map(lambda x: x[:length], actions),
        rewards[:length],
        bool(terminated[last]),
        bool(truncated[last]),
    )


def _to_host(x: Array) -> Any:
    return x if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else np.asarray(x)


@partial(jax.jit, static_argnames=("algo", "deterministic", "cap"))
def _record(
    algo: Algorithm, env: Env, config: PyTree, policy: PyTree, key: Key, deterministic: bool, cap: int
) -> tuple[PyTree, ...]:
    """`cap` steps without a reset: states and observations `[cap + 1, ...]`, the rest `[cap, ...]`.

    Simulators are left out of observations: they are the states. Keys are drawn as `rollout.play` draws them for one
    episode.
    """
    reset_key, loop_key = jax.random.split(key)
    initial_memory = memory_of(algo, env, config, deterministic)
    first, memory = fresh_start(env, initial_memory, jax.random.split(reset_key, 1)[0])

    def step(carry: tuple[PyTree, PyTree, PyTree], time: Array) -> Any:
        state, obs, memory = carry
        act_key, env_key = jax.random.split(jax.random.fold_in(loop_key, time))
        one = jax.tree.map(lambda x: x[None], (pick(env.observation_space, acting, obs), memory))
        acted = algo.act(config, env, policy, *one, None if deterministic else act_key)
        action, memory = jax.tree.map(lambda x: x[0], acted)
        taken = as_action(env.action_space, action)
        state, obs, reward, terminated, truncated, _ = env.spec.step(
            env.params, jax.random.split(env_key, 1)[0], state, taken
        )
        return (state, obs, memory), (shown(state, obs), action, reward, terminated, truncated)

    def shown(state: PyTree, obs: PyTree) -> tuple[PyTree, PyTree]:
        return state, pick(env.observation_space, stored, obs)

    _, (reached, *rest) = jax.lax.scan(step, (*first, memory), jnp.arange(cap, dtype=jnp.int32))
    states, observations = jax.tree.map(lambda x, xs: jnp.concatenate([x[None], xs]), shown(*first), reached)
    return states, observations, *rest
