"""Policies: against distrax, scipy, quadrature and counts of samples; saturation, masks and ties."""

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from scipy import integrate

from jaxrl_up import ops


def key():
    """The same key, made anew: reusing one object is refused when jax checks for it."""
    return jax.random.key(0)


LOW, HIGH = np.array([-1.0, 0.0, -0.5], np.float32), np.array([3.0, 0.1, 1000.0], np.float32)
MASK = jnp.array([[True, True, False, True]] * 3)


def normal(shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def draw(policy, number):
    """Independent samples, as a numpy array."""
    return np.asarray(jax.jit(jax.vmap(policy.sample))(jax.random.split(key(), number)))


# name -> policy of batch shape [3] from parameters that gradients are taken of
POLICIES = {
    "categorical": lambda p: ops.Categorical(p["x"]),
    "masked": lambda p: ops.Categorical(p["x"], MASK),
    "gaussian": lambda p: ops.DiagonalGaussian(p["x"], 0.3 * p["y"]),
    "state_free": lambda p: ops.DiagonalGaussian(p["x"], 0.3 * p["y"][0]),
    "tanh": lambda p: ops.TanhGaussian(
        p["x"], 0.3 * p["y"], np.array([-1.0, 0.0, -0.5, 2.0]), np.array([3.0, 0.1, 1000.0, 2.5])
    ),
    "epsilon_greedy": lambda p: ops.EpsilonGreedy(p["x"], 0.2),
    "deterministic": lambda p: ops.Deterministic(p["x"]),
}


def parameters(seed=0):
    return {"x": normal((3, 4), seed), "y": normal((3, 4), seed + 1)}


def everything(name, p, q, key):
    """Every method of a policy, in one tree."""
    policy, other = POLICIES[name](p), POLICIES[name](q)
    sample_key, pair_key, entropy_key = jax.random.split(key, 3)
    action = policy.sample(sample_key)
    return {
        "sample": action,
        "log_prob": policy.log_prob(action),
        "sample_and_log_prob": policy.sample_and_log_prob(pair_key),
        "entropy": policy.entropy(entropy_key, 2) if name == "tanh" else policy.entropy(),
        "kl": policy.kl(other),
        "mode": policy.mode(),
    }


@pytest.mark.parametrize("name", POLICIES)
def test_shapes_jit_and_vmap(name):
    p, q = parameters(0), parameters(5)
    plain = everything(name, p, q, key())
    for method in ("log_prob", "entropy", "kl"):
        assert plain[method].shape == (3,)
        assert plain[method].dtype == jnp.float32
    discrete = name in ("categorical", "masked", "epsilon_greedy")
    for method in ("sample", "mode"):
        assert plain[method].shape == ((3,) if discrete else (3, 4))
        assert plain[method].dtype == (jnp.int32 if discrete else jnp.float32)
    call = lambda p, q, key: everything(name, p, q, key)  # noqa: E731
    jitted = jax.jit(call)(p, q, key())
    stacked = jax.tree.map(lambda x: jnp.stack([x, x + 0.1]), (p, q))
    mapped = jax.jit(jax.vmap(call, in_axes=(0, 0, None)))(*stacked, key())
    for leaf, same, rows in zip(*map(jax.tree.leaves, (plain, jitted, mapped)), strict=True):
        np.testing.assert_allclose(same, leaf, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(rows[0], leaf, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", POLICIES)
def test_sample_and_log_prob_agree(name):
    policy = POLICIES[name](parameters())
    action, log_prob = policy.sample_and_log_prob(key())
    np.testing.assert_array_equal(action, policy.sample(key()))
    np.testing.assert_allclose(log_prob, policy.log_prob(action), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", [n for n in POLICIES if n != "deterministic"])
def test_gradients_are_finite_also_at_extremes(name):
    q = parameters(5)

    @jax.jit
    @jax.grad
    def differentiate(p):
        results = everything(name, p, q, key())
        return sum(jnp.sum(results[method]) for method in ("log_prob", "entropy", "kl"))

    for scale in (1.0, 0.0, 1e4):
        p = parameters()
        gradient = differentiate({"x": scale * p["x"], "y": p["y"]})
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient)), scale


@pytest.mark.parametrize("name", ["gaussian", "state_free", "tanh", "categorical", "masked"])
def test_kl_is_zero_to_itself_positive_otherwise_and_the_mean_log_ratio(name):
    policy, other = POLICIES[name](parameters()), POLICIES[name](parameters(5))
    np.testing.assert_allclose(policy.kl(policy), np.zeros(3), atol=1e-6)
    exact = policy.kl(other)
    assert (exact > 0).all()
    action, log_prob = jax.jit(jax.vmap(policy.sample_and_log_prob))(jax.random.split(key(), 40_000))
    log_ratio = np.asarray(log_prob - jax.jit(jax.vmap(other.log_prob))(action))
    error = log_ratio.std(0) / 200
    assert (np.abs(log_ratio.mean(0) - exact) < 5 * error).all()  # KL(self || other), not the reverse


def test_wrong_action_shapes_are_refused():
    for build in POLICIES.values():
        policy = build(parameters())
        action = policy.mode()[..., None]
        with pytest.raises(AssertionError):
            policy.log_prob(action)


# -- Categorical -----------------------------------------------------------------------------------


def test_categorical_agrees_with_distrax():
    p, q, action = normal((3, 4)), normal((3, 4), 5), jnp.array([0, 3, 2])
    ours, theirs = ops.Categorical(p), distrax.Categorical(p)
    np.testing.assert_allclose(ours.log_prob(action), theirs.log_prob(action), rtol=1e-6)
    np.testing.assert_allclose(ours.entropy(), theirs.entropy(), rtol=1e-6)
    np.testing.assert_allclose(ours.kl(ops.Categorical(q)), theirs.kl_divergence(distrax.Categorical(q)), rtol=1e-5)
    np.testing.assert_array_equal(ours.mode(), theirs.mode())


def test_masked_categorical_is_the_smaller_one():
    logits, other = normal((3, 4)), normal((3, 4), 5)
    masked, allowed = ops.Categorical(logits, MASK), jnp.array([0, 1, 3])
    small, small_other = ops.Categorical(logits[:, allowed]), ops.Categorical(other[:, allowed])
    np.testing.assert_allclose(masked.entropy(), small.entropy(), rtol=1e-6)
    np.testing.assert_allclose(masked.kl(ops.Categorical(other, MASK)), small.kl(small_other), rtol=1e-5)
    np.testing.assert_allclose(masked.log_probs()[:, allowed], small.log_probs(), rtol=1e-6)
    assert (jnp.exp(masked.log_probs()[:, 2]) == 0).all()
    samples = draw(masked, 500)
    assert (samples != 2).all()
    favourite_forbidden = ops.Categorical(logits.at[:, 2].set(50.0), MASK)
    assert (favourite_forbidden.mode() != 2).all()
    gradient = jax.grad(lambda x: ops.Categorical(x, MASK).entropy().sum())(logits)
    np.testing.assert_array_equal(gradient[:, 2], np.zeros(3))


def test_a_mask_broadcasts_and_one_allowed_action_is_certain():
    policy = ops.Categorical(normal((3, 4)), jnp.array([False, True, False, False]))
    np.testing.assert_array_equal(policy.entropy(), np.zeros(3))
    np.testing.assert_array_equal(policy.sample(key()), np.ones(3))
    np.testing.assert_array_equal(policy.log_prob(jnp.ones(3, jnp.int32)), np.zeros(3))
    assert np.isfinite(policy.log_prob(jnp.zeros(3, jnp.int32))).all()


def test_logits_of_minus_infinity_act_as_a_mask():
    policy = ops.Categorical(jnp.array([[0.0, -jnp.inf, 0.0]]))
    np.testing.assert_allclose(policy.entropy(), [np.log(2)], rtol=1e-6)
    np.testing.assert_allclose(policy.kl(policy), [0.0], atol=1e-7)


def test_categorical_sample_frequencies():
    policy = ops.Categorical(jnp.log(jnp.array([0.1, 0.2, 0.7])))
    samples = draw(policy, 20_000)
    np.testing.assert_allclose(np.bincount(samples) / 20_000, [0.1, 0.2, 0.7], atol=0.015)


def test_the_score_has_mean_zero():
    logits = normal((4,))
    scores = jax.vmap(jax.grad(lambda x, a: ops.Categorical(x).log_prob(a)), in_axes=(None, 0))
    np.testing.assert_allclose(jax.nn.softmax(logits) @ scores(logits, jnp.arange(4)), np.zeros(4), atol=1e-6)


# -- DiagonalGaussian ------------------------------------------------------------------------------


@pytest.mark.parametrize("log_std_shape", [(3, 4), (4,), ()])
def test_gaussian_agrees_with_distrax_and_scipy(log_std_shape):
    mean, log_std, action = normal((3, 4)), normal(log_std_shape, 1), normal((3, 4), 2)
    ours = ops.DiagonalGaussian(mean, log_std)
    std = jnp.exp(jnp.broadcast_to(log_std, mean.shape))
    theirs = distrax.MultivariateNormalDiag(mean, std)
    by_scipy = scipy.stats.norm(mean, std).logpdf(action).sum(-1)
    np.testing.assert_allclose(ours.log_prob(action), by_scipy, rtol=1e-5)
    np.testing.assert_allclose(ours.log_prob(action), theirs.log_prob(action), rtol=1e-5)
    np.testing.assert_allclose(ours.entropy(), theirs.entropy(), rtol=1e-5)
    other = distrax.MultivariateNormalDiag(normal((3, 4), 5), jnp.full((3, 4), 0.7))
    our_other = ops.DiagonalGaussian(normal((3, 4), 5), jnp.log(0.7))
    np.testing.assert_allclose(ours.kl(our_other), theirs.kl_divergence(other), rtol=1e-4)
    np.testing.assert_array_equal(ours.mode(), mean)


def test_gaussian_samples_have_the_moments_and_are_reparameterised():
    policy = ops.DiagonalGaussian(jnp.array([1.0, -2.0]), jnp.array([0.0, 1.0]))
    samples = draw(policy, 20_000)
    np.testing.assert_allclose(samples.mean(0), [1, -2], atol=0.06)
    np.testing.assert_allclose(samples.std(0), [1, np.e], rtol=0.02)
    gradient = jax.grad(lambda m: ops.DiagonalGaussian(m, jnp.zeros(2)).sample(key()).sum())(jnp.zeros(2))
    np.testing.assert_array_equal(gradient, [1, 1])


def test_gaussian_kl_keeps_small_differences():
    """1e-4 in log-std is a KL of 1e-8: subtracting numbers near 1 would give 0 or 6e-8."""
    kl = ops.DiagonalGaussian(jnp.zeros(1), jnp.float32(1e-4)).kl(ops.DiagonalGaussian(jnp.zeros(1), jnp.zeros(())))
    np.testing.assert_allclose(kl, 1e-8, rtol=0.02)


def test_a_log_std_that_would_widen_the_mean_is_refused():
    with pytest.raises(ValueError, match="broadcast"):
        ops.DiagonalGaussian(jnp.zeros((3, 1)), jnp.zeros((3, 4))).entropy()


# -- TanhGaussian ----------------------------------------------------------------------------------


def tanh_log_prob_in_float64(before, mean, log_std, low=LOW, high=HIGH):
    """Textbook formula; 1 - tanh^2 = sech^2 does not cancel in cosh."""
    before, mean, low, high = (np.asarray(x, np.float64) for x in (before, mean, low, high))
    gaussian = scipy.stats.norm(mean, np.exp(np.float64(log_std))).logpdf(before)
    return (gaussian - np.log((high - low) / 2) + 2 * np.log(np.cosh(before))).sum(-1)


def test_tanh_density_on_unequal_bounds():
    mean, log_std = normal((5, 3)), np.log(0.5)
    policy = ops.TanhGaussian(mean, jnp.float32(log_std), LOW, HIGH)
    before = np.asarray(normal((5, 3), 1), np.float64)
    action = (LOW + (HIGH - LOW) * (np.tanh(before) + 1) / 2).astype(np.float32)
    expected = tanh_log_prob_in_float64(before, mean, log_std)
    np.testing.assert_allclose(policy.log_prob(jnp.asarray(action)), expected, rtol=1e-4, atol=1e-4)


def test_tanh_agrees_with_distrax_where_that_is_right():
    mean, std = 0.3 * normal((5, 2)), jnp.full((5, 2), 0.6)
    theirs = distrax.Transformed(distrax.MultivariateNormalDiag(mean, std), distrax.Block(distrax.Tanh(), 1))
    ours = ops.TanhGaussian(mean, jnp.log(std))
    action = ours.sample(key())
    np.testing.assert_allclose(ours.log_prob(action), theirs.log_prob(action), rtol=1e-4, atol=1e-5)


def test_tanh_density_integrates_to_one():
    policy = ops.TanhGaussian(jnp.array([0.4]), jnp.array([-0.3]), -2.0, 5.0)
    grid = np.linspace(-2, 5, 20_001, dtype=np.float32)
    density = np.exp(jax.jit(jax.vmap(policy.log_prob))(grid[:, None]))
    assert abs(integrate.trapezoid(density, grid) - 1) < 1e-3


@pytest.mark.parametrize("mean", [0.0, 5.0, 10.0, 50.0, 1e4])
def test_tanh_saturated_samples_have_exact_log_prob(mean):
    means = jnp.array([mean, -mean, mean])
    policy = ops.TanhGaussian(means, jnp.full(3, -1.0), LOW, HIGH)
    action, log_prob = policy.sample_and_log_prob(key())
    before = policy.base().sample(key())
    # log cosh(u) = |u| - log 2 where cosh overflows
    safe = np.float64(before)
    jacobian = np.log((HIGH - LOW) / 2) - 2 * (np.logaddexp(safe, -safe) - np.log(2))
    expected = (scipy.stats.norm(np.float64(means), np.exp(-1)).logpdf(safe) - jacobian).sum()
    np.testing.assert_allclose(log_prob, expected, rtol=1e-4)
    assert ((action >= LOW) & (action <= HIGH)).all()
    assert np.isfinite(policy.log_prob(action))
    gradient = jax.grad(lambda m: ops.TanhGaussian(m, jnp.full(3, -1.0), LOW, HIGH).log_prob(action))
    assert np.isfinite(gradient(means)).all()


@pytest.mark.parametrize("bound", [LOW, HIGH, LOW - 1, HIGH + 1])
def test_tanh_log_prob_is_finite_at_and_beyond_the_bounds(bound):
    policy = lambda m: ops.TanhGaussian(m, jnp.zeros(3), LOW, HIGH)  # noqa: E731
    assert np.isfinite(policy(jnp.zeros(3)).log_prob(jnp.asarray(bound)))
    by_mean, by_action = jax.grad(lambda m, a: policy(m).log_prob(a), (0, 1))(jnp.zeros(3), jnp.asarray(bound))
    assert np.isfinite(by_mean).all()
    assert np.isfinite(by_action).all()


def test_tanh_log_prob_does_not_saturate_near_a_bound():
    """A recipe with log(1 - tanh^2 + 1e-6) stops at -13.8; one unit inside the bound the truth is -15.9."""
    just_inside = jnp.array([np.nextafter(np.float32(1), np.float32(0))])
    before = np.arctanh(np.float64(just_inside))
    policy = ops.TanhGaussian(jnp.asarray(before, jnp.float32), jnp.zeros(1))
    expected = tanh_log_prob_in_float64(before, before, 0.0, np.array([-1.0]), np.array([1.0]))
    np.testing.assert_allclose(policy.log_prob(just_inside), expected, rtol=1e-4)
    assert expected > 14


def test_tanh_inverts_its_own_samples():
    policy = ops.TanhGaussian(normal((200, 3)), jnp.zeros(3), LOW, HIGH)
    action, log_prob = policy.sample_and_log_prob(key())
    np.testing.assert_allclose(policy.log_prob(action), log_prob, rtol=1e-3, atol=1e-3)


def test_tanh_stays_within_bounds_and_mode_is_the_median():
    policy = ops.TanhGaussian(jnp.array([0.5, -0.5, 0.0]), jnp.full(3, 2.0), LOW, HIGH)
    samples = draw(policy, 4001)
    assert (samples >= LOW).all()
    assert (samples <= HIGH).all()
    below = (samples < np.asarray(policy.mode())).mean(0)
    np.testing.assert_allclose(below, np.full(3, 0.5), atol=0.05)


def test_tanh_gradients_through_the_sample():
    """At a pre-tanh value of exactly 0 too, where a branch on its sign could lose the slope."""
    mode = lambda m: ops.TanhGaussian(m, jnp.zeros(3), LOW, HIGH).mode().sum()  # noqa: E731
    np.testing.assert_allclose(jax.grad(mode)(jnp.zeros(3)), (HIGH - LOW) / 2, rtol=1e-6)
    mean = jnp.array([-0.7, 0.2, 1.5])
    slope = (HIGH - LOW) / 2 * (1 - np.tanh(mean) ** 2)
    np.testing.assert_allclose(jax.grad(mode)(mean), slope, rtol=1e-5)


def test_tanh_entropy_estimates_the_integral():
    policy = ops.TanhGaussian(jnp.array([0.4]), jnp.array([-0.3]), -2.0, 5.0)
    grid = np.linspace(-2, 5, 20_001, dtype=np.float32)
    log_density = np.asarray(jax.jit(jax.vmap(policy.log_prob))(grid[:, None]))
    exact = -integrate.trapezoid(np.exp(log_density) * log_density, grid)
    estimate = jax.jit(policy.entropy, static_argnums=1)(key(), 20_000)
    np.testing.assert_allclose(estimate, exact, atol=0.02)
    singles = jax.jit(jax.vmap(policy.entropy))(jax.random.split(key(), 20_000))
    np.testing.assert_allclose(singles.mean(), exact, atol=0.02)


def test_tanh_kl_is_that_of_the_base():
    a, b = (POLICIES["tanh"](parameters(seed)) for seed in (0, 5))
    np.testing.assert_array_equal(a.kl(b), a.base().kl(b.base()))


@pytest.mark.parametrize(("low", "high"), [(1.0, 1.0), (1.0, -1.0), (-np.inf, 1.0), (0.0, np.array([1.0, np.inf]))])
def test_tanh_refuses_what_is_no_finite_interval(low, high):
    with pytest.raises(ValueError, match="finite low < high"):
        ops.TanhGaussian(jnp.zeros(2), jnp.zeros(2), low, high).sample(key())


def test_tanh_bounds_may_be_traced():
    sample = lambda low: ops.TanhGaussian(jnp.zeros(2), jnp.zeros(2), low, low + 1).sample(key())  # noqa: E731
    lows = jnp.array([[0.0, 5.0], [-3.0, 2.0]])
    samples = jax.jit(jax.vmap(sample))(lows)
    np.testing.assert_allclose(samples[0] - samples[1], lows[0] - lows[1], rtol=1e-5)


# -- EpsilonGreedy and Deterministic ---------------------------------------------------------------


def test_epsilon_greedy_golden():
    policy = ops.EpsilonGreedy(jnp.array([[1.0, 3.0, 2.0, 0.0], [5.0, 5.0, 0.0, 5.0]]), 0.4)
    expected = np.array([[0.1, 0.7, 0.1, 0.1], [0.3, 0.3, 0.1, 0.3]])
    np.testing.assert_allclose(policy.probs(), expected, rtol=1e-6)
    np.testing.assert_allclose(policy.log_prob(jnp.array([1, 2])), np.log([0.7, 0.1]), rtol=1e-6)
    np.testing.assert_allclose(policy.entropy(), scipy.stats.entropy(expected, axis=-1), rtol=1e-6)
    np.testing.assert_array_equal(policy.mode(), [1, 0])
    np.testing.assert_array_equal(policy.mode(), policy.mode())


def test_epsilon_greedy_samples_break_ties_at_random():
    policy = ops.EpsilonGreedy(jnp.array([5.0, 5.0, 0.0, 5.0]), 0.0)
    samples = draw(policy, 9_000)
    np.testing.assert_allclose(np.bincount(samples) / 9_000, [1 / 3, 1 / 3, 0, 1 / 3], atol=0.02)
    np.testing.assert_allclose(policy.entropy(), np.log(3), rtol=1e-6)
    assert policy.kl(policy) == 0
    assert policy.log_prob(jnp.int32(2)) < -1e29


def test_epsilon_greedy_kl():
    q, r = jnp.array([1.0, 3.0, 2.0, 0.0]), jnp.array([1.0, 0.0, 2.0, 2.0])
    a, b = ops.EpsilonGreedy(q, 0.4), ops.EpsilonGreedy(r, 0.8)
    expected = scipy.stats.entropy([0.1, 0.7, 0.1, 0.1], [0.2, 0.2, 0.3, 0.3])
    np.testing.assert_allclose(a.kl(b), expected, rtol=1e-5)


def test_epsilon_may_differ_per_row_and_extremes_are_right():
    q = jnp.array([[1.0, 3.0], [1.0, 3.0], [1.0, 3.0]])
    policy = ops.EpsilonGreedy(q, jnp.array([0.0, 0.5, 1.0]))
    np.testing.assert_allclose(policy.probs(), [[0, 1], [0.25, 0.75], [0.5, 0.5]])
    np.testing.assert_allclose(policy.entropy()[jnp.array([0, 2])], [0, np.log(2)], atol=1e-6)
    distrax_probs = distrax.EpsilonGreedy(q, 0.5).probs
    np.testing.assert_allclose(ops.EpsilonGreedy(q, 0.5).probs(), distrax_probs, rtol=1e-6)


def test_deterministic():
    policy = ops.Deterministic(jnp.array([[1.0, 2.0], [3.0, 4.0]]))
    other = ops.Deterministic(jnp.array([[1.0, 2.0], [3.0, 5.0]]))
    np.testing.assert_array_equal(policy.log_prob(other.action), [0, -np.inf])
    np.testing.assert_array_equal(policy.kl(other), [0, np.inf])
    np.testing.assert_array_equal(policy.entropy(), [0, 0])
    np.testing.assert_array_equal(policy.mode(), policy.sample(key()))
