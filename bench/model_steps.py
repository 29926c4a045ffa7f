"""Steps of a learned model in a second, in plans and in branches, beside the products that they cannot do without.

    python bench/model_steps.py [--out bench/results/model_steps.json]

A plan of PETS on Pendulum: candidates x particles x horizon x iterations steps of a member, with draws, refits and all
else of the search. Branches of MBPO: 256 x 3 steps, with the policy. The floor of each is the members' products and
their nonlinearity alone, on as many rows as often. In turns, in one process; median of 7.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from jaxrl_up import MBPO, PETS, envs, make_config, use_all_cores
from jaxrl_up.algorithms import mbpo, pets
from jaxrl_up.config import canonical
from jaxrl_up.types import Array, PyTree

REPEATS, LOOP = 7, 10


def products(rows: int, times: int, members: int, networks: PyTree, x: Array) -> Array:
    """`times` passes of each member, one after the other, on `rows` rows of its own."""
    x = jnp.broadcast_to(x, (members, rows, x.shape[-1]))
    layers = [jax.tree.leaves(layer) for layer in networks]

    def once(x: Array, _: Any) -> tuple[Array, None]:
        hidden = x
        for bias, kernel in layers[:-1]:
            hidden = jax.nn.silu(jnp.einsum("enk,ekm->enm", hidden, kernel) + bias[:, None])
        bias, kernel = layers[-1]
        out = jnp.einsum("enk,ekm->enm", hidden, kernel) + bias[:, None]
        return x + 1e-3 * out[..., : x.shape[-1]], None

    return jax.lax.scan(once, x, length=times)[0]


def seconds(function: Callable[..., Any], *given: Any) -> float:
    """Of one call, in a loop of them."""
    began = time.perf_counter()
    for _ in range(LOOP):
        found = function(*given)
    jax.block_until_ready(found)
    return (time.perf_counter() - began) / LOOP


def layers_of(members: int, sizes: tuple[int, ...]) -> list[PyTree]:
    """Kernels and biases `[E, ...]`."""
    pairs = itertools.pairwise(sizes)
    return [(jnp.zeros((members, b)), 0.1 * jnp.ones((members, a, b))) for a, b in pairs]


def main() -> None:
    """Measure both, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    use_all_cores(1)
    env, key = envs.make("Pendulum-v1"), jax.random.key(0)

    config = canonical(make_config(PETS))
    state = PETS.init(config, env, key)
    memory = PETS.initial_memory(config, env, key)
    obs = env.reset(key)[1]
    plan = jax.jit(partial(pets.plan, config, env))
    rows = config.samples * config.particles // config.members
    times = config.horizon * config.iterations
    size = layers_of(config.members, (4, *config.hidden, 2 * 4 + 1))
    jobs = {
        "plans": (
            rows * config.members * times,
            partial(plan, state.policy, obs, memory),
            partial(jax.jit(partial(products, rows, times, config.members)), size, jnp.ones((1, 1, 4))),
        )
    }
    beside = canonical(make_config(MBPO))
    learner = MBPO.init(beside, env, key).learner
    states = jnp.broadcast_to(obs, (beside.batch_size, 3))
    branch = jax.jit(partial(mbpo.branch, beside, env))
    share = -(-beside.batch_size // beside.members)
    size = layers_of(beside.members, (4, *beside.model_hidden, 2 * 4 + 1))
    jobs["branches"] = (
        beside.batch_size * beside.branch_length,
        partial(branch, learner.params, states, key),
        partial(jax.jit(partial(products, share, beside.branch_length, beside.members)), size, jnp.ones((1, 1, 4))),
    )
    report: dict[str, Any] = {"cores": os.cpu_count(), "device": jax.devices()[0].device_kind}
    for name, (steps, ours, floor) in jobs.items():
        seconds(ours), seconds(floor)
        pairs = [(seconds(ours), seconds(floor)) for _ in range(REPEATS)]
        own, least = (statistics.median(x) for x in zip(*pairs, strict=True))
        share_of_floor = statistics.median(b / a for a, b in pairs)
        report[name] = {"model_steps": steps, "seconds": own, "per_second": steps / own, "floor": share_of_floor}
        print(f"{name}: {steps:,} model steps in {1e3 * own:.2f} ms, {steps / own:,.0f} a second; the products alone "
              f"{1e3 * least:.2f} ms, {share_of_floor:.0%} of it", flush=True)  # fmt: skip
    if options.out:
        options.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
