"""Targets over the allowed actions of the next state: by hand, by loops, and as the problem without the others."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from jaxrl_up import ops

ROWS, ACTIONS, ALPHA, GAMMA = 32, 4, 0.2, 0.9
RNG = np.random.default_rng(0)
REWARD = RNG.normal(size=ROWS).astype(np.float32)
DISCOUNT = np.where(RNG.random(ROWS) < 0.2, 0.0, GAMMA).astype(np.float32)
Q1, Q2, LOGITS = RNG.normal(size=(3, ROWS, ACTIONS)).astype(np.float32)
POLICY = scipy.special.softmax(LOGITS, -1)
MASKS = RNG.random((ROWS, ACTIONS)) < 0.5
MASKS[:3] = [[False] * 4, [True] * 4, [False, True, False, False]]
DISCOUNT[:3], DISCOUNT[3] = GAMMA, 0.0
ALLOWED = [[a for a in range(ACTIONS) if row[a]] or list(range(ACTIONS)) for row in MASKS]
FORBIDDEN = np.array([[a not in row for a in range(ACTIONS)] for row in ALLOWED])


def log_softmax(x):
    return scipy.special.log_softmax(x, -1).astype(np.float32)


# name -> (r, discount, numbers of every action, mask) -> [...]
TARGETS = {
    "q_learning": lambda r, d, q1, q2, p, mask=None: ops.q_learning_target(r, d, q1, mask=mask),
    "double_q": lambda r, d, q1, q2, p, mask=None: ops.double_q_target(r, d, q1, q2, mask=mask),
    "expected_sarsa": lambda r, d, q1, q2, p, mask=None: ops.expected_sarsa_target(r, d, q1, p, mask=mask),
    "soft": lambda r, d, q1, q2, p, mask=None: ops.discrete_soft_target(r, d, q1, q2, jnp.log(p), ALPHA, mask=mask),
    "value": lambda r, d, q1, q2, p, mask=None: r + d * ops.v_from_q(q1, p, mask=mask),
}

every = pytest.mark.parametrize("name", TARGETS)


def renormalised(p):
    return p / p.sum()


# name -> the value of the next state, from the numbers of its allowed actions
NAIVE = {
    "q_learning": lambda q1, q2, p: max(q1),
    "double_q": lambda q1, q2, p: q1[max(range(len(q1)), key=lambda a: q2[a])],
    "expected_sarsa": lambda q1, q2, p: float(np.dot(renormalised(p), q1)),
    "soft": lambda q1, q2, p: sum(
        w * (min(x, y) - ALPHA * np.log(w)) for w, x, y in zip(renormalised(p), q1, q2, strict=True)
    ),
    "value": lambda q1, q2, p: float(np.dot(renormalised(p), q1)),
}


def test_masked_targets_by_hand():
    reward, discount = jnp.array([1.0, 1.0]), jnp.array([0.5, 0.0])
    q1, q2 = jnp.array([[9.0, 2.0, 4.0]] * 2), jnp.array([[9.0, 3.0, 1.0]] * 2)
    p, mask = jnp.array([[0.5, 0.375, 0.125]] * 2), jnp.array([[False, True, True], [False, False, False]])
    expected = {
        "q_learning": 1 + 0.5 * 4,
        "double_q": 1 + 0.5 * 2,
        "expected_sarsa": 1 + 0.5 * (0.75 * 2 + 0.25 * 4),
        "soft": 1 + 0.5 * (0.75 * (2 - 0.2 * np.log(0.75)) + 0.25 * (1 - 0.2 * np.log(0.25))),
        "value": 1 + 0.5 * (0.75 * 2 + 0.25 * 4),
    }
    for name, call in TARGETS.items():
        np.testing.assert_allclose(call(reward, discount, q1, q2, p, mask), [expected[name], 1.0], rtol=1e-6)


@every
def test_masked_targets_by_loops(name):
    expected = np.array(REWARD, np.float64)
    for i, row in enumerate(ALLOWED):
        if DISCOUNT[i]:
            expected[i] += DISCOUNT[i] * NAIVE[name](*(np.float64(x[i, row]) for x in (Q1, Q2, POLICY)))
    arguments = REWARD, DISCOUNT, Q1, Q2, POLICY, MASKS
    np.testing.assert_allclose(jax.jit(TARGETS[name])(*arguments), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(jax.jit(jax.vmap(TARGETS[name]))(*arguments), expected, rtol=1e-4, atol=1e-5)
    unmasked = TARGETS[name](*arguments[:-1])
    assert (np.abs(unmasked - expected) > 1e-3).sum() > ROWS / 6


@every
def test_masks_that_allow_all_or_nothing_change_nothing(name):
    arguments = REWARD, DISCOUNT, Q1, Q2, POLICY
    for mask in (np.ones_like(MASKS), np.zeros_like(MASKS)):
        np.testing.assert_allclose(TARGETS[name](*arguments, mask), TARGETS[name](*arguments), rtol=1e-5, atol=1e-6)


@functools.cache
def with_gradients(name):
    """Targets of masked rows, and the gradients of their sum."""

    def target(*given):
        return TARGETS[name](REWARD, DISCOUNT, *given, MASKS)

    return jax.jit(lambda *x: (target(*x), jax.grad(lambda *x: target(*x).sum(), (0, 1, 2))(*x)))


@every
@pytest.mark.parametrize("nothing", [np.inf, -np.inf, np.nan, 1e20, -1e20])
def test_forbidden_actions_are_not_read_and_get_no_gradient(name, nothing):
    given = [np.where(FORBIDDEN, nothing, x).astype(np.float32) for x in (Q1, Q2, POLICY)]
    if name == "soft":
        given[2] = np.where(FORBIDDEN, np.abs(nothing), POLICY).astype(np.float32)  # it takes a logarithm
    (target, found), (plain, shown) = (with_gradients(name)(*x) for x in (given, (Q1, Q2, POLICY)))
    np.testing.assert_array_equal(target, plain)
    for gradient, expected in zip(found[:2], shown[:2], strict=True):
        assert np.isfinite(gradient).all()
        np.testing.assert_array_equal(np.asarray(gradient)[FORBIDDEN], 0.0)
        np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-6)
    if name != "soft" or np.isfinite(nothing):
        np.testing.assert_array_equal(np.asarray(found[2])[FORBIDDEN], 0.0)


@pytest.mark.parametrize("name", [name for name in TARGETS if name != "value"])
@pytest.mark.parametrize("nothing", [np.inf, np.nan])
def test_the_mask_of_a_terminal_row_does_not_matter(name, nothing):
    over = DISCOUNT == 0
    assert over.sum() > 2
    expected = TARGETS[name](REWARD, DISCOUNT, Q1, Q2, POLICY, MASKS)
    for mask in (False, True):
        masks = np.where(over[:, None], mask, MASKS)
        q1, q2, p = (np.where(over[:, None], nothing, x).astype(np.float32) for x in (Q1, Q2, POLICY))
        found = TARGETS[name](REWARD, DISCOUNT, q1, q2, p, masks)
        np.testing.assert_array_equal(found[over], REWARD[over])
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_the_soft_target_of_a_masked_policy_needs_no_mask():
    masked = ops.Categorical(LOGITS, MASKS).log_probs()
    plain = jax.nn.log_softmax(jnp.asarray(LOGITS))
    found = ops.discrete_soft_target(REWARD, DISCOUNT, Q1, Q2, masked, ALPHA)
    twice = ops.discrete_soft_target(REWARD, DISCOUNT, Q1, Q2, masked, ALPHA, mask=MASKS)
    once = ops.discrete_soft_target(REWARD, DISCOUNT, Q1, Q2, plain, ALPHA, mask=MASKS)
    np.testing.assert_allclose(found, once, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(twice, once, rtol=1e-5, atol=1e-6)


def test_a_policy_without_anything_allowed_shares_alike():
    p, q, mask = jnp.array([[1.0, 0.0, 0.0]]), jnp.array([[7.0, 2.0, 4.0]]), jnp.array([[False, True, True]])
    np.testing.assert_allclose(ops.expected_sarsa_target(jnp.ones(1), jnp.ones(1), q, p, mask=mask), [4.0])


def test_targets_of_return_distributions_choose_what_is_allowed():
    """As C51 and QR-DQN do: the distribution of the allowed action of the greatest mean."""
    quantiles = RNG.normal(size=(ROWS, ACTIONS, 3)).astype(np.float32)
    means = quantiles.mean(-1)
    found = ops.action_distribution(jnp.asarray(quantiles), ops.masked_argmax(jnp.asarray(means), MASKS))
    for i, row in enumerate(ALLOWED):
        np.testing.assert_array_equal(found[i], quantiles[i, max(row, key=lambda a: means[i, a])])


def test_optimality_backups_over_what_is_allowed():
    states, actions = 5, 3
    rng = np.random.default_rng(1)
    transition = rng.dirichlet(np.ones(states), size=(states, actions)).astype(np.float32)
    reward = rng.normal(size=(states, actions)).astype(np.float32)
    mask = np.array([[1, 0, 1], [0, 1, 0], [1, 1, 1], [0, 0, 0], [0, 1, 1]], bool)
    allowed = [[a for a in range(actions) if row[a]] or list(range(actions)) for row in mask]
    v = np.zeros(states)
    for _ in range(300):
        v = np.array([max(reward[s, a] + GAMMA * transition[s, a] @ v for a in allowed[s]) for s in range(states)])
    q = reward + GAMMA * transition @ v
    back_v = lambda x: ops.optimality_backup_v(x, transition, reward, GAMMA, mask=mask)  # noqa: E731
    back_q = lambda x: ops.optimality_backup_q(x, transition, reward, GAMMA, mask=mask)  # noqa: E731
    found_v = jax.lax.fori_loop(0, 300, lambda _, x: back_v(x), jnp.zeros(states))
    found_q = jax.lax.fori_loop(0, 300, lambda _, x: back_q(x), jnp.zeros((states, actions)))
    np.testing.assert_allclose(found_v, v, rtol=1e-4)
    np.testing.assert_allclose(found_q, q, rtol=1e-4, atol=1e-5)
    free = jax.lax.fori_loop(
        0, 300, lambda _, x: ops.optimality_backup_v(x, transition, reward, GAMMA), jnp.zeros(states)
    )
    assert (free > found_v + 1e-3).all()
