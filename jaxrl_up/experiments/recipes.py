"""Recipes: what an algorithm needs on an environment, and the score it then had.

A recipe is a TOML file. Those of `configs/<algorithm>/<name>.toml` come with the package and go by name, as in
`load_recipe("ppo/pendulum")`; a file of your own goes by its path. Its keys:

    algorithm = "ppo"
    environment = "Pendulum-v1"
    preset = "spinup"   # the fields to start from (default: the algorithm's defaults)
    seeds = 10          # how many it is measured with (default 10)
    bar = -220.0        # the IQM of returns it is held to (default: none)
    note = "for a GPU"  # why it is not measured (default: none)
    wrappers = ["time_limit=100", "frame_stack=2"]  # of the environment, the first applied first (default: none)

    [parameters]        # of the environment
    [evaluation]        # where policies are evaluated, if not there: environment, wrappers, [evaluation.parameters]
    [config]            # fields that differ from the preset; "none" is None
    [expected]          # what was measured: see `Expected`

The tables may be left out. What is your own goes by name here too, as an environment does: `algorithm = "my_algo.py"`,
`network = "my_net.py:Net"`; the recipe is yours, and what it names is imported where it is read.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from jaxrl_up import envs
from jaxrl_up.algorithms import ALGORITHMS, find_algorithm, make_config, own_kinds, own_value
from jaxrl_up.config import as_whole, did_you_mean, is_number, is_own_file, is_own_name, whole
from jaxrl_up.ops import Score
from jaxrl_up.records import EnvironmentSource, Source, expand, from_toml, read_text
from jaxrl_up.types import Algorithm, PyTree

FOLDER = Path(__file__).parents[1] / "configs"
"""Where the recipes are; in a checkout a link to the repository's `configs`."""
SEEDS = 10
"""Seeds of a recipe that names none."""

KEYS = {
    "algorithm": str,
    "environment": str,
    "preset": str,
    "seeds": int,
    "bar": float,
    "note": str,
    "wrappers": tuple,
    "parameters": dict,
    "evaluation": dict,
    "config": dict,
    "expected": dict,
}
EVALUATION_KEYS = {"environment": str, "wrappers": tuple, "parameters": dict}
EXPECTED_KEYS = {"iqm": float, "interval": list, "worst": float, "seeds": int, "env_steps": int, "command": str}
KINDS = {
    str: "text",
    int: "a whole number",
    float: "a number",
    dict: "a table",
    list: "two numbers",
    tuple: "a list of texts",
}


class Expected(NamedTuple):
    """What a recipe was measured to reach: returns of the final policies, every seed counted."""

    score: Score  # over seeds; `iqm` and `interval` in the file
    worst: float  # of the seeds
    seeds: int
    env_steps: int  # of each seed
    command: str  # what measured it


class Recipe(NamedTuple):
    """A recipe, read and checked."""

    name: str  # "ppo/pendulum"
    algo: Algorithm
    env: envs.Env
    config: PyTree
    bar: float | None  # the return that the recipe is held to, if any
    seeds: int  # how many it is measured with
    expected: Expected | None  # None if it has not been measured
    evaluation_env: envs.Env | None = None  # where policies are evaluated, if not in `nominal(env)`


def recipe_names() -> tuple[str, ...]:
    """The names of the recipes that come with the package, in order."""
    return tuple(sorted(f"{path.parent.name}/{path.stem}" for path in FOLDER.glob("*/*.toml")))


def recipe_path(name: str | Path) -> Path:
    """The file of a recipe, given by its name or itself as a path. Raises `ValueError` where there is neither."""
    known, path = recipe_names(), expand(name, "name")
    if path.as_posix() in known:
        return FOLDER / f"{path}.toml"
    if not path.exists():
        raise ValueError(
            f"there is no recipe and no file {str(name)!r}.{did_you_mean(str(name), known)} "
            "`jaxrl-up recipes` lists the recipes"
        )
    return path


def load_recipe(name: str | Path) -> Recipe:
    """Read a recipe, by its name or its path, and check it as a run would.

    Raises `TypeError` for what is no path, `ValueError` for a recipe that does not exist, for unreadable TOML, and for
    a key or value that is not known; `OSError` for a file that cannot be read.
    """
    path = recipe_path(name)
    table, config = _read(path)
    try:
        env = _built(table)
        evaluation_env = _built(table["evaluation"]) if "evaluation" in table else None
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from None
    name = "/".join(path.absolute().with_suffix("").parts[-2:])
    return Recipe(
        name,
        find_algorithm(table["algorithm"]),
        env,
        config,
        table.get("bar"),
        table.get("seeds", SEEDS),
        recipe_expected(table),
        evaluation_env,
    )


def _built(table: Mapping[str, Any]) -> envs.Env:
    """The environment that a recipe, or its table `evaluation`, describes."""
    return envs.wrap(envs.make(table["environment"], **table.get("parameters", {})), table.get("wrappers", []))


def read_recipe(name: str | Path) -> dict[str, Any]:
    """The table of a recipe, all of it checked but its environment; raises as `load_recipe` does."""
    return _read(recipe_path(name))[0]


def _read(path: Path) -> tuple[dict[str, Any], PyTree]:
    """The table of a recipe, and the config that it describes."""
    try:
        table = tomllib.loads(read_text(path))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not readable as TOML: {error}") from None
    try:
        _check(table, KEYS, ("algorithm", "environment"))
        own = is_own_file(table["algorithm"]) or is_own_name(table["algorithm"])
        if not own and table["algorithm"] not in ALGORITHMS:
            known = did_you_mean(table["algorithm"], ALGORITHMS)
            raise ValueError(f"there is no algorithm {table['algorithm']!r}.{known}")
        if "seeds" in table:
            table["seeds"] = whole("seeds", table["seeds"])
        if "expected" in table:
            _check(table["expected"], EXPECTED_KEYS, EXPECTED_KEYS)
        if "evaluation" in table:
            _check(table["evaluation"], EVALUATION_KEYS, ("environment",))
            envs.parse_wrappers(table["evaluation"].get("wrappers", []))
        envs.parse_wrappers(table.get("wrappers", []))
        return table, recipe_config(table)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from None


def recipe_config(table: Mapping[str, Any]) -> PyTree:
    """The config that the table of a recipe describes. Raises `ValueError` for a field or value not allowed."""
    return make_config(table["algorithm"], table.get("preset"), **_fields(table))


def _fields(table: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that a recipe gives; what is the user's own is imported."""
    fields = {name: from_toml(value) for name, value in table.get("config", {}).items()}
    kinds = own_kinds(find_algorithm(table["algorithm"]))
    return {name: own_value(name, x) if name in kinds and is_own_name(x) else x for name, x in fields.items()}


def recipe_expected(table: Mapping[str, Any]) -> Expected | None:
    """What the table of a recipe expects; None if it has not been measured."""
    if "expected" not in table:
        return None
    known: dict[str, Any] = {
        key: as_whole(x) if EXPECTED_KEYS[key] is int else x for key, x in table["expected"].items()
    }
    return Expected(Score(known.pop("iqm"), *known.pop("interval")), **known)


def recipe_source(name: str | Path) -> Source:
    """A recipe, to run it; raises as `load_recipe` does, but does not build its environment."""
    table = read_recipe(name)
    options = {"seeds": table.get("seeds", SEEDS)} | ({"preset": table["preset"]} if "preset" in table else {})
    fields = _fields(table)
    environment, parameters, wrappers = _source(table)
    evaluation = _source(table["evaluation"]) if "evaluation" in table else None
    return Source(table["algorithm"], environment, parameters, fields, options, wrappers, evaluation)


def _source(table: Mapping[str, Any]) -> EnvironmentSource:
    return EnvironmentSource(table["environment"], table.get("parameters", {}), tuple(table.get("wrappers", ())))


def _check(table: Mapping[str, Any], kinds: Mapping[str, type], required: Any) -> None:
    """Raise `ValueError` for a key that is not known or missing, or whose value is of another kind."""
    for key, value in table.items():
        if key not in kinds:
            raise ValueError(f"unknown key {key!r}.{did_you_mean(key, kinds)}")
        if not _is_kind(value, kinds[key]):
            raise ValueError(f"{key}={value!r} must be {KINDS[kinds[key]]}")
    for key in required:
        if key not in table:
            raise ValueError(f"the key {key!r} is missing")


def _is_kind(value: Any, kind: type) -> bool:
    if kind is tuple:
        return isinstance(value, list) and all(isinstance(x, str) for x in value)
    if kind is list:
        return isinstance(value, list) and len(value) == 2 and all(_is_kind(x, float) for x in value)
    if kind is int:
        return as_whole(value) is not None
    if kind is float:
        return is_number(value) and math.isfinite(value)
    return isinstance(value, kind)
