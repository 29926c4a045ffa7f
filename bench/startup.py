"""How long it takes from a command to its first evaluation, and where the time goes.

    python bench/startup.py [--rounds 5] [--against CHECKOUT] [--algos ppo,dqn] [--out bench/results/startup.json]

command   `jaxrl-up train` (PPO, CartPole-v1, 8 seeds) until its first evaluation is on the screen, cold (an empty cache
          of compiled programs) and warm, medians of rounds, which take turns; with `--against` beside another checkout
stages    import, make, begin (trace, compile, run), then trace, lower, compile of the program that trains, and its
          first part of one update, for every algorithm with 1, 8 and 16 seeds, cold and warm, once each

Every measurement is a process of its own. Python's own files are in memory; nothing else should run.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SEEDS = (1, 8, 16)
STAGES = ("import", "make", "begin", "trace", "lower", "compile", "first part")
BEGUN = time.perf_counter()


def stages(name: str, seeds: int) -> dict[str, float]:
    """Seconds of each stage in this process, as `run` goes through them."""
    found, last = {}, BEGUN

    def lap(stage: str) -> None:
        nonlocal last
        now = time.perf_counter()
        found[stage], last = now - last, now

    import jax
    import jax.numpy as jnp
    import numpy as np

    from jaxrl_up import ALGORITHMS, Evaluation, envs, use_all_cores, use_compilation_cache
    from jaxrl_up.config import canonical
    from jaxrl_up.experiments import compiler
    from jaxrl_up.training import advance_lanes, begin_lanes, lane_mesh

    lap("import")
    use_compilation_cache()
    use_all_cores(runs=seeds)
    algo = ALGORITHMS[name]
    env, config = envs.make(environment_of(name)), canonical(algo.Config())
    lap("make")
    keys = jax.vmap(jax.random.key)(jnp.asarray(np.arange(seeds), jnp.uint32))
    mesh = lane_mesh(seeds)
    progress = begin_lanes(algo, env, config, {}, keys, mesh, compiler.options(once=True))
    jax.block_until_ready(progress)
    lap("begin")
    traced = advance_lanes.trace(algo, env, config, {}, progress, jnp.int32(1), Evaluation(), mesh)
    lap("trace")
    lowered = traced.lower()
    lap("lower")
    program = lowered.compile(compiler_options=compiler.options())
    lap("compile")
    jax.block_until_ready(program(env, config, {}, progress, jnp.int32(1)))
    lap("first part")
    return found


def environment_of(name: str) -> str:
    """Something the algorithm acts in."""
    return "Pendulum-v1" if name in ("ddpg", "td3", "sac") else "CartPole-v1"


def measure_stages(name: str, seeds: int, cache: str) -> dict[str, float]:
    """`stages` in a process of its own, whose compiled programs lie in `cache`."""
    command = [sys.executable, str(Path(__file__)), "--stages-of", name, "--seeds", str(seeds)]
    done = subprocess.run(command, env=surroundings(ROOT, cache), capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def measure_command(checkout: Path, cache: str) -> float:
    """Seconds from `jaxrl-up train` to the first line that shows an evaluation."""
    command = [sys.executable, "-m", "jaxrl_up", "train", "--directory", "none"]
    begun = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=checkout, env=surroundings(checkout, cache), stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "steps/s" in line:
            seconds = time.perf_counter() - begun
            process.kill()
            process.wait()
            return seconds
    raise RuntimeError(f"{' '.join(command)} ended without an evaluation")


def surroundings(checkout: Path, cache: str) -> dict[str, str]:
    """The environment of a process of that checkout, with a cache directory of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("JAX_", "XLA_"))}
    return {**kept, "XDG_CACHE_HOME": cache, "PYTHONPATH": str(checkout)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="From a command to its first evaluation.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--against", type=Path, help="another checkout, whose command is measured in turn")
    parser.add_argument("--algos", help="algorithms of the stages, between commas (default: all; none: no stages)")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results" / "startup.json")
    parser.add_argument("--stages-of", help=argparse.SUPPRESS)
    parser.add_argument("--seeds", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stages_of:
        print(json.dumps(stages(options.stages_of, options.seeds)))
        return
    from jaxrl_up import ALGORITHMS

    checkouts = {"here": ROOT, **({"against": options.against.resolve()} if options.against else {})}
    commands: dict[str, list[float]] = {f"{name}, {state}": [] for name in checkouts for state in ("cold", "warm")}
    for _ in range(options.rounds):
        for name, checkout in checkouts.items():
            with tempfile.TemporaryDirectory() as cache:
                commands[f"{name}, cold"].append(measure_command(checkout, cache))
                commands[f"{name}, warm"].append(measure_command(checkout, cache))
    for name, seconds in commands.items():
        print(
            f"{name:<16} {statistics.median(seconds):6.1f} s   ({min(seconds):.1f} to {max(seconds):.1f})", flush=True
        )

    names = list(ALGORITHMS) if options.algos is None else [n for n in options.algos.split(",") if n != "none"]
    rows = []
    print(f"\n{'':<22}" + "".join(f"{stage:>11}" for stage in STAGES) + f"{'all':>8}")
    for name in names:
        for seeds in SEEDS:
            with tempfile.TemporaryDirectory() as cache:
                for state in ("cold", "warm"):
                    found = measure_stages(name, seeds, cache)
                    rows.append({"algorithm": name, "seeds": seeds, "state": state, **found})
                    cells = "".join(f"{found[stage]:>11.2f}" for stage in STAGES)
                    print(f"{f'{name}, {seeds}, {state}':<22}{cells}{sum(found.values()):>8.2f}", flush=True)
    found = {"cores": os.cpu_count(), "rounds": options.rounds, "commands": commands, "stages": rows}
    options.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
