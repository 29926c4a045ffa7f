"""The figure of notebooks/05_q_learning_to_dqn: DQN on the cliff, with replay and target network switched off in turn.

    python bench/lesson_05.py [--out notebooks/data/05_switched_off.csv]

Ten seeds each. Without replay the buffer is as small as a batch; without a target network it is the online one.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import jax
import jax.numpy as jnp

from jaxrl_up import DQN, Evaluation, sweep, tabular, use_all_cores

SEEDS = 10
COMMON = {
    "total_steps": 20_000,
    "num_envs": 1,
    "batch_size": 32,
    "learning_rate": 1e-3,
    "target_every": 1,
    "gamma": 0.95,
}
BUFFERS = {True: {"buffer_size": 10_000, "learning_starts": 500}, False: {"buffer_size": 32, "learning_starts": 16}}
TAUS = {True: 0.01, False: 1.0}  # how far the target network moves to the online one at each gradient step


def main() -> None:
    """Train all four, and write a row for each evaluation."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    root = Path(__file__).resolve().parent.parent
    parser.add_argument("--out", type=Path, default=root / "notebooks" / "data" / "05_switched_off.csv")
    options = parser.parse_args()
    use_all_cores()
    env = tabular.as_env(tabular.cliff_walking(horizon=100))
    keys, taus = jax.vmap(jax.random.key)(jnp.arange(SEEDS)), jnp.array(list(TAUS.values()))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with options.out.open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["replay", "target_network", "seed", "env_steps", "score"])
        for replay, buffer in BUFFERS.items():
            config = DQN.Config(**COMMON, **buffer)
            _, log = sweep(DQN, env, config, {"tau": taus}, keys, num_evals=20, evaluation=Evaluation(1))
            for point, target in enumerate(TAUS):
                for seed in range(SEEDS):
                    for steps, value in zip(log.env_steps[point, seed], log.returns[point, seed], strict=True):
                        rows.writerow([int(replay), int(target), seed, int(steps), round(float(value), 1)])


if __name__ == "__main__":
    main()
