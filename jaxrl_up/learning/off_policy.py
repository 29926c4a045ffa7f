"""What the off-policy algorithms share: acting into a replay, and learning from it every so often.

One update is `rollout_length` steps of `num_envs` environments. After every `train_every` of them come
`gradient_steps` gradient steps on batches from the replay, so each environment step is learned from
`gradient_steps * batch_size / (train_every * num_envs)` times. Before `learning_starts` environment steps none is
made: how often the loop runs depends on counters alone, so under vmap over seeds it is skipped and not masked.
What acts, and what a gradient step is, is in `algorithms/`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxrl_up.config import schedule_steps
from jaxrl_up.envs import Box, Env, rescale_action, to_bounds
from jaxrl_up.learning import replay as replay_buffer
from jaxrl_up.learning import sum_tree
from jaxrl_up.learning.networks import action_dims
from jaxrl_up.learning.optimisation import descend
from jaxrl_up.learning.replay import Replay, Transitions
from jaxrl_up.learning.rollout import Interaction, draw_ahead, env_step, no_episodes, start
from jaxrl_up.learning.sum_tree import Priorities
from jaxrl_up.types import Array, Counters, Key, Mean, Metrics, PyTree, means

SMALLEST = 1e-30  # a priority above 0, which would mean that a row must not be learned from


class Learner(NamedTuple):
    """All that is learned: restored to its last finite value when a seed fails."""

    params: PyTree
    target_params: PyTree
    opt_state: PyTree


# after a gradient step: losses, a `Mean` where one is not of every step, and errors [N] for priorities
Learned = tuple[Learner, dict[str, Array | Mean], Array | None]


class Ranked(NamedTuple):
    """Prioritised replay."""

    tree: Priorities  # one row for each transition, row * num_envs + environment
    highest: Array  # priority of transitions that were never learned from


class State(NamedTuple):
    """The state of an off-policy run: arrays only."""

    learner: Learner
    replay: Replay
    interaction: Interaction
    priorities: PyTree  # of the replay's rows: `Ranked`, or nothing where they are drawn uniformly
    noise: PyTree  # what exploration noise remembers from step to step; nothing for epsilon-greedy
    key: Key
    counters: Counters

    @property
    def policy(self) -> PyTree:
        return self.learner.params.get("actor", self.learner.params.get("q"))


def training_env(env: Env) -> Env:
    """The environment as networks and replay see it: bounded actions live in [-1, 1]."""
    return rescale_action(env) if isinstance(env.action_space, Box) else env


def init(config: Any, env: Env, key: Key, learner: Learner, noise: PyTree = ()) -> State:
    """An empty replay and fresh environments around a learner."""
    if config.rollout_length % config.train_every:
        raise ValueError(
            f"train_every={config.train_every} does not divide rollout_length={config.rollout_length}; choose a divisor"
        )
    needed = (first_rows(config) + 1) * config.num_envs
    if config.buffer_size < needed:
        reason = "learning_starts" if first_rows(config) > n_step(config) + 1 else "n_step"
        raise ValueError(f"buffer_size={config.buffer_size} must be at least {needed} for this {reason} and num_envs")
    env_key, state_key = jax.random.split(key)
    return State(
        learner,
        replay_buffer.init(training_env(env), config.buffer_size, config.num_envs),
        start(env, config.num_envs, env_key),
        init_priorities(config),
        noise,
        state_key,
        Counters(jnp.int32(0), jnp.int32(0)),
    )


def to_env(action: Array, env: Env) -> Array:
    """Actions from [-1, 1], where the policy has them, in the bounds of the environment."""
    assert isinstance(env.action_space, Box)
    return to_bounds(action, env.action_space)


def random_first(config: Any, env_steps: Array, uniform: Array, action: Callable[[], Array]) -> Array:
    """Uniform actions for `random_steps`, then `action()`: a branch, under vmap over seeds too."""
    if config.random_steps == 0:
        return action()
    return jax.lax.cond(env_steps < config.random_steps, lambda: uniform, action)


def n_step(config: Any) -> int:
    """Rewards summed before bootstrapping; 1 for an algorithm that has no such field."""
    return getattr(config, "n_step", 1)


def first_rows(config: Any) -> int:
    """Rows written before the first batch is drawn."""
    return max(-(-config.learning_starts // config.num_envs), n_step(config) + 1)


def first_phase(config: Any) -> int:
    """The first phase of `train_every` steps, counted from 0, that gradient steps follow."""
    return -(-first_rows(config) // config.train_every) - 1


def gradient_steps_done(config: Any, time: Array) -> Array:
    """Gradient steps made after `time` steps of each environment."""
    return jnp.maximum(time // config.train_every - first_phase(config), 0) * config.gradient_steps


def update(
    config: Any,
    env: Env,
    state: State,
    noise: Callable[[PyTree, Key, tuple[int, ...]], tuple[PyTree, PyTree]],
    explore: Callable[[Learner, Array, PyTree, Array], Array],
    learning_noise: Callable[[Key, tuple[int, ...]], PyTree],
    learn: Callable[[Learner, Transitions, PyTree, Array], Learned],
) -> tuple[State, Metrics]:
    """Act for `rollout_length` steps and learn between them.

    `noise(state.noise, key, (T, B))` draws the exploration noise of all steps at once and says what to remember of
    it; `explore(learner, obs [B, ...], noise, env_steps) -> action [B, ...]` gets one step's. Likewise
    `learning_noise(key, shape)` and `learn(learner, batch, noise, step) -> (learner, losses, error [N] or None)`, which
    is gradient step number `step`, counted from 0. The errors set the priorities of prioritised replay. The losses that
    come back are over the gradient steps that were made, of which there are none before `learning_starts`.
    """
    key, env_key, noise_key, index_key, learn_key = jax.random.split(state.key, 5)
    env = training_env(env)
    phases, steps, learns = config.rollout_length // config.train_every, config.train_every, config.gradient_steps

    # randomness for the whole update, drawn as a few large operations
    ahead = draw_ahead(env, env_key, (phases, steps, config.num_envs))
    noises, noise_state = noise(state.noise, noise_key, (config.rollout_length, config.num_envs))
    noises = jax.tree.map(lambda x: x.reshape(phases, steps, *x.shape[1:]), noises)
    bits = draw_index(config, index_key, (phases, learns))
    learning_noises = learning_noise(learn_key, (phases, learns, config.batch_size))

    def act(carry: Any, rows: Any) -> Any:
        learner, replay, priorities, interaction, sums, time = carry
        ahead, noise = rows
        action = explore(learner, interaction.obs, noise, time * config.num_envs)
        obs = interaction.obs
        interaction, step, sums = env_step(env, interaction, action, ahead, sums)
        replay = replay_buffer.add(
            env, replay, time, obs, action, step.reward, step.next_obs, step.terminated, step.truncated
        )
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
            batch = draw(config, env, replay, priorities, time, bits[p, i])
            learner, new, error = learn(
                learner, batch, _row(learning_noises, (p, i)), (done - learns + i).astype(jnp.int32)
            )
            return learner, rank(config, priorities, batch, error), jax.tree.map(jnp.add, losses, new)

        carry = learner, priorities, losses
        learner, priorities, losses = jax.lax.fori_loop(0, learns, gradient_step, carry)
        return (learner, replay, priorities, interaction, sums, time), losses

    time = state.counters.env_steps // config.num_envs
    made_before = gradient_steps_done(config, time)
    zeros = _zeros(
        lambda: learn(
            state.learner,
            draw(config, env, state.replay, state.priorities, time, bits[0, 0]),
            _row(learning_noises, (0, 0)),
            time,
        )[1]
    )
    # the phases after which nothing is learned yet; counters decide, so under vmap both loops stay loops
    idle = jnp.clip(first_phase(config) - time // steps, 0, phases)
    acting = (state.learner, state.replay, state.priorities, state.interaction, no_episodes(), time)
    acting = jax.lax.fori_loop(0, idle, act_only, acting)
    acting, losses = jax.lax.fori_loop(idle, phases, act_and_learn, (acting, zeros))
    learner, replay, priorities, interaction, sums, time = acting
    losses = means(losses, gradient_steps_done(config, time) - made_before)
    counters = Counters(state.counters.updates + 1, state.counters.env_steps + steps_per_update(config))
    return State(learner, replay, interaction, priorities, noise_state, key, counters), Metrics(losses, *sums)


def _zeros(function: Callable[[], PyTree]) -> PyTree:
    return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(function))


def _row(tree: PyTree, index: Any) -> PyTree:
    return jax.tree.map(lambda x: x[index], tree)


def steps_per_update(config: Any) -> int:
    """Environment steps that one update takes."""
    return config.num_envs * config.rollout_length


def no_noise(key: Key, shape: tuple[int, ...]) -> tuple[()]:
    """For algorithms whose gradient step draws nothing."""
    del key, shape
    return ()


def stopped(target: Array, weight: Array) -> Array:
    """Targets `[N, ...]` without their gradient; 0 for a row of weight `[N]` 0, whose successor must not be read."""
    counts = weight.reshape(-1, *[1] * (target.ndim - 1)) != 0
    return jax.lax.stop_gradient(jnp.where(counts, target, 0.0))


def critics_loss(values: Array, target: Array, weight: Array) -> Array:
    """Mean squared error of critics `[C, N]` to one target `[N]`, each mean weighted `[N]`, summed over critics."""
    target = stopped(target, weight)
    return jnp.sum(jax.vmap(lambda value: jnp.mean(weight * jnp.square(value - target)))(values))


def step_along(
    config: Any, optimizer: optax.GradientTransformation, learner: Learner, gradient: Mapping[str, PyTree]
) -> Learner:
    """Step the parts of the learner in `gradient`, each with its own optimiser state, step size and norm clip."""
    critic_rate = config.learning_rate if config.critic_learning_rate is None else config.critic_learning_rate
    rates = {"actor": config.learning_rate, "critic": critic_rate, "log_alpha": config.learning_rate}
    params, opt_state = descend(optimizer, learner.params, learner.opt_state, gradient, rates, config.max_grad_norm)
    return learner._replace(params=params, opt_state=opt_state)


# -- which rows to learn from


def prioritized(config: Any) -> bool:
    """Whether rows are drawn in proportion to priorities; false for an algorithm that has no such field."""
    return getattr(config, "prioritized", False)


def capacity(config: Any) -> int:
    """Transitions that the replay holds: whole rows of all environments."""
    return config.buffer_size // config.num_envs * config.num_envs


def init_priorities(config: Any) -> PyTree:
    """No row may be drawn yet."""
    if not prioritized(config):
        return ()
    return Ranked(sum_tree.init(capacity(config)), jnp.float32(1.0))


def draw_index(config: Any, key: Key, shape: tuple[int, ...]) -> Array:
    """Randomness for batches of `shape`: bits `[*shape, N]`, or numbers `[*shape, levels, N]`."""
    if not prioritized(config):
        return jax.random.bits(key, (*shape, config.batch_size), jnp.uint32)
    return jax.random.uniform(key, (*shape, sum_tree.num_levels(capacity(config)), config.batch_size), jnp.float32)


def draw(config: Any, env: Env, replay: Replay, priorities: PyTree, time: Array, drawn: Array) -> Transitions:
    """A batch: uniform, or by priority with importance weights (Schaul et al. 2016, algorithm 1, lines 9 and 10)."""
    if not prioritized(config):
        return replay_buffer.sample(env, replay, time, drawn, config.gamma, n_step(config))
    index, probability = sum_tree.sample(priorities.tree, drawn)
    batch = replay_buffer.at(env, replay, index, config.gamma, n_step(config))
    progress = jnp.minimum((time * config.num_envs).astype(jnp.float32) / schedule_steps(config), 1.0)
    beta = config.importance_exponent + progress * (1.0 - config.importance_exponent)
    return batch._replace(weight=batch.weight * sum_tree.importance_weights(probability, beta))


def rank_new(config: Any, priorities: PyTree, time: Array) -> PyTree:
    """After writing row `time`: it may not be drawn yet, but the one whose window it completes may."""
    if not prioritized(config):
        return priorities
    num_envs, rows = config.num_envs, config.buffer_size // config.num_envs
    written, complete = time % rows, (time - n_step(config)) % rows
    columns = jnp.arange(num_envs, dtype=jnp.int32)
    index = jnp.concatenate([written * num_envs + columns, complete * num_envs + columns])
    value = jnp.where(time >= n_step(config), priorities.highest, 0.0)
    values = jnp.concatenate([jnp.zeros(num_envs, jnp.float32), jnp.broadcast_to(value, (num_envs,))])
    return priorities._replace(tree=sum_tree.set(priorities.tree, index, values))


def rank(config: Any, priorities: PyTree, batch: Transitions, error: Array | None) -> PyTree:
    """p = (|error| + 1e-6)^alpha (eq. 1, section 3.3); a row that must not be learned from gets 0."""
    if not prioritized(config):
        return priorities
    assert error is not None
    priority = (jnp.abs(error) + 1e-6) ** config.priority_exponent
    priority = jnp.where(jnp.isfinite(priority), priority, priorities.highest)  # a failed seed goes on drawing
    priority = jnp.maximum(priority, SMALLEST)
    tree = sum_tree.set(priorities.tree, batch.index, jnp.where(batch.weight > 0, priority, 0.0))
    return Ranked(tree, jnp.maximum(priorities.highest, jnp.max(priority)))


# -- exploration in continuous actions

COLOURS = {"white": (), "ou": (7,), "pink": tuple(2**k for k in range(10))}  # time constants, steps
EXPLORATION_NOISES = tuple(COLOURS)


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
