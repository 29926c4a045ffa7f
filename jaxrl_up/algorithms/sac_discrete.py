"""Soft actor-critic for discrete actions (Christodoulou 2019, arXiv:1910.07207).

    y = r + gamma sum_a' pi(a'|s') (min(Q1'(s', a'), Q2'(s', a')) - alpha log pi(a'|s'))               (eq. 10)
    J_pi = E[sum_a pi(a|s) (alpha log pi(a|s) - min(Q1(s, a), Q2(s, a)))]                              (eq. 12)
    J_alpha = E[sum_a pi(a|s) (-alpha (log pi(a|s) + target_entropy))]                                 (eq. 11)

As `sac`, with expectations over actions in place of samples. The paper aims at 0.98 log A, nearly the uniform policy;
`target_entropy` is half of log A by default.
An n-step target (`n_step`) has the entropies of the states in between too: sum_i gamma^i alpha H(pi(.|s_i)), 0 < i < n.

Time limits: the target bootstraps from the true last observation, which the replay keeps.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct

from jaxrl_up import ops
from jaxrl_up.config import as_key
from jaxrl_up.envs import Env
from jaxrl_up.learning import Transitions, action_dims, off_policy, q_network, track
from jaxrl_up.types import Algorithm, Array, Key, Metrics, PyTree, static, traced


@struct.dataclass
class Config:
    """Fields of SAC for discrete actions. Numbers marked `traced` can be swept without recompiling."""

    total_steps: int = static(200_000, low=1)
    """environment steps per seed"""
    num_envs: int = static(4, low=1)
    """environments stepped together"""
    rollout_length: int = static(64, low=1)
    """steps per environment and update; learning happens between them"""
    train_every: int = static(1, low=1)
    """steps per environment between gradient steps; must divide rollout_length"""
    gradient_steps: int = static(1, low=1)
    """gradient steps at a time"""
    batch_size: int = static(128, low=1)
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
    learn_alpha: bool = static(True)
    """adapt the temperature so that the entropy comes to target_entropy"""
    alpha: float = traced(0.2, 0.0)
    """temperature: weight of the entropy, in reward units per nat; where it is learned, what it starts from"""
    target_entropy: float | None = traced(None)
    """entropy to aim at, in nats; none is half that of the uniform policy"""
    network: Any = static("auto")
    """auto, mlp, cnn, or a linen module from observation to features"""
    hidden: tuple[int, ...] = static((64, 64))
    """units of the hidden layers"""
    activation: str = static("relu", choices=("tanh", "relu", "elu", "gelu", "silu"))
    """nonlinearity"""
    initializer: str = static("torch", choices=("orthogonal", "torch", "flax"))
    """initial weights"""


def critics(config: Config, env: Env, params: PyTree, obs: Array) -> Array:
    """Q1 and Q2 of all actions `[2, ..., A]`."""
    return jax.vmap(lambda p: q_network(config, env).apply(p, obs))(params)


def policy(config: Config, env: Env, actor: PyTree, obs: Array) -> ops.Categorical:
    """pi(.|s), from a network like the critics'."""
    return ops.Categorical(q_network(config, env).apply(actor, obs))


def optimizer(config: Config) -> optax.GradientTransformation:
    """Adam without its step size; actor, critics and temperature each have one."""
    return optax.scale_by_adam()


def init(config: Config, env: Env, key: Key) -> off_policy.State:
    """Fresh networks, a copy of the critics as target, an empty replay and fresh environments."""
    actor_key, critic_key, state_key = jax.random.split(as_key(key), 3)
    space = env.observation_space
    obs = jnp.zeros((1, *space.shape), space.dtype)
    net = q_network(config, env)
    critic = jax.vmap(lambda key: net.init(key, obs))(jax.random.split(critic_key, 2))
    params: dict[str, Any] = {"actor": net.init(actor_key, obs), "critic": critic}
    if config.learn_alpha:
        params["log_alpha"] = jnp.log(jnp.maximum(jnp.float32(config.alpha), 1e-8))
    opt_state = {part: optimizer(config).init(params[part]) for part in params}
    return off_policy.init(config, env, state_key, off_policy.Learner(params, {"critic": critic}, opt_state))


def temperature(config: Config, params: PyTree) -> Array:
    """alpha, learned or given."""
    return jnp.exp(params["log_alpha"]) if config.learn_alpha else jnp.asarray(config.alpha, jnp.float32)


def critic_loss(
    config: Config, env: Env, params: PyTree, target_params: PyTree, batch: Transitions
) -> tuple[Array, dict[str, Array]]:
    """Mean squared error of both critics to y."""
    next_log_probs = policy(config, env, params["actor"], batch.next_obs).log_probs()
    next_q1, next_q2 = critics(config, env, target_params["critic"], batch.next_obs)
    alpha, reward = temperature(config, params), batch.reward
    if config.n_step > 1:
        inner_entropy = policy(config, env, params["actor"], batch.inner_obs).entropy()
        reward += alpha * jnp.sum(ops.weighted(batch.inner_discount, inner_entropy), axis=-1)
    target = ops.discrete_soft_target(reward, batch.discount, next_q1, next_q2, next_log_probs, alpha)
    q_values = critics(config, env, params["critic"], batch.obs)
    values = jax.vmap(ops.action_value, (0, None))(q_values, batch.action)
    loss = off_policy.critics_loss(values, target, batch.weight)
    return loss, {"critic_loss": loss, "q_value": jnp.mean(values)}


def actor_loss(config: Config, env: Env, params: PyTree, batch: Transitions) -> tuple[Array, Array]:
    """J_pi, and the policy's mean entropy."""
    distribution = policy(config, env, params["actor"], batch.obs)
    log_probs = distribution.log_probs()
    value = jax.lax.stop_gradient(jnp.min(critics(config, env, params["critic"], batch.obs), axis=0))
    losses = jnp.sum(jnp.exp(log_probs) * (temperature(config, params) * log_probs - value), axis=-1)
    return jnp.mean(batch.weight * losses), jnp.mean(distribution.entropy())


def update(config: Config, env: Env, state: off_policy.State) -> tuple[off_policy.State, Metrics]:
    """Algorithm 1: act into the replay, and after each step learn from a batch of it."""
    number = action_dims(env.action_space)
    target_entropy = 0.5 * math.log(number) if config.target_entropy is None else config.target_entropy

    def learn(learner: off_policy.Learner, batch: Transitions, noise: Any, step: Array) -> off_policy.Learned:
        alpha = temperature(config, learner.params)
        # theta_i <- theta_i - lambda_Q grad J_Q(theta_i)
        gradient, losses = jax.grad(
            lambda critic: critic_loss(config, env, {**learner.params, "critic": critic}, learner.target_params, batch),
            has_aux=True,
        )(learner.params["critic"])
        learner = off_policy.step_along(config, optimizer(config), learner, {"critic": gradient})
        # phi <- phi - lambda_pi grad J_pi(phi)
        (loss, entropy), gradient = jax.value_and_grad(
            lambda actor: actor_loss(config, env, {**learner.params, "actor": actor}, batch), has_aux=True
        )(learner.params["actor"])
        learner = off_policy.step_along(config, optimizer(config), learner, {"actor": gradient})
        # alpha <- alpha - lambda grad J(alpha), by its logarithm
        if config.learn_alpha:
            learner = off_policy.step_along(
                config, optimizer(config), learner, {"log_alpha": alpha * (entropy - target_entropy)}
            )
        # theta_i' <- tau theta_i + (1 - tau) theta_i'
        target_params = track({"critic": learner.params["critic"]}, learner.target_params, config.tau)
        losses = {"loss": losses["critic_loss"] + loss, "actor_loss": loss, **losses}
        losses |= {"alpha": alpha, "entropy": entropy}
        return learner._replace(target_params=target_params), losses, None

    def noise(memory: PyTree, key: Key, shape: tuple[int, ...]) -> tuple[PyTree, PyTree]:
        gumbel_key, uniform_key = jax.random.split(key)
        uniform = jax.random.randint(uniform_key, shape, 0, number, jnp.int32)
        return (jax.random.gumbel(gumbel_key, (*shape, number), jnp.float32), uniform), memory

    def explore(learner: off_policy.Learner, obs: Array, noise: Any, env_steps: Array) -> Array:
        gumbel, uniform = noise
        return off_policy.random_first(
            config, env_steps, uniform, lambda: policy(config, env, learner.params["actor"], obs).sample_with(gumbel)
        )

    return off_policy.update(
        config, env, state, noise=noise, explore=explore, learning_noise=off_policy.no_noise, learn=learn
    )


def act(config: Config, env: Env, actor: PyTree, obs: Array, key: Key | None = None) -> Array:
    """Actions for `obs [..., *shape]`; `key=None` gives the most probable one."""
    distribution = policy(config, env, actor, obs)
    return distribution.mode() if key is None else distribution.sample(as_key(key))


SAC_DISCRETE = Algorithm(
    "sac_discrete",
    Config,
    init,
    update,
    act,
    off_policy.steps_per_update,
    action_spaces=("Discrete",),
)
