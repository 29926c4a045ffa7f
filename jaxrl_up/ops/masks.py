"""Action masks: bool `[..., A]`, true where an action is allowed; what is not allowed is never read.

A row in which nothing is allowed counts as one in which everything is: a state that the episode ended in may have such
a mask, which nobody asks for an action, and its numbers should be finite. A mask may lack leading axes, as one that is
the same in every row, but not the last one. All of it selects: no number of a forbidden action, infinite or nan,
comes through, and the gradient that comes back to it is exactly 0. Every function raises AssertionError for a mask that
is not of booleans or of another number of actions, and ValueError where its leading axes do not broadcast.

Reference: Huang & Ontanon 2022, "A closer look at invalid action masking in policy gradient algorithms",
arXiv:2006.14171.
"""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp

from jaxrl_up.types import Array

IMPOSSIBLE = -1e30  # log-probability that stands for log 0: its exp is 0, but its gradients are finite


def allowed_actions(mask: Array, like: Array | None = None) -> Array:
    """The mask `[..., A]`, but all true in rows that have no true; broadcast to the shape of `like [..., A]`.

    >>> allowed_actions(jnp.array([[True, False], [False, False]])).tolist()
    [[True, False], [True, True]]
    """
    chex.assert_type(mask, bool)
    allowed = mask | ~jnp.any(mask, axis=-1, keepdims=True)
    if like is None:
        return allowed
    chex.assert_axis_dimension(mask, -1, like.shape[-1])
    return jnp.broadcast_to(allowed, like.shape)


def masked_max(values: Array, mask: Array | None = None, keepdims: bool = False) -> Array:
    """max over the allowed a of `values [..., A]`, to `[...]` (or `[..., 1]`); without a mask over all.

    >>> masked_max(jnp.array([1.0, 3.0, 2.0]), jnp.array([True, False, True])).tolist()
    2.0
    """
    if mask is not None:
        values = jnp.where(allowed_actions(mask, values), values, -jnp.inf)
    return jnp.max(values, axis=-1, keepdims=keepdims)


def masked_argmax(values: Array, mask: Array | None = None) -> Array:
    """The allowed action int32 `[...]` of greatest value, the first where several tie; without a mask of all.

    `values [..., A]` are floats; where those of all allowed actions are -inf, it is the first of these.

    >>> masked_argmax(jnp.array([1.0, 3.0, 2.0]), jnp.array([True, False, True])).tolist()
    2
    """
    if mask is not None:
        least = jnp.finfo(values.dtype).min  # an allowed -inf counts as more than what is forbidden
        values = jnp.where(allowed_actions(mask, values), jnp.maximum(values, least), -jnp.inf)
    return jnp.argmax(values, axis=-1).astype(jnp.int32)


def masked_log_softmax(logits: Array, mask: Array) -> Array:
    """log pi(a) = l(a) - log sum over allowed b of exp l(b); -1e30 for a forbidden a. Both `[..., A]`, nats.

    A constant instead of -inf for what is forbidden: its gradient is 0, and a ratio exp(new - old) of it is 1 and not
    nan. Logits of -inf count as -1e30.

    >>> [f"{x:.3g}" for x in masked_log_softmax(jnp.zeros(3), jnp.array([True, False, True])).tolist()]  # log 2
    ['-0.693', '-1e+30', '-0.693']
    """
    allowed = allowed_actions(mask, logits)
    logits = jnp.where(allowed, jnp.maximum(logits, IMPOSSIBLE), 10 * IMPOSSIBLE)
    return jnp.where(allowed, jax.nn.log_softmax(logits, axis=-1), IMPOSSIBLE)


def masked_probs(probs: Array, mask: Array) -> Array:
    """pi(a) / sum over allowed b of pi(b), 0 for a forbidden a; both `[..., A]`.

    Where `probs` has nothing on the allowed actions, they share alike.

    >>> masked_probs(jnp.array([0.5, 0.25, 0.25]), jnp.array([False, True, True])).tolist()
    [0.0, 0.5, 0.5]
    """
    allowed = allowed_actions(mask, probs)
    inside = jnp.where(allowed, probs, 0.0)
    total = jnp.sum(inside, axis=-1, keepdims=True)
    inside = jnp.where(total > 0, inside, allowed.astype(probs.dtype))
    return inside / jnp.sum(inside, axis=-1, keepdims=True)


def action_from_uniform(uniform: Array, mask: Array) -> Array:
    """A draw from the uniform distribution over the allowed actions, int32 `[...]`: number floor(u n) of the n of them.

    `uniform [...]` has one number in [0, 1) for each draw; `mask [..., A]`, whose leading axes broadcast to it.

    >>> action_from_uniform(jnp.array([0.1, 0.6]), jnp.array([False, True, True])).tolist()
    [1, 2]
    """
    allowed = jnp.broadcast_to(allowed_actions(mask), (*uniform.shape, mask.shape[-1]))
    count = jnp.cumsum(allowed.astype(jnp.int32), axis=-1)
    total = count[..., -1]
    index = jnp.clip(jnp.floor(uniform * total.astype(uniform.dtype)).astype(jnp.int32), 0, total - 1)
    return jnp.sum(count <= index[..., None], axis=-1, dtype=jnp.int32)


def action_from_noise(noise: Array, mask: Array | None = None) -> Array:
    """A draw from the uniform distribution over the allowed actions, int32 `[...]`: argmax over allowed a of noise_a.

    `noise [..., A]` has independent numbers of one continuous distribution, whichever: uniform in [0, 1) or Gumbel.

    >>> action_from_noise(jnp.array([0.3, 0.9, 0.7]), jnp.array([True, False, True])).tolist()
    2
    """
    return masked_argmax(noise, mask)
