"""Boards of pgx as `Env` records of two players. An extra, `jaxrl-up[boards]`; pgx is imported on first use.

Everything is the mover's view: the observation is what who is to move sees, `board` and the `mask` of legal actions,
and the reward of a step that of who just moved. So the next observation is the opponent's, and V(s) = max_a r - V(s').
Games end by their own rules, by termination, unless a time limit is asked for. Who moves first bears no number here.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_up.config import is_number, plain, shown
from jaxrl_up.envs.boards.games import BOARDS
from jaxrl_up.envs.core import Env, Spec, builder, did_you_mean, strong, strong_tree
from jaxrl_up.envs.spaces import Box, Dict, Discrete, Mask
from jaxrl_up.envs.suites.brax_physics import undisturbed
from jaxrl_up.envs.suites.limits import limit_of
from jaxrl_up.types import Array, Key, PyTree

LISTING = {  # name -> observations, actions, time limit
    "pgx/tic_tac_toe": ("board [3, 3, 2], mask", "Discrete(9)", None),
    "pgx/connect_four": ("board [6, 7, 2], mask", "Discrete(7)", None),
    "pgx/othello": ("board [8, 8, 2], mask", "Discrete(65)", None),
    "pgx/hex": ("board [11, 11, 4], mask", "Discrete(122)", None),
    "pgx/go_9x9": ("board [9, 9, 17], mask", "Discrete(82)", None),
    "pgx/go_19x19": ("board [19, 19, 17], mask", "Discrete(362)", None),
    "pgx/animal_shogi": ("board [4, 3, 194], mask", "Discrete(132)", None),
    "pgx/gardner_chess": ("board [5, 5, 115], mask", "Discrete(1225)", None),
    "pgx/chess": ("board [8, 8, 119], mask", "Discrete(4672)", None),
    "pgx/shogi": ("board [9, 9, 119], mask", "Discrete(2187)", None),
}
GAMES = {  # name -> module and class, what its constructor is given, and the moves of its longest game
    "pgx/tic_tac_toe": ("tic_tac_toe", "TicTacToe", {}, 9),
    "pgx/connect_four": ("connect_four", "ConnectFour", {}, 42),
    "pgx/othello": ("othello", "Othello", {}, 120),  # 60 stones, and not two passes in turn
    "pgx/hex": ("hex", "Hex", {}, 122),
    "pgx/go_9x9": ("go", "Go", {"size": 9, "komi": 7.5}, 2 * 9**2),
    "pgx/go_19x19": ("go", "Go", {"size": 19, "komi": 7.5}, 2 * 19**2),
    "pgx/animal_shogi": ("animal_shogi", "AnimalShogi", {}, 256),
    "pgx/gardner_chess": ("gardner_chess", "GardnerChess", {}, 256),
    "pgx/chess": ("chess", "Chess", {}, 512),
    "pgx/shogi": ("shogi", "Shogi", {}, None),
}
REFUSED = {  # what pgx has too, and why it is none of these
    "2048": "has one player",
    "backgammon": "has dice",
    "kuhn_poker": "hides cards",
    "leduc_holdem": "hides cards",
    "bridge_bidding": "hides cards",
    "mahjong": "hides tiles",
    "sparrow_mahjong": "hides tiles",
}
OPTIONS = ("komi", "history_length", "max_terminal_steps")  # those of go; sizes are names
DERIVED = ("observation", "rewards", "truncated")  # fields of pgx's states that no step reads


class BoardState(NamedTuple):
    """What steps read of pgx's own state, by the names of its fields."""

    game: dict[str, PyTree]


def make(name: str, max_steps: int | None, options: dict[str, Any]) -> Env:
    """Build a board of pgx, `name` with the suite's prefix; see `jaxrl_up.envs.make`.

    Options go to pgx's constructor and are static: go has `komi`, `history_length` and `max_terminal_steps`. Raises
    ValueError for what is no board of two players who see all and leave nothing to chance.
    """
    game = name.partition("/")[2]
    if name not in LISTING:
        known = [known.partition("/")[2] for known in LISTING]
        reason = next((why for other, why in REFUSED.items() if game == other), None)
        if game.startswith("minatar"):
            reason = "has one player: take gymnax's, as Breakout-MinAtar"
        why = f"{name!r} {reason}" if reason else f"There is no environment {name!r}"
        raise ValueError(f"{why}. {did_you_mean(game, known)}")
    accepted = set(inspect.signature(_class(name)).parameters) & set(OPTIONS)
    fixed = {key: _number(name, key, value, accepted) for key, value in options.items()}
    return Env(params={}, spec=_spec(name, limit_of(name, max_steps), tuple(sorted(fixed.items()))))


def _number(name: str, key: str, value: Any, accepted: set[str]) -> Any:
    if key in ("depth", "first"):
        raise ValueError(f"{key!r} is an option of the opponent of {name}: give one, as opponent='random'")
    if key not in accepted:
        raise ValueError(f"{name} has no parameter {key!r}. {did_you_mean(key, accepted)}")
    number = plain(value)
    whole = isinstance(number, int) and not isinstance(number, bool) and number >= 1
    if not (whole or (key == "komi" and is_number(number) and np.isfinite(number))):
        what = "a finite number" if key == "komi" else "an integer >= 1"
        raise ValueError(f"{key!r} of {name} must be {what}, got {shown(value)}")
    return float(number) if key == "komi" else number


@builder
def _spec(name: str, limit: int | None, fixed: tuple[tuple[str, Any], ...]) -> Spec:
    """The Spec; cached, so that equal options share functions and with them the compiled program."""
    game, first = _game(name, fixed)
    kept = {field: value for field, value in vars(first).items() if field not in DERIVED}
    board = first.observation
    one_step = jax.jit(game.step)  # traced once for each shape

    def observed(state: Any) -> PyTree:
        return {"board": strong(state.observation, board.dtype), "mask": state.legal_action_mask}

    def reset(params: Any, key: Key) -> Any:
        return jax.tree.map(jnp.asarray, (BoardState(kept), observed(first)))

    @undisturbed()
    def step(params: Any, key: Key, state: BoardState, action: Array) -> Any:
        before = first.replace(**state.game)
        after = strong_tree(one_step(before, action))
        reached = BoardState({field: getattr(after, field) for field in kept})
        reward = after.rewards[before.current_player]
        truncated = jnp.bool_(False) if limit is None else after._step_count >= limit
        return reached, observed(after), reward, after.terminated, truncated, {}

    binary = board.dtype == np.bool_
    return Spec(
        name=name,
        reset=reset,
        step=step,
        observation_space=Dict(
            {
                "board": Box(0, 1, board.shape, board.dtype, binary=binary),
                "mask": Mask((len(first.legal_action_mask),)),
            }
        ),
        action_space=Discrete(len(first.legal_action_mask)),
        max_steps=limit,
        deterministic_reset=True,
        fixed=fixed,
        players=2,
        board=BOARDS.get(name.partition("/")[2]),
        longest=dict(fixed).get("max_terminal_steps", GAMES[name][-1]),
    )


@functools.cache
def _game(name: str, fixed: tuple[tuple[str, Any], ...]) -> tuple[Any, Any]:
    """A game of pgx and its first state as NumPy arrays: the one in which player 0 is to move."""
    *_, given, _ = GAMES[name]
    with jax.ensure_compile_time_eval(), undisturbed():
        game = _class(name)(**{**given, **dict(fixed)})
        states = (game.init(jax.random.key(seed)) for seed in range(64))
        first = next(state for state in states if state.current_player == 0)
        return game, jax.tree.map(np.asarray, strong_tree(first))


def _class(name: str) -> Any:
    """A class of pgx; raises ValueError, naming the extra, where it is not installed."""
    module, kind, *_ = GAMES[name]
    try:
        with jax.ensure_compile_time_eval(), undisturbed():  # modules hold arrays
            return getattr(importlib.import_module(f"pgx.{module}"), kind)
    except ImportError:
        raise ValueError("boards need libraries that are not installed: pip install 'jaxrl-up[boards]'") from None
