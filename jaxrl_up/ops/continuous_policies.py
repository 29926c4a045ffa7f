"""Policies over continuous actions, as distributions; see `discrete_policies` for what all of them have.

Samples are reparameterised: gradients flow from the sample to the parameters unless the caller stops them. Densities
are summed over the event axis, which is last.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_up.ops.arithmetic import saturated
from jaxrl_up.types import Array, Key

LOG_2 = math.log(2.0)
LOG_2_PI = math.log(2.0 * math.pi)


class DiagonalGaussian(NamedTuple):
    """Independent normal actions; log_std may be state-free `[D]` or a network output `[..., D]`.

    Samples are unbounded: where the environment clips, log_prob belongs to the unclipped sample. A distance is
    measured in standard deviations of at least exp(-80), so that 0 stays 0.

    >>> policy = DiagonalGaussian(jnp.zeros(1), jnp.zeros(1))
    >>> round(float(policy.log_prob(jnp.zeros(1))), 3), round(float(policy.entropy()), 3)  # log(2 pi) / 2 = 0.919
    (-0.919, 1.419)
    """

    mean: Array  # [..., D]
    log_std: Array  # broadcasts to [..., D], log of the standard deviation

    def sample(self, key: Key) -> Array:
        """mean + exp(log_std) * noise `[..., D]`, reparameterised."""
        return self.sample_with(jax.random.normal(key, self.mean.shape, self.mean.dtype))

    def sample_with(self, noise: Array) -> Array:
        """mean + exp(log_std) * noise `[..., D]` from standard normal noise `[..., D]`."""
        return self.mean + jnp.exp(_wide(self.log_std, self.mean)) * noise

    def log_prob(self, action: Array) -> Array:
        """Log-density `[...]` of actions `[..., D]`, summed over the last axis.

        Raises AssertionError if the actions are not of the shape of the mean.
        """
        chex.assert_equal_shape([self.mean, action])
        log_std = _wide(self.log_std, self.mean)
        distance = (action - self.mean) * jnp.exp(saturated(-log_std))
        return -jnp.sum(0.5 * jnp.square(distance) + log_std + 0.5 * LOG_2_PI, axis=-1)

    def sample_and_log_prob(self, key: Key) -> tuple[Array, Array]:
        """A reparameterised sample and its log-density."""
        action = self.sample(key)
        return action, self.log_prob(action)

    def entropy(self) -> Array:
        """sum_d log_std_d + log(2 pi e) / 2 `[...]`, summed over the last axis; it may be negative."""
        return jnp.sum(_wide(self.log_std, self.mean) + 0.5 * (1.0 + LOG_2_PI), axis=-1)

    def kl(self, other: DiagonalGaussian) -> Array:
        """KL(self || other) `[...]`, summed over the last axis.

        (exp(2 d) - 1 - 2 d + ((mean - mean') / std')^2) / 2 with d = log_std - log_std'. Raises
        AssertionError if the means differ in shape.
        """
        chex.assert_equal_shape([self.mean, other.mean])
        other_log_std = _wide(other.log_std, other.mean)
        ratio = _wide(self.log_std, self.mean) - other_log_std
        distance = (self.mean - other.mean) * jnp.exp(saturated(-other_log_std))
        return 0.5 * jnp.sum(jnp.expm1(2.0 * ratio) - 2.0 * ratio + jnp.square(distance), axis=-1)

    def mode(self) -> Array:
        """The mean `[..., D]`."""
        return self.mean


def _wide(x: Array, like: Array) -> Array:
    """`x` broadcast to the shape of `like`, which must not grow by it."""
    return jnp.broadcast_to(x, like.shape)


class TanhGaussian(NamedTuple):
    """A diagonal Gaussian squashed into (low, high): a = middle + half_width tanh(u), u ~ N(mean, std^2).

    log pi(a) = log N(u) - sum_d [log half_width_d + log(1 - tanh(u_d)^2)], with the last term as
    2 (log 2 - u - softplus(-2 u)), exact where 1 - tanh^2 rounds to 0. Reference: Haarnoja et al. 2018, "Soft
    actor-critic algorithms and applications", appendix C, eq. 26. Bounds may differ between dimensions
    and need not be symmetric; methods raise ValueError if they are known numbers and no finite interval.

    >>> policy = TanhGaussian(mean=jnp.zeros(1), log_std=jnp.zeros(1), low=0.0, high=4.0)
    >>> policy.mode().tolist(), round(float(policy.log_prob(jnp.array([2.0]))), 3)  # -0.919 - log 2
    ([2.0], -1.612)
    """

    mean: Array  # [..., D], of u
    log_std: Array  # broadcasts to [..., D], of u
    low: Array | float = -1.0  # broadcasts to [..., D]
    high: Array | float = 1.0  # broadcasts to [..., D]

    def base(self) -> DiagonalGaussian:
        """The distribution of u, before squashing."""
        return DiagonalGaussian(self.mean, self.log_std)

    def sample(self, key: Key) -> Array:
        """An action within [low, high] `[..., D]`, reparameterised."""
        return self._squash(self.base().sample(key))

    def sample_with(self, noise: Array) -> Array:
        """An action within [low, high] `[..., D]` from standard normal noise `[..., D]`."""
        return self._squash(self.base().sample_with(noise))

    def log_prob(self, action: Array) -> Array:
        """Log-density `[...]` of actions `[..., D]`; finite at and beyond the bounds.

        It inverts the squashing, so an action saturated by float32 has lost its u: one that lies on a
        bound (or outside) counts as half a rounding unit inside. Use `sample_and_log_prob` where the
        sample is at hand. Raises AssertionError if the actions are not of the shape of the mean.
        """
        chex.assert_equal_shape([self.mean, action])
        return self._log_prob_before(self._unsquash(action))

    def sample_and_log_prob(self, key: Key) -> tuple[Array, Array]:
        """A reparameterised sample and its log-density, exact also where tanh saturates."""
        return self.sample_and_log_prob_with(jax.random.normal(key, self.mean.shape, self.mean.dtype))

    def sample_and_log_prob_with(self, noise: Array) -> tuple[Array, Array]:
        """As `sample_and_log_prob`, from standard normal noise `[..., D]`."""
        before = self.base().sample_with(noise)
        return self._squash(before), self._log_prob_before(before)

    def entropy(self, key: Key, num_samples: int = 1) -> Array:
        """Monte Carlo estimate of the entropy `[...]`, which has no closed form; hence the key.

        H = H(u) + E[sum_d log half_width_d + log(1 - tanh(u_d)^2)]: the first term is exact, the second the
        mean over `num_samples` (static) samples. Unbiased, and so is its reparameterised gradient.
        """
        keys = jax.random.split(key, num_samples)
        stretch = jax.vmap(lambda k: self._log_stretch(self.base().sample(k)))(keys)
        return self.base().entropy() + jnp.mean(stretch, axis=0)

    def kl(self, other: TanhGaussian) -> Array:
        """KL(self || other) `[...]`, exact: that of the Gaussians before the same squashing.

        `other` must have the same bounds (not checked). Raises AssertionError if the means differ in shape.
        """
        return self.base().kl(other.base())

    def mode(self) -> Array:
        """The squashed mean `[..., D]`: the median of each dimension, the customary greedy action."""
        return self._squash(self.mean)

    def _bounds(self) -> tuple[Array, Array]:
        if not any(isinstance(bound, jax.Array) for bound in (self.low, self.high)):
            width = np.subtract(self.high, self.low)
            if not np.all(np.isfinite(width) & (width > 0)):
                raise ValueError(
                    f"bounds low={self.low}, high={self.high} are no finite interval; "
                    "give finite low < high in every dimension, or use DiagonalGaussian"
                )
        low, high = (jnp.asarray(bound, self.mean.dtype) for bound in (self.low, self.high))
        return _wide(low, self.mean), _wide(high, self.mean)

    def _squash(self, before: Array) -> Array:
        """low + width sigmoid(2 u), measured from the nearer bound to keep its relative precision."""
        low, high = self._bounds()
        negative = before < 0
        distance = (high - low) * jax.nn.sigmoid(2.0 * jnp.where(negative, before, -before))
        return jnp.where(negative, low + distance, high - distance)

    def _unsquash(self, action: Array) -> Array:
        """u = log((a - low) / (high - a)) / 2, from distances of at least half a unit of rounding."""
        low, high = self._bounds()
        epsilon = jnp.finfo(self.mean.dtype).eps / 4
        least = 1e-30 * (high - low)
        below = jnp.maximum(action - low, jnp.maximum(epsilon * jnp.abs(low), least))
        above = jnp.maximum(high - action, jnp.maximum(epsilon * jnp.abs(high), least))
        return 0.5 * (jnp.log(below) - jnp.log(above))

    def _log_stretch(self, before: Array) -> Array:
        """log |da / du|, summed over the last axis."""
        low, high = self._bounds()
        slope = 2.0 * (LOG_2 - before - jax.nn.softplus(-2.0 * before))
        return jnp.sum(jnp.log(0.5 * (high - low)) + slope, axis=-1)

    def _log_prob_before(self, before: Array) -> Array:
        return self.base().log_prob(before) - self._log_stretch(before)


class Deterministic(NamedTuple):
    """A point mass on a continuous action. Densities are with respect to counting, so exp(0) = 1."""

    action: Array  # [..., D]

    def sample(self, key: Key) -> Array:
        """The action itself; the key is not used."""
        del key
        return self.action

    def log_prob(self, action: Array) -> Array:
        """0 where all of `action` `[..., D]` is equal, -inf elsewhere; `[...]`, without a gradient.

        Raises AssertionError if the shapes differ.
        """
        chex.assert_equal_shape([self.action, action])
        return jnp.where(jnp.all(self.action == action, axis=-1), 0.0, -jnp.inf)

    def sample_and_log_prob(self, key: Key) -> tuple[Array, Array]:
        """The action and 0."""
        return self.sample(key), self.entropy()

    def entropy(self) -> Array:
        """0 `[...]`."""
        return jnp.zeros(self.action.shape[:-1], self.action.dtype)

    def kl(self, other: Deterministic) -> Array:
        """0 where the actions are equal, inf elsewhere; `[...]`."""
        return -other.log_prob(self.action)

    def mode(self) -> Array:
        """The action itself."""
        return self.action
