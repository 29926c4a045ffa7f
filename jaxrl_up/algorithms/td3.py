"""Twin delayed deep deterministic policy gradient, TD3 (Fujimoto, van Hoof & Meger 2018, arXiv:1802.09477).

    a' = clip(mu'(s') + clip(N(0, target_noise), -c, c), -1, 1)                                        (eq. 14)
    y = r + gamma min(Q1'(s', a'), Q2'(s', a'))                                                        (eq. 10)

Both critics are fitted to y; every `policy_delay` gradient steps the actor ascends Q1 and the targets move
(algorithm 1). Actions live in [-1, 1] in every dimension, whatever the bounds of the environment, and so do both
kinds of noise. Of the losses reported, `actor_loss` is a mean over the gradient steps that moved the actor.

Deviations: batches of 256 and not 100; a replay of 100,000 and not all of 1,000,000 steps; hidden layers of 64 and 64
units and not 400 and 300. The first 1,000 actions are random, as on most of the paper's tasks (10,000 on two of them).
Noise that remembers (`ou`, `pink`) goes on across episodes. Targets of `n_step` > 1 are not corrected for rewards of
older policies.

Time limits: the target bootstraps from the true last observation, which the replay keeps.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import struct

from jaxrl_up import ops
from jaxrl_up.algorithms import ddpg
from jaxrl_up.envs import Env
from jaxrl_up.learning import Transitions, actor_critic, exploration, networks, off_policy, optimisation
from jaxrl_up.types import Algorithm, Array, Key, Mean, PyTree, static, traced


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


policy, explore, act = ddpg.policy, ddpg.explore, ddpg.act


def network(config: Config, env: Env) -> networks.ActorCritics:
    """The actor's output is squashed by tanh in `policy`; two critics."""
    return networks.actor_critic_network(config, env, ("action",), 2)


def init(config: Config, env: Env, key: Key) -> off_policy.State:
    """Fresh networks, their copies as targets, an empty replay and fresh environments."""
    return ddpg.begin(config, env, key, network(config, env))


def critic_loss(
    config: Config, env: Env, critic: PyTree, target_params: PyTree, batch: Transitions, noise: Array
) -> tuple[Array, dict[str, Array]]:
    """Mean squared error of both critics to y, from standard normal `noise [N, D]`."""
    net = network(config, env)
    smoothing = jnp.clip(config.target_noise * noise, -config.target_noise_clip, config.target_noise_clip)
    next_action = jnp.clip(policy(config, env, target_params["actor"], batch.next_obs) + smoothing, -1.0, 1.0)
    next_q1, next_q2 = net.critics(target_params["critic"], batch.next_obs, next_action)
    target = ops.clipped_double_q_target(batch.reward, batch.discount, next_q1, next_q2)
    values = net.critics(critic, batch.obs, batch.action)
    loss = actor_critic.critics_loss(values, target, batch.weight)
    return loss, {"critic_loss": loss, "q_value": jnp.mean(values)}


def actor_loss(config: Config, env: Env, actor: PyTree, critic: PyTree, batch: Transitions) -> Array:
    """-Q1(s, mu(s)), whose gradient is the deterministic policy gradient."""
    first = jax.tree.map(lambda x: x[:1], critic)
    action = policy(config, env, actor, batch.obs)
    return -jnp.mean(batch.weight * network(config, env).critics(first, batch.obs, action)[0])


def learn(
    config: Config, env: Env, learner: off_policy.Learner, batch: Transitions, noise: Array, step: Array
) -> off_policy.Learned:
    """One iteration of algorithm 1 on a mini-batch of N transitions."""
    # update the critics by minimising (y - Q_i(s, a))^2
    gradient, losses = jax.grad(critic_loss, argnums=2, has_aux=True)(
        config, env, learner.params["critic"], learner.target_params, batch, noise
    )
    learner = actor_critic.step_along(config, learner, {"critic": gradient})

    # every d steps: update the actor by the deterministic policy gradient, and the targets
    def delayed(learner: off_policy.Learner) -> tuple[off_policy.Learner, Mean]:
        loss, gradient = jax.value_and_grad(actor_loss, argnums=2)(
            config, env, learner.params["actor"], learner.params["critic"], batch
        )
        learner = actor_critic.step_along(config, learner, {"actor": gradient})
        targets = optimisation.track(learner.params, learner.target_params, config.tau)
        return learner._replace(target_params=targets), Mean(loss, jnp.int32(1))

    neither = Mean(jnp.float32(0.0), jnp.int32(0))
    learner, loss = jax.lax.cond(
        (step + 1) % config.policy_delay == 0, delayed, lambda learner: (learner, neither), learner
    )
    total = losses["critic_loss"] + config.policy_delay * loss.total  # on average, one actor's loss a step
    return learner, {"loss": total, "actor_loss": loss, **losses}, None


BROUGHT = off_policy.OffPolicy(
    learn, explore, exploration.action_noise, exploration.normal_noise
)  # the latter smooths the target

TD3 = Algorithm("td3", Config, init, BROUGHT.update, act, off_policy.steps_per_update, {"spinup": SPINUP}, ("Box",))
