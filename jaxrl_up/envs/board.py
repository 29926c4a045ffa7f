"""What is known of a board beside its rules: how it is drawn, what moves are called, what leaves the game the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Board(NamedTuple):
    """A board of two players. The functions take a state of the environment's own on the host, without wrappers'."""

    symbols: Callable[[Any], np.ndarray]
    """state -> str [H, W], the upper row first: `X` and `O` the stones of who began and of the other, pieces by their
    letters, those of who began as capitals, and `.` where there is nothing"""
    second: Callable[[Any], bool]
    """state -> whether who did not begin is to move"""
    move: Callable[[Any, int], str]
    """(state, action) -> what players call it"""
    place: Callable[[Any, int], tuple[int, int] | None]
    """(state, action) -> the row and column of `symbols` that it fills; None where that says not enough"""
    symmetry: str = "none"
    """what leaves the rules the same: `square` its eight turns and reflections, `mirror` left for right, `turn` by 180
    degrees"""
    columns: str = ""
    """what columns are called, a letter each"""
    rows: str = ""
    """how rows are numbered, `up` or `down`; not at all where it is empty"""
    slanted: bool = False
    """whether each row begins half a cell further right than the one above"""
    minimax: Callable[[int | None], Callable[..., Any]] | None = None
    """depth -> `(obs, key) -> action`, the best move; raises ValueError for a depth that cannot be searched"""
