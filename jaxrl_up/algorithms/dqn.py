"""Deep Q-learning (Mnih et al. 2015, doi:10.1038/nature14236), and Q-learning with function fitting as its preset.

    L(theta) = E[l(r + gamma max_a' Q(s', a'; theta-) - Q(s, a; theta))],    l Huber or squared       (algorithm 1)

on minibatches from a replay, with a target network theta- that follows theta: a copy every `target_every` gradient
steps, or with `tau` < 1 a part of the way (Polyak averaging). Switches: `double` (van Hasselt et al. 2016, eq. 4),
`dueling` (Wang et al. 2016, eq. 9), n-step returns (`n_step`), which stop at the end of an episode.

Time limits: the target bootstraps from the true last observation, which the replay keeps.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct

from jaxrl_up import off_policy, ops
from jaxrl_up.envs import Env
from jaxrl_up.networks import QNetwork, q_network
from jaxrl_up.off_policy import Learner, State
from jaxrl_up.replay import Transitions
from jaxrl_up.types import Algorithm, Array, Key, Metrics, PyTree, static, traced


@struct.dataclass
class Config:
    """Fields of DQN. Numbers marked `traced` can be swept without recompiling."""

    total_steps: int = static(500_000, low=1)
    """environment steps per seed"""
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
    """part of total_steps over which epsilon falls, linearly"""
    tau: float = traced(1.0, 0.0, 1.0)
    """how far the target network moves to the online one, when it does; 1 copies"""
    target_every: int = static(250, low=1)
    """gradient steps between moves of the target network"""
    double: bool = static(False)
    """let the online network choose the action that the target network values"""
    dueling: bool = static(False)
    """separate streams for the value and the advantages"""
    loss: str = static("huber", choices=("huber", "squared"))
    """of the temporal-difference error; huber is linear beyond 1"""
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


FITTED_Q = {"target_every": 1, "tau": 1.0, "loss": "squared"}  # the target network is the online one


def network(config: Config, env: Env) -> QNetwork:
    """Observation -> values of all actions."""
    return q_network(config, env)


def q_values(config: Config, env: Env, params: PyTree, obs: Array) -> Array:
    """Q(s, a) of all actions `[..., A]`, for `obs [..., *shape]`."""
    return network(config, env).apply(params, obs)


def optimizer(config: Config) -> optax.GradientTransformation:
    """Adam without its step size."""
    return optax.scale_by_adam(eps=config.adam_epsilon)


def init(config: Config, env: Env, key: Key) -> State:
    """A fresh network, its copy as target, an empty replay and fresh environments."""
    params_key, state_key = jax.random.split(key)
    space = env.observation_space
    params = {"q": network(config, env).init(params_key, jnp.zeros((1, *space.shape), space.dtype))}
    return off_policy.init(config, env, state_key, Learner(params, params, {"q": optimizer(config).init(params["q"])}))


def loss(
    config: Config, env: Env, params: PyTree, target_params: PyTree, batch: Transitions
) -> tuple[Array, dict[str, Array]]:
    """The loss of algorithm 1 on a batch, and what it is made of."""
    value = ops.action_value(q_values(config, env, params, batch.obs), batch.action)
    next_values = q_values(config, env, target_params, batch.next_obs)
    if config.double:
        selector = q_values(config, env, params, batch.next_obs)
        target = ops.double_q_target(batch.reward, batch.discount, next_values, selector)
    else:
        target = ops.q_learning_target(batch.reward, batch.discount, next_values)
    error = jax.lax.stop_gradient(target) - value
    losses = optax.huber_loss(error) if config.loss == "huber" else 0.5 * jnp.square(error)
    total = jnp.mean(batch.weight * losses)
    return total, {"loss": total, "q_value": jnp.mean(value), "td_error": jnp.mean(jnp.abs(error))}


def update(config: Config, env: Env, state: State) -> tuple[State, Metrics]:
    """Algorithm 1: act epsilon-greedily into the replay, and after each step learn from a batch of it."""

    def learn(learner: Learner, batch: Transitions, noise: Any, step: Array) -> tuple[Learner, dict[str, Array]]:
        # perform a gradient descent step on (y - Q(s, a; theta))^2
        params, target_params, opt_state = learner
        gradient, losses = jax.grad(lambda q: loss(config, env, q, target_params["q"], batch), has_aux=True)(
            params["q"]
        )
        params, opt_state = off_policy.descend(
            optimizer(config), params, opt_state, {"q": gradient}, {"q": config.learning_rate}, config.max_grad_norm
        )
        # every C steps reset theta- = theta
        rate = jnp.where((step + 1) % config.target_every == 0, config.tau, 0.0)
        return Learner(params, off_policy.track(params, target_params, rate), opt_state), losses

    return off_policy.update(
        config,
        env,
        state,
        noise=lambda memory, key, shape: (off_policy.greedy_noise(env, key, shape), memory),
        explore=lambda learner, obs, noise, steps: off_policy.epsilon_greedy(
            q_values(config, env, learner.params["q"], obs), off_policy.epsilon(config, steps), noise
        ),
        learning_noise=off_policy.no_noise,
        learn=learn,
    )


def act(config: Config, env: Env, policy: PyTree, obs: Array, key: Key | None = None) -> Array:
    """The greedy action for `obs [..., *shape]`; with a key, a random one with probability `epsilon_end`."""
    values = q_values(config, env, policy, obs)
    if key is None:
        return jnp.argmax(values, axis=-1).astype(jnp.int32)
    return ops.EpsilonGreedy(values, config.epsilon_end).sample(key)


DQN = Algorithm(
    "dqn",
    Config,
    init,
    update,
    act,
    off_policy.steps_per_update,
    presets={"fitted_q": FITTED_Q},
    action_spaces=("Discrete",),
)
