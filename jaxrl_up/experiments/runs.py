"""The host-driven gear: many seeds in one program, with progress, records and an orderly stop."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np

from jaxrl_up.algorithms import make_config, preset_fields, take, take_names
from jaxrl_up.config import as_whole, check, flag, seconds_or_none, seed_list, whole, whole_or_none
from jaxrl_up.envs import Env
from jaxrl_up.experiments.drive import Job, Keeper, Outcome, Start, drive, transfers
from jaxrl_up.experiments.live import Reporter
from jaxrl_up.experiments.memory import check_memory
from jaxrl_up.experiments.sinks import Sink, as_sinks
from jaxrl_up.experiments.transfer import without_padding
from jaxrl_up.records import (
    Recorder,
    RunResult,
    SavedRun,
    alone,
    check_directory,
    create,
    describe,
    expand,
    is_part,
    load_reached,
    load_run,
    make_directory,
    to_toml,
    write_atomically,
)
from jaxrl_up.training import Evaluation, evaluation_ends, num_updates
from jaxrl_up.types import Algorithm, PyTree

CHECKPOINT_SECONDS = 120.0


@transfers()
def run(
    algo: Algorithm | str,
    env: Env | str,
    config: PyTree | None = None,
    seeds: int | Sequence[int] = 8,
    directory: str | Path | None = None,
    num_evals: int = 20,
    num_episodes: int = 16,
    deterministic: bool = True,
    max_eval_steps: int | None = None,
    progress: bool = True,
    checkpoint_seconds: float | None = CHECKPOINT_SECONDS,
    force: bool = False,
    sinks: Sequence[Sink] | Sink = (),
    preset: str | None = None,
) -> RunResult:
    """Train many seeds together, on all devices, and report.

    `algo` and `env` may be names, and `config` a dict of the fields that differ from the preset or the defaults.
    `seeds` is how many (0, 1, ...) or which. Between the evaluations the host draws progress on standard error
    and, with a `directory`, keeps the run there: config.toml, progress.csv, timing.csv, a checkpoint that `resume` goes
    on from (after an evaluation, at least `checkpoint_seconds` after the last; None: only at the end), and at the end
    curve.png and report.html. Ctrl-C or SIGTERM stops after the current part and returns what was reached. `force`
    replaces a run that is there. `sinks` get the same numbers (see `jaxrl_up.experiments.sinks`). `preset` is noted in
    config.toml: where the config came from, or comes from where none is given. Raises `ValueError` for a config, seeds
    or another number out of range, `TypeError` for what is no algorithm, environment, config, path or sink, and
    `FileExistsError` for a directory that already holds a run.
    """
    algo, env = take_names(algo, env, config)
    preset_fields(algo, preset)
    if config is None or isinstance(config, dict):
        config = make_config(algo, preset, **(config or {}))
    algo, env, config = take(algo, env, config)
    directory = None if directory is None else expand(directory, "directory").absolute()
    seeds = seed_list(seeds) if as_whole(seeds) is None else seeds
    progress, checkpoint_seconds = check_driving(progress, checkpoint_seconds)
    sinks = as_sinks(sinks)
    check_run(algo, env, config, seeds, directory, num_evals, num_episodes, deterministic, max_eval_steps, force)
    seeds = seed_list(seeds)
    num_evals, num_episodes = whole("num_evals", num_evals), whole("num_episodes", num_episodes)
    deterministic, max_eval_steps = bool(deterministic), whole_or_none("max_eval_steps", max_eval_steps)
    if directory is None:
        evaluation = Evaluation(num_episodes, deterministic, max_eval_steps)
        job = Job(algo, env, config, seeds, {}, evaluation_ends(algo, config, num_evals), evaluation)
        return _result(
            job, drive(job, Reporter(algo, env, config, seeds, enabled=progress), sinks=sinks), None, progress
        )
    settings = {"num_evals": num_evals, "num_episodes": num_episodes, "deterministic": deterministic}
    settings["max_eval_steps"] = max_eval_steps
    if preset is not None:
        settings["preset"] = preset
    make_directory(directory)
    with alone(directory):
        create(directory, describe(algo, env, config, seeds, settings), force)
        return _go_on(load_run(directory, algo, env, config), [], progress, checkpoint_seconds, sinks)


@transfers()
def resume(
    directory: str | Path,
    total_steps: int | None = None,
    schedule_steps: int | None = None,
    algo: Algorithm | str | None = None,
    env: Env | str | None = None,
    config: PyTree | None = None,
    progress: bool = True,
    checkpoint_seconds: float | None = CHECKPOINT_SECONDS,
    sinks: Sequence[Sink] | Sink = (),
) -> RunResult:
    """Go on with a run from its newest checkpoint, as if it had never stopped.

    On the same devices and versions the result is equal bit for bit, progress.csv included. A larger `total_steps`
    makes the run longer; where something is annealed, `schedule_steps` must then say over how many steps. An algorithm
    or environment of your own cannot be found in config.toml: give it, and the config where its network is one that
    config.toml cannot name. Raises `FileNotFoundError` where there is no run, and `ValueError` for a damaged or foreign
    checkpoint, a config.toml or an environment other than the run had, and a run that another process is training.
    """
    total_steps = whole_or_none("total_steps", total_steps, 0)
    schedule_steps = whole_or_none("schedule_steps", schedule_steps, 0)
    progress, checkpoint_seconds = check_driving(progress, checkpoint_seconds)
    sinks = as_sinks(sinks)
    saved = load_run(directory, algo, env, config)
    with alone(saved.directory):
        return _resume(saved, total_steps, schedule_steps, progress, checkpoint_seconds, sinks)


def _resume(
    saved: SavedRun,
    total_steps: int | None,
    schedule_steps: int | None,
    progress: bool,
    checkpoint_seconds: float | None,
    sinks: Sequence[Sink],
) -> RunResult:
    if saved.grid or is_part(saved.directory):
        raise ValueError(f"{saved.directory} is a part of a sweep: resume the directory of the sweep")
    check_memory(saved.algo, saved.env, saved.config, len(saved.seeds))
    reached, doubts = load_reached(saved) or (None, [])
    start: Start = [] if reached is None else [reached]
    del reached  # `drive` is then the only one that has it
    if total_steps is not None or schedule_steps is not None:
        saved = _longer(saved, total_steps, schedule_steps)
    for doubt in doubts:
        warnings.warn(f"{doubt}: equal up to rounding, not bit for bit", stacklevel=2)
    return _go_on(saved, start, progress, checkpoint_seconds, sinks)


def _go_on(
    saved: SavedRun, start: Start, progress: bool, checkpoint_seconds: float | None, sinks: Sequence[Sink]
) -> RunResult:
    """Train a run that has a directory, from its start or from where it was."""
    algo, env, config, how = saved.algo, saved.env, saved.config, saved.settings
    ends = evaluation_ends(algo, config, how["num_evals"], how["stages"])
    done = len(start[0].logs) if start else 0
    if start and (done > len(ends) or int(start[0].progress.state.counters.updates) != ends[done - 1]):
        raise ValueError(f"{saved.directory / 'config.toml'}: total_steps or num_evals is not what the run had")
    evaluation = Evaluation(how["num_episodes"], how["deterministic"], how["max_eval_steps"])
    job = Job(algo, env, config, saved.seeds, {}, ends, evaluation)
    recorder = Recorder(saved.directory, saved.seeds, algo.steps_per_update(config))
    if not start:
        recorder.begin()
    elif done < len(ends):
        recorder.begin(start[0].logs, start[0].seconds)
    reporter = Reporter(algo, env, config, saved.seeds, enabled=progress)
    outcome = drive(job, reporter, Keeper(saved, recorder, checkpoint_seconds), start, sinks)
    return _result(job, outcome, saved.directory, progress)


def _result(job: Job, outcome: Outcome, directory: Path | None, progress: bool) -> RunResult:
    state = without_padding(outcome.reached.progress.state, len(job.seeds))
    log = jax.tree.map(lambda *x: np.stack(x, axis=1), *outcome.reached.logs)
    what = (job.algo, job.env, job.config, job.seeds, state, log)
    result = RunResult(*what, *outcome[1:], directory, job.evaluation.num_episodes)
    if directory is not None:
        draw(result, directory)
    Reporter(job.algo, job.env, job.config, job.seeds, enabled=progress).finished(result)
    return result


def draw(result: RunResult, directory: Path) -> None:
    """Draw curve.png and write report.html; what cannot be drawn is a warning, not a lost run."""
    from jaxrl_up.analysis import plot_curves, write_report

    for name, write in {
        "curve.png": lambda: plot_curves(result, directory / "curve.png"),
        "report.html": lambda: write_report(directory),
    }.items():
        try:
            write()
        except (OSError, ImportError, ValueError) as error:
            warnings.warn(f"{directory / name} was not written: {error}", stacklevel=2)


def _longer(saved: SavedRun, total_steps: int | None, schedule_steps: int | None) -> SavedRun:
    """The run with a larger total, as its config.toml then says too."""
    algo, config, how = saved.algo, saved.config, dict(saved.settings)
    if total_steps is None:
        raise ValueError("schedule_steps says over how many steps a longer run anneals: give total_steps too")
    if not total_steps > config.total_steps:
        raise ValueError(f"total_steps={total_steps} must be above {config.total_steps}, which the run has")
    if algo.anneals(config) and schedule_steps is None and config.schedule_steps is None:
        raise ValueError(
            f"{algo.name} anneals over all of total_steps: say over how many with schedule_steps (--schedule-steps), "
            f"{config.total_steps} to leave it as it was or {total_steps} to stretch it"
        )
    changes = {"total_steps": total_steps}
    if schedule_steps is not None:
        if "schedule_steps" not in {field.name for field in dataclasses.fields(config)}:
            raise ValueError(f"{algo.name} anneals nothing: leave schedule_steps out")
        changes["schedule_steps"] = schedule_steps
    ends = evaluation_ends(algo, config, how["num_evals"], how["stages"])
    config = check(config.replace(**changes))
    more = num_updates(algo, config) - ends[-1]
    how["stages"] = (*how["stages"], (saved.config.total_steps, len(ends)))
    how["num_evals"] = len(ends) + max(round(more * len(ends) / ends[-1]), 1)
    if more < 1:
        raise ValueError(f"total_steps={total_steps} leaves no whole update to make after {saved.config.total_steps}")
    tables = describe(algo, saved.env, config, saved.seeds, how)
    tables |= {name: saved.tables[name] for name in ("versions", "code", "device") if name in saved.tables}
    write_atomically(saved.directory / "config.toml", to_toml(tables))
    return load_run(saved.directory, algo, saved.env)


def check_run(
    algo: Algorithm,
    env: Env,
    config: PyTree,
    seeds: int | Sequence[int],
    directory: str | Path | None,
    num_evals: int,
    num_episodes: int,
    deterministic: bool,
    max_eval_steps: int | None,
    force: bool = False,
) -> None:
    """Raise what `run` would raise for these arguments, before anything is compiled or written."""
    algo, env, config = take(algo, env, config)
    whole("num_evals", num_evals)
    whole("num_episodes", num_episodes)
    flag("deterministic", deterministic)
    whole_or_none("max_eval_steps", max_eval_steps)
    force = flag("force", force)
    if directory is not None:
        check_directory(expand(directory, "directory"), force)
    number = as_whole(seeds)
    number = len(seed_list(seeds)) if number is None or number < 1 else number
    # of a number of seeds before a list of them is made
    check_memory(algo, env, config, number, kept=directory is not None)
    seed_list(seeds)


def check_driving(progress: bool, checkpoint_seconds: float | None) -> tuple[bool, float | None]:
    """What says how a run is driven, with plain values. Raises `ValueError` for a wrong one."""
    return flag("progress", progress), seconds_or_none("checkpoint_seconds", checkpoint_seconds)
