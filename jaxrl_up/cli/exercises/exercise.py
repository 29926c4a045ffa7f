"""What an exercise is, and what its check works with: the student's functions, and how answers are compared."""

from __future__ import annotations

import functools
import traceback
from collections.abc import Mapping
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from jaxrl_up.config import did_you_mean

GAP = "your lines"  # what the gap of a file raises, as NotImplementedError
LONGEST = 300  # characters of an exception's message that are shown
MEANINGS = {  # of JAX's exceptions, by the name of their type
    "TracerBoolConversionError": "under jit an array has no value yet, so `if`, `while`, `and`, `max` cannot look at "
    "it: use jnp.where or jnp.maximum",
    "TracerArrayConversionError": "NumPy cannot take an array under jit or vmap: use jnp in the place of np",
    "TracerIntegerConversionError": "under jit an array has no value yet, so it cannot be an index or a length of "
    "Python's: use jnp throughout",
    "ConcretizationTypeError": "under jit an array has no value yet, so float() and int() cannot read it: keep it an "
    "array",
    "NonConcreteBooleanIndexError": "under jit a shape cannot depend on values, as that of x[mask] does: use "
    "jnp.where(mask, x, other)",
}


class Exercise(NamedTuple):
    """One exercise: the worked file is `exercises/MODULE.py`, its check `exercises/MODULE_check.py`."""

    number: str  # as "1.1": lesson, and place in it
    title: str
    module: str  # as "chapter_1.gaussian_log_likelihood"
    about: str  # what the student does, one sentence

    @property
    def lesson(self) -> int:
        """The number of the lesson."""
        return int(self.number.partition(".")[0])

    @property
    def file(self) -> str:
        """The name of the student's file, as 1_1_gaussian_log_likelihood.py."""
        return f"{self.number.replace('.', '_')}_{self.module.rpartition('.')[2]}.py"


class Wrong(Exception):
    """An answer is wrong; the message says which case, what came, and where it can tell, what was probably done."""


class Student:
    """The student's file: its functions are attributes, and what goes wrong in one of them is raised as `Wrong`.

    That is an exception, with the line of the file, or a result of None. `cases` counts what `expect` found right.
    """

    def __init__(self, module: ModuleType, path: str) -> None:
        self._module, self._path, self.cases = module, path, 0

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        found = getattr(self._module, name, None)
        if found is None:
            there = [known for known, value in vars(self._module).items() if callable(value)]
            raise Wrong(f"Your file has no function `{name}`.{did_you_mean(name, there)} The task asks for that name.")
        if not callable(found):
            raise Wrong(f"`{name}` should be a function; in your file it is {found!r:.60}.")

        @functools.wraps(found)
        def call(*arguments: Any, **named: Any) -> Any:
            try:
                result = found(*arguments, **named)
            except Wrong:
                raise
            except (Exception, SystemExit) as error:
                raise Wrong(explain(error, self._path, f"`{name}`")) from None
            if result is None:
                raise Wrong(f"`{name}` returned None: did you forget `return`?")
            return result

        return call

    def expect(
        self,
        case: str,
        got: Any,
        expected: Any,
        mistakes: Mapping[str, Any] | None = None,
        tolerance: float = 1e-4,
    ) -> None:
        """Raise `Wrong` unless `got` has the shape and the numbers of `expected`.

        Args:
          case: what was asked, in numbers, as "log_likelihood of x = 0 with mean 1 and log_std 0".
          got: what the student's function returned; arrays, lists and plain numbers are the same.
          expected: the right answer.
          mistakes: by what is then said, as "the constant log(2 pi) is left out", what this typical mistake gives. One
            that is right in this case is passed over; the shape of a mistake may be another one.
          tolerance: largest distance, in units of 1 + |expected|.
        """
        expected = np.asarray(expected)
        came = as_numbers(case, got)
        if came.shape == expected.shape and np.isfinite(came).all() and close(came, expected, tolerance):
            self.cases += 1
            return
        lines = [f"{case}:", f"  came      {shown(came)}", f"  expected  {shown(expected)}"]
        for said, value in (mistakes or {}).items():
            value = np.asarray(value)
            known = value.shape == came.shape and close(came, value, tolerance)
            if known and not (value.shape == expected.shape and close(value, expected, tolerance)):
                raise Wrong("\n".join([*lines, f"  {said}"]))
        if came.shape != expected.shape:
            lines.append(f"  The shape is {list(came.shape)}, it should be {list(expected.shape)}.")
        elif not np.isfinite(came).all():
            lines.append("  Not all of it is finite: look for a logarithm of 0, a division by 0, or an overflow.")
        raise Wrong("\n".join(lines))


def as_numbers(case: str, got: Any) -> np.ndarray:
    """What was returned as an array of numbers; raises `Wrong` for what is none."""
    try:
        came = np.asarray(got)
    except Exception:
        came = np.asarray(None)
    if came.dtype.kind not in "biuf" and str(came.dtype) != "bfloat16":
        raise Wrong(
            f"{case}:\n  came      {got!r:.80}, a {type(got).__name__}, where an array of numbers is asked for."
        )
    return came.astype(float)


def close(a: Any, b: Any, tolerance: float = 1e-4) -> bool:
    """Are two arrays of one shape equal up to `tolerance`, in units of 1 + |b|; NaN is equal to NaN."""
    with np.errstate(invalid="ignore"):
        return bool(np.allclose(a, b, rtol=tolerance, atol=tolerance, equal_nan=True))


def shown(x: Any) -> str:
    """Numbers as a message shows them: four digits behind the point, further lines below the first."""
    x = np.asarray(x)
    if x.ndim == 0:
        return f"{float(x) + 0.0:.6g}"  # no -0
    text = np.array2string(x.astype(float) + 0.0, precision=4, separator=", ", threshold=40, suppress_small=True)
    return text.replace("\n", "\n            ")


def explain(error: BaseException, path: str, what: str) -> str:
    """An exception in the student's file as one line: the line of the file, and what was raised there."""
    if isinstance(error, SyntaxError) and error.filename == path:
        text = "" if not error.text else f", `{error.text.strip()}`"
        return f"Python cannot read line {error.lineno}{text}: {error.msg}."
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
    place = f"Line {frames[-1].lineno}, `{frames[-1].line}`" if frames else f"Calling {what}"
    if isinstance(error, NotImplementedError) and str(error) == GAP:
        number = frames[-1].lineno if frames else "?"
        return f"Line {number} still is the gap: write your lines in the place of `raise NotImplementedError(...)`."
    if isinstance(error, SystemExit):
        return f"{place}: this ends the program. Take it out: the check goes on with your functions."
    kind = type(error).__name__
    if kind in MEANINGS:
        return f"{place}: {MEANINGS[kind]}."
    first = (str(error).strip().splitlines() or [""])[0][:LONGEST]
    keep = "" if frames or not isinstance(error, TypeError) else " Keep the arguments as the task has them."
    return f"{place}: {kind}{': ' if first else ''}{first.rstrip('.')}.{keep}"
