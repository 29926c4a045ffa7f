"""Worked files: the solution, and the student's file, which is the same without what stands between two marks.

A part begins with the line `### BEGIN SOLUTION` and ends with `### END SOLUTION`. Right after the first there may be
`### TASK` and lines of code commented out, up to the first that is no comment, or an empty line: these are what the
student gets there. Otherwise it is a gap, which raises NotImplementedError.
"""

from __future__ import annotations

import importlib
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from jaxrl_up.cli.exercises.exercise import GAP, Exercise

BEGIN, TASK, END = "### BEGIN SOLUTION", "### TASK", "### END SOLUTION"


def task(exercise: Exercise) -> str:
    """The text of the file that the student begins with."""
    head = f"# Exercise {exercise.number}. When you have an answer: jaxrl-up exercise check {exercise.number}\n"
    return head + without_solution(_source(exercise))


def solution(exercise: Exercise) -> str:
    """The text of the worked file, without the marks."""
    return "".join(solved for _, solved in _parts(_source(exercise)))


def without_solution(source: str) -> str:
    """The text of a worked file with gaps, or the code of the task, in the place of solutions."""
    return "".join(given for given, _ in _parts(source))


def check_of(exercise: Exercise) -> ModuleType:
    """The module that checks: `HINTS`, `READING`, `check(student)`."""
    return importlib.import_module(f"jaxrl_up.cli.exercises.{exercise.module}_check")


def _source(exercise: Exercise) -> str:
    path = Path(__file__).parent.joinpath(*exercise.module.split(".")).with_suffix(".py")
    return path.read_text(encoding="utf-8")


def _parts(source: str) -> Iterator[tuple[str, str]]:
    """Part by part: what the student is given, and what stands in the solution."""
    lines = iter(source.splitlines(keepends=True))
    for line in lines:
        if line.strip() != BEGIN:
            yield line, line
            continue
        indent = line[: len(line) - len(line.lstrip())]
        solved = list(itertools.takewhile(lambda each: each.strip() != END, lines))
        given = [f'{indent}raise NotImplementedError("{GAP}")\n']
        if solved[0].strip() == TASK:
            given = list(itertools.takewhile(lambda each: each.strip().startswith("#"), solved[1:]))
            solved = solved[1 + len(given) :]
            solved = solved if solved[0].strip() else solved[1:]
            given = [re.sub(r"^(\s*)# ?", r"\1", each) for each in given]
        yield "".join(given), "".join(solved)
