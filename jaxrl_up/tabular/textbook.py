"""Small MDPs of the textbook, with answers that are known: for lectures, tests and pictures.

Where there is no choice there is one action, 0: a Markov reward process. Grids have the actions left, down, right, up.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxrl_up.tabular.episodes import as_trajectories
from jaxrl_up.tabular.finite_mdp import MDP, mdp
from jaxrl_up.tabular.grids import MOVES, from_grid
from jaxrl_up.tabular.trajectories import Trajectories

DYNA_MAZE = """
.......#G
..#....#.
S.#....#.
..#......
.....#...
.........
"""
"""Sutton & Barto 2018, figure 8.2: `#` walls, `S` start, `G` goal"""


def random_walk(states: int = 5, *, left: float = 0.0, right: float = 1.0, discount: Any = 1.0) -> MDP:
    """A walk to either side from the middle: states 0 and `states + 1` are the ends, with rewards `left` and `right`.

    With five V = 1/6, ..., 5/6. Reference: Sutton & Barto 2018, example 6.2; with 19 and left = -1 that of example 7.1.
    Raises `ValueError` for a number of states that has no middle.
    """
    if states < 1 or states % 2 == 0:
        raise ValueError(f"states={states} must be odd: the walk begins in the middle")
    transition, reward = np.zeros((states + 2, 1, states + 2)), np.zeros((states + 2, 1, states + 2))
    for s in range(1, states + 1):
        transition[s, 0, [s - 1, s + 1]] = 0.5
    reward[1, 0, 0], reward[states, 0, states + 1] = left, right
    return mdp(transition, reward, discount=discount, start=(states + 1) // 2, terminal=[0, states + 1])


def route() -> MDP:
    """The way to San Diego: San Francisco (0), San José (1), a jam in Los Angeles (2), San Diego (3, the end).

    Rewards are minus hours: 1 to San José, from there 8, or with probability 1/4 6 to the jam and another 6 from it.
    Half of the days begin in San Francisco, half, coming from elsewhere, in San José. V = -10, -9, -6.
    """
    transition, reward = np.zeros((4, 1, 4)), np.zeros((4, 1, 4))
    transition[0, 0, 1], transition[1, 0, 3], transition[1, 0, 2], transition[2, 0, 3] = 1.0, 0.75, 0.25, 1.0
    reward[0, 0, 1], reward[1, 0, 3], reward[1, 0, 2], reward[2, 0, 3] = -1.0, -8.0, -6.0, -6.0
    return mdp(transition, reward, discount=1.0, start=[0.5, 0.5, 0.0, 0.0], terminal=[3])


def route_days() -> Trajectories:
    """Four days on the `route`: one from San Francisco, into the jam, and three that enter in San José, and are clear.

    Monte Carlo knows San Francisco by its one day, V = -13. TD knows that San José is worth -9, the mean of four days,
    and that it lies an hour ahead, V = -10.
    """
    return as_trajectories(route(), [[0, 1, 2, 3], [1, 3], [1, 3], [1, 3]])


def predictor() -> MDP:
    """A (0) leads to B (1), which ends with reward 1 (2) three times of four, else with 0 (3): "you are the predictor".

    Reference: Sutton & Barto 2018, example 6.4. V(A) = V(B) = 3/4.
    """
    transition, reward = np.zeros((4, 1, 4)), np.zeros((4, 1, 4))
    transition[0, 0, 1], transition[1, 0, 2], transition[1, 0, 3] = 1.0, 0.75, 0.25
    reward[1, 0, 2] = 1.0
    return mdp(transition, reward, discount=1.0, start=[0.125, 0.875, 0.0, 0.0], terminal=[2, 3])


def predictor_episodes() -> Trajectories:
    """The eight episodes of example 6.4: A 0 B 0, six times B 1, and B 0. Of V(A) batch TD says 3/4, Monte Carlo 0."""
    return as_trajectories(predictor(), [[0, 1, 3], *[[1, 2]] * 6, [1, 3]])


def maximization_bias(actions: int = 10) -> MDP:
    """A (0), where the first half of the actions goes left to B (1) and the others right to the end (2), all for 0.

    Every action of B ends with reward 1 (3) or -1 (4), and -0.1 on average, so going left is wrong, but the largest of
    many estimates looks right. Reference: Sutton & Barto 2018, example 6.7. Deviations: its reward is normal, of
    deviation 1, here a coin's, of deviation 0.995; and A has two actions, here copies of them, as all states of an MDP
    have the same number, so by chance half of the actions go left there as here. Raises `ValueError` for an odd number.
    """
    if actions < 2 or actions % 2:
        raise ValueError(f"actions={actions} must be even: half of them go left")
    transition, reward = np.zeros((5, actions, 5)), np.zeros((5, actions, 5))
    transition[0, : actions // 2, 1] = transition[0, actions // 2 :, 2] = 1.0
    transition[1, :, 3], transition[1, :, 4] = 0.45, 0.55
    reward[1, :, 3], reward[1, :, 4] = 1.0, -1.0
    return mdp(transition, reward, discount=1.0, start=0, terminal=[2, 3, 4])


def cliff_walking(*, discount: Any = 1.0, horizon: int | None = None) -> MDP:
    """4 rows of 12, numbered by rows: from the bottom left (36) to the bottom right (47, the end), -1 a step.

    Between them is the cliff (37 to 46): who steps off pays 100 and is back at the start. Reference: Sutton & Barto
    2018, example 6.6. The best way is 13 steps along the edge, V*(36) = -13.
    """
    rows, columns = 4, 12
    transition, reward = np.zeros((48, 4, 48)), np.zeros((48, 4, 48))
    for s in range(48):
        for a, (down, right) in enumerate(MOVES):
            there = np.clip(s // columns + down, 0, rows - 1) * columns + np.clip(s % columns + right, 0, columns - 1)
            off = 36 < there < 47
            transition[s, a, 36 if off else there] = 1.0
            reward[s, a, 36 if off else there] = -100.0 if off else -1.0
    return mdp(transition, reward, discount=discount, start=36, terminal=[47], horizon=horizon)


def dyna_maze(*, discount: Any = 0.95) -> MDP:
    """`DYNA_MAZE`: states are its 47 free cells, numbered by rows, with reward 1 at the goal, 14 steps from the start.

    Reference: Sutton & Barto 2018, example 8.1.
    """
    return from_grid(DYNA_MAZE, discount=discount)
