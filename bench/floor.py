"""How near DQN, SAC and TD3 are to the matrix products that they cannot do without.

    python bench/floor.py [--out bench/results/floor.json]

The products of one gradient step, with relu and gradients, are timed by themselves in compiled loops, at the shapes of
`bench/side_by_side.py`, for one seed and for 16 seeds under vmap spread over the cores. Their sum is the floor. It is
set beside the time that a gradient step of that work takes, which holds the environment, acting, sampling, the losses,
Adam and the target networks too. Both are measured in turns, in processes of their own.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec
from side_by_side import WORKS

from jaxrl_up import use_all_cores
from jaxrl_up.learning import product
from jaxrl_up.training import lane_mesh

ROOT = Path(__file__).resolve().parent.parent
ITERATIONS, REPEATS, ROUNDS = 400, 7, 1
Q, ACTOR, CRITIC = (4, 64, 64, 2), (3, 64, 64, 1), (4, 64, 64, 1)

# (how often in a gradient step, layers, batch, what)
PRODUCTS = {
    "dqn": [(1, Q, 128, "forward"), (1, Q, 128, "params")],
    "sac": [
        (1, (3, 64, 64, 2), 256, "forward"),
        (2, CRITIC, 256, "forward"),
        (2, CRITIC, 256, "params"),
        (1, (3, 64, 64, 2), 256, "params"),
        (2, CRITIC, 256, "inputs"),
    ],
    "td3": [
        (1, ACTOR, 256, "forward"),
        (2, CRITIC, 256, "forward"),
        (2, CRITIC, 256, "params"),
        (0.5, ACTOR, 256, "params"),
        (0.5, CRITIC, 256, "inputs"),
    ],
}


def network(params: list[jax.Array], x: jax.Array) -> jax.Array:
    """Products and relu, nothing else."""
    for kernel in params[:-1]:
        x = jax.nn.relu(product(x, kernel))
    return product(x, params[-1])


def flops(layers: tuple[int, ...], batch: int, what: str) -> float:
    """Multiplications and additions of the products."""
    sizes = [2.0 * batch * a * b for a, b in itertools.pairwise(layers)]
    forward = sum(sizes)
    return forward + {"forward": 0.0, "params": forward + forward - sizes[0], "inputs": forward}[what]


def microseconds(layers: tuple[int, ...], batch: int, what: str, seeds: int) -> float:
    """Of one such product for all seeds together, in a loop where each depends on the last."""
    keys = jax.random.split(jax.random.key(0), len(layers))
    params = [jax.random.normal(k, (seeds, a, b)) / a**0.5 for k, a, b in zip(keys, layers, layers[1:], strict=False)]
    x = jax.random.normal(keys[-1], (seeds, batch, layers[0]))

    def total(params: Any, x: jax.Array) -> jax.Array:
        return jnp.sum(network(params, x))

    def step(_: Any, carry: tuple[Any, jax.Array]) -> tuple[Any, jax.Array]:
        params, x = carry
        if what == "forward":
            return params, x + 1e-12 * jnp.sum(network(params, x))
        if what == "params":
            return jax.tree.map(lambda p, g: p - 1e-9 * g, params, jax.grad(total)(params, x)), x
        return params, x + 1e-9 * jax.grad(total, argnums=1)(params, x)

    def lane(params: Any, x: jax.Array) -> Any:
        return jax.lax.fori_loop(0, ITERATIONS, step, (params, x))

    def lanes(params: Any, x: jax.Array) -> Any:
        if x.shape[0] == 1:
            return jax.tree.map(lambda y: y[None], lane([p[0] for p in params], x[0]))
        return jax.vmap(lane)(params, x)

    mesh, program = lane_mesh(seeds), lanes
    if mesh is not None:
        spread = PartitionSpec("lanes")
        program = jax.shard_map(lanes, mesh=mesh, in_specs=spread, out_specs=spread, check_vma=False)
    compiled = jax.jit(program).lower(params, x).compile()
    return 1e6 * best(lambda: compiled(params, x)) / ITERATIONS


def best(run: Callable[[], Any]) -> float:
    """Seconds of the fastest of some repeats."""
    jax.block_until_ready(run())
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        jax.block_until_ready(run())
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def last_line(command: list[str]) -> str:
    """What a Python program in a process of its own says last."""
    return subprocess.run([sys.executable, *command], check=True, capture_output=True, text=True).stdout.splitlines()[
        -1
    ]


def main() -> None:
    """Print, for each algorithm and number of seeds, the floor and what part of the time it is."""
    parser = argparse.ArgumentParser(description="How near the off-policy algorithms are to their matrix products.")
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results" / "floor.json")
    parser.add_argument("--floor", choices=tuple(PRODUCTS), help=argparse.SUPPRESS)
    parser.add_argument("--seeds", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.floor:
        use_all_cores(runs=options.seeds)  # as the work has it
        parts = PRODUCTS[options.floor]
        print(sum(n * microseconds(layers, batch, what, options.seeds) for n, layers, batch, what in parts))
        return
    found = []
    for algo, products in PRODUCTS.items():
        work = WORKS[algo]
        gradient_steps = work["total_steps"] - work["ours"]["learning_starts"]
        for seeds in (1, 16):
            floors, seconds = [], []
            for _ in range(ROUNDS):
                floors.append(float(last_line([__file__, "--floor", algo, "--seeds", str(seeds)])))
                work_of = [str(ROOT / "bench" / "side_by_side.py"), algo, "--library", "ours", "--repeats", "2"]
                seconds += json.loads(last_line([*work_of, "--seeds", str(seeds)]))["seconds"]
            floor, taken = statistics.median(floors), 1e6 * statistics.median(seconds) / gradient_steps
            rate = sum(n * flops(layers, batch, what) for n, layers, batch, what in products) * seeds / floor / 1e3
            row = {"algorithm": algo, "seeds": seeds, "floor_us": floor, "gflops": rate, "step_us": taken}
            found.append({**row, "fraction": floor / taken})
            print(
                f"{algo:4} {seeds:3} seeds  floor {floor:6.0f} us ({rate:4.0f} GFLOP/s)  "
                f"a step of all seeds {taken:6.0f} us  {floor / taken:.0%}",
                flush=True,
            )
    options.out.write_text(json.dumps({"cores": os.cpu_count(), "rows": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
