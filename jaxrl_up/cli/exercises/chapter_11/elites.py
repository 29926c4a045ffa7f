"""Exercise 11.1: the elites of the cross-entropy method.

The cross-entropy method draws N plans from a Gaussian, tries each, and fits the Gaussian to the best of them, the
elites. One refit is three lines of mathematics:

    elites   the plans that earned no less than the K-th best of all:  E = {i : R_i >= R_(K)}
    mean     mu_{h,d}    = 1/|E| sum_{i in E} a^i_{h,d}
    spread   sigma_{h,d} = ( 1/|E| sum_{i in E} (a^i_{h,d} - mu_{h,d})^2 )^(1/2)

Each step h and each dimension d of an action has a mean and a standard deviation of its own. By this definition |E| is
K, unless other plans earned exactly as much as the K-th best: they are elites too.

Write `refit`. Read: lesson 11, "Planning is a search"; Rubinstein 1999, algorithm 2.1.
"""

import jax
import jax.numpy as jnp


def refit(plans: jax.Array, returns: jax.Array, number: int) -> tuple[jax.Array, jax.Array]:
    """The Gaussian that fits the elites.

    Args:
      plans: `[N, H, D]`, actions of N plans, H steps and D dimensions.
      returns: `[N]`, what each earned; in any order.
      number: K, from 1 to N; a Python number.

    Returns:
      mean and standard deviation, `[H, D]` each.
    """
    ### BEGIN SOLUTION
    elite = returns >= jnp.sort(returns)[-number]
    weight = elite / jnp.sum(elite)
    mean = jnp.einsum("n,nhd->hd", weight, plans)
    std = jnp.sqrt(jnp.einsum("n,nhd->hd", weight, (plans - mean) ** 2))
    return mean, std
    ### END SOLUTION
