"""Projection and quantile loss against hand-made numbers, naive loops and rlax."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rlax

from jaxrl_up import ops

SUPPORT = jnp.array([0.0, 1.0, 2.0])
ATOMS, PROBS = jnp.array([0.25, 1.5, 5.0]), jnp.array([0.5, 0.25, 0.25])
QUANTILES, TARGETS = jnp.array([0.0, 2.0]), jnp.array([1.0, 4.0])
LOGITS = jnp.array([0.0, np.log(3.0)])

# name -> (the call, its argument, what it should give, worked out by hand)
GOLDEN = {
    "action_distribution": (
        lambda x: ops.action_distribution(x, jnp.array([1, 0])),
        jnp.array([[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], [[7.0, 8.0, 9.0], [0.0, 0.0, 0.0]]]),
        [[4, 5, 6], [7, 8, 9]],
    ),
    # 0.25 is three quarters at 0, 1.5 halfway between 1 and 2, and 5 beyond the end
    "categorical_projection": (lambda p: ops.categorical_projection(ATOMS, p, SUPPORT), PROBS, [0.375, 0.25, 0.375]),
    # softmax(LOGITS) = (1/4, 3/4)
    "categorical_cross_entropy": (
        lambda x: ops.categorical_cross_entropy(jnp.array([0.5, 0.5]), x),
        LOGITS,
        0.5 * np.log(16 / 3),
    ),
    # 0.5 log 2 + 0.5 log(2/3)
    "categorical_divergence": (
        lambda x: ops.categorical_divergence(jnp.array([0.5, 0.5]), x),
        LOGITS,
        0.5 * np.log(4 / 3),
    ),
    # atoms at 0.5, 1 and 1.5; a terminal row at 0.25
    "categorical_target": (
        lambda p: ops.categorical_target(jnp.array([0.5, 0.25]), jnp.array([0.5, 0.0]), jnp.stack([p, p]), SUPPORT),
        PROBS,
        [[0.25, 0.25 + 0.25 + 0.125, 0.125], [0.75, 0.25, 0]],
    ),
    # tau = (1/4, 3/4); u = (1, 4) and (-1, 2); L(u) = (0.5, 3.5) and (0.5, 1.5)
    "quantile_huber_loss": (lambda q: ops.quantile_huber_loss(q, TARGETS, 1.0), QUANTILES, 0.5 + 0.625),
}


def categorical(seed, shape, size, low=-3.0, high=4.0):
    """Atoms, a good part of them beyond [-2, 2], and probabilities."""
    rng = np.random.default_rng(seed)
    atoms = rng.uniform(low, high, (*shape, size)).astype(np.float32)
    return atoms, rng.dirichlet(np.ones(size), shape).astype(np.float32)


def naive_projection(atoms, probs, support):
    """Algorithm 1 as it is written, with floors and ceilings, in float64."""
    support = np.linspace(float(support[0]), float(support[-1]), len(support))
    projected = np.zeros(len(support))
    step = support[1] - support[0]
    for y, p in zip(atoms, probs, strict=True):
        b = (min(max(float(y), support[0]), support[-1]) - support[0]) / step
        lower, upper = int(np.floor(b)), min(int(np.ceil(b)), len(support) - 1)
        if lower == upper:
            projected[lower] += p
        else:
            projected[lower] += p * (upper - b)
            projected[upper] += p * (b - lower)
    return projected


def naive_quantile_loss(quantiles, targets, kappa):
    total = 0.0
    for i, q in enumerate(quantiles):
        tau = (2 * i + 1) / (2 * len(quantiles))
        for y in targets:
            u = float(y) - float(q)
            huber = 0.5 * u * u if abs(u) <= kappa else kappa * (abs(u) - 0.5 * kappa)
            huber = abs(u) if kappa == 0 else huber
            total += abs(tau - (u < 0)) * huber / len(targets)
    return total


def midpoints(number):
    return (2 * np.arange(number) + 1) / (2 * number)


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_jit_and_vmap(name):
    call, argument, expected = GOLDEN[name]
    np.testing.assert_allclose(call(argument), expected, rtol=1e-6)
    np.testing.assert_allclose(jax.jit(call)(argument), expected, rtol=1e-6)
    twice = jax.jit(jax.vmap(call))(np.stack([argument, argument]))
    np.testing.assert_allclose(twice, [expected, expected], rtol=1e-6)


def test_every_function_is_tested():
    from jaxrl_up.ops import distributional

    functions = inspect.getmembers(distributional, inspect.isfunction)
    assert {n for n, f in functions if f.__module__ == distributional.__name__} == set(GOLDEN)


@pytest.mark.parametrize(("low", "high", "size"), [(-2.0, 2.0, 5), (-2.0, 1.9, 51), (0.3, 0.7, 2)])
def test_projection_equals_a_naive_loop_and_rlax(low, high, size):
    support = jnp.linspace(low, high, size)
    atoms, probs = categorical(0, (3, 2), 7)
    found = np.asarray(ops.categorical_projection(atoms, probs, support))
    assert found.shape == (3, 2, size)
    for index in np.ndindex(3, 2):
        np.testing.assert_allclose(found[index], naive_projection(atoms[index], probs[index], support), atol=1e-5)
    with jax.numpy_rank_promotion("allow"):
        each = jax.vmap(jax.vmap(rlax.categorical_l2_project, (0, 0, None)), (0, 0, None))
        peer = jax.jit(each)(atoms, probs, support)
    np.testing.assert_allclose(found, peer, atol=1e-5)


def test_projection_keeps_mass_always_and_the_mean_inside():
    support = jnp.linspace(-2.0, 2.0, 51)
    outside, probs = categorical(1, (200,), 51)
    inside = np.clip(outside, -2.0, 2.0)
    for atoms in (outside, inside, np.full_like(inside, np.inf), np.full_like(inside, -np.inf)):
        projected = ops.categorical_projection(atoms, probs, support)
        np.testing.assert_allclose(projected.sum(-1), np.ones(200), rtol=1e-5)
        assert (projected >= 0).all()
    found = ops.categorical_projection(inside, probs, support) @ support
    np.testing.assert_allclose(found, (inside * probs).sum(-1), atol=1e-5)
    ends = ops.categorical_projection(jnp.array([-9.0, 9.0]), jnp.array([0.25, 0.75]), support)
    np.testing.assert_allclose(ends[jnp.array([0, -1])], [0.25, 0.75], rtol=1e-6)


def test_projection_onto_its_own_support_changes_nothing():
    support = jnp.linspace(0.0, 100.0, 51)
    _, probs = categorical(2, (20,), 51)
    found = ops.categorical_projection(jnp.broadcast_to(support, probs.shape), probs, support)
    np.testing.assert_allclose(found, probs, atol=1e-6)


def test_projection_is_the_nearest_distribution_in_the_cramer_distance():
    support = np.linspace(-2.0, 2.0, 5)
    (atoms,), (probs,) = categorical(3, (1,), 4, -2.0, 2.0)
    places = np.unique(np.concatenate([support, atoms]))

    def cumulative(at, p):
        return ((at <= places[:-1, None]) * p).sum(-1)

    def distance(p):
        return (np.square(cumulative(support, p) - cumulative(atoms, probs)) * np.diff(places)).sum()

    found = np.asarray(ops.categorical_projection(atoms, probs, jnp.asarray(support)))
    others = np.random.default_rng(4).dirichlet(np.ones(5), 200)
    near = 0.95 * found + 0.05 * others
    assert all(distance(found) < distance(other) for other in (*others, *near))


def test_projected_backups_reach_the_value():
    """Reward 1 for ever, gamma 0.9: the mean goes to 10, wherever it starts."""
    support = jnp.linspace(0.0, 20.0, 21)

    def backup(_, probs):
        return ops.categorical_projection(1.0 + 0.9 * support, probs, support)

    probs = jax.lax.fori_loop(0, 200, backup, jnp.full(21, 1 / 21))
    np.testing.assert_allclose(probs @ support, 10.0, rtol=1e-4)


def test_projection_is_linear_in_the_probabilities():
    jacobian = jax.jacobian(lambda p: ops.categorical_projection(ATOMS, p, SUPPORT))(PROBS)
    np.testing.assert_allclose(jacobian, [[0.75, 0, 0], [0.25, 0.5, 0], [0, 0.5, 1]], atol=1e-6)


def test_cross_entropy_has_the_gradient_of_the_divergence():
    _, target = categorical(5, (4, 2), 6)
    logits = jax.random.normal(jax.random.key(0), (4, 2, 6))
    loss = ops.categorical_cross_entropy(target, logits)
    naive = [
        -sum(p * np.log(q) for p, q in zip(target[i], jax.nn.softmax(logits[i]), strict=True)) for i in np.ndindex(4, 2)
    ]
    np.testing.assert_allclose(loss.ravel(), naive, rtol=1e-5)
    gradient = jax.grad(lambda x: ops.categorical_cross_entropy(target, x).sum())(logits)
    np.testing.assert_allclose(gradient, jax.nn.softmax(logits) - target, atol=1e-6)
    entropy = ops.Categorical(jnp.log(target)).entropy()
    np.testing.assert_allclose(ops.categorical_cross_entropy(target, jnp.log(target)), entropy, rtol=1e-5)
    assert (loss >= entropy).all()


def test_divergence_is_the_cross_entropy_less_the_entropy_and_0_where_both_agree():
    _, target = categorical(9, (4, 2), 51)
    target = jnp.asarray(target).at[0, 0].set(jax.nn.one_hot(7, 51))
    logits = jax.random.normal(jax.random.key(1), (4, 2, 51))
    found = ops.categorical_divergence(target, logits)
    for i in np.ndindex(4, 2):
        pairs = zip(np.float64(target[i]), np.float64(jax.nn.softmax(logits[i])), strict=True)
        naive = sum(p * np.log(p / q) for p, q in pairs if p > 0)
        np.testing.assert_allclose(found[i], naive, rtol=1e-4)
    entropy = jnp.sum(jax.scipy.special.entr(target), axis=-1)
    np.testing.assert_allclose(found, ops.categorical_cross_entropy(target, logits) - entropy, rtol=1e-4, atol=1e-5)
    right = ops.categorical_divergence(jax.nn.softmax(logits), logits)
    np.testing.assert_allclose(right, np.zeros((4, 2)), atol=1e-6)


def test_the_distribution_after_a_termination_is_not_read():
    support, discount = jnp.linspace(-1.0, 1.0, 5), jnp.array([0.9, 0.0])
    _, probs = categorical(10, (2,), 5)
    for nothing in (np.nan, np.inf):
        hidden = probs.copy()
        hidden[1, 2:] = nothing
        for given in (probs, hidden):
            found = ops.categorical_target(jnp.array([0.1, 0.25]), discount, given, support)
            np.testing.assert_allclose(found[0], naive_projection(0.1 + 0.9 * support, probs[0], support), atol=1e-6)
            np.testing.assert_allclose(found[1], [0, 0, 0.5, 0.5, 0], atol=1e-6)
        gradient = jax.grad(lambda p: ops.categorical_target(discount, discount, p, support)[:, 0].sum())(hidden)
        assert np.isfinite(gradient).all() and not gradient[1].any()


@pytest.mark.parametrize("kappa", [0.0, 0.3, 1.0, 10.0])
def test_quantile_loss_equals_a_naive_loop_and_rlax(kappa):
    rng = np.random.default_rng(6)
    quantiles, targets = (rng.normal(size=(3, 2, n)).astype(np.float32) for n in (5, 4))
    found = np.asarray(ops.quantile_huber_loss(quantiles, targets, kappa))
    assert found.shape == (3, 2)
    taus = midpoints(5).astype(np.float32)
    peer = jax.jit(jax.value_and_grad(lambda q, y: rlax.quantile_regression_loss(q, taus, y, kappa)))
    gradient = jax.jit(jax.grad(lambda q, y: ops.quantile_huber_loss(q, y, kappa)))
    for index in np.ndindex(3, 2):
        q, y = quantiles[index], targets[index]
        np.testing.assert_allclose(found[index], naive_quantile_loss(q, y, kappa), rtol=1e-5)
        with jax.numpy_rank_promotion("allow"):
            theirs, their_gradient = peer(q, y)
        np.testing.assert_allclose(found[index], theirs, rtol=1e-5)
        np.testing.assert_allclose(gradient(q, y), their_gradient, atol=1e-6)


def test_kappa_is_traced_and_zero_is_quantile_regression():
    losses = jax.jit(jax.vmap(lambda k: ops.quantile_huber_loss(QUANTILES, TARGETS, k)))(jnp.array([0.0, 1.0, 2.0]))
    np.testing.assert_allclose(losses, [1.5, 1.125, 1.625], rtol=1e-6)
    small = ops.quantile_huber_loss(QUANTILES, TARGETS, 1e-3) / 1e-3
    np.testing.assert_allclose(small, 1.5, rtol=1e-2)
    at_zero_error = jax.grad(ops.quantile_huber_loss)(TARGETS, TARGETS, 0.0)
    assert np.isfinite(at_zero_error).all()


def test_the_quantiles_minimise_the_quantile_loss():
    targets = np.random.default_rng(7).normal(size=31).astype(np.float32)
    taus = midpoints(6)
    best = np.quantile(targets, taus, method="inverted_cdf")
    lowest = ops.quantile_huber_loss(best, targets, 0.0)
    # it is a sum of convex functions of one quantile each, with corners at the targets: try all of them
    for i in range(6):
        tried = np.repeat(best[None], 31, axis=0)
        tried[:, i] = targets
        losses = ops.quantile_huber_loss(tried, np.broadcast_to(targets, (31, 31)), 0.0)
        assert targets[np.argmin(losses)] == best[i]
        np.testing.assert_allclose(losses.min(), lowest, rtol=1e-6)


def test_the_gradient_of_the_quantile_loss_is_the_cumulative_probability_less_tau():
    targets = np.random.default_rng(8).normal(size=40).astype(np.float32)
    quantiles = jnp.array([-0.7, 0.1, 0.9])
    gradient = jax.grad(ops.quantile_huber_loss)(quantiles, targets, 0.0)
    below = (targets[None] < np.asarray(quantiles)[:, None]).mean(-1)
    np.testing.assert_allclose(gradient, below - midpoints(3), atol=1e-6)


def test_a_single_quantile_is_half_the_huber_loss():
    error = jnp.array([[-3.0], [0.5], [2.0]])
    found = ops.quantile_huber_loss(jnp.zeros((3, 1)), error, 1.0)
    np.testing.assert_allclose(found, 0.5 * rlax.huber_loss(error[:, 0], 1.0), rtol=1e-6)


def test_an_impossible_action_is_marked():
    found = ops.action_distribution(jnp.ones((2, 3, 4)), jnp.array([3, 2]))
    np.testing.assert_array_equal(found, [[np.nan] * 4, [1] * 4])


@pytest.mark.parametrize(
    "call",
    [
        lambda: ops.action_distribution(jnp.ones((2, 3, 4)), jnp.zeros((2, 1), jnp.int32)),
        lambda: ops.categorical_projection(jnp.ones((2, 3)), jnp.ones(3), SUPPORT),
        lambda: ops.categorical_projection(ATOMS, PROBS, SUPPORT[None]),
        lambda: ops.categorical_projection(ATOMS, PROBS, SUPPORT[:1]),
        lambda: ops.categorical_cross_entropy(jnp.ones((2, 3)), jnp.ones((2, 1))),
        lambda: ops.quantile_huber_loss(jnp.ones((2, 3)), jnp.ones((1, 3))),
        lambda: ops.quantile_huber_loss(jnp.ones((2, 3)), jnp.ones(3)),
        lambda: ops.quantile_huber_loss(jnp.ones((2, 3)), jnp.ones((2, 3)), jnp.ones(2)),
    ],
)
def test_shapes_that_do_not_belong_together_are_refused(call):
    with pytest.raises(AssertionError):
        call()


def test_an_unknown_return_does_not_vanish_in_the_projection():
    support, probs = jnp.arange(3.0), jnp.full((2, 3), 1 / 3)
    atoms = jnp.stack([support, support.at[1].set(jnp.nan)])
    known, unknown = jax.jit(ops.categorical_projection)(atoms, probs, support)
    np.testing.assert_allclose(known, probs[0], rtol=1e-6)
    assert np.all(np.isnan(unknown))
