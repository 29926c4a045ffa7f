"""Exercise 5.1: epsilon-greedy actions where values tie.

With probability epsilon an agent takes any of the A actions, each as likely; otherwise a greedy one. Where n actions
share the greatest value, they share the greedy part as well:

    pi(a) = epsilon / A + (1 - epsilon) [Q(a) = max_b Q(b)] / n

At the start of learning all values are often equal, and a network of zeros says so exactly. `argmax` alone would then
explore nothing but action 0.

Write the probabilities, then a draw from them. Both must work under `jax.jit` and `jax.vmap`: no Python `if` on values.

Read: lesson 5; Sutton & Barto 2018, section 2.2.
"""

import jax
import jax.numpy as jnp


def action_probabilities(q_values: jax.Array, epsilon: float | jax.Array) -> jax.Array:
    """The probability of every action.

    Args:
      q_values: `[..., A]`.
      epsilon: a number in [0, 1].

    Returns:
      `[..., A]`, with sum 1 over the last axis.
    """
    ### BEGIN SOLUTION
    greedy = q_values == jnp.max(q_values, axis=-1, keepdims=True)
    share = greedy / jnp.sum(greedy, axis=-1, keepdims=True)
    return epsilon / q_values.shape[-1] + (1.0 - epsilon) * share
    ### END SOLUTION


def sample_action(key: jax.Array, q_values: jax.Array, epsilon: float | jax.Array) -> jax.Array:
    """A draw from these probabilities, of each row for itself.

    Args:
      key: a JAX key, used for this draw alone.
      q_values: `[..., A]`.
      epsilon: a number in [0, 1].

    Returns:
      integers `[...]`, in 0..A-1.
    """
    ### BEGIN SOLUTION
    return jax.random.categorical(key, jnp.log(action_probabilities(q_values, epsilon)), axis=-1)
    ### END SOLUTION
