"""Steps along a gradient, for learners whose networks, the parts, each have an optimiser state of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxrl_up.types import Array, PyTree


def adam(config: Any) -> optax.GradientTransformation:
    """Adam without its step size, and with the `adam_epsilon` of the config in its denominator."""
    return optax.scale_by_adam(eps=config.adam_epsilon)


def descend(
    learner: Any,
    gradient: Mapping[str, PyTree],
    rates: Mapping[str, Array | float],
    optimizer: optax.GradientTransformation,
    max_grad_norm: Array | float | None = None,
) -> Any:
    """The learner after a step of the parts in `gradient`, each with its own optimiser state, step size and norm clip.

    A learner is a named tuple that has `params` and `opt_state` by part. Clipping the joint norm instead would let the
    critic's gradient, which grows with the rewards, set the length of the policy's.
    """
    params, opt_state = dict(learner.params), dict(learner.opt_state)
    for part, grads in gradient.items():
        if max_grad_norm is not None:
            norm = jnp.maximum(optax.tree.norm(grads), 1e-30)
            shrink = jnp.minimum(1.0, max_grad_norm / norm)
            grads = jax.tree.map(lambda g, shrink=shrink: shrink * g, grads)
        updates, opt_state[part] = optimizer.update(grads, opt_state[part], params[part])
        params[part] = jax.tree.map(lambda p, u, rate=rates[part]: p - rate * u, params[part], updates)
    return learner._replace(params=params, opt_state=opt_state)


def track(params: PyTree, target_params: PyTree, rate: Array | float) -> PyTree:
    """Polyak averaging of target networks: rate params + (1 - rate) target; 1 copies and 0 leaves, exactly."""
    return jax.tree.map(lambda new, old: rate * new + (1.0 - rate) * old, params, target_params)
