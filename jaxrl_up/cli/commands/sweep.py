"""`jaxrl-up sweep`: train every point of a grid, or points drawn at random, on every seed."""

from __future__ import annotations

import argparse
import contextlib
import math
import sys
from typing import Any

from jaxrl_up.cli.commands.train import DEFAULT_ALGO, DEFAULT_ENV, SEEDS
from jaxrl_up.cli.evaluation_options import add_evaluation_env, build_evaluation_env, take_evaluation_options
from jaxrl_up.cli.jobs import add_jobs, are_jobs, hand_out
from jaxrl_up.cli.options import (
    Parser,
    UsageError,
    add_checkpoints,
    add_environment,
    add_evaluation,
    add_fields,
    build_env,
    check_env,
    converter,
    or_none,
    own_field,
    place_of,
    real,
    seeds,
    settings_of,
    take_env_options,
    whole,
)
from jaxrl_up.cli.own import add_algo, algorithm, choose_cores, take_algo
from jaxrl_up.cli.results import report_sweep
from jaxrl_up.cli.sources import take_source
from jaxrl_up.envs import counting
from jaxrl_up.records import command


def main(arguments: list[str]) -> int:
    """`jaxrl-up sweep`: parse, check everything, train, and print the ranking on standard output."""
    choose_cores(arguments, SEEDS)
    arguments, named = take_algo(arguments)
    arguments, source = take_source(arguments, named)
    arguments, env_options = take_env_options(arguments)
    arguments, evaluation_options = take_evaluation_options(arguments)
    first = named or (DEFAULT_ALGO if source is None else source.algorithm)
    first = arguments[0] if arguments and not arguments[0].startswith("-") else first
    algo = algorithm(first)
    options = _parser(algo, source).parse(arguments)
    if options is None:
        return 0
    if options.algo not in (None, algo):
        raise UsageError(f"name the algorithm first: {command('sweep', options.algo.name)} ...")
    fields = {k.removeprefix("config."): v for k, v in vars(options).items() if k.startswith("config.")}
    return _sweep(algo, options, fields, env_options, evaluation_options)


def _sweep(
    algo: Any,
    options: argparse.Namespace,
    fields: dict[str, Any],
    env_options: dict[str, Any],
    evaluation_options: dict[str, Any],
) -> int:
    from jaxrl_up.experiments import (
        SweepArguments,
        check_place,
        folded,
        plan_lines,
        plan_sweep,
        start_sweep,
        use_all_cores,
    )
    from jaxrl_up.records import own_options

    points, jobs = _points(algo, options), are_jobs(options)
    lanes = len(points) * (options.seeds if isinstance(options.seeds, int) else len(options.seeds))
    with contextlib.suppress(RuntimeError):  # a Python process that has used JAX before: keep its devices
        use_all_cores(runs=max(lanes, 1))
    check_env(options.env)
    directory = place_of(options, "a sweep")
    settings = settings_of(options, halving=options.halving, eta=options.eta, max_lanes=options.max_lanes)
    try:
        with counting(f"loading {options.env}", options.progress):
            env = build_env(options, env_options)
            evaluation_env = build_evaluation_env(options, env_options, evaluation_options)
        asked = SweepArguments(algo, env, fields, points, options.seeds, directory, settings, evaluation_env)
        if options.dry_run:
            if directory is not None:
                check_place(directory, options.force)
            print("\n".join(folded(line, sys.stdout) for line in plan_lines(asked)), flush=True)
            return 0
        if jobs:
            sweep = plan_sweep(asked)
            return hand_out(sweep.base.directory, range(len(sweep.cells)), own_options(sweep.base.tables), options)
        result = start_sweep(asked)
    except (ValueError, OSError) as error:
        raise UsageError(str(error)) from error
    return report_sweep(result)


def _points(algo: Any, options: argparse.Namespace) -> tuple[dict[str, Any], ...]:
    """The points that the options describe."""
    from jaxrl_up.experiments import product, random_points

    lists = {name: _values(algo, name, text) for name, text in _named("--grid", options.grid)}
    ranges = {
        kind: {name: _range(f"--{kind}", name, text) for name, text in _named(f"--{kind}", getattr(options, kind))}
        for kind in ("uniform", "log")
    }
    try:
        if options.random is not None:
            return random_points(options.random, lists, **ranges, seed=options.sweep_seed)
        if ranges["uniform"] or ranges["log"]:
            raise UsageError("--uniform and --log are ranges to draw from: say how many points with --random N")
        if not lists:
            raise UsageError("say what to vary, as in `--grid learning_rate=1e-4,1e-3 --grid num_envs=4,16`")
        return product(lists)
    except ValueError as error:
        raise UsageError(str(error)) from error


def _named(option: str, given: list[str]) -> list[tuple[str, str]]:
    """`name=text` split, the names with `_`."""
    pairs = []
    for item in given:
        name, equals, text = item.partition("=")
        if not name or not equals or not text.strip():
            raise UsageError(f"{option} {item}: give a name and what it takes, as in `--grid gamma=0.9,0.99`")
        name = name.removeprefix("config.").replace("-", "_") if not name.startswith("env.") else name
        if name in (other for other, _ in pairs):
            raise UsageError(f"{option} {name} is given twice")
        pairs.append((name, text))
    return pairs


def _values(algo: Any, name: str, text: str) -> list[Any]:
    """The values of a list, as the field takes them; tuples have `-` between their numbers."""
    from jaxrl_up.algorithms import own_kinds
    from jaxrl_up.config import field_help, is_own_name

    parts = [part.strip() for part in text.split(",")]
    if "" in parts:
        raise UsageError(f"--grid {name}={text} has an empty value")
    field = next((field for field in field_help(algo.Config) if field.name == name), None)
    if field is None:
        name = name.removeprefix("env.")
        return [take_env_options([f"--env.{name}={part}"])[1][name.replace("-", "_")] for part in parts]
    if field.kind is bool:
        for part in parts:
            if part.lower() not in ("true", "false"):
                raise UsageError(f"--grid {name}: {part!r} is not true or false")
        return [part.lower() == "true" for part in parts]
    own = name in own_kinds(algo)
    convert = own_field(name, field.optional) if own else converter(field.kind, field.optional)
    try:
        values = [convert(part) for part in parts]
        return [part if own and is_own_name(part) else value for part, value in zip(parts, values, strict=True)]
    except argparse.ArgumentTypeError as error:
        raise UsageError(f"--grid {name}: {error}") from error


def _range(option: str, name: str, text: str) -> tuple[float, float]:
    low, colon, high = text.partition(":")
    try:
        ends = real(low), real(high)
    except argparse.ArgumentTypeError:
        ends = math.nan, math.nan
    if not colon or math.isnan(sum(ends)):
        raise UsageError(f"{option} {name}={text} is no range: give two numbers, as in 1e-5:1e-2")
    return ends


def _parser(algo: Any, source: Any = None) -> Parser:
    from jaxrl_up.algorithms import ALGORITHMS

    parser = Parser(
        compiles=True,
        prog="jaxrl-up sweep",
        usage="jaxrl-up sweep [ALGO | --algo FILE.py] [--env ENV] --grid NAME=V1,V2,... [--FIELD VALUE ...]",
        description="Train every point of a grid, or points drawn at random, on every seed. Points that differ in "
        "numbers only are one compiled program; others are grouped by the program they need. Standard output has the "
        "points from best to worst, by the interquartile mean over the seeds of the final policies' mean returns.",
    )
    parser.add_argument("algo", nargs="?", type=algorithm, metavar="ALGO", help=", ".join(ALGORITHMS))
    what = parser.add_argument_group("what is varied")
    parser.add(what, "--grid", action="append", default=[], metavar="NAME=V1,V2,...",
               help="values of a field, or of a parameter of the environment (env.gravity=5,10); every combination of "
               "the lists is a point. Layers have - between them: hidden=64-64,256-256; networks may be your own: "
               "network=mlp,my_net.py:Net")  # fmt: skip
    parser.add(what, "--random", type=whole, metavar="N", help="draw N points from the lists and ranges instead")
    parser.add(what, "--log", action="append", default=[], metavar="NAME=LOW:HIGH",
               help="range to draw from, uniform in the logarithm")  # fmt: skip
    parser.add(what, "--uniform", action="append", default=[], metavar="NAME=LOW:HIGH", help="range to draw from")
    parser.add(what, "--sweep-seed", type=whole, default=0, metavar="N",
               help="another number draws other points (default 0)")  # fmt: skip
    parser.add(what, "--halving", type=whole, default=1, metavar="K",
               help="successive halving in K rungs: at the end of each the best 1/eta of the points go on "
               "(default 1: all go on)")  # fmt: skip
    parser.add(what, "--eta", type=whole, default=3, metavar="N", help="of so many points one goes on (default 3)")
    options = parser.add_argument_group("run options")
    add_algo(parser, options)
    add_environment(parser, options, DEFAULT_ENV, "a parameter of it, the same in all points")
    parser.add(options, "--seeds", type=seeds, default=SEEDS, metavar="N",
               help="how many seeds each point is trained with (0, 1, ...), or which: 0,3,7 (--seed 7: 7 alone; "
               "default 8)")  # fmt: skip
    parser.add(options, "--max-lanes", type=or_none(whole), metavar="N",
               help="points times seeds that are trained at once (default: as many as fit in memory)")  # fmt: skip
    parser.add(options, "--recipe", metavar="FILE", help="start from a recipe; other options override it")
    parser.add(options, "--preset", metavar="NAME",
               help=f"start from a named set of fields: {', '.join(['default', *algo.presets])}")  # fmt: skip
    parser.add(options, "--from", metavar="PATH", dest="from_", help="start from a run's directory or config.toml")
    parser.add(options, "--directory", metavar="DIR",
               help="keep the sweep there (default: a new one in runs, named sweep-ALGO-ENV)")  # fmt: skip
    parser.add(options, "--name", metavar="NAME", help="keep the sweep in runs/NAME, or in DIR/NAME")
    parser.add(options, "--force", action="store_true", help="replace a sweep that is there")
    add_evaluation(parser, options)
    add_evaluation_env(parser, options)
    parser.add(options, "--dry-run", action="store_true",
               help="check everything, print what would be trained and compiled, and stop")  # fmt: skip
    add_checkpoints(parser, options)
    add_jobs(parser, options)
    add_fields(parser, algo, f"fields of {algo.name}, the same in all points")
    parser.start_from(source)
    return parser
