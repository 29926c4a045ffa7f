"""What the off-policy actor-critics share: fields, acting, the critics' loss and step size, temperature."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxrl_up.envs import Env
from jaxrl_up.learning import off_policy
from jaxrl_up.learning.exploration import random_first
from jaxrl_up.learning.off_policy import Learner
from jaxrl_up.types import Array, Key, PyTree, static, traced

SPINUP = {  # of OpenAI Spinning Up, for all of them: what differs from the defaults
    "train_every": 50,
    "gradient_steps": 50,
    "batch_size": 100,
    "buffer_size": 1_000_000,
    "random_steps": 10_000,
    "hidden": (256, 256),
}


@dataclasses.dataclass(frozen=True)
class Fields(off_policy.Fields):
    """How the actor and the critics learn."""

    random_steps: int = static(1_000, low=0)
    """environment steps with uniformly random actions at first"""
    learning_rate: float = traced(1e-3, 0.0)
    """Adam step size of the actor, and of the critic unless critic_learning_rate is given"""
    critic_learning_rate: float | None = traced(None, 0.0)
    """Adam step size of the critic"""
    tau: float = traced(0.005, 0.0, 1.0)
    """how far the target networks move to the online ones at each gradient step"""


@dataclasses.dataclass(frozen=True)
class ContinuousFields(Fields):
    """How actions of numbers are explored; with the defaults of all who act in them."""

    total_steps: int = static(30_000, low=1)
    """environment steps per seed"""
    num_envs: int = static(1, low=1)
    """environments stepped together"""
    rollout_length: int = static(50, low=1)
    """steps per environment and update; learning happens between them"""
    batch_size: int = static(256, low=1)
    """transitions per gradient step"""
    exploration_noise: str = static("white", choices=("white", "ou", "pink"))
    """kind of noise added to actions: white, ou (Ornstein-Uhlenbeck) or pink"""


def critic_rate(config: Any) -> Array | float:
    """The step size of the critics."""
    return config.learning_rate if config.critic_learning_rate is None else config.critic_learning_rate


def critics_loss(values: Array, target: Array, weight: Array) -> tuple[Array, dict[str, Array]]:
    """Mean squared error of critics `[C, N]` to one target `[N]`, each mean weighted `[N]`, summed over critics.

    With it, what is reported of the critics.
    """
    target = off_policy.stopped(target, weight)
    loss = jnp.sum(jax.vmap(lambda value: jnp.mean(weight * jnp.square(value - target)))(values))
    return loss, {"critic_loss": loss, "q_value": jnp.mean(values)}


def with_temperature(config: Any, network: Any) -> Any:
    """A network whose parameters have the logarithm of alpha as one more part, where it is learned."""
    if not config.learn_alpha:
        return network

    def init(key: Key) -> PyTree:
        return {**network.init(key), "log_alpha": jnp.log(jnp.maximum(jnp.float32(config.alpha), 1e-8))}

    return network._replace(init=init)


def sample_actions(
    config: Any, env: Env, learner: Learner, obs: PyTree, noise: Any, env_steps: Array, policy: Callable[..., Any]
) -> Array:
    """Actions of a stochastic policy: a ~ pi(.|s), and at first any."""
    sampled, uniform = noise

    def action() -> Array:
        return policy(config, env, learner.params["actor"], obs).sample_with(sampled)

    return random_first(config, env_steps, uniform, action)


def temperature(config: Any, params: PyTree) -> Array:
    """alpha, the weight of the entropy, learned or given."""
    return jnp.exp(params["log_alpha"]) if config.learn_alpha else jnp.asarray(config.alpha, jnp.float32)
