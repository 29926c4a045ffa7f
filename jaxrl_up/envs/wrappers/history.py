"""What an observation alone does not say: those before it, what was done and earned, the time that is left.

What is added to a Dict comes in under a name of its own; any other observation becomes the `obs` of a Dict.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_up.config import as_whole, shown
from jaxrl_up.envs.core import Env, Spec, around
from jaxrl_up.envs.spaces import (
    Box,
    Dict,
    Discrete,
    Leaf,
    MultiDiscrete,
    Space,
    acting,
    leaves,
    map_leaves,
    of_tree,
    parts,
    tree,
    zeros,
)
from jaxrl_up.envs.wrappers.base import wrapper
from jaxrl_up.types import Array, Key, PyTree


class Stacked(NamedTuple):
    """State under `frame_stack`: the environment's own, and by path what is shown of the stacked parts."""

    inner: Any
    frames: dict[str, Array]


class Timed(NamedTuple):
    """State under `time_left`: the environment's own, and the steps taken in this episode."""

    inner: Any
    time: Array


@wrapper
def frame_stack(env: Env, frames: int) -> Env:
    """Show the last `frames` observations as one, the newest last; after a reset the first one that many times.

    Images `[H, W, C]` are stacked along their channels and `[H, W]` along a new axis, vectors `[D]` one after another,
    scalars and integers as vectors; the parts of a tree each for itself, but for masks, simulators and what is named
    `critic_only`, which stay as they are. A replay stores the stack, that is `frames` times as much. Raises ValueError
    unless `frames` is an integer from 2 on, and if nothing can be stacked.
    """
    number = as_whole(frames)
    if number is None or number < 2:
        raise ValueError(f"frame_stack needs an integer frames >= 2, got {shown(frames)}.")
    if not any(_stacks(path, leaf) for path, leaf in leaves(env.observation_space).items()):
        raise ValueError(f"frame_stack finds nothing to stack: {env.name} shows {env.observation_space}.")
    return env.replace(spec=_frame_stack(env.spec, number))


@around
def _frame_stack(spec: Spec, number: int) -> Spec:
    kinds, structure = leaves(spec.observation_space), jax.tree.structure(tree(spec.observation_space))
    stacked = {path: leaf for path, leaf in kinds.items() if _stacks(path, leaf)}

    def show(found: dict[str, Any], frames: dict[str, Array]) -> PyTree:
        return jax.tree.unflatten(structure, list({**found, **frames}.values()))

    def reset(params: Any, key: Key) -> Any:
        state, obs = spec.reset(params, key)
        found = parts(spec.observation_space, obs)
        frames = {path: jnp.concatenate([_frame(leaf, found[path])] * number, -1) for path, leaf in stacked.items()}
        return Stacked(state, frames), show(found, frames)

    def step(params: Any, key: Key, state: Stacked, action: PyTree) -> Any:
        inner, obs, *rest = spec.step(params, key, state.inner, action)
        found, frames = parts(spec.observation_space, obs), {}
        for path, leaf in stacked.items():
            newest = _frame(leaf, found[path])
            frames[path] = jnp.concatenate([state.frames[path][..., newest.shape[-1] :], newest], -1)
        return Stacked(inner, frames), show(found, frames), *rest

    spaces = {**kinds, **{path: _stack(leaf, number) for path, leaf in stacked.items()}}
    return spec._replace(
        reset=reset,
        step=step,
        observation_space=of_tree(jax.tree.unflatten(structure, list(spaces.values()))),
        wrappers=(*spec.wrappers, f"frame_stack({number})"),
    )


def _stacks(path: str, leaf: Leaf) -> bool:
    return isinstance(leaf, Box | Discrete | MultiDiscrete) and acting(path, leaf)


def _frame(leaf: Leaf, obs: Any) -> Any:
    """An observation, or a bound, with the axis that it is stacked along."""
    if isinstance(leaf, Discrete):
        return (obs - leaf.start)[None]
    return obs[..., None] if len(leaf.shape) in (0, 2) else obs


def _stack(leaf: Leaf, number: int) -> Space:
    if isinstance(leaf, Discrete):
        return MultiDiscrete((leaf.n,) * number)
    if isinstance(leaf, MultiDiscrete):
        return MultiDiscrete(leaf.sizes * number)
    assert isinstance(leaf, Box)
    low, high = (
        np.concatenate([_frame(leaf, np.broadcast_to(np.asarray(bound, np.float64), leaf.shape))] * number, -1)
        for bound in (leaf.low, leaf.high)
    )
    return Box(low, high, dtype=leaf.dtype, binary=leaf.binary)


@wrapper
def previous_action(env: Env) -> Env:
    """Show `previous_action` and `previous_reward` too, zeros after a reset.

    A Discrete or MultiDiscrete action is shown one-hot, a Box as it is. Raises ValueError if observations have parts of
    these names.
    """
    return env.replace(spec=_previous_action(env.spec))


@around
def _previous_action(spec: Spec) -> Spec:
    action_space = of_tree(map_leaves(_done_space, spec.action_space))
    added = {"previous_action": action_space, "previous_reward": Box(-np.inf, np.inf, ())}

    def reset(params: Any, key: Key) -> Any:
        state, obs = spec.reset(params, key)
        return state, joined(obs, {name: zeros(space) for name, space in added.items()})

    def step(params: Any, key: Key, state: Any, action: PyTree) -> Any:
        state, obs, reward, *rest = spec.step(params, key, state, action)
        done = map_leaves(_done, spec.action_space, action)
        return state, joined(obs, {"previous_action": done, "previous_reward": reward}), reward, *rest

    return spec._replace(
        reset=reset,
        step=step,
        observation_space=joined_space(spec, "previous_action", added),
        wrappers=(*spec.wrappers, "previous_action"),
    )


def _done_space(leaf: Leaf) -> Box:
    if isinstance(leaf, Discrete | MultiDiscrete):
        return Box(0, 1, (leaf.n if isinstance(leaf, Discrete) else sum(leaf.sizes),), binary=True)
    assert isinstance(leaf, Box)
    low, high = (np.broadcast_to(bound, leaf.shape) for bound in (leaf.low, leaf.high))
    return Box(np.minimum(low, 0), np.maximum(high, 0), leaf.shape, leaf.dtype)


def _done(leaf: Leaf, action: Array) -> Array:
    if isinstance(leaf, Discrete):
        return jax.nn.one_hot(action - leaf.start, leaf.n, dtype=jnp.float32)
    if isinstance(leaf, MultiDiscrete):
        return jnp.concatenate(
            [jax.nn.one_hot(action[i], size, dtype=jnp.float32) for i, size in enumerate(leaf.sizes)]
        )
    return action


@wrapper
def time_left(env: Env) -> Env:
    """Show `time_left` too, from 1 after a reset to 0 where the time limit cuts the episode.

    With it the value of a state near the limit can be known (Pardo et al. 2018, section 3). Raises ValueError for an
    environment without a limit, and if observations have a part of this name.
    """
    if env.max_steps is None:
        raise ValueError(f"time_left needs a time limit, which {env.name} has not: wrap it in envs.time_limit first.")
    return env.replace(spec=_time_left(env.spec))


@around
def _time_left(spec: Spec) -> Spec:
    limit = spec.max_steps
    assert limit is not None

    def shown_at(obs: PyTree, time: Array) -> PyTree:
        return joined(obs, {"time_left": jnp.maximum((limit - time).astype(jnp.float32) / np.float32(limit), 0.0)})

    def reset(params: Any, key: Key) -> Any:
        state, obs = spec.reset(params, key)
        return Timed(state, jnp.int32(0)), shown_at(obs, jnp.int32(0))

    def step(params: Any, key: Key, state: Timed, action: PyTree) -> Any:
        inner, obs, *rest = spec.step(params, key, state.inner, action)
        return Timed(inner, state.time + 1), shown_at(obs, state.time + 1), *rest

    return spec._replace(
        reset=reset,
        step=step,
        observation_space=joined_space(spec, "time_left", {"time_left": Box(0.0, 1.0, ())}),
        wrappers=(*spec.wrappers, "time_left"),
    )


def joined(obs: PyTree, added: Mapping[str, PyTree]) -> dict[str, PyTree]:
    """The observation of `joined_space`."""
    return {**(obs if isinstance(obs, dict) else {"obs": obs}), **added}


def joined_space(spec: Spec, wrapper: str, added: Mapping[str, Space]) -> Dict:
    """The space of observations with parts added by name. Raises ValueError if there is one of a name already."""
    space = spec.observation_space
    named = space.spaces if isinstance(space, Dict) else {"obs": space}
    for name in added:
        if name in named:
            raise ValueError(f"{wrapper} adds {name!r}, which observations of {spec.name} have already: {space}.")
    return Dict({**named, **added})
