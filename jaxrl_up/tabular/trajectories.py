"""Trajectories of a finite MDP: their probability, all of them, and samples."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxrl_up.tabular.finite_mdp import MDP, as_policy
from jaxrl_up.types import Array, Key

MOST = 2_000_000  # trajectories that `all_trajectories` lists


class Trajectories(NamedTuple):
    """Trajectories tau = (s_0, a_0, ..., s_T), time leading as in all of `ops`.

    After the end of an episode the state stays, the reward and the discount are 0, and `taken` is 0.
    """

    states: Array
    """int32 `[T + 1, N]`, the last row where the trajectory leads to"""
    actions: Array
    """int32 `[T, N]`"""
    rewards: Array
    """r(s_t, a_t, s_{t+1}) `[T, N]`"""
    discount: Array
    """gamma (1 - terminated) `[T, N]`, as estimators of `ops` take it"""
    going: Array
    """`[T, N]`, 1 where the episode goes on after the step, else 0"""
    taken: Array
    """`[T, N]`, 1 where the step was taken, 0 after the end"""

    @property
    def returns(self) -> Array:
        """R(tau) = sum_t gamma^t r_t, `[N]`."""
        before = jnp.concatenate([jnp.ones_like(self.discount[:1]), self.discount[:-1]])
        return jnp.sum(jnp.cumprod(before, axis=0) * self.rewards, axis=0)


def trajectory_log_prob(mdp: MDP, policy: Any, trajectories: Trajectories) -> Array:
    """log P(tau | pi) = log P(s_0) + sum_t [log pi(a_t | s_t) + log P(s_{t+1} | s_t, a_t)], `[N]`, in nats.

    Minus infinity where it cannot happen. Raises `ValueError` for what is no policy. Reference: Spinning Up, part 1,
    "The RL problem"; Sutton & Barto 2018, section 5.5.
    """
    return _log_prob(mdp, as_policy(mdp, policy), trajectories)


@jax.jit
def _log_prob(mdp: MDP, policy: Array, trajectories: Trajectories) -> Array:
    """See `trajectory_log_prob`."""
    states, actions, taken = trajectories.states, trajectories.actions, trajectories.taken > 0
    time = jnp.arange(len(actions))[:, None]
    chosen = policy[states[:-1], actions] if policy.ndim == 2 else policy[time, states[:-1], actions]
    moved = mdp.transition[states[:-1], actions, states[1:]]
    return _log(mdp.start[states[0]]) + jnp.sum(jnp.where(taken, _log(chosen) + _log(moved), 0), axis=0)


def _log(probability: Array) -> Array:
    """log p, with a gradient that is finite at 0."""
    possible = probability > 0
    return jnp.where(possible, jnp.log(jnp.where(possible, probability, 1)), -jnp.inf)


def all_trajectories(mdp: MDP, steps: int | None = None) -> Trajectories:
    """Every trajectory of `steps` steps (None: the horizon) that some policy can make, each once; time leading.

    Those that end sooner are there once. Raises `ValueError` for more than two million, for steps beyond the horizon,
    and for an MDP that is traced: their number depends on what is possible.
    """
    steps = _steps(mdp, steps)
    if any(isinstance(x, Tracer) for x in (mdp.transition, mdp.start, mdp.terminal)):
        raise ValueError("all_trajectories lists what is possible, so the MDP may not be traced: call it outside jit")
    transition, terminal = np.asarray(mdp.transition), np.asarray(mdp.terminal)
    states = np.flatnonzero(np.asarray(mdp.start) > 0)[:, None]
    actions = np.zeros((len(states), 0), int)
    origin, action, successor = np.nonzero(np.where(terminal[:, None, None], 0, transition))
    first, number = np.searchsorted(origin, np.arange(mdp.states)), np.bincount(origin, minlength=mdp.states)
    for _ in range(steps):
        here = states[:, -1]
        ways = np.where(terminal[here], 1, number[here])
        if ways.sum() > MOST:
            raise ValueError(f"there are over {MOST} trajectories of {steps} steps: take fewer steps, or sample")
        trunk = np.repeat(np.arange(len(here)), ways)
        nth = np.arange(len(trunk)) - np.repeat(np.cumsum(ways) - ways, ways)
        over, edge = terminal[here[trunk]], first[here[trunk]] + nth
        edge = np.where(over, 0, edge)
        states = np.concatenate([states[trunk], np.where(over, here[trunk], successor[edge])[:, None]], axis=1)
        actions = np.concatenate([actions[trunk], np.where(over, 0, action[edge])[:, None]], axis=1)
    return with_rewards(mdp, jnp.asarray(states.T, jnp.int32), jnp.asarray(actions.T, jnp.int32))


def sample_trajectories(mdp: MDP, policy: Any, key: Key, number: int, steps: int | None = None) -> Trajectories:
    """`number` independent trajectories of `steps` steps (None: the horizon) by a policy, from the start on.

    Raises `ValueError` for what is no policy, for steps beyond the horizon, or where their number is not known.
    """
    steps = _steps(mdp, steps)
    return _sampled(mdp, as_policy(mdp, policy), key, number, steps)


@partial(jax.jit, static_argnames=("number", "steps"))
def _sampled(mdp: MDP, policy: Array, key: Key, number: int, steps: int) -> Trajectories:
    """See `sample_trajectories`."""
    in_time = jnp.broadcast_to(policy, (steps, mdp.states, mdp.actions)) if policy.ndim == 2 else policy[:steps]
    start_key, walk_key = jax.random.split(key)
    first = draw(start_key, jnp.broadcast_to(mdp.start, (number, mdp.states)))

    def step(here: Array, given: tuple[Array, Key]) -> tuple[Array, tuple[Array, Array]]:
        pi, key = given
        action_key, state_key = jax.random.split(key)
        action = draw(action_key, pi[here])
        there = jnp.where(mdp.terminal[here], here, draw(state_key, mdp.transition[here, action]))
        return there, (there, action)

    _, (states, actions) = jax.lax.scan(step, first, (in_time, jax.random.split(walk_key, steps)))
    return with_rewards(mdp, jnp.concatenate([first[None], states]), actions)


def _steps(mdp: MDP, steps: int | None) -> int:
    """How many steps, at most those of the horizon."""
    steps = mdp.horizon if steps is None else steps
    if steps is None or steps < 1:
        raise ValueError(f"steps={steps} must be at least 1: an MDP without a horizon needs it said")
    if mdp.horizon is not None and steps > mdp.horizon:
        raise ValueError(f"steps={steps} go beyond the horizon, {mdp.horizon}")
    return steps


def draw(key: Key, probabilities: Array) -> Array:
    """Numbers from 0 on `[...]` with the probabilities `[..., N]`; what has probability 0 is never drawn."""
    below = jnp.cumsum(probabilities, axis=-1)  # one uniform number each, by the inverse of the distribution
    uniform = jax.random.uniform(key, below.shape[:-1], below.dtype)
    return jnp.sum(below <= (uniform * below[..., -1])[..., None], axis=-1, dtype=jnp.int32)


@jax.jit
def with_rewards(mdp: MDP, states: Array, actions: Array) -> Trajectories:
    """The trajectories of states `[T + 1, N]` and actions `[T, N]`, with what the MDP pays for them."""
    here, there = states[:-1], states[1:]
    over = mdp.terminal[here]
    rewards = jnp.where(over, 0, mdp.reward_table[here, actions, there])
    going = ~mdp.terminal[there]
    discount = jnp.where(going, mdp.discount, 0)
    return Trajectories(
        states, actions, rewards, discount, going.astype(discount.dtype), (~over).astype(discount.dtype)
    )
