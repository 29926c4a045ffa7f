"""Exercise 8.1, a bug hunt: [B] against [B, 1].

The loss of Q-learning on a batch of B transitions:

    y_i = r_i + gamma (1 - terminated_i) max_a Q'(s'_i, a)
    loss = mean_i (Q(s_i, a_i) - y_i)^2

The function below runs, it is a scalar, it goes down in training, and the agent does not learn. Find the bug. Then say
which assertion would have found it at once.

Read: lesson 8; NumPy's "Broadcasting"; Mnih et al. 2015, algorithm 1.
"""

import jax
import jax.numpy as jnp


def q_loss(
    q_values: jax.Array,
    next_q_values: jax.Array,
    action: jax.Array,
    reward: jax.Array,
    terminated: jax.Array,
    gamma: float,
) -> jax.Array:
    """The loss `[]`; its gradient reaches `q_values` alone.

    Args:
      q_values: `[B, A]`, Q(s_i, a) of all actions; differentiated.
      next_q_values: `[B, A]`, Q'(s'_i, a); data.
      action: int32 `[B]`.
      reward: `[B]`.
      terminated: bool `[B]`.
      gamma: the discount, in [0, 1].
    """
    next_value = jnp.max(jax.lax.stop_gradient(next_q_values), axis=-1)
    target = reward + gamma * jnp.where(terminated, 0.0, next_value)
    ### BEGIN SOLUTION
    ### TASK
    # chosen = jnp.take_along_axis(q_values, action[:, None], axis=-1)
    chosen = jnp.take_along_axis(q_values, action[:, None], axis=-1)[:, 0]
    ### END SOLUTION
    return jnp.mean(jnp.square(chosen - target))
