"""Exercise 8.2, a bug hunt: the normaliser that moved too early.

PPO with normalised observations. A batch was collected by a policy that saw observations through the statistics of
that time, and wrote down the log-probabilities of its actions. Then one update follows:

    x = (obs - mean) / sqrt(variance + 1e-8)                              the statistics that the policy acted with
    ratio_i = pi(a_i | x_i) / pi_old(a_i | x_i),    loss = -mean_i ratio_i advantage_i

for some gradient steps, and the statistics take in the new observations. Before the first step nothing has been learned
yet, so all ratios must be exactly 1: the cheapest test there is of a policy gradient with ratios. Here they are not.

Find the bug in `update` and mend it. The policy of the next batch is to see the statistics with this batch in them.

Read: lesson 8; Schulman et al. 2017, arXiv:1707.06347, section 3.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class Statistics(NamedTuple):
    """Of all observations so far."""

    count: jax.Array  # [], how many
    mean: jax.Array  # [D]
    variance: jax.Array  # [D]


class Learner(NamedTuple):
    """All that is learned."""

    weights: jax.Array  # [D, A], of the policy
    statistics: Statistics


class Batch(NamedTuple):
    """B steps of the policy that is to be improved."""

    obs: jax.Array  # [B, D], as the environment gave them
    action: jax.Array  # int32 [B]
    log_prob: jax.Array  # [B], of the actions, by the policy that took them
    advantage: jax.Array  # [B]


def normalise(statistics: Statistics, obs: jax.Array) -> jax.Array:
    """Observations `[B, D]` in units of standard deviations from the mean."""
    return (obs - statistics.mean) / jnp.sqrt(statistics.variance + 1e-8)


def extended(statistics: Statistics, obs: jax.Array) -> Statistics:
    """The statistics with observations `[B, D]` added."""
    total = statistics.count + len(obs)
    share = len(obs) / total
    difference = jnp.mean(obs, axis=0) - statistics.mean
    within = (1.0 - share) * statistics.variance + share * jnp.var(obs, axis=0)
    variance = within + share * (1.0 - share) * difference**2
    return Statistics(total, statistics.mean + share * difference, variance)


def log_prob(weights: jax.Array, x: jax.Array, action: jax.Array) -> jax.Array:
    """log pi(a | x) `[B]` of a softmax over `x @ weights`, for normalised observations `[B, D]`."""
    return jnp.take_along_axis(jax.nn.log_softmax(x @ weights), action[:, None], axis=-1)[:, 0]


def update(learner: Learner, batch: Batch, rate: float, steps: int) -> tuple[Learner, jax.Array]:
    """The learner after `steps` gradient steps on the batch, and the ratios `[steps, B]` before each of them."""
    weights, statistics = learner
    ### BEGIN SOLUTION
    ### TASK
    # statistics = extended(statistics, batch.obs)
    # x = normalise(statistics, batch.obs)
    x = normalise(statistics, batch.obs)
    statistics = extended(statistics, batch.obs)
    ### END SOLUTION

    def loss(weights):
        ratio = jnp.exp(log_prob(weights, x, batch.action) - batch.log_prob)
        return -jnp.mean(ratio * batch.advantage), ratio

    ratios = []
    for _ in range(steps):
        gradient, ratio = jax.grad(loss, has_aux=True)(weights)
        weights = weights - rate * gradient
        ratios.append(ratio)
    return Learner(weights, statistics), jnp.stack(ratios)
