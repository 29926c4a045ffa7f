"""A run on disk: config.toml, progress.csv, timing.csv and curve.png in one directory.

progress.csv is tidy, one row per seed and evaluation, and holds nothing that depends on the clock, so that equal
runs write equal bytes. Its columns, in this order:

    seed            the seed
    env_steps       environment steps of this seed so far
    updates         updates so far
    return          mean undiscounted return of the evaluation's episodes
    return_std      its standard deviation over the episodes
    length          their mean length, environment steps
    unfinished      how many met the step cap, counted with the return until then
    train_return    mean return of the training episodes that ended since the last row; nan if none did
    train_episodes  how many did
    failed_at       the update whose loss or learner was not finite; -1 for none
    ...             the algorithm's losses, by name, as means over the updates since the last row

timing.csv holds what does: `event,env_steps,seconds` with an `evaluation` row each, in seconds since the run
began (compilation included), and at the end the seconds of `compile` and of `train`, apart.
"""

from __future__ import annotations

import json
import platform
import re
import time
import warnings
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from jaxrl_up._version import __version__
from jaxrl_up.envs import Env
from jaxrl_up.training import Log
from jaxrl_up.types import Algorithm, PyTree

if TYPE_CHECKING:
    from jaxrl_up.run import RunResult

FILES = ("config.toml", "progress.csv", "timing.csv", "curve.png")
COLUMNS = (
    "seed",
    "env_steps",
    "updates",
    "return",
    "return_std",
    "length",
    "unfinished",
    "train_return",
    "train_episodes",
    "failed_at",
)


class Recorder:
    """Writes one run into a directory of its own, made if missing.

    Raises `FileExistsError` if the directory already holds a run, and `OSError` if it cannot be written.
    """

    def __init__(
        self,
        directory: str | Path,
        algo: Algorithm,
        env: Env,
        config: PyTree,
        seeds: Sequence[int],
        evaluation: Mapping[str, Any] | None = None,
    ) -> None:
        self.directory, self.seeds = Path(directory), tuple(seeds)
        self.steps_per_update = algo.steps_per_update(config)
        self.start = time.perf_counter()
        check_directory(self.directory)
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            with (self.directory / "config.toml").open("x", encoding="utf-8", newline="\n") as file:
                file.write(to_toml(describe(algo, env, config, seeds, evaluation)))
        except FileExistsError:
            raise FileExistsError(f"{self.directory} already holds a run; choose another directory") from None
        except OSError as error:
            raise OSError(f"cannot write a run to {self.directory}: {error.strerror}") from error
        self._append("timing.csv", "event,env_steps,seconds\n")
        self.losses: list[str] | None = None

    def append(self, log: Log) -> None:
        """Add one evaluation, `log [S]`, as whole rows."""
        text = ""
        if self.losses is None:
            self.losses = sorted(log.losses)
            text = ",".join([*COLUMNS, *self.losses]) + "\n"
        steps = np.asarray(log.env_steps)
        columns = [
            np.asarray(self.seeds),
            steps,
            steps // self.steps_per_update,
            log.returns,
            log.returns_std,
            log.lengths,
            log.unfinished,
            log.train_returns,
            log.train_episodes,
            log.failed_at,
            *(log.losses[name] for name in self.losses),
        ]
        rows = zip(*(np.asarray(column) for column in columns), strict=True)
        text += "".join(",".join(number(value) for value in row) + "\n" for row in rows)
        self._append("progress.csv", text)
        self._time("evaluation", int(steps[0]), time.perf_counter() - self.start)

    def finish(self, result: RunResult) -> None:
        """Add the times and draw curve.png; a curve that cannot be drawn is a warning, not a lost run."""
        from jaxrl_up.plotting import plot_curves

        self._time("compile", 0, result.compile_seconds)
        self._time("train", int(result.env_steps[-1]), result.train_seconds)
        try:
            plot_curves(result, self.directory / "curve.png")
        except (OSError, ImportError) as error:
            warnings.warn(f"curve.png was not drawn: {error}", stacklevel=2)

    def _time(self, event: str, env_steps: int, seconds: float) -> None:
        self._append("timing.csv", f"{event},{env_steps},{seconds:.3f}\n")

    def _append(self, name: str, text: str) -> None:
        with (self.directory / name).open("a", encoding="utf-8", newline="\n") as file:
            file.write(text)


def check_directory(directory: str | Path) -> None:
    """Raise `FileExistsError` for a directory that holds a run, `NotADirectoryError` for a file."""
    directory = Path(directory)
    for part in (directory, *directory.parents):
        if part.exists() and not part.is_dir():
            raise NotADirectoryError(f"cannot write a run to {directory}: {part} is not a directory")
    for name in FILES:
        if (directory / name).exists():
            raise FileExistsError(f"{directory} already holds a run ({name}); choose another directory")


def read_progress(directory: str | Path) -> dict[str, np.ndarray]:
    """The columns of a run's progress.csv, each `[S, E]` in the order of writing.

    A last evaluation that was not written for every seed is left out. Raises `FileNotFoundError` if there is no
    progress.csv and `ValueError` if it holds no evaluation.
    """
    path = Path(directory) / "progress.csv"
    if not path.exists():
        raise FileNotFoundError(f"{directory} holds no run: there is no progress.csv")
    header, *lines = path.read_text(encoding="utf-8").splitlines() or [""]
    names = header.split(",")
    rows = [line.split(",") for line in lines if line.count(",") == len(names) - 1]
    num_seeds = len({row[0] for row in rows})
    num_evals = len(rows) // num_seeds if num_seeds else 0
    if num_evals == 0:
        raise ValueError(f"{path} holds no evaluation")
    table = np.array(rows[: num_evals * num_seeds], np.float64).reshape(num_evals, num_seeds, len(names))
    return {name: table[:, :, i].T for i, name in enumerate(names)}


def number(value: Any) -> str:
    """The shortest text that reads back as the same number."""
    return str(value.item() if isinstance(value, np.integer | np.bool_) else value)


def describe(
    algo: Algorithm,
    env: Env,
    config: PyTree,
    seeds: Sequence[int],
    evaluation: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Everything that is needed to repeat a run, as nested dictionaries (tables of config.toml)."""
    versions = {name: metadata.version(name) for name in ("jax", "jaxlib", "flax", "optax", "gymnax", "numpy")}
    spec = env.spec
    return {
        "run": {"algorithm": algo.name, "seeds": list(seeds), **(evaluation or {})},
        "config": {name: getattr(config, name) for name in config.__dataclass_fields__},
        "environment": {
            "name": env.name,
            "max_steps": env.max_steps,
            "wrappers": list(spec.wrappers),
            "observation_space": str(env.observation_space),
            "action_space": str(env.action_space),
        },
        "environment.params": dict(env.params) if isinstance(env.params, dict) else {"repr": repr(env.params)},
        "environment.static": dict(spec.fixed),
        "versions": {"jaxrl_up": __version__, "python": platform.python_version(), **versions},
        "device": {
            "kind": jax.devices()[0].device_kind,
            "platform": jax.default_backend(),
            "count": len(jax.devices()),
        },
    }


def to_toml(tables: Mapping[str, Mapping[str, Any]]) -> str:
    """TOML of tables of values; `None`, which TOML lacks, becomes the string "none", as on the command line."""
    parts = []
    for name, table in tables.items():
        lines = [f"{_key(key)} = {_value(value)}" for key, value in table.items()]
        parts.append("\n".join([f"[{name}]", *lines]) + "\n")
    return "\n".join(parts)


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
    text = re.sub(r" at 0x[0-9a-f]+", "", repr(value))  # addresses differ between equal runs
    return _value({"import": f"{kind.__module__}:{kind.__qualname__}", "repr": text})
