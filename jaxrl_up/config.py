"""Configs: checked while they are Python numbers, then made canonical so that a value never retraces."""

from __future__ import annotations

import ast
import dataclasses
import difflib
import inspect
import itertools
import math
import textwrap
import typing
from collections.abc import Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

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


def check_support(algo: Algorithm, env: Any) -> None:
    """Raise `ValueError` if the algorithm cannot act in the environment's action space, naming those that can.

    Continuous actions have one axis.
    """
    space = type(env.action_space).__name__
    if space not in algo.action_spaces:
        from jaxrl_up.algorithms import ALGORITHMS  # a higher floor: only to name the alternatives

        able = [name for name, other in ALGORITHMS.items() if space in other.action_spaces]
        raise ValueError(
            f"{algo.name} acts in {' and '.join(algo.action_spaces)} spaces, but {env.name} has the action space "
            f"{env.action_space}; algorithms for {space}: {', '.join(able) or 'none'}"
        )
    if space == "Box" and len(env.action_space.shape) != 1:
        raise ValueError(
            f"{env.name} has the action space {env.action_space}: give it one axis, as in Box(low, high, (4,))"
        )


class FieldHelp(NamedTuple):
    """A config field as a command line or a form needs it."""

    name: str
    kind: type  # bool, int, float, str or tuple (of whole numbers)
    optional: bool  # may be None
    text: str  # its docstring, default and range


def field_help(config: type) -> tuple[FieldHelp, ...]:
    """What each field of a Config class is, from the string literal below it, its type and its range."""
    docs: dict[str, str] = {}
    for cls in reversed(config.__mro__[:-1]):
        body = typing.cast(ast.ClassDef, ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]).body
        for field, doc in itertools.pairwise(body):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                constant = doc.value if isinstance(doc, ast.Expr) else None
                docs[field.target.id] = str(constant.value) if isinstance(constant, ast.Constant) else ""
    types = typing.get_type_hints(config)
    return tuple(_field_help(f, types[f.name], docs.get(f.name, "")) for f in dataclasses.fields(config))


def _field_help(field: dataclasses.Field, hint: Any, doc: str) -> FieldHelp:
    args = typing.get_args(hint)
    optional = type(None) in args
    kind = next((a for a in args if a is not type(None)), Any) if optional else hint
    kind = typing.get_origin(kind) or kind
    kind = kind if kind in (bool, int, float, tuple) else str
    low, high = field.metadata.get("range") or (-math.inf, math.inf)
    default = field.default
    shown = ",".join(map(str, default)) if isinstance(default, tuple) else str(default).lower()
    notes = [f"default {shown}"]
    if field.metadata.get("choices"):
        notes.append(f"one of {', '.join(map(str, field.metadata['choices']))}")
    elif math.isfinite(low) or math.isfinite(high):
        notes.append(_bounds(low, high))
    if optional and default is not None:
        notes.append("or none")
    return FieldHelp(field.name, kind, optional, f"{' '.join(doc.split())} ({'; '.join(notes)})".strip())


def schedule_steps(config: PyTree) -> int:
    """Environment steps over which schedules run: `schedule_steps`, or else all of `total_steps`."""
    return config.total_steps if config.schedule_steps is None else config.schedule_steps


def check(config: PyTree) -> None:
    """Raise `ValueError` for a Python value of the wrong type or out of its field's range."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        low, high = field.metadata.get("range") or (-math.inf, math.inf)
        choices = field.metadata.get("choices")
        if choices and value not in choices:
            raise ValueError(
                f"{field.name}={value!r}: choose from {', '.join(map(str, choices))}."
                f"{did_you_mean(str(value), map(str, choices))}"
            )
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
                above = field.metadata.get("above")
                least = getattr(config, above) if above else None
                if isinstance(least, int | float) and not value > least:
                    raise ValueError(f"{field.name}={value:g} must be above {above}={least:g}")
        elif isinstance(field.default, int | None):
            if value is None and field.default is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int):
                raise ValueError(f"{field.name}={value!r} must be a whole number")
            _check_range(field.name, value, low, high)
            if value >= 2**31:
                raise ValueError(f"{field.name}={value} is out of range: counters hold at most {2**31 - 1}")
        elif isinstance(field.default, tuple) and not _is_sizes(value):
            raise ValueError(f"{field.name}={value!r} must be whole numbers, each at least 1")


def _is_sizes(value: Any) -> bool:
    return isinstance(value, tuple | list) and all(type(v) is int and v >= 1 for v in value)


def _check_range(name: str, value: float, low: float, high: float) -> None:
    if not math.isfinite(value) or not low <= value <= high:
        raise ValueError(f"{name}={value:g} is out of range: it must be {_bounds(low, high)}")


def _bounds(low: float, high: float) -> str:
    return {
        (True, True): "a finite number",
        (False, True): f"at least {low:g}",
        (True, False): f"at most {high:g}",
        (False, False): f"between {low:g} and {high:g}",
    }[math.isinf(low), math.isinf(high)]


def canonical(config: PyTree) -> PyTree:
    """Check a config, then give every traced leaf one type, strong float32, and static lists a hash."""
    check(config)
    static = {
        f.name: tuple(getattr(config, f.name))
        for f in dataclasses.fields(config)
        if isinstance(getattr(config, f.name), list)
    }
    return jax.tree.map(_leaf, config.replace(**static))


def _leaf(x: Any) -> Any:
    """A strong float32, which is sent to the device by name where it is on the host (`jax_transfer_guard`)."""
    return jnp.asarray(x if isinstance(x, jax.Array) else jax.device_put(np.asarray(x, np.float32)), jnp.float32)
