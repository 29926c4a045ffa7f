"""Bellman backups against linear solves and value iteration; targets against hand-made numbers."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_up import ops

GAMMA, STATES, ACTIONS = 0.9, 5, 3

R, D = jnp.array([1.0, -1.0, 0.5]), jnp.array([0.9, 0.9, 0.0])  # the last row is terminal
Q1 = jnp.array([[1.0, 3.0], [2.0, -2.0], [7.0, 7.0]])
Q2 = jnp.array([[2.0, 0.5], [1.0, 4.0], [9.0, 9.0]])
UNIFORM = jnp.full((3, 2), 0.5)
ALPHA = 0.2

# name -> (the call, what it should give, worked out by hand)
TARGETS = {
    "td_target": (lambda r: ops.td_target(r, D, Q1[:, 0]), [1.9, 0.8, 0.5]),
    "td_error": (lambda r: ops.td_error(jnp.ones(3), r, D, Q1[:, 0]), [0.9, -0.2, -0.5]),
    "q_learning_target": (lambda r: ops.q_learning_target(r, D, Q1), [3.7, 0.8, 0.5]),
    "expected_sarsa_target": (lambda r: ops.expected_sarsa_target(r, D, Q1, UNIFORM), [2.8, -1.0, 0.5]),
    "double_q_target": (lambda r: ops.double_q_target(r, D, Q1, Q2), [1.9, -2.8, 0.5]),
    "clipped_double_q_target": (
        lambda r: ops.clipped_double_q_target(r, D, Q1[:, 0], Q2[:, 0]),
        [1.9, -0.1, 0.5],
    ),
    "soft_target": (
        lambda r: ops.soft_target(r, D, Q1[:, 0], Q2[:, 0], jnp.array([-1.0, 2.0, 5.0]), ALPHA),
        [1 + 0.9 * 1.2, -1 + 0.9 * 0.6, 0.5],
    ),
    "discrete_soft_target": (
        lambda r: ops.discrete_soft_target(r, D, Q1, Q2, jnp.log(UNIFORM), ALPHA),
        [1 + 0.9 * (0.75 + 0.2 * np.log(2)), -1 + 0.9 * (-0.5 + 0.2 * np.log(2)), 0.5],
    ),
}


def model(seed=0):
    rng = np.random.default_rng(seed)
    transition = rng.dirichlet(np.ones(STATES), size=(STATES, ACTIONS)).astype(np.float32)
    reward = rng.normal(size=(STATES, ACTIONS)).astype(np.float32)
    policy = rng.dirichlet(np.ones(ACTIONS), size=STATES).astype(np.float32)
    return transition, reward, policy


def v_by_linear_solve(transition, reward, policy, discount=GAMMA):
    """(I - gamma P_pi)^-1 r_pi, in float64."""
    discounted = np.broadcast_to(discount, reward.shape)[..., None] * transition
    p_pi = np.einsum("sa,sat->st", policy, discounted, dtype=np.float64)
    return np.linalg.solve(np.eye(STATES) - p_pi, (policy * reward).sum(-1, dtype=np.float64))


def iterate(backup, start, times=300):
    return jax.lax.fori_loop(0, times, lambda _, x: backup(x), start)


def test_expectation_backups_have_the_linear_solution_as_fixed_point():
    transition, reward, policy = model()
    v = v_by_linear_solve(transition, reward, policy)
    q = reward + GAMMA * np.einsum("sat,t->sa", transition, v)
    found_v = iterate(lambda x: ops.expectation_backup_v(x, transition, reward, policy, GAMMA), jnp.zeros(STATES))
    found_q = iterate(lambda x: ops.expectation_backup_q(x, transition, reward, policy, GAMMA), jnp.zeros_like(reward))
    np.testing.assert_allclose(found_v, v, rtol=1e-4)
    np.testing.assert_allclose(found_q, q, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(ops.v_from_q(found_q, policy), v, rtol=1e-4)


def test_optimality_backups_dominate_and_are_solved_by_their_own_greedy_policy():
    transition, reward, policy = model()
    v_star = iterate(lambda x: ops.optimality_backup_v(x, transition, reward, GAMMA), jnp.zeros(STATES))
    q_star = iterate(lambda x: ops.optimality_backup_q(x, transition, reward, GAMMA), jnp.zeros_like(reward))
    np.testing.assert_allclose(v_star, q_star.max(-1), rtol=1e-4)
    greedy = np.eye(ACTIONS)[np.argmax(q_star, -1)]
    np.testing.assert_allclose(v_star, v_by_linear_solve(transition, reward, greedy), rtol=1e-4)
    assert (v_star > v_by_linear_solve(transition, reward, policy)).all()


def test_backups_equal_naive_loops():
    transition, reward, policy = model()
    v, q = np.arange(STATES, dtype=np.float32), np.asarray(reward[::-1])
    naive = {name: np.zeros_like(reward) for name in ("v", "expectation", "optimality")}
    for s in range(STATES):
        for a in range(ACTIONS):
            for name, successor in (
                ("v", v),
                ("expectation", (policy * q).sum(-1)),
                ("optimality", q.max(-1)),
            ):
                naive[name][s, a] = reward[s, a] + GAMMA * sum(
                    transition[s, a, t] * successor[t] for t in range(STATES)
                )
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)  # noqa: E731
    close(ops.q_from_v(v, transition, reward, GAMMA), naive["v"])
    close(ops.expectation_backup_v(v, transition, reward, policy, GAMMA), (policy * naive["v"]).sum(-1))
    close(ops.optimality_backup_v(v, transition, reward, GAMMA), naive["v"].max(-1))
    close(ops.expectation_backup_q(q, transition, reward, policy, GAMMA), naive["expectation"])
    close(ops.optimality_backup_q(q, transition, reward, GAMMA), naive["optimality"])


def test_a_discount_per_state_and_action_ends_the_value():
    transition, reward, policy = model()
    discount = np.full((STATES, ACTIONS), GAMMA, np.float32)
    discount[2] = 0.0  # every action in state 2 terminates
    v = iterate(lambda x: ops.expectation_backup_v(x, transition, reward, policy, discount), jnp.zeros(STATES))
    np.testing.assert_allclose(v, v_by_linear_solve(transition, reward, policy, discount), rtol=1e-4)
    np.testing.assert_allclose(v[2], (policy[2] * reward[2]).sum(), rtol=1e-5)


def test_sampled_targets_are_the_backups_in_expectation():
    transition, reward, policy = model()
    q = jnp.asarray(reward[::-1])
    discount = jnp.full((STATES,), GAMMA)
    # one row per successor, weighted by its probability
    for backup, target in (
        (ops.optimality_backup_q(q, transition, reward, GAMMA), ops.q_learning_target),
        (
            ops.expectation_backup_q(q, transition, reward, policy, GAMMA),
            lambda r, d, next_q: ops.expected_sarsa_target(r, d, next_q, jnp.asarray(policy)),
        ),
    ):
        sampled = target(jnp.full((STATES,), reward[1, 2]), discount, q)
        np.testing.assert_allclose(transition[1, 2] @ sampled, backup[1, 2], rtol=1e-5)


def test_targets_of_two_critics_equal_naive_loops():
    rng, rows = np.random.default_rng(1), 64
    reward, q1, q2, log_prob = rng.normal(size=(4, rows)).astype(np.float32)
    table1, table2 = rng.normal(size=(2, rows, ACTIONS)).astype(np.float32)
    policy = rng.dirichlet(np.ones(ACTIONS), size=rows).astype(np.float32)
    terminated = rng.random(rows) < 0.3
    naive = {name: np.zeros(rows) for name in ("clipped", "soft", "discrete", "double")}
    for i in range(rows):
        ahead = {"clipped": q1[i] if q1[i] < q2[i] else q2[i], "discrete": 0.0}
        ahead["soft"] = ahead["clipped"] - ALPHA * log_prob[i]
        for a in range(ACTIONS):
            least = table1[i, a] if table1[i, a] < table2[i, a] else table2[i, a]
            ahead["discrete"] += policy[i, a] * (least - ALPHA * np.log(policy[i, a]))
        ahead["double"] = table1[i, max(range(ACTIONS), key=lambda a: table2[i, a])]
        for name, value in ahead.items():
            naive[name][i] = reward[i] if terminated[i] else reward[i] + GAMMA * value
    discount = jnp.where(terminated, 0.0, GAMMA)
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)  # noqa: E731
    close(ops.clipped_double_q_target(reward, discount, q1, q2), naive["clipped"])
    close(ops.soft_target(reward, discount, q1, q2, log_prob, ALPHA), naive["soft"])
    close(ops.discrete_soft_target(reward, discount, table1, table2, np.log(policy), ALPHA), naive["discrete"])
    close(ops.double_q_target(reward, discount, table1, table2), naive["double"])


@pytest.mark.parametrize("name", TARGETS)
def test_target_golden_jit_vmap_and_gradient(name):
    call, expected = TARGETS[name]
    np.testing.assert_allclose(call(R), expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(jax.jit(call)(R), expected, rtol=1e-6, atol=1e-6)
    shifted = jax.jit(jax.vmap(call))(np.stack([R, R + 1.0]))
    np.testing.assert_allclose(shifted, [expected, np.add(expected, 1.0)], rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(jax.jit(jax.grad(lambda r: call(r).sum()))(R), np.ones(3))


@pytest.mark.parametrize("name", TARGETS)
def test_a_column_reward_is_refused(name):
    with pytest.raises(AssertionError):
        TARGETS[name][0](R[:, None])


def test_a_wrong_discount_or_value_shape_is_refused():
    with pytest.raises(AssertionError):
        ops.td_target(R, D[:, None], R)
    with pytest.raises(AssertionError):
        ops.td_error(R[:, None], R, D, R)
    with pytest.raises(AssertionError):
        ops.q_from_v(jnp.zeros((STATES, 1)), *model()[:2], GAMMA)


@pytest.mark.parametrize("nothing", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", TARGETS)
def test_the_successor_of_a_terminal_row_is_not_read(name, nothing, monkeypatch):
    call, expected = TARGETS[name]
    for table in ("Q1", "Q2"):
        monkeypatch.setitem(globals(), table, globals()[table].at[2].set(nothing))
    np.testing.assert_allclose(call(R), expected, rtol=1e-6, atol=1e-6)
    monkeypatch.setitem(globals(), "UNIFORM", UNIFORM.at[2].set(jnp.nan))
    np.testing.assert_allclose(jax.jit(call)(R), expected, rtol=1e-6, atol=1e-6)


def test_no_gradient_comes_back_from_a_successor_that_is_not_read():
    def total(q, policy):
        targets = (ops.td_target(R, D, q[:, 0]), ops.q_learning_target(R, D, q), ops.double_q_target(R, D, q, Q2))
        targets += (ops.expected_sarsa_target(R, D, q, policy), ops.clipped_double_q_target(R, D, q[:, 0], q[:, 1]))
        targets += (ops.discrete_soft_target(R, D, q, Q2, jnp.log(policy), ALPHA),)
        return sum(jnp.sum(x) for x in targets)

    gradients = jax.jit(jax.grad(total, (0, 1)))
    for nothing in (jnp.nan, jnp.inf):
        found = gradients(Q1.at[2].set(nothing), UNIFORM)
        for gradient, shown in zip(found, gradients(Q1, UNIFORM), strict=True):
            np.testing.assert_array_equal(gradient[2], 0)
            np.testing.assert_array_equal(gradient[:2], shown[:2])


def test_what_has_no_probability_is_not_read():
    transition, reward, policy = model()
    transition[..., 3] = 0.0
    policy[:, 1] = 0.0
    v, q = np.arange(STATES, dtype=np.float32), np.asarray(reward[::-1]).copy()
    finite = ops.q_from_v(v, transition, reward, GAMMA), ops.v_from_q(q, policy)
    for nothing in (np.inf, -np.inf, np.nan):
        v[3], q[:, 1] = nothing, nothing
        np.testing.assert_array_equal(ops.q_from_v(v, transition, reward, GAMMA), finite[0])
        np.testing.assert_array_equal(ops.v_from_q(q, policy), finite[1])
        assert np.isfinite(ops.expectation_backup_v(v, transition, reward, policy, GAMMA)).all()
        assert np.isfinite(ops.expectation_backup_q(q, transition, reward, policy, GAMMA)).all()
        gradient = jax.grad(lambda v: jnp.sum(ops.optimality_backup_v(v, transition, reward, GAMMA)))(v)
        assert gradient[3] == 0 and np.isfinite(gradient).all()
        never = jnp.asarray(q).at[3].set(nothing)  # a state that is not reached
        gradient = jax.grad(lambda q: jnp.sum(ops.expectation_backup_q(q, transition, reward, policy, GAMMA)))(never)
        assert not gradient[3].any() and np.isfinite(gradient).all()
        best = jnp.where((jnp.arange(ACTIONS) == 1)[None], 0.0, never)
        gradient = jax.grad(lambda q: jnp.sum(ops.optimality_backup_q(q, transition, reward, GAMMA)))(best)
        assert not gradient[3].any() and np.isfinite(gradient).all()
    discount = np.full((STATES, ACTIONS), GAMMA, np.float32)
    discount[2] = 0.0  # every action ends there
    np.testing.assert_array_equal(ops.q_from_v(np.full(STATES, np.inf), transition, reward, discount)[2], reward[2])
    lowest = jnp.full((2, 3), -jnp.inf).at[:, 0].set(0.0)  # log-probabilities of actions that are never taken
    soft = ops.discrete_soft_target(jnp.ones(2), jnp.ones(2), lowest, lowest, lowest, 0.5)
    np.testing.assert_array_equal(soft, np.ones(2))


def test_double_q_equals_q_learning_when_the_functions_agree():
    np.testing.assert_array_equal(ops.double_q_target(R, D, Q1, Q1), ops.q_learning_target(R, D, Q1))


def test_soft_targets_without_temperature_and_in_expectation():
    hard = ops.clipped_double_q_target(R, D, Q1[:, 0], Q2[:, 0])
    log_prob = jnp.array([-1.0, 2.0, 5.0])
    np.testing.assert_array_equal(ops.soft_target(R, D, Q1[:, 0], Q2[:, 0], log_prob, 0.0), hard)
    log_probs = jax.nn.log_softmax(Q2)
    each = [ops.soft_target(R, D, Q1[:, a], Q2[:, a], log_probs[:, a], ALPHA) for a in range(2)]
    expected = sum(jnp.exp(log_probs[:, a]) * each[a] for a in range(2))
    found = ops.discrete_soft_target(R, D, Q1, Q2, log_probs, ALPHA)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_action_value_picks_and_marks_the_impossible():
    action = jnp.array([1, 0, 5])
    values = ops.action_value(Q1, action)
    np.testing.assert_array_equal(values, [3.0, 2.0, np.nan])
    gradient = jax.grad(lambda q: ops.action_value(q, jnp.array([1, 0, 1])).sum())(Q1)
    np.testing.assert_array_equal(gradient, [[0, 1], [1, 0], [0, 1]])
    with pytest.raises(AssertionError):
        ops.action_value(Q1, action[:, None])
    with pytest.raises(AssertionError):
        ops.action_value(Q1, action.astype(jnp.float32))


def test_advantage_is_q_minus_v_and_averages_to_zero():
    transition, reward, policy = model()
    v = v_by_linear_solve(transition, reward, policy)
    q = ops.q_from_v(v.astype(np.float32), transition, reward, GAMMA)
    advantages = ops.advantage(q, policy)
    np.testing.assert_allclose(advantages, q - v[:, None], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose((policy * advantages).sum(-1), np.zeros(STATES), atol=1e-6)


def test_dueling_values_are_identifiable():
    value, streams = jnp.array([1.0, 2.0]), jnp.array([[1.0, 2.0, 6.0], [0.0, 0.0, 3.0]])
    q = ops.dueling_q_values(value, streams)
    np.testing.assert_allclose(q, [[-1, 0, 4], [1, 1, 4]])
    np.testing.assert_allclose(ops.dueling_q_values(value, streams + 100.0), q, atol=1e-4)
    policy = jnp.array([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]])
    weighted = ops.dueling_q_values(value, streams, policy)
    np.testing.assert_allclose(ops.v_from_q(weighted, policy), value, rtol=1e-6)
    np.testing.assert_allclose(ops.advantage(weighted, policy), ops.advantage(streams, policy), rtol=1e-5, atol=1e-6)
    with pytest.raises(AssertionError):
        ops.dueling_q_values(value[:, None], streams)


def test_every_sampled_target_is_tested():
    from jaxrl_up.ops import bellman

    names = {n for n, f in inspect.getmembers(bellman, inspect.isfunction) if n.endswith(("_target", "_error"))}
    assert names == set(TARGETS)
