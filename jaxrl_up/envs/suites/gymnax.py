"""Environments of gymnax >= 1.0 as `Env` records; gymnax is imported on first use (it takes seconds).

Only its `step_env`, `reset_env` and `is_truncated` are used, never its `step`. What it gets wrong, and what
is done about it, is listed in `gymnax_mends`.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import inspect
import math
import sys
import types
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxrl_up.config import shown
from jaxrl_up.envs.core import Env, Spec, as_parameter, builder, did_you_mean, strong
from jaxrl_up.envs.programs import digest, version
from jaxrl_up.envs.spaces import Box, Dict, Discrete, Leaf, Space, Tuple, map_leaves, sample
from jaxrl_up.envs.suites.dtypes import narrow, stable_dtypes
from jaxrl_up.envs.suites.gymnax_mends import MENDS, NO_MEND, Mend, differentiable
from jaxrl_up.types import PyTree

LIMIT = "max_steps_in_episode"
INSTEAD = {  # wrappers of gymnax, and what does the same here
    "FlattenObservationWrapper": "envs.flatten_observation",
    "StickyActionWrapper": "envs.sticky_actions",
    "LogWrapper": "envs.episode_statistics",
}


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
    if not isinstance(name, str):
        raise TypeError(f"make needs the name of an environment, as 'CartPole-v1', got {shown(name)}")
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
    fixed, explicit, params = _sorted_out(name, parts, rest)
    return Env(params=params, spec=_registered_spec(name, tuple(sorted(constructor.items())), fixed, explicit))


@builder
def _registered_spec(
    name: str, constructor: tuple[tuple[str, Any], ...], fixed: tuple[tuple[str, Any], ...], explicit: tuple[str, ...]
) -> Spec:
    """The Spec of a registered environment, which names what its constructor was told too."""
    spec = _spec(name, _registered(name, constructor), fixed, explicit)
    return spec._replace(fixed=(*spec.fixed, *constructor))


def from_gymnax(environment: Any, params: Any = None, name: str | None = None) -> Env:
    """Turn a gymnax `Environment` object into an Env with its own time limit and auto-reset.

    The pair that `gymnax.make` returns is taken too. Float fields of `params` (default: the environment's own) become
    traced, unless they enter a space. What the environment reads besides is static: after a change of it make the Env
    again. Raises TypeError for something else, and ValueError for gymnax's wrappers, a space other than Discrete, Box,
    Dict and Tuple, observations that are not as their space says, or if reset or step cannot be traced.
    """
    if params is None and isinstance(environment, tuple) and len(environment) == 2:
        return from_gymnax(*environment, name=name)
    environment = _checked_environment(environment)
    default = environment.default_params
    params = default if params is None else params
    if not dataclasses.is_dataclass(params) or isinstance(params, type):
        raise TypeError(f"from_gymnax needs the environment's EnvParams as params, got {shown(params)}")
    name = name or str(environment.name)
    usual = default if type(default) is type(params) else params
    program = version((environment, type(usual), _items(usual)), _program(environment, usual))
    parts, traced = _own(environment, type(params), _items(params), program), {}
    if usual is default:  # equal static values must give one Spec, whatever the traced ones are
        values = tuple({**dict(_items(default)), **parts.fixed}.items())
        traced = parts.traced
    else:
        values = _items(params)
    fixed, explicit, given = _sorted_out(name, _own(environment, type(params), values, program), traced)
    return Env(params=given, spec=_own_spec(name, environment, type(params), values, program, fixed, explicit))


@builder
def _own_spec(
    name: str,
    environment: Any,
    kind: type,
    values: tuple[tuple[str, Any], ...],
    program: int,
    fixed: tuple[tuple[str, Any], ...],
    explicit: tuple[str, ...],
) -> Spec:
    """The Spec of an environment object with a program: see `from_gymnax`."""
    return _spec(name, _own(environment, kind, values, program), fixed, explicit)


def _checked_environment(environment: Any) -> Any:
    """The environment; raises TypeError for what is none of gymnax, and ValueError for one in a wrapper of gymnax's."""
    kind = type(environment)
    if isinstance(environment, type) or not hasattr(kind, "step_env"):
        if isinstance(environment, type) and hasattr(environment, "step_env"):
            raise TypeError(f"from_gymnax needs an environment, got its class {environment.__name__}: call it")
        if hasattr(kind, "__getattr__") and hasattr(environment, "step_env"):
            use = INSTEAD.get(kind.__name__, "a wrapper of jaxrl_up.envs")
            raise ValueError(
                f"from_gymnax would pass over {kind.__name__}, as it uses step_env and reset_env only: give it the "
                f"environment within, and wrap the Env with {use}"
            )
        if isinstance(environment, str):
            raise TypeError(
                f"from_gymnax needs an environment of gymnax, got {environment!r}: use envs.make for a name"
            )
        raise TypeError(f"from_gymnax needs an environment of gymnax. {what_to_do(environment)}")
    base = next((base for base in kind.__mro__ if base.__module__ == "gymnax.environments.environment"), None)
    for method in ("step", "reset"):
        if base is not None and getattr(kind, method) is not getattr(base, method):
            raise ValueError(
                f"from_gymnax would pass over {kind.__name__}.{method}, as it uses step_env and reset_env only: write "
                f"{method}_env in its place"
            )
    return environment


def _program(environment: Any, params: Any) -> str | None:
    """A digest of what an environment does now; see `programs.digest`."""

    def program(key: Any) -> Any:
        obs, state = environment.reset_env(key, params)
        action = sample(_space(environment.action_space(params), environment), key)
        reached = environment.step_env(key, state, action, params)
        return obs, reached, environment.is_truncated(reached[1], params)

    return digest(program, jax.eval_shape(jax.random.key, 0))


def what_to_do(given: Any) -> str:
    """What an error says of something that is given for an Env and is none."""
    environment = given[0] if isinstance(given, tuple) and given else given
    kind = environment if isinstance(environment, type) else type(environment)
    if any(base.__module__.split(".")[0] in ("gymnasium", "gym") for base in kind.__mro__):
        return (
            f"{kind.__name__} is an environment of gymnasium, which runs in Python: make an Env of it with "
            "envs.from_gymnasium, or take a compiled one of envs.make"
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
def _own(environment: Any, kind: type, values: tuple[tuple[str, Any], ...], program: int) -> Parts:
    with jax.ensure_compile_time_eval(), narrow():
        params = kind(**{key: jnp.asarray(value) if isinstance(value, tuple) else value for key, value in values})
        return _take_apart(differentiable(environment), params, _mend_of_space(environment))


def _mend_of_space(environment: Any) -> Mend:
    """What makes the observations of one of gymnax's own environments those of its space; of others nothing."""
    from gymnax import registration

    name = next((name for name, kind in registration._registry.items() if kind is type(environment)), None)
    mend = MENDS.get(str(name), NO_MEND)
    return NO_MEND._replace(
        observation_space=mend.observation_space, observe=mend.observe, clip=mend.clip, binary=mend.binary
    )


def _sorted_out(
    name: str, parts: Parts, given: dict[str, Any]
) -> tuple[tuple[tuple[str, Any], ...], tuple[str, ...], dict[str, jax.Array]]:
    """Static parameters with their values, the derived ones that are given, and the traced ones."""
    fixed = {
        **parts.fixed,
        **{key: _fixed_value(name, key, parts, given[key]) for key in given if key in parts.fixed},
    }
    explicit = tuple(sorted(key for key in given if key in parts.mend.derived))
    values = {**parts.traced, **{key: given[key] for key in given if key not in fixed}}
    return tuple(sorted(fixed.items())), explicit, {key: as_parameter(key, values[key]) for key in sorted(values)}


def _constructor_options(name: str) -> tuple[str, ...]:
    return tuple(key for key in inspect.signature(_factory(name)).parameters if key not in ("args", "kwargs"))


def _factory(name: str) -> Any:
    if "gymnax" not in sys.modules:
        _import_gymnax()
    from gymnax import registration

    if name not in registration._registry:
        raise ValueError(f"There is no environment {name!r}. {did_you_mean(name, registration.registered_envs)}")
    return registration._registry[name]


class _Later(types.ModuleType):
    """Stands for a module that is imported when something of it is used."""

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(self.__name__), name)


def _import_gymnax() -> None:
    """Import gymnax, whose modules hold arrays, in 32 bits, and without what it draws with: half of the time."""
    missing = [name for name in ("seaborn", "matplotlib.pyplot") if name not in sys.modules]
    try:
        sys.modules.update({name: _Later(name) for name in missing})
        with jax.ensure_compile_time_eval(), narrow():  # else those arrays are tracers where this is first asked in jit
            import gymnax as gymnax
    finally:
        for name in missing:
            sys.modules.pop(name, None)


@functools.cache
def _registered(name: str, constructor: tuple[tuple[str, Any], ...]) -> Parts:
    with jax.ensure_compile_time_eval(), narrow():  # else arrays that a constructor makes are tracers under jit
        try:
            environment = differentiable(_factory(name)(**dict(constructor)))
        except Exception as error:  # whatever its constructor says of its options
            given = ", ".join(f"{key}={shown(value)}" for key, value in constructor)
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise ValueError(f"{name} cannot be built with {given}: {reason}") from error
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
        known = isinstance(value, bool | int | float) and (kind is bool or not isinstance(value, bool))
        if not known or not math.isfinite(value) or kind(value) != value:
            field = "max_steps" if field == LIMIT else field
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
    if kind == "Dict":
        return Dict({name: _space(part, environment) for name, part in space.spaces.items()})
    if kind == "Tuple":
        return Tuple(tuple(_space(part, environment) for part in space.spaces))
    raise ValueError(
        f"{environment.name} has a {kind} space; only Discrete, Box, Dict and Tuple are supported. "
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

    @narrow()
    def raw_reset(params: Any, key: Any) -> Any:
        obs, state = environment.reset_env(mend.reset_key(key), complete(params))
        return state, mend.observe(environment, obs)

    @narrow()
    def raw_step(params: Any, key: Any, state: Any, action: Any) -> Any:
        full = complete(params)
        obs, reached, reward, terminated, info = mend.step(environment, key, state, action, full)
        truncated = environment.is_truncated(reached, full)
        info = {key: strong(value) for key, value in info.items() if key != "discount"}
        return reached, mend.observe(environment, obs), jnp.reshape(reward, ()), terminated, truncated, info

    with jax.ensure_compile_time_eval(), narrow():
        concrete = parts.params.replace(**dict(fixed))
        action_space = _space(environment.action_space(concrete), environment)
        if mend.observation_space is not None:
            observation_space = mend.observation_space(environment, concrete)
        else:
            observation_space = _space(environment.observation_space(concrete), environment)
        if mend.binary(environment):
            assert isinstance(observation_space, Box)
            observation_space = Box(0, 1, observation_space.shape, observation_space.dtype, binary=True)
    defaults = {**parts.traced, **{key: getattr(parts.params, key) for key in explicit}}
    dtypes = stable_dtypes(name, raw_reset, raw_step, defaults, action_space, observation_space)

    def cast(state: PyTree) -> PyTree:
        return jax.tree.map(strong, state, dtypes)

    def show_leaf(leaf: Leaf, obs: Any) -> jax.Array:
        assert isinstance(leaf, Box | Discrete)
        obs = strong(obs, leaf.dtype)
        return jnp.clip(obs, *leaf.bounds()) if mend.clip and isinstance(leaf, Box) else obs

    def show(obs: Any) -> Any:
        return map_leaves(show_leaf, observation_space, obs)

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
        deterministic_reset=mend.deterministic(dict(fixed)),
        fixed=tuple((key if key != LIMIT else "max_steps", value) for key, value in fixed),
        derived=tuple((key, parents) for key, (parents, _) in derived.items()),
    )
