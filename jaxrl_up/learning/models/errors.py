"""How far a model strays from what really happened, over the steps of a plan."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl_up.learning.models.dynamics import Dynamics
from jaxrl_up.types import Array, PyTree


class HorizonErrors(NamedTuple):
    """Root mean square errors h = 1 ... H steps ahead, means over windows and members; NaN where there is no window."""

    obs: Array  # [H], over the numbers of observations, each in standard deviations of the data
    reward: Array  # [H], in units of rewards
    windows: Array  # int32 [H], how many


def horizon_errors(
    dynamics: Dynamics, params: PyTree, obs: Array, action: PyTree, reward: Array, next_obs: Array, done: Array,
    horizon: int,
) -> HorizonErrors:  # fmt: skip
    """Errors of open-loop predictions by means, along what was really done.

    Steps `[T, B, ...]` as `rollout.unroll` returns them, of episodes that the model has not learned from: `next_obs`
    the true successors, `done` where an episode ended. From each step the actions that were taken are followed, as long
    as the episode goes on; each member goes its own way (TS-infinity of Chua et al. 2018).
    """
    length, batch = reward.shape
    scale = jnp.maximum(jnp.std(obs.reshape(-1, obs.shape[-1]), axis=0), 1e-6)
    step = dynamics.by_means.step
    key = jax.random.key(0)  # nothing is drawn

    def of_member(member: PyTree) -> tuple[Array, Array, Array]:
        each = jax.vmap(jax.vmap(lambda x, a: step(member, key, x, a)))

        def ahead(carry: tuple[Array, Array], h: Array) -> tuple[tuple[Array, Array], tuple[Array, Array, Array]]:
            predicted, going = carry
            now = jnp.minimum(jnp.arange(length) + h, length - 1)
            counts = going & (jnp.arange(length) + h < length)[:, None]
            predicted, earned, _ = each(predicted, jax.tree.map(lambda x: x[now], action))
            number = jnp.sum(counts, dtype=jnp.int32)
            square = jnp.mean(jnp.square((predicted - next_obs[now]) / scale[None, None]), axis=-1)
            obs_error, reward_error = (
                jnp.sum(jnp.where(counts, x, 0.0)) / number for x in (square, jnp.square(earned - reward[now]))
            )
            return (predicted, counts & ~done[now]), (obs_error, reward_error, number)

        return jax.lax.scan(ahead, (obs, jnp.ones((length, batch), bool)), jnp.arange(horizon))[1]

    squares, rewards, windows = dynamics.each(of_member, params)
    return HorizonErrors(jnp.sqrt(jnp.mean(squares, 0)), jnp.sqrt(jnp.mean(rewards, 0)), windows[0])
