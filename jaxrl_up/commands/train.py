"""`jaxrl-up train`: train an algorithm on an environment, many seeds at once."""

from __future__ import annotations

import argparse
import contextlib
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jaxrl_up.cli_options import (
    METAVARS,
    Parser,
    UsageError,
    add_keeping,
    algo_name,
    converter,
    make_sinks,
    or_none,
    report,
    seeds,
    take_env_options,
    take_source,
    whole,
)

DEFAULT_ALGO = "ppo"
DEFAULT_ENV = "CartPole-v1"
RUNS = Path("runs")
PATIENCE = 2.5  # seconds of loading without a word; shorter loading leaves an error alone on its line


def main(arguments: list[str]) -> int:
    """`jaxrl-up train`: parse, check everything, train, and print one score line on standard output."""
    from jaxrl_up.algorithms import ALGORITHMS

    arguments, env_options = take_env_options(take_source(arguments))
    name = _guess_algo(arguments, ALGORITHMS)
    options = _train_parser(ALGORITHMS[name]).parse(arguments)
    if options is not None and (options.algo or DEFAULT_ALGO) != name:  # an option's value was taken for it
        name = options.algo or DEFAULT_ALGO
        options = _train_parser(ALGORITHMS[name]).parse(arguments)
    if options is None:
        return 0
    given = vars(options)
    fields = {k.removeprefix("config."): v for k, v in given.items() if k.startswith("config.")}
    return _train(ALGORITHMS[name], options, fields, env_options)


def _train(algo: Any, options: argparse.Namespace, fields: dict[str, Any], env_options: dict[str, Any]) -> int:
    from jaxrl_up import envs
    from jaxrl_up.config import did_you_mean, make_config
    from jaxrl_up.devices import use_all_cores
    from jaxrl_up.memory import memory_lines
    from jaxrl_up.records import reserve
    from jaxrl_up.run import check_run, run

    runs = options.seeds if isinstance(options.seeds, int) else len(options.seeds)
    with contextlib.suppress(RuntimeError):  # a Python process that has used JAX before: keep its devices
        use_all_cores(runs=runs)
    if options.env not in envs.names():
        raise UsageError(
            f"there is no environment {options.env!r}.{did_you_mean(options.env, envs.names())} "
            "`jaxrl-up envs` lists them"
        )
    directory, reserved = _directory(options), None
    settings = {
        "seeds": options.seeds,
        "num_evals": options.num_evals,
        "num_episodes": options.num_episodes,
        "deterministic": not options.stochastic,
        "max_eval_steps": options.max_eval_steps,
        "force": options.force,
    }
    try:
        config = make_config(algo, options.preset, **fields)
        with _saying(f"loading {options.env} ...", options.progress):
            env = envs.make(options.env, **env_options)
            check_run(algo, env, config, directory=directory, **settings)
        if options.dry_run:
            print("\n".join(memory_lines(algo, env, config, runs)), flush=True)
            return 0
        if directory is None and options.directory != "none":
            directory = reserved = reserve(RUNS / f"{algo.name}-{options.env}")
        keeping = {"checkpoint_seconds": options.checkpoint_seconds, "sinks": make_sinks(options, directory)}
        keeping["preset"] = options.preset
        result = run(algo, env, config, directory=directory, progress=options.progress, **keeping, **settings)
    except (ValueError, OSError, UsageError) as error:
        with contextlib.suppress(OSError):
            if reserved is not None:
                reserved.rmdir()  # fails where something was written
        raise UsageError(str(error)) from error
    return report(result, options.progress)


def _directory(options: argparse.Namespace) -> Path | None:
    """Where the run is kept, as far as it was said; without a word it gets a place of its own once all is checked."""
    if options.directory == "none":
        if options.name is not None or options.force:
            raise UsageError("--directory none keeps nothing: leave --name and --force out")
        return None
    if options.name is not None:
        name = Path(options.name)
        if name.is_absolute() or len(name.parts) != 1 or options.name in (".", ".."):
            raise UsageError(f"--name {options.name!r} must be a plain name; --directory says where")
        return Path(options.directory or RUNS) / name
    if options.force and options.directory is None:
        raise UsageError("--force replaces a run: say which with --name or --directory")
    return None if options.directory is None else Path(options.directory)


@contextlib.contextmanager
def _saying(line: str, enabled: bool) -> Iterator[None]:
    """Print a line on standard error if what is within takes long."""
    timer = threading.Timer(PATIENCE, print, [line], {"file": sys.stderr, "flush": True})
    timer.daemon = True
    if enabled:
        timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _guess_algo(arguments: list[str], algorithms: dict[str, Any]) -> str:
    """The algorithm whose fields the options are: the first word, or else a word that is an algorithm."""
    if arguments and not arguments[0].startswith("-"):
        return algo_name(arguments[0])
    return next((a.lower() for a in arguments if a.lower() in algorithms), DEFAULT_ALGO)


def _train_parser(algo: Any) -> Parser:
    from jaxrl_up.algorithms import ALGORITHMS
    from jaxrl_up.config import field_help

    parser = Parser(
        prog="jaxrl-up train",
        usage="jaxrl-up train [ALGO] [--env ENV] [--seeds N] [--directory DIR] [--FIELD VALUE ...]",
        description="Train an algorithm on an environment, many seeds at once. The last line, on standard output, is "
        "the score: the interquartile mean over the seeds of the final policies' mean returns, with a 95% stratified "
        "bootstrap interval.",
    )
    parser.add_argument("algo", nargs="?", type=algo_name, metavar="ALGO", help=", ".join(ALGORITHMS))
    options = parser.add_argument_group("run options")
    parser.add(options, "--env", default=DEFAULT_ENV, metavar="ENV", help=f"environment (default {DEFAULT_ENV})")
    options.add_argument(
        "--env.NAME",
        dest="_",
        metavar="VALUE",
        default=argparse.SUPPRESS,
        help="a parameter of the environment: --env.gravity 12 --env.max_steps 200",
    )
    parser.add(options, "--seeds", type=seeds, default=8, metavar="N",
               help="how many seeds (0, 1, ...), or which: 0,3,7 (7, is seed 7 alone; default 8)")  # fmt: skip
    parser.add(options, "--recipe", metavar="NAME",
               help="algorithm, environment, fields, seeds of a recipe (`jaxrl-up recipes`) or of a file")  # fmt: skip
    parser.add(options, "--preset", metavar="NAME",
               help=f"start from a named set of fields: {', '.join(['default', *algo.presets])}")  # fmt: skip
    parser.add(options, "--from", metavar="PATH", dest="from_",
               help="repeat the run of a directory or its config.toml; other options override it")  # fmt: skip
    parser.add(options, "--directory", metavar="DIR",
               help="keep the run there (default: a new one in runs, named ALGO-ENV; none: keep nothing)")  # fmt: skip
    parser.add(options, "--name", metavar="NAME", help="keep the run in runs/NAME, or in DIR/NAME")
    parser.add(options, "--force", action="store_true", help="replace a run that is there")
    parser.add(options, "--num-evals", type=whole, default=20, metavar="N",
               help="evaluations, evenly spaced, the last at the end (default 20)")  # fmt: skip
    parser.add(options, "--num-episodes", type=whole, default=16, metavar="N",
               help="episodes of each evaluation (default 16)")  # fmt: skip
    parser.add(options, "--max-eval-steps", type=or_none(whole), metavar="N",
               help="cap on an evaluation episode's length (default: the environment's time limit)")  # fmt: skip
    parser.add(options, "--dry-run", action="store_true",
               help="check everything, print the memory the run takes, and stop")  # fmt: skip
    parser.add(options, "--stochastic", action="store_true",
               help="evaluate sampled actions instead of the policy's mode")  # fmt: skip
    add_keeping(parser, options)
    fields = parser.add_argument_group(f"fields of {algo.name}")
    for field in field_help(algo.Config):
        names = {"dest": f"config.{field.name}", "default": argparse.SUPPRESS}
        text = field.text.replace("%", "%%")
        flag = f"--{field.name.replace('_', '-')}"
        if field.kind is bool:
            parser.add(fields, flag, action=argparse.BooleanOptionalAction, help=text, **names)
        else:
            parser.add(fields, flag, type=converter(field.kind, field.optional), help=text,
                       metavar=METAVARS[field.kind], **names)  # fmt: skip
    return parser
