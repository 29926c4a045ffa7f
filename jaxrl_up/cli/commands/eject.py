"""`jaxrl-up eject`: write an algorithm as a script of your own."""

from __future__ import annotations

from jaxrl_up.cli.options import Parser, UsageError
from jaxrl_up.cli.own import algorithm


def main(arguments: list[str]) -> int:
    """`jaxrl-up eject ALGO FILE.py`: print the path of the script."""
    parser = Parser(
        prog="jaxrl-up eject",
        usage="jaxrl-up eject ALGO FILE.py [--thin] [--env ENV] [--wrap NAME[=VALUE] ...] [--force]",
        description="Write an algorithm as one file to change as you like: all its fields, how it explores, learns and "
        "acts, and the loop of its family. It gives the same numbers, and runs as `python FILE.py` or by "
        "`jaxrl-up train --algo FILE.py`, with every field as an option.",
    )
    parser.add_argument("algo", type=algorithm, metavar="ALGO", help="`jaxrl-up algos` lists them")
    parser.add_argument("file", metavar="FILE.py", help="the script to write, as my_ppo.py")
    parser.add(parser, "--env", metavar="ENV",
               help="what the script trains on by default (CartPole-v1; continuous: Pendulum-v1)")  # fmt: skip
    parser.add(parser, "--wrap", action="append", default=[], metavar="NAME[=VALUE]",
               help="wrap it by default, as `jaxrl-up train` does; may be repeated")  # fmt: skip
    parser.add(parser, "--thin", action="store_true",
               help="the algorithm's own file alone, which calls the modules that algorithms share")  # fmt: skip
    parser.add(parser, "--force", action="store_true", help="overwrite the file")
    options = parser.parse(arguments)
    if options is None:
        return 0
    from jaxrl_up.deploy import eject
    from jaxrl_up.records import near

    try:
        print(near(eject(options.algo, options.file, options.env, options.force, options.wrap, options.thin)))
    except (ValueError, OSError) as error:
        raise UsageError(str(error)) from error
    return 0
