"""Training speed beside rejax: the same work, in one session, each library in processes of its own.

    python bench/side_by_side.py                         PPO, DQN, SAC and TD3, with 1 and with 16 seeds
    python bench/side_by_side.py ppo --out bench/results

Needs the `bench` extra. The processes take turns, so that a noisy machine is noisy for both; compile time is
measured apart, the figure is the median over all timed repeats, and the ratio is what counts. rejax 0.1.3 was
written for gymnax < 1, so its environment is wrapped to return five values. Both score their final policies
afterwards on 32 episodes (greedily, but for rejax's DQN and SAC, which act as they do in training), to show that
both learned. The off-policy work is one environment, one gradient step per environment step.
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

NETWORK = {"hidden": (64, 64)}
OFF_POLICY = {"num_envs": 1, "learning_starts": 1_000, "learning_rate": 1e-3, "gamma": 0.99, **NETWORK}
REJAX_OFF_POLICY = {"num_envs": 1, "fill_buffer": 1_000, "learning_rate": 1e-3, "gamma": 0.99, "max_grad_norm": 1e9}
CONTINUOUS = {"batch_size": 256, "buffer_size": 100_000}

# The same work in the words of either library.
WORKS: dict[str, dict[str, Any]] = {
    "ppo": {
        "env": "CartPole-v1",
        "total_steps": 100_352,  # 196 updates of 512 steps
        "ours": {
            "num_envs": 4,
            "rollout_length": 128,
            "num_epochs": 4,
            "num_minibatches": 4,
            "activation": "tanh",
            "learning_rate": 3e-4,
            "anneal_learning_rate": False,
            "gamma": 0.99,
            "gae_lambda": 0.95,
            "clip_epsilon": 0.2,
            "value_clip": 0.2,
            "entropy_cost": 0.01,
            "value_cost": 0.5,
            "max_grad_norm": 0.5,
            **NETWORK,
        },
        "rejax": {
            "agent_kwargs": {"activation": "tanh", "hidden_layer_sizes": (64, 64)},
            "num_envs": 4,
            "num_steps": 128,
            "num_epochs": 4,
            "num_minibatches": 4,
            "learning_rate": 3e-4,
            "gamma": 0.99,
            "gae_lambda": 0.95,
            "clip_eps": 0.2,
            "ent_coef": 0.01,
            "vf_coef": 0.5,
            "max_grad_norm": 0.5,
        },
    },
    "dqn": {
        "env": "CartPole-v1",
        "total_steps": 20_000,
        "ours": {**OFF_POLICY, "rollout_length": 200, "batch_size": 128, "buffer_size": 10_000, "target_every": 200},
        "rejax": {
            **REJAX_OFF_POLICY,
            "agent_kwargs": {"activation": "relu"},
            "batch_size": 128,
            "buffer_size": 10_000,
            "target_update_freq": 200,
            "polyak": 0.0,
            "ddqn": False,
        },
    },
    "sac": {
        "env": "Pendulum-v1",
        "total_steps": 10_000,
        "ours": {**OFF_POLICY, **CONTINUOUS, "tau": 0.005},
        "rejax": {**REJAX_OFF_POLICY, **CONTINUOUS, "agent_kwargs": {"activation": "relu"}, "polyak": 0.995},
    },
    "td3": {
        "env": "Pendulum-v1",
        "total_steps": 10_000,
        "ours": {**OFF_POLICY, **CONTINUOUS, "tau": 0.005},
        "rejax": {
            **REJAX_OFF_POLICY,
            **CONTINUOUS,
            "actor_kwargs": {"activation": "relu"},
            "critic_kwargs": {"activation": "relu"},
            "polyak": 0.995,
        },
    },
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


def ours(algo: str, seeds: int, repeats: int) -> dict[str, Any]:
    """This library: one program, seeds spread over one CPU device a core."""
    import jax
    import jax.numpy as jnp

    from jaxrl_up import ALGORITHMS, Evaluation, envs, evaluate, use_all_cores
    from jaxrl_up.config import canonical
    from jaxrl_up.training import begin_lanes, lane_mesh, schedule, train_lanes

    use_all_cores(runs=seeds)
    work, algorithm = WORKS[algo], ALGORITHMS[algo]
    config = canonical(algorithm.Config(total_steps=work["total_steps"], **work["ours"]))
    env = envs.make(work["env"])
    keys = jax.vmap(jax.random.key)(jnp.arange(seeds, dtype=jnp.uint32))
    mesh, updates = lane_mesh(seeds), schedule(algorithm, config, 1)
    evaluation = Evaluation(1, max_steps=1)  # none to speak of
    start = time.perf_counter()
    progress = begin_lanes(algorithm, env, config, {}, keys, mesh)
    train = train_lanes.lower(algorithm, env, config, {}, progress, updates, evaluation, mesh).compile()
    jax.block_until_ready(progress)
    compile_seconds = time.perf_counter() - start
    starts = [begin_lanes(algorithm, env, config, {}, keys, mesh) for _ in range(repeats)]
    ends = []

    def run(i: int) -> Any:
        ends.append(train(env, config, {}, starts[i], updates)[0])
        return ends[-1]

    seconds = measure(run, starts, repeats)
    policies = jax.tree.map(lambda x: x[:seeds], jax.device_get(ends[-1].state.policy))
    score = jax.jit(jax.vmap(lambda policy, key: evaluate(algorithm, env, config, policy, key, 32).mean()))
    scores = score(policies, keys)
    return {"seconds": seconds, "compile_seconds": compile_seconds, "scores": scores.tolist()}


def rejax(algo: str, seeds: int, repeats: int) -> dict[str, Any]:
    """rejax, vmapped over seeds as its README says."""
    import gymnax
    import jax
    import jax.numpy as jnp
    from rejax import get_algo
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

    work = WORKS[algo]
    env, params = gymnax.make(work["env"])
    env = FiveValues(env)
    learner = get_algo(algo).create(
        env=env,
        env_params=params,
        total_timesteps=work["total_steps"],
        eval_freq=work["total_steps"],
        skip_initial_evaluation=True,
        **work["rejax"],
    )
    learner = learner.replace(eval_callback=lambda learner, state, key: jnp.float32(0.0))
    keys = jax.vmap(jax.random.PRNGKey)(jnp.arange(seeds))
    train = jax.jit(jax.vmap(type(learner).train, in_axes=(None, 0)))
    start = time.perf_counter()
    first = train(learner, keys)
    jax.block_until_ready(first)
    compile_seconds = time.perf_counter() - start  # and one run
    seconds = measure(lambda i: train(learner, keys), first, repeats)
    state = first[0]

    def score(state: Any, key: Any) -> Any:
        def greedy(obs: Any, key: Any) -> Any:
            return jnp.argmax(learner.actor.apply(state.actor_ts.params, obs[None], method="_action_dist").logits[0])

        act = greedy if algo == "ppo" else learner.make_act(state)
        return evaluate(act, key, env, params, 32, 500)[1].mean()

    scores = [float(score(jax.tree.map(lambda x, i=i: x[i], state), keys[i])) for i in range(seeds)]
    return {"seconds": seconds, "compile_seconds": compile_seconds - min(seconds), "scores": scores}


def main() -> None:
    """Measure each algorithm asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("algos", nargs="*", default=tuple(WORKS), help=f"of {', '.join(WORKS)}; default: all")
    parser.add_argument("--out", type=Path, help="a directory for the raw figures, one file for each algorithm")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seeds", default="1,16")
    parser.add_argument("--library", choices=("ours", "rejax"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.library:
        print(json.dumps(globals()[options.library](options.algos[0], int(options.seeds), options.repeats)))
        return
    for algo in options.algos:
        report = side_by_side(algo, [int(seeds) for seeds in options.seeds.split(",")], options.rounds, options.repeats)
        if options.out:
            options.out.mkdir(parents=True, exist_ok=True)
            (options.out / f"side-by-side-{algo}.json").write_text(json.dumps(report, indent=1) + "\n")


def side_by_side(algo: str, numbers_of_seeds: list[int], rounds: int, repeats: int) -> dict[str, Any]:
    """Let the libraries take turns, print a table, and return the raw figures."""
    work = WORKS[algo]
    report: dict[str, Any] = {"work": work, "cores": os.cpu_count(), "machine": platform.platform(), "runs": []}
    for seeds in numbers_of_seeds:
        for turn in range(rounds):
            for library in ("rejax", "ours"):
                command = [sys.executable, __file__, algo, "--library", library, "--seeds", str(seeds)]
                command += ["--repeats", str(repeats)]
                output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                result = json.loads(output.splitlines()[-1])
                report["runs"].append({"library": library, "seeds": seeds, "turn": turn, **result})
                rate = seeds * work["total_steps"] / statistics.median(result["seconds"])
                print(f"{algo} {library:6} {seeds:3} seeds  {rate:9,.0f} steps/s", file=sys.stderr)
        rates = {}
        for library in ("rejax", "ours"):
            runs = [r for r in report["runs"] if r["library"] == library and r["seeds"] == seeds]
            rates[library] = seeds * work["total_steps"] / statistics.median(s for r in runs for s in r["seconds"])
            scores = sorted(runs[-1]["scores"])
            print(
                f"{algo} {library:6} {seeds:3} seeds  {rates[library]:9,.0f} steps/s  compile "
                f"{statistics.median(r['compile_seconds'] for r in runs):.1f} s  scores {scores[0]:.0f} to "
                f"{scores[-1]:.0f}, mean {statistics.mean(scores):.0f}"
            )
        report[f"ratio_{seeds}_seeds"] = rates["ours"] / rates["rejax"]
        print(f"{algo} ratio  {seeds:3} seeds  {rates['ours'] / rates['rejax']:.2f}", flush=True)
    return report


if __name__ == "__main__":
    main()
