"""Environments of gymnax >= 1.0 as `Env` records; gymnax is imported on first use (it takes seconds).

Only its `step_env`, `reset_env` and `is_truncated` are used, never its `step`. What it gets wrong, and what
is done about it, is listed in `gymnax_mends`.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxrl_up.arguments import shown
from jaxrl_up.envs.core import Env, Spec, as_parameter, did_you_mean, strong, strong_tree
from jaxrl_up.envs.gymnax_mends import MENDS, NO_MEND, Mend
from jaxrl_up.envs.spaces import Box, Discrete, Space
from jaxrl_up.types import PyTree

LIMIT = "max_steps_in_episode"

NAMES = (
    "CartPole-v1",
    "Pendulum-v1",
    "Acrobot-v1",
    "MountainCar-v0",
    "MountainCarContinuous-v0",
    "Asterix-MinAtar",
    "Breakout-MinAtar",
    "Freeway-MinAtar",
    "Seaquest-MinAtar",
    "SpaceInvaders-MinAtar",
    "Catch-bsuite",
    "DeepSea-bsuite",
    "MemoryChain-bsuite",
    "UmbrellaChain-bsuite",
    "DiscountingChain-bsuite",
    "SimpleBandit-bsuite",
    "FourRooms-misc",
    "MetaMaze-misc",
    "PointRobot-misc",
    "BernoulliBandit-misc",
    "GaussianBandit-misc",
    "Reacher-misc",
    "Swimmer-misc",
    "Pong-misc",
    "FrozenLake-misc",
)


@dataclasses.dataclass(frozen=True, eq=False)
class Parts:
    """A gymnax environment and which of its parameters are traced, which static; hashes by identity."""

    environment: Any
    params: Any
    traced: dict[str, np.ndarray]
    fixed: dict[str, Any]
    mend: Mend


def make(name: str, max_steps: int | None, options: dict[str, Any]) -> Env:
    """Build a registered gymnax environment; see `jaxrl_up.envs.make`."""
    accepted = _constructor_options(name)
    constructor = {key: _hashable(key, options[key]) for key in options if key in accepted}
    parts = _registered(name, tuple(sorted(constructor.items())))
    rest = {key: value for key, value in options.items() if key not in accepted}
    if max_steps is not None:
        rest[LIMIT] = max_steps
    allowed = {*parts.traced, *parts.fixed, *parts.mend.derived, *accepted, "max_steps"}
    for key in rest:
        if key not in allowed:
            raise ValueError(f"{name} has no parameter {key!r}. {did_you_mean(key, allowed - {LIMIT})}")
    env = _env(name, parts, rest)
    return env.replace(spec=_also_fixed(env.spec, tuple(sorted(constructor.items()))))


@functools.cache
def _also_fixed(spec: Spec, options: tuple[tuple[str, Any], ...]) -> Spec:
    """A spec that names what its constructor was told; one object for equal ones."""
    return spec._replace(fixed=(*spec.fixed, *options)) if options else spec


def from_gymnax(environment: Any, params: Any = None, name: str | None = None) -> Env:
    """Turn a gymnax `Environment` object into an Env with its own time limit and auto-reset.

    Float fields of `params` (default: the environment's own) become traced, unless they enter a space. Raises
    ValueError for a space other than Discrete and Box, or if reset or step cannot be traced.
    """
    params = environment.default_params if params is None else params
    parts = _own(environment, type(params), _items(params))
    default = environment.default_params
    if type(default) is type(params):  # equal static values must give one Spec, whatever the traced ones are
        defaults = dict(_items(default))
        parts, traced = (
            _own(environment, type(params), tuple({**defaults, **parts.fixed}.items())),
            parts.traced,
        )
    else:
        traced = {}
    return _env(name or str(environment.name), parts, traced)


def what_to_do(given: Any) -> str:
    """What an error says of something that is given for an Env and is none."""
    environment = given[0] if isinstance(given, tuple) and given else given
    kind = environment if isinstance(environment, type) else type(environment)
    if any(base.__module__.split(".")[0] in ("gymnasium", "gym") for base in kind.__mro__):
        return (
            f"{kind.__name__} is an environment of gymnasium, which runs in Python and cannot be compiled: take one of "
            "envs.make, or write its reset and step with jax.numpy for envs.from_functions"
        )
    if hasattr(kind, "step_env") or any(base.__module__.startswith("gymnax.") for base in kind.__mro__):
        pair = " (and unpack the pair that gymnax.make returns)" if environment is not given else ""
        return f"{kind.__name__} is an environment of gymnax: make an Env of it with envs.from_gymnax{pair}"
    return f"env={shown(given)} must be an Env, as envs.make gives it, or a name that envs.make knows"


def _items(params: Any) -> tuple[tuple[str, Any], ...]:
    return tuple(
        (field.name, _hashable(field.name, getattr(params, field.name))) for field in dataclasses.fields(params)
    )


@functools.cache
def _own(environment: Any, kind: type, values: tuple[tuple[str, Any], ...]) -> Parts:
    with jax.ensure_compile_time_eval():
        params = kind(**{key: jnp.asarray(value) if isinstance(value, tuple) else value for key, value in values})
        return _take_apart(environment, params, NO_MEND)


def _env(name: str, parts: Parts, given: dict[str, Any]) -> Env:
    fixed = {
        **parts.fixed,
        **{key: _fixed_value(name, key, parts, given[key]) for key in given if key in parts.fixed},
    }
    explicit = tuple(sorted(key for key in given if key in parts.mend.derived))
    spec = _spec(name, parts, tuple(sorted(fixed.items())), explicit)
    values = {**parts.traced, **{key: given[key] for key in given if key not in fixed}}
    return Env(params={key: as_parameter(key, values[key]) for key in sorted(values)}, spec=spec)


def _constructor_options(name: str) -> tuple[str, ...]:
    return tuple(key for key in inspect.signature(_factory(name)).parameters if key not in ("args", "kwargs"))


def _factory(name: str) -> Any:
    from gymnax import registration

    if name not in registration._registry:
        raise ValueError(f"There is no environment {name!r}. {did_you_mean(name, registration.registered_envs)}")
    return registration._registry[name]


@functools.cache
def _registered(name: str, constructor: tuple[tuple[str, Any], ...]) -> Parts:
    with jax.ensure_compile_time_eval():  # else the arrays a constructor makes would be tracers under jit
        environment = _factory(name)(**dict(constructor))
        return _take_apart(environment, environment.default_params, MENDS.get(name, NO_MEND))


def _take_apart(environment: Any, params: Any, mend: Mend) -> Parts:
    traced, fixed = {}, {}
    for field in dataclasses.fields(params):
        value = getattr(params, field.name)
        if field.name in mend.derived:
            continue
        if _is_float(value) and field.name != LIMIT and not _enters_space(environment, params, field.name):
            traced[field.name] = np.asarray(value, np.float32)
        else:
            fixed[field.name] = _hashable(field.name, value)
    return Parts(environment, params, traced, fixed, mend)


def _is_float(value: Any) -> bool:
    return isinstance(value, float) or (
        hasattr(value, "dtype") and jnp.issubdtype(jnp.asarray(value).dtype, jnp.floating)
    )


def _enters_space(environment: Any, params: Any, field: str) -> bool:
    def spaces(candidate: Any) -> Any:
        return [
            _space(space(candidate), environment) for space in (environment.observation_space, environment.action_space)
        ]

    return spaces(params) != spaces(params.replace(**{field: getattr(params, field) * 1.5 + 0.25}))


def _hashable(name: str, value: Any) -> Any:
    if isinstance(value, Tracer):
        raise ValueError(f"{name!r} is static, so it cannot be a traced value: give a Python number.")
    if isinstance(value, np.ndarray | np.generic | jax.Array):
        value = np.asarray(value).tolist()
    if isinstance(value, list | tuple):
        return tuple(_hashable(name, item) for item in value)
    return value


def _fixed_value(name: str, field: str, parts: Parts, value: Any) -> Any:
    value, kind = _hashable(field, value), type(parts.fixed[field])
    if kind in (bool, int, float):
        if isinstance(value, tuple | str) or value is None or kind(value) != value:
            raise ValueError(f"{field!r} of {name} must be of type {kind.__name__}, got {value!r}.")
        value = kind(value)
    if field == LIMIT and (value < 1 or value != int(value)):
        raise ValueError(f"max_steps of {name} must be an integer >= 1, got {value}.")
    return value


def _space(space: Any, environment: Any) -> Space:
    kind = type(space).__name__
    if kind == "Discrete":
        return Discrete(int(space.n))
    if kind == "Box":
        return Box(np.asarray(space.low), np.asarray(space.high), space.shape, jnp.dtype(space.dtype))
    raise ValueError(
        f"{environment.name} has a {kind} space; only Discrete and Box are supported. "
        "Let it observe (and accept) one array, for example the concatenation of its parts."
    )


@functools.cache
def _spec(name: str, parts: Parts, fixed: tuple[tuple[str, Any], ...], explicit: tuple[str, ...]) -> Spec:
    """Build the Spec; cached, so that equal options share functions and with them the compiled program."""
    environment, mend, kind = parts.environment, parts.mend, type(parts.params)
    derived = {key: rule for key, rule in mend.derived.items() if key not in explicit}

    def complete(params: Any) -> Any:
        values = {**{key: jnp.asarray(value) for key, value in fixed}, **params}
        return kind(**values, **{key: compute(values) for key, (_, compute) in derived.items()})

    def raw_reset(params: Any, key: Any) -> Any:
        obs, state = environment.reset_env(mend.reset_key(key), complete(params))
        return state, mend.observe(environment, obs)

    def raw_step(params: Any, key: Any, state: Any, action: Any) -> Any:
        full = complete(params)
        obs, reached, reward, terminated, info = mend.step(environment, key, state, action, full)
        truncated = environment.is_truncated(reached, full)
        info = {key: strong(value) for key, value in info.items() if key != "discount"}
        return reached, mend.observe(environment, obs), jnp.reshape(reward, ()), terminated, truncated, info

    with jax.ensure_compile_time_eval():
        concrete = parts.params.replace(**dict(fixed))
        action_space = _space(environment.action_space(concrete), environment)
        if mend.observation_space is not None:
            observation_space = mend.observation_space(environment, concrete)
        else:
            observation_space = _space(environment.observation_space(concrete), environment)
    defaults = {**parts.traced, **{key: getattr(parts.params, key) for key in explicit}}
    dtypes = _stable_dtypes(name, raw_reset, raw_step, defaults, action_space)

    def cast(state: PyTree) -> PyTree:
        return jax.tree.map(strong, state, dtypes)

    def show(obs: Any) -> jax.Array:
        obs = strong(obs, observation_space.dtype)
        return jnp.clip(obs, *observation_space.bounds()) if mend.clip and isinstance(observation_space, Box) else obs

    def reset(params: Any, key: Any) -> Any:
        state, obs = raw_reset(params, key)
        return cast(state), show(obs)

    def step(params: Any, key: Any, state: Any, action: Any) -> Any:
        state, obs, reward, terminated, truncated, info = raw_step(params, key, state, action)
        reward = strong(reward, jnp.float32)
        return cast(state), show(obs), reward, strong(terminated, bool), strong(truncated, bool), info

    return Spec(
        name=name,
        reset=reset,
        step=step,
        observation_space=observation_space,
        action_space=action_space,
        max_steps=int(dict(fixed)[LIMIT]) if LIMIT in dict(fixed) else None,
        binary_observation=bool(mend.binary(environment)),
        deterministic_reset=mend.deterministic(dict(fixed)),
        fixed=tuple((key if key != LIMIT else "max_steps", value) for key, value in fixed),
        derived=tuple((key, parents) for key, (parents, _) in derived.items()),
    )


def _stable_dtypes(name: str, reset: Any, step: Any, params: Any, action_space: Space) -> PyTree:
    """Find a dtype per state leaf that fits both reset and step (0 after the one, 0.5 after the other)."""

    def settle(params: Any, key: Any) -> Any:
        params = {key: as_parameter(key, value) for key, value in params.items()}
        state = strong_tree(reset(params, key)[0])
        for _ in range(2):
            reached = step(params, key, state, action_space.sample(key))[0]
            dtypes = jax.tree.map(
                lambda a, b: jnp.promote_types(jnp.asarray(a).dtype, jnp.asarray(b).dtype), state, reached
            )
            state = jax.tree.map(strong, state, dtypes)
        return state

    try:
        return jax.tree.map(lambda leaf: leaf.dtype, jax.eval_shape(settle, params, jax.random.key(0)))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: its reset_env or step_env cannot be traced with these options: {error}") from error
