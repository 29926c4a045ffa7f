"""Run directories written by hand, so that plots are tested without training."""

import itertools
import json

import numpy as np

CONFIG = """[run]
algorithm = "{algorithm}"
seeds = {seeds}
num_evals = 3

[config]
total_steps = {total_steps}
learning_rate = {learning_rate}
hidden = [64, 64]

[environment]
name = "{environment}"
max_steps = 500

[environment.params]
gravity = {gravity}
"""


def write_run(
    directory,
    returns,  # [S, E]
    steps=(100, 200, 300),
    seconds=(10.0, 11.0, 12.0),
    seeds=None,
    algorithm="ppo",
    environment="CartPole-v1",
    learning_rate=0.001,
    gravity=9.8,
    total_steps=340,  # 50 steps an update: 300 are the end
):
    """The files of a run that plots read."""
    returns = np.asarray(returns, float)
    seeds = list(range(len(returns))) if seeds is None else seeds
    directory.mkdir(parents=True)
    settings = {"algorithm": algorithm, "environment": environment, "learning_rate": learning_rate}
    text = CONFIG.format(seeds=seeds, gravity=gravity, total_steps=total_steps, **settings)
    (directory / "config.toml").write_text(text)
    rows = [
        f"{seed},{step},{step // 50},{returns[i, e]},0.5"
        for e, step in enumerate(steps)
        for i, seed in enumerate(seeds)
    ]
    (directory / "progress.csv").write_text("\n".join(["seed,env_steps,updates,return,loss", *rows]) + "\n")
    times = [f"evaluation,{step},{second}" for step, second in zip(steps, seconds, strict=True)]
    (directory / "timing.csv").write_text("\n".join(["event,env_steps,seconds", *times, "train,300,2.0"]) + "\n")
    return directory


def write_ranking(directory, grid, scores, done=None):
    """The files of a sweep that its picture is drawn from: `scores [C]` of the points of a grid, C, in their order."""
    names, points = list(grid), list(itertools.product(*grid.values()))
    columns = dict(zip(names, map(list, zip(*points, strict=True)), strict=True))
    about = [
        f"axes = {json.dumps(names)}",
        "halving = 1",
        "[points]",
        *(f'"{k}" = {json.dumps(v)}' for k, v in columns.items()),
    ]
    settings = {"algorithm": "ppo", "environment": "CartPole-v1", "learning_rate": 0.001}
    directory.mkdir(parents=True)
    text = CONFIG.format(seeds=[0, 1], gravity=9.8, total_steps=340, **settings)
    text = text.replace("max_steps", "wrappers = []\nmax_steps")
    (directory / "sweep.toml").write_text(f"{text}\n[sweep]\n" + "\n".join(about) + "\n")
    order = sorted(range(len(points)), key=lambda i: -scores[i])[:done]
    rows = [f"{k},{i},{scores[i]},{scores[i] - 1},{scores[i] + 1},{str(k < 3).lower()}" for k, i in enumerate(order, 1)]
    (directory / "ranking.csv").write_text("\n".join(["rank,point,iqm,low,high,tied", *rows]) + "\n")
    return directory


def write_sweep(directory, returns, rates, **settings):
    """A sweep over learning rates: `returns [C, S, E]`."""
    returns = np.asarray(returns, float)
    points, seeds, evals = returns.shape
    write_run(directory, returns.reshape(points * seeds, evals), seeds=list(range(seeds)) * points, **settings)
    header, *lines = (directory / "progress.csv").read_text().splitlines()
    swept = [f"{rates[i % (points * seeds) // seeds]},{line}" for i, line in enumerate(lines)]
    (directory / "progress.csv").write_text("\n".join([f"learning_rate,{header}", *swept]) + "\n")
    return directory
