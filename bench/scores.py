"""Scores of the recipes: final policies, every seed counted.

    python bench/scores.py [configs/ppo/cartpole.toml ...] [--out bench/results]

Runs each recipe (default: all of `configs/`) with its number of seeds, evaluates the final policy of each greedily on
32 episodes, and prints IQM with 95% interval, the worst seed, and how many seeds lie under half the bar (for a negative
bar: under twice the bar). Keeps `<out>/<algorithm>-<environment>.json` with every seed's curve, and a PNG of it.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

from jaxrl_up import run, use_all_cores
from jaxrl_up.analysis import plot_curves
from jaxrl_up.experiments import load_recipe

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Run the recipes and print one line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipes", nargs="*", type=Path)
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results")
    parser.add_argument("--seeds", type=int, help="instead of the recipe's number")
    options = parser.parse_args()
    use_all_cores()  # the same devices for every recipe
    options.out.mkdir(parents=True, exist_ok=True)
    for path in options.recipes or sorted((ROOT / "configs").glob("*/*.toml")):
        recipe = load_recipe(path)
        what, seeds = (recipe.algo, recipe.env, recipe.config), options.seeds or recipe.seeds
        result = run(*what, seeds=seeds, evaluation_env=recipe.evaluation_env, num_episodes=32)
        final, score = result.returns[:, -1], result.score
        half = None if recipe.bar is None else recipe.bar * (0.5 if recipe.bar > 0 else 2.0)
        report = {
            "recipe": recipe.name,
            "seeds": len(result.seeds),
            "env_steps": int(result.env_steps[-1]),
            "iqm": score.iqm,
            "interval": [score.low, score.high],
            "worst": float(final.min()),
            "bar": recipe.bar,
            "under_half_the_bar": None if half is None else int((final < half).sum()),
            "failed": result.failed,
            "compile_seconds": result.compile_seconds,
            "train_seconds": result.train_seconds,
            "cores": os.cpu_count(),
            "curve_steps": result.env_steps.tolist(),
            "curves": result.returns.tolist(),
        }
        name = recipe.name.replace("/", "-")
        (options.out / f"{name}.json").write_text(json.dumps(report, indent=1) + "\n")
        plot_curves(result, options.out / f"{name}.png", title=f"{recipe.name}, {len(result.seeds)} seeds")
        reached = "" if recipe.bar is None else ("reached" if score.iqm >= recipe.bar else "NOT reached")
        print(
            f"{recipe.name:22} {report['env_steps']:9,} steps  IQM {score}  worst {report['worst']:.1f}  "
            f"bar {recipe.bar} {reached}  under half {report['under_half_the_bar']}  "
            f"{result.train_seconds:.0f} s + {result.compile_seconds:.0f} s compile",
            flush=True,
        )


if __name__ == "__main__":
    main()
