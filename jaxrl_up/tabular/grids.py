"""Grid worlds from text, and values, policies and visits drawn on them as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxrl_up import envs
from jaxrl_up.tabular.finite_mdp import MDP, as_policy, mdp
from jaxrl_up.tabular.layout import Layout

MOVES = ((0, -1), (1, 0), (0, 1), (-1, 0))  # left, down, right, up, as (row, column)
WALLS, FREE, STARTS, ENDS = "#", ". F", "S", {"G": 1.0, "P": -1.0, "H": 0.0}
ARROWS = "←↓→↑"


def from_grid(
    text: str | Sequence[str],
    *,
    discount: Any,
    step_reward: float = 0.0,
    rewards: Mapping[str, float] | None = None,
    slip: float = 0.0,
    wind: Sequence[int] | None = None,
    horizon: int | None = None,
) -> MDP:
    """A grid world: one state a cell that is no wall, numbered by rows; actions left, down, right, up.

    Characters: `#` a wall; `.`, `F` or a space free; `S` free, and a first state (several are equally likely, none
    means all free cells are); `G` a goal, `P` a pit and `H` a hole, which end the episode. Who walks into a wall, or
    off the grid, stays.

    Args:
      text: rows of one length, as one string with line breaks (blank lines around are dropped) or a sequence of them.
      discount: gamma, as of `mdp`.
      step_reward: for each step, on top of those below.
      rewards: for entering a cell, and for staying in it, by character; not named: 1 for `G`, -1 for `P`, else 0. A
        character of its own here is free.
      slip: probability, in [0, 1], of going at a right angle to what was meant, half of it to either side.
      wind: for each column how many cells a step from it blows upwards (Sutton & Barto 2018, example 6.5).
      horizon: as of `mdp`.

    Raises:
      ValueError: rows of different lengths, an unknown character, numbers out of range, or what `mdp` refuses.

    >>> from_grid("S.G", discount=0.9)
    MDP(3 states, 1 terminal, 4 actions, r(s, a, s'), discount 0.9)
    S.G
    """
    rows = _rows(text)
    paid = {**ENDS, **(rewards or {})}
    for name in paid:
        if len(name) != 1 or name in WALLS:
            raise ValueError(f"rewards are for entering a cell, by its character, which is no wall: got {name!r}")
    known = {*WALLS, *FREE, *STARTS, *paid}
    odd = sorted({character for row in rows for character in row} - known)
    if odd:
        raise ValueError(f"a grid is of {' '.join(sorted(known))}, got {odd[0]!r}; give others a reward by `rewards`")
    if not 0.0 <= slip <= 1.0:
        raise ValueError(f"slip={slip} is a probability, in [0, 1]")
    height, width = len(rows), len(rows[0])
    wind = [0] * width if wind is None else list(wind)
    if len(wind) != width or not all(isinstance(x, int | np.integer) for x in wind):
        raise ValueError(f"wind is a whole number for each of the {width} columns, got {wind}")

    cells = [(i, j) for i in range(height) for j in range(width) if rows[i][j] not in WALLS]
    if not cells:
        raise ValueError("the grid has walls only")
    number = {cell: n for n, cell in enumerate(cells)}

    def to(cell: tuple[int, int], move: tuple[int, int]) -> tuple[int, int]:
        reached = cell[0] + move[0], cell[1] + move[1]
        return reached if reached in number else cell

    transition = np.zeros((len(cells), 4, len(cells)))
    for cell, n in number.items():
        for action in range(4):
            for turn, probability in ((0, 1 - slip), (1, slip / 2), (3, slip / 2)):
                reached = to(cell, MOVES[(action + turn) % 4])
                for _ in range(abs(wind[cell[1]])):
                    reached = to(reached, (-1 if wind[cell[1]] > 0 else 1, 0))
                transition[n, action, number[reached]] += probability
    character = [rows[i][j] for i, j in cells]
    entering = step_reward + np.array([paid.get(c, 0.0) for c in character])
    terminal = np.array([c in ENDS for c in character])
    first = np.array([c in STARTS for c in character], float)
    return mdp(
        transition,
        np.broadcast_to(entering, transition.shape),
        discount=discount,
        start=first / first.sum() if first.any() else None,
        terminal=terminal,
        horizon=horizon,
        layout=Layout("\n".join(rows), tuple(cells)),
    )


def frozen_lake(
    map_name: str = "4x4",
    *,
    slippery: bool = True,
    success_rate: float = 1 / 3,
    discount: Any = 0.99,
    horizon: int | None = None,
) -> MDP:
    """gymnax's FrozenLake as an MDP: 16 or 64 states by rows, actions left, down, right, up, reward 1 at the goal.

    gymnax cuts episodes at 100 steps (8x8: 200); here that is `horizon`, as you like. Raises `ValueError` for an
    unknown map or a rate outside [0, 1].

    >>> frozen_lake(slippery=False).layout.text.splitlines()
    ['SFFF', 'FHFH', 'FFFH', 'HFFG']
    """
    envs.make("FrozenLake-misc", map_name=map_name, success_rate=success_rate)  # checks, and imports gymnax lightly
    from gymnax.environments.misc.frozen_lake import FrozenLake

    lake = FrozenLake(map_name=map_name)
    rows = ["".join("SFHG"[tile] for tile in row) for row in np.asarray(lake.desc)]
    return from_grid(rows, discount=discount, slip=1 - success_rate if slippery else 0.0, horizon=horizon)


def grid_text(mdp: MDP, values: Any = None, policy: Any = None, *, digits: int = 2) -> str:
    """A grid with a number `[S]` (values, visits) or the actions of a policy `[S, A]` in each cell; walls are `#`.

    Terminal cells show their character. Of several best actions all are shown. Raises `ValueError` for an MDP that was
    not built from a grid, or unless exactly one of the two is given.

    >>> print(grid_text(from_grid("S.G", discount=0.5), values=[0.5, 1.0, 0.0]))
    0.50 1.00    G
    """
    if mdp.layout is None:
        raise ValueError("this MDP was not built from a grid")
    if (values is None) == (policy is None):
        raise ValueError("give values or a policy, one of the two")
    rows = mdp.layout.text.split("\n")
    shown = {cell: rows[cell[0]][cell[1]] for cell in mdp.layout.cells}
    terminal = np.asarray(mdp.terminal)
    given = np.asarray(values if policy is None else as_policy(mdp.replace(horizon=None), policy), float)
    if policy is None and given.shape != (mdp.states,):
        raise ValueError(f"values of shape [{mdp.states}], got {list(given.shape)}")
    for n, cell in enumerate(mdp.layout.cells):
        if not terminal[n]:
            best = "".join(
                a for a, p in zip(ARROWS, np.atleast_1d(given[n]), strict=False) if p >= given[n].max() - 1e-6
            )
            shown[cell] = best if policy is not None else f"{given[n]:.{digits}f}"
    width = max(map(len, shown.values()))
    cells = [[shown.get((i, j), WALLS * width) for j in range(len(row))] for i, row in enumerate(rows)]
    return "\n".join(" ".join(cell.rjust(width) for cell in row).rstrip() for row in cells)


def _rows(text: str | Sequence[str]) -> list[str]:
    rows = text.strip("\n").split("\n") if isinstance(text, str) else list(text)
    if not rows or not all(isinstance(row, str) and row for row in rows):
        raise ValueError("a grid is rows of characters")
    for i, row in enumerate(rows):
        if len(row) != len(rows[0]):
            raise ValueError(f"rows of a grid have one length: row {i} has {len(row)} characters, row 0 {len(rows[0])}")
    return rows
