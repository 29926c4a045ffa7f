"""Random keys as they are handed over: typed ones, the raw words of `jax.random.PRNGKey`, and whole numbers."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxrl_up.types import Array, Key

ADVICE = "give jax.random.key(0), jax.random.PRNGKey(0) or a whole number from 0 to 2^32 - 1"


def as_key(key: Any) -> Key:
    """One typed key: `jax.random.key(n)` of a whole number n, the key itself or that of the same raw words.

    Any of them may be traced. Raises `ValueError` for several keys and for a number that is not from 0 to 2^32 - 1, and
    `TypeError` for something else.
    """
    if isinstance(key, int | np.integer) and not isinstance(key, bool):
        if not 0 <= int(key) < 2**32:
            raise ValueError(f"key={key} is out of range: {ADVICE}")
        return jax.random.key(np.uint32(key))
    if not isinstance(key, jax.Array | np.ndarray) or _kind(key) == "neither":
        raise TypeError(f"key={_brief(key)} is not a random key: {ADVICE}")
    if key.ndim == 0 and _kind(key) == "number":
        return jax.random.key(key)
    typed = _typed(key)
    if typed is None or typed.ndim != 0:
        raise ValueError(f"key={_brief(key)} is not one key: {ADVICE}; use jax.vmap for many")
    return typed


def as_keys(keys: Any) -> Key:
    """Typed keys `[S]`, of keys `[S]`, raw ones `[S, 2]`, whole numbers `[S]` or a sequence of such; see `as_key`.

    Whole numbers in an array are signed: unsigned words are those of raw keys. Raises `ValueError` for one key, none or
    more axes, and `TypeError` for something else.
    """
    advice = "give S of them, as in jax.random.split(jax.random.key(0), S)"
    if isinstance(keys, list | tuple | range):
        if not keys:
            raise ValueError(f"keys={keys} holds no key: {advice}")
        return jnp.stack([as_key(key) for key in keys])
    if not isinstance(keys, jax.Array | np.ndarray) or _kind(keys) == "neither":
        raise TypeError(f"keys={_brief(keys)} are not random keys: {advice}")
    if _kind(keys) == "number" and keys.ndim == 1 and keys.dtype != jnp.uint32:
        if not isinstance(keys, Tracer):
            return as_keys(np.asarray(keys).tolist())
        return jax.vmap(jax.random.key)(keys)
    typed = _typed(keys)
    if typed is None or typed.ndim != 1 or typed.size == 0:
        what = "is one key" if typed is not None and typed.ndim == 0 else "are not keys [S]"
        raise ValueError(f"keys={_brief(keys)} {what}: {advice}")
    return typed


def wrap_as(words: Any, dtype: Any) -> Key:
    """Keys from their raw words, of the kind that `dtype` is of, whatever the default kind."""
    return jax.random.wrap_key_data(jnp.asarray(words), impl=jax.random.key_impl(jnp.empty((), dtype)))


def _kind(x: Array | np.ndarray) -> str:
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        return "typed"
    return "number" if jnp.issubdtype(x.dtype, jnp.integer) else "neither"


def _typed(words: Array | np.ndarray) -> Key | None:
    """Typed keys, and raw ones as those of the default kind; None for what is no key."""
    if isinstance(words, jax.Array) and _kind(words) == "typed":
        return words
    if words.dtype != jnp.uint32 or words.ndim == 0:
        return None
    try:
        return jax.random.wrap_key_data(jnp.asarray(words))
    except (TypeError, ValueError):  # not as many words as keys of the default kind have
        return None


def _brief(x: Any) -> str:
    shape = getattr(x, "shape", None)
    return repr(x)[:60] if shape is None else f"{x.dtype}{list(shape)}"
