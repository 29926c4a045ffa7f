"""How much memory a traced program works with, told from its text: nothing is compiled or allocated."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from typing import Any

from jax.extend.core import ClosedJaxpr, Jaxpr, Var

VIEWS = ("reshape", "squeeze", "expand_dims")  # of the same bytes


def working_bytes(program: Jaxpr, reusable: Collection[Any] = ()) -> int:
    """The most bytes of intermediate arrays that live at once, arguments not counted.

    Arguments that are `reusable` may be written over once they are no longer needed, as intermediate arrays are. An
    array takes the place of one of its shape whose last use this is. An estimate: a compiler that fuses needs less, one
    that packs badly more.
    """
    last = {v: i for i, step in enumerate(program.eqns) for v in step.invars if isinstance(v, Var)}
    last |= {v: len(program.eqns) for v in program.outvars if isinstance(v, Var)}
    kept = {*program.invars, *program.constvars}.difference(reusable)
    held: dict[Any, int] = {}
    live = most = 0
    for i, step in enumerate(program.eqns):
        dying = list({v: None for v in step.invars if isinstance(v, Var) and last[v] == i and v not in kept})
        within, before = _within(step, dying), live
        for out in step.outvars:
            place = next((v for v in dying if v.aval == out.aval), None)
            if place is None:
                held[out] = 0 if step.primitive.name in VIEWS else _size(out)
                live += held[out]
            else:
                dying.remove(place)
                held[out] = held.pop(place, 0)
        most = max(most, live, before + within)
        for v in (*dying, *(out for out in step.outvars if out not in last)):
            live -= held.pop(v, 0)
    return most


def _within(step: Any, dying: Collection[Any]) -> int:
    """What the programs within a step work with; in a loop beside what it gives."""
    most = 0
    for name, part in _parts(step.params):
        if step.primitive.name in ("scan", "while"):
            if step.primitive.name == "scan":  # how many there are of each kind is not named alike in all versions
                carried = _unsliced(step.outvars, part.outvars)
                constants = _unsliced(step.invars, part.invars) - carried
            else:
                carried, constants = len(step.outvars), step.params[name.replace("jaxpr", "nconsts")]
            given = sum(map(_size, step.outvars[carried:]))
            most = max(most, given + working_bytes(part, part.invars[constants:]))
        else:  # a branch has an argument less than its step
            pairs = zip(part.invars[::-1], step.invars[::-1], strict=False)
            most = max(
                most, working_bytes(part, [v for v, outer in pairs if isinstance(outer, Var) and outer in dying])
            )
    return most


def _unsliced(outer: Any, inner: Any) -> int:
    """How many arrays a scan passes whole to its steps; the others have an axis less there."""
    return sum(a.aval.shape == b.aval.shape for a, b in zip(outer, inner, strict=True))


def _parts(params: dict[str, Any]) -> Iterator[tuple[str, Jaxpr]]:
    for name, value in params.items():
        for part in value if isinstance(value, tuple | list) else (value,):
            if isinstance(part, Jaxpr | ClosedJaxpr):
                yield name, part.jaxpr if isinstance(part, ClosedJaxpr) else part


def _size(v: Any) -> int:
    return math.prod(v.aval.shape) * v.aval.dtype.itemsize if hasattr(v.aval, "shape") else 0
