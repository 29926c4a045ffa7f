"""What XLA's YNN fusion on CPU costs or gains: PPO, DQN and SAC, with and without it, in turns.

    python bench/compiler_choice.py                                    the installed jaxlib
    python bench/compiler_choice.py --python A/bin/python B/bin/python --rounds 9 --out bench/results/choice.json

Each turn is a process of its own that runs this library's work of `bench/side_by_side.py` under one interpreter (that
may have another jaxlib) with the fusion on or off. The figures are medians over all turns: the order is reversed from
round to round, so that a noisy machine is noisy for all.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from side_by_side import WORKS

FUSION = "--xla_cpu_experimental_ynn_fusion_type"
FLAGS = {"on": f"{FUSION}=+reduce", "off": f"{FUSION}="}  # reductions are fused by default; said, nothing else decides
WORK = Path(__file__).with_name("side_by_side.py")


def turn(python: str, flags: str, algo: str, seeds: int, repeats: int) -> dict[str, Any]:
    """One process: seconds of each repeat, and of compiling."""
    environment = {**os.environ, "XLA_FLAGS": flags, "PYTHONPATH": str(WORK.parents[1])}
    command = [python, str(WORK), algo, "--library", "ours", "--seeds", str(seeds), "--repeats", str(repeats)]
    output = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
    return json.loads(output.splitlines()[-1])


def main() -> None:
    """Measure, print a line for each, and keep the raw figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("algos", nargs="*", default=["ppo", "dqn", "sac"], help=f"of {', '.join(WORKS)}")
    parser.add_argument("--python", nargs="+", default=[sys.executable], help="interpreters to compare")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--out", type=Path, help="a file for the raw figures")
    options = parser.parse_args()
    ask = "import jaxlib; print(jaxlib.__version__)"
    jaxlibs = {p: subprocess.check_output([p, "-c", ask], text=True).strip() for p in options.python}
    runs: list[dict[str, Any]] = []
    for algo in options.algos:
        choices = list(itertools.product(options.python, FLAGS))
        for number in range(options.rounds):
            for python, fusion in choices if number % 2 == 0 else choices[::-1]:
                result = turn(python, FLAGS[fusion], algo, options.seeds, options.repeats)
                runs.append({"algo": algo, "python": python, "jaxlib": jaxlibs[python], "fusion": fusion, **result})
        for python, fusion in choices:
            mine = [r for r in runs if (r["algo"], r["python"], r["fusion"]) == (algo, python, fusion)]
            seconds = statistics.median(s for r in mine for s in r["seconds"])
            print(
                f"{algo} {options.seeds} seeds  jaxlib {jaxlibs[python]} fusion {fusion:3}  "
                f"{options.seeds * WORKS[algo]['total_steps'] / seconds:9,.0f} steps/s  compile "
                f"{statistics.median(r['compile_seconds'] for r in mine):.1f} s",
                flush=True,
            )
    if options.out:
        report = {"seeds": options.seeds, "cores": os.cpu_count(), "machine": platform.platform(), "runs": runs}
        options.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
