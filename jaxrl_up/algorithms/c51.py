"""Categorical deep Q-learning, C51 (Bellemare, Dabney & Munos 2017, arXiv:1707.06887).

    L(theta) = E[-sum_i m_i log p_i(s, a; theta)],    m = Phi(r + gamma z, p(s', a*; theta-))         (algorithm 1)

The return of an action is a categorical distribution p over a fixed support z of `num_atoms` places, evenly from
`v_min` to `v_max`; a* has the greatest mean sum_i z_i p_i(s', a; theta-), and Phi projects the moved atoms back onto
the support (eq. 7). Returns beyond the support count as its ends, so choose it to hold them all: with rewards in
[low, high], from low / (1 - gamma) to high / (1 - gamma). The defaults suit rewards in [0, 1] with gamma = 0.99.

Switches, as in DQN: `double`, `dueling` (Wang et al. 2016, with streams of logits as in Hessel et al. 2018), `n_step`,
`prioritized` (by KL(m || p), as in Hessel et al. 2018: the loss less the entropy of m, so 0 for a row that is right).

Deviations: a support of [0, 100], where the paper has [-10, 10]; Adam with a step size of 5e-4 and 1e-4 in its
denominator, where the paper has 2.5e-4 and 0.01 / 32; the norm of the gradient is clipped to 10; epsilon falls to 0.05
and not 0.01. Of what the paper takes from DQN: batches of 128 and not 32; a replay of 50,000 and not 1,000,000,
learned from after 1,000 steps and not 50,000; 4 environments and not one; a copy to the target network every 100
gradient steps and not 10,000; two layers of 64 units on vectors. Targets of `n_step` > 1 are not corrected for rewards
of older policies.

Time limits: the target bootstraps from the true last observation, which the replay keeps.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from jaxrl_up import ops
from jaxrl_up.algorithms import dqn
from jaxrl_up.envs import Env, mask_of
from jaxrl_up.learning import Loss, Transitions, networks, off_policy, q_learning
from jaxrl_up.types import Algorithm, Array, PyTree, static, traced


@struct.dataclass(frozen=True)
class Config(q_learning.Fields):
    """Fields of C51. Numbers marked `traced` can be swept without recompiling."""

    num_envs: int = static(4, low=1)
    buffer_size: int = static(50_000, low=2)
    exploration_fraction: float = traced(0.1, 0.0, 1.0)
    target_every: int = static(100, low=1)
    num_atoms: int = static(51, low=2)
    """places of the support"""
    v_min: float = traced(0.0)
    """least return on the support, in units of the discounted return"""
    v_max: float = traced(100.0, above="v_min")
    """greatest return on the support; smaller and greater returns count as its ends"""
    max_grad_norm: float | None = traced(10.0, 0.0)
    adam_epsilon: float = traced(1e-4, 0.0)


def network(config: Config, env: Env) -> networks.QFunction:
    """Observation -> logits of the distributions of all actions `[..., A, num_atoms]`."""
    return networks.q_network(config, env, config.num_atoms, config.dueling)


def support(config: Config) -> Array:
    """The returns z `[num_atoms]` that the probabilities belong to."""
    return jnp.linspace(config.v_min, config.v_max, config.num_atoms, dtype=jnp.float32)


def q_values(config: Config, env: Env, params: PyTree, obs: Array) -> Array:
    """The means of the distributions `[..., A]`, for `obs [..., *shape]`."""
    return _mean(support(config), jax.nn.softmax(network(config, env).apply(params, obs), axis=-1))


def _mean(support: Array, probs: Array) -> Array:
    return jnp.matmul(probs, support, precision="highest")


def loss(config: Config, env: Env, params: PyTree, targets: PyTree, batch: Transitions, noise: Any) -> Loss:
    """The loss of algorithm 1 on a batch, what it is made of, and what ranks the rows."""
    net, z = network(config, env), support(config)
    logits = ops.action_distribution(net.apply(params["q"], batch.obs), batch.action)
    next_probs = jax.nn.softmax(net.apply(targets["q"], batch.next_obs), axis=-1)
    # Q(s', a) = sum_i z_i p_i(s', a); a* = argmax_a Q(s', a), of those allowed in s'
    chooser = jax.nn.softmax(net.apply(params["q"], batch.next_obs), axis=-1) if config.double else next_probs
    mask = mask_of(env.observation_space, batch.next_obs)
    next_probs = ops.action_distribution(next_probs, ops.masked_argmax(_mean(z, chooser), mask))
    # m: the mass p_j(s', a*) at r + gamma z_j, shared by the neighbours on the support
    target = off_policy.stopped(ops.categorical_target(batch.reward, batch.discount, next_probs, z), batch.weight)
    # -sum_i m_i log p_i(s, a)
    losses = ops.categorical_cross_entropy(target, logits)
    total = jnp.mean(batch.weight * losses)
    value = _mean(z, jax.nn.softmax(logits, axis=-1))
    td_error = jnp.mean(jnp.abs(_mean(z, target) - value))
    divergence = ops.categorical_divergence(target, logits)
    return total, ({"loss": total, "q_value": jnp.mean(value), "td_error": td_error}, divergence)


learn = partial(dqn.learn, loss=loss)
explore = partial(dqn.explore, q_values=q_values)
act = partial(dqn.act, q_values=q_values)  # the action of the greatest mean
BROUGHT = dqn.BROUGHT._replace(networks=(network,), learn=learn, explore=explore)
init, update = BROUGHT.init, BROUGHT.update

C51 = Algorithm(
    "c51",
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
