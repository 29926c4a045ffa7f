"""A thousand random MDPs of a hundred states solved by one vmapped call, beside a loop in NumPy.

    python bench/tabular.py [--mdps 1000] [--states 100] [--actions 4] [--branching 5] [--repeats 5] [--loop 50]
                            [--out bench/results/tabular.json]

Each side finds V* by policy iteration, exactly: one linear solve a step, until no action is better. NumPy goes through
the MDPs one after the other (`--loop` of them, and the time is scaled up), in float32 as the compiled program, with
matrix products where they are quickest. Seconds are medians of `--repeats`, compiling apart; values are compared.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import jax
import numpy as np

from jaxrl_up import tabular


def numpy_optimum(transition: np.ndarray, reward: np.ndarray, discount: float) -> np.ndarray:
    """V* `[S]` of P `[S, A, S]` and r `[S, A]` by policy iteration."""
    states = np.arange(len(reward))
    policy = np.zeros(len(reward), int)
    while True:
        matrix = np.eye(len(reward), dtype=reward.dtype) - discount * transition[states, policy]
        values = np.linalg.solve(matrix, reward[states, policy])
        q_values = reward + discount * (transition @ values)
        better = q_values.max(axis=1) > q_values[states, policy] + 1e-5 * (1 + np.abs(values).max())
        if not better.any():
            return values
        policy = np.where(better, q_values.argmax(axis=1), policy)


def main() -> None:
    """Time both and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (
        ("mdps", 1000),
        ("states", 100),
        ("actions", 4),
        ("branching", 5),
        ("repeats", 5),
        ("loop", 50),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--discount", type=float, default=0.95)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()

    def random(key: jax.Array) -> tabular.MDP:
        return tabular.garnet(key, options.states, options.actions, options.branching, discount=options.discount)

    mdps = jax.block_until_ready(jax.jit(jax.vmap(random))(jax.random.split(jax.random.key(0), options.mdps)))
    began = time.perf_counter()
    program = jax.jit(jax.vmap(tabular.v_star)).lower(mdps).compile()
    compiling = time.perf_counter() - began
    values = np.asarray(program(mdps))
    ours = []
    for _ in range(options.repeats):
        began = time.perf_counter()
        jax.block_until_ready(program(mdps))
        ours.append(time.perf_counter() - began)

    transition, reward = np.asarray(mdps.transition), np.asarray(mdps.reward)
    loop, number = [], min(options.loop, options.mdps)
    for _ in range(options.repeats):
        began = time.perf_counter()
        found = [numpy_optimum(transition[i], reward[i], options.discount) for i in range(number)]
        loop.append((time.perf_counter() - began) * options.mdps / number)
    apart = float(np.max(np.abs(values[:number] - np.stack(found))))
    result = {
        "device": jax.devices()[0].device_kind,
        "mdps": options.mdps,
        "states": options.states,
        "actions": options.actions,
        "branching": options.branching,
        "discount": options.discount,
        "compile_seconds": round(compiling, 2),
        "vmapped_seconds": round(statistics.median(ours), 4),
        "numpy_seconds": round(statistics.median(loop), 4),
        "ratio": round(statistics.median(loop) / statistics.median(ours), 2),
        "largest_difference": apart,
        "largest_value": float(np.max(np.abs(values))),
    }
    print(json.dumps(result, indent=1))
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
