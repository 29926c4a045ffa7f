"""Choosing among moves that are worth something."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jaxrl_up.types import Array, Key


def one_of_the_best(scores: Array, mask: Array, key: Key) -> Array:
    """An action of those that `mask [A]` allows of the greatest of `scores [A]`, uniformly: int32 []."""
    least = jnp.iinfo(scores.dtype).min
    allowed = jnp.where(mask, scores, least)
    drawn = jax.random.uniform(key, mask.shape, jnp.float32)
    return jnp.argmax(jnp.where(mask & (allowed == jnp.max(allowed)), drawn, -1)).astype(jnp.int32)
