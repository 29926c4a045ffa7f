"""Sampling rows in proportion to priorities (Schaul et al. 2016, arXiv:1511.05952): a sum tree as data.

Every number of a level is the sum of `WIDTH` of the level below it, so writing and drawing N rows touch N nodes on
each of a few levels. A sum is computed from its terms whenever one of them changes, never incremented: rounding does
not pile up, and rows given twice do no harm.

What a priority is (equation 1: (|TD error| + epsilon)^alpha) is the algorithm's business. A row that must not be
drawn has priority 0, as all have at first.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl_up.types import Array

WIDTH = 8  # 256 rows of 1e6, drawn and written on one core: 38 us; 62 with 16, 75 with 32, 156 with 64
RESOLUTION = 2.0**-20  # of a place within a node; float32 rounds to 2^-24, several times


class Priorities(NamedTuple):
    """Priorities of rows, and the sums to find a row by."""

    levels: tuple[Array, ...]  # float32 [nodes, WIDTH] each, from the root, which is one node, to the rows


def init(capacity: int) -> Priorities:
    """All `capacity` priorities 0. Raises `ValueError` unless there is a row."""
    if capacity < 1:
        raise ValueError(f"capacity={capacity} must be at least 1")
    nodes = [math.ceil(capacity / WIDTH)]
    while nodes[0] > 1:
        nodes.insert(0, math.ceil(nodes[0] / WIDTH))
    return Priorities(tuple(jnp.zeros((number, WIDTH), jnp.float32) for number in nodes))


def num_levels(capacity: int) -> int:
    """Levels of the tree, and random numbers that `sample` takes for one row."""
    return len(jax.eval_shape(lambda: init(capacity)).levels)


def total(priorities: Priorities) -> Array:
    """The sum of all priorities."""
    return jnp.sum(priorities.levels[0])


def set(priorities: Priorities, index: Array, value: Array) -> Priorities:
    """Give rows `index [N]`, below the capacity, the priorities `value [N]`, finite and not negative.

    A row that is there several times gets one of its values.
    """
    levels = list(priorities.levels)
    levels[-1] = levels[-1].at[index // WIDTH, index % WIDTH].set(value)
    for depth in range(len(levels) - 1, 0, -1):
        below, above = levels[depth], levels[depth - 1]
        index = index // WIDTH
        if below.shape[0] <= index.shape[0]:  # summing all is less work
            sums = jnp.sum(below, axis=-1)
            levels[depth - 1] = jnp.pad(sums, (0, above.size - sums.size)).reshape(above.shape)
        else:
            levels[depth - 1] = above.at[index // WIDTH, index % WIDTH].set(jnp.sum(below[index], axis=-1))
    return Priorities(tuple(levels))


def sample(priorities: Priorities, uniform: Array) -> tuple[Array, Array]:
    """Draw rows, int32 `[N]`, and their probabilities, priority / total, by numbers in [0, 1) `[levels, N]`.

    Stratified (appendix B.2.1): the total is cut into N equal ranges and a row drawn from each, so rows come in
    order. A row of priority 0 is never drawn. Some priority must be positive, or probabilities are NaN.

    The first number says where in its range a draw lies. One alone would not tell a million rows apart: float32 has 24
    bits. So on the way down each level adds a number of its own to what is left, as large as what rounding took.
    """
    size = uniform.shape[1]
    node, order = jnp.zeros(size, jnp.int32), jnp.arange(WIDTH, dtype=jnp.int32)[None]
    place = jnp.minimum(
        (jnp.arange(size, dtype=jnp.int32) + uniform[0]) / size, 1.0 - 2.0**-24
    )  # in the node, from 0 to below 1
    addends = jnp.triu(jnp.ones((WIDTH, WIDTH), jnp.float32))
    for depth, level in enumerate(priorities.levels):
        children = level[node]  # [N, WIDTH]
        ends = jnp.dot(children, addends, precision=jax.lax.Precision.HIGHEST)  # cumulative sums
        target = place[:, None] * ends[:, -1:]
        # the first child that ends behind the target; rounding must not make it an empty one, or none
        first = jnp.min(jnp.where((ends > target) & (children > 0), order, WIDTH), axis=-1)
        last = jnp.max(jnp.where(children > 0, order, 0), axis=-1)
        chosen = jnp.minimum(first, last)
        child, end = (jnp.take_along_axis(x, chosen[:, None], axis=-1)[:, 0] for x in (children, ends))
        node = node * WIDTH + chosen
        if depth + 1 < len(priorities.levels):
            place = (target[:, 0] - (end - child)) / child
            place += uniform[depth + 1] * jnp.minimum(RESOLUTION * ends[:, -1] / child, 1.0)
            place -= jnp.floor(place)
    return node, jnp.maximum(child / total(priorities), jnp.finfo(jnp.float32).tiny)


def importance_weights(probability: Array, beta: Array | float) -> Array:
    """(1 / (size p))^beta, divided by the largest of the batch `[N]` (section 3.4), which cancels the replay's size.

    `probability` is that of `sample`, all positive; `beta` from 0 (none) to 1 (full correction).
    """
    return (jnp.min(probability) / probability) ** beta
