"""Unroll a policy in vectorised environments, and evaluate one on whole episodes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrl_up.config import as_key, wrap_as
from jaxrl_up.envs import Env, Space, acting, let_go, only, pick, stored, unit_action
from jaxrl_up.types import Algorithm, Array, Key, PyTree, TimeStep, static


@dataclasses.dataclass(frozen=True)
class RolloutFields:
    """How many steps are made, and how many at a time."""

    total_steps: int = static(500_000, low=1)
    """environment steps per seed"""
    num_envs: int = static(8, low=1)
    """environments stepped together"""
    rollout_length: int = static(64, low=1)
    """steps per environment and update"""


def steps_per_update(config: Any) -> int:
    """Environment steps that one update takes."""
    return config.num_envs * config.rollout_length


def training_env(env: Env) -> Env:
    """The environment as networks and replays act in it: continuous actions are vectors in [-1, 1], others from 0."""
    return unit_action(env)


def stored_space(env: Env) -> Space:
    """The space of what is kept of observations, and what critics see: all but simulators."""
    return only(env.observation_space, stored)


def acting_space(env: Env) -> Space:
    """The space of what policies see: nothing that is named `critic_only`."""
    return only(env.observation_space, acting)


class Interaction(NamedTuple):
    """Where B environments stand. Not part of what is learned, so it goes on when a seed fails."""

    env_state: PyTree
    obs: PyTree  # [B, ...], to act on next
    episode_return: Array  # [B], of the episodes in progress
    episode_length: Array  # [B], environment steps
    memory: PyTree = ()  # [B, ...], what acting remembers of the episodes in progress


class Rows(NamedTuple):
    """Transitions `[T, B, ...]`. `next_obs` is the true successor, also where an episode ended."""

    obs: PyTree  # without simulators, as next_obs
    action: PyTree
    extras: PyTree  # what the policy returned beside the action, such as `log_prob`
    reward: Array
    next_obs: PyTree
    terminated: Array
    truncated: Array


class EpisodeSums(NamedTuple):
    """Sums over the episodes that ended, so that nothing is NaN when none did."""

    count: Array
    total_return: Array
    total_length: Array


def no_memory(key: Key) -> PyTree:
    """The memory of what remembers nothing."""
    return ()


MEMORY = 0x6D656D  # sets the keys of memories apart from those of resets
InitialMemory = Callable[[Key], PyTree]  # of one episode: `Algorithm.initial_memory` of a config and an environment


def memory_of(algo: Algorithm, env: Env, config: Any, deterministic: bool) -> InitialMemory:
    """The initial memory of an algorithm; none where it is of exploration alone and there is none."""
    if deterministic and not algo.greedy_memory:
        return no_memory
    return partial(algo.initial_memory, config, env)


def fresh_start(env: Env, initial_memory: InitialMemory, key: Key) -> tuple[tuple[PyTree, PyTree], PyTree]:
    """An episode's beginning: (state, obs), and the memory to act with."""
    return env.reset(key), _fresh_memory(initial_memory, key)


def _fresh_memory(initial_memory: InitialMemory, key: Key) -> PyTree:
    return initial_memory(jax.random.fold_in(key, MEMORY)) if remembers(initial_memory) else ()


def _fresh(env: Env, initial_memory: InitialMemory, key: Key) -> PyTree:
    """What an environment step needs to go on from where an episode ends."""
    if env.spec.restart is not None:
        return (), _fresh_memory(initial_memory, key)
    return fresh_start(env, initial_memory, key)


def remembers(initial_memory: InitialMemory) -> bool:
    """Whether there is anything in a memory."""
    return bool(jax.tree.leaves(jax.eval_shape(initial_memory, jax.eval_shape(jax.random.key, 0))))


def start(
    env: Env, num_envs: int, key: Key, initial_memory: InitialMemory = no_memory, memory_key: Key | None = None
) -> Interaction:
    """Reset `num_envs` environments, and draw what is remembered in them."""
    env_state, obs = jax.vmap(env.reset)(jax.random.split(as_key(key), num_envs))
    memory = ()
    if remembers(initial_memory):
        assert memory_key is not None
        memory = jax.vmap(initial_memory)(jax.random.split(memory_key, num_envs))
    return Interaction(env_state, obs, jnp.zeros(num_envs, jnp.float32), jnp.zeros(num_envs, jnp.int32), memory)


RESETS_AHEAD = 16 * 2**20  # bytes of resets that may be drawn before a loop begins


class Ahead(NamedTuple):
    """What environment steps need that depends on no step before: `[..., B]`."""

    step_key: Key
    fresh: PyTree  # ((state, obs), memory), or the keys to draw them from where that many would be too large; no
    # (state, obs) where the environment goes on from a reset of its own


def draw_ahead(env: Env, key: Key, shape: tuple[int, ...], initial_memory: InitialMemory = no_memory) -> Ahead:
    """Keys and resets for environment steps of `shape [..., B]`, one large operation in place of many small ones."""
    keys = jax.vmap(jax.random.split)(jax.random.split(key, shape).reshape(-1))
    step_key, reset_key = keys[:, 0], keys[:, 1]

    def draw(key: Key) -> PyTree:
        return _fresh(env, initial_memory, key)

    one = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(jax.eval_shape(draw, key)))
    fresh = jax.vmap(draw)(reset_key) if one * math.prod(shape) <= RESETS_AHEAD else reset_key
    return jax.tree.map(lambda x: x.reshape(*shape, *x.shape[1:]), Ahead(step_key, fresh))


def env_step(
    env: Env,
    interaction: Interaction,
    action: PyTree,
    ahead: Ahead,
    sums: EpisodeSums,
    initial_memory: InitialMemory = no_memory,
) -> tuple[Interaction, TimeStep, EpisodeSums]:
    """Step all B environments once; episodes that end start again by themselves, with a fresh memory.

    The memory of `interaction` is the one after acting.
    """
    drawn: Any = ahead.fresh
    only_keys = isinstance(drawn, jax.Array) and jnp.issubdtype(drawn.dtype, jax.dtypes.prng_key)
    fresh, memory = jax.vmap(lambda key: _fresh(env, initial_memory, key))(drawn) if only_keys else drawn
    if env.spec.restart is None:
        env_state, step = jax.vmap(env.step_or_restart)(ahead.step_key, interaction.env_state, action, fresh)
    else:
        env_state, step = jax.vmap(env.restart)(ahead.step_key, interaction.env_state, action)
    done = step.terminated | step.truncated
    episode_return = interaction.episode_return + step.reward
    episode_length = interaction.episode_length + 1
    sums = EpisodeSums(
        sums.count + jnp.sum(done, dtype=jnp.int32),
        sums.total_return + jnp.sum(jnp.where(done, episode_return, 0.0)),
        sums.total_length + jnp.sum(jnp.where(done, episode_length, 0), dtype=jnp.int32),
    )
    interaction = Interaction(
        env_state,
        step.obs,
        jnp.where(done, 0.0, episode_return),
        jnp.where(done, 0, episode_length),
        jax.vmap(_either)(done, memory, interaction.memory),
    )
    return interaction, step, sums


def _either(condition: Array, if_true: PyTree, if_false: PyTree) -> PyTree:
    def leaf(a: Array, b: Array) -> Array:
        if not jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
            return jnp.where(condition, a, b)
        words = jnp.where(condition, jax.random.key_data(a), jax.random.key_data(b))
        return wrap_as(words, a.dtype)  # as words, since JAX's check for keys used twice follows no key through `where`

    return jax.tree.map(leaf, if_true, if_false)


def no_episodes() -> EpisodeSums:
    """The sums before the first step."""
    return EpisodeSums(jnp.int32(0), jnp.float32(0.0), jnp.int32(0))


def unroll(
    env: Env,
    policy: Callable[[PyTree, PyTree, PyTree], tuple[PyTree, PyTree, PyTree]],
    interaction: Interaction,
    length: int,
    key: Key,
    noise: PyTree = None,
    initial_memory: InitialMemory = no_memory,
) -> tuple[Interaction, Rows, EpisodeSums]:
    """Act for `length` steps in all B environments; episodes that end start again by themselves.

    `policy(obs [B, ...], memory [B, ...], key) -> (action [B, ...], memory, extras)`; with `noise`, a tree of arrays
    `[length, ...]`, it gets the step's part of that in place of a key. What needs no step is done before the loop,
    where it is one large operation and not many small ones: all keys, and all resets and fresh memories as long as they
    take under 16 MiB.
    """
    num_envs = interaction.episode_return.shape[0]
    policy_key, env_key = jax.random.split(as_key(key))
    noise = jax.random.split(policy_key, length) if noise is None else noise

    def step(carry: tuple[Interaction, EpisodeSums], rows: tuple[PyTree, Ahead]) -> Any:
        interaction, sums = carry
        noise, ahead = rows
        obs = interaction.obs
        action, memory, extras = policy(pick(env.observation_space, acting, obs), interaction.memory, noise)
        interaction = interaction._replace(memory=memory)
        interaction, step, sums = env_step(env, interaction, action, ahead, sums, initial_memory)
        obs, next_obs = (pick(env.observation_space, stored, x) for x in (obs, step.next_obs))
        return (interaction, sums), Rows(obs, action, extras, step.reward, next_obs, step.terminated, step.truncated)

    ahead = draw_ahead(env, env_key, (length, num_envs), initial_memory)
    (interaction, sums), rows = jax.lax.scan(step, (interaction, no_episodes()), (noise, ahead))
    return interaction, rows, sums


class Episodes(NamedTuple):
    """Evaluated episodes, one per environment. Unfinished ones report what they earned up to the cap."""

    returns: Array  # [N], undiscounted
    lengths: Array  # [N], environment steps
    finished: Array  # [N], bool; false where the step cap came first
    mark: Array  # [N], uint32; equal in episodes of equal actions and rewards, and else hardly ever


DEFAULT_STEP_CAP = 10_000
"""Steps after which an episode of evaluation is cut, in an environment without a time limit."""


def play(
    env: Env,
    act: Callable[[PyTree, PyTree, Key], tuple[PyTree, PyTree]],
    key: Key,
    num_episodes: int,
    max_steps: int | None = None,
    initial_memory: InitialMemory = no_memory,
) -> Episodes:
    """Play one episode in each of `num_episodes` environments, at most `max_steps` long.

    `act(obs [N, ...], memory [N, ...], key) -> (action [N, ...], memory)`. `max_steps=None` is the environment's own
    time limit, or 10,000 steps where it has none. The loop ends as soon as all episodes have.
    """
    cap = max_steps or env.max_steps or DEFAULT_STEP_CAP
    reset_key, loop_key = jax.random.split(as_key(key))
    reset_keys = jax.random.split(reset_key, num_episodes)
    (env_state, obs), memory = jax.vmap(lambda key: fresh_start(env, initial_memory, key))(reset_keys)

    def unfinished(carry: Any) -> Array:
        time, *_, episodes = carry
        return (time < cap) & ~jnp.all(episodes.finished)

    def step(carry: Any) -> Any:
        time, env_state, obs, memory, episodes = carry
        act_key, env_key = jax.random.split(jax.random.fold_in(loop_key, time))
        env_keys = jax.random.split(env_key, num_episodes)
        stay = (env_state, obs)  # a finished episode is not played on, so no reset is needed
        action, memory = act(pick(env.observation_space, acting, obs), memory, act_key)
        env_state, step = jax.vmap(env.step_or_restart)(env_keys, env_state, action, stay)
        playing = ~episodes.finished
        episodes = Episodes(
            episodes.returns + jnp.where(playing, step.reward, 0.0),
            episodes.lengths + playing,
            episodes.finished | step.terminated | step.truncated,
            jnp.where(playing, _mixed(episodes.mark, action, step.reward), episodes.mark),
        )
        return time + 1, env_state, step.obs, memory, episodes

    dtypes = (jnp.float32, jnp.int32, bool, jnp.uint32)
    zero = Episodes(*(jnp.zeros(num_episodes, dtype) for dtype in dtypes))
    _, env_state, _, _, episodes = jax.lax.while_loop(unfinished, step, (jnp.int32(0), env_state, obs, memory, zero))
    if not env.spec.tokens:
        return episodes
    return episodes._replace(finished=jax.vmap(let_go)(env_state, episodes.finished))


def distinct(episodes: Episodes) -> Array:
    """How many episodes differ from one another in an action or a reward, int32."""
    marks = jnp.sort(episodes.mark)
    return 1 + jnp.sum(marks[1:] != marks[:-1], dtype=jnp.int32)


def _mixed(mark: Array, action: PyTree, reward: Array) -> Array:
    """The mark `[N]` after a step of these actions `[N, ...]` and rewards `[N]`: a step of FNV-1a on their bits."""
    bits = jnp.concatenate([*map(_bits, jax.tree.leaves(action)), _bits(reward)], axis=1)
    place = 2 * jnp.arange(bits.shape[1], dtype=jnp.uint32) + 1
    word = jnp.sum(bits * (place * jnp.uint32(0x9E3779B1))[None], axis=1, dtype=jnp.uint32)
    mark = (mark ^ word) * jnp.uint32(0x01000193)
    return mark ^ (mark >> 15)


def _bits(x: Array) -> Array:
    """`[N, ...]` as words, uint32 `[N, K]`."""
    x = x.reshape(x.shape[0], -1)
    if not jnp.issubdtype(x.dtype, jnp.inexact):
        return x.astype(jnp.uint32)
    return jax.lax.bitcast_convert_type(x.astype(jnp.float32), jnp.uint32)
