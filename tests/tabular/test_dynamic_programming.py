"""Exact values: textbook numbers, NumPy in float64, and properties over random MDPs."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxrl_up import tabular

S, A, H = 5, 3, 4
SOLVERS = {
    "value iteration": tabular.value_iteration,
    "policy iteration": tabular.policy_iteration,
    "modified policy iteration": partial(tabular.modified_policy_iteration, sweeps=4),
}
random_mdps = settings(max_examples=25, deadline=None, derandomize=True)
seeds, discounts = st.integers(0, 2**31 - 1), st.floats(0.0, 0.99)


@pytest.fixture(autouse=True)
def wide():
    with jax.enable_x64(True):
        yield


def random_mdp(seed, discount=0.9, horizon=None):
    """Sparse rows, rewards of every convention, some states terminal, and an arbitrary start."""
    rng = np.random.default_rng(seed)
    transition = rng.dirichlet(np.full(S, 0.3), (S, A))
    reward = rng.normal(size=(S, A, S))
    terminal = rng.random(S) < 0.2
    terminal[rng.integers(S)] = False
    start = rng.dirichlet(np.ones(S)) * ~terminal
    start /= start.sum()
    return tabular.mdp(transition, reward, discount=discount, terminal=terminal, start=start, horizon=horizon)


def random_policy(seed, *more):
    return np.random.default_rng(seed + 1).dirichlet(np.ones(A), (*more, S))


def numpy_solution(mdp, policy):
    """V^pi `[S]` in float64 of what the arrays say, by loops and a linear solve."""
    p, r, gamma, over = (
        np.asarray(x, np.float64) for x in (mdp.transition, mdp.reward_table, mdp.discount, mdp.terminal)
    )
    matrix, vector = np.eye(S), np.zeros(S)
    for s in range(S):
        for a in range(A):
            for t in range(S):
                if not over[s]:
                    vector[s] += policy[s][a] * p[s, a, t] * r[s, a, t]
                    matrix[s, t] -= gamma * policy[s][a] * p[s, a, t] * (1 - over[t])
    return np.linalg.solve(matrix, vector)


def numpy_optimum(mdp):
    """V* `[S]`, the largest of V^pi over all deterministic policies."""
    best = np.full(S, -np.inf)
    for number in range(A**S):
        actions = [number // A**s % A for s in range(S)]
        best = np.maximum(best, numpy_solution(mdp, np.eye(A)[actions]))
    return best


# -- numbers of others -----------------------------------------------------------------------------


@pytest.mark.thorough("8x8")
@pytest.mark.parametrize(("name", "value"), [("4x4", 0.542025932000), ("8x8", 0.414640361800)])
def test_frozen_lake_has_its_known_value(name, value):
    assert abs(tabular.v_star(tabular.frozen_lake(name))[0] - value) < 1e-10
    assert abs(tabular.value_iteration(tabular.frozen_lake(name)).values[0] - value) < 1e-10


def test_frozen_lake_undiscounted_is_held_back_by_its_limit():
    limited = tabular.frozen_lake("4x4", discount=1.0, horizon=100)
    np.testing.assert_allclose(tabular.v_star(limited)[0, 0], 0.744190, atol=5e-7)
    np.testing.assert_allclose(tabular.v_star(tabular.frozen_lake("4x4", discount=1.0))[0], 14 / 17, rtol=1e-9)


def test_the_gridworld_of_sutton_and_barto_has_its_values():
    """Example 4.1: the random policy, undiscounted, -1 a step."""
    mdp = tabular.from_grid(["G...", "....", "....", "...G"], discount=1.0, step_reward=-1.0, rewards={"G": 0.0})
    expected = [0, -14, -20, -22, -14, -18, -20, -20, -20, -20, -18, -14, -22, -20, -14, 0]
    np.testing.assert_allclose(tabular.v_pi(mdp, tabular.uniform_policy(mdp)), expected, atol=1e-10)
    after = tabular.iterative_evaluation(mdp, tabular.uniform_policy(mdp), max_iterations=3)
    np.testing.assert_allclose(after.values[1:4], [-2.4375, -2.9375, -3.0], atol=1e-12)  # figure 4.1, k = 3


def test_the_windy_gridworld_takes_15_steps():
    """Sutton & Barto 2018, example 6.5."""
    text = ["." * 10] * 3 + ["S......G.."] + ["." * 10] * 3
    wind = [0, 0, 0, 1, 1, 1, 2, 2, 1, 0]
    mdp = tabular.from_grid(text, discount=1.0, step_reward=-1.0, rewards={"G": 0.0}, wind=wind)
    assert tabular.expected_return(mdp, tabular.value_iteration(mdp).policy) == -15


# -- against NumPy ---------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_values_of_a_policy_are_those_of_numpy(seed):
    mdp, policy = random_mdp(seed), random_policy(seed)
    expected = numpy_solution(mdp, policy)
    np.testing.assert_allclose(tabular.v_pi(mdp, policy), expected, atol=1e-12)
    np.testing.assert_allclose(tabular.iterative_evaluation(mdp, policy).values, expected, atol=1e-11)
    np.testing.assert_allclose(tabular.expected_return(mdp, policy), np.asarray(mdp.start) @ expected, atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("solver", SOLVERS)
def test_every_solver_finds_the_best_of_all_policies(solver, seed):
    mdp = random_mdp(seed, discount=0.95)
    expected = numpy_optimum(mdp)
    solution = SOLVERS[solver](mdp)
    np.testing.assert_allclose(solution.values, expected, atol=1e-6)
    np.testing.assert_allclose(tabular.v_pi(mdp, solution.policy), expected, atol=1e-9)
    np.testing.assert_allclose(tabular.v_star(mdp), expected, atol=1e-12)
    assert solution.residual < 1e-10 and solution.iterations > 0


def test_in_float32_solvers_agree_as_far_as_it_goes():
    wide = random_mdp(0, discount=0.99)
    narrow = jax.tree.map(lambda x: x.astype(jnp.float32) if x.dtype == jnp.float64 else x, wide)
    expected = tabular.v_star(wide)
    size = np.abs(expected).max()
    np.testing.assert_allclose(tabular.v_star(narrow), expected, atol=2e-5 * size)
    for solver in SOLVERS.values():
        found = solver(narrow)
        assert found.values.dtype == jnp.float32
        np.testing.assert_allclose(found.values, expected, atol=2e-5 * size)  # eps / (1 - gamma)


def test_discount_1_with_ways_round_for_nothing_finds_the_end():
    """Staying costs nothing, so that the policy that stays for ever has no value of its own."""
    mdp = tabular.from_grid("S...G", discount=1.0)
    for values in (tabular.v_star(mdp), tabular.value_iteration(mdp).values):
        np.testing.assert_allclose(values, [1, 1, 1, 1, 0])


@pytest.mark.parametrize("paid", [0.0, -1.0])
def test_under_jit_states_that_do_not_end_leave_others_alone(paid):
    """Two rooms, undiscounted: in one the policy walks to the goal, in the other for ever into the wall."""
    mdp = tabular.from_grid("S.G#S.G", discount=1.0, step_reward=paid)
    policy = jnp.eye(4)[jnp.array([2, 2, 2, 3, 3, 2])]  # right, but up in the second room
    with pytest.raises(ValueError, match="no way leads from state 3"):
        tabular.v_pi(mdp, policy)
    values, visits = jax.jit(lambda policy: (tabular.v_pi(mdp, policy), tabular.occupancy(mdp, policy)))(policy)
    np.testing.assert_allclose(values[:3], [1 + 2 * paid, 1 + paid, 0], rtol=1e-12)
    np.testing.assert_allclose(visits[:3], [0.5, 0.5, 0], rtol=1e-12)
    if paid:
        assert np.all(values[3:5] < -1e12) and visits[3] > 1e12
    else:
        np.testing.assert_array_equal(values[3:5], [0, 0])


def test_many_mdps_are_solved_by_one_call():
    garnets = jax.jit(jax.vmap(lambda key: tabular.garnet(key, S, A, 2, discount=0.9)))
    mdps = garnets(jax.random.split(jax.random.key(0), 6))
    together = jax.jit(jax.vmap(tabular.v_star))(mdps)
    for i in range(6):
        one = jax.tree.map(lambda x, i=i: x[i], mdps)
        np.testing.assert_allclose(together[i], numpy_optimum(one), atol=1e-10)


# -- with a horizon --------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(2))
def test_values_with_a_horizon_are_those_of_a_loop(seed):
    mdp, policy = random_mdp(seed, 1.0, H), random_policy(seed, H)
    p, r, over = (np.asarray(x) for x in (mdp.transition, mdp.reward_table, mdp.terminal))
    values, best = np.zeros((2, H + 1, S))
    for t in reversed(range(H)):
        for s in np.flatnonzero(~over):
            ahead = [[np.sum(p[s, a] * (r[s, a] + v[t + 1] * ~over)) for a in range(A)] for v in (values, best)]
            values[t, s], best[t, s] = policy[t, s] @ ahead[0], max(ahead[1])
    np.testing.assert_allclose(tabular.v_pi(mdp, policy), values, atol=1e-12)
    np.testing.assert_allclose(tabular.v_star(mdp), best, atol=1e-12)
    np.testing.assert_allclose(tabular.v_pi(mdp, tabular.value_iteration(mdp).policy), best, atol=1e-12)
    np.testing.assert_allclose(jnp.max(tabular.q_star(mdp), axis=-1), best[:-1], atol=1e-12)
    np.testing.assert_allclose(jnp.sum(policy * tabular.a_pi(mdp, policy), axis=-1), np.zeros((H, S)), atol=1e-12)


def test_a_long_horizon_is_none():
    mdp, policy = random_mdp(0, 0.5), random_policy(0)
    long = mdp.replace(horizon=60)
    np.testing.assert_allclose(tabular.v_pi(long, policy)[0], tabular.v_pi(mdp, policy), atol=1e-12)
    np.testing.assert_allclose(tabular.v_star(long)[0], tabular.v_star(mdp), atol=1e-12)
    np.testing.assert_allclose(tabular.occupancy(long, policy), tabular.occupancy(mdp, policy), atol=1e-12)


def test_what_needs_values_without_a_time_says_so():
    mdp = random_mdp(0, horizon=H)
    for solver in (tabular.policy_iteration, tabular.modified_policy_iteration):
        with pytest.raises(ValueError, match="with a horizon value_iteration is exact"):
            solver(mdp)


# -- properties ------------------------------------------------------------------------------------


@jax.jit
def found(mdp, policy):
    values = {"v_pi": tabular.v_pi, "q_pi": tabular.q_pi, "a_pi": tabular.a_pi, "d_pi": tabular.occupancy}
    result = {name: function(mdp, policy) for name, function in values.items()}
    result |= {"v*": tabular.v_star(mdp), "q*": tabular.q_star(mdp), "j": tabular.expected_return(mdp, policy)}
    left = [tabular.residual(mdp, result[x], policy) for x in ("v_pi", "q_pi")]
    return result, jnp.stack(left + [tabular.residual(mdp, result[x]) for x in ("v*", "q*")])


@random_mdps
@given(seeds, discounts)
def test_identities(seed, discount):
    mdp, policy = random_mdp(seed, discount), random_policy(seed)
    x, residuals = found(mdp, policy)
    close = partial(np.testing.assert_allclose, atol=1e-8)
    close(x["v_pi"], np.sum(policy * x["q_pi"], axis=-1))  # V^pi = E_pi Q^pi
    close(x["v*"], np.max(x["q*"], axis=-1))  # V* = max Q*
    close(np.sum(policy * x["a_pi"], axis=-1), np.zeros(S))  # E_pi A^pi = 0
    close(x["a_pi"], x["q_pi"] - x["v_pi"][:, None])
    close(np.asarray(x["d_pi"]) @ np.sum(policy * np.asarray(mdp.expected_reward), axis=-1), x["j"])
    assert np.all(x["v*"] >= x["v_pi"] - 1e-8)
    assert np.max(residuals) < 1e-8
    assert not np.any(np.asarray(x["v_pi"])[np.asarray(mdp.terminal)])


@jax.jit
def backed_up(mdp, policy, one, other):
    def apart(backup):
        return jnp.max(jnp.abs(backup(one) - backup(other)))

    values = [partial(tabular.expectation_backup_v, mdp, policy), partial(tabular.optimality_backup_v, mdp)]
    above = jnp.maximum(one, other)
    return [(apart(backup), jnp.min(backup(above) - backup(one))) for backup in values]


@random_mdps
@given(seeds, discounts)
def test_backups_contract_and_are_monotone(seed, discount):
    rng = np.random.default_rng(seed)
    one, other = rng.normal(size=(2, S))
    for apart, above in backed_up(random_mdp(seed, discount), random_policy(seed), one, other):
        assert apart <= discount * np.abs(one - other).max() + 1e-12
        assert above >= -1e-12


@random_mdps
@given(seeds, discounts)
def test_backups_of_q_contract(seed, discount):
    one, other = np.random.default_rng(seed).normal(size=(2, S, A))
    mdp, policy = random_mdp(seed, discount), random_policy(seed)
    for backup in (partial(tabular.expectation_backup_q, mdp, policy), partial(tabular.optimality_backup_q, mdp)):
        assert jnp.max(jnp.abs(backup(one) - backup(other))) <= discount * np.abs(one - other).max() + 1e-12


@random_mdps
@given(seeds, discounts)
def test_a_greedy_policy_is_no_worse(seed, discount):
    """The policy improvement theorem: Sutton & Barto 2018, eq. 4.7 and 4.8."""
    mdp, policy = random_mdp(seed, discount), random_policy(seed)
    better = improved(mdp, policy)
    assert np.all(better[0] >= better[1] - 1e-9)


@jax.jit
def improved(mdp, policy):
    return tabular.v_pi(mdp, tabular.greedy(tabular.q_pi(mdp, policy))), tabular.v_pi(mdp, policy)


# -- gradients, greedy, occupancy, soft ------------------------------------------------------------


def test_the_gradient_of_the_return_is_that_of_differences():
    mdp = random_mdp(3)
    logits = jnp.asarray(np.random.default_rng(0).normal(size=(S, A)))

    def objective(logits):
        return tabular.expected_return(mdp, jax.nn.softmax(logits))

    direction = np.random.default_rng(1).normal(size=(S, A))
    difference = (objective(logits + 1e-6 * direction) - objective(logits - 1e-6 * direction)) / 2e-6
    np.testing.assert_allclose(np.sum(jax.grad(objective)(logits) * direction), difference, rtol=1e-7)


def test_the_gradient_of_the_optimum_is_the_occupancy_of_its_policy():
    """dJ*/dr(s, a) = d(s) pi*(a | s): the envelope theorem."""
    mdp = random_mdp(4)
    mdp = mdp.replace(reward=mdp.expected_reward)
    policy = tabular.value_iteration(mdp).policy
    gradient = jax.grad(lambda r: jnp.sum(mdp.start * tabular.v_star(mdp.replace(reward=r))))(mdp.reward)
    np.testing.assert_allclose(gradient, tabular.occupancy(mdp, policy)[:, None] * policy, atol=1e-12)


def test_greedy_shares_among_equal_actions():
    np.testing.assert_allclose(
        tabular.greedy(jnp.array([[1.0, 1.0, 0.0], [0.0, 2.0, 1.0]])), [[0.5, 0.5, 0], [0, 1, 0]]
    )
    q_values = jnp.array([[1.0, 0.9]])
    np.testing.assert_allclose(tabular.greedy(q_values, tolerance=0.2), [[0.5, 0.5]])
    mirrored = tabular.from_grid(["G.S.G"], discount=0.9)  # left and right are equally good
    np.testing.assert_allclose(tabular.value_iteration(mirrored).policy[2], [0.5, 0, 0.5, 0])


def test_occupancy_counts_discounted_steps():
    mdp = tabular.mdp([[[0.0, 1.0]], [[0.0, 1.0]]], [1.0, 1.0], discount=0.5, terminal=[1], start=0)
    np.testing.assert_allclose(tabular.occupancy(mdp, [0, 0]), [1.0, 0.0])
    mdp = tabular.mdp([[[0.0, 1.0]], [[0.0, 1.0]]], [1.0, 1.0], discount=0.5, start=0)
    np.testing.assert_allclose(tabular.occupancy(mdp, [0, 0]), [1.0, 1.0])
    np.testing.assert_allclose(tabular.occupancy(mdp, [0, 0], normalize=True), [0.5, 0.5])
    np.testing.assert_allclose(tabular.occupancy(mdp.replace(horizon=3), [0, 0]), [1.0, 0.75])


def test_soft_values_are_those_of_a_loop_and_go_to_the_hard_ones():
    mdp = random_mdp(5)
    p, r, over, alpha = np.asarray(mdp.going), np.asarray(mdp.expected_reward), np.asarray(mdp.terminal), 0.3
    values = np.zeros(S)
    for _ in range(400):
        values = np.where(over, 0, alpha * np.log(np.sum(np.exp((r + 0.9 * p @ values) / alpha), axis=1)))
    found = tabular.soft_value_iteration(mdp, alpha)
    np.testing.assert_allclose(found.values, values, atol=1e-10)
    np.testing.assert_allclose(tabular.soft_v_pi(mdp, found.policy, alpha), values, atol=1e-10)
    assert np.all(tabular.soft_v_pi(mdp, random_policy(5), alpha) <= values + 1e-9)
    np.testing.assert_allclose(tabular.soft_value_iteration(mdp, 1e-4).values, tabular.v_star(mdp), atol=2e-2)
    long = tabular.soft_value_iteration(mdp.replace(horizon=200), alpha)
    np.testing.assert_allclose(long.values[0], values, atol=1e-6)
    np.testing.assert_allclose(long.policy[0][~over], found.policy[~over], atol=1e-6)


def test_iterations_stop_where_told():
    mdp = random_mdp(0, 0.9)
    assert tabular.value_iteration(mdp, max_iterations=3).iterations == 3
    rough, fine = (tabular.value_iteration(mdp, tolerance=t) for t in (1e-2, 1e-8))
    assert rough.iterations < fine.iterations and rough.residual < 1e-2
    with pytest.raises(ValueError, match="tolerance=-1 must be at least 0"):
        tabular.value_iteration(mdp, tolerance=-1)
    with pytest.raises(ValueError, match="sweeps=0 must be at least 1"):
        tabular.modified_policy_iteration(mdp, sweeps=0)


def test_a_narrow_mdp_stays_narrow_by_whatever_policy_and_temperature():
    mdp = tabular.mdp(np.full((S, A, S), 1 / S, np.float32), np.ones(S, np.float32), discount=0.9)  # float32 rows
    narrow = jax.tree.map(lambda x: x.astype(jnp.float32) if x.dtype == jnp.float64 else x, mdp)
    for some in (narrow, narrow.replace(horizon=H)):
        for function in (tabular.v_pi, tabular.occupancy, tabular.iterative_evaluation):
            assert jax.tree.leaves(function(some, random_policy(0)))[0].dtype == jnp.float32
        assert tabular.soft_value_iteration(some, jnp.float64(0.1)).values.dtype == jnp.float32


def test_what_pays_for_ever_undiscounted_is_infinite():
    mdp = tabular.from_grid("S.G#S.H", discount=1.0, step_reward=0.1)
    np.testing.assert_array_equal(tabular.v_star(mdp), [np.inf, np.inf, 0, np.inf, np.inf, 0])
    np.testing.assert_allclose(tabular.v_star(tabular.from_grid("S.P", discount=1.0)), [0, 0, 0])


def test_greedy_leaves_out_what_may_not_be_done():
    np.testing.assert_array_equal(tabular.greedy(jnp.array([[-jnp.inf, 1.0, 0.0]])), [[0, 1, 0]])


def test_a_residual_is_of_values_without_a_time():
    mdp = random_mdp(0, horizon=H)
    with pytest.raises(ValueError, match=r"residual is of V \[5\] or Q \[5, 3\], got shape \[5, 5\]"):
        tabular.residual(mdp, tabular.v_star(mdp))


def test_soft_values_in_time_belong_to_their_policy():
    mdp = random_mdp(6, 1.0, H)
    found = tabular.soft_value_iteration(mdp, 0.3)
    np.testing.assert_allclose(tabular.soft_v_pi(mdp, found.policy, 0.3), found.values, atol=1e-12)
    assert np.all(tabular.soft_v_pi(mdp, random_policy(6), 0.3) <= found.values + 1e-12)


def test_soft_values_of_any_temperature_are_finite():
    mdp, narrow = random_mdp(5), jax.tree.map(lambda x: x.astype(jnp.float32) if x.ndim else x, random_mdp(5))
    narrow = narrow.replace(terminal=mdp.terminal, discount=mdp.discount.astype(jnp.float32))
    coldest = tabular.soft_value_iteration(narrow, 1e-37)
    np.testing.assert_allclose(coldest.values, tabular.v_star(mdp), rtol=1e-4, atol=1e-5)
    assert np.isfinite(coldest.policy).all()
    for alpha in (0, -1.0):
        with pytest.raises(ValueError, match=f"alpha={alpha} must be above 0"):
            tabular.soft_value_iteration(mdp, alpha)
        with pytest.raises(ValueError, match=f"alpha={alpha} must be above 0"):
            tabular.soft_v_pi(mdp, random_policy(0), alpha)


def test_the_gradient_of_the_soft_optimum_is_that_of_its_policy_held_fixed():
    mdp = random_mdp(7)
    mdp = mdp.replace(reward=mdp.expected_reward)
    policy, direction = tabular.soft_value_iteration(mdp, 0.3).policy, np.random.default_rng(0).normal(size=(S, A))

    def optimum(step):
        return tabular.soft_value_iteration(mdp.replace(reward=mdp.reward + step * direction), 0.3).values

    slope = jax.jvp(lambda r: tabular.soft_v_pi(mdp.replace(reward=r), policy, 0.3), (mdp.reward,), (direction,))[1]
    np.testing.assert_allclose(slope, (optimum(1e-5) - optimum(-1e-5)) / 2e-5, atol=1e-7)


def test_the_optimum_is_found_without_a_nan_on_the_way():
    with jax.debug_nans(True):
        np.testing.assert_allclose(tabular.v_star(random_mdp(0)), numpy_optimum(random_mdp(0)), atol=1e-9)
        np.testing.assert_allclose(tabular.v_star(tabular.from_grid("S.G", discount=1.0)), [1, 1, 0])
