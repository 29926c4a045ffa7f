"""Points of a sweep: from lists and ranges of values to configs and environments, grouped by the program they need.

A point maps names to values. A name is a config field (`learning_rate`, `num_envs`) or a parameter of the environment
(`env.gravity`, `env.max_steps`; without `env.` where that is clear). Values of traced fields and parameters are data,
so points that differ in nothing else share a program. All other values, and None for a traced field, are static:
points that differ in them are of different groups.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxrl_up.algorithms import own_kinds
from jaxrl_up.config import canonical, check_relations, held, is_number, plain, shape, shown, traced_fields, whole
from jaxrl_up.config import spell as full_name
from jaxrl_up.envs import Env, as_parameter
from jaxrl_up.records import (
    DIGITS,
    LIMITS,
    Named,
    Point,
    build_environment,
    describe_environment,
    environment_options,
    is_built_by_name,
    named,
    short,
    text,
    toml_value,
    unnamed,
)
from jaxrl_up.training import check_not_drawn
from jaxrl_up.types import PyTree


class Group(NamedTuple):
    """Points that one program trains: they differ in traced values only."""

    env: Env  # of the first point
    config: PyTree
    points: tuple[int, ...]  # which of the sweep's, [C]
    swept: dict[str, tuple[float, ...]]  # name -> value [C]; empty for a single point
    evaluation_env: Env | None = None  # of the first point, if it is not evaluated in `nominal(env)`


def product(grid: Mapping[str, Sequence[Any]]) -> tuple[Point, ...]:
    """Every combination of the values, the last name varying fastest.

    Raises `ValueError` for no name, for a name without values, and for a value given twice.
    """
    if not grid:
        raise ValueError("a sweep needs at least one name with values, as in learning_rate=1e-4,1e-3")
    lists: dict[str, list[Any]] = {}
    for name, given in grid.items():
        listed = isinstance(given, Iterable) and not isinstance(given, str | Mapping) and shape(given) != ()
        values = lists[name] = [_plain(value) for value in given] if listed else []
        if not values:
            raise ValueError(f"{name}={shown(given)}: give a list of at least one value")
        for i, value in enumerate(values):
            if any(_key(value) == _key(other) for other in values[:i]):
                raise ValueError(f"{name} has {text(value)} twice")
    return tuple(dict(zip(lists, values, strict=True)) for values in itertools.product(*lists.values()))


def random_points(
    num_points: int,
    choices: Mapping[str, Sequence[Any]] | None = None,
    uniform: Mapping[str, tuple[float, float]] | None = None,
    log: Mapping[str, tuple[float, float]] | None = None,
    seed: int = 0,
) -> tuple[Point, ...]:
    """Points drawn independently: each value from `choices`, or from a range (Bergstra & Bengio 2012, section 2).

    `uniform` and `log` map names to `(low, high)`; the logarithm of a value of `log` is uniform. Numbers are rounded
    to 6 digits. No point comes twice. The same seed gives the same points. Raises `ValueError` for a range that is
    empty or not finite, a `log` range that is not positive, a name given twice, and more points than there are.
    """
    num_points, seed = whole("random", num_points), whole("seed", seed, 0)
    choices = dict(choices or {})
    uniform, log = ({name: _ends(name, given) for name, given in (x or {}).items()} for x in (uniform, log))
    names = [*choices, *uniform, *log]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{name} has more than one list or range of values")
    for name, (low, high) in (uniform | log).items():
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ValueError(f"{name}={low:g}:{high:g} is no range: give two numbers, the lower first")
        if name in log and low <= 0:
            raise ValueError(f"{name}={low:g}:{high:g}: a logarithmic range is above 0")
    listed, rng = product(choices) if choices or not names else ({},), np.random.default_rng(seed)
    if not uniform and not log:
        if num_points > len(listed):
            raise ValueError(f"{num_points} points were asked for, but the lists have {len(listed)} combinations")
        return tuple(listed[i] for i in rng.choice(len(listed), num_points, replace=False))
    points = []
    for _ in range(num_points):
        point = dict(listed[rng.integers(len(listed))])
        point |= {name: _rounded(rng.uniform(*ends), *ends) for name, ends in uniform.items()}
        point |= {name: _rounded(math.exp(rng.uniform(*np.log(ends))), *ends) for name, ends in log.items()}
        points.append(point)
    return tuple(points)


def spell(env: Env, config: PyTree, points: Iterable[Point]) -> tuple[Point, ...]:
    """The points with each name spelt one way, `field` or `env.parameter`, and values as configs hold them.

    Raises `ValueError` for no points, points of unequal names, a name that is unknown, unclear or given twice, and a
    value out of range, and `TypeError` for what is no point.
    """
    listed: tuple[Any, ...] = (
        tuple(points) if isinstance(points, Iterable) and not isinstance(points, str) else (points,)
    )
    for point in listed:
        if not isinstance(point, Mapping) or not all(isinstance(name, str) for name in point):
            raise TypeError(
                f"{shown(point)} is no point of a sweep: give lists of values, as {{'gamma': [0.9, 0.99]}}, or a list "
                "of points, as [{'gamma': 0.9}, {'gamma': 0.99}]"
            )
    if not listed:
        raise ValueError("a sweep needs at least one point")
    labels: dict[str, str] = {}
    for name in listed[0]:
        label = _label(env, config, name)
        if label in labels.values():
            raise ValueError(f"{label} is given twice")
        if label.startswith("env."):
            check_not_drawn(env, label[4:])
        labels[name] = label
    if not labels:
        raise ValueError("a point of a sweep needs at least one name with a value")
    spelt = []
    for point in listed:
        if list(point) != list(labels):
            raise ValueError(f"all points need the same names: {', '.join(labels)} and {', '.join(point)} differ")
        spelt.append({labels[name]: _as_held(env, config, labels[name], value) for name, value in point.items()})
    return tuple(spelt)


def configure(env: Env, config: PyTree, point: Point) -> tuple[Env, PyTree]:
    """The environment and config of a point, its names spelt out. Raises `ValueError` for a value not allowed."""
    params = {name.removeprefix("env."): value for name, value in point.items() if name.startswith("env.")}
    config = config.replace(**{name: unnamed(value) for name, value in point.items() if not name.startswith("env.")})
    check_relations(config)  # each value was checked where it was spelt out
    for name, value in params.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"env.{name}={value:g} must be a finite number")
        if name in env.params and shape(value) != np.shape(env.params[name]):
            wanted = (
                f"an array of shape {list(np.shape(env.params[name]))}" if np.ndim(env.params[name]) else "one number"
            )
            raise ValueError(f"env.{name}={shown(value)} must be {wanted}")
    if all(name in env.params for name in params):
        return (env.with_params(**params) if params else env), config
    return build_environment(env.name, _table(env), **params), config


def configure_evaluation(evaluation_env: Env | None, point: Point) -> Env | None:
    """The environment to evaluate a point in: with the traced parameters of the point that it has.

    Static ones, as the time limit, stay as they were given.
    """
    if evaluation_env is None:
        return None
    return evaluation_env.with_params(
        **{name: point[f"env.{name}"] for name in evaluation_env.params if f"env.{name}" in point}
    )


def options(env: Env) -> dict[str, Any]:
    """What `envs.make` needs beside the name to build an environment again, before it is wrapped."""
    return environment_options(_table(env))


def _table(env: Env) -> dict[str, Any]:
    return toml_value(describe_environment(env))["environment"]


def group(env: Env, config: PyTree, points: Sequence[Point], evaluation_env: Env | None = None) -> tuple[Group, ...]:
    """The points, their names spelt out, by the program that they need, in order of appearance.

    Raises `ValueError` for a value that is not allowed, and for a point given twice.
    """
    made, programs = [], {}
    for i, point in enumerate(points):
        made.append(configure(env, config, point))
        program = jax.tree.structure((made[i][0], canonical(made[i][1])))
        programs.setdefault(program, []).append(i)
    groups = []
    for members in programs.values():
        here, fields = made[members[0]]
        leaves = {*(f"env.{name}" for name in here.params)}
        leaves |= {name for name in traced_fields(fields) if getattr(fields, name) is not None}
        swept = {name: tuple(points[i][name] for i in members) for name in points[0] if name in leaves}
        values = list(zip(*swept.values(), strict=True)) if swept else [()] * len(members)
        for i, value in enumerate(values):
            if value in values[:i]:
                raise ValueError(f"the point {describe_point(points[members[i]])} is given twice")
        evaluated = configure_evaluation(evaluation_env, points[members[0]])
        groups.append(Group(here, fields, tuple(members), swept if len(members) > 1 else {}, evaluated))
    return tuple(groups)


def describe_point(point: Point) -> str:
    """`learning_rate=0.001, hidden=64-64`."""
    return ", ".join(f"{name}={short(value)}" for name, value in point.items())


def _key(value: Any) -> Any:
    """What tells values apart: 1 and 1.0 are one, 1 and True are not."""
    return isinstance(value, bool), tuple(value) if isinstance(value, list) else value


def _ends(name: str, given: Any) -> tuple[float, float]:
    ends = _plain(given)
    if not isinstance(ends, tuple) or len(ends) != 2 or not all(is_number(end) for end in ends):
        raise ValueError(f"{name}={shown(given)} is no range: give two numbers, the lower first")
    return ends


def _rounded(value: float, low: float, high: float) -> float:
    return min(max(float(f"{value:.{DIGITS}g}"), low), high)


def _label(env: Env, config: PyTree, name: str) -> str:
    """A name as `field` or `env.parameter`."""
    fields, own = [field.name for field in dataclasses.fields(config)], not is_built_by_name(env)
    param = name.removeprefix("env.").replace("-", "_")
    if name.startswith("env.") and not own:
        return f"env.{param}"  # `envs.make` says which options there are
    where = " in an environment of your own" if own and name.startswith("env.") else ""
    return full_name(name, fields, _parameters(env), where).removeprefix("config.")


def _parameters(env: Env) -> list[str]:
    """Parameters that go by their name: traced ones, and static ones where the environment can be built again."""
    static = [name for name, _ in env.spec.fixed if name not in LIMITS]
    return list(dict.fromkeys([*env.params, *([*static, "max_steps"] if is_built_by_name(env) else [])]))


def _as_held(env: Env, config: PyTree, name: str, value: Any) -> Any:
    """A value as the config or environment holds it: Python numbers, tuples, floats for what is traced.

    What may be the user's own is called by a name.
    """
    value = named(name, value) if name in own_kinds(config) else _plain(value)
    field = next((field for field in dataclasses.fields(config) if field.name == name), None)
    if field is None:
        whole_parameter = type(value) is int and name.removeprefix("env.") in env.params
        return float(as_parameter(name, value)) if whole_parameter else value
    checked = held(field, unnamed(value))
    if isinstance(value, Named):
        return value
    return float(checked) if type(checked) is int and name in traced_fields(config) else checked


def _plain(value: Any) -> Any:
    """A value of Python: numbers, and tuples in place of lists and arrays."""
    if isinstance(value, np.ndarray | jax.Array) and value.ndim:
        value = list(value)
    return tuple(_plain(item) for item in value) if isinstance(value, list | tuple) else plain(value)
