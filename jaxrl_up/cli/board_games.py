"""A game between a person and a policy, line by line."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_up.envs import Env, board_of, board_text, own_state
from jaxrl_up.experiments import lively
from jaxrl_up.types import Array, Key, PyTree

STONES = {False: "X", True: "O"}
COLOURS = {"X": "\x1b[34;1m", "O": "\x1b[31;1m"}
LISTED = 40  # moves of one line
COMMANDS = {
    "hint": "what the other would play here, and what it thinks of the moves",
    "undo": "take your last move back, and the answer to it",
    "moves": "the moves that you have",
    "quit": "leave the game",
}


class Rival(NamedTuple):
    """Who a person plays against, in a game of two players."""

    name: str
    env: Env
    begin: Callable[[Key], PyTree]
    """key -> what it remembers at the beginning of a game"""
    act: Callable[[PyTree, PyTree, Key], tuple[Array, PyTree]]
    """(obs, memory, key) -> its action, and the memory after it"""
    judge: Callable[[PyTree, PyTree], dict[str, Array]] | None = None
    """(obs, memory) -> what it holds of the actions: see `Algorithm.judge`"""


class Place(NamedTuple):
    """Where a game stands."""

    state: PyTree
    obs: PyTree
    memory: PyTree


class Game:
    """One game, of a person who has the first moves or the second ones."""

    def __init__(self, rival: Rival, person_first: bool, key: Key, colours: bool) -> None:
        self.rival, self.env, self.board = rival, rival.env, board_of(rival.env)
        self.person, self.key, self.colours = not person_first, key, colours
        self.step = jax.jit(self.env.spec.step)
        state, obs = self.env.reset(self.draw())
        self.place, self.before = Place(state, obs, rival.begin(self.draw())), []
        self.reward, self.over = 0.0, False

    def draw(self) -> Key:
        """A key that was not used."""
        self.key, key = jax.random.split(self.key)
        return key

    @property
    def second(self) -> bool:
        """Whether who did not begin is to move."""
        return self.board.second(own_state(self.place.state))

    def legal(self) -> list[int]:
        """The actions of who is to move."""
        return np.flatnonzero(np.asarray(self.place.obs["mask"])).tolist()

    def named(self, action: int) -> str:
        """An action as players call it."""
        return self.board.move(own_state(self.place.state), action)

    def play(self, action: int, memory: PyTree) -> None:
        """Make a move for who is to move."""
        mover = self.second
        state, obs, reward, terminated, truncated, _ = self.step(
            self.env.params, self.draw(), self.place.state, jnp.int32(action)
        )
        self.place, self.over = Place(state, obs, memory), bool(terminated | truncated)
        self.reward = float(reward) * (1 if mover == self.person else -1)

    def drawn(self) -> str:
        """The board; in colours if it is to be."""
        text = board_text(self.env, self.place.state, () if self.over or self.second != self.person else self.legal())
        if not self.colours:
            return text
        *rows, last = text.split("\n")
        rows = [re.sub("[XO]", lambda stone: f"{COLOURS[stone[0]]}{stone[0]}\x1b[0m", row) for row in rows]
        return "\n".join((*rows, last))


def converse(game: Game, lines: Iterable[str], say: Callable[[str], None], ask: Callable[[], None]) -> None:
    """Play a game through by what stands in lines; `ask` is called before each is read, `say` with what is to be seen.

    It ends with the game, with `quit`, or with the lines.
    """
    reader = iter(lines)
    you, other = STONES[game.person], STONES[not game.person]
    say(f"{game.rival.name}\nYou are {you} and move {'second' if game.person else 'first'}. {_help()}")
    while not game.over:
        if game.second != game.person:
            action, memory = game.rival.act(game.place.obs, game.place.memory, game.draw())
            name = game.named(int(action))
            game.play(int(action), memory)
            say(f"\n{other} plays {name}")
            continue
        say(f"\n{game.drawn()}\n{_moves(game)}")
        if not _persons_move(game, reader, say, ask):
            say("\nThe game is left.")
            return
    ending = "You win." if game.reward > 0 else "You lose." if game.reward < 0 else "A draw."
    say(f"\n{game.drawn()}\n\n{ending}")


def _persons_move(game: Game, reader: Any, say: Callable[[str], None], ask: Callable[[], None]) -> bool:
    """Read until a move is made or taken back; False where the game is left."""
    while True:
        ask()
        line = next(reader, None)
        word = (line or "").strip().lower()
        if line is None or word in ("quit", "q", "exit"):
            return False
        legal = {game.named(action).lower(): action for action in game.legal()}
        if word in legal:
            game.before.append(game.place)
            game.play(legal[word], game.place.memory)
            return True
        if word in ("undo", "u"):
            if game.before:
                game.place = game.before.pop()
                return True
            say("There is no move of yours to take back.")
        elif word in ("hint", "h"):
            say(_hint(game))
        elif word in ("moves", "m"):
            say(_moves(game, len(legal)))
        elif word in ("help", "?"):
            say(_help())
        elif word:
            say(f"{line.strip()!r} is no move that you have, nor {', '.join(COMMANDS)}. {_moves(game)}")


def _help() -> str:
    return "Name a move, or: " + "; ".join(f"{name} ({text})" for name, text in COMMANDS.items()) + "."


def _moves(game: Game, most: int = LISTED) -> str:
    names = [game.named(action) for action in game.legal()]
    more = f" ... ({len(names)}: `moves` lists all)" if len(names) > most else ""
    return f"Your moves: {' '.join(names[:most])}{more}"


def _hint(game: Game, most: int = 5) -> str:
    """The rival's choice in the person's place, and what it holds of the best moves."""
    action, _ = game.rival.act(game.place.obs, game.place.memory, game.draw())
    text = f"It would play {game.named(int(action))}."
    if game.rival.judge is None:
        return text
    held = {name: np.asarray(x) for name, x in game.rival.judge(game.place.obs, game.place.memory).items()}
    if "value" in held:
        text += f" It holds the position for {float(held['value']):+.2f}."
    for name, form in (("probabilities", "{:.0%}"), ("values", "{:+.2f}")):
        if name in held:
            best = sorted(game.legal(), key=lambda action: -held[name][action])[:most]
            text += f" Its {name}: " + ", ".join(f"{game.named(a)} {form.format(held[name][a])}" for a in best) + "."
    return text


def coloured(stream: Any = None) -> bool:
    """Whether a stream shows colours and nobody asked for none (https://no-color.org)."""
    stream = sys.stdout if stream is None else stream
    return lively(stream)
