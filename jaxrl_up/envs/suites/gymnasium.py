"""Environments of gymnasium as `Env` records: they run in Python, on the host.

MuJoCo's are pure functions of their state (`mujoco`). Others keep their state to themselves (`slots`). MuJoCo comes
with the extra `jaxrl-up[gymnasium]`, Atari with `jaxrl-up[atari]`.
"""

from __future__ import annotations

import copy
import importlib
from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_up.config import shown, whole, whole_or_none
from jaxrl_up.envs.core import Env, Spec, builder, did_you_mean
from jaxrl_up.envs.look import Look
from jaxrl_up.envs.spaces import Box, Dict, Discrete, MultiDiscrete, Space, Tuple
from jaxrl_up.envs.suites import mujoco, slots, stepping
from jaxrl_up.envs.suites.limits import limit_of
from jaxrl_up.envs.suites.workers import Workers

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
    "gymnasium/CartPole-v1": ("Box [4]", "Discrete(2)", 500),
    "gymnasium/Acrobot-v1": ("Box [6]", "Discrete(3)", 500),
    "gymnasium/Pendulum-v1": ("Box [3]", "Box [1]", 200),
    "gymnasium/MountainCar-v0": ("Box [2]", "Discrete(3)", 200),
    "gymnasium/MountainCarContinuous-v0": ("Box [2]", "Box [1]", 999),
    "gymnasium/FrozenLake-v1": ("Discrete []", "Discrete(4)", 100),
    "gymnasium/Taxi-v4": ("Discrete []", "Discrete(6)", 200),
    "gymnasium/CliffWalking-v1": ("Discrete []", "Discrete(4)", None),
    "gymnasium/Blackjack-v1": ("Tuple", "Discrete(2)", None),
    "gymnasium/ALE/Asterix-v5": ("Box [84, 84]", "Discrete(9)", 27_000),
    "gymnasium/ALE/BeamRider-v5": ("Box [84, 84]", "Discrete(9)", 27_000),
    "gymnasium/ALE/Breakout-v5": ("Box [84, 84]", "Discrete(4)", 27_000),
    "gymnasium/ALE/Freeway-v5": ("Box [84, 84]", "Discrete(3)", 27_000),
    "gymnasium/ALE/Pong-v5": ("Box [84, 84]", "Discrete(6)", 27_000),
    "gymnasium/ALE/Qbert-v5": ("Box [84, 84]", "Discrete(6)", 27_000),
    "gymnasium/ALE/Seaquest-v5": ("Box [84, 84]", "Discrete(18)", 27_000),
    "gymnasium/ALE/SpaceInvaders-v5": ("Box [84, 84]", "Discrete(6)", 27_000),
}
VIEW = {  # of Atari: options of gymnasium's AtariPreprocessing, in place of which `preprocess=False` shows the screen
    "noop_max": 30,
    "frame_skip": 4,
    "screen_size": 84,
    "terminal_on_life_loss": False,
    "grayscale_obs": True,
}
ATARI_FRAMES = 108_000  # half an hour of play, after which an episode is cut off
PLAIN = ("TimeLimit", "OrderEnforcing", "PassiveEnvChecker")  # wrappers that alter no step


def make(name: str, max_steps: int | None, options: dict[str, Any]) -> Env:
    """Build a registered environment of gymnasium, `name` with the suite's prefix; see `jaxrl_up.envs.make`.

    `workers=N` steps in N processes, where the state is not data. Others are options of `gymnasium.make`, and of Atari
    those in `VIEW` too.
    """
    given = tuple(sorted((key, _hashable(name, key, value)) for key, value in options.items()))
    return Env(params={}, spec=_registered(name, max_steps, given))


def from_gymnasium(
    environment: Any, name: str | None = None, max_steps: int | None = None, workers: int | None = None
) -> Env:
    """Turn an environment of gymnasium, or a function that makes one, into an Env. It runs in Python, on the host.

    One simulator is needed for each environment that is stepped at once, so a function is best. Of an object copies are
    made: anew by `gymnasium.make`, as its `spec` says, or else by `copy.deepcopy`; what was changed in it by hand is
    only in the latter. `max_steps` truncates episodes (default: what its spec says). Its `info` is left out.
    With `workers=N` simulators run in N processes of their own. MuJoCo's own environments are pure functions, all
    others tokens: see docs/environments.md. Raises TypeError for something else, and ValueError for an object that
    cannot be copied, a function that fails, a space that there is none of, and what cannot be sent to processes.
    """
    limit, count = whole_or_none("max_steps", max_steps), whole_or_none("workers", workers)
    _library()
    if _is_environment(environment):
        return Env(params={}, spec=_made(name, _copies(environment), limit, count))
    if not callable(environment):
        raise TypeError(
            "from_gymnasium needs an environment of gymnasium, or a function that makes one, got "
            f"{shown(environment)}; envs.make takes names"
        )
    return Env(params={}, spec=_made(name, environment, limit, count))


class Copies:
    """A function that makes copies of an environment."""

    def __init__(self, environment: Any) -> None:
        self.environment, self.spec = None, copy.deepcopy(environment.spec)
        self.max_steps = None if self.spec is None else self.spec.max_episode_steps
        try:
            if self.spec is not None and _layers(self()) == _layers(environment):
                return
        except Exception:  # whatever keeps gymnasium.make from it, as a wrapper that it cannot make anew
            pass
        self.spec = None
        try:
            self.environment = copy.deepcopy(environment)
        except Exception as error:
            raise ValueError(
                f"{_name_of(environment)} cannot be copied ({type(error).__name__}: {_line(error)}), and one simulator "
                "is needed for each environment: give from_gymnasium a function that makes one"
            ) from error

    def __call__(self) -> Any:
        """A copy."""
        if self.spec is None:
            return copy.deepcopy(self.environment)
        return _library().make(self.spec, max_episode_steps=-1, disable_env_checker=True)


_copies = cache(Copies)


@builder
def _registered(name: str, max_steps: int | None, options: tuple[tuple[str, Any], ...]) -> Spec:
    gymnasium, identity, given = _library(), name.partition("/")[2], dict(options)
    count = whole_or_none("workers", given.pop("workers", None))
    atari = identity.startswith("ALE/")
    if atari:
        _use_atari(name)
    try:
        limit = limit_of(name, max_steps) or gymnasium.spec(identity).max_episode_steps
    except (gymnasium.error.Error, ImportError):
        known = [known.partition("/")[2] for known in LISTING]
        raise ValueError(f"There is no environment {name!r} in gymnasium. {did_you_mean(identity, known)}") from None
    recipe = "registered", identity, given
    if atari and given.pop("preprocess", True):
        view = {key: given.pop(key, usual) for key, usual in VIEW.items()}
        recipe = "atari", identity, {**given, "frameskip": 1, "max_num_frames_per_episode": None}, view
        limit = limit or ATARI_FRAMES // whole("frame_skip", view["frame_skip"])
    elif atari and limit is None:
        given["max_num_frames_per_episode"] = None
        limit = ATARI_FRAMES // int(given.get("frameskip", gymnasium.spec(identity).kwargs["frameskip"]))
    return _spec(name, recipe, f"{name} cannot be built with {shown(dict(options))}", limit, count, options)


@builder
def _made(name: str | None, function: Callable[[], Any], max_steps: int | None, workers: int | None) -> Spec:
    recipe = "made", function
    if max_steps is None and isinstance(function, Copies):
        max_steps = function.max_steps
    return _spec(name, recipe, f"from_gymnasium: {_called(function)} does not make one", max_steps, workers, ())


def _spec(
    name: str | None, recipe: Any, trouble: str, limit: int | None, workers: int | None, fixed: tuple[Any, ...]
) -> Spec:
    """The Spec of simulators that a recipe of `stepping` makes."""

    def build() -> Any:
        with mujoco.no_log():
            return stepping.build(recipe)

    try:
        env = build()
    except _library().error.DependencyNotInstalled as error:
        raise ValueError(
            f"{name} needs libraries that are not installed: pip install 'jaxrl-up[gymnasium]' for MuJoCo, "
            f"'jaxrl-up[atari]' for Atari ({_line(error)})"
        ) from None
    except Exception as error:  # whatever its constructor says of its options
        raise ValueError(f"{trouble}: {_line(error)}") from error
    if not _is_environment(env):
        raise ValueError(f"{trouble}: got {shown(env)}")
    name = name or _name_of(env)
    observations, actions = space_of(name, env.observation_space), space_of(name, env.action_space)
    if recipe[0] == "made" and limit is None and env.spec is not None:
        limit = env.spec.max_episode_steps
    pure = not _layers(env)[:-1] and mujoco.is_pure(env.unwrapped)
    if pure and workers is not None:
        raise ValueError(f"{name} takes no workers: its states are data, which this process steps")
    look = None
    if pure:
        host = mujoco.Mujoco(name, env.unwrapped, lambda: build().unwrapped, limit)
        functions, look = mujoco.functions(host), Look(host.shapes, float(env.unwrapped.dt), host.frame)
    else:
        atari = "ale_py" in type(env.unwrapped).__module__
        simulators = stepping.Simulators(build) if workers is None else Workers(name, recipe, workers, atari)
        functions = slots.functions(slots.Slots(name, simulators, observations, limit), observations)
    reset, step, restart = functions
    return Spec(
        name=name,
        reset=reset,
        step=step,
        restart=restart,
        observation_space=observations,
        action_space=actions,
        max_steps=limit,
        fixed=fixed,
        host=True,
        look=look,
        tokens=not pure,
    )


def _library() -> Any:
    """gymnasium; raises ValueError where it is not installed."""
    try:
        return importlib.import_module("gymnasium")
    except ImportError:
        raise ValueError("gymnasium is not installed: pip install 'jaxrl-up[gymnasium]'") from None


def _use_atari(name: str) -> None:
    try:
        stepping.use_atari()
        importlib.import_module("cv2")
    except ImportError as error:
        raise ValueError(f"{name} needs libraries that are not installed: pip install 'jaxrl-up[atari]'") from error


def _is_environment(given: Any) -> bool:
    return isinstance(given, _library().Env)


def _layers(environment: Any) -> list[type]:
    """The classes of an environment and what wraps it, outermost first, without those that alter no step."""
    found = []
    while isinstance(environment, _library().Wrapper):
        found.append(type(environment))
        environment = environment.env
    return [kind for kind in found if kind.__name__ not in PLAIN] + [type(environment)]


def _name_of(environment: Any) -> str:
    return type(environment.unwrapped).__name__


def _called(function: Any) -> str:
    return getattr(function, "__qualname__", type(function).__name__)


def _line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _hashable(name: str, key: str, value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic | jax.Array):
        value = np.asarray(value).tolist()
    if isinstance(value, list | tuple):
        return tuple(_hashable(name, key, item) for item in value)
    try:
        hash(value)
    except TypeError:
        raise ValueError(
            f"{key}={shown(value)} of {name} must be a number, a text or a list of these: write a function that makes "
            "the environment, for envs.from_gymnasium"
        ) from None
    return value


def space_of(name: str, space: Any) -> Space:
    """A space of gymnasium as one of ours, float64 as float32; raises ValueError for one that there is none of."""
    kind = type(space).__name__
    if kind == "Discrete":
        return Discrete(int(space.n), start=int(space.start))
    if kind == "Box":
        dtype = stepping.dtype_of(space)
        low, high = space.low, space.high
        if dtype.kind in "iu":  # bounds of 64 bits
            low, high = (np.clip(bound, np.iinfo(dtype).min, np.iinfo(dtype).max) for bound in (low, high))
        return Box(np.asarray(low, dtype), np.asarray(high, dtype), space.shape, jnp.dtype(dtype))
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
