"""How far planners stay below the optimum, from the same starts, played for real.

    python bench/planning.py --out bench/results/planning.json [--episodes 100] [--seeds 3]

Pendulum's optimum is dynamic programming on a fine grid of its two dimensions, backwards over the 200 steps of an
episode, by bilinear interpolation; its policy looks one step ahead with the values of the grid. All play from the
same starts, since the mean of a hundred returns has a standard error of 7 by the starts alone; regrets are paired.
Terminal values are those of a grid 16 times as coarse, with half an episode to go, and those of the critics of SAC's
first seed, of states that it never saw too.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_up import MPC, SAC, envs, load_recipe, train, use_all_cores
from jaxrl_up.algorithms import sac
from jaxrl_up.config import canonical
from jaxrl_up.learning import memory_of, play
from jaxrl_up.types import Array, Key, PyTree

SPEED = 8.0  # Pendulum's greatest angular velocity
STEPS = 200  # of an episode
STARTS = 0  # the seed of the starts


class Optimum:
    """V with so many steps to go, on a grid of angles and velocities, and the policy that looks a step ahead."""

    def __init__(self, angles: int = 257, speeds: int = 257, actions: int = 41) -> None:
        self.env = envs.make("Pendulum-v1")
        self.model, self.begun = envs.model_of(self.env), self.env.reset(0)[0]
        self.angle, self.speed = jnp.linspace(-jnp.pi, jnp.pi, angles), jnp.linspace(-SPEED, SPEED, speeds)
        self.actions = jnp.linspace(-2.0, 2.0, actions)[:, None]
        self.values = jax.block_until_ready(jax.jit(self.solve)())

    def q_values(self, after: Array, angle: Array, speed: Array) -> Array:
        """Q `[actions]` of a state, given the values on the grid after the step."""
        state = dataclasses.replace(self.begun, theta=angle, theta_dot=speed)

        def one(action: Array) -> Array:
            reached, _, reward, _ = self.model.step(self.env.params, jax.random.key(0), state, action)
            return reward + self.interpolated(after, reached.state.theta, reached.state.theta_dot)

        return jax.vmap(one)(self.actions)

    def interpolated(self, values: Array, angle: Array, speed: Array) -> Array:
        """The value between the points of the grid."""
        x = (angle + jnp.pi) % (2 * jnp.pi) / (2 * jnp.pi) * (len(self.angle) - 1)
        y = (speed + SPEED) / (2 * SPEED) * (len(self.speed) - 1)
        return jax.scipy.ndimage.map_coordinates(values, [x, y], order=1, mode="nearest")

    def solve(self) -> Array:
        """V `[STEPS + 1, angles, speeds]`."""

        def backwards(after: Array, _: None) -> tuple[Array, Array]:
            best = jax.vmap(jax.vmap(lambda a, s: jnp.max(self.q_values(after, a, s)), (None, 0)), (0, None))
            values = best(self.angle, self.speed)
            return values, values

        nothing = jnp.zeros((len(self.angle), len(self.speed)))
        return jnp.concatenate([nothing[None], jax.lax.scan(backwards, nothing, length=STEPS)[1]])

    def act(self, obs: Array, togo: Array, key: Key) -> tuple[Array, Array]:
        """Actions `[N, 1]` for `obs [N, 3]` with `togo [N]` steps to go."""

        def one(obs: Array, togo: Array) -> Array:
            q = self.q_values(self.values[togo - 1], jnp.arctan2(obs[1], obs[0]), obs[2])
            return self.actions[jnp.argmax(q)]

        return jax.vmap(one)(obs, togo), togo - 1


def returns(env: envs.Env, act: Callable[..., Any], memory: Callable[[Key], PyTree], episodes: int) -> dict[str, Any]:
    """Returns of the same starts, and the seconds of a second call."""
    program = jax.jit(lambda key: play(env, act, key, episodes, initial_memory=memory).returns)
    found = jax.block_until_ready(program(jax.random.key(STARTS)))
    start = time.perf_counter()
    jax.block_until_ready(program(jax.random.key(STARTS)))
    return {"returns": np.asarray(found, float), "seconds": time.perf_counter() - start}


def planned(episodes: int, env: envs.Env, **fields: Any) -> dict[str, Any]:
    """Those of `mpc` with such fields."""
    shown, config = envs.with_simulator(env), canonical(MPC.Config(**fields))
    act = partial(MPC.act, config, shown, ())
    return returns(shown, lambda obs, memory, key: act(obs, memory), memory_of(MPC, shown, config, True), episodes)


def learned(episodes: int, seeds: int) -> tuple[list[dict[str, Any]], Callable[[Array], Array]]:
    """Those of SAC as its recipe trains it, and the value that its first seed's critics have."""
    recipe = load_recipe("sac/pendulum")
    keys = jax.vmap(jax.random.key)(jnp.arange(seeds))
    states, _ = jax.jit(jax.vmap(lambda key: train(SAC, recipe.env, recipe.config, key, num_evals=1)))(keys)
    config, env, found = canonical(recipe.config), recipe.env, []
    for seed in range(seeds):
        actor = jax.tree.map(lambda x, seed=seed: x[seed], states.policy)
        act = partial(SAC.act, config, env, actor)
        found.append(returns(env, lambda obs, memory, key, act=act: act(obs, memory), lambda key: (), episodes))
    params = jax.tree.map(lambda x: x[0], states.learner.params)

    def value(obs: Array) -> Array:
        action = sac.policy(config, env, params["actor"], obs).mode()
        return jnp.min(sac.network(config, env).critics(params["critic"], obs, action), axis=0)

    return found, value


def main() -> None:
    """Print a row for each, and write all returns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=3, help="of SAC")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    use_all_cores()
    pendulum, rows = envs.make("Pendulum-v1"), {}
    optimum = Optimum()
    rows["optimum"] = returns(pendulum, optimum.act, lambda key: jnp.int32(STEPS), options.episodes)
    best = rows["optimum"]["returns"]
    print(f"the grid says {float(jnp.mean(_at_starts(optimum, options.episodes))):.1f}")

    def say(name: str) -> None:
        regret = best - rows[name]["returns"]
        spread = 1.96 * np.std(regret, ddof=1) / len(regret) ** 0.5
        rows[name] |= {
            "regret": float(np.mean(regret)),
            "interval": [float(np.mean(regret) + s * spread) for s in (-1, 1)],
        }
        mean, low, high = np.mean(rows[name]["returns"]), *rows[name]["interval"]
        print(f"{name:28} {mean:8.1f}   regret {np.mean(regret):6.2f} [{low:.2f}, {high:.2f}]   "
              f"{rows[name]['seconds']:.1f} s", flush=True)  # fmt: skip

    say("optimum")
    grid = Optimum(65, 65, 9)

    def coarse(obs: Array) -> Array:
        return grid.interpolated(grid.values[STEPS // 2], jnp.arctan2(obs[1], obs[0]), obs[2])

    found, value = learned(options.episodes, options.seeds)
    for seed, row in enumerate(found):
        rows[f"sac, seed {seed}"] = row
        say(f"sac, seed {seed}")
    for name, fields in {
        "random shooting": {"method": "random_shooting", "samples": 192},
        "cem": {},
        "mppi": {"method": "mppi", "samples": 192, "iterations": 1, "act_on": "mean"},
        "cem, horizon 40": {"horizon": 40},
        "cem, coarse grid": {"terminal_value": coarse},
        "mppi, coarse grid": {
            "method": "mppi",
            "samples": 192,
            "iterations": 1,
            "act_on": "mean",
            "terminal_value": coarse,
        },
        "cem, critics": {"terminal_value": value, "gamma": 0.99},
        "mppi, critics": {
            "method": "mppi",
            "samples": 192,
            "iterations": 1,
            "terminal_value": value,
            "gamma": 0.99,
        },
    }.items():
        rows[name] = planned(options.episodes, pendulum, **fields)
        say(name)
    if options.out:
        options.out.write_text(
            json.dumps(
                {name: row | {"returns": row["returns"].round(2).tolist()} for name, row in rows.items()}, indent=1
            )
            + "\n"
        )


def _at_starts(optimum: Optimum, episodes: int) -> Array:
    keys = jax.random.split(jax.random.split(jax.random.key(STARTS))[0], episodes)
    states = jax.vmap(lambda key: optimum.env.reset(key)[0])(keys)
    return jax.vmap(lambda s: optimum.interpolated(optimum.values[STEPS], s.theta, s.theta_dot))(states)


if __name__ == "__main__":
    main()
