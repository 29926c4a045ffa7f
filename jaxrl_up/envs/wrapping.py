"""Wrappers by name: one grammar for the command line, recipes and what config.toml keeps of a run.

    frame_stack=4    clip_reward=-1,1    clip_reward=high=5    sticky_actions    mask_observation=0,2
    randomize=gravity=8:12,masspole=0.05:0.5

`NAME(VALUES)`, as a wrapped environment records it in `Spec.wrappers`, says the same as `NAME=VALUES`. A wrapper comes
in here if its arguments are numbers, or ranges by name, and what it records holds all of them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from jaxrl_up.config import shown
from jaxrl_up.envs.core import Env, did_you_mean
from jaxrl_up.envs.simulator import with_simulator
from jaxrl_up.envs.suites import find, is_name
from jaxrl_up.envs.wrappers import (
    clip_action,
    clip_reward,
    episode_statistics,
    flatten_observation,
    frame_stack,
    mask_observation,
    one_hot_observation,
    previous_action,
    randomize,
    rescale_action,
    scale_reward,
    sticky_actions,
    time_left,
    time_limit,
)

WRAPPERS: dict[str, Callable[..., Env]] = {
    "clip_action": clip_action,
    "clip_reward": clip_reward,
    "episode_statistics": episode_statistics,
    "flatten_observation": flatten_observation,
    "frame_stack": frame_stack,
    "mask_observation": mask_observation,
    "one_hot_observation": one_hot_observation,
    "previous_action": previous_action,
    "randomize": randomize,
    "rescale_action": rescale_action,
    "scale_reward": scale_reward,
    "sticky_actions": sticky_actions,
    "time_left": time_left,
    "time_limit": time_limit,
    "with_simulator": with_simulator,
}


class Wrapping(NamedTuple):
    """A wrapper with its arguments, as a text names them."""

    name: str
    arguments: dict[str, Any]

    def __call__(self, env: Env) -> Env:
        return WRAPPERS[self.name](env, **self.arguments)


def wrap(env: Env | str, wrappers: Sequence[str]) -> Env:
    """Wrap an environment as texts say: `wrap("Breakout-MinAtar", ["sticky_actions=0.1", "frame_stack=4"])`.

    The first is applied first; a name stands for what `make` builds of it. A text is `NAME`, `NAME=VALUE,...` or
    `NAME(VALUE, ...)`, its values those of the function of that name, in order or as `ARGUMENT=VALUE`; so
    `wrap(env, other.spec.wrappers)` wraps as `other` is. Raises ValueError for a name or argument that is unknown,
    missing or too many, and where a wrapper does; TypeError for what is no list of texts.
    """
    env = find(env)
    for wrapping in parse_wrappers(wrappers):
        env = wrapping(env)
    return env


def parse_wrappers(wrappers: Sequence[str]) -> tuple[Wrapping, ...]:
    """What texts say, without an environment; raises as `wrap` does, but where a wrapper itself would."""
    if isinstance(wrappers, str) or not isinstance(wrappers, Sequence):
        raise TypeError(f"wrappers={shown(wrappers)} must be a list of texts, as ['frame_stack=4']")
    return tuple(map(_parse, wrappers))


def is_named(name: str, wrappers: Sequence[str]) -> bool:
    """Whether `make` knows an environment of this name, and `wrap` all of these wrappers."""
    try:
        parse_wrappers(wrappers)
    except (ValueError, TypeError):
        return False
    return is_name(name)


def wrapper_usages() -> tuple[str, ...]:
    """How each wrapper is written: `frame_stack=FRAMES`, `clip_reward[=LOW,HIGH]`, `time_left`."""
    return tuple(map(_usage, WRAPPERS))


def _parse(text: str) -> Wrapping:
    if not isinstance(text, str):
        raise TypeError(f"a wrapper is named by a text, as 'frame_stack=4', got {shown(text)}")
    head, bracket, rest = text.strip().partition("(")
    name, equals, values = text.strip().partition("=")
    if bracket and "=" not in head:
        name, equals, values = head, "", rest.removesuffix(")")
        if not rest.endswith(")"):
            raise ValueError(f"wrapper {text!r} has a bracket that is not closed")
    name = name.strip().replace("-", "_")
    if name == "against":
        raise ValueError("an opponent goes with the name of the game, as in 'pgx/tic_tac_toe?opponent=NAME'")
    if name not in WRAPPERS:
        raise ValueError(f"There is no wrapper {name!r}. {did_you_mean(name, WRAPPERS)}")
    if equals and not values.strip():
        raise ValueError(f"wrapper {text!r} has no value: write {_usage(name)}")
    return Wrapping(name, (_ranges if _takes_ranges(name) else _arguments)(name, text, values))


def _arguments(name: str, text: str, values: str) -> dict[str, Any]:
    """The arguments that the text of the wrapper `name` gives between commas in `values`."""
    parameters, in_order, named = _parameters(name), [], {}
    pieces = [piece.strip() for piece in values.split(",")]
    for piece in pieces[:-1] if pieces[-1] == "" else pieces:  # Python writes a tuple of one as (3,)
        argument, equals, value = piece.rpartition("=")
        argument = argument.strip().replace("-", "_")
        if equals and argument not in parameters:
            raise ValueError(f"{name} has no argument {argument!r}: write {_usage(name)}")
        if named and not equals:
            raise ValueError(f"wrapper {text!r}: values without a name come first; write {_usage(name)}")
        if argument in named:
            raise ValueError(f"wrapper {text!r} says {argument} twice: write {_usage(name)}")
        if equals:
            named[argument] = _number(text, name, value)
        else:
            in_order.append(_number(text, name, piece))
    for argument in named:
        if _is_list(parameters[argument]):
            named[argument] = (named[argument],)
    if in_order and any(map(_is_list, parameters.values())):
        in_order = [tuple(in_order)]
    given = dict(zip(parameters, in_order, strict=False))
    if len(in_order) > len(parameters) or given.keys() & named.keys():
        raise ValueError(f"wrapper {text!r} has a value too many: write {_usage(name)}")
    given |= named
    missing = [
        key for key, parameter in parameters.items() if key not in given and parameter.default is parameter.empty
    ]
    if missing:
        raise ValueError(f"wrapper {text!r} does not say {missing[0]}: write {_usage(name)}")
    return given


def _ranges(name: str, text: str, values: str) -> dict[str, Any]:
    """The arguments of a wrapper that takes ranges by names of the environment's: `NAME=LOW:HIGH` between commas."""
    ranges: dict[str, Any] = {}
    for piece in values.split(","):
        argument, equals, value = piece.rpartition("=")
        argument, (low, colon, high) = argument.strip().replace("-", "_"), value.partition(":")
        if not (argument and equals and colon):
            raise ValueError(f"wrapper {text!r} needs ranges: write {_usage(name)}")
        if argument in ranges:
            raise ValueError(f"wrapper {text!r} says {argument} twice: write {_usage(name)}")
        ranges[argument] = _number(text, name, low), _number(text, name, high)
    return ranges


def _number(text: str, name: str, piece: str) -> bool | int | float:
    if piece.strip().lower() in ("true", "false"):
        return piece.strip().lower() == "true"
    for kind in (int, float):
        try:
            return kind(piece)
        except ValueError:
            pass
    raise ValueError(f"wrapper {text!r}: {piece!r} is no number; write {_usage(name)}")


def _parameters(name: str) -> dict[str, inspect.Parameter]:
    """The arguments of a wrapper beside the environment."""
    _, *parameters = inspect.signature(WRAPPERS[name]).parameters.values()
    return {parameter.name: parameter for parameter in parameters}


def _is_list(parameter: inspect.Parameter) -> bool:
    """Whether an argument takes several values; it is then the only one."""
    return "Sequence" in str(parameter.annotation)


def _takes_ranges(name: str) -> bool:
    """Whether the arguments of a wrapper are parameters of the environment, each with a range."""
    return any(parameter.kind is parameter.VAR_KEYWORD for parameter in _parameters(name).values())


def _usage(name: str) -> str:
    if _takes_ranges(name):
        return f"{name}=NAME=LOW:HIGH,..."
    parameters = _parameters(name)
    values = ",".join(key.upper() + ",..." * _is_list(parameter) for key, parameter in parameters.items())
    optional = all(parameter.default is not parameter.empty for parameter in parameters.values())
    return name if not parameters else f"{name}[={values}]" if optional else f"{name}={values}"
