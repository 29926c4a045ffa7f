"""Distributions over plans, which a search draws candidates from and refits to the better ones.

Plans are in unit actions (`envs.unit_space`): `[H, D]` numbers in [-1, 1], or `[H]` whole ones. Shapes: H horizon, N
samples, D dimensions of an action, n discrete actions.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrl_up.envs import Box, Discrete, Env, mask_space, unit_space
from jaxrl_up.learning.exploration import COLOURS
from jaxrl_up.types import Array, Key


class Gaussian(NamedTuple):
    """Independent normal numbers, clipped to the bounds, which may be correlated over time (`plan_noise`)."""

    mean: Array  # [H, D]
    std: Array  # [H, D]

    def draw(self, config: Any, key: Key, number: int) -> Array:
        """`number` plans `[N, H, D]`."""
        noise = coloured_plans(config.plan_noise, key, (number, *self.mean.shape))
        return jnp.clip(self.mean[None] + self.std[None] * noise, -1.0, 1.0)

    def any(self, key: Key, number: int) -> Array:
        """`number` plans `[N, H, D]`, each as likely as another."""
        return jax.random.uniform(key, (number, *self.mean.shape), jnp.float32, -1.0, 1.0)

    def mode(self) -> Array:
        """The plan `[H, D]` in the middle."""
        return self.mean

    def refit(self, config: Any, plans: Array, weight: Array) -> Gaussian:
        """The distribution of plans `[N, H, D]` weighted `[N]`, whose sum is 1; `smoothing` of the old one stays.

        The standard deviation follows only where the method narrows it, as the cross-entropy method does.
        """
        mean = jnp.einsum("n,nhd->hd", weight, plans)
        std = jnp.sqrt(jnp.einsum("n,nhd->hd", weight, jnp.square(plans - mean[None])))
        keep = config.smoothing
        return Gaussian(
            keep * self.mean + (1.0 - keep) * mean,
            keep * self.std + (1.0 - keep) * std if config.method == "cem" else self.std,
        )

    def shifted(self, config: Any, fresh: Gaussian, plan: Array) -> Gaussian:
        """What to begin with at the next step: the plan acted on `[H, D]` one step on, and spread afresh."""
        return Gaussian(jnp.concatenate([plan[1:], fresh.mean[-1:]]), fresh.std)


class Categorical(NamedTuple):
    """Independent choices among n actions, one for each step."""

    probs: Array  # [H, n]

    def draw(self, config: Any, key: Key, number: int) -> Array:
        """`number` plans, int32 `[N, H]`."""
        logits = jnp.log(jnp.maximum(self.probs, 1e-12))
        return jax.random.categorical(key, logits, shape=(number, self.probs.shape[0])).astype(jnp.int32)

    def any(self, key: Key, number: int) -> Array:
        """`number` plans `[N, H]`, each as likely as another."""
        return jax.random.randint(key, (number, self.probs.shape[0]), 0, self.probs.shape[1], jnp.int32)

    def mode(self) -> Array:
        """The most probable plan, int32 `[H]`."""
        return jnp.argmax(self.probs, axis=-1).astype(jnp.int32)

    def refit(self, config: Any, plans: Array, weight: Array) -> Categorical:
        """How often plans `[N, H]`, weighted `[N]`, choose each action; `smoothing` of the old probabilities stays."""
        chosen = jax.nn.one_hot(plans, self.probs.shape[1], dtype=jnp.float32)
        keep = config.smoothing
        return Categorical(keep * self.probs + (1.0 - keep) * jnp.einsum("n,nha->ha", weight, chosen))

    def shifted(self, config: Any, fresh: Categorical, plan: Array) -> Categorical:
        """What to begin with at the next step: half a fresh one, so that no action is left out for good, and half what
        was acted on one step on, the plan `[H]` or, for the mean, the probabilities."""
        known = self.probs if config.act_on == "mean" else jax.nn.one_hot(plan, self.probs.shape[1], dtype=jnp.float32)
        ahead = jnp.concatenate([known[1:], fresh.probs[-1:]])
        return Categorical(0.5 * ahead + 0.5 * fresh.probs)


def initial_proposal(config: Any, env: Env) -> Gaussian | Categorical:
    """What plans are drawn from where nothing is known: around the middle of the bounds, or all alike.

    Raises `ValueError` for an action space that is neither a bounded Box nor Discrete, and for one with a mask: what is
    allowed later on a plan would have to be known before.
    """
    space = unit_space(env.action_space)
    if mask_space(env.observation_space) is not None:
        raise ValueError(f"plans may hold any action, {env.name} has a mask of those that are allowed")
    if isinstance(space, Discrete):
        return Categorical(jnp.full((config.horizon, space.n), 1.0 / space.n, jnp.float32))
    if isinstance(space, Box) and not space.bounded:
        raise ValueError(
            f"{env.name} has the action space {env.action_space}: give every dimension finite bounds, "
            "which plans are drawn within"
        )
    if not isinstance(space, Box):
        raise ValueError(f"plans are made of Discrete or Box actions, {env.name} has the action space {space}")
    shape = (config.horizon, math.prod(space.shape))
    return Gaussian(jnp.zeros(shape, jnp.float32), jnp.full(shape, config.spread, jnp.float32))


def coloured_plans(colour: str, key: Key, shape: tuple[int, ...]) -> Array:
    """Noise `[N, H, D]` of unit variance, of a colour of `exploration.COLOURS` along H; each plan's is stationary."""
    taus = COLOURS[colour]
    if not taus:
        return jax.random.normal(key, shape, jnp.float32)
    number, horizon, size = shape
    decay = jnp.exp(-1.0 / jnp.asarray(taus, jnp.float32))[None, :, None]
    first_key, next_key = jax.random.split(key)
    first = jax.random.normal(first_key, (number, len(taus), size), jnp.float32)
    drawn = jax.random.normal(next_key, (horizon, number, len(taus), size), jnp.float32)

    def step(memory: Array, normal: Array) -> tuple[Array, Array]:
        return decay * memory + jnp.sqrt(1.0 - decay**2) * normal, jnp.sum(memory, axis=1) / math.sqrt(len(taus))

    return jnp.moveaxis(jax.lax.scan(step, first, drawn)[1], 0, 1)
