"""`jaxrl-up train`: train an algorithm on an environment, many seeds at once."""

from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path
from typing import Any

from jaxrl_up.cli.evaluation_options import add_evaluation_env, build_evaluation_env, take_evaluation_options
from jaxrl_up.cli.options import (
    Parser,
    UsageError,
    add_environment,
    add_evaluation,
    add_fields,
    add_keeping,
    build_env,
    check_env,
    make_sinks,
    place_of,
    seeds,
    settings_of,
    take_env_options,
)
from jaxrl_up.cli.own import add_algo, algorithm, choose_cores, guess_algo, take_algo
from jaxrl_up.cli.results import report
from jaxrl_up.cli.sources import take_source
from jaxrl_up.envs import counting

DEFAULT_ALGO = "ppo"
DEFAULT_ENV = "CartPole-v1"
SEEDS = 8


def main(arguments: list[str]) -> int:
    """`jaxrl-up train`: parse, check everything, train, and print one score line on standard output."""
    choose_cores(arguments, SEEDS)
    arguments, named = take_algo(arguments)
    arguments, source = take_source(arguments, named)
    arguments, env_options = take_env_options(arguments)
    arguments, evaluation_options = take_evaluation_options(arguments)
    default = algorithm(named or (DEFAULT_ALGO if source is None else source.algorithm))
    algo = guess_algo(arguments, default) if source is None and named is None else default
    options = _train_parser(algo, source).parse(arguments)
    if options is not None and (options.algo or default) is not algo:  # an option's value was taken for it
        algo = options.algo or default
        options = _train_parser(algo, source).parse(arguments)
    if options is None:
        return 0
    given = vars(options)
    fields = {k.removeprefix("config."): v for k, v in given.items() if k.startswith("config.")}
    return _train(algo, options, fields, env_options, evaluation_options)


def _train(
    algo: Any,
    options: argparse.Namespace,
    fields: dict[str, Any],
    env_options: dict[str, Any],
    evaluation_options: dict[str, Any],
) -> int:
    from jaxrl_up.experiments import ask, folded, memory_lines, start, use_all_cores
    from jaxrl_up.records import RUNS, file_name, processes, reserve

    runs = options.seeds if isinstance(options.seeds, int) else len(options.seeds)
    with contextlib.suppress(RuntimeError):  # a Python process that has used JAX before: keep its devices
        use_all_cores(runs=runs)
    check_env(options.env)
    directory, reserved = _directory(options), None
    try:
        with counting(f"loading {options.env}", options.progress):
            env = build_env(options, env_options)
            evaluation_env = build_evaluation_env(options, env_options, evaluation_options)
            asked = ask(algo, env, fields, options.seeds, directory, settings_of(options), evaluation_env)
        if options.dry_run:
            lines = memory_lines(algo, env, asked.config, processes.widest(runs))
            if (number := processes.place().processes) > 1:
                lines.append(f"processes      {number}; the lines above are of the one with most seeds")
            if asked.evaluation_env is not None:
                lines.append(f"evaluated in   {asked.evaluation_env.full_name}")
            print("\n".join(folded(line, sys.stdout) for line in lines), flush=True)
            return 0
        if directory is None and options.directory != "none":
            place = RUNS / f"{algo.name}-{file_name(options.env)}"
            directory = Path(processes.from_first(lambda: str(reserve(place).absolute())))
            reserved = directory if processes.is_first() else None
        result = start(asked, directory, make_sinks(options, directory))
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
    return place_of(options, "a run")


def _train_parser(algo: Any, source: Any = None) -> Parser:
    from jaxrl_up.algorithms import ALGORITHMS

    parser = Parser(
        compiles=True,
        prog="jaxrl-up train",
        usage="jaxrl-up train [ALGO | --algo FILE.py] [--env ENV] [--seeds N] [--directory DIR] [--FIELD VALUE ...]",
        description="Train an algorithm on an environment, many seeds at once. The last line, on standard output, is "
        "the score: the interquartile mean over the seeds of the final policies' mean returns, with a 95% "
        "interval.",
    )
    parser.add_argument("algo", nargs="?", type=algorithm, metavar="ALGO", help=", ".join(ALGORITHMS))
    options = parser.add_argument_group("run options")
    add_algo(parser, options)
    add_environment(parser, options, DEFAULT_ENV, "a parameter of it: --env.gravity 12 --env.max_steps 200")
    parser.add(options, "--seeds", type=seeds, default=SEEDS, metavar="N",
               help=f"how many seeds (0, 1, ...), or which: 0,3,7 (--seed 7: 7 alone; default {SEEDS})")  # fmt: skip
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
    add_evaluation(parser, options)
    add_evaluation_env(parser, options)
    parser.add(options, "--dry-run", action="store_true",
               help="check everything, print the memory the run takes, and stop")  # fmt: skip
    add_keeping(parser, options)
    add_fields(parser, algo, f"fields of {algo.name}")
    parser.start_from(source)
    return parser
