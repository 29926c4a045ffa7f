"""Returns and advantages over a window of time.

One convention throughout. Time is the leading axis and every array is `[T, ...]`. Row t holds
`values[t]` = V(s_t) and `next_values[t]` = V(s'_t), where s'_t is the state the transition really
reached (never the first state of the next episode). `discount[t]` = gamma * (1 - terminated) ends the
value and `trace[t]` = lambda * (1 - done) ends the sum, so termination, time limits and the edge of
the window are all right without a `done` argument. The last row always bootstraps from
`next_values[-1]`. Nothing here stops a gradient or normalises.
"""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp

from jaxrl_up.types import Array


def gae(rewards: Array, discount: Array, trace: Array, values: Array, next_values: Array) -> Array:
    """Generalised advantage estimation.

    delta_t = r_t + discount_t V(s'_t) - V(s_t),  A_t = delta_t + discount_t trace_t A_{t+1},  A_T = 0.

    Reference: Schulman et al. 2016, "High-dimensional continuous control using generalized advantage
    estimation", eq. 16 (delta is eq. 9).

    Args:
      rewards: `[T, ...]`, per step.
      discount: `[T, ...]`, gamma * (1 - terminated), in [0, 1].
      trace: `[T, ...]`, lambda * (1 - done), in [0, 1].
      values: `[T, ...]`, V(s_t).
      next_values: `[T, ...]`, V(s'_t).

    Returns:
      advantages `[T, ...]`; `advantages + values` are the TD(lambda) value targets.

    Raises:
      AssertionError: the shapes differ (nothing broadcasts).
    """
    chex.assert_equal_shape([rewards, discount, trace, values, next_values])
    errors = rewards + discount * next_values - values
    return _backward_sum(errors, discount * trace)


def _backward_sum(increments: Array, weights: Array) -> Array:
    """y_t = increments_t + weights_t y_{t+1} with y_T = 0, from the last row to the first."""

    def step(later, row):
        increment, weight = row
        total = increment + weight * later
        return total, total

    _, totals = jax.lax.scan(step, jnp.zeros_like(increments[0]), (increments, weights), reverse=True)
    return totals
