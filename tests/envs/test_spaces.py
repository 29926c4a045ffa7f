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
