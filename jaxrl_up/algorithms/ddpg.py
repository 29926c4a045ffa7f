"""Deep deterministic policy gradient (Lillicrap et al. 2016, arXiv:1509.02971).

    y = r + gamma Q'(s', mu'(s')),    minimise (y - Q(s, a))^2,    ascend Q(s, mu(s))            (algorithm 1)

with target networks Q' and mu' that follow by Polyak averaging. Actions live in [-1, 1] in every dimension,
whatever the bounds of the environment, and exploration adds noise there.

Deviations: white noise, where the paper has an Ornstein-Uhlenbeck process (`exploration_noise="ou"`), which starts
anew in every episode there and goes on across episodes here; the first 1,000 actions are random; tau is 0.005 and not
0.001; the actor's step size is 1e-3 and not 1e-4; batches of 256 and not 64; a replay of 100,000 and not 1,000,000;
hidden layers of 64 and 64 units and not 400 and 300; a vector observation meets the action in the critic's first layer
and not in its second; no weight decay on the critic, where the paper has 0.01; no batch normalisation; last layers
begin like the others, and not near zero. Targets of `n_step` > 1 are not corrected for rewards of older policies.

Time limits: the target bootstraps from the true last observation, which the replay keeps.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from jaxrl_up import ops
from jaxrl_up.config import as_key
from jaxrl_up.envs import Env
from jaxrl_up.learning import Transitions, actor_critic, exploration, networks, off_policy, optimisation
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


def init(config: Any, env: Env, key: Key) -> off_policy.State:
    """Fresh networks, their copies as targets, an empty replay and fresh environments."""
    return begin(config, env, key, network(config, env))


def begin(config: Any, env: Env, key: Key, network: networks.ActorCritics) -> off_policy.State:
    """Initialise critic and actor with random weights, the targets with the same, the replay and the noise."""
    params_key, noise_key, state_key = jax.random.split(as_key(key), 3)
    params = network.init(params_key)
    learner = off_policy.Learner(params, params, actor_critic.init_optimizers(config, params))
    return off_policy.init(config, env, state_key, learner, exploration.init_noise(config, env, noise_key))


def explore(config: Any, env: Env, learner: off_policy.Learner, obs: Array, noise: Any, env_steps: Array) -> Array:
    """Select the action a = mu(s) + N according to the current policy and exploration noise; at first any."""
    normal, uniform = noise

    def action() -> Array:
        return jnp.clip(policy(config, env, learner.params["actor"], obs) + config.noise_scale * normal, -1.0, 1.0)

    return exploration.random_first(config, env_steps, uniform, action)


def critic_loss(
    config: Config, env: Env, critic: PyTree, target_params: PyTree, batch: Transitions
) -> tuple[Array, dict[str, Array]]:
    """Mean squared error to y (algorithm 1)."""
    net = network(config, env)
    next_action = policy(config, env, target_params["actor"], batch.next_obs)
    next_value = net.critics(target_params["critic"], batch.next_obs, next_action)[0]
    target = ops.td_target(batch.reward, batch.discount, next_value)
    values = net.critics(critic, batch.obs, batch.action)
    loss = actor_critic.critics_loss(values, target, batch.weight)
    return loss, {"critic_loss": loss, "q_value": jnp.mean(values)}


def actor_loss(config: Config, env: Env, actor: PyTree, critic: PyTree, batch: Transitions) -> Array:
    """-Q(s, mu(s)), whose gradient is the deterministic policy gradient (eq. 6)."""
    action = policy(config, env, actor, batch.obs)
    return -jnp.mean(batch.weight * network(config, env).critics(critic, batch.obs, action)[0])


def learn(
    config: Config, env: Env, learner: off_policy.Learner, batch: Transitions, noise: Any, step: Array
) -> off_policy.Learned:
    """One gradient step on a random minibatch of transitions from the replay."""
    # update the critic by minimising (y - Q(s, a))^2
    gradient, losses = jax.grad(critic_loss, argnums=2, has_aux=True)(
        config, env, learner.params["critic"], learner.target_params, batch
    )
    learner = actor_critic.step_along(config, learner, {"critic": gradient})
    # update the actor policy using the sampled policy gradient
    loss, gradient = jax.value_and_grad(actor_loss, argnums=2)(
        config, env, learner.params["actor"], learner.params["critic"], batch
    )
    learner = actor_critic.step_along(config, learner, {"actor": gradient})
    # update the target networks: theta' <- tau theta + (1 - tau) theta'
    learner = learner._replace(target_params=optimisation.track(learner.params, learner.target_params, config.tau))
    return learner, {"loss": losses["critic_loss"] + loss, "actor_loss": loss, **losses}, None


def act(config: Any, env: Env, actor: PyTree, obs: Array, key: Key | None = None) -> Array:
    """Actions in the environment's own bounds for `obs [..., *shape]`; with a key, exploration noise is added."""
    action = policy(config, env, actor, obs)
    if key is not None:
        noise = jax.random.normal(as_key(key), action.shape, jnp.float32)
        action = jnp.clip(action + config.noise_scale * noise, -1.0, 1.0)
    return actor_critic.to_env(action, env)


BROUGHT = off_policy.OffPolicy(learn, explore, exploration.action_noise)

DDPG = Algorithm("ddpg", Config, init, BROUGHT.update, act, off_policy.steps_per_update, {"spinup": SPINUP}, ("Box",))
