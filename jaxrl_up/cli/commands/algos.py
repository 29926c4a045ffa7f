"""`jaxrl-up algos`: list the algorithms."""

from __future__ import annotations

import sys

from jaxrl_up.cli.layout import table
from jaxrl_up.cli.options import Parser


def main(arguments: list[str]) -> int:
    """`jaxrl-up algos`."""
    parser = Parser(prog="jaxrl-up algos", description="List the algorithms.")
    if parser.parse(arguments) is None:
        return 0
    from jaxrl_up.algorithms import ALGORITHMS

    rows = [("name", "action spaces", "presets", "what it is")]
    for algo in ALGORITHMS.values():
        about = (sys.modules[algo.Config.__module__].__doc__ or "").partition("\n")[0].rstrip(".")
        rows.append((algo.name, ", ".join(algo.action_spaces), ", ".join(["default", *algo.presets]), about))
    print("\n".join(table(rows)))
    return 0
