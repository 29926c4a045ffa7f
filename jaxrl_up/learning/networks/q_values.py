"""Q(s, .) of all actions, plain, dueling or as a distribution."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import flax.linen as nn
import jax

from jaxrl_up.envs import zeros
from jaxrl_up.learning.networks.encoders import action_dims, make_torso
from jaxrl_up.learning.networks.layers import ACTIVATIONS, Dense
from jaxrl_up.learning.rollout import acting_space, stored_space
from jaxrl_up.ops import dueling_q_values
from jaxrl_up.types import Array, Key, PyTree


class QHead(nn.Module):
    """Features -> action values `[..., A]`, or `atoms` numbers for each action `[..., A, atoms]`.

    With `dueling`, a value and an advantage stream, each with a hidden layer of `hidden` units (Wang et al. 2016).
    """

    num_actions: int
    atoms: int | None = None
    dueling: bool = False
    hidden: int = 64
    activation: str = "relu"
    initializer: str = "torch"

    @nn.compact
    def __call__(self, features: Array) -> Array:
        if not self.dueling:
            return self._linear("q", self.num_actions, features)
        streams = {
            name: ACTIVATIONS[self.activation](Dense(self.hidden, self.initializer, name=f"{name}_hidden")(features))
            for name in ("value", "advantage")
        }
        value = self._linear("value", 1, streams["value"])
        advantage = self._linear("advantage", self.num_actions, streams["advantage"])
        if self.atoms is None:
            return dueling_q_values(value[..., 0], advantage)
        return jax.vmap(dueling_q_values, in_axes=-1, out_axes=-1)(value[..., 0, :], advantage)

    def _linear(self, name: str, rows: int, x: Array) -> Array:
        y = Dense(rows * (self.atoms or 1), self.initializer, 1.0, name=name)(x)
        return y if self.atoms is None else y.reshape(*y.shape[:-1], rows, self.atoms)


class QNetwork(nn.Module):
    """Observation `[..., *shape]` -> action values `[..., A]`, or `[..., A, atoms]`; see `QHead`."""

    torso: nn.Module
    head: nn.Module

    def __call__(self, obs: Array) -> Array:
        return self.head(self.torso(obs))


class QFunction(NamedTuple):
    """A `QNetwork`, or several that are computed together, as pure functions over one part of the parameters."""

    init: Callable[[Key], PyTree]  # key -> params, {part: ...}
    apply: Callable[[PyTree, Array], Array]  # (params[part], obs) -> [..., A] or [..., A, atoms]; of several [C, ...]


def q_network(
    config: Any, env: Any, atoms: int | None = None, dueling: bool = False, part: str = "q", number: int | None = None
) -> QFunction:
    """The action-value network that a config describes, for discrete actions; or a `number` of them, side by side.

    Reads `network`, `hidden`, `activation` and `initializer`. With `dueling` the last hidden layer is there twice, in
    either stream, and not in the torso (unless it is the only one). `part` names its parameters. One network may act,
    so it sees what policies see; a number of them are critics, who see all.
    Raises `ValueError` for a linear one with `dueling`.
    """
    if dueling and config.network == "linear":
        raise ValueError("dueling=True gives either stream a hidden layer, but network='linear' has none: choose one")
    hidden = list(config.hidden)
    torso_hidden = hidden[:-1] if dueling and len(hidden) > 1 else hidden
    space = acting_space(env) if number is None else stored_space(env)
    torso = make_torso(config, space, torso_hidden)
    head = QHead(action_dims(env.action_space), atoms, dueling, hidden[-1], config.activation, config.initializer)
    net = QNetwork(torso, head)
    apply = cast(Any, net.apply)

    def init(key: Key) -> PyTree:
        obs = zeros(space, (1,))
        if number is None:
            return {part: net.init(key, obs)}
        return {part: jax.vmap(lambda key: net.init(key, obs))(jax.random.split(key, number))}

    return QFunction(init, apply if number is None else jax.vmap(apply, in_axes=(0, None)))
