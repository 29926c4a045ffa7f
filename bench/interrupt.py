"""Presses Ctrl-C twice while a run compiles, at random moments, and counts how the process ends.

    python bench/interrupt.py [--tries 20]

Each try is `jaxrl-up train` in a process of its own. Once it says that it compiles, it gets SIGINT at a random moment,
and again 0.05 to 1 second later. Each must end with exit code 130, without a traceback, and with one line that says so.
"""

from __future__ import annotations

import argparse
import collections
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TRAIN = ["train", "dqn", "--total-steps", "1_000_000", "--seeds", "2", "--directory", "none"]
COMPILES = 3.0  # seconds, in which the first one comes


def attempt(first: float, second: float) -> tuple[int, str, float]:
    """Exit code, what was said after `compiling ...`, and the seconds until the end after the second Ctrl-C."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "jaxrl_up", *TRAIN]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    while "compiling ..." not in process.stderr.readline():
        pass
    time.sleep(first)
    process.send_signal(signal.SIGINT)
    time.sleep(second)
    process.send_signal(signal.SIGINT)
    pressed = time.perf_counter()
    _, said = process.communicate()
    return process.returncode, said, time.perf_counter() - pressed


def main() -> None:
    """Print a line for each try, and how many ended as they should."""
    parser = argparse.ArgumentParser(description="Press Ctrl-C twice while a run compiles.")
    parser.add_argument("--tries", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    draw, ends, right = random.Random(options.seed), collections.Counter[int](), 0
    for i in range(options.tries):
        code, said, seconds = attempt(draw.uniform(0.0, COMPILES), draw.uniform(0.05, 1.0))
        fine = code == 130 and "Traceback" not in said and said.count("stopped by Ctrl-C") == 1
        ends[code] += 1
        right += fine
        print(
            f"{i + 1:3}  exit code {code}, {seconds:.2f} s after the second, {'right' if fine else said!r}", flush=True
        )
    print(f"{right} of {options.tries} right; exit codes {dict(ends)}")
    sys.exit(right < options.tries)


if __name__ == "__main__":
    main()
