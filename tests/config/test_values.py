"""What callers hand over becomes plain Python values, whatever held it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_up.config import as_whole, flag, plain, seconds_or_none, seed_list, shown, whole, whole_or_none


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (np.int64(8), 8),
        (np.array(8), 8),
        (jnp.int32(8), 8),
        (np.float32(0.1), 0.1),  # the shortest that rounds to it, as in the caller's text
        (jnp.float32(0.99), 0.99),
        (np.float16(0.3), 0.3),
        (jnp.bfloat16(0.5), 0.5),
        (np.float64(0.1), 0.1),
        (np.bool_(True), True),
        (jnp.bool_(False), False),
        (np.str_("tanh"), "tanh"),
        (None, None),
        ((1, 2), (1, 2)),
    ],
)
def test_numbers_of_numpy_and_jax_are_pythons(given, expected):
    assert plain(given) == expected
    assert type(plain(given)) is type(expected)


def test_float32_stays_the_same_number():
    for value in np.random.default_rng(0).normal(size=100).astype(np.float32):
        assert np.float32(plain(value)) == value


def test_what_has_no_single_value_stays():
    array = np.arange(3)
    assert plain(array) is array
    assert plain(key := jax.random.key(0)) is key
    jax.eval_shape(lambda x: (plain(x), pytest.fail("it has a value") if as_whole(x) is not None else x)[1], 1)


@pytest.mark.parametrize("given", [3, 3.0, np.int8(3), np.float32(3), np.array(3), jnp.int32(3), jnp.float32(3)])
def test_whole_numbers_are_taken(given):
    assert type(whole("n", given)) is int
    assert whole("n", given) == whole_or_none("n", given) == 3


@pytest.mark.parametrize("given", [2.5, True, np.True_, "3", None, np.nan, np.inf, [3], np.array([3]), 1j])
def test_other_things_are_no_whole_numbers(given):
    with pytest.raises(ValueError, match=r"^n=.* must be a whole number$"):
        whole("n", given)


def test_bounds_of_whole_numbers():
    assert whole("n", 0, 0) == 0
    assert whole_or_none("n", None) is None
    with pytest.raises(ValueError, match="n=0 must be at least 1, or None"):
        whole_or_none("n", 0)
    with pytest.raises(ValueError, match="n=2147483648 is out of range: counters hold at most 2147483647"):
        whole("n", 2**31)


def test_flags_and_times():
    assert flag("on", np.bool_(True)) is flag("on", jnp.bool_(True)) is True
    for given in (1, 0.0, "no", None, np.array([True])):
        with pytest.raises(ValueError, match="must be True or False"):
            flag("on", given)
    assert seconds_or_none("t", np.float32(0.5)) == 0.5
    assert seconds_or_none("t", np.inf) == np.inf
    for given in (-1, "soon", np.nan, True):
        with pytest.raises(ValueError, match="must be at least 0 seconds, or None"):
            seconds_or_none("t", given)


@pytest.mark.parametrize(
    ("seeds", "expected"),
    [
        (jnp.arange(4), (0, 1, 2, 3)),
        (jnp.int32(2), (0, 1)),
        (np.array(3), (0, 1, 2)),
        (2.0, (0, 1)),
        ([np.uint32(2**32 - 1), 5.0], (2**32 - 1, 5)),
        ((seed for seed in (3, 1)), (3, 1)),
        ([jnp.int32(7)], (7,)),
    ],
)
def test_seeds_are_plain_whatever_holds_them(seeds, expected):
    found = seed_list(seeds)
    assert found == expected
    assert {type(seed) for seed in found} == {int}


@pytest.mark.parametrize("seeds", [np.eye(2, dtype=int), jnp.array([0.5]), np.array([True]), "3", [[1]], np.array(-1)])
def test_seeds_that_are_none(seeds):
    with pytest.raises(ValueError, match=r"^seeds=.*: give how many"):
        seed_list(seeds)


def test_messages_are_one_short_line():
    assert shown(np.float32(0.1)) == "0.1"
    assert shown("a\nb") == r"'a\nb'"
    assert "\n" not in shown(np.zeros((9, 9)))
    assert len(shown("x" * 1000)) < 120
