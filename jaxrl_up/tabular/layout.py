"""Where the states of a grid lie."""

from __future__ import annotations

from typing import NamedTuple


class Layout(NamedTuple):
    """A grid of characters and the cell of each state; hashable, as it is a static part of an MDP."""

    text: str
    """rows of characters, one line each"""
    cells: tuple[tuple[int, int], ...]
    """(row, column) of each state, counted from the top left"""
