"""Plans tried in a model: what they would earn, and what a policy would plan."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxrl_up.envs import Model
from jaxrl_up.types import Array, Key, PyTree


def imagined_return(
    model: Model,
    params: PyTree,
    state: PyTree,
    plan: PyTree,
    key: Key,
    discount: Array | float = 1.0,
    value: Callable[[PyTree], Array] | None = None,
) -> Array:
    """What a plan earns from a state: sum_t discount^t r_t over H steps, and discount^H V(s_H) where V is given.

    `plan [H, ...]` are actions as the model takes them, `key` is for the chances of its steps. After a termination
    nothing more is earned, and nothing is bootstrapped. Returns float32 `[]`.
    """

    def step(
        carry: tuple[PyTree, Array, Key], action: PyTree
    ) -> tuple[tuple[PyTree, Array, Key], tuple[Array, PyTree]]:
        state, weight, key = carry
        key, step_key = jax.random.split(key)
        state, obs, reward, terminated = model.step(params, step_key, state, action)
        earned = jnp.where(weight > 0.0, weight * reward, 0.0)
        weight = jnp.where(terminated, 0.0, weight * discount)
        return (state, weight, key), (earned, obs if value is not None else ())

    (_, weight, _), (earned, obs) = jax.lax.scan(step, (state, jnp.float32(1.0), key), plan)
    total = jnp.sum(earned)
    if value is None:
        return total
    last = value(jax.tree.map(lambda x: x[-1], obs))
    return total + jnp.where(weight > 0.0, weight * last, 0.0)


def policy_plan(
    model: Model,
    params: PyTree,
    state: PyTree,
    obs: PyTree,
    policy: Callable[[PyTree, Key], PyTree],
    key: Key,
    horizon: int,
) -> PyTree:
    """What `policy(obs, key)` does from a state, actions `[horizon, ...]`, each for what the model shows then.

    "Candidate actions sampled from the current policy", as proposals for a search.
    """

    def step(carry: tuple[PyTree, PyTree, Key], _: None) -> tuple[tuple[PyTree, PyTree, Key], PyTree]:
        state, obs, key = carry
        key, act_key, step_key = jax.random.split(key, 3)
        action = policy(obs, act_key)
        state, obs = model.step(params, step_key, state, action)[:2]
        return (state, obs, key), action

    return jax.lax.scan(step, (state, obs, key), length=horizon)[1]
