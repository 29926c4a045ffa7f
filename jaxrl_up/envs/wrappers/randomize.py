"""Other physics in each episode: parameters that are drawn when it begins."""

from __future__ import annotations

import functools
import zlib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_up.config import shown
from jaxrl_up.envs.boards.against import facing
from jaxrl_up.envs.core import Env, Spec, builder, resetting
from jaxrl_up.envs.wrappers.base import number_of, number_text, wrapper
from jaxrl_up.types import Array, Key, PyTree

DRAWN = 0x6472776E  # sets the keys of what is drawn apart from those of resets
NAME = "randomize"


class Randomized(NamedTuple):
    """State under `randomize`: the environment's own, and the parameters of this episode."""

    inner: Any
    drawn: dict[str, Array]


@wrapper
def randomize(env: Env, **ranges: tuple[float, float]) -> Env:
    """Draw parameters anew for each episode: `randomize(env, gravity=(8, 12), masspole=(0.05, 0.5))`.

    Each is uniform between its two ends, which are static, independently of the others and of the environment's own
    draws; of an array each element for itself. What is computed from them follows. They are kept in the state, so what
    reads that knows them, as a planner that simulates; observations and `info` do not show them. `env.params` keeps the
    nominal values, with which `nominal(env)` steps, and by default evaluations. Ends that are equal are as
    `env.with_params`.

    Raises ValueError for no name, for one that `with_params` would refuse or that is drawn already, and for what is no
    pair of finite numbers, the lower first.
    """
    if not ranges:
        raise ValueError(f"randomize needs what to draw, as in randomize(env, gravity=(8, 12)) for {env.name}.")
    ends = {name: _ends(name, given) for name, given in sorted(ranges.items())}
    for end in (0, 1):
        env.with_params(**{name: both[end] for name, both in ends.items()})
    for name in ends:
        if name in randomized(env):
            raise ValueError(f"{name!r} of {env.full_name} is drawn already: randomize it once.")
    return env.replace(spec=_randomize(env.spec, tuple((name, *both) for name, both in ends.items())))


@builder
def _randomize(spec: Spec, ranges: tuple[tuple[str, float, float], ...]) -> Spec:
    def reset(params: Any, key: Key) -> Any:
        drawn = {name: _draw(key, name, params[name], low, high) for name, low, high in ranges}
        state, obs = spec.reset({**params, **drawn}, key)
        return Randomized(state, drawn), obs

    def step(params: Any, key: Key, state: Randomized, action: PyTree) -> Any:
        inner, *rest = spec.step({**params, **state.drawn}, key, state.inner, action)
        return Randomized(inner, state.drawn), *rest

    text = ", ".join(f"{name}={number_text(low)}:{number_text(high)}" for name, low, high in ranges)
    return resetting(spec, NAME)._replace(
        reset=reset,
        step=step,
        deterministic_reset=spec.deterministic_reset and all(low == high for _, low, high in ranges),
        wrappers=(*spec.wrappers, f"{NAME}({text})"),
    )


def _draw(key: Key, name: str, nominal: Array, low: float, high: float) -> Array:
    """A value by a key of its own, which its name sets apart, so that no order matters."""
    key = jax.random.fold_in(jax.random.fold_in(key, DRAWN), zlib.crc32(name.encode()))
    return jax.random.uniform(key, jnp.shape(nominal), jnp.float32, np.float32(low), np.float32(high))


def _ends(name: str, given: Any) -> tuple[float, float]:
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise ValueError(f"randomize needs two numbers for {name}, as {name}=(low, high), got {shown(given)}.")
    low, high = (number_of(NAME, name, end) for end in given)
    if low > high:
        raise ValueError(f"randomize needs low <= high for {name}, got {shown(given)}.")
    if not high - low <= float(np.finfo(np.float32).max):
        raise ValueError(f"randomize needs ends of {name} that float32 can tell apart, got {shown(given)}.")
    return low, high


def randomized(env: Env) -> frozenset[str]:
    """The names of the parameters that `randomize` draws, also under other wrappers."""
    return _names(env.spec)


def _names(spec: Spec) -> frozenset[str]:
    texts = [text[len(NAME) + 1 : -1] for text in spec.wrappers if text.startswith(f"{NAME}(")]
    own = frozenset(piece.rpartition("=")[0] for text in texts for piece in text.split(", "))
    within = _within(spec)
    return own if within is None else own | _names(within)


def _within(spec: Spec) -> Spec | None:
    """The Spec that one was built around."""
    first = spec.origin.arguments[0] if spec.origin is not None and spec.origin.arguments else None
    return first if isinstance(first, Spec) else None


def nominal(env: Env) -> Env:
    """The environment without `randomize`, also under other wrappers: it steps with what is in `env.params`.

    A game of two players is seen by one of them, `against` an opponent that moves at random. One that draws nothing
    and has one player is returned as it is. Raises ValueError for one whose Spec was changed by hand over
    `randomize`, which cannot be built without it.
    """
    env = env.replace(spec=_nominal(env.spec)) if randomized(env) else env
    return facing(env, "random") if env.spec.players == 2 else env


@functools.cache
def _nominal(spec: Spec) -> Spec:
    if not _names(spec):
        return spec
    origin, within = spec.origin, _within(spec)
    if origin is None or within is None or origin.build(*origin.arguments) != spec:
        raise ValueError(
            f"{spec.name} is randomised and its Spec was then changed by hand, so it cannot be built with its nominal "
            "parameters: randomize last, or say what to evaluate in, as evaluation_env."
        )
    inner = _nominal(within)
    return inner if origin.build is _randomize else origin.build(inner, *origin.arguments[1:])
