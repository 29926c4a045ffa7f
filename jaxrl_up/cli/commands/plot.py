"""`jaxrl-up plot`: draw and compare runs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from jaxrl_up.cli.options import Parser, UsageError, path, real, whole

KINDS = ("curves", "profiles", "improvement", "efficiency")
OF_SWEEPS = "scores"
OF_CURVES = ("x", "y", "smooth", "group", "select", "exclude", "threshold")  # options that scores do not take
SUFFIXES = (".png", ".svg", ".pdf")


def main(arguments: list[str]) -> int:
    """`jaxrl-up plot`: check everything, draw, and print the files written on standard output."""
    options = _parser().parse(arguments)
    if options is None:
        return 0
    if options.kind == OF_SWEEPS:
        return _scores(options)
    kinds = _kinds(options)
    out = options.out
    pictures = {kind: out.with_stem(f"{out.stem}-{kind}") if options.kind == "all" else out for kind in kinds}
    for picture in pictures.values():
        _check_out(picture)
    try:
        _draw(options, pictures)
    except (ValueError, OSError) as error:
        raise UsageError(str(error)) from error
    return 0


def _scores(options: argparse.Namespace) -> int:
    """Draw the scores of one sweep, whose numbers are its ranking.csv."""
    from jaxrl_up.analysis import plot_sweep

    ignored = [name for name in OF_CURVES if getattr(options, name) != _parser().get_default(name)]
    if ignored:
        raise UsageError(f"--kind {OF_SWEEPS} draws a sweep over its values: leave --{' and --'.join(ignored)} out")
    if len(options.runs) != 1:
        raise UsageError(f"--kind {OF_SWEEPS} takes the directory of one sweep, as in `jaxrl-up plot runs/sweep`")
    _check_place(options.out)
    looks = {"legend": options.legend, "width": options.width, "font_size": options.font_size}
    try:
        print(plot_sweep(options.runs[0], options.out, options.title, **looks), flush=True)
    except (ValueError, OSError) as error:
        raise UsageError(str(error)) from error
    return 0


def _draw(options: argparse.Namespace, pictures: dict[str, Path]) -> None:
    from jaxrl_up.analysis import (
        find_runs,
        gather,
        notes,
        plot_curves,
        plot_efficiency,
        plot_improvement,
        plot_profiles,
    )
    from jaxrl_up.records import near

    settings = {
        "column": options.y,
        "x": options.x,
        "smooth": options.smooth,
        "group": options.group,
        "select": options.select,
        "exclude": options.exclude,
    }
    looks = {"width": options.width, "font_size": options.font_size}
    runs = find_runs(options.runs)
    panels = gather(runs, **settings)
    for line in notes(panels):
        print(line, file=sys.stderr)
    if {"profiles", "improvement"} & set(pictures):
        for environment, groups in panels.items():
            ends = {float(curve.x[-1]) for curves in groups.values() for curve in curves}
            if len(ends) > 1:
                print(f"{environment}: scores are compared at {min(ends):,.0f} {options.x}, as far as all runs go",
                      file=sys.stderr)  # fmt: skip
    for kind, picture in pictures.items():
        numbers = picture.with_suffix(".csv")
        arguments = {"title": options.title, "numbers": numbers, **settings, **looks}
        if kind != "improvement":  # which names what it compares at its axis
            arguments["legend"] = options.legend
        try:
            if kind == "curves":
                plot_curves(runs, picture, **arguments)
            elif kind == "profiles":
                plot_profiles(runs, picture, **arguments)
            elif kind == "improvement":
                plot_improvement(runs, picture, **arguments)
            else:
                plot_efficiency(runs, picture, options.threshold, **arguments)
        except ValueError as error:
            if options.kind != "all":
                raise
            print(f"no picture of {kind}: {error}", file=sys.stderr)
        else:
            print(near(picture), near(numbers), sep="\n", flush=True)


def _kinds(options: argparse.Namespace) -> tuple[str, ...]:
    """The pictures to draw."""
    if not options.runs:
        from jaxrl_up.records import RUNS, command, newest_run

        some = command("plot", newest_run() or RUNS / "ppo-CartPole-v1")
        raise UsageError(f"give the directories of runs, or one that holds them: {some}")
    if options.kind not in (*KINDS, "all"):
        from jaxrl_up.config import did_you_mean

        known = (*KINDS, OF_SWEEPS, "all")
        raise UsageError(f"--kind {options.kind}: choose from {', '.join(known)}.{did_you_mean(options.kind, known)}")
    if options.kind == "efficiency" and options.threshold is None:
        raise UsageError("--kind efficiency needs the return that seeds should reach, as in `--threshold 400`")
    if options.kind == "all" and options.threshold is None:
        print("no picture of efficiency: it needs --threshold", file=sys.stderr)
        return tuple(kind for kind in KINDS if kind != "efficiency")
    return KINDS if options.kind == "all" else (options.kind,)


def _check_place(picture: Path) -> None:
    """Raise `UsageError` for a picture that cannot be written."""
    if picture.suffix.lower() not in SUFFIXES:
        raise UsageError(f"--out {picture}: its name must end in {', '.join(SUFFIXES)}")
    if not picture.parent.is_dir():
        raise UsageError(f"--out {picture}: there is no directory {picture.parent}")


def _check_out(picture: Path) -> None:
    """Raise `UsageError` for a picture, or numbers beside it, that cannot or should not be written."""
    _check_place(picture)
    numbers = picture.with_suffix(".csv")
    for file in (picture, numbers):
        if file.is_dir():
            raise UsageError(f"--out {picture}: {file} is a directory")
    if numbers.exists():
        with numbers.open(encoding="utf-8-sig", errors="replace") as file:
            header = file.readline().rstrip()
        if not (header.startswith("environment") and header.endswith(",low,high")):
            raise UsageError(f"--out {picture}: {numbers} is there and holds something else; choose another name")


def _parser() -> Parser:
    parser = Parser(
        prog="jaxrl-up plot",
        usage="jaxrl-up plot RUNS... [--kind KIND] [--x steps|seconds] [--y COLUMN] [--group NAME] [--out FILE]",
        description="Draw and compare runs: the picture, and the numbers drawn as CSV beside it. RUNS are directories "
        "of runs, or directories that hold several. Each environment has a panel of its own.",
    )
    parser.add_argument("runs", nargs="*", metavar="RUNS", help="directories of runs, or directories that hold them")
    options = parser.add_argument_group("options")
    parser.add(options, "--kind", default="curves", metavar="KIND",
               help="curves: IQM over seeds with 95%% band; profiles: fraction of seeds above each score; "
               "improvement: P(a run of X scores above one of Y); efficiency: fraction of seeds that reached "
               "--threshold; all of these; scores: of one sweep, over its values (default curves)")  # fmt: skip
    parser.add(options, "--x", default="steps", metavar="X",
               help="steps per seed, or seconds for all seeds, compiling included (default steps)")  # fmt: skip
    parser.add(options, "--y", default="return", metavar="COLUMN", help="column of progress.csv (default return)")
    parser.add(options, "--smooth", type=whole, default=1, metavar="K",
               help="mean of the last K evaluations, in each seed (default 1)")  # fmt: skip
    parser.add(options, "--group", default="run", metavar="NAME",
               help="label runs by, and pool the seeds of those that share it: run, algorithm, environment, or a name "
               "in config.toml; several with commas: algorithm,learning_rate (default run)")  # fmt: skip
    parser.add(options, "--select", action="append", default=[], metavar="PATTERN",
               help="draw only these: a label, also with *, or settings, as in learning_rate=3e-4,run=a*; may be "
               "repeated")  # fmt: skip
    parser.add(options, "--exclude", action="append", default=[], metavar="PATTERN", help="leave these out")
    parser.add(options, "--threshold", type=real, metavar="Y", help="what seeds should reach, for efficiency")
    parser.add(options, "--legend", default="outside", metavar="WHERE",
               help="outside the axes, inside, direct (at the curves' ends) or none (default outside)")  # fmt: skip
    parser.add(options, "--width", metavar="X",
               help="inches, or column (3.25) or page (6.75); with text as large as it will be printed")  # fmt: skip
    parser.add(options, "--font-size", type=real, metavar="X", help="points (default 14; with --width 8)")
    parser.add(options, "--title", metavar="TEXT", help="title (default: the environment)")
    parser.add(options, "--out", type=path, default=Path("plot.png"), metavar="FILE",
               help="picture, .png, .svg or .pdf, replaced if there (default plot.png)")  # fmt: skip
    return parser
