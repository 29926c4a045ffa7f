"""The policy and the value function of on-policy algorithms."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxrl_up.envs import LEAVES, Discrete, Leaf, MultiDiscrete, leaves, mask_of, tree, zeros
from jaxrl_up.learning.networks.encoders import action_dims, make_torso, sampling_noise
from jaxrl_up.learning.networks.heads import BetaHead, DistraxHead, check_head, from_distrax
from jaxrl_up.learning.networks.layers import Dense
from jaxrl_up.learning.rollout import acting_space, stored_space
from jaxrl_up.ops import Categorical, DiagonalGaussian, Joint, MultiCategorical
from jaxrl_up.types import Array, Key, PyTree

LOG_STD_RANGE = (-5.0, 2.0)  # of a log-std that depends on the state


class PolicyHead(nn.Module):
    """Features -> a distribution over actions, of a tree of them the `Joint` of its leaves'.

    `Categorical`, `MultiCategorical`, and for a Box `DiagonalGaussian`, with a log-std that is a parameter, or
    ("network") that plus a linear function of the features, within `LOG_STD_RANGE`; or what `head` has, see `heads`.
    """

    space: Any
    initializer: str = "orthogonal"
    head: Any = "gaussian"
    log_std: str = "parameter"

    @nn.compact
    def __call__(self, features: Array, initial_log_std: float | Array = 0.0) -> Any:
        def head(path: str, leaf: Leaf) -> Any:
            names = {name: f"{path}.{name}" if path else name for name in ("logits", "mean", "log_std")}
            size = action_dims(leaf)
            if isinstance(self.head, nn.Module) or from_distrax(self.head, leaf):
                own = self.head if isinstance(self.head, nn.Module) else BetaHead(size, self.initializer)
                return DistraxHead(own, leaf, name=f"{path}.own" if path else "own")(features)
            if isinstance(leaf, Discrete):
                return Categorical(Dense(size, self.initializer, 0.01, name=names["logits"])(features))
            if isinstance(leaf, MultiDiscrete):
                return MultiCategorical(Dense(size, self.initializer, 0.01, name=names["logits"])(features), leaf.sizes)
            mean = Dense(size, self.initializer, 0.01, name=names["mean"])(features)
            log_std = self.param(names["log_std"], lambda _: jnp.full((size,), initial_log_std, jnp.float32))
            log_std = jnp.broadcast_to(log_std, mean.shape)
            if self.log_std == "network":
                slope = Dense(size, self.initializer, 0.01, False, name=f"{names['log_std']}_slope")
                log_std = jnp.clip(log_std + slope(features), *LOG_STD_RANGE)
            return DiagonalGaussian(mean, log_std)

        heads = [head(path.replace("/", "."), leaf) for path, leaf in leaves(self.space).items()]
        if isinstance(self.space, LEAVES):
            return heads[0]
        return Joint(jax.tree.unflatten(jax.tree.structure(tree(self.space)), heads))


class ValueHead(nn.Module):
    """Features `[..., D]` -> value `[...]`: a linear layer times a `scale` that gradients leave alone."""

    initializer: str = "orthogonal"

    @nn.compact
    def __call__(self, features: Array) -> Array:
        scale = jax.lax.stop_gradient(self.param("scale", nn.initializers.ones, (), jnp.float32))
        return scale * Dense(1, self.initializer, 1.0, name="value")(features).squeeze(-1)


def value_scale(critic: PyTree) -> Array:
    """The scale of a critic's `ValueHead`, in reward units: a unit to measure in, so that no gradient moves it."""
    return jax.lax.stop_gradient(critic["params"]["head"]["scale"])


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
    noise: Callable[[Key, tuple[int, ...]], PyTree]  # (key, shape) -> for `sample_with` of the policy, [*shape, ...]
    divisible: bool = True  # whether a policy of many rows is a tree of arrays [N, ...], which can be cut in parts


def policy_value_network(config: Any, env: Any) -> ActorCritic:
    """Build the networks that a config and the spaces of `env` describe.

    Reads `network` (`auto`, `mlp`, `cnn` or a linen module `obs [..., *shape] -> features [..., D]`),
    `hidden`, `activation`, `initializer`, `head`, `log_std`, `initial_log_std` and `shared`: with `shared` the critic
    is a head on the actor's features, and the torso belongs to `params["actor"]`. Raises `ValueError` for a network or
    a head that is not known or does not fit, and for `shared` where the critic is to see more.
    """
    check_head(config, env)
    space, shown = stored_space(env), acting_space(env)
    if config.shared and shown != space:
        raise ValueError(
            "shared=True lets the critic see what the actor sees, but observations hold what is critic_only"
        )
    head = PolicyHead(env.action_space, config.initializer, config.head, config.log_std)
    actor = Actor(make_torso(config, shown, config.hidden), head)
    critic = Critic(None if config.shared else make_torso(config, space, config.hidden), ValueHead(config.initializer))

    def init(key: Key) -> PyTree:
        actor_key, critic_key = jax.random.split(key)
        obs = zeros(space, (1,))
        (_, features), actor_params = actor.init_with_output(actor_key, obs, config.initial_log_std)
        return {
            "actor": actor_params,
            "critic": critic.init(critic_key, features if config.shared else obs),
        }

    def masked(distribution: Any, obs: PyTree) -> Any:
        mask = mask_of(env.observation_space, obs)
        return distribution if mask is None else distribution.restricted(mask)

    def policy(actor_params: PyTree, obs: PyTree) -> Any:
        return masked(actor.apply(actor_params, obs)[0], obs)

    def both(params: PyTree, obs: Array) -> tuple[Any, Array]:
        distribution, features = actor.apply(params["actor"], obs)
        return masked(distribution, obs), cast(
            Array, critic.apply(params["critic"], features if config.shared else obs)
        )

    def value(params: PyTree, obs: Array) -> Array:
        return both(params, obs)[1] if config.shared else cast(Array, critic.apply(params["critic"], obs))

    by_key = partial(from_distrax, config.head)
    noise = partial(sampling_noise, env.action_space, by_key=by_key)
    return ActorCritic(init, policy, value, both, noise, not any(map(by_key, leaves(env.action_space).values())))


class ValueFunction(NamedTuple):
    """Pure functions over `params = {"value": ...}`."""

    init: Callable[[Key], PyTree]  # key -> params
    value: Callable[[PyTree, PyTree], Array]  # (params, obs [..., *shape]) -> [...]


def value_network(config: Any, env: Any) -> ValueFunction:
    """The value function alone, of what critics see; reads `network`, `hidden`, `activation` and `initializer`."""
    space = stored_space(env)
    critic = Critic(make_torso(config, space, config.hidden), ValueHead(config.initializer))

    def value(params: PyTree, obs: PyTree) -> Array:
        return cast(Array, critic.apply(params["value"], obs))

    return ValueFunction(lambda key: {"value": critic.init(key, zeros(space, (1,)))}, value)
