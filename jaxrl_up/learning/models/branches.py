"""Branches: short rollouts of a policy in a learned ensemble, from many observations at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrl_up.envs import Env
from jaxrl_up.learning.models.dynamics import Dynamics
from jaxrl_up.learning.models.fitting import member_steps
from jaxrl_up.types import Array, Key, PyTree


class Branches(NamedTuple):
    """Imagined steps of N branches, `[H, N, ...]`. After a termination a branch begins anew where it began."""

    obs: Array
    action: PyTree  # unit actions
    reward: Array
    terminated: Array  # bool
    next_obs: Array


def branch(
    config: Any,
    env: Env,
    dynamics: Dynamics,
    params: PyTree,
    policy: Callable[[Array, Key], PyTree],
    obs: Array,
    key: Key,
    horizon: int,
) -> Branches:
    """`horizon` steps of `policy(obs [N, D], key)`, in unit actions, from observations `[N, D]`.

    Branches are dealt out to the members, so that each step costs N rows of a network and not N times E; at the next
    step each branch is in the hands of the next member. Where the rows are in no order, as in a batch from a replay,
    that is a member at random for each, another at each step (TS1 of Chua et al. 2018).
    """
    number, members = obs.shape[0], dynamics.members
    share = -(-number // members)
    steps = member_steps(config, env, dynamics)

    def deal(x: Array) -> Array:
        rows = jnp.concatenate([x, jnp.zeros((members * share - number, *x.shape[1:]), x.dtype)])
        return rows.reshape(members, share, *x.shape[1:])

    def step(carry: tuple[Array, PyTree], key: Key) -> tuple[tuple[Array, PyTree], Branches]:
        obs, networks = carry
        act_key, step_key = jax.random.split(key)
        action = policy(obs, act_key)
        keys = jax.random.split(step_key, members)
        hands = jax.tree.map(deal, (obs, action))
        each = dynamics.each(steps, {**params, "networks": networks}, keys, *hands)
        next_obs, reward, terminated = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[:number], each)
        networks = jax.tree.map(lambda x: jnp.roll(x, 1, axis=0), networks)
        onward = jnp.where(terminated[:, None], begun, next_obs)
        return (onward, networks), Branches(obs, action, reward, terminated, next_obs)

    begun = obs
    return jax.lax.scan(step, (begun, params["networks"]), jax.random.split(key, horizon))[1]
