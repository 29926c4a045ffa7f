"""What the off-policy algorithms share: acting into a replay, and learning from it every so often.

One update is `rollout_length` steps of `num_envs` environments. After every `train_every` of them come
`gradient_steps` gradient steps on batches from the replay, so each environment step is learned from
`gradient_steps * batch_size / (train_every * num_envs)` times. Before `learning_starts` environment steps none is
made: how often the loop runs depends on counters alone, so under vmap over seeds it is skipped and not masked.
What acts, and what a gradient step is, is in `algorithms/`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxrl_up.config import as_key
from jaxrl_up.envs import Env, pick
from jaxrl_up.envs import acting as seen_acting
from jaxrl_up.learning import optimisation
from jaxrl_up.learning import replay as replay_buffer
from jaxrl_up.learning.networks import NetworkFields
from jaxrl_up.learning.prioritized import draw, draw_index, rank, rank_new
from jaxrl_up.learning.replay import Replay, Transitions
from jaxrl_up.learning.rollout import (
    InitialMemory,
    Interaction,
    draw_ahead,
    env_step,
    no_episodes,
    no_memory,
    start,
    training_env,
)
from jaxrl_up.learning.rollout import steps_per_update as steps_per_update
from jaxrl_up.types import Array, Counters, Key, Mean, Metrics, PyTree, means, static, traced


@dataclasses.dataclass(frozen=True)
class ReplayFields(NetworkFields):
    """How often is learned, and from what."""

    rollout_length: int = static(64, low=1)
    """steps per environment and update; learning happens between them"""
    train_every: int = static(1, low=1)
    """steps per environment between gradient steps; must divide rollout_length"""
    gradient_steps: int = static(1, low=1)
    """gradient steps at a time"""
    batch_size: int = static(128, low=1)
    """transitions per gradient step"""
    buffer_size: int = static(100_000, low=2)
    """transitions kept for replay"""
    learning_starts: int = static(1_000, low=0)
    """environment steps before the first gradient step"""
    gamma: float = traced(0.99, 0.0, 1.0)
    """discount per step"""
    max_grad_norm: float | None = traced(None, 0.0)
    """clip the norm of each network's gradient to this"""
    activation: str = static("relu", choices=("tanh", "relu", "elu", "gelu", "silu"))
    """nonlinearity"""
    initializer: str = static("torch", choices=("orthogonal", "torch", "flax"))
    """initial weights"""


@dataclasses.dataclass(frozen=True)
class Fields(ReplayFields):
    """With what is summed up for targets."""

    n_step: int = static(1, low=1)
    """rewards summed before bootstrapping"""


class Learner(NamedTuple):
    """All that is learned: restored to its last finite value when a seed fails."""

    params: PyTree  # by part, as "actor" and "critic"
    target_params: PyTree  # by part, of those that have a target network
    opt_state: PyTree  # by part, an optimiser's

    @property
    def acting(self) -> PyTree:
        """What `act` needs of it."""
        return self.params["actor"]


Loss = tuple[Array, Any]
"""What a loss of (config, env, params, target_params, batch, noise) gives: a number, and what else comes of it: what is
reported, by name, and of Q-learning with it the errors [N] for priorities."""
# after a gradient step: losses, a `Mean` where one is not of every step, and errors [N] for priorities
Learned = tuple[Any, dict[str, Array | Mean], Array | None]


def adam(config: Any) -> optax.GradientTransformation:
    """Adam without its step size; each part of the parameters has a state of its own."""
    return optax.scale_by_adam()


class OffPolicy(NamedTuple):
    """What an off-policy algorithm brings, each a pure function of its module; T steps, B environments, N transitions.

    `env` is the environment as users know it, while actions are those of `training_env`: continuous ones in [-1, 1].
    """

    networks: tuple[Callable[[Any, Env], Any], ...]
    """(config, env) -> a network, whose `init(key)` gives its parameters by part"""
    targets: tuple[str, ...]
    """the parts that have a target network"""
    learn: Callable[..., Learned]
    """(config, env, learner, batch `[N]`, noise, step) -> (learner, losses, error `[N]` or None): gradient step number
    `step`, counted from 0; the errors rank the rows of a prioritised replay"""
    explore: Callable[..., tuple[PyTree, PyTree]]
    """(config, env, learner, obs `[B, *shape]`, memory `[B, ...]`, noise, env_steps) -> actions `[B, ...]` that
    training acts with, and the memory after them"""
    acting_noise: Callable[..., PyTree]
    """(config, env, key, (T, B)) -> noise `[T, B, ...]`: what `explore` gets of T steps at once; see `exploration`"""
    learning_noise: Callable[..., PyTree] = lambda config, env, key, shape: ()
    """(config, env, key, shape) -> noise `[*shape, ...]`, where the last axis of shape is N: what `learn` draws"""
    initial_memory: Callable[..., PyTree] | None = None
    """(config, env, key) -> what `explore` remembers at the beginning of an episode: `Algorithm.initial_memory`"""
    init_priorities: Callable[[Any], PyTree] = lambda config: ()
    """config -> what ranks the rows of the replay; nothing where batches are drawn uniformly"""
    optimizer: Callable[[Any], optax.GradientTransformation] = adam
    """config -> what each part of the parameters is stepped by; see `descend`"""
    learner: type[Learner] = Learner

    def init(self, config: Any, env: Env, key: Key) -> State:
        """Random networks, targets like them, an empty replay and fresh environments: `Algorithm.init`."""
        return init(config, env, key, self)

    def update(self, config: Any, env: Env, state: State) -> tuple[State, Metrics]:
        """Act for `rollout_length` steps and learn between them: `Algorithm.update`."""
        return update(config, env, state, self)


class State(NamedTuple):
    """The state of an off-policy run: arrays only."""

    learner: Learner
    replay: Replay
    interaction: Interaction
    priorities: PyTree  # of the replay's rows: `Ranked`, or nothing where they are drawn uniformly
    key: Key
    counters: Counters

    @property
    def policy(self) -> PyTree:
        """What acts: see `Learner`."""
        return self.learner.acting

    @property
    def experience(self) -> PyTree:
        """What is kept to learn from."""
        return self.replay, self.priorities


def init(config: Any, env: Env, key: Key, brought: OffPolicy) -> State:
    """Networks with random weights, targets with the same, an empty replay and fresh environments.

    The key is split into one for each network, one for memories where `explore` may have them, and one for the rest.
    Raises `ValueError` for fields that do not fit one another.
    """
    if config.rollout_length % config.train_every:
        raise ValueError(
            f"train_every={config.train_every} does not divide rollout_length={config.rollout_length}; choose a divisor"
        )
    needed = (first_rows(config) + 1) * config.num_envs
    if config.buffer_size < needed:
        reason = "learning_starts" if first_rows(config) > config.n_step + 1 else "n_step"
        raise ValueError(f"buffer_size={config.buffer_size} must be at least {needed} for this {reason} and num_envs")
    networks, may_remember = [network(config, env) for network in brought.networks], brought.initial_memory is not None
    *keys, rest = jax.random.split(as_key(key), len(networks) + may_remember + 1)
    params = {part: x for network, key in zip(networks, keys, strict=False) for part, x in network.init(key).items()}
    targets = {part: params[part] for part in brought.targets}
    opt_state = {part: brought.optimizer(config).init(params[part]) for part in params}
    env_key, state_key = jax.random.split(rest)
    return State(
        brought.learner(params, targets, opt_state),
        replay_buffer.init(training_env(env), config.buffer_size, config.num_envs),
        start(env, config.num_envs, env_key, _memory(config, env, brought), keys[-1]),
        brought.init_priorities(config),
        state_key,
        Counters(jnp.int32(0), jnp.int32(0)),
    )


def _memory(config: Any, env: Env, brought: OffPolicy) -> InitialMemory:
    return no_memory if brought.initial_memory is None else partial(brought.initial_memory, config, env)


def first_rows(config: Any) -> int:
    """Rows written before the first batch is drawn."""
    return max(-(-config.learning_starts // config.num_envs), config.n_step + 1)


def first_phase(config: Any) -> int:
    """The first phase of `train_every` steps, counted from 0, that gradient steps follow."""
    return -(-first_rows(config) // config.train_every) - 1


def gradient_steps_done(config: Any, time: Array) -> Array:
    """Gradient steps made after `time` steps of each environment."""
    return jnp.maximum(time // config.train_every - first_phase(config), 0) * config.gradient_steps


def update(config: Any, env: Env, state: State, brought: OffPolicy) -> tuple[State, Metrics]:
    """Act for `rollout_length` steps and learn between them.

    The losses that come back are over the gradient steps that were made, of which there are none before
    `learning_starts`.
    """
    key, env_key, noise_key, index_key, learn_key = jax.random.split(state.key, 5)
    world = training_env(env)
    phases, steps, learns = config.rollout_length // config.train_every, config.train_every, config.gradient_steps

    # randomness for the whole update, drawn as a few large operations
    initial_memory = _memory(config, env, brought)
    ahead = draw_ahead(world, env_key, (phases, steps, config.num_envs), initial_memory)
    noises = brought.acting_noise(config, env, noise_key, (config.rollout_length, config.num_envs))
    noises = jax.tree.map(lambda x: x.reshape(phases, steps, *x.shape[1:]), noises)
    bits = draw_index(config, state.priorities, index_key, (phases, learns))
    learning_noises = brought.learning_noise(config, env, learn_key, (phases, learns, config.batch_size))

    def act(carry: Any, rows: Any) -> Any:
        learner, replay, priorities, interaction, sums, time = carry
        ahead, noise = rows
        obs = interaction.obs
        shown = pick(env.observation_space, seen_acting, obs)
        action, memory = brought.explore(config, env, learner, shown, interaction.memory, noise, time * config.num_envs)
        interaction = interaction._replace(memory=memory)
        interaction, step, sums = env_step(world, interaction, action, ahead, sums, initial_memory)
        replay = replay_buffer.add(world, replay, time, obs, action, step)
        priorities = rank_new(config, priorities, time)
        return (learner, replay, priorities, interaction, sums, time + 1), None

    def act_only(p: Array, carry: Any) -> Any:
        return jax.lax.scan(act, carry, _row((ahead, noises), p))[0]

    def act_and_learn(p: Array, carry: Any) -> Any:
        acting, losses = carry
        learner, replay, priorities, interaction, sums, time = act_only(p, acting)
        done = gradient_steps_done(config, time)

        def gradient_step(i: Array, carry: tuple[Learner, PyTree, dict[str, Array | Mean]]) -> Any:
            learner, priorities, losses = carry
            batch = draw(config, world, replay, priorities, time, bits[p, i])
            step = (done - learns + i).astype(jnp.int32)
            learner, new, error = brought.learn(config, env, learner, batch, _row(learning_noises, (p, i)), step)
            return learner, rank(config, priorities, batch, error), jax.tree.map(jnp.add, losses, new)

        carry = learner, priorities, losses
        learner, priorities, losses = jax.lax.fori_loop(0, learns, gradient_step, carry)
        return (learner, replay, priorities, interaction, sums, time), losses

    time = state.counters.env_steps // config.num_envs
    made_before = gradient_steps_done(config, time)

    def first_losses() -> dict[str, Array | Mean]:
        batch = draw(config, world, state.replay, state.priorities, time, bits[0, 0])
        return brought.learn(config, env, state.learner, batch, _row(learning_noises, (0, 0)), time)[1]

    # the phases after which nothing is learned yet; counters decide, so under vmap both loops stay loops
    idle = jnp.clip(first_phase(config) - time // steps, 0, phases)
    acting = (state.learner, state.replay, state.priorities, state.interaction, no_episodes(), time)
    acting = jax.lax.fori_loop(0, idle, act_only, acting)
    acting, losses = jax.lax.fori_loop(idle, phases, act_and_learn, (acting, _zeros(first_losses)))
    learner, replay, priorities, interaction, sums, time = acting
    losses = means(losses, gradient_steps_done(config, time) - made_before)
    counters = Counters(state.counters.updates + 1, state.counters.env_steps + steps_per_update(config))
    return State(learner, replay, interaction, priorities, key, counters), Metrics(losses, *sums)


def _zeros(function: Callable[[], PyTree]) -> PyTree:
    return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(function))


def _row(tree: PyTree, index: Any) -> PyTree:
    return jax.tree.map(lambda x: x[index], tree)


def descend(
    part: str,
    loss: Callable[..., Loss],
    rate: Array | float,
    config: Any,
    env: Env,
    learner: Learner,
    batch: Transitions,
    noise: PyTree,
    optimizer: Callable[[Any], optax.GradientTransformation] = adam,
) -> tuple[Any, Any]:
    """One step of size `rate` for a part of the learner, down the gradient of its loss; see `Loss`.

    Returns the learner after the step, and what the loss returned beside the number before it.
    """

    def of_part(x: PyTree) -> Loss:
        return loss(config, env, {**learner.params, part: x}, learner.target_params, batch, noise)

    gradient, more = jax.grad(of_part, has_aux=True)(learner.params[part])
    step = optimizer(config)
    return optimisation.descend(learner, {part: gradient}, {part: rate}, step, config.max_grad_norm), more


def track(learner: Any, rate: Array | float) -> Any:
    """The learner after its targets moved to the online networks: theta' <- rate theta + (1 - rate) theta'."""
    params = {part: learner.params[part] for part in learner.target_params}
    return learner._replace(target_params=optimisation.track(params, learner.target_params, rate))


def stopped(target: Array, weight: Array) -> Array:
    """Targets `[N, ...]` without their gradient; 0 for a row of weight `[N]` 0, whose successor must not be read."""
    counts = weight.reshape(-1, *[1] * (target.ndim - 1)) != 0
    return jax.lax.stop_gradient(jnp.where(counts, target, 0.0))
