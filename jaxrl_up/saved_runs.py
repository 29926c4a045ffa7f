"""Runs read back from their directories: what was run, how far it came, and the policies it found."""

from __future__ import annotations

import dataclasses
import shlex
import sys
import tomllib
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import linen as nn

from jaxrl_up import checkpoint, envs, records
from jaxrl_up.algorithms import ALGORITHMS
from jaxrl_up.arguments import seed_list
from jaxrl_up.config import canonical, did_you_mean, find_algorithm, make_config
from jaxrl_up.entries import check_order, take_config
from jaxrl_up.envs import Env
from jaxrl_up.files import expand, read_text
from jaxrl_up.training import Log, Progress, begin, lane_axes
from jaxrl_up.types import Algorithm, Mean, PyTree

SETTINGS = {  # of the table [run], with their values where it does not say
    "num_evals": 20,
    "num_episodes": 16,
    "deterministic": True,
    "max_eval_steps": None,
    "stages": (),
    "preset": None,
}


class SavedRun(NamedTuple):
    """What was run, as its config.toml says."""

    directory: Path
    algo: Algorithm
    env: Env
    config: PyTree
    seeds: tuple[int, ...]
    settings: dict[str, Any]  # how it is evaluated, and what it came from: see `SETTINGS`
    grid: dict[str, np.ndarray]  # swept name -> value [C]; empty for a plain run
    tables: dict[str, Any]  # config.toml itself


class Best(NamedTuple):
    """The best policy of each lane so far, by the mean return of an evaluation."""

    policy: PyTree  # [L, ...]
    returns: Any  # [L]
    env_steps: Any  # int32 [L], when


class Reached(NamedTuple):
    """How far a run has come: what a checkpoint holds, on the host."""

    progress: Progress  # [L, ...]
    logs: tuple[Log, ...]  # of each evaluation so far, [L]
    best: Best
    seconds: float  # of work, compiling included
    train_seconds: float  # of that, training


class Policies(NamedTuple):
    """The policies of a run's newest checkpoint; lanes are seeds, or grid points times seeds."""

    last: PyTree  # [L, ...]
    returns: np.ndarray  # [L], at its last evaluation
    env_steps: int
    best: PyTree  # [L, ...]
    best_returns: np.ndarray  # [L]
    best_steps: np.ndarray  # [L]


def load_run(
    directory: str | Path,
    algo: Algorithm | str | None = None,
    env: Env | str | None = None,
    config: PyTree | None = None,
) -> SavedRun:
    """Read what was run in a directory (or from its config.toml).

    An algorithm or environment of your own cannot be found by its name: give it. A config is needed where a network of
    your own cannot be told by its import path and fields. Raises `FileNotFoundError` where
    there is no run, and `ValueError` for a config.toml that does not say what to run, or says other than what is given
    or can be built now.
    """
    check_order(algo, env, config)
    algo = None if algo is None else find_algorithm(algo)
    env = None if env is None else envs.find(env)
    path, tables = _config_path(directory), read_config(directory)
    try:
        run, fields, given = dict(tables["run"]), dict(tables["config"]), config
        name, seeds = run.pop("algorithm"), seed_list(run.pop("seeds"))
        algo = _algorithm(name) if algo is None else algo
        if algo.name != name:
            raise ValueError(f"the run is of {name}, not of {algo.name}")
        env = _environment(tables["environment"]) if env is None else env
        if given is None:
            config = make_config(algo, **{key: from_toml(value) for key, value in fields.items()})
        else:
            config = take_config(algo, given)
            _check_config(config, fields)
        settings = {key: from_toml(run.pop(key, default)) for key, default in SETTINGS.items()}
        grid = {key: np.asarray(value, np.float32) for key, value in tables.get("grid", {}).items()}
    except KeyError as error:
        raise ValueError(f"{path}: {error} is missing") from None
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: {error}") from None
    if run:
        unknown = next(iter(run))
        raise ValueError(f"{path}: [run] has no {unknown!r}.{did_you_mean(unknown, SETTINGS)}")
    _check_environment(path, env, tables)
    return SavedRun(path.parent, algo, env, config, seeds, settings, grid, tables)


def read_config(directory: str | Path) -> dict[str, Any]:
    """The tables of a run's config.toml; raises as `load_run` does for one that cannot be read."""
    path = _config_path(directory)
    try:
        return tomllib.loads(read_text(path))
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(f"{path.parent} holds no run: there is no {path.name}") from None
    except IsADirectoryError:
        raise FileNotFoundError(f"{path} is a directory, not a run's config.toml") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not readable as TOML: {error}") from None


def run_arguments(directory: str | Path) -> list[str]:
    """A run as arguments of `jaxrl-up train`, which checks them; starts no JAX. Raises as `load_run` does."""
    path, tables = _config_path(directory), read_config(directory)
    try:
        run, environment = tables["run"], tables["environment"]
        if "grid" in tables:
            raise ValueError(f"{path} is a part of a sweep: repeat the sweep")
        if environment["wrappers"] or any(isinstance(value, dict) for value in tables["config"].values()):
            raise ValueError(f"{path} has a network or an environment of your own: repeat the run from Python")
        arguments = [run["algorithm"], f"--env={environment['name']}", f"--seeds={','.join(map(str, run['seeds']))},"]
        arguments += [_option(name, value) for name, value in tables["config"].items()]
        options = environment_options(environment)
        how = {name: run.get(name, SETTINGS[name]) for name in ("num_evals", "num_episodes", "max_eval_steps")}
        deterministic = run.get("deterministic", True)
    except KeyError as error:
        raise ValueError(f"{path}: {error} is missing") from None
    except TypeError as error:
        raise ValueError(f"{path} is not a run's: {error}") from None
    arguments += [f"--env.{name}={_text(value)}" for name, value in options.items() if value is not None]
    arguments += [_option(name, value) for name, value in how.items()]
    return arguments if deterministic else [*arguments, "--stochastic"]


def _option(name: str, value: Any) -> str:
    return f"--{'' if value else 'no-'}{name}" if isinstance(value, bool) else f"--{name}={_text(value)}"


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ",".join(_text(item) for item in value)
    return "none" if value is None else str(value)


def save_reached(run: SavedRun, reached: Reached) -> Path:
    """Write a checkpoint; the one before it stays. Raises `OSError`."""
    log = reached.logs[-1]
    logs = {name: np.stack(values) for name, values in _columns(reached.logs).items()}
    policy = {
        "last": reached.progress.state.policy,
        "returns": np.asarray(log.returns),
        "env_steps": np.asarray(log.env_steps)[0],
        "best": reached.best.policy,
        "best_returns": reached.best.returns,
        "best_steps": reached.best.env_steps,
    }
    about = {
        "run": _plain(run.tables),
        "logs": {name: [*values.shape, values.dtype.name] for name, values in logs.items()},
        "seconds": reached.seconds,
        "train_seconds": reached.train_seconds,
        "devices": [jax.default_backend(), len(jax.local_devices())],
        "keys": str(jax.random.key_impl(reached.progress.evaluation_key)),
    }
    state = {"progress": reached.progress, "logs": logs, "best": reached.best}
    return checkpoint.save(run.directory, int(reached.progress.state.counters.updates), state, policy, about)


def load_reached(run: SavedRun) -> tuple[Reached, list[str]] | None:
    """The newest checkpoint, with what may keep the run from going on bit for bit; None if there is none yet.

    Of a damaged one a warning says what is lost, and the one before is taken. Raises `ValueError`, in one line, where
    all are damaged, and for one that is not of this run as config.toml has it now.
    """
    return _newest(run, partial(_read_reached, run))


def _newest(run: SavedRun, read: Callable[[Path], Any]) -> Any:
    """What `read` makes of the newest checkpoint that is not damaged; None where there is none at all."""
    damage = None
    for place in checkpoint.places(run.directory):
        try:
            found = read(place)
        except checkpoint.Damaged as error:
            damage = damage or error
            continue
        if damage is not None:
            before = f"the checkpoint before it, of {checkpoint.updates_of(place):,} updates"
            warnings.warn(f"{damage}; taken is {before}, and what was trained after that is lost", stacklevel=3)
        return found
    if damage is not None:
        raise ValueError(
            f"{damage}; none before it is whole: remove {run.directory / checkpoint.FOLDER} to begin again"
        )
    return None


def _read_reached(run: SavedRun, place: Path) -> tuple[Reached, list[str]]:
    checkpoint.check(place, "policy")  # the others are checked where they are read
    about = checkpoint.about(place)
    try:
        _check_same(place, about["run"], _plain(run.tables))
        lanes = len(run.seeds) * _points(run.grid)
        progress = _shapes(run, lanes, about.get("keys"))
        like = {
            "progress": progress,
            "logs": {name: jax.ShapeDtypeStruct(shape[:-1], shape[-1]) for name, shape in about["logs"].items()},
            "best": Best(
                progress.state.policy,
                jax.ShapeDtypeStruct((lanes,), "float32"),
                jax.ShapeDtypeStruct((lanes,), "int32"),
            ),
        }
        seconds, train_seconds, devices = about["seconds"], about["train_seconds"], about["devices"]
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(f"{place} is not a checkpoint of a run: {error}") from None
    found = checkpoint.restore(place, "state", like)
    logs = tuple(_log(found["logs"], i) for i in range(len(found["logs"]["returns"])))
    now = [jax.default_backend(), len(jax.local_devices())]
    doubts = []
    if devices != now:
        doubts.append(f"the run was on {devices[1]} {devices[0]} device(s) and goes on with {now[1]} {now[0]}")
    kind = run.tables.get("device", {}).get("kind")
    if kind not in (None, jax.devices()[0].device_kind):
        doubts.append(f"the run was on {kind} and goes on with {jax.devices()[0].device_kind}")
    versions = run.tables.get("versions", {})
    for name, version in records.versions().items():
        if versions.get(name, version) != version:
            doubts.append(f"the run was begun with {name} {versions[name]} and goes on with {version}")
    return Reached(found["progress"], logs, found["best"], seconds, train_seconds), doubts


def load_policies(run: SavedRun | str | Path) -> Policies:
    """The last and the best policies of a run, or of that in a directory.

    Of a damaged checkpoint a warning says what is lost, and the one before is taken. Raises `ValueError` where there is
    no checkpoint, or none that is whole, and what `load_run` raises.
    """
    run = run if isinstance(run, SavedRun) else load_run(run)
    found = _newest(run, partial(_read_policies, run))
    if found is None:
        way = f"jaxrl-up resume {shlex.quote(str(run.directory))}"
        raise ValueError(f"{run.directory} holds no checkpoint yet: finish it with `{way}`")
    return found


def _read_policies(run: SavedRun, place: Path) -> Policies:
    lanes = len(run.seeds) * _points(run.grid)
    policy = _shapes(run, lanes).state.policy
    number, whole = jax.ShapeDtypeStruct((lanes,), "float32"), jax.ShapeDtypeStruct((lanes,), "int32")
    like = {
        "last": policy,
        "returns": number,
        "env_steps": jax.ShapeDtypeStruct((), "int32"),
        "best": policy,
        "best_returns": number,
        "best_steps": whole,
    }
    found = checkpoint.restore(place, "policy", like)
    return Policies(**{**found, "env_steps": int(found["env_steps"])})


def _shapes(run: SavedRun, lanes: int, keys: str | None = None) -> Progress:
    """Shapes and dtypes of the progress of so many lanes, with random keys of a kind (None: the default one)."""
    one = jax.eval_shape(partial(begin, run.algo), run.env, canonical(run.config), jax.random.key(0, impl=keys))

    def batched(axis: int | None, tree: PyTree) -> PyTree:
        lead = () if axis is None else (lanes,)
        return jax.tree.map(lambda x: jax.ShapeDtypeStruct((*lead, *x.shape), x.dtype), tree)

    return jax.tree.map(batched, lane_axes(one), one, is_leaf=lambda x: x is None)


def _points(grid: Mapping[str, np.ndarray]) -> int:
    return len(next(iter(grid.values()))) if grid else 1


def _columns(logs: Sequence[Log]) -> dict[str, list[np.ndarray]]:
    """The leaves of the logs by name: `returns`, `trained/total`, `learned/loss/count`."""
    named = [{"/".join(map(_name, path)): x for path, x in jax.tree.leaves_with_path(log)} for log in logs]
    return {name: [np.asarray(row[name]) for row in named] for name in named[0]}


def _name(entry: Any) -> str:
    return entry.name if isinstance(entry, jax.tree_util.GetAttrKey) else entry.key


def _log(columns: Mapping[str, np.ndarray], evaluation: int) -> Log:
    row: dict[str, Any] = {name: values[evaluation] for name, values in columns.items()}
    for name in [name for name in row if name.endswith("/total")]:
        mean = name.removesuffix("/total")
        row[mean] = Mean(row.pop(name), row.pop(f"{mean}/count"))
    learned = {name.removeprefix("learned/"): row.pop(name) for name in list(row) if name.startswith("learned/")}
    return Log(**row, learned=learned)


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


def _environment(table: Mapping[str, Any]) -> Env:
    name = table["name"]
    if name not in envs.names() or table["wrappers"]:
        what = f"the environment {name!r}" + (f" with {', '.join(table['wrappers'])}" if table["wrappers"] else "")
        raise ValueError(f"{what} is not one that is built by name; give it from Python: resume(directory, env=...)")
    return envs.make(name, **environment_options(table))


def environment_options(table: Mapping[str, Any]) -> dict[str, Any]:
    """What `envs.make` needs beside the name to build the environment of a run again."""
    static = {key: from_toml(value) for key, value in table.get("static", {}).items() if key not in LIMITS}
    params = {key: from_toml(value) for key, value in table.get("params", {}).items()}
    return {"max_steps": from_toml(table["max_steps"]), **static, **params}


def _check_config(config: PyTree, fields: Mapping[str, Any]) -> None:
    """Raise `ValueError` if a config is not what the run has recorded."""
    names = [field.name for field in dataclasses.fields(config)]
    now = tomllib.loads(records.to_toml({"config": {name: getattr(config, name) for name in names}}))["config"]
    for name in {**fields, **now}:
        if fields.get(name) != now.get(name):
            raise ValueError(f"the config is not the run's: {name} was {fields.get(name)} and is {now.get(name)}")


def _check_environment(path: Path, env: Env, tables: Mapping[str, Any]) -> None:
    """Raise `ValueError` if the environment is not what the run has recorded."""
    now = tomllib.loads(records.to_toml(records.describe_environment(env)))["environment"]
    then = tables["environment"]
    for key in {**then, **now}:
        if then.get(key) != now.get(key):
            was, is_now = then.get(key), now.get(key)
            if isinstance(was, dict) and isinstance(is_now, dict):
                key = next(k for k in {**was, **is_now} if was.get(k) != is_now.get(k))
                was, is_now = was.get(key), is_now.get(key)
            raise ValueError(f"{path}: the environment has changed: {key} was {was} and is {is_now}")


def _check_same(place: Path, then: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raise `ValueError` if a checkpoint is of another run; a longer total is the same run."""
    longer = then.get("run", {}).get("stages") != now.get("run", {}).get("stages")
    for table in ("run", "config", "environment", "grid"):
        was, is_now = then.get(table, {}), now.get(table, {})
        for key in {**was, **is_now}:
            if not (longer and key in MAY_CHANGE) and was.get(key) != is_now.get(key):
                raise ValueError(
                    f"{place} was written with {key}={was.get(key)}, but config.toml says {is_now.get(key)}"
                )


LIMITS = ("max_steps_in_episode",)  # gymnax's names for the time limit
MAY_CHANGE = ("total_steps", "schedule_steps", "num_evals", "stages")  # by a run that is made longer


def _plain(tables: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tables[name] for name in ("run", "config", "environment", "grid") if name in tables}


def from_toml(value: Any) -> Any:
    """A value of config.toml: "none" is None, a list a tuple, and a table with an import path a linen module."""
    if isinstance(value, list):
        return tuple(from_toml(item) for item in value)
    if isinstance(value, dict) and "import" in value:
        return _module(value)
    return None if value == "none" else value


def _module(table: Mapping[str, Any]) -> nn.Module:
    """A network from its import path and fields. Only what the program has imported is looked at; nothing is run."""
    path = str(table["import"])
    module, _, name = path.partition(":")
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise ValueError(f"the network {path} is not known here: import {module} first, from Python")
    known = {field.name for field in dataclasses.fields(found)}
    fields = {key: from_toml(value) for key, value in table.get("fields", {}).items()}
    for key in fields:
        if key not in known:
            raise ValueError(f"the network {path} has no field {key!r}")
    return found(**fields)
