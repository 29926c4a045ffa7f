"""Proximal Policy Optimization, the clipped variant (Schulman et al. 2017, arXiv:1707.06347).

    L(theta) = E[min(r A, clip(r, 1 - epsilon, 1 + epsilon) A)],    r = pi(a|s) / pi_old(a|s)       (eq. 7)

minus `value_cost` times the critic's loss plus `entropy_cost` times the entropy (eq. 9), with advantages by
GAE (eq. 11), over `num_epochs` passes in `num_minibatches` shuffled parts (algorithm 1).

Early stop: from the first minibatch whose KL(old || new) exceeds 1.5 `target_kl` on, the policy and its Adam moments
stay as they are while the critic learns on. Under vmap each seed stops for itself, but stopped seeds still pay for the
remaining minibatches. With `shared` the torso belongs to the policy, so it stops as well. The losses reported are means
over minibatches; those of the policy (its loss, entropy, KL and clip fraction) over the ones until it stopped, that one
included.

Deviations: 4 epochs of 4 minibatches over 128 steps of 8 environments, at a step size of 1e-3 that is annealed to
zero, where the paper has on MuJoCo 10 epochs of 32 minibatches over 2,048 steps, at a constant 3e-4 (appendix A; on
Atari it anneals step size and clip range, `anneal_clip`); advantages are normalised per minibatch; each network's
gradient is clipped on its own; the critic learns in units of its targets (a tanh critic that must reach 100, as on
CartPole, saturates and loses the policy). Off by default, and not the paper's: value clipping, normalised
observations, and the early stop, which goes by the estimate k1 of the KL (Schulman 2020), from the actions of the
minibatch, though most heads have an exact KL; by that with `kl_estimate="exact"`.

Time limits: the value of the true successor is bootstrapped (see `on_policy`).
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from jaxrl_up import ops
from jaxrl_up.envs import Env
from jaxrl_up.learning import Batch, on_policy, optimisation, value_scale
from jaxrl_up.types import Algorithm, Array, Key, Mean, Metrics, PyTree, means, static, traced


@struct.dataclass(frozen=True)
class Config(on_policy.GradientFields):
    """Fields of PPO. Numbers marked `traced` can be swept without recompiling."""

    num_epochs: int = static(4, low=1)
    """passes over each batch"""
    num_minibatches: int = static(4, low=1)
    """shuffled parts of each pass; must divide num_envs * rollout_length"""
    clip_epsilon: float = traced(0.2, 0.0)
    """the probability ratio is clipped to 1 +- clip_epsilon"""
    anneal_clip: bool = static(False)
    """lower clip_epsilon linearly to zero over schedule_steps"""
    value_clip: float | None = traced(None, 0.0)
    """how far a value may move from the old one per update, in units of the critic's scale (see normalize_returns)"""
    target_kl: float | None = traced(None, 0.0)
    """stop policy steps of an update once KL(old || new) exceeds 1.5 times this, in nats"""
    kl_estimate: str = static("k1", choices=("k1", "exact"))
    """how that KL is found: k1, the mean log-ratio of the actions taken, or exact, from the distributions"""
    value_cost: float = traced(0.5, 0.0)
    """weight of the critic's loss"""
    adam_epsilon: float = traced(1e-5, 0.0)
    """added to Adam's denominator"""
    normalize_advantages: str = static("minibatch", choices=("minibatch", "batch", "no"))
    """zero mean, unit variance: per minibatch, per batch, or not; a single row is left as it is"""


SPINUP = on_policy.GRADIENT_SPINUP | {
    "num_epochs": 80,
    "num_minibatches": 1,
    "target_kl": 0.01,
    "value_cost": 1.0,
    "normalize_advantages": "batch",
}


OF_THE_POLICY = ("policy_loss", "entropy", "kl", "clip_fraction")  # losses


def init(config: Config, env: Env, key: Key) -> on_policy.State:
    """Fresh networks, optimisers and environments."""
    batch_size = config.num_envs * config.rollout_length
    if batch_size % config.num_minibatches:
        raise ValueError(
            f"num_minibatches={config.num_minibatches} does not divide num_envs * rollout_length = {batch_size}; "
            "choose a divisor"
        )
    if config.kl_estimate == "exact":
        on_policy.require_kl(config, env, "kl_estimate='exact'", "choose kl_estimate='k1'")
    return on_policy.init(config, env, key)


def loss(
    config: Config, env: Env, params: PyTree, batch: Batch, clip_epsilon: Array | float, old: Any = None
) -> tuple[Array, dict[str, Array]]:
    """Equation 9, negated, and what it is made of; the KL is exact where `old` are the policies that acted."""
    policy, value = on_policy.network(config, env).both(params, batch.obs)
    log_prob = policy.log_prob(batch.action)
    advantage = batch.advantage
    if config.normalize_advantages == "minibatch":
        advantage = ops.normalize_advantages(advantage)
    policy_loss = ops.clipped_surrogate_loss(log_prob, batch.log_prob, advantage, clip_epsilon)
    if config.value_clip is None:
        value_loss = on_policy.value_loss(params["critic"], value, batch.target)
    else:
        scale = value_scale(params["critic"])
        value_loss = ops.clipped_value_loss(value / scale, batch.value / scale, batch.target / scale, config.value_clip)
    entropy = jnp.mean(policy.entropy())
    total = policy_loss + config.value_cost * value_loss - config.entropy_cost * entropy
    log_ratio = log_prob - batch.log_prob
    return total, {
        "loss": total,
        "policy_loss": policy_loss,
        "value_loss": value_loss,
        "entropy": entropy,
        "kl": jnp.mean(ops.kl_k1(batch.log_prob, log_prob) if old is None else old.kl(policy)),
        "clip_fraction": jnp.mean(jnp.abs(jnp.exp(log_ratio) - 1.0) > clip_epsilon, dtype=jnp.float32),
    }


def update(config: Config, env: Env, state: on_policy.State) -> tuple[on_policy.State, Metrics]:
    """Algorithm 1: collect, estimate advantages, optimise the surrogate for several epochs."""
    key, rollout_key, shuffle_key = jax.random.split(state.key, 3)
    rates = on_policy.rates(config, state)
    clip_scale = on_policy.remaining(config, state) if config.anneal_clip else 1.0
    clip_epsilon = config.clip_epsilon * clip_scale

    # run pi_old in the environments for T steps, compute advantages A_1 ... A_T
    collected = on_policy.collect(config, env, state, rollout_key)
    batch = collected.batch
    if config.normalize_advantages == "batch":
        batch = on_policy.normalize_advantages(batch)
    batch = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), batch)
    net, actor, exact = on_policy.network(config, env), state.learner.params["actor"], config.kl_estimate == "exact"
    acted = net.policy(actor, batch.obs) if exact and net.divisible else None

    # optimise the surrogate L wrt theta, with K epochs and minibatch size M <= N T
    def minibatch_step(carry: tuple[on_policy.Learner, Array], minibatch: tuple[Batch, Any]) -> Any:
        old, stopped = carry
        rows, acted = minibatch
        if exact and not net.divisible:
            acted = net.policy(actor, rows.obs)
        step = jax.grad(loss, argnums=2, has_aux=True)
        gradient, losses = step(config, env, old.params, rows, clip_epsilon, acted)
        new = optimisation.descend(old, gradient, rates, optimisation.adam(config), config.max_grad_norm)
        if config.target_kl is not None:
            trained = ~stopped  # until here: what a policy that stands still shows is not counted
            losses |= {k: Mean(jnp.where(trained, losses[k], 0.0), trained.astype(jnp.int32)) for k in OF_THE_POLICY}
            stopped |= losses["kl"].total > 1.5 * config.target_kl
            for before, after in ((old.params, new.params), (old.opt_state, new.opt_state)):
                after["actor"] = jax.tree.map(partial(jnp.where, stopped), before["actor"], after["actor"])
            losses["stopped"] = stopped.astype(jnp.float32)
        return (new, stopped), losses

    def epoch(carry: Any, key: Key) -> Any:
        return jax.lax.scan(minibatch_step, carry, on_policy.minibatches((batch, acted), config.num_minibatches, key))

    carry = (collected.learner, jnp.bool_(False))
    (learner, _), losses = jax.lax.scan(epoch, carry, jax.random.split(shuffle_key, config.num_epochs))

    # theta_old <- theta
    losses = jax.tree.map(lambda x: jnp.sum(x, dtype=x.dtype), losses)
    losses = means(losses, config.num_epochs * config.num_minibatches)
    return on_policy.finish(config, state, key, collected, learner, losses)


act = on_policy.act

PPO = Algorithm(
    "ppo",
    Config,
    init,
    update,
    act,
    on_policy.steps_per_update,
    {"spinup": SPINUP},
    on_policy.ACTION_SPACES,
    lambda config: on_policy.anneals(config) or config.anneal_clip,
    judge=on_policy.judge,
)
