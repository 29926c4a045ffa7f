"""What DQN and its distributional relatives share: their fields, their learner, what steps it and ranks its rows."""

from __future__ import annotations

import dataclasses
from typing import Any

import optax

from jaxrl_up.learning import off_policy, optimisation, prioritized
from jaxrl_up.types import PyTree, static, traced


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
    return optax.flatten(optimisation.adam(config))


def init_priorities(config: Any) -> PyTree:
    """What ranks the replay's rows if the config says `prioritized`, else nothing."""
    return prioritized.init_priorities(config) if config.prioritized else ()


def anneals(config: Any) -> bool:
    """Whether anything depends on how long the schedules are: epsilon always does."""
    return True
