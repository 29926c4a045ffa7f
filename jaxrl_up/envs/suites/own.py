"""Environments of the user's own by name: `FILE.py:NAME` and `MODULE:NAME`."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from jaxrl_up.config import shown
from jaxrl_up.envs.core import Env, Spec, builder, did_you_mean


def is_name(name: str) -> bool:
    """Whether a text has the form of such a name."""
    place, colon, attribute = name.rpartition(":")
    return bool(colon and place) and attribute.isidentifier()


def make(name: str, max_steps: int | None, options: Mapping[str, Any]) -> Env:
    """An Env that stands in a file or a module, or that a function there returns.

    The function gets those of the options, and `max_steps`, that it has arguments for; they are static. The others are
    parameters of the Env. It bears the name, so that a run of it is built again, which runs the file. Raises ValueError
    for a file, a module or a name in it that is not there, for options that nobody takes, and for what is no Env.
    """
    attribute = name.rpartition(":")[2]
    if not is_name(name):
        raise ValueError(f"{name!r} names no environment: write FILE.py:NAME or MODULE:NAME")
    given = {**options} if max_steps is None else {**options, "max_steps": max_steps}
    accepted = _accepted(found(name))
    static = {key: value for key, value in given.items() if accepted is None or key in accepted}
    env = _named(name, changed(name), tuple(sorted(static.items())))
    limit = None if "max_steps" in static else max_steps
    if limit not in (None, env.max_steps):
        raise ValueError(
            f"{name!r} takes no max_steps: let {attribute} be a function with an argument max_steps, or wrap it with "
            f"time_limit={max_steps}"
        )
    return env.with_params(**{key: value for key, value in options.items() if key not in static})


@cache
def _named(name: str, changed: int, static: tuple[tuple[str, Any], ...]) -> Env:
    env = found(name)
    if not isinstance(env, Env) and callable(env):
        try:
            env = env(**dict(static))
        except TypeError as error:
            raise ValueError(f"{name!r} does not take {shown(dict(static))}: {error}") from error
    if not isinstance(env, Env):
        raise ValueError(f"{name!r} must be an Env or a function that returns one, got {shown(env)}")
    return env.replace(spec=_renamed(env.spec, name, static))


@builder
def _renamed(spec: Spec, name: str, static: tuple[tuple[str, Any], ...]) -> Spec:
    """A Spec under the name that `make` finds it by, which notes what it was built with.

    The wrappers within go with the name, and the time limit is noted by itself.
    """
    known = {"max_steps", *dict(spec.fixed)}
    noted = tuple(item for item in static if item[0] not in known)
    return spec._replace(name=name, wrappers=(), fixed=(*spec.fixed, *noted))


def found(name: str) -> Any:
    """What stands under a name; raises ValueError for a file, a module or a name in it that is not there."""
    place, _, attribute = name.rpartition(":")
    module = _module(name, place)
    if not hasattr(module, attribute):
        public = [known for known in vars(module) if not known.startswith("_")]
        raise ValueError(f"{name!r}: {place} has no {attribute!r}. {did_you_mean(attribute, public)}")
    return getattr(module, attribute)


def _accepted(found: Any) -> set[str] | None:
    """The arguments of a function; None for one that takes any."""
    if isinstance(found, Env) or not callable(found):
        return set()
    parameters = inspect.signature(found).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return {parameter.name for parameter in parameters}


def changed(name: str) -> int:
    """When the file that a name is in was changed; 0 for a module."""
    place = name.rpartition(":")[0]
    return _when(place) if Path(place).expanduser().is_file() else 0


def _when(place: str) -> int:
    """When a file was changed; 0 for a module."""
    return Path(place).expanduser().resolve().stat().st_mtime_ns if place.endswith(".py") else 0


def _module(name: str, place: str) -> ModuleType:
    if place.endswith(".py"):
        path = Path(place).expanduser().resolve()
        if not path.is_file():
            raise ValueError(f"{name!r}: there is no file {path}")
        return _file(path, _when(place))
    here = str(Path.cwd())
    if "" not in sys.path and here not in sys.path:  # as `python` has it, and a command has not
        sys.path.insert(0, here)
    try:
        return importlib.import_module(place)
    except ImportError as error:
        raise ValueError(f"{name!r}: module {place!r} cannot be imported: {error}") from error


@cache
def _file(path: Path, changed: int) -> ModuleType:
    """A file as a module, run once for as long as it stays as it is."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
