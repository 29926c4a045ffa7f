"""Exact values of a finite MDP: Bellman's equations as backups, and what solves them.

For a policy pi(a | s) `[S, A]` (or one action a state `[S]`):

    V^pi(s) = sum_a pi(a | s) Q^pi(s, a)            Q^pi(s, a) = r(s, a) + gamma sum_s' P(s' | s, a) V^pi(s')
    V*(s) = max_a Q*(s, a)                          Q*(s, a) = r(s, a) + gamma sum_s' P(s' | s, a) V*(s')

with values 0 in terminal states. Reference: Sutton & Barto 2018, eq. 3.14, 3.19, 3.20 and chapter 4.

With a horizon H, values belong to a time: V `[H + 1, S]`, whose row t is of the steps from t on and whose last row
is 0, Q and advantages `[H, S, A]`, and policies may be `[H, S, A]`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrl_up import ops
from jaxrl_up.tabular.finite_mdp import MDP, as_policy, never_ending, require_policy_ends, uniform_policy
from jaxrl_up.types import Array

MOST_SWEEPS = 100_000  # unless told otherwise


class Solution(NamedTuple):
    """What an iteration found."""

    values: Array
    """V `[S]`, or with a horizon `[H + 1, S]`"""
    policy: Array
    """pi(a | s) `[S, A]` or `[H, S, A]`: the one evaluated, or greedy in the values; equal actions share, as all do in
    terminal states"""
    iterations: Array
    """how many it took, int32 `[]`"""
    residual: Array
    """max_s |(T V)(s) - V(s)| `[]`: the values are within residual / (1 - gamma) of the fixed point"""


# -- the four equations as backups -----------------------------------------------------------------


def lookahead(mdp: MDP, values: Array) -> Array:
    """Q(s, a) = r(s, a) + gamma sum_s' P(s' | s, a) V(s'), `[S, A]` of V `[S]`; 0 in terminal states.

    What V says of terminal states is not read. Reference: Sutton & Barto 2018, eq. 4.6.
    """
    return ops.q_from_v(values, mdp.going, mdp.expected_reward, mdp.discount)


def expectation_backup_v(mdp: MDP, policy: Any, values: Array) -> Array:
    """(T^pi V)(s) = sum_a pi(a | s) [r(s, a) + gamma sum_s' P(s' | s, a) V(s')], `[S]`; its fixed point is V^pi.

    Reference: Sutton & Barto 2018, eq. 4.5. Raises `ValueError` for what is no policy.

    >>> from jaxrl_up import tabular
    >>> loop = tabular.mdp([[[1.0]]], reward=[1.0], discount=0.5)
    >>> tabular.expectation_backup_v(loop, [[1.0]], jnp.array([2.0])).tolist()
    [2.0]
    """
    return ops.expectation_backup_v(values, mdp.going, mdp.expected_reward, _one(mdp, policy), mdp.discount)


def expectation_backup_q(mdp: MDP, policy: Any, q_values: Array) -> Array:
    """(T^pi Q)(s, a) = r(s, a) + gamma sum_s' P(s' | s, a) sum_b pi(b | s') Q(s', b), `[S, A]`.

    Its fixed point is Q^pi. Reference: Sutton & Barto 2018, exercise 3.17. Raises `ValueError` for what is no policy.
    """
    return ops.expectation_backup_q(q_values, mdp.going, mdp.expected_reward, _one(mdp, policy), mdp.discount)


def optimality_backup_v(mdp: MDP, values: Array) -> Array:
    """(T* V)(s) = max_a [r(s, a) + gamma sum_s' P(s' | s, a) V(s')], `[S]`; its fixed point is V*.

    Reference: Sutton & Barto 2018, eq. 4.10.
    """
    return ops.optimality_backup_v(values, mdp.going, mdp.expected_reward, mdp.discount)


def optimality_backup_q(mdp: MDP, q_values: Array) -> Array:
    """(T* Q)(s, a) = r(s, a) + gamma sum_s' P(s' | s, a) max_b Q(s', b), `[S, A]`; its fixed point is Q*.

    Reference: Sutton & Barto 2018, eq. 3.20.
    """
    return ops.optimality_backup_q(q_values, mdp.going, mdp.expected_reward, mdp.discount)


def residual(mdp: MDP, values: Array, policy: Any = None) -> Array:
    """max |T x - x| `[]` of V `[S]` or Q `[S, A]`: by T^pi of a policy, or without one by T*.

    x is within residual / (1 - gamma) of the fixed point. Reference: Sutton & Barto 2018, section 11.4, eq. 11.17.
    Raises `ValueError` for another shape, as values in time have it.
    """
    if values.shape not in ((mdp.states,), (mdp.states, mdp.actions)):
        shapes = f"V [{mdp.states}] or Q [{mdp.states}, {mdp.actions}]"
        raise ValueError(f"residual is of {shapes}, got shape {list(values.shape)}")
    if policy is None:
        backed_up = (optimality_backup_v if values.ndim == 1 else optimality_backup_q)(mdp, values)
    else:
        backed_up = (expectation_backup_v if values.ndim == 1 else expectation_backup_q)(mdp, policy, values)
    alive = (~mdp.terminal).reshape(-1, *[1] * (values.ndim - 1))
    return jnp.max(jnp.where(alive, jnp.abs(backed_up - values), 0))


# -- of a policy -----------------------------------------------------------------------------------


def v_pi(mdp: MDP, policy: Any) -> Array:
    """V^pi `[S]`, by solving (I - gamma P^pi) V = r^pi; with a horizon `[H + 1, S]`, backwards.

    Reference: Sutton & Barto 2018, eq. 3.14. Raises `ValueError` for what is no policy and, with a discount of 1 and
    no horizon, for a policy that does not end from some state; where it is traced, such states have values as large as
    the dtype can tell apart from others, or 0 where nothing is paid.

    >>> from jaxrl_up import tabular
    >>> tabular.v_pi(tabular.mdp([[[1.0]]], reward=[1.0], discount=0.5), [[1.0]]).tolist()
    [2.0]
    """
    policy = as_policy(mdp, policy)
    require_policy_ends(mdp, policy)
    return _values(mdp, policy)


def q_pi(mdp: MDP, policy: Any) -> Array:
    """Q^pi `[S, A]`, of V^pi by one lookahead; with a horizon `[H, S, A]`. Sutton & Barto 2018, eq. 3.13. As `v_pi`."""
    return _lookaheads(mdp, v_pi(mdp, policy))


def a_pi(mdp: MDP, policy: Any) -> Array:
    """A^pi = Q^pi - V^pi, `[S, A]`; with a horizon `[H, S, A]`. Schulman et al. 2016, eq. 3. As `v_pi`."""
    policy = as_policy(mdp, policy)
    policy = policy if mdp.horizon is None else _in_time(mdp, policy)
    return ops.advantage(q_pi(mdp, policy), policy)


def expected_return(mdp: MDP, policy: Any) -> Array:
    """J(pi) = E[sum_t gamma^t r_t] = sum_s P(s_0 = s) V^pi(s), `[]`.

    Infinite-horizon discounted, or with a horizon the sum of H steps (undiscounted where the discount is 1). Where the
    policy is a function of parameters, its `jax.grad` is the true policy gradient. As `v_pi`.
    """
    values = v_pi(mdp, policy)
    return ops.v_from_q(values if mdp.horizon is None else values[0], mdp.start)


def occupancy(mdp: MDP, policy: Any, *, normalize: bool = False) -> Array:
    """d^pi(s) = sum_t gamma^t P(s_t = s), `[S]`, over the steps that are taken: 0 in terminal states.

    So J(pi) = sum_s d^pi(s) sum_a pi(a | s) r(s, a). With `normalize` it sums to 1. With a horizon, the sum is of H
    steps. Reference: Sutton & Barto 2018, eq. 9.2 and the box of chapter 13; Schulman et al. 2015 (TRPO), section 2.
    """
    policy = as_policy(mdp, policy)
    require_policy_ends(mdp, policy)
    visits = _visits(mdp, policy)
    return visits / jnp.sum(visits) if normalize else visits


def iterative_evaluation(
    mdp: MDP, policy: Any, *, tolerance: float | None = None, max_iterations: int = MOST_SWEEPS
) -> Solution:
    """V^pi by V <- T^pi V from 0, until the residual is at most `tolerance` (None: what the dtype can tell).

    Reference: Sutton & Barto 2018, section 4.1. With a horizon it takes H sweeps and is exact. As `v_pi`.
    """
    policy = as_policy(mdp, policy)
    if mdp.horizon is not None:
        return _exact(mdp, v_pi(mdp, policy), _in_time(mdp, policy))
    require_policy_ends(mdp, policy)
    return _evaluated(mdp, policy, tolerance, max_iterations)


# -- optimal ---------------------------------------------------------------------------------------


def greedy(q_values: Array, *, tolerance: float | None = None) -> Array:
    """The policy `[..., S, A]` that shares probability among argmax_a Q(s, a), equal to within `tolerance`.

    None stands for the rounding of the dtype at the size of the largest value.

    >>> greedy(jnp.array([[1.0, 1.0, 0.0]])).tolist()
    [[0.5, 0.5, 0.0]]
    """
    slack = _slack(q_values) if tolerance is None else tolerance
    best = q_values >= jnp.max(q_values, axis=-1, keepdims=True) - slack
    return best / jnp.sum(best, axis=-1, keepdims=True, dtype=q_values.dtype)


@partial(jax.jit, static_argnames=("tolerance", "max_iterations"))
def value_iteration(mdp: MDP, *, tolerance: float | None = None, max_iterations: int = MOST_SWEEPS) -> Solution:
    """V* by V <- T* V from 0, until the residual is at most `tolerance` (None: what the dtype can tell).

    Reference: Sutton & Barto 2018, section 4.4. With a horizon it takes H sweeps, backwards in time, and is exact.
    """
    if mdp.horizon is not None:
        values, _ = backwards(mdp, lambda q_values, _: (jnp.max(q_values, axis=-1), ()), None)
        return _exact(mdp, values, greedy(_lookaheads(mdp, values)))
    values, iterations = iterate(mdp, partial(optimality_backup_v, mdp), tolerance, max_iterations)
    return Solution(values, greedy(lookahead(mdp, values)), iterations, residual(mdp, values))


@partial(jax.jit, static_argnames=("max_iterations",))
def policy_iteration(mdp: MDP, *, max_iterations: int = 1_000) -> Solution:
    """V* by evaluating a policy exactly and making it greedy, from the uniform one until no action is better.

    Reference: Sutton & Barto 2018, section 4.3. With a discount of 1 it wants every policy that does not end to lose;
    where one does not, as with rewards of 0, take `value_iteration`. Raises `ValueError` with a horizon.
    """
    _require_no_horizon(mdp, "policy_iteration")

    def going_on(carry: tuple[Array, Array, Array, Array]) -> Array:
        return carry[3] & (carry[2] < max_iterations)

    def improve(carry: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
        values, policy, iterations, _ = carry
        q_values = lookahead(mdp, values)
        better = jnp.max(q_values, axis=-1) > ops.v_from_q(q_values, policy) + _slack(values)
        best = jax.nn.one_hot(jnp.argmax(q_values, axis=-1), mdp.actions, dtype=values.dtype)
        policy = jnp.where(better[:, None], best, policy)
        return _solved(mdp, policy), policy, iterations + 1, jnp.any(better)

    first = uniform_policy(mdp)
    carry = (_solved(mdp, first), first, jnp.int32(0), jnp.asarray(True))
    values, _, iterations, _ = jax.lax.while_loop(going_on, improve, carry)
    return Solution(values, greedy(lookahead(mdp, values)), iterations, residual(mdp, values))


@partial(jax.jit, static_argnames=("sweeps", "tolerance", "max_iterations"))
def modified_policy_iteration(
    mdp: MDP, *, sweeps: int = 10, tolerance: float | None = None, max_iterations: int = MOST_SWEEPS
) -> Solution:
    """V* by making the policy greedy, then `sweeps` times V <- T^pi V; with 1 it is value iteration.

    Reference: Puterman & Shin 1978; "optimistic" or "generalised" policy iteration in Sutton & Barto 2018, section
    4.6. Raises `ValueError` with a horizon, or for fewer than one sweep.
    """
    _require_no_horizon(mdp, "modified_policy_iteration")
    if sweeps < 1:
        raise ValueError(f"sweeps={sweeps} must be at least 1")

    def improve(values: Array) -> Array:
        q_values = lookahead(mdp, values)
        policy = jax.nn.one_hot(jnp.argmax(q_values, axis=-1), mdp.actions, dtype=values.dtype)
        first = jnp.max(q_values, axis=-1)  # the first sweep
        return jax.lax.fori_loop(1, sweeps, lambda _, v: expectation_backup_v(mdp, policy, v), first)

    values, iterations = iterate(mdp, improve, tolerance, max_iterations)
    return Solution(values, greedy(lookahead(mdp, values)), iterations, residual(mdp, values))


@jax.jit
def v_star(mdp: MDP) -> Array:
    """V* `[S]`: of the policy that policy iteration finds, or where that does not end value iteration, solved exactly.

    With a horizon `[H + 1, S]`. With a discount of 1 it is infinite where going on for ever pays for ever. Its
    `jax.grad` is that of the optimal policy held fixed, as the envelope theorem has it; where with a discount of 1 this
    does not end, there is none. Reference: Sutton & Barto 2018, eq. 3.19.
    """
    if mdp.horizon is not None:
        return value_iteration(mdp).values
    held = jax.lax.stop_gradient(mdp)
    found = policy_iteration(held).values
    first = jnp.where((held.discount < 1) & jnp.all(jnp.isfinite(found)), found, 0)
    values, sweeps = iterate(held, lambda values: optimality_backup_v(held, values), None, MOST_SWEEPS, first)
    solved = _solved(mdp, greedy(lookahead(held, values)))
    change = optimality_backup_v(held, values) - values
    grows = (held.discount == 1) & (sweeps == MOST_SWEEPS) & (jnp.abs(change) > _slack(values))
    values = jnp.where(grows, jnp.where(change > 0, jnp.inf, -jnp.inf), values)
    exact = residual(held, solved) <= 2 * jnp.max(jnp.abs(change)) + _slack(values)
    return jnp.where(exact & ~grows, solved, values)


@jax.jit
def q_star(mdp: MDP) -> Array:
    """Q* `[S, A]`, of V* by one lookahead; with a horizon `[H, S, A]`. Sutton & Barto 2018, eq. 3.20."""
    return _lookaheads(mdp, v_star(mdp))


# -- parts -----------------------------------------------------------------------------------------


def _one(mdp: MDP, policy: Any) -> Array:
    """A policy `[S, A]`: a backup is of one step, so a policy in time is given one at a time."""
    return as_policy(mdp.replace(horizon=None), policy)


@jax.jit
def _values(mdp: MDP, policy: Array) -> Array:
    """V^pi: see `v_pi`."""
    if mdp.horizon is None:
        return _solved(mdp, policy)
    return backwards(mdp, lambda q_values, pi: (ops.v_from_q(q_values, pi), ()), _in_time(mdp, policy))[0]


@jax.jit
def _visits(mdp: MDP, policy: Array) -> Array:
    """d^pi: see `occupancy`."""
    if mdp.horizon is None:
        return jnp.linalg.solve(_system(mdp, policy).T, mdp.start[:, None])[:, 0]
    return jnp.sum(visits_in_time(mdp, policy), axis=0)


def visits_in_time(mdp: MDP, policy: Array) -> Array:
    """gamma^t P(s_t = s) `[H, S]`, 0 in terminal states, of an MDP with a horizon."""

    def step(here: Array, pi: Array) -> tuple[Array, Array]:
        return mdp.discount * jnp.sum(here[:, None] * _moves(mdp, pi), axis=0), here

    return jax.lax.scan(step, mdp.start, _in_time(mdp, policy))[1]


@partial(jax.jit, static_argnames=("tolerance", "max_iterations"))
def _evaluated(mdp: MDP, policy: Array, tolerance: float | None, max_iterations: int) -> Solution:
    """V^pi by iteration: see `iterative_evaluation`."""
    step = partial(expectation_backup_v, mdp, policy)
    values, iterations = iterate(mdp, step, tolerance, max_iterations)
    return Solution(values, policy, iterations, residual(mdp, values, policy))


def _solved(mdp: MDP, policy: Array) -> Array:
    """V^pi `[S]` by a linear solve."""
    reward = ops.v_from_q(mdp.expected_reward, policy)
    return jnp.linalg.solve(_system(mdp, policy), reward[:, None])[:, 0]


def _slack(values: Array, ulps: int = 32) -> Array:
    """So far apart may be what is equal but for rounding, `[]`."""
    size = jnp.max(jnp.where(jnp.isfinite(values), jnp.abs(values), 0))  # -inf is what may not be done
    return ulps * jnp.finfo(values.dtype).eps * (1 + size)


def _moves(mdp: MDP, policy: Array) -> Array:
    """P^pi(s' | s) = sum_a pi(a | s) P(s' | s, a) of steps after which the episode goes on, `[S, S]`."""
    return jnp.sum(policy[:, :, None] * mdp.going, axis=1)


def _system(mdp: MDP, policy: Array) -> Array:
    """I - gamma P^pi, `[S, S]`; see `never_ending` for what it is with a discount of 1."""
    dtype, moves = mdp.transition.dtype, _moves(mdp, policy)
    less = jnp.where(never_ending(mdp, policy), 1 - jnp.finfo(dtype).eps, 1)
    return jnp.eye(mdp.states, dtype=dtype) - mdp.discount * less[:, None] * moves


def _in_time(mdp: MDP, policy: Array) -> Array:
    """A policy as `[H, S, A]`."""
    return jnp.broadcast_to(policy, (mdp.horizon or 0, mdp.states, mdp.actions))


def backwards(mdp: MDP, valued: Callable[[Array, Any], tuple[Array, Any]], policy: Any) -> tuple[Array, Any]:
    """Values `[H + 1, S]` from the last step to the first: `valued` of Q `[S, A]` and the policy of that time."""

    def step(values: Array, pi: Array) -> tuple[Array, tuple[Array, Any]]:
        here, more = valued(lookahead(mdp, values), pi)
        return here, (here, more)

    last = jnp.zeros(mdp.states, mdp.transition.dtype)
    _, (values, more) = jax.lax.scan(step, last, policy, length=mdp.horizon, reverse=True)
    return jnp.concatenate([values, last[None]]), more


def _lookaheads(mdp: MDP, values: Array) -> Array:
    """Q `[S, A]` of V `[S]`, or `[H, S, A]` of V `[H + 1, S]`."""
    if mdp.horizon is None:
        return lookahead(mdp, values)
    return jax.vmap(lambda values: lookahead(mdp, values))(values[1:])


def _exact(mdp: MDP, values: Array, policy: Array) -> Solution:
    return Solution(values, policy, jnp.int32(mdp.horizon), jnp.zeros((), values.dtype))


def iterate(
    mdp: MDP, step: Callable[[Array], Array], tolerance: float | None, max_iterations: int, first: Array | None = None
) -> tuple[Array, Array]:
    """Values from `first` (None: 0) until a step changes none by more than the tolerance, and how many that took."""
    if tolerance is not None and not tolerance >= 0:
        raise ValueError(f"tolerance={tolerance} must be at least 0")

    def going_on(carry: tuple[Array, Array, Array]) -> Array:
        values, change, iterations = carry
        return (change > (_slack(values, 2) if tolerance is None else tolerance)) & (iterations < max_iterations)

    def once(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        values, _, iterations = carry
        after = step(values)
        return after, jnp.max(jnp.abs(after - values)), iterations + 1

    first = jnp.zeros(mdp.states, mdp.transition.dtype) if first is None else first
    values, _, iterations = jax.lax.while_loop(going_on, once, (first, jnp.asarray(jnp.inf, first.dtype), jnp.int32(0)))
    return values, iterations


def _require_no_horizon(mdp: MDP, what: str) -> None:
    if mdp.horizon is not None:
        raise ValueError(f"{what} is for values without a time; with a horizon value_iteration is exact")
