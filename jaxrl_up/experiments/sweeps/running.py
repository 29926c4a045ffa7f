"""Sweeps: many points and seeds in as few programs as there are shapes, each part kept as a run that resumes.

Points that differ in traced values only are trained together, as one program over all their seeds; where they do not
fit in memory they are cut into parts of one width, which share it. See `sweep_records` for what is written.
"""

from __future__ import annotations

import dataclasses
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from jaxrl_up.config import flag
from jaxrl_up.envs import Env
from jaxrl_up.experiments import memory
from jaxrl_up.experiments.device_transfer import choose, gather, gather_on_host, to_devices
from jaxrl_up.experiments.drive import CheckpointPolicy, Job, Start, agreed, drive, transfers
from jaxrl_up.experiments.stopping import stoppable
from jaxrl_up.experiments.sweeps.live_progress import Programs, SweepWatcher, Voice, announcement, how_far
from jaxrl_up.experiments.sweeps.plan import ETA, SweepArguments, SweepSettings, keep, plan, planned
from jaxrl_up.experiments.sweeps.results import SweepResult
from jaxrl_up.experiments.sweeps.sweep_records import (
    Cell,
    Sweep,
    add_cells,
    cell_directory,
    check_place,
    create_sweep,
    ends_of,
    is_done,
    load_plan,
    read_results,
    write_results,
)
from jaxrl_up.records import (
    CHECKPOINT_SECONDS,
    RUNS,
    SWEEP,
    Point,
    Recorder,
    RunSettings,
    RunSpec,
    Snapshot,
    alone,
    check_settings,
    checkpoint,
    expand,
    file_name,
    going_on,
    load_part,
    load_snapshot,
    make_directory,
    own_options,
    processes,
    reserve,
)
from jaxrl_up.training import resolve
from jaxrl_up.types import Algorithm, PyTree


@transfers()
def run_sweep(
    algo: Algorithm | str,
    env: Env | str,
    config: PyTree | None,
    grid: Mapping[str, Sequence[Any]] | Sequence[Point],
    seeds: int | Sequence[int] = 8,
    directory: str | Path | None = None,
    *,
    evaluation_env: Env | str | None = None,
    num_evals: int = 20,
    num_episodes: int = 16,
    deterministic: bool = True,
    max_eval_steps: int | None = None,
    halving: int = 1,
    eta: int = ETA,
    max_lanes: int | None = None,
    progress: bool = True,
    checkpoint_seconds: float | None = CHECKPOINT_SECONDS,
    force: bool = False,
) -> SweepResult:
    """Train every point of a grid on every seed, and keep it all in a directory (default: a new one in runs).

    `algo`, `env` and `config` are as for `run`. `grid` maps names to lists of values, every combination of which is a
    point; or it is a list of points, as `random_points` gives them. Config fields and environment parameters may be
    varied, static ones too. At most `max_lanes` points times seeds are trained at once (default: as many as fit in
    memory). `evaluation_env` is as for `run`, in each point with the traced parameters of it that it has. With
    `halving` above 1, successive halving in so many rungs: see `keep`. The other arguments are as for `run`; Ctrl-C or
    SIGTERM stops after the current evaluation and returns what was reached. Raises `ValueError` for anything out of
    range, before anything is compiled or written, and `FileExistsError` for a directory that holds a sweep or a run.
    """
    settings = SweepSettings(num_evals, num_episodes, deterministic, max_eval_steps, None, (), progress)
    settings = dataclasses.replace(settings, checkpoint_seconds=checkpoint_seconds, force=force)
    settings = dataclasses.replace(settings, halving=halving, eta=eta, max_lanes=max_lanes)
    return start_sweep(SweepArguments(algo, env, config, grid, seeds, directory, settings, evaluation_env))


def start_sweep(asked: SweepArguments) -> SweepResult:
    """`run_sweep`, with its arguments as one record."""
    with created(asked) as sweep:
        return _go_on(sweep)


@contextmanager
def created(asked: SweepArguments) -> Iterator[Sweep]:
    """A sweep, checked and in its directory, which no other process trains in meanwhile."""
    directory, force = asked.directory, asked.settings.force
    if directory is not None:
        directory = expand(directory, "directory").absolute()
        if processes.is_first():
            check_place(directory, flag("force", force))
    sweep, cells = planned(asked)
    if directory is None:
        place = RUNS / f"sweep-{sweep.base.algo.name}-{file_name(sweep.base.env.name)}"
        directory = Path(processes.from_first(lambda: str(reserve(place).absolute())))
    sweep = sweep._replace(base=sweep.base._replace(directory=directory))
    if processes.is_first():
        make_directory(directory)
    with alone(directory), transfers():
        if processes.is_first():
            create_sweep(directory, force)
        yield add_cells(sweep, cells)


@transfers()
def resume_sweep(
    directory: str | Path,
    algo: Algorithm | str | None = None,
    env: Env | str | None = None,
    *,
    evaluation_env: Env | str | None = None,
    own: Mapping[str, Any] | None = None,
    progress: bool = True,
    checkpoint_seconds: float | None = CHECKPOINT_SECONDS,
) -> SweepResult:
    """Go on with a sweep: parts that are done are read, the others go on from their checkpoints or begin.

    On the same devices and versions the tables are equal byte for byte to those of a sweep that was not stopped. An
    algorithm or environment of your own, also one to evaluate in, and a network are given as to `load_run`. Raises
    `FileNotFoundError` where there is no sweep, and `ValueError` for files that are damaged or of another sweep.
    """
    given = check_settings(RunSettings(progress=progress, checkpoint_seconds=checkpoint_seconds))
    processes.see(expand(directory, "directory") / SWEEP)
    asked = load_plan(directory, algo, env, evaluation_env, own)
    processes.together()  # before anything is written again
    asked = asked._replace(base=asked.base._replace(settings=asked.base.settings.driven_as(given)))
    with alone(asked.base.directory):
        return _go_on(asked, resumed=True)


def load_sweep(
    directory: str | Path,
    algo: Algorithm | str | None = None,
    env: Env | str | None = None,
    evaluation_env: Env | str | None = None,
    own: Mapping[str, Any] | None = None,
) -> SweepResult:
    """What a sweep has reached so far, from its files; raises as `resume_sweep` does."""
    return read_results(load_plan(directory, algo, env, evaluation_env, own))


def _go_on(sweep: Sweep, resumed: bool = False) -> SweepResult:
    """Train what is not done yet, rung by rung, then write the tables and draw."""
    say = Voice(sweep.base.settings.progress)
    held: dict[int, Snapshot] = {}  # parts that the next rung goes on from, as far as there is room
    programs: Programs = {}
    stopped = ""
    again = going_on(sweep.base.directory, *own_options(sweep.base.tables))
    with stoppable(say.pressed, lambda: again) as stop:
        while not stopped:
            rung = sweep.cells[-1].rung
            todo = processes.from_first(_not_done, sweep)
            if resumed:
                say(how_far(sweep, len(sweep.cells) - len(todo)))
                resumed = False
            for line in announcement(sweep, rung, todo, programs):
                say(line)
            stopped = _train_cells(sweep, todo, say, stop, programs, held)
            if stopped or rung + 1 == sweep.halving:
                break
            sweep = add_cells(sweep, plan(sweep, rung + 1, processes.from_first(_kept, sweep, rung)))
    processes.together()  # what the first has written is there
    result = read_results(sweep)._replace(stopped=stopped)
    if processes.is_first():
        write_results(sweep, result)
    return result


def _not_done(sweep: Sweep) -> list[int]:
    """The parts to train; of earlier rungs those that were damaged."""
    return [k for k in range(len(sweep.cells)) if not is_done(sweep, k)]


def _kept(sweep: Sweep, rung: int) -> list[int]:
    """The points that go on after a rung."""
    result = read_results(sweep)
    here = [c for c in range(len(sweep.points)) if result.rungs[c] == rung]
    return [here[i] for i in keep([result.final(c) for c in here], sweep.eta)]


def _train_cells(
    sweep: Sweep,
    todo: Sequence[int],
    say: Voice,
    stop: Callable[[], str],
    programs: Programs,
    held: dict[int, Snapshot],
) -> str:
    """Train parts one after another. Returns what stopped it before their end, or nothing."""
    for i, k in enumerate(todo):
        if stopped := agreed(stop())[0]:
            return stopped
        _make_room(sweep, sweep.cells[k], held)
        part = f"part {i + 1} of {len(todo)}: " if len(todo) > 1 else ""
        stopped = train_cell(sweep, k, part, say, stop, programs, held)
        if stopped:
            return stopped
    return ""


def _make_room(sweep: Sweep, cell: Cell, held: dict[int, Snapshot]) -> None:
    """Let go of what is held on the devices if a part would not fit beside it: its checkpoints have it too."""
    if not held:
        return
    member, free = sweep.groups[cell.group], memory.available()
    needed = memory.need(sweep.base.algo, member.env, member.config, cell.width)
    if free is not None and memory.at_start(needed, cell.width) > free:
        held.clear()


def _load_cell(sweep: Sweep, k: int) -> RunSpec:
    """A part as its directory says."""
    member = sweep.groups[sweep.cells[k].group]
    where = cell_directory(sweep, k)
    return load_part(where, sweep.base.algo, member.env, member.config, member.evaluation_env)


def train_cell(
    sweep: Sweep,
    k: int,
    part: str,
    say: Voice,
    stop: Callable[[], str],
    programs: Programs,
    held: dict[int, Snapshot],
) -> str:
    """Train one part, from its start or from where it was. See `_go_on` for what is `held`."""
    cell, base = sweep.cells[k], sweep.base
    saved, ends = _load_cell(sweep, k), ends_of(sweep, cell)
    reached: Snapshot | None
    if not checkpoint.places(saved.directory) and cell.rung:
        reached, doubts = _survivors(sweep, cell, saved.directory, held)
    else:
        reached, doubts = load_snapshot(saved) or (None, [])
    later = {other.group for other in sweep.cells[k + 1 :]}
    for i in [i for i in held if sweep.cells[i].rung < cell.rung and sweep.cells[i].group not in later]:
        del held[i]
    for doubt in doubts if processes.is_first() else ():
        warnings.warn(doubt, stacklevel=2)
    seeds = tuple(seed for _, seed in cell.lanes)
    axes = {name: np.repeat(values, len(cell.seeds)) for name, values in saved.grid.items()}
    swept = resolve(saved.env, saved.config, axes)
    how = (saved.settings.evaluation, cell.width, saved.evaluation_env)
    job = Job(base.algo, saved.env, saved.config, seeds, swept, ends, *how)
    labels = {name.removeprefix("config."): list(values) for name, values in axes.items()}
    recorder = Recorder(
        saved.directory, seeds, base.algo.steps_per_update(saved.config), labels, bool(saved.played_env.spec.opponent)
    )
    recorder.begin(reached.logs, reached.seconds) if reached is not None else recorder.begin()
    steps = int(reached.logs[-1].env_steps[0]) if reached is not None and reached.logs else 0
    start: Start = [] if reached is None else [reached]
    del reached  # `drive` is then the only one that has it
    compiled = programs.setdefault((cell.group, cell.width), {})
    watcher = SweepWatcher(sweep, cell, part, ends[-1] * recorder.steps_per_update, not compiled, say, steps)
    keeping = CheckpointPolicy(saved, recorder, base.settings.checkpoint_seconds)
    outcome = drive(job, watcher, keeping, start, programs=compiled, stop=stop)
    if cell.rung + 1 < sweep.halving and processes.place().processes == 1:
        held[k] = outcome.reached
    return outcome.stopped


def _survivors(sweep: Sweep, cell: Cell, directory: Path, held: Mapping[int, Snapshot]) -> tuple[Snapshot, list[str]]:
    """Where the lanes of a part were at the end of the rung before, with what may keep them from going on bit for bit.

    What is still on the devices is gathered there, the rest read from checkpoints. The times of the evaluations until
    then are copied to its directory.
    """
    parts: list[Snapshot] = []
    places: dict[tuple[int, int], tuple[int, int]] = {}
    doubts: list[str] = []
    several = processes.place().processes > 1  # then each reads what it goes on with
    for k, rows in _sources(sweep, cell).items():
        lanes = [sweep.cells[k].lanes[row] for row in rows]
        if k in held:
            part = held[k]
        else:
            found = load_snapshot(_load_cell(sweep, k))
            if found is None:
                raise ValueError(f"{cell_directory(sweep, k)} holds no checkpoint, from which the next rung goes on")
            doubts, part = found[1], choose(found[0], rows)
            part = part if several else to_devices(part, len(rows))
            rows = range(len(rows))
        places |= {lane: (len(parts), row) for lane, row in zip(lanes, rows, strict=True)}
        parts.append(part)
        if processes.is_first():
            shutil.copy(cell_directory(sweep, k) / "timing.csv", directory)
    lanes = [places[lane] for lane in cell.lanes]
    return (gather_on_host(parts, lanes) if several else gather(parts, lanes, cell.width)), doubts


def _sources(sweep: Sweep, cell: Cell) -> dict[int, list[int]]:
    """The parts of the rung before that a part's lanes come from, and which lanes of them those are."""
    before = {
        k: other for k, other in enumerate(sweep.cells) if (other.rung, other.group) == (cell.rung - 1, cell.group)
    }
    rows = {k: [i for i, lane in enumerate(other.lanes) if lane in cell.lanes] for k, other in before.items()}
    return {k: some for k, some in rows.items() if some}
