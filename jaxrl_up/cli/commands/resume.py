"""`jaxrl-up resume`: go on with a run from its newest checkpoint."""

from __future__ import annotations

import argparse
import contextlib
import os
from pathlib import Path

from jaxrl_up.cli.options import Parser, UsageError, add_keeping, make_sinks, path, report, whole
from jaxrl_up.cli.own import add_own, given_own


def main(arguments: list[str]) -> int:
    """`jaxrl-up resume`: read the run, check everything, go on, and print one score line on standard output."""
    from jaxrl_up.experiments import is_sweep, resume

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
    add_keeping(parser, options)
    add_own(parser, arguments)
    given = parser.parse(arguments)
    if given is None:
        return 0
    if given.directory.name in ("config.toml", "sweep.toml") and not given.directory.is_dir():
        given.directory = given.directory.parent
    if is_sweep(given.directory):
        return _resume_sweep(given)
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
    except (ValueError, OSError) as error:
        raise UsageError(str(error)) from error
    return report(result, given.progress)


def _resume_sweep(given: argparse.Namespace) -> int:
    """Go on with a sweep, and print its ranking."""
    from jaxrl_up.cli.commands.sweep import report as report_sweep
    from jaxrl_up.experiments import FILE, resume_sweep

    if given.total_steps is not None or given.schedule_steps is not None:
        raise UsageError(f"{given.directory} holds a sweep, which cannot be made longer; its best.toml can be trained")
    if given.tensorboard or given.wandb is not None:
        raise UsageError(f"{given.directory} holds a sweep, which has no sinks: leave --tensorboard and --wandb out")
    make_sinks(given, given.directory)
    use_cores_of(given.directory / FILE)
    try:
        how = {"progress": given.progress, "checkpoint_seconds": given.checkpoint_seconds}
        result = resume_sweep(given.directory, **how, **given_own(given))
    except (ValueError, OSError) as error:
        raise UsageError(str(error)) from error
    return report_sweep(result)


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
