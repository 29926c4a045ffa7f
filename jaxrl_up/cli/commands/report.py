"""`jaxrl-up report`: write a run's report.html again."""

from __future__ import annotations

from jaxrl_up.cli.options import Parser, UsageError


def main(arguments: list[str]) -> int:
    """`jaxrl-up report RUN`: write report.html of a run directory and print its path."""
    parser = Parser(
        prog="jaxrl-up report",
        description="Write report.html of a run, finished or not: one page with its score, curves, seeds, times and "
        "settings, which needs no other file. Prints its path.",
    )
    parser.add_argument("run", metavar="RUN", help="the directory of a run")
    options = parser.parse(arguments)
    if options is None:
        return 0
    from jaxrl_up.analysis import write_report
    from jaxrl_up.records import near

    try:
        print(near(write_report(options.run)))
    except (ValueError, OSError) as error:
        raise UsageError(str(error)) from error
    return 0
