"""What algorithms that learn a model from their replay share: fields, the ensemble, a step of its fit, its steps."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrl_up.config import shown
from jaxrl_up.envs import Env, Model, from_unit
from jaxrl_up.learning import off_policy
from jaxrl_up.learning.models.dynamics import Dynamics, Targets, dynamics_of
from jaxrl_up.learning.replay import Transitions
from jaxrl_up.types import Array, Key, Mean, PyTree, means, static, traced

GIVEN = {
    "transition": "(obs, action)",
    "reward": "(obs, action, next_obs)",
    "termination": "(obs, action, next_obs)",
}
"""Fields that a function may stand for, in place of what is learned, and what it takes."""


@dataclasses.dataclass(frozen=True)
class ModelFields:
    """What is learned of the environment, and what is known of it."""

    members: int = static(5, low=1)
    """E, networks of the ensemble"""
    probabilistic: bool = static(True)
    """whether members predict variances too"""
    transition: Any = static("learned")
    """learned, or the true one: a function (obs, action) -> next_obs of one step"""
    reward: Any = static("learned")
    """learned, or the true one: a function (obs, action, next_obs) -> reward of one step"""
    termination: Any = static("learned")
    """learned, or the true one: a function (obs, action, next_obs) -> whether the step ends the episode"""


@dataclasses.dataclass(frozen=True)
class BesideFields(ModelFields):
    """Of a model that is learned beside a policy and critics."""

    gamma: float = traced(0.99, 0.01, 1.0)
    """discount per step"""
    model_hidden: tuple[int, ...] = static((64, 64))
    """units of the hidden layers of each member"""
    model_learning_rate: float = traced(1e-3, 0.0)
    """Adam step size of the model"""
    model_every: int = static(1, low=1)
    """gradient steps of the critics for one of the model"""
    model_first: int = static(1_000, low=0)
    """gradient steps of the critics before they learn from what the model says"""


class Ensemble(NamedTuple):
    """The part "model" of what an off-policy algorithm learns: see `off_policy.OffPolicy.networks`."""

    dynamics: Dynamics

    def init(self, key: Key) -> PyTree:
        """Random members."""
        return {"model": self.dynamics.init(key)}


def ensemble(config: Any, env: Env, **fields: Any) -> Dynamics:
    """The ensemble of a config with `ModelFields`, and what else `dynamics_of` takes.

    Raises `ValueError` for a transition, reward or termination that is no function, and as `dynamics_of` does.
    """
    for name, takes in GIVEN.items():
        given = getattr(config, name)
        if given != "learned" and not callable(given):
            raise ValueError(f"{name}={shown(given)}: choose 'learned', or give a function {takes}")
    return dynamics_of(env, members=config.members, probabilistic=config.probabilistic, **fields)


def ensemble_beside(config: Any, env: Env) -> Dynamics:
    """The ensemble of a config with `BesideFields`."""
    return ensemble(config, env, hidden=config.model_hidden, initializer=config.initializer)


def beside_network(config: Any, env: Env) -> Ensemble:
    """The ensemble beside a policy, as one of `OffPolicy.networks`."""
    return Ensemble(ensemble_beside(config, env))


def rows(batch: Transitions) -> Targets:
    """Transitions as models learn them."""
    return Targets(batch.obs, batch.action, batch.reward, batch.discount == 0.0, batch.next_obs, batch.weight)


def loss(
    dynamics: Dynamics, config: Any, env: Env, params: PyTree, targets: PyTree, batch: Transitions, noise: Any
) -> off_policy.Loss:
    """The ensemble's negative log-likelihood, of each member on its bootstrap of the transitions: `Dynamics.loss`."""
    return dynamics.loss(params["model"], rows(batch), dynamics.bootstrap(batch.index))


def fit(
    dynamics: Dynamics, rate: Array | float, config: Any, env: Env, learner: Any, batch: Transitions
) -> tuple[Any, dict[str, Array]]:
    """The learner after its statistics have seen a batch and all members took one gradient step on it; the losses."""
    known = dynamics.observe(learner.params["model"], rows(batch))
    learner = learner._replace(params={**learner.params, "model": known})
    return off_policy.descend("model", partial(loss, dynamics), rate, config, env, learner, batch, ())


def fit_sometimes(config: Any, env: Env, learner: Any, batch: Transitions, step: Array) -> tuple[Any, dict[str, Mean]]:
    """`fit` of the ensemble beside a policy, at gradient step 0 and every `model_every` after it; losses of those."""

    def fitted(learner: Any) -> tuple[Any, dict[str, Mean]]:
        dynamics = ensemble_beside(config, env)
        learner, losses = fit(dynamics, config.model_learning_rate, config, env, learner, batch)
        return learner, means(losses)

    if config.model_every == 1:
        return fitted(learner)
    shapes = jax.eval_shape(fitted, learner)[1]
    neither = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    return jax.lax.cond(step % config.model_every == 0, fitted, lambda learner: (learner, neither), learner)


Steps = Callable[[PyTree, Key, Array, PyTree], tuple[Array, Array, Array]]


def member_steps(config: Any, env: Env, dynamics: Dynamics) -> Steps:
    """(member, key, obs `[N, D]`, unit actions `[N, ...]`) -> (next obs, reward `[N]`, terminated `[N]`).

    As `Dynamics.steps`, but for what the config gives a function of.
    """

    def steps(member: PyTree, key: Key, obs: Array, action: PyTree) -> tuple[Array, Array, Array]:
        next_obs, reward, terminated = dynamics.steps(member, key, obs, action)
        did = from_unit(action, env.action_space)
        if config.transition != "learned":
            next_obs = jax.vmap(config.transition)(obs, did)
        if config.reward != "learned":
            reward = jax.vmap(config.reward)(obs, did, next_obs)
        if config.termination != "learned":
            terminated = jax.vmap(config.termination)(obs, did, next_obs)
        return next_obs, reward, terminated

    return steps


def member_model(config: Any, env: Env, dynamics: Dynamics) -> Model:
    """One member as a `Model` whose states are observations `[D]` and whose params are the member's."""
    steps = member_steps(config, env, dynamics)

    def step(member: PyTree, key: Key, obs: Array, action: PyTree) -> tuple[Array, Array, Array, Array]:
        one = jax.tree.map(lambda x: x[None], (obs, action))
        next_obs, reward, terminated = jax.tree.map(lambda x: x[0], steps(member, key, *one))
        return next_obs, next_obs, reward, terminated

    return Model(lambda member, key: env.reset(key)[1], step)
