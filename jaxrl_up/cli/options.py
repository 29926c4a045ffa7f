"""The options of the command line: parsing that ends in a value or in one line that says what was wrong."""

from __future__ import annotations

import argparse
import contextlib
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from jaxrl_up.cli.layout import fold_usage, formatter
from jaxrl_up.cli.spelling import spell_seeds, unknown_option, unknown_words

ENV_PREFIX = "--env."
METAVARS = {int: "N", float: "X", str: "NAME", tuple: "N,N,..."}
TRUTHS = ("true", "false")
UNITS = {"k": 3, "m": 6}  # powers of ten
LAYERS = re.compile(r"(?<=\d)\s*[-x]\s*(?=\d)|(?<=\d)\s+(?=\d)", re.IGNORECASE)
"""What stands between numbers of layers, beside commas."""


class UsageError(Exception):
    """A bad input; its message is the one line the user sees."""


class Missing(UsageError):
    """Words that a command was not given: `words`, as its help names and explains them."""

    def __init__(self, prog: str, words: dict[str, str]) -> None:
        self.words = words
        super().__init__(f"{prog} needs {' and '.join(f'{name} ({text})' for name, text in words.items())}")


class Parser(argparse.ArgumentParser):
    """An argument parser that raises `UsageError`, takes `_` for `-`, and knows what was meant.

    One of a command that `compiles` programs has the option `--no-cache`.
    """

    def __init__(self, compiles: bool = False, **options: Any) -> None:
        options["usage"] = fold_usage(options["prog"], options.get("usage"))
        super().__init__(allow_abbrev=False, formatter_class=formatter, **options)
        self.known, self.compiles = ["--help"], compiles
        self.lists: set[str] = set()  # options whose value is several numbers, which spaces may separate
        if compiles:
            self.add(self, "--no-cache", action="store_true",
                     help="compile anew, and keep no compiled program (see docs/starting.md)")  # fmt: skip

    def add(self, group: Any, *names: str, **options: Any) -> None:
        """Add an option to a group."""
        action = group.add_argument(*names, **options)
        self.known += action.option_strings

    def error(self, message: str) -> NoReturn:
        missing = message.partition("the following arguments are required: ")[2].split(", ")
        if missing != [""]:
            raise Missing(self.prog, {str(x.metavar): str(x.help) for x in self._actions if x.metavar in missing})
        message, unknown, words = message.removeprefix("argument ").partition("unrecognized arguments: ")
        raise UsageError(unknown_words(words, self.known) if unknown else message)

    def start_from(self, source: Any) -> None:
        """Let what a `records.Source` says be the defaults."""
        if source is not None:
            options = dict(source.options)
            stochastic = {"stochastic": not options.pop("deterministic")} if "deterministic" in options else {}
            fields = {f"config.{name}": value for name, value in source.fields.items()}
            self.set_defaults(
                env=source.environment, wrappers=source.wrappers, parameters=source.parameters,
                evaluation=source.evaluation, **stochastic, **options, **fields,
            )  # fmt: skip

    def parse(self, arguments: list[str]) -> argparse.Namespace | None:
        """Parse, or print help and return None. Where something will be compiled, the compilation cache is then on."""
        arguments = self._normalise(arguments)
        if any(a in ("--help", "-h") for a in arguments):
            self.print_help()
            return None
        options = self.parse_args(arguments)
        if self.compiles and not options.no_cache:
            from jaxrl_up.experiments import use_compilation_cache

            use_compilation_cache()
        return options

    def _normalise(self, arguments: list[str]) -> list[str]:
        """Spell options as declared and join negative values to them, which argparse takes for options."""
        if "--seeds" in self.known and "--seed" not in self.known:
            arguments = spell_seeds(arguments)
        result: list[str] = []
        for argument in arguments:
            follows = bool(result) and result[-1].startswith("--") and "=" not in result[-1]
            if argument.isdecimal() and result and result[-1].partition("=")[0] in self.lists and not follows:
                result[-1] += f",{argument}"
            elif _is_number(argument) and follows:
                result[-1] += f"={argument}"
            elif argument.lower() in TRUTHS and follows and self._is_flag(result[-1]):
                result[-1] = self._flag(result[-1], argument)
            elif argument.startswith("-") and not _is_number(argument) and argument != "-h":
                name, equals, value = argument.partition("=")
                name = name.replace("_", "-")
                if name not in self.known:
                    raise UsageError(unknown_option(self.prog, argument.partition("=")[0], self.known))
                flag = value.lower() in TRUTHS and self._is_flag(name)
                result.append(self._flag(name, value) if flag else name + equals + value)
            else:
                result.append(argument)
        return result

    def _is_flag(self, name: str) -> bool:
        return f"--no-{name.removeprefix('--')}" in self.known

    @staticmethod
    def _flag(name: str, value: str) -> str:
        """`--shared true` as `--shared`, `--shared false` as `--no-shared`."""
        return name if value.lower() == "true" else f"--no-{name.removeprefix('--')}"


def take_env_options(arguments: list[str], prefix: str = ENV_PREFIX) -> tuple[list[str], dict[str, Any]]:
    """Split `--env.NAME VALUE` and `--env.NAME=VALUE` off; which names exist is for the environment to say."""
    rest: list[str] = []
    options: dict[str, Any] = {}
    tokens = iter(arguments)
    for token in tokens:
        if not token.startswith(prefix):
            rest.append(token)
            continue
        name, equals, value = token.removeprefix(prefix).partition("=")
        value = value if equals else next(tokens, None)
        if not name or value is None or value.startswith("--"):
            raise UsageError(f"{token} needs a value, as in `{prefix}gravity 12`")
        options[name.replace("-", "_")] = _literal(f"{prefix}{name}", value)
    return rest, options


def converter(kind: type, optional: bool) -> Callable[[str], Any]:
    """What turns the text of a field of this kind into its value; raises `ArgumentTypeError`."""
    convert = {int: whole, float: real, str: str, tuple: layers}[kind]
    return or_none(convert) if optional else convert


def or_none(convert: Callable[[str], Any]) -> Callable[[str], Any]:
    """As `convert`, but `none` is None."""
    return lambda text: None if text.lower() == "none" else convert(text)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def real(text: str) -> float:
    """A number, infinite or NaN ones too: the range is checked with the config. Raises `ArgumentTypeError`."""
    if not _is_number(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number")
    return float(text)


def whole(text: str) -> int:
    """A whole number, also as `1e6`, `500_000`, `500k` or `1M`. Raises `ArgumentTypeError`."""
    with contextlib.suppress(ValueError):
        return int(text)
    if text[-1:].lower() in UNITS and text[:-1].replace(".", "", 1).isdecimal():
        text = f"{text[:-1]}e{UNITS[text[-1].lower()]}"
    with contextlib.suppress(ValueError, OverflowError):
        if float(text) == int(float(text)):  # 1e6
            return int(float(text))
    raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")


def wholes(text: str) -> tuple[int, ...]:
    """Whole numbers between commas. Raises `ArgumentTypeError`."""
    return tuple(whole(part) for part in text.strip(" ()[]").split(",") if part.strip())


def layers(text: str) -> tuple[int, ...]:
    """Sizes as people write them: `64,64`, `64-64`, `64x64`, `[64, 64]`, `(64 64)`. Raises `ArgumentTypeError`."""
    return wholes(LAYERS.sub(",", text))


def seeds(text: str) -> int | tuple[int, ...]:
    """How many seeds (`8`), or which (`0,3,7`; `7,` is seed 7 alone). Raises `ArgumentTypeError`."""
    return wholes(text) if "," in text else whole(text)


def _literal(name: str, text: str) -> Any:
    """The value of an environment option: a boolean, a finite number, a tuple of them, or text."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if "," in text:
        return tuple(_literal(name, part) for part in text.split(",") if part.strip())
    with contextlib.suppress(ValueError):
        return int(text)
    if not _is_number(text):
        return text
    if not math.isfinite(float(text)):
        raise UsageError(f"{name}={text} must be a finite number")
    return float(text)


def check_env(name: str) -> None:
    """Raise `UsageError`, with what was meant, for an environment that is not built by name."""
    from jaxrl_up import envs
    from jaxrl_up.config import did_you_mean

    if not envs.is_name(name):
        raise UsageError(
            f"there is no environment {name!r}.{did_you_mean(name, envs.names())} `jaxrl-up envs` lists them"
        )


def add_environment(parser: Parser, group: Any, default: str, parameter: str) -> None:
    """Add the options that say what is trained on; `build_env` builds it. `parameter` is the help of `--env.NAME`."""
    from jaxrl_up.envs import wrapper_usages

    parser.add(group, "--env", default=default, metavar="ENV", help=f"environment (default {default})")
    group.add_argument("--env.NAME", dest="_", metavar="VALUE", default=argparse.SUPPRESS, help=parameter)
    parser.add(group, "--wrap", action="append", metavar="NAME[=VALUE]",
               help=f"wrap the environment; may be repeated, the first is applied first (none: leave away those of "
               f"--recipe or --from): {', '.join(wrapper_usages())}")  # fmt: skip
    parser.set_defaults(wrappers=(), parameters={})


def build_env(options: argparse.Namespace, env_options: dict[str, Any]) -> Any:
    """The environment of `add_environment`, with the parameters of `take_env_options`.

    What is not given is as `--recipe` or `--from` say; wrappers that are given replace all that they say. Raises
    `UsageError` for `none` among other wrappers, and `ValueError` for what `envs.make` and `envs.wrap` do not take.
    """
    from jaxrl_up import envs

    wrappers = chosen_wrappers("--wrap", options.wrap, options.wrappers)
    return envs.wrap(envs.make(options.env, **{**options.parameters, **env_options}), wrappers)


def chosen_wrappers(option: str, given: list[str] | None, default: Sequence[str]) -> Sequence[str]:
    """The wrappers that an option gives, `none` for no wrapper, or the default. Raises as `build_env` does."""
    from jaxrl_up import envs

    wrappers = default if given is None else given
    if "none" in wrappers:
        if len(wrappers) > 1:
            raise UsageError(f"{option} none leaves all wrappers away: give no other")
        wrappers = ()
    envs.parse_wrappers(wrappers)
    return wrappers


def place_of(options: argparse.Namespace, what: str) -> Path | None:
    """Where a run or a sweep is kept, as far as `--directory` and `--name` say; None where they do not."""
    from jaxrl_up.records import RUNS

    try:
        directory = None if options.directory is None else path(options.directory)
    except argparse.ArgumentTypeError as error:
        raise UsageError(f"--directory: {error}") from error
    if options.name is not None:
        name = Path(options.name)
        if name.is_absolute() or len(name.parts) != 1 or options.name in (".", ".."):
            raise UsageError(f"--name {options.name!r} must be a plain name; --directory says where")
        return (RUNS if directory is None else directory) / name
    if options.force and options.directory is None:
        raise UsageError(f"--force replaces {what}: say which with --name or --directory")
    return directory


def path(text: str) -> Path:
    """A path, `~` expanded."""
    from jaxrl_up.records import expand

    try:
        return expand(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def add_fields(parser: Parser, algo: Any, title: str) -> None:
    """Add an option for each field of an algorithm's config; what is given has the destination `config.NAME`."""
    from jaxrl_up.algorithms import own_kinds
    from jaxrl_up.config import field_help

    own = own_kinds(algo)
    takers = " and ".join(f"--{name}".replace("_", "-") for name in own)
    group = parser.add_argument_group(title, f"{takers} also take FILE.py:NAME or MODULE:NAME." if own else None)
    for field in field_help(algo.Config):
        names = {"dest": f"config.{field.name}", "default": argparse.SUPPRESS}
        flag, text = f"--{field.name.replace('_', '-')}", field.text.replace("%", "%%")
        if field.kind is bool:
            parser.add(group, flag, action=argparse.BooleanOptionalAction, help=text, **names)
        else:
            parser.lists |= {flag} if field.kind is tuple else set()
            convert = own_field(field.name, field.optional) if field.name in own else None
            parser.add(group, flag, type=convert or converter(field.kind, field.optional), help=text,
                       metavar=METAVARS[field.kind], **names)  # fmt: skip


def own_field(field: str, optional: bool) -> Callable[[str], Any]:
    """What turns the text of a field that takes something of one's own into its value."""

    def convert(text: str) -> Any:
        from jaxrl_up.algorithms import own_value
        from jaxrl_up.config import is_own_file, is_own_name

        if is_own_file(text):
            raise argparse.ArgumentTypeError(f"{text!r} is a file: say what of it, as {text}:NAME")
        if not is_own_name(text):
            return None if optional and text.lower() == "none" else text
        try:
            return own_value(field, text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return convert


def add_evaluation(parser: Parser, group: Any) -> None:
    """Add the options that say how policies are evaluated while they train."""
    parser.add(group, "--num-evals", type=whole, default=20, metavar="N",
               help="evaluations, evenly spaced, the last at the end (default 20)")  # fmt: skip
    parser.add(group, "--num-episodes", type=whole, default=16, metavar="N",
               help="episodes of each evaluation (default 16)")  # fmt: skip
    parser.add(group, "--max-eval-steps", type=or_none(whole), metavar="N",
               help="cap on an evaluation episode's length (default: the environment's time limit)")  # fmt: skip
    parser.add(group, "--stochastic", action="store_true",
               help="evaluate sampled actions instead of the policy's mode")  # fmt: skip


def add_keeping(parser: Parser, group: Any) -> None:
    """Add the options that `train` and `resume` share: checkpoints, progress and sinks."""
    add_checkpoints(parser, group)
    parser.add(group, "--tensorboard", action="store_true", help="write TensorBoard events into the run's directory")
    parser.add(group, "--wandb", metavar="PROJECT", help="log to this project of Weights & Biases, a run for each seed")


def add_checkpoints(parser: Parser, group: Any) -> None:
    """Add what every training has: checkpoints and progress."""
    parser.add(group, "--checkpoint-seconds", type=or_none(real), default=120.0, metavar="X",
               help="time between checkpoints, after evaluations (default 120; none: only at the end)")  # fmt: skip
    parser.add(group, "--progress", action=argparse.BooleanOptionalAction, default=True,
               help="report progress on standard error")  # fmt: skip
    add_processes(parser)


def add_processes(parser: Parser) -> None:
    """Add the options of several processes; `cli.processes` reads them before."""
    group = parser.add_argument_group(
        "several processes", "The same command in each (docs/clusters.md). SLURM and Open MPI say all three."
    )
    parser.add(group, "--coordinator", metavar="HOST:PORT", help="where process 0 waits for the others")
    parser.add(group, "--processes", type=whole, metavar="N", help="how many there are (1: stay alone in a cluster)")
    parser.add(group, "--process", type=whole, metavar="I", help="which this is, from 0 on")


def settings_of(options: argparse.Namespace, **more: Any) -> Any:
    """The settings of a run, or with `more` of a sweep, from the options of `add_evaluation` and `add_keeping`."""
    from jaxrl_up.experiments import SweepSettings
    from jaxrl_up.records import RunSettings

    return (SweepSettings if more else RunSettings)(
        num_evals=options.num_evals,
        num_episodes=options.num_episodes,
        deterministic=not options.stochastic,
        max_eval_steps=options.max_eval_steps,
        preset=options.preset,
        progress=options.progress,
        checkpoint_seconds=options.checkpoint_seconds,
        force=options.force,
        **more,
    )


def make_sinks(options: argparse.Namespace, directory: Path | None) -> list[Any]:
    """The sinks that were asked for. Raises `UsageError` for a missing library or place."""
    from jaxrl_up.experiments import sinks

    if options.tensorboard and directory is None:
        raise UsageError("--tensorboard writes into the run's directory: say which with --name or --directory")
    chosen = []
    try:
        if options.tensorboard and directory is not None:
            chosen.append(sinks.tensorboard(directory / "tensorboard"))
        if options.wandb is not None:
            chosen.append(sinks.wandb(options.wandb, directory))
    except ValueError as error:
        raise UsageError(str(error)) from error
    return chosen
