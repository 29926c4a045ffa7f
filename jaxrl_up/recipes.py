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
    """Read a recipe.

    Keys: `algorithm`, `environment`, and optionally `preset`, `bar`, `seeds`, and the tables `[config]` (only what
    differs from the defaults) and `[parameters]` (of the environment). Raises `ValueError` for unreadable
    TOML and for a key or value that is not known, `FileNotFoundError` for a missing file.
    """
    path = Path(path)
    try:
        table: dict[str, Any] = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not readable as TOML: {error}") from None
    for key in table:
        if key not in KEYS:
            raise ValueError(f"{path}: unknown key {key!r}.{did_you_mean(key, KEYS)}")
    for key in ("algorithm", "environment"):
        if key not in table:
            raise ValueError(f"{path}: the key {key!r} is missing")
    name = table["algorithm"]
    if name not in ALGORITHMS:
        raise ValueError(f"{path}: there is no algorithm {name!r}.{did_you_mean(name, ALGORITHMS)}")
    config = {k: tuple(v) if isinstance(v, list) else v for k, v in table.get("config", {}).items()}
    return Recipe(
        f"{path.parent.name}/{path.stem}",
        ALGORITHMS[name],
        envs.make(table["environment"], **table.get("parameters", {})),
        make_config(ALGORITHMS[name], table.get("preset"), **config),
        table.get("bar"),
        table.get("seeds", 10),
    )
