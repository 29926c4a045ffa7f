"""Categorical deep Q-learning, C51 (Bellemare, Dabney & Munos 2017, arXiv:1707.06887).

    L(theta) = E[-sum_i m_i log p_i(s, a; theta)],    m = Phi(r + gamma z, p(s', a*; theta-))         (algorithm 1)

The return of an action is a categorical distribution p over a fixed support z of `num_atoms` places, evenly from
`v_min` to `v_max`; a* has the greatest mean sum_i z_i p_i(s', a; theta-), and Phi projects the moved atoms back onto
the support (eq. 7). Returns beyond the support count as its ends, so choose it to hold them all: with rewards in
[low, high], from low / (1 - gamma) to high / (1 - gamma). The defaults suit rewards in [0, 1] with gamma = 0.99.

Switches, as in DQN: `double`, `dueling` (Wang et al. 2016, with streams of logits as in Hessel et al. 2018), `n_step`,
`prioritized` (by KL(m || p), as in Hessel et al. 2018: the loss less the entropy of m, so 0 for a row that is right).
Deviations: step size and target updates are set for small networks; the paper's support is [-10, 10].

Time limits: the target bootstraps from the true last observation, which the replay keeps.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from jaxrl_up import ops
from jaxrl_up.envs import Env
from jaxrl_up.learning import QFunction, Transitions, off_policy, q_learning, q_network
from jaxrl_up.types import Algorithm, Array, Key, Metrics, PyTree, static, traced


@struct.dataclass
class Config:
    """Fields of C51. Numbers marked `traced` can be swept without recompiling."""

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
    exploration_fraction: float = traced(0.1, 0.0, 1.0)
    """part of schedule_steps over which epsilon falls, linearly"""
    prioritized: bool = static(False)
    """draw transitions in proportion to their last error, here KL(m || p), and not uniformly"""
    priority_exponent: float = traced(0.6, 0.0)
    """priorities are errors to this power; 0 is uniform"""
    importance_exponent: float = traced(0.4, 0.0, 1.0)
    """how far weights correct for that at first; 1, fully, at last"""
    tau: float = traced(1.0, 0.0, 1.0)
    """how far the target network moves to the online one, when it does; 1 copies"""
    target_every: int = static(100, low=1)
    """gradient steps between moves of the target network"""
    double: bool = static(False)
    """let the online network choose the action whose distribution the target network gives"""
    dueling: bool = static(False)
    """separate streams for the value and the advantages"""
    num_atoms: int = static(51, low=2)
    """places of the support"""
    v_min: float = traced(0.0)
    """least return on the support, in units of the discounted return"""
    v_max: float = traced(100.0, above="v_min")
    """greatest return on the support; smaller and greater returns count as its ends"""
    max_grad_norm: float | None = traced(10.0, 0.0)
    """clip the norm of the gradient to this"""
    adam_epsilon: float = traced(1e-4, 0.0)
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
    """Observation -> logits of the distributions of all actions `[..., A, num_atoms]`."""
    return q_network(config, env, config.num_atoms)


def support(config: Config) -> Array:
    """The returns z `[num_atoms]` that the probabilities belong to."""
    return jnp.linspace(config.v_min, config.v_max, config.num_atoms, dtype=jnp.float32)


def q_values(config: Config, env: Env, params: PyTree, obs: Array) -> Array:
    """The means of the distributions `[..., A]`, for `obs [..., *shape]`."""
    return _mean(support(config), jax.nn.softmax(network(config, env).apply(params, obs), axis=-1))


def _mean(support: Array, probs: Array) -> Array:
    return jnp.matmul(probs, support, precision="highest")


def init(config: Config, env: Env, key: Key) -> off_policy.State:
    """A fresh network, its copy as target, an empty replay and fresh environments."""
    return q_learning.init(config, env, key, config.num_atoms)


def loss(
    config: Config, env: Env, params: PyTree, target_params: PyTree, batch: Transitions
) -> tuple[Array, tuple[dict[str, Array], Array]]:
    """The loss of algorithm 1 on a batch, what it is made of, and what ranks the rows."""
    net, z = network(config, env), support(config)
    logits = ops.action_distribution(net.apply(params, batch.obs), batch.action)
    next_probs = jax.nn.softmax(net.apply(target_params, batch.next_obs), axis=-1)
    # Q(s', a) = sum_i z_i p_i(s', a); a* = argmax_a Q(s', a)
    chooser = jax.nn.softmax(net.apply(params, batch.next_obs), axis=-1) if config.double else next_probs
    next_probs = ops.action_distribution(next_probs, jnp.argmax(_mean(z, chooser), axis=-1))
    # m: the mass p_j(s', a*) at r + gamma z_j, shared by the neighbours on the support
    target = off_policy.stopped(ops.categorical_target(batch.reward, batch.discount, next_probs, z), batch.weight)
    # -sum_i m_i log p_i(s, a)
    losses = ops.categorical_cross_entropy(target, logits)
    total = jnp.mean(batch.weight * losses)
    value = _mean(z, jax.nn.softmax(logits, axis=-1))
    td_error = jnp.mean(jnp.abs(_mean(z, target) - value))
    divergence = ops.categorical_divergence(target, logits)
    return total, ({"loss": total, "q_value": jnp.mean(value), "td_error": td_error}, divergence)


def update(config: Config, env: Env, state: off_policy.State) -> tuple[off_policy.State, Metrics]:
    """Act epsilon-greedily into the replay, and after each step learn from a batch of it by algorithm 1."""
    return q_learning.update(config, env, state, q_values, loss)


def act(config: Config, env: Env, policy: PyTree, obs: Array, key: Key | None = None) -> Array:
    """The action of the greatest mean for `obs [..., *shape]`; with a key, any with probability `epsilon_end`."""
    return q_learning.act(config, env, policy, obs, key, q_values)


C51 = Algorithm(
    "c51",
    Config,
    init,
    update,
    act,
    off_policy.steps_per_update,
    anneals=q_learning.anneals,
    action_spaces=("Discrete",),
)
