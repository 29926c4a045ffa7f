"""Whole numbers that are names: one of n, several at once, and which of them are allowed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_up.config import as_key, plain, shown
from jaxrl_up.types import Array, Key


@dataclass(frozen=True)
class Discrete:
    """The n integers from `start` on, as int32 scalars: start, start + 1, ..., start + n - 1.

    Raises ValueError unless both are whole numbers, n at least 1, and all of the integers are of int32.
    """

    n: int
    start: int = 0

    def __post_init__(self) -> None:
        n, start = _integer(self.n), _integer(self.start)
        if n is None or n < 1 or n >= 2**31:
            raise ValueError(f"Discrete(n) needs an integer n >= 1, and below 2^31 (int32), got n = {shown(self.n)}.")
        if start is None or not -(2**31) <= start <= 2**31 - n:
            raise ValueError(
                f"Discrete(n, start=...) needs integers of int32 from start to start + n - 1, got n = {n} and "
                f"start = {shown(self.start)}."
            )
        object.__setattr__(self, "n", n)
        object.__setattr__(self, "start", start)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Those of a MultiDiscrete of this one alone: (n,)."""
        return (self.n,)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one element: ()."""
        return ()

    @property
    def dtype(self) -> np.dtype:
        """The dtype of one element: int32."""
        return np.dtype(np.int32)

    def sample(self, key: Key) -> Array:
        """Draw one element uniformly: int32 []."""
        return self.start + jax.random.randint(as_key(key), (), 0, self.n, dtype=jnp.int32)

    def contains(self, x: Any) -> Array:
        """Say whether x is an element: bool [], false for another shape or a non-integer dtype."""
        x = jnp.asarray(x)
        if x.shape != () or not jnp.issubdtype(x.dtype, jnp.integer):
            return jnp.asarray(False)
        return (x >= self.start) & (x <= self.start + (self.n - 1))

    def __repr__(self) -> str:
        return f"Discrete({self.n})" if self.start == 0 else f"Discrete({self.n}, start={self.start})"


@dataclass(frozen=True)
class MultiDiscrete:
    """Several integers at once, the i-th of 0, 1, ..., sizes[i] - 1, as int32 `[K]`.

    Raises ValueError unless `sizes` are one or more whole numbers from 1 to 2^31 - 1.
    """

    sizes: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "sizes", _sizes("MultiDiscrete", self.sizes))

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one element: [K]."""
        return (len(self.sizes),)

    @property
    def dtype(self) -> np.dtype:
        """The dtype of one element: int32."""
        return np.dtype(np.int32)

    def sample(self, key: Key) -> Array:
        """Draw one element uniformly: int32 [K]."""
        return jax.random.randint(as_key(key), self.shape, 0, np.asarray(self.sizes, np.int32), dtype=jnp.int32)

    def contains(self, x: Any) -> Array:
        """Say whether x is an element: bool [], false for another shape or a non-integer dtype."""
        x = jnp.asarray(x)
        if x.shape != self.shape or not jnp.issubdtype(x.dtype, jnp.integer):
            return jnp.asarray(False)
        return jnp.all((x >= 0) & (x < np.asarray(self.sizes)))

    def __repr__(self) -> str:
        return f"MultiDiscrete({self.sizes})"


@dataclass(frozen=True)
class Mask:
    """Which actions are allowed now, as part of an observation: bool `[n]`, true where allowed.

    `Mask(n)` belongs to the action space `Discrete(n)`, its first entry to the action `start`; `Mask((n1, n2))`, flat
    `[n1 + n2]`, to `MultiDiscrete((n1, n2))`. What acts and learns reads it, no torso sees it. At the end of an
    episode it is not read. Raises ValueError for sizes as those spaces do.
    """

    sizes: tuple[int, ...]

    def __post_init__(self) -> None:
        given = self.sizes
        object.__setattr__(self, "sizes", _sizes("Mask", given if isinstance(given, (tuple, list)) else (given,)))

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one element: [n]."""
        return (sum(self.sizes),)

    @property
    def dtype(self) -> np.dtype:
        """The dtype of one element: bool."""
        return np.dtype(np.bool_)

    def sample(self, key: Key) -> Array:
        """Draw one element: bool [n], by fair coins, and in each group one at least is true."""
        coin_key, one_key = jax.random.split(as_key(key))
        drawn = jax.random.bernoulli(coin_key, np.float32(0.5), self.shape)
        one = jax.random.randint(one_key, (len(self.sizes),), 0, np.asarray(self.sizes, np.int32), dtype=jnp.int32)
        return drawn.at[np.cumsum((0, *self.sizes[:-1])).astype(np.int32) + one].set(True)

    def contains(self, x: Any) -> Array:
        """Say whether x is an element: bool [], that is of its shape and dtype; also with nothing allowed."""
        x = jnp.asarray(x)
        return jnp.asarray(x.shape == self.shape and x.dtype == jnp.bool_)

    def possible(self, x: Array) -> Array:
        """Say whether a mask `[..., n]` allows an action, one of each group: bool `[...]`."""
        groups = jnp.split(x, np.cumsum(self.sizes[:-1]), axis=-1)
        return jnp.all(jnp.stack([jnp.any(group, axis=-1) for group in groups]), axis=0)

    def __repr__(self) -> str:
        return f"Mask({self.sizes[0] if len(self.sizes) == 1 else self.sizes})"


def _integer(given: Any) -> int | None:
    """Python's int of one, of NumPy or JAX too; None for anything else."""
    number = plain(given)
    return number if isinstance(number, int) and not isinstance(number, bool) else None


def _sizes(space: str, given: Any) -> tuple[int, ...]:
    try:
        sizes = tuple(_integer(size) for size in given)
    except TypeError:
        sizes = ()
    whole = tuple(size for size in sizes if size is not None and 1 <= size < 2**31)
    if not whole or len(whole) < len(sizes) or sum(whole) >= 2**31:
        raise ValueError(
            f"{space}(sizes) needs one or more integers >= 1, which add up to less than 2^31, got {shown(given)}."
        )
    return whole
