"""Spaces hash, compare, sample inside themselves and refuse nonsense."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_up.envs import Box, Discrete

INF = float("inf")


def test_uniform_bounds_become_one_float_and_equal_boxes_hash_alike():
    box = Box(np.full((2, 3), -1.0), 1, (2, 3))
    assert box == Box(-1.0, 1.0, (2, 3)) and hash(box) == hash(Box(-1.0, 1.0, (2, 3)))
    assert box.low == -1.0 and box.bounded and repr(box) == "Box(-1, 1, (2, 3), float32)"
    assert Box([0, 1], [2, 3]).low == (0.0, 1.0) and Box([0, 1], [2, 3]).shape == (2,)
    assert Discrete(3) == Discrete(np.int64(3)) and repr(Discrete(3)) == "Discrete(3)"
    assert Box(0, 1, (2,)) != Box(0, 1, (2,), jnp.int32)


def test_the_largest_floats_mean_no_bound():
    box = Box(-np.finfo(np.float32).max, [1.0, np.finfo(np.float32).max], (2,))
    assert box.low == -INF and box.high == (1.0, INF) and not box.bounded
    assert box.bounded_above.tolist() == [True, False] and not box.bounded_below.any()


@pytest.mark.parametrize(
    "space",
    [
        Discrete(5),
        Box(-1.0, 2.0, (3,)),
        Box([-1.0, -INF, 0.0, -INF], [1.0, 1.0, INF, INF]),
        Box(-3, 4, (2,), jnp.int32),
        Box(0, 255, (2, 2), jnp.uint8),
        Box(0, 1, (4,), jnp.bool_),
        Box(-1.0, 1.0, ()),
    ],
)
def test_samples_are_elements_of_shape_and_dtype(space):
    samples = jax.vmap(space.sample)(jax.random.split(jax.random.key(0), 64))
    assert samples.shape == (64, *space.shape) and samples.dtype == space.dtype
    assert jax.vmap(space.contains)(samples).all()
    assert len(np.unique(np.asarray(samples).reshape(64, -1), axis=0)) > 1


def test_contains_refuses_other_shapes_kinds_and_nan():
    box = Box(0.0, 1.0, (2,))
    assert box.contains([0.0, 1.0]) and not box.contains([0.0, 1.1])
    assert not box.contains(0.5) and not box.contains([0.5, jnp.nan])
    assert not Box(0, 1, (1,), jnp.int32).contains([0.5])
    assert Discrete(2).contains(1) and not Discrete(2).contains(2) and not Discrete(2).contains(-1)
    assert not Discrete(2).contains(1.0) and not Discrete(2).contains([1])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Discrete(0), "n >= 1"),
        (lambda: Discrete(2.0), "n >= 1"),
        (lambda: Discrete(True), "n >= 1"),
        (lambda: Box(1.0, 0.0, (2,)), "low <= high"),
        (lambda: Box(np.zeros(3), 1.0, (2,)), "does not fit shape"),
        (lambda: Box(np.nan, 1.0, (2,)), "NaN"),
    ],
)
def test_nonsense_is_explained(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64])
def test_whole_numbers_are_drawn_from_all_the_range_and_from_its_very_ends(dtype):
    with jax.enable_x64(np.dtype(dtype).itemsize == 8):
        ends, keys = np.iinfo(dtype), jax.random.split(jax.random.key(0), 64)
        for low, high in ((ends.min, ends.max), (-INF, INF), (0, ends.max)):
            space = Box(low, high, (), dtype)
            drawn = np.asarray(jax.vmap(space.sample)(keys))
            assert drawn.dtype == space.dtype == dtype and space.bounds()[1] == ends.max
            assert len(set(drawn.tolist())) > (63 if ends.bits >= 32 else 30)
            assert np.mean(drawn > space.bounds()[0] / 2 + ends.max / 2) == pytest.approx(0.5, abs=0.2)
        if ends.bits < 64:  # bounds are floats of 64 bits
            for low in (ends.min, ends.max - 2):
                drawn = np.asarray(jax.vmap(Box(low, low + 2, (), dtype).sample)(keys))
                assert set(drawn.tolist()) == {low, low + 1, low + 2}


def test_a_few_words_short_of_all_numbers_are_drawn_too():
    drawn = np.asarray(Box(-(2**31) + 1, 2**31 - 1, (500,), np.int32).sample(jax.random.key(0)))
    assert len(set(drawn.tolist())) == 500 and drawn.min() < -2e9 and drawn.max() > 2e9


def test_bounds_of_whole_numbers_are_whole():
    space = Box(-0.5, [0.5, 3.7], (2,), np.int32)
    assert space.bounds()[0].tolist() == [0, 0] and space.bounds()[1].tolist() == [0, 3]
    with pytest.raises(ValueError, match="a whole number from low to high"):
        Box(0.2, 0.8, (2,), np.int32)


@pytest.mark.parametrize("dtype", [np.float16, jnp.bfloat16, np.float32])
def test_wide_boxes_of_floats_are_drawn_from_evenly(dtype):
    wide = 0.9 * min(float(jnp.finfo(dtype).max), 1e38)
    drawn = np.asarray(Box(-wide, wide, (400,), dtype).sample(jax.random.key(0)), np.float64)
    assert np.abs(drawn).max() <= wide and np.mean(drawn > 0) == pytest.approx(0.5, abs=0.1)
    assert drawn.min() < -0.8 * wide and drawn.max() > 0.8 * wide


def test_what_the_dtype_cannot_hold_is_no_bound():
    assert Box(-1e6, 1e6, (2,), np.float16) == Box(-INF, INF, (2,), np.float16)
    assert Box(0.0, 1.0, (2,), np.float64).dtype == np.float32  # JAX has no float64 here
    with pytest.raises(ValueError, match="below 2\\^31"):
        Discrete(2**31)
    drawn = jax.vmap(Discrete(2**31 - 1).sample)(jax.random.split(jax.random.key(0), 64))
    assert len(set(drawn.tolist())) == 64
