"""Environments of composed observations and actions, and algorithms that remember, for tests of what comes after."""

import dataclasses
from types import SimpleNamespace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_up import PPO, RunResult
from jaxrl_up.envs import (
    Box,
    Dict,
    Discrete,
    Mask,
    MultiDiscrete,
    Simulator,
    Tuple,
    acting,
    allows,
    from_functions,
    mask_of,
    pick,
    sample,
)
from jaxrl_up.learning import on_policy

SWITCHES = MultiDiscrete((2, 3))
SHOWN = {
    "arm": Tuple((Box(-2, 2, (3,)), Discrete(4, start=-1))),
    "counts": MultiDiscrete((3, 5)),
    "critic_only": Box(-9, 9, (1,)),
    "walls": Box(0, 1, (2, 4), np.uint8, binary=True),
}
COMPOSED = Dict({"gear": Discrete(3, start=1), "push": Tuple((Box(-1, [1, 3], (2,)), Discrete(2)))})


def panel(action_space=SWITCHES, shown=SHOWN, max_steps=4):
    """Observations drawn anew in each step; a reward of 1 for an action that the mask allows, of -1 else."""
    sizes = {Discrete: lambda: action_space.n, MultiDiscrete: lambda: action_space.sizes}.get(type(action_space))
    space = Dict({**shown, **({"mask": Mask(sizes())} if sizes else {})})

    def reset(key):
        obs = sample(space, key)
        return obs, obs

    def step(key, last, action):
        mask, obs = mask_of(space, last), sample(space, key)
        allowed = jnp.bool_(True) if mask is None else allows(action_space, mask, action)
        return obs, obs, jnp.where(allowed, 1.0, -1.0), jnp.bool_(False), jnp.bool_(False)

    return from_functions(reset, step, space, action_space, max_steps, name="panel")


def observed(env, number, seed=0):
    """Observations `[number, ...]` as a policy is shown them."""
    obs = jax.vmap(lambda key: sample(env.observation_space, key))(jax.random.split(jax.random.key(seed), number))
    return jax.tree.map(np.asarray, pick(env.observation_space, acting, obs))


def simulated():
    """What it shows holds its own state."""
    space = Dict({"place": Box(-9, 9, (1,)), "sim": Simulator()})

    def reset(key):
        return jnp.zeros(1), {"place": jnp.zeros(1), "sim": jnp.zeros(1)}

    def step(key, place, action):
        place = jnp.clip(place + 2 * action - 1, -9, 9)
        return place, {"place": place, "sim": place}, place[0], jnp.bool_(False), jnp.bool_(False)

    return from_functions(reset, step, space, Discrete(2), 5, name="simulated")


class Remembered(NamedTuple):
    """How often it acted, and what it draws from."""

    count: jax.Array
    key: jax.Array


def _begin(config, env, key):
    return Remembered(jnp.int32(0), key)


def _act(config, env, policy, obs, memory, key):
    """What PPO does, shifted by the number of actions before and by a draw."""

    def draw(key):
        key, now = jax.random.split(key)
        return key, jax.random.randint(now, (), 0, 2, jnp.int32)

    action, _ = PPO.act(config, env, policy, obs, (), None)
    keys, drawn = jax.vmap(draw)(memory.key.reshape(-1))
    drawn = drawn.reshape(memory.key.shape)
    return (action + memory.count + drawn) % env.action_space.n, Remembered(memory.count + 1, keys.reshape(drawn.shape))


GAMBLER = dataclasses.replace(PPO, name="gambler", act=_act, initial_memory=_begin)


def _begin_average(config, env, key):
    return {"average": (jnp.full(2, 0.25), jnp.int32(0))}


def _act_on_average(config, env, policy, obs, memory, key):
    average, count = memory["average"]
    average = 0.5 * average + 0.5 * jnp.tanh(obs[..., :2])
    logits = on_policy.network(config, env).policy(policy.params, obs).logits
    action = jnp.argmax(logits + average, axis=-1).astype(jnp.int32)
    return action, {"average": (average, count + 1)}


AVERAGER = dataclasses.replace(PPO, name="averager", act=_act_on_average, initial_memory=_begin_average)


def result_of(algo, env, config, policy):
    """A run of one seed that ended with this policy."""
    state = SimpleNamespace(policy=jax.tree.map(lambda x: jnp.asarray(x)[None], policy))
    return RunResult(algo, env, config, (0,), state, None, 0.0, 0.0, "")
