"""Boards as text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import jax
import numpy as np

from jaxrl_up.envs.board import Board
from jaxrl_up.envs.core import Env


def board_of(env: Env) -> Board:
    """What is known of the board of an environment; raises ValueError for one that is not drawn."""
    if env.spec.board is None:
        raise ValueError(f"{env.full_name} has no board that is drawn.")
    return env.spec.board


def board_text(env: Env, state: Any, actions: Iterable[int] = ()) -> str:
    """The board of a state as lines, the upper row first: `X` who began, `O` the other, pieces by their letters.

    Of the cells that `actions` fill, those of moves that are called by one letter bear it, as in tic-tac-toe, others a
    `+`. `state` may be that of wrappers too. Raises ValueError for an environment without a board.
    """
    board, state = board_of(env), own_state(state)
    cells = board.symbols(state).astype(object)
    for action in actions if not board.columns or board.rows else ():  # a column says by itself what fills it
        place = board.place(state, int(action))
        if place is not None:
            name = board.move(state, int(action))
            cells[place] = name if len(name) == 1 else "+"
    number, margin = len(cells), 3 if board.rows else 0
    lines = []
    for row in range(number):
        label = f"{number - row if board.rows == 'up' else row + 1:>2} " if board.rows else ""
        lines.append(" " * (row * board.slanted) + label + " ".join(cells[row]))
    if board.columns:
        lines.append(" " * (margin + number * board.slanted) + " ".join(board.columns))
    return "\n".join(lines)


def own_state(state: Any) -> Any:
    """A state without those of wrappers, on the host."""
    while hasattr(state, "inner"):
        state = state.inner
    return jax.tree.map(np.asarray, state)
