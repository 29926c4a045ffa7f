"""Other actions: rescaled, clipped, repeated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_up.envs.core import Env, Spec, around
from jaxrl_up.envs.spaces import (
    Box,
    Discrete,
    Leaf,
    MultiDiscrete,
    Space,
    allows,
    leaves,
    map_leaves,
    mask_of,
    of_tree,
    zeros,
)
from jaxrl_up.envs.wrappers.base import number_of, number_text, wrapper
from jaxrl_up.types import Array, Key, PyTree


class Sticky(NamedTuple):
    """State under `sticky_actions`: the environment's own, the action last executed, and if there is one."""

    inner: Any
    previous: PyTree
    started: Array
    mask: Array | None = None  # which actions are allowed now, if the environment says


@wrapper
def rescale_action(env: Env) -> Env:
    """Accept any float action: clip it to [-1, 1] and map that onto the bounds of each dimension.

    A dimension without two finite bounds keeps its units, clipped to the bound it has. The action space
    becomes Box(-1, 1) where bounded. Raises ValueError for an action space that is not a Box of floats.
    """
    _require_float_box(env, "rescale_action")
    return env.replace(spec=_rescale_action(env.spec))


@around
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


def unit_action(env: Env) -> Env:
    """Let a Box be a vector [D] in [-1, 1], as `rescale_action`, and a Discrete begin at 0: as algorithms act.

    The parts of a Dict or Tuple each for itself. `from_unit` maps actions back.
    """
    space = unit_space(env.action_space)
    if space == env.action_space and all(isinstance(leaf, Discrete | MultiDiscrete) for leaf in leaves(space).values()):
        return env
    if isinstance(env.action_space, Box) and len(env.action_space.shape) == 1:
        return env.replace(spec=_rescale_action(env.spec))
    return env.replace(spec=_unit_action(env.spec))


@around
def _unit_action(spec: Spec) -> Spec:
    space = spec.action_space
    return _map_action(spec, "unit_action", unit_space(space), lambda action: from_unit(action, space))


def unit_space(space: Space) -> Space:
    """The action space of `unit_action`."""
    return of_tree(map_leaves(_unit_leaf, space))


def _unit_leaf(leaf: Leaf) -> Leaf:
    if isinstance(leaf, Discrete):
        return Discrete(leaf.n)
    if not isinstance(leaf, Box):
        return leaf
    bounded = (leaf.bounded_below & leaf.bounded_above).ravel()
    low, high = (bound.ravel() for bound in leaf.bounds())
    return Box(np.where(bounded, -1, low), np.where(bounded, 1, high), (bounded.size,), leaf.dtype)


def from_unit(action: PyTree, space: Space) -> PyTree:
    """Actions `[..., *shape]` in `space` of those `[..., D]` or `[...]` in `unit_space(space)`."""

    def leaf_action(leaf: Leaf, x: Array) -> Array:
        if isinstance(leaf, Discrete):
            return x + jnp.int32(leaf.start) if leaf.start else x
        return to_bounds(x.reshape(*x.shape[:-1], *leaf.shape), leaf) if isinstance(leaf, Box) else x

    return map_leaves(leaf_action, space, action)


@wrapper
def clip_action(env: Env) -> Env:
    """Accept any float action and clip it to the bounds; raises ValueError unless in a Box of floats."""
    _require_float_box(env, "clip_action")
    return env.replace(spec=_clip_action(env.spec))


@around
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
def sticky_actions(env: Env, probability: float = 0.25) -> Env:
    """Repeat the action executed before, with a probability, at each step but an episode's first.

    Machado et al. (2018), section 5. Where the observation has a mask, what it forbids is not repeated. Raises
    ValueError unless 0 <= probability < 1.
    """
    probability = number_of("sticky_actions", "probability", probability)
    if not 0.0 <= probability < 1.0:
        raise ValueError(f"sticky_actions needs 0 <= probability < 1, got {probability}.")
    return env.replace(spec=_sticky_actions(env.spec, probability))


@around
def _sticky_actions(spec: Spec, probability: float) -> Spec:
    space, observation_space = spec.action_space, spec.observation_space

    def reset(params: Any, key: Key) -> Any:
        state, obs = spec.reset(params, key)
        return Sticky(state, zeros(space), jnp.bool_(False), mask_of(observation_space, obs)), obs

    def step(params: Any, key: Key, state: Sticky, action: PyTree) -> Any:
        sticky_key, inner_key = jax.random.split(key)
        repeat = jax.random.bernoulli(sticky_key, np.float32(probability)) & state.started
        if state.mask is not None:
            repeat &= allows(space, state.mask, state.previous)
        action = jax.tree.map(lambda old, new: jnp.where(repeat, old, new), state.previous, action)
        inner, obs, *rest = spec.step(params, inner_key, state.inner, action)
        return Sticky(inner, action, jnp.bool_(True), mask_of(observation_space, obs)), obs, *rest

    wrappers = (*spec.wrappers, f"sticky_actions({number_text(probability)})")
    return spec._replace(reset=reset, step=step, wrappers=wrappers)
