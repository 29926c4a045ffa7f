"""Tiny environments whose values are known exactly, to find out which part of a learner is wrong.

Each depends on one thing more than the one before: reward, observation, discount, action, both. `V` and `Q`
are discounted with gamma per step; all episodes start where the docstring says and end as it says.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_up.envs.core import Env
from jaxrl_up.envs.from_functions import from_functions
from jaxrl_up.envs.spaces import Box, Dict, Discrete, Mask, MultiDiscrete, Space, allows, sample
from jaxrl_up.types import Array, Key, face

NO, YES = np.bool_(False), np.bool_(True)  # NumPy: importing must not start JAX
UNIT = Box(-1.0, 1.0, (1,))
TWO = Discrete(2)


def _start_at_zero(key: Key, params: Any = None) -> Any:
    return jnp.zeros((), jnp.int32), jnp.zeros(1)


def _start_at_sign(key: Key, params: Any = None) -> Any:
    sign = jax.random.rademacher(key, (1,), jnp.float32)
    return sign, sign


def constant_reward(reward: float = 1.0, max_steps: int = 20, action_space: Space = TWO) -> Env:
    """Pay `reward` (traced) at each step, end by the time limit only: V = reward / (1 - gamma), always.

    Observation: always [0]. Actions have no effect. A learner that takes the limit for a
    termination, or lets advantages run over the reset, gets a smaller value.
    """
    return from_functions(
        _start_at_zero,
        _constant_reward_step,
        UNIT,
        action_space,
        max_steps,
        {"reward": reward},
        "constant_reward",
        deterministic_reset=True,
    )


def _constant_reward_step(key: Key, state: Array, action: Array, params: Any) -> Any:
    return state, jnp.zeros(1), params["reward"], NO, NO


def one_step() -> Env:
    """Pay 1 and terminate after one step: V([0]) = 1. Observation [0], action Discrete(2) without effect."""
    return from_functions(_start_at_zero, _one_step_step, UNIT, Discrete(2), name="one_step", deterministic_reset=True)


def _one_step_step(key: Key, state: Array, action: Array) -> Any:
    return state, jnp.zeros(1), 1.0, YES, NO


def observed_reward() -> Env:
    """Show -1 or +1 at random, pay just that, terminate: V([o]) = o. Action: Discrete(2), without effect."""
    return from_functions(_start_at_sign, _observed_reward_step, UNIT, Discrete(2), name="observed_reward")


def _observed_reward_step(key: Key, state: Array, action: Array) -> Any:
    return state, state, state[0], YES, NO


def delayed_reward(action_space: Space = TWO) -> Env:
    """Show [0], then [1]; pay 1 on leaving [1] and terminate: V([0]) = gamma, V([1]) = 1.

    Actions have no effect. The observation reached at the end is [1] as well, its value 0.
    """
    return from_functions(
        _start_at_zero,
        _delayed_reward_step,
        UNIT,
        action_space,
        name="delayed_reward",
        deterministic_reset=True,
    )


def _delayed_reward_step(key: Key, state: Array, action: Array) -> Any:
    last = state == 1
    return jnp.ones_like(state), jnp.ones(1), last.astype(jnp.float32), last, NO


def action_reward() -> Env:
    """Pay +1 for action 1 and -1 for action 0, terminate: Q([0], a) = 2a - 1, so V* = 1."""
    return from_functions(
        _start_at_zero, _action_reward_step, UNIT, Discrete(2), name="action_reward", deterministic_reset=True
    )


def _action_reward_step(key: Key, state: Array, action: Array) -> Any:
    return state, jnp.zeros(1), 2.0 * action - 1.0, YES, NO


def continuous_action_reward(target: float = 0.5, low: float = -1.0, high: float = 1.0) -> Env:
    """Pay -(a - target)^2 and terminate: Q([0], a) is just that, the best action is [target] and V* = 0.

    `target` is traced; the action space is Box(low, high, (1,)).
    """
    return from_functions(
        _start_at_zero,
        _continuous_action_reward_step,
        UNIT,
        Box(low, high, (1,)),
        params={"target": target},
        name="continuous_action_reward",
        deterministic_reset=True,
    )


def _continuous_action_reward_step(key: Key, state: Array, action: Array, params: Any) -> Any:
    return state, jnp.zeros(1), -((action[0] - params["target"]) ** 2), YES, NO


def matched_action_reward() -> Env:
    """Show o = -1 or +1; pay o (2a - 1), which is +1 if the action is (o + 1) / 2; terminate: V* = 1."""
    return from_functions(_start_at_sign, _matched_action_step, UNIT, Discrete(2), name="matched_action_reward")


def _matched_action_step(key: Key, state: Array, action: Array) -> Any:
    return state, state, state[0] * (2.0 * action - 1.0), YES, NO


def continuous_matched_action_reward(scale: float = 0.5) -> Env:
    """Show o = -1 or +1; pay -(a - scale * o)^2; terminate: the best action is [scale * o] and V* = 0.

    `scale` is traced; the action space is Box(-1, 1, (1,)).
    """
    return from_functions(
        _start_at_sign,
        _continuous_matched_step,
        UNIT,
        Box(-1.0, 1.0, (1,)),
        params={"scale": scale},
        name="continuous_matched_action_reward",
    )


def _continuous_matched_step(key: Key, state: Array, action: Array, params: Any) -> Any:
    return state, state, -((action[0] - params["scale"] * state[0]) ** 2), YES, NO


def count_steps(terminate_at: int | None = None, max_steps: int | None = 5, action_space: Space = TWO) -> Env:
    """Show the number of steps taken so far, pay 1 for each, and end as told.

    The episode terminates on reaching `terminate_at` steps (None: never) and is truncated at `max_steps`
    (None: never); both flags are true if the two are equal. Observation [t], Box(0, inf). Actions have no
    effect. V([t]) = (1 - gamma^(n - t)) / (1 - gamma) for n = terminate_at <=
    max_steps, and 1 / (1 - gamma) if it never terminates. Raises ValueError for an end before the first
    step.
    """
    if terminate_at is not None and terminate_at < 1:
        raise ValueError(f"count_steps needs terminate_at >= 1 or None, got {terminate_at!r}.")
    return from_functions(
        _start_at_zero,
        _count_steps_step,
        Box(0.0, float("inf"), (1,)),
        action_space,
        max_steps,
        {"terminate_at": float("inf") if terminate_at is None else terminate_at},
        "count_steps",
        deterministic_reset=True,
    )


def _count_steps_step(key: Key, state: Array, action: Array, params: Any) -> Any:
    time = state + 1
    return time, time[None].astype(jnp.float32), 1.0, time >= params["terminate_at"], NO


def changing_mask(
    action_space: Discrete | MultiDiscrete = Discrete(4),
    max_steps: int | None = 16,
    single: float = 0.1,
    ending: float = 0.0625,
    illegal: float = 2.0**20,
) -> Env:
    """Show an action that pays 1, allowed or not, and a mask; both change with each step. A forbidden one costs.

    Observation {"goal": the action that pays, "mask": Mask}; of a MultiDiscrete each of K groups pays 1 / K. In each
    group one action is allowed, with probability `single` (traced) no other, and else every other with probability 1/2.
    A step terminates with probability `ending` (traced) and then shows a mask that allows nothing. A forbidden action
    pays -`illegal` (traced): as long as that exceeds the steps, ceil(-sum of rewards / illegal) counts them. For
    max_steps = None and n actions a policy that takes the goal where it may has, before it sees one, the value
    p / (1 - gamma (1 - ending)) with p = 1 / n + (1 - single) (1 - 1 / n) / 2.
    """
    reset, step = _changing_mask(action_space)
    params = {"single": single, "ending": ending, "illegal": illegal}
    space = Dict({"goal": action_space, "mask": Mask(action_space.sizes)})
    return from_functions(reset, step, space, action_space, max_steps, params, "changing_mask")


@functools.cache
def _changing_mask(space: Discrete | MultiDiscrete) -> tuple[Callable[..., Any], Callable[..., Any]]:
    sizes = space.sizes

    def group(key: Key, size: int, single: Array) -> Array:
        one_key, single_key, others_key = jax.random.split(key, 3)
        one = jax.nn.one_hot(jax.random.randint(one_key, (), 0, size), size, dtype=bool)
        alone = jax.random.uniform(single_key, (), jnp.float32) < single
        return one | (~alone & (jax.random.uniform(others_key, (size,), jnp.float32) < 0.5))

    def reset(key: Key, params: Any) -> Any:
        goal_key, *keys = jax.random.split(key, 1 + len(sizes))
        masks = [group(key, size, params["single"]) for key, size in zip(keys, sizes, strict=True)]
        obs = {"goal": sample(space, goal_key), "mask": jnp.concatenate(masks)}
        return obs, obs

    def step(key: Key, state: Any, action: Array, params: Any) -> Any:
        end_key, key = jax.random.split(key)
        allowed = allows(space, state["mask"], action)
        reward = jnp.where(allowed, jnp.mean(action == state["goal"], dtype=jnp.float32), -params["illegal"])
        terminated = jax.random.uniform(end_key, (), jnp.float32) < params["ending"]
        state, obs = reset(key, params)
        return state, {**obs, "mask": obs["mask"] & ~terminated}, reward, terminated, NO

    return reset, step


PROBES: dict[str, Callable[..., Env]] = {
    builder.__name__: builder
    for builder in (
        constant_reward,
        one_step,
        observed_reward,
        delayed_reward,
        action_reward,
        continuous_action_reward,
        matched_action_reward,
        continuous_matched_action_reward,
        count_steps,
        changing_mask,
    )
}

__dir__ = face(__name__)
