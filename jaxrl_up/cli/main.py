"""The command line: `jaxrl-up COMMAND`, each a file of `commands/`.

Built on argparse from the Config dataclasses, not on tyro: a bad input must be one line on standard error with
a suggestion, fields come in `-` and `_` spellings, and environment parameters are known only once the
environment is. Standard output carries results only; everything else goes to standard error.
Exit codes: 0 done, 1 a simulator on the host raised an error, or another of several processes ended, 2 bad input, 130
stopped by Ctrl-C, 143 by SIGTERM, 141 where nobody reads standard output any more. Where nobody reads standard error, a
command goes on in silence.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from jaxrl_up._version import __version__
from jaxrl_up.cli.layout import definitions, example, fill, near_paths
from jaxrl_up.cli.options import Missing, UsageError
from jaxrl_up.cli.spelling import unknown_command, with_words
from jaxrl_up.cli.streams import OutputEnded, standard_streams
from jaxrl_up.experiments import LEAVING, last_words

COMMANDS = {
    "train": "train an algorithm on an environment, many seeds at once",
    "sweep": "train every point of a grid, or points drawn at random, on many seeds",
    "plot": "draw and compare runs: learning curves, profiles, improvement, sample efficiency",
    "resume": "go on with a run from its newest checkpoint, or make it longer",
    "evaluate": "play fresh episodes of the policies of a run",
    "watch": "see an episode of a run, as a GIF or a table of steps",
    "play": "play a board game against the policy of a run, or an opponent",
    "algos": "list the algorithms",
    "envs": "list the environments",
    "recipes": "list the recipes, with the scores they reach",
    "report": "write the report of a run again: one page with all that it says",
    "eject": "write an algorithm as a script of your own",
    "exercise": "exercises of the lessons, which mark themselves",
    "export": "write a trained policy as one file for deployment",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (default: the process's) and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    with standard_streams():
        try:
            code = _exit_code(arguments)
            sys.stdout.flush()
            return code
        except OutputEnded as error:
            if not error.unread:
                _beside(f"jaxrl-up: error: {error}")
            return 141 if error.unread else 2


def _exit_code(arguments: list[str]) -> int:
    """Run a command; what ends it before its time is a line on standard error, and an exit code."""
    try:
        with at_once_if_pressed_twice(), warnings.catch_warnings():
            warnings.showwarning = _say
            return _main(arguments)
    except UsageError as error:
        _beside(f"jaxrl-up: error: {near_paths(_in_one_line(error, arguments))}")
        return 2
    except RuntimeError as error:
        if not isinstance(error, getattr(sys.modules.get("jaxrl_up.envs"), "HostError", ())):
            raise
        _beside(f"jaxrl-up: error: {' '.join(str(error).split())}")
        return 1
    except KeyboardInterrupt:
        print("jaxrl-up: stopped by Ctrl-C", file=sys.stderr)
        return 130


def _in_one_line(error: UsageError, arguments: list[str]) -> str:
    """What was wrong; where a word is missing, or something of the user's own has no name, with a command line."""
    if isinstance(error, Missing):
        return f"{error}{with_words(list(error.words), arguments)}"
    cause = error.__cause__
    if isinstance(cause, OSError) and str(cause) == str(error):
        from jaxrl_up.records import reason

        return reason(cause)
    needed: Any = cause
    if not isinstance(needed, getattr(sys.modules.get("jaxrl_up.records"), "NotNamed", ())):
        return " ".join(str(error).split())
    from jaxrl_up.records import command

    return needed.by(command(*arguments))


@contextmanager
def at_once_if_pressed_twice() -> Iterator[None]:
    """Within, a second Ctrl-C or SIGTERM ends the process, whatever it does.

    By a thread: the handlers of Python wait while XLA compiles, and XLA does not survive that Python ends meanwhile.
    """
    if os.name == "nt" or threading.current_thread() is not threading.main_thread():
        yield
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    previous = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(reader,), daemon=True).start()
    LEAVING.set()
    try:
        yield
    finally:
        LEAVING.clear()
        signal.set_wakeup_fd(previous)
        os.close(writer)


def _watch(reader: int) -> None:
    """Read the numbers of signals, and leave with the second of those that stop."""
    pressed = 0
    while number := os.read(reader, 1):
        pressed += number[0] in (signal.SIGINT, signal.SIGTERM)
        if pressed == 2:
            cursor = b"\x1b[?25h\n" if os.isatty(2) else b""  # which live progress hides
            name = b"Ctrl-C" if number[0] == signal.SIGINT else b"SIGTERM"
            how = f"{line}\n".encode() if (line := last_words()) else b""
            with suppress(OSError):  # as where Ctrl-C has ended a `tee` too
                os.write(2, cursor + b"jaxrl-up: stopped by " + name + b", at once\n" + how)
            os._exit(128 + number[0])
    os.close(reader)


def _say(message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: Any) -> None:
    """A warning as one line; what is not meant for users keeps its place in the code."""
    place = "" if category is UserWarning else f" ({category.__name__}, {filename}:{lineno})"
    _beside(f"jaxrl-up: warning: {near_paths(str(message))}{place}")


def _beside(line: str) -> None:
    """Print a line on standard error, broken between words where it is a terminal."""
    from jaxrl_up.experiments import folded

    print(folded(line, sys.stderr), file=sys.stderr)


def _main(arguments: list[str]) -> int:
    command, *rest = arguments or ["--help"]
    if command == "help" and rest and rest[0] in COMMANDS:
        command, rest = rest[0], ["--help"]
    if command in ("--help", "-h", "help"):
        print(_overview())
        return 0
    if command == "--version":
        print(f"jaxrl-up {__version__}")
        return 0
    if command not in COMMANDS:
        raise UsageError(f"{unknown_command(command, rest, tuple(COMMANDS))} It takes {', '.join(COMMANDS)}")
    from jaxrl_up.cli.processes import among_processes

    with among_processes(command, rest):
        return importlib.import_module(f"jaxrl_up.cli.commands.{command}").main(rest)


EXAMPLES = (
    ("", "PPO on CartPole-v1, 8 seeds"),
    ("ppo --env Acrobot-v1 --seeds 16 --gamma 0.995 --directory runs/acrobot", ""),
    ("--recipe ppo/pendulum", ""),
    ("dqn --env Breakout-MinAtar --wrap frame_stack=4 --dry-run", ""),
    ("ppo --preset spinup --seeds 0,3,7 --env.gravity 12", ""),
    ("--algo my_algo.py --help", "an algorithm of your own, and its fields"),
)


def _overview() -> str:
    options = {
        "--help": "this text; also after a command, and after `train ALGO` for its fields",
        "--version": "print the version",
    }
    examples = [f"jaxrl-up train {words}".rstrip() + (f"  # {note}" if note else "") for words, note in EXAMPLES]
    what = "Deep reinforcement learning as pure JAX functions: many seeds at once, as one program."
    return (
        f"usage: jaxrl-up COMMAND [OPTIONS]\n\n{fill(what)}\n\n"
        f"commands:\n{definitions(list(COMMANDS.items()))}\n\noptions:\n{definitions(list(options.items()))}\n\n"
        "examples:\n" + "\n".join(map(example, examples))
    )
