"""Exercise 1.2: the policy network.

A Gaussian policy for continuous actions, in plain JAX: functions of parameters, which are a dict of arrays.

The mean is a network of the observation, two hidden layers of HIDDEN numbers with tanh behind each, and a last layer
without. The logarithms of the standard deviations are parameters of their own, params["log_std"] `[D]`, and do not
depend on the observation; they begin at -0.5. How the dict holds the layers is for you to choose.

    mean = W3 tanh(W2 tanh(W1 o + b1) + b2) + b3,    a = mean + exp(log_std) * z,    z ~ N(0, I)

All functions take one observation `[O]` or a batch `[B, O]`, and run under jit.
"""

import jax
import jax.numpy as jnp

HIDDEN = 32


def init(key, obs_size, action_size):
    """Parameters: a dict with "log_std" `[D]`, all -0.5, and the layers. No two layers begin with the same numbers.

    Weights are normal with standard deviation 1 / sqrt(inputs of the layer), biases 0.
    """
    ### BEGIN SOLUTION
    sizes = (obs_size, HIDDEN, HIDDEN, action_size)
    keys = jax.random.split(key, 3)
    params = {"log_std": jnp.full(action_size, -0.5)}
    for i in range(3):
        params[f"weights{i}"] = jax.random.normal(keys[i], (sizes[i], sizes[i + 1])) / jnp.sqrt(sizes[i])
        params[f"bias{i}"] = jnp.zeros(sizes[i + 1])
    return params
    ### END SOLUTION


def distribution(params, observation):
    """(mean, log_std) of the actions: the mean `[..., D]` of observations `[..., O]`, and log_std `[D]`."""
    ### BEGIN SOLUTION
    hidden = jnp.tanh(observation @ params["weights0"] + params["bias0"])
    hidden = jnp.tanh(hidden @ params["weights1"] + params["bias1"])
    mean = hidden @ params["weights2"] + params["bias2"]
    return mean, params["log_std"]
    ### END SOLUTION


def sample(params, observation, key):
    """Actions `[..., D]`, drawn by the key; each number of each action has noise of its own."""
    ### BEGIN SOLUTION
    mean, log_std = distribution(params, observation)
    noise = jax.random.normal(key, mean.shape)
    return mean + jnp.exp(log_std) * noise
    ### END SOLUTION


def log_prob(params, observation, action):
    """log pi(a | s) `[...]` of actions `[..., D]`, summed over the last axis as in exercise 1.1."""
    ### BEGIN SOLUTION
    mean, log_std = distribution(params, observation)
    terms = -0.5 * ((action - mean) / jnp.exp(log_std)) ** 2 - log_std - 0.5 * jnp.log(2.0 * jnp.pi)
    return jnp.sum(terms, axis=-1)
    ### END SOLUTION
