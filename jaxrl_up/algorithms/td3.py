"""Twin delayed deep deterministic policy gradient, TD3 (Fujimoto, van Hoof & Meger 2018, arXiv:1802.09477).

    a' = clip(mu'(s') + clip(N(0, target_noise), -c, c), -1, 1)                                        (eq. 14)
    y = r + gamma min(Q1'(s', a'), Q2'(s', a'))                                                        (eq. 10)

Both critics are fitted to y; every `policy_delay` gradient steps the actor ascends Q1 and the targets move
(algorithm 1). Actions live in [-1, 1] in every dimension, whatever the bounds of the environment, and so do both
kinds of noise. Of the losses reported, `actor_loss` is a mean over the gradient steps that moved the actor.

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
from jaxrl_up.types import Algorithm, Array, Key, Mean, Metrics, PyTree, static, traced


@struct.dataclass
class Config:
    """Fields of TD3. Numbers marked `traced` can be swept without recompiling."""

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
    """rewards summed before bootstrapping"""
    tau: float = traced(0.005, 0.0, 1.0)
    """how far the target networks move to the online ones at each gradient step"""
    max_grad_norm: float | None = traced(None, 0.0)
    """clip the norm of each network's gradient to this"""
    exploration_noise: str = static("white", choices=EXPLORATION_NOISES)
    """kind of noise added to actions: white, ou (Ornstein-Uhlenbeck) or pink"""
    noise_scale: float = traced(0.1, 0.0)
    """standard deviation of that noise; actions span [-1, 1]"""
    target_noise: float = traced(0.2, 0.0)
    """standard deviation of the noise on the target policy's action"""
    target_noise_clip: float = traced(0.5, 0.0)
    """bound on that noise"""
    policy_delay: int = static(2, low=1)
    """gradient steps of the critics for one of the actor and the targets"""
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
    "noise_scale": 0.1,
    "target_noise": 0.2,
    "target_noise_clip": 0.5,
    "policy_delay": 2,
    "hidden": (256, 256),
}


def network(config: Config, env: Env) -> ActorCritics:
    """The actor's output is squashed by tanh in `policy`; two critics."""
    return actor_critics(config, env, ("action",), 2)


def policy(config: Config, env: Env, actor: PyTree, obs: Array) -> Array:
    """mu(s) in [-1, 1], `[..., D]`."""
    return jnp.tanh(network(config, env).actor(actor, obs)[0])


def optimizer(config: Config) -> optax.GradientTransformation:
    """Adam without its step size; the actor and the critics each have one."""
    return optax.scale_by_adam()


def init(config: Config, env: Env, key: Key) -> off_policy.State:
    """Fresh networks, their copies as targets, an empty replay and fresh environments."""
    params_key, noise_key, state_key = jax.random.split(as_key(key), 3)
    params = network(config, env).init(params_key)
    learner = off_policy.Learner(params, params, {part: optimizer(config).init(params[part]) for part in params})
    return off_policy.init(config, env, state_key, learner, off_policy.init_noise(config, env, noise_key))


def critic_loss(
    config: Config, env: Env, critic: PyTree, target_params: PyTree, batch: Transitions, noise: Array
) -> tuple[Array, dict[str, Array]]:
    """Mean squared error of both critics to y, from standard normal `noise [N, D]`."""
    net = network(config, env)
    smoothing = jnp.clip(config.target_noise * noise, -config.target_noise_clip, config.target_noise_clip)
    next_action = jnp.clip(policy(config, env, target_params["actor"], batch.next_obs) + smoothing, -1.0, 1.0)
    next_q1, next_q2 = net.critics(target_params["critic"], batch.next_obs, next_action)
    target = ops.clipped_double_q_target(batch.reward, batch.discount, next_q1, next_q2)
    values = net.critics(critic, batch.obs, batch.action)
    loss = off_policy.critics_loss(values, target, batch.weight)
    return loss, {"critic_loss": loss, "q_value": jnp.mean(values)}


def actor_loss(config: Config, env: Env, actor: PyTree, critic: PyTree, batch: Transitions) -> Array:
    """-Q1(s, mu(s)), whose gradient is the deterministic policy gradient."""
    first = jax.tree.map(lambda x: x[:1], critic)
    action = policy(config, env, actor, batch.obs)
    return -jnp.mean(batch.weight * network(config, env).critics(first, batch.obs, action)[0])


def update(config: Config, env: Env, state: off_policy.State) -> tuple[off_policy.State, Metrics]:
    """Algorithm 1: act with noise into the replay, and after each step learn from a batch of it."""

    def learn(learner: off_policy.Learner, batch: Transitions, noise: Array, step: Array) -> off_policy.Learned:
        # update the critics by minimising (y - Q_i(s, a))^2
        gradient, losses = jax.grad(
            lambda critic: critic_loss(config, env, critic, learner.target_params, batch, noise), has_aux=True
        )(learner.params["critic"])
        learner = off_policy.step_along(config, optimizer(config), learner, {"critic": gradient})

        # every d steps: update the actor by the deterministic policy gradient, and the targets
        def delayed(learner: off_policy.Learner) -> tuple[off_policy.Learner, Mean]:
            params = learner.params
            loss, gradient = jax.value_and_grad(lambda actor: actor_loss(config, env, actor, params["critic"], batch))(
                params["actor"]
            )
            learner = off_policy.step_along(config, optimizer(config), learner, {"actor": gradient})
            targets = track(learner.params, learner.target_params, config.tau)
            return learner._replace(target_params=targets), Mean(loss, jnp.int32(1))

        neither = Mean(jnp.float32(0.0), jnp.int32(0))
        learner, loss = jax.lax.cond(
            (step + 1) % config.policy_delay == 0, delayed, lambda learner: (learner, neither), learner
        )
        total = losses["critic_loss"] + config.policy_delay * loss.total  # on average, one actor's loss a step
        return learner, {"loss": total, "actor_loss": loss, **losses}, None

    def explore(learner: off_policy.Learner, obs: Array, noise: Any, env_steps: Array) -> Array:
        normal, uniform = noise

        def action() -> Array:
            return jnp.clip(policy(config, env, learner.params["actor"], obs) + config.noise_scale * normal, -1.0, 1.0)

        return off_policy.random_first(config, env_steps, uniform, action)

    size = action_dims(env.action_space)
    return off_policy.update(
        config,
        env,
        state,
        noise=lambda memory, key, shape: off_policy.action_noise(config, env, memory, key, shape),
        explore=explore,
        learning_noise=lambda key, shape: jax.random.normal(key, (*shape, size), jnp.float32),
        learn=learn,
    )


def act(config: Config, env: Env, actor: PyTree, obs: Array, key: Key | None = None) -> Array:
    """Actions in the environment's own bounds for `obs [..., *shape]`; with a key, exploration noise is added."""
    action = policy(config, env, actor, obs)
    if key is not None:
        action = jnp.clip(
            action + config.noise_scale * jax.random.normal(as_key(key), action.shape, jnp.float32), -1.0, 1.0
        )
    return off_policy.to_env(action, env)


TD3 = Algorithm(
    "td3",
    Config,
    init,
    update,
    act,
    off_policy.steps_per_update,
    presets={"spinup": SPINUP},
    action_spaces=("Box",),
)
