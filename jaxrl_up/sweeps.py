"""Sweeps: many points and seeds in as few programs as there are shapes, each part kept as a run that resumes.

Points that differ in traced values only are trained together, as one program over all their seeds; where they do not
fit in memory they are cut into parts of one width, which share it. See `jaxrl_up.sweep_records` for what is written.
"""

from __future__ import annotations

import shutil
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxrl_up import checkpoint, memory, records
from jaxrl_up.arguments import flag, seed_list, whole, whole_or_none
from jaxrl_up.driving import Job, Keeper, Start, drive, stoppable, transfers
from jaxrl_up.entries import take
from jaxrl_up.envs import Env
from jaxrl_up.files import expand, make_directory
from jaxrl_up.lanes import OnDevices, choose, gather, to_devices
from jaxrl_up.points import Point, describe_point, group, product, spell
from jaxrl_up.records import Recorder
from jaxrl_up.reporting import clock, count
from jaxrl_up.run import CHECKPOINT_SECONDS, check_driving, check_run
from jaxrl_up.saved_runs import Reached, SavedRun, load_reached, load_run
from jaxrl_up.scores import iqm
from jaxrl_up.sweep_records import (
    Cell,
    Sweep,
    SweepResult,
    add_cells,
    cell_directory,
    check_place,
    create_sweep,
    ends_of,
    is_done,
    load_plan,
    rank,
    read_results,
    rung_ends,
    write_results,
)
from jaxrl_up.training import Evaluation, Log, evaluation_ends, resolve
from jaxrl_up.types import Algorithm, PyTree
from jaxrl_up.waiting import counting

ETA = 3
Programs = dict[tuple[int, int], dict[Any, Any]]  # of each group and width, once compiled; see `drive`


@transfers()
def run_sweep(
    algo: Algorithm | str,
    env: Env | str,
    config: PyTree | None,
    grid: Mapping[str, Sequence[Any]] | Sequence[Point],
    seeds: int | Sequence[int] = 8,
    directory: str | Path | None = None,
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
    memory). With `halving` above 1, successive halving in so many rungs: see `keep`. The other arguments are as for
    `run`; Ctrl-C or SIGTERM stops after the current evaluation and returns what was reached. Raises `ValueError` for
    anything out of range, before anything is compiled or written, and `FileExistsError` for a directory that holds a
    sweep or a run.
    """
    progress, checkpoint_seconds = check_driving(progress, checkpoint_seconds)
    force = flag("force", force)
    if directory is not None:
        directory = expand(directory, "directory").absolute()
        check_place(directory, force)
    sweep, cells = planned(
        algo, env, config, grid, seeds, num_evals, num_episodes, deterministic, max_eval_steps, halving, eta, max_lanes
    )
    if directory is None:
        directory = records.reserve(records.RUNS / f"sweep-{sweep.base.algo.name}-{sweep.base.env.name}").absolute()
    sweep = sweep._replace(base=sweep.base._replace(directory=directory))
    make_directory(directory)
    with records.alone(directory):
        create_sweep(directory, force)
        return _go_on(add_cells(sweep, cells), progress, checkpoint_seconds)


def plan_lines(
    algo: Algorithm | str,
    env: Env | str,
    config: PyTree | None,
    grid: Mapping[str, Sequence[Any]] | Sequence[Point],
    seeds: int | Sequence[int] = 8,
    num_evals: int = 20,
    num_episodes: int = 16,
    deterministic: bool = True,
    max_eval_steps: int | None = None,
    halving: int = 1,
    eta: int = ETA,
    max_lanes: int | None = None,
) -> list[str]:
    """What `run_sweep` would train and compile, for people; raises what it would raise for these arguments."""
    sweep, cells = planned(
        algo, env, config, grid, seeds, num_evals, num_episodes, deterministic, max_eval_steps, halving, eta, max_lanes
    )
    sweep = sweep._replace(cells=tuple(cells))
    lines = announcement(sweep, 0, range(len(cells)), {})
    for i, member in enumerate(sweep.groups):
        parts = [cell for cell in cells if cell.group == i]
        static = {name: value for name, value in sweep.points[member.points[0]].items() if name not in member.swept}
        needed = memory.need(sweep.base.algo, member.env, member.config)
        lines.append(
            f"program {i + 1}: {describe_point(static) + ': ' if static else ''}{count(len(member.points), 'point')}, "
            f"{count(len(parts), 'part')} of {count(parts[0].width, 'run')}, {memory.readable(needed.per_seed)} each, "
            f"{memory.readable(memory.at_start(needed, parts[0].width))} at the start"
        )
    return lines


@transfers()
def resume_sweep(
    directory: str | Path,
    algo: Algorithm | str | None = None,
    env: Env | str | None = None,
    progress: bool = True,
    checkpoint_seconds: float | None = CHECKPOINT_SECONDS,
) -> SweepResult:
    """Go on with a sweep: parts that are done are read, the others go on from their checkpoints or begin.

    On the same devices and versions the tables are equal byte for byte to those of a sweep that was not stopped. An
    algorithm or environment of your own cannot be found by its name: give it. Raises `FileNotFoundError` where there
    is no sweep, and `ValueError` for files that are damaged or of another sweep.
    """
    progress, checkpoint_seconds = check_driving(progress, checkpoint_seconds)
    asked = load_plan(directory, algo, env)
    with records.alone(asked.base.directory):
        return _go_on(asked, progress, checkpoint_seconds)


def load_sweep(directory: str | Path, algo: Algorithm | str | None = None, env: Env | str | None = None) -> SweepResult:
    """What a sweep has reached so far, from its files; raises as `resume_sweep` does."""
    return read_results(load_plan(directory, algo, env))


def keep(final: Sequence[np.ndarray], eta: int = ETA) -> list[int]:
    """Indices of the points that successive halving trains further: the best floor(n / eta), but one at least.

    The points are compared by `rank` at the end of a rung, `final [C, S]`; see Jamieson & Talwalkar 2016
    (arXiv:1502.07943, figure 1) and Li et al. 2018 (arXiv:1603.06560, algorithm 1: n_i = floor(n eta^-i)).
    """
    return sorted(rank(final)[: max(len(final) // eta, 1)])


def planned(
    algo: Algorithm | str,
    env: Env | str,
    config: PyTree | None,
    grid: Mapping[str, Sequence[Any]] | Sequence[Point],
    seeds: int | Sequence[int],
    num_evals: int,
    num_episodes: int,
    deterministic: bool,
    max_eval_steps: int | None,
    halving: int,
    eta: int,
    max_lanes: int | None,
) -> tuple[Sweep, list[Cell]]:
    """A sweep, checked, and its first parts; it has no directory yet."""
    algo, env, config = take(algo, env, config)
    points = spell(env, config, product(grid) if isinstance(grid, Mapping) else grid)
    groups, seeds = group(env, config, points), seed_list(seeds)
    num_evals, num_episodes = whole("num_evals", num_evals), whole("num_episodes", num_episodes)
    deterministic = flag("deterministic", deterministic)
    max_eval_steps = whole_or_none("max_eval_steps", max_eval_steps)
    halving, eta = whole("halving", halving), whole("eta", eta, 2)
    max_lanes = whole_or_none("max_lanes", max_lanes)
    for member in groups:
        check_run(algo, member.env, member.config, 1, None, num_evals, num_episodes, deterministic, max_eval_steps)
        rung_ends(evaluation_ends(algo, member.config, num_evals), halving, eta)
    settings = {"num_evals": num_evals, "num_episodes": num_episodes, "deterministic": deterministic}
    settings["max_eval_steps"] = max_eval_steps
    tables = records.describe(algo, env, config, seeds, settings)
    base = SavedRun(records.RUNS, algo, env, config, seeds, settings, {}, tables)
    sweep = Sweep(base, points, groups, (), halving, eta, max_lanes)
    return sweep, plan(sweep, 0, range(len(points)))


def plan(sweep: Sweep, rung: int, points: Sequence[int]) -> list[Cell]:
    """The parts in which `points` are trained in a rung: those of a program together, cut to what fits in memory."""
    algo, seeds, cells = sweep.base.algo, sweep.base.seeds, []
    for i, member in enumerate(sweep.groups):
        here = [point for point in member.points if point in points]
        free = memory.available()
        needed = memory.need(algo, member.env, member.config)
        fit = len(here) * len(seeds) if free is None else memory.most_seeds(needed, free)
        fit = max((cell.width for cell in sweep.cells if cell.group == i), default=fit)  # as in the first rung
        fit = max(min(fit, sweep.max_lanes or fit), 1)
        point_parts = _parts(here, max(fit // len(seeds), 1))
        seed_parts = _parts(seeds, fit)
        parts = [(some, many) for some in point_parts for many in seed_parts]
        width = max((len(some) * len(many) for some, many in parts), default=0)
        cells += [Cell(rung, i, tuple(some), tuple(many), width) for some, many in parts]
    return cells


def _parts(items: Sequence[int], most: int) -> list[Sequence[int]]:
    """As few parts as possible of at most so many items, and of one size but for the last."""
    size = -(-len(items) // -(-len(items) // most)) if items else 1
    return [items[i : i + size] for i in range(0, len(items), size)]


def _go_on(sweep: Sweep, progress: bool, checkpoint_seconds: float | None) -> SweepResult:
    """Train what is not done yet, rung by rung, then write the tables and draw."""

    def say(line: str) -> None:
        if progress:
            print(line, file=sys.stderr, flush=True)

    held: dict[int, OnDevices] = {}  # parts that the next rung goes on from, as far as there is room
    programs: Programs = {}
    stopped = ""
    with stoppable() as stop:
        while not stopped:
            rung = sweep.cells[-1].rung
            todo = [k for k in range(len(sweep.cells)) if not is_done(sweep, k)]  # of earlier rungs: what was damaged
            for line in announcement(sweep, rung, todo, programs):
                say(line)
            stopped = _train_cells(sweep, todo, say, stop, checkpoint_seconds, programs, held)
            if stopped or rung + 1 == sweep.halving:
                break
            result = read_results(sweep)
            here = [c for c in range(len(sweep.points)) if result.rungs[c] == rung]
            kept = [here[i] for i in keep([result.final(c) for c in here], sweep.eta)]
            sweep = add_cells(sweep, plan(sweep, rung + 1, kept))
    result = read_results(sweep)._replace(stopped=stopped)
    write_results(sweep, result)
    return result


def announcement(sweep: Sweep, rung: int, todo: Sequence[int], programs: Programs) -> list[str]:
    """What is going to be trained, and how many programs will be compiled for it beside those there are."""
    cells, base = [sweep.cells[k] for k in todo], sweep.base
    if not cells:
        return []
    here = {point for cell in sweep.cells if cell.rung == rung for point in cell.points}
    lanes = sum(len(cell.lanes) for cell in cells)
    lines = [
        f"{base.algo.name} on {base.env.name}: {count(len(here), 'point')} x {count(len(base.seeds), 'seed')}, "
        f"{count(lanes, 'run')} to train, on {count(len(jax.local_devices()), f'{jax.default_backend()} device')}"
    ]
    if sweep.halving > 1:
        lines[0] = f"rung {rung + 1} of {sweep.halving}: {lines[0]}"
    missing = len({(cell.group, cell.width) for cell in cells} - set(programs))
    lines.append(f"{count(missing, 'program')} to compile, {count(len(cells), 'part')} to train")
    return lines


def _train_cells(
    sweep: Sweep,
    todo: Sequence[int],
    say: Callable[[str], None],
    stop: Callable[[], str],
    checkpoint_seconds: float | None,
    programs: Programs,
    held: dict[int, OnDevices],
) -> str:
    """Train parts one after another. Returns what stopped it before their end, or nothing."""
    for i, k in enumerate(todo):
        if stop():
            return stop()
        _make_room(sweep, sweep.cells[k], held)
        part = f"part {i + 1} of {len(todo)}: " if len(todo) > 1 else ""
        stopped = _train(sweep, k, part, say, stop, checkpoint_seconds, programs, held)
        if stopped:
            return stopped
    return ""


def _make_room(sweep: Sweep, cell: Cell, held: dict[int, OnDevices]) -> None:
    """Let go of what is held on the devices if a part would not fit beside it: its checkpoints have it too."""
    if not held:
        return
    member, free = sweep.groups[cell.group], memory.available()
    needed = memory.need(sweep.base.algo, member.env, member.config)
    if free is not None and memory.at_start(needed, cell.width) > free:
        held.clear()


def _load_cell(sweep: Sweep, k: int) -> SavedRun:
    """A part as its directory says."""
    member = sweep.groups[sweep.cells[k].group]
    return load_run(cell_directory(sweep, k), sweep.base.algo, member.env, member.config)


def _train(
    sweep: Sweep,
    k: int,
    part: str,
    say: Callable[[str], None],
    stop: Callable[[], str],
    checkpoint_seconds: float | None,
    programs: Programs,
    held: dict[int, OnDevices],
) -> str:
    """Train one part, from its start or from where it was. See `_go_on` for what is `held`."""
    cell, base = sweep.cells[k], sweep.base
    saved, ends = _load_cell(sweep, k), ends_of(sweep, cell)
    reached: Reached | OnDevices | None
    if not checkpoint.places(saved.directory) and cell.rung:
        reached, doubts = _survivors(sweep, cell, saved.directory, held)
    else:
        reached, doubts = load_reached(saved) or (None, [])
    later = {other.group for other in sweep.cells[k + 1 :]}
    for i in [i for i in held if sweep.cells[i].rung < cell.rung and sweep.cells[i].group not in later]:
        del held[i]
    for doubt in doubts:
        warnings.warn(f"{doubt}: equal up to rounding, not bit for bit", stacklevel=2)
    seeds = tuple(seed for _, seed in cell.lanes)
    axes = {name: np.repeat(values, len(cell.seeds)) for name, values in saved.grid.items()}
    how = saved.settings
    evaluation = Evaluation(how["num_episodes"], how["deterministic"], how["max_eval_steps"])
    swept = resolve(saved.env, saved.config, axes)
    job = Job(base.algo, saved.env, saved.config, seeds, swept, ends, evaluation, cell.width)
    labels = {name.removeprefix("config."): list(values) for name, values in axes.items()}
    recorder = Recorder(saved.directory, seeds, base.algo.steps_per_update(saved.config), labels)
    recorder.begin(reached.logs, reached.seconds) if reached is not None else recorder.begin()
    start: Start = [] if reached is None else [reached]
    del reached  # `drive` is then the only one that has it
    compiled = programs.setdefault((cell.group, cell.width), {})
    watcher = SweepWatcher(sweep, cell, part, ends[-1] * recorder.steps_per_update, not compiled, say)
    keeper = Keeper(saved, recorder, checkpoint_seconds)
    outcome = drive(job, watcher, keeper, start, programs=compiled, stop=stop)
    if cell.rung + 1 < sweep.halving:
        held[k] = outcome.reached
    return outcome.stopped


class SweepWatcher:
    """Says how a part of a sweep goes: a line for each evaluation."""

    def __init__(
        self, sweep: Sweep, cell: Cell, part: str, total_steps: int, compiles: bool, say: Callable[[str], None]
    ) -> None:
        self.points, self.cell, self.total_steps, self.compiles = sweep.points, cell, total_steps, compiles
        self.part, self.say, self.named, self.waiting = part, say, set[int](), ExitStack()

    def __enter__(self) -> None:
        cell = self.cell
        what = (
            describe_point(self.points[cell.points[0]]) if len(cell.points) == 1 else count(len(cell.points), "point")
        )
        doing = "compiling" if self.compiles else "training"
        self.say(f"{self.part}{what} x {count(len(cell.seeds), 'seed')}, {doing} ...")
        self.waiting.enter_context(counting(f"{self.part}{doing}", say=self.say))

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self.waiting.close()

    def compiled(self, seconds: float, source: str = "") -> None:
        """Say how long it took, if something was compiled."""
        self.waiting.close()
        if self.compiles:
            self.say(f"{self.part}compiled in {seconds:.1f} s{f' ({source})' if source else ''}, training")

    def evaluated(self, log: Log, seconds: float) -> None:
        """Say how far it is, and which point is best so far."""
        lanes, steps = self.cell.lanes, int(log.env_steps[0])
        for lane in np.flatnonzero(np.asarray(log.failed_at) >= 0).tolist():
            if lane not in self.named:
                self.named.add(lane)
                point, seed = lanes[lane]
                self.say(
                    f"{describe_point(self.points[point])}, seed {seed} failed at update {int(log.failed_at[lane])}; it "
                    "keeps its last finite policy"
                )
        final = list(np.asarray(log.returns).reshape(len(self.cell.points), -1))
        best = rank(final)[0]
        self.say(
            f"{self.part}{steps:,}/{self.total_steps:,} steps   {len(lanes) * steps / max(seconds, 1e-9):,.0f} steps/s"
            f"   {clock(seconds * (self.total_steps - steps) / max(steps, 1))} left   "
            f"best {float(iqm(final[best])):.1f} at {describe_point(self.points[self.cell.points[best]])}"
        )


def _survivors(sweep: Sweep, cell: Cell, directory: Path, held: Mapping[int, OnDevices]) -> tuple[OnDevices, list[str]]:
    """Where the lanes of a part were at the end of the rung before, with what may keep them from going on bit for bit.

    What is still on the devices is gathered there, the rest read from checkpoints. The times of the evaluations until
    then are copied to its directory.
    """
    parts: list[OnDevices] = []
    places: dict[tuple[int, int], tuple[int, int]] = {}
    doubts: list[str] = []
    for k, rows in _sources(sweep, cell).items():
        lanes = [sweep.cells[k].lanes[row] for row in rows]
        if k in held:
            part = held[k]
        else:
            found = load_reached(_load_cell(sweep, k))
            if found is None:
                raise ValueError(f"{cell_directory(sweep, k)} holds no checkpoint, from which the next rung goes on")
            doubts, part = found[1], to_devices(choose(found[0], rows), len(rows))
            rows = range(len(rows))
        places |= {lane: (len(parts), row) for lane, row in zip(lanes, rows, strict=True)}
        parts.append(part)
        shutil.copy(cell_directory(sweep, k) / "timing.csv", directory)
    return gather(parts, [places[lane] for lane in cell.lanes], cell.width), doubts


def _sources(sweep: Sweep, cell: Cell) -> dict[int, list[int]]:
    """The parts of the rung before that a part's lanes come from, and which lanes of them those are."""
    before = {
        k: other for k, other in enumerate(sweep.cells) if (other.rung, other.group) == (cell.rung - 1, cell.group)
    }
    rows = {k: [i for i, lane in enumerate(other.lanes) if lane in cell.lanes] for k, other in before.items()}
    return {k: some for k, some in rows.items() if some}
