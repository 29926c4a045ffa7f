"""Does a large replay stay within the memory that `--dry-run` announces? SAC at the size of MuJoCo's Walker2d.

    PYTHONPATH=. python bench/memory.py --out bench/results/memory.json

Observations of 17 numbers, actions of 6, batches of 1024, a buffer of 2,000,000 transitions: made, filled past its end
and learned from. The environment is made of noise, since only its sizes matter here. Compares the most memory that the
process ever held, beyond what it held before the run, with the announcement.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from jaxrl_up import SAC, run, use_all_cores
from jaxrl_up.envs import Box, Env, from_functions
from jaxrl_up.memory import at_start, memory_lines, need

OBS, ACTION, CAPACITY, ENVS = 17, 6, 2_000_000, 64


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


def main() -> None:
    """Announce, run, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    use_all_cores(runs=options.seeds)
    env = noise()
    config = SAC.Config(
        total_steps=CAPACITY + 128 * ENVS,
        learning_starts=CAPACITY - 128 * ENVS,
        num_envs=ENVS,
        rollout_length=64,
        batch_size=1024,
        buffer_size=CAPACITY,
    )
    print("\n".join(memory_lines(SAC, env, config, options.seeds)))
    announced = at_start(need(SAC, env, config).per_seed, options.seeds)
    before = peak()
    result = run(SAC, env, config, seeds=options.seeds, num_evals=2, num_episodes=2, progress=False)
    taken = peak() - before
    filled = bool(jnp.all(result.state.replay.reward != 0))
    print(f"taken          {taken / 2**20:.1f} MiB of {announced / 2**20:.1f} announced; filled: {filled}")
    print(f"losses         {jax.tree.map(lambda x: float(x[0, -1]), result.log.losses)}")
    if options.out:
        report = {"announced": announced, "taken": taken, "seeds": options.seeds, "filled": filled}
        options.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
