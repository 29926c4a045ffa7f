"""What DQN and its distributional relatives share: acting epsilon-greedily, and learning with a target network.

An algorithm brings `q_values(config, env, params, obs) -> [..., A]`, which the greedy action maximises, and
`loss(config, env, params, target_params, batch) -> (loss, (losses, error [N]))`. `error` is what prioritised replay
takes for the row's priority.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxrl_up import ops
from jaxrl_up.config import as_key, schedule_steps
from jaxrl_up.envs import Env
from jaxrl_up.learning import off_policy
from jaxrl_up.learning.networks import action_dims, q_network
from jaxrl_up.learning.off_policy import Learned, Learner, State
from jaxrl_up.learning.optimisation import descend, track
from jaxrl_up.learning.replay import Transitions
from jaxrl_up.types import Array, Key, Metrics, PyTree


def optimizer(config: Any) -> optax.GradientTransformation:
    """Adam without its step size, over all parameters as one vector: on CPU each small operation costs."""
    return optax.flatten(optax.scale_by_adam(eps=config.adam_epsilon))


def init(config: Any, env: Env, key: Key, atoms: int | None = None) -> State:
    """A fresh network, its copy as target, an empty replay and fresh environments."""
    params_key, state_key = jax.random.split(as_key(key))
    space = env.observation_space
    obs = jnp.zeros((1, *space.shape), space.dtype)
    params = {"q": q_network(config, env, atoms).init(params_key, obs)}
    return off_policy.init(config, env, state_key, Learner(params, params, {"q": optimizer(config).init(params["q"])}))


def update(
    config: Any, env: Env, state: State, q_values: Callable[..., Array], loss: Callable[..., Any]
) -> tuple[State, Metrics]:
    """Act epsilon-greedily into the replay, and after each step learn from a batch of it."""

    def learn(learner: Learner, batch: Transitions, noise: Any, step: Array) -> Learned:
        # perform a gradient descent step on the loss wrt theta
        params, target_params, opt_state = learner
        gradient, (losses, error) = jax.grad(lambda q: loss(config, env, q, target_params["q"], batch), has_aux=True)(
            params["q"]
        )
        params, opt_state = descend(
            optimizer(config), params, opt_state, {"q": gradient}, {"q": config.learning_rate}, config.max_grad_norm
        )
        # every C steps reset theta- = theta
        rate = jnp.where((step + 1) % config.target_every == 0, config.tau, 0.0)
        return Learner(params, track(params, target_params, rate), opt_state), losses, error

    def explore(learner: Learner, obs: Array, noise: Any, env_steps: Array) -> Array:
        values = q_values(config, env, learner.params["q"], obs)
        return epsilon_greedy(values, epsilon(config, env_steps), noise)

    return off_policy.update(
        config,
        env,
        state,
        noise=lambda memory, key, shape: (greedy_noise(env, key, shape), memory),
        explore=explore,
        learning_noise=off_policy.no_noise,
        learn=learn,
    )


def act(config: Any, env: Env, policy: PyTree, obs: Array, key: Key | None, q_values: Callable[..., Array]) -> Array:
    """The greedy action for `obs [..., *shape]`; with a key, any with probability `epsilon_end`."""
    values = q_values(config, env, policy, obs)
    if key is None:
        return jnp.argmax(values, axis=-1).astype(jnp.int32)
    return ops.EpsilonGreedy(values, config.epsilon_end).sample(as_key(key))


def epsilon(config: Any, env_steps: Array) -> Array:
    """The linear schedule from `epsilon_start` to `epsilon_end`, and flat from there on."""
    span = jnp.maximum(config.exploration_fraction * schedule_steps(config), 1.0)
    done = jnp.minimum(env_steps / span, 1.0)
    return config.epsilon_start + done * (config.epsilon_end - config.epsilon_start)


def anneals(config: Any) -> bool:
    """Whether anything depends on how long the schedules are: epsilon always does."""
    return True


def greedy_noise(env: Env, key: Key, shape: tuple[int, ...]) -> tuple[Array, Array, Array]:
    """What `epsilon_greedy` draws: a coin in [0, 1), an action, and a number per action to break ties."""
    coin_key, action_key, tie_key = jax.random.split(key, 3)
    number = action_dims(env.action_space)
    action = jax.random.randint(action_key, shape, 0, number, jnp.int32)
    coin = jax.random.uniform(coin_key, shape, jnp.float32)
    return coin, action, jax.random.uniform(tie_key, (*shape, number), jnp.float32)


def epsilon_greedy(q_values: Array, epsilon: Array, noise: tuple[Array, Array, Array]) -> Array:
    """A draw from `ops.EpsilonGreedy`: any action with probability epsilon, else a best one, ties at random."""
    coin, action, tie = noise
    best = q_values == jnp.max(q_values, axis=-1, keepdims=True)
    greedy = jnp.argmax(jnp.where(best, 1.0 + tie, 0.0), axis=-1).astype(jnp.int32)
    return jnp.where(coin < epsilon, action, greedy)
