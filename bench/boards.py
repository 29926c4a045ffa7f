"""Tic-tac-toe solved: every position, what it is worth, and whether who moves in a fixed way can be beaten."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_up import envs


class Solved(NamedTuple):
    """The 4,520 positions in which somebody is to move, the empty board first; everything is the mover's view."""

    obs: Any  # [N, ...], with simulators
    q: np.ndarray  # float32 [N, 9], what each move is worth, -2 where it is not legal
    after: np.ndarray  # int32 [N, 9], the position that a move leads to; -1 where the game ends, or the move is none

    @property
    def value(self) -> np.ndarray:
        """What each position is worth `[N]`: 1, 0 or -1."""
        return self.q.max(axis=1)


def solve() -> Solved:
    """All positions of tic-tac-toe by minimax, in NumPy."""
    env = envs.with_simulator("pgx/tic_tac_toe")
    step = jax.jit(jax.vmap(lambda state, action: envs.simulate(env, jax.random.key(0), state, action)))
    _, first = env.reset(jax.random.key(0))
    levels, found, total = [], {}, 0
    obs = jax.tree.map(lambda x: np.asarray(x)[None], first)
    moves: list[tuple[int, int, bytes | None, float]] = []  # position, move, the board after it, reward
    found[np.asarray(first["board"]).tobytes()] = 0
    total = 1
    while len(obs["mask"]):
        levels.append(obs)
        start = total - len(obs["mask"])
        row, action = np.nonzero(obs["mask"])
        state = jax.tree.map(lambda x, row=row: jnp.asarray(x[row]), obs["simulator"])
        _, reached, reward, discount = jax.tree.map(np.asarray, step(state, jnp.asarray(action, jnp.int32)))
        new = []
        for i in range(len(row)):
            key = reached["board"][i].tobytes()
            going = discount[i] > 0
            if going and key not in found:
                found[key] = total
                total += 1
                new.append(i)
            moves.append((start + int(row[i]), int(action[i]), key if going else None, float(reward[i])))
        obs = jax.tree.map(lambda x, new=new: x[np.array(new, int)], reached)
    q, after = np.full((total, 9), -2.0, np.float32), np.full((total, 9), -1, np.int32)
    for position, action, key, reward in reversed(moves):  # later ones first
        after[position, action] = -1 if key is None else found[key]
        q[position, action] = reward if key is None else -q[found[key]].max()
    return Solved(jax.tree.map(lambda *xs: jnp.concatenate(xs), *levels), q, after)


def optimal_share(solved: Solved, action: np.ndarray) -> float:
    """In how many of all positions a move keeps what the position is worth."""
    return float(np.mean(solved.q[np.arange(len(action)), action] == solved.value))


def blunders(solved: Solved, action: np.ndarray) -> int:
    """Positions in which `action [N]` loses what was not lost, of those that it can meet, whatever the other replies.

    Games in which it moves first and in which it moves second.
    """
    met, stack, bad = set(), [0, *(x for x in solved.after[0] if x >= 0)], 0
    while stack:
        position = int(stack.pop())
        if position in met:
            continue
        met.add(position)
        move = int(action[position])
        bad += solved.value[position] > -1 and solved.q[position, move] == -1
        reply = solved.after[position, move]
        if reply >= 0:
            stack += [x for x in solved.after[reply] if x >= 0]
    return bad
