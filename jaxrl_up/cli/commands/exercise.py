"""`jaxrl-up exercise`: exercises that mark themselves."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

from jaxrl_up.cli.exercises import BOOK, LESSONS, Exercise, check_of, find, mark_apart, solution, task
from jaxrl_up.cli.layout import definitions, example, fill, table
from jaxrl_up.cli.options import Parser, UsageError, path, whole
from jaxrl_up.config import did_you_mean
from jaxrl_up.records import command

DIRECTORY = Path("exercises")
PROGRESS = ".progress.json"
NUMBER = re.compile(r"\d+[._]\d+")
NAMED = re.compile(r"(\d+)_(\d+)_")  # the file of an exercise


def main(arguments: list[str]) -> int:
    """`jaxrl-up exercise ACTION`: 0, or 1 where `check` finds an answer wrong."""
    action, *rest = arguments or ["--help"]
    if action in ("--help", "-h", "help"):
        print(_overview())
        return 0
    if action not in ACTIONS:
        raise UsageError(
            f"unknown action {action!r} of jaxrl-up exercise.{did_you_mean(action, ACTIONS)} "
            f"It takes {', '.join(ACTIONS)}"
        )
    return ACTIONS[action][0](rest)


def _list(arguments: list[str]) -> int:
    parser = _parser("list", "", "List the exercises, their lessons, and how far you are with each.")
    options = parser.parse(arguments)
    if options is None:
        return 0
    right = _right(options.directory)
    rows = [("number", "exercise", "lesson", "state")]
    for exercise in BOOK:
        there = (options.directory / exercise.file).exists()
        state = "open" if not there else "right" if exercise.number in right else "started"
        rows.append((exercise.number, exercise.title, LESSONS[exercise.lesson], state))
    print("\n".join(table(rows)))
    return 0


def _start(arguments: list[str]) -> int:
    exercise, rest = _numbered("start", arguments)
    parser = _parser("start", "N.M", "Write the file of an exercise, with a gap for your lines, and print its path.")
    parser.add(parser, "--force", action="store_true", help="overwrite the file, and what you wrote in it")
    options = parser.parse(rest)
    if options is None:
        return 0
    exercise = _known("start", exercise)
    file = options.directory / exercise.file
    if file.exists() and not options.force:
        raise UsageError(f"{file} is there already; --force overwrites it, and what you wrote in it")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(task(exercise), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror or error}") from error
    _remember(options.directory, exercise, False)
    print(file)
    print(f"when you have an answer: {_again('check', exercise, options.directory)}", file=sys.stderr)
    return 0


def _check(arguments: list[str]) -> int:
    exercise, rest = _numbered("check", arguments)
    parser = _parser("check", "N.M [FILE.py]", "Run your file, in a process of its own, and say what is wrong with it.")
    parser.add_argument("file", nargs="?", type=path, metavar="FILE.py",
                        help="your file (default: where `start` puts it)")  # fmt: skip
    options = parser.parse(rest)
    if options is None:
        return 0
    if not exercise and options.file is not None and (named := NAMED.match(options.file.name)):
        exercise = f"{named[1]}.{named[2]}"
    exercise = _known("check", exercise)
    usual = options.directory / exercise.file
    file = usual if options.file is None else options.file
    if not file.is_file():
        what = "is a directory" if file.is_dir() else "is not there"
        how = _again("start", exercise, options.directory)
        raise UsageError(f"{file} {what}: `{how}` writes {usual}; or name your file after the number")
    verdict = mark_apart(exercise, file)
    if file == usual:
        _remember(options.directory, exercise, verdict.right)
    print(verdict.text)
    if not verdict.right:
        print(f"a hint: {command('exercise', 'hint', exercise.number)}", file=sys.stderr)
    return 0 if verdict.right else 1


def _hint(arguments: list[str]) -> int:
    exercise, rest = _numbered("hint", arguments)
    parser = _parser("hint", "N.M [K]", "Give a hint: the first, or the K-th of three, each of which says more.")
    parser.add_argument("which", nargs="?", type=whole, default=1, metavar="K", help="1, 2 or 3 (default 1)")
    options = parser.parse(rest)
    if options is None:
        return 0
    exercise = _known("hint", exercise)
    hints = check_of(exercise).HINTS
    if not 1 <= options.which <= len(hints):
        raise UsageError(f"hint {options.which}: exercise {exercise.number} has hints 1 to {len(hints)}")
    print(f"hint {options.which} of {len(hints)}: {hints[options.which - 1]}")
    more = options.which < len(hints)
    following = ("hint", exercise.number, options.which + 1) if more else ("solution", exercise.number)
    print(f"more: {command('exercise', *following)}", file=sys.stderr)
    return 0


def _solution(arguments: list[str]) -> int:
    exercise, rest = _numbered("solution", arguments)
    parser = _parser("solution", "N.M", "Print the worked file of an exercise.")
    if parser.parse(rest) is None:
        return 0
    print(solution(_known("solution", exercise)), end="")
    return 0


ACTIONS = {
    "list": (_list, "list the exercises, and how far you are"),
    "start": (_start, "write the file of an exercise, with a gap for your lines"),
    "check": (_check, "run your file and say what is wrong with it"),
    "hint": (_hint, "give a hint; there are three, each says more"),
    "solution": (_solution, "print the worked file"),
}


def _parser(action: str, usage: str, description: str) -> Parser:
    """The parser of an action, without the number, which `_numbered` takes out."""
    prog = f"jaxrl-up exercise {action}"
    parser = Parser(
        prog=prog, usage=f"{prog} {usage}{' ' * bool(usage)}[--directory DIRECTORY]", description=description
    )
    parser.add(parser, "--directory", type=path, default=DIRECTORY, metavar="DIRECTORY",
               help="where the files are (default exercises)")  # fmt: skip
    return parser


def _numbered(action: str, arguments: list[str]) -> tuple[str, list[str]]:
    """The number of the exercise, empty where none is given, and the other arguments.

    Taken out first: beside an option without a value a parser would take 1.1 for it. 1_1 is 1.1.
    """
    for i, argument in enumerate(arguments):
        if NUMBER.fullmatch(argument) and (i == 0 or arguments[i - 1] != "--directory"):
            return argument.replace("_", "."), [*arguments[:i], *arguments[i + 1 :]]
    return "", arguments


def _known(action: str, number: str) -> Exercise:
    """The exercise of a number. Raises `UsageError` where there is none."""
    if not number:
        raise UsageError(
            f"{action} needs the number of an exercise, as in `{command('exercise', action, BOOK[0].number)}`"
        )
    exercise = find(number)
    if exercise is None:
        raise UsageError(f"there is no exercise {number}; there are {', '.join(each.number for each in BOOK)}")
    return exercise


def _again(action: str, exercise: Exercise, directory: Path) -> str:
    """The command for the same directory."""
    where = () if directory == DIRECTORY else ("--directory", directory)
    return command("exercise", action, exercise.number, *where)


def _right(directory: Path) -> set[str]:
    """The numbers of the exercises whose last check found them right."""
    try:
        return set(json.loads((directory / PROGRESS).read_text(encoding="utf-8"))["right"])
    except (OSError, ValueError, TypeError, KeyError):
        return set()


def _remember(directory: Path, exercise: Exercise, right: bool) -> None:
    """Note whether an exercise is right; a directory that cannot be written keeps no notes."""
    before = _right(directory)
    after = before | {exercise.number} if right else before - {exercise.number}
    if after == before:
        return
    notes: dict[str, Any] = {"right": sorted(after)}
    with contextlib.suppress(OSError):
        new = directory / f"{PROGRESS}.new"
        new.write_text(json.dumps(notes) + "\n", encoding="utf-8")
        os.replace(new, directory / PROGRESS)


def _overview() -> str:
    what = "Exercises of the lessons, which mark themselves: `start` writes a file, you fill its gap, `check` runs it."
    actions = definitions([(name, text) for name, (_, text) in ACTIONS.items()])
    options = definitions(
        [("--help", "after an action, its options"), ("--directory", "where the files are (default exercises)")]
    )
    examples = "\n".join(example(command("exercise", *words)) for words in (("start", 1.1), ("hint", 1.1, 2)))
    return (
        f"usage: jaxrl-up exercise ACTION [N.M] [OPTIONS]\n\n{fill(what)}\n\nactions:\n{actions}\n\n"
        f"options:\n{options}\n\nexamples:\n{examples}"
    )
