"""Experience replay: a ring of transitions as data, written in place, sampled in the time of the batch.

Each of B environments fills a column of `capacity // B` rows. An observation is stored once, each leaf of it in the
dtype of its space (masks and binary ones as bits), simulators not at all: the successor of a row is the observation of
the next one. Where a time limit cut an episode the next row holds a reset instead, so the true final observation is
kept aside, in a ring of its own behind the rows. Where an episode terminated no successor is needed. Reward, ending and
action lie together as 32-bit words: a transition drawn at random then costs two reads of far memory and not four.

How many rows were written is not part of the state: it depends on no key, so callers keep it with their counters,
and under vmap over seeds the write stays one slice at one place. `time` below is that number.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrl_up.envs import Box, Env, Leaf, Mask, Space, leaves, map_leaves, parts, pick, stored, tree
from jaxrl_up.learning.rollout import stored_space
from jaxrl_up.types import Array, PyTree, TimeStep

GOING_ON, TERMINATED = -1, -2  # how a step ended; from 0 on: truncated, and the number of the final kept
UNLIMITED = 100  # episodes of environments without a time limit are truncated once in so many steps, at most


class Replay(NamedTuple):
    """The last `capacity` transitions of one seed."""

    obs: PyTree  # [rows + finals, B, ...], packed; the final observations come behind the rows
    outcome: Array  # int32 [rows, B, 2 + A]: the bits of reward, ending and action
    truncations: Array  # int32 [B], final observations kept so far


class Transitions(NamedTuple):
    """Sampled (n-step) transitions `[N, ...]`: bootstrap with `reward + discount * V(next_obs)`."""

    obs: PyTree
    action: PyTree
    reward: Array  # sum of gamma^i r_i until the episode's end, or for n steps
    discount: Array  # gamma^m after m steps; 0 where the episode terminated
    next_obs: PyTree  # the true one, also at a time limit; where the episode terminated, of another episode
    weight: Array  # of this row in the loss; 0 for a row that must not be learned from
    index: Array  # int32, where it lies: row * B + environment
    inner_obs: PyTree  # [N, n - 1, ...], the observations between obs and next_obs, of other episodes behind an end
    inner_discount: Array  # [N, n - 1], gamma^i for the i-th of them; 0 behind the episode's end


def init(env: Env, capacity: int, num_envs: int) -> Replay:
    """An empty replay. Raises `ValueError` unless every environment has room for two rows or more."""
    rows = capacity // num_envs
    if rows < 2:
        raise ValueError(f"buffer_size={capacity} must be at least twice num_envs={num_envs}")
    axes = (rows + final_rows(env, rows), num_envs)

    def empty(leaf: Leaf) -> Array:
        bits = in_bits(leaf)
        shape, dtype = ((math.ceil(math.prod(leaf.shape) / 8),), jnp.uint8) if bits else (leaf.shape, leaf.dtype)
        return jnp.zeros((*axes, *shape), dtype)

    return Replay(
        map_leaves(empty, stored_space(env)),
        jnp.zeros((rows, num_envs, 2 + action_words(env.action_space)), jnp.int32),
        jnp.zeros(num_envs, jnp.int32),
    )


def final_rows(env: Env, rows: int) -> int:
    """Room for as many time limits as can lie in `rows` steps, and one to write on."""
    return math.ceil(rows / min(env.max_steps or UNLIMITED, rows)) + 1


def bytes_per_seed(env: Env, capacity: int, num_envs: int) -> int:
    """What a replay of that size takes, found without allocating it."""
    shapes = jax.eval_shape(lambda: init(env, capacity, num_envs))
    return sum(math.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(shapes))


def add(env: Env, replay: Replay, time: Array, obs: PyTree, action: PyTree, step: TimeStep) -> Replay:
    """Write one step of all B environments, taken from `obs [B, ...]`, over the oldest row."""
    _, next_obs, reward, terminated, truncated, _ = step
    rows = replay.outcome.shape[0]
    row = time % rows
    cut = truncated & ~terminated
    ending = jnp.where(cut, replay.truncations, jnp.where(terminated, TERMINATED, GOING_ON))
    slot = rows + replay.truncations % (capacity(replay) - rows)

    def write(kept: Array, obs: Array, next_obs: Array) -> Array:
        kept = jax.lax.dynamic_update_index_in_dim(kept, obs.astype(kept.dtype), row, 0)
        # the next final's place is written on at every step, and passed only when an episode was cut
        return kept.at[slot, jnp.arange(slot.shape[0], dtype=jnp.int32)].set(next_obs.astype(kept.dtype))

    kept = jax.tree.map(write, replay.obs, pack(env, obs), pack(env, next_obs))
    outcome = jnp.concatenate([_bits(reward)[:, None], ending[:, None], *_words(env.action_space, action)], axis=-1)
    outcome = jax.lax.dynamic_update_index_in_dim(replay.outcome, outcome, row, 0)
    return Replay(kept, outcome, replay.truncations + cut)


def in_bits(leaf: Leaf) -> bool:
    """Whether elements are zeros and ones, which eight to a byte hold."""
    return isinstance(leaf, Mask) or (isinstance(leaf, Box) and leaf.binary)


def capacity(replay: Replay) -> int:
    """Observations that a column holds, final ones included."""
    return jax.tree.leaves(replay.obs)[0].shape[0]


def action_words(space: Space) -> int:
    """The 32-bit words of an action."""
    return sum(math.prod(leaf.shape) for leaf in leaves(space).values())


def _words(space: Space, action: PyTree) -> list[Array]:
    """Actions `[N, ...]` as words, int32 `[N, W]` for each leaf."""
    found = parts(space, action)
    return [_bits(found[path].astype(leaf.dtype).reshape(len(found[path]), -1)) for path, leaf in leaves(space).items()]


def _action(space: Space, words: Array) -> PyTree:
    """The inverse of `_words`, from `[N, W]`."""
    read, at = [], 0
    for leaf in leaves(space).values():
        size = math.prod(leaf.shape)
        read.append(_from_bits(words[:, at : at + size], leaf.dtype).reshape(-1, *leaf.shape))
        at += size
    return jax.tree.unflatten(jax.tree.structure(tree(space)), read)


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
    drawn = below(bits, jnp.uint32(num_valid(replay, time, n_step) * num_envs))
    oldest = jnp.maximum(time - rows, 0)
    start = (oldest + (drawn // num_envs).astype(jnp.int32)) % rows
    return at(env, replay, start * num_envs + (drawn % num_envs).astype(jnp.int32), gamma, n_step)


def below(bits: Array, number: Array) -> Array:
    """floor(bits * number / 2^32): random bits as whole numbers below `number`, without a division (Lemire 2019)."""
    high, low = bits >> 16, bits & 0xFFFF
    top, bottom = number >> 16, number & 0xFFFF
    middle = high * bottom + (low * bottom >> 16)
    return high * top + (middle >> 16) + (low * top + (middle & 0xFFFF) >> 16)


def at(env: Env, replay: Replay, index: Array, gamma: Array | float, n_step: int = 1) -> Transitions:
    """The transitions that start at `index [N]` = row * B + environment; see `Transitions`."""
    rows, num_envs = replay.outcome.shape[:2]
    start, column = index // num_envs, index % num_envs
    stored_obs, stored_outcome = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), (replay.obs, replay.outcome))
    outcome = stored_outcome[index]
    action = _action(env.action_space, outcome[:, 2:])

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

    finals = capacity(replay) - rows
    successor = jnp.where(ending >= 0, rows + ending % finals, (start + n_step) % rows) * num_envs + column
    two = jnp.concatenate([index, successor])
    both = unpack(env, jax.tree.map(lambda x: x[two], stored_obs))
    halves = jax.tree.map(lambda x: jnp.split(x, 2), both)
    obs, next_obs = jax.tree.transpose(jax.tree.structure(both), jax.tree.structure([0, 0]), halves)
    lost = (ending >= 0) & (ending <= replay.truncations[column] - finals)
    discount = jnp.where(ending == TERMINATED, 0.0, discount)
    weight = jnp.where(lost, 0.0, 1.0)
    if n_step > 1:
        between = unpack(env, jax.tree.map(lambda x: x[inner.reshape(-1)], stored_obs))
    else:
        between = jax.tree.map(lambda x: x[:0], obs)
    inner_obs = jax.tree.map(lambda x, y: x.reshape(*inner.shape, *y.shape[1:]), between, obs)
    return Transitions(obs, action, reward, discount, next_obs, weight, index, inner_obs, inner_discount)


def pack(env: Env, obs: PyTree) -> PyTree:
    """Observations `[N, ...]` as they are stored: masks and binary ones in bits, simulators left out."""

    def leaf_bits(leaf: Leaf, x: Array) -> Array:
        return jnp.packbits(x.reshape(x.shape[0], -1) != 0, axis=-1) if in_bits(leaf) else x

    return map_leaves(leaf_bits, stored_space(env), pick(env.observation_space, stored, obs))


def unpack(env: Env, kept: PyTree) -> PyTree:
    """The inverse of `pack`, but for simulators."""

    def leaf_obs(leaf: Leaf, x: Array) -> Array:
        if not in_bits(leaf):
            return x
        bits = jnp.unpackbits(x, axis=-1, count=math.prod(leaf.shape))
        return bits.reshape(-1, *leaf.shape).astype(leaf.dtype)

    return map_leaves(leaf_obs, stored_space(env), kept)
