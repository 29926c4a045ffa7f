"""Deep Q-learning with quantile regression, QR-DQN (Dabney, Rowland, Bellemare & Munos 2018, arXiv:1710.10044).

    L(theta) = E[sum_i mean_j rho(r + gamma theta_j(s', a*; theta-) - theta_i(s, a; theta))]          (algorithm 1)

The return of an action is N = `num_quantiles` places theta_i that weigh the same, the i-th at the middle of the i-th
N-th of the distribution; a* has the greatest mean (1 / N) sum_j theta_j(s', a; theta-), and rho is the quantile Huber
loss (eq. 10; `kappa` = 0 is plain quantile regression, eq. 8). Unlike C51 it needs no bounds on the return.

Switches, as in DQN: `double`, `dueling` (Wang et al. 2016, with streams of quantiles), `n_step`, `prioritized` (by the
TD error of the means, which is 0 for a row that is right, as the loss is not).

Deviations: 32 quantiles, where the paper has 200; Adam with a step size of 1e-3 and 1e-8 in its denominator, where the
paper has 5e-5 and 0.01 / 32; the norm of the gradient is clipped to 10. Of what the paper takes from DQN: batches of
128 and not 32; a replay of 50,000 and not 1,000,000, learned from after 1,000 steps and not 50,000; 4 environments and
not one; a copy to the target network every 250 gradient steps and not 10,000; two layers of 64 units on vectors.
Targets of `n_step` > 1 are not corrected for rewards of older policies.

Time limits: the target bootstraps from the true last observation, which the replay keeps.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax.numpy as jnp
from flax import struct

from jaxrl_up import ops
from jaxrl_up.algorithms import dqn
from jaxrl_up.envs import Env, mask_of
from jaxrl_up.learning import Loss, Transitions, networks, off_policy, q_learning
from jaxrl_up.types import Algorithm, Array, PyTree, static, traced


@struct.dataclass(frozen=True)
class Config(q_learning.Fields):
    """Fields of QR-DQN. Numbers marked `traced` can be swept without recompiling."""

    num_envs: int = static(4, low=1)
    buffer_size: int = static(50_000, low=2)
    learning_rate: float = traced(1e-3, 0.0)
    exploration_fraction: float = traced(0.1, 0.0, 1.0)
    target_every: int = static(250, low=1)
    num_quantiles: int = static(32, low=1)
    """quantiles of each return distribution"""
    kappa: float = traced(1.0, 0.0)
    """where the loss turns from quadratic to linear, in units of the return; 0: linear throughout"""
    max_grad_norm: float | None = traced(10.0, 0.0)


def network(config: Config, env: Env) -> networks.QFunction:
    """Observation -> quantiles of the return of all actions `[..., A, num_quantiles]`."""
    return networks.q_network(config, env, config.num_quantiles, config.dueling)


def q_values(config: Config, env: Env, params: PyTree, obs: Array) -> Array:
    """The means of the distributions `[..., A]`, for `obs [..., *shape]`."""
    return jnp.mean(network(config, env).apply(params, obs), axis=-1)


def loss(config: Config, env: Env, params: PyTree, targets: PyTree, batch: Transitions, noise: Any) -> Loss:
    """The loss of algorithm 1 on a batch, what it is made of, and what ranks the rows."""
    net = network(config, env)
    quantiles = ops.action_distribution(net.apply(params["q"], batch.obs), batch.action)
    next_quantiles = net.apply(targets["q"], batch.next_obs)
    # Q(s', a) = sum_j theta_j(s', a) / N; a* = argmax_a Q(s', a), of those allowed in s'
    chooser = net.apply(params["q"], batch.next_obs) if config.double else next_quantiles
    best = ops.masked_argmax(jnp.mean(chooser, axis=-1), mask_of(env.observation_space, batch.next_obs))
    next_quantiles = ops.action_distribution(next_quantiles, best)
    # T theta_j = r + gamma theta_j(s', a*)
    target = batch.reward[:, None] + ops.weighted(batch.discount[:, None], next_quantiles)
    target = off_policy.stopped(target, batch.weight)
    # sum_i E_j[rho(T theta_j - theta_i(s, a))]
    total = jnp.mean(batch.weight * ops.quantile_huber_loss(quantiles, target, config.kappa))
    value = jnp.mean(quantiles, axis=-1)
    error = jnp.mean(target, axis=-1) - value
    return total, ({"loss": total, "q_value": jnp.mean(value), "td_error": jnp.mean(jnp.abs(error))}, error)


learn = partial(dqn.learn, loss=loss)
explore = partial(dqn.explore, q_values=q_values)
act = partial(dqn.act, q_values=q_values)  # the action of the greatest mean
BROUGHT = dqn.BROUGHT._replace(networks=(network,), learn=learn, explore=explore)
init, update = BROUGHT.init, BROUGHT.update

QR_DQN = Algorithm(
    "qr_dqn",
    Config,
    init,
    update,
    act,
    off_policy.steps_per_update,
    {},
    ("Discrete",),
    q_learning.anneals,
    judge=partial(dqn.judge, q_values=q_values),
)
