"""Environments whose states change their types from reset to step, made stable."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp

from jaxrl_up.envs.core import as_parameter, strong, strong_tree
from jaxrl_up.envs.spaces import Space, leaves, parts, sample
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
            reached, obs, *_ = step(params, key, state, sample(action_space, key))
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
        _check_observation(f"{name}: {{}} of {when}", observation_space, obs)
    return jax.tree.map(lambda leaf: leaf.dtype, state)


def _check_observation(what: str, space: Space, obs: PyTree) -> None:
    """Raise ValueError unless observations, whose shapes are given, have the parts of the space."""
    try:
        found = parts(space, obs)
    except (TypeError, ValueError):
        raise ValueError(f"{what.format('the observation')} has not the parts of its space {space}") from None
    for path, leaf in leaves(space).items():
        x, where = found[path], f"the observation{f' at {path!r}' if path else ''}"
        if not hasattr(x, "shape"):
            raise ValueError(f"{what.format(where)} is a {type(x).__name__}, its space {leaf}: give one array")
        floats = jnp.issubdtype(x.dtype, jnp.floating) and not jnp.issubdtype(leaf.dtype, jnp.floating)
        if x.shape != leaf.shape or floats:
            raise ValueError(
                f"{what.format(where)} is {x.dtype}{list(x.shape)}, its space {leaf} is "
                f"{leaf.dtype}{list(leaf.shape)}: change one of them"
            )
