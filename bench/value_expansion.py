"""The error of targets over the horizon of value expansion, in the true model and in a learned one.

    PYTHONPATH=. python bench/value_expansion.py --out bench/results/value_expansion.json [--seeds 10]

MBVE on DDPG trains on Pendulum. At some of its steps: targets of 256 transitions of its replay for every H, against the
true return of its target policy from there, which the simulator's own dynamics give (600 steps, of which the discount
leaves 0.2%). Root mean squares by seed; IQM over seeds with 95% interval.
"""

from __future__ import annotations

import argparse
import json
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_up import MBVE, Evaluation, envs, make_config, ops, train, use_all_cores
from jaxrl_up.algorithms import mbve
from jaxrl_up.config import canonical
from jaxrl_up.learning import replay, training_env
from jaxrl_up.types import Array, PyTree

HORIZONS = (0, 1, 2, 3, 5, 7, 10, 15, 20)
STEPS = (400, 800, 1_600, 3_200)
ROWS = 256


def transition(obs: Array, action: Array) -> Array:
    """Pendulum's next observation, by its own dynamics (gymnax's constants)."""
    angle, torque = jnp.arctan2(obs[1], obs[0]), jnp.clip(action[0], -2.0, 2.0)
    speed = jnp.clip(obs[2] + (15.0 * jnp.sin(angle) + 3.0 * torque) * 0.05, -8.0, 8.0)
    angle = angle + speed * 0.05
    return jnp.stack([jnp.cos(angle), jnp.sin(angle), speed])


def reward(obs: Array, action: Array, next_obs: Array) -> Array:
    """Pendulum's: of the angle and the speed before the step, and of the torque."""
    angle = jnp.arctan2(obs[1], obs[0])
    return -(angle**2 + 0.1 * obs[2] ** 2 + 0.001 * jnp.clip(action[0], -2.0, 2.0) ** 2)


def never(obs: Array, action: Array, next_obs: Array) -> Array:
    """Pendulum has no end but its time limit."""
    return jnp.bool_(False)


TRUE = {"transition": transition, "reward": reward, "termination": never}


def errors(config: Any, env: Any, state: Any) -> dict[str, Array]:
    """Of one seed: root mean square errors `[H]` by model, and those of its critic without any target."""
    world = training_env(env)
    learner, time = state.learner, state.counters.env_steps // config.num_envs
    bits = jax.random.bits(jax.random.key(1), (ROWS,), jnp.uint32)
    batch = replay.sample(world, state.replay, time, bits, config.gamma)
    mu = partial(mbve.ddpg.policy, config, env, learner.target_params["actor"])

    def ahead(carry: Any, _: Any) -> Any:
        obs, weight, total = carry
        did = envs.from_unit(mu(obs), env.action_space)
        reached = jax.vmap(transition)(obs, did)
        total = total + weight * jax.vmap(reward)(obs, did, reached)
        return (reached, weight * config.gamma, total), None

    start = (batch.next_obs, jnp.float32(config.gamma), batch.reward)
    known = jax.lax.scan(ahead, start, length=600)[0][2]

    def error(fields: PyTree, horizon: int) -> Array:
        setting = config.replace(horizon=horizon, **fields)
        noise = mbve.learning_noise(setting, env, jax.random.key(2), (ROWS,))
        target = mbve.expand(setting, env, learner.params, learner.target_params, batch, noise)[1][0]
        return jnp.sqrt(jnp.mean(jnp.square(target - known)))

    return {
        "true": jnp.stack([error(TRUE, h) for h in HORIZONS]),
        "learned": jnp.stack([error({}, h) for h in HORIZONS]),
    }


def main() -> None:
    """Print a table for each time."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--seeds", type=int, default=10)
    options = parser.parse_args()
    use_all_cores()
    env = envs.make("Pendulum-v1")
    rows: dict[str, Any] = {"horizons": HORIZONS, "seeds": options.seeds}
    for steps in STEPS:
        config = make_config(
            MBVE, total_steps=steps, gradient_steps=5, learning_starts=200, random_steps=200, horizon=3
        )

        @jax.jit
        def seeds(keys: Array, config: Any = config) -> Any:
            def one(key: Array) -> Any:
                state, _ = train(MBVE, env, config, key, 1, Evaluation(num_episodes=1, max_steps=1))
                return errors(canonical(config), env, state)

            return jax.vmap(one)(keys)

        found = jax.block_until_ready(seeds(jax.random.split(jax.random.key(0), options.seeds)))
        rows[str(steps)] = {}
        for name, of in found.items():
            scores = [list(ops.score(np.asarray(of)[:, i])[:3]) for i in range(len(HORIZONS))]
            rows[str(steps)][name] = scores
            text = "  ".join(f"{h}: {x[0]:.2f} [{x[1]:.2f}, {x[2]:.2f}]" for h, x in zip(HORIZONS, scores, strict=True))
            print(f"{steps} steps, {name}: {text}", flush=True)
    if options.out:
        options.out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
