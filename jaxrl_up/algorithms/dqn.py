"""Deep Q-learning (Mnih et al. 2015, doi:10.1038/nature14236), and Q-learning with function fitting as its preset.

    L(theta) = E[l(r + gamma max_a' Q(s', a'; theta-) - Q(s, a; theta))],    l Huber or squared       (algorithm 1)

on minibatches from a replay, with a target network theta- that follows theta: a copy every `target_every` gradient
steps, or with `tau` < 1 a part of the way (Polyak averaging). Switches: `double` (van Hasselt et al. 2016, eq. 4),
`dueling` (Wang et al. 2016, eq. 9), n-step returns (`n_step`), which stop at the end of an episode, and prioritised
replay (`prioritized`, Schaul et al. 2016, algorithm 1).

Time limits: the target bootstraps from the true last observation, which the replay keeps.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import optax
from flax import struct

from jaxrl_up import ops
from jaxrl_up.envs import Env
from jaxrl_up.learning import Transitions, off_policy, q_learning, q_network
from jaxrl_up.types import Algorithm, Array, Key, Metrics, PyTree, static, traced


@struct.dataclass
class Config:
    """Fields of DQN. Numbers marked `traced` can be swept without recompiling."""

    total_steps: int = static(500_000, low=1)
    """environment steps per seed"""
    schedule_steps: int | None = static(None, low=1)
    """environment steps over which schedules run; none is total_steps"""
    num_envs: int = static(8, low=1)
    """environments stepped together"""
    rollout_length: int = static(64, low=1)
    """steps per environment and update; learning happens between them"""
    train_every: int = static(1, low=1)
    """steps per environment between gradient steps; must divide rollout_length"""
    gradient_steps: int = static(1, low=1)
    """gradient steps at a time"""
    batch_size: int = static(128, low=1)
    """transitions per gradient step"""
    buffer_size: int = static(10_000, low=2)
    """transitions kept for replay"""
    learning_starts: int = static(1_000, low=0)
    """environment steps before the first gradient step"""
    learning_rate: float = traced(5e-4, 0.0)
    """Adam step size"""
    gamma: float = traced(0.99, 0.0, 1.0)
    """discount per step"""
    n_step: int = static(1, low=1)
    """rewards summed before bootstrapping"""
    epsilon_start: float = traced(1.0, 0.0, 1.0)
    """probability of a random action at first"""
    epsilon_end: float = traced(0.05, 0.0, 1.0)
    """probability of a random action at last"""
    exploration_fraction: float = traced(0.5, 0.0, 1.0)
    """part of schedule_steps over which epsilon falls, linearly"""
    prioritized: bool = static(False)
    """draw transitions in proportion to their last TD error, and not uniformly"""
    priority_exponent: float = traced(0.6, 0.0)
    """priorities are errors to this power; 0 is uniform"""
    importance_exponent: float = traced(0.4, 0.0, 1.0)
    """how far weights correct for that at first; 1, fully, at last"""
    tau: float = traced(1.0, 0.0, 1.0)
    """how far the target network moves to the online one, when it does; 1 copies"""
    target_every: int = static(50, low=1)
    """gradient steps between moves of the target network"""
    double: bool = static(False)
    """let the online network choose the action that the target network values"""
    dueling: bool = static(False)
    """separate streams for the value and the advantages"""
    loss: str = static("squared", choices=("huber", "squared"))
    """of the temporal-difference error; huber is linear beyond 1"""
    max_grad_norm: float | None = traced(None, 0.0)
    """clip the norm of the gradient to this"""
    adam_epsilon: float = traced(1e-8, 0.0)
    """added to Adam's denominator"""
    network: Any = static("auto")
    """auto, mlp, cnn, or a linen module from observation to features"""
    hidden: tuple[int, ...] = static((64, 64))
    """units of the hidden layers"""
    activation: str = static("relu", choices=("tanh", "relu", "elu", "gelu", "silu"))
    """nonlinearity"""
    initializer: str = static("torch", choices=("orthogonal", "torch", "flax"))
    """initial weights"""


FITTED_Q = {"target_every": 1, "tau": 1.0, "loss": "squared"}  # the target network is the online one


def q_values(config: Config, env: Env, params: PyTree, obs: Array) -> Array:
    """Q(s, a) of all actions `[..., A]`, for `obs [..., *shape]`."""
    return q_network(config, env).apply(params, obs)


def init(config: Config, env: Env, key: Key) -> off_policy.State:
    """A fresh network, its copy as target, an empty replay and fresh environments."""
    return q_learning.init(config, env, key)


def loss(
    config: Config, env: Env, params: PyTree, target_params: PyTree, batch: Transitions
) -> tuple[Array, tuple[dict[str, Array], Array]]:
    """The loss of algorithm 1 on a batch, and what it is made of."""
    value = ops.action_value(q_values(config, env, params, batch.obs), batch.action)
    next_values = q_values(config, env, target_params, batch.next_obs)
    if config.double:
        selector = q_values(config, env, params, batch.next_obs)
        target = ops.double_q_target(batch.reward, batch.discount, next_values, selector)
    else:
        target = ops.q_learning_target(batch.reward, batch.discount, next_values)
    error = off_policy.stopped(target, batch.weight) - value
    losses = optax.huber_loss(error) if config.loss == "huber" else 0.5 * jnp.square(error)
    total = jnp.mean(batch.weight * losses)
    return total, ({"loss": total, "q_value": jnp.mean(value), "td_error": jnp.mean(jnp.abs(error))}, error)


def update(config: Config, env: Env, state: off_policy.State) -> tuple[off_policy.State, Metrics]:
    """Algorithm 1: act epsilon-greedily into the replay, and after each step learn from a batch of it."""
    return q_learning.update(config, env, state, q_values, loss)


def act(config: Config, env: Env, policy: PyTree, obs: Array, key: Key | None = None) -> Array:
    """The greedy action for `obs [..., *shape]`; with a key, any with probability `epsilon_end`."""
    return q_learning.act(config, env, policy, obs, key, q_values)


DQN = Algorithm(
    "dqn",
    Config,
    init,
    update,
    act,
    off_policy.steps_per_update,
    anneals=q_learning.anneals,
    presets={"fitted_q": FITTED_Q},
    action_spaces=("Discrete",),
)
