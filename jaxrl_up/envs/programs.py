"""Traced programs compared: what functions do, also where they read more than their arguments."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal


def digest(function: Callable[..., Any], *arguments: Any) -> str | None:
    """A digest of the program that a function is for these arguments (shapes are enough); None where it has none.

    Two digests differ where the function has come to read something else: an attribute, a constant of its module, a
    variable around it. That is so for what cannot be traced, and inside `jit` for what reads values traced there.
    """
    try:
        closed = jax.make_jaxpr(lambda *given: function(*given))(
            *arguments
        )  # a new function, or jax gives the old trace
    except Exception:  # whatever the function raises, it raises again where it is used
        return None
    return digest_of(closed)


def digest_of(closed: ClosedJaxpr) -> str | None:
    """A digest of a traced program: its text, and every array that it holds."""
    text = re.sub(r"0x[0-9a-f]+", "", str(closed.jaxpr))  # addresses
    total = hashlib.blake2b(text.encode(), digest_size=16)
    for array in _arrays(closed.jaxpr, closed.consts):
        if isinstance(array, Tracer):
            return None
        array = as_numpy(jnp.asarray(array) if not isinstance(array, np.ndarray | np.generic | jax.Array) else array)
        total.update(f"{array.dtype}{array.shape}".encode())
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()


_KNOWN: dict[Any, tuple[str | None, int]] = {}


def version(of: Any, program: str | None) -> int:
    """A number for the program that something hashable has now, another one whenever it differs from the one before.

    One that had been left is not met again: what was made of it may have been traced after it had changed.
    """
    known, number = _KNOWN.get(of, (program, 0))
    if known != program:
        number += 1
    _KNOWN[of] = program, number
    return number


def as_numpy(leaf: Any) -> np.ndarray:
    """An array on the host, keys as their data."""
    is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(leaf) if is_key else leaf)


def _arrays(jaxpr: Jaxpr, constants: Sequence[Any]) -> Iterator[Any]:
    yield from constants
    for eqn in jaxpr.eqns:
        yield from (atom.val for atom in eqn.invars if isinstance(atom, Literal) and np.ndim(atom.val))
        for value in jax.tree.leaves(list(eqn.params.values()), is_leaf=lambda x: isinstance(x, ClosedJaxpr | Jaxpr)):
            if isinstance(value, ClosedJaxpr):
                yield from _arrays(value.jaxpr, value.consts)
            elif isinstance(value, Jaxpr):
                yield from _arrays(value, ())
