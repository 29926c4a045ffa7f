"""Unroll a policy in vectorised environments, and evaluate one on whole episodes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrl_up.config import as_key
from jaxrl_up.envs import Box, Env, rescale_action
from jaxrl_up.types import Array, Key, PyTree, TimeStep, static


@dataclasses.dataclass(frozen=True)
class RolloutFields:
    """How many steps are made, and how many at a time."""

    total_steps: int = static(500_000, low=1)
    """environment steps per seed"""
    num_envs: int = static(8, low=1)
    """environments stepped together"""
    rollout_length: int = static(64, low=1)
    """steps per environment and update"""


def steps_per_update(config: RolloutFields) -> int:
    """Environment steps that one update takes."""
    return config.num_envs * config.rollout_length


def training_env(env: Env) -> Env:
    """The environment as networks and replays see it: bounded actions live in [-1, 1] in every dimension."""
    return rescale_action(env) if isinstance(env.action_space, Box) else env


class Interaction(NamedTuple):
    """Where B environments stand. Not part of what is learned, so it goes on when a seed fails."""

    env_state: PyTree
    obs: Array  # [B, ...], to act on next
    episode_return: Array  # [B], of the episodes in progress
    episode_length: Array  # [B], environment steps


class Rows(NamedTuple):
    """Transitions `[T, B, ...]`. `next_obs` is the true successor, also where an episode ended."""

    obs: Array
    action: Array
    extras: PyTree  # what the policy returned beside the action, such as `log_prob`
    reward: Array
    next_obs: Array
    terminated: Array
    truncated: Array


class EpisodeSums(NamedTuple):
    """Sums over the episodes that ended, so that nothing is NaN when none did."""

    count: Array
    total_return: Array
    total_length: Array


def start(env: Env, num_envs: int, key: Key) -> Interaction:
    """Reset `num_envs` environments."""
    env_state, obs = jax.vmap(env.reset)(jax.random.split(as_key(key), num_envs))
    return Interaction(env_state, obs, jnp.zeros(num_envs, jnp.float32), jnp.zeros(num_envs, jnp.int32))


RESETS_AHEAD = 16 * 2**20  # bytes of resets that may be drawn before a loop begins


class Ahead(NamedTuple):
    """What environment steps need that depends on no step before: `[..., B]`."""

    step_key: Key
    reset: PyTree  # (state, obs), or the keys to draw them from where that many would be too large


def draw_ahead(env: Env, key: Key, shape: tuple[int, ...]) -> Ahead:
    """Keys and resets for environment steps of `shape [..., B]`, one large operation in place of many small ones."""
    keys = jax.vmap(jax.random.split)(jax.random.split(key, shape).reshape(-1))
    step_key, reset_key = keys[:, 0], keys[:, 1]
    one_reset = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(jax.eval_shape(env.reset, key)))
    reset = jax.vmap(env.reset)(reset_key) if one_reset * math.prod(shape) <= RESETS_AHEAD else reset_key
    return jax.tree.map(lambda x: x.reshape(*shape, *x.shape[1:]), Ahead(step_key, reset))


def env_step(
    env: Env, interaction: Interaction, action: Array, ahead: Ahead, sums: EpisodeSums
) -> tuple[Interaction, TimeStep, EpisodeSums]:
    """Step all B environments once; episodes that end start again by themselves."""
    drawn: Any = ahead.reset
    only_keys = isinstance(drawn, jax.Array) and jnp.issubdtype(drawn.dtype, jax.dtypes.prng_key)
    fresh: Any = jax.vmap(env.reset)(drawn) if only_keys else drawn
    env_state, step = jax.vmap(env.step_or_restart)(ahead.step_key, interaction.env_state, action, fresh)
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
    )
    return interaction, step, sums


def no_episodes() -> EpisodeSums:
    """The sums before the first step."""
    return EpisodeSums(jnp.int32(0), jnp.float32(0.0), jnp.int32(0))


def unroll(
    env: Env,
    policy: Callable[[Array, PyTree], tuple[Array, PyTree]],
    interaction: Interaction,
    length: int,
    key: Key,
    noise: PyTree = None,
) -> tuple[Interaction, Rows, EpisodeSums]:
    """Act for `length` steps in all B environments; episodes that end start again by themselves.

    `policy(obs [B, ...], key) -> (action [B, ...], extras)`; with `noise`, a tree of arrays `[length, ...]`, it gets
    the step's part of that in place of a key. What needs no step is done before the loop, where it is one large
    operation and not many small ones: all keys, and all resets as long as they take under 16 MiB.
    """
    num_envs = interaction.episode_return.shape[0]
    policy_key, env_key = jax.random.split(as_key(key))
    noise = jax.random.split(policy_key, length) if noise is None else noise

    def step(carry: tuple[Interaction, EpisodeSums], rows: tuple[PyTree, Ahead]) -> Any:
        interaction, sums = carry
        noise, ahead = rows
        obs = interaction.obs
        action, extras = policy(obs, noise)
        interaction, step, sums = env_step(env, interaction, action, ahead, sums)
        row = Rows(obs, action, extras, step.reward, step.next_obs, step.terminated, step.truncated)
        return (interaction, sums), row

    ahead = draw_ahead(env, env_key, (length, num_envs))
    (interaction, sums), rows = jax.lax.scan(step, (interaction, no_episodes()), (noise, ahead))
    return interaction, rows, sums


class Episodes(NamedTuple):
    """Evaluated episodes, one per environment. Unfinished ones report what they earned up to the cap."""

    returns: Array  # [N], undiscounted
    lengths: Array  # [N], environment steps
    finished: Array  # [N], bool; false where the step cap came first
    mark: Array  # [N], uint32; equal in episodes of equal actions and rewards, and else hardly ever


DEFAULT_STEP_CAP = 10_000


def play(
    env: Env,
    act: Callable[[Array, Key], Array],
    key: Key,
    num_episodes: int,
    max_steps: int | None = None,
) -> Episodes:
    """Play one episode in each of `num_episodes` environments, at most `max_steps` long.

    `act(obs [N, ...], key) -> action [N, ...]`. `max_steps=None` is the environment's own time limit, or
    10,000 steps where it has none. The loop ends as soon as all episodes have.
    """
    cap = max_steps or env.max_steps or DEFAULT_STEP_CAP
    reset_key, loop_key = jax.random.split(as_key(key))
    env_state, obs = jax.vmap(env.reset)(jax.random.split(reset_key, num_episodes))

    def unfinished(carry: Any) -> Array:
        time, _, _, episodes = carry
        return (time < cap) & ~jnp.all(episodes.finished)

    def step(carry: Any) -> Any:
        time, env_state, obs, episodes = carry
        act_key, env_key = jax.random.split(jax.random.fold_in(loop_key, time))
        env_keys = jax.random.split(env_key, num_episodes)
        stay = (env_state, obs)  # a finished episode is not played on, so no reset is needed
        action = act(obs, act_key)
        env_state, step = jax.vmap(env.step_or_restart)(env_keys, env_state, action, stay)
        playing = ~episodes.finished
        episodes = Episodes(
            episodes.returns + jnp.where(playing, step.reward, 0.0),
            episodes.lengths + playing,
            episodes.finished | step.terminated | step.truncated,
            jnp.where(playing, _mixed(episodes.mark, action, step.reward), episodes.mark),
        )
        return time + 1, env_state, step.obs, episodes

    dtypes = (jnp.float32, jnp.int32, bool, jnp.uint32)
    zero = Episodes(*(jnp.zeros(num_episodes, dtype) for dtype in dtypes))
    return jax.lax.while_loop(unfinished, step, (jnp.int32(0), env_state, obs, zero))[-1]


def distinct(episodes: Episodes) -> Array:
    """How many episodes differ from one another in an action or a reward, int32."""
    marks = jnp.sort(episodes.mark)
    return 1 + jnp.sum(marks[1:] != marks[:-1], dtype=jnp.int32)


def _mixed(mark: Array, action: Array, reward: Array) -> Array:
    """The mark `[N]` after a step of these actions `[N, ...]` and rewards `[N]`: a step of FNV-1a on their bits."""
    bits = jnp.concatenate([_bits(action), _bits(reward)], axis=1)
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
