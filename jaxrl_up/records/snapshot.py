"""How far a run has come: what its checkpoints hold, written and read."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxrl_up.config import canonical
from jaxrl_up.records import checkpoint, processes
from jaxrl_up.records.description import versions
from jaxrl_up.records.own import EVALUATED, command, own_options
from jaxrl_up.records.run_spec import RunSpec, load_run
from jaxrl_up.training import Log, Progress, begin, lane_axes
from jaxrl_up.types import Mean, PyTree


class Best(NamedTuple):
    """The best policy of each lane so far, by the mean return of an evaluation."""

    policy: PyTree  # [L, ...]
    returns: Any  # [L]
    env_steps: Any  # int32 [L], when


class Snapshot(NamedTuple):
    """How far a run has come: as a checkpoint holds it on the host, or on the devices with lanes that fill these up."""

    progress: Progress  # [L, ...]; on the devices [width, ...]
    logs: tuple[Log, ...]  # of each evaluation so far, [L], on the host
    best: Best | None  # its policy where the progress is, the rest on the host; None for a run that is not kept
    seconds: float  # of work, compiling included
    train_seconds: float  # of that, training

    @property
    def on_host(self) -> bool:
        """Whether it is as a checkpoint holds it."""
        return isinstance(self.progress.failed_at, np.ndarray)


class Policies(NamedTuple):
    """The policies of a run's newest checkpoint; lanes are seeds, or grid points times seeds."""

    last: PyTree  # [L, ...]
    returns: np.ndarray  # [L], at its last evaluation
    env_steps: int
    best: PyTree  # [L, ...]
    best_returns: np.ndarray  # [L]
    best_steps: np.ndarray  # [L]


def save_snapshot(run: RunSpec, reached: Snapshot) -> Path:
    """Write a checkpoint; the one before it stays. Raises `OSError`."""
    assert reached.best is not None, "only what is kept is saved"
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
        "devices": _devices(),
        "keys": str(jax.random.key_impl(reached.progress.evaluation_key)),
    }
    state = {"progress": reached.progress, "logs": logs, "best": reached.best}
    return checkpoint.save(run.directory, int(reached.progress.state.counters.updates), state, policy, about)


def load_snapshot(run: RunSpec) -> tuple[Snapshot, list[str]] | None:
    """The newest checkpoint, with what may keep the run from going on bit for bit; None if there is none yet.

    Of a damaged one a warning says what is lost, and the one before is taken. Raises `ValueError`, in one line, where
    all are damaged, and for one that is not of this run as config.toml has it now.
    """
    return _newest(run, partial(_read_snapshot, run))


def _newest(run: RunSpec, read: Callable[[Path], Any]) -> Any:
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


def _read_snapshot(run: RunSpec, place: Path) -> tuple[Snapshot, list[str]]:
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
    doubts = []
    if devices != (now := _devices()):
        (was, number, *several), (now_is, now_number, *now_several) = devices, now
        then = f"{number} {was} device(s){_several(several)}"
        doubts.append(f"the run was on {then} and goes on with {now_number} {now_is}{_several(now_several)}")
    kind, here = run.tables.get("device", {}).get("kind"), jax.local_devices()[0].device_kind
    if kind not in (None, here):
        doubts.append(f"the run was on {kind} and goes on with {here}")
    then = run.tables.get("versions", {})
    for name, version in versions(run.env, run.evaluation_env).items():
        if then.get(name, version) != version:
            doubts.append(f"the run was begun with {name} {then[name]} and goes on with {version}")
    doubts = [f"{doubt}: equal up to rounding, not bit for bit" for doubt in doubts]
    if run.env.spec.tokens:
        doubts.append(
            f"{run.env.name}: its simulators ended with their process, so all environments begin a new episode: what "
            "was learned is as it was, what follows is not bit for bit"
        )
    return Snapshot(found["progress"], logs, found["best"], seconds, train_seconds), doubts


def _devices() -> list[Any]:
    """The backend, the devices of all processes, and where there are several how many."""
    number = processes.place().processes
    return [jax.default_backend(), len(jax.local_devices()) * number, *[number] * (number > 1)]


def _several(number: Sequence[int]) -> str:
    return f" in {number[0]} processes" if number else ""


def load_policies(run: RunSpec | str | Path) -> Policies:
    """The last and the best policies of a run, or of that in a directory.

    Of a damaged checkpoint a warning says what is lost, and the one before is taken. Raises `ValueError` where there is
    no checkpoint, or none that is whole, and what `load_run` raises.
    """
    run = run if isinstance(run, RunSpec) else load_run(run)
    found = _newest(run, partial(_read_policies, run))
    if found is None:
        way = command("resume", run.directory, *own_options(run.tables))
        raise ValueError(f"{run.directory} holds no checkpoint yet: finish it with `{way}`")
    return found


def _read_policies(run: RunSpec, place: Path) -> Policies:
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


def _shapes(run: RunSpec, lanes: int, keys: str | None = None) -> Progress:
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


def _check_same(place: Path, then: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raise `ValueError` if a checkpoint is of another run; a longer total is the same run."""
    longer = then.get("run", {}).get("stages") != now.get("run", {}).get("stages")
    for table in SAME:
        was, is_now = then.get(table, {}), now.get(table, {})
        for key in {**was, **is_now}:
            if not (longer and key in MAY_CHANGE) and was.get(key) != is_now.get(key):
                raise ValueError(
                    f"{place} was written with {key}={was.get(key)}, but config.toml says {is_now.get(key)}"
                )


SAME = ("run", "config", "environment", EVALUATED, "grid")  # tables that a checkpoint belongs to
MAY_CHANGE = ("total_steps", "schedule_steps", "num_evals", "stages")  # by a run that is made longer


def _plain(tables: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tables[name] for name in SAME if name in tables}
