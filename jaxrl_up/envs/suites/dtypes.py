"""Environments whose states change their types from reset to step, made stable."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp

from jaxrl_up.envs.core import as_parameter, strong, strong_tree
from jaxrl_up.envs.spaces import Space
from jaxrl_up.types import PyTree


@contextlib.contextmanager
def narrow() -> Iterator[None]:
    """Within, and in a function decorated with it, numbers have 32 bits whatever `jax_enable_x64` says.

    gymnax leaves dtypes to JAX: with 64 bits it would draw other numbers and hand on arrays of other types.
    """
    with jax.enable_x64(False):
        yield


def stable_dtypes(
    name: str, reset: Any, step: Any, params: Any, action_space: Space, observation_space: Space
) -> PyTree:
    """Find a dtype per state leaf that fits both reset and step (0 after the one, 0.5 after the other).

    Raises ValueError if they cannot be traced, or give observations that are not as the space says.
    """

    def settle(params: Any, key: Any) -> Any:
        params = {key: as_parameter(key, value) for key, value in params.items()}
        state, first = reset(params, key)
        state, observations = strong_tree(state), [first]
        for _ in range(2):
            reached, obs, *_ = step(params, key, state, action_space.sample(key))
            observations.append(obs)
            dtypes = jax.tree.map(
                lambda a, b: jnp.promote_types(jnp.asarray(a).dtype, jnp.asarray(b).dtype), state, reached
            )
            state = jax.tree.map(strong, state, dtypes)
        return state, observations

    try:
        with narrow():
            state, observations = jax.eval_shape(settle, params, jax.random.key(0))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: its reset_env or step_env cannot be traced with these options: {error}") from error
    for when, obs in zip(("reset_env", "step_env"), observations, strict=False):
        if not hasattr(obs, "shape"):
            raise ValueError(
                f"{name}: {when} shows a {type(obs).__name__}, its space {observation_space}: give one array"
            )
        floats = jnp.issubdtype(obs.dtype, jnp.floating) and not jnp.issubdtype(observation_space.dtype, jnp.floating)
        if obs.shape != observation_space.shape or floats:
            raise ValueError(
                f"{name}: the observation of {when} is {obs.dtype}{list(obs.shape)}, its space {observation_space} is "
                f"{observation_space.dtype}{list(observation_space.shape)}: change one of them"
            )
    return jax.tree.map(lambda leaf: leaf.dtype, state)
