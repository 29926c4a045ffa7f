"""The sum tree against cumulative sums in NumPy, and what must hold after thousands of writes."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from tiny import assert_equal

from jaxrl_up.learning import sum_tree


@jax.jit
def filled(values):
    values = jnp.asarray(values, jnp.float32)
    return sum_tree.set(sum_tree.init(values.size), jnp.arange(values.size), values)


def uniform(seed, capacity, *shape):
    """Numbers for `sample`, with leading axes."""
    return jax.random.uniform(jax.random.key(seed), (*shape[:-1], sum_tree.num_levels(capacity), shape[-1]))


def rows_of(tree):
    return np.asarray(tree.levels[-1]).ravel()


def assert_consistent(tree):
    levels = [np.asarray(x) for x in tree.levels]
    for above, below in itertools.pairwise(levels):
        sums = np.sum(below, axis=-1, dtype=np.float64)
        np.testing.assert_allclose(above.ravel()[: sums.size], sums, rtol=1e-6)
        assert not np.any(above.ravel()[sums.size :])


def test_a_small_tree_by_hand():
    tree = sum_tree.init(10)
    assert [x.shape for x in tree.levels] == [(1, 8), (2, 8)]
    tree = sum_tree.set(tree, jnp.array([0, 3, 9]), jnp.array([1.0, 4.0, 5.0]))
    np.testing.assert_array_equal(tree.levels[0], [[5, 5, 0, 0, 0, 0, 0, 0]])
    np.testing.assert_array_equal(tree.levels[1], [[1, 0, 0, 4, 0, 0, 0, 0], [0, 5, 0, 0, 0, 0, 0, 0]])
    assert sum_tree.total(tree) == 10
    numbers = jnp.stack([jnp.full(10, 0.5), jnp.zeros(10)])
    index, probability = sum_tree.sample(tree, numbers)  # at 0.5, 1.5, ... of 10
    assert index.dtype == jnp.int32
    np.testing.assert_array_equal(index, [0, 3, 3, 3, 3, 9, 9, 9, 9, 9])
    np.testing.assert_allclose(probability, [0.1] + [0.4] * 4 + [0.5] * 5)
    tree = sum_tree.set(tree, jnp.array([3, 8]), jnp.array([0.0, 1.0]))
    np.testing.assert_array_equal(tree.levels[0], [[1, 6, 0, 0, 0, 0, 0, 0]])


@pytest.mark.parametrize(
    ("capacity", "nodes"), [(1, [1]), (8, [1]), (9, [1, 2]), (65, [1, 2, 9]), (513, [1, 2, 9, 65])]
)
def test_levels(capacity, nodes):
    assert [x.shape for x in sum_tree.init(capacity).levels] == [(n, sum_tree.WIDTH) for n in nodes]
    assert sum_tree.num_levels(capacity) == len(nodes)


@pytest.mark.thorough("7", "64")
@pytest.mark.parametrize("capacity", [1, 7, 64, 65, 700])
def test_draws_equal_a_search_in_the_cumulative_sum(capacity):
    rng = np.random.default_rng(capacity)
    values = rng.exponential(size=capacity) * (rng.random(capacity) > 0.3)
    values[rng.integers(capacity)] = 3.0
    numbers, size = uniform(1, capacity, 128), 128
    index, probability = jax.jit(sum_tree.sample)(filled(values), numbers)
    values = values.astype(np.float32).astype(np.float64)
    ends = np.cumsum(values)
    target = (np.arange(size) + np.asarray(numbers[0], np.float64)) / size * ends[-1]
    expected = np.searchsorted(ends, target, side="right")
    clear = np.abs(target[:, None] - ends[None]).min(1) > 1e-4 * ends[-1]  # of a border, where rounding decides
    assert clear.mean() > 0.5
    np.testing.assert_array_equal(index[clear], expected[clear])
    np.testing.assert_allclose(probability, values[index] / ends[-1], rtol=1e-5)
    assert np.all(np.diff(index) >= 0)


@pytest.mark.parametrize("capacity", [20, 200])
def test_frequencies(capacity):
    rng = np.random.default_rng(0)
    values = rng.exponential(size=capacity) + 0.05
    values[rng.permutation(capacity)[: capacity // 4]] = 0.0
    batches, size = 1000, 32
    draw = jax.jit(jax.vmap(sum_tree.sample, in_axes=(None, 0)))
    index = np.asarray(draw(filled(values), uniform(2, capacity, batches, size))[0])
    probability = values / values.sum()
    count = np.bincount(index.ravel(), minlength=capacity)
    assert count[values == 0].sum() == 0
    some = values > 0
    assert scipy.stats.chisquare(count[some], batches * size * probability[some]).pvalue > 1e-4
    # each range gives one draw: a batch holds what is due up to the two cut at its borders
    each = np.stack([np.bincount(row, minlength=capacity) for row in index])
    assert np.abs(each - size * probability).max() < 2
    # one draw alone is not stratified at all
    lone = uniform(3, capacity, batches * size, 1)
    count = np.bincount(np.asarray(draw(filled(values), lone)[0]).ravel(), minlength=capacity)
    assert scipy.stats.chisquare(count[some], batches * size * probability[some]).pvalue > 1e-4


def test_a_small_part_of_a_large_total_is_drawn_as_finely():
    # rows 8 to 15 have 36 * 2^-26 of the total: float32 holds 9 numbers in it
    values = np.concatenate([[1.0], np.zeros(7), np.arange(1, 9) * 2.0**-26])
    draws = 20_000
    numbers = np.array(uniform(0, 16, draws, 1))
    numbers[:, 0, 0] = 1 - np.random.default_rng(0).integers(1, 9, draws) * 2.0**-24
    draw = jax.jit(jax.vmap(sum_tree.sample, in_axes=(None, 0)))
    index = np.asarray(draw(filled(values), jnp.asarray(numbers))[0]).ravel()
    assert np.all(index >= 8)
    count = np.bincount(index, minlength=16)[8:]
    assert scipy.stats.chisquare(count, draws * np.arange(1, 9) / 36).pvalue > 1e-4


def test_empty_rows_are_never_drawn_whatever_the_number():
    rng = np.random.default_rng(1)
    capacity = 600
    values = np.where(rng.random(capacity) < 0.02, 10.0 ** rng.uniform(-30, 30, capacity), 0.0).astype(np.float32)
    values[-100:] = 0.0
    edges = np.array([0.0, np.nextafter(np.float32(1), np.float32(0)), 0.5, 0.25, 1e-30])
    levels = sum_tree.num_levels(capacity)
    numbers = jnp.asarray(rng.choice(edges, (200, levels, 16)), jnp.float32)
    index, probability = jax.jit(jax.vmap(sum_tree.sample, in_axes=(None, 0)))(filled(values), numbers)
    assert np.all(values[np.asarray(index)] > 0)
    assert np.all(probability > 0)


@pytest.mark.parametrize(("capacity", "size"), [(5, 4), (1000, 32), (1000, 300)])
def test_thousands_of_writes_with_duplicates(capacity, size):
    writes = 3000
    rng = np.random.default_rng(0)
    index = rng.integers(capacity, size=(writes, size))
    index[:, 1] = index[:, 0]
    value = np.where(rng.random(index.shape) < 0.1, 0, 10 ** rng.uniform(-6, 3, index.shape)).astype(np.float32)

    @jax.jit
    def write(tree, index, value):
        return jax.lax.scan(lambda tree, row: (sum_tree.set(tree, *row), None), tree, (index, value))[0]

    tree = write(sum_tree.init(capacity), jnp.asarray(index), jnp.asarray(value))
    assert_consistent(tree)
    np.testing.assert_allclose(sum_tree.total(tree), rows_of(tree).sum(dtype=np.float64), rtol=1e-6)
    allowed = [{0.0}] * capacity  # values of the last write that a row was in
    for rows, new in zip(index, value, strict=True):
        for row in set(rows.tolist()):
            allowed[row] = set(new[rows == row].tolist())
    assert all(float(kept) in known for kept, known in zip(rows_of(tree), allowed, strict=False))


def test_vmapped_seeds_equal_each_alone():
    seeds, capacity, size = 3, 100, 16

    def use(values, numbers):
        def body(tree, numbers):
            index, probability = sum_tree.sample(tree, numbers)
            return sum_tree.set(tree, index, numbers[0] + 0.1), (index, probability)

        return jax.lax.scan(body, filled(values), numbers)

    values = jax.random.uniform(jax.random.key(0), (seeds, capacity))
    numbers = uniform(1, capacity, seeds, 10, size)
    together = jax.jit(jax.vmap(use))(values, numbers)
    alone = jax.jit(use)
    for s in range(seeds):
        mine = jax.tree.map(lambda x: np.asarray(x)[s], together)  # noqa: B023
        assert_equal(mine, alone(values[s], numbers[s]))
        assert_consistent(mine[0])


def test_drawing_and_writing_copy_nothing():
    capacity = 200_000
    tree = jax.eval_shape(lambda: sum_tree.init(capacity))
    numbers = jnp.full((sum_tree.num_levels(capacity), 8), 0.3)

    def body(_, tree):
        index, probability = sum_tree.sample(tree, numbers)
        return sum_tree.set(tree, index, probability + 1)

    program = jax.jit(lambda tree: jax.lax.fori_loop(0, 9, body, tree), donate_argnums=0)
    memory = program.lower(tree).compile().memory_analysis()
    assert memory.temp_size_in_bytes < 50_000 < 4 * capacity < memory.alias_size_in_bytes


def test_importance_weights():
    probability = jnp.array([0.1, 0.2, 0.4])
    np.testing.assert_allclose(sum_tree.importance_weights(probability, 1.0), [1, 0.5, 0.25])
    np.testing.assert_allclose(sum_tree.importance_weights(probability, 0.0), [1, 1, 1])
    for size in (3, 1000):
        weights = (1 / (size * np.asarray(probability))) ** 0.4
        np.testing.assert_allclose(sum_tree.importance_weights(probability, 0.4), weights / weights.max(), rtol=1e-6)
    tiny = sum_tree.importance_weights(jnp.array([1e-36, 1.0]), 0.5)
    np.testing.assert_allclose(tiny, [1, 1e-18], rtol=1e-5)


def test_no_rows_are_refused():
    with pytest.raises(ValueError, match="capacity=0 must be at least 1"):
        sum_tree.init(0)
