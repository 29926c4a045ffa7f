"""Exercise 6.4, a bug hunt: KL the wrong way round.

TRPO's constraint and PPO's early stopping measure how far the new policy is from the old one, which acted:

    KL(old || new) = sum_a old(a) (log old(a) - log new(a))

Where not all probabilities are at hand it is estimated from the actions that were taken, a ~ old. With
r = new(a) / old(a),

    k1 = -log r            unbiased, of high variance, sometimes negative
    k3 = r - 1 - log r     unbiased, of low variance, never negative

The three functions below run, are 0 where the policies agree, and are close to right where they nearly agree, which is
where most tests look. Far apart they are wrong. Mend all three.

Read: lesson 6; Schulman et al. 2015, arXiv:1502.05477, eq. 14; Schulman 2020, "Approximating KL divergence",
joschu.net/blog/kl-approx.html.
"""

import jax
import jax.numpy as jnp


def exact_kl(old_log_probs: jax.Array, new_log_probs: jax.Array) -> jax.Array:
    """KL(old || new) `[...]` in nats, from log-probabilities of all actions `[..., A]`."""
    ### BEGIN SOLUTION
    ### TASK
    # return jnp.sum(jnp.exp(new_log_probs) * (new_log_probs - old_log_probs), axis=-1)
    return jnp.sum(jnp.exp(old_log_probs) * (old_log_probs - new_log_probs), axis=-1)
    ### END SOLUTION


def k1(old_log_prob: jax.Array, new_log_prob: jax.Array) -> jax.Array:
    """The estimate -log r `[...]` of each action taken by old, from their log-probabilities `[...]`."""
    ### BEGIN SOLUTION
    ### TASK
    # return new_log_prob - old_log_prob
    return old_log_prob - new_log_prob
    ### END SOLUTION


def k3(old_log_prob: jax.Array, new_log_prob: jax.Array) -> jax.Array:
    """The estimate r - 1 - log r `[...]` of each action taken by old, from their log-probabilities `[...]`."""
    ### BEGIN SOLUTION
    ### TASK
    # log_ratio = old_log_prob - new_log_prob
    log_ratio = new_log_prob - old_log_prob
    ### END SOLUTION
    return jnp.exp(log_ratio) - 1.0 - log_ratio
