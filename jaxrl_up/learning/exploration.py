"""Exploration: schedules and noise, drawn ahead for a whole rollout, so that the loop only reads it.

`acting_noise` of an algorithm (see `off_policy.OffPolicy`) is one of the functions here that take the memory of the
noise, the state's `noise`, and give the noise of T steps of B environments and the memory after them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxrl_up.config import schedule_steps
from jaxrl_up.envs import Env
from jaxrl_up.learning.networks import action_dims, sampling_noise
from jaxrl_up.types import Array, Key, PyTree

COLOURS = {"white": (), "ou": (7,), "pink": tuple(2**k for k in range(10))}  # time constants, steps


def epsilon(config: Any, env_steps: Array) -> Array:
    """The linear schedule from `epsilon_start` to `epsilon_end`, and flat from there on."""
    span = jnp.maximum(config.exploration_fraction * schedule_steps(config), 1.0)
    done = jnp.minimum(env_steps / span, 1.0)
    return config.epsilon_start + done * (config.epsilon_end - config.epsilon_start)


def greedy_noise(
    config: Any, env: Env, memory: PyTree, key: Key, shape: tuple[int, ...]
) -> tuple[tuple[Array, Array, Array], PyTree]:
    """What `epsilon_greedy` draws: a coin in [0, 1), an action, and a number per action to break ties."""
    coin_key, action_key, tie_key = jax.random.split(key, 3)
    number = action_dims(env.action_space)
    action = jax.random.randint(action_key, shape, 0, number, jnp.int32)
    coin = jax.random.uniform(coin_key, shape, jnp.float32)
    return (coin, action, jax.random.uniform(tie_key, (*shape, number), jnp.float32)), memory


def epsilon_greedy(q_values: Array, epsilon: Array, noise: tuple[Array, Array, Array]) -> Array:
    """A draw from `ops.EpsilonGreedy`: any action with probability epsilon, else a best one, ties at random."""
    coin, action, tie = noise
    best = q_values == jnp.max(q_values, axis=-1, keepdims=True)
    greedy = jnp.argmax(jnp.where(best, 1.0 + tie, 0.0), axis=-1).astype(jnp.int32)
    return jnp.where(coin < epsilon, action, greedy)


def random_first(config: Any, env_steps: Array, uniform: Array, action: Callable[[], Array]) -> Array:
    """Uniform actions for `random_steps`, then `action()`: a branch, under vmap over seeds too."""
    if config.random_steps == 0:
        return action()
    return jax.lax.cond(env_steps < config.random_steps, lambda: uniform, action)


def init_noise(config: Any, env: Env, key: Key) -> PyTree:
    """The memory of `action_noise` `[K, B, D]`, drawn from its stationary distribution; nothing for white noise."""
    number = len(COLOURS[config.exploration_noise])
    if number == 0:
        return ()
    return jax.random.normal(key, (number, config.num_envs, action_dims(env.action_space)), jnp.float32)


def action_noise(config: Any, env: Env, memory: PyTree, key: Key, shape: tuple[int, ...]) -> tuple[PyTree, PyTree]:
    """Noise of `shape (T, B)`: standard normal `[T, B, D]` of the chosen colour, and uniform actions `[T, B, D]`.

    `white` is independent from step to step. `ou` is an Ornstein-Uhlenbeck process with a time constant of 7 steps, as
    in Lillicrap et al. 2016. `pink` is the sum of ten with time constants of 1, 2, 4, ... 512 steps, whose spectrum
    falls as 1/f between them (Eberhard et al. 2023 explore with pink noise). Each has unit variance and goes on from
    update to update.
    """
    uniform_key, normal_key = jax.random.split(key)
    size = action_dims(env.action_space)
    uniform = jax.random.uniform(uniform_key, (*shape, size), jnp.float32, -1.0, 1.0)
    taus = COLOURS[config.exploration_noise]
    if not taus:
        return (jax.random.normal(normal_key, (*shape, size), jnp.float32), uniform), memory
    decay = jnp.exp(-1.0 / jnp.asarray(taus, jnp.float32))[:, None, None]
    drawn = jax.random.normal(normal_key, (shape[0], *memory.shape), jnp.float32)

    def step(memory: Array, drawn: Array) -> tuple[Array, Array]:
        memory = decay * memory + jnp.sqrt(1.0 - decay**2) * drawn
        return memory, jnp.sum(memory, axis=0) / math.sqrt(len(taus))

    memory, coloured = jax.lax.scan(step, memory, drawn)
    return (coloured, uniform), memory


def categorical_noise(
    config: Any, env: Env, memory: PyTree, key: Key, shape: tuple[int, ...]
) -> tuple[tuple[Array, Array], PyTree]:
    """What a categorical policy samples with, Gumbel `[T, B, A]`, and uniform actions `[T, B]`."""
    gumbel_key, uniform_key = jax.random.split(key)
    uniform = jax.random.randint(uniform_key, shape, 0, action_dims(env.action_space), jnp.int32)
    return (sampling_noise(env.action_space, gumbel_key, shape), uniform), memory


def normal_noise(config: Any, env: Env, key: Key, shape: tuple[int, ...]) -> Array:
    """Standard normal numbers `[*shape, D]`, one for each dimension of the actions."""
    return jax.random.normal(key, (*shape, action_dims(env.action_space)), jnp.float32)
