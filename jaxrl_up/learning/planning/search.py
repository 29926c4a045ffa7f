"""Searches for a good plan: random shooting, the cross-entropy method, and model predictive path integral control.

All three draw N plans, try them, weigh them by what they earned, and refit what the next N are drawn from:

    random shooting   the best plan takes all                       (Rao 2009; Nagabandi et al. 2018, arXiv:1708.02596)
    CEM               the elites, which earned as much as the best K, share alike       (Rubinstein 1999, algorithm 2.1)
    MPPI              w_i = exp(R_i / temperature) / sum_j exp(R_j / temperature)        (Williams et al. 2017, eq. 26)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrl_up.envs import Env
from jaxrl_up.learning.planning.proposals import initial_proposal
from jaxrl_up.learning.rollout import RolloutFields
from jaxrl_up.types import Array, Key, PyTree, static, traced


@dataclasses.dataclass(frozen=True)
class SearchFields(RolloutFields):
    """How a plan is found."""

    method: str = static("cem", choices=("cem", "mppi", "random_shooting"))
    """how candidates count: cem, the elites alike; mppi, all by what they earn; random_shooting, the best alone"""
    samples: int = static(64, low=2)
    """N, candidate plans of an iteration"""
    horizon: int = static(20, low=1)
    """H, steps of a plan"""
    iterations: int = static(3, low=1)
    """times that candidates are drawn and what they are drawn from is refitted"""
    elites: int = static(6, low=1)
    """K: cem refits to the candidates that earn no less than the best K; at most samples"""
    temperature: float = traced(1.0, 1e-6)
    """of mppi, in units of the return: low, the best plan decides; high, all count alike"""
    spread: float = traced(1.0, 0.0)
    """standard deviation of the first candidates, where actions span [-1, 1]; Discrete actions begin all alike"""
    smoothing: float = traced(0.1, 0.0, 1.0)
    """how much of the old mean and spread stays at each refit"""
    plan_noise: str = static("ou", choices=("white", "ou", "pink"))
    """how candidates vary over time: white, ou (7 steps) or pink, as for long plans of small effect"""
    act_on: str = static("best", choices=("best", "mean"))
    """the plan that is acted on and gone on with: the best candidate, or the mean of the last refit, which between two
    good plans may be a bad one, and is what mppi acts on"""


class Found(NamedTuple):
    """What a search ends with."""

    proposal: Any  # the distribution refitted last
    plan: PyTree  # [H, ...], in unit actions: see `act_on`
    value: Array  # float32 [], what the best candidate earned


def search(
    config: Any, proposal: Any, key: Key, evaluate: Callable[[PyTree, Key], Array], extra: PyTree | None = None
) -> Found:
    """Improve a proposal for `iterations` rounds and choose a plan.

    `evaluate(plans, key)` takes plans `[N, H, ...]` in unit actions to what they earn `[N]`, in which what is not
    finite counts as the worst; the key is for the chances of the model, which all candidates had better share. The mode
    of the proposal, as the plan of the step before, is always a candidate; so are the `extra` plans `[M, H, ...]`, for
    instance a policy's. Raises `ValueError` for more elites than candidates.
    """
    if config.elites > config.samples:
        raise ValueError(f"elites={config.elites} must be at most samples={config.samples}")

    def iteration(carry: tuple[Any, PyTree, Array, Key], _: None) -> tuple[tuple[Any, PyTree, Array, Key], None]:
        proposal, plan, value, key = carry
        key, draw_key, chance_key = jax.random.split(key, 3)
        # draw N candidates around the plan so far
        if config.method == "random_shooting":
            plans = proposal.any(draw_key, config.samples)
        else:
            plans = proposal.draw(config, draw_key, config.samples).at[0].set(proposal.mode())
        if extra is not None:
            plans = jnp.concatenate([plans, extra])

        # what each earns in the model
        values = evaluate(plans, chance_key)
        values = jnp.where(jnp.isfinite(values), values, -jnp.inf)

        # refit to the better ones
        best = jnp.argmax(values)
        if config.method != "random_shooting":
            proposal = proposal.refit(config, plans, weigh(config, values))
        better = values[best] > value
        return (proposal, jnp.where(better, plans[best], plan), jnp.maximum(values[best], value), key), None

    carry = (proposal, proposal.mode(), jnp.float32(-jnp.inf), key)
    (proposal, plan, value, _), _ = jax.lax.scan(iteration, carry, length=config.iterations)
    if config.act_on == "mean" and config.method != "random_shooting":
        plan = proposal.mode()
    return Found(proposal, plan, value)


def initial_plans(config: Any, env: Env, key: Key) -> PyTree:
    """What a planner remembers at first: what plans are drawn from where nothing is known, and its own key."""
    return {"proposal": initial_proposal(config, env), "key": key}


def replan(config: Any, env: Env, memory: PyTree, evaluate: Callable[[PyTree, Key], Array]) -> tuple[PyTree, PyTree]:
    """The first unit action of the plan that `search` finds, and the memory with the plan one step on."""
    key, search_key = jax.random.split(memory["key"])
    found = search(config, memory["proposal"], search_key, evaluate)
    proposal = found.proposal.shifted(config, initial_proposal(config, env), found.plan)
    return found.plan[0], {"proposal": proposal, "key": key}


def weigh(config: Any, values: Array) -> Array:
    """Weights `[N]`, which add up to 1, of plans that earned `values [N]`."""
    if config.method == "cem":
        chosen = (values >= jax.lax.top_k(values, config.elites)[0][-1]).astype(jnp.float32)
        return chosen / jnp.sum(chosen)
    if config.method == "mppi":
        best = jnp.max(values)
        gap = jnp.where(jnp.isfinite(values), values - jnp.where(jnp.isfinite(best), best, 0.0), -jnp.inf)
        return jax.nn.softmax(jnp.where(jnp.isfinite(best), gap / config.temperature, 0.0))
    return jax.nn.one_hot(jnp.argmax(values), values.shape[0], dtype=jnp.float32)
