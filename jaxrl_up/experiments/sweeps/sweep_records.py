"""Sweeps on disk: many points and seeds in as few programs as there are shapes, each part kept as a run that resumes.

A sweep's directory holds

    sweep.toml    what was asked: the base config and environment, points, and which part trains which of them
    cells/0, ...  the parts, each a run with its own config.toml, progress.csv and checkpoint
    results.csv   tidy: a row for each point, seed and evaluation, with a column for each name that was varied
    ranking.csv   the points from best to worst: IQM over seeds of the final returns, 95% interval, worst seed,
                  failures; whether a point is tied with the best, and P(the best scores above it)
    sweep.png     what the scores are over the values
    best.toml     the best point as a recipe

Nothing in the tables depends on the clock. Points that differ in traced values only are trained together, as one
program over all their seeds; where they do not fit in memory they are cut into parts of one width, which share it.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import shutil
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxrl_up import envs
from jaxrl_up.algorithms import ALGORITHMS, own_value
from jaxrl_up.config import is_own_name
from jaxrl_up.envs import Env
from jaxrl_up.experiments.sweeps.points import Group, describe_point, group, options, spell
from jaxrl_up.experiments.sweeps.results import SweepResult
from jaxrl_up.records import (
    CELLS,
    COLUMNS,
    OWN,
    RANKING,
    SWEEP,
    Named,
    Point,
    RunSpec,
    check_directory,
    checkpoint,
    command,
    count,
    create,
    describe,
    expand,
    from_toml,
    is_built_by_name,
    load_run,
    make_directory,
    not_written,
    own_names,
    point_table,
    processes,
    read_config,
    read_table,
    swept_values,
    table_text,
    text,
    to_toml,
    toml_value,
    variables,
    write_atomically,
)
from jaxrl_up.training import evaluation_ends
from jaxrl_up.types import Algorithm

FILES = (SWEEP, CELLS, "results.csv", RANKING, "sweep.png", "best.toml")
"""What a sweep writes into its directory."""


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

    base: RunSpec
    points: tuple[Point, ...]  # [C]
    groups: tuple[Group, ...]
    cells: tuple[Cell, ...]
    halving: int  # rungs; 1: every point is trained to the end
    eta: int
    max_lanes: int | None


def rung_ends(ends: Sequence[int], halving: int, eta: int) -> list[int]:
    """How many evaluations each rung of successive halving has come to at its end, `[halving]`.

    Rung i of K ends at the first evaluation at or after the share eta^(i - K + 1) of all updates (Li et al. 2018,
    algorithm 1: r_i = R eta^(i - s_max)); `ends [E + 1]` are the updates done at each evaluation. Raises
    `ValueError` for rungs that would end together.
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
            f"updates, which {len(ends) - 1} evaluations do not tell apart; give fewer rungs or a larger num_evals"
        )
    return cuts


def is_sweep(directory: str | Path) -> bool:
    """Whether a directory holds a sweep."""
    return (expand(directory) / SWEEP).is_file()


def check_place(directory: str | Path, force: bool = False) -> None:
    """Raise `FileExistsError` for a directory that holds a sweep or a run, `OSError` for what cannot become one."""
    if not is_sweep(directory):
        check_directory(directory)
    for name in FILES:
        if (expand(directory) / name).exists() and not force:
            ways = [", replace it with --force", f" or go on with `{command('resume', expand(directory))}`"]
            advice = ",".join(ways) if is_sweep(directory) else " or replace it with --force"
            raise FileExistsError(f"{directory} already holds a sweep ({name}); choose another directory{advice}")


def create_sweep(directory: Path, force: bool) -> None:
    """Make a sweep's directory; with `force` a sweep that was there is removed. Raises `OSError`."""
    try:
        for name in FILES if force else ():
            path = directory / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        make_directory(directory / CELLS)
    except OSError as error:
        raise OSError(f"cannot write a sweep to {directory}: {error.strerror or error}") from error


def add_cells(sweep: Sweep, cells: Sequence[Cell]) -> Sweep:
    """The sweep with further parts, whose directories are made; then sweep.toml says so."""
    base, described = sweep.base, {}
    for k, cell in enumerate(cells, len(sweep.cells)):
        member = sweep.groups[cell.group]
        if cell.group not in described:
            settings = base.settings.recorded()
            what = (base.algo, member.env, member.config, base.seeds, settings, member.evaluation_env)
            described[cell.group] = describe(*what)
        tables = described[cell.group]
        tables = {**tables, "run": {**tables["run"], "seeds": list(cell.seeds)}}
        point = sweep.points[cell.points[0]]
        given = {name: str(x) for name, x in point.items() if isinstance(x, Named) and is_own_name(x)}
        tables |= {OWN: tables.get(OWN, {}) | given} if given else {}
        if member.swept:
            rows = [member.points.index(point) for point in cell.points]
            ambiguous = set(member.env.params)
            tables["grid"] = {
                f"config.{name}" if name in ambiguous else name: [values[i] for i in rows]
                for name, values in member.swept.items()
            }
        if processes.is_first():
            create(cell_directory(sweep, k), tables, force=True)
    sweep = sweep._replace(cells=(*sweep.cells, *cells))
    about = {"axes": list(sweep.points[0]), "halving": sweep.halving, "eta": sweep.eta, "max_lanes": sweep.max_lanes}
    tables = {
        **{name: table for name, table in base.tables.items() if name not in ("sweep", "points", "cells")},
        "sweep": about,
        "points": {name: [point_table(point[name]) for point in sweep.points] for name in sweep.points[0]},
        "cells": {str(k): cell._asdict() for k, cell in enumerate(sweep.cells)},
    }
    if processes.is_first():
        write_atomically(base.directory / SWEEP, to_toml(tables))
    processes.see(base.directory / SWEEP)
    return sweep


def load_plan(
    directory: str | Path,
    algo: Algorithm | str | None = None,
    env: Env | str | None = None,
    evaluation_env: Env | str | None = None,
    own: Mapping[str, Any] | None = None,
) -> Sweep:
    """A sweep as its sweep.toml says it was asked for.

    Raises `FileNotFoundError` where there is no sweep, and `ValueError` for a file that is damaged.
    """
    path = expand(directory, "directory") / SWEEP
    if not path.exists():
        raise FileNotFoundError(f"{directory} holds no sweep: there is no {SWEEP}")
    base = load_run(path, algo, env, evaluation_env=evaluation_env, own=own)
    try:
        about = base.tables["sweep"]
        columns = swept_values(base.tables, variables(own))[0]
        points = tuple(dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))
        cells = tuple(
            Cell(cell["rung"], cell["group"], tuple(cell["points"]), tuple(cell["seeds"]), cell["width"])
            for cell in base.tables["cells"].values()
        )
        groups = group(base.env, base.config, spell(base.env, base.config, points), base.evaluation_env)
        return Sweep(base, points, groups, cells, about["halving"], about["eta"], from_toml(about["max_lanes"]))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{path} is not a sweep's: {error}") from None


def cell_directory(sweep: Sweep, k: int) -> Path:
    """Where a part is kept."""
    return sweep.base.directory / CELLS / str(k)


def ends_of(sweep: Sweep, cell: Cell) -> tuple[int, ...]:
    """Updates done at each evaluation of a part, until the end of its rung."""
    ends = evaluation_ends(sweep.base.algo, sweep.groups[cell.group].config, sweep.base.settings.num_evals)
    return ends[: rung_ends(ends, sweep.halving, sweep.eta)[cell.rung]]


def has_come(sweep: Sweep, k: int) -> list[Path]:
    """The checkpoints of a part from the end of its rung, unread."""
    end, places = ends_of(sweep, sweep.cells[k])[-1], checkpoint.places(cell_directory(sweep, k))
    return [place for place in places if checkpoint.updates_of(place) >= end]


def is_done(sweep: Sweep, k: int) -> bool:
    """Whether a part has come to the end of its rung: whether it has a checkpoint from there that is not damaged."""
    return any(map(checkpoint.is_undamaged, has_come(sweep, k)))


def note_device(sweep: Sweep, k: int) -> None:
    """Write down that a part begins on the devices, and with the code, of this process and not of who planned it."""
    base, member, path = sweep.base, sweep.groups[sweep.cells[k].group], cell_directory(sweep, k) / "config.toml"
    now = describe(base.algo, member.env, member.config, base.seeds, evaluation_env=member.evaluation_env)
    told = {name: now[name] for name in ("versions", "code", "device")}
    write_atomically(path, to_toml({**read_config(path), **toml_value(told)}))


def _rows(sweep: Sweep) -> dict[tuple[int, int], list[dict[str, str]]]:
    """The rows of each point and seed, a row for each evaluation, as text."""
    rows: dict[tuple[int, int], list[dict[str, str]]] = {}
    for k, cell in enumerate(sweep.cells):
        path = cell_directory(sweep, k) / "progress.csv"
        if not path.exists():
            continue
        names, *lines = read_table(path) or [[]]
        table = [dict(zip(names, line, strict=True)) for line in lines if len(line) == len(names)]
        whole = len(table) - len(table) % len(cell.lanes)
        for i, lane in enumerate(cell.lanes):
            if whole:
                rows[lane] = table[i : whole : len(cell.lanes)]
    return rows


def read_results(sweep: Sweep) -> SweepResult:
    """What the parts have reached so far, from their progress.csv."""
    base, rows = sweep.base, _rows(sweep)
    shape = len(sweep.points), len(base.seeds), max(map(len, rows.values()), default=0)
    steps, returns = np.full((shape[0], shape[2]), np.nan), np.full(shape, np.nan)
    failed_at, rungs = np.full(shape[:2], -1), np.zeros(shape[0], int)
    finished, done = np.zeros(shape[0], bool), [is_done(sweep, k) for k in range(len(sweep.cells))]
    for (point, seed), table in rows.items():
        s, e = base.seeds.index(seed), len(table)
        steps[point, :e] = [int(row["env_steps"]) for row in table]
        returns[point, s, :e] = [float(row["return"]) for row in table]
        failed_at[point, s] = int(table[-1]["failed_at"])
    for point in range(shape[0]):
        rungs[point] = max((cell.rung for cell in sweep.cells if point in cell.points), default=0)
        parts = [k for k, cell in enumerate(sweep.cells) if point in cell.points and cell.rung == rungs[point]]
        finished[point] = all(done[k] for k in parts)
    values = (sweep.points, base.seeds, steps, returns, failed_at, rungs, finished)
    what = (base.directory, base.algo, base.env, base.config)
    return SweepResult(*what, *values, evaluation_env=base.evaluation_env)


def write_results(sweep: Sweep, result: SweepResult) -> None:
    """Write results.csv, and of the points that are done ranking.csv, sweep.png and best.toml."""
    directory, axes = result.directory, list(result.points[0])
    halved = ["rung"] if sweep.halving > 1 else []
    labels = [
        [str(c), *map(text, point.values()), *[str(rung + 1)] * len(halved)]
        for c, (point, rung) in enumerate(zip(result.points, result.rungs, strict=True))
    ]
    rows, losses = _rows(sweep), set[str]()
    for table in rows.values():
        losses |= {name for name in table[-1] if name not in (*COLUMNS, *axes)}
    columns = [*COLUMNS, *sorted(losses)]
    table = [
        [*labels[lane[0]], *(row.get(name, "nan") for name in columns)] for lane in sorted(rows) for row in rows[lane]
    ]
    write_atomically(directory / "results.csv", table_text(["point", *axes, *halved, *columns], table))
    ranking = result.ranking
    scored = ["iqm", "low", "high", "worst", "worst_seed", "failed", "tied", "best_wins"]
    header = ["rank", "point", *axes, *halved, "env_steps", "seeds", *scored]
    table = []
    for i, r in enumerate(ranking, 1):
        reached = [*r.score[:3], r.worst, r.worst_seed, len(r.failed), str(r.tied).lower(), r.best_wins]
        table.append([i, *labels[r.point], r.env_steps, len(result.seeds), *reached])
    write_atomically(directory / RANKING, table_text(header, table))
    if not ranking:
        return
    from jaxrl_up.analysis import plot_sweep

    try:
        plot_sweep(directory, directory / "sweep.png")
    except (OSError, ImportError, ValueError) as error:
        warnings.warn(not_written(directory / "sweep.png", error), stacklevel=2)
    try:
        write_atomically(directory / "best.toml", best_recipe(result))
    except ValueError as error:
        warnings.warn(not_written(directory / "best.toml", error), stacklevel=2)


def best_recipe(result: SweepResult) -> str:
    """The best point as a recipe (see `jaxrl_up.experiments.recipes`): what differs from the defaults.

    Raises `ValueError` for an algorithm, network or environment of your own that goes by no name.
    """
    algo, env, config, best = result.algo, result.best_env, result.best_config, result.best
    evaluated = [] if result.best_evaluation_env is None else [result.best_evaluation_env]
    names, default = own_names(algo, config), algo.Config()
    names |= {name: str(value) for name, value in best.values.items() if name in names and is_own_name(value)}
    fields = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    named = all(_is_named(name, value, names) for name, value in fields.items())
    if (
        not named
        or not (ALGORITHMS.get(algo.name) is algo or "algorithm" in names)
        or not all(map(is_built_by_name, [env, *evaluated]))
    ):
        raise ValueError(
            "a recipe cannot name an algorithm, a network, a policy or an environment of your own that is no variable "
            "of a file"
        )
    fields |= {name: text for name, text in names.items() if name in fields}
    tables = {
        "parameters": _unusual(env),
        "evaluation": {name: x for env in evaluated for name, x in _evaluation(env).items() if x},
        "config": {name: value for name, value in fields.items() if value != getattr(default, name)},
    }
    head = [
        f"# The best of {count(len(result.points), 'point')} of a sweep: {describe_point(best.values)}.",
        f"# It scored {best.score} (IQM of {count(len(result.seeds), 'seed')}, {best.env_steps} steps) and was chosen "
        "for it, so expect less:",
        "# train it with other seeds for a score of its own, as in --seeds 100,101,102,103,104,105,106,107.",
        f"algorithm = {json.dumps(names.get('algorithm', algo.name))}",
        f"environment = {json.dumps(env.name)}",
        f"seeds = {len(result.seeds)}",
        *([f"wrappers = {json.dumps(env.spec.wrappers)}"] if env.spec.wrappers else []),
    ]
    return "\n".join(head) + "\n\n" + to_toml({name: table for name, table in tables.items() if table})


def _is_named(field: str, value: Any, names: Mapping[str, str]) -> bool:
    """Whether a recipe can say the value of a field: also one of your own that its name in `names` gives again."""
    if not isinstance(toml_value(value), dict):
        return True
    return field in names and toml_value(own_value(field, names[field])) == toml_value(value)


def _evaluation(env: Env) -> dict[str, Any]:
    return {"environment": env.name, "wrappers": list(env.spec.wrappers), "parameters": _unusual(env)}


def _unusual(env: Env) -> dict[str, Any]:
    """What `envs.make` is told of an environment beside its name, where it is not the default."""
    usual = options(envs.make(env.name))
    return {name: value for name, value in options(env).items() if value != usual.get(name)}
