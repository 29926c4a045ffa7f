"""Policy gradients of a finite MDP, exactly: the true one, and mean and covariance of what estimates it.

A policy is a function of parameters, `policy_of(params)` = pi(a | s) `[S, A]`, or with a horizon `[H, S, A]` as well;
`softmax_policy` of logits is the plain case. Parameters are any tree. P is how many numbers it holds, in the order of
`jax.flatten_util.ravel_pytree`.

    grad J = E[sum_t gamma^t grad log pi(a_t | s_t) Phi_t]                     (Schulman et al. 2016, eq. 1)

An estimate is of one trajectory, and its expectation a sum over `all_trajectories`, so there is nothing random here:

    tau = tabular.all_trajectories(mdp)
    phi = policy_gradients.weights(mdp, policy_of(params), tau, "reward_to_go")
    mean, covariance = policy_gradients.gradient_moments(mdp, policy_of, params, tau, phi)

For that, all trajectories end within the steps that are listed: those of the horizon, or less. Where they do not, what
lies beyond counts as the values of the last states, and the sum over t is of the steps that are listed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from jaxrl_up import ops
from jaxrl_up.tabular.dynamic_programming import a_pi, expected_return, occupancy, q_pi, v_pi, visits_in_time
from jaxrl_up.tabular.finite_mdp import MDP, as_policy
from jaxrl_up.tabular.trajectories import Trajectories, trajectory_log_prob
from jaxrl_up.types import Array, PyTree

PolicyOf = Callable[[Any], Array]  # params -> pi(a | s) [S, A], or [H, S, A]

WEIGHTS = (
    "trajectory_return",
    "reward_to_go",
    "reward_to_go_baseline",
    "q",
    "advantage",
    "gae",
    "n_step_advantage",
)
BASELINES = ("constant", "state", "time_and_state")  # what an optimal one may depend on


class Moments(NamedTuple):
    """Mean and covariance of an estimate, exactly."""

    mean: Array
    """E[g], `[P]`"""
    covariance: Array
    """E[(g - E g) (g - E g)^T], `[P, P]`"""

    @property
    def variance(self) -> Array:
        """E |g - E g|^2 `[]`, the trace of the covariance."""
        return jnp.trace(self.covariance)


class Conditional(NamedTuple):
    """Mean and variance of what belongs to a step, given where it was taken and how."""

    mean: Array
    """E[x_t | s_t = s, a_t = a], `[T, S, A]`; 0 where that cannot be"""
    variance: Array
    """`[T, S, A]`, likewise"""
    probability: Array
    """P(s_t = s, a_t = a), `[T, S, A]`, of steps that are taken"""


# -- the gradient ----------------------------------------------------------------------------------


def softmax_policy(logits: Array) -> Array:
    """pi(a | s) = exp theta(s, a) / sum_b exp theta(s, b), of logits `[..., A]`. Sutton & Barto 2018, eq. 13.2.

    >>> softmax_policy(jnp.zeros((1, 2))).tolist()
    [[0.5, 0.5]]
    """
    return jax.nn.softmax(logits, axis=-1)


def policy_gradient(mdp: MDP, policy_of: PolicyOf, params: PyTree) -> PyTree:
    """grad J(pi_theta), by differentiating the exact expected return; a tree like `params`.

    Of a bandit and a softmax it is pi(a) (r(a) - J). Raises `ValueError` as `v_pi` does.

    >>> from jaxrl_up import tabular
    >>> policy_gradient(tabular.mdp([[[1]] * 2], [[0, 1]], discount=0), softmax_policy, jnp.zeros((1, 2))).tolist()
    [[-0.25, 0.25]]
    """
    return jax.grad(lambda params: expected_return(mdp, policy_of(params)))(params)


def policy_gradient_theorem(
    mdp: MDP, policy_of: PolicyOf, params: PyTree, *, q_values: Array | None = None, discounted_states: bool = True
) -> PyTree:
    """sum_s d^pi(s) sum_a grad pi(a | s) Q^pi(s, a), equal to grad J; a tree like `params`.

    With a horizon, sum_t gamma^t sum_s P(s_t = s) sum_a grad pi(a | s) Q^pi_t(s, a). Reference: Sutton et al. 2000,
    "Policy gradient methods for reinforcement learning with function approximation", theorem 1.

    Args:
      q_values: what a critic says, `[S, A]` or `[H, S, A]`, in place of Q^pi. In that of an action-dependent baseline
        b(s, a), the result is what subtracting it takes from the expectation.
      discounted_states: states count gamma^t P(s_t = s). Without, P(s_t = s), with values that are discounted all the
        same. Practice does this; it is the gradient of no function (Thomas 2014, "Bias in natural actor-critic
        algorithms"; Nota & Thomas 2020, "Is the policy gradient a gradient?").

    Raises:
      ValueError: as `v_pi`; or states are not discounted, there is no horizon, and the policy does not end.
    """
    policy = as_policy(mdp, policy_of(params))
    visits = _visits(mdp, policy, discounted_states)
    q_values = q_pi(mdp, policy) if q_values is None else q_values
    shape = (*visits.shape, mdp.actions)
    q_values = jnp.broadcast_to(q_values, shape)

    def objective(params: PyTree) -> Array:
        return jnp.sum(visits * ops.v_from_q(q_values, jnp.broadcast_to(as_policy(mdp, policy_of(params)), shape)))

    return jax.grad(objective)(params)


def fisher_matrix(mdp: MDP, policy_of: PolicyOf, params: PyTree, *, discounted_states: bool = True) -> Array:
    """F = sum_s d(s) sum_a pi(a | s) grad log pi(a | s) grad log pi(a | s)^T, `[P, P]`, with d^pi made to sum to 1.

    The Hessian of sum_s d(s) KL(pi_old(. | s) || pi(. | s)) at pi_old. Reference: Kakade 2001, "A natural policy
    gradient", section 2; Schulman et al. 2015 (TRPO), appendix C. Arguments and errors as in
    `policy_gradient_theorem`.
    """
    policy = as_policy(mdp, policy_of(params))
    visits = _visits(mdp, policy, discounted_states)
    visits = jnp.sum(visits, axis=0) if visits.ndim == policy.ndim else visits
    share = (visits / jnp.sum(visits))[..., None] * policy
    score = scores(mdp, policy_of, params)
    flat = score.reshape(-1, score.shape[-1])
    return (share.reshape(-1, 1) * flat).T @ flat


def natural_gradient(mdp: MDP, policy_of: PolicyOf, params: PyTree, *, damping: Array | float = 0.0) -> PyTree:
    """(F + damping I)^-1 grad J, a tree like `params`: the policy it leads to does not depend on the parameters chosen.

    F is singular where parameters are superfluous, as one logit of each softmax is: the shortest solution is taken.
    Reference: Kakade 2001, "A natural policy gradient", section 2. Raises `ValueError` as `v_pi` does.
    """
    gradient, unravel = ravel_pytree(policy_gradient(mdp, policy_of, params))
    fisher = fisher_matrix(mdp, policy_of, params)
    damped = fisher + damping * jnp.eye(len(gradient), dtype=fisher.dtype)
    return unravel((jnp.linalg.pinv(damped, hermitian=True) @ gradient).astype(gradient.dtype))


# -- what estimates it -----------------------------------------------------------------------------


def scores(mdp: MDP, policy_of: PolicyOf, params: PyTree) -> Array:
    """grad log pi(a | s), `[S, A, P]`, or `[H, S, A, P]` of a policy in time; 0 where pi(a | s) is 0.

    sum_a pi(a | s) grad log pi(a | s) = 0, the "expected grad-log-prob lemma" (Spinning Up, part 3). Raises
    `ValueError` for what is no policy.
    """
    flat, unravel = ravel_pytree(params)

    def table(flat: Array) -> Array:
        return as_policy(mdp, policy_of(unravel(flat)))

    policy, slopes = table(flat), jax.jacobian(table)(flat)
    possible = policy > 0
    return jnp.where(possible[..., None], slopes / jnp.where(possible, policy, 1)[..., None], 0)


def weights(
    mdp: MDP,
    policy: Any,
    trajectories: Trajectories,
    phi: str,
    *,
    values: Array | None = None,
    baseline: Array | float | None = None,
    gae_lambda: Array | float = 0.95,
    n: int = 1,
    discounted_states: bool = True,
) -> Array:
    """gamma^t Phi_t of every step, `[T, N]`; 0 after the end.

    Phi_t by its name: `trajectory_return`, R(tau); `reward_to_go`, G_t; `reward_to_go_baseline`, G_t - V(s_t); `q`,
    Q^pi(s_t, a_t); `advantage`, A^pi(s_t, a_t); `gae`, the lambda-estimate of that; `n_step_advantage`, G^n_t - V(s_t).
    All but the exact Q^pi and A^pi are the estimators of `ops`; what `jaxrl_up.VPG` calls `advantage` is `gae` here, as
    it knows none exactly, and its `q` is that plus V(s_t). Reference: Schulman et al. 2016, eq. 1, 16; of the n steps
    Mnih et al. 2016, "Asynchronous methods for deep reinforcement learning", section 4.

    Args:
      values: V that is bootstrapped from and subtracted, shaped as `v_pi` is, `[S]` or `[H + 1, S]`; None: V^pi.
      baseline: b subtracted from Phi_t, `[]`, of the state `[S]`, or of time and state `[T, S]`; None: V(s_t) for
        `reward_to_go_baseline`, else 0.
      gae_lambda: in [0, 1], for `gae`.
      n: steps, at least 1, for `n_step_advantage`.
      discounted_states: with the factor gamma^t, so that the expectation is grad J. Practice, as `jaxrl_up.VPG`, is
        without. `trajectory_return` never has it: R(tau) is discounted from the first step on.

    Raises:
      ValueError: no such name, or shapes that do not belong together.
    """
    if phi not in WEIGHTS:
        raise ValueError(f"phi={phi!r} is no weight: choose from {', '.join(WEIGHTS)}")
    policy = as_policy(mdp, policy)
    values = v_pi(mdp, policy) if values is None else values
    here, there = _values_along(mdp, trajectories, values)
    rows = (trajectories.rewards, trajectories.discount)
    going = trajectories.going
    if phi == "trajectory_return":
        weight = ops.trajectory_returns(*rows, going, there)
    elif phi in ("reward_to_go", "reward_to_go_baseline"):
        weight = ops.discounted_returns(*rows, going, there)
    elif phi == "gae":
        weight = ops.gae(*rows, gae_lambda * going, here, there)
    elif phi == "n_step_advantage":
        weight = ops.n_step_returns(*rows, going, there, n) - here
    else:
        weight = _of_actions(trajectories, (q_pi if phi == "q" else a_pi)(mdp, policy))
    if baseline is not None:
        weight = weight - _of_states(mdp, trajectories, jnp.asarray(baseline, weight.dtype))
    elif phi == "reward_to_go_baseline":
        weight = weight - here
    return _factor(mdp, trajectories, phi, discounted_states) * weight


def gradient_estimates(
    mdp: MDP, policy_of: PolicyOf, params: PyTree, trajectories: Trajectories, weights: Array
) -> Array:
    """g(tau) = sum_t grad log pi(a_t | s_t) w_t of every trajectory, `[N, P]`, of `weights` w `[T, N]`.

    Of any trajectories, all of them or samples. Reference: Schulman et al. 2016, eq. 1. Raises `ValueError` for what
    is no policy.
    """
    return jnp.einsum("tn,tnp->np", weights, _vectors_of_actions(trajectories, scores(mdp, policy_of, params)))


def moments(estimates: Array, probabilities: Array) -> Moments:
    """Mean and covariance of `estimates` `[N, P]`, row n of which has the probability `probabilities[n]`.

    >>> moments(jnp.array([[0.0], [4.0]]), jnp.array([0.5, 0.5]))
    Moments(mean=Array([2.], dtype=float32), covariance=Array([[4.]], dtype=float32))
    """
    mean = probabilities @ estimates
    left = estimates - mean[None]
    return Moments(mean, (probabilities[:, None] * left).T @ left)


def gradient_moments(
    mdp: MDP, policy_of: PolicyOf, params: PyTree, trajectories: Trajectories, weights: Array
) -> Moments:
    """Mean and covariance of `gradient_estimates` over `all_trajectories`, which happen with P(tau | pi)."""
    probabilities = jnp.exp(trajectory_log_prob(mdp, policy_of(params), trajectories))
    return moments(gradient_estimates(mdp, policy_of, params, trajectories, weights), probabilities)


def optimal_baseline(
    mdp: MDP,
    policy_of: PolicyOf,
    params: PyTree,
    trajectories: Trajectories,
    phi: str = "reward_to_go",
    *,
    of: str = "time_and_state",
    discounted_states: bool = True,
) -> Array:
    """The baseline that makes E |g - E g|^2 least, `of` a `constant` `[]`, `state` `[S]` or `time_and_state` `[T, S]`.

    With u_t = gamma^t grad log pi(a_t | s_t) and g = sum_t u_t Phi_t,

        b(s) = sum_t E[1(s_t = s) u_t . g] / sum_t E[1(s_t = s) |u_t|^2]

    and likewise for the others, the sums over what b may not depend on; it is `baseline` of `weights`. Steps where
    s is never reached, or |u_t| is 0, have 0. Of R(tau) and a constant it is E[|sum_t u_t|^2 R] / E[|sum_t u_t|^2]
    (Weaver & Tao 2001, "The optimal reward baseline for gradient-based reinforcement learning"; Peters & Schaal 2008,
    "Reinforcement learning of motor skills with policy gradients", there for each component of its own). Greensmith et
    al. 2004, "Variance reduction techniques for gradient estimates in reinforcement learning", have the step alone,
    E[|u_t|^2 Phi_t] / E[|u_t|^2]; here what it shares with the other steps of its trajectory counts too.

    Raises:
      ValueError: `phi` or `of` is no such name.
    """
    if of not in BASELINES:
        raise ValueError(f"of={of!r} is nothing that a baseline depends on here: choose from {', '.join(BASELINES)}")
    policy = policy_of(params)
    weight = weights(mdp, policy, trajectories, phi, baseline=0.0, discounted_states=discounted_states)
    factor = _factor(mdp, trajectories, phi, discounted_states)
    score = _vectors_of_actions(trajectories, scores(mdp, policy_of, params))
    probability = jnp.exp(trajectory_log_prob(mdp, policy, trajectories))[None]
    estimate = jnp.einsum("tn,tnp->np", weight, score)
    shared = probability * factor * jnp.einsum("tnp,np->tn", score, estimate)
    length = probability * factor**2 * jnp.sum(score**2, axis=-1)
    sums = [_summed(mdp, trajectories, x) for x in (shared, length)]
    above, below = (jnp.sum(x, axis={"constant": (0, 1), "state": 0}.get(of, ())) for x in sums)
    return jnp.where(below > 0, above / jnp.where(below > 0, below, 1), 0)


def conditional_moments(mdp: MDP, policy: Any, trajectories: Trajectories, estimates: Array) -> Conditional:
    """Mean and variance of what each step says, `[T, N]`, given (t, s_t, a_t), over `all_trajectories`.

    So of weights without gamma^t the bias as an estimate of the advantage is `mean - a_pi(mdp, policy)`. Raises
    `ValueError` for what is no policy.
    """
    states, actions = trajectories.states[:-1], trajectories.actions
    time = jnp.arange(len(actions))[:, None]
    probability = trajectories.taken * jnp.exp(trajectory_log_prob(mdp, policy, trajectories))[None]

    def grouped(x: Array) -> Array:
        empty = jnp.zeros((len(actions), mdp.states, mdp.actions), x.dtype)
        return empty.at[time, states, actions].add(x)

    total = grouped(probability)
    share = jnp.where(total > 0, total, 1)
    mean = grouped(probability * estimates) / share
    left = estimates - mean[time, states, actions]
    return Conditional(mean, grouped(probability * left**2) / share, total)


# -- parts -----------------------------------------------------------------------------------------


def _visits(mdp: MDP, policy: Array, discounted: bool) -> Array:
    """d(s) `[S]`, or with a horizon its terms gamma^t P(s_t = s) `[H, S]`; without gamma unless `discounted`."""
    mdp = mdp if discounted else mdp.replace(discount=jnp.ones_like(mdp.discount))
    return occupancy(mdp, policy) if mdp.horizon is None else visits_in_time(mdp, policy)


def _factor(mdp: MDP, trajectories: Trajectories, phi: str, discounted_states: bool) -> Array:
    """What the weight of a step is multiplied by, `[T, N]`: gamma^t while it is taken, 0 after the end."""
    if not discounted_states or phi == "trajectory_return":
        return trajectories.taken
    return (mdp.discount ** jnp.arange(len(trajectories.actions)))[:, None] * trajectories.taken


def _of_actions(trajectories: Trajectories, table: Array) -> Array:
    """The entries x(s_t, a_t) `[T, N]` of a table `[S, A]`, or in time `[H, S, A]`."""
    return _vectors_of_actions(trajectories, table[..., None])[..., 0]


def _vectors_of_actions(trajectories: Trajectories, table: Array) -> Array:
    """The vectors x(s_t, a_t) `[T, N, P]` of a table `[S, A, P]`, or in time `[H, S, A, P]`."""
    states, actions = trajectories.states[:-1], trajectories.actions
    time = jnp.arange(len(actions))[:, None]
    return table[states, actions] if table.ndim == 3 else table[time, states, actions]


def _of_states(mdp: MDP, trajectories: Trajectories, baseline: Array) -> Array:
    """b of the states that steps are taken from, `[T, N]`."""
    steps = len(trajectories.actions)
    if baseline.shape not in ((), (mdp.states,), (steps, mdp.states)):
        raise ValueError(
            f"a baseline is a number, b(s) [{mdp.states}] or b(t, s) [{steps}, {mdp.states}], "
            f"got shape {list(baseline.shape)}"
        )
    in_time = jnp.broadcast_to(baseline, (steps, mdp.states))
    return jnp.take_along_axis(in_time, trajectories.states[:-1], axis=1)


def _values_along(mdp: MDP, trajectories: Trajectories, values: Array) -> tuple[Array, Array]:
    """V(s_t) and V(s_{t+1}), both `[T, N]`, of V `[S]` or `[H + 1, S]`."""
    shape = (mdp.states,) if mdp.horizon is None else (mdp.horizon + 1, mdp.states)
    if values.shape != shape:
        raise ValueError(f"values are V {list(shape)} as v_pi gives them, got shape {list(values.shape)}")
    steps = len(trajectories.states)
    in_time = jnp.broadcast_to(values, (steps, mdp.states)) if values.ndim == 1 else values[:steps]
    along = jnp.take_along_axis(in_time, trajectories.states, axis=1)
    return along[:-1], along[1:]


def _summed(mdp: MDP, trajectories: Trajectories, x: Array) -> Array:
    """sum_n 1(s_t = s) x `[T, S]`, of x `[T, N]`."""
    here = jax.nn.one_hot(trajectories.states[:-1], mdp.states, dtype=x.dtype)
    return jnp.einsum("tn,tns->ts", x, here)
