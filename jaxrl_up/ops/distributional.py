"""Return distributions: the categorical projection and its loss (C51), and quantile regression (QR-DQN).

A categorical distribution is a vector of probabilities over atoms, places on the axis of returns; a quantile
distribution is a vector of places that all weigh the same. Either is the last axis; leading axes are free. Nothing here
stops a gradient: callers stop their targets.
"""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp

from jaxrl_up.ops.arithmetic import weighted
from jaxrl_up.ops.bellman import action_value
from jaxrl_up.types import Array


def action_distribution(distributions: Array, action: Array) -> Array:
    """The distributions of the taken actions: `[..., A, Z]` and integers `[...]` to `[..., Z]`.

    Whatever numbers stand for a distribution: logits, probabilities or quantiles. As `action_value` for one number
    per action: an action outside 0..A-1 gives nan. The greedy action of a target is `masked_argmax` of the means, over
    what is allowed. Raises AssertionError if the shapes do not belong together or `action` is no integer.
    """
    chex.assert_shape(action, distributions.shape[:-2])
    return jax.vmap(action_value, in_axes=(-1, None), out_axes=-1)(distributions, action)


def categorical_projection(atoms: Array, probs: Array, support: Array) -> Array:
    """Move the mass at `atoms` to the fixed `support`, from each atom to the two neighbours in proportion to nearness.

        (Phi p)_i = sum_j clip(1 - |clip(y_j, z_1, z_Z) - z_i| / dz, 0, 1) p_j

    Keeps the mass, and also the mean if all atoms lie within the support; atoms beyond it count as its ends. Of all
    distributions on the support it is the nearest in Cramer's distance, the L2 distance of cumulative probabilities
    (Rowland et al. 2018, "An analysis of categorical distributional reinforcement learning").

    Reference: Bellemare, Dabney & Munos 2017, "A distributional perspective on reinforcement learning", eq. 7 and
    algorithm 1.

    Args:
      atoms: `[..., Z']`, in any order; y_j = r + discount z_j for a Bellman target, with
        discount = gamma * (1 - terminated).
      probs: `[..., Z']`, of the atoms.
      support: `[Z]` with Z >= 2, increasing in even steps.

    Returns:
      `[..., Z]`, probabilities of the support's atoms.

    Raises:
      AssertionError: `atoms` and `probs` differ in shape, or `support` has another axis or a single atom.

    >>> atoms, support = jnp.array([0.25, 3.0]), jnp.array([0.0, 1.0, 2.0])  # 3 is beyond the support
    >>> categorical_projection(atoms, probs=jnp.array([0.5, 0.5]), support=support).tolist()
    [0.375, 0.125, 0.5]
    """
    chex.assert_equal_shape([atoms, probs])
    chex.assert_rank(support, 1)
    chex.assert_axis_dimension_gt(support, 0, 1)
    size = support.shape[0]
    step = (support[-1] - support[0]) / (size - 1)
    position = jnp.clip((atoms - support[0]) / step, 0, size - 1)  # counted in atoms of the support
    index = jnp.broadcast_to(jnp.arange(size, dtype=position.dtype), (*atoms.shape, size))
    share = jnp.maximum(1.0 - jnp.abs(position[..., None] - index), 0.0)
    projected = jnp.sum(share * probs[..., None], axis=-2)
    unknown = jnp.any(jnp.isnan(atoms), axis=-1, keepdims=True)  # which clipping may hide
    return jnp.where(unknown, jnp.nan, projected)


def categorical_target(reward: Array, discount: Array, next_probs: Array, support: Array) -> Array:
    """The distribution of r + discount Z(s'), projected onto the support of Z; see `categorical_projection`.

    `reward`, `discount` `[...]`, with discount = gamma * (1 - terminated) in [0, 1]; `next_probs` `[..., Z]` of the
    true successor, not read where the discount is 0; `support` `[Z]`. Raises AssertionError if the shapes do not
    belong together.

    >>> probs, support = jnp.array([0.5, 0.0, 0.5]), jnp.array([0.0, 1.0, 2.0])
    >>> categorical_target(jnp.array(0.5), jnp.array(0.5), probs, support).tolist()
    [0.25, 0.5, 0.25]
    """
    chex.assert_equal_shape([reward, discount])
    chex.assert_shape(next_probs, (*reward.shape, *support.shape))
    discount = discount[..., None]
    certain = jnp.full_like(next_probs, 1.0 / support.shape[0])  # all atoms are at the reward, so any would do
    atoms = reward[..., None] + discount * jnp.broadcast_to(support, next_probs.shape)
    return categorical_projection(atoms, jnp.where(discount == 0, certain, next_probs), support)


def categorical_cross_entropy(target_probs: Array, logits: Array) -> Array:
    """-sum_i p_i log softmax(logits)_i, in nats; its gradient is that of KL(p || softmax(logits)).

    `target_probs` (non-negative, of sum 1) and `logits` (finite) are `[..., Z]`, the result is `[...]`. Reference:
    Bellemare, Dabney & Munos 2017, algorithm 1, last line. Raises AssertionError if the shapes differ.
    """
    chex.assert_equal_shape([target_probs, logits])
    return -jnp.sum(weighted(target_probs, jax.nn.log_softmax(logits, axis=-1)), axis=-1)


def categorical_divergence(target_probs: Array, logits: Array) -> Array:
    """KL(p || softmax(logits)) = sum_i p_i (log p_i - log softmax(logits)_i), in nats; 0 where the two agree.

    The cross-entropy less the entropy of the target, which no prediction can take away. Shapes and errors are those of
    `categorical_cross_entropy`. Reference: Hessel et al. 2018, "Rainbow", eq. 3 and "Prioritized replay".
    """
    chex.assert_equal_shape([target_probs, logits])
    p, log_q = target_probs, jax.nn.log_softmax(logits, axis=-1)
    q = jnp.sum(p, axis=-1, keepdims=True) * jnp.exp(log_q)
    near = (q < 2 * p) & (p < 2 * q)
    ratio = jnp.where(near, jnp.log1p((p - q) / jnp.where(near, q, 1.0)), jnp.log(jnp.where(p > 0, p, 1.0)) - log_q)
    # no term is negative, so that a small divergence does not drown in the rounding of two entropies
    return jnp.sum(jnp.where(p > 0, p * ratio, 0.0) - (p - q), axis=-1)


def quantile_huber_loss(quantiles: Array, targets: Array, kappa: Array | float = 1.0) -> Array:
    """Huber loss of all pairs, each side weighted so that `quantiles[i]` comes to the tau_i-quantile of the targets.

        sum_i mean_j |tau_i - 1{u_ij < 0}| L(u_ij),    u_ij = target_j - quantile_i,    tau_i = (2 i + 1) / (2 N)
        L(u) = u^2 / 2 where |u| <= kappa, else kappa (|u| - kappa / 2);    L(u) = |u| for kappa = 0

    with i = 0..N-1. For kappa = 0 it is quantile regression, and minimal at the quantiles; the Huber loss pulls them
    towards one another where they lie within kappa or so. It is not divided by kappa, so small ones make it small.

    Reference: Dabney, Rowland, Bellemare & Munos 2018, "Distributional reinforcement learning with quantile
    regression", eq. 9 and 10, summed as in its algorithm 1; eq. 8 for kappa = 0.

    Args:
      quantiles: `[..., N]`, by index: number i is of tau_i, sorted or not.
      targets: `[..., M]`, samples that weigh the same; r + discount * next_quantiles for a Bellman target.
      kappa: scalar >= 0, in units of the return; may be traced.

    Returns:
      `[...]`.

    Raises:
      AssertionError: the leading axes differ, or `kappa` is no scalar.

    >>> quantile_huber_loss(jnp.array([0.0]), targets=jnp.array([2.0, 3.0])).tolist()  # tau is 1/2
    1.0
    """
    chex.assert_equal_shape_prefix([quantiles, targets], quantiles.ndim - 1)
    chex.assert_equal_rank([quantiles, targets])
    chex.assert_rank(kappa, 0)
    number = quantiles.shape[-1]
    error = targets[..., None, :] - quantiles[..., :, None]
    tau = jnp.broadcast_to((jnp.arange(number, dtype=error.dtype)[:, None] + 0.5) / number, error.shape)
    size = jnp.abs(error)
    slope = jnp.where(kappa > 0, kappa, 1.0)
    huber = jnp.where(size <= kappa, 0.5 * size * size, slope * (size - 0.5 * kappa))
    return jnp.sum(jnp.mean(jnp.abs(tau - (error < 0)) * huber, axis=-1), axis=-1)
