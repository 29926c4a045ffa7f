"""Deep Q-learning (Mnih et al. 2015, doi:10.1038/nature14236), and Q-learning with function fitting as its preset.

    L(theta) = E[l(r + gamma max_a' Q(s', a'; theta-) - Q(s, a; theta))],    l Huber or squared       (algorithm 1)

on minibatches from a replay, with a target network theta- that follows theta: a copy every `target_every` gradient
steps, or with `tau` < 1 a part of the way (Polyak averaging). Switches: `double` (van Hasselt et al. 2016, eq. 4),
`dueling` (Wang et al. 2016, eq. 9), n-step returns (`n_step`), which stop at the end of an episode, and prioritised
replay (`prioritized`, Schaul et al. 2016, algorithm 1).

Preset `atari`: the numbers of the paper, for images of 84 pixels a side in a stack of four, with Adam as Hessel et al.
(2018) have it.

Deviations: Adam with a step size of 5e-4, where the paper has RMSProp with 2.5e-4; a squared loss, where the paper
clips the error to [-1, 1], as `loss="huber"` does; batches of 128 and not 32; a replay of 10,000 transitions and not
1,000,000, learned from after 1,000 steps and not 50,000; a gradient step for every 8 environment steps, one of each of
8 environments, and not for every 4 of one; a copy to the target network every 50 gradient steps and not 10,000;
epsilon falls to 0.05 and not 0.1, over half of the steps and not a fiftieth; on vectors two layers of 64 units, where
the paper has convolutions and a layer of 512. Targets of `n_step` > 1 are not corrected for rewards of older policies.

Time limits: the target bootstraps from the true last observation, which the replay keeps.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import optax
from flax import struct

from jaxrl_up import ops
from jaxrl_up.config import as_key
from jaxrl_up.envs import Env, from_unit, mask_of
from jaxrl_up.learning import Loss, Transitions, exploration, networks, off_policy, q_learning
from jaxrl_up.types import Algorithm, Array, Key, PyTree, static


@struct.dataclass(frozen=True)
class Config(q_learning.Fields):
    """Fields of DQN. Numbers marked `traced` can be swept without recompiling."""

    buffer_size: int = static(10_000, low=2)
    loss: str = static("squared", choices=("huber", "squared"))
    """of the temporal-difference error; huber is linear beyond 1"""


ATARI = {
    "total_steps": 50_000_000,
    "num_envs": 1,
    "train_every": 4,
    "batch_size": 32,
    "buffer_size": 1_000_000,
    "learning_starts": 50_000,
    "target_every": 10_000,
    "hidden": (512,),
    "loss": "huber",
    "learning_rate": 6.25e-5,
    "adam_epsilon": 1.5e-4,
    "epsilon_end": 0.1,
    "exploration_fraction": 0.02,
}
PRESETS = {
    "fitted_q": {"target_every": 1, "tau": 1.0, "loss": "squared"},  # the target network is the online one
    "atari": ATARI,
}


def network(config: Config, env: Env) -> networks.QFunction:
    """Observation -> action values `[..., A]`."""
    return networks.q_network(config, env, dueling=config.dueling)


def q_values(config: Config, env: Env, params: PyTree, obs: Array) -> Array:
    """Q(s, a) of all actions `[..., A]`, for `obs [..., *shape]`."""
    return network(config, env).apply(params, obs)


def explore(
    config: Any,
    env: Env,
    learner: Any,
    obs: PyTree,
    memory: PyTree,
    noise: Any,
    env_steps: Array,
    q_values: Any = q_values,
) -> tuple[Array, PyTree]:
    """With probability epsilon select a random action, otherwise a = argmax_a Q(s, a; theta)."""
    values = q_values(config, env, learner.params["q"], obs)
    epsilon = exploration.epsilon(config, env_steps)
    return exploration.epsilon_greedy(values, epsilon, noise, mask_of(env.observation_space, obs)), memory


def loss(config: Config, env: Env, params: PyTree, targets: PyTree, batch: Transitions, noise: Any) -> Loss:
    """The loss of algorithm 1 on a batch, what it is made of, and what ranks the rows."""
    value = ops.action_value(q_values(config, env, params["q"], batch.obs), batch.action)
    # y = r + gamma max_a' Q^(s', a'; theta-), or r where the episode terminated
    next_values = q_values(config, env, targets["q"], batch.next_obs)
    mask = mask_of(env.observation_space, batch.next_obs)
    if config.double:
        selector = q_values(config, env, params["q"], batch.next_obs)
        target = ops.double_q_target(batch.reward, batch.discount, next_values, selector, mask=mask)
    else:
        target = ops.q_learning_target(batch.reward, batch.discount, next_values, mask=mask)
    error = off_policy.stopped(target, batch.weight) - value
    losses = optax.huber_loss(error) if config.loss == "huber" else 0.5 * jnp.square(error)
    total = jnp.mean(batch.weight * losses)
    return total, ({"loss": total, "q_value": jnp.mean(value), "td_error": jnp.mean(jnp.abs(error))}, error)


def learn(
    config: Any, env: Env, learner: Any, batch: Transitions, noise: Any, step: Array, loss: Any = loss
) -> off_policy.Learned:
    """One gradient step on a minibatch of random transitions from the replay."""
    # perform a gradient descent step on (y - Q(s, a; theta))^2 with respect to theta
    learner, (losses, error) = off_policy.descend(
        "q", loss, config.learning_rate, config, env, learner, batch, noise, q_learning.optimizer
    )
    # every C steps reset Q^ = Q
    rate = jnp.where((step + 1) % config.target_every == 0, config.tau, 0.0)
    return off_policy.track(learner, rate), losses, error


def act(
    config: Any,
    env: Env,
    policy: PyTree,
    obs: PyTree,
    memory: PyTree = (),
    key: Key | None = None,
    q_values: Any = q_values,
) -> tuple[Array, PyTree]:
    """The greedy action for `obs [..., *shape]`; with a key, any with probability `epsilon_end`."""
    distribution = ops.EpsilonGreedy(
        q_values(config, env, policy, obs), config.epsilon_end, mask_of(env.observation_space, obs)
    )
    action = distribution.mode() if key is None else distribution.sample(as_key(key))
    return from_unit(action, env.action_space), memory


def judge(
    config: Any, env: Env, policy: PyTree, obs: PyTree, memory: PyTree = (), q_values: Any = q_values
) -> dict[str, Array]:
    """Q(s, a) of all actions `[..., A]`."""
    return {"values": q_values(config, env, policy, obs)}


BROUGHT = off_policy.OffPolicy(
    networks=(network,),
    targets=("q",),
    learn=learn,
    explore=explore,
    acting_noise=exploration.greedy_noise,
    init_priorities=q_learning.init_priorities,
    optimizer=q_learning.optimizer,
    learner=q_learning.QLearner,
)
init, update = BROUGHT.init, BROUGHT.update

DQN = Algorithm(
    "dqn",
    Config,
    init,
    update,
    act,
    off_policy.steps_per_update,
    PRESETS,
    ("Discrete",),
    q_learning.anneals,
    judge=judge,
)
