"""Deep deterministic policy gradient (Lillicrap et al. 2016, arXiv:1509.02971).

    y = r + gamma Q'(s', mu'(s')),    minimise (y - Q(s, a))^2,    ascend Q(s, mu(s))            (algorithm 1)

with target networks Q' and mu' that follow by Polyak averaging. Actions live in [-1, 1] in every dimension,
whatever the bounds of the environment, and exploration adds noise there.

Deviations: white noise, where the paper has an Ornstein-Uhlenbeck process (`exploration_noise="ou"`); the
first 1,000 actions are random; tau is 0.005 and not 0.001; the actor's step size is 1e-3 and not 1e-4; batches of 256
and not 64; a replay of 100,000 and not 1,000,000; hidden layers of 64 and 64 units and not 400 and 300; a vector
observation meets the action in the critic's first layer and not in its second; no weight decay on the critic, where the
paper has 0.01; no batch normalisation; last layers begin like the others, and not near zero. Targets of `n_step` > 1
are not corrected for rewards of older policies.

Time limits: the target bootstraps from the true last observation, which the replay keeps.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from jaxrl_up import ops
from jaxrl_up.config import as_key
from jaxrl_up.envs import Env, from_unit
from jaxrl_up.learning import Loss, Transitions, actor_critic, exploration, networks, off_policy
from jaxrl_up.types import Algorithm, Array, Key, PyTree, traced


@struct.dataclass(frozen=True)
class Config(actor_critic.ContinuousFields):
    """Fields of DDPG. Numbers marked `traced` can be swept without recompiling."""

    noise_scale: float = traced(0.1, 0.0)
    """standard deviation of the exploration noise; actions span [-1, 1]"""


SPINUP = actor_critic.SPINUP | {"noise_scale": 0.1}  # of the half width of the action's range: actions live in [-1, 1]


def network(config: Any, env: Env) -> networks.ActorCritics:
    """The actor's output is squashed by tanh in `policy`; one critic."""
    return networks.actor_critic_network(config, env, ("action",), 1)


def policy(config: Any, env: Env, actor: PyTree, obs: Array) -> Array:
    """mu(s) in [-1, 1], `[..., D]`."""
    return jnp.tanh(network(config, env).actor(actor, obs)[0])


def explore(
    config: Any, env: Env, learner: Any, obs: PyTree, memory: PyTree, noise: Any, env_steps: Array
) -> tuple[Array, PyTree]:
    """Select the action a = mu(s) + N according to the current policy and exploration noise; at first any."""
    drawn, uniform = noise
    normal, memory = exploration.coloured(config, memory, drawn)

    def action() -> Array:
        return jnp.clip(policy(config, env, learner.params["actor"], obs) + config.noise_scale * normal, -1.0, 1.0)

    return exploration.random_first(config, env_steps, uniform, action), memory


def critic_loss(config: Any, env: Env, params: PyTree, targets: PyTree, batch: Transitions, noise: Any) -> Loss:
    """Mean squared error to y (algorithm 1)."""
    net = network(config, env)
    next_action = policy(config, env, targets["actor"], batch.next_obs)
    next_value = net.critics(targets["critic"], batch.next_obs, next_action)[0]
    target = ops.td_target(batch.reward, batch.discount, next_value)
    return actor_critic.critics_loss(net.critics(params["critic"], batch.obs, batch.action), target, batch.weight)


def actor_loss(config: Any, env: Env, params: PyTree, targets: PyTree, batch: Transitions, noise: Any) -> Loss:
    """-Q(s, mu(s)) of the first critic, whose gradient is the deterministic policy gradient (eq. 6)."""
    first = jax.tree.map(lambda x: x[:1], params["critic"])
    action = policy(config, env, params["actor"], batch.obs)
    loss = -jnp.mean(batch.weight * network(config, env).critics(first, batch.obs, action)[0])
    return loss, {"actor_loss": loss}


def learn(
    config: Any,
    env: Env,
    learner: Any,
    batch: Transitions,
    noise: Any,
    step: Array,
    critic_loss: Any = critic_loss,
) -> off_policy.Learned:
    """One gradient step on a random minibatch of transitions from the replay."""
    critic_rate, actor_rate = actor_critic.critic_rate(config), config.learning_rate
    # update the critic by minimising (y - Q(s, a))^2
    learner, critic = off_policy.descend("critic", critic_loss, critic_rate, config, env, learner, batch, noise)
    # update the actor policy using the sampled policy gradient
    learner, actor = off_policy.descend("actor", actor_loss, actor_rate, config, env, learner, batch, noise)
    # update the target networks: theta' <- tau theta + (1 - tau) theta'
    learner = off_policy.track(learner, config.tau)
    return learner, {"loss": critic["critic_loss"] + actor["actor_loss"], **critic, **actor}, None


def act(
    config: Any, env: Env, actor: PyTree, obs: PyTree, memory: PyTree = (), key: Key | None = None
) -> tuple[Array, PyTree]:
    """Actions in the environment's own bounds for `obs [..., *shape]`; with a key, exploration noise is added."""
    action = policy(config, env, actor, obs)
    if key is not None:
        drawn = exploration.normals(config, env, as_key(key), action.shape[:-1])
        normal, memory = exploration.coloured(config, memory, drawn)
        action = jnp.clip(action + config.noise_scale * normal, -1.0, 1.0)
    return from_unit(action, env.action_space), memory


BROUGHT = off_policy.OffPolicy(
    networks=(network,),
    targets=("actor", "critic"),
    learn=learn,
    explore=explore,
    acting_noise=exploration.action_noise,
    initial_memory=exploration.initial_noise,
)
init, update = BROUGHT.init, BROUGHT.update

DDPG = Algorithm(
    "ddpg",
    Config,
    init,
    update,
    act,
    off_policy.steps_per_update,
    {"spinup": SPINUP},
    ("Box",),
    initial_memory=exploration.initial_noise,
    greedy_memory=False,
)
