"""Configs: checked as far as their values are known, then made canonical so that a value never retraces."""

from __future__ import annotations

import ast
import dataclasses
import difflib
import functools
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
from jax.core import Tracer

from jaxrl_up.arguments import LARGEST, as_whole, bounds, check_range, flag, is_number, numbers, plain, shown
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


def find_algorithm(algo: Algorithm | str) -> Algorithm:
    """An algorithm, or that of a name, in any case. Raises `ValueError` for another name, `TypeError` for the rest."""
    if isinstance(algo, Algorithm):
        return algo
    if not isinstance(algo, str):
        raise TypeError(f"algo={shown(algo)} must be an Algorithm, as jaxrl_up.PPO, or the name of one, as 'ppo'")
    from jaxrl_up.algorithms import ALGORITHMS  # a higher floor: names are for callers only

    name = algo.lower().replace("-", "_")
    if name not in ALGORITHMS:
        raise ValueError(
            f"there is no algorithm {algo!r}.{did_you_mean(algo, ALGORITHMS)} Choose from {', '.join(ALGORITHMS)}, or "
            "give an Algorithm of your own"
        )
    return ALGORITHMS[name]


def make_config(algo: Algorithm | str, preset: str | None = None, **fields: Any) -> PyTree:
    """A config of `algo`, or of that of a name, from its defaults, a preset, and fields that override both.

    Raises `ValueError` for an unknown algorithm, preset or field and for a value out of range.
    """
    algo = find_algorithm(algo)
    known = [f.name for f in dataclasses.fields(algo.Config)]
    for name in fields:
        if name not in known:
            raise ValueError(f"{algo.name} has no field {name!r}.{did_you_mean(name, known)}")
    return check(algo.Config(**{**preset_fields(algo, preset), **fields}))


def preset_fields(algo: Algorithm, preset: str | None) -> dict[str, Any]:
    """The fields of a preset that differ from the defaults. Raises `ValueError` for a name that is none."""
    if preset is None or preset == "default":
        return {}
    if not isinstance(preset, str) or preset not in algo.presets:
        names = ", ".join(["default", *algo.presets])
        raise ValueError(f"{algo.name} has no preset {shown(preset)}; it has {names}")
    return dict(algo.presets[preset])


def check_support(algo: Algorithm, env: Any) -> None:
    """Raise `ValueError` if the algorithm cannot act in the environment's action space, naming those that can.

    Continuous actions have one axis.
    """
    space = type(env.action_space).__name__
    if space == "Box" and not np.issubdtype(env.action_space.dtype, np.floating):
        raise ValueError(
            f"{env.name} has the action space {env.action_space} of {env.action_space.dtype.name}, in which no "
            "algorithm acts: let it take floats and round them, or number its actions as Discrete(n)"
        )
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


def name_unknown_fields(algo: Algorithm) -> Algorithm:
    """The algorithm itself; its Config, and `config.replace`, now say which field a wrong name meant."""
    config: Any = algo.Config
    init, known = config.__init__, [field.name for field in dataclasses.fields(config)]

    @functools.wraps(init)
    def checked_init(self: Any, *args: Any, **fields: Any) -> None:
        for name in fields:
            if name not in known:
                raise TypeError(f"{algo.name} has no field {name!r}.{did_you_mean(name, known)}")
        init(self, *args, **fields)

    config.__init__ = checked_init
    return algo


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
    low, high = field_range(field)
    default = field.default
    shown = ",".join(map(str, default)) if isinstance(default, tuple) else str(default).lower()
    notes = [f"default {shown}"]
    if field.metadata.get("choices"):
        notes.append(f"one of {', '.join(map(str, field.metadata['choices']))}")
    elif math.isfinite(low) or math.isfinite(high):
        notes.append(bounds(low, high))
    if optional and default is not None:
        notes.append("or none")
    return FieldHelp(field.name, kind, optional, f"{' '.join(doc.split())} ({'; '.join(notes)})".strip())


def schedule_steps(config: PyTree) -> int:
    """Environment steps over which schedules run: `schedule_steps`, or else all of `total_steps`."""
    return config.total_steps if config.schedule_steps is None else config.schedule_steps


def check(config: PyTree) -> PyTree:
    """The config with plain Python values, as far as they are known: tracers stay, and so do arrays of numbers.

    Numbers of NumPy and JAX become Python's, whole numbers may be written as 1e6, and lists of them become tuples.
    Raises `ValueError` for a value of the wrong kind or out of its field's range.
    """
    values = {field.name: held(field, getattr(config, field.name)) for field in dataclasses.fields(config)}
    for field in dataclasses.fields(config):
        above = field.metadata.get("above")
        if above:
            check_above(field.name, values[field.name], above, values[above])
    changed = {name: value for name, value in values.items() if value is not getattr(config, name)}
    return config.replace(**changed) if changed else config


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
        if value is None and field.default is None:
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


def _checked_number(field: dataclasses.Field, value: Any) -> Any:
    if value is None and field.default is not None and "None" not in str(field.type):
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
    return field.metadata.get("range") or (-math.inf, math.inf)


def canonical(config: PyTree) -> PyTree:
    """Check a config, then give every traced leaf one type, strong float32, and everything else its plain value."""
    return jax.tree.map(_leaf, check(config))


def _leaf(x: Any) -> Any:
    """A strong float32, which is sent to the device by name where it is on the host (`jax_transfer_guard`)."""
    return jnp.asarray(x if isinstance(x, jax.Array) else jax.device_put(np.asarray(x, np.float32)), jnp.float32)
