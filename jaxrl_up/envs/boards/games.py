"""The games of pgx as people know them: stones and pieces, names of moves, symmetries, who plays them well."""

from __future__ import annotations

import importlib
from functools import cache, partial
from typing import Any

import numpy as np

from jaxrl_up.envs.board import Board
from jaxrl_up.envs.boards import connect_four, tic_tac_toe

LETTERS = "abcdefghijklmnopqrstuvwxyz"
GO_LETTERS = "ABCDEFGHJKLMNOPQRST"  # without I
PIECES = ".PNBRQK"
PROMOTED = "RBN"  # what a pawn becomes by the first planes of chess, three each
STONES = np.array([".", "X", "O"])  # nothing, the first player's, the second's: also by -1


def _absolute(state: Any) -> np.ndarray:
    """Stones of a board that says -1, 0 and 1 for nothing, the first and the second player."""
    return STONES[np.asarray(state.game["_x"].board) + 1]


def _grid(rows: int, state: Any) -> np.ndarray:
    return _absolute(state).reshape(rows, -1)


def _of_signs(signs: np.ndarray) -> np.ndarray:
    """Stones of a board that is 1 for the first and -1 for the second player."""
    side = int(np.sqrt(signs.size))
    return STONES[np.sign(signs)].reshape(side, side)


def _second(state: Any) -> bool:
    return int(state.game["current_player"]) == 1  # the first state is one in which player 0 is to move


def _othello(state: Any) -> np.ndarray:
    return _of_signs(np.asarray(state.game["_x"].board) * (-1 if _second(state) else 1))


_hex = _othello  # it too has its stones from the side of who is to move


def _go(state: Any) -> np.ndarray:
    return _of_signs(np.asarray(state.game["_x"].board))


def _drop(state: Any, action: int) -> tuple[int, int] | None:
    free = np.flatnonzero(_grid(6, state)[:, action] == ".")
    return (int(free[-1]), action) if len(free) else None


def _cell(side: int, state: Any, action: int) -> tuple[int, int] | None:
    return divmod(action, side) if action < side * side else None


def _numbered(state: Any, action: int) -> str:
    return str(action + 1)


def _lettered(side: int, last: str, state: Any, action: int) -> str:
    """`a1` is the upper left cell, as in othello and hex."""
    row, column = divmod(action, side)
    return f"{LETTERS[column]}{row + 1}" if row < side else last


def _go_point(side: int, state: Any, action: int) -> str:
    """`A1` is the lower left point."""
    row, column = divmod(action, side)
    return f"{GO_LETTERS[column]}{side - row}" if row < side else "pass"


def _chess(side: int, state: Any) -> np.ndarray:
    """Pieces, which the state has by columns from below, from the side of who is to move."""
    board, black = _pieces(state).reshape(side, side).T, _second(state)  # rows from the mover's own
    rows = board if black else board[::-1]
    return np.array([[_piece(-x if black else x) for x in row] for row in rows.tolist()])


def _pieces(state: Any) -> np.ndarray:
    """The board of a state of chess."""
    return np.asarray(state.game["_x"].board if "_x" in state.game else state.game["_board"])


def _piece(number: int) -> str:
    return PIECES[number] if number >= 0 else PIECES[-number].lower()


@cache
def _targets(side: int) -> np.ndarray:
    """Where a move leads, by the cell it is from and its plane."""
    if side == 8:
        return np.asarray(importlib.import_module("pgx._src.games.chess").FROM_PLANE)
    return np.asarray(importlib.import_module("pgx._src.gardner_chess_utils").TO_MAP)


def _chess_cells(side: int, action: int) -> tuple[int, int, int]:
    """The cells that a move is from and to, and its plane."""
    start, plane = divmod(action, _targets(side).shape[1])
    return start, int(_targets(side)[start, plane]), plane


def _chess_move(side: int, state: Any, action: int) -> str:
    """`e2e4`, `a7a8q`."""
    board, black = _pieces(state), _second(state)
    start, end, plane = _chess_cells(side, action)

    def square(cell: int) -> str:
        column, row = divmod(cell, side)
        return f"{LETTERS[column]}{(side - 1 - row if black else row) + 1}"

    last = end % side == side - 1 and board[start] == 1
    promoted = "" if not last else PROMOTED[plane // 3].lower() if plane < 9 else "q"
    return square(start) + square(end) + promoted


def _nowhere(state: Any, action: int) -> None:
    return None


def _go_of(side: int) -> Board:
    move, place = partial(_go_point, side), partial(_cell, side)
    return Board(_go, _second, move, place, "square", GO_LETTERS[:side], "up")


def _chess_of(side: int) -> Board:
    move = partial(_chess_move, side)
    return Board(partial(_chess, side), _second, move, _nowhere, columns=LETTERS[:side], rows="up")


BOARDS = {
    "tic_tac_toe": Board(
        partial(_grid, 3), _second, _numbered, partial(_cell, 3), "square", minimax=tic_tac_toe.minimax
    ),
    "connect_four": Board(
        partial(_grid, 6), _second, _numbered, _drop, "mirror", "1234567", minimax=connect_four.minimax
    ),
    "othello": Board(
        _othello, _second, partial(_lettered, 8, "pass"), partial(_cell, 8), "square", LETTERS[:8], "down"
    ),
    "hex": Board(
        _hex, _second, partial(_lettered, 11, "swap"), partial(_cell, 11), "turn", LETTERS[:11], "down", slanted=True
    ),
    "go_9x9": _go_of(9),
    "go_19x19": _go_of(19),
    "gardner_chess": _chess_of(5),
    "chess": _chess_of(8),
}
"""By pgx's names of them."""
