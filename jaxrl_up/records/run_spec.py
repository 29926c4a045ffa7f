"""What was run, read back from its directory."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxrl_up import envs
from jaxrl_up.algorithms import ALGORITHMS, check_order, find_algorithm, make_config, take_config
from jaxrl_up.config import did_you_mean, seed_list
from jaxrl_up.envs import Env, nominal
from jaxrl_up.records.description import EVALUATED, describe_environment
from jaxrl_up.records.files import expand, read_text
from jaxrl_up.records.settings import RECORDED, RunSettings
from jaxrl_up.records.values import from_toml, toml_value
from jaxrl_up.training import check_grid, resolve, take_evaluation_env
from jaxrl_up.types import Algorithm, PyTree


class RunSpec(NamedTuple):
    """What was run, as its config.toml says."""

    directory: Any  # its path, absolute; None for a run that is not kept
    algo: Algorithm
    env: Env
    config: PyTree
    seeds: tuple[int, ...]
    settings: RunSettings
    grid: dict[str, np.ndarray]  # swept name -> value [C]; empty for a plain run
    tables: dict[str, Any]  # config.toml itself
    evaluation_env: Env | None = None  # where policies are evaluated, if not in `nominal(env)`

    @property
    def played_env(self) -> Env:
        """What its evaluations play: what reproduces the scores of progress.csv, before swept parameters."""
        return nominal(self.env) if self.evaluation_env is None else self.evaluation_env


def load_run(
    directory: str | Path,
    algo: Algorithm | str | None = None,
    env: Env | str | None = None,
    config: PyTree | None = None,
    evaluation_env: Env | str | None = None,
) -> RunSpec:
    """Read what was run in a directory (or from its config.toml).

    An algorithm or environment of your own, also one to evaluate in, cannot be found by its name: give it. A config is
    needed where a network of your own cannot be told by its import path and fields. Raises `FileNotFoundError` where
    there is no run, and `ValueError` for a config.toml that does not say what to run, or says other than what is given
    or can be built now.
    """
    check_order(algo, env, config)
    algo = None if algo is None else find_algorithm(algo)
    env = None if env is None else envs.find(env)
    given = None if config is None else lambda algo: take_config(algo, config)
    return _load(directory, algo, env, given, None if evaluation_env is None else envs.find(evaluation_env))


def load_part(
    directory: str | Path, algo: Algorithm, env: Env, config: PyTree, evaluation_env: Env | None = None
) -> RunSpec:
    """As `load_run`, with an algorithm, environments and config that were checked before."""
    return _load(directory, algo, env, lambda algo: config, evaluation_env)


def _load(
    directory: str | Path,
    algo: Algorithm | None,
    env: Env | None,
    given: Callable[[Algorithm], PyTree] | None,
    evaluation_env: Env | None,
) -> RunSpec:
    """See `load_run`; `given` takes the algorithm that the run is of, which may be known from its config.toml only."""
    path, tables = _config_path(directory), read_config(directory)
    try:
        run, fields = dict(tables["run"]), dict(tables["config"])
        name, seeds = run.pop("algorithm"), seed_list(run.pop("seeds"))
        algo = _algorithm(name) if algo is None else algo
        if algo.name != name:
            raise ValueError(f"the run is of {name}, not of {algo.name}")
        env = _environment(tables["environment"]) if env is None else env
        if given is None:
            config = make_config(algo, **{key: from_toml(value, key) for key, value in fields.items()})
        else:
            config = given(algo)
            _check_config(config, fields)
        evaluation_env = _evaluation_env(tables.get(EVALUATED), evaluation_env)
        settings = RunSettings(**{key: from_toml(run.pop(key)) for key in RECORDED if key in run})
    except KeyError as error:
        raise ValueError(f"{path}: {error} is missing") from None
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: {error}") from None
    if run:
        unknown = next(iter(run))
        raise ValueError(f"{path}: [run] has no {unknown!r}.{did_you_mean(unknown, RECORDED)}")
    _check_environment(path, env, tables["environment"])
    if evaluation_env is not None:
        _check_environment(path, evaluation_env, tables[EVALUATED], "evaluation environment")
        try:
            take_evaluation_env(algo, env, config, evaluation_env)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
    grid = _grid(path, env, config, tables.get("grid", {}))
    return RunSpec(path.parent, algo, env, config, seeds, settings, grid, tables, evaluation_env)


def _grid(path: Path, env: Env, config: PyTree, table: Any) -> dict[str, np.ndarray]:
    """The swept values of a part of a sweep, `[C]` each; ValueError for those that a sweep would refuse."""
    try:
        if table:
            check_grid(env, config, resolve(env, config, table))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: in [grid], {error}") from None
    return {name: np.asarray(values, np.float32) for name, values in table.items()}


def read_config(directory: str | Path, missing_ok: bool = False) -> dict[str, Any]:
    """The tables of a run's config.toml; raises as `load_run` does for one that cannot be read.

    With `missing_ok` a run without one has no tables.
    """
    path = _config_path(directory)
    if missing_ok and not path.exists():
        return {}
    try:
        return tomllib.loads(read_text(path))
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(f"{path.parent} holds no run: there is no {path.name}") from None
    except IsADirectoryError:
        raise FileNotFoundError(f"{path} is a directory, not a run's config.toml") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not readable as TOML: {error}") from None


class EnvironmentSource(NamedTuple):
    """An environment as a recipe or a config.toml says it, before it is built."""

    environment: str
    parameters: dict[str, Any]
    wrappers: tuple[str, ...]  # as `envs.wrap` takes them


class Source(NamedTuple):
    """A run as a recipe or the config.toml of another one says it, before anything of it is built."""

    algorithm: str
    environment: str
    parameters: dict[str, Any]  # of the environment
    fields: dict[str, Any]  # of the config
    options: dict[str, Any]  # of `run`: seeds, preset, num_evals, ...
    wrappers: tuple[str, ...] = ()  # as `envs.wrap` takes them
    evaluation: EnvironmentSource | None = None  # where policies are evaluated, if that is said


def run_source(directory: str | Path) -> Source:
    """What a run was, to run it again; starts no JAX. Raises as `load_run` does."""
    path, tables = _config_path(directory), read_config(directory)
    try:
        run, sources = dict(tables["run"]), [_environment_source(tables["environment"])]
        if EVALUATED in tables:
            sources.append(_environment_source(tables[EVALUATED]))
        if "grid" in tables:
            raise ValueError(f"{path} is a part of a sweep: repeat the sweep")
        named = all(envs.is_named(source.environment, source.wrappers) for source in sources)
        if not named or any(isinstance(value, dict) for value in tables["config"].values()):
            raise ValueError(
                f"{path} has a network, a policy or an environment of your own: repeat the run from Python"
            )
        fields = {key: from_toml(value) for key, value in tables["config"].items()}
        options = {key: from_toml(run[key]) for key in RECORDED if key in run and key not in ("stages", "preset")}
        options = {"seeds": tuple(run["seeds"])} | options
        (name, parameters, wrappers), *evaluated = sources
        evaluation = evaluated[0] if evaluated else None
        return Source(run["algorithm"], name, parameters, fields, options, wrappers, evaluation)
    except KeyError as error:
        raise ValueError(f"{path}: {error} is missing") from None
    except TypeError as error:
        raise ValueError(f"{path} is not a run's: {error}") from None


def _environment_source(table: Mapping[str, Any]) -> EnvironmentSource:
    parameters = {key: x for key, x in environment_options(table).items() if x is not None}
    return EnvironmentSource(table["name"], parameters, tuple(table["wrappers"]))


def _config_path(directory: str | Path) -> Path:
    path = expand(directory, "directory").absolute()
    return path if path.suffix == ".toml" and not path.is_dir() else path / "config.toml"


def _algorithm(name: str) -> Algorithm:
    if name not in ALGORITHMS:
        raise ValueError(
            f"there is no algorithm {name!r}.{did_you_mean(name, ALGORITHMS)} Give one of your own from Python: "
            "resume(directory, algo=...)"
        )
    return ALGORITHMS[name]


def _evaluation_env(table: Mapping[str, Any] | None, given: Env | None) -> Env | None:
    """The environment to evaluate in as config.toml says, or what is given for it."""
    if table is None and given is not None:
        raise ValueError("the run has no evaluation environment: leave evaluation_env out")
    return _environment(table, "evaluation_env") if given is None and table is not None else given


def _environment(table: Mapping[str, Any], argument: str = "env") -> Env:
    name = table["name"]
    if not envs.is_named(name, table["wrappers"]):
        what = f"the environment {name!r}" + (f" with {', '.join(table['wrappers'])}" if table["wrappers"] else "")
        raise ValueError(
            f"{what} is not one that is built by name; give it from Python: resume(directory, {argument}=...)"
        )
    return build_environment(name, table)


def build_environment(name: str, table: Mapping[str, Any], **changes: Any) -> Env:
    """Build the environment of a run again, as its table in config.toml says, with `changes` of options of `envs.make`.

    Raises `ValueError` as `envs.make` and `envs.wrap` do.
    """
    env = envs.make(name, **{**environment_options(table), **changes})
    return envs.wrap(env, table.get("wrappers", ()))


def is_built_by_name(env: Env) -> bool:
    """Whether `build_environment` gives an environment again, as far as config.toml says what it is."""
    table = toml_value(describe_environment(env))["environment"]
    if not envs.is_named(env.name, env.spec.wrappers):
        return False
    try:
        return toml_value(describe_environment(build_environment(env.name, table)))["environment"] == table
    except (ValueError, TypeError):  # another one that has the name of one of the package's
        return False


def environment_options(table: Mapping[str, Any]) -> dict[str, Any]:
    """What `envs.make` needs beside the name to build the environment of a run again, before it is wrapped."""
    static = {key: from_toml(value) for key, value in table.get("static", {}).items() if key not in LIMITS}
    params = {key: from_toml(value) for key, value in table.get("params", {}).items()}
    return {"max_steps": from_toml(table["max_steps"]), **static, **params}


def _check_config(config: PyTree, fields: Mapping[str, Any]) -> None:
    """Raise `ValueError` if a config is not what the run has recorded."""
    now = {field.name: toml_value(getattr(config, field.name)) for field in dataclasses.fields(config)}
    for name in {**fields, **now}:
        if fields.get(name) != now.get(name):
            raise ValueError(f"the config is not the run's: {name} was {fields.get(name)} and is {now.get(name)}")


def _check_environment(path: Path, env: Env, then: Mapping[str, Any], what: str = "environment") -> None:
    """Raise `ValueError` if an environment is not what the run has recorded in a table."""
    now = toml_value(describe_environment(env))["environment"]
    if then.get("wrappers") == [_with_six_digits(text) for text in now["wrappers"]]:
        now["wrappers"] = then["wrappers"]
    for key in {**then, **now}:
        if then.get(key) != now.get(key):
            was, is_now = then.get(key), now.get(key)
            if isinstance(was, dict) and isinstance(is_now, dict):
                key = next(k for k in {**was, **is_now} if was.get(k) != is_now.get(k))
                was, is_now = was.get(key), is_now.get(key)
            raise ValueError(f"{path}: the {what} has changed: {key} was {was} and is {is_now}")


def _with_six_digits(wrapper: str) -> str:
    """A wrapper as runs recorded it that kept no more of its numbers."""
    return re.sub(r"-?\d+\.\d+(e[-+]\d+)?", lambda number: f"{float(number[0]):g}", wrapper)


LIMITS = ("max_steps_in_episode",)
"""gymnax's names for the time limit."""
