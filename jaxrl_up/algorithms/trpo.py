"""Trust Region Policy Optimization (Schulman et al. 2015, arXiv:1502.05477).

    maximize E[pi(a|s) / pi_old(a|s) A]   subject to   E[KL(pi_old(.|s) || pi(.|s))] <= delta            (eq. 14)

The step is s = sqrt(2 delta / x'Hx) x with x = H^-1 g by conjugate gradient, H the Hessian of the KL, its
products by forward-over-reverse differentiation (appendix C); then the longest fraction decay^j of s that
improves the surrogate within delta. Without `line_search` the full step is taken: the natural policy gradient
(Kakade 2001), preset `natural_gradient`. The KL is exact, KL(old || new), and a head without one is
refused. With `shared` the critic's steps train its head alone. Under vmap the line search lasts until every seed is
done.

Deviations: advantages are GAE with a critic (Schulman et al. 2016), where the paper has sums of the rewards that
followed; they are normalised over the batch; the critic is fitted by `value_steps` steps of Adam, in units of its
targets; H has `damping` on its diagonal, in the length of the step as well, where the paper has the undamped matrix.

Time limits: the value of the true successor is bootstrapped (see `on_policy`).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import struct

from jaxrl_up import ops
from jaxrl_up.envs import Env
from jaxrl_up.learning import on_policy
from jaxrl_up.types import Algorithm, Array, Key, Metrics, PyTree, static, traced


@struct.dataclass(frozen=True)
class Config(on_policy.Fields):
    """Fields of TRPO. Numbers marked `traced` can be swept without recompiling."""

    delta: float = traced(0.01, 0.0)
    """trust region: the mean KL(old || new) allowed, in nats"""
    damping: float = traced(0.1, 0.0)
    """added to the diagonal of the Fisher matrix"""
    cg_iterations: int = static(10, low=1)
    """steps of conjugate gradient"""
    line_search: bool = static(True)
    """shorten the step until the surrogate improves within delta; without, natural gradient"""
    backtrack_steps: int = static(10, low=1)
    """fractions tried by the line search"""
    backtrack_decay: float = traced(0.8, 0.0, 1.0)
    """each fraction is this times the last one"""
    learning_rate: float = traced(1e-3, 0.0)
    """Adam step size of the critic"""
    value_steps: int = static(20, low=0)
    """critic steps per batch, each over the whole batch"""
    adam_epsilon: float = traced(1e-8, 0.0)
    """added to Adam's denominator"""
    normalize_advantages: bool = static(True)
    """zero mean, unit variance over the batch; a batch of one row is left as it is"""


SPINUP = on_policy.SPINUP | {"value_steps": 80}


def init(config: Config, env: Env, key: Key) -> on_policy.State:
    """Fresh networks, an optimiser of the critic alone, and environments."""
    on_policy.require_kl(config, env, "trpo", "choose another head, or ppo, which needs none")
    return on_policy.init(config, env, key, parts=("critic",))


def update(config: Config, env: Env, state: on_policy.State) -> tuple[on_policy.State, Metrics]:
    """Algorithm 1 of Spinning Up's TRPO."""
    key, rollout_key = jax.random.split(state.key)

    # collect trajectories by running pi_k; estimate advantages
    collected = on_policy.collect(config, env, state, rollout_key)
    batch = collected.batch
    if config.normalize_advantages:
        batch = on_policy.normalize_advantages(batch)
    learner, actor = collected.learner, collected.learner.params["actor"]
    policy = on_policy.network(config, env).policy
    old = jax.lax.stop_gradient(policy(actor, batch.obs))

    def surrogate(actor: PyTree) -> Array:
        return ops.surrogate_loss(policy(actor, batch.obs).log_prob(batch.action), batch.log_prob, batch.advantage)

    def kl(actor: PyTree) -> Array:
        return jnp.mean(old.kl(policy(actor, batch.obs)))

    # g_k, then x_k = H_k^-1 g_k by conjugate gradient
    loss_before, gradient = jax.value_and_grad(surrogate)(actor)
    fisher = ops.fisher_operator(kl, actor, config.damping)
    direction = ops.conjugate_gradient(fisher, jax.tree.map(jnp.negative, gradient), config.cg_iterations)

    # the full step has quadratic KL delta
    products = jax.tree.map(jnp.vdot, direction, fisher(direction))
    length = jnp.sqrt(2.0 * config.delta / jnp.maximum(sum(jax.tree.leaves(products)), 1e-8))
    full_step = jax.tree.map(lambda x: length * x, direction)

    # backtrack to the first fraction that improves the surrogate and satisfies the constraint
    if config.line_search:
        search = ops.backtracking_line_search(
            lambda new: (surrogate(new) < loss_before) & (kl(new) <= config.delta),
            actor,
            full_step,
            config.backtrack_steps,
            config.backtrack_decay,
        )
        actor, fraction = search.params, search.fraction
    else:
        actor, fraction = jax.tree.map(jnp.add, actor, full_step), jnp.float32(1.0)
    losses = {
        "policy_loss": surrogate(actor),
        "kl": kl(actor),
        "step_fraction": fraction,
        "entropy": jnp.mean(old.entropy()),
    }

    # fit the value function by regression on the returns
    learner = learner._replace(params={**learner.params, "actor": actor})
    learner, value_loss = on_policy.fit_value(config, env, learner, batch, config.learning_rate)
    losses = {"loss": losses["policy_loss"] + value_loss.total, "value_loss": value_loss, **losses}
    return on_policy.finish(config, state, key, collected, learner, losses)


act = on_policy.act

TRPO = Algorithm(
    "trpo",
    Config,
    init,
    update,
    act,
    on_policy.steps_per_update,
    {"spinup": SPINUP, "natural_gradient": {"line_search": False}},
    on_policy.ACTION_SPACES,
    judge=on_policy.judge,
)
