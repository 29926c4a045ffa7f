"""What formulas take for granted: nothing times anything is nothing, and equal numbers have no spread."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jaxrl_up.types import Array

MAX_LOG_RATIO = 80.0  # nats; exp(88.8) is beyond float32, and what a ratio multiplies needs some room


def read(weight: Array | float, value: Array) -> Array:
    """`value [..., *more]`, but 0 where its weight `[...]` is 0 and it is infinite or nan.

    What weighs nothing is not read: its gradient is 0, and no nan comes back from what is computed of it. Finite values
    are left alone.
    """
    weight = jnp.asarray(weight)
    weight = weight.reshape(*weight.shape, *[1] * (value.ndim - weight.ndim))
    return jnp.where((weight == 0) & ~jnp.isfinite(value), 0, value)


def weighted(weight: Array | float, value: Array) -> Array:
    """weight * value of one shape (or a scalar weight), but 0 where the weight is 0, whatever the value; see `read`.

    >>> weighted(jnp.array([0.5, 0.0]), jnp.array([4.0, jnp.inf])).tolist()
    [2.0, 0.0]
    """
    return weight * read(weight, value)


@jax.custom_jvp
def saturated(log_ratio: Array) -> Array:
    """A log-ratio `[...]`, in nats, as it is up to 80 and 80 beyond, so that its exponential is finite.

    The gradient is 1 throughout: a ratio that is too large still says which way is down.
    """
    return jnp.where(log_ratio > MAX_LOG_RATIO, MAX_LOG_RATIO, log_ratio)


@saturated.defjvp
def _saturated_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    return saturated(*primals), tangents[0]


def centred(samples: Array) -> tuple[Array, Array]:
    """The mean `[...]` of `samples [N, ...]`, N >= 1, and what is left of them without it, `[N, ...]`.

    Equal samples leave exactly 0. The mean is found from the distances to the first one: a sum of the samples
    themselves would be rounded in units of the mean and not of the spread.

    >>> mean, left = centred(jnp.array([1.0, 2.0, 6.0]))
    >>> float(mean), left.tolist()
    (3.0, [-2.0, -1.0, 3.0])
    """
    first = samples[0]
    left = samples - first[None]
    offset = jnp.mean(left, axis=0)
    return first + offset, left - offset[None]
