"""What is the user's own on the command line: an algorithm, an environment, a network, by `FILE.py:NAME`."""

from __future__ import annotations

import argparse
import contextlib
import re
from typing import Any

from jaxrl_up.cli.options import Parser, UsageError
from jaxrl_up.cli.options import seeds as read_seeds
from jaxrl_up.cli.spelling import spell_seeds

FIELDS = ("network", "head", "policy")
"""The fields of the package's algorithms that take something of one's own."""


def algorithm(text: str) -> Any:
    """The algorithm of a name, in any case, or of `FILE.py`, `FILE.py:NAME` or `MODULE:NAME`.

    Raises `UsageError` with what was meant, and with the file and line where one of your own cannot be taken.
    """
    from jaxrl_up import envs
    from jaxrl_up.algorithms import ALGORITHMS, find_algorithm
    from jaxrl_up.config import did_you_mean, is_own_file, is_own_name

    if is_own_file(text) or is_own_name(text):
        try:
            return find_algorithm(text)
        except ValueError as error:
            raise UsageError(str(error)) from error
    if text.lower() not in ALGORITHMS:
        meant = f" It is an environment: --env {text}." if envs.is_name(text) else did_you_mean(text, ALGORITHMS)
        raise UsageError(
            f"unknown algorithm {text!r}.{meant} Choose from {', '.join(ALGORITHMS)}, or give "
            "a file of your own, as my_algo.py"
        )
    return ALGORITHMS[text.lower()]


def take_algo(arguments: list[str]) -> tuple[list[str], str | None]:
    """The arguments without `--algo NAME`, and the name; None where there is none."""
    given = [i for i, argument in enumerate(arguments) if argument.partition("=")[0] == "--algo"]
    if not given:
        return arguments, None
    name, rest = _value(arguments, given[0])
    if not name or name.startswith("--"):
        raise UsageError("--algo needs a file or a name, as in `--algo my_algo.py`")
    if len(given) > 1 or (rest and not rest[0].startswith("-")):
        raise UsageError("--algo names the algorithm: give it once, and no other beside it")
    return rest, name


def guess_algo(arguments: list[str], default: Any) -> Any:
    """The algorithm whose fields the options are: the first word, or else a word that is an algorithm."""
    from jaxrl_up.algorithms import ALGORITHMS
    from jaxrl_up.config import is_own_file

    if arguments and not arguments[0].startswith("-"):
        return algorithm(arguments[0])
    for before, word in zip(["", *arguments], arguments, strict=False):
        if word.lower() in ALGORITHMS or (
            is_own_file(word) and not word.startswith("-") and not before.startswith("-")
        ):
            return algorithm(word)
    return default


def own_words(arguments: list[str], names: tuple[str, ...] = FIELDS) -> dict[str, str]:
    """Which of some options have a value `FILE.py:NAME` or `MODULE:NAME`, by their names with `_`."""
    from jaxrl_up.config import is_own_name

    found = {}
    for i, argument in enumerate(arguments):
        name = argument.partition("=")[0].removeprefix("--").replace("-", "_")
        if argument.startswith("--") and name in names and is_own_name(_value(arguments, i)[0]):
            found[name] = _value(arguments, i)[0]
    return found


def without(arguments: list[str], names: list[str]) -> list[str]:
    """The arguments without the options of these names, and their values."""
    for name in names:
        given = [
            i for i, x in enumerate(arguments) if x.partition("=")[0].replace("_", "-") == f"--{name}".replace("_", "-")
        ]
        arguments = _value(arguments, given[0])[1] if given else arguments
    return arguments


def _value(arguments: list[str], i: int) -> tuple[str, list[str]]:
    """The value of the option at a place, and the arguments without both."""
    _, equals, value = arguments[i].partition("=")
    value = value if equals else "".join(arguments[i + 1 : i + 2])
    return value, arguments[:i] + arguments[i + (1 if equals else 2) :]


def choose_cores(arguments: list[str], seeds: int) -> None:
    """Where something of one's own is named, choose devices for so many seeds, or what `--seeds` says, at once.

    A file may compute something as soon as it is run, and then it is too late.
    """
    from jaxrl_up.config import is_own_file, is_own_name

    values = [value for word in arguments for value in re.split("[=,]", word)]
    if not any(is_own_file(value) or is_own_name(value) for value in values):
        return
    from jaxrl_up.experiments import use_all_cores

    arguments = spell_seeds(arguments)
    given = [_value(arguments, i)[0] for i, word in enumerate(arguments) if word.partition("=")[0] == "--seeds"]
    with contextlib.suppress(argparse.ArgumentTypeError, RuntimeError):
        number = read_seeds(given[-1]) if given else seeds
        use_all_cores(runs=number if isinstance(number, int) else len(number))


def add_algo(parser: Parser, group: Any) -> None:
    """Add the line of help on `--algo`, which `take_algo` has taken."""
    parser.add(group, "--algo", metavar="FILE.py", default=None,
               help="an algorithm of your own, in place of ALGO: a file that holds one Algorithm, FILE.py:NAME or "
               "MODULE:NAME; its fields are options too")  # fmt: skip


def add_own(parser: Parser, arguments: list[str]) -> None:
    """Add the options that name what a run has of the user's own; `given_own` has what they say.

    An algorithm among the arguments may have further fields of this kind; its file is run here only where there are
    such options, since devices are chosen before anything is computed.
    """
    from jaxrl_up.algorithms import own_kinds

    group = parser.add_argument_group("what is your own, imported only where you name it")
    parser.add(group, "--algo", metavar="FILE.py",
               help="its algorithm: a file that holds one Algorithm, FILE.py:NAME or MODULE:NAME")  # fmt: skip
    parser.add(group, "--env", metavar="FILE.py:NAME", help="its environment")
    parser.add(group, "--eval-env", metavar="FILE.py:NAME", help="the environment that it is evaluated in")
    name = take_algo(["--help", *arguments])[1]
    options = {word.partition("=")[0].removeprefix("--").replace("-", "_") for word in arguments if word[:2] == "--"}
    further = name and own_words(arguments, tuple(options - {*FIELDS, "algo", "env", "eval_env"}))
    fields = dict.fromkeys((*FIELDS, *(own_kinds(algorithm(name)) if name and further else ())))
    for field in fields:
        parser.add(
            group, f"--{field.replace('_', '-')}", metavar="FILE.py:NAME", dest=f"own.{field}", help=f"its {field}"
        )


def given_own(options: argparse.Namespace) -> dict[str, Any]:
    """What `load_run` and `resume` are given by the options of `add_own`."""
    own = {
        name.removeprefix("own."): x for name, x in vars(options).items() if name.startswith("own.") and x is not None
    }
    given = {"algo": options.algo, "env": options.env, "evaluation_env": options.eval_env, "own": own}
    return {name: x for name, x in given.items() if x}
