"""Returns and advantages over a window of time.

One convention throughout. Time is the leading axis and every array is `[T, ...]`. Row t holds
`values[t]` = V(s_t) and `next_values[t]` = V(s'_t), where s'_t is the state the transition really
reached (never the first state of the next episode). `discount[t]` = gamma * (1 - terminated) ends the
value and `trace[t]` = lambda * (1 - done) ends the sum, so termination, time limits and the edge of
the window are all right without a `done` argument. What has a weight of 0 is not read: the value of a
terminal state may be infinite or nan. The last row always bootstraps from `next_values[-1]`. Nothing here
stops a gradient or normalises.
"""

from __future__ import annotations

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from jaxrl_up.ops.arithmetic import saturated, weighted
from jaxrl_up.types import Array


def discounted_returns(rewards: Array, discount: Array, trace: Array, next_values: Array | None = None) -> Array:
    """Reward-to-go: the discounted sum of the rewards that follow, to the end of each episode.

    G_t = r_t + discount_t G_{t+1} inside an episode, G_t = r_t + discount_t V(s'_t) at its last row and at
    the edge of the window. Reference: Sutton & Barto 2018, eq. 3.9; lambda_returns with lambda = 1.

    Args:
      rewards: `[T, ...]`, per step.
      discount: `[T, ...]`, gamma * (1 - terminated), in [0, 1].
      trace: `[T, ...]`, 1 - done.
      next_values: `[T, ...]`, V(s'_t), read only at truncated rows and the last; None: zero, so what lies
        beyond a time limit or the window is left out (plain REINFORCE).

    Returns:
      returns `[T, ...]`.

    Raises:
      AssertionError: the shapes differ.

    >>> going = jnp.array([1.0, 1.0, 0.0])  # the third step terminates
    >>> discounted_returns(rewards=jnp.ones(3), discount=0.5 * going, trace=going).tolist()
    [1.75, 1.5, 1.0]
    """
    next_values = jnp.zeros_like(rewards) if next_values is None else next_values
    return lambda_returns(rewards, discount, trace, next_values)


def trajectory_returns(rewards: Array, discount: Array, trace: Array, next_values: Array | None = None) -> Array:
    """For every row, the return R(tau) of the whole trajectory segment that it belongs to.

    A segment begins at row 0 or after a row with trace 0, and its return is the reward-to-go of its first
    row: sum_t r_t (finite horizon, undiscounted) with discount = 1 - terminated, and sum_k gamma^k r_k
    (infinite horizon, discounted) with discount = gamma * (1 - terminated). This is Phi_t = R(tau) in
    Schulman et al. 2016, eq. 1, item 1.

    Arguments, result and errors are those of `discounted_returns`.

    >>> going = jnp.array([1.0, 0.0, 0.0])  # two episodes, of two steps and of one
    >>> trajectory_returns(rewards=jnp.array([1.0, 2.0, 4.0]), discount=0.5 * going, trace=going).tolist()
    [2.0, 2.0, 4.0]
    """
    to_go = discounted_returns(rewards, discount, trace, next_values)
    begins = jnp.concatenate([jnp.ones_like(trace[:1], bool), trace[:-1] == 0])
    return jax.lax.scan(_since_begin, jnp.zeros_like(to_go[0]), (begins, to_go))[1]


def _since_begin(current: Array, row: tuple[Array, Array]) -> tuple[Array, Array]:
    begin, value = row
    current = jnp.where(begin, value, current)
    return current, current


def n_step_returns(rewards: Array, discount: Array, trace: Array, next_values: Array, n: int) -> Array:
    """Returns of n steps, then a bootstrap.

    G^1_t = r_t + discount_t V(s'_t),
    G^n_t = r_t + discount_t ((1 - trace_t) V(s'_t) + trace_t G^{n-1}_{t+1}),
    so G^n_t = r_t + gamma r_{t+1} + ... + gamma^n V(s'_{t+n-1}) inside an episode. The sum stops early at the
    end of an episode and at the edge of the window, each with the bootstrap and the power of gamma that
    belong there. Reference: Sutton & Barto 2018, eq. 7.1.

    Args:
      rewards: `[T, ...]`, per step.
      discount: `[T, ...]`, gamma * (1 - terminated), in [0, 1].
      trace: `[T, ...]`, 1 - done; lambda * (1 - done) gives lambda-returns truncated after n steps.
      next_values: `[T, ...]`, V(s'_t).
      n: static, n >= 1; from n = T on, the reward-to-go.

    Returns:
      returns `[T, ...]`.

    Raises:
      ValueError: n < 1.
      AssertionError: the shapes differ.

    >>> half, ones = jnp.full(3, 0.5), jnp.ones(3)
    >>> n_step_returns(rewards=ones, discount=half, trace=ones, next_values=4 * ones, n=2).tolist()
    [2.5, 2.5, 3.0]
    """
    if n < 1:
        raise ValueError(f"n={n} steps; allowed are n >= 1 (n = 1 is the TD target)")
    chex.assert_equal_shape([rewards, discount, trace, next_values])
    shortest = rewards + weighted(discount * (1.0 - trace), next_values)
    start = rewards + weighted(discount, next_values), (shortest, discount * trace, next_values)
    return jax.lax.fori_loop(1, min(n, len(rewards)), _lengthen, start)[0]


def _lengthen(_: int, carry: tuple[Array, tuple[Array, Array, Array]]) -> tuple[Array, tuple[Array, Array, Array]]:
    returns, (shortest, weights, next_values) = carry
    return shortest + weighted(weights, _following(returns, next_values)), carry[1]


def value_expansion(rewards: Array, discount: Array, last_value: Array) -> Array:
    """Targets along an imagined path: the rewards that follow, then one bootstrap at its end.

    y_t = r_t + discount_t y_{t+1},  y_{H+1} = V(s_{H+1}): where nothing terminates, sum_{k=t}^H gamma^{k-t} r_k +
    gamma^{H+1-t} V(s_{H+1}). Behind a discount of 0 nothing is read. Row 0 is most often a real step and the H that
    follow are a model's, so with H = 0 it is `td_target`. Reference: Feinberg et al. 2018, arXiv:1803.00101, section 3.

    Args:
      rewards: `[H + 1, ...]`, per step.
      discount: `[H + 1, ...]`, gamma * (1 - terminated), in [0, 1].
      last_value: `[...]`, what is to be had from where the last step leads.

    Returns:
      targets `[H + 1, ...]`.

    Raises:
      AssertionError: the shapes differ.

    >>> value_expansion(jnp.array([1.0, 2.0]), discount=jnp.array([0.5, 0.5]), last_value=jnp.array(8.0)).tolist()
    [4.0, 6.0]
    """
    chex.assert_equal_shape([rewards, discount])
    chex.assert_equal_shape([rewards[0], last_value])
    return _backward_sum(rewards, discount, last_value)


def lambda_returns(rewards: Array, discount: Array, trace: Array, next_values: Array) -> Array:
    """TD(lambda) returns.

    G_t = r_t + discount_t ((1 - trace_t) V(s'_t) + trace_t G_{t+1}),  G_T = V(s'_{T-1}). Reference: Sutton &
    Barto 2018, eq. 12.18 (state values). trace = 0 is the TD(0) target r_t + discount_t V(s'_t).

    Args:
      rewards: `[T, ...]`, per step.
      discount: `[T, ...]`, gamma * (1 - terminated), in [0, 1].
      trace: `[T, ...]`, lambda * (1 - done), in [0, 1].
      next_values: `[T, ...]`, V(s'_t); for Q(lambda) the value of s'_t under the target policy.

    Returns:
      returns `[T, ...]`; equal to `gae + values` where values[t+1] = next_values[t].

    Raises:
      AssertionError: the shapes differ.

    >>> half, ones = jnp.full(2, 0.5), jnp.ones(2)
    >>> lambda_returns(rewards=ones, discount=half, trace=half, next_values=jnp.array([4.0, 8.0])).tolist()
    [3.25, 5.0]
    """
    chex.assert_equal_shape([rewards, discount, trace, next_values])
    increments = rewards + weighted(discount * (1.0 - trace), next_values)
    return _backward_sum(increments, discount * trace, next_values[-1])


def gae(rewards: Array, discount: Array, trace: Array, values: Array, next_values: Array) -> Array:
    """Generalised advantage estimation.

    delta_t = r_t + discount_t V(s'_t) - V(s_t),  A_t = delta_t + discount_t trace_t A_{t+1},  A_T = 0.

    Reference: Schulman et al. 2016, "High-dimensional continuous control using generalized advantage
    estimation", eq. 16.

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

    >>> half, values = jnp.full(2, 0.5), jnp.array([1.0, 2.0])
    >>> gae(jnp.ones(2), discount=half, trace=half, values=values, next_values=jnp.array([2.0, 4.0])).tolist()
    [1.25, 1.0]
    """
    chex.assert_equal_shape([rewards, discount, trace, values, next_values])
    errors = rewards + weighted(discount, next_values) - values
    return _backward_sum(errors, discount * trace)


class VTrace(NamedTuple):
    """What `vtrace` returns, both `[T, ...]`."""

    targets: Array  # v_s, what the value function is fitted to
    advantages: Array  # rho_s (r_s + gamma v_{s+1} - V(x_s)), for the policy gradient


def vtrace(
    rewards: Array,
    discount: Array,
    trace: Array,
    values: Array,
    next_values: Array,
    log_ratio: Array,
    rho_bar: Array | float = 1.0,
    c_bar: Array | float = 1.0,
) -> VTrace:
    """V-trace targets and advantages for actions of another (behaviour) policy.

    v_s = V(x_s) + sum_{t >= s} (prod_{s <= i < t} discount_i c_i) delta_t,
    delta_t = rho_t (r_t + discount_t V(x_{t+1}) - V(x_t)),
    rho_t = min(rho_bar, pi / mu),  c_t = trace_t min(c_bar, pi / mu). Reference: Espeholt et al. 2018,
    "IMPALA", eq. 1 and remark 2 (lambda); the advantages are those of section 4.2, where at lambda < 1
    v_{s+1} is V(x_{s+1}) + lambda (v_{s+1} - V(x_{s+1})).

    Args:
      rewards: `[T, ...]`, per step.
      discount: `[T, ...]`, gamma * (1 - terminated), in [0, 1].
      trace: `[T, ...]`, lambda * (1 - done), in [0, 1].
      values: `[T, ...]`, V(s_t).
      next_values: `[T, ...]`, V(s'_t).
      log_ratio: `[T, ...]`, log pi(a_t | s_t) - log mu(a_t | s_t), nats.
      rho_bar: scalar >= c_bar, sets the fixed point; `jnp.inf` for no clipping below exp(80) (the fixed point is
        V^pi).
      c_bar: scalar, sets the speed of contraction.

    Returns:
      `VTrace(targets, advantages)`, neither stopped nor normalised.

    Raises:
      AssertionError: the shapes differ.
    """
    chex.assert_equal_shape([rewards, discount, trace, values, next_values, log_ratio])
    log_ratio = saturated(log_ratio)
    rho = jnp.exp(jnp.minimum(log_ratio, jnp.log(rho_bar)))
    c = trace * jnp.exp(jnp.minimum(log_ratio, jnp.log(c_bar)))
    one_step = rewards + weighted(discount, next_values)
    corrections = _backward_sum(weighted(rho, one_step - values), discount * c)
    later = _following(corrections, jnp.zeros_like(values))
    return VTrace(values + corrections, weighted(rho, one_step + weighted(discount * trace, later) - values))


def _backward_sum(increments: Array, weights: Array, last: Array | float = 0.0) -> Array:
    """y_t = increments_t + weights_t y_{t+1} with y_T = last, from the last row to the first."""
    start = jnp.full_like(increments[0], last)
    return jax.lax.scan(_add_weighted, start, (increments, weights), reverse=True)[1]


def _add_weighted(later: Array, row: tuple[Array, Array]) -> tuple[Array, Array]:  # not within, or it is compiled anew
    increment, weight = row
    total = increment + weighted(weight, later)
    return total, total


def _following(x: Array, beyond: Array) -> Array:
    """x_{t+1} in row t, and `beyond`'s last row in the last."""
    return jnp.concatenate([x[1:], beyond[-1:]])
