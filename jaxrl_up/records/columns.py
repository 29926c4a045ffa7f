"""A run on disk: config.toml, progress.csv, timing.csv, checkpoints, curve.png and report.html in one directory.

progress.csv is tidy, one row per seed and evaluation, and holds nothing that depends on the clock, so that equal
runs write equal bytes. Its columns are `COLUMNS`, in a sweep after the swept names; `GAMES`, where evaluations are
games against an opponent; and the algorithm's losses, by name, as means over the gradient steps since the last row that
were made, empty if none was, as before learning starts and after a seed failed. What each is, `meanings` says.

The first evaluation is of the untrained policies, at 0 steps.

timing.csv holds what does: `event,env_steps,seconds`. An `evaluation` row says how many seconds of work the run had
taken until then (compilation included, pauses between processes not), a `resume` row the same where a later process
took over; `compile`, `checkpoint` and `train` rows say how long that took.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import repeat
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxrl_up.ops import win_draw_loss
from jaxrl_up.records import processes
from jaxrl_up.records.files import clear_parts, expand, flush, read_table, table_text, write_atomically
from jaxrl_up.records.values import number
from jaxrl_up.training import Log

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
"""The columns of progress.csv that every run has, in order."""
WHOLE = ("seed", "env_steps", "updates", "unfinished", "distinct", "train_episodes", "failed_at")
"""Those that are whole numbers."""
GAMES = ("won", "drawn", "lost")
"""Those that follow where evaluations are games against an opponent."""


class Timing(NamedTuple):
    """A row of timing.csv."""

    event: str
    env_steps: int
    seconds: float


class Recorder:
    """Writes the tables of a run while it trains: progress.csv and timing.csv; of several processes only the first.

    `seeds [L]` and `axes`, name -> value `[L]`, say which lane of a log is what; `games`, whether its evaluations are
    games against an opponent.
    """

    def __init__(
        self,
        directory: str | Path,
        seeds: Sequence[int],
        steps_per_update: int,
        axes: Mapping[str, Sequence[Any]] | None = None,
        games: bool = False,
    ) -> None:
        self.directory, self.steps_per_update, self.games = Path(directory), steps_per_update, games
        self.labels = {**(axes or {}), "seed": seeds}

    def begin(self, logs: Sequence[Log] = (), seconds: float = 0.0) -> None:
        """Start the tables, or leave in them what `logs`, each `[L]`, hold: later rows are of a process that ended."""
        if not processes.is_first():
            return
        clear_parts(self.directory)
        if not logs:
            (self.directory / "progress.csv").unlink(missing_ok=True)
            write_atomically(self.directory / "timing.csv", ",".join(Timing._fields) + "\n")
            return
        rows = "".join(self._rows(log) for log in logs)
        write_atomically(self.directory / "progress.csv", self._header(logs[0]) + rows)
        steps = int(logs[-1].env_steps[0])
        kept = "".join(_timing_row(*row) for row in read_timing(self.directory) if row.env_steps <= steps)
        write_atomically(self.directory / "timing.csv", f"{','.join(Timing._fields)}\n{kept}")
        self.time("resume", steps, seconds)

    def append(self, log: Log, seconds: float) -> None:
        """Add one evaluation, `log [L]`, as whole rows, reached after so many seconds of work."""
        if not processes.is_first():
            return
        path = self.directory / "progress.csv"
        _append(path, ("" if path.exists() else self._header(log)) + self._rows(log))
        self.time("evaluation", int(log.env_steps[0]), seconds)

    def time(self, event: str, env_steps: int, seconds: float) -> None:
        """Add a row to timing.csv."""
        if processes.is_first():
            _append(self.directory / "timing.csv", _timing_row(event, env_steps, seconds))

    def flush(self) -> None:
        """Return when the tables are on the disk."""
        paths = (self.directory / "progress.csv", self.directory / "timing.csv", self.directory)
        for path in paths if processes.is_first() else ():
            flush(path)

    def _header(self, log: Log) -> str:
        return table_text(self._names(log), [])

    def _names(self, log: Log) -> list[str]:
        return [*self.labels, *COLUMNS[1:], *(GAMES if self.games else ()), *sorted(log.learned)]

    def _rows(self, log: Log) -> str:
        columns = {**self.labels, **log_columns(log, self.steps_per_update, self.games)}
        made = {"train_return": log.train_episodes, **{name: mean.count for name, mean in log.learned.items()}}
        names = self._names(log)
        cells = [
            [number(x) if many else "" for x, many in zip(columns[name], made.get(name, repeat(1)), strict=False)]
            for name in names
        ]
        return "".join(",".join(row) + "\n" for row in zip(*cells, strict=True))


def log_columns(log: Log, steps_per_update: int, games: bool = False) -> dict[str, np.ndarray]:
    """The columns of progress.csv that a log holds, of its shape: those of every run but the seed, then the losses.

    `games` says that evaluations are games against an opponent: `GAMES` come between.
    """
    steps = np.asarray(log.env_steps)
    columns = {
        "env_steps": steps,
        "updates": steps // steps_per_update,
        "return": log.returns,
        "return_std": log.returns_std,
        "length": log.lengths,
        "unfinished": log.unfinished,
        "distinct": log.distinct,
        "train_return": log.train_returns,
        "train_episodes": log.train_episodes,
        "failed_at": log.failed_at,
        **(dict(zip(GAMES, win_draw_loss(log.returns, log.returns_std), strict=True)) if games else {}),
        **log.losses,
    }
    return {name: np.asarray(column) for name, column in columns.items()}


def _timing_row(event: str, env_steps: int, seconds: float) -> str:
    return f"{event},{env_steps},{seconds:.3f}\n"


def _append(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8", newline="\n") as file:
        file.write(text)


def read_progress(directory: str | Path, tidy: bool = False) -> dict[str, np.ndarray]:
    """The columns of a run's progress.csv, each `[S, E]` in the order of writing; an empty cell is NaN.

    `tidy` gives them as `[S * E]`, a row for each evaluation and seed as in the file, with counts as integers: what
    `pandas.DataFrame` takes. A last evaluation that was not written for every seed is left out. Raises
    `FileNotFoundError` if there is no progress.csv and `ValueError` if it holds no evaluation.
    """
    path = expand(directory) / "progress.csv"
    if not path.exists():
        raise FileNotFoundError(f"{directory} holds no run: there is no progress.csv")
    names, *rows = read_table(path) or [[]]
    rows = [row for row in rows if len(row) == len(names)]
    steps = names.index("env_steps") if "env_steps" in names else 0
    num_seeds = next((i for i, row in enumerate(rows) if row[steps] != rows[0][steps]), len(rows))
    num_evals = len(rows) // num_seeds if num_seeds else 0
    if num_evals == 0:
        raise ValueError(f"{path} holds no evaluation")
    cells = [[cell or "nan" for cell in row] for row in rows[: num_evals * num_seeds]]
    table = np.array(cells, np.float64).reshape(num_evals, num_seeds, len(names))
    if tidy:
        columns = {name: table[:, :, i].ravel() for i, name in enumerate(names)}
        return {name: column.astype(np.int64) if name in WHOLE else column for name, column in columns.items()}
    return {name: table[:, :, i].T for i, name in enumerate(names)}


def read_timing(directory: str | Path) -> list[Timing]:
    """The rows of a run's timing.csv, without those that are not whole; none where there is no file."""
    path = expand(directory) / "timing.csv"
    rows = []
    for cells in read_table(path)[1:] if path.exists() else []:
        try:
            event, steps, seconds = cells
            rows.append(Timing(event, int(steps), float(seconds)))
        except ValueError:
            continue
    return rows
