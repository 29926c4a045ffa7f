"""Configs: one type per field, ranges, presets, names that were meant."""

import dataclasses
import math
from typing import Optional

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from tiny import chain, tiny

from jaxrl_up import ALGORITHMS, PPO, TRPO, make_config, train
from jaxrl_up.algorithms import check_support, find_algorithm
from jaxrl_up.config import canonical, check, did_you_mean, field_help, traced_fields
from jaxrl_up.types import static, traced


@struct.dataclass
class Example:
    rate: float = traced(0.1, 0.0, 1.0)
    """how fast"""
    limit: float | None = traced(None, 0.0)
    """how far"""
    number: int = static(4, low=1)
    """how many,
    in two lines"""
    on: bool = static(True)
    """whether"""
    sizes: tuple[int, ...] = static((8, 4))
    """how large"""
    kind: str = static("a", choices=("a", "b"))
    """which"""


def test_traced_and_static():
    assert traced_fields(Example) == traced_fields(Example()) == ("rate", "limit")
    assert jax.tree.leaves(Example()) == [0.1]
    assert jax.tree.leaves(Example(limit=3.0)) == [0.1, 3.0]


@pytest.mark.parametrize("value", [1, 1.0, True * 1.0, np.float64(1), np.int32(1), jnp.float32(1), jnp.asarray(1)])
def test_canonical_gives_a_number_one_type(value):
    rate = canonical(Example(rate=value)).rate
    assert (rate.dtype, rate.shape, rate.weak_type) == (jnp.float32, (), False)


def test_canonical_leaves_the_rest_and_can_be_repeated():
    config = canonical(check(Example(sizes=[3, 2])))
    assert config.sizes == (3, 2)
    assert config.limit is None
    assert hash(jax.tree.structure(config)) == hash(jax.tree.structure(canonical(config)))
    jax.jit(canonical)(config)
    assert canonical(Example(rate=jnp.array([0.1, 0.2]))).rate.shape == (2,)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rate": 1.5}, "rate=1.5 is out of range: it must be between 0 and 1"),
        ({"rate": -0.1}, "between 0 and 1"),
        ({"rate": math.nan}, "between 0 and 1"),
        ({"limit": -1}, "limit=-1 is out of range: it must be at least 0"),
        ({"limit": math.inf}, "limit=inf"),
        ({"rate": "fast"}, "rate='fast' must be a number"),
        ({"rate": True}, "rate=True must be a number"),
        ({"rate": None}, "rate must be a number, not None"),
        ({"number": 0}, "number=0 is out of range: it must be at least 1"),
        ({"number": 2.5}, "number=2.5 must be a whole number"),
        ({"number": True}, "number=True must be a whole number"),
        ({"number": 2**31}, "counters hold at most 2147483647"),
        ({"on": 1}, "on=1 must be True or False"),
        ({"sizes": (8, 0)}, "each at least 1"),
        ({"sizes": (8, 2.5)}, "whole numbers"),
        ({"kind": "c"}, "choose from a, b"),
    ],
)
def test_values_out_of_range_say_what_is_allowed(fields, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        check(Example(**fields))


@pytest.mark.parametrize(
    "fields", [{"rate": 0}, {"rate": 1}, {"limit": 0.0}, {"number": 1}, {"sizes": ()}, {"kind": "b"}]
)
def test_the_ends_of_a_range_are_allowed(fields):
    check(Example(**fields))


@pytest.mark.parametrize(
    ("field", "given", "held"),
    [
        ("rate", np.float32(0.1), 0.1),
        ("rate", jnp.float32(0.5), 0.5),
        ("rate", np.array(1), 1),
        ("limit", np.int64(3), 3),
        ("number", np.int64(8), 8),
        ("number", 1e6, 1_000_000),
        ("number", np.float32(8), 8),
        ("number", jnp.int32(8), 8),
        ("on", np.bool_(False), False),
        ("on", jnp.bool_(True), True),
        ("sizes", np.array([3, 2]), (3, 2)),
        ("sizes", jnp.array([3, 2]), (3, 2)),
        ("sizes", (np.int64(3), 2.0), (3, 2)),
        ("sizes", [3, 2], (3, 2)),
        ("sizes", 3, (3,)),
        ("kind", np.str_("b"), "b"),
    ],
)
def test_a_config_holds_plain_values(field, given, held):
    """So that records, hashes and programs do not depend on what held them."""
    found = getattr(check(Example(**{field: given})), field)
    assert found == held
    assert type(found) is type(held)
    assert all(type(x) is int for x in found) if field == "sizes" else True
    assert canonical(check(Example(**{field: given}))) == canonical(Example(**{field: held}))


@pytest.mark.parametrize("hold", [np.float32, np.float64, np.array, jnp.float32, jnp.asarray])
@pytest.mark.parametrize("value", [1.5, -0.1, math.nan, math.inf])
def test_ranges_hold_whatever_holds_the_number(hold, value):
    with pytest.raises(ValueError, match=f"rate={value:g} is out of range: it must be between 0 and 1"):
        check(Example(rate=hold(value)))


def test_traced_values_pass():
    def held(rate, limit):
        return check(Example(rate=rate, limit=limit)).limit

    assert jax.vmap(held)(jnp.array([1.5, 0.5]), jnp.array([-1.0, 2.0])).tolist() == [-1.0, 2.0]


def test_an_unchanged_config_is_itself():
    config = Example(rate=0.5, sizes=(3,))
    assert check(config) is config


@struct.dataclass
class OldStyle:
    rate: Optional[float] = traced(0.1, 0.0, 1.0)  # noqa: UP045, as some write it
    """how fast"""
    limit: Optional[float] = traced(None, 0.0)  # noqa: UP045
    """how far"""
    number: Optional[int] = static(4, low=1)  # noqa: UP045
    """how many"""


@struct.dataclass
class NewStyle:
    rate: float | None = traced(0.1, 0.0, 1.0)
    """how fast"""
    limit: float | None = traced(None, 0.0)
    """how far"""
    number: int | None = static(4, low=1)
    """how many"""


@struct.dataclass
class TextStyle:
    rate: "Optional[float]" = traced(0.1, 0.0, 1.0)  # noqa: UP045
    """how fast"""
    limit: "float | None" = traced(None, 0.0)
    """how far"""
    number: "Optional[int]" = static(4, low=1)  # noqa: UP045
    """how many"""


@pytest.mark.parametrize("style", [OldStyle, NewStyle, TextStyle])
def test_optional_fields_are_optional_however_they_are_written(style):
    rate, limit, number = field_help(style)
    assert rate == ("rate", float, True, "how fast (default 0.1; between 0 and 1; or none)")
    assert limit == ("limit", float, True, "how far (default none; at least 0)")
    assert number == ("number", int, True, "how many (default 4; at least 1; or none)")
    none = check(style(rate=None, limit=None, number=None))
    assert (none.rate, none.limit, none.number) == (None, None, None)
    assert jax.tree.leaves(canonical(none)) == []
    assert traced_fields(style) == ("rate", "limit")
    for fields, message in [({"rate": 1.5}, "rate=1.5"), ({"limit": -1}, "limit=-1"), ({"number": 0}, "number=0")]:
        with pytest.raises(ValueError, match=f"{message} is out of range"):
            check(style(**fields))


def test_algorithms_by_name():
    assert make_config("PPO", gamma=np.float32(0.5)) == make_config(PPO, gamma=0.5)
    assert make_config("sac-discrete") == ALGORITHMS["sac_discrete"].Config()
    assert find_algorithm(PPO) is find_algorithm("ppo") is PPO


def test_field_help_is_read_from_the_source():
    rate, limit, number, on, sizes, kind = field_help(Example)
    assert rate == ("rate", float, False, "how fast (default 0.1; between 0 and 1)")
    assert limit == ("limit", float, True, "how far (default none; at least 0)")
    assert number.text == "how many, in two lines (default 4; at least 1)"
    assert (on.kind, sizes.kind, kind.kind) == (bool, tuple, str)
    assert kind.text == "which (default a; one of a, b)"


@pytest.mark.parametrize("algo", ALGORITHMS.values(), ids=lambda algo: algo.name)
def test_defaults_and_presets_are_in_range(algo):
    check(algo.Config())
    assert make_config(algo) == make_config(algo, "default") == algo.Config()
    assert len(field_help(algo.Config)) == len(dataclasses.fields(algo.Config))
    for preset, fields in algo.presets.items():
        config = make_config(algo, preset)
        assert all(getattr(config, name) == value for name, value in fields.items())
        assert make_config(algo, preset, gamma=0.5).gamma == 0.5
        assert config != algo.Config()


def test_presets_do_not_change_when_used():
    before = dict(PPO.presets["spinup"])
    make_config(PPO, "spinup", gamma=0.1, hidden=(2,))
    assert dict(PPO.presets["spinup"]) == before


def test_mistakes_are_answered_with_what_was_meant():
    with pytest.raises(ValueError, match=r"ppo has no field 'learning_rat'\. Did you mean 'learning_rate'\?"):
        make_config(PPO, learning_rat=1e-3)
    with pytest.raises(ValueError, match="trpo has no preset 'spinupp'; it has default, spinup, natural_gradient"):
        make_config(TRPO, "spinupp")
    assert did_you_mean("GAMMA", ["gamma", "delta"]) == " Did you mean 'gamma'?"
    assert did_you_mean("num-envs", ["num_envs"]) == " Did you mean 'num_envs'?"
    assert did_you_mean("zzz", ["gamma"]) == ""


def test_an_action_space_that_is_not_supported_names_those_that_are():
    discrete_only = dataclasses.replace(PPO, action_spaces=("Box",), name="box_only")
    check_support(PPO, chain())
    with pytest.raises(ValueError, match=r"box_only acts in Box spaces, but chain .* for Discrete: .*ppo"):
        check_support(discrete_only, chain())


def test_train_checks_its_config():
    with pytest.raises(ValueError, match="gamma=2 is out of range"):
        train(PPO, chain(), tiny(PPO).replace(gamma=2), jax.random.key(0))
