"""Exercise 11.2: the likelihood that a probabilistic model maximises.

A model that predicts a number says nothing of how sure it is. One that predicts a mean and a variance does, and is
fitted by the likelihood of what really came. For B rows and K numbers in each, with mean mu and log-variance l = log
sigma^2, both of which the network says,

    L = 1/B sum_b sum_k 1/2 ( (y_bk - mu_bk)^2 exp(-l_bk) + l_bk )

which is the mean negative log-likelihood of a row in nats, but for the constant K log(2 pi) / 2, which moves nothing
and is left out. It is a *mean* over rows and a *sum* over the K numbers of a row. The first term asks for a large
variance where errors are large, the second one for a small variance everywhere; for one row the two agree where sigma^2
is the squared error. Gradients flow into both mu and l.

Write `model_loss`. Read: lesson 11, "What the model does not know"; Chua et al. 2018, arXiv:1805.12114, section 4.
"""

import jax
import jax.numpy as jnp


def model_loss(mean: jax.Array, log_variance: jax.Array, target: jax.Array) -> jax.Array:
    """The loss of B predictions.

    Args:
      mean: `[B, K]`, mu.
      log_variance: `[B, K]`, log sigma^2; any finite number.
      target: `[B, K]`, what came.

    Returns:
      `[]`, in nats.
    """
    ### BEGIN SOLUTION
    square = (target - mean) ** 2
    each = 0.5 * (square * jnp.exp(-log_variance) + log_variance)
    return jnp.mean(jnp.sum(each, axis=-1))
    ### END SOLUTION
