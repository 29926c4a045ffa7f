"""One episode of a policy as data, and the words for what happens in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxrl_up.envs import Counted, Env, Limited, Randomized, Stacked, Sticky, Timed
from jaxrl_up.types import PyTree

MOVES = ("none", "left", "up", "right", "down", "fire")
ACTIONS = {
    "CartPole-v1": ("left", "right"),
    "MountainCar-v0": ("left", "none", "right"),
    "Asterix-MinAtar": MOVES[:5],
    "Breakout-MinAtar": ("none", "left", "right"),
    "Freeway-MinAtar": ("none", "up", "down"),
    "SpaceInvaders-MinAtar": ("none", "left", "right", "fire"),
    "Seaquest-MinAtar": MOVES,
    "Catch-bsuite": ("left", "none", "right"),
}
"""What the actions of an environment are called, by its name."""
CHANNELS = {
    "Asterix-MinAtar": ("player", "enemy", "trail", "gold"),
    "Breakout-MinAtar": ("paddle", "ball", "trail", "brick"),
    "Freeway-MinAtar": ("chicken", "car", *(f"speed {i}" for i in range(1, 6))),
    "Seaquest-MinAtar": ("submarine", "its stern", "its bullet", "trail", "enemy bullet", "fish", "enemy sub",
                         "oxygen", "divers aboard", "diver"),
    "SpaceInvaders-MinAtar": ("cannon", "alien", "going left", "going right", "own bullet", "alien bullet"),
    "Pong-misc": ("paddle", "ball", "trail"),
    "Catch-bsuite": ("ball, paddle",),
    "DeepSea-bsuite": ("agent",),
}  # fmt: skip
"""What the channels of an image observation hold, by the name of the environment."""


class Episode(NamedTuple):
    """One episode of T steps, on the host. Action t was chosen in state t; the last state is the one it ended in."""

    states: PyTree  # [T + 1, ...], of the environment
    observations: PyTree  # [T + 1, ...], arrays in the tree of their space
    actions: PyTree  # [T, ...], as the policy gave them, likewise
    rewards: np.ndarray  # float32 [T]
    terminated: bool
    truncated: bool  # neither: it met the step cap

    @property
    def length(self) -> int:
        """T, environment steps."""
        return len(self.rewards)

    @property
    def total_return(self) -> float:
        """The undiscounted sum of the rewards."""
        return float(np.sum(self.rewards, dtype=np.float64))

    @property
    def ending(self) -> str:
        """How it ended: `terminated`, `time limit` or `stopped`."""
        return "terminated" if self.terminated else "time limit" if self.truncated else "stopped"


def parameter(env: Env, name: str) -> np.ndarray:
    """The value of a parameter of the environment, traced or static."""
    return np.asarray({**dict(env.spec.fixed), **env.params}[name])


def as_played(env: Env, episode: Episode) -> Env:
    """The environment with the parameters that `randomize` drew for an episode, if it did."""
    for state in _states(episode):
        if isinstance(state, Randomized):
            env = env.with_params(**{name: values[0] for name, values in state.drawn.items()})
    return env


def state_at(episode: Episode, t: int) -> Any:
    """State t, without those of wrappers."""
    *_, state = _states(episode)
    return jax.tree.map(lambda x: x[t], state)


def _states(episode: Episode) -> Iterator[Any]:
    """The states of wrappers, the outermost first, and what is within them."""
    state = episode.states
    while isinstance(state, Limited | Counted | Sticky | Stacked | Timed | Randomized):
        yield state
        state = state.inner
    yield state


def action_at(episode: Episode, t: int) -> Any:
    """Action t, in the tree of its space."""
    return jax.tree.map(lambda x: x[t], episode.actions)
