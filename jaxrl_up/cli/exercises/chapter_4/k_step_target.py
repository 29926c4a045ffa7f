"""Exercise 4.1: the k-step target at the end of an episode.

A value function is fitted to targets. The k-step target of row t adds up k rewards and lets V stand for the rest:

    G_t = r_t + gamma r_{t+1} + ... + gamma^(k-1) r_{t+k-1} + gamma^k V(s_{t+k})

The rows of a window may belong to several episodes, one after the other. So the sum may have to stop early:

- A row where the episode *terminated* has no future: its reward is the last term, and no V follows.
- A row where it was *truncated* by a time limit has one, which was only not seen: V of the state it really reached.
- At the end of the window the sum stops too, with V of the last state.

After m <= k steps V counts gamma^m. No reward of the next episode may enter. What a window says of the successor is
`next_values`, V of the state that each step really led to; in terminated rows it means nothing and may be nan, so
select with `jnp.where`: 0 * nan is nan.

Write `k_step_targets`. Read: lesson 4; Sutton & Barto 2018, eq. 7.1.
"""

import jax
import jax.numpy as jnp


def k_step_targets(
    rewards: jax.Array, terminated: jax.Array, truncated: jax.Array, next_values: jax.Array, gamma: float, k: int
) -> jax.Array:
    """The k-step target of every row.

    Args:
      rewards: `[T]`, r_t.
      terminated: bool `[T]`, the episode ended with this step.
      truncated: bool `[T]`, a time limit cut it after this step.
      next_values: `[T]`, V of the state that step t led to; meaningless where `terminated`.
      gamma: the discount, in [0, 1].
      k: how many steps, >= 1; a Python number.

    Returns:
      `[T]`.
    """
    ### BEGIN SOLUTION
    done = terminated | truncated
    future = jnp.where(terminated, 0.0, next_values)
    targets = rewards + gamma * future  # of one step
    for _ in range(k - 1):
        later = jnp.concatenate([targets[1:], future[-1:]])  # what the next row made of one step less
        targets = rewards + gamma * jnp.where(done, future, later)
    return targets
    ### END SOLUTION
