"""Layers and their initial weights; dense ones and convolutions of small kernels as single matrix products."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxrl_up.types import Array, Key

ACTIVATIONS = {"tanh": nn.tanh, "relu": nn.relu, "elu": nn.elu, "gelu": nn.gelu, "silu": nn.silu}
"""Activation functions by the names that configs use."""
INITIALIZERS = ("orthogonal", "torch", "flax")


def _symmetric_uniform(bound: float) -> Callable[..., Array]:
    return lambda key, shape, dtype: jax.random.uniform(key, shape, dtype, -bound, bound)


def orthogonal(scale: float = 1.0) -> Callable[..., Array]:
    """Orthogonal weights times `scale` (Saxe et al. 2014), equal to `jax.nn.initializers.orthogonal`.

    By Gram-Schmidt, each vector twice, in place of LAPACK's QR: two QRs batched by vmap wait for one another for ever
    in jaxlib 0.10 where its thread pool has two threads, as it has on two cores.
    """

    def init(key: Key, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
        return scale * _orthonormal(key, tuple(shape), dtype)

    return init


@partial(jax.jit, static_argnames=("shape", "dtype"))  # flax looks at an initialiser at every use of a layer: one trace
def _orthonormal(key: Key, shape: tuple[int, ...], dtype: Any) -> Array:
    rows, columns = math.prod(shape[:-1]), shape[-1]
    drawn = jax.random.normal(key, (max(rows, columns), min(rows, columns)), dtype).T

    def orthonormalize(i: Array, basis: Array) -> Array:
        vector = drawn[i]
        vector = vector - (basis @ vector) @ basis
        vector = vector - (basis @ vector) @ basis
        return basis.at[i].set(vector / jnp.linalg.norm(vector))

    basis = jax.lax.fori_loop(0, drawn.shape[0], orthonormalize, jnp.zeros_like(drawn))
    return (basis if rows < columns else basis.T).reshape(shape)


def initializers(name: str, fan_in: int, scale: float) -> dict[str, Any]:
    """Kernel and bias initialisers of one layer.

    `orthogonal`: Saxe et al. (2014) with gain `scale`, zero bias. `torch`: kernel and bias from
    U(-1/sqrt(fan_in), 1/sqrt(fan_in)), what `torch.nn.Linear` does; `scale` is not used. `flax`: LeCun
    normal, zero bias, the default of `flax.linen`; `scale` is not used.
    """
    if name == "orthogonal":
        return {"kernel_init": orthogonal(scale), "bias_init": nn.initializers.zeros}
    if name == "torch":
        uniform = _symmetric_uniform(1 / math.sqrt(fan_in))
        return {"kernel_init": uniform, "bias_init": uniform}
    if name == "flax":
        return {"kernel_init": nn.initializers.lecun_normal(), "bias_init": nn.initializers.zeros}
    raise ValueError(f"initializer={name!r} is not known; choose from {', '.join(INITIALIZERS)}")


class Dense(nn.Module):
    """A linear layer with one of the named initialisers."""

    features: int
    initializer: str = "orthogonal"
    scale: float = math.sqrt(2)
    use_bias: bool = True

    @nn.compact
    def __call__(self, x: Array) -> Array:
        init = initializers(self.initializer, x.shape[-1], self.scale)
        return nn.Dense(self.features, self.use_bias, dot_general=_dot_general, **init)(x)


def _dot_general(x: Array, kernel: Array, *_: Any, **__: Any) -> Array:
    return product(x, kernel)


def product(x: Array, kernel: Array) -> Array:
    """`x [..., D] @ kernel [D, F]`, for few units on CPU with the units as rows.

    The gradient of `x @ kernel` is `x.T @ g`, and XLA's CPU backend is slow at a product whose first matrix is
    transposed. With the units as rows the gradient is `g.T @ x`, where what is transposed is small.
    """
    size, units = kernel.shape
    if 2 * units > size or jax.default_backend() != "cpu":
        return jax.lax.dot_general(x, kernel, (((x.ndim - 1,), (0,)), ((), ())))
    rows = jax.lax.optimization_barrier(kernel.T)  # else XLA puts the transpose back into the product
    return jnp.moveaxis(jax.lax.dot_general(rows, x, (((1,), (x.ndim - 1,)), ((), ()))), 0, -1)


class Conv(nn.Module):
    """A 2-D convolution, `VALID` padding, equal to `nn.Conv` in value.

    On CPU it is computed as shifted slices and one matrix product: XLA's CPU convolution is several times
    slower inside a loop or under vmap. `lowering="conv"` or `"slices"` overrides the choice.
    """

    features: int
    size: int
    stride: int = 1
    initializer: str = "orthogonal"
    lowering: str = "auto"

    @nn.compact
    def __call__(self, x: Array) -> Array:
        channels = x.shape[-1]
        fan_in = self.size * self.size * channels
        init = initializers(self.initializer, fan_in, math.sqrt(2))
        kernel = self.param("kernel", init["kernel_init"], (self.size, self.size, channels, self.features), jnp.float32)
        bias = self.param("bias", init["bias_init"], (self.features,), jnp.float32)
        slices = self.lowering == "slices" or (
            self.lowering == "auto" and jax.default_backend() == "cpu" and self.size <= 8
        )
        convolve = _convolve_slices if slices else _convolve
        y = convolve(x, kernel, self.stride)
        return y + jnp.broadcast_to(bias, y.shape)


def _convolve(x: Array, kernel: Array, stride: int) -> Array:
    batch = x.reshape(-1, *x.shape[-3:])
    y = jax.lax.conv_general_dilated(
        batch, kernel, (stride, stride), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return y.reshape(*x.shape[:-3], *y.shape[1:])


def _convolve_slices(x: Array, kernel: Array, stride: int) -> Array:
    size, _, channels, features = kernel.shape
    rows, columns = ((n - size) // stride + 1 for n in x.shape[-3:-1])
    patches = [
        x[..., i : i + rows * stride : stride, j : j + columns * stride : stride, :]
        for i in range(size)
        for j in range(size)
    ]
    return jnp.concatenate(patches, axis=-1) @ kernel.reshape(size * size * channels, features)


class MLP(nn.Module):
    """Observation `[..., *shape]` -> features `[..., hidden[-1]]`; the observation is flattened."""

    hidden: tuple[int, ...] = (64, 64)
    activation: str = "tanh"
    initializer: str = "orthogonal"
    event_ndim: int = 1

    @nn.compact
    def __call__(self, obs: Array) -> Array:
        x = obs.reshape(*obs.shape[: obs.ndim - self.event_ndim], -1)
        for features in self.hidden:
            x = ACTIVATIONS[self.activation](Dense(features, self.initializer)(x))
        return x


class CNN(nn.Module):
    """Image `[..., H, W, C]` -> features `[..., hidden[-1]]`.

    Below 36 pixels a side: one 3x3 convolution with 16 channels, as in MinAtar's DQN (Young & Tian 2019).
    From there on: the three layers of Mnih et al. (2015), made for 84x84x4.
    """

    hidden: tuple[int, ...] = (128,)
    activation: str = "relu"
    initializer: str = "orthogonal"

    @nn.compact
    def __call__(self, obs: Array) -> Array:
        small = min(obs.shape[-3:-1]) < 36
        layers = ((16, 3, 1),) if small else ((32, 8, 4), (64, 4, 2), (64, 3, 1))
        x = obs
        for features, size, stride in layers:
            x = ACTIVATIONS[self.activation](Conv(features, size, stride, self.initializer)(x))
        return MLP(self.hidden, self.activation, self.initializer, event_ndim=3)(x)


class Residual(nn.Module):
    """Image `[..., H, W, C]` -> features `[..., hidden[-1]]`, through blocks x + f(x) that keep its size.

    A 3x3 convolution, then `blocks` times two more with the sum around them, and the hidden layers on all of it, as the
    networks of Silver et al. (2017), smaller and without batch normalisation.
    """

    hidden: tuple[int, ...] = (128,)
    activation: str = "relu"
    initializer: str = "orthogonal"
    channels: int = 32
    blocks: int = 2

    @nn.compact
    def __call__(self, obs: Array) -> Array:
        activation = ACTIVATIONS[self.activation]

        def convolved(x: Array) -> Array:
            edge = [(0, 0)] * (x.ndim - 3) + [(1, 1), (1, 1), (0, 0)]
            return Conv(self.channels, 3, 1, self.initializer)(jnp.pad(x, edge))

        x = activation(convolved(obs))
        for _ in range(self.blocks):
            x = activation(x + convolved(activation(convolved(x))))
        return MLP(self.hidden, self.activation, self.initializer, event_ndim=3)(x)
