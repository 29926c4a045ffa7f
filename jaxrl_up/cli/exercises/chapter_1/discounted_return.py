"""Exercise 1.3: the discounted return.

The return of a trajectory is the sum of its rewards, each worth less the later it comes:

    R(tau) = sum_{t=0}^{T-1} gamma^t r_t,    gamma in [0, 1].

Write it for one trajectory `[T]` and for several side by side `[T, B]`: time is the first axis everywhere in this
library.
"""

import jax.numpy as jnp


def discounted_return(rewards, gamma):
    """R(tau) `[...]` of rewards `[T, ...]`, with one discount gamma, which may be 0 or 1."""
    ### BEGIN SOLUTION
    weights = gamma ** jnp.arange(len(rewards))
    return jnp.tensordot(weights, rewards, axes=1)
    ### END SOLUTION
