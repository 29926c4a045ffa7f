"""Exact values where entropy is paid for: what soft Q-learning and soft actor-critics find.

    V^pi(s) = sum_a pi(a | s) [Q^pi(s, a) - alpha log pi(a | s)]
    V*(s) = alpha log sum_a exp(Q*(s, a) / alpha)          pi*(a | s) = exp((Q*(s, a) - V*(s)) / alpha)

with Q(s, a) = r(s, a) + gamma sum_s' P(s' | s, a) V(s') in both, and temperature alpha > 0 in reward per nat.
Reference: Haarnoja et al. 2017, "Reinforcement learning with deep energy-based policies", theorems 1 and 2.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from jaxrl_up import ops
from jaxrl_up.tabular.dynamic_programming import MOST_SWEEPS, Solution, backwards, iterate, lookahead, v_pi
from jaxrl_up.tabular.finite_mdp import MDP, as_policy
from jaxrl_up.types import Array


def soft_v_pi(mdp: MDP, policy: Any, alpha: Array | float) -> Array:
    """V^pi with entropy, `[S]`, or `[H + 1, S]` with a horizon, for one policy `[S, A]` at all times. As `v_pi`."""
    policy = as_policy(mdp.replace(horizon=None), policy)
    entropy = -ops.v_from_q(jnp.log(jnp.where(policy > 0, policy, 1)), policy)
    return v_pi(mdp.replace(reward=mdp.expected_reward + alpha * entropy[:, None]), policy)


def soft_backup_v(mdp: MDP, values: Array, alpha: Array | float) -> Array:
    """(T V)(s) = alpha log sum_a exp([r(s, a) + gamma sum_s' P(s' | s, a) V(s')] / alpha), `[S]`; 0 where terminal."""
    return _soft_maximum(mdp, lookahead(mdp, values), alpha)


def soft_value_iteration(
    mdp: MDP, alpha: Array | float, *, tolerance: float | None = None, max_iterations: int = MOST_SWEEPS
) -> Solution:
    """V* with entropy and its policy pi*, by V <- T V from 0 as `value_iteration` does it.

    With a horizon it is exact, backwards in time. Reference: Haarnoja et al. 2017, theorem 3.
    """
    if mdp.horizon is not None:

        def valued(q_values: Array, _: Any) -> tuple[Array, Array]:
            return _soft_maximum(mdp, q_values, alpha), jax.nn.softmax(q_values / alpha)

        values, policy = backwards(mdp, valued, None)
        return Solution(values, policy, jnp.int32(mdp.horizon), jnp.zeros((), values.dtype))
    values, iterations = iterate(mdp, lambda values: soft_backup_v(mdp, values, alpha), tolerance, max_iterations)
    left = jnp.max(jnp.abs(soft_backup_v(mdp, values, alpha) - values))
    return Solution(values, jax.nn.softmax(lookahead(mdp, values) / alpha), iterations, left)


def _soft_maximum(mdp: MDP, q_values: Array, alpha: Array | float) -> Array:
    return jnp.where(mdp.terminal, 0, alpha * jax.nn.logsumexp(q_values / alpha, axis=-1))
