"""A learned model as a `Model`, and any `Model` as an environment that algorithms train on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxrl_up.envs import Env, Model, from_functions, unit_space
from jaxrl_up.learning.models.dynamics import Dynamics
from jaxrl_up.types import Array, Key, PyTree


def as_model(dynamics: Dynamics, start_states: Array) -> Model:
    """A learned ensemble as a `Model` whose states are observations `[D]` and whose params are the ensemble's.

    An episode begins in one of `start_states [M, D]`. Each step is one of a member drawn anew (TS1 of Chua et al.
    2018).
    """

    def reset(params: PyTree, key: Key) -> Array:
        return start_states[jax.random.randint(key, (), 0, start_states.shape[0])]

    def step(params: PyTree, key: Key, obs: Array, action: PyTree) -> tuple[Array, Array, Array, Array]:
        member_key, step_key = jax.random.split(key)
        member = dynamics.member(params, jax.random.randint(member_key, (), 0, dynamics.members))
        next_obs, reward, terminated = dynamics.step(member, step_key, obs, action)
        return next_obs, next_obs, reward, terminated

    return Model(reset, step)


def as_env(
    model: Model,
    params: PyTree,
    env: Env,
    start_states: PyTree,
    observe: Callable[[PyTree], PyTree] = lambda state: state,
    max_steps: int | None = None,
) -> Env:
    """A model as an environment, for everything that trains on one: it stands for `env`, whose observations it shows.

    Episodes begin in one of `start_states [M, ...]`, states of the model, of which `observe` makes observations (those
    of a learned model are observations), and are cut after `max_steps`, those of `env` if not given. Actions are unit
    actions of `env`, as those that policies' networks give, so that a policy trained here acts there. The `params` of
    the model are constants of the environment: with others it is another one, which compiles anew. Raises `ValueError`
    for no start states.
    """
    number = jax.tree.leaves(start_states)[0].shape[0] if jax.tree.leaves(start_states) else 0
    if number < 1:
        raise ValueError(f"a model of {env.name} needs states to start from, [M, ...]: got none")

    def reset(key: Key) -> tuple[PyTree, PyTree]:
        index = jax.random.randint(key, (), 0, number)
        state = jax.tree.map(lambda x: jnp.asarray(x)[index], start_states)
        return state, observe(state)

    def step(key: Key, state: PyTree, action: PyTree) -> tuple[Any, ...]:
        state, obs, reward, terminated = model.step(params, key, state, action)
        return state, obs, reward, terminated, jnp.bool_(False)

    space = unit_space(env.action_space)
    limit = env.max_steps if max_steps is None else max_steps
    return from_functions(reset, step, env.observation_space, space, limit, name=f"model of {env.name}")
