"""Probabilistic ensembles with trajectory sampling, PETS (Chua et al. 2018, arXiv:1805.12114).

    learn    s' ~ N(mu_theta(s, a), Sigma_theta(s, a)), an ensemble of E networks          (section 4)
    act      the first action of the plan that earns most in it, by CEM                    (algorithm 1)

What a plan earns is the mean over P particles, each of which goes through one member of the ensemble for all of the
plan (TS-infinity, section 5.1). The reward and the termination are learned too, unless functions of them are given.
No policy is learned: acting is planning, in evaluation too.

Deviations: the likelihood's gradient is followed times sigma (beta-NLL, Seitzer et al. 2022, arXiv:2203.09168); a
transition counts Poisson(1) times for each member, in place of copies of the data; learning goes on every
`train_every` steps and does not wait for the end of a trial; reward and termination are learned, where theirs are
given; candidates are clipped to the bounds and vary smoothly over time (`plan_noise`), and not drawn independently from
a truncated normal distribution; the mean of the plan so far is one of them; `smoothing` is of the standard deviation
and not of the variance; two hidden layers of 64 units and not three of 500, and no weight decay; batches of 64 and not
32; 5 particles and not 20; 64 candidates and not 400; 6 elites and not 40; 3 rounds and not 5; plans of 20 steps and
not 25; a first standard deviation of half the range and not a quarter. Their numbers are those of their code for its
CartPole.

Time limits: a truncation is no end to the model, which learns from the true last observation.
"""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import struct

from jaxrl_up.config import shown
from jaxrl_up.envs import Discrete, Env, Model, from_unit
from jaxrl_up.learning import Transitions, exploration, models, off_policy, planning
from jaxrl_up.types import Algorithm, Array, Key, PyTree, static, traced


@struct.dataclass(frozen=True)
class Config(models.ModelFields, planning.SearchFields, off_policy.ReplayFields):
    """Fields of PETS. Numbers marked `traced` can be swept without recompiling."""

    n_step: ClassVar[int] = 1
    """steps of a transition, as a model has them"""

    total_steps: int = static(2_000, low=1)
    """environment steps per seed"""
    num_envs: int = static(1, low=1)
    """environments stepped together"""
    rollout_length: int = static(200, low=1)
    """steps per environment and update; learning happens between them"""
    train_every: int = static(50, low=1)
    """steps per environment between gradient steps; must divide rollout_length"""
    gradient_steps: int = static(250, low=1)
    """gradient steps at a time"""
    batch_size: int = static(64, low=1)
    """transitions per gradient step"""
    buffer_size: int = static(20_000, low=2)
    """transitions kept for replay"""
    learning_starts: int = static(200, low=0)
    """environment steps before the first gradient step"""
    random_steps: int = static(200, low=0)
    """environment steps with uniformly random actions at first"""
    learning_rate: float = traced(1e-3, 0.0)
    """Adam step size"""
    hidden: tuple[int, ...] = static((64, 64))
    """units of the hidden layers of each member"""
    activation: str = static("silu", choices=("tanh", "relu", "elu", "gelu", "silu"))
    """nonlinearity"""
    particles: int = static(5, low=1)
    """P, for each candidate; a multiple of members, or fewer"""
    gamma: float = traced(1.0, 0.01, 1.0)
    """discount per step of a plan"""


class Learner(off_policy.Learner):
    """The ensemble, `params["model"]`."""

    @property
    def acting(self) -> PyTree:
        """What `act` needs of it."""
        return self.params["model"]


def dynamics(config: Config, env: Env) -> models.Dynamics:
    """The ensemble of a config. Raises `ValueError` for particles that it cannot be shared out to."""
    if config.particles % config.members and config.particles > config.members:
        raise ValueError(f"particles={config.particles} must be a multiple of members={config.members}, or fewer")
    if config.network not in ("auto", "mlp", "linear"):
        raise ValueError(f"network={shown(config.network)}: models are mlp, as auto, or linear")
    hidden = () if config.network == "linear" else config.hidden
    return models.ensemble(config, env, hidden=hidden, activation=config.activation, initializer=config.initializer)


def network(config: Config, env: Env) -> models.Ensemble:
    """The ensemble's parameters, as the part "model"."""
    return models.Ensemble(dynamics(config, env))


def model(config: Config, env: Env) -> Model:
    """One member as a model whose states are observations and whose params are the member's."""
    return models.member_model(config, env, dynamics(config, env))


def plan(config: Config, env: Env, params: PyTree, obs: Array, memory: PyTree) -> tuple[PyTree, PyTree]:
    """The first unit action of the plan found for one observation, and the memory with the plan one step on."""
    ensemble, member_model = dynamics(config, env), model(config, env)
    members = min(config.particles, config.members)
    params = {**params, "networks": jax.tree.map(lambda x: x[:members], params["networks"])}

    def earned(plans: PyTree, key: Key) -> Array:
        """Means over the particles, of plans `[N, H, ...]`; all candidates meet the same chances."""
        chances = jax.random.split(key, (members, config.particles // members))

        def one(member: PyTree, key: Key, plan: PyTree) -> Array:
            return planning.imagined_return(member_model, member, obs, plan, key, config.gamma)

        def of_member(member: PyTree, chances: Array) -> Array:
            return jax.vmap(lambda key: jax.vmap(partial(one, member, key))(plans))(chances)

        return jnp.mean(ensemble.each(of_member, params, chances), axis=(0, 1))

    return planning.replan(config, env, memory, earned)


def explore(
    config: Config, env: Env, learner: Any, obs: PyTree, memory: PyTree, noise: PyTree, env_steps: Array
) -> tuple[PyTree, PyTree]:
    """At first any action, then the first of the best plan."""

    def planned() -> tuple[PyTree, PyTree]:
        return jax.vmap(partial(plan, config, env, learner.params["model"]))(obs, memory)

    if config.random_steps == 0:
        return planned()
    return jax.lax.cond(env_steps < config.random_steps, lambda: (noise, memory), planned)


def acting_noise(config: Config, env: Env, key: Key, shape: tuple[int, ...]) -> Array:
    """Uniform unit actions `[T, B, ...]`."""
    if isinstance(env.action_space, Discrete):
        return exploration.any_action(env, key, shape)
    return jax.random.uniform(key, (*shape, exploration.action_dims(env.action_space)), jnp.float32, -1.0, 1.0)


def learn(config: Config, env: Env, learner: Any, batch: Transitions, noise: Any, step: Array) -> off_policy.Learned:
    """One gradient step of all members on a minibatch of the data."""
    learner, losses = models.fit(dynamics(config, env), config.learning_rate, config, env, learner, batch)
    return learner, {"loss": losses["model_loss"] + losses["ending_loss"], **losses}, None


def act(
    config: Config, env: Env, policy: PyTree, obs: PyTree, memory: PyTree = (), key: Key | None = None
) -> tuple[PyTree, PyTree]:
    """Actions for `obs [..., D]`, and memories; what is drawn comes from the keys in the memories."""
    action, memory = planning.one_by_one(env, partial(plan, config, env, policy), obs, memory)
    return from_unit(action, env.action_space), memory


BROUGHT = off_policy.OffPolicy(
    networks=(network,),
    targets=(),
    learn=learn,
    explore=explore,
    acting_noise=acting_noise,
    initial_memory=planning.initial_plans,
    learner=Learner,
)
init, update = BROUGHT.init, BROUGHT.update

PETS = Algorithm(
    "pets",
    Config,
    init,
    update,
    act,
    off_policy.steps_per_update,
    initial_memory=planning.initial_plans,
)
