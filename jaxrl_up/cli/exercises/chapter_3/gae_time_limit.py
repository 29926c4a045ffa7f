"""Exercise 3.3: generalised advantage estimation at a time limit.

    delta_t = r_t + gamma V(s'_t) - V(s_t),    A_t = delta_t + gamma lambda A_{t+1}

An episode can end in two ways. It is terminated where the world says so: nothing is paid after that, so V(s'_t) counts
as 0. It is truncated where only a time limit stops it: the state s'_t that was reached is worth V(s'_t) as ever. In
both cases step t + 1 belongs to another episode, so the sum stops.

next_values holds V of the state that each step really reached, not of the first state of the next episode.
"""

import jax
import jax.numpy as jnp


def advantages(rewards, values, next_values, terminated, truncated, gamma, lam):
    """A_t `[T, ...]`. It runs under jit.

    Args:
      rewards: r_t, `[T, ...]`.
      values: V(s_t), `[T, ...]`.
      next_values: V(s'_t), `[T, ...]`.
      terminated: 0 or 1, `[T, ...]`.
      truncated: 0 or 1, `[T, ...]`.
      gamma: the discount, a number.
      lam: lambda, a number. At the end of the window the sum stops too.
    """
    ### BEGIN SOLUTION
    bootstrap = gamma * (1.0 - terminated)
    done = jnp.maximum(terminated, truncated)
    deltas = rewards + bootstrap * next_values - values

    def earlier(following, step):
        delta, last = step
        following = delta + gamma * lam * (1.0 - last) * following
        return following, following

    return jax.lax.scan(earlier, jnp.zeros_like(deltas[0]), (deltas, done), reverse=True)[1]
    ### END SOLUTION
