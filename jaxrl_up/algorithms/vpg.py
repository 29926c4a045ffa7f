"""Vanilla Policy Gradient: REINFORCE with a choice of weights (Williams 1992; Schulman et al. 2016).

    g = E[sum_t grad log pi(a_t|s_t) Phi_t]                                    (Schulman et al. 2016, eq. 1)

`phi` chooses Phi_t: `trajectory_return`, the return of the whole trajectory; `reward_to_go`, from t on;
`reward_to_go_baseline`, that minus V(s_t); `q`, the TD(lambda) estimate of Q(s_t, a_t); `advantage`, GAE.
One gradient step of the policy per batch, then `value_steps` steps of the critic on the same batch. With `shared` the
critic's steps train its head alone.

Deviations: both networks step by Adam, where Williams has plain gradient ascent and Schulman et al. a trust region for
policy and critic; the step sizes are annealed to zero; each network's gradient is clipped on its own; Phi is normalised
over the batch; the critic learns in units of its targets. With gamma below 1 the gradient of the discounted return
weighs step t by gamma^t: `trajectory_return` does, and the others, as is practice, leave it out. A trajectory cut by
the window or by a time limit ends in the value of its true successor, and one that began in the last window counts from
this window on."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import struct

from jaxrl_up import ops
from jaxrl_up.envs import Env
from jaxrl_up.learning import Batch, Collected, on_policy, optimisation
from jaxrl_up.types import Algorithm, Array, Metrics, PyTree, static, traced


@struct.dataclass(frozen=True)
class Config(on_policy.GradientFields):
    """Fields of VPG. Numbers marked `traced` can be swept without recompiling."""

    rollout_length: int = static(64, low=1)
    phi: str = static(
        "advantage",
        choices=("trajectory_return", "reward_to_go", "reward_to_go_baseline", "q", "advantage"),
    )
    """the weight of each log-probability"""
    learning_rate: float = traced(5e-3, 0.0)
    """Adam step size of the policy"""
    value_steps: int = static(10, low=0)
    """critic steps per batch, each over the whole batch"""
    adam_epsilon: float = traced(1e-5, 0.0)
    """added to Adam's denominator"""
    normalize_advantages: bool = static(True)
    """give the weights Phi zero mean and unit variance over the batch; a batch of one row is left as it is"""


SPINUP = on_policy.GRADIENT_SPINUP | {"value_steps": 80}


def policy_loss(config: Config, env: Env, actor: PyTree, batch: Batch, phi: Array) -> tuple[Array, dict[str, Array]]:
    """Its gradient is -g."""
    policy = on_policy.network(config, env).policy(actor, batch.obs)
    entropy = jnp.mean(policy.entropy())
    surrogate = ops.score_function_loss(policy.log_prob(batch.action), phi)
    return surrogate - config.entropy_cost * entropy, {"policy_loss": surrogate, "entropy": entropy}


def weight(config: Config, collected: Collected) -> Array:
    """Phi_t `[T, B]`."""
    reward, discount, going, next_value = collected.reward, collected.discount, collected.going, collected.next_value
    if config.phi == "trajectory_return":
        return ops.trajectory_returns(reward, discount, going, next_value)
    if config.phi == "reward_to_go":
        return ops.discounted_returns(reward, discount, going, next_value)
    if config.phi == "reward_to_go_baseline":
        return ops.discounted_returns(reward, discount, going, next_value) - collected.batch.value
    if config.phi == "q":
        return ops.lambda_returns(reward, discount, config.gae_lambda * going, next_value)
    return collected.batch.advantage


def update(config: Config, env: Env, state: on_policy.State) -> tuple[on_policy.State, Metrics]:
    """Algorithm 1 of Spinning Up's vanilla policy gradient."""
    key, rollout_key = jax.random.split(state.key)
    rates = on_policy.rates(config, state)

    # collect trajectories by running pi; compute rewards-to-go and advantages
    collected = on_policy.collect(config, env, state, rollout_key)
    phi = weight(config, collected)
    if config.normalize_advantages:
        phi = ops.normalize_advantages(phi)

    # estimate the policy gradient and take one step
    learner, batch = collected.learner, collected.batch
    gradient, losses = jax.grad(policy_loss, argnums=2, has_aux=True)(config, env, learner.params["actor"], batch, phi)
    optimizer, gradient = optimisation.adam(config), {"actor": gradient}
    learner = optimisation.descend(learner, gradient, rates, optimizer, config.max_grad_norm)

    # fit the value function by regression on the returns
    learner, value_loss = on_policy.fit_value(config, env, learner, batch, rates["critic"], config.max_grad_norm)
    losses = {"loss": losses["policy_loss"] + value_loss.total, "value_loss": value_loss, **losses}
    return on_policy.finish(config, state, key, collected, learner, losses)


init, act = on_policy.init, on_policy.act

VPG = Algorithm(
    "vpg",
    Config,
    init,
    update,
    act,
    on_policy.steps_per_update,
    {"spinup": SPINUP},
    on_policy.ACTION_SPACES,
    on_policy.anneals,
    judge=on_policy.judge,
)
