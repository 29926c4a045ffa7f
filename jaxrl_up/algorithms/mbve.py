"""Model-based value expansion, MBVE (Feinberg et al. 2018, arXiv:1803.00101), on DDPG or TD3 (`base`).

    tau_0 = (s_0, a_0, r_0, s_1) of the replay,   then t = 1 ... H:   a_t = mu'(s_t),   r_t, s_{t+1} = f(s_t, a_t)
    y_t = sum_{k=t}^H gamma^{k-t} r_k + gamma^{H+1-t} Q'(s_{H+1}, mu'(s_{H+1}))                        (section 3)
    minimise 1/(H+1) sum_{t=0}^H (y_t - Q(s_t, a_t))^2                       (the TD-k trick, section 3.1; algorithm 1)

where the model f, an ensemble, is learned from the same replay. So H steps of a target are a model's and the bootstrap
is H steps further off. With `horizon` 0 targets and gradient steps are the base's, bit for bit.
The actor learns as the base's does, from real states. Nothing is earned behind an imagined termination.

Deviations: imagined states have targets of their own only with `td_k`, by which actors here were held at a bound, as
the critic then sees mostly the target policy's own actions; an ensemble with members dealt out to the branches, where
the paper has one network; rewards and endings are learned too, where the paper's tasks give theirs; one gradient step
of the model for each of the critic, where algorithm 1 fits it first, and expanded targets from the `model_first`-th
on; with TD3 as base the noise that smooths its target is on the last action alone. What DDPG and TD3 differ in from
their papers holds: see there.

Time limits: a truncation is no end to the model, and targets go on from the true last observation.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import struct

from jaxrl_up import ops
from jaxrl_up.algorithms import ddpg, td3
from jaxrl_up.envs import Env
from jaxrl_up.learning import Loss, Transitions, actor_critic, exploration, models, networks, off_policy
from jaxrl_up.types import Algorithm, Array, Key, PyTree, static


@struct.dataclass(frozen=True)
class Config(models.BesideFields, td3.Config):
    """Fields of MBVE. Numbers marked `traced` can be swept without recompiling."""

    n_step: ClassVar[int] = 1
    """real steps of a transition, as a model has them"""

    base: str = static("ddpg", choices=("ddpg", "td3"))
    """what is built on: ddpg, which has no use for target_noise, target_noise_clip and policy_delay, or td3"""
    horizon: int = static(3, low=0)
    """H, imagined steps of a target"""
    td_k: bool = static(False)
    """whether the critic learns the targets of imagined states too (the TD-k trick), and not the real one's alone"""
    probabilistic: bool = static(False)
    """whether members predict variances too, and imagined steps are drawn"""


policy, explore, act = ddpg.policy, ddpg.explore, ddpg.act


def network(config: Config, env: Env) -> networks.ActorCritics:
    """The base's: an actor whose output is squashed by tanh in `policy`; one critic, or TD3's two."""
    return networks.actor_critic_network(config, env, ("action",), 2 if config.base == "td3" else 1)


def last_value(config: Config, env: Env, targets: PyTree, obs: Array, noise: Array) -> Array:
    """What the base bootstraps from at `obs [N, D]`: Q', or the smaller of two at an action that noise moved."""
    action = policy(config, env, targets["actor"], obs)
    if config.base == "td3":
        action = td3.smoothed(config, action, noise)
    return jnp.min(network(config, env).critics(targets["critic"], obs, action), axis=0)


def expand(
    config: Config, env: Env, params: PyTree, targets: PyTree, batch: Transitions, noise: tuple[Array, ...]
) -> tuple[models.Branches, Array, Array]:
    """The steps tau_0 ... tau_H `[H + 1, N, ...]` from a batch of real ones, their targets y and whether they count."""
    smoothing, seed = noise
    real = models.Branches(batch.obs, batch.action, batch.reward, batch.discount == 0.0, batch.next_obs)
    steps = jax.tree.map(lambda x: x[None], real)
    if config.horizon:
        # imagine future transitions by the target policy

        def acted(obs: Array, key: Key) -> Array:
            return policy(config, env, targets["actor"], obs)

        ensemble = models.ensemble_beside(config, env)
        read = ((batch.discount != 0.0) & (batch.weight != 0.0))[:, None]
        begun = jnp.where(read, batch.next_obs, batch.obs)  # where a step ended, what follows is of another episode
        ahead = models.branch(
            config, env, ensemble, params["model"], acted, begun, jax.random.key(seed), config.horizon
        )
        steps = jax.tree.map(lambda x, y: jnp.concatenate([x, y]), steps, ahead)

    # the H-step expansion of each
    discount = jnp.concatenate([batch.discount[None], jnp.where(steps.terminated[1:], 0.0, config.gamma)])
    value = last_value(config, env, targets, steps.next_obs[-1], smoothing)
    target = ops.value_expansion(steps.reward, discount, value)
    goes_on = jnp.cumprod(1.0 - steps.terminated[:-1].astype(jnp.float32), axis=0)
    return steps, target, batch.weight[None] * jnp.concatenate([jnp.ones_like(target[:1]), goes_on])


def critic_loss(
    config: Config, env: Env, params: PyTree, targets: PyTree, batch: Transitions, noise: tuple[Array, ...]
) -> Loss:
    """Mean squared error to the targets of the real step and, by the TD-k trick, of those imagined.

    `noise` is what `learning_noise` draws, and whether the model is trusted yet: where not, to the base's target of the
    real step alone.
    """
    drawn, trusts = noise[:2], noise[2]
    steps, target, weight = jax.lax.stop_gradient(expand(config, env, params, targets, batch, drawn))
    if config.horizon and config.model_first:
        _, alone, _ = expand(dataclasses.replace(config, horizon=0), env, params, targets, batch, drawn)
        target = target.at[0].set(jnp.where(trusts, target[0], alone[0]))
        weight = weight.at[1:].set(jnp.where(trusts, weight[1:], 0.0))
    learned = config.horizon + 1 if config.td_k else 1
    rows = jax.tree.map(lambda x: x[:learned].reshape(-1, *x.shape[2:]), (steps.obs, steps.action, target, weight))
    obs, action, target, weight = rows
    return actor_critic.critics_loss(network(config, env).critics(params["critic"], obs, action), target, weight)


td3_learn = partial(td3.learn, critic_loss=critic_loss)


def learn(
    config: Config, env: Env, learner: Any, batch: Transitions, noise: tuple[Array, Array], step: Array
) -> off_policy.Learned:
    """One iteration of algorithm 1 on a minibatch of N transitions."""
    # fit the dynamics
    learner, fit = models.fit_sometimes(config, env, learner, batch, step)
    # update actor, critics on expanded targets, and targets, as the base does: DDPG delays nothing
    base = config if config.base == "td3" else dataclasses.replace(config, policy_delay=1)
    learner, losses, _ = td3_learn(base, env, learner, batch, (*noise, step >= config.model_first), step)
    return learner, {**losses, **fit}, None


def learning_noise(config: Config, env: Env, key: Key, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """The noise that smooths TD3's target `[*shape, D]`, and a seed for the chances of imagined steps."""
    smoothing_key, model_key = jax.random.split(key)
    smoothing = exploration.normal_noise(config, env, smoothing_key, shape)
    return smoothing, jax.random.bits(model_key, shape[:-1], jnp.uint32)


BROUGHT = ddpg.BROUGHT._replace(networks=(network, models.beside_network), learn=learn, learning_noise=learning_noise)
init, update = BROUGHT.init, BROUGHT.update

MBVE = Algorithm(
    "mbve",
    Config,
    init,
    update,
    act,
    off_policy.steps_per_update,
    {"td3": {"base": "td3"}},
    ("Box",),
    initial_memory=exploration.initial_noise,
    greedy_memory=False,
)
