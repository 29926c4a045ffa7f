"""Exercise 4.2, a bug hunt: lambda targets that are off by one.

The lambda target mixes the targets of one step, two steps, ... in one recursion, from the last row to the first:

    G_t = r_t + gamma_t ((1 - lambda) V(s_{t+1}) + lambda G_{t+1}),    G_T = V(s_T)

gamma_t is gamma, or 0 where the episode terminated with step t. (Nothing is truncated here.)

The function below runs, its numbers look like values, and a critic even learns something from them. But it learns too
slowly, and to wrong values. Find the bug and mend it.

Write a test before you look for it: which numbers can the targets only be, if V is exactly right?

Read: lesson 4; Sutton & Barto 2018, eq. 12.18.
"""

import jax
import jax.numpy as jnp


def lambda_targets(
    rewards: jax.Array, discount: jax.Array, values: jax.Array, last_value: jax.Array, lam: float
) -> jax.Array:
    """The lambda target of every row.

    Args:
      rewards: `[T]`, r_t.
      discount: `[T]`, gamma * (1 - terminated).
      values: `[T]`, V(s_t) of the state that step t starts from.
      last_value: `[]`, V(s_T) of the state after the last step.
      lam: lambda, in [0, 1].

    Returns:
      `[T]`.
    """

    def step(later, row):
        reward, gamma, value = row
        target = reward + gamma * ((1.0 - lam) * value + lam * later)
        return target, target

    ### BEGIN SOLUTION
    ### TASK
    # rows = (rewards, discount, values)
    next_values = jnp.append(values[1:], last_value)
    rows = (rewards, discount, next_values)
    ### END SOLUTION
    return jax.lax.scan(step, last_value, rows, reverse=True)[1]
