"""How few steps PETS needs, what its learned model costs, and that it is the model that plans: a control without one.

    python bench/pets.py --out bench/results/pets.json [--only cartpole] [--episodes 100]

Seeds are trained together as one program, by the recipes. On CartPole, whose episodes are cut at 200 steps, a trial is
an episode, and the first is what the 200 random steps at the beginning make up together; final policies play 32
episodes. On Pendulum they play from the same starts as the planners of `bench/planning.py`, and regrets to its optimum
are paired. "known" is with the true reward and the true ending, as functions, and all else is learned.

The control has what the first two seeds saw with all learned, and does the same number of gradient steps on it with new
networks, once with the actions that were taken and once with the same actions in another order, which so mean nothing.
Its seconds are those of both. `--only "pendulum, actions"` plays it alone, beside the optimum.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from planning import STARTS, STEPS, Optimum, planned, returns

from jaxrl_up import PETS, Evaluation, envs, load_recipe, ops, train, use_all_cores
from jaxrl_up.algorithms import pets
from jaxrl_up.config import canonical
from jaxrl_up.learning import memory_of, off_policy, play, replay, training_env
from jaxrl_up.types import Array, Key, PyTree

TRIAL = 200  # steps that a trial of CartPole may have
CONTROLS = 2  # seeds of the control
CACHED = 20  # episodes that plan at once, whose numbers fit in the cache of a core
UNSEEN = Evaluation(num_episodes=1, max_steps=1)  # of training, which is not what is measured here


def torque_cost(obs: Array, action: Array, next_obs: Array) -> Array:
    """Pendulum's reward: of the angle and the speed before the step, and of the torque."""
    angle = jnp.arctan2(obs[1], obs[0])
    return -(angle**2 + 0.1 * obs[2] ** 2 + 0.001 * action[0] ** 2)


def never(obs: Array, action: Array, next_obs: Array) -> Array:
    """Pendulum's ending."""
    return jnp.bool_(False)


def upright(obs: Array, action: Array, next_obs: Array) -> Array:
    """CartPole's reward."""
    return jnp.float32(1.0)


def fallen(obs: Array, action: Array, next_obs: Array) -> Array:
    """CartPole's ending: the cart left the track, or the pole leans by 12 degrees."""
    return (jnp.abs(next_obs[0]) > 2.4) | (jnp.abs(next_obs[2]) > np.radians(12.0))


KNOWN = {
    "cartpole": {"reward": upright, "termination": fallen},
    "pendulum": {"reward": torque_cost, "termination": never},
}


def timed(function: Callable[..., PyTree], *given: PyTree) -> tuple[PyTree, dict[str, float]]:
    """What a function gives, jitted, and the seconds: by the clock, and of all cores together (user and system)."""
    began, used = time.perf_counter(), _used()
    program = jax.jit(function).lower(*given).compile()
    compiled = time.perf_counter()
    found = jax.block_until_ready(program(*given))
    ended = time.perf_counter()
    return found, {
        "compile_seconds": round(compiled - began, 1),
        "seconds": round(ended - compiled, 1),
        "cpu_seconds": round(_used() - used, 1),
    }


def _used() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def refitted(config: Any, env: envs.Env, kept: replay.Replay, order: Array, key: Key) -> PyTree:
    """A policy of new networks, after the gradient steps that the run made, on what it saw by the end, with the actions
    in some `order [T]`."""
    world, steps = training_env(env), jnp.int32(config.total_steps)
    init_key, draw_key = jax.random.split(key)
    outcome = kept.outcome.at[: len(order), :, 2:].set(kept.outcome[order, :, 2:])

    def step(i: Array, learner: PyTree) -> PyTree:
        bits = jax.random.bits(jax.random.fold_in(draw_key, i), (config.batch_size,), jnp.uint32)
        batch = replay.sample(world, kept._replace(outcome=outcome), steps, bits, config.gamma)
        return pets.BROUGHT.learn(config, env, learner, batch, (), i)[0]

    made = off_policy.gradient_steps_done(config, steps)
    return jax.lax.fori_loop(0, made, step, PETS.init(config, env, init_key).learner).acting


def trials(config: Any, state: PyTree) -> list[list[int]]:
    """Lengths of the episodes of each seed that ended after the random steps, of one environment."""
    ended = np.asarray(state.replay.outcome)[:, : config.total_steps, 0, 1] != -1
    found = []
    for row in ended:
        ends = np.flatnonzero(row) + 1
        lengths = np.diff(ends, prepend=0)
        found.append(lengths[ends > config.random_steps].tolist())
    return found


def measured(config: Any, env: envs.Env, policies: PyTree, episodes: int) -> tuple[np.ndarray, dict[str, float]]:
    """Returns `[S, episodes]` of policies `[S, ...]`, all from the same starts, and the seconds."""
    memory = memory_of(PETS, env, config, True)

    def one(policy: PyTree) -> Array:
        def act(obs: Array, memory: PyTree, key: Key) -> tuple[PyTree, PyTree]:
            plan = partial(PETS.act, config, env, policy)
            return jax.lax.map(lambda x: plan(*x), (obs, memory), batch_size=CACHED)

        return play(env, act, jax.random.key(STARTS), episodes, None, memory).returns

    found, seconds = timed(partial(jax.lax.map, one), policies)
    return np.asarray(found, float), seconds


Row = tuple[str, np.ndarray, dict[str, Any]]  # its name, returns [S, episodes], and what else there is to say


def control(task: str, config: Any, env: envs.Env, kept: replay.Replay, keys: Key, episodes: int) -> Iterator[Row]:
    """Learned from what the first seeds saw, with the actions as they were and in another order."""
    taken = jnp.arange(config.total_steps)
    orders = jnp.stack([taken, jax.random.permutation(jax.random.key(0), taken)])
    fit = jax.vmap(partial(refitted, config, env), in_axes=(0, None, 0))  # over seeds
    kept, keys = jax.tree.map(lambda x: x[:CONTROLS], (kept, keys))
    policies, seconds = timed(jax.vmap(fit, in_axes=(None, 0, None)), kept, orders, keys)
    policies = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), policies)
    found, played = measured(config, env, policies, episodes)
    for name, earned in zip(("actions as taken", "actions shuffled"), found.reshape(2, CONTROLS, -1), strict=True):
        yield f"{task}, {name}", earned, {"training": seconds, "playing": played}


def rows_of(task: str, only: str, episodes: int, first_seed: int) -> Iterator[Row]:
    """With what is known, with all learned, and the control."""
    recipe = load_recipe(f"pets/{task}")
    env, keys = recipe.env, jax.vmap(jax.random.key)(first_seed + jnp.arange(recipe.seeds))
    controlled = is_asked(f"{task}, actions", only)
    for name, fields in (("known", KNOWN[task]), ("learned", {})):
        asked = is_asked(f"{task}, {name}", only)
        if not asked and not (controlled and name == "learned"):
            continue
        config = canonical(recipe.config.replace(**fields))
        run = partial(train, PETS, env, config, num_evals=1, evaluation=UNSEEN)
        (state, _), seconds = timed(jax.vmap(lambda key, run=run: run(key=key)), keys)
        if asked:
            found, played = measured(config, env, state.policy, episodes)
            more = {"trials": trials(config, state)} if task == "cartpole" else {}
            yield f"{task}, {name}", found, {"training": seconds, "playing": played} | more
        if controlled and name == "learned":
            yield from control(task, config, env, state.replay, keys, episodes)


def is_asked(name: str, only: str) -> bool:
    """Whether a name begins as `--only` says, or what that says begins with the name."""
    return name.startswith(only) or only.startswith(name)


def pendulum_rows(only: str, episodes: int, first_seed: int) -> Iterator[Row]:
    """The optimum, of which regrets are, and the planner in the true model too, each with one row of returns."""
    env, optimum = envs.make("Pendulum-v1"), Optimum()
    yield "pendulum, optimum", returns(env, optimum.act, lambda key: jnp.int32(STEPS), episodes)["returns"][None], {}
    if is_asked("pendulum, true model", only):
        yield "pendulum, true model", planned(episodes, env)["returns"][None], {}
    yield from rows_of("pendulum", only, episodes, first_seed)


def main() -> None:
    """Print a row for each, and write all returns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=100, help="of Pendulum")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--only", default="", help="rows whose name begins so, as cartpole or 'pendulum, actions'")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    use_all_cores()
    written = json.loads(options.out.read_text(encoding="utf-8")) if options.out and options.out.exists() else {}

    def keep(name: str, found: np.ndarray, **row: Any) -> None:
        written[name] = {"score": ops.score(found.mean(axis=1))[:3], **row, "returns": found.round(2).tolist()}
        if options.out:
            options.out.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")

    if options.only.startswith("cartpole"[: len(options.only)]):
        for name, found, more in rows_of("cartpole", options.only, 32, options.first_seed):
            whole, score = int(np.sum(found == TRIAL)), ops.score(found.mean(axis=1))
            print(f"{name:28} {score}   {whole} of {found.size} episodes of {TRIAL} steps   {more}", flush=True)
            keep(name, found, whole=whole, **more)
    best = None
    if options.only.startswith("pendulum"[: len(options.only)]):
        for name, found, more in pendulum_rows(options.only, options.episodes, options.first_seed):
            best = found if best is None else best
            score, regret = ops.score(found.mean(axis=1)), ops.score((best - found).mean(axis=1))
            print(f"{name:28} {score}   regret {regret}   {more}", flush=True)
            keep(name, found, regret=regret[:3], **more)


if __name__ == "__main__":
    main()
