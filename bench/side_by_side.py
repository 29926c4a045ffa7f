"""Training speed beside rejax: the same PPO work, in one session, each library in processes of its own.

    python bench/side_by_side.py --out bench/results/side_by_side.json

Needs the `bench` extra. The processes take turns, so that a noisy machine is noisy for both; compile time is
measured apart, the figure is the median over all timed repeats, and the ratio is what counts. rejax 0.1.3 was
written for gymnax < 1, so its environment is wrapped to return five values. Both score their final policies
afterwards, greedily on 32 episodes, to show that both learned.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

WORK: dict[str, Any] = {
    "env": "CartPole-v1",
    "total_steps": 100_352,  # 196 updates of 512 steps
    "num_envs": 4,
    "rollout_length": 128,
    "num_epochs": 4,
    "num_minibatches": 4,
    "hidden": (64, 64),
    "activation": "tanh",
    "learning_rate": 3e-4,
    "gamma": 0.99,
    "gae_lambda": 0.95,
    "clip_epsilon": 0.2,
    "entropy_cost": 0.01,
    "value_cost": 0.5,
    "max_grad_norm": 0.5,
}


def measure(run: Any, first: Any, repeats: int) -> list[float]:
    """Seconds of each repeat of `run(i)`, after `first` has been computed."""
    import jax

    jax.block_until_ready(first)
    seconds = []
    for i in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(run(i))
        seconds.append(time.perf_counter() - start)
    return seconds


def ours(seeds: int, repeats: int) -> dict[str, Any]:
    """PPO of this library: one program, seeds spread over one CPU device a core."""
    import jax
    import jax.numpy as jnp

    from jaxrl_up import PPO, Evaluation, envs, use_all_cores
    from jaxrl_up.config import canonical
    from jaxrl_up.training import begin_lanes, lane_mesh, schedule, train_lanes

    use_all_cores(runs=seeds)
    work = {k: v for k, v in WORK.items() if k != "env"}
    config = canonical(PPO.Config(value_clip=WORK["clip_epsilon"], anneal_learning_rate=False, **work))
    env = envs.make(WORK["env"])
    keys = jax.vmap(jax.random.key)(jnp.arange(seeds, dtype=jnp.uint32))
    mesh, updates, evaluation = lane_mesh(seeds), schedule(PPO, config, 1), Evaluation(32)
    start = time.perf_counter()
    progress = begin_lanes(PPO, env, config, {}, keys, mesh)
    train = train_lanes.lower(PPO, env, config, {}, progress, updates, evaluation, mesh).compile()
    jax.block_until_ready(progress)
    compile_seconds = time.perf_counter() - start
    starts = [begin_lanes(PPO, env, config, {}, keys, mesh) for _ in range(repeats)]
    logs = []

    def run(i: int) -> Any:
        progress, log = train(env, config, {}, starts[i], updates)
        logs.append(log)
        return progress

    seconds = measure(run, starts, repeats)
    scores = jnp.asarray(logs[-1].returns)[:seeds, -1]
    return {"seconds": seconds, "compile_seconds": compile_seconds, "scores": scores.tolist()}


def rejax(seeds: int, repeats: int) -> dict[str, Any]:
    """PPO of rejax, vmapped over seeds as its README says."""
    import gymnax
    import jax
    import jax.numpy as jnp
    from rejax import PPO
    from rejax.evaluate import evaluate

    class FiveValues:
        """A gymnax 1.x environment with the five-value step of gymnax 0.x."""

        def __init__(self, env: Any) -> None:
            self._env = env

        def __getattr__(self, name: str) -> Any:
            if name.startswith("__"):  # what copying looks for before there is an _env
                raise AttributeError(name)
            return getattr(self._env, name)

        def step(self, key: Any, state: Any, action: Any, params: Any = None) -> Any:
            obs, state, reward, terminated, truncated, info = self._env.step(key, state, action, params)
            return obs, state, reward, terminated | truncated, info

    env, params = gymnax.make(WORK["env"])
    env = FiveValues(env)
    algo = PPO.create(
        env=env,
        env_params=params,
        agent_kwargs={"activation": WORK["activation"], "hidden_layer_sizes": WORK["hidden"]},
        total_timesteps=WORK["total_steps"],
        eval_freq=WORK["total_steps"],
        skip_initial_evaluation=True,
        num_envs=WORK["num_envs"],
        num_steps=WORK["rollout_length"],
        num_epochs=WORK["num_epochs"],
        num_minibatches=WORK["num_minibatches"],
        learning_rate=WORK["learning_rate"],
        gamma=WORK["gamma"],
        gae_lambda=WORK["gae_lambda"],
        clip_eps=WORK["clip_epsilon"],
        ent_coef=WORK["entropy_cost"],
        vf_coef=WORK["value_cost"],
        max_grad_norm=WORK["max_grad_norm"],
    )
    algo = algo.replace(eval_callback=lambda algo, state, key: jnp.float32(0.0))
    keys = jax.vmap(jax.random.PRNGKey)(jnp.arange(seeds))
    train = jax.jit(jax.vmap(type(algo).train, in_axes=(None, 0)))
    start = time.perf_counter()
    first = train(algo, keys)
    jax.block_until_ready(first)
    compile_seconds = time.perf_counter() - start  # and one run
    seconds = measure(lambda i: train(algo, keys), first, repeats)
    state = first[0]

    def score(state: Any, key: Any) -> Any:
        def act(obs: Any, key: Any) -> Any:
            logits = algo.actor.apply(state.actor_ts.params, obs[None], method="_action_dist").logits
            return jnp.argmax(logits[0])

        return evaluate(act, key, env, params, 32, 500)[1].mean()

    scores = [float(score(jax.tree.map(lambda x, i=i: x[i], state), keys[i])) for i in range(seeds)]
    return {"seconds": seconds, "compile_seconds": compile_seconds - min(seconds), "scores": scores}


def main() -> None:
    """Take turns, print a table, keep the raw figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seeds", default="1,16")
    parser.add_argument("--library", choices=("ours", "rejax"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.library:
        print(json.dumps(globals()[options.library](int(options.seeds), options.repeats)))
        return

    report: dict[str, Any] = {"work": WORK, "cores": os.cpu_count(), "machine": platform.platform(), "runs": []}
    for seeds in map(int, options.seeds.split(",")):
        for turn in range(options.rounds):
            for library in ("rejax", "ours"):
                command = [sys.executable, __file__, "--library", library, "--seeds", str(seeds)]
                command += ["--repeats", str(options.repeats)]
                output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                result = json.loads(output.splitlines()[-1])
                report["runs"].append({"library": library, "seeds": seeds, "turn": turn, **result})
                rate = seeds * WORK["total_steps"] / statistics.median(result["seconds"])
                print(f"{library:6} {seeds:3} seeds  {rate:9,.0f} steps/s", file=sys.stderr)
        rates = {}
        for library in ("rejax", "ours"):
            runs = [r for r in report["runs"] if r["library"] == library and r["seeds"] == seeds]
            rates[library] = seeds * WORK["total_steps"] / statistics.median(s for r in runs for s in r["seconds"])
            scores = sorted(runs[-1]["scores"])
            print(
                f"{library:6} {seeds:3} seeds  {rates[library]:9,.0f} steps/s  compile "
                f"{statistics.median(r['compile_seconds'] for r in runs):.1f} s  scores {scores[0]:.0f} to "
                f"{scores[-1]:.0f}, mean {statistics.mean(scores):.0f}"
            )
        report[f"ratio_{seeds}_seeds"] = rates["ours"] / rates["rejax"]
        print(f"ratio  {seeds:3} seeds  {rates['ours'] / rates['rejax']:.2f}")
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
