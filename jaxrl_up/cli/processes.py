"""`--coordinator`, `--processes`, `--process`: the same command in several processes."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator
from typing import Any

from jaxrl_up.cli.options import Parser, UsageError, add_processes

COMMANDS = ("train", "sweep", "resume")
"""Commands that may run in several processes."""
LAUNCHED = ("SLURM_PROCID", "OMPI_COMM_WORLD_RANK")  # without options or one of these a process is alone


@contextlib.contextmanager
def among_processes(command: str, arguments: list[str]) -> Iterator[None]:
    """Within, this process trains with the others that the options or a cluster name, and only the first one speaks.

    Raises `UsageError` for options that do not fit together, and where the processes do not meet.
    """
    options = ("--coordinator", "--processes", "--process")
    asks = any(word.partition("=")[0] in options for word in arguments)
    if command not in COMMANDS or not (asks or any(name in os.environ for name in LAUNCHED)):
        yield
        return
    from jaxrl_up.experiments import find_meeting, join
    from jaxrl_up.records import processes

    parser = Parser(prog="jaxrl-up")
    add_processes(parser)
    given: Any = parser.parse_known_args(arguments)[0]
    try:
        meeting = find_meeting(given.coordinator, given.processes, given.process)
        if meeting is None or not {"--help", "-h"}.isdisjoint(arguments):
            yield
            return
        join(meeting, connects="--dry-run" not in arguments)
    except (ValueError, OSError) as error:
        raise UsageError(str(error)) from error
    try:
        with _silence(not processes.is_first()):
            yield
    except BaseException:  # not in order: the others end too
        processes.abandon()
        raise
    finally:
        if "--dry-run" in arguments:
            processes.connect(processes.Place(), ())


@contextlib.contextmanager
def _silence(wanted: bool) -> Iterator[None]:
    """Within, nothing is said on standard output and error; an exception is."""
    if not wanted:
        yield
        return
    with (
        open(os.devnull, "w") as nothing,
        contextlib.redirect_stdout(nothing),
        contextlib.redirect_stderr(nothing),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield
