"""Model predictive control: at each step find a plan in the true model, and take its first action.

    a_t = first of argmax_{a_t ... a_{t+H-1}} E[ sum_{h<H} gamma^h r_{t+h} + gamma^H V(s_{t+H}) ]

by random shooting, the cross-entropy method or MPPI (see `learning.planning`). Nothing is learned: the model is the
environment's own simulator, so wrap it in `envs.with_simulator`. The plan is kept in memory and gone on with at the
next step, one action on. V is `terminal_value`; without it what comes after the horizon counts as nothing.

Where the environment draws, all candidates of an iteration meet the same chances, from a key of the planner's own: it
knows what may happen and not what will. A plan is a sequence of actions and not a policy, which in such an environment
is worth less than a plan that reacts.

Time limits: the simulator knows them, so nothing is earned beyond.

Deviations: candidates are clipped to the bounds, where PETS' controller (Chua et al. 2018, arXiv:1805.12114, and their
code) truncates them at two standard deviations, which near a bound are at most its distance; they vary smoothly over
time (`plan_noise`); the mean of the plan so far is one of them; `smoothing` is of the standard deviation and not of the
variance; 64 candidates and not 400; 6 elites and not 40; 3 rounds and not 5; plans of 20 steps and not 25; a first
standard deviation of half the range and not a quarter. MPPI (Williams et al. 2017) weighs by what plans earn alone,
without a cost of control, and 0.1 of the old mean stays.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
from flax import struct

from jaxrl_up.config import shown
from jaxrl_up.envs import Env, from_unit, model_of, simulator_of, without_simulator
from jaxrl_up.learning import planning, rollout
from jaxrl_up.types import Algorithm, Array, Key, PyTree, static, traced


@struct.dataclass(frozen=True)
class Config(planning.SearchFields):
    """Fields of MPC. Numbers marked `traced` can be swept without recompiling."""

    total_steps: int = static(2_000, low=1)
    """environment steps per seed"""
    num_envs: int = static(1, low=1)
    """environments stepped together"""
    rollout_length: int = static(50, low=1)
    """steps per environment and update"""
    gamma: float = traced(1.0, 0.0, 1.0)
    """discount per step of a plan"""
    terminal_value: Any = static("none")
    """V, what is to be had after the horizon: none, or a function of one observation"""


def terminal_value(config: Config, env: Env) -> Callable[[PyTree], Array] | None:
    """V of what the simulator shows, if there is one. Raises `ValueError` for one that is no function."""
    if config.terminal_value == "none":
        return None
    if not callable(config.terminal_value):
        raise ValueError(f"terminal_value={shown(config.terminal_value)}: choose 'none', or give a function of obs")
    return lambda obs: config.terminal_value(without_simulator(env, obs))


def plan(config: Config, env: Env, obs: PyTree, memory: PyTree) -> tuple[PyTree, PyTree]:
    """The first action of the plan found from what is shown, and the memory with the plan one step on."""
    model, state = model_of(env), simulator_of(env, obs)
    value = terminal_value(config, env)

    def earned(plans: PyTree, key: Key) -> Array:
        """Of plans `[N, H, ...]`; all candidates meet the same chances."""

        def of_one(plan: PyTree) -> Array:
            actions = from_unit(plan, env.action_space)
            return planning.imagined_return(model, env.params, state, actions, key, config.gamma, value)

        return jax.vmap(of_one)(plans)

    action, memory = planning.replan(config, env, memory, earned)
    return from_unit(action, env.action_space), memory


def act(
    config: Config, env: Env, policy: PyTree, obs: PyTree, memory: PyTree = (), key: Key | None = None
) -> tuple[PyTree, PyTree]:
    """Actions for `obs [..., *shape]`, and memories; what is drawn comes from the keys in the memories."""
    return planning.one_by_one(env, partial(plan, config, env), obs, memory)


BROUGHT = planning.Planner(act, planning.initial_plans)
init, update = BROUGHT.init, BROUGHT.update

MPC = Algorithm(
    "mpc",
    Config,
    init,
    update,
    act,
    rollout.steps_per_update,
    {
        "mppi": {"method": "mppi", "iterations": 1, "samples": 256, "act_on": "mean"},
        "random_shooting": {"method": "random_shooting"},
    },
    initial_memory=planning.initial_plans,
    learns=False,
)
