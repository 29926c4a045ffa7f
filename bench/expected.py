"""The scores of `bench/results` as the `[expected]` tables of the recipes: copied, nothing is measured.

    python bench/expected.py [configs/ppo/cartpole.toml ...] [--results bench/results]

A recipe (default: all of `configs/`) that has no result, or one of other steps or seeds than it now asks for, is left
as it is and named, with the command that measures it; the exit code is then 1.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

from jaxrl_up.experiments import load_recipe
from jaxrl_up.records import to_toml
from jaxrl_up.training import num_updates

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Rewrite the recipes and print one line for each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("recipes", nargs="*", type=Path)
    parser.add_argument("--results", type=Path, default=ROOT / "bench" / "results")
    options = parser.parse_args()
    left = 0
    for path in options.recipes or sorted((ROOT / "configs").glob("*/*.toml")):
        try:
            table = expected(path, options.results)
        except ValueError as error:
            left += 1
            print(error, file=sys.stderr)
            continue
        path.write_text(with_expected(path.read_text(encoding="utf-8"), table), encoding="utf-8")
        print(f"{path}: IQM {table['iqm']} {table['interval']}, worst {table['worst']}, {table['seeds']} seeds")
    return int(left > 0)


def expected(path: Path, results: Path) -> dict[str, Any]:
    """The table `[expected]` of a recipe file. Raises `ValueError` if its result is missing or of something else."""
    recipe = load_recipe(path)
    command = f"python bench/scores.py configs/{recipe.name}.toml"
    file = results / f"{recipe.name.replace('/', '-')}.json"
    if not file.exists():
        raise ValueError(f"{path}: there is no {file}; run `{command}`")
    report = json.loads(file.read_text(encoding="utf-8"))
    asked = recipe.seeds, num_updates(recipe.algo, recipe.config) * recipe.algo.steps_per_update(recipe.config)
    if (report["seeds"], report["env_steps"]) != asked:
        raise ValueError(
            f"{path}: {file} is of {report['seeds']} seeds and {report['env_steps']} steps, but the recipe asks for "
            f"{asked[0]} and {asked[1]}; run `{command}`"
        )
    return {
        "iqm": round(report["iqm"], 3),
        "interval": [round(x, 3) for x in report["interval"]],
        "worst": round(report["worst"], 3),
        "seeds": report["seeds"],
        "env_steps": report["env_steps"],
        "command": command,
    }


def with_expected(text: str, table: dict[str, Any]) -> str:
    """The text of a recipe with its last table, `[expected]`, replaced or added."""
    written = re.sub(
        r"\[\n\s*(\S+),\n\s*(\S+),\n\]", r"[\1, \2]", to_toml({"expected": table})
    )  # an interval on one line
    new = f"{text.partition('[expected]')[0].rstrip()}\n\n{written}"
    if tomllib.loads(new) != {**tomllib.loads(text), "expected": table}:
        raise ValueError("[expected] must be the last table of a recipe")
    return new


if __name__ == "__main__":
    sys.exit(main())
