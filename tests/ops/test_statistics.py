"""Running statistics: agreement with numpy, merging, and float32 over long runs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_up import ops
from jaxrl_up.ops import WINDOW


def samples(shape, seed=0, scale=2.0, offset=0.0):
    return (offset + scale * np.random.default_rng(seed).normal(size=shape)).astype(np.float32)


def variance(stats):
    return np.asarray(stats.m2 / stats.count)


def test_golden():
    stats = ops.update_statistics(ops.init_statistics((2,)), jnp.array([[1.0, 10.0], [3.0, 10.0]]))
    assert stats.count == 2
    np.testing.assert_array_equal(stats.mean, [2, 10])
    np.testing.assert_array_equal(stats.m2, [2, 0])
    normalized = ops.normalize(stats, jnp.array([[5.0, 10.0], [2.0, 11.0]]))
    np.testing.assert_allclose(normalized, [[3, 0], [0, 10]], rtol=1e-6)


@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
def test_many_updates_equal_numpy_over_everything(shape):
    stats, update = ops.init_statistics(shape), jax.jit(ops.update_statistics)
    batches = [samples((4, 5, *shape), seed, offset=3.0 * seed) for seed in range(6)]
    for batch in batches:
        stats = update(stats, batch)
    everything = np.concatenate(batches).reshape(-1, *shape).astype(np.float64)
    assert stats.count == len(everything)
    np.testing.assert_allclose(stats.mean, everything.mean(0), rtol=1e-5)
    np.testing.assert_allclose(variance(stats), everything.var(0), rtol=1e-5)


def test_one_sample_at_a_time_equals_one_batch():
    batch = samples((50, 3), offset=7.0)
    one_by_one, _ = jax.lax.scan(
        lambda stats, x: (ops.update_statistics(stats, x), None), ops.init_statistics((3,)), batch
    )
    at_once = ops.update_statistics(ops.init_statistics((3,)), batch)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), one_by_one, at_once)


def test_merge_equals_update_and_is_symmetric():
    a_batch, b_batch = samples((7, 2), 1), samples((30, 2), 2, offset=5.0)
    a = ops.update_statistics(ops.init_statistics((2,)), a_batch)
    b = ops.update_statistics(ops.init_statistics((2,)), b_batch)
    both = ops.update_statistics(a, b_batch)
    for merged in (ops.merge_statistics(a, b), ops.merge_statistics(b, a)):
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5), merged, both)


def test_nothing_added_changes_nothing():
    empty = ops.init_statistics((2,))
    stats = ops.update_statistics(empty, samples((7, 2), offset=3.0))
    for same in (
        ops.merge_statistics(stats, empty),
        ops.merge_statistics(empty, stats),
        ops.update_statistics(stats, jnp.zeros((0, 2))),
    ):
        jax.tree.map(np.testing.assert_array_equal, same, stats)
    merged = ops.merge_statistics(empty, empty)
    jax.tree.map(np.testing.assert_array_equal, merged, empty)


def test_large_offset_does_not_cancel():
    batch = samples((64, 100), scale=1.0, offset=1e4).reshape(64, 100, 1)
    stats = ops.init_statistics((1,))
    for rows in batch:
        stats = ops.update_statistics(stats, rows)
    expected = batch.astype(np.float64).reshape(-1, 1)
    np.testing.assert_allclose(stats.mean, expected.mean(0), rtol=1e-6)
    np.testing.assert_allclose(variance(stats), expected.var(0), rtol=1e-3)


@pytest.mark.parametrize("batch_size", [1, 1024])
def test_a_full_count_neither_overflows_nor_stalls(batch_size):
    """At the end of the window the variance stays right and a change of the data is still followed."""
    full = ops.RunningStatistics(jnp.float32(WINDOW), jnp.float32(0.0), jnp.float32(WINDOW))  # mean 0, variance 1
    updates = 20_000 if batch_size == 1 else 2_000

    def run(offset):
        def step(stats, key):
            return ops.update_statistics(stats, offset + jax.random.normal(key, (batch_size,))), None

        return jax.lax.scan(step, full, jax.random.split(jax.random.key(0), updates))[0]

    same, moved = jax.jit(run)(0.0), jax.jit(run)(1.0)
    assert same.count == moved.count == WINDOW
    np.testing.assert_allclose(variance(same), 1.0, rtol=2e-3)
    np.testing.assert_allclose(same.mean, 0.0, atol=2e-3)
    seen = 1.0 - np.exp(-updates * batch_size / WINDOW)
    np.testing.assert_allclose(moved.mean, seen, rtol=0.1, atol=1e-5)
    np.testing.assert_allclose(variance(moved), 1.0 + seen * (1 - seen), rtol=5e-3)


def test_normalize_is_the_identity_before_any_data():
    x = samples((4, 3), scale=100.0)
    np.testing.assert_array_equal(ops.normalize(ops.init_statistics((3,)), x), x)


def test_normalize_standardises_clips_and_survives_a_constant_feature():
    batch = samples((1000, 2), offset=5.0)
    batch[:, 1] = 4.0
    stats = ops.update_statistics(ops.init_statistics((2,)), batch)
    normalized = ops.normalize(stats, batch)
    np.testing.assert_allclose(normalized.mean(0), [0, 0], atol=1e-5)
    np.testing.assert_allclose(normalized.std(0), [1, 0], atol=1e-5)
    far = jnp.array([1e6, 4.0])
    assert ops.normalize(stats, far)[0] == 10.0
    assert ops.normalize(stats, far, clip=3.0)[0] == 3.0
    assert ops.normalize(stats, far, clip=jnp.inf)[0] > 1e5
    gradient = jax.grad(lambda x: ops.normalize(stats, x).sum())(jnp.zeros(2))
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("value", [1.1, 12345.6, -3e6])
def test_what_never_moved_is_exactly_0(value):
    """The mean of equal numbers is that number, so that no rounding passes for a deviation."""
    stats, update = ops.init_statistics((1,)), jax.jit(ops.update_statistics)
    for number in (2048, 7, 100):
        stats = update(stats, jnp.full((number, 1), value))
    assert stats.mean == np.float32(value) and stats.m2 == 0
    np.testing.assert_array_equal(ops.normalize(stats, jnp.full((3, 1), value)), np.zeros((3, 1)))


def test_vmap_equals_each_alone_and_integers_are_accepted():
    batches = (10 * samples((3, 8, 2))).astype(np.int32)
    empty = jax.vmap(lambda _: ops.init_statistics((2,)))(jnp.arange(3))
    together = jax.jit(jax.vmap(ops.update_statistics))(empty, batches)
    normalized = jax.vmap(ops.normalize)(together, batches)
    for i, batch in enumerate(batches):
        alone = ops.update_statistics(ops.init_statistics((2,)), batch)
        assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(alone))
        np.testing.assert_allclose(together.mean[i], alone.mean, rtol=1e-6)
        np.testing.assert_allclose(normalized[i], ops.normalize(alone, batch), rtol=1e-5, atol=1e-6)


def test_wrong_shapes_are_refused():
    stats = ops.init_statistics((3,))
    for call in (ops.update_statistics, ops.normalize):
        with pytest.raises(AssertionError):
            call(stats, jnp.zeros((5, 1)))
    with pytest.raises(AssertionError):
        ops.merge_statistics(stats, ops.init_statistics((2,)))
