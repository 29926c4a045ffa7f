"""Arrays of numbers between bounds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_up.config import as_key, flag, shown
from jaxrl_up.types import Array, Key

HUGE = 1e38  # a float bound beyond this means "no bound" (gymnax writes float32's largest number)


@dataclass(frozen=True, init=False)
class Box:
    """Arrays of one shape and dtype between two bounds, which may differ per element and be infinite.

    `low` and `high` are kept as a float where all elements share it, else as nested tuples of the space's
    shape; `bounds()` gives them as arrays. A dtype of 64 bits is one of 32 where JAX has no other
    (`jax_enable_x64`). `binary` says that elements are zeros and ones only, of whatever dtype: a replay then stores
    them as bits. Raises ValueError for bounds that do not fit the shape, are out of order, or have no whole number
    between them in a space of integers, and for a binary Box with others than 0 and 1.
    """

    low: Any
    high: Any
    shape: tuple[int, ...]
    dtype: np.dtype
    binary: bool

    def __init__(
        self, low: Any, high: Any, shape: Any = None, dtype: Any = np.float32, *, binary: bool = False
    ) -> None:
        try:
            low, high = np.asarray(low, np.float64), np.asarray(high, np.float64)
        except (TypeError, ValueError):
            raise ValueError(f"Box(low, high) needs numbers, got low={shown(low)}, high={shown(high)}.") from None
        shape = np.broadcast_shapes(low.shape, high.shape) if shape is None else shape
        shape = (int(shape),) if isinstance(shape, (int, np.integer)) else tuple(int(size) for size in shape)
        for name, bound in (("low", low), ("high", high)):
            if np.isnan(bound).any():
                raise ValueError(f"Box(..., {name}=...) holds NaN; write -inf or inf where there is no bound.")
            try:
                np.broadcast_to(bound, shape)
            except ValueError:
                raise ValueError(
                    f"Box(..., {name}=...) has shape {bound.shape}, which does not fit shape={shape}."
                ) from None
        if (low > high).any():
            raise ValueError(f"Box(low, high) needs low <= high everywhere, got low={low}, high={high}.")
        dtype = jax.dtypes.canonicalize_dtype(dtype)
        if not jnp.issubdtype(dtype, jnp.floating):
            low, high = np.ceil(low), np.floor(high)
            if (low > high).any():
                raise ValueError("Box(low, high) of integers needs a whole number from low to high everywhere.")
        if flag("binary", binary) and not ((low == 0).all() and (high == 1).all()):
            raise ValueError(
                f"Box(..., binary=True) holds zeros and ones: its bounds are 0 and 1, not {low} and {high}."
            )
        object.__setattr__(self, "binary", bool(binary))
        object.__setattr__(self, "low", _hashable(low, shape, dtype))
        object.__setattr__(self, "high", _hashable(high, shape, dtype))
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "dtype", dtype)

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Give (low, high) as NumPy arrays of the space's shape and dtype; float bounds may be infinite."""
        if jnp.issubdtype(self.dtype, jnp.floating):
            return self._array(self.low, self.dtype), self._array(self.high, self.dtype)
        limits = np.iinfo(self.dtype) if self.dtype != np.bool_ else np.iinfo(np.uint8)
        return self._whole(self.low, limits), self._whole(self.high, limits)

    def _whole(self, bound: Any, limits: np.iinfo) -> np.ndarray:
        """A bound within what the dtype holds; as floats the ends of 64 bits are beyond it."""
        bound = self._array(bound, np.float64)
        inside = (bound > limits.min) & (bound < limits.max)
        ends = np.where(bound > 0, np.asarray(limits.max, self.dtype), np.asarray(limits.min, self.dtype))
        return np.where(inside, np.where(inside, bound, 0).astype(self.dtype), ends)

    def _array(self, bound: Any, dtype: Any) -> np.ndarray:
        return np.array(np.broadcast_to(np.asarray(bound, dtype), self.shape))

    @property
    def bounded(self) -> bool:
        """Whether every element has a finite lower and a finite upper bound."""
        return bool(np.isfinite(self.low).all() and np.isfinite(self.high).all())

    @property
    def bounded_below(self) -> np.ndarray:
        """Which elements have a finite lower bound: bool, the space's shape."""
        return np.isfinite(self._array(self.low, np.float64))

    @property
    def bounded_above(self) -> np.ndarray:
        """Which elements have a finite upper bound: bool, the space's shape."""
        return np.isfinite(self._array(self.high, np.float64))

    def sample(self, key: Key) -> Array:
        """Draw one element: uniform if bounded, exponential from a single bound, else standard normal."""
        if self.binary:
            return jax.random.bernoulli(as_key(key), np.float32(0.5), self.shape).astype(self.dtype)
        uniform_key, exponential_key, normal_key = jax.random.split(as_key(key), 3)
        low, high = self.bounds()
        if self.dtype == np.bool_:
            drawn = jax.random.bernoulli(uniform_key, np.float32(0.5), self.shape)
            return jnp.where(low == high, low, drawn)
        if not jnp.issubdtype(self.dtype, jnp.floating):
            return _whole_numbers(uniform_key, low, high)
        below, above = self.bounded_below, self.bounded_above
        low, high = np.where(below, low, 0).astype(self.dtype), np.where(above, high, 0).astype(self.dtype)
        end = np.where(below & above, high, low + 1).astype(self.dtype)
        with np.errstate(over="ignore"):
            span_is_finite = np.isfinite((end - low).astype(np.float64)).all()
        if span_is_finite:
            sample = jax.random.uniform(uniform_key, self.shape, self.dtype, low, end)
        else:
            share = jax.random.uniform(uniform_key, self.shape, self.dtype)
            sample = share * end + (1 - share) * low
        if not self.bounded:
            distance = jax.random.exponential(exponential_key, self.shape, self.dtype)
            sample = jnp.where(below & ~above, low + distance, sample)
            sample = jnp.where(~below & above, high - distance, sample)
            normal = jax.random.normal(normal_key, self.shape, self.dtype)
            sample = jnp.where(~below & ~above, normal, sample)
        return sample

    def contains(self, x: Any) -> Array:
        """Say whether x is an element: bool []; false for another shape, NaN, floats in an integer space."""
        x = jnp.asarray(x)
        is_float = jnp.issubdtype(x.dtype, jnp.floating)
        if x.shape != self.shape or (is_float and not jnp.issubdtype(self.dtype, jnp.floating)):
            return jnp.asarray(False)
        low, high = self.bounds()
        return jnp.all((x == 0) | (x == 1)) if self.binary else jnp.all((x >= low) & (x <= high))

    def __repr__(self) -> str:
        binary = ", binary=True" if self.binary else ""
        return f"Box({_brief(self.low)}, {_brief(self.high)}, {self.shape}, {self.dtype.name}{binary})"


def _whole_numbers(key: Key, low: np.ndarray, high: np.ndarray) -> Array:
    """Whole numbers from `low` to `high`, both included, of their shape and dtype, uniformly."""
    dtype = low.dtype
    if (low >= -(2**31)).all() and (high < 2**31 - 1).all():
        return jax.random.randint(key, low.shape, low.astype(np.int32), high.astype(np.int32) + 1, jnp.int32).astype(
            dtype
        )
    unsigned = np.dtype(f"uint{max(8 * dtype.itemsize, 32)}")
    with np.errstate(over="ignore"):  # modulo 2^bits, as unsigned numbers count
        number = high.astype(unsigned) - low.astype(unsigned) + np.ones((), unsigned)  # 0: all that there are
    below = jax.random.randint(key, low.shape, np.zeros_like(number), np.where(number == 0, 1, number), unsigned)
    offset = jnp.where(number == 0, jax.random.bits(key, low.shape, unsigned), below)
    return (offset + low.astype(unsigned)).astype(dtype)


def _hashable(bound: np.ndarray, shape: tuple[int, ...], dtype: np.dtype) -> Any:
    huge = min(HUGE, float(jnp.finfo(dtype).max)) if jnp.issubdtype(dtype, jnp.floating) else HUGE
    bound = np.where(bound >= huge, np.inf, np.where(bound <= -huge, -np.inf, bound))
    if bound.size == 0 or (bound == bound.flat[0]).all():
        return float(bound.flat[0]) if bound.size else 0.0
    return _nested(np.broadcast_to(bound, shape).tolist())


def _nested(values: Any) -> Any:
    return tuple(_nested(value) for value in values) if isinstance(values, list) else values


def _brief(bound: Any) -> str:
    if isinstance(bound, float):
        return f"{bound:g}"
    flat = np.asarray(bound).ravel()
    if flat.size <= 6 and math.prod(np.shape(bound)) == len(bound):
        return "[" + ", ".join(f"{value:g}" for value in flat) + "]"
    return f"[{flat.min():g} to {flat.max():g}]"
