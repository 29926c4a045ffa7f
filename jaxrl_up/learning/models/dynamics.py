"""Dynamics that are learned: an ensemble of networks that predict how an observation changes, rewards and endings.

    s' = s + delta,    [delta, r] ~ N(mu(s, a), diag sigma^2(s, a)),    terminated ~ Bernoulli(p(s, a))

Inputs and targets are whitened by the statistics of what was learned from. Deterministic networks give mu alone.
Shapes: E members, N rows, D numbers of an observation, A of an action, K = D + 1 predicted numbers, the last a reward.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from jaxrl_up import ops
from jaxrl_up.envs import Box, Discrete, Env, unit_space
from jaxrl_up.learning.networks import MLP, Dense, action_dims
from jaxrl_up.types import Array, Key, PyTree

LOG_VARIANCE = (-10.0, 0.5)  # bounds at first, of whitened numbers (Chua et al. 2018, in their code)


class Prediction(NamedTuple):
    """What a network says of N rows, in whitened units."""

    mean: Array  # [N, K]
    log_variance: Array  # [N, K]; -inf nowhere, 0 where networks are deterministic
    termination: Array  # [N], logits


class Targets(NamedTuple):
    """What a model learns from N transitions."""

    obs: Array  # [N, D]
    action: PyTree  # [N, A] unit actions, or [N] whole numbers
    reward: Array  # [N]
    terminated: Array  # bool [N]: the observation after it is not read, which may be of another episode
    next_obs: Array  # [N, D]
    weight: Array  # [N], 0 for a row that must not be learned from


class _Network(nn.Module):
    """(obs and action, whitened, `[N, D + A]`) -> mean, raw log-variance and termination logit."""

    outputs: int
    hidden: tuple[int, ...]
    activation: str
    initializer: str
    probabilistic: bool

    @nn.compact
    def __call__(self, x: Array) -> tuple[Array, Array, Array]:
        x = MLP(self.hidden, self.activation, self.initializer)(x)
        mean = Dense(self.outputs, self.initializer, 1.0, name="mean")(x)
        raw = jnp.zeros_like(mean)
        if self.probabilistic:
            raw = Dense(self.outputs, self.initializer, 1.0, name="log_variance")(x)
        return mean, raw, Dense(1, self.initializer, 1.0, name="termination")(x)[..., 0]


class Dynamics(NamedTuple):
    """An ensemble of E networks over the observations and unit actions of an environment, as pure functions.

    Parameters are `{"networks": stacked [E, ...], "bounds": [K] of log-variances, "inputs": ..., "outputs": ...}`: the
    last two are statistics, which no gradient moves (see `observe`). In those of one member `networks` are its own.
    """

    size: int  # D
    space: Any  # of unit actions
    members: int = 5
    hidden: tuple[int, ...] = (200, 200)
    activation: str = "silu"
    initializer: str = "flax"
    probabilistic: bool = True
    beta: float = 0.5

    @property
    def by_means(self) -> Dynamics:
        """The same, of which `step` gives means and draws nothing; it takes the same parameters."""
        return self._replace(probabilistic=False)

    @property
    def network(self) -> nn.Module:
        """One member."""
        return _Network(self.size + 1, self.hidden, self.activation, self.initializer, self.probabilistic)

    def init(self, key: Key) -> PyTree:
        """Random members, the widest bounds, and statistics of nothing."""
        width = self.size + action_dims(self.space)
        low, high = (jnp.full(self.size + 1, x, jnp.float32) for x in LOG_VARIANCE)
        init = jax.vmap(lambda key: self.network.init(key, jnp.zeros((1, width), jnp.float32)))
        return {
            "networks": init(jax.random.split(key, self.members)),
            "bounds": {"low": low, "high": high} if self.probabilistic else {},
            "inputs": ops.init_statistics((width,)),
            "outputs": ops.init_statistics((self.size + 1,)),
        }

    def observe(self, params: PyTree, rows: Targets) -> PyTree:
        """Parameters whose statistics have these rows too."""
        counts = (rows.weight > 0.0) & ~rows.terminated
        inputs = _of_rows(params["inputs"], self.inputs(rows.obs, rows.action), rows.weight > 0.0)
        return {**params, "inputs": inputs, "outputs": _of_rows(params["outputs"], _changes(rows), counts)}

    def inputs(self, obs: Array, action: PyTree) -> Array:
        """Observation and action as one vector, float32 `[..., D + A]`, a Discrete one one-hot."""
        numbers = (
            jax.nn.one_hot(action, self.space.n, dtype=jnp.float32) if isinstance(self.space, Discrete) else action
        )
        return jnp.concatenate([obs, numbers], axis=-1).astype(jnp.float32)

    def predict(self, member: PyTree, obs: Array, action: PyTree) -> Prediction:
        """What one member says of `obs [N, D]` and actions."""
        x = ops.normalize(jax.lax.stop_gradient(member["inputs"]), self.inputs(obs, action))
        said: Any = self.network.apply(member["networks"], x)
        mean, raw, termination = said
        if not self.probabilistic:
            return Prediction(mean, raw, termination)
        # soft bounds, which are learned (Chua et al. 2018, appendix A.1)
        low, high = (jnp.broadcast_to(member["bounds"][k][None], raw.shape) for k in ("low", "high"))
        raw = high - jax.nn.softplus(high - raw)
        return Prediction(mean, low + jax.nn.softplus(raw - low), termination)

    def member(self, params: PyTree, index: Array | int) -> PyTree:
        """The parameters of one member."""
        return {**params, "networks": jax.tree.map(lambda x: x[index], params["networks"])}

    def each(self, function: Any, params: PyTree, *arguments: Any) -> Any:
        """`function(member, *arguments)` of all members: results `[E, ...]`; arguments have that axis too."""
        axes = {"networks": 0, "bounds": None, "inputs": None, "outputs": None}
        return jax.vmap(function, in_axes=(axes, *(0 for _ in arguments)))(params, *arguments)

    def steps(self, member: PyTree, key: Key, obs: Array, action: PyTree) -> tuple[Array, Array, Array]:
        """A draw of what follows `obs [N, D]` and actions: (next obs `[N, D]`, reward `[N]`, terminated bool `[N]`).

        Deterministic networks give their means, and end where an ending is likelier than not.
        """
        said = self.predict(member, obs, action)
        drawn, ends = said.mean, said.termination > 0.0
        if self.probabilistic:
            normal_key, end_key = jax.random.split(key)
            drawn = drawn + jnp.exp(0.5 * said.log_variance) * jax.random.normal(normal_key, drawn.shape, jnp.float32)
            ends = jax.random.bernoulli(end_key, jax.nn.sigmoid(said.termination))
        change = ops.denormalize(member["outputs"], drawn)
        return (obs + change[..., :-1]).astype(obs.dtype), change[..., -1], ends

    def step(self, member: PyTree, key: Key, obs: Array, action: PyTree) -> tuple[Array, Array, Array]:
        """`steps` of one observation `[D]`: (next obs `[D]`, reward `[]`, terminated bool `[]`)."""
        one = jax.tree.map(lambda x: jnp.asarray(x)[None], (obs, action))
        return jax.tree.map(lambda x: x[0], self.steps(member, key, *one))

    def loss(self, params: PyTree, rows: Targets, counts: Array) -> tuple[Array, dict[str, Array]]:
        """Mean negative log-likelihood of rows `[N]`, in nats a number; each counts `[E, N]` times for a member.

        Gaussian networks: 1/2 ((y - mu)^2 / sigma^2 + log sigma^2), with a gradient times sigma^(2 beta), since else a
        member hardly learns what it once took for noise (Seitzer et al. 2022, eq. 5), and 0.01 of the width of the
        bounds (PETS, appendix A.1, where it is a sum over dimensions too). Deterministic ones: (y - mu)^2. To both the
        cross entropy of the endings. Where a transition terminated, only its ending and its reward are learned. What is
        reported: `model_loss`, the likelihood; `model_error`, the mean square of y - mu; `ending_loss`.
        """
        target = jax.lax.stop_gradient(ops.normalize(params["outputs"], _changes(rows)))
        is_change = (jnp.arange(self.size + 1) < self.size)[None]
        known = (rows.weight > 0.0)[:, None] & ~(is_change & rows.terminated[:, None])

        def of_member(member: PyTree, counts: Array) -> tuple[Array, Array, Array, Array]:
            said = self.predict(member, rows.obs, rows.action)
            square = jnp.square(jnp.where(known, target - said.mean, 0.0))
            each, followed = square, square
            if self.probabilistic:
                each = 0.5 * (square * jnp.exp(-said.log_variance) + said.log_variance)
                followed = jax.lax.stop_gradient(jnp.exp(self.beta * said.log_variance)) * each
            ending = optax.sigmoid_binary_cross_entropy(said.termination, rows.terminated.astype(jnp.float32))
            weight = jnp.where(known, counts[:, None], 0.0)
            endings = _mean(ending, counts * (rows.weight > 0.0))
            return _mean(followed, weight), _mean(each, weight), _mean(square, weight), endings

        followed, fit, error, ending = (jnp.mean(x) for x in self.each(of_member, params, counts))
        total = followed + ending
        if self.probabilistic:
            total += 0.01 * jnp.mean(params["bounds"]["high"] - params["bounds"]["low"])
        return total, {"model_loss": fit, "model_error": error, "ending_loss": ending}

    def bootstrap(self, index: Array) -> Array:
        """How often each member learns from transitions of some `index [N]`: `[E, N]`, Poisson(1), always the same.

        So each has a resampled copy of the data (Oza & Russell 2001), whatever batches it comes in; one alone has all.
        """
        if self.members == 1:
            return jnp.ones((1, *index.shape), jnp.float32)
        bits = index[None].astype(jnp.uint32) * self.members + jnp.arange(self.members, dtype=jnp.uint32)[:, None]
        for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):  # mixed as MurmurHash3 ends (Appleby 2011)
            bits = (bits ^ (bits >> shift)) * jnp.uint32(factor)
        uniform = (bits ^ (bits >> 16)).astype(jnp.float32) / 2.0**32
        below = jnp.exp(-1.0) * jnp.cumsum(1.0 / jnp.asarray([1.0, 1.0, 2.0, 6.0, 24.0, 120.0]))
        return jnp.sum(uniform[..., None] > below[None, None], axis=-1).astype(jnp.float32)


def dynamics_of(env: Env, **fields: Any) -> Dynamics:
    """The dynamics that fit an environment. Raises `ValueError` unless it shows a vector of floats, and for actions
    that are neither a Box nor Discrete."""
    space, actions = env.observation_space, unit_space(env.action_space)
    if not isinstance(space, Box) or len(space.shape) != 1 or not jnp.issubdtype(space.dtype, jnp.floating):
        raise ValueError(f"a model predicts vectors of floats, {env.name} shows {space}: flatten it, or show numbers")
    if not math.prod(space.shape):
        raise ValueError(f"the observation space {space} holds no number: there is nothing that a model could predict")
    if not isinstance(actions, Box | Discrete):
        raise ValueError(f"a model takes actions in a Box or a Discrete, {env.name} has {env.action_space}")
    return Dynamics(math.prod(space.shape), actions, **fields)


def _changes(rows: Targets) -> Array:
    """[delta, r] `[N, K]`; zeros for the delta of what terminated, where what follows is not read."""
    delta = jnp.where(rows.terminated[..., None], 0.0, rows.next_obs - rows.obs)
    return jnp.concatenate([delta, rows.reward[..., None]], axis=-1).astype(jnp.float32)


def _of_rows(statistics: ops.RunningStatistics, x: Array, counts: Array) -> ops.RunningStatistics:
    """Statistics with the rows of `x [N, K]` that count."""
    number = jnp.sum(counts, dtype=jnp.float32)
    mean = jnp.sum(jnp.where(counts[:, None], x, 0.0), axis=0) / jnp.maximum(number, 1.0)
    left = jnp.where(counts[:, None], x - mean[None], 0.0)
    return ops.merge_statistics(statistics, ops.RunningStatistics(number, mean, jnp.sum(jnp.square(left), axis=0)))


def _mean(x: Array, weight: Array) -> Array:
    return jnp.sum(jnp.where(weight > 0.0, weight * x, 0.0)) / jnp.maximum(jnp.sum(weight), 1.0)
