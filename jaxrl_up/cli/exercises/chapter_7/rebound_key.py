"""Exercise 7.1, a bug hunt: the key that was rebound.

A JAX key is not a generator: drawing from it does not change it, and the same key gives the same numbers again. So
every draw needs a key of its own, made by `jax.random.split` or `fold_in`, and a key that was drawn from or split is
spent.

`one_seed` stands for a training run: it draws initial weights, and noise to explore with at each step. `many_seeds`
stands for the experiment over seeds. The shapes are right, nothing warns, and the figure has a suspiciously thin band.
There are three bugs: find and mend them all. All numbers are to be independent, and the same key is to give the same
experiment.

Read: lesson 7; docs.jax.dev, "Pseudorandom numbers".
"""

import jax
import jax.numpy as jnp


def one_seed(key: jax.Array, size: int, steps: int) -> tuple[jax.Array, jax.Array]:
    """Initial weights `[size]` and the noise of each step `[steps, size]`, all standard normal."""
    ### BEGIN SOLUTION
    ### TASK
    # weights = jax.random.normal(key, (size,))
    # noise = []
    # for _ in range(steps):
    #     noise.append(jax.random.normal(key, (size,)))
    #     key, noise_key = jax.random.split(key)
    weights_key, key = jax.random.split(key)
    weights = jax.random.normal(weights_key, (size,))
    noise = []
    for _ in range(steps):
        key, noise_key = jax.random.split(key)
        noise.append(jax.random.normal(noise_key, (size,)))
    ### END SOLUTION
    return weights, jnp.stack(noise)


def many_seeds(key: jax.Array, seeds: int, size: int, steps: int) -> tuple[jax.Array, jax.Array]:
    """What `one_seed` gives for each of the seeds: `[seeds, size]` and `[seeds, steps, size]`."""
    keys = jax.random.split(key, seeds)
    ### BEGIN SOLUTION
    ### TASK
    # return jax.vmap(lambda _: one_seed(key, size, steps))(keys)
    return jax.vmap(lambda key: one_seed(key, size, steps))(keys)
    ### END SOLUTION
