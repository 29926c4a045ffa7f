"""Exact values where entropy is paid for: what soft Q-learning and soft actor-critics find.

    V^pi(s) = sum_a pi(a | s) [Q^pi(s, a) - alpha log pi(a | s)]
    V*(s) = alpha log sum_a exp(Q*(s, a) / alpha)          pi*(a | s) = exp((Q*(s, a) - V*(s)) / alpha)

with Q(s, a) = r(s, a) + gamma sum_s' P(s' | s, a) V(s') in both, and temperature alpha > 0 in reward per nat.
Reference: Haarnoja et al. 2017, "Reinforcement learning with deep energy-based policies", theorems 1 and 2.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxrl_up import ops
from jaxrl_up.tabular.dynamic_programming import MOST_SWEEPS, Solution, backwards, iterate, lookahead, v_pi
from jaxrl_up.tabular.finite_mdp import MDP, as_policy
from jaxrl_up.types import Array


def soft_v_pi(mdp: MDP, policy: Any, alpha: Array | float) -> Array:
    """V^pi with entropy, `[S]`, or `[H + 1, S]` with a horizon. As `v_pi`; and `ValueError` unless alpha > 0.

    Of the policy that `soft_value_iteration` finds, held fixed, it has the gradient of V* (the envelope theorem).
    """
    alpha, policy = _temperature(mdp, alpha), as_policy(mdp, policy)
    paid = -alpha * ops.v_from_q(jnp.log(jnp.where(policy > 0, policy, 1)), policy)
    if mdp.horizon is None:
        return v_pi(mdp.replace(reward=mdp.expected_reward + paid[:, None]), policy)

    def valued(q_values: Array, now: tuple[Array, Array]) -> tuple[Array, Any]:
        return jnp.where(mdp.terminal, 0, ops.v_from_q(q_values, now[0]) + now[1]), ()

    in_time = (jnp.broadcast_to(x, (mdp.horizon, *x.shape[x.ndim - n :])) for x, n in ((policy, 2), (paid, 1)))
    return backwards(mdp, valued, tuple(in_time))[0]


def soft_backup_v(mdp: MDP, values: Array, alpha: Array | float) -> Array:
    """(T V)(s) = alpha log sum_a exp([r(s, a) + gamma sum_s' P(s' | s, a) V(s')] / alpha), `[S]`; 0 where terminal."""
    return _softly(mdp, lookahead(mdp, values), _temperature(mdp, alpha))[0]


def soft_value_iteration(
    mdp: MDP, alpha: Array | float, *, tolerance: float | None = None, max_iterations: int = MOST_SWEEPS
) -> Solution:
    """V* with entropy and its policy pi*, by V <- T V from 0 as `value_iteration` does it.

    With a horizon it is exact, backwards in time. Reference: Haarnoja et al. 2017, theorem 3. Raises `ValueError`
    unless alpha > 0.
    """
    return _iterated(mdp, _temperature(mdp, alpha), tolerance, max_iterations)


@partial(jax.jit, static_argnames=("tolerance", "max_iterations"))
def _iterated(mdp: MDP, alpha: Array, tolerance: float | None, max_iterations: int) -> Solution:
    if mdp.horizon is not None:
        values, policy = backwards(mdp, lambda q_values, _: _softly(mdp, q_values, alpha), None)
        return Solution(values, policy, jnp.int32(mdp.horizon), jnp.zeros((), values.dtype))
    values, iterations = iterate(mdp, lambda values: soft_backup_v(mdp, values, alpha), tolerance, max_iterations)
    left = jnp.max(jnp.abs(soft_backup_v(mdp, values, alpha) - values))
    return Solution(values, _softly(mdp, lookahead(mdp, values), alpha)[1], iterations, left)


def _softly(mdp: MDP, q_values: Array, alpha: Array) -> tuple[Array, Array]:
    """V `[S]` and pi `[S, A]` of Q `[S, A]`; Q / alpha may be larger than what a float can be."""
    best = jax.lax.stop_gradient(jnp.max(q_values, axis=-1, keepdims=True))
    above = (q_values - best) / alpha
    values = best[:, 0] + alpha * jax.nn.logsumexp(above, axis=-1)
    return jnp.where(mdp.terminal, 0, values), jax.nn.softmax(above)


def _temperature(mdp: MDP, alpha: Array | float) -> Array:
    """alpha `[]` in the dtype of the MDP. Raises `ValueError` unless it is above 0; what is traced is not looked at."""
    if not isinstance(alpha, Tracer) and not np.asarray(alpha) > 0:
        raise ValueError(f"alpha={alpha} must be above 0; without entropy take `value_iteration` and `v_pi`")
    return jnp.asarray(alpha, mdp.transition.dtype)
