"""Deep Q-learning with quantile regression, QR-DQN (Dabney, Rowland, Bellemare & Munos 2018, arXiv:1710.10044).

    L(theta) = E[sum_i mean_j rho(r + gamma theta_j(s', a*; theta-) - theta_i(s, a; theta))]          (algorithm 1)

The return of an action is N = `num_quantiles` places theta_i that weigh the same, the i-th at the middle of the i-th
N-th of the distribution; a* has the greatest mean (1 / N) sum_j theta_j(s', a; theta-), and rho is the quantile Huber
loss (eq. 10; `kappa` = 0 is plain quantile regression, eq. 8). Unlike C51 it needs no bounds on the return.

Switches, as in DQN: `double`, `dueling` (Wang et al. 2016, with streams of quantiles), `n_step`, `prioritized` (by the
TD error of the means, which is 0 for a row that is right, as the loss is not).
Deviations: fewer quantiles than the paper's 200; step size and target updates are set for small networks.

Time limits: the target bootstraps from the true last observation, which the replay keeps.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from flax import struct

from jaxrl_up import ops
from jaxrl_up.envs import Env
from jaxrl_up.learning import QFunction, Transitions, off_policy, q_learning, q_network
from jaxrl_up.types import Algorithm, Array, Key, Metrics, PyTree, static, traced


@struct.dataclass
class Config:
    """Fields of QR-DQN. Numbers marked `traced` can be swept without recompiling."""

    total_steps: int = static(500_000, low=1)
    """environment steps per seed"""
    schedule_steps: int | None = static(None, low=1)
    """environment steps over which schedules run; none is total_steps"""
    num_envs: int = static(4, low=1)
    """environments stepped together"""
    rollout_length: int = static(64, low=1)
    """steps per environment and update; learning happens between them"""
    train_every: int = static(1, low=1)
    """steps per environment between gradient steps; must divide rollout_length"""
    gradient_steps: int = static(1, low=1)
    """gradient steps at a time"""
    batch_size: int = static(128, low=1)
    """transitions per gradient step"""
    buffer_size: int = static(50_000, low=2)
    """transitions kept for replay"""
    learning_starts: int = static(1_000, low=0)
    """environment steps before the first gradient step"""
    learning_rate: float = traced(1e-3, 0.0)
    """Adam step size"""
    gamma: float = traced(0.99, 0.0, 1.0)
    """discount per step"""
    n_step: int = static(1, low=1)
    """rewards summed before bootstrapping"""
    epsilon_start: float = traced(1.0, 0.0, 1.0)
    """probability of a random action at first"""
    epsilon_end: float = traced(0.05, 0.0, 1.0)
    """probability of a random action at last"""
    exploration_fraction: float = traced(0.1, 0.0, 1.0)
    """part of schedule_steps over which epsilon falls, linearly"""
    prioritized: bool = static(False)
    """draw transitions in proportion to their last TD error, and not uniformly"""
    priority_exponent: float = traced(0.6, 0.0)
    """priorities are errors to this power; 0 is uniform"""
    importance_exponent: float = traced(0.4, 0.0, 1.0)
    """how far weights correct for that at first; 1, fully, at last"""
    tau: float = traced(1.0, 0.0, 1.0)
    """how far the target network moves to the online one, when it does; 1 copies"""
    target_every: int = static(250, low=1)
    """gradient steps between moves of the target network"""
    double: bool = static(False)
    """let the online network choose the action whose distribution the target network gives"""
    dueling: bool = static(False)
    """separate streams for the value and the advantages"""
    num_quantiles: int = static(32, low=1)
    """quantiles of each return distribution"""
    kappa: float = traced(1.0, 0.0)
    """where the loss turns from quadratic to linear, in units of the return; 0: linear throughout"""
    max_grad_norm: float | None = traced(10.0, 0.0)
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


def network(config: Config, env: Env) -> QFunction:
    """Observation -> quantiles of the return of all actions `[..., A, num_quantiles]`."""
    return q_network(config, env, config.num_quantiles)


def q_values(config: Config, env: Env, params: PyTree, obs: Array) -> Array:
    """The means of the distributions `[..., A]`, for `obs [..., *shape]`."""
    return jnp.mean(network(config, env).apply(params, obs), axis=-1)


def init(config: Config, env: Env, key: Key) -> off_policy.State:
    """A fresh network, its copy as target, an empty replay and fresh environments."""
    return q_learning.init(config, env, key, config.num_quantiles)


def loss(
    config: Config, env: Env, params: PyTree, target_params: PyTree, batch: Transitions
) -> tuple[Array, tuple[dict[str, Array], Array]]:
    """The loss of algorithm 1 on a batch, what it is made of, and what ranks the rows."""
    net = network(config, env)
    quantiles = ops.action_distribution(net.apply(params, batch.obs), batch.action)
    next_quantiles = net.apply(target_params, batch.next_obs)
    # Q(s', a) = sum_j theta_j(s', a) / N; a* = argmax_a Q(s', a)
    chooser = net.apply(params, batch.next_obs) if config.double else next_quantiles
    next_quantiles = ops.action_distribution(next_quantiles, jnp.argmax(jnp.mean(chooser, axis=-1), axis=-1))
    # T theta_j = r + gamma theta_j(s', a*)
    target = batch.reward[:, None] + ops.weighted(batch.discount[:, None], next_quantiles)
    target = off_policy.stopped(target, batch.weight)
    # sum_i E_j[rho(T theta_j - theta_i(s, a))]
    total = jnp.mean(batch.weight * ops.quantile_huber_loss(quantiles, target, config.kappa))
    value = jnp.mean(quantiles, axis=-1)
    error = jnp.mean(target, axis=-1) - value
    return total, ({"loss": total, "q_value": jnp.mean(value), "td_error": jnp.mean(jnp.abs(error))}, error)


def update(config: Config, env: Env, state: off_policy.State) -> tuple[off_policy.State, Metrics]:
    """Act epsilon-greedily into the replay, and after each step learn from a batch of it by algorithm 1."""
    return q_learning.update(config, env, state, q_values, loss)


def act(config: Config, env: Env, policy: PyTree, obs: Array, key: Key | None = None) -> Array:
    """The action of the greatest mean for `obs [..., *shape]`; with a key, any with probability `epsilon_end`."""
    return q_learning.act(config, env, policy, obs, key, q_values)


QR_DQN = Algorithm(
    "qr_dqn",
    Config,
    init,
    update,
    act,
    off_policy.steps_per_update,
    anneals=q_learning.anneals,
    action_spaces=("Discrete",),
)
