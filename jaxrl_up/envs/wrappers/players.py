"""Games of two players for who learns alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jaxrl_up.envs.boards.against import facing
from jaxrl_up.envs.core import Env
from jaxrl_up.envs.suites import find
from jaxrl_up.types import Key, PyTree


def against(
    env: Env | str,
    opponent: str | Callable[[PyTree, Key], Any] = "random",
    *,
    depth: int | None = None,
    first: bool | None = None,
) -> Env:
    """A game of two players as one of them sees it: `against("pgx/connect_four", "minimax", depth=4)`.

    A step is a move and the opponent's reply, its reward what the one earns less what the other does: where a win is 1,
    a game won has the return 1, a draw 0, a loss -1. `first` says who begins: True this player, False the opponent,
    None that it is drawn for each game.

    The opponent is "random", uniform over legal moves; "minimax", which plays tic-tac-toe without fault, and in
    connect four sees `depth` moves ahead (1 to 8): it wins as soon and loses as late as it can within them, and chooses
    at random among moves that are worth the same; `FILE.py:NAME` or `MODULE:NAME`, or a function `(obs, key) -> action`
    in JAX, which sees the game as its own side does. One that makes an illegal move loses by the rules of boards.

    `env` may have been wrapped, in with_simulator above all: that shows the state of the game, in which the opponent
    has no part, and comes to stand within whichever is applied first. By name it is
    `make("pgx/connect_four?opponent=minimax&depth=4")`. Raises ValueError for a game that has not two players, and for
    an opponent, a depth or a `first` that it has not.
    """
    return facing(find(env), opponent, depth, first)
