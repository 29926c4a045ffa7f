"""Marking a student's file: `mark` here, `mark_apart` in a process of its own, within a time limit.

The process apart has a session of its own, so that it ends with all that it started. What the student's file prints
goes to standard error; the verdict comes on the standard output that it had at first. Its standard input stays open as
long as the process that asks lives, and a thread that reads it ends the process when that is gone.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from jaxrl_up.cli.exercises.book import find
from jaxrl_up.cli.exercises.exercise import Exercise, Student, Wrong, explain
from jaxrl_up.cli.exercises.worked import check_of

SECONDS = 60.0  # that a check may take
STARTING = 60.0  # more of them, for the process to start
APART = (
    "import json, sys; given = json.loads(sys.argv[1]); sys.path[:] = given.pop('paths'); "
    "from jaxrl_up.cli.exercises import grading; grading.answer(**given)"
)


class Verdict(NamedTuple):
    """What a check found, and the lines that say so."""

    right: bool
    text: str


def mark(exercise: Exercise, path: str | os.PathLike[str]) -> Verdict:
    """Run a student's file and its check in this process. What is wrong with the file is a verdict, not an exception.

    Raises `OSError` where the file cannot be read.
    """
    import jax

    path, check = os.path.abspath(path), check_of(exercise)
    try:
        with jax.numpy_rank_promotion("allow"):
            student = Student(_load(path), path)
            check.check(student)
    except Wrong as wrong:
        return Verdict(False, f"{exercise.number} not right yet.\n{wrong}\nTo read: {check.READING}")
    except Exception as error:  # of the check, which met what it did not foresee
        inner = traceback.extract_tb(error.__traceback__)[-1]
        what = f"What your functions return cannot be checked: {type(error).__name__}: {error}"
        return Verdict(False, f"{exercise.number} not right yet.\n{what} ({Path(inner.filename).name}:{inner.lineno})")
    return Verdict(True, f"{exercise.number} right: {student.cases} cases.")


def _load(path: str) -> ModuleType:
    """The student's file as a module. Raises `Wrong` where it does not run."""
    module = ModuleType("student")
    module.__file__ = path
    source = Path(path).read_bytes()
    sys.modules["student"] = module  # dataclasses look there
    try:
        exec(compile(source, path, "exec"), vars(module))
    except (Exception, SystemExit) as error:
        raise Wrong(explain(error, path, "your file")) from None
    return module


def mark_apart(exercise: Exercise, path: str | os.PathLike[str], seconds: float = SECONDS) -> Verdict:
    """As `mark`, in a process of its own that is ended after so many seconds, with all that it started."""
    given = {"number": exercise.number, "path": os.path.abspath(path), "seconds": seconds, "paths": sys.path}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    environment |= {"JAX_PLATFORMS": "cpu", "JAX_ENABLE_COMPILATION_CACHE": "false"}
    command = [sys.executable, "-P", "-c", APART, json.dumps(given)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, start_new_session=True) as process:
        timer = threading.Timer(seconds + STARTING, _end, (process,))
        timer.daemon = True
        try:
            timer.start()
            assert process.stdout is not None
            verdict = process.stdout.readline()  # not to its end: what the student started may hold it open
        finally:
            timer.cancel()
            _end(process)
    try:
        return Verdict(**json.loads(verdict))
    except ValueError:
        text = f"{exercise.number} not right yet.\nThe process that ran your file ended before its check did"
        return Verdict(False, f"{text} (exit code {process.returncode}): does something in it end the process?")


def _end(process: subprocess.Popen[Any]) -> None:
    """End a process and what it started."""
    try:
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    except OSError:  # it has ended
        pass
    process.wait()


def answer(number: str, path: str, seconds: float) -> None:
    """What the process apart does: mark, and write the verdict as a line of JSON."""
    exercise = find(number)
    assert exercise is not None
    verdicts = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    asking = os.dup(0)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    once = threading.Lock()

    def say(verdict: Verdict) -> None:
        with once:
            sys.stdout.flush()
            verdicts.write(json.dumps(verdict._asdict()) + "\n")
            verdicts.flush()
            os._exit(0)

    def watch() -> None:
        os.read(asking, 1)
        os._exit(1)

    def stop(main: int | None = threading.main_thread().ident) -> None:
        frames = traceback.extract_stack(sys._current_frames()[main or 0])
        lines = [frame for frame in frames if frame.filename == path]
        where = f", in line {lines[-1].lineno}, `{lines[-1].line}`" if lines else ""
        text = (
            f"{number} not right yet.\nIt was stopped after {seconds:g} seconds{where}: is there a loop without an end?"
        )
        say(Verdict(False, text))

    check_of(exercise)  # whose imports take a while
    for work in (threading.Thread(target=watch), timer := threading.Timer(seconds, stop)):
        work.daemon = True
        work.start()
    sys.path.append(os.path.dirname(path))
    verdict = mark(exercise, path)
    timer.cancel()
    say(verdict)
