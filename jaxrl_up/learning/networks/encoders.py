"""From spaces to networks: what an observation is fed as, the torso that suits it, and the size of an action."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_up.config import shown
from jaxrl_up.envs import (
    LEAVES,
    Box,
    Discrete,
    Leaf,
    MultiDiscrete,
    Simulator,
    Space,
    leaves,
    map_leaves,
    only,
    parts,
    pick,
    seen,
    tree,
)
from jaxrl_up.learning.networks.layers import ACTIVATIONS, CNN, INITIALIZERS, MLP, Residual
from jaxrl_up.learning.networks.own import require_pure
from jaxrl_up.learning.rollout import RolloutFields
from jaxrl_up.types import Array, Key, PyTree, static

NETWORKS = ("auto", "linear", "mlp", "cnn", "residual")


@dataclasses.dataclass(frozen=True)
class NetworkFields(RolloutFields):
    """What the networks are made of."""

    network: Any = static("auto")
    """auto, linear (no hidden layer), mlp, cnn, residual, or a module from observation to features (linen, from_nnx)"""
    hidden: tuple[int, ...] = static((64, 64))
    """units of the hidden layers"""
    activation: str = static("tanh", choices=("tanh", "relu", "elu", "gelu", "silu"))
    """nonlinearity"""
    initializer: str = static("orthogonal", choices=("orthogonal", "torch", "flax"))
    """initial weights"""


def as_observation(space: Space, obs: Any) -> PyTree:
    """Observations `[..., *shape]` in the dtypes of their space, part by part; what it has not is left out of dicts.

    Raises `ValueError` if they are not of it.
    """
    if isinstance(space, LEAVES):
        return _as_leaf(space, obs, "")
    try:
        found = parts(space, narrowed(space, obs))
    except (KeyError, TypeError, ValueError, IndexError):
        raise ValueError(f"observations have not the parts of their space: the observation space is {space}") from None
    kinds = leaves(space)
    converted = [_as_leaf(kinds[path], x, path) for path, x in found.items()]
    return jax.tree.unflatten(jax.tree.structure(tree(space)), converted)


def _as_leaf(space: Leaf, obs: Any, path: str) -> Any:
    if isinstance(space, Simulator):
        return obs
    where = f" at {path!r}" if path else ""
    obs = jnp.asarray(obs)
    axes, whole = obs.ndim - len(space.shape), jnp.issubdtype(obs.dtype, jnp.integer) or obs.dtype == jnp.bool_
    real = jnp.issubdtype(obs.dtype, jnp.floating) and np.issubdtype(space.dtype, np.floating)
    if axes < 0 or obs.shape[axes:] != space.shape:
        what = f"shape {obs.shape}{where} are not one or more of shape {space.shape}"
    elif not (whole or real):
        what = f"dtype {obs.dtype}{where} are not of the space's, {space.dtype}"
    else:
        return obs.astype(space.dtype)
    raise ValueError(f"observations of {what}: the observation space is {space}")


def narrowed(space: Space, obs: PyTree) -> PyTree:
    """What `space` has of observations that may have more names in their dicts, as a mask or what is `critic_only`."""
    return pick(space, lambda path, leaf: True, obs)


def to_float(space: Box, obs: Array) -> Array:
    """Observations as float32; pixels, which are those of a space of uint8 that reaches 255, from 0 to 1."""
    x = as_observation(space, obs).astype(jnp.float32)
    return x / 255.0 if is_pixels(space) else x


def is_pixels(space: Leaf) -> bool:
    """Whether elements are the pixels of an image: uint8 that reaches 255."""
    return isinstance(space, Box) and space.dtype == np.uint8 and bool((space.bounds()[1] == 255).any())


def is_image(space: Leaf) -> bool:
    """Whether a convolution fits on observations: `[H, W]` or `[H, W, C]` with 3 pixels a side or more."""
    return isinstance(space, Box) and len(space.shape) in (2, 3) and min(space.shape[:2]) >= 3


def as_numbers(space: Leaf, obs: Array) -> Array:
    """Observations `[..., *shape]` of a leaf as float32 `[..., *sizes]`, one axis or three at least of the latter.

    A Discrete or MultiDiscrete becomes one-hot `[..., n]`, a Box what `to_float` has; `[H, W]` gains a channel.
    """
    if isinstance(space, Discrete):
        return jax.nn.one_hot(as_observation(space, obs) - space.start, space.n, dtype=jnp.float32)
    if isinstance(space, MultiDiscrete):
        obs = as_observation(space, obs)
        return jnp.concatenate(
            [jax.nn.one_hot(obs[..., i], size, dtype=jnp.float32) for i, size in enumerate(space.sizes)], axis=-1
        )
    assert isinstance(space, Box)
    x = to_float(space, obs)
    return x[..., None] if len(space.shape) in (0, 2) else x


def numbers_ndim(space: Leaf) -> int:
    """The axes of `as_numbers` that are not leading ones."""
    return {0: 1, 2: 3}.get(len(space.shape), len(space.shape)) if isinstance(space, Box) else 1


def as_vector(space: Space, obs: PyTree) -> Array:
    """All numbers of observations `[..., *shape]` in one axis, float32 `[..., D]`, leaf after leaf."""
    return _joined([_flat(leaf, obs) for leaf, obs in _with_spaces(space, obs)])


def _with_spaces(space: Space, obs: PyTree) -> list[tuple[Leaf, PyTree]]:
    found = parts(space, narrowed(space, obs))
    return [(leaf, found[path]) for path, leaf in leaves(space).items()]


def _flat(space: Leaf, obs: Array) -> Array:
    x, ndim = as_numbers(space, obs), numbers_ndim(space)
    return x if ndim == 1 else x.reshape(*x.shape[: x.ndim - ndim], -1)


def _joined(vectors: Sequence[Array]) -> Array:
    return vectors[0] if len(vectors) == 1 else jnp.concatenate(vectors, axis=-1)


class Torso(nn.Module):
    """The network chosen for the observation space, behind the conversion of each leaf by `as_numbers`.

    Images go through convolutions, and what they find, joined with all other numbers, through the hidden layers. A
    linen module of the user's own gets the leaves in their tree.
    """

    space: Any
    network: Any = "auto"
    hidden: tuple[int, ...] = (64, 64)
    activation: str = "tanh"
    initializer: str = "orthogonal"

    @property
    def flat(self) -> bool:
        """Whether the network begins with all numbers in one vector: no image, no module of the user's own."""
        return self.network in ("mlp", "linear") or (
            self.network == "auto" and not any(map(is_image, leaves(self.space).values()))
        )

    @property
    def convolutions(self) -> type[CNN | Residual]:
        """What images go through."""
        return Residual if self.network == "residual" else CNN

    @nn.compact
    def __call__(self, obs: PyTree) -> Array:
        if isinstance(self.network, nn.Module):
            numbers = map_leaves(as_numbers, self.space, narrowed(self.space, obs))
            if self.is_initializing():
                require_pure("network", self.network.clone(parent=None), numbers)
            return self.network(numbers)
        settings = self.activation, self.initializer
        if isinstance(self.space, LEAVES):  # no array is joined with another, so none is made flat before
            x = as_numbers(self.space, obs)
            if not self.flat:
                return self.convolutions(self.hidden, *settings)(x)
            return MLP(self.hidden, *settings, event_ndim=numbers_ndim(self.space))(x)
        found = [
            self.convolutions((), *settings, name=f"convolutions_{path.replace('/', '.')}")(as_numbers(leaf, x))
            if not self.flat and is_image(leaf)
            else _flat(leaf, x)
            for path, (leaf, x) in zip(leaves(self.space), _with_spaces(self.space, obs), strict=True)
        ]
        return MLP(self.hidden, *settings)(_joined(found))


def make_torso(config: Any, space: Space, hidden: Sequence[int]) -> Torso:
    """The torso of a config for observations of a space, with layers of so many `hidden` units; a linear one has none.

    It sees neither masks nor simulators. Raises `ValueError` as `check_network`, for observations without numbers, and
    for a cnn where there is no image.
    """
    check_network(config)
    if not any(0 not in leaf.shape for path, leaf in leaves(space).items() if seen(path, leaf)):
        raise ValueError(f"the observation space {space} holds no number: there is nothing that a network could see")
    felt = only(space, lambda path, leaf: seen(path, leaf) and 0 not in leaf.shape)
    if config.network in ("cnn", "residual") and not any(map(is_image, leaves(felt).values())):
        raise ValueError(
            f"network={config.network!r} needs images [H, W] or [H, W, C] of 3 pixels a side or more, but observations "
            f"are {space}{f', of shape {space.shape}' if isinstance(space, Box) else ''}: choose network='mlp'"
        )
    hidden = () if config.network == "linear" else tuple(hidden)
    return Torso(felt, config.network, hidden, config.activation, config.initializer)


def check_network(config: Any) -> None:
    """Raise `ValueError` for an unknown network, activation or initialiser, or an empty `hidden`."""
    if not isinstance(config.network, nn.Module) and config.network not in NETWORKS:
        raise ValueError(
            f"network={shown(config.network)} is not known; choose from {', '.join(NETWORKS)} or pass a linen module "
            "(an nnx one by from_nnx)"
        )
    if config.activation not in ACTIVATIONS:
        raise ValueError(f"activation={config.activation!r} is not known; choose from {', '.join(ACTIVATIONS)}")
    if config.initializer not in INITIALIZERS:
        raise ValueError(f"initializer={config.initializer!r} is not known; choose from {', '.join(INITIALIZERS)}")
    if not config.hidden or any(size < 1 for size in config.hidden):
        raise ValueError(f"hidden={config.hidden!r} must name at least one layer of at least one unit")


def sampling_noise(
    space: Space, key: Key, shape: tuple[int, ...], by_key: Callable[[Leaf], bool] = lambda leaf: False
) -> PyTree:
    """Noise for `sample_with` of a policy over `space`: Gumbel `[*shape, A]` or normal `[*shape, D]` for each leaf.

    For leaves that are sampled `by_key`, a key each, `[*shape]`.
    """

    def draw(leaf: Leaf, key: Key) -> Array:
        if by_key(leaf):
            return jax.random.split(key, shape)
        function = jax.random.normal if isinstance(leaf, Box) else jax.random.gumbel
        return function(key, (*shape, action_dims(leaf)), jnp.float32)

    if isinstance(space, LEAVES):
        return draw(space, key)
    structure = jax.tree.structure(tree(space))
    return map_leaves(draw, space, jax.tree.unflatten(structure, list(jax.random.split(key, structure.num_leaves))))


def action_dims(space: Space) -> int:
    """The number of discrete actions, of all groups of a MultiDiscrete together, or of continuous dimensions."""
    if isinstance(space, Discrete):
        return space.n
    if isinstance(space, MultiDiscrete):
        return sum(space.sizes)
    assert isinstance(space, Box), f"{space} is no space of numbers"
    return math.prod(space.shape)
