"""A run on disk: config.toml, progress.csv, timing.csv, checkpoints, curve.png and report.html in one directory.

progress.csv is tidy, one row per seed and evaluation, and holds nothing that depends on the clock, so that equal
runs write equal bytes. Its columns, in this order (in a sweep the swept names come first):

    seed            the seed
    env_steps       environment steps of this seed so far
    updates         updates so far
    return          mean undiscounted return of the evaluation's episodes
    return_std      its standard deviation over the episodes
    length          their mean length, environment steps
    unfinished      how many met the step cap, counted with the return until then
    distinct        how many differ from one another in an action or a reward
    train_return    mean return of the training episodes that ended since the last row; nan if none did
    train_episodes  how many did
    failed_at       the update whose loss or learner was not finite; -1 for none
    ...             the algorithm's losses, by name, as means over the gradient steps since the last row that were
                    made; empty if none was, as before learning starts and after a seed failed

timing.csv holds what does: `event,env_steps,seconds`. An `evaluation` row says how many seconds of work the run had
taken until then (compilation included, pauses between processes not), a `resume` row the same where a later process
took over; `compile`, `checkpoint` and `train` rows say how long that took.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import numpy as np

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

from jaxrl_up import checkpoint
from jaxrl_up._version import __version__
from jaxrl_up.envs import Env
from jaxrl_up.files import LONGEST, clear_parts, expand, flush, make_directory, read_text, table_text, write_atomically
from jaxrl_up.training import Log
from jaxrl_up.types import Algorithm, PyTree

FILES = ("config.toml", "progress.csv", "timing.csv", "curve.png", "report.html", checkpoint.FOLDER)
RUNS = Path("runs")  # where a run or a sweep goes that is given no directory
SWEEP = "sweep.toml"  # the sign of a sweep
SINKS = ("tensorboard", "wandb")  # folders of sinks: replaced with a run, but no sign of one
TIMING = "event,env_steps,seconds"
COLUMNS = (
    "seed",
    "env_steps",
    "updates",
    "return",
    "return_std",
    "length",
    "unfinished",
    "distinct",
    "train_return",
    "train_episodes",
    "failed_at",
)


def create(directory: str | Path, tables: Mapping[str, Mapping[str, Any]], force: bool = False) -> None:
    """Make a run's directory with its config.toml; with `force` a run that was there is removed.

    Raises `FileExistsError` for a directory that holds a run, and `OSError` for one that cannot be written.
    """
    directory = expand(directory)
    check_directory(directory, force)
    try:
        make_directory(directory)
        held = force and (directory / "config.toml").exists()  # removed last: until then the next --force knows it
        for name in reversed((*FILES, *(SINKS if held else ()))) if force else ():
            path = directory / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        write_atomically(directory / "config.toml", to_toml(tables), replace=False)
    except FileExistsError:
        raise FileExistsError(f"{directory} already holds a run; choose another directory") from None
    except OSError as error:
        raise OSError(f"cannot write a run to {directory}: {error.strerror or error}") from error


def reserve(place: str | Path) -> Path:
    """Make a directory at `place`, or at `place-2`, `place-3`, ... where there is one already. Raises `OSError`."""
    number = 1
    while True:
        directory = expand(place if number == 1 else f"{place}-{number}")
        try:
            directory.mkdir(parents=True)
        except FileExistsError:
            number += 1
        except OSError as error:
            raise OSError(f"cannot write a run to {directory}: {error.strerror}") from error
        else:
            return directory


class Recorder:
    """Writes the tables of a run while it trains: progress.csv and timing.csv.

    `seeds [L]` and `axes`, name -> value `[L]`, say which lane of a log is what.
    """

    def __init__(
        self,
        directory: str | Path,
        seeds: Sequence[int],
        steps_per_update: int,
        axes: Mapping[str, Sequence[Any]] | None = None,
    ) -> None:
        self.directory, self.steps_per_update = Path(directory), steps_per_update
        self.labels = {**(axes or {}), "seed": seeds}

    def begin(self, logs: Sequence[Log] = (), seconds: float = 0.0) -> None:
        """Start the tables, or leave in them what `logs`, each `[L]`, hold: later rows are of a process that ended."""
        clear_parts(self.directory)
        if not logs:
            (self.directory / "progress.csv").unlink(missing_ok=True)
            write_atomically(self.directory / "timing.csv", TIMING + "\n")
            return
        rows = "".join(self._rows(log) for log in logs)
        write_atomically(self.directory / "progress.csv", self._header(logs[0]) + rows)
        steps, timing = int(logs[-1].env_steps[0]), self.directory / "timing.csv"
        lines = read_text(timing).splitlines()[1:] if timing.exists() else []
        whole = [line for line in lines if re.fullmatch(r"\w+,\d+,\d+\.\d+", line)]
        kept = [line for line in whole if int(line.split(",")[1]) <= steps]
        write_atomically(timing, "\n".join([TIMING, *kept]) + "\n")
        self.time("resume", steps, seconds)

    def append(self, log: Log, seconds: float) -> None:
        """Add one evaluation, `log [L]`, as whole rows, reached after so many seconds of work."""
        path = self.directory / "progress.csv"
        _append(path, ("" if path.exists() else self._header(log)) + self._rows(log))
        self.time("evaluation", int(log.env_steps[0]), seconds)

    def time(self, event: str, env_steps: int, seconds: float) -> None:
        """Add a row to timing.csv."""
        _append(self.directory / "timing.csv", f"{event},{env_steps},{seconds:.3f}\n")

    def flush(self) -> None:
        """Return when the tables are on the disk."""
        for path in (self.directory / "progress.csv", self.directory / "timing.csv", self.directory):
            flush(path)

    def _header(self, log: Log) -> str:
        return table_text([*self.labels, *COLUMNS[1:], *sorted(log.learned)], [])

    def _rows(self, log: Log) -> str:
        steps = np.asarray(log.env_steps)
        columns = [
            *self.labels.values(),
            steps,
            steps // self.steps_per_update,
            log.returns,
            log.returns_std,
            log.lengths,
            log.unfinished,
            log.distinct,
            log.train_returns,
            log.train_episodes,
            log.failed_at,
        ]
        cells = [[number(value) for value in np.asarray(column)] for column in columns]
        for _, mean in sorted(log.learned.items()):
            cells.append([number(x) if count else "" for x, count in zip(mean.value, mean.count, strict=True)])
        return "".join(",".join(row) + "\n" for row in zip(*cells, strict=True))


@contextmanager
def alone(directory: str | Path) -> Iterator[None]:
    """Within, no other process trains in a directory; a kill frees it. Raises `ValueError` where one does."""
    if fcntl is None:  # no such locks on this system
        yield
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"{directory} is being trained by another process") from None
        except OSError:  # a file system without locks
            pass
        yield
    finally:
        os.close(descriptor)


def _append(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8", newline="\n") as file:
        file.write(text)


def check_directory(directory: str | Path, force: bool = False) -> None:
    """Raise `FileExistsError` for a directory that holds a run, `OSError` for what cannot become one.

    With `force`, a run that is there may be replaced.
    """
    directory = expand(directory)
    if len(os.fsencode(directory.absolute())) > LONGEST:
        raise OSError(f"cannot write a run to {directory}: the path is longer than {LONGEST} bytes")
    for part in (directory, *directory.parents):
        if part.exists() and not part.is_dir():
            raise NotADirectoryError(f"cannot write a run to {directory}: {part} is not a directory")
        if part.exists():
            if not os.access(part, os.W_OK | os.X_OK):
                raise PermissionError(f"cannot write a run to {directory}: no right to write in {part}")
            break
    if (directory / SWEEP).exists():
        raise FileExistsError(f"{directory} already holds a sweep ({SWEEP}); choose another directory")
    for name in FILES:
        if (directory / name).exists() and not force:
            raise FileExistsError(
                f"{directory} already holds a run ({name}); choose another directory, or replace it with --force"
            )


def read_progress(directory: str | Path) -> dict[str, np.ndarray]:
    """The columns of a run's progress.csv, each `[S, E]` in the order of writing; an empty cell is NaN.

    A last evaluation that was not written for every seed is left out. Raises `FileNotFoundError` if there is no
    progress.csv and `ValueError` if it holds no evaluation.
    """
    path = expand(directory) / "progress.csv"
    if not path.exists():
        raise FileNotFoundError(f"{directory} holds no run: there is no progress.csv")
    text = read_text(path)
    whole = text[: text.rfind("\n") + 1]  # without a torn last line
    names, *rows = [*csv.reader(io.StringIO(whole))] or [[]]
    rows = [row for row in rows if len(row) == len(names)]
    steps = names.index("env_steps") if "env_steps" in names else 0
    num_seeds = next((i for i, row in enumerate(rows) if row[steps] != rows[0][steps]), len(rows))
    num_evals = len(rows) // num_seeds if num_seeds else 0
    if num_evals == 0:
        raise ValueError(f"{path} holds no evaluation")
    cells = [[cell or "nan" for cell in row] for row in rows[: num_evals * num_seeds]]
    table = np.array(cells, np.float64).reshape(num_evals, num_seeds, len(names))
    return {name: table[:, :, i].T for i, name in enumerate(names)}


def is_part(directory: str | Path) -> bool:
    """Whether a run is a part of a sweep, which is resumed as a whole."""
    return (expand(directory).absolute().parent.parent / SWEEP).is_file()


def number(value: Any) -> str:
    """The shortest text that reads back as the same number."""
    return str(value.item() if isinstance(value, np.integer | np.bool_) else value)


def describe(
    algo: Algorithm,
    env: Env,
    config: PyTree,
    seeds: Sequence[int],
    settings: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Everything that is needed to repeat a run, as nested dictionaries (tables of config.toml)."""
    return {
        "run": {"algorithm": algo.name, "seeds": list(seeds), **(settings or {})},
        "config": {name: getattr(config, name) for name in config.__dataclass_fields__},
        **describe_environment(env),
        "versions": versions(),
        "code": {"commit": commit()},
        "device": {
            "kind": jax.devices()[0].device_kind,
            "platform": jax.default_backend(),
            "count": len(jax.devices()),
        },
    }


def describe_environment(env: Env) -> dict[str, Any]:
    """The tables of config.toml that say what the environment is."""
    return {
        "environment": {
            "name": env.name,
            "max_steps": env.max_steps,
            "wrappers": list(env.spec.wrappers),
            "observation_space": str(env.observation_space),
            "action_space": str(env.action_space),
        },
        "environment.params": dict(env.params) if isinstance(env.params, dict) else {"repr": repr(env.params)},
        "environment.static": dict(env.spec.fixed),
    }


def versions() -> dict[str, str]:
    """Versions of what the numbers of a run depend on."""
    names = ("jax", "jaxlib", "flax", "optax", "gymnax", "numpy")
    found = {name: metadata.version(name) for name in names}
    return {"jaxrl_up": __version__, "python": platform.python_version(), **found}


def commit() -> str | None:
    """The git commit of the working directory, `-dirty` where files differ from it; None outside a repository."""
    try:
        command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def to_toml(tables: Mapping[str, Mapping[str, Any]]) -> str:
    """TOML of tables of values; `None`, which TOML lacks, becomes the string "none", as on the command line."""
    parts = []
    for name, table in tables.items():
        lines = [f"{_key(key)} = {_value(value)}" for key, value in table.items()]
        parts.append("\n".join([f"[{name}]", *lines]) + "\n")
    return "\n".join(parts)


_LINEN = ("parent", "name")  # fields that every linen module has


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _value(key)


def _value(value: Any) -> str:
    if isinstance(value, np.ndarray | jax.Array):
        value = np.asarray(value)
        value = list(value) if value.ndim else value[()]
    if value is None:
        return '"none"'
    if isinstance(value, bool | np.bool_):
        return str(bool(value)).lower()
    if isinstance(value, int | np.integer):
        return str(int(value))
    if isinstance(value, float | np.floating):
        text = str(value)
        return text if re.search(r"[.einf]", text) else f"{text}.0"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    kind = value if isinstance(value, type) or hasattr(value, "__qualname__") else type(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):  # a linen module: import path and fields
        fields = [field.name for field in dataclasses.fields(value) if field.init and field.name not in _LINEN]
        table = {name: getattr(value, name) for name in fields}
        return _value({"import": f"{kind.__module__}:{kind.__qualname__}", "fields": table})
    text = re.sub(r" at 0x[0-9a-f]+", "", repr(value))  # addresses differ between equal runs
    return _value({"import": f"{kind.__module__}:{kind.__qualname__}", "repr": text})
