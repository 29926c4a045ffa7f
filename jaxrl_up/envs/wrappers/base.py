"""What every wrapper is made with.

They replace the raw functions of the Spec, so auto-reset stays outermost and the state of a wrapper (a
counter, the previous action) starts afresh with each episode. Equal wraps of equal environments compare
equal and share a compile.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec

import numpy as np

from jaxrl_up.config import is_number, plain, shown
from jaxrl_up.envs.core import Env
from jaxrl_up.envs.suites import find

Given = ParamSpec("Given")


def wrapper(wrap: Callable[Concatenate[Env, Given], Env]) -> Callable[Concatenate[Env | str, Given], Env]:
    """Let a wrapper take the name of an environment too; raises TypeError for what is none."""

    @functools.wraps(wrap)
    def named(env: Env | str, *arguments: Given.args, **options: Given.kwargs) -> Env:
        return wrap(find(env), *arguments, **options)

    return named


def number_text(number: float) -> str:
    """A number as a wrapper records it: the shortest text that reads back as the same one."""
    short = f"{number:g}"
    return short if float(short) == number else repr(number)


def number_of(wrapper: str, name: str, value: Any) -> float:
    """A finite number as Python's float; raises ValueError for anything else."""
    number = plain(value)
    if not is_number(number) or not -np.inf < number < np.inf:
        raise ValueError(f"{wrapper} needs a finite Python number as {name} (it is static), got {shown(value)}.")
    return float(number)
