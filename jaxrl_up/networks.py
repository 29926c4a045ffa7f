"""Torsos by observation (MLP, CNN), heads by action space, and the actor-critic record."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_up import numpy_policy
from jaxrl_up.envs.spaces import Box, Discrete
from jaxrl_up.ops.bellman import dueling_q_values
from jaxrl_up.ops.policies import Categorical, DiagonalGaussian
from jaxrl_up.types import Array, Key, PyTree

ACTIVATIONS = {"tanh": nn.tanh, "relu": nn.relu, "elu": nn.elu, "gelu": nn.gelu, "silu": nn.silu}
INITIALIZERS = ("orthogonal", "torch", "flax")
NETWORKS = ("auto", "mlp", "cnn")


def _symmetric_uniform(bound: float) -> Callable[..., Array]:
    return lambda key, shape, dtype: jax.random.uniform(key, shape, dtype, -bound, bound)


def orthogonal(scale: float = 1.0) -> Callable[..., Array]:
    """Orthogonal weights times `scale` (Saxe et al. 2014), equal to `jax.nn.initializers.orthogonal`.

    By Gram-Schmidt, each vector twice, in place of LAPACK's QR: two QRs batched by vmap wait for one another for ever
    in jaxlib 0.10 where its thread pool has two threads, as it has on two cores.
    """

    def init(key: Key, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
        return scale * _orthonormal(key, tuple(shape), dtype)

    return init


@partial(jax.jit, static_argnames=("shape", "dtype"))  # flax looks at an initialiser at every use of a layer: one trace
def _orthonormal(key: Key, shape: tuple[int, ...], dtype: Any) -> Array:
    rows, columns = math.prod(shape[:-1]), shape[-1]
    drawn = jax.random.normal(key, (max(rows, columns), min(rows, columns)), dtype).T

    def orthonormalize(i: Array, basis: Array) -> Array:
        vector = drawn[i]
        vector = vector - (basis @ vector) @ basis
        vector = vector - (basis @ vector) @ basis
        return basis.at[i].set(vector / jnp.linalg.norm(vector))

    basis = jax.lax.fori_loop(0, drawn.shape[0], orthonormalize, jnp.zeros_like(drawn))
    return (basis if rows < columns else basis.T).reshape(shape)


def initializers(name: str, fan_in: int, scale: float) -> dict[str, Any]:
    """Kernel and bias initialisers of one layer.

    `orthogonal`: Saxe et al. (2014) with gain `scale`, zero bias. `torch`: kernel and bias from
    U(-1/sqrt(fan_in), 1/sqrt(fan_in)), what `torch.nn.Linear` does; `scale` is not used. `flax`: LeCun
    normal, zero bias, the default of `flax.linen`; `scale` is not used.
    """
    if name == "orthogonal":
        return {"kernel_init": orthogonal(scale), "bias_init": nn.initializers.zeros}
    if name == "torch":
        uniform = _symmetric_uniform(1 / math.sqrt(fan_in))
        return {"kernel_init": uniform, "bias_init": uniform}
    if name == "flax":
        return {"kernel_init": nn.initializers.lecun_normal(), "bias_init": nn.initializers.zeros}
    raise ValueError(f"initializer={name!r} is not known; choose from {', '.join(INITIALIZERS)}")


class Dense(nn.Module):
    """A linear layer with one of the named initialisers."""

    features: int
    initializer: str = "orthogonal"
    scale: float = math.sqrt(2)

    @nn.compact
    def __call__(self, x: Array) -> Array:
        init = initializers(self.initializer, x.shape[-1], self.scale)
        return nn.Dense(self.features, dot_general=_dot_general, **init)(x)


def _dot_general(x: Array, kernel: Array, *_: Any, **__: Any) -> Array:
    return product(x, kernel)


def product(x: Array, kernel: Array) -> Array:
    """`x [..., D] @ kernel [D, F]`, for few units on CPU with the units as rows.

    The gradient of `x @ kernel` is `x.T @ g`, and XLA's CPU backend is slow at a product whose first matrix is
    transposed. With the units as rows the gradient is `g.T @ x`, where what is transposed is small.
    """
    size, units = kernel.shape
    if 2 * units > size or jax.default_backend() != "cpu":
        return jax.lax.dot_general(x, kernel, (((x.ndim - 1,), (0,)), ((), ())))
    rows = jax.lax.optimization_barrier(kernel.T)  # else XLA puts the transpose back into the product
    return jnp.moveaxis(jax.lax.dot_general(rows, x, (((1,), (x.ndim - 1,)), ((), ()))), 0, -1)


class Conv(nn.Module):
    """A 2-D convolution, `VALID` padding, equal to `nn.Conv` in value.

    On CPU it is computed as shifted slices and one matrix product: XLA's CPU convolution is several times
    slower inside a loop or under vmap. `lowering="conv"` or `"slices"` overrides the choice.
    """

    features: int
    size: int
    stride: int = 1
    initializer: str = "orthogonal"
    lowering: str = "auto"

    @nn.compact
    def __call__(self, x: Array) -> Array:
        channels = x.shape[-1]
        fan_in = self.size * self.size * channels
        init = initializers(self.initializer, fan_in, math.sqrt(2))
        kernel = self.param("kernel", init["kernel_init"], (self.size, self.size, channels, self.features), jnp.float32)
        bias = self.param("bias", init["bias_init"], (self.features,), jnp.float32)
        slices = self.lowering == "slices" or (
            self.lowering == "auto" and jax.default_backend() == "cpu" and self.size <= 4
        )
        convolve = _convolve_slices if slices else _convolve
        y = convolve(x, kernel, self.stride)
        return y + jnp.broadcast_to(bias, y.shape)


def _convolve(x: Array, kernel: Array, stride: int) -> Array:
    batch = x.reshape(-1, *x.shape[-3:])
    y = jax.lax.conv_general_dilated(
        batch, kernel, (stride, stride), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return y.reshape(*x.shape[:-3], *y.shape[1:])


def _convolve_slices(x: Array, kernel: Array, stride: int) -> Array:
    size, _, channels, features = kernel.shape
    rows, columns = ((n - size) // stride + 1 for n in x.shape[-3:-1])
    patches = [
        x[..., i : i + rows * stride : stride, j : j + columns * stride : stride, :]
        for i in range(size)
        for j in range(size)
    ]
    return jnp.concatenate(patches, axis=-1) @ kernel.reshape(size * size * channels, features)


class MLP(nn.Module):
    """Observation `[..., *shape]` -> features `[..., hidden[-1]]`; the observation is flattened."""

    hidden: tuple[int, ...] = (64, 64)
    activation: str = "tanh"
    initializer: str = "orthogonal"
    event_ndim: int = 1

    @nn.compact
    def __call__(self, obs: Array) -> Array:
        x = obs.reshape(*obs.shape[: obs.ndim - self.event_ndim], -1)
        for features in self.hidden:
            x = ACTIVATIONS[self.activation](Dense(features, self.initializer)(x))
        return x


class CNN(nn.Module):
    """Image `[..., H, W, C]` -> features `[..., hidden[-1]]`.

    Below 36 pixels a side: one 3x3 convolution with 16 channels, as in MinAtar's DQN (Young & Tian 2019).
    From there on: the three layers of Mnih et al. (2015), made for 84x84x4.
    """

    hidden: tuple[int, ...] = (128,)
    activation: str = "relu"
    initializer: str = "orthogonal"

    @nn.compact
    def __call__(self, obs: Array) -> Array:
        small = min(obs.shape[-3:-1]) < 36
        layers = ((16, 3, 1),) if small else ((32, 8, 4), (64, 4, 2), (64, 3, 1))
        x = obs
        for features, size, stride in layers:
            x = ACTIVATIONS[self.activation](Conv(features, size, stride, self.initializer)(x))
        return MLP(self.hidden, self.activation, self.initializer, event_ndim=3)(x)


def as_observation(space: Box | Discrete, obs: Any) -> Array:
    """Observations `[..., *shape]` in the dtype of their space; raises `ValueError` if they are not of it."""
    obs = jnp.asarray(obs)
    try:
        numpy_policy.check_observations(obs.shape, obs.dtype, space.shape, space.dtype)
    except ValueError as error:
        raise ValueError(f"{error}: the observation space is {space}") from None
    return obs.astype(space.dtype)


def to_float(space: Box, obs: Array) -> Array:
    """Observations as float32; pixels, which are those of a space of uint8 that reaches 255, from 0 to 1."""
    x = as_observation(space, obs).astype(jnp.float32)
    pixels = space.dtype == np.uint8 and bool((space.bounds()[1] == 255).any())
    return x / 255.0 if pixels else x


def is_image(space: Box | Discrete) -> bool:
    """Whether a convolution fits on observations: `[H, W]` or `[H, W, C]` with 3 pixels a side or more."""
    return len(space.shape) in (2, 3) and min(space.shape[:2]) >= 3


class Torso(nn.Module):
    """The network chosen for the observation space, behind the conversion of the observation to float32.

    Discrete observations become one-hot, others as `to_float` has them; `[H, W]` gains a channel.
    """

    space: Any
    network: Any = "auto"
    hidden: tuple[int, ...] = (64, 64)
    activation: str = "tanh"
    initializer: str = "orthogonal"

    @nn.compact
    def __call__(self, obs: Array) -> Array:
        if isinstance(self.space, Discrete):
            x, ndim = jax.nn.one_hot(as_observation(self.space, obs), self.space.n, dtype=jnp.float32), 1
        else:
            x, ndim = to_float(self.space, obs), len(self.space.shape)
            x, ndim = (x[..., None], ndim + 1) if ndim in (0, 2) else (x, ndim)
        if isinstance(self.network, nn.Module):
            return self.network(x)
        if self.network == "cnn" or (self.network == "auto" and is_image(self.space)):
            return CNN(self.hidden, self.activation, self.initializer)(x)
        return MLP(self.hidden, self.activation, self.initializer, event_ndim=ndim)(x)


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

    init: Callable[[Key, float | Array], PyTree]  # (key, initial_log_std) -> params
    policy: Callable[[PyTree, Array], Any]  # (params["actor"], obs [..., *shape]) -> distribution
    value: Callable[[PyTree, Array], Array]  # (params, obs) -> [...]
    both: Callable[[PyTree, Array], tuple[Any, Array]]  # (params, obs) -> distribution, value


def actor_critic(config: Any, env: Any) -> ActorCritic:
    """Build the networks that a config and the spaces of `env` describe.

    Reads `network` (`auto`, `mlp`, `cnn` or a linen module `obs [..., *shape] -> features [..., D]`),
    `hidden`, `activation`, `initializer` and `shared`: with `shared` the critic is a head on the actor's
    features, and the torso belongs to `params["actor"]`.
    """
    torso = make_torso(config, env, config.hidden)
    actor = Actor(torso, PolicyHead(env.action_space, config.initializer))
    critic = Critic(None if config.shared else torso, ValueHead(config.initializer))

    def init(key: Key, initial_log_std: float | Array = 0.0) -> PyTree:
        actor_key, critic_key = jax.random.split(key)
        obs = jnp.zeros((1, *env.observation_space.shape), env.observation_space.dtype)
        (_, features), actor_params = actor.init_with_output(actor_key, obs, initial_log_std)
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
    """A `QNetwork` as pure functions."""

    init: Callable[[Key, Array], PyTree]
    apply: Callable[[PyTree, Array], Array]


def q_network(config: Any, env: Any, atoms: int | None = None) -> QFunction:
    """The action-value network that a config describes, for discrete actions.

    Reads `network`, `hidden`, `activation`, `initializer` and, where there is one, `dueling`; with it the last hidden
    layer is there twice, in either stream, and not in the torso (unless it is the only one).
    """
    hidden = list(config.hidden)
    dueling = getattr(config, "dueling", False)
    torso_hidden = hidden[:-1] if dueling and len(hidden) > 1 else hidden
    torso = make_torso(config, env, torso_hidden)
    head = QHead(action_dims(env.action_space), atoms, dueling, hidden[-1], config.activation, config.initializer)
    net = QNetwork(torso, head)
    return QFunction(net.init, cast(Any, net.apply))


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
        flat = self.torso.network in ("auto", "mlp") and len(self.torso.space.shape) == 1
        x, hidden = (to_float(self.torso.space, obs), self.hidden) if flat else (self.torso(obs), self.hidden[-1:])
        x = jnp.concatenate([x, action], axis=-1)
        x = MLP(hidden, self.activation, self.initializer)(x)
        return Dense(1, self.initializer, 1.0, name="q")(x).squeeze(-1)


class ActorCritics(NamedTuple):
    """An actor and an ensemble of critics as pure functions over `params = {"actor": ..., "critic": ...}`."""

    init: Callable[[Key], PyTree]
    actor: Callable[[PyTree, Array], tuple[Array, ...]]  # (params["actor"], obs) -> its outputs, each [..., D]
    critics: Callable[[PyTree, Array, Array], Array]  # (params["critic"], obs, action) -> [C, ...]


def actor_critics(config: Any, env: Any, outputs: tuple[str, ...], number: int) -> ActorCritics:
    """Build an actor with the named `outputs` and `number` critics for continuous actions in [-1, 1].

    Reads `network`, `hidden`, `activation` and `initializer`. The critics' parameters are stacked, so that they are
    computed together. Raises `ValueError` for an action space without finite bounds.
    """
    torso = make_torso(config, env, config.hidden)
    if not env.action_space.bounded:
        raise ValueError(
            f"{env.name} has the action space {env.action_space}: give every dimension finite bounds, which the "
            "policy's output is mapped onto"
        )
    size, hidden = action_dims(env.action_space), tuple(config.hidden)
    actor = ContinuousActor(torso, size, outputs, config.initializer)
    critic = ActionCritic(torso, hidden, config.activation, config.initializer)
    space = env.observation_space
    obs = jnp.zeros((1, *space.shape), space.dtype)

    def init(key: Key) -> PyTree:
        actor_key, critic_key = jax.random.split(key)
        init_critic = jax.vmap(lambda key: critic.init(key, obs, jnp.zeros((1, size), jnp.float32)))
        return {"actor": actor.init(actor_key, obs), "critic": init_critic(jax.random.split(critic_key, number))}

    def critics(params: PyTree, obs: Array, action: Array) -> Array:
        # vectors are copied for each critic: with shared ones vmap makes one product of all their first layers, and the
        # transposes around it cost more than it saves
        axis = None
        if len(space.shape) == 1:
            axis, count = 0, jax.tree.leaves(params)[0].shape[0]
            obs, action = (jnp.broadcast_to(x, (count, *x.shape)) for x in (obs, action))
        return cast(Array, jax.vmap(critic.apply, in_axes=(0, axis, axis))(params, obs, action))

    return ActorCritics(init, lambda params, obs: cast(Any, actor.apply(params, obs)), critics)


def make_torso(config: Any, env: Any, hidden: Sequence[int]) -> Torso:
    """The torso of a config for observations of `env`, with layers of so many `hidden` units.

    Raises `ValueError` as `check_network`, for observations without numbers, and for a cnn on what is no image.
    """
    check_network(config)
    space = env.observation_space
    if 0 in space.shape:
        raise ValueError(f"the observation space {space} holds no number: there is nothing that a network could see")
    if config.network == "cnn" and not is_image(space):
        raise ValueError(
            f"network='cnn' needs images [H, W] or [H, W, C] of 3 pixels a side or more, but observations are {space}, "
            f"of shape {space.shape}: choose network='mlp'"
        )
    return Torso(space, config.network, tuple(hidden), config.activation, config.initializer)


def check_network(config: Any) -> None:
    """Raise `ValueError` for an unknown network, activation or initialiser, or an empty `hidden`."""
    if not isinstance(config.network, nn.Module) and config.network not in NETWORKS:
        raise ValueError(
            f"network={config.network!r} is not known; choose from {', '.join(NETWORKS)} or pass a linen module"
        )
    if config.activation not in ACTIVATIONS:
        raise ValueError(f"activation={config.activation!r} is not known; choose from {', '.join(ACTIVATIONS)}")
    if config.initializer not in INITIALIZERS:
        raise ValueError(f"initializer={config.initializer!r} is not known; choose from {', '.join(INITIALIZERS)}")
    if not config.hidden or any(size < 1 for size in config.hidden):
        raise ValueError(f"hidden={config.hidden!r} must name at least one layer of at least one unit")


def action_noise(space: Box | Discrete, key: Key, shape: tuple[int, ...]) -> Array:
    """Noise for `sample_with` of a policy over `space`: Gumbel `[*shape, A]` or normal `[*shape, D]`."""
    draw = jax.random.gumbel if isinstance(space, Discrete) else jax.random.normal
    return draw(key, (*shape, action_dims(space)), jnp.float32)


def action_dims(space: Box | Discrete) -> int:
    """Number of discrete actions, or the number of continuous action dimensions."""
    return space.n if isinstance(space, Discrete) else math.prod(space.shape)
