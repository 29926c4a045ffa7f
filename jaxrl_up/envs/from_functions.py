"""Bring your own environment: two pure functions become an `Env`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrl_up.config import as_whole, flag, shown
from jaxrl_up.envs.core import Env, Origin, Spec, as_parameter, strong, strong_tree
from jaxrl_up.envs.programs import digest, version
from jaxrl_up.envs.spaces import SPACES, Leaf, Simulator, Space, map_leaves, require_mask_fits
from jaxrl_up.envs.wrappers import time_limit


def from_functions(
    reset: Callable[..., Any],
    step: Callable[..., Any],
    observation_space: Space,
    action_space: Space,
    max_steps: int | None = None,
    params: Mapping[str, Any] | None = None,
    name: str = "custom",
    *,
    deterministic_reset: bool = False,
    players: int = 1,
) -> Env:
    """Make an Env, with time limit and auto-reset, of two pure functions.

    `reset(key) -> (state, obs)` and `step(key, state, action) -> (state, obs, reward, terminated,
    truncated)`, with a dict `info` of arrays as an optional sixth value; with `params` (a dict of numbers
    or arrays, traced, which become float32) both receive that dict as last argument. Neither resets nor counts
    steps: `max_steps` truncates. What they read besides, attributes and constants, is static: after a change of it
    make the environment again, and programs are compiled anew. Of two `players`, who move in turn, observations and
    rewards are those of who moves, see `against`. Raises ValueError for something that is not a function or a space, a
    parameter that is no number or not exact in float32, and TypeError for `params` that are no dict.
    """
    for what, function in (("reset", reset), ("step", step)):
        if not callable(function):
            raise ValueError(f"from_functions needs a function as {what}, got {function!r}.")
        if getattr(function, "__hash__", None) is None:
            raise ValueError(
                f"from_functions needs a function or a method as {what}, got {shown(function)} without hash."
            )
    for what, space in (("observation_space", observation_space), ("action_space", action_space)):
        if not isinstance(space, SPACES):
            raise ValueError(
                f"from_functions needs a space such as envs.Discrete or envs.Box as {what}, got {space!r}."
            )
    require_mask_fits(str(name), observation_space, action_space)
    if not isinstance(params, Mapping | None) or not all(isinstance(key, str) for key in params or {}):
        raise TypeError(
            f"from_functions needs a dict of names and numbers as params, got {shown(params)}: of a dataclass give "
            "dataclasses.asdict(params), of a named tuple params._asdict()."
        )
    values = {key: as_parameter(key, value) for key, value in sorted((params or {}).items())}
    shapes = None if params is None else tuple((key, value.shape) for key, value in values.items())
    if as_whole(players) not in (1, 2):
        raise ValueError(f"from_functions makes games of one or two players, got players={shown(players)}.")
    told = flag("deterministic_reset", deterministic_reset), as_whole(players)
    env = Env(params=values, spec=_spec(reset, step, observation_space, action_space, shapes, str(name), *told))
    return env if max_steps is None else time_limit(env, max_steps)


def _spec(*arguments: Any) -> Spec:
    """The Spec of functions and what they read now: a program of theirs that differs is another Spec."""
    given = _Given(*arguments)
    spec = _build(given, -1)  # only to be traced
    keys, shapes = jax.eval_shape(jax.random.key, 0), given.shapes or ()

    def program(params: Any, key: Any, action: Any) -> Any:
        state, obs = spec.reset(params, key)
        return obs, spec.step(params, key, state, action)

    params = {key: jax.ShapeDtypeStruct(shape, jnp.float32) for key, shape in shapes}
    action = map_leaves(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), spec.action_space)
    return _build(given, version(given, digest(program, params, keys, action)))


class _Given(NamedTuple):
    """What `from_functions` was given, and is told apart by."""

    reset: Callable[..., Any]
    step: Callable[..., Any]
    observation_space: Space
    action_space: Space
    shapes: tuple[Any, ...] | None  # of the parameters, by name
    name: str
    deterministic_reset: bool
    players: int


@functools.cache
def _build(given: _Given, number: int) -> Spec:
    reset, step, observation_space, action_space, shapes, name, deterministic_reset, players = given
    takes_params = shapes is not None

    def spec_reset(params: Any, key: Any) -> Any:
        returned = reset(key, params) if takes_params else reset(key)
        if not isinstance(returned, tuple) or len(returned) != 2:
            raise ValueError(f"reset of {name} must return (state, obs), got {_describe(returned)}.")
        state, obs = returned
        return strong_tree(state), _observation(name, observation_space, obs)

    def spec_step(params: Any, key: Any, state: Any, action: Any) -> Any:
        returned = step(key, state, action, params) if takes_params else step(key, state, action)
        if not isinstance(returned, tuple) or len(returned) not in (5, 6):
            raise ValueError(
                f"step of {name} must return (state, obs, reward, terminated, truncated) and optionally "
                f"info, got {_describe(returned)}."
            )
        state, obs, reward, terminated, truncated = returned[:5]
        info = returned[5] if len(returned) == 6 else {}
        obs = _observation(name, observation_space, obs)
        flags = tuple(_flag(name, what, x) for what, x in (("terminated", terminated), ("truncated", truncated)))
        return strong_tree(state), obs, _reward(name, reward), *flags, strong_tree(info)

    return Spec(
        name,
        spec_reset,
        spec_step,
        observation_space,
        action_space,
        deterministic_reset=deterministic_reset,
        origin=Origin(_spec, tuple(given)),
        players=players,
    )


def _describe(returned: Any) -> str:
    return f"{len(returned)} values" if isinstance(returned, tuple) else f"a {type(returned).__name__}"


def _observation(name: str, space: Space, obs: Any) -> Any:
    try:
        return map_leaves(lambda leaf, x: _as_leaf(name, leaf, x), space, obs)
    except (ValueError, TypeError) as error:
        if isinstance(error, ValueError) and str(error).startswith("The observation of"):
            raise
        raise ValueError(
            f"The observation of {name} must have the parts of its space {space}, got {jax.tree.structure(obs)}."
        ) from None


def _as_leaf(name: str, space: Leaf, obs: Any) -> Any:
    if isinstance(space, Simulator):
        return strong_tree(obs)
    obs = jnp.asarray(obs)
    if obs.shape != space.shape:
        raise ValueError(f"The observation of {name} has shape {obs.shape}, its space {space} has {space.shape}.")
    if jnp.issubdtype(obs.dtype, jnp.floating) and not jnp.issubdtype(space.dtype, jnp.floating):
        raise ValueError(
            f"The observation of {name} is {obs.dtype}, its space {space} holds integers: "
            "declare the space with dtype float32 or return integers."
        )
    return strong(obs, space.dtype)


def _reward(name: str, reward: Any) -> Any:
    reward = jnp.asarray(reward)
    if reward.shape != ():
        raise ValueError(f"The reward of {name} must be a scalar, got shape {reward.shape}.")
    return strong(reward, jnp.float32)


def _flag(name: str, what: str, flag: Any) -> Any:
    flag = jnp.asarray(flag)
    if flag.shape != () or flag.dtype != jnp.bool_:
        raise ValueError(f"{what} of {name} must be a scalar bool, got {flag.dtype}{list(flag.shape)}.")
    return strong(flag)
