"""How many forbidden actions do algorithms take in a million steps of training, and in a million of evaluation?

    PYTHONPATH=. python bench/illegal_actions.py [ppo dqn] [--steps 1e6] [--out bench/results/illegal_actions.json]

In `envs.probes.changing_mask`, whose mask differs from step to step, allows one action alone in a tenth of the states
and more by chance, and nothing at all where an episode has terminated. The action that pays is shown whether it is
allowed or not. Discrete actions with every algorithm that acts in them, a MultiDiscrete with those that act there, and
sticky actions. A forbidden action pays -2^20, so sums of rewards count them. As a control the first 4,096 steps are
counted of uniform actions that know no mask. Exit code 1 if any forbidden action was taken.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_up import ALGORITHMS, envs, evaluate_episodes, make_config
from jaxrl_up.config import canonical

SMALL = {"num_envs": 64, "rollout_length": 64, "hidden": (16,), "batch_size": 64, "train_every": 16}
SMALL |= {"buffer_size": 16_384, "learning_starts": 1_024, "random_steps": 65_536, "num_minibatches": 4, "n_step": 2}
SMALL |= {"epsilon_end": 0.1, "exploration_fraction": 0.5, "value_steps": 4, "v_min": 0.0, "v_max": 10.0, "gamma": 0.9}
ON_POLICY = ("vpg", "a2c", "ppo", "trpo")
EPISODES = 16_384  # evaluated at a time


def cases() -> dict[str, tuple[str, envs.Env]]:
    """(algorithm, environment) by name."""
    one = envs.probes.changing_mask(envs.Discrete(6))
    several = envs.probes.changing_mask(envs.MultiDiscrete((4, 3)))
    acting = [name for name, algo in ALGORITHMS.items() if "Discrete" in algo.action_spaces]
    found = {f"{name}, Discrete(6)": (name, one) for name in acting}
    found |= {f"{name}, MultiDiscrete((4, 3))": (name, several) for name in acting if name in ON_POLICY}
    return found | {f"{name}, sticky": (name, envs.sticky_actions(one, 0.25)) for name in ("ppo", "dqn")}


def illegal(returns: Any, env: envs.Env) -> int:
    """Forbidden actions in sums of rewards, each of fewer than 2^20 steps."""
    return int(np.ceil(-np.asarray(returns, np.float64) / float(env.params["illegal"])).clip(0).sum())


def trained(name: str, env: envs.Env, steps: int) -> tuple[Any, Any, dict[str, Any]]:
    """The config, the state after so many steps, and what was counted on the way."""
    algo = ALGORITHMS[name]
    fields = {field: value for field, value in SMALL.items() if hasattr(algo.Config(), field)}
    config = make_config(algo, total_steps=steps, **fields)
    updates = -(-steps // algo.steps_per_update(config))
    settled = canonical(config)

    @jax.jit
    def train(key: jax.Array) -> Any:
        state = algo.init(settled, env, key)
        return jax.lax.scan(lambda state, _: algo.update(settled, env, state), state, length=updates)

    state, metrics = train(jax.random.key(0))
    finite = all(bool(jnp.isfinite(x).all()) for x in jax.tree.leaves(state.learner) if x.dtype == jnp.float32)
    returns = np.concatenate([metrics.episode_return, state.interaction.episode_return])
    counted = {"training_steps": updates * algo.steps_per_update(config), "training": illegal(returns, env)}
    ended = max(1, int(metrics.episode_count[-1]))
    return config, state, counted | {"finite": finite, "return_at_last": float(metrics.episode_return[-1]) / ended}


def evaluated(name: str, env: envs.Env, config: Any, policy: Any, steps: int) -> dict[str, Any]:
    """What is counted in `steps` of evaluation, half greedy and half sampled."""
    counted: dict[str, Any] = {}
    for how, deterministic in (("greedy", True), ("sampled", False)):
        done, found, number = 0, 0, 0
        while done < steps / 2:
            key = jax.random.key(100 + number)
            episodes = evaluate_episodes(name, env, config, policy, key, EPISODES, deterministic)
            done, number = done + int(episodes.lengths.sum()), number + 1
            found += illegal(episodes.returns, env)
        counted |= {f"{how}_steps": done, how: found}
    return counted


def blind(env: envs.Env, lanes: int = 256, steps: int = 16) -> int:
    """Forbidden actions among 4,096 uniform ones."""

    def step(carry: Any, key: jax.Array) -> Any:
        state, _ = carry
        action_key, step_key = jax.random.split(key)
        state, step = env.step(step_key, state, env.action_space.sample(action_key))
        return (state, step.obs), step.reward

    def lane(key: jax.Array) -> jax.Array:
        reset_key, key = jax.random.split(key)
        return jax.lax.scan(step, env.reset(reset_key), jax.random.split(key, steps))[1]

    rewards = jax.jit(jax.vmap(lane))(jax.random.split(jax.random.key(0), lanes))
    return int(np.sum(np.asarray(rewards) < 0))


def main() -> None:
    """Count, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("algos", nargs="*", help="only these")
    parser.add_argument("--steps", type=float, default=1e6)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rows, total = {}, 0
    print(f"{'':28} {'training':>10} {'greedy':>10} {'sampled':>10} {'uniform':>14} {'return':>7} {'seconds':>8}")
    for case, (name, env) in cases().items():
        if options.algos and name not in options.algos:
            continue
        began = time.perf_counter()
        config, state, row = trained(name, env, int(options.steps))
        row |= evaluated(name, env, config, state.policy, int(options.steps))
        row |= {"uniform_of_4096": blind(env), "seconds": round(time.perf_counter() - began, 1)}
        taken = row["training"] + row["greedy"] + row["sampled"]
        total += taken + (not row["finite"])
        counts = " ".join(f"{row[what]:>10}" for what in ("training", "greedy", "sampled"))
        uniform = f"{row['uniform_of_4096']} of 4096"
        print(f"{case:28} {counts} {uniform:>14} {row['return_at_last']:7.2f} {row['seconds']:8.1f}", flush=True)
        rows[case] = row
        jax.clear_caches()
    steps = [sum(row[f"{what}_steps"] for row in rows.values()) for what in ("training", "greedy", "sampled")]
    print(f"{total} forbidden in {steps[0]:,} steps of training, {steps[1]:,} greedy and {steps[2]:,} sampled ones")
    if options.out:
        about = {"jax": jax.__version__, "platform": platform.platform(), "steps": options.steps}
        options.out.write_text(json.dumps({"about": about, "rows": rows}, indent=1) + "\n")
    sys.exit(1 if total else 0)


if __name__ == "__main__":
    main()
