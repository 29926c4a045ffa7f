"""Environments of the user's own by name: `FILE.py:NAME` and `MODULE:NAME`, in the grammar of `config.own_variable`."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import cache
from typing import Any

from jaxrl_up.config import GRAMMAR, is_own_name, own_variable, shown, when_changed
from jaxrl_up.envs.core import Env, Spec, builder


def make(name: str, max_steps: int | None, options: Mapping[str, Any], bears: str | None = None) -> Env:
    """An Env that stands in a file or a module, or that a function there returns.

    The function gets those of the options, and `max_steps`, that it has arguments for; they are static. The others are
    parameters of the Env. It bears the name, or another that is given, so that a run of it is built again, which runs
    the file. Raises ValueError for a file, a module or a name in it that is not there, for options that nobody takes,
    and for what is no Env.
    """
    place, _, attribute = name.rpartition(":")
    if not is_own_name(name):
        raise ValueError(f"{name!r} names no environment: write {GRAMMAR}")
    given = {**options} if max_steps is None else {**options, "max_steps": max_steps}
    accepted = _accepted(own_variable(name))
    static = {key: value for key, value in given.items() if accepted is None or key in accepted}
    env = _named(name, when_changed(place), tuple(sorted(static.items())), bears or name)
    limit = None if "max_steps" in static else max_steps
    if limit not in (None, env.max_steps):
        raise ValueError(
            f"{name!r} takes no max_steps: let {attribute} be a function with an argument max_steps, or wrap it with "
            f"time_limit={max_steps}"
        )
    return env.with_params(**{key: value for key, value in options.items() if key not in static})


def stands(name: str) -> Env:
    """The Env of a name as it is, with its name, wrappers and parameters; raises as `make`."""
    return _made(name, own_variable(name), ())


@cache
def _named(name: str, changed: int, static: tuple[tuple[str, Any], ...], bears: str) -> Env:
    found = _made(name, own_variable(name), static)
    params = found.params if isinstance(found.params, dict) else {}  # which say it themselves
    return found.replace(spec=_renamed(found.spec, bears, tuple(x for x in static if x[0] not in params)))


def _made(name: str, found: Any, static: tuple[tuple[str, Any], ...]) -> Env:
    if not isinstance(found, Env) and callable(found):
        try:
            found = found(**dict(static))
        except TypeError as error:
            raise ValueError(f"{name!r} does not take {shown(dict(static))}: {error}") from error
    if not isinstance(found, Env):
        raise ValueError(f"{name!r} must be an Env or a function that returns one, got {shown(found)}")
    return found


@builder
def _renamed(spec: Spec, name: str, static: tuple[tuple[str, Any], ...]) -> Spec:
    """A Spec under the name that `make` finds it by, which notes what it was built with.

    The wrappers within go with the name, and the time limit is noted by itself.
    """
    known = {"max_steps", *dict(spec.fixed)}
    noted = tuple(item for item in static if item[0] not in known)
    return spec._replace(name=name, wrappers=(), fixed=(*spec.fixed, *noted))


def _accepted(found: Any) -> set[str] | None:
    """The arguments of a function; None for one that takes any."""
    if isinstance(found, Env) or not callable(found):
        return set()
    parameters = inspect.signature(found).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return {parameter.name for parameter in parameters}
