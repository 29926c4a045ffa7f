"""Exercise 5.3, a bug hunt: a replay that stitches two episodes together.

Environments here begin a new episode by themselves: where a step ends an episode, `step.obs` is already the first
observation of the next one, which the agent acts on, and `step.next_obs` is the one that the step really led to. Inside
an episode the two are the same. `targets` learns from what `add` wrote:

    y = r + gamma (1 - ended) V(next_obs)

A pole that is held up for all of its 500 steps earns on, if only one could see it; but the values learned from this
replay fall to 1 towards the time limit. There are two bugs, both in `add`, and one hides the other.

Read: lessons 4 and 5; docs/environments.md, time limits; Pardo et al. 2018, "Time limits in reinforcement
learning", arXiv:1712.00378.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp


class Step(NamedTuple):
    """What one environment step returns."""

    obs: jax.Array  # [D], to act on next; after an end, of the next episode
    next_obs: jax.Array  # [D], what the step really led to
    reward: jax.Array  # []
    terminated: jax.Array  # bool [], the task ended: nothing comes after it
    truncated: jax.Array  # bool [], a time limit cut the episode: something would have come


class Replay(NamedTuple):
    """The last N transitions, a ring."""

    obs: jax.Array  # [N, D]
    action: jax.Array  # int32 [N]
    reward: jax.Array  # [N]
    next_obs: jax.Array  # [N, D]
    ended: jax.Array  # bool [N], no value follows
    written: jax.Array  # int32 [], transitions so far


def empty(capacity: int, size: int) -> Replay:
    """A replay of nothing, for `capacity` transitions with observations `[size]`."""
    obs, numbers = jnp.zeros((capacity, size)), jnp.zeros(capacity)
    return Replay(obs, numbers.astype(jnp.int32), numbers, obs, numbers.astype(bool), jnp.int32(0))


def add(replay: Replay, obs: jax.Array, action: jax.Array, step: Step) -> Replay:
    """The replay with one transition more, from `obs [D]` by `action []`, over the oldest where it is full."""
    row = replay.written % replay.reward.shape[0]
    ### BEGIN SOLUTION
    ### TASK
    # next_obs = step.obs
    # ended = step.terminated | step.truncated
    next_obs = step.next_obs
    ended = step.terminated
    ### END SOLUTION
    return Replay(
        replay.obs.at[row].set(obs),
        replay.action.at[row].set(action),
        replay.reward.at[row].set(step.reward),
        replay.next_obs.at[row].set(next_obs),
        replay.ended.at[row].set(ended),
        replay.written + 1,
    )


def targets(replay: Replay, value: Callable[[jax.Array], jax.Array], gamma: float) -> jax.Array:
    """r + gamma (1 - ended) V(next_obs) of every row `[N]`, with `value` from observations `[N, D]` to `[N]`."""
    return replay.reward + gamma * jnp.where(replay.ended, 0.0, value(replay.next_obs))
