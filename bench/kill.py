"""Kills runs at random moments, resumes them, and compares with a run that was left alone.

    python bench/kill.py [--kills 20] [--evaluations 60] [--out bench/results/kill.json]

Each run is `jaxrl-up train` in a process of its own, with a checkpoint after every evaluation, so that writing is a
good part of its time. It gets SIGKILL at a random moment between the writing of config.toml and the end (half of them
after the first evaluation, where the files change), now and then again while it resumes, and is then finished by
`jaxrl-up resume`. Its progress.csv must be equal byte for byte, and its last checkpoint (state, best policy and log)
bit for bit, to those of a run that was left alone.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jax
import numpy as np

from jaxrl_up import load_run
from jaxrl_up.records import load_snapshot

ROOT = Path(__file__).resolve().parent.parent
TRAIN = [
    *("train", "dqn", "--seeds", "3", "--num-episodes", "2", "--buffer-size", "50_000"),
    *("--checkpoint-seconds", "0", "--max-eval-steps", "100"),
]
BETWEEN = 500  # steps from one evaluation to the next


def start(arguments: list[str], cache: Path) -> subprocess.Popen:
    """A command line in a process of its own, whose compiled programs are kept for the next."""
    environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": str(cache), "PYTHONPATH": str(ROOT)}
    environment["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    command = [sys.executable, "-m", "jaxrl_up", *arguments]
    with said(cache).open("w") as error:  # a pipe that nobody reads would fill up, and stop it
        return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=error)


def said(cache: Path) -> Path:
    """Where the last process that was started says what it does."""
    return cache.with_name("said.txt")


def wait_for(path: Path, process: subprocess.Popen) -> float:
    """When a file came, or its process ended."""
    while not path.exists() and process.poll() is None:
        time.sleep(0.002)
    return time.perf_counter()


def finish(process: subprocess.Popen, cache: Path) -> None:
    """Wait for a process. Raises `RuntimeError` with what it said if it failed."""
    if process.wait():
        raise RuntimeError(f"exit code {process.returncode}: {said(cache).read_text()[-2000:]}")


def ends(directory: Path) -> tuple[bytes, list[np.ndarray]]:
    """progress.csv, and every leaf of the last checkpoint."""
    found = load_snapshot(load_run(directory))
    assert found is not None
    reached = found[0]
    leaves = jax.tree.leaves((reached.progress, reached.logs, reached.best))
    keys = [jax.random.key_data(x) if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key) else x for x in leaves]
    return (directory / "progress.csv").read_bytes(), [np.asarray(x) for x in keys]


def equal(one: tuple[bytes, list[np.ndarray]], other: tuple[bytes, list[np.ndarray]]) -> bool:
    """Byte for byte, bit for bit."""
    same = [
        x.dtype == y.dtype and x.shape == y.shape and x.tobytes() == y.tobytes()
        for x, y in zip(one[1], other[1], strict=True)
    ]
    return one[0] == other[0] and all(same)


def kill(process: subprocess.Popen, directory: Path, moment: float) -> dict:
    """Kill at `time.perf_counter() = moment`, and say what was found."""
    time.sleep(max(moment - time.perf_counter(), 0.0))
    alive = process.poll() is None
    process.kill()
    process.wait()
    rows = (directory / "progress.csv").read_text().count("\n") - 1 if (directory / "progress.csv").exists() else 0
    part = [path.name for path in directory.rglob("*.part*")]
    return {"alive": alive, "rows": rows, "part": bool(part)}


def main() -> None:
    """Print a line for each kill, and how many runs ended as if they had been left alone."""
    parser = argparse.ArgumentParser(description="Kill runs at random moments, resume them, compare.")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--evaluations", type=int, default=60, help=f"of each run, {BETWEEN} steps apart")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results" / "kill.json")
    options = parser.parse_args()
    draw = random.Random(options.seed)
    number = options.evaluations
    train = [*TRAIN, "--num-evals", str(number), "--total-steps", str(BETWEEN * number)]
    work = Path(tempfile.mkdtemp())
    for name in ("warm", "alone"):  # the first fills the cache of compiled programs
        process = start([*train, "--directory", str(work / name)], work / "cache")
        begun = wait_for(work / name / "config.toml", process)
        training = wait_for(work / name / "progress.csv", process) - begun
        finish(process, work / "cache")
        whole = time.perf_counter() - begun
    expected = ends(work / "alone")
    print(f"left alone: {whole:.1f} s from config.toml to the end, of these {training:.1f} s until the first rows")
    trials = []
    for trial in range(options.kills):
        earliest = training if trial % 2 else 0.0
        for attempt in itertools.count():  # until a living process was hit
            directory = work / f"{trial}-{attempt}"
            process = start([*train, "--directory", str(directory)], work / "cache")
            begun = wait_for(directory / "config.toml", process)
            kills = [kill(process, directory, begun + draw.uniform(earliest, whole))]
            if kills[0]["alive"]:
                break
        if trial % 4 == 3:  # and once more, while it goes on
            process = start(["resume", str(directory), "--checkpoint-seconds", "0"], work / "cache")
            kills.append(kill(process, directory, time.perf_counter() + draw.uniform(3.0, 3.0 + whole)))
        finish(start(["resume", str(directory), "--checkpoint-seconds", "0"], work / "cache"), work / "cache")
        trials.append({"kills": kills, "equal": equal(ends(directory), expected)})
        print(f"{trial + 1:3}  {kills}  {'equal' if trials[-1]['equal'] else 'DIFFERENT'}", flush=True)
    same = sum(trial["equal"] for trial in trials)
    hit = sum(k["alive"] for trial in trials for k in trial["kills"])
    writing = sum(k["part"] for trial in trials for k in trial["kills"])
    print(f"{same} of {len(trials)} as if left alone; {hit} kills hit a living process, {writing} in a write")
    report = {"equal": same, "runs": len(trials), "living": hit, "while_writing": writing, "trials": trials}
    options.out.write_text(json.dumps(report, indent=1) + "\n")
    sys.exit(same < len(trials))


if __name__ == "__main__":
    main()
