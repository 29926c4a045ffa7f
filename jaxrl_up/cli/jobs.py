"""A sweep as jobs: each part as a command for any scheduler, or handed to one by submitit."""

from __future__ import annotations

import argparse
import importlib
import itertools
import os
import shlex
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxrl_up.cli.options import Parser, UsageError

CLUSTERS = ("slurm", "local")
MINUTES = 24 * 60  # of a job, unless told otherwise; submitit's own are 5 for Slurm and 2 here


def add_jobs(parser: Parser, group: Any) -> None:
    """Add the options that make jobs of the parts of a sweep; `are_jobs` and `hand_out` heed them."""
    parser.add(group, "--print-jobs", action="store_true",
               help="train nothing: print each part as a command of its own, for any scheduler")  # fmt: skip
    parser.add(group, "--submit", metavar="CLUSTER",
               help="train nothing here: submit each part as a job, to slurm or local, by submitit")  # fmt: skip
    parser.add(group, "--submit-option", action="append", default=[], metavar="NAME=VALUE",
               help="what submitit tells it, as timeout_min=240, gpus_per_node=1, slurm_partition=gpu")  # fmt: skip


def are_jobs(options: argparse.Namespace) -> bool:
    """Whether parts are to be handed out. Raises `UsageError`, before anything is written, where they cannot be."""
    if options.print_jobs and options.submit:
        raise UsageError("--print-jobs and --submit: print the commands, or submit them")
    if options.submit_option and not options.submit:
        raise UsageError("--submit-option is for --submit: leave it out, or say where with --submit slurm")
    if options.submit:
        with tempfile.TemporaryDirectory() as folder:
            executor_of(options, Path(folder), "sweep")
    return options.print_jobs or bool(options.submit)


def hand_out(directory: Path, parts: Sequence[int], own: Sequence[str], options: argparse.Namespace) -> int:
    """Print the commands of parts of a sweep, or submit them and print the ids, on standard output.

    `own` are the options that name what is the user's own.
    """
    from jaxrl_up.records import CHECKPOINT_SECONDS, command, count, near

    how = [*own, *([] if options.progress else ["--no-progress"]), *(["--no-cache"] if options.no_cache else [])]
    if options.checkpoint_seconds != CHECKPOINT_SECONDS:
        how += ["--checkpoint-seconds", str(options.checkpoint_seconds).lower()]
    lines = [["resume", str(directory), "--part", str(part), *how] for part in parts]
    jobs = _submit(directory, lines, own, options) if options.submit and lines else []
    for part, words, job in itertools.zip_longest(parts, lines, jobs):
        print(command(*words) if job is None else f"part {part}: job {job}", flush=True)
    again = command("resume", directory, *own)
    logs = f"; what they say is in {near(directory / 'jobs')}" if options.submit else ""
    print(
        f"{count(len(lines), 'job')}, each a part of {near(directory)}{logs}\nthe last to end writes the tables; "
        f"`{again}` trains what is left, and writes them",
        file=sys.stderr,
    )
    return 0


class Job:
    """A command line, as submitit runs it; where its time is up, it is put in line again, and goes on."""

    def __init__(self, words: list[str]) -> None:
        self.words = words

    def __call__(self) -> None:
        from jaxrl_up.cli.main import main

        code = main(self.words)
        if code:
            raise RuntimeError(f"{shlex.join(['jaxrl-up', *self.words])} ended with exit code {code}")

    def checkpoint(self) -> Any:
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def _submit(directory: Path, lines: list[list[str]], own: Sequence[str], options: argparse.Namespace) -> list[str]:
    """Submit command lines, and give the ids of their jobs."""
    from jaxrl_up.records import command

    executor, submitit = executor_of(options, directory / "jobs", directory.name), _submitit()
    try:
        with executor.batch():
            jobs = [executor.submit(Job(words)) for words in lines]
    except (submitit.core.utils.FailedJobError, OSError) as error:
        again = command("resume", directory, *own, "--submit", options.submit)
        raise UsageError(f"--submit {options.submit}: {error}. The sweep is there: submit it by {again}") from error
    return [job.job_id for job in jobs]


def executor_of(options: argparse.Namespace, folder: Path, name: str) -> Any:
    """What submits; it may make its folder. Raises `UsageError` for what it does not take, and where it is missing."""
    if options.submit not in CLUSTERS:
        raise UsageError(f"--submit {options.submit}: choose from {', '.join(CLUSTERS)}")
    submitit = _submitit()
    given = {"name": name, "timeout_min": MINUTES, **dict(map(_option, options.submit_option))}
    try:
        executor = submitit.AutoExecutor(folder, options.submit)
        executor.update_parameters(**given)
    except (AssertionError, NameError, RuntimeError, TypeError, ValueError) as error:
        raise UsageError(f"--submit {options.submit}: {error}") from error
    return executor


def _submitit() -> Any:
    """The library. It would set up the logging of this process as soon as it is imported."""
    quiet = "SUBMITIT_LOG_LEVEL" not in os.environ
    try:
        if quiet:
            os.environ["SUBMITIT_LOG_LEVEL"] = "NOCONFIG"
        return importlib.import_module("submitit")
    except ImportError:
        raise UsageError("--submit needs a library that is not installed: pip install 'jaxrl-up[slurm]'") from None
    finally:
        if quiet:
            del os.environ["SUBMITIT_LOG_LEVEL"]


def _option(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not name or not equals or not value:
        raise UsageError(f"--submit-option {text}: give a name and a value, as in `--submit-option timeout_min=240`")
    if value.lower() in ("true", "false"):
        return name, value.lower() == "true"
    for kind in (int, float):
        try:
            return name, kind(value)
        except ValueError:
            pass
    return name, value
