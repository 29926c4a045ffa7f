"""Exercise 6.1: TD3's two losses.

TD3 fits two critics to one target and climbs one of them with its actor:

    a' = clip(mu'(s') + clip(noise_scale n, -noise_clip, noise_clip), -1, 1),   n ~ N(0, 1)
    y = r + gamma (1 - terminated) min(Q'_1(s', a'), Q'_2(s', a'))
    critic loss = mean (Q_1(s, a) - y)^2 + mean (Q_2(s, a) - y)^2
    actor loss = -mean Q_1(s, mu(s))

A prime marks target networks. The noise smooths the target over neighbouring actions, the minimum keeps it from being
too large, and y is data: no gradient flows through it, even if someone passes the same parameters as targets.

Networks come as functions: `q(params, obs, action)` gives `[B]`, `mu(params, obs)` gives actions `[B, D]` in [-1, 1].

Write both losses. Read: lesson 6; Fujimoto, van Hoof & Meger 2018, arXiv:1802.09477, eq. 10 and 14, algorithm 1.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


class Batch(NamedTuple):
    """B transitions."""

    obs: jax.Array  # [B, O]
    action: jax.Array  # [B, D]
    reward: jax.Array  # [B]
    next_obs: jax.Array  # [B, O]
    terminated: jax.Array  # bool [B]


class Targets(NamedTuple):
    """The parameters of the target networks."""

    critics: tuple[Any, Any]
    actor: Any


def critic_loss(
    critics: tuple[Any, Any],
    targets: Targets,
    q: Callable[[Any, jax.Array, jax.Array], jax.Array],
    mu: Callable[[Any, jax.Array], jax.Array],
    batch: Batch,
    noise: jax.Array,
    gamma: float,
    noise_scale: float,
    noise_clip: float,
) -> jax.Array:
    """The loss of both critics `[]`, from standard normal `noise [B, D]`."""
    ### BEGIN SOLUTION
    smoothing = jnp.clip(noise_scale * noise, -noise_clip, noise_clip)
    next_action = jnp.clip(mu(targets.actor, batch.next_obs) + smoothing, -1.0, 1.0)
    next_q = jnp.minimum(*(q(params, batch.next_obs, next_action) for params in targets.critics))
    y = jax.lax.stop_gradient(batch.reward + gamma * jnp.where(batch.terminated, 0.0, next_q))
    return sum((jnp.mean((q(params, batch.obs, batch.action) - y) ** 2) for params in critics), jnp.zeros(()))
    ### END SOLUTION


def actor_loss(
    actor: Any,
    critics: tuple[Any, Any],
    q: Callable[[Any, jax.Array, jax.Array], jax.Array],
    mu: Callable[[Any, jax.Array], jax.Array],
    batch: Batch,
) -> jax.Array:
    """The loss of the actor `[]`."""
    ### BEGIN SOLUTION
    return -jnp.mean(q(critics[0], batch.obs, mu(actor, batch.obs)))
    ### END SOLUTION
