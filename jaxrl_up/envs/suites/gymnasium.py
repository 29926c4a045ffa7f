"""Environments of gymnasium as `Env` records: they run in Python, on the host. An extra: `jaxrl-up[gymnasium]`.

MuJoCo's are pure functions of their state (`mujoco`). Others keep their state to themselves.
"""

from __future__ import annotations

import importlib
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxrl_up.config import as_whole, shown
from jaxrl_up.envs.core import Env, Spec, builder, did_you_mean
from jaxrl_up.envs.look import Look
from jaxrl_up.envs.spaces import Box, Dict, Discrete, MultiDiscrete, Space, Tuple
from jaxrl_up.envs.suites import mujoco

LISTING = {  # name -> observations, actions, time limit; any other registered id is taken too
    "gymnasium/Walker2d-v5": ("Box [17]", "Box [6]", 1000),
    "gymnasium/Hopper-v5": ("Box [11]", "Box [3]", 1000),
    "gymnasium/HalfCheetah-v5": ("Box [17]", "Box [6]", 1000),
    "gymnasium/Ant-v5": ("Box [105]", "Box [8]", 1000),
    "gymnasium/Humanoid-v5": ("Box [348]", "Box [17]", 1000),
    "gymnasium/HumanoidStandup-v5": ("Box [348]", "Box [17]", 1000),
    "gymnasium/Swimmer-v5": ("Box [8]", "Box [2]", 1000),
    "gymnasium/Reacher-v5": ("Box [10]", "Box [2]", 50),
    "gymnasium/Pusher-v5": ("Box [23]", "Box [7]", 100),
    "gymnasium/InvertedPendulum-v5": ("Box [4]", "Box [1]", 1000),
    "gymnasium/InvertedDoublePendulum-v5": ("Box [9]", "Box [1]", 1000),
}


def make(name: str, max_steps: int | None, options: dict[str, Any]) -> Env:
    """Build a registered environment of gymnasium, `name` with the suite's prefix; see `jaxrl_up.envs.make`."""
    return Env(params={}, spec=_registered(name, max_steps, tuple(sorted(options.items()))))


@builder
def _registered(name: str, max_steps: int | None, options: tuple[tuple[str, Any], ...]) -> Spec:
    gymnasium, identity, given = library(), name.partition("/")[2], dict(options)
    if max_steps is not None and ((as_whole(max_steps) or 0) < 1):
        raise ValueError(f"max_steps of {name} must be an integer >= 1, got {shown(max_steps)}.")
    try:
        limit = gymnasium.spec(identity).max_episode_steps if max_steps is None else as_whole(max_steps)
    except gymnasium.error.Error:
        known = [known.partition("/")[2] for known in LISTING]
        raise ValueError(f"There is no environment {name!r} in gymnasium. {did_you_mean(identity, known)}") from None

    def build() -> Any:
        return gymnasium.make(identity, max_episode_steps=-1, disable_env_checker=True, **given).unwrapped

    try:
        env = build()
    except Exception as error:  # whatever its constructor says of its options
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{name} cannot be built with {shown(given)}: {reason}") from error
    host = mujoco.Mujoco(name, env, build, limit)
    reset, step, restart = mujoco.functions(host)
    return Spec(
        name=name,
        reset=reset,
        step=step,
        restart=restart,
        observation_space=space_of(name, env.observation_space),
        action_space=space_of(name, env.action_space),
        max_steps=limit,
        fixed=options,
        host=True,
        look=Look(host.shapes, float(env.dt), host.frame),
    )


def library() -> Any:
    """gymnasium; raises ValueError, naming the extra, where it is not installed."""
    try:
        gymnasium = importlib.import_module("gymnasium")
        importlib.import_module("mujoco")
    except ImportError:
        raise ValueError(
            "environments of gymnasium need libraries that are not installed: pip install 'jaxrl-up[gymnasium]'"
        ) from None
    return gymnasium


def space_of(name: str, space: Any) -> Space:
    """A space of gymnasium as one of ours, float64 as float32; raises ValueError for one that there is none of."""
    kind = type(space).__name__
    if kind == "Discrete":
        return Discrete(int(space.n), start=int(space.start))
    if kind == "Box":
        dtype = jnp.float32 if np.issubdtype(space.dtype, np.floating) else space.dtype
        return Box(np.asarray(space.low, dtype), np.asarray(space.high, dtype), space.shape, jnp.dtype(dtype))
    if kind == "MultiDiscrete" and space.nvec.ndim == 1 and not np.any(space.start):
        return MultiDiscrete(tuple(int(n) for n in space.nvec))
    if kind == "MultiBinary":
        return Box(0, 1, space.shape, jnp.int8, binary=True)
    if kind == "Dict":
        return Dict({key: space_of(name, part) for key, part in space.spaces.items()})
    if kind == "Tuple":
        return Tuple(tuple(space_of(name, part) for part in space.spaces))
    raise ValueError(
        f"{name} has a {kind} space; Box, Discrete, MultiDiscrete, MultiBinary, Dict and Tuple are supported. Wrap it "
        "in gymnasium.wrappers.TransformObservation, or TransformAction"
    )
