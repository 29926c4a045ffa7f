"""Where gymnax 1.0 departs from what it declares, and what the adapter does about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxrl_up.envs.spaces import Box, Space


class Mend(NamedTuple):
    """How one gymnax environment is put right; every field defaults to "leave as it is"."""

    observation_space: Callable[[Any, Any], Space] | None = None
    observe: Callable[[Any, Any], Any] = lambda environment, obs: obs
    after_step: Callable[..., Any] = lambda params, obs, state, terminated: (obs, state, terminated)
    reset_key: Callable[[Any], Any] = lambda key: key
    binary: bool = False
    deterministic: Callable[[dict[str, Any]], bool] = lambda fixed: False
    derived: Mapping[str, tuple[str, Callable[[Any], Any]]] = {}


NO_MEND = Mend()
MENDS: Mapping[str, Mend] = {
    "CartPole-v1": Mend(
        derived={
            "total_mass": ("masscart and masspole", lambda p: p["masscart"] + p["masspole"]),
            "polemass_length": ("masspole and length", lambda p: p["masspole"] * p["length"]),
        }
    ),
    "Breakout-MinAtar": Mend(binary=True),
}
