"""Losses and their gradients, KL estimates, and the trust-region tools against numpy's linear algebra."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_up import ops

OLD = jnp.log(jnp.array([0.5, 0.5, 0.5, 0.5]))
NEW = jnp.log(jnp.array([0.75, 0.75, 0.3, 0.3]))  # ratios 1.5, 1.5, 0.6, 0.6
SIGNS = jnp.array([1.0, -1.0, 1.0, -1.0])

LOSSES = {
    "score_function_loss": (lambda x: ops.score_function_loss(x, SIGNS), NEW),
    "surrogate_loss": (lambda x: ops.surrogate_loss(x, OLD, SIGNS), NEW),
    "clipped_surrogate_loss": (lambda x: ops.clipped_surrogate_loss(x, OLD, SIGNS, 0.2), NEW),
    "value_loss": (lambda x: ops.value_loss(x, SIGNS), 2 * SIGNS),
    "clipped_value_loss": (lambda x: ops.clipped_value_loss(x, OLD, SIGNS, 0.2), 2 * SIGNS),
    "normalize_advantages": (lambda x: jnp.mean(ops.normalize_advantages(x) * SIGNS), OLD + SIGNS),
    "kl_k1": (lambda x: jnp.mean(ops.kl_k1(OLD, x)), NEW),
    "kl_k3": (lambda x: jnp.mean(ops.kl_k3(OLD, x)), NEW),
}


@pytest.mark.parametrize("name", LOSSES)
def test_jit_vmap_and_finite_gradients(name):
    loss, x = LOSSES[name]
    plain = loss(x)
    assert plain.shape == ()
    assert plain.dtype == jnp.float32
    np.testing.assert_allclose(jax.jit(loss)(x), plain, rtol=1e-6)
    np.testing.assert_allclose(jax.jit(jax.vmap(loss))(jnp.stack([x, x])), [plain, plain], rtol=1e-6)
    assert np.isfinite(jax.jit(jax.grad(loss))(x)).all()


@pytest.mark.parametrize("name", [n for n in LOSSES if n != "normalize_advantages"])
def test_a_column_against_a_row_is_refused(name):
    loss, x = LOSSES[name]
    with pytest.raises(AssertionError):
        loss(x[:, None])


def test_score_function_gradient_is_the_weighted_score():
    weight = jnp.array([1.0, -2.0, 0.5, 3.0])
    by_log_prob, by_weight = jax.grad(ops.score_function_loss, (0, 1))(NEW, weight)
    np.testing.assert_allclose(by_log_prob, -weight / 4)
    np.testing.assert_array_equal(by_weight, np.zeros(4))


def test_score_function_loss_descends_towards_the_better_action():
    """The exact policy gradient of a bandit is pi(a) (r(a) - J)."""
    logits, rewards = jnp.array([0.3, -0.2, 0.1]), jnp.array([1.0, 0.0, 5.0])
    probs = jax.nn.softmax(logits)

    def loss(x):
        log_prob = ops.Categorical(jnp.broadcast_to(x, (3, 3))).log_prob(jnp.arange(3))
        return ops.score_function_loss(log_prob, 3 * probs * rewards)

    np.testing.assert_allclose(jax.grad(loss)(logits), -probs * (rewards - probs @ rewards), rtol=1e-5)


def test_clipped_surrogate_golden():
    # min: 1.2 (clipped), -1.5 (not), 0.6 (not), -0.8 (clipped)
    loss = ops.clipped_surrogate_loss(NEW, OLD, SIGNS, 0.2)
    np.testing.assert_allclose(loss, -(1.2 - 1.5 + 0.6 - 0.8) / 4, rtol=1e-5)
    gradient = jax.grad(ops.clipped_surrogate_loss)(NEW, OLD, SIGNS, 0.2)
    np.testing.assert_allclose(gradient, [0, 1.5 / 4, -0.6 / 4, 0], rtol=1e-5)


def test_surrogates_agree_at_the_old_policy_with_the_policy_gradient():
    for loss in (ops.surrogate_loss, lambda *args: ops.clipped_surrogate_loss(*args, 0.2)):
        np.testing.assert_allclose(loss(OLD, OLD, SIGNS + 1), -1.0)
        gradient = jax.grad(loss)(OLD, OLD, SIGNS)
        np.testing.assert_allclose(gradient, jax.grad(ops.score_function_loss)(OLD, SIGNS), rtol=1e-6)
    np.testing.assert_allclose(ops.surrogate_loss(NEW, OLD, SIGNS), 0.0, atol=1e-6)
    np.testing.assert_allclose(ops.surrogate_loss(NEW, OLD, SIGNS + 1), -1.05, rtol=1e-6)
    huge = ops.clipped_surrogate_loss(NEW, OLD, SIGNS, 1e6)
    np.testing.assert_allclose(huge, ops.surrogate_loss(NEW, OLD, SIGNS), atol=1e-6)


def test_a_ratio_that_overflows_is_clipped_as_any_other():
    """Ratios of e^90 and 1: the clip leaves no gradient to the first, where its advantage is positive or 0."""
    log_prob, old = jnp.array([0.0, -1.0]), jnp.array([-90.0, -1.0])
    for old_first in (-90.0, -1e30, -jnp.inf):
        old = old.at[0].set(old_first)
        for first, loss in ((1.0, -1.1), (0.0, -0.5)):
            advantages = jnp.array([first, 1.0])
            found, gradient = jax.value_and_grad(ops.clipped_surrogate_loss)(log_prob, old, advantages, 0.2)
            np.testing.assert_allclose(found, loss, rtol=1e-6)
            np.testing.assert_array_equal(gradient, [0, -0.5])
        found, gradient = jax.value_and_grad(ops.clipped_surrogate_loss)(log_prob, old, jnp.array([-1.0, 1.0]), 0.2)
        assert np.isfinite(found) and found > 1e30
        assert np.isfinite(gradient).all() and gradient[0] > 1e30  # an action to be made less probable
        found, gradient = jax.value_and_grad(ops.surrogate_loss)(log_prob, old, jnp.array([0.0, 1.0]))
        np.testing.assert_allclose((found, *gradient), (-0.5, 0, -0.5))
    np.testing.assert_allclose(ops.surrogate_loss(jnp.array([70.0]), jnp.zeros(1), jnp.ones(1)), -np.exp(70), rtol=1e-5)


@pytest.mark.parametrize("loss", [ops.surrogate_loss, lambda *a: ops.clipped_surrogate_loss(*a, 0.2)])
def test_old_log_probs_and_advantages_are_stopped(loss):
    for gradient in jax.grad(loss, (1, 2))(NEW, OLD, SIGNS):
        np.testing.assert_array_equal(gradient, np.zeros(4))


def test_value_losses_golden():
    values, old, targets = jnp.array([3.0, 1.1, 0.0]), jnp.ones(3), jnp.array([2.0, 2.0, 2.0])
    np.testing.assert_allclose(ops.value_loss(values, targets), (1 + 0.81 + 4) / 6, rtol=1e-6)
    # clipped to 1.5, 1.1, 0.5; the larger error of the two: 1, 0.81, 4
    np.testing.assert_allclose(ops.clipped_value_loss(values, old, targets, 0.5), 5.81 / 6, rtol=1e-6)
    targets = jnp.array([4.0, 2.0, 0.0])  # now the clipped errors are larger: 6.25, 0.81, 0.25
    loss, gradient = jax.value_and_grad(ops.clipped_value_loss)(values, old, targets, 0.5)
    np.testing.assert_allclose(loss, (6.25 + 0.81 + 0.25) / 6, rtol=1e-6)
    np.testing.assert_allclose(gradient, [0, -0.9 / 3, 0], rtol=1e-5)
    for call in (ops.value_loss, lambda v, t: ops.clipped_value_loss(v, old, t, 0.5)):
        np.testing.assert_array_equal(jax.grad(call, 1)(values, targets), np.zeros(3))


def test_normalize_advantages():
    advantages = np.random.default_rng(0).normal(3.0, 5.0, (8, 4)).astype(np.float32)
    normalized = np.asarray(ops.normalize_advantages(advantages))
    np.testing.assert_allclose([normalized.mean(), normalized.std()], [0, 1], atol=1e-6)
    np.testing.assert_allclose(ops.normalize_advantages(np.float32(1e-4) * advantages), normalized, rtol=1e-3)
    np.testing.assert_array_equal(ops.normalize_advantages(jnp.full(4, 2.0)), np.zeros(4))
    np.testing.assert_array_equal(ops.normalize_advantages(jnp.full(1, 2.0)), [2.0])  # no spread to be measured by
    np.testing.assert_array_equal(ops.normalize_advantages(jnp.full((1, 1), -3.0)), [[-3.0]])
    for value in (1.1, 0.1, -7.7e6):  # whose sums are rounded
        np.testing.assert_array_equal(ops.normalize_advantages(jnp.full((512, 4), value)), np.zeros((512, 4)))
    far = ops.normalize_advantages(1e4 + jnp.where(jnp.arange(1000) % 2 == 0, 1.0, -1.0))
    np.testing.assert_allclose(far[:4], [1, -1, 1, -1], rtol=1e-6)
    gradient = jax.grad(lambda x: ops.normalize_advantages(x)[0])(jnp.full(4, 2.0))
    assert np.isfinite(gradient).all()


def test_kl_estimates_are_of_old_against_new_in_expectation_over_old():
    old = ops.DiagonalGaussian(jnp.zeros(1), jnp.zeros(1))
    new = ops.DiagonalGaussian(jnp.array([0.5]), jnp.array([-0.5]))
    exact, reverse = old.kl(new), new.kl(old)
    assert exact > 2 * reverse
    keys = jax.random.split(jax.random.key(0), 40_000)
    action, old_log_prob = jax.jit(jax.vmap(old.sample_and_log_prob))(keys)
    log_prob = jax.jit(jax.vmap(new.log_prob))(action)
    k1, k3 = ops.kl_k1(old_log_prob, log_prob), ops.kl_k3(old_log_prob, log_prob)
    np.testing.assert_allclose(k1.mean(), exact, atol=0.02)
    np.testing.assert_allclose(k3.mean(), exact, atol=0.02)
    assert (k3 >= 0).all()
    assert (k1 < 0).any()
    assert k3.std() < k1.std()


def test_kl_estimates_golden():
    old, new = jnp.log(jnp.array([0.5])), jnp.log(jnp.array([0.25]))
    np.testing.assert_allclose(ops.kl_k1(old, new), [np.log(2)], rtol=1e-6)
    np.testing.assert_allclose(ops.kl_k3(old, new), [np.log(2) - 0.5], rtol=1e-5)
    np.testing.assert_allclose(ops.kl_k3(old, old - 1e-3), [5e-7], rtol=0.02)  # no cancellation
    far = jnp.array([80.0, 90.0, 1e30, jnp.inf])
    value, gradient = jax.vmap(jax.value_and_grad(lambda x: ops.kl_k3(jnp.float32(0.0), x)))(far)
    np.testing.assert_allclose(value, np.full(4, np.exp(80.0)), rtol=1e-5)
    np.testing.assert_allclose(gradient, np.full(4, np.exp(80.0)), rtol=1e-5)


# -- trust-region tools ----------------------------------------------------------------------------


def spd(size=6, seed=0):
    root = np.random.default_rng(seed).normal(size=(size, size))
    return (root @ root.T + size * np.eye(size)).astype(np.float32)


def test_conjugate_gradient_solves():
    matrix, b = spd(), np.arange(6, dtype=np.float32)
    solve = lambda b: ops.conjugate_gradient(lambda v: matrix @ v, b)  # noqa: E731
    expected = np.linalg.solve(np.float64(matrix), b)
    np.testing.assert_allclose(solve(b), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(jax.jit(solve)(b), expected, rtol=1e-4, atol=1e-5)
    together = jax.vmap(solve)(np.stack([b, 1e-8 * b, 0 * b]))  # tolerance is relative; b = 0 is no nan
    np.testing.assert_allclose(together[1], 1e-8 * expected, rtol=1e-4, atol=1e-13)
    np.testing.assert_array_equal(together[2], np.zeros(6))


def test_conjugate_gradient_on_trees_and_its_derivative():
    matrix, b = spd(), np.arange(1.0, 7.0, dtype=np.float32)

    def matvec(tree):
        product = matrix @ jnp.concatenate([tree["a"].ravel(), tree["b"]])
        return {"a": product[:4].reshape(2, 2), "b": product[4:]}

    tree = ops.conjugate_gradient(matvec, {"a": b[:4].reshape(2, 2), "b": b[4:]})
    found = np.concatenate([tree["a"].ravel(), tree["b"]])
    np.testing.assert_allclose(found, np.linalg.solve(matrix, b), rtol=1e-4)
    jacobian = jax.jit(jax.jacrev(lambda b: ops.conjugate_gradient(lambda v: matrix @ v, b)))(b)
    np.testing.assert_allclose(jacobian, np.linalg.inv(matrix), rtol=1e-2, atol=1e-4)


def test_conjugate_gradient_stops():
    matrix = spd()
    b = np.arange(1.0, 7.0, dtype=np.float32)
    matvec = lambda v: matrix @ v  # noqa: E731
    one = ops.conjugate_gradient(matvec, b, iterations=1)
    np.testing.assert_allclose(one, b * (b @ b) / (b @ matrix @ b), rtol=1e-5)
    np.testing.assert_array_equal(ops.conjugate_gradient(matvec, b, iterations=0), np.zeros(6))
    np.testing.assert_array_equal(ops.conjugate_gradient(matvec, b, tolerance=2.0), np.zeros(6))
    np.testing.assert_array_equal(ops.conjugate_gradient(lambda v: -v, b), np.zeros(6))
    many = ops.conjugate_gradient(matvec, b, iterations=200)
    np.testing.assert_allclose(many, np.linalg.solve(matrix, b), rtol=1e-4)
    with pytest.raises(ValueError, match="iterations=-1"):
        ops.conjugate_gradient(matvec, b, iterations=-1)


def test_fisher_of_a_categorical_is_known():
    """F = diag(p) - p p^T in the logits."""
    logits, vector = jnp.array([0.5, -1.0, 0.2]), jnp.array([1.0, 2.0, -3.0])
    old = ops.Categorical(logits)
    product = jax.jit(lambda v: ops.fisher_vector_product(lambda x: old.kl(ops.Categorical(x)), logits, v, 0.1))(vector)
    p = np.asarray(jax.nn.softmax(logits))
    expected = (np.diag(p) - np.outer(p, p)) @ vector + 0.1 * vector
    np.testing.assert_allclose(product, expected, rtol=1e-5, atol=1e-6)


def test_fisher_of_a_gaussian_is_known_and_its_operator_repeats():
    """F = diag(1 / sigma^2, 2) in mean and log-std."""
    params = {"mean": jnp.array([1.0, -1.0]), "log_std": jnp.array([0.3, -0.5])}
    old = ops.DiagonalGaussian(**params)
    operator = ops.fisher_operator(lambda p: old.kl(ops.DiagonalGaussian(**p)), params)
    vector = {"mean": jnp.array([2.0, 3.0]), "log_std": jnp.array([-1.0, 0.5])}
    for scale in (1.0, 2.0):
        product = operator(jax.tree.map(lambda x, s=scale: s * x, vector))
        precision = np.exp(-2 * np.asarray(params["log_std"]))
        np.testing.assert_allclose(product["mean"], scale * precision * vector["mean"], rtol=1e-5)
        np.testing.assert_allclose(product["log_std"], 2 * scale * vector["log_std"], rtol=1e-5)


def test_natural_gradient_step_uses_up_the_trust_region():
    logits, weights, delta = jnp.array([0.5, -1.0, 0.2]), jnp.array([1.0, 0.0, -2.0]), 1e-4
    old = ops.Categorical(logits)
    operator = ops.fisher_operator(lambda x: old.kl(ops.Categorical(x)), logits, damping=1e-6)
    gradient = jax.grad(lambda x: jax.nn.softmax(x) @ weights)(logits)
    direction = ops.conjugate_gradient(operator, gradient)
    step = direction * jnp.sqrt(2 * delta / (direction @ operator(direction)))
    np.testing.assert_allclose(old.kl(ops.Categorical(logits + step)), delta, rtol=0.05)


def test_line_search_takes_the_first_acceptable_fraction():
    params, step = {"w": jnp.zeros(2)}, {"w": jnp.array([8.0, -8.0])}

    def search(limit, iterations=5):
        return ops.backtracking_line_search(
            lambda p: p["w"][0] <= limit, params, step, iterations=iterations, decay=0.5
        )

    limits = jnp.array([100.0, 8.0, 3.0, 0.5, 0.4, -1.0, jnp.nan])
    fractions = [1.0, 1.0, 0.25, 0.0625, 0.0, 0.0, 0.0]
    for limit, fraction in zip(limits, fractions, strict=True):
        found = search(limit)
        assert found.fraction == fraction
        assert found.accepted == (fraction > 0)
        np.testing.assert_array_equal(found.params["w"], fraction * step["w"])
    together = jax.jit(jax.vmap(search))(limits)
    np.testing.assert_array_equal(together.fraction, fractions)
    np.testing.assert_array_equal(together.accepted, np.array(fractions) > 0)
    np.testing.assert_array_equal(together.params["w"][:, 1], -8 * np.array(fractions))
    assert search(0.4, iterations=6).fraction == 1 / 32
    assert not search(100.0, iterations=0).accepted


def test_line_search_refuses_a_broken_step_and_keeps_the_parameters():
    params = jnp.ones(3)
    found = ops.backtracking_line_search(lambda p: jnp.sum(p) > 0, params, jnp.full(3, jnp.nan))
    assert not found.accepted
    assert found.fraction == 0
    np.testing.assert_array_equal(found.params, params)
    blind = ops.backtracking_line_search(
        lambda p: p["a"][0] > 0, {"a": params, "b": params}, {"a": params, "b": jnp.full(3, jnp.nan)}
    )
    assert not blind.accepted  # although what it looks at is fine
    np.testing.assert_array_equal(blind.params["b"], params)


# -- the entropy from samples


def test_monte_carlo_entropy_by_hand():
    """Of log-densities -1 and -3: the value 2, the score -((-1 - -2) g_1 + (-3 - -2) g_2)."""
    log_prob = jnp.array([-1.0, -3.0])
    assert float(ops.monte_carlo_entropy(log_prob)) == 2
    np.testing.assert_allclose(jax.grad(ops.monte_carlo_entropy)(log_prob), [-1.0, 1.0])
    for few in (jnp.float32(1.0), jnp.ones((1, 3)), jnp.ones((0,))):
        with pytest.raises(AssertionError, match="two samples at least"):
            ops.monte_carlo_entropy(few)


def test_monte_carlo_entropy_is_a_loop_over_samples_with_the_others_as_baseline():
    log_prob = jax.random.normal(jax.random.key(0), (5, 3))
    value, gradient = jax.value_and_grad(lambda x: jnp.sum(ops.monte_carlo_entropy(x)))(log_prob)
    expected, x = np.zeros((5, 3)), np.asarray(log_prob)
    for k in range(5):
        others = np.delete(x, k, axis=0).mean(axis=0)
        expected[k] = -(x[k] - others) / 5
    np.testing.assert_allclose(value, -x.mean(axis=0).sum(), rtol=1e-6)
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-6)


def test_monte_carlo_entropy_has_the_gradient_of_the_entropy_on_average():
    """Also of samples without a gradient, as those of a Categorical: dH / dlogits = -p (log p + H)."""
    logits = jnp.array([0.5, -1.0, 0.0])

    def estimate(logits, key):
        policy = ops.Categorical(jnp.broadcast_to(logits, (2, 3)))
        return ops.monte_carlo_entropy(policy.log_prob(policy.sample(key)))

    each = jax.vmap(jax.value_and_grad(estimate), (None, 0))
    values, gradients = each(logits, jax.random.split(jax.random.key(0), 20_000))
    policy = ops.Categorical(logits)
    np.testing.assert_allclose(np.mean(values), policy.entropy(), atol=0.02)
    exact = jax.grad(lambda x: ops.Categorical(x).entropy())(logits)
    np.testing.assert_allclose(np.mean(gradients, axis=0), exact, atol=4 * np.std(gradients, axis=0).max() / 140)
    assert np.abs(exact).min() > 0.05
