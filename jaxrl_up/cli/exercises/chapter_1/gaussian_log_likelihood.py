"""Exercise 1.1: the log-likelihood of a Gaussian.

A policy over continuous actions is most often a diagonal Gaussian: each of the D numbers of an action is normal by
itself, with a mean that depends on the state and a standard deviation exp(log_std). Its log-density is a sum over them,

    log pi(a | s) = sum_d [ -((a_d - mean_d) / std_d)^2 / 2 - log std_d - log(2 pi) / 2 ].

Write it in jax.numpy, so that it runs under jit and vmap, for one action and for a batch of them.
"""

import jax.numpy as jnp


def log_likelihood(action, mean, log_std):
    """log pi(a | s) of a diagonal Gaussian.

    Args:
      action: `[..., D]`.
      mean: `[..., D]`, of the same shape as the action.
      log_std: `[D]` or `[..., D]`, the logarithms of the standard deviations.

    Returns:
      `[...]`: one number for each action. `[D]` gives a scalar, `[B, D]` gives `[B]`.
    """
    ### BEGIN SOLUTION
    distance = (action - mean) / jnp.exp(log_std)
    terms = -0.5 * distance**2 - log_std - 0.5 * jnp.log(2.0 * jnp.pi)
    return jnp.sum(terms, axis=-1)
    ### END SOLUTION
