"""What a training leaves on the terminal: the score on standard output, and beside it where to go on from there."""

from __future__ import annotations

import shlex
import sys
from typing import Any

EXIT_CODES = {"": 0, "Ctrl-C": 130, "SIGTERM": 143}  # by what stopped a run
ROWS = 20  # of a ranking that are printed


def report(result: Any, progress: bool) -> int:
    """Print the score of a run on standard output, and return the exit code.

    Where both streams are one terminal, progress has said it there already.
    """
    from jaxrl_up.experiments import folded
    from jaxrl_up.records import concerns, count, games, score_line

    if not progress:
        _beside(games(result) + concerns(result))
    if not (progress and sys.stdout.isatty() and sys.stderr.isatty()):
        steps = count(int(result.env_steps[-1]), "step")
        print(folded(score_line(result.score, len(result.seeds), steps), sys.stdout), flush=True)
    if progress and result.directory is not None:
        _beside(next_lines(result))
    return EXIT_CODES[result.stopped]


def next_lines(result: Any) -> list[str]:
    """Where the records of a run are, and the commands that go on from them."""
    from jaxrl_up.records import command, longer, near, options_for

    where, own = result.directory, options_for(result)
    lines = [f"records are in {near(where)}; open {shlex.quote(near(where / 'report.html'))}"]
    lines.append(f"next: {command('watch', where, *own)}")
    lines.append(f"      {command('evaluate', where, *own)} && {command('plot', where)}")
    if not result.stopped and result.compile_seconds:  # of one that had finished before it was said
        lines.append(f"      {longer(result)}")
    return lines


def report_sweep(result: Any) -> int:
    """Print the ranking of a sweep on standard output, what a reader must know of it beside, and return the exit code.

    The last line is the best point with its score.
    """
    from jaxrl_up.cli.layout import table
    from jaxrl_up.experiments import describe_point
    from jaxrl_up.records import RANKING, command, count, going_on, near, options_for, score_line, short, value

    ranking, directory = result.ranking, result.directory
    left = len(result.points) - len(ranking)
    if left:
        again = going_on(directory, *options_for(result))
        stop = f"stopped by {result.stopped}: " if result.stopped else ""
        _beside([f"{stop}{left:,} of {count(len(result.points), 'point')} not finished; {again}"])
    failed = sum(len(ranked.failed) for ranked in ranking)
    if failed:
        what = "had a loss or parameters that were not finite; the last finite policies were kept and scored"
        _beside([f"{count(failed, 'run')} {what}"])
    if ranking:
        steps = len({ranked.env_steps for ranked in ranking}) > 1
        scores = ("IQM, 95% interval", "best wins", "worst seed", "failed")
        header = ("rank", *result.points[0], *scores, *["steps"] * steps)
        rows = [
            (
                str(i),
                *map(short, ranked.values.values()),
                str(ranked.score),
                f"tied, {ranked.best_wins:.2f}" if ranked.tied else f"{ranked.best_wins:.2f}",
                f"{value(ranked.worst, *ranked.score[:3])} (seed {ranked.worst_seed})",
                str(len(ranked.failed)),
                *[f"{ranked.env_steps:,}"] * steps,
            )
            for i, ranked in enumerate(ranking[:ROWS], 1)
        ]
        print("\n".join(table([header, *rows])))
        if len(ranking) > ROWS:
            print(f"... and {len(ranking) - ROWS:,} more in {near(directory / RANKING)}")
        best = ranking[0]
        total = score_line(best.score, len(result.seeds), count(best.env_steps, "step"))
        print(f"best {describe_point(best.values)}: {total}", flush=True)
    lines = [f"{'tables, picture and recipe of the best' if ranking else 'tables'} are in {near(directory)}"]
    if ranking and not left:
        lines.append(f"next: {command('train', '--recipe', directory / 'best.toml')}")
        lines.append(f"      {command('plot', directory)}")
    _beside(lines)
    return EXIT_CODES[result.stopped]


def _beside(lines: list[str]) -> None:
    from jaxrl_up.experiments import folded

    for line in lines:
        print(folded(line, sys.stderr), file=sys.stderr, flush=True)
