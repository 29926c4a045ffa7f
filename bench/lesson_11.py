"""The numbers of notebooks/11_planning_and_models: what plans are believed to earn in learned models, and what comes.

    python bench/lesson_11.py beliefs|returns [--out notebooks/data/11_beliefs.csv]

`beliefs`: models of Pendulum from 60 and 250 uniformly random steps, ten such data sets, one deterministic network or
five of either kind. CEM makes plans of 20 steps from 32 starts, by 8, 64 or 512 candidates a round: of the best plan
found, what it earns in the model (TS-infinity, a particle a member), and in the world. `returns`: PETS, and the same
with one deterministic network, six seeds: scores after 200, 400 and 600 steps.
"""

from __future__ import annotations

import argparse
import csv
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxrl_up import Array, Key, envs, run, use_all_cores
from jaxrl_up.learning import models, planning

DATA = Path(__file__).resolve().parent.parent / "notebooks" / "data"
SETS, STARTS, STEPS = 10, 32, 1000
KINDS = {"one network": (1, False), "five networks": (5, False), "five Gaussian networks": (5, True)}


def at_random(env: envs.Env, key: Key, number: int) -> models.Targets:
    """So many uniformly random steps from one start."""
    reset_key, act_key, step_key = jax.random.split(key, 3)
    actions = jax.random.uniform(act_key, (number, 1), minval=-1.0)

    def step(carry: Any, row: Any) -> Any:
        state, step = env.step(row[0], carry[0], 2.0 * row[1])
        return (state, step.obs), (carry[1], row[1], step.reward, step.terminated, step.next_obs)

    rows = jax.lax.scan(step, env.reset(reset_key), (jax.random.split(step_key, number), actions))[1]
    return models.Targets(*rows, jnp.ones(number))


def fit(dynamics: models.Dynamics, rows: models.Targets, key: Key) -> Any:
    """Parameters after `STEPS` steps of Adam on batches of 64."""
    init_key, key = jax.random.split(key)
    params = dynamics.observe(dynamics.init(init_key), rows)
    counts, optimizer = dynamics.bootstrap(jnp.arange(len(rows.reward))), optax.adam(1e-3)

    def step(carry: Any, key: Key) -> Any:
        params, state = carry
        which = jax.random.randint(key, (64,), 0, len(rows.reward))
        batch = jax.tree.map(lambda x: x[which], rows)
        gradient = jax.grad(lambda params: dynamics.loss(params, batch, counts[:, which])[0])(params)
        updates, state = optimizer.update(gradient, state, params)
        return (optax.apply_updates(params, updates), state), None

    return jax.lax.scan(step, (params, optimizer.init(params)), jax.random.split(key, STEPS))[0][0]


def planned(dynamics: models.Dynamics, env: envs.Env, config: Any, params: Any, key: Key) -> tuple[Array, Array]:
    """Means over the starts: what the best plan found is believed to earn, and what it earns."""
    exact = envs.model_of(env)

    def step(member: Any, key: Key, obs: Array, action: Array) -> Any:
        next_obs, reward, terminated = dynamics.step(member, key, obs, action)
        return next_obs, next_obs, reward, terminated

    learned = envs.Model(lambda member, key: env.reset(key)[1], step)

    def of_start(start_key: Key, key: Key) -> tuple[Array, Array]:
        state, obs = exact.reset(env.params, start_key), env.reset(start_key)[1]

        def earned(plans: Array, key: Key) -> Array:
            def of_member(member: Any) -> Array:
                return jax.vmap(lambda plan: planning.imagined_return(learned, member, obs, plan, key))(plans)

            return jnp.mean(dynamics.each(of_member, params), axis=0)

        found = planning.search(config, planning.initial_proposal(config, env), key, earned)
        return found.value, planning.imagined_return(exact, env.params, state, 2.0 * found.plan, key)

    keys = jax.random.split(key, (2, STARTS))
    believed, came = jax.vmap(of_start)(*keys)
    return jnp.mean(believed), jnp.mean(came)


def beliefs(env: envs.Env) -> list[tuple[Any, ...]]:
    """Rows of model, steps seen, candidates, data set, believed, came."""
    found: list[tuple[Any, ...]] = [("model", "seen", "candidates", "data", "believed", "came")]
    for seen in (60, 250):
        keys = jax.random.split(jax.random.key(0), (2, SETS))
        rows = jax.vmap(lambda key, seen=seen: at_random(env, key, seen))(keys[0])
        for name, (members, probabilistic) in KINDS.items():
            dynamics = models.dynamics_of(env, members=members, probabilistic=probabilistic, hidden=(64, 64))
            params = jax.jit(jax.vmap(partial(fit, dynamics)))(rows, keys[1])
            for samples, elites in ((8, 2), (64, 6), (512, 48)):
                config = planning.SearchFields(samples=samples, elites=elites, horizon=20)
                judge = partial(planned, dynamics, env, config)
                believed, came = jax.jit(jax.vmap(judge, (0, None)))(params, jax.random.key(1))
                for i in range(SETS):
                    found.append((name, seen, samples, i, round(float(believed[i]), 2), round(float(came[i]), 2)))
                print(name, seen, samples, f"believed {believed.mean():.1f}, came {came.mean():.1f}", flush=True)
    return found


def returns(env: envs.Env) -> list[tuple[Any, ...]]:
    """Rows of model, seed, steps, return."""
    found: list[tuple[Any, ...]] = [("model", "seed", "steps", "score")]
    for name, fields in (
        ("one network", {"members": 1, "particles": 1, "probabilistic": False}),
        ("five Gaussian networks", {}),
    ):
        result = run("pets", env, {"total_steps": 600, **fields}, seeds=6, num_evals=3, num_episodes=4, progress=False)
        for seed, scores in enumerate(result.returns):
            pairs = zip(result.env_steps, scores, strict=True)
            found += [(name, seed, int(steps), round(float(score), 2)) for steps, score in pairs]
        print(name, result.returns.round(0), flush=True)
    return found


def main() -> None:
    """Write a file of rows."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("what", choices=("beliefs", "returns"))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    use_all_cores()
    rows = {"beliefs": beliefs, "returns": returns}[options.what](envs.make("Pendulum-v1"))
    with (options.out or DATA / f"11_{options.what}.csv").open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


if __name__ == "__main__":
    main()
