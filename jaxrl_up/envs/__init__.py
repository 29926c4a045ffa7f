"""Environments as records of pure functions: build, wrap, probe and check them."""

from __future__ import annotations

from typing import Any

from jaxrl_up.envs import gymnax_adapter, probes
from jaxrl_up.envs.core import Env as Env
from jaxrl_up.envs.core import Spec as Spec
from jaxrl_up.envs.gymnax_adapter import from_gymnax as from_gymnax
from jaxrl_up.envs.spaces import Box as Box
from jaxrl_up.envs.spaces import Discrete as Discrete
from jaxrl_up.envs.wrappers import flatten_observation as flatten_observation
from jaxrl_up.envs.wrappers import rescale_action as rescale_action


def make(name: str, *, max_steps: int | None = None, **options: Any) -> Env:
    """Build a registered environment, e.g. `make("CartPole-v1", gravity=12.0, max_steps=200)`.

    `options` are physics parameters and constructor options of the environment. Real-valued parameters that only enter
    arithmetic become traced leaves of `env.params` and may be arrays or tracers; those that enter a space, a shape or
    a branch, all integers and booleans, and the time limit are static, so another value is another compile. Raises
    ValueError for an unknown name or option, naming the closest one.
    """
    return gymnax_adapter.make(name, max_steps, options)


def names() -> tuple[str, ...]:
    """List the environments `make` knows that need no download."""
    return gymnax_adapter.NAMES


__all__ = [
    "Box",
    "Discrete",
    "Env",
    "Spec",
    "flatten_observation",
    "from_gymnax",
    "make",
    "names",
    "probes",
    "rescale_action",
]
