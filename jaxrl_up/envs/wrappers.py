"""Functions from Env to Env.

They replace the raw functions of the Spec, so auto-reset stays outermost and the state of a wrapper (a
counter, the previous action) starts afresh with each episode. Equal wraps of equal environments compare
equal and share a compile.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, Concatenate, NamedTuple, ParamSpec, cast

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_up.config import as_whole, is_number, plain, shown
from jaxrl_up.envs.core import Env, Spec, builder
from jaxrl_up.envs.spaces import Box, Discrete, Space
from jaxrl_up.envs.suites import find
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


class Sticky(NamedTuple):
    """State under `sticky_actions`: the environment's own, the action last executed, and if there is one."""

    inner: Any
    previous: Array
    started: Array


Given = ParamSpec("Given")


def wrapper(wrap: Callable[Concatenate[Env, Given], Env]) -> Callable[Concatenate[Env | str, Given], Env]:
    """Let a wrapper take the name of an environment too; raises TypeError for what is none."""

    @functools.wraps(wrap)
    def named(env: Env | str, *arguments: Given.args, **options: Given.kwargs) -> Env:
        return wrap(find(env), *arguments, **options)

    return named


@wrapper
def flatten_observation(env: Env) -> Env:
    """Show observations as one vector [D]: a Box is ravelled (a scalar becomes [1]), a Discrete one-hot."""
    if isinstance(env.observation_space, Discrete):
        return one_hot_observation(env)
    return env.replace(spec=_flatten_observation(env.spec))


@builder
def _flatten_observation(spec: Spec) -> Spec:
    space = cast(Box, spec.observation_space)
    low, high = (np.broadcast_to(bound, space.shape).ravel() for bound in (space.low, space.high))
    flat = Box(low, high, (math.prod(space.shape),), space.dtype)
    return _map_observation(spec, "flatten_observation", flat, jnp.ravel)


@wrapper
def one_hot_observation(env: Env) -> Env:
    """Show a Discrete(n) observation as a one-hot float32 vector [n]; raises ValueError for a Box."""
    if not isinstance(env.observation_space, Discrete):
        raise ValueError(
            f"one_hot_observation needs a Discrete observation, {env.name} has {env.observation_space}. "
            "Use flatten_observation for a Box."
        )
    return env.replace(spec=_one_hot_observation(env.spec))


@builder
def _one_hot_observation(spec: Spec) -> Spec:
    n = cast(Discrete, spec.observation_space).n
    spec = _map_observation(
        spec,
        "one_hot_observation",
        Box(0.0, 1.0, (n,)),
        lambda obs: (jnp.arange(n) == obs).astype(jnp.float32),
    )
    return spec._replace(binary_observation=True)


@wrapper
def mask_observation(env: Env, keep: Sequence[int] | Sequence[bool]) -> Env:
    """Show only some entries of a vector observation [D], which makes the environment partially observed.

    `keep` holds distinct indices from 0 to D - 1, in the order wanted, or D booleans. Raises ValueError for
    another `keep` or an observation that is not a vector.
    """
    space = env.observation_space
    if not isinstance(space, Box) or len(space.shape) != 1:
        raise ValueError(
            f"mask_observation needs a vector observation, {env.name} has {space}: apply flatten_observation first."
        )
    size, given = space.shape[0], np.asarray(keep)
    if given.dtype == np.bool_ and given.shape == (size,):
        given = np.flatnonzero(given)
    valid = given.ndim == 1 and given.size > 0 and np.issubdtype(given.dtype, np.integer)
    if not valid or given.min() < 0 or given.max() >= size or len(set(given.tolist())) != given.size:
        raise ValueError(
            f"mask_observation(keep=...) needs distinct indices from 0 to {size - 1} or {size} booleans, "
            f"and keeps at least one; got {keep!r}."
        )
    return env.replace(spec=_mask_observation(env.spec, tuple(given.tolist())))


@builder
def _mask_observation(spec: Spec, keep: tuple[int, ...]) -> Spec:
    space, index = cast(Box, spec.observation_space), np.asarray(keep)
    low, high = (np.broadcast_to(bound, space.shape)[index] for bound in (space.low, space.high))
    masked = Box(low, high, (len(keep),), space.dtype)
    return _map_observation(spec, f"mask_observation{keep}", masked, lambda obs: obs[index])


def _map_observation(spec: Spec, name: str, space: Space, convert: Callable[[Array], Array]) -> Spec:
    def reset(params: Any, key: Key) -> Any:
        state, obs = spec.reset(params, key)
        return state, convert(obs)

    def step(params: Any, key: Key, state: Any, action: Array) -> Any:
        state, obs, *rest = spec.step(params, key, state, action)
        return state, convert(obs), *rest

    return spec._replace(reset=reset, step=step, observation_space=space, wrappers=(*spec.wrappers, name))


@wrapper
def scale_reward(env: Env, scale: float) -> Env:
    """Multiply rewards by a finite number (static); raises ValueError for anything else."""
    scale = _number("scale_reward", "scale", scale)
    return env.replace(spec=_map_reward(env.spec, f"scale_reward({scale:g})", ("scale", scale)))


@wrapper
def clip_reward(env: Env, low: float = -1.0, high: float = 1.0) -> Env:
    """Clip rewards to [low, high] (static); raises ValueError unless low < high."""
    low, high = _number("clip_reward", "low", low), _number("clip_reward", "high", high)
    if low >= high:
        raise ValueError(f"clip_reward needs low < high, got low={low}, high={high}.")
    return env.replace(spec=_map_reward(env.spec, f"clip_reward({low:g}, {high:g})", ("clip", low, high)))


@builder
def _map_reward(spec: Spec, name: str, change: tuple[Any, ...]) -> Spec:
    def step(params: Any, key: Key, state: Any, action: Array) -> Any:
        state, obs, reward, *rest = spec.step(params, key, state, action)
        kind, *numbers = change
        reward = reward * numbers[0] if kind == "scale" else jnp.clip(reward, *numbers)
        return state, obs, reward, *rest

    return spec._replace(step=step, wrappers=(*spec.wrappers, name))


def _number(wrapper: str, name: str, value: Any) -> float:
    number = plain(value)
    if not is_number(number) or not -np.inf < number < np.inf:
        raise ValueError(f"{wrapper} needs a finite Python number as {name} (it is static), got {shown(value)}.")
    return float(number)


@wrapper
def rescale_action(env: Env) -> Env:
    """Accept any float action: clip it to [-1, 1] and map that onto the bounds of each dimension.

    A dimension without two finite bounds keeps its units, clipped to the bound it has. The action space
    becomes Box(-1, 1) where bounded. Raises ValueError for an action space that is not a Box of floats.
    """
    _require_float_box(env, "rescale_action")
    return env.replace(spec=_rescale_action(env.spec))


@builder
def _rescale_action(spec: Spec) -> Spec:
    space = cast(Box, spec.action_space)
    low, high = space.bounds()
    bounded = space.bounded_below & space.bounded_above
    unit = Box(np.where(bounded, -1, low), np.where(bounded, 1, high), space.shape, space.dtype)
    return _map_action(spec, "rescale_action", unit, lambda action: to_bounds(action, space))


def to_bounds(action: Array, space: Box) -> Array:
    """Map actions `[..., *shape]` from [-1, 1], clipping to it, onto the bounds of `space`; see `rescale_action`."""
    low, high = space.bounds()
    bounded = space.bounded_below & space.bounded_above
    start, span = np.where(bounded, low, 0), np.where(bounded, high, 0) - np.where(bounded, low, 0)
    low, high, bounded, start, span = (np.broadcast_to(x, action.shape) for x in (low, high, bounded, start, span))
    scaled = start + (jnp.clip(action, -1, 1) + 1) / 2 * span
    return jnp.clip(jnp.where(bounded, scaled, action), low, high)  # rounding never leaves the bounds


@wrapper
def clip_action(env: Env) -> Env:
    """Accept any float action and clip it to the bounds; raises ValueError unless in a Box of floats."""
    _require_float_box(env, "clip_action")
    return env.replace(spec=_clip_action(env.spec))


@builder
def _clip_action(spec: Spec) -> Spec:
    low, high = cast(Box, spec.action_space).bounds()
    return _map_action(spec, "clip_action", spec.action_space, lambda action: jnp.clip(action, low, high))


def _map_action(spec: Spec, name: str, space: Space, convert: Callable[[Array], Array]) -> Spec:
    def step(params: Any, key: Key, state: Any, action: Array) -> Any:
        return spec.step(params, key, state, convert(action))

    return spec._replace(step=step, action_space=space, wrappers=(*spec.wrappers, name))


def _require_float_box(env: Env, wrapper: str) -> None:
    space = env.action_space
    if not isinstance(space, Box) or not np.issubdtype(space.dtype, np.floating):
        raise ValueError(f"{wrapper} needs a Box action space of floats, {env.name} has {space}.")


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
    return spec._replace(reset=reset, step=step, max_steps=max_steps, wrappers=wrappers)


@wrapper
def episode_statistics(env: Env) -> Env:
    """Add info["episode_return"] (float32) and info["episode_length"] (int32): those of the episode so far.

    At the step that ends an episode they are the episode's own. They count rewards as this environment
    gives them, so apply scale_reward and clip_reward afterwards to see raw returns.
    """
    return env.replace(spec=_episode_statistics(env.spec))


@builder
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


@wrapper
def sticky_actions(env: Env, probability: float = 0.25) -> Env:
    """Repeat the action executed before, with a probability, at each step but an episode's first.

    Machado et al. (2018), section 5. Raises ValueError unless 0 <= probability < 1.
    """
    probability = _number("sticky_actions", "probability", probability)
    if not 0.0 <= probability < 1.0:
        raise ValueError(f"sticky_actions needs 0 <= probability < 1, got {probability}.")
    return env.replace(spec=_sticky_actions(env.spec, probability))


@builder
def _sticky_actions(spec: Spec, probability: float) -> Spec:
    space = spec.action_space

    def reset(params: Any, key: Key) -> Any:
        state, obs = spec.reset(params, key)
        return Sticky(state, jnp.zeros(space.shape, space.dtype), jnp.bool_(False)), obs

    def step(params: Any, key: Key, state: Sticky, action: Array) -> Any:
        sticky_key, inner_key = jax.random.split(key)
        repeat = jax.random.bernoulli(sticky_key, np.float32(probability)) & state.started
        action = jnp.where(repeat, state.previous, action)
        inner, *rest = spec.step(params, inner_key, state.inner, action)
        return Sticky(inner, action, jnp.bool_(True)), *rest

    wrappers = (*spec.wrappers, f"sticky_actions({probability:g})")
    return spec._replace(reset=reset, step=step, wrappers=wrappers)
