"""`jaxrl-up envs`: list the environments."""

from __future__ import annotations

from jaxrl_up.cli.layout import table
from jaxrl_up.cli.options import Parser


def main(arguments: list[str]) -> int:
    """`jaxrl-up envs`."""
    parser = Parser(prog="jaxrl-up envs", description="List the environments.")
    if parser.parse(arguments) is None:
        return 0
    from jaxrl_up import envs

    rows = [("name", "observations", "actions", "time limit")]
    rows += [(name, obs, actions, str(limit or "none")) for name, (obs, actions, limit) in envs.listing().items()]
    print("\n".join(table(rows)))
    return 0
