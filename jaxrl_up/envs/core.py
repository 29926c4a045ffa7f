"""The environment record: physics as data (`Env.params`), everything static in one hashable `Spec`."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.core import Tracer

from jaxrl_up.config import as_key, shape, shown
from jaxrl_up.envs.board import Board
from jaxrl_up.envs.look import Look
from jaxrl_up.envs.spaces import LEAVES, Leaf, Simulator, Space, map_leaves
from jaxrl_up.types import Array, Key, PyTree, TimeStep


class Spec(NamedTuple):
    """The static part of an environment: pure functions *without* auto-reset, spaces and the time limit.

    `reset(params, key) -> (state, obs)` and `step(params, key, state, action) -> (state, obs, reward,
    terminated, truncated, info)`. Wrappers replace these two functions, so whatever state they add is reset
    with the rest. A Spec is hashable and compares equal to the Spec of another, equal construction, because
    the functions that build one are cached. It is pickled as the call that built it.

    A simulator that begins anew by itself has `restart(params, key, state, action) -> (state, obs, next_obs, reward,
    terminated, truncated, info)` too: the step of `Env.step`, `obs` to act on next and `next_obs` the true successor.
    Then no resets are drawn ahead.
    """

    name: str
    reset: Callable[..., Any]
    step: Callable[..., Any]
    observation_space: Space
    action_space: Space
    max_steps: int | None = None  # episodes are truncated at exactly this length; None: no limit known
    deterministic_reset: bool = False  # every episode starts in one and the same state
    fixed: tuple[tuple[str, Any], ...] = ()  # parameters that are static here, with their values
    derived: tuple[tuple[str, str], ...] = ()  # parameters computed from others, with what from
    wrappers: tuple[str, ...] = ()
    origin: Origin | None = None
    simulated: Spec | None = None  # under `with_simulator`: what it shows the state of
    restart: Callable[..., Any] | None = None  # `step` that goes on from a fresh reset where an episode ends
    host: bool = False  # steps are made by Python on the host, outside of the compiled program
    look: Look | None = None  # how states are drawn
    tokens: bool = False  # states stand for simulators that live on the host, so that each is stepped once only
    players: int = 1  # 2: they move in turn, and observations and rewards are those of who moves
    board: Board | None = None  # of a game on a board: how it is drawn and what is symmetric in it
    opponent: str = ""  # under `against`: who moves in between
    longest: int | None = None  # no episode is longer, whatever is played; it is no time limit

    def __reduce__(self) -> Any:
        if self.origin is None or self.origin.build(*self.origin.arguments) != self:
            raise TypeError(f"{self.name} cannot be pickled: its Spec was put together or changed by hand")
        for argument in self.origin.arguments:
            qualified = getattr(argument, "__qualname__", "")
            if callable(argument) and "<" in qualified:
                raise TypeError(
                    f"{self.name} cannot be pickled: it is made of {qualified}, which Python finds by no name; define "
                    "its functions at the top of a module"
                )
        return self.origin.build, self.origin.arguments

    def __deepcopy__(self, memo: Any) -> Spec:
        return self  # nothing in it changes


class Origin:
    """The call that builds a Spec. It says nothing that the Spec does not say, so all of them compare equal."""

    def __init__(self, build: Callable[..., Spec], arguments: tuple[Any, ...]) -> None:
        self.build, self.arguments = build, arguments

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Origin)

    def __hash__(self) -> int:
        return 0


def builder(build: Callable[..., Spec]) -> Callable[..., Spec]:
    """Cache a function of hashable arguments that builds a Spec, which then knows what built it."""

    @functools.cache
    @functools.wraps(build)
    def cached(*arguments: Any) -> Spec:
        return build(*arguments)._replace(origin=Origin(cached, arguments))

    return cached


def around(build: Callable[..., Spec]) -> Callable[..., Spec]:
    """Cache a function, as `builder` does, that builds a Spec around another one, which it is given first.

    Where that one restarts by itself, so does what is around it: `build` is applied to its restart, once as to a step
    and once as to a reset. Not for what ends episodes or draws for a whole episode, of which a restart within would
    know nothing: see `resetting`.
    """

    @builder
    @functools.wraps(build)
    def built(spec: Spec, *arguments: Any) -> Spec:
        outer = build(spec, *arguments)
        if spec.restart is None:
            return outer

        def restart(params: Any, key: Key, state: Any, action: PyTree) -> Any:
            begun = []

            def step_within(params: Any, key: Key, state: Any, action: PyTree) -> Any:
                assert spec.restart is not None
                state, obs, *rest = spec.restart(params, key, state, action)
                begun.append((state, obs))
                return state, *rest

            step_key, reset_key = jax.random.split(key)
            as_step = build(spec._replace(step=step_within), *arguments).step
            reached, next_obs, reward, terminated, truncated, info = as_step(params, step_key, state, action)
            as_reset = build(spec._replace(reset=lambda params, key: begun[0]), *arguments).reset
            fresh = as_reset(params, reset_key)
            state, obs = where(terminated | truncated, fresh, (reached, next_obs))
            return state, obs, next_obs, reward, terminated, truncated, info

        return outer._replace(restart=restart)

    return built


def resetting(spec: Spec, what: str) -> Spec:
    """The Spec without its restart, for a wrapper that has to reset it; raises ValueError where it cannot be."""
    if spec.tokens:
        raise ValueError(
            f"{what} cannot begin episodes of {spec.name} anew, which runs on the host and does so by itself: give "
            "what it should be to what builds the environment, as in max_steps=200"
        )
    return spec._replace(restart=None)


@struct.dataclass
class Env:
    """An environment as a pytree: `params` are traced leaves, so physics is swept like a hyperparameter.

    Auto-reset happens in `step` and nowhere else, from a reset computed at every step. That costs about 70 ns
    of the 90 ns of a CartPole step (256 lanes, one core), 0.17 of 0.4 us for Breakout, 1 us for Pong: little
    beside a learning step. Sharing resets would save it, but episodes would no longer be independent.
    """

    params: dict[str, Array]
    spec: Spec = struct.field(pytree_node=False)

    if TYPE_CHECKING:  # flax adds it

        def replace(self, **changes: Any) -> Env: ...

    def reset(self, key: Key) -> tuple[PyTree, PyTree]:
        """Start an episode: returns (state, obs)."""
        return self.spec.reset(self.params, as_key(key))

    def step(self, key: Key, state: PyTree, action: PyTree) -> tuple[PyTree, TimeStep]:
        """Take one action and, where the episode ends, go on from a fresh reset.

        Raises ValueError for an action of the wrong shape or kind, or if reset and step disagree about the
        state.
        """
        if self.spec.restart is not None:
            return self.restart(key, state, action)
        step_key, reset_key = jax.random.split(as_key(key))
        return self.step_or_restart(step_key, state, action, self.reset(reset_key))

    def restart(self, key: Key, state: PyTree, action: PyTree) -> tuple[PyTree, TimeStep]:
        """As `step`, where the environment itself goes on from a fresh reset (`Spec.restart`)."""
        assert self.spec.restart is not None
        action = as_action(self.spec.action_space, action)
        reached, obs, *rest = self.spec.restart(self.params, as_key(key), state, action)
        require_same_structure(state, reached, f"the state of {self.name}")
        require_same_structure(obs, rest[0], f"the observation of {self.name}")
        return reached, TimeStep(obs, *rest)

    def step_or_restart(
        self, key: Key, state: PyTree, action: PyTree, fresh: tuple[PyTree, PyTree]
    ) -> tuple[PyTree, TimeStep]:
        """As `step`, with the reset to go on from given: `fresh` is what `reset` returned for a key of its own.

        Many resets drawn at once, outside a loop, are cheaper than one inside each of its steps.
        """
        action = as_action(self.spec.action_space, action)
        reached, next_obs, reward, terminated, truncated, info = self.spec.step(self.params, as_key(key), state, action)
        require_same_structure(fresh[0], reached, f"the state of {self.name}")
        require_same_structure(fresh[1], next_obs, f"the observation of {self.name}")
        state, obs = where(terminated | truncated, fresh, (reached, next_obs))
        return state, TimeStep(obs, next_obs, reward, terminated, truncated, info)

    def with_params(self, **params: Any) -> Env:
        """Return this environment with other values of some traced parameters; the values may be traced.

        Raises ValueError for a parameter that is unknown, static or derived.
        """
        for name in params:
            if name not in self.params:
                raise ValueError(_why_not_settable(self.spec, name, self.params))
        values = {name: as_parameter(name, value) for name, value in params.items()}
        return self.replace(params={**self.params, **values})

    @property
    def name(self) -> str:
        """The name given to `make` or `from_functions`; wrappers keep it."""
        return self.spec.name

    @property
    def observation_space(self) -> Space:
        """What observations look like."""
        return self.spec.observation_space

    @property
    def action_space(self) -> Space:
        """What actions look like."""
        return self.spec.action_space

    @property
    def max_steps(self) -> int | None:
        """The length at which episodes are truncated; None where there is no limit."""
        return self.spec.max_steps

    @property
    def full_name(self) -> str:
        """The name with the wrappers, as `Breakout-MinAtar + frame_stack(4)`."""
        return " + ".join((self.name, *self.spec.wrappers))

    def __repr__(self) -> str:
        return (
            f"Env({self.full_name}, obs={self.observation_space}, action={self.action_space}, "
            f"max_steps={self.max_steps}, params={sorted(self.params)})"
        )


def where(done: Array, fresh: PyTree, here: PyTree) -> PyTree:
    """The leaves of `fresh` where `done`, else those of `here`."""
    return jax.tree.map(lambda new, old: jnp.where(done, new, old), fresh, here)


def as_action(space: Space, action: Any) -> PyTree:
    """Give an action the dtypes of its space; raises ValueError for a wrong shape, kind or tree."""
    if isinstance(space, LEAVES):
        return _as_leaf(space, action)
    try:
        return map_leaves(_as_leaf, space, action)
    except (ValueError, TypeError) as error:
        if "one environment" in str(error) or "is an integer" in str(error):
            raise
        raise ValueError(f"An action for {space} has its parts by name and place, got {shown(action)}.") from None


def _as_leaf(space: Leaf, action: Any) -> Array:
    if isinstance(space, Simulator):
        raise ValueError("a Simulator() is no space of actions")
    action = jnp.asarray(action)
    if action.shape != space.shape:
        raise ValueError(
            f"An action for {space} has shape {space.shape}, got {action.shape}. "
            "`step` takes one action of one environment: use jax.vmap for a batch."
        )
    if jnp.issubdtype(action.dtype, jnp.floating) and not jnp.issubdtype(space.dtype, jnp.floating):
        raise ValueError(f"An action for {space} is an integer, got {action.dtype}.")
    return strong(action, space.dtype)


def as_parameter(name: str, value: Any) -> Array:
    """Make a strong float32 array of a number or an array, of which whole ones must be exact in float32.

    Raises ValueError for anything else, and for NaN. Of a traced value only the type is known.
    """
    try:
        if not any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(value)):
            if shape(value) is None:
                raise TypeError
            _check_held(name, np.asarray(value))
        return strong(jnp.asarray(value, jnp.float32))
    except (TypeError, OverflowError):
        advice = ": give each number in it a name of its own." if isinstance(value, Mapping) else "."
        raise ValueError(f"The parameter {name!r} must be a number or an array, got {shown(value)}{advice}") from None


def _check_held(name: str, given: np.ndarray) -> None:
    """Raise ValueError for numbers that change when they become float32."""
    if given.dtype.kind not in "biufV":
        raise TypeError
    with np.errstate(all="ignore"):
        held = given.astype(np.float32)
        whole = np.issubdtype(given.dtype, np.integer)
        changed = held.astype(given.dtype) != given if whole else np.isinf(held) & ~np.isinf(given)
    if np.isnan(held).any():
        raise ValueError(f"The parameter {name!r} is not a number: {shown(given)}.")
    if changed.any():
        raise ValueError(
            f"The parameter {name!r} holds {given[changed].flat[0]}, which float32 does not: parameters are float32. "
            "Let the functions read it (it is then static), or put it in the state."
        )


def strong(x: Any, dtype: Any = None) -> Array:
    """Make an array of x whose dtype is not weak, so that it stays the same through `lax.scan`."""
    x = jnp.asarray(x)
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        return x
    return jax.lax.convert_element_type(x, jnp.dtype(dtype or x.dtype))


def strong_tree(tree: PyTree) -> PyTree:
    """Make every leaf an array whose dtype is not weak."""
    return jax.tree.map(strong, tree)


def require_same_structure(after_reset: PyTree, after_step: PyTree, what: str) -> None:
    """Raise ValueError, naming the leaf, unless both have one tree structure, shapes and dtypes."""
    reset_leaves, reset_tree = jax.tree.flatten_with_path(after_reset)
    step_leaves, step_tree = jax.tree.flatten_with_path(after_step)
    if reset_tree != step_tree:
        raise ValueError(
            f"reset and step must return {what} in one structure: {reset_tree} after reset, "
            f"{step_tree} after step. Return the same fields from both."
        )
    for (path, new), (_, old) in zip(reset_leaves, step_leaves, strict=True):
        if (new.shape, new.dtype) != (old.shape, old.dtype):
            raise ValueError(
                f"reset and step must return {what} in one shape and dtype: leaf "
                f"'{jax.tree_util.keystr(path)}' is {new.dtype}{list(new.shape)} after reset, "
                f"{old.dtype}{list(old.shape)} after step. "
                f"Convert one of them, e.g. jnp.asarray(x, jnp.{old.dtype})."
            )


def did_you_mean(given: str, allowed: Iterable[str]) -> str:
    """End an error message: the closest allowed name, if any, and the whole list."""
    allowed = sorted(allowed)
    lower = {name.lower(): name for name in allowed}
    close = difflib.get_close_matches(given.lower(), lower, n=1, cutoff=0.5)
    guess = f"Did you mean {lower[close[0]]!r}? " if close else ""
    return f"{guess}Allowed: {', '.join(allowed) if allowed else 'none'}."


def _why_not_settable(spec: Spec, name: str, params: Iterable[str]) -> str:
    fixed, derived = dict(spec.fixed), dict(spec.derived)
    if name in fixed:
        return (
            f"{name!r} of {spec.name} is static (= {fixed[name]!r}): it enters a space, a shape, a branch or "
            f"the time limit. Build another environment: envs.make({spec.name!r}, {name}=...)."
        )
    if name in derived:
        return f"{name!r} of {spec.name} is computed from {derived[name]}: set those, or give it to envs.make."
    return f"{spec.name} has no parameter {name!r}. {did_you_mean(name, params)}"
