"""Exploration: schedules and noise, drawn ahead for a whole rollout, so that the loop only reads it.

`acting_noise` of an algorithm (see `off_policy.OffPolicy`) is one of the functions here that draw for T steps of B
environments. Noise that lasts is a recurrence from step to step, `coloured`; what it remembers begins anew with each
episode.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxrl_up import ops
from jaxrl_up.config import schedule_steps
from jaxrl_up.envs import Env, mask_space
from jaxrl_up.learning.networks import action_dims, sampling_noise
from jaxrl_up.types import Array, Key, PyTree

COLOURS = {"white": (), "ou": (7,), "pink": tuple(2**k for k in range(10))}  # time constants, steps


def epsilon(config: Any, env_steps: Array) -> Array:
    """The linear schedule from `epsilon_start` to `epsilon_end`, and flat from there on."""
    span = jnp.maximum(config.exploration_fraction * schedule_steps(config), 1.0)
    done = jnp.minimum(env_steps / span, 1.0)
    return config.epsilon_start + done * (config.epsilon_end - config.epsilon_start)


def greedy_noise(config: Any, env: Env, key: Key, shape: tuple[int, ...]) -> tuple[Array, Array, Array]:
    """What `epsilon_greedy` draws: a coin in [0, 1), an action, and a number per action to break ties."""
    coin_key, action_key, tie_key = jax.random.split(key, 3)
    coin = jax.random.uniform(coin_key, shape, jnp.float32)
    tie = jax.random.uniform(tie_key, (*shape, action_dims(env.action_space)), jnp.float32)
    return coin, any_action(env, action_key, shape), tie


def any_action(env: Env, key: Key, shape: tuple[int, ...]) -> Array:
    """What `allowed` makes actions of: actions, each as likely, or numbers in [0, 1) where observations have a mask."""
    if mask_space(env.observation_space) is not None:
        return jax.random.uniform(key, shape, jnp.float32)
    return jax.random.randint(key, shape, 0, action_dims(env.action_space), jnp.int32)


def allowed(drawn: Array, mask: Array | None) -> Array:
    """Actions of those allowed, each as likely, from `any_action`."""
    return drawn if mask is None else ops.action_from_uniform(drawn, mask)


def epsilon_greedy(
    q_values: Array, epsilon: Array, noise: tuple[Array, Array, Array], mask: Array | None = None
) -> Array:
    """A draw from `ops.EpsilonGreedy`: any action with probability epsilon, else a best one, ties at random."""
    coin, drawn, tie = noise
    best = q_values == ops.masked_max(q_values, mask, keepdims=True)
    if mask is not None:
        best &= ops.allowed_actions(mask)
    greedy = jnp.argmax(jnp.where(best, 1.0 + tie, 0.0), axis=-1).astype(jnp.int32)
    return jnp.where(coin < epsilon, allowed(drawn, mask), greedy)


def random_first(config: Any, env_steps: Array, uniform: Array, action: Callable[[], Array]) -> Array:
    """Uniform actions for `random_steps`, then `action()`: a branch, under vmap over seeds too."""
    if config.random_steps == 0:
        return action()
    return jax.lax.cond(env_steps < config.random_steps, lambda: uniform, action)


def initial_noise(config: Any, env: Env, key: Key) -> PyTree:
    """What the noise of an episode remembers at first `[K, D]`, of its stationary distribution; of white noise nothing.

    `ou` is an Ornstein-Uhlenbeck process with a time constant of 7 steps, as in Lillicrap et al. 2016. `pink` is the
    sum of ten with time constants of 1, 2, 4, ... 512 steps, whose spectrum falls as 1/f between them (Eberhard et al.
    2023 explore with pink noise).
    """
    number = len(COLOURS[config.exploration_noise])
    if number == 0:
        return ()
    return jax.random.normal(key, (number, action_dims(env.action_space)), jnp.float32)


def normals(config: Any, env: Env, key: Key, shape: tuple[int, ...]) -> Array:
    """What `coloured` goes on by: standard normal numbers `[*shape, D]`, of noise that remembers `[*shape, K, D]`."""
    number = len(COLOURS[config.exploration_noise])
    return jax.random.normal(key, (*shape, *([number] if number else []), action_dims(env.action_space)), jnp.float32)


def action_noise(config: Any, env: Env, key: Key, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """What T steps of B environments draw, `shape (T, B)`: `normals`, and uniform actions `[T, B, D]` in [-1, 1]."""
    uniform_key, normal_key = jax.random.split(key)
    size = action_dims(env.action_space)
    uniform = jax.random.uniform(uniform_key, (*shape, size), jnp.float32, -1.0, 1.0)
    return normals(config, env, normal_key, shape), uniform


def coloured(config: Any, memory: PyTree, drawn: Array) -> tuple[Array, PyTree]:
    """The noise `[..., D]` of a step, of unit variance, and what it remembers `[..., K, D]`, from `normals`."""
    taus = COLOURS[config.exploration_noise]
    if not taus:
        return drawn, memory
    if not isinstance(memory, jax.Array):
        raise ValueError(
            f"exploration_noise={config.exploration_noise!r} remembers: act with the memory that `initial_memory` gives"
        )
    decay = jnp.exp(-1.0 / jnp.asarray(taus, jnp.float32))[:, None]
    decay = jnp.broadcast_to(decay, drawn.shape)
    memory = decay * memory + jnp.sqrt(1.0 - decay**2) * drawn
    return jnp.sum(memory, axis=-2) / math.sqrt(len(taus)), memory


def categorical_noise(config: Any, env: Env, key: Key, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """What a categorical policy samples with, Gumbel `[T, B, A]`, and `any_action` `[T, B]`."""
    gumbel_key, uniform_key = jax.random.split(key)
    return sampling_noise(env.action_space, gumbel_key, shape), any_action(env, uniform_key, shape)


def normal_noise(config: Any, env: Env, key: Key, shape: tuple[int, ...]) -> Array:
    """Standard normal numbers `[*shape, D]`, one for each dimension of the actions."""
    return jax.random.normal(key, (*shape, action_dims(env.action_space)), jnp.float32)
