"""Masked policies: as the smaller problem without what is forbidden, whatever stands there; gradients exactly 0."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from jaxrl_up import ops

ROWS, ACTIONS = 24, 5
RNG = np.random.default_rng(0)
LOGITS, OTHERS = RNG.normal(size=(2, ROWS, ACTIONS)).astype(np.float32)
MASKS = RNG.random((ROWS, ACTIONS)) < RNG.choice([0.2, 0.6], (ROWS, 1))
MASKS[:4] = [[False] * 5, [True] * 5, [False, False, False, True, False], [True, False, True, False, False]]
ALLOWED = [[a for a in range(ACTIONS) if row[a]] or list(range(ACTIONS)) for row in MASKS]
FORBIDDEN = np.array([[a not in row for a in range(ACTIONS)] for row in ALLOWED])
UNREAD = (np.inf, -np.inf, np.nan, 1e4, -1e4)


def key(seed=0):
    return jax.random.key(seed)


@jax.jit
def drawn(policy, keys, noise):
    """Samples by keys, by noise and with their log-probabilities, and the modes."""
    by_pair = jax.vmap(lambda k: policy.sample_and_log_prob(k)[0])(keys)
    return jax.vmap(policy.sample)(keys), jax.vmap(policy.sample_with)(noise), by_pair, policy.mode()[None]


def small(i, logits=LOGITS):
    """Row number i without its forbidden actions."""
    return ops.Categorical(jnp.asarray(logits[i][ALLOWED[i]]))


# -- Categorical -----------------------------------------------------------------------------------


def test_masked_categorical_by_hand():
    logits, mask = jnp.log(jnp.array([1.0, 2.0, 3.0, 4.0])), jnp.array([True, False, True, False])
    policy, other = ops.Categorical(logits, mask), ops.Categorical(jnp.zeros(4), mask)
    found = [policy.log_prob(jnp.int32(a)) for a in (0, 2)]
    np.testing.assert_allclose(found, np.log([0.25, 0.75]), rtol=1e-6)
    np.testing.assert_allclose(policy.entropy(), np.log(4) - 0.75 * np.log(3), rtol=1e-6)
    np.testing.assert_allclose(policy.kl(other), np.log(2) - policy.entropy(), rtol=1e-5)
    np.testing.assert_allclose(other.kl(policy), 0.5 * np.log(4 / 3), rtol=1e-5)
    assert policy.mode() == 2


def test_masked_categorical_in_float64_by_loops():
    policy, other = ops.Categorical(LOGITS, MASKS), ops.Categorical(OTHERS, MASKS)
    log_probs, entropy, kl, mode = np.full((ROWS, ACTIONS), -1e30), *np.zeros((3, ROWS))
    for i, row in enumerate(ALLOWED):
        log_p, log_q = (scipy.special.log_softmax(np.float64(x[i, row])) for x in (LOGITS, OTHERS))
        log_probs[i, row] = log_p
        entropy[i], kl[i] = scipy.stats.entropy(np.exp(log_p)), scipy.stats.entropy(np.exp(log_p), np.exp(log_q))
        mode[i] = row[int(np.argmax(log_p))]
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)  # noqa: E731
    close(policy.log_probs(), log_probs)
    close(policy.entropy(), entropy)
    close(policy.kl(other), kl)
    np.testing.assert_array_equal(policy.mode(), mode)
    for a in range(ACTIONS):
        close(policy.log_prob(jnp.full(ROWS, a)), log_probs[:, a])
    assert (mode != LOGITS.argmax(-1)).any()


def test_a_row_that_allows_nothing_is_as_one_without_a_mask():
    masked, plain = ops.Categorical(LOGITS[:1], MASKS[:1]), ops.Categorical(LOGITS[:1])
    other, plain_other = ops.Categorical(OTHERS[:1], MASKS[:1]), ops.Categorical(OTHERS[:1])
    assert not MASKS[0].any()
    np.testing.assert_array_equal(masked.log_probs(), plain.log_probs())
    np.testing.assert_array_equal(masked.entropy(), plain.entropy())
    np.testing.assert_array_equal(masked.kl(other), plain.kl(plain_other))
    np.testing.assert_array_equal(masked.sample(key()), plain.sample(key()))
    gradients = [jax.grad(lambda x, m=m: ops.Categorical(x, m).entropy().sum())(LOGITS[:1]) for m in (MASKS[:1], None)]
    np.testing.assert_array_equal(*gradients)
    assert np.any(gradients[0])


@pytest.mark.parametrize("nothing", UNREAD)
def test_no_forbidden_action_is_ever_given(nothing):
    policy = ops.Categorical(jnp.asarray(np.where(FORBIDDEN, nothing, LOGITS)), MASKS)
    given = drawn(policy, jax.random.split(key(), 400), jax.random.gumbel(key(), (400, ROWS, ACTIONS)))
    for actions in given:
        assert actions.dtype == jnp.int32
        assert not FORBIDDEN[np.arange(ROWS), np.asarray(actions)].any()
    shares = np.stack([np.bincount(column, minlength=ACTIONS) / 400 for column in np.asarray(given[1]).T])
    np.testing.assert_allclose(shares, np.exp(policy.log_probs()), atol=0.1)


def test_sampling_is_that_of_the_smaller_categorical():
    policy, noise = ops.Categorical(LOGITS, MASKS), np.asarray(jax.random.gumbel(key(), (ROWS, ACTIONS)))
    sample = jax.jit(lambda policy, noise: policy.sample_with(noise))
    sampled = np.asarray(sample(policy, noise))
    for i, row in enumerate(ALLOWED):
        assert row[int(sample(small(i), noise[i, row]))] == sampled[i]
    lost = np.where(FORBIDDEN, 0.0, -np.inf).astype(np.float32)  # Gumbel noise of a uniform number of exactly 0
    for masked in (policy, ops.EpsilonGreedy(jnp.asarray(LOGITS), 0.3, MASKS)):
        np.testing.assert_array_equal(masked.sample_with(lost), [row[0] for row in ALLOWED])
    actions, log_probs = policy.sample_and_log_prob(key())
    np.testing.assert_array_equal(actions, policy.sample(key()))
    np.testing.assert_array_equal(log_probs, policy.log_prob(actions))


def test_a_forbidden_action_has_a_constant_log_probability():
    i, a = np.argwhere(FORBIDDEN)[0]
    log_prob = lambda x, m=MASKS[i]: ops.Categorical(x, m).log_prob(jnp.int32(a))  # noqa: E731
    for scale in (1.0, 1e4, -1e4):
        value, gradient = jax.value_and_grad(log_prob)(scale * LOGITS[i])
        assert value == np.float32(-1e30)
        np.testing.assert_array_equal(gradient, np.zeros(ACTIONS))


def test_probability_ratios_of_forbidden_actions_are_one_and_teach_nothing():
    i, a = np.argwhere(FORBIDDEN)[-1]
    taken, mask = jnp.array([a, ALLOWED[i][0]]), np.stack([MASKS[i]] * 2)

    def loss(logits, surrogate):
        old = ops.Categorical(jnp.stack([OTHERS[i]] * 2), mask).log_prob(taken)
        new = ops.Categorical(jnp.stack([logits] * 2), mask).log_prob(taken)
        return surrogate(new, old, jnp.array([1.0, 0.0]))  # the forbidden action alone has an advantage

    clipped = lambda *args: ops.clipped_surrogate_loss(*args, 0.2)  # noqa: E731
    for surrogate in (ops.surrogate_loss, clipped):
        value, gradient = jax.value_and_grad(loss)(jnp.asarray(LOGITS[i]), surrogate)
        np.testing.assert_allclose(value, -0.5)
        np.testing.assert_array_equal(gradient, np.zeros(ACTIONS))
    allowed_before = ops.Categorical(OTHERS[i]).log_prob(jnp.int32(a))
    forbidden_now = ops.Categorical(LOGITS[i], MASKS[i]).log_prob(jnp.int32(a))
    assert jnp.exp(forbidden_now - allowed_before) == 0
    assert ops.kl_k1(forbidden_now, forbidden_now) == ops.kl_k3(forbidden_now, forbidden_now) == 0


def quantities(logits, others, mask, action):
    """Of a masked categorical, by name."""
    policy, other = ops.Categorical(logits, mask), ops.Categorical(others, mask)
    return {
        "log_prob": policy.log_prob(action),
        "log_probs": jnp.sum(jnp.sin(policy.log_probs())),
        "entropy": policy.entropy(),
        "kl": policy.kl(other),
        "exploring": jnp.exp(policy.log_prob(action) - other.log_prob(action)),
    }


NAMES = ("log_prob", "log_probs", "entropy", "kl", "exploring")


@jax.jit
def gradients(x, y, mask, action):
    """Those of all quantities, by name."""
    return {name: jax.grad(lambda *z, n=name: quantities(*z, mask, action)[n], (0, 1))(x, y) for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_those_of_the_smaller_categorical(name):
    for i, row in enumerate(ALLOWED):
        index, action = np.array(row), RNG.integers(len(row))
        found = gradients(LOGITS[i], OTHERS[i], MASKS[i], np.int32(row[action]))[name]
        expected = gradients(LOGITS[i, index], OTHERS[i, index], None, np.int32(action))[name]
        for ours, theirs in zip(found, expected, strict=True):
            np.testing.assert_allclose(np.asarray(ours)[index], theirs, rtol=1e-4, atol=1e-6)
            np.testing.assert_array_equal(np.delete(ours, index), 0.0)


@jax.jit
def values_and_gradients(x, y, action):
    def total(x, y):
        found = quantities(x, y, MASKS, action)
        return sum(jnp.sum(found[name]) for name in ("log_prob", "log_probs", "entropy", "kl"))

    return quantities(x, y, MASKS, action), jax.grad(total, (0, 1))(x, y)


@pytest.mark.parametrize("action", range(ACTIONS))
@pytest.mark.parametrize("scale", [1.0, 0.0, 1e4, -1e4])
def test_gradients_are_finite_and_exactly_zero_for_what_is_forbidden(scale, action):
    for nothing in (0.0, *UNREAD):
        x, y = (jnp.asarray(np.where(FORBIDDEN, nothing, scale * z)) for z in (LOGITS, OTHERS))
        values, gradients = values_and_gradients(x, y, jnp.full(ROWS, action))
        assert all(np.isfinite(values[n]).all() for n in ("log_prob", "entropy", "kl"))
        assert (np.asarray(values["entropy"]) >= 0).all() and (np.asarray(values["kl"]) >= -1e-5).all()
        for gradient in gradients:
            assert np.isfinite(gradient).all()
            np.testing.assert_array_equal(np.asarray(gradient)[FORBIDDEN], 0.0)


def test_one_allowed_action_has_no_entropy_and_no_gradient():
    logits, mask = jnp.asarray(LOGITS[:5]), np.eye(ACTIONS, dtype=bool)
    for scale in (1.0, 1e4, -1e4):
        policy = ops.Categorical(scale * logits, mask)
        np.testing.assert_array_equal(policy.entropy(), np.zeros(5))
        np.testing.assert_array_equal(policy.kl(ops.Categorical(logits, mask)), np.zeros(5))
        np.testing.assert_array_equal(policy.log_prob(jnp.arange(5)), np.zeros(5))
        total = lambda x: sum(jnp.sum(v) for v in quantities(x, logits, mask, jnp.arange(5)).values())  # noqa: E731
        np.testing.assert_array_equal(jax.grad(total)(scale * logits), np.zeros((5, 5)))


def test_allowed_logits_of_minus_infinity_stay_apart_from_what_is_forbidden():
    policy = ops.Categorical(jnp.array([-jnp.inf, 0.0, -jnp.inf, 3.0]), jnp.array([True, True, False, False]))
    np.testing.assert_allclose(jnp.exp(policy.log_probs()), [0, 1, 0, 0])
    alone = ops.Categorical(jnp.array([-jnp.inf, 0.0]), jnp.array([True, False]))
    np.testing.assert_array_equal(alone.log_probs(), np.float32([0, -1e30]))
    assert alone.sample(key()) == alone.mode() == alone.entropy() == 0


def test_divergences_of_different_masks():
    narrow, wide = jnp.array([True, True, False, False]), jnp.array([True, True, True, False])
    x, y = jnp.asarray(LOGITS[5, :4]), jnp.asarray(OTHERS[5, :4])
    p = scipy.special.softmax(np.float64(x[:2]))
    for mask, number in ((wide, 3), (None, 4)):
        q = scipy.special.softmax(np.float64(y[:number]))[:2]
        found, gradients = jax.value_and_grad(
            lambda x, y, m=mask: ops.Categorical(x, narrow).kl(ops.Categorical(y, m)), (0, 1)
        )(x, y)
        np.testing.assert_allclose(found, np.sum(p * np.log(p / q)), rtol=1e-5)
        assert all(np.isfinite(g).all() for g in gradients)
        assert not np.any(gradients[0][2:]) and (number == 4 or gradients[1][3] == 0)
    for mask in (wide, None):
        found = ops.Categorical(x, mask).kl(ops.Categorical(y, narrow))
        assert np.isfinite(found) and found > 1e28


def test_fisher_products_of_a_masked_policy_are_those_of_the_smaller_one():
    i = int(np.argmax([len(row) if len(row) < ACTIONS else 0 for row in ALLOWED]))
    index, vector = np.array(ALLOWED[i]), jnp.arange(1.0, ACTIONS + 1)

    def product(logits, mask, vector):
        old = jax.lax.stop_gradient(ops.Categorical(logits, mask))
        return ops.fisher_vector_product(lambda x: old.kl(ops.Categorical(x, mask)), logits, vector)

    found = product(jnp.asarray(LOGITS[i]), MASKS[i], vector)
    p = scipy.special.softmax(np.float64(LOGITS[i, index]))
    np.testing.assert_allclose(found[index], (np.diag(p) - np.outer(p, p)) @ vector[index], rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(np.delete(found, index), 0.0)
    certain = product(jnp.asarray(LOGITS[2]), MASKS[2], vector)
    np.testing.assert_array_equal(certain, np.zeros(ACTIONS))


# -- EpsilonGreedy ---------------------------------------------------------------------------------

Q = np.array([[1, 3, 2, 0], [5, 5, 0, 5], [2, 1, 2, 9], [4, 1, 4, 4]], np.float32)
Q_MASK = np.array([[1, 0, 1, 1], [1, 0, 1, 1], [0, 1, 0, 0], [0, 0, 0, 0]], bool)
Q_PROBS = np.array([[0.1, 0, 0.8, 0.1], [0.45, 0, 0.1, 0.45], [0, 1, 0, 0], [0.7 / 3 + 0.075, 0.075, 0, 0]])
Q_PROBS[3, 2:] = Q_PROBS[3, 0]


def test_masked_epsilon_greedy_by_hand():
    policy = ops.EpsilonGreedy(jnp.asarray(Q), 0.3, jnp.asarray(Q_MASK))
    np.testing.assert_allclose(policy.probs(), Q_PROBS, rtol=1e-6)
    assert not np.asarray(policy.probs())[Q_PROBS == 0].any()
    np.testing.assert_array_equal(policy.mode(), [2, 0, 1, 0])
    assert policy.mode().dtype == jnp.int32
    np.testing.assert_allclose(policy.entropy(), scipy.stats.entropy(Q_PROBS, axis=-1), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(policy.log_prob(jnp.array([3, 2, 1, 1])), np.log([0.1, 0.1, 1, 0.075]), rtol=1e-5)
    assert (policy.log_prob(jnp.array([1, 1, 3, 0]))[:3] < -1e29).all()
    other = ops.EpsilonGreedy(jnp.asarray(-Q), 0.6, jnp.asarray(Q_MASK))
    expected = scipy.stats.entropy(Q_PROBS, np.asarray(other.probs(), np.float64), axis=-1)
    np.testing.assert_allclose(policy.kl(other), expected, rtol=1e-4, atol=1e-6)


@jax.jit
def described(policy):
    return policy.probs(), policy.entropy(), policy.mode()


@pytest.mark.parametrize("epsilon", [0.0, 0.3, 1.0, "rows"])
def test_masked_epsilon_greedy_is_the_smaller_one(epsilon):
    values = RNG.integers(0, 3, (ROWS, ACTIONS)).astype(np.float32)
    epsilon = np.linspace(0, 1, ROWS, dtype=np.float32) if epsilon == "rows" else np.full(ROWS, epsilon, np.float32)
    probs, entropy, mode = map(np.asarray, described(ops.EpsilonGreedy(values, epsilon, MASKS)))
    for i, row in enumerate(ALLOWED):
        smaller_probs, smaller_entropy, smaller_mode = described(ops.EpsilonGreedy(values[i, row], epsilon[i]))
        np.testing.assert_allclose(probs[i, row], smaller_probs, rtol=1e-6)
        np.testing.assert_allclose(entropy[i], smaller_entropy, rtol=1e-5, atol=1e-6)
        assert row[int(smaller_mode)] == mode[i]


@pytest.mark.parametrize("nothing", UNREAD)
def test_masked_epsilon_greedy_samples(nothing):
    values = jnp.asarray(np.where(Q_MASK | ~Q_MASK.any(-1, keepdims=True), Q, nothing))
    policy, number = ops.EpsilonGreedy(values, 0.3, jnp.asarray(Q_MASK)), 4000
    *each, mode = drawn(policy, jax.random.split(key(), number), jax.random.gumbel(key(), (number, 4, 4)))
    for samples in each:
        shares = np.stack([np.bincount(column, minlength=4) / number for column in np.asarray(samples).T])
        np.testing.assert_allclose(shares, Q_PROBS, atol=0.03)
        assert not shares[Q_PROBS == 0].any()
    np.testing.assert_array_equal(mode, [[2, 0, 1, 0]])


# -- as trees --------------------------------------------------------------------------------------


def test_masks_pass_through_jit_vmap_and_scan():
    for policy in (ops.Categorical(LOGITS, MASKS), ops.EpsilonGreedy(jnp.asarray(LOGITS), jnp.full(ROWS, 0.2), MASKS)):
        plain = policy.entropy()
        np.testing.assert_allclose(jax.jit(lambda p: p.entropy())(policy), plain, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(jax.vmap(lambda p: p.entropy())(policy), plain, rtol=1e-5, atol=1e-6)
        _, scanned = jax.lax.scan(lambda carry, p: (carry, p.entropy()), None, policy)
        np.testing.assert_allclose(scanned, plain, rtol=1e-5, atol=1e-6)
        carried, _ = jax.lax.scan(lambda p, _: (p, None), policy, None, 2)
        np.testing.assert_array_equal(carried.mode(), policy.mode())
        stopped = jax.lax.stop_gradient(policy)
        np.testing.assert_array_equal(stopped.mask, policy.mask)
