"""A planner: random shooting around the plan of the step before, as the smallest algorithm that learns nothing."""

from functools import partial

import jax
import jax.numpy as jnp
from flax import struct

from jaxrl_up import envs
from jaxrl_up.learning import one_by_one, planning, rollout
from jaxrl_up.types import Algorithm, static, traced


@struct.dataclass
class Config(rollout.RolloutFields):
    """What random shooting is told."""

    candidates: int = static(32, low=1)
    """plans that are tried at each step"""
    horizon: int = static(20, low=1)
    """steps of a plan"""
    spread: float = traced(0.3, 0.0)
    """standard deviation of the candidates, in widths of the action space"""


def initial_memory(config, env, key):
    """The plan, halfway between the bounds, and the planner's own key."""
    low, high = env.action_space.bounds()
    return {"plan": jnp.tile((low + high)[None] / 2, (config.horizon, 1)), "key": key}


def plan(config, env, obs, memory):
    """The first action of the best candidate, and what is left of it with its last action repeated."""
    key, noise_key, world_key = jax.random.split(memory["key"], 3)
    low, high = (bound[None, None] for bound in env.action_space.bounds())
    noise = jax.random.normal(noise_key, (config.candidates, *memory["plan"].shape))
    plans = jnp.clip(memory["plan"][None] + config.spread * (high - low) * noise.at[0].set(0.0), low, high)

    def total(actions):
        def step(state, given):
            state, _, reward, _ = envs.simulate(env, given[0], state, given[1])
            return state, reward

        keys = jax.random.split(world_key, config.horizon)  # the same chances for all candidates
        return jnp.sum(jax.lax.scan(step, envs.simulator_of(env, obs), (keys, actions))[1])

    best = plans[jnp.argmax(jax.vmap(total)(plans))]
    return best[0], {"plan": jnp.concatenate([best[1:], best[-1:]]), "key": key}


def act(config, env, policy, obs, memory=(), key=None):
    return one_by_one(env, partial(plan, config, env), obs, memory)


BROUGHT = planning.Planner(act, initial_memory)
SHOOTING = Algorithm(
    "shooting",
    Config,
    BROUGHT.init,
    BROUGHT.update,
    act,
    rollout.steps_per_update,
    action_spaces=("Box",),
    initial_memory=initial_memory,
    learns=False,
)
