"""Policies from distrax distributions: those of a head of the user's own, and Beta's.

A head is a module that maps features `[F]`, of one observation, to a distrax distribution over one action. distrax is
imported only where there is one.
"""

from __future__ import annotations

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from jaxrl_up.config import did_you_mean
from jaxrl_up.envs import LEAVES, Box, Discrete, Env, Leaf, leaves, mask_space
from jaxrl_up.learning.networks.encoders import action_dims
from jaxrl_up.learning.networks.layers import Dense
from jaxrl_up.learning.networks.own import require_pure
from jaxrl_up.ops import Categorical, monte_carlo_entropy
from jaxrl_up.types import Array, Key, PyTree

HEADS = ("gaussian", "beta")
ENTROPY_SAMPLES = 16  # of each distribution whose entropy distrax does not know
ROUNDING = float(np.finfo(np.float32).eps) / 2  # half a rounding unit of 1: 1 - ROUNDING is the float32 below 1


def from_distrax(head: Any, leaf: Leaf) -> bool:
    """Whether the actions of a leaf are drawn from a distrax distribution, by a key each; not of one over n actions."""
    return (isinstance(head, nn.Module) and not isinstance(leaf, Discrete)) or (
        head == "beta" and isinstance(leaf, Box)
    )


def check_head(config: Any, env: Env) -> None:
    """Raise `ValueError` for a head that is not known, or that does not fit the actions of an environment."""
    head, space, own = config.head, env.action_space, isinstance(config.head, nn.Module)
    boxes = [leaf for leaf in leaves(space).values() if isinstance(leaf, Box)]
    if not own and head not in HEADS:
        what = repr(head) if isinstance(head, str) else type(head).__name__
        raise ValueError(
            f"head={what} is not known; choose from {', '.join(HEADS)} or pass a linen module (an nnx one by from_nnx)."
            f"{did_you_mean(what, HEADS)}"
        )
    if own and not isinstance(space, LEAVES):
        raise ValueError(f"head={type(head).__name__}(...) gives one distribution, but {env.name} acts in {space}")
    if own and not isinstance(space, Discrete) and mask_space(env.observation_space) is not None:
        raise ValueError(
            f"head={type(head).__name__}(...) knows masks of Discrete actions only, but {env.name} acts in {space}: "
            "choose head='gaussian'"
        )
    if head == "beta" and not (boxes and all(leaf.bounded for leaf in boxes)):
        raise ValueError(f"head='beta' draws actions within bounds, but {env.name} has the action space {space}")
    if config.log_std == "network" and (own or head == "beta" or not boxes):
        raise ValueError(f"log_std='network' is of a Gaussian, which actions in {space} have not with this head")


class DistraxHead(nn.Module):
    """Features `[..., F]` -> the policy over one action that a module's distributions make.

    Whatever distribution it is over the actions of a Discrete, it is the `Categorical` of their probabilities, whose
    entropy and KL are exact and which knows masks.
    """

    module: nn.Module
    space: Any

    @nn.compact
    def __call__(self, features: Array) -> DistraxPolicy | Categorical:
        if self.is_initializing():
            row = features.reshape(-1, features.shape[-1])[0]
            require_pure("head", self.module.clone(parent=None), row)
            self.module(row)
        module, variables = self.module.unbind()
        policy = DistraxPolicy(features, variables, module, self.space)
        return Categorical(policy.log_probs()) if isinstance(self.space, Discrete) else policy


class BetaHead(nn.Module):
    """Features `[F]` -> a Beta distribution for each of `size` dimensions, on [0, 1].

    Concentrations are 1 + softplus of a linear layer, as Chou et al. (2017) have them, so there is one mode.
    """

    size: int
    initializer: str = "orthogonal"

    @nn.compact
    def __call__(self, features: Array) -> Any:
        import distrax

        names = "alpha", "beta"
        return distrax.Beta(
            *(1.0 + jax.nn.softplus(Dense(self.size, self.initializer, 0.01, name=name)(features)) for name in names)
        )


@struct.dataclass
class DistraxPolicy:
    """A policy as `ops` has them, from a head's distrax distributions, one for each row of features.

    The distributions are made anew, row by row under vmap, wherever they are asked for something, since not all of
    distrax's pass through transformations of JAX. Of one row `batch_shape + event_shape` is the shape of an action, and
    probabilities multiply over the batch. Actions are those of the unit space: a Box spans [-1, 1] where it is bounded,
    and there Beta distributions, mixtures of them too, are stretched from [0, 1]. Methods raise `ValueError` for what
    is no distribution or one of another shape.
    """

    features: Array  # [..., F]
    variables: PyTree  # of the head
    head: Any = struct.field(pytree_node=False)
    space: Any = struct.field(pytree_node=False)

    def sample(self, key: Key) -> Array:
        """An action for each row, with keys split off."""
        lead = self.features.shape[:-1]
        return self.sample_with(jax.random.split(key, lead) if lead else key)

    def sample_with(self, keys: Array) -> Array:
        """An action `[..., *shape]` for each row, with a key `[...]` each."""
        return self._rows(lambda one, key: one.sample(key), keys)

    def log_prob(self, action: Array) -> Array:
        """Log-density `[...]` of actions `[..., *shape]`; that of a Beta counts at a bound as half a rounding unit
        inside."""
        return self._rows(lambda one, action: one.log_prob(action), action)

    def log_probs(self) -> Array:
        """Log-probabilities of all actions of a Discrete space `[..., A]`."""
        actions = jnp.arange(self.space.n, dtype=jnp.int32)
        return self._rows(lambda one: jax.vmap(one.log_prob)(actions))

    def sample_and_log_prob(self, key: Key) -> tuple[Array, Array]:
        """An action for each row and its log-density."""
        action = self.sample(key)
        return action, self.log_prob(action)

    def entropy(self) -> Array:
        """`[...]`, exact where distrax has it, else `ops.monte_carlo_entropy` of 16 samples.

        Their key is made of the row's features. So it is a function of policy and observation, which draws anew
        whenever one of them changes.
        """

        def estimate(features: Array, one: _Row) -> Array:
            def log_prob(key: Key) -> Array:  # of a distribution built within this vmap
                one = self._at(features)
                return one.log_prob(jax.lax.stop_gradient(one.sample(key)))

            keys = jax.random.split(_key_of(features), ENTROPY_SAMPLES)
            return monte_carlo_entropy(jax.vmap(log_prob)(keys))

        def entropy(features: Array) -> Array:
            one = self._at(features)
            try:
                return one.entropy()
            except NotImplementedError:
                return estimate(features, one)

        return _over_rows(entropy, self.features)(self.features)

    def kl(self, other: DistraxPolicy) -> Array:
        """KL(self || other) `[...]`, exact. Raises `NotImplementedError`, naming the kind, where distrax has none."""

        def divergence(features: Array, others: Array) -> Array:
            return self._at(features).kl(other._at(others))

        return _over_rows(divergence, self.features)(self.features, other.features)

    def mode(self) -> Array:
        """The most probable action `[..., *shape]`, or what stands for it.

        Of a mixture the mode of the component where the mixture is densest, of a transformed distribution its mode
        transformed, of a Beta without an inner one the mean; of what has no mode the mean. Raises `ValueError` where
        distrax has neither.
        """
        return self._rows(lambda one: one.mode())

    def _at(self, features: Array) -> _Row:
        return _Row(self.head.apply(self.variables, features), self.head, self.space)

    def _rows(self, function: Any, *rows: Array) -> Array:
        return _over_rows(lambda features, *row: function(self._at(features), *row), self.features)(
            self.features, *rows
        )


def _over_rows(function: Any, features: Array) -> Any:
    for _ in features.shape[:-1]:
        function = jax.vmap(function)
    return function


def _key_of(features: Array) -> Key:
    """A key made of numbers `[F]`: a sum of their bits, each times an odd number of its own."""
    bits = jax.lax.bitcast_convert_type(jax.lax.stop_gradient(features).astype(jnp.float32), jnp.uint32)
    place = 2 * jnp.arange(bits.shape[0], dtype=jnp.uint32) + 1
    return jax.random.key(jnp.sum(bits * (place * jnp.uint32(0x9E3779B1)), dtype=jnp.uint32))


class _Row:
    """One distribution over one action of a space: what it samples and gives densities of is in unit actions."""

    def __init__(self, distribution: Any, head: Any, space: Any) -> None:
        import distrax

        name = f"head={type(head).__name__}(...)"
        if not isinstance(distribution, distrax.Distribution):
            raise ValueError(f"{name} gives {type(distribution).__name__}, where a distrax distribution belongs")
        shape = (*distribution.batch_shape, *distribution.event_shape)
        if shape != space.shape:
            raise ValueError(
                f"{name} gives a {distribution.name} over {list(shape)} for features of one observation, but actions "
                f"are {space}, of shape {list(space.shape)}"
            )
        self.distribution, self.name, self.space = distribution, name, space
        self.stretched = _of_beta(distribution)
        if self.stretched and not (isinstance(space, Box) and space.bounded):
            raise ValueError(f"{name} gives a {distribution.name} on [0, 1], but actions are {space}")

    def sample(self, key: Key) -> Array:
        drawn = self.distribution.sample(seed=key)
        return (2.0 * drawn - 1.0 if self.stretched else drawn).astype(self.space.dtype)

    def log_prob(self, action: Array) -> Array:
        if self.stretched:
            action = jnp.clip(0.5 * (action + 1.0), ROUNDING, 1.0 - ROUNDING)
        return jnp.sum(self.distribution.log_prob(action)) - self.stretch

    def entropy(self) -> Array:
        return jnp.sum(self.distribution.entropy()) + self.stretch

    def kl(self, other: _Row) -> Array:
        try:
            return jnp.sum(self.distribution.kl_divergence(other.distribution))
        except NotImplementedError:
            raise NotImplementedError(f"{self.name} gives a {self.distribution.name}") from None

    def mode(self) -> Array:
        mode = _mode(self.name, self.distribution)
        return (2.0 * mode - 1.0 if self.stretched else mode).astype(self.space.dtype)

    @property
    def stretch(self) -> float:
        """Logarithm of the volume of actions over that of [0, 1]^D."""
        return action_dims(self.space) * math.log(2.0) if self.stretched else 0.0


def _of_beta(distribution: Any) -> bool:
    """Whether a distribution is one on [0, 1]: Beta, independent ones, or a mixture of these."""
    import distrax

    if isinstance(distribution, distrax.Independent):
        return _of_beta(distribution.distribution)
    if isinstance(distribution, distrax.MixtureSameFamily):
        return _of_beta(distribution.components_distribution)
    return isinstance(distribution, distrax.Beta)


def _mode(name: str, distribution: Any) -> Any:
    import distrax

    if isinstance(distribution, distrax.Beta):
        above, below = (jnp.maximum(x - 1.0, 0.0) for x in (distribution.alpha, distribution.beta))
        total = above + below
        return jnp.where(total > 0, above / jnp.where(total > 0, total, 1.0), distribution.mean())
    if isinstance(distribution, distrax.Independent):
        return _mode(name, distribution.distribution)
    if isinstance(distribution, distrax.MixtureSameFamily):
        axis = -1 - len(distribution.event_shape)
        modes = jnp.moveaxis(_mode(name, distribution.components_distribution), axis, 0)
        density = jnp.stack([distribution.log_prob(mode) for mode in modes])
        best = jnp.argmax(density, axis=0).reshape(1, *density.shape[1:], *(1 for _ in distribution.event_shape))
        return jnp.take_along_axis(modes, best, axis=0)[0]
    for ask in (distribution.mode, distribution.mean):
        try:
            return ask()
        except NotImplementedError:
            if isinstance(distribution, distrax.Transformed):
                return distribution.bijector.forward(_mode(name, distribution.distribution))
    raise ValueError(f"{name} gives a {distribution.name}, of which distrax has neither mode nor mean to act greedily")
