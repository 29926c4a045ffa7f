"""Sinks: where a run's numbers go besides its directory. TensorBoard (tensorboardX) and Weights & Biases (wandb).

A sink is a record of three functions, so another is made by hand:

    start(description)  before training; the description is that of `records.describe`. What it raises ends the run
    append(log)         after each evaluation, `log [S]` on the host
    finish(failed)      after the last one, or after an exception or Ctrl-C; `failed` says that an exception ended it

Both libraries come with extras of their names: `pip install 'jaxrl-up[tensorboard]'`, `'jaxrl-up[wandb]'`.
"""

from __future__ import annotations

import json
import os
import secrets
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxrl_up.config import shown
from jaxrl_up.ops import iqm, score
from jaxrl_up.records import (
    are_games,
    expand,
    file_name,
    log_columns,
    read_progress,
    read_text,
    reason,
    to_toml,
    toml_value,
    write_atomically,
)
from jaxrl_up.training import Log
from jaxrl_up.types import face


class Sink(NamedTuple):
    """Somewhere that a run's numbers go."""

    name: str
    start: Callable[[Mapping[str, Any]], None]
    append: Callable[[Log], None]
    finish: Callable[[bool], None]


def as_sinks(sinks: Sequence[Sink] | Sink) -> tuple[Sink, ...]:
    """Sinks as a tuple, also a single one. Raises `TypeError` for what is none."""
    listed = [sinks] if isinstance(sinks, Sink) or not isinstance(sinks, Iterable) else list(sinks)
    for sink in listed:
        if not all(callable(getattr(sink, name, None)) for name in ("start", "append", "finish")):
            raise TypeError(f"sinks has {shown(sink)}, which is no Sink: see jaxrl_up.experiments.sinks")
    return tuple(listed)


@contextmanager
def feed(sinks: Sequence[Sink], description: Mapping[str, Any]) -> Iterator[Callable[[Log], None]]:
    """Start the sinks, and within give each evaluation to all of them; on the way out they are finished.

    What `start` raises is passed on, after the sinks already started were finished. Later a run is worth more than
    its audience: a sink that raises is named in a warning and left out from there on.
    """
    with ExitStack() as stack:
        for sink in sinks:
            sink.start(description)
            stack.push(_finisher(sink))
        live = list(sinks)

        def append(log: Log) -> None:
            for sink in tuple(live):
                try:
                    sink.append(log)
                except Exception as error:
                    live.remove(sink)
                    _warn(f"{sink.name} takes no more numbers from {_steps(log):,} steps on", error)

        yield append


def _finisher(sink: Sink) -> Callable[..., None]:
    def finish(kind: type[BaseException] | None, *_: Any) -> None:
        try:
            sink.finish(kind is not None)
        except Exception as error:
            _warn(f"{sink.name} was not closed", error)

    return finish


def _warn(what: str, error: Exception) -> None:
    warnings.warn(f"{what}: {reason(error)}", stacklevel=3)


def _steps(log: Log) -> int:
    return int(np.asarray(log.env_steps).flat[0])


def scalars(seeds: Sequence[int], log: Log) -> dict[str, float]:
    """The series of one evaluation, `log [S]`, by name.

    `return/iqm`, `return/low`, `return/high` (95% interval) and `return/seed_K` for each seed;
    `NAME/iqm` over the seeds that have a finite value for `length`, `train_return` and every loss, left out where
    none has; `failed_seeds`, how many.
    """
    returns = np.asarray(log.returns)
    total = score(returns)
    series = {"return/iqm": total.iqm, "return/low": total.low, "return/high": total.high}
    series |= {f"return/seed_{seed}": float(value) for seed, value in zip(seeds, returns, strict=True)}
    for name, values in {"length": log.lengths, "train_return": log.train_returns, **log.losses}.items():
        finite = np.asarray(values)[np.isfinite(values)]
        if finite.size:
            series[f"{name}/iqm"] = float(iqm(finite))
    series["failed_seeds"] = float(np.sum(np.asarray(log.failed_at) >= 0))
    return series


def tensorboard(directory: str | Path) -> Sink:
    """Write the series (see `scalars`) by environment steps, and the settings as text, for TensorBoard.

    The event file in `directory`, made if missing, is whole after every evaluation. A second file there, of a run
    that was resumed, hides what the first says of the same steps and later ones. Raises `ValueError` if tensorboardX
    is missing; `start` raises `OSError` if it cannot write there.
    """
    try:
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog  # pyright: ignore[reportAttributeAccessIssue]
        from tensorboardX.summary import scalar, text
    except ImportError:
        raise _missing("TensorBoard", "tensorboard") from None
    writer: Any = None
    seeds: Sequence[int] = ()
    first = True

    def start(description: Mapping[str, Any]) -> None:
        nonlocal writer, seeds
        seeds = description["run"]["seeds"]
        try:
            expand(directory).mkdir(parents=True, exist_ok=True)
            # synchronous: SummaryWriter's thread dies of a full disk, and the run would wait for its queue for ever
            writer = EventsWriter(str(expand(directory) / "events"), f".{os.getpid()}")
        except OSError as error:
            raise OSError(f"cannot write TensorBoard's events to {directory}: {error.strerror}") from error
        settings = "".join(f"    {line}\n" for line in to_toml(description).splitlines())  # Markdown's code
        writer.write_event(Event(summary=text("settings", settings)))
        writer.flush()

    def append(log: Log) -> None:
        nonlocal first
        step = _steps(log)
        if first:
            writer.write_event(Event(step=step, session_log=SessionLog(status=SessionLog.START)))
            first = False
        for name, value in scalars(seeds, log).items():
            writer.write_event(Event(step=step, wall_time=time.time(), summary=scalar(name, value)))
        writer.flush()

    def finish(failed: bool) -> None:
        writer.close()

    return Sink("TensorBoard", start, append, finish)


def wandb(project: str, directory: str | Path | None = None, name: str | None = None) -> Sink:
    """Log each seed as a run of Weights & Biases, in one group: the columns of progress.csv by `env_steps`.

    `directory` is that of the run, or another; it receives wandb's own files in `wandb/`, the default being wandb's
    (`WANDB_DIR`, or the current one). What the runs are called there is noted in `wandb/runs.json`, so that a run that
    is resumed goes on in the same runs: with the evaluations of progress.csv that they lack, and none twice. `name` is
    the group's, by default that of the directory, or algorithm and environment, and some letters. The settings, with
    the seed, are each run's config. The environment variables of wandb hold: with `WANDB_MODE=offline` nothing leaves
    the machine until `wandb sync`. Raises `ValueError` for a name that cannot be a project's and if wandb is missing;
    `start` raises `OSError` where wandb does not start, for example because nobody is logged in.
    """
    try:
        import wandb as client
        from wandb.errors import Error, UsageError
    except ImportError:
        raise _missing("Weights & Biases", "wandb") from None
    try:
        if not project:
            raise UsageError("it is empty")
        client.Settings(project=project)
    except UsageError as error:
        raise ValueError(f"{project!r} cannot be a project of Weights & Biases: {error}") from None
    place = None if directory is None else expand(directory)
    runs: list[Any] = []  # of each seed
    note: dict[str, Any] = {}
    games = False

    def start(description: Mapping[str, Any]) -> None:
        nonlocal note, games
        games = are_games(description)
        seeds, config = description["run"]["seeds"], toml_value(description)  # the values of config.toml
        try:
            if place is not None:
                (place / "wandb").mkdir(parents=True, exist_ok=True)
            known = _noted(place, project)
            note = known or _new_note(name, place, description)
            for seed in seeds:
                runs.append(
                    client.init(
                        project=project,
                        dir=None if place is None else str(place),
                        id=f"{note['id']}-{seed}",
                        name=f"{note['group']}, seed {seed}",
                        group=note["group"],
                        config={**config, "seed": seed},
                        resume="allow" if known else None,
                        allow_val_change=True,  # a run that was made longer
                        reinit="create_new",  # beside the others
                        settings=client.Settings(console="off"),  # standard output and error are the run's own
                    )
                )
                runs[-1].define_metric("env_steps")
                runs[-1].define_metric("*", step_metric="env_steps")
            for rows in _recorded(place, seeds):
                write(rows)
        except Exception as error:
            finish(failed=True)
            if isinstance(error, Error):
                raise OSError(f"Weights & Biases: {reason(error)} Or set WANDB_MODE=offline") from error
            if isinstance(error, OSError):
                raise OSError(f"cannot write wandb's files to {directory}: {error.strerror or error}") from error
            raise

    def write(rows: Sequence[Mapping[str, float]]) -> None:
        steps = int(rows[0]["env_steps"])
        if steps <= note["env_steps"]:  # written by an earlier process
            return
        for run, row in zip(runs, rows, strict=True):
            run.log(dict(row), step=steps)
        note["env_steps"] = steps
        if place is not None:
            _write_note(place, project, note)

    def append(log: Log) -> None:
        write([_row(log, lane, games) for lane in range(len(runs))])

    def finish(failed: bool) -> None:
        for run in runs:
            run.finish(exit_code=int(failed))

    return Sink("Weights & Biases", start, append, finish)


NOTE = "runs.json"  # in the folder of wandb, by project: the group, what ids begin with, and how far they were written


def _noted(place: Path | None, project: str) -> dict[str, Any] | None:
    """What an earlier process noted of its runs in a project."""
    path = None if place is None else place / "wandb" / NOTE
    return json.loads(read_text(path)).get(project) if path is not None and path.exists() else None


def _new_note(name: str | None, place: Path | None, description: Mapping[str, Any]) -> dict[str, Any]:
    token = secrets.token_hex(4)
    what = f"{description['run']['algorithm']}-{file_name(str(description['environment']['name']))}"
    group = name or f"{what if place is None else place.resolve().name}-{token[:4]}"
    return {"group": group, "id": token, "env_steps": -1}


def _write_note(place: Path, project: str, note: Mapping[str, Any]) -> None:
    path = place / "wandb" / NOTE
    notes = json.loads(read_text(path)) if path.exists() else {}
    write_atomically(path, json.dumps({**notes, project: note}, indent=1) + "\n")


def _recorded(place: Path | None, seeds: Sequence[int]) -> Iterator[list[dict[str, float]]]:
    """The evaluations that progress.csv holds, a row for each seed: what an earlier process trained."""
    if place is None or not (place / "progress.csv").exists():
        return
    columns = read_progress(place)
    names = [name for name in columns if name not in ("seed", "updates")]
    if columns["seed"][:, 0].tolist() != list(seeds):  # another run's, beside which wandb's files are kept
        return
    for e in range(columns["env_steps"].shape[1]):
        yield [_finite({name: columns[name][lane, e] for name in names}) for lane in range(len(seeds))]


def _row(log: Log, lane: int, games: bool) -> dict[str, float]:
    """One seed of an evaluation `log [S]`, by the names of progress.csv."""
    columns = log_columns(log, steps_per_update=1, games=games)
    return _finite({name: column[lane] for name, column in columns.items() if name != "updates"})


def _finite(row: Mapping[str, Any]) -> dict[str, float]:
    """A row without what is missing in it: wandb draws no NaN."""
    return {name: float(value) for name, value in row.items() if np.isfinite(value)}


def _missing(what: str, extra: str) -> ValueError:
    return ValueError(f"{what} needs a library that is not installed: pip install 'jaxrl-up[{extra}]'")


__dir__ = face(__name__)
