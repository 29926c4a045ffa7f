"""An episode as a table of steps, for environments that are not drawn and for terminals."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from jaxrl_up.analysis.drawing.boards import board_table, move_text
from jaxrl_up.analysis.drawing.episode import ACTIONS, MOVES, Episode, action_at, as_played, parameter
from jaxrl_up.analysis.drawing.scenes import channels, executed_action, is_grid
from jaxrl_up.envs import LEAVES, Box, Discrete, Env, Leaf, Mask, Simulator, leaves, parts

NUMBERS, PART_NUMBERS, FLAGS = 8, 4, 24  # how many are shown of an observation, of a part of one, of a mask


def episode_table(env: Env, episode: Episode, head: int = 30, tail: int = 10) -> str:
    """The steps of an episode as lines `step, observation, action, reward`; those in the middle of a long one are cut.

    Each part of a composed observation or action has a column, named by its path: `arm/camera`, `action/gear`. A
    simulator has none. A last line says how the episode ended, and in which observation. Of a game it is every board.
    """
    env = as_played(env, episode)
    if env.spec.board is not None:
        return board_table(env, episode)
    observed, acted = _observed(env), _acted(env)
    rows = [("step", *observed, *acted, "reward")]
    cut = episode.length - head - tail
    for t in range(episode.length):
        if cut > 0 and head <= t < head + cut:
            if t == head:
                rows.append(("...", f"({cut} more)", *[""] * (len(rows[0]) - 2)))
            continue
        cells = (*_observation_cells(env, episode, t), *_action_cells(env, episode, t))
        rows.append((str(t), *cells, f"{episode.rewards[t] + 0.0:.4g}"))
    last = _observation_cells(env, episode, episode.length)
    rows.append((str(episode.length), *last, episode.ending, *[""] * len(acted)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def acted_text(env: Env, episode: Episode, t: int) -> str:
    """Action t in words, as `action_text`; a move on a board as players call it."""
    return action_text(env, action_at(episode, t)) if env.spec.board is None else move_text(env, episode, t)


def action_text(env: Env, action: Any) -> str:
    """An action in words where it has any: `left`, `torque +1.20 N m`; else as numbers, those of a tree by path."""
    space = env.action_space
    if not isinstance(space, LEAVES):
        return ", ".join(
            f"{path} {_action_numbers(leaves(space)[path], x)}" for path, x in parts(space, action).items()
        )
    if isinstance(space, Box):
        values = _action_numbers(space, executed_action(env, action))
        return {"Pendulum-v1": f"torque {values} N m", "MountainCarContinuous-v0": f"force {values}"}.get(
            env.name, f"action {values}"
        )
    if env.name == "Acrobot-v1":
        return f"torque {parameter(env, 'available_torque')[int(action)]:+g} N m"
    names = ACTIONS.get(env.name, ())
    if "MinAtar" in env.name and isinstance(space, Discrete) and space.n == len(MOVES):  # the full set of actions
        names = MOVES
    named = isinstance(space, Discrete) and len(names) == space.n
    return names[int(action)] if named else f"action {_action_numbers(space, action)}"


def observation_text(env: Env, observation: Any) -> str:
    """An observation in a few words: its first numbers, those of a tree by path; of a grid how many cells are set."""
    space = env.observation_space
    if is_grid(env):
        counts = (np.asarray(observation) > 0).reshape(-1, len(channels(env))).sum(axis=0)
        return ", ".join(f"{name} {count}" for name, count in zip(channels(env), counts, strict=True) if count)
    if isinstance(space, LEAVES):
        return _part_text(space, observation, NUMBERS)
    return ", ".join(f"{path} {text}" for path, text in _cells(env, observation).items())


def _observed(env: Env) -> list[str]:
    """The columns of an observation."""
    space = env.observation_space
    if isinstance(space, LEAVES):
        return ["observation"]
    return [path for path, leaf in leaves(space).items() if not isinstance(leaf, Simulator)]


def _acted(env: Env) -> list[str]:
    """The columns of an action."""
    space = env.action_space
    return ["action"] if isinstance(space, LEAVES) else [f"action/{path}" for path in leaves(space)]


def _observation_cells(env: Env, episode: Episode, t: int) -> list[str]:
    observation = jax.tree.map(lambda x: x[t], episode.observations)
    if isinstance(env.observation_space, LEAVES):
        return [observation_text(env, observation)]
    return list(_cells(env, observation).values())


def _cells(env: Env, observation: Any) -> dict[str, str]:
    """What each part of a composed observation is, by path."""
    kinds, found = leaves(env.observation_space), parts(env.observation_space, observation)
    return {path: _part_text(kinds[path], found[path], PART_NUMBERS) for path in _observed(env)}


def _action_cells(env: Env, episode: Episode, t: int) -> list[str]:
    space, action = env.action_space, action_at(episode, t)
    if isinstance(space, LEAVES):
        return [action_text(env, action)]
    kinds = leaves(space)
    return [_action_numbers(kinds[path], x) for path, x in parts(space, action).items()]


def _part_text(leaf: Leaf, observation: Any, most: int) -> str:
    """The first numbers of an array; of a mask which actions are allowed, as `01 110` of two and three."""
    if isinstance(leaf, Simulator):
        return "a simulator"
    values = np.asarray(observation).ravel()
    if isinstance(leaf, Mask):
        if values.size > FLAGS:
            return f"{values.sum()} of {values.size} allowed"
        groups = np.split(values.astype(int), np.cumsum(leaf.sizes[:-1]))
        return " ".join("".join(map(str, group)) for group in groups)
    return _first([f"{float(x):.3g}" for x in values[:most]], values.size)


def _action_numbers(leaf: Leaf, action: Any) -> str:
    """The first numbers of an action, or of a part of one: those of a Box with their signs, to two decimals."""
    values = np.asarray(action).ravel()
    numbers = [f"{x:+.2f}" if isinstance(leaf, Box) else str(int(x)) for x in values[:NUMBERS]]
    return _first(numbers, values.size)


def _first(numbers: list[str], size: int) -> str:
    return " ".join(numbers) + (f" ... ({size} numbers)" if size > len(numbers) else "")


def _number(x: float) -> str:
    """A whole number as one, else to two decimals."""
    return str(int(x)) if float(x).is_integer() else f"{x:.2f}"
