"""How hard XLA works on our programs: as much as pays."""

from __future__ import annotations

import os

import jax

LEVEL = "xla_backend_optimization_level"  # XLA's default is 3


def options(once: bool = False) -> dict[str, int | bool]:
    """Compiler options of a program that trains, or of one that runs `once`, like that which begins the seeds.

    On CPU, LLVM's level 2 gives programs as fast as its level 3 in about 0.6 of the time; what runs once is not
    optimised at all. A level in the user's `XLA_FLAGS` stays, and other processors are left alone. Only for programs
    that are called at the top: JAX takes no options for a program within another.
    """
    if jax.default_backend() != "cpu" or LEVEL in os.environ.get("XLA_FLAGS", ""):
        return {}
    if not once:
        return {LEVEL: 2}
    emitters = {"xla_cpu_use_fusion_emitters": False} if jax.__version_info__ < (0, 11) else {}  # unknown from then on
    return {LEVEL: 0, **emitters}
