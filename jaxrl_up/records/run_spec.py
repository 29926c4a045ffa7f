"""What was run, read back from its directory."""

from __future__ import annotations

import dataclasses
import re
import shlex
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxrl_up import envs
from jaxrl_up.algorithms import ALGORITHMS, check_order, find_algorithm, make_config, own_kinds, take_config
from jaxrl_up.config import did_you_mean, is_own_name, seed_list
from jaxrl_up.envs import Env
from jaxrl_up.records.description import describe_environment
from jaxrl_up.records.directory import CELLS
from jaxrl_up.records.files import expand, read_text
from jaxrl_up.records.naming import Asked, swept_values
from jaxrl_up.records.own import ENVIRONMENTS, EVALUATED, OWN, NotNamed, near, remembered, variables
from jaxrl_up.records.settings import RECORDED, RunSettings
from jaxrl_up.records.values import Unknown, from_toml, same_but_for_place, toml_value
from jaxrl_up.training import check_grid, played_in, resolve, take_evaluation_env
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
        return played_in(self.env, self.evaluation_env)


def load_run(
    directory: str | Path,
    algo: Algorithm | str | None = None,
    env: Env | str | None = None,
    config: PyTree | None = None,
    evaluation_env: Env | str | None = None,
    own: Mapping[str, Any] | None = None,
) -> RunSpec:
    """Read what was run in a directory (or from its config.toml).

    An algorithm or environment of your own, also one to evaluate in, is not imported because a file says so: give it,
    or its name (`FILE.py:NAME`). So is a network, a head or a policy in a module that the program has not imported:
    `own` has it, its class or its name by field; or give the config. Raises `FileNotFoundError` where there is no run,
    `NotNamed` for what has to be given, and `ValueError` for a config.toml that does not say what to run, or says other
    than what is given or can be built now.
    """
    check_order(algo, env, config)
    algo = None if algo is None else find_algorithm(algo)
    env, evaluation_env = (
        x if x is None or (isinstance(x, str) and envs.own_parts(x)) else envs.find(x) for x in (env, evaluation_env)
    )
    given = None if config is None else lambda algo: take_config(algo, config)
    return _load(directory, algo, env, given, evaluation_env, variables(own))


def load_part(
    directory: str | Path, algo: Algorithm, env: Env, config: PyTree, evaluation_env: Env | None = None
) -> RunSpec:
    """As `load_run`, with an algorithm, environments and config that were checked before."""
    return _load(directory, algo, env, lambda algo: config, evaluation_env, {})


def _load(
    directory: str | Path,
    algo: Algorithm | None,
    env: Env | str | None,
    given: Callable[[Algorithm], PyTree] | None,
    evaluation_env: Env | str | None,
    own: Mapping[str, Any],
) -> RunSpec:
    """See `load_run`; `given` takes the algorithm that the run is of, which may be known from its config.toml only."""
    path, tables = _config_path(directory), read_config(directory)
    try:
        run, fields = dict(tables["run"]), dict(tables["config"])
        name, seeds = run.pop("algorithm"), seed_list(run.pop("seeds"))
        if algo is not None and algo.name != name:
            raise ValueError(f"the run is of {name}, not of {algo.name}")
        if evaluation_env is not None and EVALUATED not in tables:
            raise ValueError("the run has no evaluation environment: leave evaluation_env out")
        swept, unknown = swept_values(tables, own)
        known = ALGORITHMS.get(name) if algo is None else algo
        mine = {field: x for field, x in own.items() if field not in swept}
        values, others = _values(fields, mine, known) if given is None else ({}, [])
        asked_for = [*_unknown_algorithm(name, tables), *others, *unknown, *_unknown_environments(tables)]
        has = {"algo": algo, "env": env, "evaluation_env": evaluation_env}
        _require_named(path, [asked for asked in asked_for if has.get(asked[0]) is None], tables)
        algo = ALGORITHMS[name] if algo is None else algo
        env = _environment(tables["environment"], env)
        if given is None:
            config = make_config(algo, **values)
        else:
            config = given(algo)
            _check_config(config, fields)
        evaluation_env = _environment(tables[EVALUATED], evaluation_env) if EVALUATED in tables else None
        settings = RunSettings(**{key: from_toml(run.pop(key)) for key in RECORDED if key in run})
    except KeyError as error:
        raise ValueError(f"{path}: {error} is missing") from None
    except NotNamed:
        raise
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
        raise FileNotFoundError(_why_no_run(path)) from None
    except IsADirectoryError:
        raise FileNotFoundError(f"{path} is a directory, not a run's config.toml") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not readable as TOML: {error}") from None


def _why_no_run(path: Path) -> str:
    """What is said where a config.toml is not there: the runs of a sweep are in folders of its directory."""
    place, parts = path.parent, sorted(path.parent.glob(f"{CELLS}/*/{path.name}"))
    if not parts:
        return f"{place} holds no run: there is no {path.name}"
    first = shlex.quote(near(parts[0].parent))
    if len(parts) == 1:
        return f"{place} holds a sweep: its run, of all points, is {first}"
    return f"{place} holds a sweep of {len(parts)} runs, of points that share a program: {first} is the first"


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


def run_source(directory: str | Path, own: Mapping[str, Any] | None = None) -> Source:
    """What a run was, to run it again; starts no JAX.

    `own` is as for `load_run`, with the algorithm and environments as "algo", "env" and "evaluation_env": what the
    caller has, also in place of what the run had, of which nothing is asked then. Raises as `load_run` does.
    """
    path, tables, own = _config_path(directory), read_config(directory), own or {}
    try:
        run, sources = dict(tables["run"]), [_environment_source(tables["environment"])]
        if EVALUATED in tables:
            sources.append(_environment_source(tables[EVALUATED]))
        if "grid" in tables:
            raise ValueError(f"{path} is a part of a sweep: repeat the sweep")
        given = {name: x for name, x in own.items() if isinstance(tables["config"].get(name), dict)}
        algo = own["algo"] if "algo" in own else ALGORITHMS.get(run["algorithm"])
        fields, unknown = _values(tables["config"], variables(given), algo)
        asked_for = [*_unknown_algorithm(run["algorithm"], tables), *unknown, *_unknown_environments(tables)]
        _require_named(path, [asked for asked in asked_for if asked[0] not in own], tables)
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


def _values(
    fields: Mapping[str, Any], own: Mapping[str, Any], algo: Algorithm | None
) -> tuple[dict[str, Any], list[Asked]]:
    """The values of config.toml by field, and what of them has to be named. `own` has what the user named.

    A name that someone wrote into a field as text is not imported either. Without an algorithm it stays a text.
    """
    values, asked_for = {}, []
    texts = [name for name in (own_kinds(algo) if algo is not None else ()) if is_own_name(fields.get(name))]
    for name, value in fields.items():
        try:
            if name in texts and name not in own:
                raise Unknown(f"the {name} {value}")
            found = own.get(name) if name in texts else from_toml(value, name, own.get(name))
            values[name] = found() if name in texts and isinstance(found, type) else found
        except Unknown as error:
            asked_for.append((name, str(error)))
    for name in own:
        if not isinstance(fields.get(name), dict) and name not in texts:
            raise ValueError(f"the run has no {name} of your own.{did_you_mean(name, fields)} Leave it out")
    return values, asked_for


def _unknown_algorithm(name: str, tables: Mapping[str, Any]) -> list[Asked]:
    remembers = "algorithm" in tables.get(OWN, {})
    if name in ALGORITHMS and not remembers:
        return []
    meant = "" if remembers else did_you_mean(name, ALGORITHMS).strip()
    return [("algo", f"the algorithm {name!r}{meant and f' ({meant})'}")]


def _unknown_environments(tables: Mapping[str, Any]) -> Iterator[Asked]:
    for argument, table in ENVIRONMENTS.items():
        name, wrappers = (tables[table]["name"], tables[table]["wrappers"]) if table in tables else ("", ())
        if name and (not envs.is_named(name, wrappers) or envs.own_parts(name)):
            yield argument, f"the environment {name!r}" + (f" with {', '.join(wrappers)}" if wrappers else "")


def _require_named(path: Path, asked_for: list[Asked], tables: Mapping[str, Any]) -> None:
    """Raise `NotNamed` unless nothing has to be named."""
    if asked_for:
        missing = {argument: remembered(tables, argument) for argument, _ in asked_for}
        verb = "is" if len(asked_for) == 1 else "are"
        raise NotNamed(f"{path}: {' and '.join(what for _, what in asked_for)} {verb}", missing)


def _environment(table: Mapping[str, Any], given: Env | str | None) -> Env:
    """The environment of a table of config.toml: what is given for it, or built again by its name.

    One of the user's own is built by a name that was given; `_require_named` has seen to that.
    """
    named = envs.is_named(table["name"], table["wrappers"])
    if given is None or (named and given == table["name"]):
        return _built(table["name"], table)
    if not isinstance(given, str) or not is_own_name(given) or "?" in given:
        return envs.find(given)
    stands = envs.own.stands(str(given))
    if _as_recorded(stands) == table or not envs.is_named(str(given), table["wrappers"]):
        return stands
    options = environment_options(table)
    env = envs.own.make(str(given), options.pop("max_steps"), options, bears=table["name"])
    return envs.wrap(env, table["wrappers"])


def _as_recorded(env: Env) -> dict[str, Any]:
    return toml_value(describe_environment(env))["environment"]


def build_environment(name: str, table: Mapping[str, Any], **changes: Any) -> Env:
    """Build the environment of a run again, as its table in config.toml says, with `changes` of options of `envs.make`.

    Raises `ValueError` as `envs.make` and `envs.wrap` do, and for one of the user's own that this program was not told
    to import: the name alone, as a file of a run says it, imports nothing.
    """
    if not envs.was_named(name):
        raise ValueError(f"the environment {name!r} is your own, and is imported only where you name it")
    return _built(name, table, **changes)


def _built(name: str, table: Mapping[str, Any], **changes: Any) -> Env:
    env = envs.make(name, **{**environment_options(table), **changes})
    return envs.wrap(env, table.get("wrappers", ()))


def is_built_by_name(env: Env) -> bool:
    """Whether `build_environment` gives an environment again, as far as config.toml says what it is."""
    table = _as_recorded(env)
    if not envs.is_named(env.name, env.spec.wrappers):
        return False
    try:
        return _as_recorded(build_environment(env.name, table)) == table
    except (ValueError, TypeError):  # another one that has the name of one of the package's
        return False


def environment_options(table: Mapping[str, Any]) -> dict[str, Any]:
    """What `envs.make` needs beside the name to build the environment of a run again, before it is wrapped."""
    static = {key: from_toml(value) for key, value in table.get("static", {}).items() if key not in LIMITS}
    params = {key: from_toml(value) for key, value in table.get("params", {}).items()}
    if "opponent" in {**static, **params}:  # which may be the user's own: it stands in the name, where it is seen
        raise ValueError("an opponent is no parameter of an environment")
    return {"max_steps": from_toml(table["max_steps"]), **static, **params}


def _check_config(config: PyTree, fields: Mapping[str, Any]) -> None:
    """Raise `ValueError` if a config is not what the run has recorded."""
    now = {field.name: toml_value(getattr(config, field.name)) for field in dataclasses.fields(config)}
    for name in {**fields, **now}:
        if not same_but_for_place(fields.get(name), now.get(name)):
            raise ValueError(f"the config is not the run's: {name} was {fields.get(name)} and is {now.get(name)}")


def _check_environment(path: Path, env: Env, then: Mapping[str, Any], what: str = "environment") -> None:
    """Raise `ValueError` if an environment is not what the run has recorded in a table."""
    now = _as_recorded(env)
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
