"""Environments of the user's own by name: `FILE.py:NAME` and `MODULE:NAME`."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from jaxrl_up.config import shown
from jaxrl_up.envs.core import Env, did_you_mean


def is_name(name: str) -> bool:
    """Whether a text has the form of such a name."""
    place, colon, attribute = name.rpartition(":")
    return bool(colon) and attribute.isidentifier() and bool(place)


def make(name: str, max_steps: int | None, options: dict[str, Any]) -> Env:
    """An Env that stands in a file or a module, or what a function there returns of the options.

    Importing runs the file. The Env bears the name, so that a run of it is built again. Raises ValueError for a file,
    a module or a name in it that is not there, for a function that does not take the options, and for what is no Env.
    """
    place, _, attribute = name.rpartition(":")
    if not is_name(name):
        raise ValueError(f"{name!r} names no environment: write FILE.py:NAME or MODULE:NAME")
    module = _module(name, place)
    found = getattr(module, attribute, None)
    if found is None:
        raise ValueError(f"{name!r}: {place} has no {attribute!r}. {did_you_mean(attribute, _public(module))}")
    given = options if max_steps is None else {**options, "max_steps": max_steps}
    if callable(found) and not isinstance(found, Env):
        try:
            found = found(**given)
        except TypeError as error:
            raise ValueError(f"{name!r} does not take {shown(given)}: {error}") from error
    elif given:
        raise ValueError(f"{name!r} is an Env, which takes no options: let {attribute} be a function of them")
    if not isinstance(found, Env):
        raise ValueError(f"{name!r} must be an Env or a function that returns one, got {shown(found)}")
    spec = found.spec._replace(
        name=name, fixed=(*found.spec.fixed, *((k, v) for k, v in options.items() if k not in found.params))
    )
    return found.replace(spec=spec)


def _module(name: str, place: str) -> ModuleType:
    if place.endswith(".py"):
        path = Path(place).expanduser().resolve()
        if not path.is_file():
            raise ValueError(f"{name!r}: there is no file {path}")
        return _file(path, path.stat().st_mtime_ns)
    try:
        if "" not in sys.path and str(Path.cwd()) not in sys.path:
            sys.path.insert(0, str(Path.cwd()))
        return importlib.import_module(place)
    except ImportError as error:
        raise ValueError(f"{name!r}: module {place!r} cannot be imported: {error}") from error


@cache
def _file(path: Path, changed: int) -> ModuleType:
    """A file as a module, imported once."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _public(module: ModuleType) -> list[str]:
    return [name for name in vars(module) if not name.startswith("_")]
