"""Value fitting: V of a given policy by regression on returns (Sutton & Barto 2018, chapters 9 and 12; Sutton 1988).

Policy evaluation with function approximation. The policy stays as it is; V_phi, a network or linear, goes down

    1/N sum_t (G_t - V_phi(s_t))^2 / 2      (Sutton & Barto 2018, eq. 9.1; Schulman et al. 2016, eq. 28)

over the states that the policy visits, with the target G_t held, so that the step is a semi-gradient (eq. 9.7):

    monte_carlo   r_t + gamma r_{t+1} + ... to the end of the episode          (eq. 3.9)
    td            r_t + gamma V(s_{t+1})                                       (Sutton 1988, TD(0); eq. 6.2)
    k_step        r_t + ... + gamma^{k-1} r_{t+k-1} + gamma^k V(s_{t+k})       (eq. 9.16)
    lambda        (1 - lambda) sum_k lambda^{k-1} of the k-step returns        (Sutton 1988, TD(lambda); eq. 12.2)

`monte_carlo` finds the best fit to V^pi, weighted by how often states are visited; with linear features `td` finds the
TD fixed point, eq. 9.12, and the others lie between. `act` acts as the policy does, so scores are the policy's own.

Deviations: a step for a batch of all environments and not for each state, and `value_steps` of them on the same
targets; by Adam, where the books have plain gradient descent (`optimizer="sgd"`; the preset `linear`); the step size is
annealed to zero; V learns in units of its targets, which changes no step of a linear V by plain gradient descent; sums
of rewards end with the rollout, also those of `monte_carlo`, in the value of the state reached.

Time limits: the value of the true successor is bootstrapped, for all four targets; after a termination it is 0.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import struct

from jaxrl_up import ops
from jaxrl_up.config import as_key
from jaxrl_up.envs import Env
from jaxrl_up.learning import given_policy, networks, on_policy, optimisation, rollout
from jaxrl_up.types import Algorithm, Array, Counters, Key, Metrics, PyTree, means, static, traced


@struct.dataclass(frozen=True)
class Config(networks.NetworkFields):
    """Fields of value fitting. Numbers marked `traced` can be swept without recompiling."""

    policy: Any = static("uniform")
    """whose values: uniform over what is allowed, or a function (obs, key) -> action of one observation"""
    target: str = static("lambda", choices=("monte_carlo", "td", "k_step", "lambda"))
    """the target G_t"""
    k: int = static(5, low=1)
    """rewards summed before bootstrapping, of k_step"""
    td_lambda: float = traced(0.95, 0.0, 1.0)
    """trace decay, of lambda"""
    gamma: float = traced(0.99, 0.0, 1.0)
    """discount per step"""
    rollout_length: int = static(128, low=1)
    value_steps: int = static(10, low=1)
    """gradient steps per update, each over all its rows"""
    optimizer: str = static("adam", choices=("adam", "sgd"))
    """which steps; sgd as in the books"""
    learning_rate: float = traced(1e-3, 0.0)
    """step size"""
    anneal_learning_rate: bool = static(True)
    """lower the step size linearly to zero over schedule_steps"""
    schedule_steps: int | None = static(None, low=1)
    """environment steps over which schedules run; none is total_steps"""
    adam_epsilon: float = traced(1e-5, 0.0)
    """added to Adam's denominator"""
    max_grad_norm: float | None = traced(None, 0.0)
    """clip the norm of the gradient to this"""
    normalize_returns: bool = static(True)
    """let V learn in units of the root mean square of its targets"""


LINEAR = {"network": "linear", "optimizer": "sgd", "learning_rate": 0.1, "value_steps": 1}


class Learner(NamedTuple):
    """All that is learned: restored to its last finite value when a seed fails."""

    params: PyTree  # {"value": ...}
    opt_state: PyTree
    return_statistics: ops.RunningStatistics | None  # of the targets, where V learns in units of them

    @property
    def acting(self) -> tuple[()]:
        """What `act` needs of it: nothing."""
        return ()


def optimizer(config: Config) -> optax.GradientTransformation:
    """Adam without the step size, or the gradient as it is."""
    return optimisation.adam(config) if config.optimizer == "adam" else optax.identity()


def init(config: Config, env: Env, key: Key) -> given_policy.State:
    """A fresh V, its optimiser and environments."""
    params_key, key = jax.random.split(as_key(key))
    params = networks.value_network(config, env).init(params_key)
    opt_state = {"value": optimizer(config).init(params["value"])}
    statistics = ops.init_statistics() if config.normalize_returns else None
    return given_policy.begin(config, env, Learner(params, opt_state, statistics), key)


def values(config: Config, env: Env, learner: Learner, obs: PyTree) -> Array:
    """V `[...]` of observations `[..., *shape]`."""
    return networks.value_network(config, env).value(learner.params, obs)


def targets(config: Config, reward: Array, discount: Array, going: Array, next_value: Array) -> Array:
    """G_t, all `[T, B]`, with discount = gamma (1 - terminated), going = 1 - done, and V of the true successor."""
    if config.target == "monte_carlo":
        return ops.discounted_returns(reward, discount, going, next_value)
    if config.target == "td":
        return ops.td_target(reward, discount, next_value)
    if config.target == "k_step":
        return ops.n_step_returns(reward, discount, going, next_value, config.k)
    return ops.lambda_returns(reward, discount, config.td_lambda * going, next_value)


def loss(config: Config, env: Env, value: PyTree, obs: PyTree, target: Array) -> Array:
    """Half the mean squared error, in units of V's scale."""
    scale = networks.value_scale(value)
    return ops.value_loss(networks.value_network(config, env).value({"value": value}, obs) / scale, target / scale)


def update(config: Config, env: Env, state: given_policy.State) -> tuple[given_policy.State, Metrics]:
    """Generate steps by pi, find their targets with the V before, and fit V to them."""
    key, rollout_key = jax.random.split(state.key)
    learner, statistics = state.learner, state.learner.return_statistics
    rate = config.learning_rate * (on_policy.remaining(config, state) if config.anneal_learning_rate else 1.0)

    # generate s_t, a_t ~ pi, r_t
    interaction, rows, episodes = given_policy.follow(config, env, state, rollout_key)

    # G_t, with the V before
    discount = config.gamma * (1.0 - rows.terminated.astype(jnp.float32))
    going = 1.0 - (rows.terminated | rows.truncated).astype(jnp.float32)
    target = targets(config, rows.reward, discount, going, values(config, env, learner, rows.next_obs))
    if statistics is not None:
        statistics = ops.update_statistics(statistics, target)
        value = networks.rescale_value(learner.params["value"], on_policy.root_mean_square(statistics))
        learner = learner._replace(params={"value": value}, return_statistics=statistics)

    # phi <- phi + alpha 1/N sum_t (G_t - V(s_t)) grad V(s_t), value_steps times
    def step(learner: Learner, _: None) -> tuple[Learner, Array]:
        error, gradient = jax.value_and_grad(loss, 2)(config, env, learner.params["value"], rows.obs, target)
        how = optimizer(config), config.max_grad_norm
        return optimisation.descend(learner, {"value": gradient}, {"value": rate}, *how), error

    learner, errors = jax.lax.scan(step, learner, length=config.value_steps)
    counters = Counters(state.counters.updates + 1, state.counters.env_steps + rollout.steps_per_update(config))
    losses = means({"loss": jnp.mean(errors), "value_loss": errors[0], "value_target": jnp.mean(target)})
    return given_policy.State(learner, interaction, key, counters), Metrics(losses, *episodes)


initial_memory, act = given_policy.initial_memory, given_policy.act

VALUE_FITTING = Algorithm(
    "value_fitting",
    Config,
    init,
    update,
    act,
    rollout.steps_per_update,
    {"linear": LINEAR},
    on_policy.ACTION_SPACES,
    lambda config: config.anneal_learning_rate,
    initial_memory=initial_memory,
    learns_to_act=False,
)
