"""What replay costs beside the memory traffic that cannot be avoided, on one core, inside a compiled loop.

    PYTHONPATH=. python bench/replay.py --out bench/results/replay.json

Sampling 256 transitions from 1e6 rows is set beside gathering 256 random rows of the same array of observations,
once and twice (observation and successor). Writing is measured at 1e4 and at 1e6 rows: where XLA copies a buffer, the
second takes far longer. `alone` is a loop with nothing else in it, `seeds` the same under vmap over 4 seeds with one
shared clock. The programs of a table take turns; figures are microseconds an iteration, of all seeds together: the
minimum and the median.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("PJRT_NPROC", "1")

import jax
import jax.numpy as jnp

from jaxrl_up.envs import Box, Discrete, Env, from_functions
from jaxrl_up.learning import replay, sum_tree

ITERATIONS, BATCH, ENVS, SEEDS, GAMMA = 200, 256, 4, 4, 0.99
SMALL, LARGE = 10_000, 1_000_000


def holder(features: int) -> Env:
    """An environment that is never stepped, with CartPole's time limit."""

    def never(*_: Any) -> Any:
        raise AssertionError

    return from_functions(never, never, Box(-1.0, 1.0, (features,)), Discrete(2), 500)


def checksum(tree: Any) -> jax.Array:
    """A number that depends on everything in a batch."""
    return sum((jnp.sum(x, dtype=jnp.float32) for x in jax.tree.leaves(tree)), jnp.float32(0))


def loop(body: Callable[[Any, Any], Any], carry: Any) -> Callable[[], None]:
    """A compiled loop over `body(i, carry) -> carry`, which runs from where it stopped each time."""
    program = jax.jit(lambda carry: jax.lax.fori_loop(0, ITERATIONS, body, carry), donate_argnums=0)
    compiled = program.lower(carry).compile()
    box = [carry]

    def run() -> None:
        box[0] = jax.block_until_ready(compiled(box[0]))

    return run


def sampling(env: Env, n_step: int, seeds: int | None) -> Callable[[], None]:
    """Draw a batch and look at all of it."""
    kept = batched(lambda: replay.init(env, LARGE, ENVS), seeds)
    bits = jax.random.bits(jax.random.key(0), (ITERATIONS, *lead(seeds), BATCH), jnp.uint32)

    def draw(kept: Any, time: Any, bits: Any) -> Any:
        return checksum(replay.sample(env, kept, time, bits, GAMMA, n_step)._replace(index=jnp.int32(0)))

    draw = draw if seeds is None else jax.vmap(draw, in_axes=(0, None, 0))
    carry = (kept, jnp.zeros(lead(seeds)), jnp.int32(2 * LARGE))
    return loop(lambda i, c: (c[0], c[1] + draw(c[0], c[2], bits[i]), c[2]), carry)


def gathering(features: int, times: int, seeds: int | None) -> Callable[[], None]:
    """Random rows of one array, without anything else."""
    table = batched(lambda: jnp.zeros((LARGE, features)), seeds)
    index = jax.random.randint(jax.random.key(0), (ITERATIONS, *lead(seeds), times * BATCH), 0, LARGE)

    def take(table: Any, index: Any) -> Any:
        return checksum([table[part] for part in jnp.split(index, times)])

    take = take if seeds is None else jax.vmap(take)
    return loop(lambda i, c: (c[0], c[1] + take(c[0], index[i])), (table, jnp.zeros(lead(seeds))))


def adding(env: Env, features: int, capacity: int, seeds: int | None) -> Callable[[], None]:
    """Write one step of all environments, with a time limit now and then."""
    kept = batched(lambda: replay.init(env, capacity, ENVS), seeds)
    obs = jax.random.uniform(jax.random.key(0), (ITERATIONS, *lead(seeds), ENVS, features))
    cut = jax.random.bernoulli(jax.random.key(1), 0.01, (ITERATIONS, *lead(seeds), ENVS))

    def write(kept: Any, time: Any, obs: Any, cut: Any) -> Any:
        reward = obs[:, 0]
        return replay.add(env, kept, time, obs, (reward > 0.5).astype(jnp.int32), reward, obs, reward > 0.99, cut)

    write = write if seeds is None else jax.vmap(write, in_axes=(0, None, 0, 0))
    return loop(lambda i, c: (write(c[0], c[1], obs[i], cut[i]), c[1] + 1), (kept, jnp.int32(0)))


def prioritised(capacity: int, rows: int, what: str, seeds: int | None) -> Callable[[], None]:
    """Draw rows by priority, give rows new ones, or both."""
    levels = sum_tree.num_levels(capacity)
    tree = batched(lambda: sum_tree.set(sum_tree.init(capacity), jnp.arange(capacity), jnp.ones(capacity)), seeds)
    uniform = jax.random.uniform(jax.random.key(0), (ITERATIONS, *lead(seeds), levels, rows))
    fixed = jax.random.randint(jax.random.key(1), (ITERATIONS, *lead(seeds), rows), 0, capacity)

    def use(tree: Any, uniform: Any, fixed: Any) -> Any:
        index, probability = (fixed, uniform[0]) if what == "set" else sum_tree.sample(tree, uniform)
        if what != "sample":
            tree = sum_tree.set(tree, index, uniform[0] + 0.1)
        return tree, checksum(probability)

    use = use if seeds is None else jax.vmap(use)

    def body(i: Any, carry: Any) -> Any:
        tree, total = use(carry[0], uniform[i], fixed[i])
        return tree, carry[1] + total

    return loop(body, (tree, jnp.zeros(lead(seeds))))


def lead(seeds: int | None) -> tuple[int, ...]:
    """The leading axis of seeds, if there is one."""
    return () if seeds is None else (seeds,)


def batched(make: Callable[[], Any], seeds: int | None) -> Any:
    """What `make` makes, once for each seed."""
    one = jax.jit(make)()
    return one if seeds is None else jax.tree.map(lambda x: jnp.repeat(x[None], seeds, 0), one)


def cases(features: int, seeds: int | None) -> dict[str, Callable[[], Callable[[], None]]]:
    """Everything that is measured for observations of that many floats."""
    env = holder(features)
    return {
        "gather 256 rows of 1e6, once": lambda: gathering(features, 1, seeds),
        "gather 256 rows of 1e6, twice": lambda: gathering(features, 2, seeds),
        "sample 256 of 1e6": lambda: sampling(env, 1, seeds),
        "sample 256 of 1e6, n_step=3": lambda: sampling(env, 3, seeds),
        "add 4 rows at 1e4": lambda: adding(env, features, SMALL, seeds),
        "add 4 rows at 1e6": lambda: adding(env, features, LARGE, seeds),
    }


def cases_of_priorities(seeds: int | None) -> dict[str, Callable[[], Callable[[], None]]]:
    """Everything that is measured of prioritised sampling."""
    return {
        f"priorities: {what} {rows} at {capacity:.0e}": lambda what=what, rows=rows, capacity=capacity: prioritised(
            capacity, rows, what, seeds
        )
        for what, rows in (("sample", BATCH), ("set", BATCH), ("sample and set", BATCH), ("set", 2 * ENVS))
        for capacity in (SMALL, LARGE)
    }


def main() -> None:
    """Take turns, print a table, keep the raw figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    report: dict[str, Any] = {"cores": os.cpu_count(), "machine": platform.platform(), "jax": jax.__version__}
    report["runs"] = []
    for features in (4, 17, None):
        for seeds in (None, SEEDS):
            made = cases_of_priorities(seeds) if features is None else cases(features, seeds)
            programs = {name: make() for name, make in made.items()}
            seconds: dict[str, list[float]] = {name: [] for name in programs}
            for _ in range(options.rounds):
                for name, run in programs.items():
                    run()  # the one before has left its memory in the caches
                    start = time.perf_counter()
                    run()
                    seconds[name].append(time.perf_counter() - start)
            where = "alone" if seeds is None else f"{seeds} seeds"
            print(f"{where}" if features is None else f"observations of {features} floats, {where}")
            for name, times in seconds.items():
                each = [1e6 * x / ITERATIONS for x in times]
                print(f"  {name:42} {min(each):7.1f} us  median {statistics.median(each):7.1f}", flush=True)
                report["runs"].append({"name": name, "features": features, "seeds": seeds or 1, "microseconds": each})
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
