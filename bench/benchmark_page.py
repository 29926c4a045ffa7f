"""The page of benchmarks: curves and comparisons of what `bench/scores.py` measured. Nothing is trained.

    python bench/benchmark_page.py [--results bench/results] [--docs docs]

Writes `docs/benchmarks.md` and `docs/images/benchmark-*.png` from `<results>/<recipe>.json`, which hold the return of
every seed at every evaluation. Numbers are those files'; intervals and comparisons are `jaxrl_up.ops`'s.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from jaxrl_up.analysis import plot_bars, plot_curves, plot_improvement, plot_profiles
from jaxrl_up.records import to_toml

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results"
BUDGETS = 4  # curves whose numbers of steps differ by more have panels of their own
COLOURS = 256  # of a picture: small files
WIDTH = 9.0  # inches of a picture with three panels
GIVEN = ("value_fitting",)  # evaluates a policy that is given, so its return is no feat
SUITES = {  # what was run on the same tasks with the same seeds
    "discrete actions": (("CartPole-v1", "Acrobot-v1"), ("dqn", "c51", "qr_dqn", "sac_discrete", "ppo")),
    "continuous actions": (("Pendulum-v1", "MountainCarContinuous-v0"), ("ddpg", "td3", "sac")),
}
HEAD = """# Benchmarks

What the [recipes](recipes.md) reach, and how algorithms compare on the same environment. All of it is drawn and written
by `python bench/benchmark_page.py` from the returns that `python bench/scores.py` stored: nothing is measured anew. A
row names its recipe, which launches the same training, and its raw data: every seed at every evaluation.

Scores are the IQM over the seeds' final policies, 32 greedy episodes each, every seed counted, with the 95% interval of
[Pictures and comparisons](plots.md#intervals). Recipes differ in steps, and were tuned to reach their environment's
bar, not to win: a comparison holds for these settings, and for the steps at which it is made. Where they differ much in
steps, curves have a panel for each range of them, and the profiles, which are of one range, compare at the last
evaluation that all reached. `mpc` has a score and no curve, since it learns nothing, and so has `pets`, whose recipes
are evaluated once: every action of an evaluation is a search, so that one costs more than all the learning.
"""
COMPARED = """## Algorithm against algorithm

Where algorithms were run on the same environments with the same number of seeds: the probability that a run of one
scores above a run of another, a tie counting half, at the last evaluation that all of them reached. 0.5 says that
neither is better. Of five or more algorithms the best is set against each other one.
"""


class Result(NamedTuple):
    """What a recipe was measured to reach."""

    recipe: str
    environment: str
    steps: np.ndarray  # [E]
    returns: np.ndarray  # [S, E]
    table: Mapping[str, Any]

    @property
    def label(self) -> str:
        """The algorithm; with the variant, where the recipe is one."""
        algorithm, _, name = self.recipe.partition("/")
        return f"{algorithm}, double dueling" if name.endswith("double-dueling") else algorithm


def main() -> None:
    """Draw the pictures and write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--docs", type=Path, default=ROOT / "docs")
    options = parser.parse_args()
    results = read(options.results)
    for picture in draw(results, options.docs / "images"):
        print(f"{picture}: {picture.stat().st_size // 1000} kB")
    (options.docs / "benchmarks.md").write_text(page(results), encoding="utf-8")


def read(folder: Path = RESULTS) -> list[Result]:
    """The results of the recipes that there are, by environment, those with most recipes first."""
    found = []
    for path in sorted((ROOT / "configs").glob("*/*.toml")):
        recipe = f"{path.parent.name}/{path.stem}"
        file = folder / f"{recipe.replace('/', '-')}.json"
        if file.exists():
            table = json.loads(file.read_text(encoding="utf-8"))
            environment = tomllib.loads(path.read_text(encoding="utf-8"))["environment"]
            found.append(Result(recipe, environment, np.array(table["curve_steps"]), np.array(table["curves"]), table))
    names = [result.environment for result in found]
    return sorted(found, key=lambda result: (-names.count(result.environment), result.environment, result.recipe))


def page(results: Sequence[Result]) -> str:
    """The page as Markdown."""
    parts = [HEAD]
    for environment, group in by_environment(results).items():
        rows = [
            '<div class="scores" markdown>\n',
            "| recipe | steps | IQM | 95% interval | worst seed | seeds | raw data |",
            "|---|---|---|---|---|---|---|",
        ]
        for result in sorted(group, key=lambda result: -result.table["iqm"]):
            table, (low, high) = result.table, result.table["interval"]
            file = f"{result.recipe.replace('/', '-')}.json"
            rows.append(
                f"| [{result.recipe}](../configs/{result.recipe}.toml) | {table['env_steps']:,} | {table['iqm']:,.1f} "
                f"| {low:,.1f} to {high:,.1f} | {table['worst']:,.1f} | {table['seeds']} "
                f"| [json](../bench/results/{file}) |"
            )
        rows.append("\n</div>")
        pictures = [(f"benchmark-{slug(environment)}.png", f"Learning curves on {environment}")] * any(curves_of(group))
        if len(ranked(group)) > 1:
            pictures.append((f"benchmark-{slug(environment)}-scores.png", f"Final returns on {environment}"))
        if len(compared(group)) > 1:
            pictures.append((f"benchmark-{slug(environment)}-profiles.png", f"Performance profiles on {environment}"))
        shown = "\n\n".join(f"![{text}](images/{name})" for name, text in pictures)
        parts.append(f"## {environment}\n\n" + "\n".join(rows) + (f"\n\n{shown}" if shown else "") + "\n")
    parts.append(COMPARED)
    for suite, (tasks, algorithms) in SUITES.items():
        names = f"{', '.join(algorithms)} on {' and '.join(tasks)}"
        parts.append(f"**{suite.capitalize()}**: {names}.\n\n![{names}](images/benchmark-{slug(suite)}.png)\n")
    return "\n".join(parts)


def draw(results: Sequence[Result], folder: Path) -> Iterator[Path]:
    """Draw every picture of the page into a folder."""
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        for environment, group in by_environment(results).items():
            name = f"benchmark-{slug(environment)}"
            if curves_of(group):
                runs = {}
                for result in curves_of(group):
                    runs.setdefault(result.label, []).append(as_run(result, Path(place), panel_of(result, group)))
                panels = {panel_of(result, group) for result in curves_of(group)}
                looks = {"width": WIDTH, "font_size": 11} if len(panels) > 2 else {}  # or texts would be too small
                yield small(plot_curves(runs, folder / f"{name}.png", **looks))
            if len(ranked(group)) > 1:
                bars = {
                    f"{result.label}, {result.table['env_steps']:,} steps": result.returns[:, -1]
                    for result in ranked(group)
                }
                yield small(plot_bars(bars, folder / f"{name}-scores.png", environment))
            if len(compared(group)) > 1:
                runs = {result.label: as_run(result, Path(place), environment) for result in compared(group)}
                yield small(plot_profiles(runs, folder / f"{name}-profiles.png"))
        for suite, (tasks, algorithms) in SUITES.items():
            runs = {
                algorithm: [
                    as_run(result, Path(place), result.environment)
                    for result in results
                    if result.environment in tasks and result.label == algorithm
                ]
                for algorithm in algorithms
            }
            yield small(plot_improvement(runs, folder / f"benchmark-{slug(suite)}.png"))


def by_environment(results: Sequence[Result]) -> dict[str, list[Result]]:
    """The results of each environment."""
    found: dict[str, list[Result]] = {}
    for result in results:
        found.setdefault(result.environment, []).append(result)
    return found


def ranked(group: Sequence[Result]) -> list[Result]:
    """Those that learned or planned, from best to worst."""
    learned = [result for result in group if result.recipe.partition("/")[0] not in GIVEN]
    return sorted(learned, key=lambda result: -result.table["iqm"])


def curves_of(group: Sequence[Result]) -> list[Result]:
    """Those with a curve: planners have one evaluation."""
    found = [result for result in group if len(result.steps) > 1 and result.recipe.partition("/")[0] not in GIVEN]
    return sorted(found, key=lambda result: int(result.steps[-1]))


def compared(group: Sequence[Result]) -> list[Result]:
    """Those with the most common number of steps, about, whose final returns can be set beside one another."""
    panels: dict[str, list[Result]] = {}
    for result in curves_of(group):
        panels.setdefault(panel_of(result, group), []).append(result)
    return max(panels.values(), key=len, default=[])


def panel_of(result: Result, group: Sequence[Result]) -> str:
    """The panel of a curve: its environment, and up to how many steps where recipes differ much in them."""
    panels: list[list[int]] = []
    for steps in sorted(int(one.steps[-1]) for one in curves_of(group)):
        if not panels or steps > BUDGETS * panels[-1][0]:
            panels.append([])
        panels[-1].append(steps)
    if len(panels) == 1:
        return result.environment
    most = next(panel[-1] for panel in panels if int(result.steps[-1]) in panel)
    return f"{result.environment}, up to {most:,} steps"


def as_run(result: Result, place: Path, environment: str) -> Path:
    """A directory that is drawn as the run was, under such a name of its environment."""
    directory = place / f"{result.recipe} {environment}".replace("/", "-")
    directory.mkdir(exist_ok=True)
    algorithm = result.recipe.partition("/")[0]
    tables = {"run": {"algorithm": algorithm}, "environment": {"name": environment}}
    (directory / "config.toml").write_text(to_toml(tables), encoding="utf-8")
    rows = [
        f"{seed},{steps},{i + 1},{value}\n"
        for i, steps in enumerate(result.steps)
        for seed, value in enumerate(result.returns[:, i])
    ]
    (directory / "progress.csv").write_text("seed,env_steps,updates,return\n" + "".join(rows), encoding="utf-8")
    return directory


def slug(name: str) -> str:
    """A name as part of a file's."""
    return "".join(letter if letter.isalnum() else "-" for letter in name.lower())


def small(path: Path) -> Path:
    """Keep a picture in few colours."""
    with Image.open(path) as picture:  # the usual method gives lines of little area the colour of others
        few = picture.convert("RGB").quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(path, optimize=True)
    return path


if __name__ == "__main__":
    main()
