"""Exercise 6.2: the log-probability of a squashed action.

SAC samples u = mean + exp(log_std) n with n ~ N(0, 1), and acts a = tanh(u), which lies in (-1, 1). The density of a is
that of u, corrected for how much tanh stretches the line there; the log-probability sums over the D dimensions:

    log pi(a) = sum_d [log N(u_d; mean_d, std_d) - log(1 - tanh(u_d)^2)]
    log N(u; mean, std) = -((u - mean) / std)^2 / 2 - log std - log(2 pi) / 2

In float32 tanh(10) is exactly 1, and log(1 - 1) is -inf. So write the correction in u, such that it and its gradient
are right for u = 20 and u = -20 as well. With softplus(x) = log(1 + exp x), which is `jax.nn.softplus`, there is an
identity that does it: begin from 1 - tanh(u)^2 = 4 / (exp(u) + exp(-u))^2.

Write `sample_and_log_prob`. Read: lesson 6; Haarnoja et al. 2018, arXiv:1812.05905, appendix C.
"""

import math

import jax
import jax.numpy as jnp


def sample_and_log_prob(noise: jax.Array, mean: jax.Array, log_std: jax.Array) -> tuple[jax.Array, jax.Array]:
    """A squashed action and its log-probability.

    Args:
      noise: `[..., D]`, standard normal.
      mean: `[..., D]`, of u.
      log_std: `[..., D]`, log of the standard deviation of u.

    Returns:
      a `[..., D]`, and log pi(a) `[...]` in nats.
    """
    ### BEGIN SOLUTION
    before = mean + jnp.exp(log_std) * noise
    gaussian = -0.5 * noise**2 - log_std - 0.5 * math.log(2.0 * math.pi)
    stretch = 2.0 * (math.log(2.0) - before - jax.nn.softplus(-2.0 * before))  # log(1 - tanh(u)^2)
    return jnp.tanh(before), jnp.sum(gaussian - stretch, axis=-1)
    ### END SOLUTION
