"""What values that may be the user's own are called: in tables, in labels, and where they are asked for by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jaxrl_up.algorithms import own_value
from jaxrl_up.config import is_own_name, module_named, place_of
from jaxrl_up.records.values import Named, Point, Unknown, from_toml, text, toml_value

LIBRARIES = ("jaxrl_up", "flax", "jax", "optax", "distrax", "builtins", "functools")  # never one's own
NAMELESS = "FILE.py:NAME"
"""What stands for a name that is not known, as that of a lambda."""

Asked = tuple[str, str]
"""Something to be named: argument of `load_run`, or field; and in words."""


def named(field: str, value: Any) -> Any:
    """A value of a field in a sweep's points: what may be the user's own by what it is called.

    That is a text `FILE.py:NAME`, which is imported, or a module or function: by its variable where it is one, else as
    `FILE.py:Net(width=5)` with the fields that are no default. Anything else is as it is. Raises `ValueError` as
    `own_value` does.
    """
    if isinstance(value, Named):
        return value
    if is_own_name(value):
        return Named(value, own_value(field, value))
    table = toml_value(value)
    if not isinstance(table, dict):
        return value
    module = str(table["import"]).partition(":")[0]
    held = vars(module_named(module) or object)
    variable = next((name for name, other in list(held.items()) if other is value), None)
    place = place_of(module)
    if place and variable:
        return Named(f"{place}:{variable}", value)
    usual = {field.name: toml_value(field.default) for field in dataclasses.fields(value)} if "fields" in table else {}
    fields = {name: x for name, x in table.get("fields", {}).items() if x != usual[name]}
    return Named(called(table | ({"fields": fields} if usual else {}), class_name(table)), value)


def class_name(table: Any) -> str | None:
    """By which name to give what `toml_value` gives of something of the user's own: that of its class or function."""
    return next((_named(path) for path in _paths(table)), None)


def called(value: Any, name: str | None = None) -> str:
    """A value of config.toml in a few characters, a module as `Net(width=5)`.

    With the name of what is the user's own in it, as the table `own` has it: `FILE.py:Net(width=5)`, and for another
    name than that of its class or function the name itself.
    """
    if not isinstance(value, Mapping):
        return "-".join(map(called, value)) if isinstance(value, list) else text(value)
    kind = str(value.get("import")).rpartition(":")[2]
    fields = [f"{field}={called(x)}" for field, x in value.get("fields", {}).items()]
    short = f"{kind}({', '.join(fields)})" if "fields" in value else kind
    place, _, variable = (name or "").rpartition(":")
    return short if not name else f"{place}:{short}" if variable == kind else name


def names_in(points: Sequence[Point]) -> dict[str, list[str]]:
    """By which names to give what is the user's own in a sweep's points: one for each value, by field, in order."""
    found: dict[str, dict[str, str]] = {}
    for point in points:
        for field, value in point.items():
            if isinstance(value, Named):
                name = str(value) if is_own_name(value) else class_name(toml_value(value.value)) or NAMELESS
                found.setdefault(field, {})[value] = name
    return {field: list(names.values()) for field, names in found.items()}


def swept_values(tables: Mapping[str, Any], own: Mapping[str, Any]) -> tuple[dict[str, list[Any]], list[Asked]]:
    """The values of a sweep's points by field, as its sweep.toml says them, and what of them has to be named.

    `own` has what the user named by field: for each value of it that is the user's own one, in order. Raises
    `ValueError` for another number of them.
    """
    columns, asked_for = {}, []
    for name in tables["sweep"]["axes"] if "sweep" in tables else ():
        column = columns[name] = list(tables["points"][name])
        mine: list[Any] = []
        mine += [value for i, value in enumerate(column) if isinstance(value, Mapping) and value not in column[:i]]
        given = own.get(name, [None] * len(mine))
        given = given if isinstance(given, list) else [given]
        if len(given) != len(mine):
            raise ValueError(f"the sweep has {len(mine)} values of {name} of your own: name each, with commas between")
        for i, value in enumerate(column):
            try:
                if isinstance(value, Mapping):
                    table = {key: x for key, x in value.items() if key != "called"}
                    column[i] = Named(
                        value.get("called", called(table)), from_toml(table, name, given[mine.index(value)])
                    )
                else:
                    column[i] = from_toml(value, name)
            except Unknown as error:
                asked_for += [(name, str(error))] if (name, str(error)) not in asked_for else []
    return columns, asked_for


def _paths(value: Any) -> Iterator[str]:
    """The import paths in what `toml_value` gives of what may be the user's own."""
    if isinstance(value, Mapping):
        path = value.get("import")
        if isinstance(path, str) and path.partition(":")[0].partition(".")[0] not in LIBRARIES:
            yield path
        for item in value.values():
            yield from _paths(item)
    elif isinstance(value, list):
        for item in value:
            yield from _paths(item)


def _named(path: str) -> str | None:
    """The name of an import path; None where it is in no file or module, or no variable there."""
    module, _, attribute = path.partition(":")
    name = f"{place_of(module)}:{attribute.partition('.')[0]}"
    return name if place_of(module) is not None and is_own_name(name) and "<" not in attribute else None
