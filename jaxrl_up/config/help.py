"""What each field of a config is, for command lines and documents."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import math
import textwrap
import typing
from typing import Any, NamedTuple

from jaxrl_up.config.fields import field_range
from jaxrl_up.config.values import bounds


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
