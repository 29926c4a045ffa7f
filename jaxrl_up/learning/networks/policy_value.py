"""The policy and the value function of on-policy algorithms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxrl_up.envs import Discrete
from jaxrl_up.learning.networks.encoders import make_torso
from jaxrl_up.learning.networks.layers import Dense
from jaxrl_up.ops import Categorical, DiagonalGaussian
from jaxrl_up.types import Array, Key, PyTree


class PolicyHead(nn.Module):
    """Features -> `Categorical`, or `DiagonalGaussian` with a log-std that does not depend on the state."""

    space: Any
    initializer: str = "orthogonal"

    @nn.compact
    def __call__(self, features: Array, initial_log_std: float | Array = 0.0) -> Any:
        if isinstance(self.space, Discrete):
            return Categorical(Dense(self.space.n, self.initializer, 0.01, name="logits")(features))
        (size,) = self.space.shape
        mean = Dense(size, self.initializer, 0.01, name="mean")(features)
        log_std = self.param("log_std", lambda _: jnp.full((size,), initial_log_std, jnp.float32))
        return DiagonalGaussian(mean, jnp.broadcast_to(log_std, mean.shape))


class ValueHead(nn.Module):
    """Features `[..., D]` -> value `[...]`: a linear layer times a `scale` that gradients leave alone."""

    initializer: str = "orthogonal"

    @nn.compact
    def __call__(self, features: Array) -> Array:
        scale = jax.lax.stop_gradient(self.param("scale", nn.initializers.ones, (), jnp.float32))
        return scale * Dense(1, self.initializer, 1.0, name="value")(features).squeeze(-1)


def value_scale(critic: PyTree) -> Array:
    """The scale of a critic's `ValueHead`, in reward units."""
    return critic["params"]["head"]["scale"]


def rescale_value(critic: PyTree, scale: Array) -> PyTree:
    """Give a critic another scale and the same values, as in PopArt (van Hasselt et al. 2016, eq. 6)."""
    ratio = value_scale(critic) / scale
    head = critic["params"]["head"]
    head = {"scale": scale, "value": jax.tree.map(lambda w: ratio * w, head["value"])}
    return {**critic, "params": {**critic["params"], "head": head}}


class Actor(nn.Module):
    """Observation -> (distribution over actions, features)."""

    torso: nn.Module
    head: nn.Module

    def __call__(self, obs: Array, initial_log_std: float | Array = 0.0) -> tuple[Any, Array]:
        features = self.torso(obs)
        return self.head(features, initial_log_std), features


class Critic(nn.Module):
    """Observation -> value `[...]`; with no torso of its own, features -> value."""

    torso: nn.Module | None
    head: nn.Module

    def __call__(self, x: Array) -> Array:
        return self.head(x if self.torso is None else self.torso(x))


class ActorCritic(NamedTuple):
    """Pure functions over `params = {"actor": ..., "critic": ...}`; the actor alone suffices to act."""

    init: Callable[[Key], PyTree]  # key -> params
    policy: Callable[[PyTree, Array], Any]  # (params["actor"], obs [..., *shape]) -> distribution
    value: Callable[[PyTree, Array], Array]  # (params, obs) -> [...]
    both: Callable[[PyTree, Array], tuple[Any, Array]]  # (params, obs) -> distribution, value


def policy_value_network(config: Any, env: Any) -> ActorCritic:
    """Build the networks that a config and the spaces of `env` describe.

    Reads `network` (`auto`, `mlp`, `cnn` or a linen module `obs [..., *shape] -> features [..., D]`),
    `hidden`, `activation`, `initializer`, `initial_log_std` and `shared`: with `shared` the critic is a head on the
    actor's features, and the torso belongs to `params["actor"]`.
    """
    torso = make_torso(config, env, config.hidden)
    actor = Actor(torso, PolicyHead(env.action_space, config.initializer))
    critic = Critic(None if config.shared else torso, ValueHead(config.initializer))

    def init(key: Key) -> PyTree:
        actor_key, critic_key = jax.random.split(key)
        obs = jnp.zeros((1, *env.observation_space.shape), env.observation_space.dtype)
        (_, features), actor_params = actor.init_with_output(actor_key, obs, config.initial_log_std)
        return {
            "actor": actor_params,
            "critic": critic.init(critic_key, features if config.shared else obs),
        }

    def policy(actor_params: PyTree, obs: Array) -> Any:
        return actor.apply(actor_params, obs)[0]

    def both(params: PyTree, obs: Array) -> tuple[Any, Array]:
        distribution, features = actor.apply(params["actor"], obs)
        return distribution, cast(Array, critic.apply(params["critic"], features if config.shared else obs))

    def value(params: PyTree, obs: Array) -> Array:
        return both(params, obs)[1] if config.shared else cast(Array, critic.apply(params["critic"], obs))

    return ActorCritic(init, policy, value, both)
