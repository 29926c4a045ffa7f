"""Configs: checked while they are Python numbers, then made canonical so that a value never retraces."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp

from jaxrl_up.types import Algorithm, PyTree


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """` Did you mean 'x'?` with a leading space, or nothing."""
    known = list(known)
    by_lower = {k.lower(): k for k in known}
    close = difflib.get_close_matches(name.lower().replace("-", "_"), by_lower, 1, 0.5) or (
        difflib.get_close_matches(name.lower(), by_lower, 1, 0.5)
    )
    return f" Did you mean {by_lower[close[0]]!r}?" if close else ""


def traced_fields(config: PyTree | type) -> tuple[str, ...]:
    """Names of the fields that are pytree leaves: those that can be swept in one program."""
    return tuple(f.name for f in dataclasses.fields(config) if f.metadata.get("pytree_node", True))


def make_config(algo: Algorithm, preset: str | None = None, **fields: Any) -> PyTree:
    """A config of `algo` from its defaults, a preset, and fields that override both.

    Raises `ValueError` for an unknown preset or field and for a value out of range.
    """
    known = [f.name for f in dataclasses.fields(algo.Config)]
    for name in fields:
        if name not in known:
            raise ValueError(f"{algo.name} has no field {name!r}.{did_you_mean(name, known)}")
    chosen: dict[str, Any] = {}
    if preset not in (None, "default"):
        if preset not in algo.presets:
            names = ", ".join(["default", *algo.presets])
            raise ValueError(f"{algo.name} has no preset {preset!r}; it has {names}")
        chosen = dict(algo.presets[preset])
    config = algo.Config(**{**chosen, **fields})
    check(config)
    return config


def check(config: PyTree) -> None:
    """Raise `ValueError` for a Python value of the wrong type or out of its field's range."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        low, high = field.metadata.get("range") or (-math.inf, math.inf)
        choices = field.metadata.get("choices")
        if choices and value not in choices:
            raise ValueError(f"{field.name}={value!r}: choose from {', '.join(map(str, choices))}")
        if isinstance(field.default, bool):
            if not isinstance(value, bool):
                raise ValueError(f"{field.name}={value!r} must be True or False")
        elif field.metadata.get("pytree_node", True):
            if value is None and field.default is not None and "None" not in str(field.type):
                raise ValueError(f"{field.name} must be a number, not None")
            if isinstance(value, str | bool):
                raise ValueError(f"{field.name}={value!r} must be a number")
            if isinstance(value, int | float):
                _check_range(field.name, value, low, high)
        elif isinstance(field.default, int):
            if isinstance(value, bool) or not isinstance(value, int):
                raise ValueError(f"{field.name}={value!r} must be a whole number")
            _check_range(field.name, value, low, high)


def _check_range(name: str, value: float, low: float, high: float) -> None:
    if not math.isfinite(value) or not low <= value <= high:
        bounds = {
            (True, True): "a finite number",
            (False, True): f"at least {low:g}",
            (True, False): f"at most {high:g}",
            (False, False): f"between {low:g} and {high:g}",
        }[math.isinf(low), math.isinf(high)]
        raise ValueError(f"{name}={value:g} is out of range: it must be {bounds}")


def canonical(config: PyTree) -> PyTree:
    """Check a config, then give every traced leaf one type, strong float32, and static lists a hash."""
    check(config)
    static = {
        f.name: tuple(getattr(config, f.name))
        for f in dataclasses.fields(config)
        if isinstance(getattr(config, f.name), list)
    }
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), config.replace(**static))
