"""Experience replay: a ring of transitions as data, written in place, sampled in the time of the batch.

Each of B environments fills a column of `capacity // B` rows. An observation is stored once, in the dtype of its
space (binary ones as bits): the successor of a row is the observation of the next one. Where a time limit cut an
episode the next row holds a reset instead, so the true final observation is kept aside, in a ring of its own behind
the rows. Where an episode terminated no successor is needed. Reward, ending and action lie together as 32-bit words:
a transition drawn at random then costs two reads of far memory and not four.

How many rows were written is not part of the state: it depends on no key, so callers keep it with their counters,
and under vmap over seeds the write stays one slice at one place. `time` below is that number.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrl_up.envs import Env
from jaxrl_up.types import Array, TimeStep

GOING_ON, TERMINATED = -1, -2  # how a step ended; from 0 on: truncated, and the number of the final kept
UNLIMITED = 100  # episodes of environments without a time limit are truncated once in so many steps, at most


class Replay(NamedTuple):
    """The last `capacity` transitions of one seed."""

    obs: Array  # [rows + finals, B, ...], packed; the final observations come behind the rows
    outcome: Array  # int32 [rows, B, 2 + A]: the bits of reward, ending and action
    truncations: Array  # int32 [B], final observations kept so far


class Transitions(NamedTuple):
    """Sampled (n-step) transitions `[N, ...]`: bootstrap with `reward + discount * V(next_obs)`."""

    obs: Array
    action: Array
    reward: Array  # sum of gamma^i r_i until the episode's end, or for n steps
    discount: Array  # gamma^m after m steps; 0 where the episode terminated
    next_obs: Array  # the true one, also at a time limit; where the episode terminated, of another episode
    weight: Array  # of this row in the loss; 0 for a row that must not be learned from
    index: Array  # int32, where it lies: row * B + environment
    inner_obs: Array  # [N, n - 1, ...], the observations between obs and next_obs, of other episodes behind an end
    inner_discount: Array  # [N, n - 1], gamma^i for the i-th of them; 0 behind the episode's end


def init(env: Env, capacity: int, num_envs: int) -> Replay:
    """An empty replay. Raises `ValueError` unless every environment has room for two rows or more."""
    rows = capacity // num_envs
    if rows < 2:
        raise ValueError(f"buffer_size={capacity} must be at least twice num_envs={num_envs}")
    space, action = env.observation_space, env.action_space
    shape, dtype = space.shape, space.dtype
    if env.spec.binary_observation:
        shape, dtype = (math.ceil(math.prod(shape) / 8),), jnp.uint8
    return Replay(
        jnp.zeros((rows + final_rows(env, rows), num_envs, *shape), dtype),
        jnp.zeros((rows, num_envs, 2 + math.prod(action.shape)), jnp.int32),
        jnp.zeros(num_envs, jnp.int32),
    )


def final_rows(env: Env, rows: int) -> int:
    """Room for as many time limits as can lie in `rows` steps, and one to write on."""
    return math.ceil(rows / min(env.max_steps or UNLIMITED, rows)) + 1


def bytes_per_seed(env: Env, capacity: int, num_envs: int) -> int:
    """What a replay of that size takes, found without allocating it."""
    shapes = jax.eval_shape(lambda: init(env, capacity, num_envs))
    return sum(math.prod(x.shape) * x.dtype.itemsize for x in shapes)


def add(env: Env, replay: Replay, time: Array, obs: Array, action: Array, step: TimeStep) -> Replay:
    """Write one step of all B environments, taken from `obs [B, ...]`, over the oldest row."""
    _, next_obs, reward, terminated, truncated, _ = step
    rows = replay.outcome.shape[0]
    row = time % rows
    cut = truncated & ~terminated
    ending = jnp.where(cut, replay.truncations, jnp.where(terminated, TERMINATED, GOING_ON))
    slot = rows + replay.truncations % (replay.obs.shape[0] - rows)
    stored = jax.lax.dynamic_update_index_in_dim(replay.obs, pack(env, obs).astype(replay.obs.dtype), row, 0)
    # the next final's place is written on at every step, and passed only when an episode was cut
    stored = stored.at[slot, jnp.arange(slot.shape[0], dtype=jnp.int32)].set(pack(env, next_obs).astype(stored.dtype))
    action = action.astype(env.action_space.dtype).reshape(action.shape[0], -1)
    outcome = jnp.concatenate([_bits(reward)[:, None], ending[:, None], _bits(action)], axis=-1)
    outcome = jax.lax.dynamic_update_index_in_dim(replay.outcome, outcome, row, 0)
    return Replay(stored, outcome, replay.truncations + cut)


def _bits(x: Array) -> Array:
    """Numbers as int32: floats bit by bit, whole ones as they are."""
    if jnp.issubdtype(x.dtype, jnp.floating):
        return jax.lax.bitcast_convert_type(x.astype(jnp.float32), jnp.int32)
    return x.astype(jnp.int32)


def _from_bits(bits: Array, dtype: Any) -> Array:
    """The inverse of `_bits`."""
    if jnp.issubdtype(dtype, jnp.floating):
        return jax.lax.bitcast_convert_type(bits, jnp.float32).astype(dtype)
    return bits.astype(dtype)


def num_valid(replay: Replay, time: Array, n_step: int = 1) -> Array:
    """How many rows a window of `n_step` can start from: its successor must have been written."""
    return jnp.maximum(jnp.minimum(time, replay.outcome.shape[0]) - n_step, 0)


def sample(env: Env, replay: Replay, time: Array, bits: Array, gamma: Array | float, n_step: int = 1) -> Transitions:
    """Transitions drawn uniformly, with replacement, by random `bits` uint32 `[N]`.

    There must be a row to start from (`num_valid > 0`). A row whose final observation has been overwritten, which
    needs truncations at other times than the time limit, has weight 0.
    """
    rows, num_envs = replay.outcome.shape[:2]
    drawn = _below(bits, jnp.uint32(num_valid(replay, time, n_step) * num_envs))
    oldest = jnp.maximum(time - rows, 0)
    start = (oldest + (drawn // num_envs).astype(jnp.int32)) % rows
    return at(env, replay, start * num_envs + (drawn % num_envs).astype(jnp.int32), gamma, n_step)


def _below(bits: Array, number: Array) -> Array:
    """floor(bits * number / 2^32): random bits as whole numbers below `number`, without a division (Lemire 2019)."""
    high, low = bits >> 16, bits & 0xFFFF
    top, bottom = number >> 16, number & 0xFFFF
    middle = high * bottom + (low * bottom >> 16)
    return high * top + (middle >> 16) + (low * top + (middle & 0xFFFF) >> 16)


def at(env: Env, replay: Replay, index: Array, gamma: Array | float, n_step: int = 1) -> Transitions:
    """The transitions that start at `index [N]` = row * B + environment; see `Transitions`."""
    rows, num_envs = replay.outcome.shape[:2]
    start, column = index // num_envs, index % num_envs
    stored_obs, stored_outcome = (x.reshape(-1, *x.shape[2:]) for x in (replay.obs, replay.outcome))
    outcome = stored_outcome[index]
    space = env.action_space
    action = _from_bits(outcome[:, 2:], space.dtype).reshape(-1, *space.shape)

    reward, discount = jnp.zeros(index.shape, jnp.float32), jnp.ones(index.shape, jnp.float32)
    going, ending = jnp.bool_(True), jnp.full(index.shape, GOING_ON, jnp.int32)
    ahead = jnp.broadcast_to(jnp.arange(1, n_step, dtype=jnp.int32), (*index.shape, n_step - 1))
    inner = (start[:, None] + ahead) % rows * num_envs + column[:, None]
    inner_discount = jnp.zeros(inner.shape, jnp.float32)
    for i in range(n_step):
        here = outcome if i == 0 else stored_outcome[inner[:, i - 1], :2]
        if i > 0:
            inner_discount = inner_discount.at[:, i - 1].set(jnp.where(going, discount, 0.0))
        reward += jnp.where(going, discount * _from_bits(here[:, 0], jnp.float32), 0.0)
        ending = jnp.where(going, here[:, 1], ending)
        discount = jnp.where(going, gamma * discount, discount)
        going &= ending == GOING_ON

    finals = replay.obs.shape[0] - rows
    successor = jnp.where(ending >= 0, rows + ending % finals, (start + n_step) % rows) * num_envs + column
    both = stored_obs[jnp.concatenate([index, successor])]
    obs, next_obs = jnp.split(unpack(env, both), 2)
    lost = (ending >= 0) & (ending <= replay.truncations[column] - finals)
    discount = jnp.where(ending == TERMINATED, 0.0, discount)
    weight = jnp.where(lost, 0.0, 1.0)
    between = stored_obs[inner.reshape(-1)]
    inner_obs = (unpack(env, between) if n_step > 1 else obs[:0]).reshape(*inner.shape, *obs.shape[1:])
    return Transitions(obs, action, reward, discount, next_obs, weight, index, inner_obs, inner_discount)


def pack(env: Env, obs: Array) -> Array:
    """Observations `[N, ...]` as they are stored: binary ones in bits, others as they are."""
    if not env.spec.binary_observation:
        return obs
    return jnp.packbits(obs.reshape(obs.shape[0], -1) != 0, axis=-1)


def unpack(env: Env, stored: Array) -> Array:
    """The inverse of `pack`."""
    if not env.spec.binary_observation:
        return stored
    space = env.observation_space
    bits = jnp.unpackbits(stored, axis=-1, count=math.prod(space.shape))
    return bits.reshape(-1, *space.shape).astype(space.dtype)
