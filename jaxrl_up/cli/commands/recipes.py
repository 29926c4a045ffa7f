"""`jaxrl-up recipes`: list the recipes, with the scores they reach."""

from __future__ import annotations

import sys

from jaxrl_up.cli.layout import table
from jaxrl_up.cli.options import Parser, UsageError


def main(arguments: list[str]) -> int:
    """`jaxrl-up recipes`."""
    parser = Parser(
        prog="jaxrl-up recipes",
        description="List the recipes, for `jaxrl-up train --recipe NAME`: environment steps of each seed, the score "
        "they reached (interquartile mean over the seeds, 95% interval) and the worst seed.",
    )
    if parser.parse(arguments) is None:
        return 0
    from jaxrl_up import envs
    from jaxrl_up.experiments import SEEDS, folded, read_recipe, recipe_config, recipe_expected, recipe_names
    from jaxrl_up.records import value

    rows, notes = [("name", "environment", "steps", "IQM, 95% interval", "worst seed", "seeds")], set()
    for name in recipe_names():
        try:
            recipe = read_recipe(name)
        except (ValueError, OSError) as error:
            raise UsageError(str(error)) from error
        found = recipe_expected(recipe)
        environment = " + ".join((recipe["environment"], *recipe.get("wrappers", [])))
        notes.add(envs.caution(recipe["environment"]))
        if found is None:
            seeds, steps = recipe.get("seeds", SEEDS), recipe_config(recipe).total_steps
            why = f" ({recipe['note']})" if "note" in recipe else ""
            rows.append((name, environment, f"{steps:,}", f"not measured{why}", "", str(seeds)))
        else:
            reached = (str(found.score), value(found.worst, *found.score[:3]), str(found.seeds))
            rows.append((name, environment, f"{found.env_steps:,}", *reached))
    print("\n".join(table(rows)))
    for note in sorted(notes - {""}):
        print(folded(f"note: {note}", sys.stderr), file=sys.stderr)
    return 0
