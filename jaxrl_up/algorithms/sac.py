"""Soft actor-critic, SAC (Haarnoja et al. 2018, "Soft actor-critic algorithms and applications", arXiv:1812.05905).

    y = r + gamma (min(Q1'(s', a'), Q2'(s', a')) - alpha log pi(a'|s')),    a' ~ pi(.|s')              (eq. 3, 5)
    J_pi = E[alpha log pi(a|s) - min(Q1(s, a), Q2(s, a))],    a = f(epsilon; s) reparameterised        (eq. 7, 9)
    J_alpha = E[-alpha (log pi(a|s) + target_entropy)]                                                (eq. 18)

with a Gaussian squashed by tanh, whose deviation depends on the state. Actions live in [-1, 1] in every dimension,
whatever the bounds of the environment: entropies and `target_entropy` are of those, so the logarithm of the bounds'
half widths, which would shift both alike, is in neither.
An n-step target (`n_step`) has the entropies of the states in between too: sum_i gamma^i alpha H(pi(.|s_i)), 0 < i < n.

Deviations: step sizes of 1e-3 and not 3e-4; a replay of 100,000 and not 1,000,000; hidden layers of 64 units and not
256; the first 1,000 actions are uniformly random; the temperature moves by the gradient of its logarithm; the critics'
loss lacks the factor 1/2 of eq. 5, which Adam does not see. Rewards in a target of `n_step` > 1 are of older policies,
uncorrected.

Time limits: the target bootstraps from the true last observation, which the replay keeps.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from jaxrl_up import ops
from jaxrl_up.config import as_key
from jaxrl_up.envs import Env, from_unit
from jaxrl_up.learning import Loss, Transitions, actor_critic, exploration, networks, off_policy, optimisation
from jaxrl_up.types import Algorithm, Array, Key, PyTree, static, traced

LOG_STD_RANGE = (-20.0, 2.0)


@struct.dataclass(frozen=True)
class Config(actor_critic.ContinuousFields):
    """Fields of SAC. Numbers marked `traced` can be swept without recompiling."""

    exploration_noise: str = static("white", choices=("white", "ou", "pink"))
    """kind of noise that the policy samples with: white, ou (Ornstein-Uhlenbeck) or pink"""
    n_step: int = static(1, low=1)
    """rewards, and entropies between them, summed before bootstrapping"""
    learn_alpha: bool = static(True)
    """adapt the temperature so that the entropy comes to target_entropy"""
    alpha: float = traced(0.2, 0.0)
    """temperature: weight of the entropy, in reward units per nat; where it is learned, what it starts from"""
    target_entropy: float | None = traced(None)
    """entropy to aim at, in nats, of actions that span [-1, 1]; none is minus their number of dimensions"""


SPINUP = actor_critic.SPINUP | {"learn_alpha": False, "alpha": 0.2}


def network(config: Config, env: Env) -> networks.ActorCritics:
    """An actor that gives mean and log-deviation before squashing, and two critics."""
    return actor_critic.with_temperature(config, networks.actor_critic_network(config, env, ("mean", "log_std"), 2))


def policy(config: Config, env: Env, actor: PyTree, obs: Array) -> ops.TanhGaussian:
    """pi(.|s) on [-1, 1]."""
    mean, log_std = network(config, env).actor(actor, obs)
    return ops.TanhGaussian(mean, jnp.clip(log_std, *LOG_STD_RANGE))


def critic_loss(config: Config, env: Env, params: PyTree, targets: PyTree, batch: Transitions, noise: Any) -> Loss:
    """Mean squared error of both critics to y, with actions at the n states from `learning_noise`."""
    net, noise = network(config, env), noise[0]
    next_policy = policy(config, env, params["actor"], batch.next_obs)
    next_action, next_log_prob = next_policy.sample_and_log_prob_with(noise[:, -1])
    next_q1, next_q2 = net.critics(targets["critic"], batch.next_obs, next_action)
    alpha, reward = actor_critic.temperature(config, params), batch.reward
    if config.n_step > 1:
        inner_policy = policy(config, env, params["actor"], batch.inner_obs)
        _, inner_log_prob = inner_policy.sample_and_log_prob_with(noise[:, :-1])
        reward -= alpha * jnp.sum(ops.weighted(batch.inner_discount, inner_log_prob), axis=-1)
    target = ops.soft_target(reward, batch.discount, next_q1, next_q2, next_log_prob, alpha)
    return actor_critic.critics_loss(net.critics(params["critic"], batch.obs, batch.action), target, batch.weight)


def actor_loss(config: Config, env: Env, params: PyTree, targets: PyTree, batch: Transitions, noise: Any) -> Loss:
    """J_pi with actions from `learning_noise`, and an estimate of the policy's entropy."""
    action, log_prob = policy(config, env, params["actor"], batch.obs).sample_and_log_prob_with(noise[1])
    value = jnp.min(network(config, env).critics(params["critic"], batch.obs, action), axis=0)
    loss = jnp.mean(batch.weight * (actor_critic.temperature(config, params) * log_prob - value))
    return loss, {"actor_loss": loss, "entropy": -jnp.mean(log_prob)}


def target_entropy(config: Config, env: Env, batch: Transitions) -> Array | float:
    """Of the config, or minus the number of dimensions, in nats."""
    return -float(networks.action_dims(env.action_space)) if config.target_entropy is None else config.target_entropy


def learn(
    config: Any,
    env: Env,
    learner: Any,
    batch: Transitions,
    noise: Any,
    step: Array,
    critic_loss: Any = critic_loss,
    actor_loss: Any = actor_loss,
    target_entropy: Any = target_entropy,
) -> off_policy.Learned:
    """One gradient step of algorithm 1."""
    critic_rate, rate = actor_critic.critic_rate(config), config.learning_rate
    alpha = actor_critic.temperature(config, learner.params)
    # theta_i <- theta_i - lambda_Q grad J_Q(theta_i)
    learner, critic = off_policy.descend("critic", critic_loss, critic_rate, config, env, learner, batch, noise)
    # phi <- phi - lambda_pi grad J_pi(phi)
    learner, actor = off_policy.descend("actor", actor_loss, rate, config, env, learner, batch, noise)
    # alpha <- alpha - lambda grad J(alpha), by its logarithm
    if config.learn_alpha:
        gradient = {"log_alpha": alpha * (actor["entropy"] - target_entropy(config, env, batch))}
        optimizer = off_policy.adam(config)
        learner = optimisation.descend(learner, gradient, {"log_alpha": rate}, optimizer, config.max_grad_norm)
    # theta_i' <- tau theta_i + (1 - tau) theta_i'
    learner = off_policy.track(learner, config.tau)
    return learner, {"loss": critic["critic_loss"] + actor["actor_loss"], "alpha": alpha, **critic, **actor}, None


def learning_noise(config: Config, env: Env, key: Key, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """Standard normal numbers for the actions of the critics' target `[*shape, n, D]` and the actor's `[*shape, D]`."""
    critic_key, actor_key = jax.random.split(key)
    critic_noise = exploration.normal_noise(config, env, critic_key, (*shape, config.n_step))
    return critic_noise, exploration.normal_noise(config, env, actor_key, shape)


def explore(
    config: Config, env: Env, learner: Any, obs: PyTree, memory: PyTree, noise: Any, env_steps: Array
) -> tuple[Array, PyTree]:
    """Sample an action from the policy, a ~ pi(.|s), with noise of the chosen colour; at first any."""
    drawn, uniform = noise
    normal, memory = exploration.coloured(config, memory, drawn)
    return actor_critic.sample_actions(config, env, learner, obs, (normal, uniform), env_steps, policy), memory


def act(
    config: Config, env: Env, actor: PyTree, obs: PyTree, memory: PyTree = (), key: Key | None = None
) -> tuple[Array, PyTree]:
    """Actions in the environment's own bounds for `obs [..., *shape]`; `key=None` gives the squashed mean."""
    distribution = policy(config, env, actor, obs)
    action = distribution.mode()
    if key is not None:
        drawn = exploration.normals(config, env, as_key(key), action.shape[:-1])
        normal, memory = exploration.coloured(config, memory, drawn)
        action = distribution.sample_with(normal)
    return from_unit(action, env.action_space), memory


BROUGHT = off_policy.OffPolicy(
    networks=(network,),
    targets=("critic",),
    learn=learn,
    explore=explore,
    acting_noise=exploration.action_noise,
    learning_noise=learning_noise,
    initial_memory=exploration.initial_noise,
)
init, update = BROUGHT.init, BROUGHT.update

SAC = Algorithm(
    "sac",
    Config,
    init,
    update,
    act,
    off_policy.steps_per_update,
    {"spinup": SPINUP},
    ("Box",),
    initial_memory=exploration.initial_noise,
    greedy_memory=False,
)
