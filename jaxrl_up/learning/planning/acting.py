"""What algorithms that learn nothing share, as planners do: a state, and an update that acts and counts steps.

A planner is an `Algorithm` with `learns=False`. Its `act` reads the simulator in what it is shown
(`envs.simulator_of`), tries actions by `envs.simulate`, and draws with a key that its memory keeps.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrl_up.config import as_key
from jaxrl_up.envs import Env, Simulator, leaves, parts, pick
from jaxrl_up.learning.rollout import Interaction, acting_space, start, steps_per_update, unroll
from jaxrl_up.types import Counters, Key, Metrics, PyTree, means


class Learner(NamedTuple):
    """What acting needs and nothing changes, as the parameters of a model learned before; most often nothing."""

    acting: PyTree = ()


class State(NamedTuple):
    """The state of a run that learns no policy: arrays only."""

    learner: Any  # a `Learner`, or what is learned of the policy that acts
    interaction: Interaction
    key: Key
    counters: Counters

    @property
    def policy(self) -> PyTree:
        """What acts: see `Learner`."""
        return self.learner.acting

    @property
    def experience(self) -> PyTree:
        """What is kept to learn from: nothing."""
        return ()


class Planner(NamedTuple):
    """What an algorithm that learns nothing brings, each a pure function of its module; see `Algorithm`."""

    act: Callable[..., tuple[PyTree, PyTree]]
    """(config, env, policy, obs `[..., *shape]`, memory `[..., *]`, key) -> actions, and the memory after them"""
    initial_memory: Callable[..., PyTree] = lambda config, env, key: ()
    """(config, env, key) -> what is remembered at the beginning of an episode"""
    policy: Callable[..., PyTree] = lambda config, env, key: ()
    """(config, env, key) -> the policy, which stays as it is"""

    def init(self, config: Any, env: Env, key: Key) -> State:
        """The policy, and fresh environments: `Algorithm.init`."""
        return init(config, env, key, self)

    def update(self, config: Any, env: Env, state: State) -> tuple[State, Metrics]:
        """Act for `rollout_length` steps in all environments and count them; the loss is 0: `Algorithm.update`."""
        return update(config, env, state, self)


def init(config: Any, env: Env, key: Key, brought: Planner) -> State:
    """The policy, which nothing changes, and fresh environments."""
    policy_key, env_key, memory_key, state_key = jax.random.split(as_key(key), 4)
    policy = brought.policy(config, env, policy_key)
    interaction = start(env, config.num_envs, env_key, partial(brought.initial_memory, config, env), memory_key)
    return State(Learner(policy), interaction, state_key, Counters(jnp.int32(0), jnp.int32(0)))


def update(config: Any, env: Env, state: State, brought: Planner) -> tuple[State, Metrics]:
    """Act for `rollout_length` steps in all environments and count them; the loss is 0."""
    key, unroll_key = jax.random.split(state.key)

    def policy(obs: PyTree, memory: PyTree, key: Key) -> tuple[PyTree, PyTree, PyTree]:
        return *brought.act(config, env, state.policy, obs, memory, key), ()

    remembered = partial(brought.initial_memory, config, env)
    interaction, _, episodes = unroll(
        env, policy, state.interaction, config.rollout_length, unroll_key, None, remembered
    )
    counters = Counters(state.counters.updates + 1, state.counters.env_steps + steps_per_update(config))
    state = State(state.learner, interaction, key, counters)
    return state, Metrics(means({"loss": jnp.float32(0)}), *episodes)


def one_by_one(env: Env, function: Callable[..., PyTree], obs: PyTree, *more: PyTree) -> PyTree:
    """`function(obs, *more)` of one observation, mapped over the leading axes of what policies see `[..., *shape]`.

    `more`, as a memory `[..., *]`, has the same leading axes: so an `act` is written for one.
    """
    obs, lead = _led(env, obs)
    for _ in lead:
        function = jax.vmap(function)
    return function(obs, *more)


def together(env: Env, function: Callable[..., PyTree], obs: PyTree, *more: PyTree) -> PyTree:
    """`function(obs, *more)` of N observations `[N, *shape]`, for any leading axes of what policies see.

    As `one_by_one`, for what takes a batch as one. `more` has the same leading axes, and so has what is returned.
    """
    obs, lead = _led(env, obs)
    flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[len(lead) :]), (obs, *more))
    return jax.tree.map(lambda x: x.reshape(*lead, *x.shape[1:]), function(*flat))


def _led(env: Env, obs: PyTree) -> tuple[PyTree, tuple[int, ...]]:
    """What policies see of observations, and its leading axes."""
    space = acting_space(env)
    obs = pick(space, lambda path, leaf: True, obs)  # no part that who acts does not see
    found = parts(space, obs)
    path, leaf = next((path, leaf) for path, leaf in leaves(space).items() if not isinstance(leaf, Simulator))
    shape = jnp.shape(found[path])
    return obs, shape[: len(shape) - len(leaf.shape)]
