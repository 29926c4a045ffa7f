"""Steps along a gradient, for algorithms whose networks each have an optimiser state of their own."""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import optax

from jaxrl_up.types import Array, PyTree


def descend(
    optimizer: optax.GradientTransformation,
    params: PyTree,
    opt_state: PyTree,
    gradient: PyTree,
    rates: Mapping[str, Array | float],
    max_grad_norm: Array | float | None = None,
) -> tuple[PyTree, PyTree]:
    """One step for the parts in `gradient`, each with its own optimiser state, step size and norm clip.

    Clipping the joint norm instead would let the critic's gradient, which grows with the rewards, set the
    length of the policy's.
    """
    params, opt_state = dict(params), dict(opt_state)
    for part, grads in gradient.items():
        if max_grad_norm is not None:
            norm = jnp.maximum(optax.tree.norm(grads), 1e-30)
            shrink = jnp.minimum(1.0, max_grad_norm / norm)
            grads = jax.tree.map(lambda g, shrink=shrink: shrink * g, grads)
        updates, opt_state[part] = optimizer.update(grads, opt_state[part], params[part])
        params[part] = jax.tree.map(lambda p, u, rate=rates[part]: p - rate * u, params[part], updates)
    return params, opt_state


def track(params: PyTree, target_params: PyTree, rate: Array | float) -> PyTree:
    """Polyak averaging of target networks: rate params + (1 - rate) target; 1 copies and 0 leaves, exactly."""
    return jax.tree.map(lambda new, old: rate * new + (1.0 - rate) * old, params, target_params)
