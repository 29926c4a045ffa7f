"""Numbers that may change while a table is learned: step sizes and rates of exploration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax.core import Tracer
from jax.tree_util import Partial

from jaxrl_up.tabular.finite_mdp import MDP
from jaxrl_up.types import Array

StepSize = float | Array | Callable[[Array, Array], Any]
"""alpha, or a function of (step, visits): how many updates were made before, from 0, and how many of this entry of the
table with this one, from 1; both as floats"""
Schedule = float | Array | Callable[[Array], Any]
"""a number, or a function of how many steps were taken before, from 0, as a float"""


def robbins_monro(power: float = 1.0) -> Callable[[Array, Array], Array]:
    """alpha_n = n^-power for the n-th visit of an entry: a step size that is known to converge for 0.5 < power <= 1.

    With 1 it averages what an entry was updated towards. Reference: Sutton & Barto 2018, eq. 2.7; Robbins & Monro
    1951. Raises `ValueError` for a power outside (0.5, 1].

    >>> robbins_monro(1.0)(jnp.array(7.0), jnp.array(4.0)).tolist()
    0.25
    """
    if not isinstance(power, Tracer) and not 0.5 < power <= 1.0:
        raise ValueError(f"power={power} must be in (0.5, 1]: else steps do not converge, or do not arrive")
    return lambda step, visits: visits**-power


def as_argument(step_size: StepSize) -> StepSize:
    """A step size as `jax.jit` takes it: a number, or a function that is part of the program; raises as `as_step_size`.

    A number has to be looked at before it is traced.
    """
    return Partial(step_size) if callable(step_size) else _in_unit(step_size, "step_size")


def as_step_size(step_size: StepSize, dtype: Any) -> Callable[[Array, Array], Array]:
    """A step size as a function of whole numbers (step, visits); raises ValueError for a number outside [0, 1]."""
    if callable(step_size):
        return lambda step, visits: jnp.asarray(step_size(step.astype(dtype), visits.astype(dtype)), dtype)
    number = _in_unit(step_size, "step_size")
    return lambda step, visits: jnp.asarray(number, dtype)


def as_schedule(schedule: Schedule, dtype: Any, what: str) -> Callable[[Array], Array]:
    """A schedule as a function of the whole number of a step; raises ValueError for a number outside [0, 1]."""
    if callable(schedule):
        return lambda step: jnp.asarray(schedule(step.astype(dtype)), dtype)
    number = _in_unit(schedule, what)
    return lambda step: jnp.asarray(number, dtype)


def first_table(mdp: MDP, initial: Any, shape: tuple[int, ...]) -> Array:
    """What a table `[S]` or `[S, A]` begins with: a number, or the table; 0 in terminal states.

    Raises `ValueError` for another shape.
    """
    initial = jnp.asarray(initial, mdp.transition.dtype)
    if initial.shape not in ((), shape):
        raise ValueError(f"initial is a number or a table {list(shape)}, got shape {list(initial.shape)}")
    terminal = mdp.terminal.reshape(-1, *[1] * (len(shape) - 1))
    return jnp.where(terminal, 0, jnp.broadcast_to(initial, shape))


def _in_unit(number: Any, what: str) -> Any:
    if not isinstance(number, Tracer) and not (jnp.shape(number) == () and 0.0 <= float(number) <= 1.0):
        raise ValueError(f"{what}={number} is one number in [0, 1], or a function; vmap over many")
    return number
