"""Acting by a policy that is given and not learned: uniform, or a function of the user's own.

What is drawn comes from a key in the memory, so that a policy that draws does so in greedy play too.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jaxrl_up.config import as_key, shown
from jaxrl_up.envs import Env, acting, as_action, mask_of, pick, sample_allowed
from jaxrl_up.learning.networks import as_observation
from jaxrl_up.learning.planning import State, one_by_one
from jaxrl_up.learning.rollout import EpisodeSums, Interaction, Rows, acting_space, start, unroll
from jaxrl_up.types import Counters, Key, PyTree


def chooser(policy: Any, env: Env) -> Callable[[PyTree, Key], PyTree]:
    """(obs, key) -> action, of one observation: that of `policy`, or uniform over what is allowed.

    Raises `ValueError` for what is neither "uniform" nor a function that acts in the environment.
    """
    space, name = env.action_space, getattr(policy, "__qualname__", None) or shown(policy)
    if isinstance(policy, str) and policy == "uniform":
        return lambda obs, key: sample_allowed(space, mask_of(env.observation_space, obs), key)
    if not callable(policy):
        raise ValueError(f"policy={name} is not known: choose 'uniform', or give a function (obs, key) -> action")
    if getattr(policy, "remembers", False):
        raise ValueError(f"policy={name} has a memory: give one that acts on the observation and a key alone")

    def one(obs: PyTree, key: Key) -> PyTree:
        return as_action(space, policy(obs, key))

    key = jax.eval_shape(jax.random.key, 0)
    obs = jax.eval_shape(lambda key: pick(env.observation_space, acting, env.reset(key)[1]), key)
    try:
        jax.eval_shape(one, obs, key)
    except (TypeError, ValueError) as error:
        raise ValueError(f"policy={name} does not act in {env.name}: {str(error).splitlines()[0]}") from error
    return one


def initial_memory(config: Any, env: Env, key: Key) -> Key:
    """The key that the policy draws with: `Algorithm.initial_memory`."""
    return key


def begin(config: Any, env: Env, learner: Any, key: Key) -> State:
    """A learner, and fresh environments. Raises `ValueError` as `chooser`."""
    chooser(config.policy, env)
    env_key, memory_key, state_key = jax.random.split(key, 3)
    interaction = start(env, config.num_envs, env_key, partial(initial_memory, config, env), memory_key)
    return State(learner, interaction, state_key, Counters(jnp.int32(0), jnp.int32(0)))


def follow(config: Any, env: Env, state: State, key: Key) -> tuple[Interaction, Rows, EpisodeSums]:
    """`rollout_length` steps of the policy in all environments: where they stand, rows `[T, B]`, and ended episodes."""

    def policy(obs: PyTree, memory: PyTree, key: Key) -> tuple[PyTree, PyTree, PyTree]:
        return *act(config, env, state.policy, obs, memory), ()

    remembered = partial(initial_memory, config, env)
    return unroll(env, policy, state.interaction, config.rollout_length, key, None, remembered)


def act(
    config: Any, env: Env, policy: PyTree, obs: PyTree, memory: PyTree = (), key: Key | None = None
) -> tuple[PyTree, PyTree]:
    """Actions of `config.policy` for `obs [..., *shape]`, drawn with the keys `[...]` that `memory` holds, and `key`.

    Raises `ValueError` without a memory, and as `chooser`.
    """
    choose = chooser(config.policy, env)
    if not jax.tree.leaves(memory):
        raise ValueError("a given policy draws with a key in its memory: begin with initial_memory(config, env, key)")
    bits = None if key is None else jax.random.bits(as_key(key), (), jnp.uint32)

    def one(obs: PyTree, memory: Key) -> tuple[PyTree, Key]:
        memory, own = jax.random.split(memory)
        return choose(obs, own if bits is None else jax.random.fold_in(own, bits)), memory

    return one_by_one(env, one, as_observation(acting_space(env), obs), memory)
