"""What is said of policy gradients, exactly: expectations are sums over all trajectories, nothing is random.

Small MDPs in float64: three states, two actions, three steps. `naive` is told only the tables, and computes in plain
Python.
"""

import doctest
import functools
import itertools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from jaxrl_up import ops, tabular
from jaxrl_up.tabular import policy_gradients as pg

S, A, H = 3, 2, 3
EXACT = {"rtol": 1e-9, "atol": 1e-10}


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


class Problem(NamedTuple):
    """An MDP, a softmax policy on it, and all that can happen."""

    mdp: Any
    logits: Any  # [S, A]
    policy: Any  # [S, A]
    tau: Any
    probability: Any  # P(tau | pi), [N]
    score: Any  # grad log pi(a_t | s_t), [T, N, P]
    taken: Any  # [T, N]


KINDS = {"undiscounted": (1.0, ()), "discounted": (0.8, ()), "terminal": (0.9, (2,))}


def random_mdp(seed, discount=0.8, terminal=(), horizon=H):
    rng = np.random.default_rng(seed)
    start = rng.dirichlet(np.ones(S))
    start[list(terminal)] = 0
    transition, reward = rng.dirichlet(np.ones(S), (S, A)), rng.normal(1.0, 1.0, (S, A, S))
    return tabular.mdp(
        transition, reward, discount=discount, start=start / start.sum(), terminal=terminal, horizon=horizon
    )


@functools.cache
def problem(kind="discounted", seed=0):
    mdp = random_mdp(seed, *KINDS[kind])
    logits = jnp.asarray(np.random.default_rng(100 + seed).normal(size=(S, A)))
    policy, tau = np.asarray(jax.nn.softmax(logits)), tabular.all_trajectories(mdp)
    states, actions, taken = (np.asarray(x) for x in (tau.states, tau.actions, tau.taken))
    score = np.zeros((*actions.shape, S, A))
    for t, n in np.ndindex(actions.shape):
        score[t, n, states[t, n]] = taken[t, n] * (np.eye(A)[actions[t, n]] - policy[states[t, n]])
    probability = np.exp(tabular.trajectory_log_prob(mdp, policy, tau))
    return Problem(mdp, logits, policy, tau, probability, score.reshape(*actions.shape, -1), taken)


@functools.partial(jax.jit, static_argnames="discounted")
def judged(mdp, logits, tau, values, discounted=True):
    """Moments of the gradient by each weight, with `values` of a critic."""
    policy = pg.softmax_policy(logits)

    def of(phi):
        weight = pg.weights(mdp, policy, tau, phi, values=values, discounted_states=discounted)
        return pg.gradient_moments(mdp, pg.softmax_policy, logits, tau, weight)

    return {phi: of(phi) for phi in pg.WEIGHTS}


def judge(found, **options):
    return judged(found.mdp, found.logits, found.tau, tabular.v_pi(found.mdp, found.policy), **options)


@jax.jit
def moments_of(mdp, logits, tau, weight):
    return pg.gradient_moments(mdp, pg.softmax_policy, logits, tau, weight)


def moments(found, weight):
    return moments_of(found.mdp, found.logits, found.tau, jnp.asarray(weight))


@functools.partial(jax.jit, static_argnames=("phi", "n", "discounted_states"))
def weights_of(mdp, logits, tau, phi, **options):
    return pg.weights(mdp, pg.softmax_policy(logits), tau, phi, **options)


def weights(found, phi, **options):
    options = {name: x if name in ("n", "discounted_states") else jnp.asarray(x) for name, x in options.items()}
    return weights_of(found.mdp, found.logits, found.tau, phi, **options)


conditional_moments = jax.jit(pg.conditional_moments)
fisher_matrix = jax.jit(lambda mdp, logits: pg.fisher_matrix(mdp, pg.softmax_policy, logits))
natural_gradient = jax.jit(
    lambda mdp, logits, damping=0.0: pg.natural_gradient(mdp, pg.softmax_policy, logits, damping=damping)
)
true_gradient = jax.jit(lambda mdp, logits: pg.policy_gradient(mdp, pg.softmax_policy, logits))
theorem = jax.jit(
    lambda mdp, logits, q_values=None, discounted=True: pg.policy_gradient_theorem(
        mdp, pg.softmax_policy, logits, q_values=q_values, discounted_states=discounted
    ),
    static_argnames="discounted",
)


def naive_trajectories(mdp, policy):
    """(probability, states, actions, rewards) of all that can happen, in plain Python."""
    start, transition, reward, terminal = (
        np.asarray(x) for x in (mdp.start, mdp.transition, mdp.reward_table, mdp.terminal)
    )

    def onwards(probability, states, actions, rewards):
        here = states[-1]
        if terminal[here] or len(actions) == mdp.horizon:
            yield probability, states, actions, rewards
            return
        for a, there in itertools.product(range(A), range(S)):
            p = policy[here, a] * transition[here, a, there]
            yield from onwards(probability * p, [*states, there], [*actions, a], [*rewards, reward[here, a, there]])

    for s in range(S):
        if start[s] > 0:
            yield from onwards(start[s], [s], [], [])


def naive_return(mdp, policy):
    gamma = float(mdp.discount)
    return sum(
        p * sum(gamma**t * r for t, r in enumerate(rewards)) for p, _, _, rewards in naive_trajectories(mdp, policy)
    )


def naive_gradient(mdp, policy):
    """E[sum_t grad log pi(a_t | s_t) R(tau)], `[S, A]`."""
    total, gamma = np.zeros((S, A)), float(mdp.discount)
    for p, states, actions, rewards in naive_trajectories(mdp, policy):
        value = sum(gamma**t * r for t, r in enumerate(rewards))
        for s, a in zip(states, actions, strict=False):
            total[s] += p * value * (np.eye(A)[a] - policy[s])
    return total


def softmax(logits):
    exp = np.exp(logits - logits.max(-1, keepdims=True))
    return exp / exp.sum(-1, keepdims=True)


# -- 1 the gradient


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("kind", KINDS)
def test_the_score_function_expects_the_gradient_of_the_return(kind, seed):
    found = problem(kind, seed)
    exact = np.asarray(true_gradient(found.mdp, found.logits))
    np.testing.assert_allclose(judge(found)["trajectory_return"].mean.reshape(S, A), exact, **EXACT)
    np.testing.assert_allclose(naive_gradient(found.mdp, found.policy), exact, **EXACT)
    np.testing.assert_allclose(theorem(found.mdp, found.logits), exact, **EXACT)
    assert np.abs(exact).max() > 0.05


@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_is_what_finite_differences_of_a_plain_loop_say(kind):
    mdp, logits = problem(kind).mdp, np.asarray(problem(kind).logits)
    exact, step = np.asarray(true_gradient(mdp, logits)), 1e-5
    for s, a in np.ndindex(S, A):
        nudge = np.zeros((S, A))
        nudge[s, a] = step
        slope = (naive_return(mdp, softmax(logits + nudge)) - naive_return(mdp, softmax(logits - nudge))) / (2 * step)
        np.testing.assert_allclose(slope, exact[s, a], rtol=1e-6, atol=1e-8)


def test_the_gradient_of_a_bandit_by_hand():
    """d J / d theta(a) = pi(a) (r(a) - J), and one estimate is (1(b = a) - pi(a)) r(b)."""
    bandit = tabular.mdp([[[1.0], [1.0], [1.0]]], reward=[[0.0, 1.0, 3.0]], discount=0.5, horizon=1)
    policy = np.array([0.5, 0.25, 0.25])  # J = 1
    logits, tau = jnp.log(policy)[None], tabular.all_trajectories(bandit)
    np.testing.assert_allclose(true_gradient(bandit, logits), [[-0.5, 0, 0.5]], **EXACT)
    weight = weights_of(bandit, logits, tau, "reward_to_go")
    estimates = jax.jit(lambda *given: pg.gradient_estimates(bandit, pg.softmax_policy, *given))(logits, tau, weight)
    np.testing.assert_allclose(estimates, [[0, 0, 0], [-0.5, 0.75, -0.25], [-1.5, -0.75, 2.25]], **EXACT)
    found = moments_of(bandit, logits, tau, weight)
    second = 0.25 * (0.25 + 0.5625 + 0.0625) + 0.25 * (2.25 + 0.5625 + 5.0625)
    np.testing.assert_allclose(found.mean, [-0.5, 0, 0.5], **EXACT)
    np.testing.assert_allclose(found.variance, second - 0.5, **EXACT)


def test_parameters_are_any_tree_and_a_policy_may_depend_on_time():
    found = problem()
    rng = np.random.default_rng(7)
    features = jnp.asarray(rng.normal(size=(S, A, 2)))
    trees = [
        (lambda x: jax.nn.softmax(features @ x["w"] + x["b"][None]), {"b": jnp.ones(A), "w": jnp.ones(2)}),
        (pg.softmax_policy, jnp.asarray(rng.normal(size=(H, S, A)))),
    ]
    for policy_of, params in trees:

        @jax.jit
        def found_of(params, policy_of=policy_of):
            weights = [pg.weights(found.mdp, policy_of(params), found.tau, phi) for phi in ("trajectory_return", "q")]
            return (
                pg.policy_gradient(found.mdp, policy_of, params),
                pg.policy_gradient_theorem(found.mdp, policy_of, params),
                [pg.gradient_moments(found.mdp, policy_of, params, found.tau, weight).mean for weight in weights],
            )

        tree, by_theorem, means = found_of(params)
        gradient, unravel = ravel_pytree(tree)
        assert jax.tree.structure(unravel(gradient)) == jax.tree.structure(params)
        for mean in means:
            np.testing.assert_allclose(mean, gradient, **EXACT)
        np.testing.assert_allclose(ravel_pytree(by_theorem)[0], gradient, **EXACT)


@pytest.mark.thorough
def test_without_a_horizon_the_theorem_is_of_the_infinite_sum():
    endless = random_mdp(3, 0.9, horizon=None)
    logits = problem().logits
    np.testing.assert_allclose(theorem(endless, logits), true_gradient(endless, logits), **EXACT)


# -- 2 the expected grad-log-prob lemma


def test_the_expected_grad_log_prob_is_zero():
    found = problem("terminal")
    score = np.asarray(pg.scores(found.mdp, pg.softmax_policy, found.logits))
    by_hand = np.einsum("st,ab->satb", np.eye(S), np.eye(A)) - np.einsum("st,sb->stb", np.eye(S), found.policy)[:, None]
    np.testing.assert_allclose(score, by_hand.reshape(S, A, -1), **EXACT)
    np.testing.assert_allclose(np.einsum("sa,sap->sp", found.policy, score), 0, atol=1e-14)
    for t in range(H):
        assert np.abs(found.score[t]).max() > 0.1
        np.testing.assert_allclose(found.probability @ found.score[t], 0, atol=1e-14)


# -- 3 causality


def test_past_rewards_expect_nothing_and_later_ones_do():
    """E[grad log pi(a_t | s_t) r_t'] = 0 for t' < t, which is why the reward-to-go will do."""
    found = problem()
    rewards = np.asarray(found.tau.rewards)
    for t, when in itertools.product(range(H), range(H)):
        share = np.einsum("n,np,n->p", found.probability, found.score[t], rewards[when])
        if when < t:
            np.testing.assert_allclose(share, 0, atol=1e-14)
        else:
            assert np.linalg.norm(share) > 1e-3
    early = np.einsum("n,np,n->p", found.probability, found.score[2] ** 2, rewards[0] ** 2)
    assert np.all(early > 1e-3)  # though they are not zero one by one: they are noise


# -- 4 baselines


@pytest.mark.thorough("gae")
@pytest.mark.parametrize("shape", [(), (S,), (H, S)], ids=["constant", "state", "time_and_state"])
@pytest.mark.parametrize("phi", ["trajectory_return", "reward_to_go", "gae"])
def test_a_baseline_of_the_state_leaves_the_mean(phi, shape):
    found = problem("terminal")  # in which no step is taken, whatever the baseline is there
    baseline = np.random.default_rng(4).normal(size=shape, scale=5.0)
    weight = weights(found, phi, baseline=baseline)
    moved = moments(found, weight)
    plain = judge(found)[phi]
    np.testing.assert_allclose(moved.mean, plain.mean, **EXACT)
    assert abs(moved.variance - plain.variance) > 1e-3


def test_a_baseline_of_the_action_changes_the_mean_by_what_the_theorem_says():
    """E[sum_t gamma^t grad log pi b(s_t, a_t)] = sum_s d(s) sum_a grad pi(a | s) b(s, a), which is not 0."""
    found = problem()
    baseline = np.random.default_rng(4).normal(size=(S, A))
    along = baseline[np.asarray(found.tau.states[:-1]), np.asarray(found.tau.actions)]
    discounts = float(found.mdp.discount) ** np.arange(H)[:, None]
    weight = weights(found, "reward_to_go")
    lost = judge(found)["reward_to_go"].mean - moments(found, weight - discounts * along).mean
    np.testing.assert_allclose(lost, theorem(found.mdp, found.logits, jnp.asarray(baseline)).ravel(), **EXACT)
    visits = np.asarray(tabular.occupancy(found.mdp, found.policy))
    slope = found.policy * (baseline - (found.policy * baseline).sum(1, keepdims=True))  # of a softmax
    np.testing.assert_allclose(lost, (visits[:, None] * slope).ravel(), **EXACT)
    assert np.abs(lost).max() > 0.05


def test_the_value_as_baseline_may_be_worse_than_none():
    """pi = (0.1, 0.9) and r = (0, 1): seldom actions have long scores, so their weight should be near 0, not -V."""
    bandit = tabular.mdp([[[1.0], [1.0]]], reward=[[0.0, 1.0]], discount=1.0, horizon=1)
    logits, tau = jnp.log(jnp.array([[0.1, 0.9]])), tabular.all_trajectories(bandit)

    def variance(baseline):
        weight = weights_of(bandit, logits, tau, "reward_to_go", baseline=jnp.float64(baseline))
        return float(moments_of(bandit, logits, tau, weight).variance)

    best = optimal(bandit, logits, tau, "reward_to_go", "constant")
    np.testing.assert_allclose(best, 0.018 / 0.18, **EXACT)  # E[|u|^2 r] / E[|u|^2], |u(a)|^2 = 2 (1 - pi(a))^2
    np.testing.assert_allclose(variance(0.9) - variance(0.0), 0.162 * 0.81 + 0.018 * 0.01 - 0.018, **EXACT)
    assert variance(best) < variance(0.0) < variance(0.9)


# -- 5 weights


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("kind", KINDS)
def test_all_weights_have_one_mean_and_their_variances_fall(kind, seed):
    """The order is that of these MDPs: no theorem has it for the sum over steps."""
    found = problem(kind, seed)
    by_weight = judge(found)
    for mean, covariance in by_weight.values():
        np.testing.assert_allclose(mean, true_gradient(found.mdp, found.logits).ravel(), **EXACT)
        np.testing.assert_allclose(covariance, covariance.T, **EXACT)
        assert np.linalg.eigvalsh(covariance).min() > -1e-10
    names = ("trajectory_return", "reward_to_go", "reward_to_go_baseline", "gae", "n_step_advantage", "advantage")
    variances = [float(by_weight[name].variance) for name in names]
    assert np.all(np.diff(variances) < 0)
    assert by_weight["reward_to_go"].variance > by_weight["q"].variance > by_weight["advantage"].variance


@pytest.mark.thorough("terminal")
@pytest.mark.parametrize("kind", KINDS)
def test_of_each_step_alone_the_exact_value_has_less_variance(kind):
    """Here there is a theorem: Q^pi(s_t, a_t) = E[G_t | s_t, a_t], and a conditional mean varies less."""
    found = problem(kind)
    for rough, fine in (("reward_to_go", "q"), ("reward_to_go_baseline", "advantage"), ("gae", "advantage")):
        both = [np.asarray(weights(found, phi)) for phi in (rough, fine)]
        for t in range(H):
            terms = [weight[t][:, None] * found.score[t] for weight in both]
            means, variances = zip(*(spread(x, found.probability) for x in terms), strict=True)
            np.testing.assert_allclose(means[0], means[1], **EXACT)
            assert np.all(variances[0] >= variances[1] - 1e-12)


def spread(x, probability):
    """Mean and variance of each column of `[N, P]`, in plain NumPy."""
    mean = probability @ x
    return mean, probability @ (x - mean) ** 2


@pytest.mark.parametrize("discounted", [True, False])
def test_weights_are_what_they_say(discounted):
    """Of every step of every trajectory, by the formulas."""
    found, gae_lambda, n = problem("terminal"), 0.6, 2
    gamma = float(found.mdp.discount)
    values = np.asarray(half_learned(found))
    q_values = np.asarray(tabular.q_pi(found.mdp, found.policy))
    states, actions, rewards = (np.asarray(x) for x in (found.tau.states, found.tau.actions, found.tau.rewards))
    wanted = {phi: np.zeros((H, len(found.probability))) for phi in pg.WEIGHTS}
    for i in range(len(found.probability)):
        steps = int(found.taken[:, i].sum())
        assert steps == H or states[steps, i] == 2
        value = [values[t, states[t, i]] for t in range(steps)] + [0.0]
        for t in range(steps):
            to_go = sum(gamma ** (k - t) * rewards[k, i] for k in range(t, steps))
            errors = [rewards[k, i] + gamma * value[k + 1] - value[k] for k in range(steps)]
            until = min(t + n, steps)
            n_step = sum(gamma ** (k - t) * rewards[k, i] for k in range(t, until)) + gamma**n * value[until]
            exact = q_values[t, states[t, i]]
            entries = {
                "trajectory_return": sum(gamma**k * rewards[k, i] for k in range(steps)),
                "reward_to_go": to_go,
                "reward_to_go_baseline": to_go - value[t],
                "q": exact[actions[t, i]],
                "advantage": exact[actions[t, i]] - found.policy[states[t, i]] @ exact,
                "gae": sum((gamma * gae_lambda) ** (k - t) * errors[k] for k in range(t, steps)),
                "n_step_advantage": n_step - value[t],
            }
            for phi, entry in entries.items():
                wanted[phi][t, i] = entry * (gamma**t if discounted and phi != "trajectory_return" else 1)
    assert 0 < found.taken[-1].sum() < len(found.probability)
    options = {"values": jnp.asarray(values), "gae_lambda": gae_lambda, "n": n, "discounted_states": discounted}
    for phi in pg.WEIGHTS:
        weight = weights(found, phi, **options)
        np.testing.assert_allclose(weight, wanted[phi], **EXACT)


def test_moments_are_those_of_a_plain_loop():
    found = problem("terminal")
    by_weight, gamma = judge(found), float(found.mdp.discount)
    totals, seconds = np.zeros(S * A), np.zeros((S * A, S * A))
    for p, states, actions, rewards in naive_trajectories(found.mdp, found.policy):
        g = np.zeros((S, A))
        for t in range(len(actions)):
            to_go = sum(gamma ** (k - t) * rewards[k] for k in range(t, len(actions)))
            g[states[t]] += gamma**t * to_go * (np.eye(A)[actions[t]] - found.policy[states[t]])
        totals += p * g.ravel()
        seconds += p * np.outer(g, g)
    np.testing.assert_allclose(by_weight["reward_to_go"].mean, totals, **EXACT)
    np.testing.assert_allclose(by_weight["reward_to_go"].covariance, seconds - np.outer(totals, totals), **EXACT)


# -- 6 the optimal baseline


@functools.partial(jax.jit, static_argnames=("phi", "of"))
def optimal(mdp, logits, tau, phi, of):
    return pg.optimal_baseline(mdp, pg.softmax_policy, logits, tau, phi, of=of)


@pytest.mark.thorough("terminal")
@pytest.mark.parametrize("kind", ["discounted", "terminal"])
def test_no_baseline_beats_the_optimal_one(kind):
    found = problem(kind)
    rng = np.random.default_rng(0)

    def variance(baseline):
        weight = weights(found, "reward_to_go", baseline=baseline)
        return float(moments(found, weight).variance)

    least = {}
    for of in pg.BASELINES:
        best = np.asarray(optimal(found.mdp, found.logits, found.tau, "reward_to_go", of))
        least[of] = variance(best)
        for scale in (1e-3, 0.1, 1.0):
            assert variance(best + scale * rng.normal(size=best.shape)) > least[of]
    by_value = float(judge(found)["reward_to_go_baseline"].variance)  # V^pi_t(s)
    assert least["time_and_state"] < least["state"] < least["constant"] < variance(0.0)
    assert least["time_and_state"] < by_value - 1e-3


def test_the_optimal_baseline_is_where_the_variance_is_flat():
    """Its variance is a parabola in each entry; the bottom, found by three values of it."""
    found = problem()
    best = np.asarray(optimal(found.mdp, found.logits, found.tau, "reward_to_go", "state"))

    def variance(baseline):
        weight = weights(found, "reward_to_go", baseline=baseline)
        return float(moments(found, weight).variance)

    for s in range(S):
        at = [variance(best + x * np.eye(S)[s]) for x in (-1.0, 0.0, 1.0)]
        np.testing.assert_allclose(at[0], at[2], rtol=1e-9)
        assert at[1] < at[0]


def test_the_optimal_constant_for_the_return_is_that_of_the_papers():
    """E[|sum_t u_t|^2 R] / E[|sum_t u_t|^2]: Weaver & Tao 2001; Peters & Schaal 2008."""
    found = problem()
    length = np.sum(found.score.sum(0) ** 2, axis=-1)
    returns = np.asarray(found.tau.returns)
    wanted = (found.probability @ (length * returns)) / (found.probability @ length)
    np.testing.assert_allclose(
        optimal(found.mdp, found.logits, found.tau, "trajectory_return", "constant"), wanted, **EXACT
    )


# -- 7 the missing gamma^t


def test_without_gamma_to_the_t_states_count_undiscounted():
    """Practice expects sum_t sum_s P(s_t = s) sum_a grad pi Q; but not so with the return of the trajectory."""
    found = problem()
    practice, exact = judge(found, discounted=False), true_gradient(found.mdp, found.logits).ravel()
    here, total = np.asarray(found.mdp.start), np.zeros((S, A))
    q_values = np.asarray(tabular.q_pi(found.mdp, found.policy))
    missing = np.zeros((S, A))
    for t in range(H):
        value = (found.policy * q_values[t]).sum(1, keepdims=True)
        term = here[:, None] * found.policy * (q_values[t] - value)
        total, missing = total + term, missing + (1 - float(found.mdp.discount) ** t) * term
        here = np.einsum("s,sa,sat->t", here, found.policy, np.asarray(found.mdp.transition))
    for phi in set(pg.WEIGHTS) - {"trajectory_return"}:
        np.testing.assert_allclose(practice[phi].mean, total.ravel(), **EXACT)
    np.testing.assert_allclose(theorem(found.mdp, found.logits, discounted=False), total, **EXACT)
    np.testing.assert_allclose(total.ravel() - exact, missing.ravel(), **EXACT)
    np.testing.assert_allclose(practice["trajectory_return"].mean, exact, **EXACT)
    assert np.abs(missing).max() > 5e-3


def test_without_gamma_to_the_t_it_is_the_gradient_of_no_function():
    """A gradient has a symmetric Jacobian; this one has none (Nota & Thomas 2020)."""
    found = problem()
    slopes = jax.jit(jax.jacfwd(theorem, argnums=1), static_argnames="discounted")
    gaps = {}
    for mdp, discounted in itertools.product((found.mdp, problem("undiscounted").mdp), (True, False)):
        slope = np.asarray(slopes(mdp, found.logits, discounted=discounted)).reshape(S * A, S * A)
        gaps[float(mdp.discount), discounted] = np.abs(slope - slope.T).max() / np.abs(slope).max()
    assert gaps.pop((0.8, False)) > 1e-2
    assert max(gaps.values()) < 1e-10


def test_without_gamma_to_the_t_it_may_lead_away():
    """One decision in two states: a = 0 pays 0.7 at once, a = 1 pays 1 a step later, with gamma = 0.5."""
    onwards = np.repeat(np.eye(3)[[1, 2, 2]][:, None], 2, axis=1)
    chain = tabular.mdp(onwards, [[0.7, 0], [0, 1], [0, 0]], discount=0.5, terminal=[2], start=0)

    def policy_of(logit):
        return jnp.broadcast_to(jax.nn.softmax(jnp.stack([logit, 0.0])), (3, 2))

    @functools.partial(jax.jit, static_argnames="discounted")
    def slope_of(logit, discounted):
        return pg.policy_gradient_theorem(chain, policy_of, logit, discounted_states=discounted)

    slope = {x: slope_of(0.0, x) for x in (True, False)}
    np.testing.assert_allclose(slope[True], 0.25 * (0.7 - 0.5 * 1), **EXACT)
    np.testing.assert_allclose(slope[False], 0.25 * (0.7 - 1), **EXACT)


# -- 8 pathwise gradients


def test_the_pathwise_gradient_has_the_same_mean_and_less_variance():
    """Of E[-(a - c)^2] for a ~ N(m, sigma^2), d = m - c: exactly, as quadrature is of polynomials."""
    m, log_std, c = 0.3, -0.4, 1.0
    noise, share = np.polynomial.hermite_e.hermegauss(12)
    share = share / share.sum()
    sigma, d = np.exp(log_std), m - c
    params = jnp.array([m, log_std])

    def reward(action):
        return -jnp.sum((action - c) ** 2)

    def policy(params):
        return ops.DiagonalGaussian(params[:1], params[1:])

    def pathwise(noise):
        return jax.grad(lambda params: reward(policy(params).sample_with(noise[None])))(params)

    def score_function(noise):
        action = policy(params).sample_with(noise[None])
        return jax.grad(lambda params: policy(params).log_prob(action))(params) * reward(action)

    (mean, variance), (score_mean, score_variance) = (
        spread(np.asarray(jax.jit(jax.vmap(estimate))(jnp.asarray(noise))), share)
        for estimate in (pathwise, score_function)
    )
    np.testing.assert_allclose(mean, [-2 * d, -2 * sigma**2], **EXACT)  # of -(d^2 + sigma^2)
    np.testing.assert_allclose(score_mean, mean, **EXACT)
    np.testing.assert_allclose(variance, [4 * sigma**2, 4 * d**2 * sigma**2 + 8 * sigma**4], **EXACT)
    of_mean = d**4 / sigma**2 + 14 * d**2 + 15 * sigma**2
    np.testing.assert_allclose(score_variance, [of_mean, 2 * d**4 + 60 * d**2 * sigma**2 + 74 * sigma**4], rtol=1e-9)
    assert np.all(variance < score_variance)


# -- 9 bias and variance of advantages


def half_learned(found):
    """A critic on its way from 0 to V^pi, `[H + 1, S]`."""
    return 0.5 * tabular.v_pi(found.mdp, found.policy)


def wrong_values(found):
    """V^pi and an error of each state, at all times but the last, where the value is known to be 0."""
    values = np.array(tabular.v_pi(found.mdp, found.policy))
    values[:-1] += np.array([1.2, -0.8, 1.0])
    return jnp.asarray(values)


def q_bias_and_variance(found, advantages, values):
    """Of `advantages` + V(s_t), as estimates of Q^pi: largest and mean bias, and mean variance."""
    mean, variance, probability = (
        np.asarray(x) for x in conditional_moments(found.mdp, found.policy, found.tau, advantages)
    )
    bias = np.where(probability > 0, mean + values[:-1, :, None] - tabular.q_pi(found.mdp, found.policy), 0)
    return np.abs(bias).max(), np.sqrt(np.sum(probability * bias**2)), np.sum(probability * variance)


def test_conditional_moments_are_those_of_a_plain_loop():
    found = problem("terminal")
    said = np.random.default_rng(3).normal(size=found.taken.shape)
    states, actions = np.asarray(found.tau.states), np.asarray(found.tau.actions)
    rows = {place: [] for place in np.ndindex(H, S, A)}
    for t, n in np.ndindex(said.shape):
        if found.taken[t, n]:
            rows[t, states[t, n], actions[t, n]].append((found.probability[n], said[t, n]))
    conditional = conditional_moments(found.mdp, found.policy, found.tau, jnp.asarray(said))
    for place, drawn in rows.items():
        share, x = np.array(drawn).reshape(-1, 2).T
        total = share.sum()
        mean = share @ x / total if len(x) else 0.0
        variance = share @ (x - mean) ** 2 / total if len(x) else 0.0
        np.testing.assert_allclose([field[place] for field in conditional], [mean, variance, total], **EXACT)
    assert not rows[1, 2, 0] and rows[0, 0, 0]  # no step is taken from the terminal state


def gae(found, gae_lambda, values):
    return weights(found, "gae", values=values, gae_lambda=gae_lambda, discounted_states=False)


def n_step(found, n, values):
    return weights(found, "n_step_advantage", values=values, n=n, discounted_states=False)


LAMBDAS = np.linspace(0, 1, 5)


@pytest.mark.thorough("terminal")
@pytest.mark.parametrize("kind", ["discounted", "terminal"])
def test_bias_of_gae_falls_with_lambda_and_variance_grows(kind):
    """At lambda = 1 there is no bias, always; on the way there, this is what the example does."""
    found = problem(kind)
    values = half_learned(found)
    largest, biases, variances = np.array(
        [q_bias_and_variance(found, gae(found, x, values), values) for x in LAMBDAS]
    ).T
    assert np.all(np.diff(biases) < 0) and biases[0] > 0.05
    assert largest[-1] < 1e-10
    assert np.all(np.diff(variances) > 0)


@pytest.mark.thorough("terminal")
@pytest.mark.parametrize("kind", ["discounted", "terminal"])
def test_with_exact_values_gae_has_no_bias_and_more_variance_with_lambda(kind):
    """A theorem: G_t - Q^pi = sum_k (gamma lambda)^k delta_{t+k}, and these errors are uncorrelated."""
    found = problem(kind)
    values = tabular.v_pi(found.mdp, found.policy)
    for estimate, settings in ((gae, LAMBDAS), (n_step, range(1, H + 1))):
        largest, _, variances = np.array(
            [q_bias_and_variance(found, estimate(found, x, values), values) for x in settings]
        ).T
        assert np.all(largest < 1e-10)
        assert np.all(np.diff(variances) > 0)


def test_with_wrong_values_less_lambda_may_be_more_variance():
    """What is bootstrapped is random too, and wrong values may vary more than the returns they stand for."""
    found = problem()
    values = wrong_values(found)
    variances = [q_bias_and_variance(found, gae(found, x, values), values)[2] for x in LAMBDAS]
    assert variances[0] > variances[-1] > min(variances)


@pytest.mark.thorough("terminal")
@pytest.mark.parametrize("kind", ["discounted", "terminal"])
def test_bias_of_n_steps_falls_with_n_and_variance_grows(kind):
    """At most gamma^n max |V - V^pi| (error reduction, Sutton & Barto 2018, eq. 7.3); the rest is the example's."""
    found = problem(kind)
    values, steps = half_learned(found), range(1, H + 1)
    largest, biases, variances = np.array(
        [q_bias_and_variance(found, n_step(found, n, values), values) for n in steps]
    ).T
    for n in steps:
        assert largest[n - 1] <= float(found.mdp.discount) ** n * np.abs(values).max()  # which is the error as well
    assert np.all(np.diff(biases) < 0) and largest[-1] < 1e-10
    assert np.all(np.diff(variances) > 0)
    np.testing.assert_allclose(n_step(found, 1, values), gae(found, 0.0, values), **EXACT)
    np.testing.assert_allclose(n_step(found, H, values), gae(found, 1.0, values), **EXACT)


def test_with_lambda_one_wrong_values_are_a_baseline():
    """As an advantage it is off by V^pi(s) - V(s), whatever the action, so the gradient is right all the same."""
    found = problem()
    values = wrong_values(found)
    mean = np.asarray(conditional_moments(found.mdp, found.policy, found.tau, gae(found, 1.0, values)).mean)
    bias = mean - tabular.a_pi(found.mdp, found.policy)
    wanted = (tabular.v_pi(found.mdp, found.policy) - values)[:-1]
    np.testing.assert_allclose(bias, np.repeat(wanted[:, :, None], A, axis=2), **EXACT)
    exact = true_gradient(found.mdp, found.logits).ravel()
    off = []
    for x in LAMBDAS:
        weight = weights(found, "gae", values=values, gae_lambda=x)
        off.append(np.linalg.norm(moments(found, weight).mean - exact))
    assert off == sorted(off, reverse=True) and off[0] > 1e-2 and off[-1] < 1e-10


# -- 10 the loss


def test_the_loss_of_a_batch_falls_for_ever_and_the_return_with_it():
    """A surrogate loss has the right gradient at the policy that acted, and no other meaning.

    Actions pay 0, 0.8 and 2; the baseline 2.5 is as unbiased as any. A batch has seen the worst and the best action.
    Its first steps leave the worst and gain; then it unlearns the best, which it saw with a negative weight as well.
    """
    bandit = tabular.mdp([[[1.0]] * 3], reward=[[0.0, 0.8, 2.0]], discount=1.0, horizon=1)
    actions = jnp.array([0, 2])
    weight = jnp.array([0.0, 2.0]) - 2.5

    def loss(logits):
        return ops.score_function_loss(jax.nn.log_softmax(logits)[0, actions], weight)

    def step(logits, _):
        value, slope = jax.value_and_grad(loss)(logits)
        return logits - 0.1 * slope, (value, tabular.expected_return(bandit, jax.nn.softmax(logits)))

    _, (losses, returns) = jax.lax.scan(step, jnp.zeros((1, 3)), length=300)
    assert np.all(np.diff(losses) < 0) and losses[-1] < losses[0] - 10
    assert np.argmax(returns) > 3 and np.max(returns) > returns[0] + 0.1
    assert returns[-1] < returns[0] - 0.1


def test_steps_along_the_exact_gradient_raise_the_return():
    found = problem()

    def step(logits, _):
        value, slope = jax.value_and_grad(lambda x: tabular.expected_return(found.mdp, jax.nn.softmax(x)))(logits)
        return logits + 0.5 * slope, value

    returns = jax.lax.scan(step, found.logits, length=50)[1]
    assert np.all(np.diff(returns) > 0)


# -- 11 surrogates


@pytest.mark.parametrize("phi", ["reward_to_go", "advantage"])
def test_surrogates_of_ppo_and_trpo_have_the_policy_gradient_where_they_begin(phi):
    found = problem()
    tau = found.tau
    weight = pg.weights(found.mdp, found.policy, tau, phi)

    def expected(loss):
        """Of the sum over steps: losses are means."""

        def objective(logits):
            log_prob = jnp.log(jax.nn.softmax(logits))[tau.states[:-1], tau.actions]
            return H * jnp.sum(found.probability * jax.vmap(loss, in_axes=1)(log_prob, old, weight))

        return objective

    old = jnp.log(jnp.asarray(found.policy))[tau.states[:-1], tau.actions]
    wanted = -true_gradient(found.mdp, found.logits)
    losses = {
        "vpg": lambda log_prob, old, weight: ops.score_function_loss(log_prob, weight),
        "trpo": ops.surrogate_loss,
        "ppo": lambda *rows: ops.clipped_surrogate_loss(*rows, 0.2),
    }
    elsewhere = {}
    for name, loss in losses.items():
        slope = jax.jit(jax.grad(expected(loss)))
        np.testing.assert_allclose(slope(found.logits), wanted, **EXACT)
        elsewhere[name] = slope(found.logits + 0.5 * jnp.eye(S, A))
    pairs = itertools.combinations(elsewhere.values(), 2)
    assert all(np.abs(x - y).max() > 1e-3 for x, y in pairs)  # away from there they part


# -- 12 natural gradients


def parametrised():
    """Names of parameters, the policy of them, and which ones have the logits of `problem()`."""
    logits = problem().logits
    matrix = jnp.asarray(np.random.default_rng(1).normal(size=(S * A, S * A)))

    def linear(x):
        return jax.nn.softmax((matrix @ x).reshape(S, A))

    def bent(x):
        return jax.nn.softmax(jnp.sinh(x) + x)

    bend = logits
    for _ in range(50):
        bend = bend - (jnp.sinh(bend) + bend - logits) / (jnp.cosh(bend) + 1)
    return {
        "logits": (pg.softmax_policy, logits),
        "linear": (linear, jnp.linalg.solve(matrix, logits.reshape(-1))),
        "bent": (bent, bend),
        "lean": (lambda x: jax.nn.softmax(jnp.stack([x, -x], axis=1)), (logits[:, 0] - logits[:, 1]) / 2),
    }


def test_the_natural_gradient_does_not_depend_on_the_parameters():
    found = problem()
    natural, plain = {}, {}
    for name, (policy_of, params) in parametrised().items():
        np.testing.assert_allclose(policy_of(params), found.policy, **EXACT)

        def moved(direction, policy_of=policy_of, params=params):
            return np.asarray(jax.jit(lambda x: jax.jvp(policy_of, (params,), (x,))[1])(direction))

        @jax.jit
        def gradients(params, policy_of=policy_of):
            return [f(found.mdp, policy_of, params) for f in (pg.natural_gradient, pg.policy_gradient)]

        natural[name], plain[name] = map(moved, gradients(params))
    for name in natural:
        np.testing.assert_allclose(natural[name], natural["logits"], rtol=1e-7, atol=1e-9)
        assert name == "logits" or np.abs(plain[name] - plain["logits"]).max() > 1e-3


def test_the_natural_gradient_of_a_table_of_logits_is_the_advantage():
    """Without a horizon, F^-1 grad J = sum(d^pi) A^pi, up to a number for each state (Kakade 2001, theorem 1)."""
    endless, found = random_mdp(3, 0.9, horizon=None), problem()
    natural = natural_gradient(endless, found.logits)
    advantage = np.asarray(tabular.a_pi(endless, found.policy)) / (1 - 0.9)
    np.testing.assert_allclose(natural, advantage - advantage.mean(1, keepdims=True), rtol=1e-7)


def test_the_direction_of_trpo_is_the_exact_solve():
    found, damping = problem(), 0.1
    visits = tabular.occupancy(found.mdp, found.policy, normalize=True)
    old = ops.Categorical(found.logits)

    def kl(logits):
        return visits @ old.kl(ops.Categorical(logits))

    fisher = fisher_matrix(found.mdp, found.logits)
    hessian = np.asarray(jax.jit(jax.hessian(kl))(found.logits)).reshape(S * A, -1)
    np.testing.assert_allclose(hessian, fisher, **EXACT)
    vector = jnp.asarray(np.random.default_rng(2).normal(size=(S, A)))
    product = jax.jit(lambda x: ops.fisher_vector_product(kl, found.logits, x, damping))(vector)
    np.testing.assert_allclose(product.ravel(), (fisher + damping * np.eye(S * A)) @ vector.ravel(), **EXACT)
    gradient = true_gradient(found.mdp, found.logits)

    @jax.jit
    def solved(gradient):
        return ops.conjugate_gradient(ops.fisher_operator(kl, found.logits, damping), gradient, S * A, 0.0)

    np.testing.assert_allclose(solved(gradient), natural_gradient(found.mdp, found.logits, damping), **EXACT)
    undamped = natural_gradient(found.mdp, found.logits, 0.0)
    nearly = natural_gradient(found.mdp, found.logits, 1e-9)
    np.testing.assert_allclose(nearly, undamped, rtol=1e-6)


def test_the_fisher_matrix_is_that_of_a_plain_loop():
    found = problem("terminal")
    total, gamma, length = np.zeros((S * A, S * A)), float(found.mdp.discount), 0.0
    for p, states, actions, _ in naive_trajectories(found.mdp, found.policy):
        for t, (s, a) in enumerate(zip(states, actions, strict=False)):
            score = np.zeros((S, A))
            score[s] = np.eye(A)[a] - found.policy[s]
            total += p * gamma**t * np.outer(score, score)
            length += p * gamma**t
    fisher = fisher_matrix(found.mdp, found.logits)
    np.testing.assert_allclose(fisher, total / length, **EXACT)


# -- what they promise as functions


def test_they_pass_through_jit_vmap_and_grad_in_both_widths():
    mdps = [random_mdp(seed) for seed in range(3)]
    many, logits = jax.tree.map(lambda *x: jnp.stack(x), *mdps), problem().logits
    tau = problem().tau
    taus = jax.tree.map(lambda *x: jnp.stack(x), *(tabular.all_trajectories(mdp) for mdp in mdps))

    def variance(logits, mdp, tau):
        baseline = pg.optimal_baseline(mdp, pg.softmax_policy, logits, tau, of="state")
        weight = pg.weights(mdp, pg.softmax_policy(logits), tau, "reward_to_go_baseline", baseline=baseline)
        return pg.gradient_moments(mdp, pg.softmax_policy, logits, tau, weight).variance

    def narrow(tree):
        return jax.tree.map(lambda x: x.astype(jnp.float32) if x.dtype == jnp.float64 else x, tree)

    slope = jax.jit(jax.vmap(jax.value_and_grad(variance), in_axes=(None, 0, 0)))
    wide, slopes = slope(logits, many, taus)
    single, single_slopes = slope(*narrow((logits, many, taus)))
    assert wide.dtype == jnp.float64 and single.dtype == jnp.float32 == single_slopes.dtype
    np.testing.assert_allclose(single, wide, rtol=1e-4)
    np.testing.assert_allclose(single_slopes, slopes, rtol=1e-2, atol=1e-3)
    variance = jax.jit(variance)
    np.testing.assert_allclose(wide[0], variance(logits, mdps[0], tau), rtol=1e-9)
    natural = jax.jit(jax.vmap(lambda mdp, x: pg.natural_gradient(mdp, pg.softmax_policy, x), in_axes=(0, None)))
    wide, single = natural(many, logits), natural(*narrow((many, logits)))
    assert wide.dtype == jnp.float64 and single.dtype == jnp.float32
    np.testing.assert_allclose(single, wide, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(wide[0], natural_gradient(mdps[0], logits), rtol=1e-7)
    nudge = 1e-6 * jnp.eye(S, A)
    difference = (variance(logits + nudge, mdps[0], tau) - variance(logits - nudge, mdps[0], tau)) / 2e-6
    np.testing.assert_allclose(difference, jnp.trace(slopes[0]), rtol=1e-4)


def test_what_does_not_belong_together_is_named():
    found = problem()
    call = functools.partial(pg.weights, found.mdp, found.policy, found.tau)
    with pytest.raises(ValueError, match="phi='td' is no weight: choose from trajectory_return, "):
        call("td")
    with pytest.raises(ValueError, match=r"values are V \[4, 3\] as v_pi gives them, got shape \[3\]"):
        call("gae", values=jnp.zeros(S))
    with pytest.raises(ValueError, match=r"b\(s\) \[3\] or b\(t, s\) \[3, 3\], got shape \[3, 2\]"):
        call("q", baseline=jnp.zeros((S, A)))
    with pytest.raises(ValueError, match="of='action' is nothing that a baseline depends on here"):
        pg.optimal_baseline(found.mdp, pg.softmax_policy, found.logits, found.tau, of="action")
    with pytest.raises(ValueError, match="discount=1 without an end"):
        pg.policy_gradient_theorem(
            random_mdp(3, 0.9, horizon=None), pg.softmax_policy, found.logits, discounted_states=False
        )


def test_examples_are_right():
    with jax.enable_x64(False):
        found = doctest.testmod(pg)
    assert found.attempted >= 3 and found.failed == 0
