"""Other observations: one vector, or some entries of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, cast

import jax.numpy as jnp
import numpy as np

from jaxrl_up.envs.core import Env, Spec, around
from jaxrl_up.envs.spaces import Box, Discrete, Leaf, MultiDiscrete, Space, leaves, parts, seen
from jaxrl_up.envs.wrappers.base import wrapper
from jaxrl_up.types import Array, Key, PyTree


@wrapper
def flatten_observation(env: Env) -> Env:
    """Show observations as one vector [D], the parts of a tree one after the other in the order of their names.

    A Box is ravelled (a scalar becomes [1]), a Discrete or MultiDiscrete one-hot. Parts of several dtypes become
    float32. Raises ValueError for observations with a mask or a simulator, which a vector cannot hold.
    """
    kept = [path for path, leaf in leaves(env.observation_space).items() if not seen(path, leaf)]
    if kept:
        raise ValueError(
            f"flatten_observation makes one vector, but {env.name} shows {env.observation_space}, of which {kept[0]!r} "
            "is not for networks: they flatten and join the other parts themselves."
        )
    if isinstance(env.observation_space, Discrete):
        return one_hot_observation(env)
    return env.replace(spec=_flatten_observation(env.spec))


@around
def _flatten_observation(spec: Spec) -> Spec:
    flat = [_flat(leaf) for leaf in leaves(spec.observation_space).values()]
    dtypes = {box.dtype for box in flat}
    dtype = dtypes.pop() if len(dtypes) == 1 else np.dtype(np.float32)
    low, high = (
        np.concatenate([np.broadcast_to(getattr(box, end), box.shape) for box in flat]) for end in ("low", "high")
    )
    space = Box(low, high, dtype=dtype, binary=all(box.binary for box in flat))

    def convert(obs: PyTree) -> Array:
        found = parts(spec.observation_space, obs)
        vectors = [_vector(leaf, found[path]) for path, leaf in leaves(spec.observation_space).items()]
        return vectors[0] if len(vectors) == 1 else jnp.concatenate([vector.astype(dtype) for vector in vectors])

    return _map_observation(spec, "flatten_observation", space, convert)


def _flat(leaf: Leaf) -> Box:
    if isinstance(leaf, Box):
        low, high = (np.broadcast_to(bound, leaf.shape).ravel() for bound in (leaf.low, leaf.high))
        return Box(low, high, (math.prod(leaf.shape),), leaf.dtype, binary=leaf.binary)
    assert isinstance(leaf, Discrete | MultiDiscrete)
    return Box(0.0, 1.0, (leaf.n if isinstance(leaf, Discrete) else sum(leaf.sizes),), binary=True)


def _vector(leaf: Leaf, x: Array) -> Array:
    if isinstance(leaf, Box):
        return jnp.ravel(x)
    assert isinstance(leaf, Discrete | MultiDiscrete)
    numbers = [(x - leaf.start, leaf.n)] if isinstance(leaf, Discrete) else zip(x, leaf.sizes, strict=True)
    return jnp.concatenate([(jnp.arange(n) == number).astype(jnp.float32) for number, n in numbers])


@wrapper
def one_hot_observation(env: Env) -> Env:
    """Show a Discrete(n) observation as a one-hot float32 vector [n]; raises ValueError for another space."""
    if not isinstance(env.observation_space, Discrete):
        raise ValueError(
            f"one_hot_observation needs a Discrete observation, {env.name} has {env.observation_space}. "
            "Use flatten_observation for others."
        )
    return env.replace(spec=_one_hot_observation(env.spec))


@around
def _one_hot_observation(spec: Spec) -> Spec:
    space = cast(Discrete, spec.observation_space)
    return _map_observation(spec, "one_hot_observation", _flat(space), lambda obs: _vector(space, obs))


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


@around
def _mask_observation(spec: Spec, keep: tuple[int, ...]) -> Spec:
    space, index = cast(Box, spec.observation_space), np.asarray(keep)
    low, high = (np.broadcast_to(bound, space.shape)[index] for bound in (space.low, space.high))
    masked = Box(low, high, (len(keep),), space.dtype, binary=space.binary)
    return _map_observation(spec, f"mask_observation{keep}", masked, lambda obs: obs[index])


def _map_observation(spec: Spec, name: str, space: Space, convert: Callable[[PyTree], PyTree]) -> Spec:
    def reset(params: Any, key: Key) -> Any:
        state, obs = spec.reset(params, key)
        return state, convert(obs)

    def step(params: Any, key: Key, state: Any, action: Array) -> Any:
        state, obs, *rest = spec.step(params, key, state, action)
        return state, convert(obs), *rest

    return spec._replace(reset=reset, step=step, observation_space=space, wrappers=(*spec.wrappers, name))
