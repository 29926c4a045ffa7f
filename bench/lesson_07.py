"""Scores of two settings over many seeds, for the lesson on how many seeds a claim needs.

    python bench/lesson_07.py [--out notebooks/data/07_scores.csv]

PPO on CartPole-v1 with gae_lambda = 0.95 and 0.9 and else its defaults, 256 seeds each, as one program. A row holds the
return of the final policy of one seed: the mean of 16 greedy episodes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_up import PPO, sweep, use_all_cores

OUT = Path(__file__).resolve().parent.parent / "notebooks" / "data" / "07_scores.csv"
LAMBDAS, SEEDS, TOTAL_STEPS = (0.95, 0.9), 256, 15_000


def main() -> None:
    """Train both settings on every seed and write `gae_lambda,seed,score`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    use_all_cores()
    keys = jax.vmap(jax.random.key)(jnp.arange(SEEDS))
    config = PPO.Config(total_steps=TOTAL_STEPS)
    _, log = sweep(PPO, "CartPole-v1", config, {"gae_lambda": jnp.array(LAMBDAS)}, keys, num_evals=1)
    returns = np.asarray(log.returns)[:, :, -1]
    rows = [f"{x},{s},{returns[i, s]:g}" for i, x in enumerate(LAMBDAS) for s in range(SEEDS)]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text("\n".join(["gae_lambda,seed,score", *rows]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
