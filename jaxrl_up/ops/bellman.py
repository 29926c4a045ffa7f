"""Bellman backups of a known model, and their sampled counterparts: targets and TD errors.

A tabular model is `transition[s, a, s']` = P(s' | s, a) and `reward[s, a]` = E[r | s, a]; its `discount` is a
scalar gamma or `[S, A]` = gamma * (1 - terminated). Sampled functions take any leading axes, with
`discount` = gamma * (1 - terminated) per row and everything "next" belonging to the true successor. What has a
discount or a probability of 0 is not read, so it may be infinite or nan. A `mask`, bool `[..., A]` and true where the
action is allowed in the next state, leaves the others out, unread as well; where it allows none, as it may after the
end of an episode, all are, and so without a mask. See `masks`.
Nothing here stops a gradient: `value_loss` stops its targets, other callers stop them themselves.
"""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp

from jaxrl_up.ops.arithmetic import read, weighted
from jaxrl_up.ops.masks import masked_argmax, masked_log_softmax, masked_max, masked_probs
from jaxrl_up.types import Array

# -- of a known model ------------------------------------------------------------------------------


def q_from_v(values: Array, transition: Array, reward: Array, discount: Array | float) -> Array:
    """One step of lookahead: Q(s, a) = R(s, a) + gamma sum_s' P(s' | s, a) V(s').

    Reference: Sutton & Barto 2018, eq. 4.6.

    Args:
      values: `[S]`.
      transition: `[S, A, S]`, probabilities over the last axis.
      reward: `[S, A]`, expected, per step.
      discount: scalar or `[S, A]`, in [0, 1].

    Returns:
      `[S, A]`.

    Raises:
      AssertionError: the shapes do not belong together.

    >>> stay = jnp.array([[[1.0, 0.0]], [[0.0, 1.0]]])  # two states, one action
    >>> q_from_v(jnp.array([2.0, 4.0]), stay, reward=jnp.ones((2, 1)), discount=0.5).tolist()
    [[2.0], [3.0]]
    """
    states, actions = reward.shape
    chex.assert_shape(transition, (states, actions, states))
    chex.assert_shape(values, (states,))
    ahead = jnp.sum(weighted(transition, jnp.broadcast_to(values, transition.shape)), axis=-1)
    return reward + weighted(jnp.broadcast_to(discount, reward.shape), ahead)


def v_from_q(q_values: Array, policy: Array, *, mask: Array | None = None) -> Array:
    """V(s) = sum_a pi(a | s) Q(s, a), from `[..., A]` and probabilities `[..., A]` to `[...]`.

    With a mask of this state, pi is restricted to the allowed actions: `masked_probs`. Reference: Sutton & Barto 2018,
    exercise 3.18. Raises AssertionError if the shapes differ.

    >>> v_from_q(jnp.array([2.0, 6.0]), policy=jnp.array([0.75, 0.25])).tolist()
    3.0
    """
    chex.assert_equal_shape([q_values, policy])
    if mask is not None:
        policy = masked_probs(policy, mask)
    return jnp.sum(weighted(policy, q_values), axis=-1)


def advantage(q_values: Array, policy: Array) -> Array:
    """A(s, a) = Q(s, a) - sum_b pi(b | s) Q(s, b), so that its mean under the policy is 0.

    `q_values` and probabilities `policy` are `[..., A]`. Reference: Schulman et al. 2016, eq. 3 (Q - V).
    Raises AssertionError if the shapes differ.

    >>> advantage(jnp.array([2.0, 6.0]), policy=jnp.array([0.75, 0.25])).tolist()
    [-1.0, 3.0]
    """
    return q_values - v_from_q(q_values, policy)[..., None]


def expectation_backup_v(
    values: Array, transition: Array, reward: Array, policy: Array, discount: Array | float
) -> Array:
    """(T^pi V)(s) = sum_a pi(a | s) (R(s, a) + gamma sum_s' P(s' | s, a) V(s')); its fixed point is V^pi.

    Reference: Sutton & Barto 2018, eq. 4.5. Shapes and errors as in `q_from_v`; `policy` `[S, A]`,
    probabilities over the last axis; the result is `[S]`.
    """
    return v_from_q(q_from_v(values, transition, reward, discount), policy)


def expectation_backup_q(
    q_values: Array, transition: Array, reward: Array, policy: Array, discount: Array | float
) -> Array:
    """(T^pi Q)(s, a) = R(s, a) + gamma sum_s' P(s' | s, a) sum_b pi(b | s') Q(s', b); fixed point Q^pi.

    Reference: Sutton & Barto 2018, exercise 3.17. Shapes and errors as in `q_from_v`; `q_values` and
    `policy` are `[S, A]`, as is the result.
    """
    q_values, policy = (read(jnp.max(transition, axis=(0, 1)), x) for x in (q_values, policy))
    return q_from_v(v_from_q(q_values, policy), transition, reward, discount)


def optimality_backup_v(
    values: Array, transition: Array, reward: Array, discount: Array | float, *, mask: Array | None = None
) -> Array:
    """(T* V)(s) = max_a (R(s, a) + gamma sum_s' P(s' | s, a) V(s')); its fixed point is V*.

    Reference: Sutton & Barto 2018, eq. 4.10. Shapes and errors as in `q_from_v`; `mask` `[S, A]`, of the actions that
    the maximum is over; the result is `[S]`.
    """
    return masked_max(q_from_v(values, transition, reward, discount), mask)


def optimality_backup_q(
    q_values: Array, transition: Array, reward: Array, discount: Array | float, *, mask: Array | None = None
) -> Array:
    """(T* Q)(s, a) = R(s, a) + gamma sum_s' P(s' | s, a) max_b Q(s', b); its fixed point is Q*.

    Reference: Sutton & Barto 2018, eq. 4.2. Shapes and errors as in `q_from_v`; `q_values` is `[S, A]`, as are the
    `mask` of the actions that the maximum is over and the result, which has forbidden actions too.
    """
    q_values = read(jnp.max(transition, axis=(0, 1)), q_values)
    return q_from_v(masked_max(q_values, mask), transition, reward, discount)


# -- from samples ----------------------------------------------------------------------------------


def action_value(q_values: Array, action: Array) -> Array:
    """Q(s, a) of the taken actions: `[..., A]` and integers `[...]` to `[...]`.

    An action outside 0..A-1 gives nan. By comparison and not by indexing: on CPU the gradient of a gather
    is a slow scatter. Raises AssertionError if the shapes do not belong together or `action` is no integer.

    >>> action_value(jnp.array([[1.0, 2.0], [3.0, 4.0]]), jnp.array([1, 0])).tolist()
    [2.0, 3.0]
    """
    chex.assert_shape(action, q_values.shape[:-1])
    chex.assert_type(action, int)
    number = q_values.shape[-1]
    chosen = jax.nn.one_hot(action, number, dtype=bool)
    known = (action >= 0) & (action < number)
    return jnp.where(known, jnp.sum(jnp.where(chosen, q_values, 0.0), axis=-1), jnp.nan)


def td_target(reward: Array, discount: Array, next_value: Array) -> Array:
    """r + discount V(s'), the sample of T^pi V.

    Reference: Sutton & Barto 2018, eq. 6.2. With next_value = Q(s', a') it is SARSA's target (eq. 6.7),
    with a' from a deterministic policy that of DDPG (Lillicrap et al. 2016, algorithm 1).

    Args:
      reward: `[...]`, per step.
      discount: `[...]`, gamma * (1 - terminated), in [0, 1].
      next_value: `[...]`, of the true successor; not read where the discount is 0.

    Raises:
      AssertionError: the shapes differ (so `[B]` against `[B, 1]` fails).

    >>> td_target(jnp.ones(2), discount=jnp.array([0.5, 0.0]), next_value=jnp.array([4.0, jnp.nan])).tolist()
    [3.0, 1.0]
    """
    chex.assert_equal_shape([reward, discount, next_value])
    return reward + weighted(discount, next_value)


def td_error(value: Array, reward: Array, discount: Array, next_value: Array) -> Array:
    """delta = r + discount V(s') - V(s), all `[...]`, the discount in [0, 1]. Reference: Sutton & Barto 2018, eq. 6.5.

    Raises AssertionError if the shapes differ.

    >>> td_error(jnp.array(2.0), reward=jnp.array(1.0), discount=jnp.array(0.5), next_value=jnp.array(4.0)).tolist()
    1.0
    """
    chex.assert_equal_shape([value, reward])
    return td_target(reward, discount, next_value) - value


def q_learning_target(reward: Array, discount: Array, next_q_values: Array, *, mask: Array | None = None) -> Array:
    """r + discount max_a Q(s', a), the sample of T* Q, over the a that `mask` allows in s'.

    `reward`, `discount` (in [0, 1]) `[...]`; `next_q_values`, `mask` `[..., A]`. Reference: Sutton & Barto 2018, eq.
    6.8; Mnih et al. 2015, algorithm 1. Raises AssertionError if the shapes do not belong together.

    >>> q_learning_target(jnp.array(1.0), jnp.array(0.5), next_q_values=jnp.array([2.0, 4.0])).tolist()
    3.0
    """
    return td_target(reward, discount, masked_max(read(discount, next_q_values), mask))


def expected_sarsa_target(
    reward: Array, discount: Array, next_q_values: Array, next_policy: Array, *, mask: Array | None = None
) -> Array:
    """r + discount sum_a pi(a | s') Q(s', a), with pi restricted to what `mask` allows in s': `masked_probs`.

    `reward`, `discount` (in [0, 1]) `[...]`; `next_q_values`, probabilities `next_policy` and `mask` `[..., A]`.
    Reference: Sutton & Barto 2018, eq. 6.9. Raises AssertionError if the shapes do not belong together.

    >>> q_values, policy = jnp.array([2.0, 6.0]), jnp.array([0.75, 0.25])
    >>> expected_sarsa_target(jnp.array(1.0), jnp.array(0.5), q_values, policy).tolist()
    2.5
    """
    next_q_values, next_policy = (read(discount, x) for x in (next_q_values, next_policy))
    return td_target(reward, discount, v_from_q(next_q_values, next_policy, mask=mask))


def double_q_target(
    reward: Array, discount: Array, next_q_values: Array, selector_q_values: Array, *, mask: Array | None = None
) -> Array:
    """r + discount Q'(s', argmax_a Q(s', a)): one function chooses the action, another values it.

    Reference: van Hasselt, Guez & Silver 2016, "Deep reinforcement learning with double Q-learning", eq. 4.

    Args:
      reward: `[...]`, per step.
      discount: `[...]`, gamma * (1 - terminated), in [0, 1].
      next_q_values: `[..., A]`, Q' that values (the target network), at s'.
      selector_q_values: `[..., A]`, Q that chooses (the online network), at s'.
      mask: `[..., A]`, of the actions it may choose, at s'; None: all.

    Raises:
      AssertionError: the shapes do not belong together.

    >>> valued, chosen = jnp.array([2.0, 4.0]), jnp.array([5.0, 3.0])  # the second function prefers action 0
    >>> double_q_target(jnp.array(1.0), jnp.array(0.5), valued, chosen).tolist()
    2.0
    """
    chex.assert_equal_shape([next_q_values, selector_q_values])
    greedy = jnp.argmax(selector_q_values, axis=-1) if mask is None else masked_argmax(selector_q_values, mask)
    return td_target(reward, discount, action_value(next_q_values, greedy))


def clipped_double_q_target(reward: Array, discount: Array, next_q1: Array, next_q2: Array) -> Array:
    """r + discount min(Q1(s', a'), Q2(s', a')), all `[...]`, with a' the (smoothed) target action and
    the discount in [0, 1].

    Reference: Fujimoto, van Hoof & Meger 2018 (TD3), eq. 10. Raises AssertionError if the shapes differ.

    >>> clipped_double_q_target(jnp.array(1.0), jnp.array(0.5), jnp.array(4.0), jnp.array(2.0)).tolist()
    2.0
    """
    chex.assert_equal_shape([next_q1, next_q2])
    next_q1, next_q2 = (read(discount, x) for x in (next_q1, next_q2))
    return td_target(reward, discount, jnp.minimum(next_q1, next_q2))


def soft_target(
    reward: Array,
    discount: Array,
    next_q1: Array,
    next_q2: Array,
    next_log_prob: Array,
    alpha: Array | float,
) -> Array:
    """r + discount (min(Q1(s', a'), Q2(s', a')) - alpha log pi(a' | s')), with a' drawn from pi.

    Reference: Haarnoja et al. 2018, "Soft actor-critic algorithms and applications", eq. 3 and 5, with the
    two critics of its section 5.

    Args:
      reward: `[...]`.
      discount: `[...]`, gamma * (1 - terminated); it multiplies the entropy term as well.
      next_q1: `[...]`, of the sampled action a'.
      next_q2: `[...]`; pass `next_q1` again for a single critic.
      next_log_prob: `[...]`, of a', nats.
      alpha: scalar >= 0, the temperature, in reward per nat.

    Raises:
      AssertionError: the shapes differ.

    >>> reward, discount, q1, q2, log_prob = jnp.array([1.0, 0.5, 4.0, 2.0, -2.0])
    >>> soft_target(reward, discount, q1, q2, log_prob, alpha=0.5).tolist()
    2.5
    """
    chex.assert_equal_shape([next_q1, next_q2, next_log_prob])
    next_q1, next_q2, next_log_prob = (read(discount, x) for x in (next_q1, next_q2, next_log_prob))
    return td_target(reward, discount, jnp.minimum(next_q1, next_q2) - weighted(alpha, next_log_prob))


def discrete_soft_target(
    reward: Array,
    discount: Array,
    next_q1: Array,
    next_q2: Array,
    next_log_probs: Array,
    alpha: Array | float,
    *,
    mask: Array | None = None,
) -> Array:
    """r + discount sum_a pi(a | s') (min(Q1(s', a), Q2(s', a)) - alpha log pi(a | s')), in expectation.

    Reference: Christodoulou 2019, "Soft actor-critic for discrete action settings", eq. 10. As
    `soft_target`, but `next_q1`, `next_q2` and `next_log_probs` (normalised, finite) are `[..., A]`, as is `mask`: pi
    is then restricted to what it allows in s' (of a policy with that mask it is already). Raises AssertionError if the
    shapes do not belong together.
    """
    chex.assert_equal_shape([next_q1, next_q2, next_log_probs])
    next_q1, next_q2, next_log_probs = (read(discount, x) for x in (next_q1, next_q2, next_log_probs))
    if mask is not None:
        next_log_probs = masked_log_softmax(next_log_probs, mask)
    soft_q = jnp.minimum(next_q1, next_q2) - weighted(alpha, next_log_probs)
    return td_target(reward, discount, v_from_q(soft_q, jnp.exp(next_log_probs)))


def dueling_q_values(value: Array, advantages: Array, policy: Array | None = None) -> Array:
    """Q(s, a) = V(s) + A(s, a) - sum_b pi(b | s) A(s, b), which makes the two streams identifiable.

    Reference: Wang et al. 2016, "Dueling network architectures", eq. 9 (pi uniform).

    Args:
      value: `[...]` (not `[..., 1]`).
      advantages: `[..., A]`, any offset.
      policy: probabilities `[..., A]` that average the advantages; None: uniform. Given a policy, `value` is
        exactly its mean of the result.

    Raises:
      AssertionError: the shapes do not belong together.

    >>> dueling_q_values(jnp.array(10.0), advantages=jnp.array([1.0, 3.0])).tolist()
    [9.0, 11.0]
    """
    chex.assert_shape(value, advantages.shape[:-1])
    if policy is None:  # on the way of every acting and learning step: no weight is 0
        mean = jnp.sum(advantages * (1.0 / advantages.shape[-1]), axis=-1)
        return value[..., None] + (advantages - mean[..., None])
    return value[..., None] + advantage(advantages, policy)
