"""Values <-> text: TOML, the command line, tables."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import numpy as np
from flax import linen as nn


def number(value: Any) -> str:
    """The shortest text that reads back as the same number."""
    return str(value.item() if isinstance(value, np.integer | np.bool_) else value)


def to_toml(tables: Mapping[str, Mapping[str, Any]]) -> str:
    """TOML of tables of values; `None`, which TOML lacks, becomes the string "none", as on the command line."""
    parts = []
    for name, table in tables.items():
        lines = [f"{_key(key)} = {_value(value)}" for key, value in table.items()]
        parts.append("\n".join([f"[{name}]", *lines]) + "\n")
    return "\n".join(parts)


_LINEN = ("parent", "name")  # fields that every linen module has


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _value(key)


def _value(value: Any) -> str:
    if isinstance(value, np.ndarray | jax.Array):
        value = np.asarray(value)
        value = list(value) if value.ndim else value[()]
    if value is None:
        return '"none"'
    if isinstance(value, bool | np.bool_):
        return str(bool(value)).lower()
    if isinstance(value, int | np.integer):
        return str(int(value))
    if isinstance(value, float | np.floating):
        text = str(value)
        return text if re.search(r"[.einf]", text) else f"{text}.0"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    kind = value if isinstance(value, type) or hasattr(value, "__qualname__") else type(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):  # a linen module: import path and fields
        fields = [field.name for field in dataclasses.fields(value) if field.init and field.name not in _LINEN]
        table = {name: getattr(value, name) for name in fields}
        return _value({"import": f"{kind.__module__}:{kind.__qualname__}", "fields": table})
    text = re.sub(r" at 0x[0-9a-f]+", "", repr(value))  # addresses differ between equal runs
    return _value({"import": f"{kind.__module__}:{kind.__qualname__}", "repr": text})


def from_toml(value: Any) -> Any:
    """A value of config.toml: "none" is None, a list a tuple, and a table with an import path a linen module."""
    if isinstance(value, list):
        return tuple(from_toml(item) for item in value)
    if isinstance(value, dict) and "import" in value:
        return _module(value)
    return None if value == "none" else value


def _module(table: Mapping[str, Any]) -> nn.Module:
    """A network from its import path and fields. Only what the program has imported is looked at; nothing is run."""
    path = str(table["import"])
    module, _, name = path.partition(":")
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise ValueError(f"the network {path} is not known here: import {module} first, from Python")
    known = {field.name for field in dataclasses.fields(found)}
    fields = {key: from_toml(value) for key, value in table.get("fields", {}).items()}
    for key in fields:
        if key not in known:
            raise ValueError(f"the network {path} has no field {key!r}")
    return found(**fields)


DIGITS = 6  # of a number drawn at random

Point = dict[str, Any]


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
