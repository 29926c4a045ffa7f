"""The numbers of notebooks/06_from_vpg_to_sac: what critics say on Pendulum, and what comes.

    python bench/lesson_06.py [--out notebooks/data/06_critics.csv]

Ten seeds each of DDPG and TD3: of 64 starts of an episode the mean of Q(s, mu(s)), and of the discounted return.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from jaxrl_up import ALGORITHMS, Array, Key, envs, run, use_all_cores
from jaxrl_up.algorithms import ddpg, td3

SEEDS, GAMMA, STARTS = 10, 0.95, 64
CONFIG = {"total_steps": 12_000, "gamma": GAMMA, "tau": 0.02}


def said_and_came(name: str, module: Any, config: Any, env: envs.Env, learner: Any) -> tuple[Array, Array]:
    """The critic's value of the first action, and the discounted return of the 199 steps before the time limit."""

    def episode(key: Key) -> tuple[Array, Array]:
        def step(carry: Any, key: Key) -> tuple[Any, None]:
            state, obs, weight, total = carry
            action, _ = ALGORITHMS[name].act(config, env, learner.params["actor"], obs)
            state, step = env.step(key, state, action)
            return (state, step.obs, weight * GAMMA, total + weight * step.reward), None

        reset_key, step_key = jax.random.split(key)
        state, obs = env.reset(reset_key)
        carry, _ = jax.lax.scan(step, (state, obs, 1.0, 0.0), jax.random.split(step_key, 199))
        return obs, carry[-1]

    obs, came = jax.vmap(episode)(jax.random.split(jax.random.key(1), STARTS))
    action = module.policy(config, env, learner.params["actor"], obs)
    said = module.network(config, env).critics(learner.params["critic"], obs, action)[0]
    return jnp.mean(said), jnp.mean(came)


def main() -> None:
    """Train both, and write a row for each seed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    root = Path(__file__).resolve().parent.parent
    parser.add_argument("--out", type=Path, default=root / "notebooks" / "data" / "06_critics.csv")
    options = parser.parse_args()
    use_all_cores()
    env = envs.make("Pendulum-v1")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with options.out.open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["algorithm", "seed", "critic", "discounted_return"])
        for name, module in (("ddpg", ddpg), ("td3", td3)):
            result = run(name, env, CONFIG, seeds=SEEDS, num_evals=1, progress=False)

            def judge(learner: Any, name: str = name, module: Any = module, config: Any = result.config) -> Any:
                return said_and_came(name, module, config, env, learner)

            said, came = jax.jit(jax.vmap(judge))(result.state.learner)
            for seed in range(SEEDS):
                rows.writerow([name, seed, round(float(said[seed]), 2), round(float(came[seed]), 2)])


if __name__ == "__main__":
    main()
