"""Values of a given policy, learned in a table from what it did: Monte Carlo, TD(0), n-step TD, TD(lambda), batches.

All but the batches go through the episodes of `Trajectories` one after the other, and move the value of a state
towards a target: V(s_t) <- V(s_t) + alpha (target_t - V(s_t)).

    Monte Carlo   r_t + gamma r_{t+1} + ...                                   to the end of the episode
    n-step TD     r_t + ... + gamma^(n-1) r_{t+n-1} + gamma^n V(s_{t+n})      n = 1: TD(0)

Where an episode was cut and not ended, Monte Carlo leaves out what lies beyond, and TD takes its value.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.core import Tracer

from jaxrl_up import ops
from jaxrl_up.tabular.finite_mdp import MDP
from jaxrl_up.tabular.step_sizes import StepSize, as_argument, as_step_size, first_table, robbins_monro
from jaxrl_up.tabular.trajectories import Trajectories
from jaxrl_up.types import Array


class Predicted(NamedTuple):
    """Values that were learned from N episodes."""

    values: Array
    """V `[S]`, 0 in terminal states"""
    history: Array
    """V after each episode, `[N, S]`"""
    visits: Array
    """how many steps from each state were learned from, int32 `[S]`"""


class Batch(NamedTuple):
    """Values that agree with a batch of episodes."""

    values: Array
    """V `[S]`; in states that were not visited, what it was initially"""
    sweeps: Array
    """how often it went through the batch, int32 `[]`"""
    change: Array
    """max_s |V(s) after the last sweep - V(s) before|, `[]`"""


# -- one episode after the other -------------------------------------------------------------------


def monte_carlo(
    mdp: MDP,
    trajectories: Trajectories,
    *,
    first_visit: bool = True,
    step_size: StepSize = robbins_monro(),
    initial: Any = 0.0,
) -> Predicted:
    """V(s_t) <- V(s_t) + alpha (G_t - V(s_t)) with the return G_t = sum_k gamma^k r_{t+k}, after each episode.

    Reference: Sutton & Barto 2018, the box of section 5.1, which is `first_visit`: of each state only its first visit
    in an episode counts; and with a constant step size eq. 6.1. Deviation: visits count in the order of time, not
    backwards, which changes every-visit values with a constant step size only.

    Args:
      mdp: only the number of its states is read, and which are terminal.
      trajectories: T steps of N episodes, by the policy in question.
      first_visit: else every visit counts.
      step_size: alpha in [0, 1], or a function of (step, visits), see `robbins_monro`, which averages the returns.
      initial: V to begin with, a number or `[S]`.

    Raises:
      ValueError: a step size outside [0, 1], or initial values of another shape.
    """
    going, beyond = trajectories.going, trajectories.states[1:]
    returns = ops.discounted_returns(trajectories.rewards, trajectories.discount, going)
    rows = (returns, jnp.zeros_like(returns), beyond)
    return _in_turn(mdp, trajectories, rows, first_visit, as_argument(step_size), initial)


def td(mdp: MDP, trajectories: Trajectories, *, n: int = 1, step_size: StepSize = 0.1, initial: Any = 0.0) -> Predicted:
    """V(s_t) <- V(s_t) + alpha (r_t + ... + gamma^(n-1) r_{t+n-1} + gamma^n V(s_{t+n}) - V(s_t)), online.

    Reference: Sutton & Barto 2018, the boxes of TD(0) in section 6.1 and of n-step TD in section 7.1, eq. 7.2. With
    n >= T it is every-visit Monte Carlo. Arguments and errors are those of `monte_carlo`, and `ValueError` for n < 1.

    >>> from jaxrl_up import tabular
    >>> walk = tabular.random_walk()  # once to the right end: only the last state before it learns
    >>> td(walk, tabular.as_trajectories(walk, [[3, 4, 5, 6]]), step_size=0.5).values[1:6].tolist()
    [0.0, 0.0, 0.0, 0.0, 0.5]
    """
    if n < 1:
        raise ValueError(f"n={n} must be at least 1")
    states, _, rewards, discount, going, _ = trajectories
    steps = len(rewards)
    none, one = jnp.zeros_like(rewards), jnp.ones_like(rewards)
    paid = ops.n_step_returns(rewards, discount, going, none, n)  # r_t + ... + gamma^(n-1) r_{t+n-1}
    power = ops.n_step_returns(none, discount, going, one, n)  # gamma^n, 0 past the end
    beyond = states[jnp.minimum(jnp.arange(steps) + n, steps)]
    return _in_turn(mdp, trajectories, (paid, power, beyond), False, as_argument(step_size), initial)


@partial(jax.jit, static_argnames="first_visit")
def _in_turn(
    mdp: MDP,
    trajectories: Trajectories,
    targets: tuple[Array, Array, Array],
    first_visit: bool,
    step_size: StepSize,
    initial: Any,
) -> Predicted:
    """Towards rewards + discount V(beyond), each `[T, N]`, in the order of time.

    The box of n-step TD updates V(s_t) at time t + n - 1, after all V(s_k) of k < t: so do these rows.
    """
    size = as_step_size(step_size, mdp.transition.dtype)

    def step(carry: tuple[Array, ...], row: tuple[Array, ...]) -> tuple[tuple[Array, ...], None]:
        values, visits, seen, count = carry
        state, taken, reward, discount, beyond = row
        counts = (taken > 0) & ~(first_visit & seen[state])
        visits, seen = visits.at[state].add(counts), seen.at[state].set(True)
        target = ops.td_target(reward, discount, values[beyond])
        change = size(count, visits[state]) * (target - values[state])
        return (values.at[state].add(jnp.where(counts, change, 0)), visits, seen, count + counts), None

    def episode(carry: tuple[Array, ...], rows: tuple[Array, ...]) -> tuple[tuple[Array, ...], Array]:
        values, visits, count = carry
        seen = jnp.zeros(mdp.states, bool)
        (values, visits, _, count), _ = jax.lax.scan(step, (values, visits, seen, count), rows)
        return (values, visits, count), values

    return _episodes(mdp, episode, (trajectories.states[:-1], trajectories.taken, *targets), initial)


def td_lambda(
    mdp: MDP,
    trajectories: Trajectories,
    trace_decay: Array | float,
    *,
    step_size: StepSize = 0.1,
    initial: Any = 0.0,
    replacing: bool = False,
    online: bool = True,
) -> Predicted:
    """TD(lambda), the backward view: every V(s) <- V(s) + alpha delta_t e_t(s), with delta_t the error of TD(0) and

        e_t(s) = gamma lambda e_{t-1}(s) + [s = s_t], or with `replacing` 1 where s = s_t.

    The forward view has the lambda-return G_t = r_t + gamma ((1 - lambda) V(s_{t+1}) + lambda G_{t+1}), which is
    `ops.lambda_returns`, for the target. The two move a value by the same over an episode if V is held fixed during it:
    `online=False`, all changes at its end. Online they are close for small steps. lambda = 0 is TD(0); lambda = 1 in
    the offline sense is every-visit Monte Carlo with the changes of an episode added up.

    Reference: Sutton & Barto 2018, section 12.2 with one-hot features (there, and so here, traces accumulate); Sutton
    1988; replacing traces: Singh & Sutton 1996. Arguments and errors are those of `monte_carlo`; `trace_decay` is
    lambda in [0, 1], else `ValueError`; a step size by visits is that of each state.
    """
    if not isinstance(trace_decay, Tracer) and not 0.0 <= float(trace_decay) <= 1.0:
        raise ValueError(f"trace_decay={trace_decay} is lambda, in [0, 1]")
    return _traced(mdp, trajectories, trace_decay, as_argument(step_size), initial, replacing, online)


@partial(jax.jit, static_argnames=("replacing", "online"))
def _traced(
    mdp: MDP,
    trajectories: Trajectories,
    trace_decay: Array | float,
    step_size: StepSize,
    initial: Any,
    replacing: bool,
    online: bool,
) -> Predicted:
    """See `td_lambda`."""
    dtype = mdp.transition.dtype
    size, decay = as_step_size(step_size, dtype), jnp.asarray(trace_decay, dtype)

    def step(carry: tuple[Array, ...], row: tuple[Array, ...]) -> tuple[tuple[Array, ...], None]:
        values, later, trace, visits, count = carry
        state, taken, reward, discount, beyond = row
        visits = visits.at[state].add(taken > 0)
        trace = trace.at[state].set(1) if replacing else trace.at[state].add(1)
        error = taken * ops.td_error(values[state], reward, discount, values[beyond])
        change = size(count, jnp.maximum(visits, 1)) * error * trace
        values, later = (values + change, later) if online else (values, later + change)
        return (values, later, discount * decay * trace, visits, count + (taken > 0)), None

    def episode(carry: tuple[Array, ...], rows: tuple[Array, ...]) -> tuple[tuple[Array, ...], Array]:
        values, visits, count = carry
        none = jnp.zeros_like(values)
        (values, later, _, visits, count), _ = jax.lax.scan(step, (values, none, none, visits, count), rows)
        return (values + later, visits, count), values + later

    states, _, rewards, discount, _, taken = trajectories
    return _episodes(mdp, episode, (states[:-1], taken, rewards, discount, states[1:]), initial)


def _episodes(mdp: MDP, episode: Callable, rows: tuple[Array, ...], initial: Any) -> Predicted:
    """`episode` of each column of the rows `[T, N]`, in turn."""
    by_episode = jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), rows)
    first = first_table(mdp, initial, (mdp.states,)), jnp.zeros(mdp.states, jnp.int32), jnp.int32(0)
    (values, visits, _), history = jax.lax.scan(episode, first, by_episode)
    return Predicted(values, history, visits)


# -- a batch, again and again ----------------------------------------------------------------------


def batch_monte_carlo(
    mdp: MDP,
    trajectories: Trajectories,
    *,
    step_size: Array | float = 1.0,
    initial: Any = 0.0,
    tolerance: float | None = None,
    max_sweeps: int = 100_000,
) -> Batch:
    """V(s) = the mean of the returns that followed s, which minimises the squared error on the batch.

    Sweep after sweep V(s) <- V(s) + alpha mean over visits of s of (G_t - V(s)), until no value changes by more than
    `tolerance` (None: what the dtype can tell). Reference: Sutton & Barto 2018, section 6.3. Deviation: the sum of
    changes is divided by the number of visits, which does not move where it ends, so alpha = 1 is safe.

    Arguments are those of `monte_carlo`; raises `ValueError` for a step size outside [0, 1], or initial values of
    another shape.
    """
    returns = ops.discounted_returns(trajectories.rewards, trajectories.discount, trajectories.going)
    return _batch(mdp, trajectories, lambda values: returns, step_size, initial, tolerance, max_sweeps)


def batch_td(
    mdp: MDP,
    trajectories: Trajectories,
    *,
    step_size: Array | float = 1.0,
    initial: Any = 0.0,
    tolerance: float | None = None,
    max_sweeps: int = 100_000,
) -> Batch:
    """V of the maximum-likelihood model of the batch: the certainty-equivalence estimate, to which batch TD(0) comes.

    Sweep after sweep V(s) <- V(s) + alpha mean over visits of s of (r_t + gamma V(s_{t+1}) - V(s)), until V =
    r + gamma P V with the mean rewards and frequencies of the batch. Reference: Sutton & Barto 2018, section 6.3.
    Otherwise as `batch_monte_carlo`.
    """
    _, _, rewards, discount, _, _ = trajectories
    beyond = trajectories.states[1:]
    return _batch(
        mdp, trajectories, lambda values: ops.td_target(rewards, discount, values[beyond]),
        step_size, initial, tolerance, max_sweeps,
    )  # fmt: skip


def _batch(
    mdp: MDP,
    trajectories: Trajectories,
    target: Callable[[Array], Array],
    step_size: Array | float,
    initial: Any,
    tolerance: float | None,
    max_sweeps: int,
) -> Batch:
    here, taken = trajectories.states[:-1], trajectories.taken
    alpha = as_step_size(step_size, mdp.transition.dtype)(jnp.int32(0), jnp.int32(0))
    visits = jnp.zeros(mdp.states, taken.dtype).at[here].add(taken)

    def sweep(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        values, sweeps, _ = carry
        errors = jnp.zeros_like(values).at[here].add(taken * (target(values) - values[here]))
        after = values + alpha * errors / jnp.maximum(visits, 1)
        return after, sweeps + 1, jnp.max(jnp.abs(after - values))

    def going_on(carry: tuple[Array, Array, Array]) -> Array:
        values, sweeps, change = carry
        rounding = 8 * jnp.finfo(values.dtype).eps * (1 + jnp.max(jnp.abs(values)))
        return (change > (rounding if tolerance is None else tolerance)) & (sweeps < max_sweeps)

    first = first_table(mdp, initial, (mdp.states,))
    return Batch(*jax.lax.while_loop(going_on, sweep, (first, jnp.int32(0), jnp.asarray(jnp.inf, first.dtype))))
