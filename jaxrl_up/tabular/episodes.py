"""Episodes written down by hand, and how long episodes were that a learner went through, and what they gave."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np

from jaxrl_up.tabular.finite_mdp import MDP
from jaxrl_up.tabular.trajectories import Trajectories, _with_rewards

if TYPE_CHECKING:
    from jaxrl_up.tabular.control import Learned


def as_trajectories(
    mdp: MDP, states: Sequence[Sequence[int]], actions: Sequence[Sequence[int]] | None = None
) -> Trajectories:
    """Episodes that were written down: the states of each, one more than its actions; None: always action 0.

    Rewards are those of the MDP. Outside `jit`. Raises `ValueError` for an episode without a step, one that goes on
    after a terminal state, numbers that are no states or actions, or a shorter episode among longer ones that does not
    end.
    """
    actions = [[0] * (len(episode) - 1) for episode in states] if actions is None else actions
    if not states or len(states) != len(actions):
        raise ValueError(f"give at least one episode, and the actions of each, got {len(states)} and {len(actions)}")
    terminal, steps = np.asarray(mdp.terminal), max(len(episode) for episode in states) - 1
    padded = np.zeros((steps + 1, len(states)), np.int32), np.zeros((steps, len(states)), np.int32)
    for n, (visited, done) in enumerate(zip(states, actions, strict=True)):
        if len(visited) < 2 or len(done) != len(visited) - 1:
            raise ValueError(f"episode {n} has {len(visited)} states and {len(done)} actions: at least 2, and one less")
        if not all(0 <= s < mdp.states for s in visited) or not all(0 <= a < mdp.actions for a in done):
            raise ValueError(f"episode {n}: states go from 0 to {mdp.states - 1}, actions to {mdp.actions - 1}")
        if terminal[list(visited[:-1])].any():
            raise ValueError(f"episode {n} goes on after a terminal state")
        if len(done) < steps and not terminal[visited[-1]]:
            raise ValueError(f"episode {n} is shorter than the longest, and does not end in a terminal state")
        padded[0][:, n] = [*visited, *[visited[-1]] * (steps - len(done))]
        padded[1][: len(done), n] = done
    return _with_rewards(mdp, *map(jnp.asarray, padded))


def episode_lengths(learned: Learned) -> np.ma.MaskedArray:
    """Steps of each episode that ended, `[..., E]`, of `[..., N]` steps; where there are several runs, masked in those
    in which fewer episodes ended. Outside `jit`."""
    return _by_episode(np.asarray(learned.ended), np.ones(np.shape(learned.ended)))


def episode_returns(learned: Learned) -> np.ma.MaskedArray:
    """Sum of rewards of each episode that ended, undiscounted, `[..., E]`; as `episode_lengths`."""
    return _by_episode(np.asarray(learned.ended), np.asarray(learned.rewards, float))


def _by_episode(ended: np.ndarray, x: np.ndarray) -> np.ma.MaskedArray:
    """Sums of `x` `[..., N]` over the episodes, `[..., E]`."""
    number = ended.sum(-1)
    found = np.ma.masked_all((*ended.shape[:-1], int(number.max(initial=0))))
    for where in np.ndindex(ended.shape[:-1]):
        totals = np.cumsum(x[where])[ended[where]]
        found[where][: number[where]] = np.diff(totals, prepend=0.0)
    return found
