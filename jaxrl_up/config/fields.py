"""Configs: checked once, as far as their values are known, then made canonical so that a value never retraces."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxrl_up.config.synonyms import meant
from jaxrl_up.config.values import LARGEST, as_whole, check_range, flag, is_number, numbers, plain, shown
from jaxrl_up.types import PyTree


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """` Did you mean 'x'?` with a leading space, or nothing: what other libraries call so, else what looks like it."""
    known = list(known)
    same = meant(name, known)
    if same:
        return f" Did you mean {' or '.join(map(repr, same))}?"
    by_lower = {k.lower(): k for k in known}
    begun = [k for lower, k in by_lower.items() if len(name) > 2 and lower.startswith(name.lower())]
    if len(begun) == 1:
        return f" Did you mean {begun[0]!r}?"
    close = difflib.get_close_matches(name.lower().replace("-", "_"), by_lower, 1, 0.5) or (
        difflib.get_close_matches(name.lower(), by_lower, 1, 0.5)
    )
    return f" Did you mean {by_lower[close[0]]!r}?" if close else ""


def traced_fields(config: PyTree | type) -> tuple[str, ...]:
    """Names of the fields that are pytree leaves: those that can be swept in one program."""
    return tuple(f.name for f in dataclasses.fields(config) if f.metadata.get("pytree_node", True))


def schedule_steps(config: PyTree) -> int:
    """Environment steps over which schedules run: `schedule_steps`, or else all of `total_steps`."""
    return config.total_steps if config.schedule_steps is None else config.schedule_steps


def check(config: PyTree) -> PyTree:
    """The config with plain Python values, as far as they are known: tracers stay, and so do arrays of numbers.

    Numbers of NumPy and JAX become Python's, whole numbers may be written as 1e6, and lists of them become tuples.
    Raises `ValueError` for a value of the wrong kind or out of its field's range.
    """
    return changed(config, {field.name: getattr(config, field.name) for field in dataclasses.fields(config)})


def changed(config: PyTree, given: Mapping[str, Any]) -> PyTree:
    """A config, checked before, with other values for some fields, of which alone are checked; raises as `check`."""
    new = {field.name: held(field, given[field.name]) for field in dataclasses.fields(config) if field.name in given}
    new = {name: value for name, value in new.items() if value is not getattr(config, name)}
    config = config.replace(**new) if new else config
    check_relations(config)
    return config


def check_relations(config: PyTree) -> None:
    """Raise `ValueError` for a field that must be above another one and is not."""
    for name, other in above_fields(config).items():
        check_above(name, getattr(config, name), other, getattr(config, other))


def held(field: dataclasses.Field, given: Any) -> Any:
    """The value of a field as a config holds it, checked alone; raises as `check` does."""
    name, value = field.name, plain(given)
    choices = field.metadata.get("choices")
    if choices:
        if not isinstance(value, str | int | float | None) or value not in choices:
            raise ValueError(
                f"{name}={shown(given)}: choose from {', '.join(map(str, choices))}."
                f"{did_you_mean(str(value), map(str, choices))}"
            )
        return value
    if isinstance(field.default, bool):
        return flag(name, given)
    if field.metadata.get("pytree_node", True):
        return _checked_number(field, value)
    if isinstance(field.default, int | None):
        if value is None and _may_be_none(field):
            return None
        number = as_whole(value)
        if number is None:
            traced = ": it is static, so it cannot be traced" if isinstance(value, Tracer) else ""
            raise ValueError(f"{name}={shown(given)} must be a whole number{traced}")
        check_range(name, number, *field_range(field))
        if number > LARGEST:
            raise ValueError(f"{name}={number} is out of range: counters hold at most {LARGEST}")
        return number
    if isinstance(field.default, tuple):
        return _sizes(name, value)
    try:
        hash(value)
    except TypeError:
        raise ValueError(f"{name}={shown(given)} is static, so it must be hashable") from None
    return value


def _may_be_none(field: dataclasses.Field) -> bool:
    """Whether None is a value of the field: by default, or of its type, `X | None` or `Optional[X]`."""
    return field.default is None or any(word in str(field.type) for word in ("None", "Optional"))


def _checked_number(field: dataclasses.Field, value: Any) -> Any:
    if value is None and not _may_be_none(field):
        raise ValueError(f"{field.name} must be a number, not None")
    if value is None or isinstance(value, Tracer):
        return value
    if is_number(value):
        check_range(field.name, value, *field_range(field))
    elif isinstance(value, np.ndarray | jax.Array):
        check_range(field.name, numbers(field.name, value), *field_range(field))
    else:
        raise ValueError(f"{field.name}={shown(value)} must be a number")
    return value


def _sizes(name: str, value: Any) -> tuple[int, ...]:
    """Sizes of layers from a list, an array or, of one layer, a number."""
    listed = value if isinstance(value, tuple | list) else [value]
    if isinstance(value, np.ndarray | jax.Array) and not isinstance(value, Tracer) and value.ndim == 1:
        listed = np.asarray(value).tolist()
    sizes = [as_whole(size) for size in listed]
    if any(size is None or size < 1 for size in sizes):
        raise ValueError(f"{name}={shown(value)} must be whole numbers, each at least 1")
    if isinstance(value, tuple) and all(type(size) is int for size in value):
        return value
    return tuple(size for size in sizes if size is not None)


def check_field(config: PyTree, name: str, values: Any) -> None:
    """Raise `ValueError` for values `[C]` of a traced field, some of which are out of its range; see `sweep`."""
    field = next(field for field in dataclasses.fields(config) if field.name == name)
    if not isinstance(values, Tracer):
        check_range(name, numbers(name, values), *field_range(field))


def check_above(name: str, value: Any, other: str, least: Any) -> None:
    """Raise `ValueError` unless each concrete value, `[]` or `[C]`, is above that of the other field."""
    if value is None or least is None or isinstance(value, Tracer) or isinstance(least, Tracer):
        return
    for x, y in zip(*map(np.ravel, np.broadcast_arrays(np.float32(value), np.float32(least))), strict=True):
        if not x > y:
            raise ValueError(f"{name}={x:g} must be above {other}={y:g}")


def above_fields(config: PyTree) -> dict[str, str]:
    """Fields whose value must be above that of another field, with that field."""
    fields = dataclasses.fields(config)
    return {field.name: field.metadata["above"] for field in fields if field.metadata.get("above")}


def field_range(field: dataclasses.Field) -> tuple[float, float]:
    """The closed range of a field's values; infinite where it has none."""
    return field.metadata.get("range") or (-math.inf, math.inf)


def canonical(config: PyTree) -> PyTree:
    """A config that was checked, as programs take it: every traced leaf of one type, strong float32."""
    return jax.tree.map(_leaf, config)


def _leaf(x: Any) -> Any:
    """A strong float32, which is sent to the device by name where it is on the host (`jax_transfer_guard`)."""
    return jnp.asarray(x if isinstance(x, jax.Array) else jax.device_put(np.asarray(x, np.float32)), jnp.float32)
