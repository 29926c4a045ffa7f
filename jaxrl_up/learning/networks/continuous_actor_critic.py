"""The actor and the critics of off-policy algorithms in continuous actions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxrl_up.envs import LEAVES, zeros
from jaxrl_up.learning.networks.encoders import Torso, action_dims, as_vector, make_torso
from jaxrl_up.learning.networks.layers import MLP, Dense
from jaxrl_up.learning.rollout import acting_space, stored_space
from jaxrl_up.types import Array, Key, PyTree


class ContinuousActor(nn.Module):
    """Observation -> `outputs` numbers for each of D action dimensions, as that many arrays `[..., D]`."""

    torso: nn.Module
    size: int
    outputs: tuple[str, ...]
    initializer: str = "torch"

    @nn.compact
    def __call__(self, obs: Array) -> tuple[Array, ...]:
        features = self.torso(obs)
        return tuple(Dense(self.size, self.initializer, 0.01, name=name)(features) for name in self.outputs)


class ActionCritic(nn.Module):
    """Observation and action `[..., D]` -> Q(s, a) `[...]`.

    A vector observation goes into the first layer together with the action. Features of an image, or of the user's
    own module, meet the action in a hidden layer behind them.
    """

    torso: Torso
    hidden: tuple[int, ...]
    activation: str = "relu"
    initializer: str = "torch"

    @nn.compact
    def __call__(self, obs: Array, action: Array) -> Array:
        flat = joins_early(self.torso)
        x, hidden = (as_vector(self.torso.space, obs), self.hidden) if flat else (self.torso(obs), self.hidden[-1:])
        x = jnp.concatenate([x, action], axis=-1)
        x = MLP(hidden, self.activation, self.initializer)(x)
        return Dense(1, self.initializer, 1.0, name="q")(x).squeeze(-1)


def joins_early(torso: Torso) -> bool:
    """Whether an action meets the observation in the first layer: where that is a vector, or a tree without images."""
    return torso.flat and (not isinstance(torso.space, LEAVES) or len(torso.space.shape) == 1)


class ActorCritics(NamedTuple):
    """An actor and an ensemble of critics as pure functions over `params = {"actor": ..., "critic": ...}`."""

    init: Callable[[Key], PyTree]  # key -> params
    actor: Callable[[PyTree, Array], tuple[Array, ...]]  # (params["actor"], obs) -> its outputs, each [..., D]
    critics: Callable[[PyTree, Array, Array], Array]  # (params["critic"], obs, action) -> [C, ...]


def actor_critic_network(config: Any, env: Any, outputs: tuple[str, ...], number: int) -> ActorCritics:
    """Build an actor with the named `outputs` and `number` critics for continuous actions in [-1, 1].

    Reads `network`, `hidden`, `activation` and `initializer`. The critics' parameters are stacked, so that they are
    computed together. Raises `ValueError` for an action space without finite bounds.
    """
    space = stored_space(env)
    torso = make_torso(config, acting_space(env), config.hidden)
    if not env.action_space.bounded:
        raise ValueError(
            f"{env.name} has the action space {env.action_space}: give every dimension finite bounds, which the "
            "policy's output is mapped onto"
        )
    size = action_dims(env.action_space)
    actor = ContinuousActor(torso, size, outputs, config.initializer)
    critic_torso = make_torso(config, space, config.hidden)
    critic = ActionCritic(critic_torso, critic_torso.hidden, config.activation, config.initializer)
    obs = zeros(space, (1,))

    def init(key: Key) -> PyTree:
        actor_key, critic_key = jax.random.split(key)
        init_critic = jax.vmap(lambda key: critic.init(key, obs, jnp.zeros((1, size), jnp.float32)))
        return {"actor": actor.init(actor_key, obs), "critic": init_critic(jax.random.split(critic_key, number))}

    def critics(params: PyTree, obs: Array, action: Array) -> Array:
        # vectors are copied for each critic: with shared ones vmap makes one product of all their first layers, and the
        # transposes around it cost more than it saves
        axis = None
        if joins_early(critic.torso):
            axis, count = 0, jax.tree.leaves(params)[0].shape[0]
            obs, action = jax.tree.map(lambda x: jnp.broadcast_to(x, (count, *x.shape)), (obs, action))
        return cast(Array, jax.vmap(critic.apply, in_axes=(0, axis, axis))(params, obs, action))

    return ActorCritics(init, lambda params, obs: cast(Any, actor.apply(params, obs)), critics)
