"""Environments of brax as `Env` records. An extra, `jaxrl-up[brax]`; brax is imported on first use.

Only `reset` and `step` of its environments are used, never its wrappers: those begin every episode in one and the same
state and drop the last observation. Time limits are truncations here; brax's `done` is a termination.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import io
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxrl_up.config import shown
from jaxrl_up.envs.core import Env, Spec, as_parameter, builder, did_you_mean, strong
from jaxrl_up.envs.look import Look
from jaxrl_up.envs.spaces import Box
from jaxrl_up.envs.suites.brax_physics import Physics, undisturbed
from jaxrl_up.envs.suites.limits import limit_of
from jaxrl_up.envs.suites.mujoco import no_log
from jaxrl_up.envs.suites.restarting import restarting
from jaxrl_up.types import Array, Key, PyTree

LISTING = {  # name -> observations, actions, time limit
    "brax/walker2d": ("Box [17]", "Box [6]", 1000),
    "brax/hopper": ("Box [11]", "Box [3]", 1000),
    "brax/halfcheetah": ("Box [17]", "Box [6]", 1000),
    "brax/ant": ("Box [27]", "Box [8]", 1000),
    "brax/humanoid": ("Box [244]", "Box [17]", 1000),
    "brax/humanoidstandup": ("Box [244]", "Box [17]", 1000),
    "brax/swimmer": ("Box [8]", "Box [2]", 1000),
    "brax/reacher": ("Box [11]", "Box [2]", 1000),
    "brax/pusher": ("Box [23]", "Box [7]", 1000),
    "brax/inverted_pendulum": ("Box [4]", "Box [1]", 1000),
    "brax/inverted_double_pendulum": ("Box [8]", "Box [1]", 1000),
}
BACKENDS = ("spring", "positional", "generalized", "mjx")
RUNS_ON = {"brax/swimmer": ("generalized",)}  # names that brax has not on every backend
TRACED = ("friction", "gear", "gravity", "mass")
LIMIT = 1000


class BraxState(NamedTuple):
    """What steps read of brax's own state."""

    simulator: dict[str, Array]  # by their names in it, as "x.pos"
    time: Array  # int32 [], steps taken in this episode


def make(name: str, max_steps: int | None, options: dict[str, Any]) -> Env:
    """Build an environment of brax, `name` with the suite's prefix; see `jaxrl_up.envs.make`.

    `backend` is the physics, "spring" unless given. `gravity` is the z component in m/s^2; `mass`, `gear` and
    `friction` are factors, one number or one for each link, actuator or geometry; these four are traced. Other options
    go to brax's constructor and are static. Raises ValueError for what brax does not have.
    """
    if name not in LISTING:
        known = [known.partition("/")[2] for known in LISTING]
        raise ValueError(f"There is no environment {name!r}. {did_you_mean(name.partition('/')[2], known)}")
    given = {key: _static(name, key, value) for key, value in options.items() if key not in TRACED}
    limit = limit_of(name, max_steps) or LIMIT
    runs_on = RUNS_ON.get(name, BACKENDS)
    backend = given.setdefault("backend", runs_on[0])
    if backend not in runs_on:
        raise ValueError(f"{name} runs on backend={' or '.join(map(repr, runs_on))}, got {shown(backend)}")
    fixed = tuple(sorted(given.items()))
    physics = _physics(name, fixed)
    params = {key: as_parameter(key, options.get(key, physics.defaults[key])) for key in TRACED}
    for key, value in params.items():
        physics.require_shape(key, value)
    return Env(params=params, spec=_spec(name, limit, fixed))


def _static(name: str, key: str, value: Any) -> Any:
    if isinstance(value, Tracer):
        raise ValueError(f"{key!r} of {name} is static, so it cannot be a traced value: give a Python number.")
    if isinstance(value, np.ndarray | np.generic | jax.Array):
        value = np.asarray(value).tolist()
    value = tuple(value) if isinstance(value, list) else value
    numbers = value if isinstance(value, tuple) else (value,)
    if not all(
        isinstance(x, bool | int | float | str) and not (isinstance(x, float) and math.isnan(x)) for x in numbers
    ):
        raise ValueError(f"{key!r} of {name} must be a number, a flag or a tuple of numbers, got {shown(value)}.")
    return value


@functools.cache
def _physics(name: str, fixed: tuple[tuple[str, Any], ...]) -> Physics:
    """An environment of brax, built; raises ValueError, one line, for what its constructor refuses."""
    envs, given = library(), dict(fixed)
    kind = envs._envs[name.partition("/")[2]]
    accepted = {key for key in inspect.signature(kind.__init__).parameters if key not in ("self", "kwargs")}
    accepted |= {"n_frames"}
    for key in given:
        if key not in accepted:
            raise ValueError(f"{name} has no parameter {key!r}. {did_you_mean(key, {*accepted, *TRACED, 'max_steps'})}")
    try:
        with jax.ensure_compile_time_eval(), undisturbed(), no_log():
            environment = kind(**given)
        with undisturbed():
            return Physics(name, environment)
    except Exception as error:  # whatever its constructor says of its options
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{name} cannot be built with {shown(given)}: {reason}") from error


@builder
def _spec(name: str, limit: int, fixed: tuple[tuple[str, Any], ...]) -> Spec:
    """The Spec; cached, so that equal options share functions and with them the compiled program."""
    physics = _physics(name, fixed)
    begin, advance = jax.jit(physics.reset), jax.jit(physics.step)  # traced once for each shape: brax takes long to be

    @undisturbed()
    def reset(params: Any, key: Key) -> Any:
        simulator, obs = begin(params, key)
        return BraxState(simulator, jnp.int32(0)), obs

    @undisturbed()
    def step(params: Any, key: Key, state: BraxState, action: PyTree) -> Any:
        simulator, obs, reward, terminated, info = advance(params, state.simulator, action)
        time = strong(state.time + 1, jnp.int32)
        return BraxState(simulator, time), obs, reward, terminated, time >= limit, info

    return Spec(
        name=name,
        reset=reset,
        step=step,
        restart=restarting(reset, step),
        observation_space=Box(-np.inf, np.inf, physics.obs_shape, jnp.float32),
        action_space=Box(-1.0, 1.0, (physics.num_actions,), jnp.float32),
        max_steps=limit,
        fixed=fixed,
        look=Look(physics.shapes_of, physics.step_seconds),
    )


def library() -> Any:
    """`brax.envs`; raises ValueError, naming the extra, where it is not installed."""
    try:
        with (
            jax.ensure_compile_time_eval(),  # modules may hold arrays
            undisturbed(),
            contextlib.redirect_stdout(io.StringIO()),  # MJX prints that it has no Warp
        ):
            envs, fluid = importlib.import_module("brax.envs"), importlib.import_module("brax.fluid")
        vars(fluid)["jp"] = _Numpy()
        return envs
    except ImportError:
        raise ValueError(
            "environments of brax need libraries that are not installed: pip install 'jaxrl-up[brax]'"
        ) from None


class _Numpy:
    """`jax.numpy` for brax's fluids, which call `clip` by a name for its bound that JAX no longer knows."""

    def __getattr__(self, name: str) -> Any:
        return getattr(jnp, name)

    def clip(self, x: Array, a_min: float) -> Array:
        return jnp.maximum(x, a_min)
