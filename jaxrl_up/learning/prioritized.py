"""Which rows of the replay to learn from: any, or in proportion to priorities (Schaul et al. 2016, arXiv:1511.05952).

What ranks the rows is `Ranked`, or `()` where they are drawn uniformly; the functions take either. With `Ranked` the
config has `priority_exponent` and `importance_exponent`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrl_up.config import schedule_steps
from jaxrl_up.envs import Env
from jaxrl_up.learning import replay as replay_buffer
from jaxrl_up.learning import sum_tree
from jaxrl_up.learning.replay import Replay, Transitions
from jaxrl_up.learning.sum_tree import Priorities
from jaxrl_up.types import Array, Key, PyTree

SMALLEST = 1e-30  # a priority above 0, which would mean that a row must not be learned from


class Ranked(NamedTuple):
    """Prioritised replay."""

    tree: Priorities  # one row for each transition, row * num_envs + environment
    highest: Array  # priority of transitions that were never learned from


def capacity(config: Any) -> int:
    """Transitions that the replay holds: whole rows of all environments."""
    return config.buffer_size // config.num_envs * config.num_envs


def init_priorities(config: Any) -> Ranked:
    """No row may be drawn yet."""
    return Ranked(sum_tree.init(capacity(config)), jnp.float32(1.0))


def draw_index(config: Any, priorities: PyTree, key: Key, shape: tuple[int, ...]) -> Array:
    """Randomness for batches of `shape`: bits `[*shape, N]`, or numbers `[*shape, levels, N]`."""
    if not isinstance(priorities, Ranked):
        return jax.random.bits(key, (*shape, config.batch_size), jnp.uint32)
    return jax.random.uniform(key, (*shape, sum_tree.num_levels(capacity(config)), config.batch_size), jnp.float32)


def draw(config: Any, env: Env, replay: Replay, priorities: PyTree, time: Array, drawn: Array) -> Transitions:
    """A batch: uniform, or by priority with importance weights (Schaul et al. 2016, algorithm 1, lines 9 and 10)."""
    if not isinstance(priorities, Ranked):
        return replay_buffer.sample(env, replay, time, drawn, config.gamma, config.n_step)
    index, probability = sum_tree.sample(priorities.tree, drawn)
    batch = replay_buffer.at(env, replay, index, config.gamma, config.n_step)
    progress = jnp.minimum((time * config.num_envs).astype(jnp.float32) / schedule_steps(config), 1.0)
    beta = config.importance_exponent + progress * (1.0 - config.importance_exponent)
    return batch._replace(weight=batch.weight * sum_tree.importance_weights(probability, beta))


def rank_new(config: Any, priorities: PyTree, time: Array) -> PyTree:
    """After writing row `time`: it may not be drawn yet, but the one whose window it completes may."""
    if not isinstance(priorities, Ranked):
        return priorities
    num_envs, rows = config.num_envs, config.buffer_size // config.num_envs
    written, complete = time % rows, (time - config.n_step) % rows
    columns = jnp.arange(num_envs, dtype=jnp.int32)
    index = jnp.concatenate([written * num_envs + columns, complete * num_envs + columns])
    value = jnp.where(time >= config.n_step, priorities.highest, 0.0)
    values = jnp.concatenate([jnp.zeros(num_envs, jnp.float32), jnp.broadcast_to(value, (num_envs,))])
    return priorities._replace(tree=sum_tree.set(priorities.tree, index, values))


def rank(config: Any, priorities: PyTree, batch: Transitions, error: Array | None) -> PyTree:
    """p = (|error| + 1e-6)^alpha (eq. 1, section 3.3); a row that must not be learned from gets 0."""
    if not isinstance(priorities, Ranked):
        return priorities
    assert error is not None
    priority = (jnp.abs(error) + 1e-6) ** config.priority_exponent
    priority = jnp.where(jnp.isfinite(priority), priority, priorities.highest)  # a failed seed goes on drawing
    priority = jnp.maximum(priority, SMALLEST)
    tree = sum_tree.set(priorities.tree, batch.index, jnp.where(batch.weight > 0, priority, 0.0))
    return Ranked(tree, jnp.maximum(priorities.highest, jnp.max(priority)))
