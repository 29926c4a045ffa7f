"""A game of two players as one of them sees it: the other is a part of the environment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrl_up.config import is_own_name, own_variable, plain, shown, when_changed
from jaxrl_up.envs.core import Env, Spec, as_action, builder, did_you_mean, resetting, where
from jaxrl_up.envs.spaces import Dict, Simulator, mask_of, sample_allowed
from jaxrl_up.envs.suites.limits import limit_of
from jaxrl_up.types import Array, Key, PyTree

OPTIONS = ("opponent", "depth", "first")
OPPONENTS = ("random", "minimax")

Act = Callable[[PyTree, Key], Any]


class Turns(NamedTuple):
    """State under `against` with a time limit: the game's own, and the turns taken in it."""

    inner: Any
    time: Array


def facing(env: Env, opponent: Any, depth: Any = None, first: Any = None, max_steps: int | None = None) -> Env:
    """See `jaxrl_up.envs.against`; episodes are truncated after `max_steps` turns, if there is such a limit."""
    if env.spec.players != 2:
        raise ValueError(f"an opponent needs a game of two players; {env.full_name} has one: leave opponent out.")
    first = plain(first)
    if first is not None and not isinstance(first, bool):
        raise ValueError(f"first={shown(first)} must be true, false or none (drawn for each game).")
    depth, changed = plain(depth), 0
    if isinstance(opponent, str) and is_own_name(opponent):
        own_variable(opponent)
        changed = when_changed(opponent.rpartition(":")[0])
    elif isinstance(opponent, str) and opponent not in OPPONENTS:
        raise ValueError(
            f"there is no opponent {opponent!r}. {did_you_mean(opponent, OPPONENTS)} FILE.py:NAME and MODULE:NAME are "
            "functions of your own."
        )
    elif not isinstance(opponent, str) and not callable(opponent):
        raise TypeError(
            f"opponent={shown(opponent)} must be {', '.join(map(repr, OPPONENTS))}, or a function (obs, key) -> action"
        )
    if opponent != "minimax" and depth is not None:
        raise ValueError(f"depth={shown(depth)} is for opponent='minimax': leave it out.")
    _act_of(env.spec, opponent, depth)
    return env.replace(spec=_against(env.spec, opponent, changed, depth, first, limit_of(env.name, max_steps)))


def _act_of(spec: Spec, opponent: Any, depth: int | None) -> Act:
    """What chooses the opponent's action of what it observes."""
    if opponent == "random":
        return lambda obs, key: sample_allowed(spec.action_space, mask_of(_shown_space(spec), obs), key)
    if opponent == "minimax":
        if spec.board is None or spec.board.minimax is None:
            raise ValueError(f"minimax plays pgx/tic_tac_toe and pgx/connect_four, not {spec.name}: take 'random'.")
        return spec.board.minimax(depth)
    act = own_variable(opponent) if isinstance(opponent, str) else opponent
    if not callable(act):
        raise ValueError(f"opponent {opponent!r} must be a function (obs, key) -> action, got {shown(act)}.")
    return act


@builder
def _against(spec: Spec, opponent: Any, changed: int, depth: int | None, first: bool | None, limit: int | None) -> Spec:
    act, text = _act_of(spec, opponent, depth), query(opponent, depth, first)

    def reply(params: Any, key: Key, state: Any, obs: PyTree) -> Any:
        act_key, step_key = jax.random.split(key)
        action = as_action(spec.action_space, act(_shown(spec, obs), act_key))
        return spec.step(params, step_key, state, action)

    def reset(params: Any, key: Key) -> Any:
        reset_key, side_key, reply_key = jax.random.split(key, 3)
        begun = spec.reset(params, reset_key)
        if first:
            return begun
        state, obs, *_ = reply(params, reply_key, *begun)
        return (state, obs) if first is False else where(jax.random.bernoulli(side_key), begun, (state, obs))

    def step(params: Any, key: Key, state: Any, action: PyTree) -> Any:
        step_key, reply_key = jax.random.split(key)
        state, obs, reward, terminated, truncated, info = spec.step(params, step_key, state, action)
        ended = state, obs, reward, terminated, truncated
        state, obs, theirs, *flags, _ = reply(params, reply_key, state, obs)
        return *where(terminated | truncated, ended, (state, obs, reward - theirs, *flags)), info

    def limited_reset(params: Any, key: Key) -> Any:
        state, obs = reset(params, key)
        return Turns(state, jnp.int32(0)), obs

    def limited_step(params: Any, key: Key, state: Turns, action: PyTree) -> Any:
        inner, obs, reward, terminated, truncated, info = step(params, key, state.inner, action)
        assert limit is not None
        time = state.time + 1
        return Turns(inner, time), obs, reward, terminated, truncated | (time >= limit), info

    # a name says nothing of what else may be around the game
    named = isinstance(opponent, str) and set(spec.wrappers) <= {"with_simulator"} and spec.max_steps is None
    return resetting(spec, "against")._replace(
        name=f"{spec.name}?{text}" if named else spec.name,
        reset=reset if limit is None else limited_reset,
        step=step if limit is None else limited_step,
        max_steps=limit,
        deterministic_reset=spec.deterministic_reset and first is True,
        wrappers=spec.wrappers if named else (*spec.wrappers, f"against({text})"),
        players=1,
        opponent=text,
    )


def game_of(env: Env) -> Env:
    """The game of two players that an environment is, or shows one side of; raises ValueError for any other."""
    if env.spec.players == 2:
        return env
    game = env.spec.origin.arguments[0] if env.spec.opponent and env.spec.origin is not None else None
    if not isinstance(game, Spec) or game.players != 2:
        raise ValueError(f"{env.full_name} is no game of two players, nor one side of it.")
    return env.replace(spec=game)


def opponent_of(env: Env) -> tuple[Act, bool | None]:
    """What moves for the other side under `against`, of what it observes and a key, and `first` of it.

    Raises ValueError for an environment that is not one side of a game.
    """
    game = game_of(env)
    if game is env or env.spec.origin is None:
        raise ValueError(f"{env.full_name} says no opponent: write {env.name}?opponent=random")
    _, opponent, _, depth, first, _ = env.spec.origin.arguments
    act = _act_of(game.spec, opponent, depth)
    return lambda obs, key: act(_shown(game.spec, obs), key), first


def _shown(spec: Spec, obs: PyTree) -> PyTree:
    """What an opponent sees: all but simulators."""
    space = spec.observation_space
    if spec.simulated is None or not isinstance(space, Dict):
        return obs
    rest = {name: obs[name] for name, part in space.spaces.items() if not isinstance(part, Simulator)}
    return rest if isinstance(spec.simulated.observation_space, Dict) else rest["obs"]


def _shown_space(spec: Spec) -> Any:
    return spec.observation_space if spec.simulated is None else spec.simulated.observation_space


def query(opponent: Any, depth: int | None, first: bool | None) -> str:
    """What stands behind the `?` of a name, as `opponent=minimax&depth=4&first=true`."""
    who = opponent if isinstance(opponent, str) else getattr(opponent, "__qualname__", type(opponent).__name__)
    said = {"opponent": who, "depth": depth, "first": None if first is None else str(first).lower()}
    return "&".join(f"{name}={value}" for name, value in said.items() if value is not None)


def parsed(name: str) -> tuple[str, dict[str, Any]]:
    """A name apart from the options behind its `?`; raises ValueError for what are none."""
    base, mark, text = name.partition("?")
    options: dict[str, Any] = {}
    for piece in text.split("&") if mark else ():
        option, equals, value = piece.partition("=")
        if not (option and equals and value) or option in options:
            raise ValueError(
                f"{name!r}: behind the ? stand options between &, each once, as in "
                "pgx/connect_four?opponent=minimax&depth=4"
            )
        options[option] = _value(value)
    return base, options


def _value(text: str) -> Any:
    """A flag, a number, or the text itself."""
    if text.lower() in ("true", "false", "none"):
        return {"true": True, "false": False, "none": None}[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text
