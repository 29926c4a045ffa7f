"""Policies as distributions: NamedTuples of arrays, so they pass through jit, vmap and scan.

All have `sample(key)`, `log_prob(action)`, `sample_and_log_prob(key)`, `entropy()`, `kl(other)` =
KL(self || other) and `mode()`. Batch axes lead, the event axis (or the axis of actions) is last.
Log-probabilities, entropies and divergences are in nats, of the batch shape. Continuous samples are
reparameterised: gradients flow from the sample to the parameters unless the caller stops them.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from jaxrl_up.types import Array, Key

IMPOSSIBLE = -1e30  # log-probability that stands for log 0: its exp is 0, but its gradients are finite
LOG_2 = math.log(2.0)
LOG_2_PI = math.log(2.0 * math.pi)


class Categorical(NamedTuple):
    """Actions 0..A-1 with probabilities softmax(logits), restricted to the allowed ones.

    A masked action has probability 0 and log-probability -1e30 instead of -inf, which keeps log_prob,
    entropy, KL and all their gradients finite; logits of -inf are treated alike. If no action is
    allowed the distribution is uniform.
    """

    logits: Array  # [..., A], unnormalised log-probabilities
    mask: Array | None = None  # bool [..., A], true where the action is allowed; None: all are

    def log_probs(self) -> Array:
        """Normalised log-probabilities of all actions `[..., A]`."""
        logits = jnp.maximum(self.logits, IMPOSSIBLE)
        if self.mask is not None:
            logits = jnp.where(jnp.broadcast_to(self.mask, logits.shape), logits, IMPOSSIBLE)
        return jax.nn.log_softmax(logits, axis=-1)

    def sample(self, key: Key) -> Array:
        """An action int32 `[...]`."""
        return jax.random.categorical(key, self.log_probs(), axis=-1).astype(jnp.int32)

    def log_prob(self, action: Array) -> Array:
        """log pi(action) `[...]`, for integer actions `[...]`; nan for an action outside 0..A-1."""
        return _select(self.log_probs(), action)

    def sample_and_log_prob(self, key: Key) -> tuple[Array, Array]:
        """An action and its log-probability, with the normalisation computed once."""
        log_probs = self.log_probs()
        action = jax.random.categorical(key, log_probs, axis=-1).astype(jnp.int32)
        return action, _select(log_probs, action)

    def entropy(self) -> Array:
        """-sum_a pi(a) log pi(a) `[...]`, between 0 and log A."""
        log_probs = self.log_probs()
        return -jnp.sum(jnp.exp(log_probs) * log_probs, axis=-1)

    def kl(self, other: Categorical) -> Array:
        """sum_a pi(a) (log pi(a) - log other(a)) `[...]`.

        Where `self` allows an action that `other` masks, the true value is infinite and the result is
        a very large number. Raises AssertionError if the logits differ in shape.
        """
        chex.assert_equal_shape([self.logits, other.logits])
        log_probs = self.log_probs()
        return jnp.sum(jnp.exp(log_probs) * (log_probs - other.log_probs()), axis=-1)

    def mode(self) -> Array:
        """The most probable action int32 `[...]`, the first where several tie."""
        return jnp.argmax(self.log_probs(), axis=-1).astype(jnp.int32)


class DiagonalGaussian(NamedTuple):
    """Independent normal actions; log_std may be state-free `[D]` or a network output `[..., D]`.

    Samples are unbounded: where the environment clips, log_prob belongs to the unclipped sample.
    """

    mean: Array  # [..., D]
    log_std: Array  # broadcasts to [..., D], log of the standard deviation

    def sample(self, key: Key) -> Array:
        """mean + exp(log_std) * noise `[..., D]`, reparameterised."""
        noise = jax.random.normal(key, self.mean.shape, self.mean.dtype)
        return self.mean + jnp.exp(_wide(self.log_std, self.mean)) * noise

    def log_prob(self, action: Array) -> Array:
        """Log-density `[...]` of actions `[..., D]`, summed over the last axis."""
        chex.assert_equal_shape([self.mean, action])
        log_std = _wide(self.log_std, self.mean)
        distance = (action - self.mean) * jnp.exp(-log_std)
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
        distance = (self.mean - other.mean) * jnp.exp(-other_log_std)
        return 0.5 * jnp.sum(jnp.expm1(2.0 * ratio) - 2.0 * ratio + jnp.square(distance), axis=-1)

    def mode(self) -> Array:
        """The mean `[..., D]`."""
        return self.mean


def _select(log_probs: Array, action: Array) -> Array:
    """log_probs[..., action] by comparison: on CPU much faster to differentiate than a gather."""
    chex.assert_shape(action, log_probs.shape[:-1])
    chex.assert_type(action, int)
    number = log_probs.shape[-1]
    chosen = jax.nn.one_hot(action, number, dtype=bool)
    known = (action >= 0) & (action < number)
    return jnp.where(known, jnp.sum(jnp.where(chosen, log_probs, 0.0), axis=-1), jnp.nan)


def _wide(x: Array, like: Array) -> Array:
    """`x` broadcast to the shape of `like`, which must not grow by it."""
    return jnp.broadcast_to(x, like.shape)
