"""Does it help to know what is allowed? As many queens as possible on a chessboard, none of which attacks another.

    PYTHONPATH=. python bench/masked_learning.py [--seeds 5] [--out bench/results/masked_learning.json]

One queen stands there; each further one pays 1, at most 7. The episode ends when every field is attacked, which is
where a mask allows nothing, or with a queen on a field that is, which pays 0. PPO and DQN, with their default numbers
but for the number of environments, see the queens, and with or without an `envs.Mask` the fields that are free. Prints
the mean return of 256 greedy episodes a seed: its mean over seeds at points of training, and each seed's at the end.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxrl_up
from jaxrl_up import envs

SIDE = 8
STEPS, EVALUATIONS = {"ppo": 100_000, "dqn": 50_000}, 5
FIELDS: dict[str, dict[str, Any]] = {
    "ppo": {"num_envs": 16, "rollout_length": 64},
    "dqn": {"num_envs": 8, "buffer_size": 20_000},
}


def attacked() -> np.ndarray:
    """Which fields `[64, 64]` a queen on each field attacks, its own included."""
    row, column = np.divmod(np.arange(SIDE**2), SIDE)
    lines = (row, column, row + column, row - column)
    return np.any([line[:, None] == line[None] for line in lines], axis=0)


def queens(masked: bool) -> envs.Env:
    """The puzzle, from a board with one queen anywhere, with and without a mask."""
    attacks = attacked()
    board = envs.Box(0.0, 1.0, (SIDE**2,), binary=True)
    space = envs.Dict({"queens": board, "free": envs.Mask(SIDE**2)} if masked else {"queens": board})

    def observation(placed: jax.Array) -> dict[str, jax.Array]:
        shown = {"queens": placed.astype(jnp.float32)}
        return {**shown, "free": free(placed)} if masked else shown

    def free(placed: jax.Array) -> jax.Array:
        return ~jnp.any(attacks & placed[:, None], axis=0)

    def reset(key: jax.Array) -> Any:
        placed = jnp.arange(SIDE**2) == jax.random.randint(key, (), 0, SIDE**2)
        return placed, observation(placed)

    def step(key: jax.Array, placed: jax.Array, action: jax.Array) -> Any:
        fits = free(placed)[action]
        placed = placed | ((jnp.arange(SIDE**2) == action) & fits)
        return placed, observation(placed), fits.astype(jnp.float32), ~fits | ~jnp.any(free(placed)), jnp.bool_(False)

    return envs.from_functions(reset, step, space, envs.Discrete(SIDE**2), SIDE, name="queens")


def main() -> None:
    """Train, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rows = {}
    for name, fields in FIELDS.items():
        for masked in (True, False):
            env = queens(masked)
            config = jaxrl_up.make_config(name, total_steps=STEPS[name], **fields)
            how = {"num_evals": EVALUATIONS, "num_episodes": 256, "progress": False}
            result = jaxrl_up.run(name, env, config, options.seeds, **how)
            case = f"{name} {'with the mask' if masked else 'without it'}"
            means, last = result.returns.mean(0), result.returns[:, -1]
            curve = " ".join(f"{x:6.2f}" for x in means)
            print(f"{case:20} {curve}   seeds at {STEPS[name]:,}: {' '.join(f'{x:.2f}' for x in last)}", flush=True)
            rows[case] = {"steps": STEPS[name], "returns": result.returns.tolist()}
    if options.out:
        options.out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
