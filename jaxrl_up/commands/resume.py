"""`jaxrl-up resume`: go on with a run from its newest checkpoint."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxrl_up.cli_options import Parser, UsageError, add_keeping, make_sinks, report, whole


def main(arguments: list[str]) -> int:
    """`jaxrl-up resume`: read the run, check everything, go on, and print one score line on standard output."""
    from jaxrl_up.devices import use_all_cores
    from jaxrl_up.run import resume
    from jaxrl_up.saved_runs import read_config
    from jaxrl_up.sweep_records import is_sweep

    parser = Parser(
        prog="jaxrl-up resume",
        usage="jaxrl-up resume DIR [--total-steps N] [--schedule-steps N]",
        description="Go on with a run from its newest checkpoint, as if it had never stopped: on the same machine the "
        "same progress.csv, byte for byte. The last line, on standard output, is the score.",
    )
    parser.add_argument("directory", metavar="DIR", type=Path, help="the directory of the run, or of a sweep")
    options = parser.add_argument_group("options")
    parser.add(options, "--total-steps", type=whole, metavar="N", help="make the run longer, also a finished one")
    parser.add(options, "--schedule-steps", type=whole, metavar="N",
               help="steps over which a longer run anneals, where something is annealed over the total")  # fmt: skip
    add_keeping(parser, options)
    given = parser.parse(arguments)
    if given is None:
        return 0
    if is_sweep(given.directory):
        return _resume_sweep(given)
    try:
        tables = read_config(given.directory)
        with contextlib.suppress(RuntimeError):  # a Python process that has used JAX before: keep its devices
            use_all_cores(_cores(tables["device"]), runs=len(tables["run"]["seeds"]))
        result = resume(
            given.directory,
            given.total_steps,
            given.schedule_steps,
            progress=given.progress,
            checkpoint_seconds=given.checkpoint_seconds,
            sinks=make_sinks(given, given.directory),
        )
    except (KeyError, TypeError) as error:
        raise UsageError(
            f"{given.directory / 'config.toml'} does not say where and with which seeds the run was: {error}"
        ) from error
    except (ValueError, OSError) as error:
        raise UsageError(str(error)) from error
    return report(result, given.progress)


def _resume_sweep(given: argparse.Namespace) -> int:
    """Go on with a sweep, and print its ranking."""
    from jaxrl_up.commands.sweep import report as report_sweep
    from jaxrl_up.devices import use_all_cores
    from jaxrl_up.saved_runs import read_config
    from jaxrl_up.sweep_records import FILE
    from jaxrl_up.sweeps import resume_sweep

    if given.total_steps is not None or given.schedule_steps is not None:
        raise UsageError(f"{given.directory} holds a sweep, which cannot be made longer; its best.toml can be trained")
    if given.tensorboard or given.wandb is not None:
        raise UsageError(f"{given.directory} holds a sweep, which has no sinks: leave --tensorboard and --wandb out")
    make_sinks(given, given.directory)
    try:
        tables = read_config(given.directory / FILE)
        with contextlib.suppress(RuntimeError):  # a Python process that has used JAX before: keep its devices
            use_all_cores(_cores(tables["device"]))
        result = resume_sweep(given.directory, progress=given.progress, checkpoint_seconds=given.checkpoint_seconds)
    except (KeyError, TypeError) as error:
        raise UsageError(f"{given.directory / FILE} does not say where the sweep was: {error}") from error
    except (ValueError, OSError) as error:
        raise UsageError(str(error)) from error
    return report_sweep(result)


def _cores(device: Mapping[str, Any]) -> int | None:
    """As many as the run had, so that it goes on bit for bit, but not more than there are."""
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(int(device["count"]), there) if device["platform"] == "cpu" else None
