"""When does a model pay? Environment steps and seconds to a return, model-free beside model-based, the same tasks.

    PYTHONPATH=. python bench/model_pays.py --out bench/results/model_pays.json [--seeds 10] [--only sac,mbpo]

Each learner trains all seeds in one program and is evaluated every 100 steps; what is compared is the first evaluation
whose mean return is over the threshold. Its seconds are the share of the training's, evaluations left in, that this
many steps of the seed in the middle are; compiling apart. A learner with the same number of gradient steps for each
environment step stands beside each that has a model: more of them alone help too.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np

from jaxrl_up import envs, make_config, ops, run, use_all_cores


class Learner(NamedTuple):
    """A row of the table."""

    task: str
    algorithm: str
    fields: dict[str, Any]
    episodes: int = 16  # of an evaluation; fewer where acting is planning


TASKS = {"pendulum": ("Pendulum-v1", None, -200.0), "cartpole": ("CartPole-v1", 200, 195.0)}
EARLY = {"learning_starts": 200, "random_steps": 200, "total_steps": 2_000}
SOON = {**EARLY, "gradient_steps": 5, "total_steps": 4_000}
LEARNERS = {
    "ppo": Learner("pendulum", "ppo", {"total_steps": 100_000, "gamma": 0.95, "num_envs": 16, "rollout_length": 128,
                                       "num_epochs": 10, "num_minibatches": 16}),
    "sac": Learner("pendulum", "sac", {"total_steps": 8_000}),
    "sac, 20 gradient steps": Learner("pendulum", "sac", {**EARLY, "gradient_steps": 20}),
    "mbpo, k = 1": Learner("pendulum", "mbpo", {**EARLY, "branch_length": 1}),
    "mbpo": Learner("pendulum", "mbpo", EARLY),
    "ddpg": Learner("pendulum", "ddpg", SOON),
    "mbve, H = 1": Learner("pendulum", "mbve", {**SOON, "horizon": 1}),
    "mbve, H = 3": Learner("pendulum", "mbve", {**SOON, "horizon": 3}),
    "mbve, H = 10": Learner("pendulum", "mbve", {**SOON, "horizon": 10}),
    "td3": Learner("pendulum", "td3", SOON),
    "mbve on td3, H = 3": Learner("pendulum", "mbve", {**SOON, "horizon": 3, "base": "td3"}),
    "pets": Learner("pendulum", "pets", {"total_steps": 1_000, "rollout_length": 100}, 4),
    "dqn, cartpole": Learner("cartpole", "dqn", {"total_steps": 60_000}),
    "ppo, cartpole": Learner("cartpole", "ppo", {"total_steps": 60_000}),
}  # fmt: skip


DRAWN = ("ppo", "sac", "sac, 20 gradient steps", "mbpo", "ddpg", "mbve, H = 3", "pets")


def measure(learner: Learner, seeds: int) -> dict[str, Any]:
    """Train, and find when each seed was there."""
    name, limit, threshold = TASKS[learner.task]
    env = envs.make(name) if limit is None else envs.make(name, max_steps=limit)
    config = make_config(learner.algorithm, **learner.fields)
    every = max(100, config.total_steps // 40)
    number = max(config.total_steps // every, 1)
    used = time.process_time()
    result = run(
        learner.algorithm, env, config, seeds=seeds, num_evals=number, num_episodes=learner.episodes, progress=False
    )
    steps, returns = result.env_steps, result.returns
    first, reached, middle = ops.steps_to_threshold(steps, returns, threshold)
    finite = np.where(np.isfinite(first), first, 2.0 * steps[-1])  # the score wants numbers; said in "never"
    return {
        "task": learner.task,
        "algorithm": learner.algorithm,
        "fields": learner.fields,
        "seeds": seeds,
        "threshold": threshold,
        "steps": [None if np.isinf(x) else int(x) for x in first],
        "iqm": list(ops.score(finite)[:3]),
        "never": seeds - reached,
        "seconds_of_the_middle": None if np.isinf(middle) else result.train_seconds * middle / float(steps[-1]),
        "train_seconds": result.train_seconds,
        "compile_seconds": result.compile_seconds,
        "processor_seconds": time.process_time() - used,
        "curve_steps": steps.tolist(),
        "curves": np.round(returns, 2).tolist(),
        "failed": result.failed,
    }


def draw(rows: dict[str, Any], path: Path) -> None:
    """Returns over environment steps and over seconds, IQM over seeds."""
    figure, axes = plt.subplots(1, 2, figsize=(11, 4), sharey=True, layout="constrained")
    for name in DRAWN:
        if name in rows:
            row = rows[name]
            steps, middle = np.asarray(row["curve_steps"]), ops.iqm(np.asarray(row["curves"]), axis=0)
            seconds = row["train_seconds"] * steps / steps[-1]
            for ax, x in zip(axes, (steps, seconds), strict=True):
                ax.plot(x, middle, label=name)
    for ax, label in zip(axes, ("environment steps of a seed", "seconds, all seeds together"), strict=True):
        ax.set(xlabel=label, xscale="log")
        ax.axhline(TASKS["pendulum"][2], color="0.7", linewidth=1, zorder=0)
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("return, IQM over seeds")
    figure.legend(*axes[0].get_legend_handles_labels(), frameon=False, loc="outside right center")
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main() -> None:
    """Print a row for each learner."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--only", type=lambda text: text.split(";"), help="names of the table, separated by ;")
    options = parser.parse_args()
    use_all_cores()
    rows: dict[str, Any] = {}
    if options.out and options.out.exists():
        rows = json.loads(options.out.read_text())["rows"]  # what is measured anew replaces what was there
    for name in options.only or LEARNERS:
        rows[name] = row = measure(LEARNERS[name], options.seeds)
        middle, low, high = row["iqm"]
        seconds = row["seconds_of_the_middle"]
        print(
            f"{name:24} {middle:7,.0f} steps [{low:,.0f}, {high:,.0f}]  never {row['never']}  "
            f"{'-' if seconds is None else f'{seconds:.1f}'} s to the middle seed's, {row['train_seconds']:.0f} s in "
            f"all and {row['compile_seconds']:.0f} s of compiling",
            flush=True,
        )
        if options.out:
            options.out.parent.mkdir(parents=True, exist_ok=True)
            options.out.write_text(json.dumps({"cores": os.cpu_count(), "rows": rows}, indent=1) + "\n")
            draw(rows, options.out.with_suffix(".png"))


if __name__ == "__main__":
    main()
