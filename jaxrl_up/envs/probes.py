"""Tiny environments whose values are known exactly, to test learners with."""

from __future__ import annotations

import functools
from typing import Any

import jax.numpy as jnp

from jaxrl_up.envs.core import Env
from jaxrl_up.envs.from_functions import from_functions
from jaxrl_up.envs.spaces import Box, Discrete


def _reset_to_zero(key: Any) -> Any:
    return jnp.zeros((), jnp.int32), jnp.zeros(1)


@functools.cache
def constant_reward(reward: float = 1.0, max_steps: int = 20) -> Env:
    """Pay `reward` at every step and end by the time limit only: V = reward / (1 - gamma), whatever the policy.

    Observation: always [0]. Action: Discrete(2), without effect.
    """

    def step(key: Any, state: Any, action: Any, params: Any) -> Any:
        return state, jnp.zeros(1), params["reward"], jnp.asarray(False), jnp.asarray(False)

    return from_functions(
        lambda key, params: _reset_to_zero(key),
        step,
        Box(-1.0, 1.0, (1,)),
        Discrete(2),
        max_steps,
        {"reward": reward},
        name="constant_reward",
        deterministic_reset=True,
    )
