"""AlphaZero (Silver et al. 2018), or expert iteration (Anthony et al. 2017, arXiv:1705.08439).

    search    pi(a|s) from a tree of simulations by a network (p, v) = f_theta(s), in the true simulator
    act       a ~ pi, in games against itself
    learn     l = (z - v)^2 - pi^T log p + c ||theta||^2                                    (equation 1)

The search improves the network's policy, the network learns what the search found, and where the game's outcome z was:
so the next search begins with a better one. z is in the view of who was to move. What is searched is the environment's
own simulator: wrap it in `envs.with_simulator`. Games of two are played by one network against itself; an environment
of one player is searched and learned in the same way, with gamma and without turns.

`search="gumbel"` chooses and improves as Danihelka et al. (2022) do, which needs few simulations; `search="muzero"` by
visits, as the paper does, in the form of Schrittwieser et al. (2020, appendix B). Chance in the environment is for
`chance_outcomes` (see `learning.planning.tree_search`).

Deviations: the search of Danihelka et al. by default (`search="gumbel"`; the preset `alphazero` has the paper's),
whose weights and not the visits are learned; 32 simulations and not 800, one after another, from a new tree at each
move; Adam with a step size of 1e-3, where the paper has SGD with momentum and 0.2, falling; weights decay beside the
step and not in the loss; batches of 256 and not 4,096; the last 20,000 positions, where the paper has those of 500,000
games; two layers of 64 units, where the paper has 20 residual blocks; the value is linear, without a tanh; positions
are learned turned and mirrored, as AlphaGo Zero did and AlphaZero does not; a game that a rollout cuts comes out as
the network says; nobody resigns. Not the paper's, and off by default, are random openings and values in units of
outcomes.

Time limits: the search stops at them with the value there, and so does z.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import struct

from jaxrl_up import ops
from jaxrl_up.config import as_key
from jaxrl_up.envs import Env, from_unit, mask_of, without_simulator
from jaxrl_up.learning import networks, on_policy, optimisation, planning, rollout
from jaxrl_up.types import Algorithm, Array, Counters, Key, Metrics, PyTree, means, static, traced


@struct.dataclass(frozen=True)
class Config(planning.TreeFields):
    """Fields of AlphaZero. Numbers marked `traced` can be swept without recompiling."""

    shared: ClassVar[bool] = True
    """policy and value are heads of one network"""
    head: ClassVar[str] = "gaussian"
    """what actions that are numbers were drawn from, of which there are none here"""
    log_std: ClassVar[str] = "parameter"
    """likewise"""
    initial_log_std: ClassVar[float] = 0.0
    """likewise"""

    total_steps: int = static(100_000, low=1)
    """environment steps per seed: moves of both players"""
    num_envs: int = static(32, low=1)
    """games played together"""
    rollout_length: int = static(16, low=1)
    """moves per game and update; learning happens between them"""
    gradient_steps: int = static(16, low=1)
    """gradient steps per update"""
    batch_size: int = static(256, low=1)
    """positions per gradient step"""
    buffer_size: int = static(20_000, low=1)
    """positions kept for replay, in whole rollouts, one at least"""
    learning_rate: float = traced(1e-3, 0.0)
    """Adam step size"""
    anneal_learning_rate: bool = static(False)
    """lower the step size linearly to zero over schedule_steps"""
    schedule_steps: int | None = static(None, low=1)
    """environment steps over which schedules run; none is total_steps"""
    weight_decay: float = traced(1e-4, 0.0)
    """c, by which weights shrink at each step, times the step size"""
    value_cost: float = traced(1.0, 0.0)
    """weight of the value's error"""
    max_grad_norm: float | None = traced(None, 0.0)
    """clip the norm of the gradient, of the network and of the value's head each, to this"""
    normalize_returns: bool = static(False)
    """let the value learn in units of the root mean square of outcomes, where these are far from 1"""
    symmetries: bool = static(True)
    """learn each position turned or mirrored at random, where the environment says how"""
    temperature: float = traced(1.0, 0.0)
    """in the first moves of a game of training an action is drawn from pi^(1 / temperature); 0: the best one"""
    temperature_moves: float = traced(30.0, 0.0)
    """how many these are"""
    random_openings: float = traced(0.0, 0.0)
    """a game of training begins with up to so many uniformly random moves, each number as likely; they are not learned
    from"""
    gumbel_scale: float = traced(1.0, 0.0)
    """of gumbel, in training: how random the actions tried at the root are"""
    dirichlet_fraction: float = traced(0.25, 0.0, 1.0)
    """of muzero, in training: how much noise there is in the prior of the root"""
    dirichlet_alpha: float = traced(0.3, 1e-3)
    """concentration of that noise: low, it is of few actions"""
    activation: str = static("relu", choices=("tanh", "relu", "elu", "gelu", "silu"))
    """nonlinearity"""


class Learner(NamedTuple):
    """All that is learned: restored to its last finite value when a seed fails."""

    params: PyTree  # {"actor": torso and policy, "critic": the head of the value}
    opt_state: PyTree
    return_statistics: ops.RunningStatistics | None  # of outcomes; None when the value is not in units of theirs

    @property
    def acting(self) -> PyTree:
        """What `act` needs of it: all of the network."""
        return self.params


class State(NamedTuple):
    """The state of a run: arrays only."""

    learner: Learner
    positions: planning.Positions
    interaction: rollout.Interaction
    key: Key
    counters: Counters

    @property
    def policy(self) -> PyTree:
        """What acts: see `Learner`."""
        return self.learner.acting

    @property
    def experience(self) -> PyTree:
        """What is kept to learn from."""
        return self.positions


def network(config: Config, env: Env) -> networks.ActorCritic:
    """f_theta: policy and value from one torso, of what the environment under `with_simulator` shows."""
    space = planning.space_within(env)
    net = networks.policy_value_network(config, env.replace(spec=env.spec._replace(observation_space=space)))

    def policy(params: PyTree, obs: PyTree) -> ops.Categorical:
        return net.policy(params, without_simulator(env, obs))

    def value(params: PyTree, obs: PyTree) -> Array:
        return net.value(params, without_simulator(env, obs))

    def both(params: PyTree, obs: PyTree) -> tuple[ops.Categorical, Array]:
        return net.both(params, without_simulator(env, obs))

    return net._replace(policy=policy, value=value, both=both)


def optimizer(config: Config) -> optax.GradientTransformation:
    """Adam without its step size, and a decay of the weights beside it."""
    return optax.chain(optax.scale_by_adam(), optax.add_decayed_weights(config.weight_decay))


def init(config: Config, env: Env, key: Key) -> State:
    """A random network, no positions and fresh games. Raises `ValueError` for fields that do not fit one another."""
    planning.check_search(config, env)
    params_key, env_key, memory_key, state_key = jax.random.split(as_key(key), 4)
    params = network(config, env).init(params_key)
    opt_state = {part: optimizer(config).init(x) for part, x in params.items()}
    rows = planning.ring_rows(config.buffer_size, config.num_envs, config.rollout_length)
    return State(
        Learner(params, opt_state, ops.init_statistics() if config.normalize_returns else None),
        planning.empty(env, rows, config.num_envs, networks.action_dims(env.action_space)),
        rollout.start(env, config.num_envs, env_key, lambda key: initial_memory(config, env, key), memory_key),
        state_key,
        Counters(jnp.int32(0), jnp.int32(0)),
    )


def initial_memory(config: Config, env: Env, key: Key) -> PyTree:
    """Of a game of training: how many moves were made, and how many of the first ones are random."""
    return {
        "move": jnp.int32(0),
        "opening": jnp.floor(jax.random.uniform(key, (), jnp.float32) * (config.random_openings + 1.0)),
    }


def searched(config: Config, env: Env, params: PyTree, obs: PyTree, key: Key, train: bool) -> planning.Searched:
    """pi and the best action from each of `obs [N, *shape]`; with noise at the root in training."""
    net = network(config, env)

    def predict(obs: PyTree) -> tuple[Array, Array]:
        policy, value = net.both(params, obs)
        return policy.log_probs(), value

    noise = planning.Noise(config.gumbel_scale, config.dirichlet_fraction, config.dirichlet_alpha)
    return planning.tree_search(config, env, predict, obs, key, noise if train else planning.Noise())


def move(
    config: Config, env: Env, obs: PyTree, memory: PyTree, found: planning.Searched, key: Key
) -> tuple[Array, Array]:
    """A move of training for each of N games, and whether it was the search's: those of a random opening are not."""
    drawn_key, opening_key = jax.random.split(key)
    # choose a move in proportion to pi^(1 / temperature) for the first moves, and the best one later
    cold = jnp.maximum(config.temperature, 1e-6)
    drawn = jax.random.categorical(drawn_key, jnp.log(jnp.maximum(found.weights, 1e-30)) / cold).astype(jnp.int32)
    hot = (memory["move"] < config.temperature_moves) & (config.temperature > 0.0)
    action = jnp.where(hot, drawn, found.action)

    mask = mask_of(env.observation_space, obs)
    mask = jnp.ones_like(found.weights, bool) if mask is None else mask
    uniform = jax.random.uniform(opening_key, action.shape, jnp.float32)
    learned = memory["move"] >= memory["opening"]
    return jnp.where(learned, action, ops.action_from_uniform(uniform, mask)), learned


def play(config: Config, env: Env, state: State, key: Key) -> tuple[Any, planning.Positions, rollout.EpisodeSums]:
    """`rollout_length` moves of all games: where they stand, the positions `[T, B]` met, and the games that ended."""
    params = state.learner.params

    def policy(obs: PyTree, memory: PyTree, key: Key) -> tuple[PyTree, PyTree, PyTree]:
        search_key, move_key = jax.random.split(key)
        found = searched(config, env, params, obs, search_key, train=True)
        action, learned = move(config, env, obs, memory, found, move_key)
        return action, {**memory, "move": memory["move"] + 1}, (found.weights, learned)

    interaction, rows, episodes = rollout.unroll(
        rollout.training_env(env),
        policy,
        state.interaction,
        config.rollout_length,
        key,
        None,
        lambda key: initial_memory(config, env, key),
    )
    weights, learned = rows.extras
    next_value = network(config, env).value(params, rows.next_obs)
    outcome = planning.outcomes(rows, next_value, planning.discount_of(config.gamma, env.spec.players))
    return interaction, planning.Positions(rows.obs, weights, outcome, learned.astype(jnp.float32)), episodes


def loss(config: Config, env: Env, params: PyTree, batch: planning.Positions) -> tuple[Array, dict[str, Array]]:
    """Equation 1 over N positions, but for the decay, which the optimiser makes, and what it is made of."""
    policy, value = network(config, env).both(params, batch.obs)
    log_probs = policy.log_probs()
    share = batch.counts / jnp.maximum(jnp.sum(batch.counts), 1.0)
    scale = networks.value_scale(params["critic"])
    value_loss = jnp.sum(share * jnp.square((batch.outcome - value) / scale))
    policy_loss = -jnp.sum(share * jnp.sum(batch.weights * log_probs, axis=-1))
    total = policy_loss + config.value_cost * value_loss
    of_search = -jnp.sum(batch.weights * jnp.log(jnp.maximum(batch.weights, 1e-30)), axis=-1)
    return total, {
        "loss": total,
        "policy_loss": policy_loss,
        "value_loss": value_loss,
        "entropy": jnp.sum(share * policy.entropy()),
        "search_entropy": jnp.sum(share * of_search),
    }


def learn(
    config: Config, env: Env, learner: Learner, batch: planning.Positions, rate: Array | float
) -> tuple[Learner, dict[str, Array]]:
    """One gradient step on N positions."""
    gradient, losses = jax.grad(loss, argnums=2, has_aux=True)(config, env, learner.params, batch)
    rates = {"actor": rate, "critic": rate}
    return optimisation.descend(learner, gradient, rates, optimizer(config), config.max_grad_norm), losses


def update(config: Config, env: Env, state: State) -> tuple[State, Metrics]:
    """Play `rollout_length` moves against oneself, keep the positions, and learn from some of all that are kept."""
    key, play_key, index_key, turn_key = jax.random.split(state.key, 4)
    rate = config.learning_rate * (on_policy.remaining(config, state) if config.anneal_learning_rate else 1.0)

    # games of self-play: at each move a search, whose weights and whose game's outcome are kept
    interaction, new, episodes = play(config, env, state, play_key)
    positions = planning.write(env, state.positions, state.counters.updates, new)
    learner = rescale(state.learner, new)

    # adjust theta by gradient descent on positions drawn uniformly from those of the last games
    shape = config.gradient_steps, config.batch_size
    bits = jax.random.bits(index_key, shape, jnp.uint32)
    turns = planning.draw_symmetries(env, turn_key, shape) if config.symmetries else None

    def gradient_step(learner: Learner, drawn: tuple[Array, Any]) -> tuple[Learner, dict[str, Array]]:
        bits, turns = drawn
        batch = planning.draw(env, positions, state.counters.updates + 1, config.rollout_length, bits)
        if turns is not None:
            batch = planning.turned(env, batch, turns)
        return learn(config, env, learner, batch, rate)

    learner, losses = jax.lax.scan(gradient_step, learner, (bits, turns))
    losses = jax.tree.map(lambda x: jnp.sum(x, dtype=x.dtype), losses)
    counters = Counters(state.counters.updates + 1, state.counters.env_steps + rollout.steps_per_update(config))
    state = State(learner, positions, interaction, key, counters)
    return state, Metrics(means(losses, config.gradient_steps), *episodes)


def rescale(learner: Learner, new: planning.Positions) -> Learner:
    """The learner with its value in units of the root mean square of all outcomes so far, if it is to be."""
    if learner.return_statistics is None:
        return learner
    statistics = ops.update_statistics(learner.return_statistics, new.outcome)
    critic = networks.rescale_value(learner.params["critic"], on_policy.root_mean_square(statistics))
    return learner._replace(params={**learner.params, "critic": critic}, return_statistics=statistics)


def act(
    config: Config, env: Env, policy: PyTree, obs: PyTree, memory: PyTree = (), key: Key | None = None
) -> tuple[PyTree, PyTree]:
    """Moves for `obs [..., *shape]`: the best ones of a search, or with a key those of training, openings aside.

    Without a key the chances within the search are always the same, so moves are a function of what is shown. With
    `num_simulations=0` the network acts alone.
    """

    def all_of_them(obs: PyTree, memory: PyTree) -> tuple[Array, PyTree]:
        if key is None:
            found = searched(config, env, policy, obs, jax.random.key(0), train=False)
            return from_unit(found.action, env.action_space), memory
        search_key, move_key = jax.random.split(as_key(key))
        found = searched(config, env, policy, obs, search_key, train=True)
        made = memory["move"] if memory else jnp.zeros(found.action.shape, jnp.int32)
        here = {"move": made, "opening": jnp.zeros(made.shape, jnp.float32)}
        action, _ = move(config, env, obs, here, found, move_key)
        return from_unit(action, env.action_space), {**memory, "move": made + 1} if memory else memory

    return planning.together(env, all_of_them, obs, memory)


def values(config: Config, env: Env, learner: Learner, obs: PyTree) -> Array:
    """v of `obs [..., *shape]`."""
    return network(config, env).value(learner.params, obs)


def judge(config: Config, env: Env, policy: PyTree, obs: PyTree, memory: PyTree = ()) -> dict[str, Array]:
    """pi of the search, and the value of its root, of the network alone with `num_simulations=0`: `Algorithm.judge`."""

    def all_of_them(obs: PyTree) -> dict[str, Array]:
        found = searched(config, env, policy, obs, jax.random.key(0), train=False)
        return {"probabilities": found.weights, "value": found.value}

    return planning.together(env, all_of_them, obs)


ALPHAZERO = Algorithm(
    "alphazero",
    Config,
    init,
    update,
    act,
    rollout.steps_per_update,
    {
        "alphazero": {"search": "muzero", "num_simulations": 100, "value_bound": 1.0, "symmetries": False},
        "board": {
            "num_envs": 128,
            "network": "mlp",
            "hidden": (128, 128),
            "value_bound": 1.0,
            "random_openings": 4.0,
        },
    },
    action_spaces=("Discrete",),
    anneals=lambda config: config.anneal_learning_rate,
    initial_memory=initial_memory,
    greedy_memory=False,
    judge=judge,
    players=(1, 2),
)
