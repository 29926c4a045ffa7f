"""Masks: against loops over the allowed actions in float64, with rows that allow nothing; draws by counting."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from jaxrl_up import ops

ROWS, ACTIONS = 40, 5
RNG = np.random.default_rng(0)
VALUES = RNG.integers(-2, 3, (ROWS, ACTIONS)).astype(np.float32)  # small integers: many ties
MASKS = RNG.random((ROWS, ACTIONS)) < RNG.choice([0.1, 0.5, 0.9], (ROWS, 1))
MASKS[:3] = [[False] * 5, [True] * 5, [False, False, False, True, False]]
BEST_IS_FORBIDDEN = np.array([[True, False, True, False, True]]), np.array([[1.0, 9.0, 3.0, 9.0, 2.0]], np.float32)
UNREAD = (np.inf, -np.inf, np.nan, 1e30, -1e30)


def allowed(mask):
    """The indices of the allowed actions of each row, by a loop."""
    return [[a for a in range(len(row)) if row[a]] or list(range(len(row))) for row in mask]


def test_there_are_rows_of_every_kind():
    assert {len(row) for row in allowed(MASKS)} == {1, 2, 3, 4, 5}
    assert (~MASKS.any(-1)).sum() > 1


def test_a_row_that_allows_nothing_allows_all():
    found = ops.allowed_actions(jnp.asarray(MASKS))
    assert found.dtype == bool
    assert [np.flatnonzero(row).tolist() for row in np.asarray(found)] == allowed(MASKS)


def test_maximum_and_its_place_by_hand():
    mask, values = map(jnp.asarray, BEST_IS_FORBIDDEN)
    assert ops.masked_max(values, mask).tolist() == [3.0]
    assert ops.masked_max(values, mask, keepdims=True).tolist() == [[3.0]]
    assert ops.masked_argmax(values, mask).tolist() == [2]
    assert (ops.masked_max(values).tolist(), ops.masked_argmax(values).tolist()) == ([9.0], [1])


def test_maximum_and_its_place_by_loops():
    best = [max(VALUES[i, a] for a in row) for i, row in enumerate(allowed(MASKS))]
    first = [next(a for a in row if VALUES[i, a] == best[i]) for i, row in enumerate(allowed(MASKS))]
    np.testing.assert_array_equal(jax.jit(ops.masked_max)(VALUES, MASKS), best)
    places = jax.jit(ops.masked_argmax)(VALUES, MASKS)
    np.testing.assert_array_equal(places, first)
    assert places.dtype == jnp.int32
    assert best != VALUES.max(-1).tolist()  # so that the mask matters
    np.testing.assert_array_equal(jax.vmap(ops.masked_max)(VALUES, MASKS), best)
    np.testing.assert_array_equal(jax.vmap(ops.masked_argmax)(VALUES, MASKS), first)


@pytest.mark.parametrize("nothing", UNREAD)
def test_what_is_forbidden_is_not_read(nothing):
    forbidden = ~np.asarray(ops.allowed_actions(jnp.asarray(MASKS)))
    values = np.where(forbidden, nothing, VALUES).astype(np.float32)
    probs = np.where(forbidden, nothing, np.exp(VALUES)).astype(np.float32)
    for function, given, plain in (
        (ops.masked_max, values, VALUES),
        (ops.masked_argmax, values, VALUES),
        (ops.masked_log_softmax, values, VALUES),
        (ops.masked_probs, probs, np.exp(VALUES)),
    ):
        np.testing.assert_array_equal(function(jnp.asarray(given), MASKS), function(jnp.asarray(plain), MASKS))
    for function, given in ((ops.masked_max, values), (ops.masked_log_softmax, values), (ops.masked_probs, probs)):
        weight = 1.0 if function is ops.masked_max else jnp.broadcast_to(1.0 + jnp.arange(ACTIONS), given.shape)
        gradient = jax.grad(lambda x, f=function, w=weight: jnp.sum(w * f(x, MASKS)))(jnp.asarray(given))
        assert np.isfinite(gradient).all()
        assert not np.asarray(gradient)[forbidden].any()
        assert np.asarray(gradient).any()


def test_allowed_values_of_minus_infinity_come_before_what_is_forbidden():
    mask = jnp.array([False, False, True, True])
    assert ops.masked_argmax(jnp.full(4, -jnp.inf), mask) == 2
    assert ops.masked_argmax(jnp.array([5.0, 5.0, -jnp.inf, -jnp.inf]), mask) == 2
    assert ops.masked_max(jnp.array([5.0, 5.0, -jnp.inf, -jnp.inf]), mask) == -jnp.inf
    log_probs = ops.masked_log_softmax(jnp.array([0.0, 0.0, -jnp.inf, -jnp.inf]), mask)
    np.testing.assert_allclose(log_probs, [-1e30, -1e30, np.log(0.5), np.log(0.5)], rtol=1e-6)


def test_the_gradient_of_the_maximum_goes_to_the_best_allowed():
    mask, values = map(jnp.asarray, BEST_IS_FORBIDDEN)
    gradient = jax.grad(lambda x: ops.masked_max(x, mask).sum())(values)
    np.testing.assert_array_equal(gradient, [[0, 0, 1, 0, 0]])


def test_log_softmax_and_probabilities_by_loops():
    log_probs, probs = np.full((ROWS, ACTIONS), -1e30), np.zeros((ROWS, ACTIONS))
    given = np.exp(np.float64(VALUES))
    given[MASKS[:, 1], 1] = 0.0
    for i, row in enumerate(allowed(MASKS)):
        log_probs[i, row] = scipy.special.log_softmax(np.float64(VALUES[i, row]))
        total = given[i, row].sum()
        probs[i, row] = given[i, row] / total if total else 1 / len(row)
    np.testing.assert_allclose(jax.jit(ops.masked_log_softmax)(VALUES, MASKS), log_probs, rtol=1e-5, atol=1e-6)
    found = jax.jit(ops.masked_probs)(given.astype(np.float32), MASKS)
    np.testing.assert_allclose(found, probs, rtol=1e-5)
    np.testing.assert_allclose(np.sum(found, -1), np.ones(ROWS), rtol=1e-6)


def test_probabilities_without_any_on_the_allowed_actions():
    mask = jnp.array([False, True, True, False])
    np.testing.assert_array_equal(ops.masked_probs(jnp.array([0.5, 0.0, 0.0, 0.5]), mask), [0, 0.5, 0.5, 0])
    gradient = jax.grad(lambda p: ops.masked_probs(p, mask)[1])(jnp.array([0.5, 0.0, 0.0, 0.5]))
    np.testing.assert_array_equal(gradient, np.zeros(4))


# -- draws -----------------------------------------------------------------------------------------


def test_a_uniform_number_counts_through_the_allowed_actions():
    rows, last = allowed(MASKS), np.nextafter(np.float32(1), np.float32(0))
    for uniform in [*np.linspace(0, 0.999, 37, dtype=np.float32), last, np.float32(1)]:
        expected = [row[min(int(np.float32(uniform * np.float32(len(row)))), len(row) - 1)] for row in rows]
        found = ops.action_from_uniform(jnp.full(ROWS, uniform), MASKS)
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == jnp.int32


@pytest.mark.parametrize("draw", ["one number", "uniform", "gumbel"])
def test_draws_are_uniform_over_the_allowed_actions(draw):
    number, mask = (
        12_000,
        jnp.array([[True, False, True, True, False], [False] * 5, [False, True, False, False, False]]),
    )
    key = jax.random.key(1)
    if draw == "one number":
        found = ops.action_from_uniform(jax.random.uniform(key, (number, 3)), mask)
    else:
        noise = {"uniform": jax.random.uniform, "gumbel": jax.random.gumbel}[draw](key, (number, 3, 5))
        found = ops.action_from_noise(noise, mask)
    assert found.shape == (number, 3)
    shares = np.stack([np.bincount(column, minlength=5) / number for column in np.asarray(found).T])
    np.testing.assert_allclose(shares, [[1 / 3, 0, 1 / 3, 1 / 3, 0], [0.2] * 5, [0, 1, 0, 0, 0]], atol=0.02)
    assert not shares[0, [1, 4]].any()


def test_noise_of_zero_or_minus_infinity_draws_what_is_allowed():
    mask = jnp.array([False, False, True])
    for noise in (0.0, -jnp.inf):
        assert ops.action_from_noise(jnp.full(3, noise), mask) == 2
    assert ops.action_from_noise(jnp.array([0.1, 0.9, 0.3])) == 1


def test_one_allowed_action_is_always_drawn():
    mask = np.eye(ACTIONS, dtype=bool)
    np.testing.assert_array_equal(ops.action_from_uniform(jnp.linspace(0, 0.99, 5), mask), range(5))
    np.testing.assert_array_equal(ops.action_from_noise(jnp.zeros((5, 5)), mask), range(5))


# -- masks that do not fit -------------------------------------------------------------------------

WITH_MASK = {
    "max": ops.masked_max,
    "argmax": ops.masked_argmax,
    "log_softmax": ops.masked_log_softmax,
    "probs": ops.masked_probs,
    "noise": ops.action_from_noise,
    "uniform": lambda x, mask: ops.action_from_uniform(x[..., 0], mask),
    "categorical": lambda x, mask: ops.Categorical(x, mask).entropy(),
    "epsilon_greedy": lambda x, mask: ops.EpsilonGreedy(x, 0.1, mask).entropy(),
    "multi": lambda x, mask: ops.MultiCategorical(x, (2, 3), mask).entropy(),
    "v_from_q": lambda x, mask: ops.v_from_q(x, x, mask=mask),
    "q_learning": lambda x, mask: ops.q_learning_target(x[..., 0], x[..., 0], x, mask=mask),
    "soft": lambda x, mask: ops.discrete_soft_target(x[..., 0], x[..., 0], x, x, x, 0.1, mask=mask),
}


@pytest.mark.parametrize("name", WITH_MASK)
def test_a_mask_broadcasts_over_leading_axes(name):
    x, mask = jnp.asarray(VALUES), MASKS[5]
    np.testing.assert_array_equal(
        WITH_MASK[name](x, mask), WITH_MASK[name](x, np.broadcast_to(mask, x.shape)), err_msg=name
    )


@pytest.mark.parametrize("name", WITH_MASK)
def test_masks_that_do_not_fit_are_refused(name):
    x = jnp.ones((3, 5))
    for mask in (jnp.ones((3, 5)), jnp.ones((3, 5), jnp.int32)):
        with pytest.raises(AssertionError):
            WITH_MASK[name](x, mask)
    if name != "uniform":  # which has no other shape to compare
        for shape in ((3, 1), (3, 4), (1,)):
            with pytest.raises(AssertionError):
                WITH_MASK[name](x, jnp.ones(shape, bool))
    with pytest.raises((ValueError, AssertionError)):
        WITH_MASK[name](x, jnp.ones((2, 5), bool))


# -- without a mask --------------------------------------------------------------------------------


def q_target(reward, discount, q_values):
    return reward + ops.weighted(discount, jnp.max(ops.read(discount, q_values), axis=-1))


def epsilon_greedy(q_values, epsilon=0.1):
    """Its log-probabilities."""
    greedy = (q_values == jnp.max(q_values, axis=-1, keepdims=True)).astype(q_values.dtype)
    share = greedy / jnp.sum(greedy, axis=-1, keepdims=True)
    epsilon = jnp.broadcast_to(epsilon, q_values.shape[:-1])[..., None]
    probs = epsilon / q_values.shape[-1] + (1.0 - epsilon) * share
    possible = probs > 0
    logits = jnp.maximum(jnp.log(jnp.where(possible, probs, 1.0)), -1e30)
    return jax.nn.log_softmax(jnp.where(possible, logits, -1e30), axis=-1)


def plain(logits):
    return jax.nn.log_softmax(jnp.maximum(logits, -1e30), axis=-1)


ROW, X, Y, KEY = jnp.ones(3), jnp.ones((3, 5)), jnp.zeros((3, 5)), jax.random.key(0)

# what is written out has no mask in it: (ours, written out, arguments)
UNMASKED = {
    "max": (ops.masked_max, lambda x: jnp.max(x, axis=-1), (X,)),
    "argmax": (ops.masked_argmax, lambda x: jnp.argmax(x, axis=-1).astype(jnp.int32), (X,)),
    "log_probs": (lambda x: ops.Categorical(x).log_probs(), plain, (X,)),
    "entropy": (
        lambda x: ops.Categorical(x).entropy(),
        lambda x: -jnp.sum(jnp.exp(p := plain(x)) * p, axis=-1),
        (X,),
    ),
    "kl": (
        lambda x, y: ops.Categorical(x).kl(ops.Categorical(y)),
        lambda x, y: jnp.sum(jnp.exp(p := plain(x)) * (p - plain(y)), axis=-1),
        (X, Y),
    ),
    "sample": (
        lambda key, x: ops.Categorical(x).sample(key),
        lambda key, x: jax.random.categorical(key, plain(x), axis=-1).astype(jnp.int32),
        (KEY, X),
    ),
    "sample_with": (
        lambda noise, x: ops.Categorical(x).sample_with(noise),
        lambda noise, x: jnp.argmax(plain(x) + noise, axis=-1).astype(jnp.int32),
        (Y, X),
    ),
    "epsilon_greedy": (
        lambda x: ops.EpsilonGreedy(x, 0.1).log_probs(),
        epsilon_greedy,
        (X,),
    ),
    "v_from_q": (ops.v_from_q, lambda q, p: jnp.sum(ops.weighted(p, q), axis=-1), (X, Y)),
    "q_learning": (ops.q_learning_target, q_target, (ROW, ROW, X)),
}


@pytest.mark.parametrize("name", UNMASKED)
def test_without_a_mask_no_operation_is_added(name):
    ours, written_out, arguments = UNMASKED[name]
    assert str(jax.make_jaxpr(ours)(*arguments)) == str(jax.make_jaxpr(written_out)(*arguments))
