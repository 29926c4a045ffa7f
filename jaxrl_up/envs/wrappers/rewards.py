"""Other rewards."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from jaxrl_up.envs.core import Env, Spec, around
from jaxrl_up.envs.wrappers.base import number_of, number_text, wrapper
from jaxrl_up.types import Array, Key


@wrapper
def scale_reward(env: Env, scale: float) -> Env:
    """Multiply rewards by a finite number (static); raises ValueError for anything else."""
    scale = number_of("scale_reward", "scale", scale)
    return env.replace(spec=_map_reward(env.spec, f"scale_reward({number_text(scale)})", ("scale", scale)))


@wrapper
def clip_reward(env: Env, low: float = -1.0, high: float = 1.0) -> Env:
    """Clip rewards to [low, high] (static); raises ValueError unless low < high."""
    low, high = number_of("clip_reward", "low", low), number_of("clip_reward", "high", high)
    if low >= high:
        raise ValueError(f"clip_reward needs low < high, got low={low}, high={high}.")
    name = f"clip_reward({number_text(low)}, {number_text(high)})"
    return env.replace(spec=_map_reward(env.spec, name, ("clip", low, high)))


@around
def _map_reward(spec: Spec, name: str, change: tuple[Any, ...]) -> Spec:
    def step(params: Any, key: Key, state: Any, action: Array) -> Any:
        state, obs, reward, *rest = spec.step(params, key, state, action)
        kind, *numbers = change
        reward = reward * numbers[0] if kind == "scale" else jnp.clip(reward, *numbers)
        return state, obs, reward, *rest

    return spec._replace(step=step, wrappers=(*spec.wrappers, name))
