"""Does a large replay stay within the memory that `--dry-run` announces? SAC at the size of MuJoCo's Walker2d.

    PYTHONPATH=. python bench/memory.py --out bench/results/memory.json

Observations of 17 numbers, actions of 6, batches of 1024, a buffer of 2,000,000 transitions: made, filled past its end
and learned from. The environment is made of noise, since only its sizes matter here. Compares the most memory that the
process ever held, beyond what it held before the run, with the announcement. Each run has a process of its own: with a
number of seeds that the devices divide and one that they do not, on two devices, kept in a directory and not.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_up import SAC, run, use_all_cores
from jaxrl_up.envs import Box, Env, from_functions
from jaxrl_up.experiments import at_start, memory_lines, need

OBS, ACTION, CAPACITY, ENVS = 17, 6, 2_000_000, 64
DEVICES = 2
CASES = ((2, False), (2, True), (3, False), (3, True))  # seeds, whether kept


def noise() -> Env:
    """Walker2d's sizes and time limit."""

    def reset(key: Any) -> Any:
        obs = jax.random.uniform(key, (OBS,), minval=-1.0)
        return obs, obs

    def step(key: Any, state: Any, action: Any) -> Any:
        obs = jax.random.uniform(key, (OBS,), minval=-1.0)
        return obs, obs, jnp.sum(state[:ACTION] * action), False, False

    return from_functions(reset, step, Box(-1.0, 1.0, (OBS,)), Box(-1.0, 1.0, (ACTION,)), 1000, name="noise")


def peak() -> int:
    """Bytes, at most, that this process has held."""
    unit = 1 if platform.system() == "Darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def measure(seeds: int, kept: bool) -> dict[str, Any]:
    """Announce, run, compare."""
    use_all_cores(min(DEVICES, seeds))
    env = noise()
    config = SAC.Config(
        total_steps=CAPACITY + 128 * ENVS,
        learning_starts=CAPACITY - 128 * ENVS,
        num_envs=ENVS,
        rollout_length=64,
        batch_size=1024,
        buffer_size=CAPACITY,
    )
    print("\n".join(memory_lines(SAC, env, config, seeds)), flush=True)
    announced = at_start(need(SAC, env, config), seeds, kept)
    before = peak()
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / "run" if kept else None
        result = run(SAC, env, config, seeds, directory, num_evals=2, num_episodes=2, progress=False)
    taken = peak() - before
    filled = bool((np.asarray(result.state.replay.outcome)[..., 0] != 0).all())  # the bits of the rewards
    print(f"taken          {taken / 2**20:.1f} MiB of {announced / 2**20:.1f} announced; filled: {filled}")
    print(f"losses         {jax.tree.map(lambda x: float(x[0, -1]), result.log.losses)}", flush=True)
    devices = len(jax.local_devices())
    return {"seeds": seeds, "devices": devices, "kept": kept, "announced": announced, "taken": taken, "filled": filled}


def main() -> None:
    """Measure all cases, or one in this process."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--seeds", type=int, help="only this many, in this process")
    parser.add_argument("--kept", action="store_true", help="with --seeds: keep the run in a directory")
    options = parser.parse_args()
    if options.seeds:
        report = measure(options.seeds, options.kept)
    else:
        report = []
        for seeds, kept in CASES:
            with tempfile.NamedTemporaryFile(suffix=".json") as file:
                command = [sys.executable, __file__, "--seeds", str(seeds), "--out", file.name]
                subprocess.run(command + ["--kept"] * kept, check=True)
                report.append(json.loads(Path(file.name).read_text()))
    if options.out:
        options.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
