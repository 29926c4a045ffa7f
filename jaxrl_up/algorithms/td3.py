"""Twin delayed deep deterministic policy gradient, TD3 (Fujimoto, van Hoof & Meger 2018, arXiv:1802.09477).

    a' = clip(mu'(s') + clip(N(0, target_noise), -c, c), -1, 1)                                        (eq. 14)
    y = r + gamma min(Q1'(s', a'), Q2'(s', a'))                                                        (eq. 10)

Both critics are fitted to y; every `policy_delay` gradient steps the actor ascends Q1 and the targets move
(algorithm 1). Actions live in [-1, 1] in every dimension, whatever the bounds of the environment, and so do both
kinds of noise. Of the losses reported, `actor_loss` is a mean over the gradient steps that moved the actor.

Deviations: batches of 256 and not 100; a replay of 100,000 and not all of 1,000,000 steps; hidden layers of 64 and 64
units and not 400 and 300. The first 1,000 actions are random, as on most of the paper's tasks (10,000 on two of them).
Targets of `n_step` > 1 are not corrected for rewards of older policies.

Time limits: the target bootstraps from the true last observation, which the replay keeps.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from jaxrl_up import ops
from jaxrl_up.algorithms import ddpg
from jaxrl_up.envs import Env
from jaxrl_up.learning import Loss, Transitions, actor_critic, exploration, networks, off_policy
from jaxrl_up.types import Algorithm, Array, Mean, PyTree, static, traced


@struct.dataclass(frozen=True)
class Config(actor_critic.ContinuousFields):
    """Fields of TD3. Numbers marked `traced` can be swept without recompiling."""

    noise_scale: float = traced(0.1, 0.0)
    """standard deviation of the exploration noise; actions span [-1, 1]"""
    target_noise: float = traced(0.2, 0.0)
    """standard deviation of the noise on the target policy's action"""
    target_noise_clip: float = traced(0.5, 0.0)
    """bound on that noise"""
    policy_delay: int = static(2, low=1)
    """gradient steps of the critics for one of the actor and the targets"""


SPINUP = ddpg.SPINUP | {
    "noise_scale": 0.1,  # of the half width of the action's range: actions live in [-1, 1]
    "target_noise": 0.2,  # likewise
    "target_noise_clip": 0.5,  # likewise
    "policy_delay": 2,
}

policy, explore, actor_loss, act = ddpg.policy, ddpg.explore, ddpg.actor_loss, ddpg.act


def network(config: Any, env: Env) -> networks.ActorCritics:
    """The actor's output is squashed by tanh in `policy`; two critics."""
    return networks.actor_critic_network(config, env, ("action",), 2)


def smoothed(config: Any, action: Array, noise: Array) -> Array:
    """The target policy's `action [N, D]`, moved by clipped noise (eq. 14), from standard normal `noise [N, D]`."""
    smoothing = jnp.clip(config.target_noise * noise, -config.target_noise_clip, config.target_noise_clip)
    return jnp.clip(action + smoothing, -1.0, 1.0)


def critic_loss(config: Any, env: Env, params: PyTree, targets: PyTree, batch: Transitions, noise: Array) -> Loss:
    """Mean squared error of both critics to y, from standard normal `noise [N, D]`."""
    net = network(config, env)
    next_action = smoothed(config, policy(config, env, targets["actor"], batch.next_obs), noise)
    next_q1, next_q2 = net.critics(targets["critic"], batch.next_obs, next_action)
    target = ops.clipped_double_q_target(batch.reward, batch.discount, next_q1, next_q2)
    return actor_critic.critics_loss(net.critics(params["critic"], batch.obs, batch.action), target, batch.weight)


def learn(
    config: Any,
    env: Env,
    learner: Any,
    batch: Transitions,
    noise: Any,
    step: Array,
    critic_loss: Any = critic_loss,
) -> off_policy.Learned:
    """One iteration of algorithm 1 on a mini-batch of N transitions."""
    critic_rate, actor_rate = actor_critic.critic_rate(config), config.learning_rate
    # update the critics by minimising (y - Q_i(s, a))^2
    learner, critic = off_policy.descend("critic", critic_loss, critic_rate, config, env, learner, batch, noise)

    # every d steps: update the actor by the deterministic policy gradient, and the targets
    def delayed(learner: off_policy.Learner) -> tuple[off_policy.Learner, Mean]:
        learner, actor = off_policy.descend("actor", actor_loss, actor_rate, config, env, learner, batch, noise)
        return off_policy.track(learner, config.tau), Mean(actor["actor_loss"], jnp.int32(1))

    neither = Mean(jnp.float32(0.0), jnp.int32(0))
    learner, loss = jax.lax.cond(
        (step + 1) % config.policy_delay == 0, delayed, lambda learner: (learner, neither), learner
    )
    total = critic["critic_loss"] + config.policy_delay * loss.total  # on average, one actor's loss a step
    return learner, {"loss": total, "actor_loss": loss, **critic}, None


# normal noise smooths the target
BROUGHT = ddpg.BROUGHT._replace(networks=(network,), learn=learn, learning_noise=exploration.normal_noise)
init, update = BROUGHT.init, BROUGHT.update

TD3 = Algorithm(
    "td3",
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
