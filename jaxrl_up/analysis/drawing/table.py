"""An episode as a table of steps, for environments that are not drawn and for terminals."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxrl_up.analysis.drawing.episode import ACTIONS, MOVES, Episode, parameter
from jaxrl_up.analysis.drawing.scenes import channels, executed_action, is_grid
from jaxrl_up.envs import Box, Env


def episode_table(env: Env, episode: Episode, head: int = 30, tail: int = 10) -> str:
    """The steps of an episode as lines `step, observation, action, reward`; those in the middle of a long one are cut.

    A last line says how the episode ended, and in which observation.
    """
    rows = [("step", "observation", "action", "reward")]
    cut = episode.length - head - tail
    for t in range(episode.length):
        if cut > 0 and head <= t < head + cut:
            if t == head:
                rows.append(("...", f"({cut} more)", "", ""))
            continue
        observation, action = observation_text(env, episode.observations[t]), action_text(env, episode.actions[t])
        rows.append((str(t), observation, action, f"{episode.rewards[t] + 0.0:.4g}"))
    rows.append((str(episode.length), observation_text(env, episode.observations[-1]), episode.ending, ""))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def action_text(env: Env, action: Any) -> str:
    """An action in words where it has any: `left`, `torque +1.20 N m`; else as numbers."""
    action = np.asarray(action)
    if isinstance(env.action_space, Box):
        values = " ".join(f"{x:+.2f}" for x in executed_action(env, action).ravel())
        return {"Pendulum-v1": f"torque {values} N m", "MountainCarContinuous-v0": f"force {values}"}.get(
            env.name, f"action {values}"
        )
    if env.name == "Acrobot-v1":
        return f"torque {parameter(env, 'available_torque')[int(action)]:+g} N m"
    names = ACTIONS.get(env.name, ())
    if "MinAtar" in env.name and env.action_space.n == len(MOVES):  # the full set of actions
        names = MOVES
    return names[int(action)] if len(names) == env.action_space.n else f"action {int(action)}"


def observation_text(env: Env, observation: Any) -> str:
    """An observation in a few words: its first eight numbers, or how many cells each channel of a grid has set."""
    observation = np.asarray(observation)
    if is_grid(env):
        counts = (observation > 0).reshape(-1, len(channels(env))).sum(axis=0)
        return ", ".join(f"{name} {count}" for name, count in zip(channels(env), counts, strict=True) if count)
    values = observation.ravel()
    more = f" ... ({values.size} numbers)" if values.size > 8 else ""
    return " ".join(f"{float(x):.3g}" for x in values[:8]) + more


def _number(x: float) -> str:
    """A whole number as one, else to two decimals."""
    return str(int(x)) if float(x).is_integer() else f"{x:.2f}"
