"""What each field of a config is, for command lines and documents."""

from __future__ import annotations

import ast
import dataclasses
import inspect
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


class Declaration(NamedTuple):
    """A field as the source of its class has it."""

    text: str  # "gamma: float = traced(0.99, 0.0, 1.0)"
    doc: str  # the string literal below it, or below the field of the same name that it redeclares


def declarations(config: type) -> dict[str, Declaration]:
    """The fields of a Config class by name: its own first, then those of each group that it is built on."""
    found: dict[str, Declaration] = {}
    for cls in config.__mro__[:-1]:
        source = textwrap.dedent(inspect.getsource(cls))
        body = typing.cast(ast.ClassDef, ast.parse(source).body[0]).body
        for field, below in zip(body, [*body[1:], None], strict=True):
            if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
                continue
            constant = below.value if isinstance(below, ast.Expr) else None
            doc = str(constant.value) if isinstance(constant, ast.Constant) else ""
            text = ast.get_source_segment(source, field) or ""
            known = found.get(field.target.id, Declaration(text, ""))
            found[field.target.id] = known._replace(doc=known.doc or doc)
    return found


def field_help(config: type) -> tuple[FieldHelp, ...]:
    """What each field of a Config class is, from its declaration, its type and its range; own fields first."""
    types, fields = typing.get_type_hints(config), {field.name: field for field in dataclasses.fields(config)}
    known = declarations(config)
    names = [*(name for name in known if name in fields), *(name for name in fields if name not in known)]
    return tuple(_field_help(fields[n], types[n], known[n].doc if n in known else "") for n in names)


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
