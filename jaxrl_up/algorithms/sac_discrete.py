"""Soft actor-critic for discrete actions (Christodoulou 2019, arXiv:1910.07207).

    y = r + gamma sum_a' pi(a'|s') (min(Q1'(s', a'), Q2'(s', a')) - alpha log pi(a'|s'))               (eq. 10)
    J_pi = E[sum_a pi(a|s) (alpha log pi(a|s) - min(Q1(s, a), Q2(s, a)))]                              (eq. 12)
    J_alpha = E[sum_a pi(a|s) (-alpha (log pi(a|s) + target_entropy))]                                 (eq. 11)

As `sac`, with expectations over actions in place of samples.
An n-step target (`n_step`) has the entropies of the states in between too: sum_i gamma^i alpha H(pi(.|s_i)), 0 < i < n.

Deviations: `target_entropy` is half of log A, where the paper aims at 0.98 log A, nearly the uniform policy; step
sizes of 1e-3 and not 3e-4; batches of 128 and not 64; a replay of 100,000 and not 1,000,000; the first 1,000 actions
are uniformly random and not 20,000; on vectors two layers of 64 units, where the paper sees pixels; the temperature
moves by the gradient of its logarithm. Rewards in a target of `n_step` > 1 are of older policies, uncorrected.
With a mask, A is the number of allowed actions, and half of log A is meant over the batch.

Time limits: the target bootstraps from the true last observation, which the replay keeps.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from jaxrl_up import ops
from jaxrl_up.algorithms import sac
from jaxrl_up.config import as_key
from jaxrl_up.envs import Env, from_unit, mask_of
from jaxrl_up.learning import Loss, Transitions, actor_critic, exploration, networks, off_policy
from jaxrl_up.types import Algorithm, Array, Key, PyTree, static, traced


@struct.dataclass(frozen=True)
class Config(actor_critic.Fields):
    """Fields of discrete SAC. Numbers marked `traced` can be swept without recompiling."""

    total_steps: int = static(200_000, low=1)
    num_envs: int = static(4, low=1)
    n_step: int = static(1, low=1)
    """rewards, and entropies between them, summed before bootstrapping"""
    learn_alpha: bool = static(True)
    """adapt the temperature so that the entropy comes to target_entropy"""
    alpha: float = traced(0.2, 0.0)
    """temperature: weight of the entropy, in reward units per nat; where it is learned, what it starts from"""
    target_entropy: float | None = traced(None)
    """entropy to aim at, in nats; none is half that of the uniform policy over what is allowed"""


def actor_network(config: Config, env: Env) -> networks.QFunction:
    """Observation -> logits of pi(.|s) `[..., A]`."""
    return networks.q_network(config, env, part="actor")


def critic_network(config: Config, env: Env) -> networks.QFunction:
    """Observation -> Q1 and Q2 of all actions `[2, ..., A]`."""
    return actor_critic.with_temperature(config, networks.q_network(config, env, part="critic", number=2))


def policy(config: Config, env: Env, actor: PyTree, obs: Array) -> ops.Categorical:
    """pi(.|s), from a network like the critics'."""
    return ops.Categorical(actor_network(config, env).apply(actor, obs), mask_of(env.observation_space, obs))


def critic_loss(config: Config, env: Env, params: PyTree, targets: PyTree, batch: Transitions, noise: Any) -> Loss:
    """Mean squared error of both critics to y."""
    critics = critic_network(config, env).apply
    next_log_probs = policy(config, env, params["actor"], batch.next_obs).log_probs()
    next_q1, next_q2 = critics(targets["critic"], batch.next_obs)
    alpha, reward = actor_critic.temperature(config, params), batch.reward
    if config.n_step > 1:
        inner_entropy = policy(config, env, params["actor"], batch.inner_obs).entropy()
        reward += alpha * jnp.sum(ops.weighted(batch.inner_discount, inner_entropy), axis=-1)
    target = ops.discrete_soft_target(reward, batch.discount, next_q1, next_q2, next_log_probs, alpha)
    values = jax.vmap(ops.action_value, (0, None))(critics(params["critic"], batch.obs), batch.action)
    return actor_critic.critics_loss(values, target, batch.weight)


def actor_loss(config: Config, env: Env, params: PyTree, targets: PyTree, batch: Transitions, noise: Any) -> Loss:
    """J_pi, and the policy's mean entropy."""
    distribution = policy(config, env, params["actor"], batch.obs)
    log_probs = distribution.log_probs()
    value = jax.lax.stop_gradient(jnp.min(critic_network(config, env).apply(params["critic"], batch.obs), axis=0))
    if distribution.mask is not None:
        value = jnp.where(ops.allowed_actions(distribution.mask), value, 0.0)
    losses = jnp.sum(jnp.exp(log_probs) * (actor_critic.temperature(config, params) * log_probs - value), axis=-1)
    loss = jnp.mean(batch.weight * losses)
    return loss, {"actor_loss": loss, "entropy": jnp.mean(distribution.entropy())}


def target_entropy(config: Config, env: Env, batch: Transitions) -> Array | float:
    """Of the config, or half that of a uniform policy, in nats: the mean over a batch where masks differ."""
    if config.target_entropy is not None:
        return config.target_entropy
    mask = mask_of(env.observation_space, batch.obs)
    if mask is None:
        return 0.5 * math.log(networks.action_dims(env.action_space))
    return 0.5 * jnp.mean(jnp.log(jnp.sum(ops.allowed_actions(mask), axis=-1, dtype=jnp.float32)))


def explore(
    config: Config, env: Env, learner: Any, obs: PyTree, memory: PyTree, noise: Any, env_steps: Array
) -> tuple[Array, PyTree]:
    """Sample an action from the policy, a ~ pi(.|s); at first any."""
    sampled, drawn = noise
    uniform = exploration.allowed(drawn, mask_of(env.observation_space, obs))
    return actor_critic.sample_actions(config, env, learner, obs, (sampled, uniform), env_steps, policy), memory


def act(
    config: Config, env: Env, actor: PyTree, obs: PyTree, memory: PyTree = (), key: Key | None = None
) -> tuple[Array, PyTree]:
    """Actions for `obs [..., *shape]`; `key=None` gives the most probable one."""
    distribution = policy(config, env, actor, obs)
    action = distribution.mode() if key is None else distribution.sample(as_key(key))
    return from_unit(action, env.action_space), memory


def judge(config: Config, env: Env, actor: PyTree, obs: PyTree, memory: PyTree = ()) -> dict[str, Array]:
    """pi(a|s) of all actions `[..., A]`."""
    return {"probabilities": jnp.exp(policy(config, env, actor, obs).log_probs())}


learn = partial(sac.learn, critic_loss=critic_loss, actor_loss=actor_loss, target_entropy=target_entropy)
BROUGHT = off_policy.OffPolicy(
    networks=(actor_network, critic_network),
    targets=("critic",),
    learn=learn,
    explore=explore,
    acting_noise=exploration.categorical_noise,
)
init, update = BROUGHT.init, BROUGHT.update

SAC_DISCRETE = Algorithm(
    "sac_discrete", Config, init, update, act, off_policy.steps_per_update, {}, ("Discrete",), judge=judge
)
