"""The host-driven gear: many seeds in one program, with progress, records and an orderly stop."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxrl_up.algorithms import take
from jaxrl_up.config import as_whole, changed, seed_list, whole_or_none
from jaxrl_up.envs import Env
from jaxrl_up.experiments.device_transfer import gathered_state, without_padding
from jaxrl_up.experiments.drive import CheckpointPolicy, Job, Outcome, Start, drive, transfers
from jaxrl_up.experiments.live_progress import Reporter
from jaxrl_up.experiments.memory import check_memory
from jaxrl_up.experiments.sinks import Sink, as_sinks
from jaxrl_up.records import (
    CHECKPOINT_SECONDS,
    Recorder,
    RunResult,
    RunSettings,
    RunSpec,
    alone,
    check_directory,
    check_settings,
    create,
    describe,
    expand,
    is_part,
    least_longer,
    load_run,
    load_snapshot,
    longer,
    make_directory,
    not_written,
    processes,
    saved,
    to_toml,
    toml_value,
    write_atomically,
)
from jaxrl_up.training import evaluation_ends, num_updates, take_evaluation_env
from jaxrl_up.types import Algorithm, PyTree


@transfers()
def run(
    algo: Algorithm | str,
    env: Env | str,
    config: PyTree | None = None,
    seeds: int | Sequence[int] = 8,
    directory: str | Path | None = None,
    *,
    evaluation_env: Env | str | None = None,
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
    `seeds` is how many (0, 1, ...) or which. `num_evals` evaluations are spread over the run, after a first one of the
    untrained policies. Between them the host draws progress on standard error and, with a `directory`, keeps the run
    there: config.toml, progress.csv, timing.csv, a checkpoint that `resume` goes on from (after an evaluation, at least
    `checkpoint_seconds` after the last; None: only at the end), and at the end curve.png and report.html. Ctrl-C or
    SIGTERM stops after the current part and returns what was reached. `force` replaces a run that is there. Policies
    are evaluated in `evaluation_env`, which has the spaces of `env`: other physics, another time limit; None is `env`
    itself, with its nominal parameters where it draws them (`envs.randomize`). `sinks` get the same numbers (see
    `jaxrl_up.experiments.sinks`). `preset` is noted in config.toml: where the config came from, or comes from where
    none is given. Raises `ValueError` for a config, seeds or another number out of range, `TypeError` for what is no
    algorithm, environment, config, path or sink, and `FileExistsError` for a directory that already holds a run.
    """
    settings = RunSettings(num_evals, num_episodes, deterministic, max_eval_steps, preset, (), progress)
    settings = dataclasses.replace(settings, checkpoint_seconds=checkpoint_seconds, force=force, sinks=as_sinks(sinks))
    return start(ask(algo, env, config, seeds, directory, settings, evaluation_env))


def ask(
    algo: Algorithm | str,
    env: Env | str,
    config: PyTree | None,
    seeds: int | Sequence[int],
    directory: str | Path | None,
    settings: RunSettings,
    evaluation_env: Env | str | None = None,
) -> RunSpec:
    """What is to be run, all of it checked, before anything is compiled or written: raises what `run` raises."""
    algo, env, config = take(algo, env, config, settings.preset)
    evaluation_env = take_evaluation_env(algo, env, config, evaluation_env)
    settings = check_settings(settings)
    if directory is not None:
        directory = expand(directory, "directory").absolute()
        if processes.is_first():
            check_directory(directory, settings.force)
    number = as_whole(seeds)
    number = len(seed_list(seeds)) if number is None or number < 1 else number
    processes.check_lanes(number, "seeds")
    # of a number of seeds before a list of them is made
    check_memory(algo, env, config, processes.widest(number), kept=directory is not None)
    return RunSpec(directory, algo, env, config, seed_list(seeds), settings, {}, {}, evaluation_env)


@transfers()
def start(asked: RunSpec, directory: Path | None = None, sinks: Sequence[Sink] = ()) -> RunResult:
    """Train what was asked for, from the beginning; in `directory` and with `sinks`, where `ask` did not know them.

    Raises `ValueError` where the checkpoints that a directory brings do not fit in memory.
    """
    if directory is not None and asked.directory is None:
        check_memory(asked.algo, asked.env, asked.config, processes.widest(len(asked.seeds)), kept=True)
    directory = asked.directory if directory is None else directory.absolute()
    settings = dataclasses.replace(asked.settings, sinks=(*asked.settings.sinks, *sinks))
    asked = asked._replace(directory=directory, settings=settings)
    if directory is None:
        return _go_on(asked, [])
    what = (asked.algo, asked.env, asked.config, asked.seeds)
    if processes.is_first():
        make_directory(directory)
    with alone(directory):
        tables = describe(*what, settings.recorded(), asked.evaluation_env)
        asked = asked._replace(tables=toml_value(tables))
        if processes.is_first():
            create(directory, asked.tables, settings.force)
        processes.see(directory / "config.toml")
        return _go_on(asked, [])


@transfers()
def resume(
    directory: str | Path,
    total_steps: int | None = None,
    schedule_steps: int | None = None,
    algo: Algorithm | str | None = None,
    env: Env | str | None = None,
    config: PyTree | None = None,
    *,
    evaluation_env: Env | str | None = None,
    own: Mapping[str, Any] | None = None,
    progress: bool = True,
    checkpoint_seconds: float | None = CHECKPOINT_SECONDS,
    sinks: Sequence[Sink] | Sink = (),
) -> RunResult:
    """Go on with a run from its newest checkpoint, as if it had never stopped.

    On the same devices and versions the result is equal bit for bit, progress.csv included. A larger `total_steps`
    makes the run longer; where something is annealed, `schedule_steps` must then say over how many steps. An algorithm
    or environment of your own, also one to evaluate in, and by field in `own` a network, are given as to `load_run`.
    Raises `FileNotFoundError` where there is no run, and `ValueError` for what was not given, a damaged or foreign
    checkpoint, a config.toml or an environment other than the run had, and a run that another process is training.
    """
    total_steps = whole_or_none("total_steps", total_steps, 0)
    schedule_steps = whole_or_none("schedule_steps", schedule_steps, 0)
    given = RunSettings(progress=progress, checkpoint_seconds=checkpoint_seconds, sinks=as_sinks(sinks))
    given = check_settings(given)
    processes.see(expand(directory, "directory") / "config.toml")
    spec = load_run(directory, algo, env, config, evaluation_env, own)
    spec = spec._replace(settings=check_settings(spec.settings.driven_as(given)))
    with alone(spec.directory):
        return _resume(spec, total_steps, schedule_steps)


def _resume(spec: RunSpec, total_steps: int | None, schedule_steps: int | None) -> RunResult:
    if spec.grid or is_part(spec.directory):
        raise ValueError(f"{spec.directory} is a part of a sweep: resume the directory of the sweep")
    processes.check_lanes(len(spec.seeds), "seeds")
    check_memory(spec.algo, spec.env, spec.config, processes.widest(len(spec.seeds)))
    reached, doubts = load_snapshot(spec) or (None, [])
    processes.together()  # before anything is written again
    start: Start = [] if reached is None else [reached]
    del reached  # `drive` is then the only one that has it
    if total_steps is not None or schedule_steps is not None:
        spec = _longer(spec, total_steps, schedule_steps)
    for doubt in doubts if processes.is_first() else ():
        warnings.warn(doubt, stacklevel=2)
    return _go_on(spec, start, resumed=True)


def _go_on(spec: RunSpec, start: Start, resumed: bool = False) -> RunResult:
    """Train a run from its start or from where it was, and keep it where it has a directory."""
    algo, env, config, settings = spec.algo, spec.env, spec.config, spec.settings
    ends = evaluation_ends(algo, config, settings.num_evals, settings.stages)
    done = len(start[0].logs) if start else 0
    job = Job(algo, env, config, spec.seeds, {}, ends, settings.evaluation, evaluation_env=spec.evaluation_env)
    keeping = None
    if spec.directory is not None:
        if start and (done > len(ends) or int(start[0].progress.state.counters.updates) != ends[done - 1]):
            raise ValueError(f"{spec.directory / 'config.toml'}: total_steps or num_evals is not what the run had")
        games = bool(spec.played_env.spec.opponent)
        recorder = Recorder(spec.directory, spec.seeds, algo.steps_per_update(config), games=games)
        if not start:
            recorder.begin()
        elif done < len(ends):
            recorder.begin(start[0].logs, start[0].seconds)
        keeping = CheckpointPolicy(spec, recorder, settings.checkpoint_seconds)
    how = {"enabled": settings.progress, "evaluation_env": spec.evaluation_env}
    reached, news = _where(spec, start, done == len(ends)) if resumed else (0, "")
    reporter = Reporter(algo, env, config, spec.seeds, reached=reached, news=news, **how)
    outcome = drive(job, reporter, keeping, start, settings.sinks if processes.is_first() else ())
    return _result(job, outcome, spec.directory, settings.progress)


def _where(spec: RunSpec, start: Start, over: bool) -> tuple[int, str]:
    """The steps from which a run goes on, and words about it."""
    algo, config, directory = spec.algo, spec.config, spec.directory
    if not start:
        return 0, "no checkpoint yet: from the start"
    updates, each = int(start[0].progress.state.counters.updates), algo.steps_per_update(config)
    how_far = (
        f"{updates * each:,} of {num_updates(algo, config) * each:,} steps (checkpoint of {saved(directory, updates)})"
    )
    if not over:
        return updates * each, f"going on from {how_far}"
    return updates * each, f"finished at {how_far}; to make it longer: {longer(spec)}"


def _result(job: Job, outcome: Outcome, directory: Path | None, progress: bool) -> RunResult:
    everyone = len(job.seeds)
    state = without_padding(outcome.reached.progress.state, max(len(processes.share(everyone)), 1))
    state = gathered_state(state, everyone)
    log = jax.tree.map(lambda *x: np.stack(x, axis=1), *outcome.reached.logs)
    what = (job.algo, job.env, job.config, job.seeds, state, log)
    result = RunResult(*what, *outcome[1:], directory, job.evaluation.num_episodes, job.evaluation_env)
    Reporter(job.algo, job.env, job.config, job.seeds, enabled=progress).finished(result)
    if directory is not None and processes.is_first():
        draw(result, directory)  # takes seconds, and the score need not wait for it
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
            warnings.warn(not_written(directory / name, error), stacklevel=2)


def _longer(spec: RunSpec, total_steps: int | None, schedule_steps: int | None) -> RunSpec:
    """The run with a larger total, as its config.toml then says too."""
    algo, config, settings = spec.algo, spec.config, spec.settings
    if total_steps is None:
        raise ValueError("schedule_steps says over how many steps a longer run anneals: give total_steps too")
    least = least_longer(spec)
    if total_steps < least:
        each = algo.steps_per_update(config)
        raise ValueError(
            f"total_steps={total_steps} makes the run no longer: it has {config.total_steps} steps already, and an "
            f"update takes {each}, so it must be at least {least}, as in: {longer(spec)}"
        )
    if algo.anneals(config) and schedule_steps is None and config.schedule_steps is None:
        raise ValueError(
            f"{algo.name} anneals over all of total_steps: say over how many with schedule_steps (--schedule-steps), "
            f"{config.total_steps} to leave it as it was, or {total_steps} to stretch it: {longer(spec, total_steps)}"
        )
    changes = {"total_steps": total_steps}
    if schedule_steps is not None:
        if "schedule_steps" not in {field.name for field in dataclasses.fields(config)}:
            raise ValueError(f"{algo.name} anneals nothing: leave schedule_steps out")
        changes["schedule_steps"] = schedule_steps
    ends = evaluation_ends(algo, config, settings.num_evals, settings.stages)
    config = changed(config, changes)
    more = num_updates(algo, config) - ends[-1]
    evals = len(ends) - 1  # without that of the untrained policy
    stages = (*settings.stages, (spec.config.total_steps, evals))
    num_evals = evals + max(round(more * evals / ends[-1]), 1)
    settings = dataclasses.replace(settings, stages=stages, num_evals=num_evals)
    tables = toml_value(describe(algo, spec.env, config, spec.seeds, settings.recorded(), spec.evaluation_env))
    tables |= {name: spec.tables[name] for name in ("versions", "code", "device") if name in spec.tables}
    tables["config"] = {**tables["config"], **{k: x for k, x in spec.tables["config"].items() if k not in changes}}
    if processes.is_first():
        write_atomically(spec.directory / "config.toml", to_toml(tables))
    return spec._replace(config=config, settings=settings, tables=tables)
