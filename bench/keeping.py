"""What it costs to keep a run: records and live progress, checkpoints, going on, and sweeping a field.

    python bench/keeping.py [--rounds 5] [--out bench/results/keeping.json]

PPO on CartPole-v1 with its defaults. All times are of training alone, compiling apart; the programs of a round take
turns, and medians of the rounds are printed.

records     64 seeds, 20 evaluations: with progress.csv, timing.csv and progress on a stream, beside neither
checkpoint  one of those 64 seeds, in seconds, and one of DQN with 8 replays of 100,000 transitions
resume      the second half of that run after a checkpoint was read, beside the same half of a run that never stopped
sweep       16 learning rates x 8 seeds beside 128 seeds of one learning rate, both kept
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import signal
import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from jaxrl_up import DQN, PPO, envs, resume, run, run_sweep, use_all_cores
from jaxrl_up.experiments import Reporter
from jaxrl_up.records import read_timing

ROOT = Path(__file__).resolve().parent.parent


def events(directory: Path, event: str) -> list[float]:
    """Seconds of every such row of timing.csv."""
    return [row.seconds for row in read_timing(directory) if row.event == event]


def parts(directory: Path) -> np.ndarray:
    """Seconds of each part between two evaluations, without checkpoints; the first of each process is left out."""
    seconds, last = [], None
    for event, _, now in read_timing(directory):
        if event == "evaluation":
            seconds += [] if last is None else [now - last]
            last = now
        elif event == "checkpoint" and last is not None:
            last += now
        elif event == "resume":
            last = None
    return np.array(seconds)


def stopping(number: int) -> contextlib.AbstractContextManager:
    """Within, a run is stopped after so many evaluations."""

    @contextlib.contextmanager
    def patched() -> Any:
        evaluated, shown = Reporter.evaluated, []

        def count(self: Reporter, log: Any, seconds: float) -> None:
            evaluated(self, log, seconds)
            shown.append(None)
            if len(shown) == number:
                signal.raise_signal(signal.SIGTERM)

        Reporter.evaluated = count  # type: ignore[method-assign]
        try:
            yield
        finally:
            Reporter.evaluated = evaluated  # type: ignore[method-assign]

    return patched()


def main() -> None:
    """Measure in turns and print the medians."""
    parser = argparse.ArgumentParser(description="What it costs to keep a run.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results" / "keeping.json")
    options = parser.parse_args()
    use_all_cores()
    env, found = envs.make("CartPole-v1"), []
    config = PPO.Config(total_steps=100_000)
    rates = np.logspace(-4, -2.5, 16).tolist()
    for turn in range(options.rounds):
        work, row = Path(tempfile.mkdtemp()), {}
        row["bare"] = run(PPO, env, config, 64, progress=False).train_seconds
        with contextlib.redirect_stderr(io.StringIO()):
            kept = run(PPO, env, config, 64, work / "kept", checkpoint_seconds=None)
        row["checkpoint"] = statistics.median(events(work / "kept", "checkpoint"))
        row["kept"] = kept.train_seconds - sum(events(work / "kept", "checkpoint"))
        with stopping(10):
            run(PPO, env, config, 64, work / "stopped", progress=False)
        resume(work / "stopped", progress=False)
        row["whole_part"] = float(np.median(parts(work / "kept")[10:]))
        row["resumed_part"] = float(np.median(parts(work / "stopped")[9:]))
        replay = DQN.Config(total_steps=4_000, buffer_size=100_000)
        run(DQN, env, replay, 8, work / "replay", num_evals=2, progress=False)
        row["checkpoint_replay"] = statistics.median(events(work / "replay", "checkpoint"))
        seeds = run(PPO, env, config, 128, work / "seeds", progress=False, checkpoint_seconds=None)
        row["seeds"] = seeds.train_seconds
        run_sweep(
            PPO, env, config, {"learning_rate": rates}, 8, work / "swept", progress=False, checkpoint_seconds=None
        )
        parts_of_sweep = list((work / "swept" / "cells").iterdir())
        row["swept"] = sum(events(part, "train")[-1] for part in parts_of_sweep)
        row["parts"] = len(parts_of_sweep)
        found.append(row)
        print(turn, {name: round(value, 3) for name, value in row.items()}, flush=True)
    middle = {name: statistics.median(row[name] for row in found) for name in found[0]}
    print(f"records and progress   {100 * (middle['kept'] / middle['bare'] - 1):+.1f}% of {middle['bare']:.1f} s")
    print(f"a checkpoint           {middle['checkpoint']:.2f} s, with 8 replays {middle['checkpoint_replay']:.2f} s")
    print(f"a part after resuming  {middle['resumed_part'] / middle['whole_part']:.3f} of one in a run never stopped")
    ratio = middle["swept"] / middle["seeds"]
    print(f"a sweep of 16 x 8      {ratio:.3f} of 128 seeds, in {middle['parts']:.0f} program")
    options.out.write_text(json.dumps({"cores": os.cpu_count(), "medians": middle, "rounds": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
