"""What DQN and its distributional relatives share: their fields, their learner, and what one begins with."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxrl_up.config import as_key
from jaxrl_up.envs import Env
from jaxrl_up.learning import off_policy
from jaxrl_up.learning.networks import QFunction
from jaxrl_up.types import Key, PyTree, static, traced


@dataclasses.dataclass(frozen=True)
class Fields(off_policy.Fields):
    """What algorithm 1 is told, whatever its loss."""

    schedule_steps: int | None = static(None, low=1)
    """environment steps over which schedules run; none is total_steps"""
    learning_rate: float = traced(5e-4, 0.0)
    """Adam step size"""
    epsilon_start: float = traced(1.0, 0.0, 1.0)
    """probability of a random action at first"""
    epsilon_end: float = traced(0.05, 0.0, 1.0)
    """probability of a random action at last"""
    exploration_fraction: float = traced(0.5, 0.0, 1.0)
    """part of schedule_steps over which epsilon falls, linearly"""
    prioritized: bool = static(False)
    """draw transitions in proportion to their last TD error, and not uniformly"""
    priority_exponent: float = traced(0.6, 0.0)
    """priorities are errors to this power; 0 is uniform"""
    importance_exponent: float = traced(0.4, 0.0, 1.0)
    """how far weights correct for that at first; 1, fully, at last"""
    tau: float = traced(1.0, 0.0, 1.0)
    """how far the target network moves to the online one, when it does; 1 copies"""
    target_every: int = static(50, low=1)
    """gradient steps between moves of the target network"""
    double: bool = static(False)
    """let the online network choose the action that the target network values"""
    dueling: bool = static(False)
    """separate streams for the value and the advantages"""
    max_grad_norm: float | None = traced(None, 0.0)
    """clip the norm of the gradient to this"""
    adam_epsilon: float = traced(1e-8, 0.0)
    """added to Adam's denominator"""


class QLearner(off_policy.Learner):
    """Q and the target Q^, `params["q"]` and `target_params["q"]`."""

    @property
    def acting(self) -> PyTree:
        """What `act` needs of it."""
        return self.params["q"]


def optimizer(config: Any) -> optax.GradientTransformation:
    """Adam without its step size, over all parameters as one vector: on CPU each small operation costs."""
    return optax.flatten(optax.scale_by_adam(eps=config.adam_epsilon))


def begin(config: Any, env: Env, key: Key, network: QFunction) -> off_policy.State:
    """Initialise Q with random weights and Q^ with the same, and the replay to its capacity."""
    params_key, state_key = jax.random.split(as_key(key))
    space = env.observation_space
    params = {"q": network.init(params_key, jnp.zeros((1, *space.shape), space.dtype))}
    learner = QLearner(params, params, {"q": optimizer(config).init(params["q"])})
    return off_policy.init(config, env, state_key, learner, prioritized=config.prioritized)


def anneals(config: Any) -> bool:
    """Whether anything depends on how long the schedules are: epsilon always does."""
    return True
