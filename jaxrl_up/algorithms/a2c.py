"""Advantage Actor-Critic, synchronous (Mnih et al. 2016, arXiv:1602.01783).

A3C, its ancestor, let asynchronous workers each apply the gradient of t_max steps to shared parameters
(algorithm S3). Here all environments step together and one gradient is taken over the whole batch, which is the
same estimator without stale parameters:

    grad log pi(a_t|s_t) (R_t - V(s_t)) + entropy_cost grad H(pi(s_t)),    R_t the n-step return      (section 4)

RMSProp with shared statistics as in the paper (equation S2), or Adam. `gae_lambda` = 1 gives the paper's n-step
return to the end of the window; below 1 it is GAE.

Deviations: synchronous; t_max, which is `rollout_length`, is 8 and not 5; actor and critic are two networks, of two
layers of 64 units, where the paper has one for both on Atari; each network's gradient is clipped on its own; the
critic learns in units of its targets.

Time limits: the value of the true successor is bootstrapped (see `on_policy`).
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import optax
from flax import struct

from jaxrl_up import ops
from jaxrl_up.envs import Env
from jaxrl_up.learning import Batch, on_policy, optimisation
from jaxrl_up.types import Algorithm, Array, Metrics, PyTree, static, traced


@struct.dataclass(frozen=True)
class Config(on_policy.GradientFields):
    """Fields of A2C. Numbers marked `traced` can be swept without recompiling."""

    num_envs: int = static(16, low=1)
    rollout_length: int = static(8, low=1)
    optimizer: str = static("rmsprop", choices=("rmsprop", "adam"))
    """which steps; RMSProp as in the paper"""
    learning_rate: float = traced(2e-3, 0.0)
    """step size of the policy, and of the critic unless value_learning_rate is given"""
    gae_lambda: float = traced(1.0, 0.0, 1.0)
    """trace decay of GAE; 1 is the n-step return of the paper"""
    entropy_cost: float = traced(0.01, 0.0)
    value_cost: float = traced(0.5, 0.0)
    """weight of the critic's loss"""
    rms_decay: float = traced(0.99, 0.0, 1.0)
    """decay of RMSProp's squared gradients"""
    epsilon: float = traced(1e-8, 0.0)
    """added to the optimiser's denominator"""
    normalize_advantages: bool = static(False)
    """zero mean, unit variance over the batch; a batch of one row is left as it is"""


def optimizer(config: Config) -> optax.GradientTransformation:
    """RMSProp or Adam without the step size."""
    if config.optimizer == "adam":
        return optax.scale_by_adam(eps=config.epsilon)
    return optax.scale_by_rms(decay=config.rms_decay, eps=config.epsilon)


def loss(config: Config, env: Env, params: PyTree, batch: Batch) -> tuple[Array, dict[str, Array]]:
    """Policy gradient, critic and entropy together, as in section 4."""
    policy, value = on_policy.network(config, env).both(params, batch.obs)
    policy_loss = ops.score_function_loss(policy.log_prob(batch.action), batch.advantage)
    value_loss = on_policy.value_loss(params["critic"], value, batch.target)
    entropy = jnp.mean(policy.entropy())
    total = policy_loss + config.value_cost * value_loss - config.entropy_cost * entropy
    return total, {"loss": total, "policy_loss": policy_loss, "value_loss": value_loss, "entropy": entropy}


def update(config: Config, env: Env, state: on_policy.State) -> tuple[on_policy.State, Metrics]:
    """One thread's loop of algorithm S3, all environments at once."""
    key, rollout_key = jax.random.split(state.key)
    rates = on_policy.rates(config, state)

    # perform a_t by pi for t_max steps; R <- r + gamma R backwards from V(s), or 0 for a terminal s
    collected = on_policy.collect(config, env, state, rollout_key)
    batch = collected.batch
    if config.normalize_advantages:
        batch = on_policy.normalize_advantages(batch)

    # accumulate gradients wrt theta and theta_v, update both
    gradient, losses = jax.grad(loss, argnums=2, has_aux=True)(config, env, collected.learner.params, batch)
    learner = optimisation.descend(collected.learner, gradient, rates, optimizer(config), config.max_grad_norm)
    return on_policy.finish(config, state, key, collected, learner, losses)


init, act = partial(on_policy.init, optimizer=optimizer), on_policy.act

A2C = Algorithm(
    "a2c",
    Config,
    init,
    update,
    act,
    on_policy.steps_per_update,
    {},
    on_policy.ACTION_SPACES,
    on_policy.anneals,
    judge=on_policy.judge,
)
