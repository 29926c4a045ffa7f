"""Deep deterministic policy gradient (Lillicrap et al. 2016, arXiv:1509.02971).

    y = r + gamma Q'(s', mu'(s')),    minimise (y - Q(s, a))^2,    ascend Q(s, mu(s))            (algorithm 1)

with target networks Q' and mu' that follow by Polyak averaging. Actions live in [-1, 1] in every dimension,
whatever the bounds of the environment, and exploration adds noise there.
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
from jaxrl_up.learning import EXPLORATION_NOISES, ActorCritics, Transitions, actor_critics, off_policy, track
from jaxrl_up.types import Algorithm, Array, Key, Metrics, PyTree, static, traced


@struct.dataclass
class Config:
    """Fields of DDPG. Numbers marked `traced` can be swept without recompiling."""

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
    "hidden": (256, 256),
}


def network(config: Config, env: Env) -> ActorCritics:
    """The actor's output is squashed by tanh in `policy`; one critic."""
    return actor_critics(config, env, ("action",), 1)


def policy(config: Config, env: Env, actor: PyTree, obs: Array) -> Array:
    """mu(s) in [-1, 1], `[..., D]`."""
    return jnp.tanh(network(config, env).actor(actor, obs)[0])


def optimizer(config: Config) -> optax.GradientTransformation:
    """Adam without its step size; the actor and the critic each have one."""
    return optax.scale_by_adam()


def init(config: Config, env: Env, key: Key) -> off_policy.State:
    """Fresh networks, their copies as targets, an empty replay and fresh environments."""
    params_key, noise_key, state_key = jax.random.split(as_key(key), 3)
    params = network(config, env).init(params_key)
    learner = off_policy.Learner(params, params, {part: optimizer(config).init(params[part]) for part in params})
    return off_policy.init(config, env, state_key, learner, off_policy.init_noise(config, env, noise_key))


def critic_loss(
    config: Config, env: Env, critic: PyTree, target_params: PyTree, batch: Transitions
) -> tuple[Array, dict[str, Array]]:
    """Mean squared error to y (algorithm 1)."""
    net = network(config, env)
    next_action = policy(config, env, target_params["actor"], batch.next_obs)
    next_value = net.critics(target_params["critic"], batch.next_obs, next_action)[0]
    target = ops.td_target(batch.reward, batch.discount, next_value)
    values = net.critics(critic, batch.obs, batch.action)
    loss = off_policy.critics_loss(values, target, batch.weight)
    return loss, {"critic_loss": loss, "q_value": jnp.mean(values)}


def actor_loss(config: Config, env: Env, actor: PyTree, critic: PyTree, batch: Transitions) -> Array:
    """-Q(s, mu(s)), whose gradient is the deterministic policy gradient (eq. 6)."""
    action = policy(config, env, actor, batch.obs)
    return -jnp.mean(batch.weight * network(config, env).critics(critic, batch.obs, action)[0])


def update(config: Config, env: Env, state: off_policy.State) -> tuple[off_policy.State, Metrics]:
    """Algorithm 1: act with noise into the replay, and after each step learn from a batch of it."""

    def learn(learner: off_policy.Learner, batch: Transitions, noise: Any, step: Array) -> off_policy.Learned:
        # update the critic by minimising (y - Q(s, a))^2
        gradient, losses = jax.grad(
            lambda critic: critic_loss(config, env, critic, learner.target_params, batch), has_aux=True
        )(learner.params["critic"])
        learner = off_policy.step_along(config, optimizer(config), learner, {"critic": gradient})
        # update the actor policy using the sampled policy gradient
        loss, gradient = jax.value_and_grad(
            lambda actor: actor_loss(config, env, actor, learner.params["critic"], batch)
        )(learner.params["actor"])
        learner = off_policy.step_along(config, optimizer(config), learner, {"actor": gradient})
        # update the target networks: theta' <- tau theta + (1 - tau) theta'
        learner = learner._replace(target_params=track(learner.params, learner.target_params, config.tau))
        return learner, {"loss": losses["critic_loss"] + loss, "actor_loss": loss, **losses}, None

    def explore(learner: off_policy.Learner, obs: Array, noise: Any, env_steps: Array) -> Array:
        normal, uniform = noise

        def action() -> Array:
            return jnp.clip(policy(config, env, learner.params["actor"], obs) + config.noise_scale * normal, -1.0, 1.0)

        return off_policy.random_first(config, env_steps, uniform, action)

    return off_policy.update(
        config,
        env,
        state,
        noise=lambda memory, key, shape: off_policy.action_noise(config, env, memory, key, shape),
        explore=explore,
        learning_noise=off_policy.no_noise,
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


DDPG = Algorithm(
    "ddpg",
    Config,
    init,
    update,
    act,
    off_policy.steps_per_update,
    presets={"spinup": SPINUP},
    action_spaces=("Box",),
)
