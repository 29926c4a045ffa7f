"""Sweeps on disk: many points and seeds in as few programs as there are shapes, each part kept as a run that resumes.

A sweep's directory holds

    sweep.toml    what was asked: the base config and environment, points, and which part trains which of them
    cells/0, ...  the parts, each a run with its own config.toml, progress.csv and checkpoint
    results.csv   tidy: a row for each point, seed and evaluation, with a column for each name that was varied
    ranking.csv   the points from best to worst: IQM over seeds of the final returns, 95% interval, worst seed, failures
    sweep.png     what the scores are over the values
    best.toml     the best point as a recipe

Nothing in the tables depends on the clock. Points that differ in traced values only are trained together, as one
program over all their seeds; where they do not fit in memory they are cut into parts of one width, which share it.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import itertools
import shutil
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_up import checkpoint, envs, memory, records
from jaxrl_up.algorithms import ALGORITHMS
from jaxrl_up.driving import Job, Keeper, drive, stoppable
from jaxrl_up.envs import Env
from jaxrl_up.points import Group, Point, configure, describe, group, options, product, spell, text
from jaxrl_up.records import Recorder
from jaxrl_up.reporting import clock, count
from jaxrl_up.run import CHECKPOINT_SECONDS, check_run, seed_list
from jaxrl_up.saved_runs import (
    Best,
    Reached,
    SavedRun,
    load_reached,
    load_run,
)
from jaxrl_up.scores import Score, iqm, score
from jaxrl_up.training import Evaluation, Log, Progress, evaluation_ends, resolve
from jaxrl_up.types import Algorithm, PyTree

FILE = "sweep.toml"
CELLS = "cells"
FILES = (FILE, CELLS, "results.csv", "ranking.csv", "sweep.png", "best.toml")
RUNS = Path("runs")  # where a sweep goes that is given no directory
ETA = 3


class Cell(NamedTuple):
    """A part of a sweep that is trained together: some points on some seeds."""

    rung: int  # of successive halving
    group: int  # which program
    points: tuple[int, ...]
    seeds: tuple[int, ...]
    width: int  # lanes are filled up to so many, so that the parts of a group share its program

    @property
    def lanes(self) -> list[tuple[int, int]]:
        """(point, seed) of each lane."""
        return [(point, seed) for point in self.points for seed in self.seeds]


class Sweep(NamedTuple):
    """A sweep as its sweep.toml says."""

    base: SavedRun
    points: tuple[Point, ...]  # [C]
    groups: tuple[Group, ...]
    cells: tuple[Cell, ...]
    halving: int  # rungs; 1: every point is trained to the end
    eta: int
    max_lanes: int | None


class Ranked(NamedTuple):
    """A point with its score: of the final policies, every seed counted."""

    point: int  # which of the sweep's
    values: Point
    score: Score
    worst: float
    worst_seed: int
    failed: tuple[int, ...]  # seeds whose loss or learner was not finite; they are in the score
    env_steps: int  # of each seed
    rung: int  # of successive halving, at whose end it was stopped; the last if it was not


class SweepResult(NamedTuple):
    """What a sweep reached so far. Points may differ in their number of evaluations E: what is missing is NaN."""

    directory: Path
    algo: Algorithm
    env: Env  # the base, which the points change
    config: PyTree
    points: tuple[Point, ...]  # [C]
    seeds: tuple[int, ...]  # [S]
    env_steps: np.ndarray  # [C, E], per seed
    returns: np.ndarray  # mean evaluation returns, [C, S, E]
    failed_at: np.ndarray  # the update whose loss or learner was not finite, [C, S]; -1 for none
    rungs: np.ndarray  # of successive halving, that each point has come to, [C]
    finished: np.ndarray  # whether a point is done: trained to the end, or stopped by successive halving, bool [C]
    stopped: str = ""  # what stopped the sweep: "Ctrl-C", "SIGTERM" or nothing

    @property
    def ranking(self) -> tuple[Ranked, ...]:
        """The points that are done, from best to worst by the IQM over seeds of their final returns.

        Points of a later rung are above those of an earlier one. Equal scores go by the worst seed, then in order.
        """
        done = np.flatnonzero(self.finished).tolist()
        final = {c: _last(self.returns[c]) for c in done}
        order = [done[i] for i in rank([final[c] for c in done], [int(self.rungs[c]) for c in done])]
        return tuple(
            Ranked(
                c,
                self.points[c],
                score(final[c]),
                float(np.min(final[c])),
                self.seeds[int(np.argmin(final[c]))],
                tuple(s for s, update in zip(self.seeds, self.failed_at[c], strict=True) if update >= 0),
                int(np.nanmax(self.env_steps[c])),
                int(self.rungs[c]),
            )
            for c in order
        )

    @property
    def best(self) -> Ranked:
        """The first of the ranking. Raises `ValueError` where no point is done."""
        ranking = self.ranking
        if not ranking:
            raise ValueError(f"no point of {self.directory} is finished: go on with resume_sweep")
        return ranking[0]

    @property
    def best_env(self) -> Env:
        """The environment of the best point."""
        return configure(self.env, self.config, self.best.values)[0]

    @property
    def best_config(self) -> PyTree:
        """The config of the best point."""
        return configure(self.env, self.config, self.best.values)[1]


def run_sweep(
    algo: Algorithm,
    env: Env,
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

    `grid` maps names to lists of values, every combination of which is a point; or it is a list of points, as
    `random_points` gives them. Config fields and environment parameters may be varied, static ones too. At most
    `max_lanes` points times seeds are trained at once (default: as many as fit in memory). With `halving` above 1,
    successive halving in so many rungs: see `keep`. The other arguments are as for `run`; Ctrl-C or SIGTERM stops
    after the current evaluation and returns what was reached. Raises `ValueError` for anything out of range, before
    anything is compiled or written, and `FileExistsError` for a directory that holds a sweep or a run.
    """
    if directory is not None:
        check_place(directory, force)
    sweep, cells = _planned(
        algo, env, config, grid, seeds, num_evals, num_episodes, deterministic, max_eval_steps, halving, eta, max_lanes
    )
    if directory is None:
        directory = records.reserve(RUNS / f"sweep-{algo.name}-{env.name}")
    sweep = sweep._replace(base=sweep.base._replace(directory=Path(directory)))
    _create(Path(directory), force)
    return _go_on(_begin_rung(sweep, cells), progress, checkpoint_seconds)


def plan_lines(
    algo: Algorithm,
    env: Env,
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
    sweep, cells = _planned(
        algo, env, config, grid, seeds, num_evals, num_episodes, deterministic, max_eval_steps, halving, eta, max_lanes
    )
    sweep = sweep._replace(cells=tuple(cells))
    lines = announcement(sweep, 0, range(len(cells)))
    for i, member in enumerate(sweep.groups):
        parts = [cell for cell in cells if cell.group == i]
        static = {name: value for name, value in sweep.points[member.points[0]].items() if name not in member.swept}
        needed = memory.need(algo, member.env, member.config).per_seed
        lines.append(
            f"program {i + 1}: {describe(static) + ': ' if static else ''}{count(len(member.points), 'point')}, "
            f"{count(len(parts), 'part')} of {count(parts[0].width, 'run')}, {memory.readable(needed)} each, "
            f"{memory.readable(memory.at_start(needed, parts[0].width))} at the start"
        )
    return lines


def resume_sweep(
    directory: str | Path,
    algo: Algorithm | None = None,
    env: Env | None = None,
    progress: bool = True,
    checkpoint_seconds: float | None = CHECKPOINT_SECONDS,
) -> SweepResult:
    """Go on with a sweep: parts that are done are read, the others go on from their checkpoints or begin.

    On the same devices and versions the tables are equal byte for byte to those of a sweep that was not stopped. An
    algorithm or environment of your own cannot be found by its name: give it. Raises `FileNotFoundError` where there
    is no sweep, and `ValueError` for files that are damaged or of another sweep.
    """
    return _go_on(_load(directory, algo, env), progress, checkpoint_seconds)


def load_sweep(directory: str | Path, algo: Algorithm | None = None, env: Env | None = None) -> SweepResult:
    """What a sweep has reached so far, from its files; raises as `resume_sweep` does."""
    return _result(_load(directory, algo, env))


def is_sweep(directory: str | Path) -> bool:
    """Whether a directory holds a sweep."""
    return (Path(directory) / FILE).is_file()


def check_place(directory: str | Path, force: bool = False) -> None:
    """Raise `FileExistsError` for a directory that holds a sweep or a run, `OSError` for what cannot become one."""
    records.check_directory(directory)
    for name in FILES:
        if (Path(directory) / name).exists() and not force:
            raise FileExistsError(
                f"{directory} already holds a sweep ({name}); choose another directory, replace it with --force, or "
                f"go on with `jaxrl-up resume {directory}`"
            )


def rank(final: Sequence[np.ndarray], rungs: Sequence[int] | None = None) -> list[int]:
    """Indices of points from best to worst: later rungs first, then by the IQM of `final [C, S]`, then the worst seed.

    What is not a number comes last; points that are equal stay in order.
    """
    rungs = [0] * len(final) if rungs is None else rungs
    middle = [float(np.nan_to_num(iqm(row), nan=-np.inf)) for row in final]
    worst = [float(np.nan_to_num(np.min(row), nan=-np.inf)) for row in final]
    return sorted(range(len(final)), key=lambda i: (-rungs[i], -middle[i], -worst[i], i))


def keep(final: Sequence[np.ndarray], eta: int = ETA) -> list[int]:
    """Indices of the points that successive halving trains further: the best floor(n / eta), but one at least.

    The points are compared by `rank` at the end of a rung, `final [C, S]`; see Jamieson & Talwalkar 2016
    (arXiv:1502.07943, figure 1) and Li et al. 2018 (arXiv:1603.06560, algorithm 1: n_i = floor(n eta^-i)).
    """
    return sorted(rank(final)[: max(len(final) // eta, 1)])


def rung_ends(ends: Sequence[int], halving: int, eta: int = ETA) -> list[int]:
    """How many evaluations each rung of successive halving has come to at its end, `[halving]`.

    Rung i of K ends at the first evaluation at or after the share eta^(i - K + 1) of all updates (Li et al. 2018,
    algorithm 1: r_i = R eta^(i - s_max)); `ends [E]` are the updates done at each evaluation. Raises `ValueError` for
    rungs that would end together.
    """
    if halving < 1:
        raise ValueError(f"halving={halving} must be at least 1: in how many rungs points are stopped")
    if eta < 2:
        raise ValueError(f"eta={eta} must be at least 2: of so many points one is trained further")
    shares = [eta ** (i - halving + 1) for i in range(halving)]
    cuts = [int(np.searchsorted(ends, share * ends[-1] - 1e-6)) + 1 for share in shares]
    if any(a >= b for a, b in itertools.pairwise(cuts)):
        raise ValueError(
            f"halving={halving} with eta={eta}: rungs end at shares of {', '.join(f'{x:.3g}' for x in shares)} of the "
            f"updates, which {len(ends)} evaluations do not tell apart; give fewer rungs or a larger num_evals"
        )
    return cuts


def _planned(
    algo: Algorithm,
    env: Env,
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
    config = algo.Config() if config is None else config
    points = spell(env, config, product(grid) if isinstance(grid, Mapping) else tuple(grid))
    groups, seeds = group(env, config, points), seed_list(seeds)
    if max_lanes is not None and max_lanes < 1:
        raise ValueError(f"max_lanes={max_lanes} must be at least 1, or None")
    for member in groups:
        check_run(algo, member.env, member.config, 1, None, num_evals, num_episodes, deterministic, max_eval_steps)
        rung_ends(evaluation_ends(algo, member.config, num_evals), halving, eta)
    settings = {"num_evals": num_evals, "num_episodes": num_episodes, "deterministic": deterministic}
    settings["max_eval_steps"] = max_eval_steps
    tables = records.describe(algo, env, config, seeds, settings)
    base = SavedRun(RUNS, algo, env, config, seeds, settings, {}, tables)
    sweep = Sweep(base, points, groups, (), halving, eta, max_lanes)
    return sweep, _plan(sweep, 0, range(len(points)))


def _plan(sweep: Sweep, rung: int, points: Sequence[int]) -> list[Cell]:
    """The parts in which `points` are trained in a rung: those of a program together, cut to what fits in memory."""
    algo, seeds, cells = sweep.base.algo, sweep.base.seeds, []
    for i, member in enumerate(sweep.groups):
        here = [point for point in member.points if point in points]
        free = memory.available()
        needed = memory.COPIES * memory.need(algo, member.env, member.config).per_seed
        fit = len(here) * len(seeds) if free is None else (free - memory.HEADROOM) // needed
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


def _create(directory: Path, force: bool) -> None:
    try:
        for name in FILES if force else ():
            path = directory / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        (directory / CELLS).mkdir(parents=True)
    except OSError as error:
        raise OSError(f"cannot write a sweep to {directory}: {error.strerror or error}") from error


def _begin_rung(sweep: Sweep, cells: Sequence[Cell]) -> Sweep:
    """The sweep with further parts, whose directories are made; then sweep.toml says so."""
    base, described = sweep.base, {}
    for k, cell in enumerate(cells, len(sweep.cells)):
        member = sweep.groups[cell.group]
        if cell.group not in described:
            settings = {name: value for name, value in base.settings.items() if name != "stages"}
            described[cell.group] = records.describe(base.algo, member.env, member.config, base.seeds, settings)
        tables = described[cell.group]
        tables = {**tables, "run": {**tables["run"], "seeds": list(cell.seeds)}}
        if member.swept:
            rows = [member.points.index(point) for point in cell.points]
            ambiguous = set(member.env.params)
            tables["grid"] = {
                f"config.{name}" if name in ambiguous else name: [values[i] for i in rows]
                for name, values in member.swept.items()
            }
        records.create(_place(sweep, k), tables, force=True)
    sweep = sweep._replace(cells=(*sweep.cells, *cells))
    about = {"axes": list(sweep.points[0]), "halving": sweep.halving, "eta": sweep.eta, "max_lanes": sweep.max_lanes}
    tables = {
        **{name: table for name, table in base.tables.items() if name not in ("sweep", "points", "cells")},
        "sweep": about,
        "points": {name: [point[name] for point in sweep.points] for name in sweep.points[0]},
        "cells": {str(k): cell._asdict() for k, cell in enumerate(sweep.cells)},
    }
    records.write_atomically(base.directory / FILE, records.to_toml(tables))
    return sweep


def _load(directory: str | Path, algo: Algorithm | None, env: Env | None) -> Sweep:
    path = Path(directory) / FILE
    if not path.exists():
        raise FileNotFoundError(f"{directory} holds no sweep: there is no {FILE}")
    base = load_run(path, algo, env)
    try:
        about, table = base.tables["sweep"], base.tables["points"]
        columns = {name: [_python(value) for value in table[name]] for name in about["axes"]}
        points = tuple(dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))
        cells = tuple(
            Cell(cell["rung"], cell["group"], tuple(cell["points"]), tuple(cell["seeds"]), cell["width"])
            for cell in base.tables["cells"].values()
        )
        groups = group(base.env, base.config, spell(base.env, base.config, points))
        return Sweep(base, points, groups, cells, about["halving"], about["eta"], _python(about["max_lanes"]))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{path} is not a sweep's: {error}") from None


def _python(value: Any) -> Any:
    """A value of sweep.toml: "none" is None, a list a tuple."""
    return None if value == "none" else tuple(value) if isinstance(value, list) else value


def _place(sweep: Sweep, k: int) -> Path:
    return sweep.base.directory / CELLS / str(k)


def _ends(sweep: Sweep, cell: Cell) -> tuple[int, ...]:
    """Updates done at each evaluation of a part, until the end of its rung."""
    ends = evaluation_ends(sweep.base.algo, sweep.groups[cell.group].config, sweep.base.settings["num_evals"])
    return ends[: rung_ends(ends, sweep.halving, sweep.eta)[cell.rung]]


def _is_done(sweep: Sweep, k: int) -> bool:
    place = checkpoint.latest(_place(sweep, k))
    return place is not None and int(place.name) >= _ends(sweep, sweep.cells[k])[-1]


def _go_on(sweep: Sweep, progress: bool, checkpoint_seconds: float | None) -> SweepResult:
    """Train what is not done yet, rung by rung, then write the tables and draw."""

    def say(line: str) -> None:
        if progress:
            print(line, file=sys.stderr, flush=True)

    stopped = ""
    with stoppable() as stop:
        while not stopped:
            rung = sweep.cells[-1].rung
            todo = [k for k, cell in enumerate(sweep.cells) if cell.rung == rung and not _is_done(sweep, k)]
            for line in announcement(sweep, rung, todo):
                say(line)
            stopped = _train_cells(sweep, todo, say, stop, checkpoint_seconds)
            if stopped or rung + 1 == sweep.halving:
                break
            result = _result(sweep)
            here = [c for c in range(len(sweep.points)) if result.rungs[c] == rung]
            kept = [here[i] for i in keep([_last(result.returns[c]) for c in here], sweep.eta)]
            sweep = _begin_rung(sweep, _plan(sweep, rung + 1, kept))
    result = _result(sweep)._replace(stopped=stopped)
    _write(sweep, result)
    return result


def announcement(sweep: Sweep, rung: int, todo: Sequence[int]) -> list[str]:
    """What is going to be trained, and how many programs will be compiled for it."""
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
    programs = len({cell.group for cell in cells})
    lines.append(f"{count(programs, 'program')} to compile, {count(len(cells), 'part')} to train")
    return lines


def _train_cells(
    sweep: Sweep,
    todo: Sequence[int],
    say: Callable[[str], None],
    stop: Callable[[], str],
    checkpoint_seconds: float | None,
) -> str:
    """Train parts one after another. Returns what stopped it before their end, or nothing."""
    programs: dict[Any, Any] = {}
    for i, k in enumerate(todo):
        if stop():
            return stop()
        if i and sweep.cells[k].group != sweep.cells[todo[i - 1]].group:
            programs = {}
        part = f"part {i + 1} of {len(todo)}: " if len(todo) > 1 else ""
        stopped = _train(sweep, k, part, say, stop, checkpoint_seconds, programs)
        if stopped:
            return stopped
    return ""


def _train(
    sweep: Sweep,
    k: int,
    part: str,
    say: Callable[[str], None],
    stop: Callable[[], str],
    checkpoint_seconds: float | None,
    programs: dict[Any, Any],
) -> str:
    """Train one part, from its start or from where it was."""
    cell, base = sweep.cells[k], sweep.base
    saved, ends = load_run(_place(sweep, k), base.algo, sweep.groups[cell.group].env), _ends(sweep, cell)
    if checkpoint.latest(saved.directory) is None and cell.rung:
        reached, doubts = _survivors(sweep, cell, saved.directory)
    else:
        reached, doubts = load_reached(saved) or (None, [])
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
    watcher = _Watcher(sweep, cell, part, ends[-1] * recorder.steps_per_update, not programs, say)
    keeper = Keeper(saved, recorder, checkpoint_seconds)
    return drive(job, watcher, keeper, reached, programs=programs, stop=stop).stopped


class _Watcher:
    """Says how a part of a sweep goes: a line for each evaluation."""

    def __init__(
        self, sweep: Sweep, cell: Cell, part: str, total_steps: int, compiles: bool, say: Callable[[str], None]
    ) -> None:
        self.points, self.cell, self.total_steps, self.compiles = sweep.points, cell, total_steps, compiles
        self.part, self.say, self.named = part, say, set[int]()

    def __enter__(self) -> None:
        cell = self.cell
        what = describe(self.points[cell.points[0]]) if len(cell.points) == 1 else count(len(cell.points), "point")
        doing = "compiling" if self.compiles else "training"
        self.say(f"{self.part}{what} x {count(len(cell.seeds), 'seed')}, {doing} ...")

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        pass

    def compiled(self, seconds: float) -> None:
        """Say how long it took, if something was compiled."""
        if self.compiles:
            self.say(f"{self.part}compiled in {seconds:.1f} s, training")

    def evaluated(self, log: Log, seconds: float) -> None:
        """Say how far it is, and which point is best so far."""
        lanes, steps = self.cell.lanes, int(log.env_steps[0])
        for lane in np.flatnonzero(np.asarray(log.failed_at) >= 0).tolist():
            if lane not in self.named:
                self.named.add(lane)
                point, seed = lanes[lane]
                self.say(
                    f"{describe(self.points[point])}, seed {seed} failed at update {int(log.failed_at[lane])}; it "
                    "keeps its last finite policy"
                )
        final = list(np.asarray(log.returns).reshape(len(self.cell.points), -1))
        best = rank(final)[0]
        self.say(
            f"{self.part}{steps:,}/{self.total_steps:,} steps   {len(lanes) * steps / max(seconds, 1e-9):,.0f} steps/s"
            f"   {clock(seconds * (self.total_steps - steps) / max(steps, 1))} left   "
            f"best {float(iqm(final[best])):.1f} at {describe(self.points[self.cell.points[best]])}"
        )


def _survivors(sweep: Sweep, cell: Cell, directory: Path) -> tuple[Reached, list[str]]:
    """Where the lanes of a part were at the end of the rung before: states, logs and best policies; as `load_reached`.

    The times of the evaluations until then are copied to its directory.
    """
    trees, lanes, reached, doubts = [], [], None, []
    for k, before in enumerate(sweep.cells):
        chosen = [i for i, lane in enumerate(before.lanes) if lane in cell.lanes]
        if before.rung == cell.rung - 1 and before.group == cell.group and chosen:
            found = load_reached(load_run(_place(sweep, k), sweep.base.algo, sweep.groups[cell.group].env))
            if found is None:
                raise ValueError(f"{_place(sweep, k)} holds no checkpoint, from which the next rung goes on")
            reached, doubts = found
            shutil.copy(_place(sweep, k) / "timing.csv", directory)
            trees.append(_lanes(reached, chosen))
            lanes += [before.lanes[i] for i in chosen]
    assert reached is not None, "every part of a later rung has points of the one before"
    order = np.array([lanes.index(lane) for lane in cell.lanes])
    progress, logs, best = jax.tree.map(lambda *x: _concatenate(x)[order], *trees)
    progress = progress._replace(state=progress.state._replace(counters=reached.progress.state.counters))
    return reached._replace(progress=progress, logs=logs, best=best), doubts


def _lanes(reached: Reached, chosen: Sequence[int]) -> tuple[Progress, tuple[Log, ...], Best]:
    """Some lanes of what a checkpoint holds; the counters, which have none, are left out."""
    bare = reached.progress._replace(state=reached.progress.state._replace(counters=None))
    return jax.tree.map(lambda x: x[np.array(chosen)], (bare, reached.logs, reached.best))


def _concatenate(parts: Sequence[Any]) -> Any:
    return (jnp if isinstance(parts[0], jax.Array) else np).concatenate(parts)


def _last(returns: np.ndarray) -> np.ndarray:
    """The returns of the last evaluation that there is, `[S]` of `[S, E]`."""
    there = np.flatnonzero(~np.isnan(returns).all(axis=0))
    return returns[:, there[-1]] if len(there) else np.full(len(returns), np.nan)


def _rows(sweep: Sweep) -> dict[tuple[int, int], list[dict[str, str]]]:
    """The rows of each point and seed, a row for each evaluation, as text."""
    rows: dict[tuple[int, int], list[dict[str, str]]] = {}
    for k, cell in enumerate(sweep.cells):
        path = _place(sweep, k) / "progress.csv"
        if not path.exists():
            continue
        with path.open(encoding="utf-8", newline="") as file:
            table = [row for row in csv.DictReader(file) if None not in row.values()]
        whole = len(table) - len(table) % len(cell.lanes)
        for i, lane in enumerate(cell.lanes):
            if whole:
                rows[lane] = table[i : whole : len(cell.lanes)]
    return rows


def _result(sweep: Sweep) -> SweepResult:
    base, rows = sweep.base, _rows(sweep)
    shape = len(sweep.points), len(base.seeds), max(map(len, rows.values()), default=0)
    steps, returns = np.full((shape[0], shape[2]), np.nan), np.full(shape, np.nan)
    failed_at, rungs = np.full(shape[:2], -1), np.zeros(shape[0], int)
    finished = np.zeros(shape[0], bool)
    for (point, seed), table in rows.items():
        s, e = base.seeds.index(seed), len(table)
        steps[point, :e] = [int(row["env_steps"]) for row in table]
        returns[point, s, :e] = [float(row["return"]) for row in table]
        failed_at[point, s] = int(table[-1]["failed_at"])
    for point in range(shape[0]):
        rungs[point] = max((cell.rung for cell in sweep.cells if point in cell.points), default=0)
        parts = [k for k, cell in enumerate(sweep.cells) if point in cell.points and cell.rung == rungs[point]]
        finished[point] = all(_is_done(sweep, k) for k in parts)
    values = (sweep.points, base.seeds, steps, returns, failed_at, rungs, finished)
    return SweepResult(base.directory, base.algo, base.env, base.config, *values)


def _write(sweep: Sweep, result: SweepResult) -> None:
    """Write results.csv, and of the points that are done ranking.csv, sweep.png and best.toml."""
    directory, axes = result.directory, list(result.points[0])
    halved = ["rung"] if sweep.halving > 1 else []
    labels = [
        [str(c), *map(text, point.values()), *[str(rung + 1)] * len(halved)]
        for c, (point, rung) in enumerate(zip(result.points, result.rungs, strict=True))
    ]
    rows, losses = _rows(sweep), set[str]()
    for table in rows.values():
        losses |= {name for name in table[-1] if name not in (*records.COLUMNS, *axes)}
    columns = [*records.COLUMNS, *sorted(losses)]
    _write_table(
        directory / "results.csv",
        ["point", *axes, *halved, *columns],
        [
            [*labels[lane[0]], *(row.get(name, "nan") for name in columns)]
            for lane in sorted(rows)
            for row in rows[lane]
        ],
    )
    ranking = result.ranking
    _write_table(
        directory / "ranking.csv",
        ["rank", "point", *axes, *halved, "env_steps", "seeds", "iqm", "low", "high", "worst", "worst_seed", "failed"],
        [
            [i, *labels[r.point], r.env_steps, len(result.seeds), *r.score[:3], r.worst, r.worst_seed, len(r.failed)]
            for i, r in enumerate(ranking, 1)
        ],
    )
    if not ranking:
        return
    from jaxrl_up.sweep_plots import plot_scores

    title = f"{result.algo.name} on {result.env.name}, {count(len(result.seeds), 'seed')}"
    title += ", points as far as they came" if sweep.halving > 1 else ""
    drawn = sorted(ranking, key=lambda ranked: ranked.point)
    try:
        plot_scores([r.values for r in drawn], [r.score for r in drawn], directory / "sweep.png", title)
    except (OSError, ImportError, ValueError) as error:
        warnings.warn(f"{directory / 'sweep.png'} was not written: {error}", stacklevel=2)
    try:
        records.write_atomically(directory / "best.toml", best_recipe(result))
    except ValueError as error:
        warnings.warn(f"{directory / 'best.toml'} was not written: {error}", stacklevel=2)


def best_recipe(result: SweepResult) -> str:
    """The best point as a recipe (see `jaxrl_up.recipes`): what differs from the defaults.

    Raises `ValueError` for an algorithm, network or environment of your own, which a recipe cannot name.
    """
    algo, env, config, best = result.algo, result.best_env, result.best_config, result.best
    own = any(dataclasses.is_dataclass(getattr(config, field.name)) for field in dataclasses.fields(config))
    if own or ALGORITHMS.get(algo.name) is not algo or env.name not in envs.names() or env.spec.wrappers:
        raise ValueError("a recipe cannot name an algorithm, a network or an environment of your own")
    default, usual = algo.Config(), options(envs.make(env.name))
    fields = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    tables = {
        "parameters": {name: value for name, value in options(env).items() if value != usual[name]},
        "config": {name: value for name, value in fields.items() if value != getattr(default, name)},
    }
    head = [
        f"# The best of {count(len(result.points), 'point')} of a sweep: {describe(best.values)}.",
        f"# Its score there, {best.score} (IQM of {count(len(result.seeds), 'seed')}, {best.env_steps} steps), is that "
        "of the luckiest",
        "# too: for a score of its own train it with other seeds, as in --seeds 100,101,102,103,104,105,106,107.",
        f'algorithm = "{algo.name}"',
        f'environment = "{env.name}"',
        f"seeds = {len(result.seeds)}",
    ]
    return "\n".join(head) + "\n\n" + records.to_toml({name: table for name, table in tables.items() if table})


def _write_table(path: Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows([header, *rows])
    records.write_atomically(path, file.getvalue())
