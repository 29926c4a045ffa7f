"""Where episodes end, and what they came to."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp

from jaxrl_up.config import as_whole, shown
from jaxrl_up.envs.core import Env, Spec, around, builder, resetting
from jaxrl_up.envs.wrappers.base import wrapper
from jaxrl_up.types import Array, Key


class Limited(NamedTuple):
    """State under `time_limit`: the environment's own, and the steps taken in this episode."""

    inner: Any
    time: Array


class Counted(NamedTuple):
    """State under `episode_statistics`: the environment's own, and the running return and length."""

    inner: Any
    episode_return: Array
    episode_length: Array


@wrapper
def time_limit(env: Env, max_steps: int) -> Env:
    """Truncate episodes at `max_steps` steps; nothing is terminated by it.

    Raises ValueError unless `max_steps` is an integer from 1 to the limit the environment already has.
    """
    steps = as_whole(max_steps)
    if steps is None or steps < 1:
        raise ValueError(f"time_limit needs an integer max_steps >= 1, got {shown(max_steps)}.")
    if env.max_steps is not None and steps > env.max_steps:
        raise ValueError(
            f"time_limit({steps}) has no effect: {env.name} is already truncated at {env.max_steps}. "
            f"Give the longer limit where it is built: max_steps={steps}."
        )
    return env.replace(spec=_time_limit(env.spec, steps))


@builder
def _time_limit(spec: Spec, max_steps: int) -> Spec:
    def reset(params: Any, key: Key) -> Any:
        state, obs = spec.reset(params, key)
        return Limited(state, jnp.int32(0)), obs

    def step(params: Any, key: Key, state: Limited, action: Array) -> Any:
        inner, obs, reward, terminated, truncated, info = spec.step(params, key, state.inner, action)
        time = state.time + 1
        return Limited(inner, time), obs, reward, terminated, truncated | (time >= max_steps), info

    wrappers = (*spec.wrappers, f"time_limit({max_steps})")
    spec = resetting(spec, "time_limit")
    return spec._replace(reset=reset, step=step, max_steps=max_steps, wrappers=wrappers)


@wrapper
def episode_statistics(env: Env) -> Env:
    """Add info["episode_return"] (float32) and info["episode_length"] (int32): those of the episode so far.

    At the step that ends an episode they are the episode's own. They count rewards as this environment
    gives them, so apply scale_reward and clip_reward afterwards to see raw returns.
    """
    return env.replace(spec=_episode_statistics(env.spec))


@around
def _episode_statistics(spec: Spec) -> Spec:
    def reset(params: Any, key: Key) -> Any:
        state, obs = spec.reset(params, key)
        return Counted(state, jnp.float32(0), jnp.int32(0)), obs

    def step(params: Any, key: Key, state: Counted, action: Array) -> Any:
        inner, obs, reward, terminated, truncated, info = spec.step(params, key, state.inner, action)
        state = Counted(inner, state.episode_return + reward, state.episode_length + 1)
        info = {**info, "episode_return": state.episode_return, "episode_length": state.episode_length}
        return state, obs, reward, terminated, truncated, info

    return spec._replace(reset=reset, step=step, wrappers=(*spec.wrappers, "episode_statistics"))
