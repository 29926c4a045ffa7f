"""Running mean and variance of a stream of batches, stable in float32 however long the run.

Three things keep float32 honest:

- the moments of a batch come from two passes over it (mean, by distances to the first sample, then deviations) and
  are merged by Chan's parallel rule, so no large sums of squares are ever subtracted, and what never moves has a
  variance of exactly 0;
- the mean moves by a fraction of a difference and is never rebuilt from a sum;
- the count stops at `WINDOW` = 2^22 samples. Float32 counts integers only to 2^24, and beyond that a
  plain count (and with it the sum of squares) stalls silently. So up to `WINDOW` samples these are
  the exact statistics of everything seen; from then on the past is forgotten exponentially with a
  memory of `WINDOW` samples (a sample of age k has weight exp(-k / WINDOW)). Nothing saturates.
"""

from __future__ import annotations

from typing import NamedTuple

import chex
import jax.numpy as jnp

from jaxrl_up.ops.arithmetic import centred
from jaxrl_up.types import Array

WINDOW = 2**22
"""Where the count of samples stops: 2^22."""


class RunningStatistics(NamedTuple):
    """Count, mean and sum of squared deviations; the variance is m2 / count."""

    count: Array  # float32 [], samples seen, at most WINDOW
    mean: Array  # float32 [*shape]
    m2: Array  # float32 [*shape], sum of squared deviations from the mean


def init_statistics(shape: tuple[int, ...] = ()) -> RunningStatistics:
    """Statistics of nothing yet, for samples of the given shape; `normalize` is then the identity."""
    zeros = jnp.zeros(shape, jnp.float32)
    return RunningStatistics(count=jnp.zeros((), jnp.float32), mean=zeros, m2=zeros)


def update_statistics(stats: RunningStatistics, batch: Array) -> RunningStatistics:
    """Statistics with the samples of `batch` added.

    mean_B = sum_i x_i / n, m2_B = sum_i (x_i - mean_B)^2 (two passes), then merged as in
    `merge_statistics`. Reference: Chan, Golub & LeVeque 1983, "Algorithms for computing the sample
    variance: analysis and recommendations".

    Args:
      stats: statistics of samples of shape `[*shape]`.
      batch: `[..., *shape]`, any leading axes (none: a single sample), any numeric dtype. An empty
        batch changes nothing.

    Raises:
      AssertionError: the last axes of `batch` are not `shape`.

    >>> stats = update_statistics(init_statistics(), jnp.array([1.0, 2.0, 6.0]))
    >>> float(stats.count), float(stats.mean), float(stats.m2)
    (3.0, 3.0, 14.0)
    """
    shape = stats.mean.shape
    batch = jnp.asarray(batch).astype(jnp.float32)
    chex.assert_shape(batch, (..., *shape))
    if batch.size == 0:
        return stats
    mean, left = centred(batch.reshape((-1, *shape)))
    return merge_statistics(stats, RunningStatistics(jnp.float32(len(left)), mean, jnp.square(left).sum(0)))


def merge_statistics(a: RunningStatistics, b: RunningStatistics) -> RunningStatistics:
    """Statistics of the samples of `a` and of `b` together.

    mean = mean_a + (mean_b - mean_a) n_b / n,  m2 = m2_a + m2_b + (mean_b - mean_a)^2 n_a n_b / n, with
    n = n_a + n_b; then n and m2 are scaled down together if n exceeds `WINDOW`. Reference: Chan, Golub &
    LeVeque 1983, pairwise algorithm. Symmetric up to rounding; merging with empty statistics changes nothing.

    Raises:
      AssertionError: the two are of different shapes.

    >>> one, other = (update_statistics(init_statistics(), jnp.array(batch)) for batch in ([1.0, 3.0], [5.0, 7.0]))
    >>> [float(x) for x in merge_statistics(one, other)]
    [4.0, 4.0, 20.0]
    """
    chex.assert_equal_shape([a.mean, b.mean])
    total = a.count + b.count
    fraction = b.count / jnp.maximum(total, 1.0)
    difference = b.mean - a.mean
    mean = a.mean + difference * fraction
    m2 = a.m2 + b.m2 + jnp.square(difference) * (a.count * fraction)
    count = jnp.minimum(total, float(WINDOW))
    return RunningStatistics(count, mean, m2 * (count / jnp.maximum(total, 1.0)))


def normalize(stats: RunningStatistics, x: Array, clip: float = 10.0, epsilon: float = 1e-8) -> Array:
    """`x` in units of standard deviations from the running mean, clipped.

    clip((x - mean) / sqrt(m2 / count + epsilon), -clip, clip); the identity, unclipped, while count is 0.

    Args:
      stats: statistics of samples of shape `[*shape]`.
      x: `[..., *shape]`.
      clip: > 0, largest absolute value of the result, in standard deviations; `jnp.inf` for none.
      epsilon: >= 0, added to the variance, so a feature that never moved gives 0 and not nan.

    Returns:
      float32, of the shape of `x`. No gradient is stopped, neither to `x` nor to the statistics.

    Raises:
      AssertionError: the last axes of `x` are not `shape`.

    >>> stats = update_statistics(init_statistics(), jnp.array([1.0, 3.0]))
    >>> normalize(stats, jnp.array([3.0, 99.0])).tolist()
    [1.0, 10.0]
    """
    x = jnp.asarray(x).astype(jnp.float32)
    chex.assert_shape(x, (..., *stats.mean.shape))
    mean = jnp.broadcast_to(stats.mean, x.shape)
    variance = jnp.broadcast_to(stats.m2, x.shape) / jnp.maximum(stats.count, 1.0)
    normalized = jnp.clip((x - mean) / jnp.sqrt(variance + epsilon), -clip, clip)
    return jnp.where(stats.count > 0, normalized, x)


def denormalize(stats: RunningStatistics, x: Array, epsilon: float = 1e-8) -> Array:
    """The inverse of `normalize`, but for its clipping: mean + x sqrt(m2 / count + epsilon); x while count is 0.

    Args:
      stats: statistics of samples of shape `[*shape]`.
      x: `[..., *shape]`, in standard deviations from the running mean.
      epsilon: >= 0, as `normalize` was given it.

    Returns:
      float32, of the shape of `x`.

    Raises:
      AssertionError: the last axes of `x` are not `shape`.

    >>> stats = update_statistics(init_statistics(), jnp.array([1.0, 3.0]))
    >>> denormalize(stats, jnp.array([1.0, 10.0])).tolist()
    [3.0, 12.0]
    """
    x = jnp.asarray(x).astype(jnp.float32)
    chex.assert_shape(x, (..., *stats.mean.shape))
    mean = jnp.broadcast_to(stats.mean, x.shape)
    variance = jnp.broadcast_to(stats.m2, x.shape) / jnp.maximum(stats.count, 1.0)
    return jnp.where(stats.count > 0, mean + x * jnp.sqrt(variance + epsilon), x)
