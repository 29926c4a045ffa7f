"""Environments as records of pure functions: build, wrap, probe and check them.

env = envs.make("CartPole-v1", gravity=12.0)
state, obs = env.reset(key)
state, step = env.step(key, state, action)      # a TimeStep; the next episode starts by itself
heavier = env.with_params(masspole=0.5)         # physics is data: the same compiled program
"""

from __future__ import annotations

from typing import Any

from jaxrl_up.envs import gymnax_adapter
from jaxrl_up.envs import probes as probes
from jaxrl_up.envs.check import check as check
from jaxrl_up.envs.core import Env as Env
from jaxrl_up.envs.core import Spec as Spec
from jaxrl_up.envs.from_functions import from_functions as from_functions
from jaxrl_up.envs.gymnax_adapter import find as find
from jaxrl_up.envs.gymnax_adapter import from_gymnax as from_gymnax
from jaxrl_up.envs.gymnax_mends import caution as caution
from jaxrl_up.envs.spaces import Box as Box
from jaxrl_up.envs.spaces import Discrete as Discrete
from jaxrl_up.envs.wrappers import clip_action as clip_action
from jaxrl_up.envs.wrappers import clip_reward as clip_reward
from jaxrl_up.envs.wrappers import episode_statistics as episode_statistics
from jaxrl_up.envs.wrappers import flatten_observation as flatten_observation
from jaxrl_up.envs.wrappers import mask_observation as mask_observation
from jaxrl_up.envs.wrappers import one_hot_observation as one_hot_observation
from jaxrl_up.envs.wrappers import rescale_action as rescale_action
from jaxrl_up.envs.wrappers import scale_reward as scale_reward
from jaxrl_up.envs.wrappers import sticky_actions as sticky_actions
from jaxrl_up.envs.wrappers import time_limit as time_limit
from jaxrl_up.envs.wrappers import to_bounds as to_bounds


def make(name: str, *, max_steps: int | None = None, **options: Any) -> Env:
    """Build a registered environment, e.g. `make("CartPole-v1", gravity=12.0, max_steps=200)`.

    `options` are physics parameters and constructor options of the environment. Real-valued parameters that
    only enter arithmetic become traced leaves of `env.params` and may be arrays or tracers. Those that enter
    a space, all integers and booleans, constructor options and the time limit (`max_steps`, in steps) are
    static: another value is another compile. A parameter computed from others (CartPole's `total_mass`)
    follows them unless given here. Raises ValueError for an unknown name or option, naming the closest.
    """
    return gymnax_adapter.make(name, max_steps, options)


def names() -> tuple[str, ...]:
    """List the environments `make` builds without a download."""
    return tuple(gymnax_adapter.ENVIRONMENTS)


def listing() -> dict[str, tuple[str, str, int | None]]:
    """Observations, actions and time limit of each of `names`, for people; nothing is built."""
    return dict(gymnax_adapter.ENVIRONMENTS)
