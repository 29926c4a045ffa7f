"""Learning curves as arrays: read from runs, smoothed, labelled by what the runs were, and pooled.

Seeds are pooled within one environment only: raw returns of different environments are never averaged.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jaxrl_up.algorithms import own_kinds
from jaxrl_up.analysis.labels import grouping, label_of, matches, short_names, value_in
from jaxrl_up.config import did_you_mean
from jaxrl_up.records import (
    EVALUATED,
    OWN,
    called,
    describe_environment,
    expand,
    is_part,
    log_columns,
    named,
    read_config,
    read_progress,
    read_timing,
    toml_value,
)

if TYPE_CHECKING:
    from jaxrl_up.records import RunResult

X_AXES = ("steps", "seconds")
EVALUATION = {"num_evals", "num_episodes", "deterministic", "max_eval_steps", "stages"}  # changes nothing in training
MAX_POINTS = 200  # of a common axis made for runs that were evaluated at different x


class Curve(NamedTuple):
    """What one run reached, or one grid point of a sweep: a row for each seed."""

    name: str  # of the run
    swept: dict[str, float]  # the grid point; empty for a plain run
    settings: dict[str, Any]  # what it was run with: algorithm, environment, fields, "env.gravity"
    seeds: tuple[int, ...]
    x: np.ndarray  # [E], environment steps per seed, or seconds of work for all seeds together
    values: np.ndarray  # [S, E]
    unfinished: str  # "4,096 of 10,000 steps"; empty for a run that reached its end


Panels = dict[str, dict[str, list[Curve]]]  # environment -> label -> the runs whose seeds belong together


def find_runs(places: Iterable[str | Path]) -> list[Path]:
    """The run directories that `places` are, or hold at any depth, each once and in order.

    Raises `FileNotFoundError` for a place that is not there or holds no run.
    """
    found: dict[Path, Path] = {}
    for place in map(expand, places):
        if not place.is_dir():
            raise FileNotFoundError(f"there is no directory {place}")
        is_run = (place / "progress.csv").exists()
        inside = [place] if is_run else sorted(path.parent for path in place.rglob("progress.csv"))
        if not inside:
            raise FileNotFoundError(f"{place} holds no run: there is no progress.csv in it or below it")
        found.update({path.resolve(): path for path in inside if path.resolve() not in found})
    return list(found.values())


def gather(
    runs: Any,
    column: str = "return",
    x: str = "steps",
    smooth: int = 1,
    group: str | None = None,
    select: str | Sequence[str] = (),
    exclude: str | Sequence[str] = (),
) -> Panels:
    """The curves of `runs` by environment and label.

    `runs` is a run, a sequence of them, or a mapping from label to a run or to a sequence of runs whose seeds are
    pooled; a run is a `RunResult` or the directory of one. `column` is a column of progress.csv. `x` is "steps", or
    "seconds" of work for all seeds together, compiling included. `smooth` is how many evaluations a trailing moving
    average takes, in each seed (fewer where some have no value). `group` labels, and pools, runs by "algorithm",
    "environment", "run" or a field of config.toml ("learning_rate", "env.gravity"), or by several with commas between;
    None and "run" keep runs apart. A run without the field is labelled with the default of its algorithm, and with "-"
    where that has none. Grid points of a sweep are always kept apart, and have the last rung of successive halving that
    is among the runs. Of these curves those are taken that are what one of `select` means (all, where there is none)
    and none of `exclude`: patterns of the label, "ppo*", or of settings, "learning_rate=3e-4,algorithm=ppo". Raises
    `ValueError` for what is not known or cannot be pooled and for a pattern that nothing matches, and `OSError` for a
    directory without a run.
    """
    if x not in X_AXES:
        raise ValueError(f"x={x!r}: choose from {', '.join(X_AXES)}.{did_you_mean(x, X_AXES)}")
    if smooth < 1:
        raise ValueError(f"smooth={smooth} must be at least 1: how many evaluations an average takes")
    if group is not None and isinstance(runs, Mapping):
        raise ValueError("labels come from the mapping or from group, not from both")
    listed = _listed(runs)
    curves = [
        (run, label, curve)
        for (label, run), name in zip(listed, _names([run for _, run in listed]), strict=True)
        for curve in _read(run, name, column, x, smooth)
    ]
    if not curves:
        raise ValueError("no run to draw: give a RunResult, the directory of a run, or several")
    curves = _last_rungs(curves)
    fields = None if group in (None, "run") else grouping(group, [curve.settings for _, curve in curves])
    parts = [_parts(label, curve, fields, len(listed) == 1) for label, curve in curves]
    names = short_names(field for part in parts for field, _ in part)
    labelled = [(label_of(part, names), curve) for part, (_, curve) in zip(parts, curves, strict=True)]
    panels: Panels = {}
    for label, curve in _chosen(labelled, select, exclude):
        groups = panels.setdefault(str(curve.settings.get("environment", "")), {})
        groups.setdefault(label, []).append(curve)
    for groups in panels.values():
        for label, pooled in groups.items():
            _check_poolable(label, pooled)
    return panels


def pool(curves: Sequence[Curve]) -> tuple[np.ndarray, np.ndarray]:
    """The seeds of several runs on one axis, `x [E]` and `values [S, E]`, as far as all of them reach.

    Runs that were evaluated at different x are interpolated linearly between their evaluations. Raises `ValueError`
    for runs that share no part of the axis.
    """
    shortest = min(len(curve.x) for curve in curves)
    x = curves[0].x[:shortest]
    if all(np.array_equal(curve.x[:shortest], x) for curve in curves):
        return x, np.concatenate([curve.values[:, :shortest] for curve in curves])
    start, end = max(curve.x[0] for curve in curves), min(curve.x[-1] for curve in curves)
    if start > end:
        names = " and ".join(curve.name for curve in curves)
        raise ValueError(f"{names} cannot be pooled: one ends, at {end:g}, before another begins, at {start:g}")
    x = np.unique(np.concatenate([curve.x for curve in curves]))
    x = x[(start <= x) & (x <= end)]
    x = x if len(x) <= MAX_POINTS else np.linspace(start, end, MAX_POINTS)
    return x, np.stack([np.interp(x, curve.x, row) for curve in curves for row in curve.values])


def final_scores(groups: Mapping[str, Sequence[Curve]]) -> tuple[float, dict[str, np.ndarray]]:
    """The x that all runs reach, and for each label the score of every seed there, `[S]`.

    The score is the value at the evaluation nearest to that x, so that an unfinished run is compared with what the
    others had reached by then.
    """
    end = min(curve.x[-1] for curves in groups.values() for curve in curves)
    return float(end), {
        label: np.concatenate([curve.values[:, np.abs(curve.x - end).argmin()] for curve in curves])
        for label, curves in groups.items()
    }


def notes(panels: Panels) -> list[str]:
    """What a reader of the picture should know: runs that are unfinished, and pooled runs that are not alike."""
    lines = [
        f"{curve.name} is unfinished ({curve.unfinished}): drawn as far as it goes"
        for curve in {c.name: c for groups in panels.values() for curves in groups.values() for c in curves}.values()
        if curve.unfinished
    ]
    for groups in panels.values():
        for label, curves in groups.items():
            names = _differing(curves)
            if names:
                runs = ", ".join(curve.name for curve in curves)
                lines.append(f"{label!r} pools runs that differ in {', '.join(names)}: {runs}")
            lines += [
                f"{label!r} counts seeds twice: {one.name} and {two.name} have the same settings and share seeds"
                for one, two in itertools.combinations(curves, 2)
                if set(one.seeds) & set(two.seeds) and set(_differing([one, two])) <= EVALUATION
            ]
    return lines


def _listed(runs: Any) -> list[tuple[str | None, Any]]:
    """(label, run) of each run."""
    if _is_run(runs):
        return [(None, runs)]
    if not isinstance(runs, Mapping):
        return [(None, run) for run in runs]
    return [(str(label), run) for label, member in runs.items() for run in ([member] if _is_run(member) else member)]


def _is_run(run: Any) -> bool:
    from jaxrl_up.records import RunResult

    return isinstance(run, str | Path | RunResult)


def _names(runs: Sequence[Any]) -> list[str]:
    """A name for each run: its directory's, the whole path where two have that, and primes where that is the same."""
    paths = [expand(run) if isinstance(run, str | Path) else None for run in runs]
    short = [p.resolve().name if p else f"{r.algo.name} on {r.env.name}" for r, p in zip(runs, paths, strict=True)]
    names: list[str] = []
    for path, name in zip(paths, short, strict=True):
        name = str(path) if path and short.count(name) > 1 else name
        while name in names:
            name += "'"
        names.append(name)
    return names


def _read(run: RunResult | str | Path, name: str, column: str, x: str, smooth: int) -> list[Curve]:
    """One curve, or one for each grid point of a sweep."""
    if isinstance(run, str | Path):
        run = expand(run)
        settings, columns = _settings(run), read_progress(run)
        for needed in ("seed", "env_steps", "updates"):
            if needed not in columns:
                raise ValueError(f"{run / 'progress.csv'} is not a table of a run: it has no column {needed!r}")
        swept = list(columns)[: list(columns).index("seed")]
        ticks = _seconds(run, columns["env_steps"][0]) if x == "seconds" else columns["env_steps"][0]
    else:
        if x == "seconds":
            raise ValueError(f"{name} keeps no times of its evaluations: give the directory of the run")
        settings, columns, swept = _result_settings(run), _result_columns(run), []
        ticks = columns["env_steps"][0]
    if column not in columns:
        raise ValueError(f"{name} has no column {column!r}.{did_you_mean(column, columns)} It has {', '.join(columns)}")
    values = _smoothed(columns[column], smooth)
    points = np.stack([columns[axis][:, 0] for axis in swept], 1) if swept else np.zeros((len(values), 0))
    unfinished = _unfinished(settings, columns["env_steps"][0, -1], columns["updates"][0, -1])
    curves = []
    for point in dict.fromkeys(map(tuple, points.tolist())):
        lanes = (points == point).all(axis=1)
        here = dict(zip(swept, point, strict=True))
        there = {_setting(settings, axis): value for axis, value in here.items()}
        seeds = tuple(columns["seed"][lanes, 0].astype(int).tolist())
        curves.append(Curve(name, here, {**settings, **there}, seeds, ticks, values[lanes], unfinished))
    return curves


def _last_rungs(read: Sequence[tuple[Any, str | None, Curve]]) -> list[tuple[str | None, Curve]]:
    """The curves by label, without what a later part of a sweep has too, which holds its lanes from their start on.

    So of the rungs of successive halving a seed of a grid point has the last one. `read` has runs, labels and curves.
    """
    parts = [_part(run) for run, _, _ in read]
    points = [
        part and (part[0], label, repr(sorted(curve.settings.items())))
        for part, (_, label, curve) in zip(parts, read, strict=True)
    ]
    last: dict[Any, int] = {}
    for part, point, (_, _, curve) in zip(parts, points, read, strict=True):
        last |= {(point, seed): max(part[1], last.get((point, seed), 0)) for seed in curve.seeds if part}
    kept = []
    for part, point, (_, label, curve) in zip(parts, points, read, strict=True):
        rows = [i for i, seed in enumerate(curve.seeds) if part is None or last[point, seed] == part[1]]
        seeds = tuple(curve.seeds[i] for i in rows)
        kept += [(label, curve._replace(seeds=seeds, values=curve.values[rows]))] if rows else []
    return kept


def _part(run: Any) -> tuple[Path, int] | None:
    """Of which sweep's parts a run is one, and its number; later rungs have larger ones."""
    place = expand(run).resolve() if isinstance(run, str | Path) else Path()
    return (place.parent, int(place.name)) if place.name.isdecimal() and is_part(place) else None


def _smoothed(values: np.ndarray, smooth: int) -> np.ndarray:
    """The trailing mean of up to `smooth` evaluations of `values [S, E]`, of those there are; NaN stays NaN alone."""
    known = ~np.isnan(values)
    ends = np.arange(1, values.shape[1] + 1)
    windows = [slice(max(0, end - smooth), end) for end in ends]
    totals = np.stack([np.where(known, values, 0)[:, window].sum(axis=1) for window in windows], 1)
    counts = np.stack([known[:, window].sum(axis=1) for window in windows], 1)
    return np.where(known, totals / np.maximum(counts, 1), np.nan)


def _settings(directory: Path) -> dict[str, Any]:
    """What config.toml says, by name; nothing where there is none."""
    tables = read_config(directory, missing_ok=True)
    if not tables:
        return {}
    environment = {"name": "", **tables.get("environment", {})}
    run = {key: value for key, value in tables.get("run", {}).items() if key != "seeds"}
    physics = {f"env.{key}": value for key, value in _physics(environment).items() if key != "name"}
    physics |= {f"{EVALUATED}.{key}": value for key, value in _physics(tables.get(EVALUATED, {})).items()}
    fields, own = tables.get("config", {}), tables.get(OWN, {})
    fields = {
        name: called(value, own.get(name)) if isinstance(value, dict) else value for name, value in fields.items()
    }
    return {**run, "environment": environment["name"], **fields, **physics}


def _physics(table: Mapping[str, Any]) -> dict[str, Any]:
    """The table of an environment, its parameters beside the rest."""
    rest = {key: value for key, value in table.items() if key not in ("static", "params")}
    return {**table.get("static", {}), **table.get("params", {}), **rest}


def _result_settings(run: RunResult) -> dict[str, Any]:
    config = {field.name: getattr(run.config, field.name) for field in dataclasses.fields(run.config)}
    config |= {name: named(name, config[name]) for name in own_kinds(run.algo)}
    params = run.env.params if isinstance(run.env.params, dict) else {}
    physics = {f"env.{name}": np.asarray(value).tolist() for name, value in params.items()}
    if run.evaluation_env is not None:
        table = toml_value(describe_environment(run.evaluation_env))["environment"]
        physics |= {f"{EVALUATED}.{key}": value for key, value in _physics(table).items()}
    config = {name: list(value) if isinstance(value, tuple) else value for name, value in config.items()}
    return {"algorithm": run.algo.name, "environment": run.env.name, **config, **physics}


def _result_columns(run: RunResult) -> dict[str, np.ndarray]:
    """The columns of progress.csv, each `[S, E]`, from a result."""
    columns = log_columns(run.log, run.algo.steps_per_update(run.config), run.games is not None)
    return {"seed": np.broadcast_to(np.asarray(run.seeds)[:, None], columns["env_steps"].shape), **columns}


def _seconds(directory: Path, steps: np.ndarray) -> np.ndarray:
    """The seconds at which the evaluations at `steps [E]` were reached, `[E]`, from timing.csv."""
    path = directory / "timing.csv"
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: without it curves are drawn over steps only")
    times = {row.env_steps: row.seconds for row in read_timing(directory) if row.event == "evaluation"}
    missing = [int(step) for step in steps if step not in times]
    if missing:
        raise ValueError(f"{path} has no time of the evaluation at {missing[0]} steps: draw the run over steps")
    seconds = np.array([times[int(step)] for step in steps])
    if np.any(np.diff(seconds) < 0):
        raise ValueError(f"{path}: the seconds of its evaluations do not increase: draw the run over steps")
    return seconds


def _unfinished(settings: Mapping[str, Any], steps: float, updates: float) -> str:
    """How far a run came that could have made a further update; empty for a run that is done."""
    total = settings.get("total_steps", 0)
    per_update = steps / updates if updates else min(total, 1)  # nothing was trained yet
    return f"{steps:,.0f} of {total:,} steps" if steps + per_update <= total else ""


def _parts(label: str | None, curve: Curve, fields: Sequence[str] | None, is_only: bool) -> list[tuple[str, Any]]:
    """What a curve is labelled by, as fields and values: of a mapping, of a group, or its run; and its grid point."""
    here = {_setting(curve.settings, axis): value for axis, value in curve.swept.items()}
    if label is not None:
        return [("run", label), *here.items()]
    if fields is None:
        return [*here.items()] if here and is_only else [("run", curve.name), *here.items()]
    found = [(field, curve.name if field == "run" else value_in(curve.settings, field)) for field in fields]
    return [*found, *((field, value) for field, value in here.items() if field not in fields)]


def _setting(settings: Mapping[str, Any], axis: str) -> str:
    """What a swept name is called among the settings."""
    return axis if axis in settings else f"env.{axis}"


def _chosen(
    labelled: Sequence[tuple[str, Curve]], select: str | Sequence[str], exclude: str | Sequence[str]
) -> list[tuple[str, Curve]]:
    """The labelled curves that are selected and not excluded. Raises `ValueError` for a pattern that matches none."""
    hits: dict[str, list[set[int]]] = {}
    for option, patterns in (("select", select), ("exclude", exclude)):
        for pattern in [patterns] if isinstance(patterns, str) else patterns:
            known = [(label, {"run": curve.name, **curve.settings}) for label, curve in labelled]
            found = {i for i, one in enumerate(known) if matches(pattern, *one)}
            if not found:
                labels = ", ".join(dict.fromkeys(label for label, _ in labelled))
                raise ValueError(
                    f"{option} {pattern!r} matches nothing: give a label or part of one with *, or FIELD=VALUE. The "
                    f"labels are {labels}"
                )
            hits.setdefault(option, []).append(found)
    every = set(range(len(labelled)))
    left = set.union(*hits.get("select", [every])) - set.union(set(), *hits.get("exclude", []))
    if not left:
        raise ValueError("nothing is left to draw: exclude takes away all that select leaves")
    return [labelled[i] for i in sorted(left)]


def _differing(curves: Sequence[Curve]) -> list[str]:
    """Names of the settings that are not the same in all curves."""
    names = dict.fromkeys(name for curve in curves for name in curve.settings)
    absent = object()
    return [n for n in names if any(c.settings.get(n, absent) != curves[0].settings.get(n, absent) for c in curves)]


def _check_poolable(label: str, curves: Sequence[Curve]) -> None:
    """Raise `ValueError` for runs of different environments, and for one run given twice."""
    physics = [name for name in _differing(curves) if name.startswith(("env.", f"{EVALUATED}."))]
    if physics:
        raise ValueError(
            f"{label!r} would pool runs of {curves[0].settings['environment']} that differ in {', '.join(physics)}: "
            f"group by that too, as in algorithm,{physics[0]}, or by run"
        )
    for i, one in enumerate(curves):
        for two in curves[:i]:
            alike = one.settings == two.settings and one.seeds == two.seeds
            if alike and np.array_equal(one.values, two.values, equal_nan=True):
                raise ValueError(f"{two.name} and {one.name} are the same run: pooled, its seeds would count twice")
