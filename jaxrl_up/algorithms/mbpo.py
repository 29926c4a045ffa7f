"""Model-based policy optimisation, MBPO (Janner et al. 2019, arXiv:1906.08253, algorithm 2), on SAC.

    learn     an ensemble of p_theta(s', r | s, a) by maximum likelihood on what happened, D_env
    imagine   from states of D_env, k steps of the current policy in the ensemble, into D_model
    improve   SAC's gradient steps on batches from D_model

Steps that are imagined cost no step of the environment, so many more gradient steps can be made for each: as long as k
is short, the model has no room to stray. `gradient_steps` and `train_every` set how many; `real_fraction` of a batch is
of D_env, as in the authors' code.

Deviations: the model takes a gradient step every `model_every` of SAC's, and not epochs until a held-out loss stops
falling, and SAC learns from it from its `model_first`-th on; 5 members, all of them used, and not the best 5 of 7; two
hidden layers of 64 units and not four of 200, and no weight decay; each member counts transitions Poisson(1) times;
the likelihood's gradient is followed times sigma (beta-NLL, Seitzer et al. 2022, arXiv:2203.09168); `batch_size`
branches every `branch_every` gradient steps, 256 an environment step and not 400; the last 50,000 imagined steps are
kept, and not 400,000 k; k is 3 throughout, where theirs is set by task, from 1 to 25, and may grow during the run; at
each step branches are dealt out to the members, and not one drawn for each; a branch that ends begins anew where it
began; endings are learned, where the authors give them; the first 200 actions are random and not 5,000; the entropy
aimed at is SAC's, and not set by task. Their numbers are those of their code. What SAC here differs in from its paper
holds: see there.

Time limits: a truncation is no end to the model, and branches know none.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct

from jaxrl_up.algorithms import sac
from jaxrl_up.envs import Env
from jaxrl_up.learning import Transitions, exploration, models, off_policy
from jaxrl_up.learning import replay as replay_buffer
from jaxrl_up.types import Algorithm, Array, Key, PyTree, static, traced


@struct.dataclass(frozen=True)
class Config(models.BesideFields, sac.Config):
    """Fields of MBPO. Numbers marked `traced` can be swept without recompiling."""

    n_step: ClassVar[int] = 1
    """steps of a transition, as a model has them"""

    total_steps: int = static(2_000, low=1)
    """environment steps per seed"""
    gradient_steps: int = static(20, low=1)
    """gradient steps at a time"""
    learning_starts: int = static(200, low=0)
    """environment steps before the first gradient step"""
    random_steps: int = static(200, low=0)
    """environment steps with uniformly random actions at first"""
    model_every: int = static(2, low=1)
    """gradient steps of the critics for one of the model"""
    branch_length: int = static(3, low=1)
    """k, imagined steps from a state that happened"""
    branch_every: int = static(20, low=1)
    """gradient steps between times that batch_size branches are imagined"""
    imagined_size: int = static(50_000, low=1)
    """imagined transitions kept"""
    real_fraction: float = traced(0.05, 0.0, 1.0)
    """of a batch, how much really happened"""


network, policy, explore, act = sac.network, sac.policy, sac.explore, sac.act


class Learner(NamedTuple):
    """What is learned, and what was imagined to learn from."""

    params: PyTree
    target_params: PyTree
    opt_state: PyTree
    imagined: models.Branches  # D_model, a ring `[R, ...]` of steps

    @property
    def acting(self) -> PyTree:
        """What `act` needs of it."""
        return self.params["actor"]


def branch(config: Config, env: Env, params: PyTree, obs: Array, key: Key) -> models.Branches:
    """k steps of the current policy in the ensemble from `obs [N, D]`, `[k * N, ...]`."""

    def acted(obs: Array, key: Key) -> Array:
        normal = exploration.normal_noise(config, env, key, obs.shape[:1])
        return policy(config, env, params["actor"], obs).sample_with(normal)

    ensemble = models.ensemble_beside(config, env)
    steps = models.branch(config, env, ensemble, params["model"], acted, obs, key, config.branch_length)
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), steps)


def init(config: Config, env: Env, key: Key) -> off_policy.State:
    """Random networks and nothing that happened or was imagined: `Algorithm.init`.

    Raises `ValueError` for an `imagined_size` that does not hold the branches of one time.
    """
    state = BROUGHT.init(config, env, key)
    number = config.batch_size * config.branch_length
    if config.imagined_size < number:
        raise ValueError(f"imagined_size={config.imagined_size} must be at least batch_size * branch_length = {number}")
    obs = jnp.zeros((config.batch_size, models.ensemble_beside(config, env).size), jnp.float32)
    steps = jax.eval_shape(lambda: branch(config, env, state.learner.params, obs, jax.random.key(0)))
    times = config.imagined_size // number
    empty = jax.tree.map(lambda x: jnp.zeros((times * number, *x.shape[1:]), x.dtype), steps)
    return state._replace(learner=Learner(*state.learner, empty))


def learn(
    config: Config, env: Env, learner: Any, batch: Transitions, noise: tuple[Any, Array, Array], step: Array
) -> off_policy.Learned:
    """One gradient step of SAC, and of the model, on a minibatch of N transitions; from time to time N branches."""
    sac_noise, bits, seed = noise
    # train the model on D_env
    learner, fit = models.fit_sometimes(config, env, learner, batch, step)

    # perform k-step rollouts of the policy from states of D_env, and add them to D_model
    time, number = step // config.branch_every, config.batch_size * config.branch_length
    times = learner.imagined.reward.shape[0] // number

    def imagine() -> models.Branches:
        steps = branch(config, env, learner.params, batch.obs, jax.random.key(seed))
        place = time % times * number

        def write(kept: Array, new: Array) -> Array:
            return jax.lax.dynamic_update_slice_in_dim(kept, new.astype(kept.dtype), place, 0)

        return jax.tree.map(write, learner.imagined, steps)

    imagined = jax.lax.cond(step % config.branch_every == 0, imagine, lambda: learner.imagined)
    learner = learner._replace(imagined=imagined)

    # update the policy on data of the model
    drawn = replay_buffer.below(bits, jnp.uint32(jnp.minimum(time + 1, times) * number))
    fraction = jnp.where(step < config.model_first, 1.0, config.real_fraction)
    mixed = mix(config, batch, jax.tree.map(lambda x: x[drawn], imagined), fraction)
    learner, losses, _ = sac.learn(config, env, learner, mixed, sac_noise, step)
    return learner, {**losses, **fit}, None


def mix(config: Config, batch: Transitions, steps: models.Branches, fraction: Array | float) -> Transitions:
    """The first `fraction` of a batch, and imagined steps `[N]` for the rest."""
    real = jnp.arange(config.batch_size) < fraction * config.batch_size

    def choose(x: Array, y: Array) -> Array:
        return jnp.where(real.reshape(-1, *[1] * (x.ndim - 1)), x, y.astype(x.dtype))

    return batch._replace(
        obs=choose(batch.obs, steps.obs),
        action=choose(batch.action, steps.action),
        reward=choose(batch.reward, steps.reward),
        discount=choose(batch.discount, jnp.where(steps.terminated, 0.0, config.gamma)),
        next_obs=choose(batch.next_obs, steps.next_obs),
        weight=jnp.where(real, batch.weight, 1.0),
    )


def learning_noise(config: Config, env: Env, key: Key, shape: tuple[int, ...]) -> tuple[Any, Array, Array]:
    """What SAC's losses draw, bits `[*shape]` to draw imagined steps by, and a seed for the chances of branches."""
    sac_key, bits_key, branch_key = jax.random.split(key, 3)
    sac_noise = sac.learning_noise(config, env, sac_key, shape)
    return sac_noise, jax.random.bits(bits_key, shape, jnp.uint32), jax.random.bits(branch_key, shape[:-1], jnp.uint32)


BROUGHT = sac.BROUGHT._replace(networks=(network, models.beside_network), learn=learn, learning_noise=learning_noise)
update = BROUGHT.update

MBPO = Algorithm(
    "mbpo",
    Config,
    init,
    update,
    act,
    off_policy.steps_per_update,
    action_spaces=("Box",),
    initial_memory=exploration.initial_noise,
    greedy_memory=False,
)
