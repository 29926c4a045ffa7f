"""Products with nothing, ratios beyond float32, means of equal numbers: by hand, by NumPy, and in their gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_up import ops

WEIGHT = jnp.array([0.0, 0.0, -0.0, 2.0, 0.5, 0.0])
VALUE = jnp.array([np.nan, np.inf, -np.inf, 3.0, np.inf, 7.0])


def test_weighted_golden():
    np.testing.assert_array_equal(ops.weighted(WEIGHT, VALUE), [0, 0, 0, 6, np.inf, 0])
    by_weight, by_value = jax.jit(jax.grad(lambda w, v: jnp.sum(ops.weighted(w, v)), (0, 1)))(WEIGHT, VALUE)
    np.testing.assert_array_equal(by_value, [0, 0, 0, 2, 0.5, 0])
    np.testing.assert_array_equal(by_weight, [0, 0, 0, 3, np.inf, 7])  # a finite value still counts for its weight
    np.testing.assert_array_equal(ops.weighted(0.0, VALUE), np.zeros(6))
    rows = ops.read(jnp.array([0.0, 1.0]), jnp.array([[np.nan, 2.0], [np.inf, 3.0]]))
    np.testing.assert_array_equal(rows, [[0, 2], [np.inf, 3]])


def test_weighted_is_the_product_of_finite_numbers():
    weight, value = np.random.default_rng(0).normal(size=(2, 50)).astype(np.float32)
    weight[::7] = 0
    np.testing.assert_array_equal(ops.weighted(weight, value), jnp.asarray(weight) * value)


def test_saturated_ratios_are_finite_and_know_the_way_down():
    log_ratio = jnp.array([-np.inf, -200.0, -1.0, 0.0, 79.9, 80.0, 88.0, 90.0, 1e30, np.inf, np.nan])
    found = ops.saturated(log_ratio)
    np.testing.assert_array_equal(found, [*log_ratio[:6], 80, 80, 80, 80, np.nan])
    gradient = jax.grad(lambda x: jnp.sum(ops.saturated(x)))(log_ratio)
    np.testing.assert_array_equal(gradient, np.ones(11))
    slope = jax.grad(lambda x: jnp.exp(ops.saturated(x)))(200.0)
    np.testing.assert_allclose(slope, np.exp(80.0), rtol=1e-5)


@pytest.mark.parametrize("value", [1.1, -0.3, 123456.7, 1e-20, 3e30])
@pytest.mark.parametrize("number", [1, 3, 2048])
def test_equal_samples_have_no_spread(value, number):
    mean, left = ops.centred(jnp.full((number, 2), value))
    np.testing.assert_array_equal(mean, np.full(2, value, np.float32))
    np.testing.assert_array_equal(left, np.zeros((number, 2)))


def test_centred_equals_numpy_far_from_zero():
    samples = (1000.0 + 1e-2 * np.random.default_rng(1).normal(size=(200, 3))).astype(np.float32)
    mean, left = jax.jit(ops.centred)(samples)
    exact = samples.astype(np.float64)
    np.testing.assert_allclose(mean, exact.mean(0), rtol=1e-7)
    np.testing.assert_allclose(left, exact - exact.mean(0), atol=1e-7)
    np.testing.assert_allclose(left.mean(0), np.zeros(3), atol=1e-8)
