"""Positions that a search was made from, and what came of them: a ring of rows to learn from.

Each of B environments fills a column, T rows at a time. A row is an observation without its simulator, masks and binary
parts in bits, the search's weights, how it came out, and whether it counts.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl_up import ops
from jaxrl_up.envs import Env, symmetries
from jaxrl_up.learning import replay
from jaxrl_up.learning.rollout import Rows
from jaxrl_up.types import Array, Key, PyTree


class Positions(NamedTuple):
    """Rows `[..., ]` to learn from: `[T, B]` of a rollout, `[R, B]` in the ring, `[N]` drawn."""

    obs: PyTree  # in the ring packed, see `replay.pack`
    weights: Array  # float32 [..., A], what the policy is fitted to
    outcome: Array  # float32 [...], what the value is fitted to
    counts: Array  # float32 [...], 1, or 0 for a row that is not learned from


def outcomes(rows: Rows, next_value: Array, discount: Array | float) -> Array:
    """How each row `[T, B]` came out, in the view of who acted there.

    z_t = r_t + d z_{t+1}, and z_t = r_t at the end of a game; d is `discount`, gamma, and -gamma where what follows is
    the other player's. Where a time limit or the end of the rollout cuts it, z_t = r_t + d `next_value_t`, the value of
    the state that was reached.
    """
    going = 1.0 - (rows.terminated | rows.truncated).astype(jnp.float32)
    discounts = discount * (1.0 - rows.terminated.astype(jnp.float32))
    return ops.discounted_returns(rows.reward, discounts, going, next_value)


def ring_rows(capacity: int, num_envs: int, length: int) -> int:
    """Rows of a ring that holds at most `capacity` positions: whole rollouts of `length` rows, and one at least."""
    return max(capacity // (num_envs * length), 1) * length


def empty(env: Env, rows: int, num_envs: int, actions: int) -> Positions:
    """A ring without positions `[R, B, ...]`."""
    kept = replay.init(env, rows * num_envs, num_envs).obs
    return Positions(
        jax.tree.map(lambda x: x[:rows], kept),
        jnp.zeros((rows, num_envs, actions), jnp.float32),
        jnp.zeros((rows, num_envs), jnp.float32),
        jnp.zeros((rows, num_envs), jnp.float32),
    )


def write(env: Env, ring: Positions, time: Array, new: Positions) -> Positions:
    """The ring with the rows `[T, B, ...]` of rollout number `time`, counted from 0, over its oldest ones."""
    rows, length = ring.outcome.shape[0], new.outcome.shape[0]
    packed = jax.vmap(lambda obs: replay.pack(env, obs))(new.obs)
    place = time % (rows // length) * length

    def into(kept: Array, x: Array) -> Array:
        return jax.lax.dynamic_update_slice_in_dim(kept, x.astype(kept.dtype), place, 0)

    return jax.tree.map(into, ring, new._replace(obs=packed))


def draw(env: Env, ring: Positions, rollouts: Array, length: int, bits: Array) -> Positions:
    """Positions `[N, ...]`, each of those written as likely, by random `bits` uint32 `[N]`, after so many rollouts."""
    rows, num_envs = ring.outcome.shape
    written = jnp.minimum(rollouts * length, rows) * num_envs
    index = replay.below(bits, written.astype(jnp.uint32)).astype(jnp.int32)
    found = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[index], ring)
    return found._replace(obs=replay.unpack(env, found.obs))


def draw_symmetries(env: Env, key: Key, shape: tuple[int, ...]) -> Array | None:
    """Which of a game's symmetries to learn positions by, int32 of `shape`; None where there is the identity alone."""
    number = len(symmetries(env).cells)
    return None if number == 1 else jax.random.randint(key, shape, 0, number, jnp.int32)


def turned(env: Env, batch: Positions, which: Array) -> Positions:
    """Positions `[N]` each turned or mirrored by the symmetry `which [N]` of `envs.symmetries`, weights with them."""
    cells, actions = (jnp.asarray(part)[which] for part in symmetries(env))
    board = batch.obs["board"]
    flat = board.reshape(*cells.shape, board.shape[-1])
    obs = {**batch.obs, "board": jnp.take_along_axis(flat, cells[..., None], axis=1).reshape(board.shape)}
    if "mask" in obs:
        obs["mask"] = jnp.take_along_axis(obs["mask"], actions, axis=1)
    return batch._replace(obs=obs, weights=jnp.take_along_axis(batch.weights, actions, axis=1))
