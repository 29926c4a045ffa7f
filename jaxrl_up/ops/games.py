"""What games between players say of them: wins, draws and losses, and ratings."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

ELO_SCALE = 400.0 / np.log(10.0)  # points by which the odds grow e-fold


class Shares(NamedTuple):
    """Shares of games that were won, drawn and lost; their sum is 1."""

    win: np.ndarray
    draw: np.ndarray
    loss: np.ndarray


def win_draw_loss(mean: Any, std: Any) -> Shares:
    """Shares of games of which each earned 1, 0 or -1, from the mean and the standard deviation of what they earned.

    With m = win - loss and m^2 + s^2 = win + loss: win = (m^2 + s^2 + m) / 2, loss = (m^2 + s^2 - m) / 2. Arrays of
    any one shape, in 64 bits, cut to [0, 1] where rounding left it. NaN where either is.

    >>> [float(x) for x in win_draw_loss(np.array(0.0), np.array(1.0))]
    [0.5, 0.0, 0.5]
    """
    mean, std = np.asarray(mean, np.float64), np.asarray(std, np.float64)
    decided = mean**2 + std**2
    win, loss = (np.clip((decided + sign * mean) / 2, 0.0, 1.0) for sign in (1, -1))
    return Shares(win, np.clip(1.0 - win - loss, 0.0, 1.0), loss)


def elo(points: np.ndarray, prior: float = 1.0, tolerance: float = 1e-9, iterations: int = 100_000) -> np.ndarray:
    """Ratings `[P]` of players by what they scored against one another, on Elo's scale; the first one's is 0.

    `points [P, P]` holds in row i what player i scored against each j: 1 for a win and 1/2 for a draw, so that
    `points + points.T` counts games. A player of rating R_i is expected to score 1 / (1 + 10^((R_j - R_i) / 400)) of a
    game against j (Elo 1978). The ratings are those of greatest likelihood (Bradley & Terry 1952), found as Hunter
    (2004, equation 3) does: g_i <- w_i / sum_j n_ij / (g_i + g_j), where w_i are i's points and R = 400 log10 g.

    `prior` drawn games are added between all who played one another, which keeps a player who won or lost everything
    finite. Raises `ValueError` for points that are not square, negative or not numbers, for a prior below 0, and where
    games leave two groups unconnected.

    >>> float(elo(np.array([[0, 1], [3, 0]]), prior=0.0).round(1)[1])  # three of four points: odds of 3 to 1
    190.8
    """
    from scipy.sparse.csgraph import connected_components

    points = np.asarray(points, np.float64)
    if points.ndim != 2 or points.shape[0] != points.shape[1] or points.size == 0:
        raise ValueError(f"points of shape {points.shape}: give [P, P], what each player scored against each")
    if not (np.isfinite(points).all() and (points >= 0).all()):
        raise ValueError("points must be numbers from 0 on")
    if not prior >= 0:
        raise ValueError(f"prior={prior} must be at least 0")
    points = points * (1.0 - np.eye(len(points)))
    games = points + points.T
    points, games = points + prior / 2 * (games > 0), games + prior * (games > 0)
    if connected_components(points > 0, connection="strong")[0] > 1:
        raise ValueError("some players never scored against the others, directly or not: play more games, or prior > 0")
    strength = np.ones(len(points))
    for _ in range(iterations):
        better = (
            points.sum(axis=1) / (games / (strength[:, None] + strength)).sum(axis=1) if len(points) > 1 else strength
        )
        better = better / better[0]
        change = np.abs(np.log(better / strength)).max()
        strength = better
        if change < tolerance:
            break
    return ELO_SCALE * np.log(strength)
