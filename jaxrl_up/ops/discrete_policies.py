"""Policies as distributions, those over discrete actions; records of arrays, so they pass through jit, vmap and scan.

All policies have `sample(key)`, `log_prob(action)`, `sample_and_log_prob(key)`, `entropy()`, `kl(other)` =
KL(self || other) and `mode()`; those that a rollout samples from noise drawn ahead have `sample_with(noise)`. Batch
axes lead, the event axis (or the axis of actions) is last. Log-probabilities, entropies and divergences are in nats, of
the batch shape.

A policy over the actions that a mask allows (see `masks`) is that of the smaller problem without the others:
renormalised, and never giving one of those. What is forbidden has the log-probability -1e30, a constant without a
gradient: it is finite, so that a ratio exp(new - old) of two of them is 1, and no entropy or divergence meets 0 * inf.
Gradients with respect to logits of forbidden actions are exactly 0.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_up.ops.bellman import action_value
from jaxrl_up.ops.masks import IMPOSSIBLE, allowed_actions, masked_argmax, masked_log_softmax, masked_max
from jaxrl_up.types import Array, Key


def _log_softmax(logits: Array, possible: Array | None = None) -> Array:
    """Normalised log-probabilities `[..., A]`; logits of -inf, and of what is not possible, count as -1e30."""
    logits = jnp.maximum(logits, IMPOSSIBLE)
    if possible is not None:
        logits = jnp.where(possible, logits, IMPOSSIBLE)
    return jax.nn.log_softmax(logits, axis=-1)


def _sample(key: Key, log_probs: Array) -> Array:
    return jax.random.categorical(key, log_probs, axis=-1).astype(jnp.int32)


def _entropy(log_probs: Array) -> Array:
    return -jnp.sum(jnp.exp(log_probs) * log_probs, axis=-1)


def _kl(policy: Categorical | EpsilonGreedy, other: Categorical | EpsilonGreedy) -> Array:
    log_probs = policy.log_probs()
    return jnp.sum(jnp.exp(log_probs) * (log_probs - other.log_probs()), axis=-1)


class Categorical(NamedTuple):
    """Actions 0..A-1 with probabilities softmax(logits), restricted to the allowed ones.

    A masked action has probability 0 and log-probability -1e30 instead of -inf, which keeps log_prob, entropy, KL and
    all their gradients finite; logits of -inf are treated alike. Where no action is allowed, all are. Reference: Huang
    & Ontanon 2022, "A closer look at invalid action masking in policy gradient algorithms", arXiv:2006.14171.

    >>> policy = Categorical(jnp.zeros(3), mask=jnp.array([True, True, False]))
    >>> round(float(policy.log_prob(jnp.array(0))), 3), round(float(policy.entropy()), 3)  # log 2 = 0.693
    (-0.693, 0.693)
    """

    logits: Array  # [..., A], unnormalised log-probabilities
    mask: Array | None = None  # bool [..., A], true where the action is allowed; None: all are

    def restricted(self, mask: Array) -> Categorical:
        """The same logits with another mask."""
        return self._replace(mask=mask)

    def log_probs(self) -> Array:
        """Normalised log-probabilities of all actions `[..., A]`; -1e30, without a gradient, for a forbidden one."""
        return _log_softmax(self.logits) if self.mask is None else masked_log_softmax(self.logits, self.mask)

    def sample(self, key: Key) -> Array:
        """An action int32 `[...]`."""
        return _sample(key, self.log_probs())

    def sample_with(self, noise: Array) -> Array:
        """An action int32 `[...]` from standard Gumbel noise `[..., A]`: argmax_a log pi(a) + noise_a."""
        return masked_argmax(self.log_probs() + noise, self.mask)

    def log_prob(self, action: Array) -> Array:
        """log pi(action) `[...]`, for integer actions `[...]`; nan for an action outside 0..A-1.

        Raises AssertionError for actions of another shape or that are no integers.
        """
        return action_value(self.log_probs(), action)

    def sample_and_log_prob(self, key: Key) -> tuple[Array, Array]:
        """An action and its log-probability, with the normalisation computed once."""
        log_probs = self.log_probs()
        action = _sample(key, log_probs)
        return action, action_value(log_probs, action)

    def entropy(self) -> Array:
        """-sum_a pi(a) log pi(a) `[...]` over the allowed actions, between 0 and the log of their number."""
        return _entropy(self.log_probs())

    def kl(self, other: Categorical) -> Array:
        """sum_a pi(a) (log pi(a) - log other(a)) `[...]`, over the actions that `self` allows.

        The masks may differ: exact where `other` allows all that `self` does (or has no mask); where it masks
        an action that `self` takes, the true value is infinite and the result is a very large number, with gradients as
        large. Raises AssertionError if the logits differ in shape.
        """
        chex.assert_equal_shape([self.logits, other.logits])
        return _kl(self, other)

    def mode(self) -> Array:
        """The most probable action int32 `[...]`, the first where several tie."""
        return jnp.argmax(self.log_probs(), axis=-1).astype(jnp.int32)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class MultiCategorical:
    """K independent categoricals, side by side in one vector of logits: number k has actions 0..sizes[k]-1.

    log pi(a) = sum_k log pi_k(a_k); entropy and KL are sums too. Each of them is masked by itself, and allows all
    where its part of the mask allows nothing. `sizes` is static, part of the structure and not a leaf. Methods raise
    ValueError if it does not belong to the logits.

    >>> policy = MultiCategorical(jnp.array([0.0, 0.0, 1.0, 2.0, 3.0]), sizes=(2, 3))
    >>> policy.mode().tolist(), round(float(policy.log_prob(jnp.array([0, 2]))), 3)  # -log 2 - 0.408
    ([0, 2], -1.101)
    """

    logits: Array  # [..., sum(sizes)], unnormalised log-probabilities
    sizes: tuple[int, ...] = dataclasses.field(metadata={"static": True})  # number of actions of each
    mask: Array | None = None  # bool [..., sum(sizes)], true where the action is allowed; None: all are

    def __post_init__(self) -> None:
        object.__setattr__(self, "sizes", tuple(int(size) for size in self.sizes))

    def restricted(self, mask: Array) -> MultiCategorical:
        """The same logits with another mask."""
        return dataclasses.replace(self, mask=mask)

    def components(self) -> Categorical:
        """The K categoricals as one of batch shape `[..., K]`, over as many actions as the largest has."""
        if not self.sizes or min(self.sizes) < 1 or sum(self.sizes) != self.logits.shape[-1]:
            raise ValueError(
                f"sizes={self.sizes} do not belong to logits {self.logits.shape}; "
                "give at least one size of at least 1, which add up to the last axis"
            )
        logits = self._stack(self.logits)
        there = np.arange(max(self.sizes)) < np.array(self.sizes)[:, None]
        if self.mask is None:
            return Categorical(logits, None if there.all() else jnp.asarray(there))
        chex.assert_axis_dimension(self.mask, -1, self.logits.shape[-1])
        mask = self._stack(jnp.broadcast_to(self.mask, self.logits.shape))
        return Categorical(logits, allowed_actions(mask) & jnp.broadcast_to(there, logits.shape))

    def _stack(self, flat: Array) -> Array:
        """`[..., sum(sizes)]` as `[..., K, max(sizes)]`, filled up with zeros."""
        ends, axes = np.cumsum(self.sizes), [(0, 0)] * (flat.ndim - 1)
        parts = [
            jnp.pad(flat[..., end - size : end], [*axes, (0, max(self.sizes) - size)])
            for end, size in zip(ends.tolist(), self.sizes, strict=True)
        ]
        return jnp.stack(parts, axis=-2)

    def sample(self, key: Key) -> Array:
        """Actions int32 `[..., K]`."""
        return self.sample_with(jax.random.gumbel(key, self.logits.shape, self.logits.dtype))

    def sample_with(self, noise: Array) -> Array:
        """Actions int32 `[..., K]` from standard Gumbel noise `[..., sum(sizes)]`."""
        return self.components().sample_with(self._stack(noise))

    def log_prob(self, action: Array) -> Array:
        """log pi(action) `[...]`, for integer actions `[..., K]`; nan where one is outside its range.

        Forbidden ones add -1e30 each, and no gradient. Raises AssertionError for actions of another shape or that are
        no integers.
        """
        log_prob = jnp.sum(self.components().log_prob(action), axis=-1)
        known = jnp.all(action < jnp.broadcast_to(np.array(self.sizes), action.shape), axis=-1)
        return jnp.where(known, log_prob, jnp.nan)

    def sample_and_log_prob(self, key: Key) -> tuple[Array, Array]:
        """Actions and their log-probability."""
        action = self.sample(key)
        return action, self.log_prob(action)

    def entropy(self) -> Array:
        """The sum of the entropies `[...]`."""
        return jnp.sum(self.components().entropy(), axis=-1)

    def kl(self, other: MultiCategorical) -> Array:
        """The sum of the divergences `[...]`; for masks that differ see `Categorical.kl`.

        Raises ValueError if the sizes differ, AssertionError if the logits differ in shape.
        """
        if self.sizes != other.sizes:
            raise ValueError(f"sizes={self.sizes} and {other.sizes} differ: no divergence is defined")
        return jnp.sum(self.components().kl(other.components()), axis=-1)

    def mode(self) -> Array:
        """The most probable actions int32 `[..., K]`, the first where several tie."""
        return self.components().mode()


class EpsilonGreedy(NamedTuple):
    """With probability epsilon any allowed action, otherwise one of these of greatest value; ties share alike.

    pi(a) = epsilon / A + (1 - epsilon) [a is greedy] / (number of greedy actions) for each of the A allowed actions, 0
    for others; where none is allowed, all are. Reference: Sutton & Barto 2018, section 2.2. No gradient flows to the
    values.

    >>> EpsilonGreedy(jnp.array([1.0, 3.0]), epsilon=0.5).probs().tolist()
    [0.25, 0.75]
    """

    q_values: Array  # [..., A]
    epsilon: Array | float  # scalar or [...], in [0, 1]
    mask: Array | None = None  # bool [..., A], true where the action is allowed; None: all are

    def probs(self) -> Array:
        """Probabilities of all actions `[..., A]`."""
        greedy = self.q_values == masked_max(self.q_values, self.mask, keepdims=True)
        if self.mask is not None:
            greedy &= allowed_actions(self.mask, self.q_values)
        greedy = greedy.astype(self.q_values.dtype)
        share = greedy / jnp.sum(greedy, axis=-1, keepdims=True)
        epsilon = jnp.broadcast_to(self.epsilon, self.q_values.shape[:-1])[..., None]
        if self.mask is None:
            return epsilon / self.q_values.shape[-1] + (1.0 - epsilon) * share
        allowed = allowed_actions(self.mask, self.q_values).astype(self.q_values.dtype)
        return epsilon * allowed / jnp.sum(allowed, axis=-1, keepdims=True) + (1.0 - epsilon) * share

    def log_probs(self) -> Array:
        """Log-probabilities of all actions `[..., A]`; -1e30 for one of probability 0."""
        probs = self.probs()
        possible = probs > 0
        return _log_softmax(jnp.log(jnp.where(possible, probs, 1.0)), possible)

    def sample(self, key: Key) -> Array:
        """An action int32 `[...]`, ties broken at random."""
        return _sample(key, self.log_probs())

    def sample_with(self, noise: Array) -> Array:
        """An action int32 `[...]` from standard Gumbel noise `[..., A]`, which breaks ties too."""
        return masked_argmax(self.log_probs() + noise, self.mask)

    def log_prob(self, action: Array) -> Array:
        """log pi(action) `[...]`; -1e30 where it is impossible, nan outside 0..A-1."""
        return action_value(self.log_probs(), action)

    def sample_and_log_prob(self, key: Key) -> tuple[Array, Array]:
        """An action and its log-probability."""
        log_probs = self.log_probs()
        action = _sample(key, log_probs)
        return action, action_value(log_probs, action)

    def entropy(self) -> Array:
        """-sum_a pi(a) log pi(a) `[...]`, between 0 and the log of the number of allowed actions."""
        return _entropy(self.log_probs())

    def kl(self, other: EpsilonGreedy) -> Array:
        """KL(self || other) `[...]`; very large where `other` excludes an action that `self` takes."""
        chex.assert_equal_shape([self.q_values, other.q_values])
        return _kl(self, other)

    def mode(self) -> Array:
        """The greedy action int32 `[...]`, the first where several tie."""
        return masked_argmax(self.q_values, self.mask)
