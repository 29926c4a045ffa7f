"""`jaxrl-up resume`: go on with a run from its newest checkpoint."""

from __future__ import annotations

import argparse
import contextlib
import os
from pathlib import Path
from typing import Any

from jaxrl_up.cli.jobs import add_jobs, are_jobs, hand_out
from jaxrl_up.cli.options import Parser, UsageError, add_keeping, make_sinks, path, whole
from jaxrl_up.cli.own import add_own, given_own
from jaxrl_up.cli.results import EXIT_CODES, report, report_sweep


def main(arguments: list[str]) -> int:
    """`jaxrl-up resume`: read the run, check everything, go on, and print one score line on standard output."""
    from jaxrl_up.experiments import is_sweep, resume
    from jaxrl_up.records import SWEEP, NotNamed

    parser = Parser(
        compiles=True,
        prog="jaxrl-up resume",
        usage="jaxrl-up resume DIR [--total-steps N] [--schedule-steps N]",
        description="Go on with a run from its newest checkpoint, as if it had never stopped: on the same machine the "
        "same progress.csv, byte for byte. The last line, on standard output, is the score.",
    )
    parser.add_argument("directory", metavar="DIR", type=path, help="the directory of the run, or of a sweep")
    options = parser.add_argument_group("options")
    parser.add(options, "--total-steps", type=whole, metavar="N", help="make the run longer, also a finished one")
    parser.add(options, "--schedule-steps", type=whole, metavar="N",
               help="steps over which a longer run anneals, where something is annealed over the total")  # fmt: skip
    parser.add(options, "--part", type=whole, metavar="K", help="go on with one part of a sweep only, that in cells/K")
    add_keeping(parser, options)
    add_jobs(parser, options)
    add_own(parser, arguments)
    given = parser.parse(arguments)
    if given is None:
        return 0
    if given.directory.name in ("config.toml", SWEEP) and not given.directory.is_dir():
        given.directory = given.directory.parent
    if is_sweep(given.directory):
        return _resume_sweep(given)
    if given.part is not None or are_jobs(given):
        raise UsageError(f"{given.directory} holds no sweep: leave --part, --print-jobs and --submit out")
    use_cores_of(given.directory / "config.toml")
    try:
        result = resume(
            given.directory,
            given.total_steps,
            given.schedule_steps,
            progress=given.progress,
            checkpoint_seconds=given.checkpoint_seconds,
            sinks=make_sinks(given, given.directory),
            **given_own(given),
        )
    except NotNamed as error:
        if given.total_steps is not None and given.schedule_steps is None:
            error.missing |= _schedule(given.directory)  # else the line that is printed would be refused again
        raise UsageError(str(error)) from error
    except (ValueError, OSError) as error:
        raise UsageError(str(error)) from error
    return report(result, given.progress)


def _schedule(directory: Path) -> dict[str, str]:
    """What leaves a longer run's schedules as they were, as its config.toml says; nothing where it has none."""
    from jaxrl_up.records import read_config

    config = read_config(directory)["config"]
    anneals = config.get("schedule_steps") == "none" and config.get("anneal_learning_rate", True)
    return {"schedule_steps": str(config["total_steps"])} if anneals else {}


def _resume_sweep(given: argparse.Namespace) -> int:
    """Go on with a sweep, and print its ranking."""
    from jaxrl_up.experiments import resume_sweep
    from jaxrl_up.records import SWEEP, command

    if given.total_steps is not None or given.schedule_steps is not None:
        best = ("train", "--recipe", given.directory / "best.toml")
        best = command(*best, *(() if given.total_steps is None else ("--total-steps", given.total_steps)))
        raise UsageError(f"{given.directory} holds a sweep, which cannot be made longer; its best point can: {best}")
    if given.tensorboard or given.wandb is not None:
        raise UsageError(f"{given.directory} holds a sweep, which has no sinks: leave --tensorboard and --wandb out")
    make_sinks(given, given.directory)
    if are_jobs(given):
        return _hand_out(given)
    how = {"progress": given.progress, "checkpoint_seconds": given.checkpoint_seconds}
    if given.part is not None:
        return _resume_part(given, how)
    use_cores_of(given.directory / SWEEP)
    try:
        result = resume_sweep(given.directory, **how, **given_own(given))
    except (ValueError, OSError) as error:
        raise UsageError(str(error)) from error
    return report_sweep(result)


def _hand_out(given: argparse.Namespace) -> int:
    """Make jobs of the parts of a sweep that are not done."""
    from jaxrl_up.experiments import load_jobs
    from jaxrl_up.records import own_options

    if given.part is not None:
        raise UsageError("--part trains one part: leave --print-jobs and --submit out")
    try:
        sweep, parts = load_jobs(given.directory, **given_own(given))
    except (ValueError, OSError) as error:
        raise UsageError(str(error)) from error
    return hand_out(sweep.base.directory, parts, own_options(sweep.base.tables), given)


def _resume_part(given: argparse.Namespace, how: dict[str, Any]) -> int:
    """Go on with one part of a sweep; the last one prints the ranking."""
    from jaxrl_up.experiments import resume_part
    from jaxrl_up.records import CELLS, SWEEP, count

    begun = given.directory / CELLS / str(given.part) / "config.toml"
    use_cores_of(begun if begun.exists() else given.directory / SWEEP)
    try:
        reached = resume_part(given.directory, given.part, **how, **given_own(given))
    except (ValueError, OSError) as error:
        raise UsageError(str(error)) from error
    if reached.sweep is not None:
        return report_sweep(reached.sweep)
    how_it_ended = f"stopped by {reached.stopped}" if reached.stopped else "done"
    print(f"part {given.part} is {how_it_ended}, {len(reached.left)} of {count(reached.parts, 'part')} left",
          flush=True)  # fmt: skip
    return EXIT_CODES[reached.stopped]


def use_cores_of(path: Path) -> None:
    """As many CPU devices as a run or sweep had, so that it goes on bit for bit, but not more than there are cores.

    Raises `UsageError` for a file that does not say how many.
    """
    from jaxrl_up.experiments import use_all_cores
    from jaxrl_up.records import processes, read_config

    try:
        processes.see(path)
        device = read_config(path)["device"]
        number, platform = int(device["count"]), device["platform"]
    except (KeyError, TypeError) as error:
        raise UsageError(f"{path} does not say on how many devices it was: {error}") from error
    except (ValueError, OSError) as error:
        raise UsageError(str(error)) from error
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(RuntimeError):  # a Python process that has used JAX before: keep its devices
        use_all_cores(min(-(-number // processes.place().processes), there) if platform == "cpu" else None)
