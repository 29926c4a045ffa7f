"""Turns and reflections of a board that leave its game the same."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jaxrl_up.envs.core import Env
from jaxrl_up.envs.spaces import Discrete, leaves

SQUARE = (
    *((turns, False) for turns in range(4)),
    *((turns, True) for turns in range(4)),
)  # quarter turns, and then left for right or not; the identity first


class Symmetries(NamedTuple):
    """G transformations, the identity first, as rearrangements of cells and actions."""

    cells: np.ndarray  # int32 [G, H * W]
    actions: np.ndarray  # int32 [G, A]


def symmetries(env: Env) -> Symmetries:
    """The transformations of a board after which its game is the same, as positions to take from.

    Of transformation g a board [H, W, C] becomes `board.reshape(H * W, C)[cells[g]].reshape(H, W, C)`, and what there
    is for each action, as a mask or logits [..., A], `x[..., actions[g]]`. tic_tac_toe, othello and go have eight,
    connect_four and hex two. Elsewhere it is the identity alone, whose cells are none where observations have no part
    `board`. Raises ValueError unless actions are Discrete.
    """
    space, board = env.action_space, leaves(env.observation_space).get("board")
    if not isinstance(space, Discrete):
        raise ValueError(f"symmetries are of actions that are Discrete; {env.name} has {space}.")
    if board is None or env.spec.board is None:
        size = 0 if board is None else int(np.prod(board.shape[:2]))
        return _permutations([np.arange(size)], [np.arange(space.n)])
    rows, columns = board.shape[:2]
    grid, kind = np.arange(rows * columns).reshape(rows, columns), env.spec.board.symmetry
    if kind == "mirror":  # an action is a column
        return _permutations([grid, grid[:, ::-1]], [np.arange(columns), np.arange(columns)[::-1]])
    if kind == "square":
        turned = [np.rot90(grid, turns)[:, :: -1 if flipped else 1] for turns, flipped in SQUARE]
    else:
        turned = [grid, grid[::-1, ::-1]] if kind == "turn" else [grid]
    rest = np.arange(rows * columns, space.n)  # passes and the like stay what they are
    if kind == "none":
        return _permutations(turned, [np.arange(space.n)])
    return _permutations(turned, [np.concatenate([cells.ravel(), rest]) for cells in turned])


def _permutations(cells: list[np.ndarray], actions: list[np.ndarray]) -> Symmetries:
    return Symmetries(*(np.stack([x.ravel() for x in part]).astype(np.int32) for part in (cells, actions)))
