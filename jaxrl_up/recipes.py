"""Recipes: what an algorithm needs on an environment, as a TOML file in `configs/<algorithm>/<environment>.toml`."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, NamedTuple

from jaxrl_up import envs
from jaxrl_up.algorithms import ALGORITHMS
from jaxrl_up.config import did_you_mean, make_config
from jaxrl_up.types import Algorithm, PyTree


class Recipe(NamedTuple):
    """A recipe, read and checked."""

    name: str  # "ppo/pendulum"
    algo: Algorithm
    env: envs.Env
    config: PyTree
    bar: float | None  # the return that the recipe is held to, if any
    seeds: int  # how many it is measured with


KEYS = {"algorithm", "environment", "preset", "parameters", "config", "bar", "seeds"}


def load_recipe(path: str | Path) -> Recipe:
    """Read a recipe file and check it as a run would.

    Keys: `algorithm`, `environment`, and optionally `preset`, `bar`, `seeds`, and the tables `[config]` (only what
    differs from the defaults; "none" is None) and `[parameters]` (of the environment). Raises `ValueError` for
    unreadable TOML and for a key or value that is not known, `OSError` for a file that cannot be read.
    """
    path, table = Path(path), read_recipe(path)
    config = {k: tuple(v) if isinstance(v, list) else v for k, v in table.get("config", {}).items()}
    algo = ALGORITHMS[table["algorithm"]]
    try:
        env = envs.make(table["environment"], **table.get("parameters", {}))
        config = make_config(algo, table.get("preset"), **{k: None if v == "none" else v for k, v in config.items()})
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return Recipe(f"{path.parent.name}/{path.stem}", algo, env, config, table.get("bar"), table.get("seeds", 10))


def read_recipe(path: str | Path) -> dict[str, Any]:
    """The table of a recipe file, its keys checked but not its values; raises as `load_recipe` does."""
    try:
        table: dict[str, Any] = tomllib.loads(Path(path).read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not readable as TOML: {error}") from None
    for key in table:
        if key not in KEYS:
            raise ValueError(f"{path}: unknown key {key!r}.{did_you_mean(key, KEYS)}")
    for key in ("algorithm", "environment"):
        if key not in table:
            raise ValueError(f"{path}: the key {key!r} is missing")
    if table["algorithm"] not in ALGORITHMS:
        name = table["algorithm"]
        raise ValueError(f"{path}: there is no algorithm {name!r}.{did_you_mean(str(name), ALGORITHMS)}")
    return table


def recipe_arguments(path: str | Path) -> list[str]:
    """A recipe as arguments of `jaxrl-up train`; raises as `load_recipe` does."""
    table = read_recipe(path)
    arguments = [table["algorithm"], f"--env={table['environment']}"]
    if "preset" in table:
        arguments.append(f"--preset={table['preset']}")
    for name, value in table.get("config", {}).items():
        if isinstance(value, bool):
            arguments.append(f"--{name}" if value else f"--no-{name}")
        else:
            text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
            arguments.append(f"--{name}={text}")
    return arguments + [f"--env.{name}={value}" for name, value in table.get("parameters", {}).items()]
