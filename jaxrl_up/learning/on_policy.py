"""What the on-policy actor-critics share: their state, acting, and the batch with its advantages.

Every one of them collects `rollout_length` steps from `num_envs` environments with the current policy,
estimates advantages by GAE with bootstraps from the true successor at time limits, learns, and throws the
rows away. What differs, the learning, is in `algorithms/`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxrl_up import ops
from jaxrl_up.config import as_key, schedule_steps
from jaxrl_up.envs import Env, from_unit, zeros
from jaxrl_up.learning import networks, normalisation, optimisation
from jaxrl_up.learning.rollout import EpisodeSums, Interaction, acting_space, start, stored_space, training_env, unroll
from jaxrl_up.learning.rollout import steps_per_update as steps_per_update
from jaxrl_up.types import Array, Counters, Key, Mean, Metrics, PyTree, means, static, traced

SPINUP = {  # of OpenAI Spinning Up, for all of them
    "num_envs": 1,
    "rollout_length": 4000,
    "gae_lambda": 0.97,
    "value_target": "reward_to_go",
    "normalize_returns": False,
    "initializer": "torch",
    "initial_log_std": -0.5,
}
GRADIENT_SPINUP = SPINUP | {  # and for those whose policy goes along a gradient
    "learning_rate": 3e-4,
    "value_learning_rate": 1e-3,
    "anneal_learning_rate": False,
    "max_grad_norm": None,
    "adam_epsilon": 1e-8,
}


ACTION_SPACES = ("Discrete", "Box", "MultiDiscrete", "Dict")  # a Dict, or Tuple, of the others


@dataclasses.dataclass(frozen=True)
class Fields(networks.NetworkFields):
    """What all of them are told."""

    rollout_length: int = static(128, low=1)
    """steps per environment and update"""
    learning_rate: float = traced(1e-3, 0.0)
    """Adam step size of the policy, and of the critic unless value_learning_rate is given"""
    gamma: float = traced(0.99, 0.0, 1.0)
    """discount per step"""
    gae_lambda: float = traced(0.95, 0.0, 1.0)
    """trace decay of GAE"""
    value_target: str = static("lambda_return", choices=("lambda_return", "reward_to_go"))
    """what the critic is fitted to: TD(lambda), or the discounted reward-to-go"""
    normalize_observations: bool = static(False)
    """whiten observations by running statistics"""
    normalize_returns: bool = static(True)
    """let the critic learn in units of the root mean square of its targets; advantages stay in reward units"""
    shared: bool = static(False)
    """critic as a head on the policy's torso"""
    head: Any = static("gaussian")
    """what continuous actions are drawn from: gaussian, beta, or a module from features to a distrax distribution"""
    log_std: str = static("parameter", choices=("parameter", "network"))
    """log standard deviation of a Gaussian policy: a parameter, or a function of the state as well, from -5 to 2"""
    initial_log_std: float = traced(0.0)
    """log standard deviation of a Gaussian policy at the start; actions span [-1, 1]"""


@dataclasses.dataclass(frozen=True)
class GradientFields(Fields):
    """What those are told whose policy goes along a gradient too."""

    schedule_steps: int | None = static(None, low=1)
    """environment steps over which schedules run; none is total_steps"""
    value_learning_rate: float | None = traced(None, 0.0)
    """step size of the critic; that of the policy if none"""
    anneal_learning_rate: bool = static(True)
    """lower the step sizes linearly to zero over schedule_steps"""
    entropy_cost: float = traced(0.0, 0.0)
    """weight of the entropy bonus"""
    max_grad_norm: float | None = traced(0.5, 0.0)
    """clip the norm of each network's gradient to this"""


class Policy(NamedTuple):
    """What acting needs."""

    params: PyTree
    statistics: normalisation.Statistics


class Learner(NamedTuple):
    """All that is learned: restored to its last finite value when a seed fails."""

    params: PyTree  # {"actor": ..., "critic": ...}
    opt_state: PyTree
    statistics: normalisation.Statistics  # of observations; None when they are not normalised
    return_statistics: ops.RunningStatistics | None  # of the critic's targets; likewise

    @property
    def acting(self) -> Policy:
        """What `act` needs of it."""
        return Policy(self.params["actor"], normalisation.of_acting(self.statistics))


class State(NamedTuple):
    """The state of an on-policy run: arrays only."""

    learner: Learner
    interaction: Interaction
    key: Key
    counters: Counters

    @property
    def policy(self) -> Policy:
        """What acts: see `Learner`."""
        return self.learner.acting

    @property
    def experience(self) -> PyTree:
        """What is kept to learn from: nothing."""
        return ()


class Batch(NamedTuple):
    """One update's data, `[T, B, ...]`; values and advantages are of the policy that acted."""

    obs: PyTree  # normalised, if the config says so
    action: PyTree
    log_prob: Array
    value: Array
    advantage: Array  # GAE
    target: Array  # of the critic, see `value_target`


class Collected(NamedTuple):
    """What a rollout leaves behind."""

    batch: Batch
    learner: Learner  # the one that acted, with statistics and a scale of the critic that include the rollout
    reward: Array  # [T, B]
    discount: Array  # [T, B], gamma (1 - terminated)
    going: Array  # [T, B], 1 - done: the episode went on after this step
    next_value: Array  # [T, B], of the true successor; not to be read where the episode terminated
    interaction: Interaction
    episodes: EpisodeSums


def network(config: Any, env: Env) -> networks.ActorCritic:
    """The actor-critic of a config; continuous actions live in [-1, 1] per bounded dimension.

    Its observations are those that `normalisation.apply` gives.
    """
    return networks.policy_value_network(config, _network_env(config, env))


def _network_env(config: Any, env: Env) -> Env:
    env = training_env(env)
    if not config.normalize_observations:
        return env
    space = normalisation.whitened_space(env.observation_space)
    return env.replace(spec=env.spec._replace(observation_space=space))


def require_kl(config: Any, env: Env, what: str, advice: str) -> None:
    """Raise `ValueError`, with an advice, if `what` needs a KL divergence that the config's policy has not."""
    net = network(config, env)
    if net.divisible:
        return  # those of `ops` have one
    obs = zeros(acting_space(_network_env(config, env)), (1,))

    def divergence(key: Key) -> Array:
        policy = net.policy(net.init(key)["actor"], obs)
        return policy.kl(policy)

    try:
        jax.eval_shape(divergence, jax.eval_shape(jax.random.key, 0))
    except NotImplementedError as error:
        raise ValueError(f"{what} needs a KL divergence, but {error}, for which distrax has none: {advice}") from None


def init(
    config: Any,
    env: Env,
    key: Key,
    optimizer: Callable[[Any], optax.GradientTransformation] = optimisation.adam,
    parts: tuple[str, ...] = ("actor", "critic"),
) -> State:
    """Fresh networks, an optimiser for each of `parts`, statistics and environments: `Algorithm.init`.

    Raises `ValueError` if observations that cannot be normalised shall be.
    """
    params_key, env_key, state_key = jax.random.split(as_key(key), 3)
    params = network(config, env).init(params_key)
    opt_state = {part: optimizer(config).init(params[part]) for part in parts}
    space = stored_space(env)
    statistics = normalisation.init(env.name, space) if config.normalize_observations else None
    return_statistics = ops.init_statistics() if config.normalize_returns else None
    return State(
        Learner(params, opt_state, statistics, return_statistics),
        start(env, config.num_envs, env_key),
        state_key,
        Counters(jnp.int32(0), jnp.int32(0)),
    )


def collect(config: Any, env: Env, state: State, key: Key) -> Collected:
    """Run the policy for `rollout_length` steps and estimate advantages (Schulman et al. 2016, eq. 16)."""
    net, space, shown = network(config, env), stored_space(env), acting_space(env)
    params, opt_state, statistics, return_statistics = state.learner

    noise_key, unroll_key = jax.random.split(key)
    known = normalisation.of_acting(statistics)
    noise = net.noise(noise_key, (config.rollout_length, config.num_envs))

    def policy(obs: PyTree, memory: PyTree, noise: PyTree) -> tuple[PyTree, PyTree, Array]:
        distribution = net.policy(params["actor"], normalisation.apply(shown, known, obs))
        action = distribution.sample_with(noise)
        return action, memory, distribution.log_prob(action)

    interaction, rows, episodes = unroll(
        training_env(env), policy, state.interaction, config.rollout_length, unroll_key, noise
    )
    obs = normalisation.apply(space, statistics, rows.obs)
    value = net.value(params, obs)
    next_value = net.value(params, normalisation.apply(space, statistics, rows.next_obs))
    discount = config.gamma * (1.0 - rows.terminated.astype(jnp.float32))
    going = 1.0 - (rows.terminated | rows.truncated).astype(jnp.float32)
    advantage = ops.gae(rows.reward, discount, config.gae_lambda * going, value, next_value)
    if config.value_target == "lambda_return":
        target = advantage + value
    else:
        target = ops.discounted_returns(rows.reward, discount, going, next_value)
    batch = Batch(obs, rows.action, rows.extras, value, advantage, target)
    statistics = normalisation.update(space, statistics, rows.obs)
    if return_statistics is not None:
        return_statistics = ops.update_statistics(return_statistics, target)
        params = {**params, "critic": networks.rescale_value(params["critic"], root_mean_square(return_statistics))}
    learner = Learner(params, opt_state, statistics, return_statistics)
    return Collected(batch, learner, rows.reward, discount, going, next_value, interaction, episodes)


def root_mean_square(statistics: ops.RunningStatistics) -> Array:
    """Of what was seen; at least 1e-4, so that it can divide. Unlike the deviation, not zero for a constant."""
    variance = statistics.m2 / jnp.maximum(statistics.count, 1)
    return jnp.maximum(jnp.sqrt(statistics.mean**2 + variance), 1e-4)


def value_loss(critic: PyTree, value: Array, target: Array) -> Array:
    """The critic's loss in units of its scale, so that it is near 1 whatever the rewards."""
    scale = networks.value_scale(critic)
    return ops.value_loss(value / scale, target / scale)


def normalize_advantages(batch: Batch) -> Batch:
    """The batch with advantages of zero mean and unit variance over its rows; a single row is left as it is."""
    return batch._replace(advantage=ops.normalize_advantages(batch.advantage))


def minibatches(batch: PyTree, number: int, key: Key) -> PyTree:
    """Cut a tree of `[N, ...]` into `[number, N // number, ...]` at random; one minibatch is the batch as it is."""
    if number == 1:
        return jax.tree.map(lambda x: x[None], batch)
    order = shuffled(key, jax.tree.leaves(batch)[0].shape[0])
    return jax.tree.map(lambda x: x[order].reshape(number, -1, *x.shape[1:]), batch)


def shuffled(key: Key, n: int) -> Array:
    """The numbers below n in random order `[n]`, four times faster on CPU than `jax.random.permutation`.

    One sort of single words, random bits above and the number below, in place of sorting pairs. Two numbers whose
    16 or more random bits agree stay in order, so this serves for cutting minibatches, where the order within one
    does not matter, and not for statistics on permutations.
    """
    width = max(n - 1, 1).bit_length()
    if width > 16:
        return jax.random.permutation(key, jnp.arange(n, dtype=jnp.int32))
    below = jnp.uint32(2**width - 1)
    words = (jax.random.bits(key, (n,), jnp.uint32) & ~below) | jnp.arange(n, dtype=jnp.uint32)
    return (jnp.sort(words) & below).astype(jnp.int32)


def fit_value(
    config: Any,
    env: Env,
    learner: Learner,
    batch: Batch,
    rate: Array | float,
    max_grad_norm: Array | float | None = None,
) -> tuple[Learner, Mean]:
    """`value_steps` steps of the critic on the whole batch; the loss returned is the one before them, if there are."""
    net, params = network(config, env), learner.params

    def loss(critic: PyTree) -> Array:
        return value_loss(critic, net.value({**params, "critic": critic}, batch.obs), batch.target)

    def step(learner: Learner, _: None) -> tuple[Learner, Array]:
        before, gradient = jax.value_and_grad(loss)(learner.params["critic"])
        optimizer = optimisation.adam(config)
        return optimisation.descend(learner, {"critic": gradient}, {"critic": rate}, optimizer, max_grad_norm), before

    if config.value_steps == 0:
        return learner, Mean(jnp.float32(0.0), jnp.int32(0))
    learner, losses = jax.lax.scan(step, learner, length=config.value_steps)
    return learner, Mean(losses[0], jnp.int32(1))


def finish(
    config: Any, state: State, key: Key, collected: Collected, learner: Learner, losses: Mapping[str, Array | Mean]
) -> tuple[State, Metrics]:
    """The state after an update. Of the losses, those that are no `Mean` count once."""
    counters = Counters(state.counters.updates + 1, state.counters.env_steps + steps_per_update(config))
    state = State(learner, collected.interaction, key, counters)
    return state, Metrics(means(losses), *collected.episodes)


def act(
    config: Any, env: Env, policy: Policy, obs: PyTree, memory: PyTree = (), key: Key | None = None
) -> tuple[PyTree, PyTree]:
    """Actions in the environment's own bounds for `obs [..., *shape]`; `key=None` gives the mode."""
    obs = normalisation.apply(acting_space(env), policy.statistics, obs)
    distribution = network(config, env).policy(policy.params, obs)
    action = distribution.mode() if key is None else distribution.sample(as_key(key))
    return from_unit(action, env.action_space), memory


def judge(config: Any, env: Env, policy: Policy, obs: PyTree, memory: PyTree = ()) -> dict[str, Array]:
    """The probabilities `[..., A]` of Discrete actions: `Algorithm.judge`."""
    obs = normalisation.apply(acting_space(env), policy.statistics, obs)
    return {"probabilities": jnp.exp(network(config, env).policy(policy.params, obs).log_probs())}


def remaining(config: Any, state: Any) -> Array:
    """Fraction of the schedules' steps to go, in [0, 1]."""
    return jnp.maximum(1.0 - state.counters.env_steps.astype(jnp.float32) / schedule_steps(config), 0.0)


def anneals(config: Any) -> bool:
    """Whether the step sizes depend on how long the schedules are."""
    return config.anneal_learning_rate


def rates(config: Any, state: State) -> dict[str, Array]:
    """The step size of each part at this update."""
    scale = remaining(config, state) if config.anneal_learning_rate else 1.0
    value_rate = config.learning_rate if config.value_learning_rate is None else config.value_learning_rate
    return {"actor": scale * config.learning_rate, "critic": scale * value_rate}
