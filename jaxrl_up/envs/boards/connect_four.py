"""Connect four searched to a depth, on bitboards.

Of the 7 columns each has 7 bits, the lowest cell first and one above the highest that stays empty, so that four in a
row are found by shifts. The 49 bits are two words of 32, as JAX has no more unless asked.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_up.config import as_whole, shown
from jaxrl_up.envs.boards.choosing import one_of_the_best
from jaxrl_up.types import Array, Key, PyTree

ROWS, COLUMNS, DEEPEST = 6, 7, 8
DIRECTIONS = (7, 6, 8)  # across, and the two diagonals; 1 is upwards


class Words(NamedTuple):
    """A number of 64 bits as two of 32."""

    low: Array  # uint32
    high: Array

    def __and__(self, other: Words) -> Words:
        return Words(self.low & other.low, self.high & other.high)

    def __or__(self, other: Words) -> Words:
        return Words(self.low | other.low, self.high | other.high)

    def __xor__(self, other: Words) -> Words:
        return Words(self.low ^ other.low, self.high ^ other.high)

    def left(self, by: int) -> Words:
        """The bits `by` places higher, 0 < by < 32."""
        return Words(self.low << by, (self.high << by) | (self.low >> (32 - by)))

    def right(self, by: int) -> Words:
        """The bits `by` places lower, 0 < by < 32."""
        return Words((self.low >> by) | (self.high << (32 - by)), self.high >> by)

    def any(self) -> Array:
        """Whether there is a bit."""
        return (self.low | self.high) != 0

    def plus(self, other: Words) -> Words:
        """The sum."""
        low = self.low + other.low
        return Words(low, self.high + other.high + (low < self.low).astype(jnp.uint32))


def words(numbers: Any) -> Words:
    """Numbers that are known beforehand, of any shape, below 2^64."""
    numbers = np.asarray(numbers, np.uint64)
    return Words(jnp.asarray(numbers & 0xFFFFFFFF, jnp.uint32), jnp.asarray(numbers >> 32, jnp.uint32))


COLUMN = np.array([(2**ROWS - 1) << 7 * column for column in range(COLUMNS)], np.uint64)
BOTTOM = np.array([1 << 7 * column for column in range(COLUMNS)], np.uint64).sum()
BITS = np.array(
    [[1 << (7 * column + ROWS - 1 - row) for column in range(COLUMNS)] for row in range(ROWS)], np.uint64
)  # by row from above, and column


class Position(NamedTuple):
    """Stones, as who is to move sees them."""

    mine: Words
    all: Words


def position_of(board: Array) -> Position:
    """The position of a board bool [6, 7, 2], as it is observed."""

    def gathered(stones: Array) -> Words:
        return Words(*(jnp.sum(jnp.where(stones, half, 0), dtype=jnp.uint32) for half in words(BITS)))

    mine = gathered(board[..., 0])
    return Position(mine, mine | gathered(board[..., 1]))


def playable(position: Position) -> Words:
    """The cells that may be filled now, the columns apart: [7], none of a column that is full."""
    return position.all.plus(words(BOTTOM)) & words(COLUMN)


def completing(stones: Words) -> Words:
    """The cells that make four in a row with stones; also some that are taken or above the board."""
    found = stones.left(1) & stones.left(2) & stones.left(3)
    for by in DIRECTIONS:
        below, above = stones.left(by) & stones.left(2 * by), stones.right(by) & stones.right(2 * by)
        found = found | (below & (stones.left(3 * by) | stones.right(by)))
        found = found | (above & (stones.right(3 * by) | stones.left(by)))
    return found


def column_scores(position: Position, depth: int) -> Array:
    """What each column is worth to who is to move and sees `depth` moves ahead: int32 [7].

    A move that wins at once is worth `depth`; another one at depth 1 nothing, else the negative of `best_score` to the
    other, who sees one move less. So the sign says who wins within `depth` moves by best play of both, and won sooner
    and lost later is better. A full column has -depth - 1.
    """
    cells = playable(position)
    wins, after = (cells & completing(position.mine)).any(), jnp.int32(0)
    if depth > 1:
        reached = Position(position.mine ^ position.all, position.all | cells)
        after = -jax.vmap(lambda stones: best_score(Position(reached.mine, stones), depth - 1))(reached.all)
    return jnp.where(cells.any(), jnp.where(wins, jnp.int32(depth), after), jnp.int32(-depth - 1))


def best_score(position: Position, depth: int) -> Array:
    """The greatest of `column_scores`, 0 where the board is full: int32 []."""
    if depth == 1:  # that of its columns, found without looking at each
        cells = playable(position)
        return jnp.any((cells & completing(position.mine)).any()).astype(jnp.int32)
    best = jnp.max(column_scores(position, depth))
    return jnp.where(best < -depth, 0, best)


def minimax(depth: int | None) -> Callable[[PyTree, Key], Array]:
    """`(obs, key) -> action`: the best column as far as `depth` moves show, of equal ones each as likely as another.

    Raises ValueError unless `depth` is an integer from 1 to 8. A move at depth d looks at 7^(d - 1) positions.
    """
    moves = as_whole(depth)
    if moves is None or not 1 <= moves <= DEEPEST:
        raise ValueError(
            f"minimax in connect four needs depth, the moves that it looks ahead, from 1 to {DEEPEST}, got "
            f"{shown(depth)}"
        )
    return _searching(moves)


@functools.cache
def _searching(depth: int) -> Callable[[PyTree, Key], Array]:
    def best_column(obs: PyTree, key: Key) -> Array:
        return one_of_the_best(column_scores(position_of(obs["board"]), depth), obs["mask"], key)

    return best_column
