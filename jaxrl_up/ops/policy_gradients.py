"""Policy-gradient losses, and the trust-region tools: KL estimates, conjugate gradient, line search.

Losses are to be minimised and are means over all axes. What a loss treats as data (weights, advantages,
old log-probabilities, targets) is stopped here, so a careless caller gets the right gradient. A probability ratio
counts as exp(80) beyond that, so that it is finite; see `saturated`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from jaxrl_up.ops.arithmetic import centred, saturated
from jaxrl_up.types import Array, PyTree


def score_function_loss(log_prob: Array, weight: Array) -> Array:
    """Loss whose gradient is the negative policy gradient.

    -mean_t log pi(a_t | s_t) Phi_t. Reference: Schulman et al. 2016, "High-dimensional continuous
    control using generalized advantage estimation", eq. 1; Williams 1992 (REINFORCE) with Phi_t the return.

    Args:
      log_prob: `[T, ...]`, of the taken action, nats; differentiated.
      weight: `[T, ...]`, Phi_t: a return, a TD error or an advantage; stopped, not normalised.

    Raises:
      AssertionError: the shapes differ.

    >>> score_function_loss(jnp.array([-1.0, -2.0]), weight=jnp.array([3.0, 1.0])).tolist()
    2.5
    """
    chex.assert_equal_shape([log_prob, weight])
    return -jnp.mean(log_prob * jax.lax.stop_gradient(weight))


def surrogate_loss(log_prob: Array, old_log_prob: Array, advantages: Array) -> Array:
    """Importance-sampled surrogate, negated.

    -mean_t rho_t A_t with rho_t = pi(a_t | s_t) / pi_old(a_t | s_t). Reference: Schulman et al. 2015, "Trust
    region policy optimization", eq. 14; Schulman et al. 2017, eq. 6.

    Args:
      log_prob: `[...]`, of the taken action under pi, nats; differentiated.
      old_log_prob: `[...]`, under the policy that acted; stopped.
      advantages: `[...]`; stopped, not normalised.

    Raises:
      AssertionError: the shapes differ.

    >>> log_prob, old = jnp.log(jnp.array([0.5, 0.25])), jnp.log(jnp.array([0.25, 0.5]))  # ratios 2 and 1/2
    >>> round(float(surrogate_loss(log_prob, old, advantages=jnp.array([1.0, 2.0]))), 3)
    -1.5
    """
    ratio, advantages = _ratio(log_prob, old_log_prob, advantages)
    return -jnp.mean(ratio * advantages)


def clipped_surrogate_loss(
    log_prob: Array, old_log_prob: Array, advantages: Array, clip_epsilon: Array | float
) -> Array:
    """Clipped surrogate of PPO, negated.

    -mean_t min(rho_t A_t, clip(rho_t, 1 - epsilon, 1 + epsilon) A_t). Reference: Schulman et al. 2017,
    "Proximal policy optimization algorithms", eq. 7.

    Args:
      log_prob: `[...]`, of the taken action under pi, nats; differentiated.
      old_log_prob: `[...]`, under the policy that acted; stopped.
      advantages: `[...]`; stopped, not normalised.
      clip_epsilon: scalar in (0, 1).

    Raises:
      AssertionError: the shapes differ.

    >>> log_prob, old = jnp.log(jnp.array([0.5, 0.25])), jnp.log(jnp.array([0.25, 0.5]))  # ratios 2 and 1/2
    >>> round(float(clipped_surrogate_loss(log_prob, old, jnp.array([1.0, 2.0]), clip_epsilon=0.25)), 3)
    -1.125
    """
    ratio, advantages = _ratio(log_prob, old_log_prob, advantages)
    clipped = jnp.clip(ratio, 1.0 - clip_epsilon, 1.0 + clip_epsilon)
    return -jnp.mean(jnp.minimum(ratio * advantages, clipped * advantages))


def value_loss(values: Array, targets: Array) -> Array:
    """Half the mean squared error, mean (V - target)^2 / 2.

    `values` `[...]` are differentiated, `targets` `[...]` are stopped. Raises AssertionError if the
    shapes differ, so `[B]` against `[B, 1]` fails instead of broadcasting.

    >>> value_loss(jnp.array([1.0, 2.0]), targets=jnp.array([3.0, 2.0])).tolist()
    1.0
    """
    chex.assert_equal_shape([values, targets])
    return 0.5 * jnp.mean(jnp.square(values - jax.lax.stop_gradient(targets)))


def clipped_value_loss(values: Array, old_values: Array, targets: Array, clip: Array | float) -> Array:
    """Value loss that gains nothing from moving further than `clip` from the old values.

    mean max((V - target)^2, (V_old + clip(V - V_old, -c, c) - target)^2) / 2. Reference: Engstrom et al.
    2020, "Implementation matters in deep policy gradients", section 3; in no equation of the PPO paper.

    Args:
      values: `[...]`; differentiated.
      old_values: `[...]`, when the data was collected; stopped.
      targets: `[...]`; stopped.
      clip: scalar > 0, in units of value.

    Raises:
      AssertionError: the shapes differ.

    >>> values, old_values, targets = jnp.array([2.0]), jnp.array([0.0]), jnp.array([2.0])
    >>> clipped_value_loss(values, old_values, targets, clip=1.0).tolist()
    0.5
    """
    chex.assert_equal_shape([values, old_values, targets])
    old_values, targets = jax.lax.stop_gradient((old_values, targets))
    clipped = old_values + jnp.clip(values - old_values, -clip, clip)
    return 0.5 * jnp.mean(jnp.maximum(jnp.square(values - targets), jnp.square(clipped - targets)))


def normalize_advantages(advantages: Array, epsilon: float = 1e-8) -> Array:
    """Advantages with mean 0 and standard deviation 1 over all axes.

    (A - mean A) / sqrt(var A + epsilon^2), with the population variance; equal advantages give 0. `advantages` and
    the result are `[...]`; `epsilon` > 0 is in units of the advantage. A single advantage has no spread
    to be measured by, and without its mean would be 0 and teach nothing: it is left as it is. No gradient is stopped.

    >>> normalize_advantages(jnp.array([1.0, 3.0])).tolist()
    [-1.0, 1.0]
    """
    if advantages.size == 1:
        return advantages
    _, left = centred(advantages.reshape(-1))
    return left.reshape(advantages.shape) / jnp.sqrt(jnp.mean(jnp.square(left)) + epsilon**2)


def monte_carlo_entropy(log_prob: Array) -> Array:
    """Entropy from samples, H = -E[log pi(a)], with an unbiased gradient, whatever the samples.

    -mean_k log pi(a_k) with a_k ~ pi. The gradient is that of the score function with the other samples as a baseline,
    -1 / (K - 1) sum_k (log pi(a_k) - mean_j log pi(a_j)) grad log pi(a_k), since E[grad log pi(a)] = 0. So the samples
    need not be reparameterised, and are to be stopped. Reference: Kool et al. 2019, "Buy 4 REINFORCE samples, get a
    baseline for free!", eq. 8, with the return -log pi.

    Args:
      log_prob: `[K, ...]`, of K >= 2 independent samples each, nats; differentiated.

    Returns:
      `[...]`, nats.

    Raises:
      AssertionError: there are less than two samples.

    >>> monte_carlo_entropy(jnp.array([-1.0, -3.0])).tolist()
    2.0
    """
    number = log_prob.shape[0] if log_prob.ndim else 0
    assert number >= 2, f"an entropy is estimated from two samples at least, not from {number}"
    value = jax.lax.stop_gradient(log_prob)
    surprise = value - jnp.mean(value, axis=0, keepdims=True)
    score = jnp.sum(surprise * log_prob, axis=0) / (number - 1)
    return -(jnp.mean(value, axis=0) + score - jax.lax.stop_gradient(score))


def kl_k1(old_log_prob: Array, log_prob: Array) -> Array:
    """Sample-wise estimate k1 of KL(old || new): log old(a) - log new(a), with a drawn from old.

    Unbiased, of high variance, negative for some samples. Reference: Schulman 2020, "Approximating KL
    divergence" (joschu.net/blog/kl-approx.html). Both `[...]`, nats; nothing is stopped or averaged.
    Raises AssertionError if the shapes differ.

    >>> round(float(kl_k1(jnp.log(0.5), jnp.log(0.25))), 3)  # log 2
    0.693
    """
    chex.assert_equal_shape([old_log_prob, log_prob])
    return old_log_prob - log_prob


def kl_k3(old_log_prob: Array, log_prob: Array) -> Array:
    """Sample-wise estimate k3 of KL(old || new): r - 1 - log r with r = new(a) / old(a), a drawn from old.

    Unbiased, of low variance, never negative. Reference: Schulman 2020, "Approximating KL divergence".
    Both `[...]`, nats; nothing is stopped or averaged. Raises AssertionError if the shapes differ.

    >>> round(float(kl_k3(jnp.log(0.5), jnp.log(0.25))), 3)  # 1/2 - 1 + log 2
    0.193
    """
    chex.assert_equal_shape([old_log_prob, log_prob])
    log_ratio = saturated(log_prob - old_log_prob)
    return jnp.expm1(log_ratio) - log_ratio


def conjugate_gradient(
    matvec: Callable[[PyTree], PyTree], b: PyTree, iterations: int = 10, tolerance: float = 1e-5
) -> PyTree:
    """Approximate solution x of A x = b for a symmetric positive definite A, from x = 0.

    Reference: Nocedal & Wright 2006, "Numerical optimization", algorithm 5.2; its use in Schulman et
    al. 2015, appendix C.

    Args:
      matvec: v -> A v, linear, on trees like `b`.
      b: an array or any tree of floating arrays.
      iterations: how many, >= 0, fixed and static (so that it vmaps and differentiates).
      tolerance: >= 0; x stands still once |b - A x| <= tolerance |b|, or where A is not positive.

    Returns:
      x, a tree like `b`.

    Raises:
      ValueError: `iterations` is negative.

    >>> matrix = jnp.array([[2.0, 0.0], [0.0, 4.0]])
    >>> [round(x, 3) for x in conjugate_gradient(lambda v: matrix @ v, jnp.array([2.0, 2.0]), iterations=2).tolist()]
    [1.0, 0.5]
    """
    if iterations < 0:
        raise ValueError(f"iterations={iterations} is negative; allowed are 0, 1, 2, ...")
    initial = _dot(b, b)

    def step(_, carry):
        x, residual, direction, size = carry
        product = matvec(direction)
        curvature = _dot(direction, product)
        active = (size > tolerance**2 * initial) & (curvature > 0)
        length = jnp.where(active, size / jnp.where(active, curvature, 1.0), 0.0)
        x = _add(x, length, direction)
        residual = _add(residual, -length, product)
        new_size = _dot(residual, residual)
        growth = jnp.where(active, new_size / jnp.where(active, size, 1.0), 0.0)
        return x, residual, _add(residual, growth, direction), new_size

    start = (jax.tree.map(jnp.zeros_like, b), b, b, initial)
    return jax.lax.fori_loop(0, iterations, step, start)[0]


def fisher_operator(
    kl_fn: Callable[[PyTree], Array], params: PyTree, damping: Array | float = 0.0
) -> Callable[[PyTree], PyTree]:
    """The map v -> (F + damping I) v, with F the Hessian of `kl_fn` at `params`, for repeated use.

    Forward over reverse differentiation, linearised once: each product costs the tangents only. For
    kl_fn(theta) = mean_s KL(pi_old || pi_theta) at theta = theta_old, F is the Fisher information
    matrix. Reference: Schulman et al. 2015, appendix C.1.

    Args:
      kl_fn: tree of parameters -> scalar, nats. What is old inside it is the caller's constant.
      params: where to differentiate, any tree.
      damping: scalar >= 0.

    Returns:
      A function from trees like `params` to such trees.
    """
    _, tangent_map = jax.linearize(jax.grad(kl_fn), params)
    return lambda vector: _add(tangent_map(vector), damping, vector)


def fisher_vector_product(
    kl_fn: Callable[[PyTree], Array], params: PyTree, vector: PyTree, damping: Array | float = 0.0
) -> PyTree:
    """(F + damping I) v, once; see `fisher_operator`. `vector` and the result are trees like `params`.

    >>> fisher_vector_product(lambda x: jnp.sum(x**2), jnp.ones(2), jnp.array([1.0, 3.0]), damping=0.5).tolist()
    [2.5, 7.5]
    """
    return fisher_operator(kl_fn, params, damping)(vector)


class LineSearch(NamedTuple):
    """Where a line search ended."""

    params: PyTree  # the accepted candidate, or the original parameters
    accepted: Array  # bool []
    fraction: Array  # float32 [], of the full step; 0 if none was accepted


def backtracking_line_search(
    accept: Callable[[PyTree], Array],
    params: PyTree,
    full_step: PyTree,
    iterations: int = 10,
    decay: Array | float = 0.8,
) -> LineSearch:
    """The longest of the steps decay^j full_step, j = 0, 1, ..., that `accept` takes; none: no step.

    Reference: Schulman et al. 2015, appendix C. Candidates are tried one after another, so a search that
    accepts at once costs one evaluation; under vmap it lasts until every lane is done.

    Args:
      accept: params -> bool scalar, for TRPO "surrogate improved and KL <= delta". A comparison with
        nan is false, so a broken candidate is refused; one that is not finite itself is refused unasked.
      params: where to start, any tree.
      full_step: tree like `params`, added to it.
      iterations: the number of candidates, >= 0.
      decay: scalar in (0, 1).

    Returns:
      `LineSearch(params, accepted, fraction)`; the original `params` and fraction 0 where none was accepted.

    >>> found = backtracking_line_search(lambda x: x < 3, jnp.array(0.0), full_step=jnp.array(8.0), decay=0.5)
    >>> float(found.params), float(found.fraction)
    (2.0, 0.25)
    """

    def candidate(fraction):
        return _add(params, fraction, full_step)

    def body(carry):
        tried, fraction, _ = carry
        tried_params = candidate(fraction)
        accepted = accept(tried_params) & _finite(tried_params)
        return tried + 1, jnp.where(accepted, fraction, fraction * decay), accepted

    start = (jnp.int32(0), jnp.float32(1.0), jnp.bool_(False))
    _, fraction, accepted = jax.lax.while_loop(lambda c: (c[0] < iterations) & ~c[2], body, start)
    fraction = jnp.where(accepted, fraction, 0.0)
    moved = jax.tree.map(lambda new, old: jnp.where(accepted, new, old), candidate(fraction), params)
    return LineSearch(moved, accepted, fraction)


def _ratio(log_prob: Array, old_log_prob: Array, advantages: Array) -> tuple[Array, Array]:
    chex.assert_equal_shape([log_prob, old_log_prob, advantages])
    old_log_prob, advantages = jax.lax.stop_gradient((old_log_prob, advantages))
    return jnp.exp(saturated(log_prob - old_log_prob)), advantages


def _finite(tree: PyTree) -> Array:
    return jax.tree.reduce(jnp.logical_and, jax.tree.map(lambda x: jnp.all(jnp.isfinite(x)), tree), jnp.bool_(True))


def _dot(a: PyTree, b: PyTree) -> Array:
    """Inner product of two trees."""
    return jax.tree.reduce(jnp.add, jax.tree.map(lambda x, y: jnp.sum(x * y), a, b))


def _add(a: PyTree, scale: Array | float, b: PyTree) -> PyTree:
    """a + scale b, leaf by leaf."""
    return jax.tree.map(lambda x, y: x + scale * y, a, b)
