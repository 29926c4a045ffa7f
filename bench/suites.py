"""Steps a second of the suites here, beside the same environments stepped raw.

    PYTHONPATH=. python bench/suites.py --out bench/results/suites.json [--seconds 10] [--pairs 7] [--only brax/hopper]

Both sides get random actions for the same batch of environments. Ours is all of a rollout: actions, fresh resets, time
limits, returns. Raw is the suite's own step in a loop and nothing else: no episode begins anew. The two sides take
turns, in pairs; of each side the median over the pairs, and of their ratio (raw / ours in steps a second: what ours
costs) the median, the least and the most. On a machine that others use too, go by processor time. gymnasium's are
stepped in Python on both sides, `x N` of them. A further suite is a function as `brax` below, and rows in `ROWS`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrl_up import envs
from jaxrl_up.learning import rollout

LENGTH = 64  # steps of a call


class Sides(NamedTuple):
    """Two ways to play: each call makes some steps, waits for them and returns how many they were."""

    ours: Callable[[], int]
    raw: Callable[[], int]


def compiled(program: Callable[..., Any], carry: Any, batch: int) -> Callable[[], int]:
    """Calls of a program `(carry, key) -> carry` of `LENGTH` steps, each going on from the last."""
    ready = (
        jax.jit(program, donate_argnums=0)
        .lower(carry, jax.random.key(0))
        .compile({"xla_backend_optimization_level": 2} if jax.default_backend() == "cpu" else {})
    )
    box, calls = [carry], iter(range(10**9))

    def call() -> int:
        box[0] = jax.block_until_ready(ready(box[0], jax.random.key(next(calls))))
        return LENGTH * batch

    return call


def ours(name: str, batch: int, options: dict[str, Any]) -> Callable[[], int]:
    """An environment of `envs.make` under random actions."""
    env = envs.make(name.partition(" ")[0], **options)

    def act(obs: Any, memory: Any, key: Any) -> Any:
        return jax.vmap(env.action_space.sample)(jax.random.split(key, batch)), memory, ()

    def program(interaction: Any, key: Any) -> Any:
        interaction, rows, _ = rollout.unroll(env, act, interaction, LENGTH, key)
        return interaction._replace(episode_return=interaction.episode_return + 0.0 * jnp.sum(rows.next_obs))

    begin = jax.jit(lambda key: rollout.start(env, batch, key))
    return compiled(program, begin(jax.random.key(0)), batch)


def brax(name: str, batch: int, options: dict[str, Any]) -> Sides:
    """brax's own step, vmapped, in a scan."""
    play = ours(name, batch, options)  # builds it, and so imports brax
    from brax.envs import get_environment

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        raw = get_environment(name.partition("/")[2], **options)

        def typed(new: Any, old: Any) -> Any:
            return jax.tree.map(lambda x, y: jnp.asarray(x, y.dtype), new, old)

        def program(state: Any, key: Any) -> Any:
            def step(state: Any, key: Any) -> Any:
                action = jax.random.uniform(key, (batch, raw.action_size), minval=-1.0, maxval=1.0)
                return typed(jax.vmap(raw.step)(state, action), state), None

            return jax.lax.scan(step, state, jax.random.split(key, LENGTH))[0]

        first = jax.jit(jax.vmap(raw.reset))(jax.random.split(jax.random.PRNGKey(0), batch))
        return Sides(play, compiled(program, first, batch))


def gymnasium(name: str, batch: int, options: dict[str, Any]) -> Sides:
    """gymnasium's own environments, one after another in Python, each begun anew where an episode ends."""
    play = ours(name, batch, options)
    import gymnasium
    import numpy as np

    raw = [gymnasium.make(name.partition("/")[2].partition(" ")[0], **options) for _ in range(batch)]
    for place, env in enumerate(raw):
        env.reset(seed=place)
    draw, space = np.random.default_rng(0), raw[0].action_space
    assert isinstance(space, gymnasium.spaces.Box)

    def call() -> int:
        actions = draw.uniform(space.low, space.high, (LENGTH, batch, *space.shape)).astype(np.float32)
        for step in actions:
            for env, action in zip(raw, step, strict=True):
                _, _, terminated, truncated, _ = env.step(action)
                if terminated or truncated:
                    env.reset()
        return LENGTH * batch

    return Sides(play, call)


ROWS: dict[str, tuple[Callable[[str, int, dict[str, Any]], Sides], int, dict[str, Any]]] = {
    "brax/walker2d": (brax, 256, {"backend": "spring"}),
    "brax/halfcheetah": (brax, 256, {"backend": "spring"}),  # whose episodes end by the time limit alone
    "brax/hopper": (brax, 256, {"backend": "spring"}),
    "brax/inverted_pendulum": (brax, 256, {"backend": "generalized"}),
    "gymnasium/Walker2d-v5 x 1": (gymnasium, 1, {}),
    "gymnasium/Walker2d-v5 x 8": (gymnasium, 8, {}),
    "gymnasium/Walker2d-v5 x 64": (gymnasium, 64, {}),
    "gymnasium/HalfCheetah-v5 x 8": (gymnasium, 8, {}),
}


def rate(side: Callable[[], int], seconds: float) -> tuple[float, float]:
    """Steps a second, and a second of processor time, of calls that fill so many seconds."""
    begun, begun_working, steps = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - begun < seconds:
        steps += side()
    return steps / (time.perf_counter() - begun), steps / (time.process_time() - begun_working)


def measured(name: str, seconds: float, pairs: int) -> dict[str, Any]:
    """The row of an environment."""
    build, batch, options = ROWS[name]
    sides = build(name, batch, options)
    sides.ours(), sides.raw()
    rates = []
    for turn in range(pairs):
        order = sides._fields if turn % 2 else sides._fields[::-1]
        rates.append({side: rate(getattr(sides, side), seconds) for side in order})
    ratios = [[row["raw"][clock] / row["ours"][clock] for row in rates] for clock in range(2)]
    return {
        "batch": batch,
        **options,
        "seconds": seconds,
        "pairs": pairs,
        "ours": round(statistics.median(row["ours"][0] for row in rates)),
        "raw": round(statistics.median(row["raw"][0] for row in rates)),
        "raw/ours": [round(x, 3) for x in (statistics.median(ratios[0]), min(ratios[0]), max(ratios[0]))],
        "raw/ours, processor": [round(x, 3) for x in (statistics.median(ratios[1]), min(ratios[1]), max(ratios[1]))],
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "jax": jax.__version__,
    }


def main() -> None:
    """Measure the rows asked for, and put them beside those that the file has already."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--only", action="append", choices=list(ROWS))
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    rows = json.loads(arguments.out.read_text()) if arguments.out and arguments.out.exists() else {}
    for name in arguments.only or ROWS:
        rows[name] = measured(name, arguments.seconds, arguments.pairs)
        print(name, json.dumps(rows[name]), flush=True)
        if arguments.out:
            arguments.out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
