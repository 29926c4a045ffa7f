"""Functions from Env to Env. They change the raw functions, so auto-reset stays outermost and their state resets too."""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxrl_up.envs.core import Env, Spec
from jaxrl_up.envs.spaces import Box, Discrete, Space
from jaxrl_up.types import Array


def _rewrap(env: Env, wrapper: Any, *options: Any) -> Env:
    return env.replace(spec=wrapper(env.spec, *options))


def _map_observation(spec: Spec, name: str, space: Space, convert: Any) -> Spec:
    def reset(params: Any, key: Any) -> Any:
        state, obs = spec.reset(params, key)
        return state, convert(obs)

    def step(params: Any, key: Any, state: Any, action: Any) -> Any:
        state, obs, *rest = spec.step(params, key, state, action)
        return state, convert(obs), *rest

    return spec._replace(reset=reset, step=step, observation_space=space, wrappers=(*spec.wrappers, name))


def flatten_observation(env: Env) -> Env:
    """Show observations as one vector [D]: a Box is ravelled (a scalar becomes [1]), a Discrete becomes one-hot."""
    if isinstance(env.observation_space, Discrete):
        return one_hot_observation(env)
    return _rewrap(env, _flatten_observation)


@functools.cache
def _flatten_observation(spec: Spec) -> Spec:
    space = spec.observation_space
    low, high = (np.broadcast_to(np.asarray(bound), space.shape).ravel() for bound in (space.low, space.high))
    flat = Box(low, high, (math.prod(space.shape),), space.dtype)
    return _map_observation(spec, "flatten_observation", flat, lambda obs: jnp.ravel(obs))


def one_hot_observation(env: Env) -> Env:
    """Show a Discrete(n) observation as a one-hot float32 vector [n]; raises ValueError for a Box."""
    if not isinstance(env.observation_space, Discrete):
        raise ValueError(
            f"one_hot_observation needs a Discrete observation, {env.name} has {env.observation_space}. "
            "Use flatten_observation for a Box."
        )
    return _rewrap(env, _one_hot_observation)


@functools.cache
def _one_hot_observation(spec: Spec) -> Spec:
    n = spec.observation_space.n

    def convert(obs: Array) -> Array:
        return (jnp.arange(n) == obs).astype(jnp.float32)

    spec = _map_observation(spec, "one_hot_observation", Box(0.0, 1.0, (n,)), convert)
    return spec._replace(binary_observation=True)


def rescale_action(env: Env) -> Env:
    """Accept any float action and map [-1, 1], to which it is clipped, onto the space's own bounds per dimension.

    A dimension without two finite bounds is passed on as it is, clipped to the bound it has. The action space becomes
    Box(-1, 1) where bounded. Raises ValueError for an action space that is not a float Box.
    """
    _require_float_box(env, "rescale_action")
    return _rewrap(env, _rescale_action)


@functools.cache
def _rescale_action(spec: Spec) -> Spec:
    space = spec.action_space
    low, high = space.bounds()
    bounded = space.bounded_below & space.bounded_above
    finite_low, span = np.where(bounded, low, 0), np.where(bounded, high, 0) - np.where(bounded, low, 0)

    def convert(action: Array) -> Array:
        scaled = finite_low + (jnp.clip(action, -1, 1) + 1) / 2 * span
        return jnp.clip(jnp.where(bounded, scaled, action), low, high)

    unit = Box(np.where(bounded, -1, low), np.where(bounded, 1, high), space.shape, space.dtype)
    return _map_action(spec, "rescale_action", unit, convert)


def _map_action(spec: Spec, name: str, space: Space, convert: Any) -> Spec:
    def step(params: Any, key: Any, state: Any, action: Any) -> Any:
        return spec.step(params, key, state, convert(action))

    return spec._replace(step=step, action_space=space, wrappers=(*spec.wrappers, name))


def _require_float_box(env: Env, wrapper: str) -> None:
    space = env.action_space
    if not isinstance(space, Box) or not np.issubdtype(space.dtype, np.floating):
        raise ValueError(f"{wrapper} needs a Box action space of floats, {env.name} has {space}.")


class Limited(NamedTuple):
    """State under `time_limit`: the environment's own and the steps taken in this episode."""

    inner: Any
    time: Array


def time_limit(env: Env, max_steps: int) -> Env:
    """Truncate episodes at `max_steps` steps, never terminating them; raises ValueError unless it is an int >= 1."""
    if isinstance(max_steps, bool) or not isinstance(max_steps, int | np.integer) or max_steps < 1:
        raise ValueError(f"time_limit needs an integer max_steps >= 1, got {max_steps!r}.")
    return _rewrap(env, _time_limit, int(max_steps))


@functools.cache
def _time_limit(spec: Spec, max_steps: int) -> Spec:
    def reset(params: Any, key: Any) -> Any:
        state, obs = spec.reset(params, key)
        return Limited(state, jnp.zeros((), jnp.int32)), obs

    def step(params: Any, key: Any, state: Limited, action: Any) -> Any:
        inner, obs, reward, terminated, truncated, info = spec.step(params, key, state.inner, action)
        time = state.time + 1
        return Limited(inner, time), obs, reward, terminated, truncated | (time >= max_steps), info

    limit = max_steps if spec.max_steps is None else min(max_steps, spec.max_steps)
    return spec._replace(
        reset=reset, step=step, max_steps=limit, wrappers=(*spec.wrappers, f"time_limit({max_steps})")
    )
