"""From spaces to networks: what an observation is fed as, the torso that suits it, and the size of an action."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_up.envs import Box, Discrete
from jaxrl_up.learning.networks.layers import ACTIVATIONS, CNN, INITIALIZERS, MLP
from jaxrl_up.learning.rollout import RolloutFields
from jaxrl_up.types import Array, Key, static

NETWORKS = ("auto", "mlp", "cnn")


@dataclasses.dataclass(frozen=True)
class NetworkFields(RolloutFields):
    """What the networks are made of."""

    network: Any = static("auto")
    """auto, mlp, cnn, or a linen module from observation to features"""
    hidden: tuple[int, ...] = static((64, 64))
    """units of the hidden layers"""
    activation: str = static("tanh", choices=("tanh", "relu", "elu", "gelu", "silu"))
    """nonlinearity"""
    initializer: str = static("orthogonal", choices=("orthogonal", "torch", "flax"))
    """initial weights"""


def as_observation(space: Box | Discrete, obs: Any) -> Array:
    """Observations `[..., *shape]` in the dtype of their space; raises `ValueError` if they are not of it."""
    obs = jnp.asarray(obs)
    axes, whole = obs.ndim - len(space.shape), jnp.issubdtype(obs.dtype, jnp.integer) or obs.dtype == jnp.bool_
    real = jnp.issubdtype(obs.dtype, jnp.floating) and np.issubdtype(space.dtype, np.floating)
    if axes < 0 or obs.shape[axes:] != space.shape:
        what = f"shape {obs.shape} are not one or more of shape {space.shape}"
    elif not (whole or real):
        what = f"dtype {obs.dtype} are not of the space's, {space.dtype}"
    else:
        return obs.astype(space.dtype)
    raise ValueError(f"observations of {what}: the observation space is {space}")


def to_float(space: Box, obs: Array) -> Array:
    """Observations as float32; pixels, which are those of a space of uint8 that reaches 255, from 0 to 1."""
    x = as_observation(space, obs).astype(jnp.float32)
    pixels = space.dtype == np.uint8 and bool((space.bounds()[1] == 255).any())
    return x / 255.0 if pixels else x


def is_image(space: Box | Discrete) -> bool:
    """Whether a convolution fits on observations: `[H, W]` or `[H, W, C]` with 3 pixels a side or more."""
    return len(space.shape) in (2, 3) and min(space.shape[:2]) >= 3


class Torso(nn.Module):
    """The network chosen for the observation space, behind the conversion of the observation to float32.

    Discrete observations become one-hot, others as `to_float` has them; `[H, W]` gains a channel.
    """

    space: Any
    network: Any = "auto"
    hidden: tuple[int, ...] = (64, 64)
    activation: str = "tanh"
    initializer: str = "orthogonal"

    @nn.compact
    def __call__(self, obs: Array) -> Array:
        if isinstance(self.space, Discrete):
            x, ndim = jax.nn.one_hot(as_observation(self.space, obs), self.space.n, dtype=jnp.float32), 1
        else:
            x, ndim = to_float(self.space, obs), len(self.space.shape)
            x, ndim = (x[..., None], ndim + 1) if ndim in (0, 2) else (x, ndim)
        if isinstance(self.network, nn.Module):
            return self.network(x)
        if self.network == "cnn" or (self.network == "auto" and is_image(self.space)):
            return CNN(self.hidden, self.activation, self.initializer)(x)
        return MLP(self.hidden, self.activation, self.initializer, event_ndim=ndim)(x)


def make_torso(config: Any, env: Any, hidden: Sequence[int]) -> Torso:
    """The torso of a config for observations of `env`, with layers of so many `hidden` units.

    Raises `ValueError` as `check_network`, for observations without numbers, and for a cnn on what is no image.
    """
    check_network(config)
    space = env.observation_space
    if 0 in space.shape:
        raise ValueError(f"the observation space {space} holds no number: there is nothing that a network could see")
    if config.network == "cnn" and not is_image(space):
        raise ValueError(
            f"network='cnn' needs images [H, W] or [H, W, C] of 3 pixels a side or more, but observations are {space}, "
            f"of shape {space.shape}: choose network='mlp'"
        )
    return Torso(space, config.network, tuple(hidden), config.activation, config.initializer)


def check_network(config: Any) -> None:
    """Raise `ValueError` for an unknown network, activation or initialiser, or an empty `hidden`."""
    if not isinstance(config.network, nn.Module) and config.network not in NETWORKS:
        raise ValueError(
            f"network={config.network!r} is not known; choose from {', '.join(NETWORKS)} or pass a linen module"
        )
    if config.activation not in ACTIVATIONS:
        raise ValueError(f"activation={config.activation!r} is not known; choose from {', '.join(ACTIVATIONS)}")
    if config.initializer not in INITIALIZERS:
        raise ValueError(f"initializer={config.initializer!r} is not known; choose from {', '.join(INITIALIZERS)}")
    if not config.hidden or any(size < 1 for size in config.hidden):
        raise ValueError(f"hidden={config.hidden!r} must name at least one layer of at least one unit")


def sampling_noise(space: Box | Discrete, key: Key, shape: tuple[int, ...]) -> Array:
    """Noise for `sample_with` of a policy over `space`: Gumbel `[*shape, A]` or normal `[*shape, D]`."""
    draw = jax.random.gumbel if isinstance(space, Discrete) else jax.random.normal
    return draw(key, (*shape, action_dims(space)), jnp.float32)


def action_dims(space: Box | Discrete) -> int:
    """Number of discrete actions, or the number of continuous action dimensions."""
    return space.n if isinstance(space, Discrete) else math.prod(space.shape)
