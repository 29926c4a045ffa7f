"""Values <-> text: TOML, the command line, tables."""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import numpy as np
import tomli_w
from flax import linen as nn

from jaxrl_up.config import module_name, module_named, plain


def number(value: Any) -> str:
    """The shortest text that reads back as the same number."""
    return str(value.item() if isinstance(value, np.integer | np.bool_) else value)


def to_toml(tables: Mapping[str, Any]) -> str:
    """TOML of tables of values; reading it gives `toml_value(tables)`."""
    return tomli_w.dumps(toml_value(tables))


def toml_value(value: Any) -> Any:
    """What reading the TOML of a value gives: Python's numbers and text, lists and dictionaries.

    `None`, which TOML lacks, is the string "none", as on the command line; of a float32 it is the shortest number that
    rounds to it. A linen module is `{"import": path, "fields": {...}}`, and anything else, a class of nnx too,
    `{"import", "repr"}`.
    """
    value = plain(value)
    if value is None:
        return "none"
    if isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {key: toml_value(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | jax.Array) and np.ndim(value):
        value = list(np.asarray(value))
    if isinstance(value, list | tuple):
        return [toml_value(item) for item in value]
    path = _import_path(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value) if field.init and field.name not in _LINEN]
        return {"import": path, "fields": {name: toml_value(getattr(value, name)) for name in names}}
    return {"import": path, "repr": re.sub(r" at 0x[0-9a-f]+", "", repr(value))}  # addresses differ between equal runs


def _import_path(value: Any) -> str:
    kind = value if isinstance(value, type) or hasattr(value, "__qualname__") else type(value)
    return f"{module_name(kind.__module__)}:{kind.__qualname__}"


_LINEN = ("parent", "name")  # fields that every linen module has


class Unknown(ValueError):
    """Something of a module that the program has not imported, or that is not there."""


def from_toml(value: Any, what: str = "network", given: Any = None) -> Any:
    """A value of config.toml: "none" is None, a list a tuple, and a table with an import path what lies there.

    That is a linen module, or a function. `given` is one that the user names in its place, or its class. `what` is the
    name of the field, for the `ValueError` of what is neither; it is `Unknown` where it was not imported.
    """
    if isinstance(value, list):
        return tuple(from_toml(item, what, given) for item in value)
    if isinstance(value, dict) and "import" in value:
        try:
            return _imported(value, what, given)
        except Unknown:
            if given is None or not same_but_for_place(value, toml_value(given)):
                raise
            return given
    return None if value == "none" else value


def same_but_for_place(then: Any, now: Any) -> bool:
    """Whether two values of config.toml differ at most in the module of a program that was started, or a notebook."""
    if isinstance(then, Mapping) and isinstance(now, Mapping):
        if then.keys() != now.keys():
            return False
        paths = [str(table.get("import", "")).partition(":") for table in (then, now)]
        place = paths[0][0] == "__main__" and paths[0][2] == paths[1][2]
        return all(same_but_for_place(then[key], now[key]) or (key in ("import", "repr") and place) for key in then)
    return then == now


def _imported(table: Mapping[str, Any], what: str, given: Any) -> Any:
    """A module, as a network or a head, from its import path and fields; of nnx, which have none, its class; and a
    function, as a policy.

    Only what the program has imported is looked at; nothing is run.
    """
    path = str(table["import"])
    module, _, name = path.partition(":")
    found: Any = module_named(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    kind = given if inspect.isfunction(given) or isinstance(given, type) else type(given)
    if found is None and given is not None and kind.__qualname__ == name:
        found = kind
    nnx = sys.modules.get("flax.nnx")
    if nnx and isinstance(found, type) and issubclass(found, nnx.Module) and "fields" not in table:
        return found
    if inspect.isfunction(found) and "fields" not in table:
        return found
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise Unknown(f"the {what} {path if path.isprintable() else repr(path)}")
    known = {field.name for field in dataclasses.fields(found)}
    fields = {key: from_toml(value, what, given) for key, value in table.get("fields", {}).items()}
    for key in fields:
        if key not in known:
            raise ValueError(f"the {what} {path} has no field {key!r}")
    return found(**fields)


DIGITS = 6
"""Significant digits of a number drawn at random."""

Point = dict[str, Any]
"""A point of a sweep: values by field or parameter."""


class Named(str):
    """What a value of a point that is no number or text, as a network of one's own, is called; `value` is itself."""

    value: Any

    def __new__(cls, name: str, value: Any = None) -> Named:
        """The name, with the value."""
        named = super().__new__(cls, name)
        named.value = value
        return named


def unnamed(value: Any) -> Any:
    """A value of a point as configs hold it."""
    return value.value if isinstance(value, Named) else value


def point_table(value: Any) -> Any:
    """A value of a point for sweep.toml, with what it is called."""
    return {**toml_value(value.value), "called": str(value)} if isinstance(value, Named) else value


def short(value: Any) -> str:
    """A value for people, numbers with 6 digits."""
    return f"{value:.{DIGITS}g}" if isinstance(value, float) else text(value)


def text(value: Any) -> str:
    """A value as the command line takes it: lists of numbers with `-` between, as in 64-64."""
    if isinstance(value, bool | np.bool_):
        return str(bool(value)).lower()
    if isinstance(value, tuple | list):
        return "-".join(text(item) for item in value)
    return "none" if value is None else number(value)


def values_of(points: Iterable[Point], name: str) -> list[Any]:
    """The different values of one name, numbers in order, others as they come."""
    values = list(dict.fromkeys(point[name] for point in points))
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    return sorted(values) if numbers else values
