"""What callers hand over, as plain Python values: numbers of NumPy and JAX, counts, flags and seeds.

What is concrete is checked whatever holds it. A tracer has no value yet and passes as it is where it may stand at all.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

LARGEST = 2**31 - 1
"""The largest number that counters hold."""
LARGEST_FLOAT = float(np.finfo(np.float32).max)


def plain(value: Any) -> Any:
    """A number, boolean or text of NumPy or JAX as Python's; of float32 the shortest that rounds to it. Else itself."""
    if isinstance(value, Tracer) or not isinstance(value, np.generic | np.ndarray | jax.Array) or np.ndim(value):
        return value
    if not isinstance(value, np.generic | np.ndarray) and jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
        return value
    scalar = np.asarray(value)[()]
    narrow = np.issubdtype(scalar.dtype, np.inexact) or scalar.dtype.kind == "V"  # bfloat16 is of kind V
    if narrow and scalar.dtype.itemsize < 8 and not np.iscomplexobj(scalar):
        return float(str(scalar))
    return scalar.item()


def is_number(value: Any) -> bool:
    """Whether a plain value is a number, which True and False are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def shown(value: Any) -> str:
    """A value for a message: numbers with six digits, and no more than a line of anything."""
    value = plain(value)
    if isinstance(value, float):
        return f"{value:g}"
    text = " ".join((str(value) if isinstance(value, Tracer) else repr(value)).split())
    return text if len(text) <= 100 else f"{text[:100]}..."


def as_whole(value: Any) -> int | None:
    """A whole number as Python's int, also one written as 1e6; None for anything else."""
    value = plain(value)
    if not is_number(value) or (isinstance(value, float) and not value.is_integer()):
        return None
    return int(value)


def whole(name: str, value: Any, least: int = 1) -> int:
    """A whole number that is at least `least`, as Python's int. Raises `ValueError` for anything else."""
    number = as_whole(value)
    if number is None:
        raise ValueError(f"{name}={shown(value)} must be a whole number{_known(value)}")
    if number < least:
        raise ValueError(f"{name}={number} must be at least {least}")
    if number > LARGEST:
        raise ValueError(f"{name}={number} is out of range: counters hold at most {LARGEST}")
    return number


def whole_or_none(name: str, value: Any, least: int = 1) -> int | None:
    """As `whole`, but None stays None."""
    if value is None:
        return None
    try:
        return whole(name, value, least)
    except ValueError as error:
        raise ValueError(f"{error}, or None") from None


def flag(name: str, value: Any) -> bool:
    """True or False, of NumPy and JAX too. Raises `ValueError` for anything else."""
    given, value = value, plain(value)
    if not isinstance(value, bool):
        raise ValueError(f"{name}={shown(given)} must be True or False{_known(given)}")
    return value


def seconds_or_none(name: str, value: Any) -> float | None:
    """A time of at least 0 seconds, or None. Raises `ValueError` for anything else."""
    given, value = value, plain(value)
    if value is None:
        return None
    if not is_number(value) or not value >= 0:
        raise ValueError(f"{name}={shown(given)} must be at least 0 seconds, or None")
    return value


def shape(value: Any) -> tuple[int, ...] | None:
    """The shape of an array, a number or nested lists; None where their lengths differ."""
    try:
        return np.shape(value)
    except ValueError:
        return None


def numbers(name: str, values: Any) -> np.ndarray:
    """Concrete numbers as an array of float64, in any shape. Raises `ValueError` for anything that is no number."""
    for value in values if isinstance(values, list | tuple) else ():
        if not is_number(plain(value)) and shape(value) == ():
            raise ValueError(f"{name} has the value {shown(value)}, which must be a number")
    try:
        array = np.asarray(values)
        if array.dtype.kind not in "iufV" or (isinstance(values, np.ndarray) and array.dtype.names):
            raise TypeError
        return array.astype(np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name}={shown(values)} must be numbers, all of one shape") from None


def check_range(name: str, values: Any, low: float = -math.inf, high: float = math.inf) -> None:
    """Raise `ValueError` for concrete numbers, in any shape, outside a closed range or that float32 cannot hold."""
    for value in [values] if is_number(values) else np.ravel(values).tolist():
        if not low <= value <= high or value in (-math.inf, math.inf):
            raise ValueError(f"{name}={_short(value)} is out of range: it must be {bounds(low, high)}")
        if abs(value) > LARGEST_FLOAT:
            raise ValueError(f"{name}={_short(value)} is out of range: float32 holds at most {LARGEST_FLOAT:.2g}")


def bounds(low: float, high: float) -> str:
    """A closed range in words."""
    return {
        (True, True): "a finite number",
        (False, True): f"at least {low:g}",
        (True, False): f"at most {high:g}",
        (False, False): f"between {low:g} and {high:g}",
    }[math.isinf(low), math.isinf(high)]


def seed_list(seeds: int | Sequence[int]) -> tuple[int, ...]:
    """The seeds as a tuple. Raises `ValueError` for none, negative, fractional or repeated ones."""
    number = as_whole(seeds)
    listed = range(number) if number is not None else _listed(seeds)
    found = [as_whole(seed) for seed in listed]
    if not found or len(set(found)) < len(found) or any(seed is None or not 0 <= seed < 2**32 for seed in found):
        raise ValueError(
            f"seeds={shown(seeds)}: give how many (at least 1) or distinct whole numbers from 0 to 2^32 - 1"
        )
    return tuple(seed for seed in found if seed is not None)


def _listed(seeds: Any) -> list[Any]:
    if isinstance(seeds, str | Tracer) or not isinstance(seeds, Iterable):
        return []
    if isinstance(seeds, np.ndarray | jax.Array):
        known = any(jnp.issubdtype(seeds.dtype, kind) for kind in (np.integer, np.floating))
        return [*np.asarray(seeds)] if known and seeds.ndim == 1 else []
    return list(seeds)


def _short(value: float) -> str:
    return f"{value:g}" if isinstance(value, float) or abs(value) < 1e300 else str(value)[:20] + "..."


def _known(value: Any) -> str:
    return ": it is static, so it cannot be traced" if isinstance(value, Tracer) else ""
