"""Tic-tac-toe played exactly, by a table of all positions."""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from jaxrl_up.envs.boards.choosing import one_of_the_best
from jaxrl_up.types import Array, Key, PyTree

LINES = np.array([[0, 1, 2], [3, 4, 5], [6, 7, 8], [0, 3, 6], [1, 4, 7], [2, 5, 8], [0, 4, 8], [2, 4, 6]])
POWERS = 3 ** np.arange(9)


@functools.cache
def scores() -> np.ndarray:
    """What each move is worth to who makes it: int8 [3^9, 9], by the number of the position.

    A cell counts 0 if empty, 1 if of who moves and 2 if of the other, times 3^cell. With n empty cells a move that wins
    is worth n; one after which the other's best is worth b is worth -b. So its sign is the outcome of best play, won
    sooner and lost later is better, and what is not legal has 0.
    """
    cells = np.arange(3**9)[:, None] // POWERS % 3
    empty, worth = cells == 0, np.zeros((3**9, 9), np.int8)
    for left in range(1, 10):
        for move in range(9):
            rows = np.flatnonzero((empty.sum(1) == left) & empty[:, move])
            after = cells[rows]
            after[:, move] = 1
            won = (after[:, LINES] == 1).all(2).any(1)
            other = np.array([0, 2, 1])[after] @ POWERS
            best = np.where(empty[other], worth[other], -9).max(1) if left > 1 else 0
            worth[rows, move] = np.where(won, left, -best)
    return worth


def minimax(depth: int | None) -> Callable[[PyTree, Key], Array]:
    """`(obs, key) -> action`: the best move; raises ValueError for a depth, as the game is played to its end."""
    if depth is not None:
        raise ValueError(f"minimax sees tic-tac-toe to its end: leave depth={depth} out")
    return best_move


def best_move(obs: PyTree, key: Key) -> Array:
    """A best move of an observation, each of them as likely as another: int32 []."""
    mine, theirs = obs["board"][..., 0].reshape(9), obs["board"][..., 1].reshape(9)
    position = jnp.sum(jnp.where(mine, POWERS, 0) + jnp.where(theirs, 2 * POWERS, 0), dtype=jnp.int32)
    return one_of_the_best(jnp.asarray(scores())[position], obs["mask"], key)
