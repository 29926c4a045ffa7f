"""Soft actor-critic, SAC (Haarnoja et al. 2018, "Soft actor-critic algorithms and applications", arXiv:1812.05905).

    y = r + gamma (min(Q1'(s', a'), Q2'(s', a')) - alpha log pi(a'|s')),    a' ~ pi(.|s')              (eq. 3, 5)
    J_pi = E[alpha log pi(a|s) - min(Q1(s, a), Q2(s, a))],    a = f(epsilon; s) reparameterised        (eq. 7, 9)
    J_alpha = E[-alpha (log pi(a|s) + target_entropy)]                                                (eq. 18)

with a Gaussian squashed by tanh, whose deviation depends on the state. Actions live in [-1, 1] in every dimension,
whatever the bounds of the environment: entropies and `target_entropy` are of those, so the logarithm of the bounds'
half widths, which would shift both alike, is in neither.
An n-step target (`n_step`) has the entropies of the states in between too: sum_i gamma^i alpha H(pi(.|s_i)), 0 < i < n.

Time limits: the target bootstraps from the true last observation, which the replay keeps.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct

from jaxrl_up import ops
from jaxrl_up.config import as_key
from jaxrl_up.envs import Env
from jaxrl_up.learning import (
    EXPLORATION_NOISES,
    ActorCritics,
    Transitions,
    action_dims,
    actor_critics,
    off_policy,
    track,
)
from jaxrl_up.types import Algorithm, Array, Key, Metrics, PyTree, static, traced

LOG_STD_RANGE = (-20.0, 2.0)


@struct.dataclass
class Config:
    """Fields of SAC. Numbers marked `traced` can be swept without recompiling."""

    total_steps: int = static(30_000, low=1)
    """environment steps per seed"""
    num_envs: int = static(1, low=1)
    """environments stepped together"""
    rollout_length: int = static(50, low=1)
    """steps per environment and update; learning happens between them"""
    train_every: int = static(1, low=1)
    """steps per environment between gradient steps; must divide rollout_length"""
    gradient_steps: int = static(1, low=1)
    """gradient steps at a time"""
    batch_size: int = static(256, low=1)
    """transitions per gradient step"""
    buffer_size: int = static(100_000, low=2)
    """transitions kept for replay"""
    learning_starts: int = static(1_000, low=0)
    """environment steps before the first gradient step"""
    random_steps: int = static(1_000, low=0)
    """environment steps with uniformly random actions at first"""
    learning_rate: float = traced(1e-3, 0.0)
    """Adam step size of the actor, and of the critic unless critic_learning_rate is given"""
    critic_learning_rate: float | None = traced(None, 0.0)
    """Adam step size of the critic"""
    gamma: float = traced(0.99, 0.0, 1.0)
    """discount per step"""
    n_step: int = static(1, low=1)
    """rewards, and entropies between them, summed before bootstrapping"""
    tau: float = traced(0.005, 0.0, 1.0)
    """how far the target networks move to the online ones at each gradient step"""
    max_grad_norm: float | None = traced(None, 0.0)
    """clip the norm of each network's gradient to this"""
    exploration_noise: str = static("white", choices=EXPLORATION_NOISES)
    """kind of noise that the policy samples with: white, ou (Ornstein-Uhlenbeck) or pink"""
    learn_alpha: bool = static(True)
    """adapt the temperature so that the entropy comes to target_entropy"""
    alpha: float = traced(0.2, 0.0)
    """temperature: weight of the entropy, in reward units per nat; where it is learned, what it starts from"""
    target_entropy: float | None = traced(None)
    """entropy to aim at, in nats, of actions that span [-1, 1]; none is minus their number of dimensions"""
    network: Any = static("auto")
    """auto, mlp, cnn, or a linen module from observation to features"""
    hidden: tuple[int, ...] = static((64, 64))
    """units of the hidden layers"""
    activation: str = static("relu", choices=("tanh", "relu", "elu", "gelu", "silu"))
    """nonlinearity"""
    initializer: str = static("torch", choices=("orthogonal", "torch", "flax"))
    """initial weights"""


SPINUP = {
    "num_envs": 1,
    "rollout_length": 50,
    "train_every": 50,
    "gradient_steps": 50,
    "batch_size": 100,
    "buffer_size": 1_000_000,
    "learning_starts": 1_000,
    "random_steps": 10_000,
    "learning_rate": 1e-3,
    "gamma": 0.99,
    "tau": 0.005,
    "learn_alpha": False,
    "alpha": 0.2,
    "hidden": (256, 256),
}


def network(config: Config, env: Env) -> ActorCritics:
    """An actor that gives mean and log-deviation before squashing, and two critics."""
    return actor_critics(config, env, ("mean", "log_std"), 2)


def policy(config: Config, env: Env, actor: PyTree, obs: Array) -> ops.TanhGaussian:
    """pi(.|s) on [-1, 1]."""
    mean, log_std = network(config, env).actor(actor, obs)
    return ops.TanhGaussian(mean, jnp.clip(log_std, *LOG_STD_RANGE))


def optimizer(config: Config) -> optax.GradientTransformation:
    """Adam without its step size; actor, critics and temperature each have one."""
    return optax.scale_by_adam()


def init(config: Config, env: Env, key: Key) -> off_policy.State:
    """Fresh networks, a copy of the critics as target, an empty replay and fresh environments."""
    params_key, noise_key, state_key = jax.random.split(as_key(key), 3)
    params = network(config, env).init(params_key)
    if config.learn_alpha:
        params["log_alpha"] = jnp.log(jnp.maximum(jnp.float32(config.alpha), 1e-8))
    opt_state = {part: optimizer(config).init(params[part]) for part in params}
    learner = off_policy.Learner(params, {"critic": params["critic"]}, opt_state)
    return off_policy.init(config, env, state_key, learner, off_policy.init_noise(config, env, noise_key))


def temperature(config: Config, params: PyTree) -> Array:
    """alpha, learned or given."""
    return jnp.exp(params["log_alpha"]) if config.learn_alpha else jnp.asarray(config.alpha, jnp.float32)


def critic_loss(
    config: Config, env: Env, params: PyTree, target_params: PyTree, batch: Transitions, noise: Array
) -> tuple[Array, dict[str, Array]]:
    """Mean squared error of both critics to y, with actions at the n states from standard normal `noise [N, n, D]`."""
    net = network(config, env)
    next_policy = policy(config, env, params["actor"], batch.next_obs)
    next_action, next_log_prob = next_policy.sample_and_log_prob_with(noise[:, -1])
    next_q1, next_q2 = net.critics(target_params["critic"], batch.next_obs, next_action)
    alpha, reward = temperature(config, params), batch.reward
    if config.n_step > 1:
        inner_policy = policy(config, env, params["actor"], batch.inner_obs)
        _, inner_log_prob = inner_policy.sample_and_log_prob_with(noise[:, :-1])
        reward -= alpha * jnp.sum(ops.weighted(batch.inner_discount, inner_log_prob), axis=-1)
    target = ops.soft_target(reward, batch.discount, next_q1, next_q2, next_log_prob, alpha)
    values = net.critics(params["critic"], batch.obs, batch.action)
    loss = off_policy.critics_loss(values, target, batch.weight)
    return loss, {"critic_loss": loss, "q_value": jnp.mean(values)}


def actor_loss(config: Config, env: Env, params: PyTree, batch: Transitions, noise: Array) -> tuple[Array, Array]:
    """J_pi from standard normal `noise [N, D]`, and the mean log-probability of the actions."""
    action, log_prob = policy(config, env, params["actor"], batch.obs).sample_and_log_prob_with(noise)
    value = jnp.min(network(config, env).critics(params["critic"], batch.obs, action), axis=0)
    loss = jnp.mean(batch.weight * (temperature(config, params) * log_prob - value))
    return loss, jnp.mean(log_prob)


def update(config: Config, env: Env, state: off_policy.State) -> tuple[off_policy.State, Metrics]:
    """Algorithm 1: act into the replay, and after each step learn from a batch of it."""
    size = action_dims(env.action_space)
    target_entropy = -float(size) if config.target_entropy is None else config.target_entropy

    def learn(
        learner: off_policy.Learner, batch: Transitions, noise: tuple[Array, Array], step: Array
    ) -> off_policy.Learned:
        alpha = temperature(config, learner.params)
        # theta_i <- theta_i - lambda_Q grad J_Q(theta_i)
        gradient, losses = jax.grad(
            lambda critic: critic_loss(
                config, env, {**learner.params, "critic": critic}, learner.target_params, batch, noise[0]
            ),
            has_aux=True,
        )(learner.params["critic"])
        learner = off_policy.step_along(config, optimizer(config), learner, {"critic": gradient})
        # phi <- phi - lambda_pi grad J_pi(phi)
        (loss, log_prob), gradient = jax.value_and_grad(
            lambda actor: actor_loss(config, env, {**learner.params, "actor": actor}, batch, noise[1]), has_aux=True
        )(learner.params["actor"])
        learner = off_policy.step_along(config, optimizer(config), learner, {"actor": gradient})
        # alpha <- alpha - lambda grad J(alpha), by its logarithm
        if config.learn_alpha:
            learner = off_policy.step_along(
                config, optimizer(config), learner, {"log_alpha": -alpha * (log_prob + target_entropy)}
            )
        # theta_i' <- tau theta_i + (1 - tau) theta_i'
        target_params = track({"critic": learner.params["critic"]}, learner.target_params, config.tau)
        losses = {"loss": losses["critic_loss"] + loss, "actor_loss": loss, **losses}
        losses |= {"alpha": alpha, "entropy": -log_prob}
        return learner._replace(target_params=target_params), losses, None

    def explore(learner: off_policy.Learner, obs: Array, noise: Any, env_steps: Array) -> Array:
        normal, uniform = noise
        return off_policy.random_first(
            config, env_steps, uniform, lambda: policy(config, env, learner.params["actor"], obs).sample_with(normal)
        )

    def learning_noise(key: Key, shape: tuple[int, ...]) -> tuple[Array, Array]:
        critic_key, actor_key = jax.random.split(key)
        critic_noise = jax.random.normal(critic_key, (*shape, config.n_step, size), jnp.float32)
        return critic_noise, jax.random.normal(actor_key, (*shape, size), jnp.float32)

    return off_policy.update(
        config,
        env,
        state,
        noise=lambda memory, key, shape: off_policy.action_noise(config, env, memory, key, shape),
        explore=explore,
        learning_noise=learning_noise,
        learn=learn,
    )


def act(config: Config, env: Env, actor: PyTree, obs: Array, key: Key | None = None) -> Array:
    """Actions in the environment's own bounds for `obs [..., *shape]`; `key=None` gives the squashed mean."""
    distribution = policy(config, env, actor, obs)
    return off_policy.to_env(distribution.mode() if key is None else distribution.sample(as_key(key)), env)


SAC = Algorithm(
    "sac",
    Config,
    init,
    update,
    act,
    off_policy.steps_per_update,
    presets={"spinup": SPINUP},
    action_spaces=("Box",),
)
