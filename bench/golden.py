"""Do two checkouts compute the same, to the last bit? For moving house without changing a number.

    python bench/golden.py PATH_A PATH_B                     every case, on one device and on two
    python bench/golden.py PATH_A . ppo sac --devices 1      some algorithms only
    git worktree add ../before HEAD~10 && python bench/golden.py ../before .

Each case trains three seeds for some updates, once in the host-driven gear (`run`) and once in the compiled one
(`sweep` over two step sizes), and keeps every leaf of the state and of the log. Both checkouts run in processes of
their own under this interpreter, one after the other; a program that compiles from the same text is compiled once.
Prints the first leaf that differs in each case and by how much; leaves that only go by another name are listed, and
are no difference. Exit code 1 if anything differs. Hashes are not kept: processors round differently.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

SMALL = {"hidden": (8, 8)}
ON = {"num_envs": 4, "rollout_length": 16, "total_steps": 256, **SMALL}
OFF = {"num_envs": 2, "rollout_length": 8, "total_steps": 128, "buffer_size": 64, "learning_starts": 16} | SMALL
OFF |= {"batch_size": 8}
NORMALIZED = {"normalize_observations": True, "normalize_returns": True}
CLASSIC, SWINGING, PIXELS = "CartPole-v1", "Pendulum-v1", "Breakout-MinAtar"
REPLAY = {"n_step": 3, "prioritized": True, "max_grad_norm": 0.5}
CASES: dict[str, tuple[str, str, dict[str, Any]]] = {}
for algo in ("vpg", "a2c", "ppo", "trpo"):
    for env, more in ((CLASSIC, {}), (SWINGING, {}), (SWINGING, NORMALIZED)):
        CASES[f"{algo} {env}{' normalized' if more else ''}"] = (algo, env, {**ON, **more})
CASES |= {
    "ppo Breakout-MinAtar": ("ppo", PIXELS, ON),
    "ppo shared, clipped values, early stop": (
        "ppo",
        CLASSIC,
        {**ON, "shared": True, "value_clip": 0.2, "target_kl": 0.001},
    ),
    "a2c shared": ("a2c", SWINGING, {**ON, "shared": True}),
    "vpg values of returns": ("vpg", SWINGING, {**ON, "value_target": "reward_to_go"}),
}
for algo in ("dqn", "c51", "qr_dqn"):
    CASES[f"{algo} {CLASSIC}"] = (algo, CLASSIC, OFF)
    CASES[f"{algo} replay"] = (algo, CLASSIC, {**OFF, **REPLAY, "double": True, "dueling": True})
CASES |= {
    "dqn Breakout-MinAtar": ("dqn", PIXELS, OFF),
    "dqn fitted_q": ("dqn", CLASSIC, {**OFF, "preset": "fitted_q"}),
    "dqn huber": ("dqn", CLASSIC, {**OFF, "loss": "huber", "train_every": 4, "gradient_steps": 2}),
    f"sac_discrete {CLASSIC}": ("sac_discrete", CLASSIC, OFF),
    "sac_discrete n-step": ("sac_discrete", CLASSIC, {**OFF, "n_step": 3}),
}
for algo in ("ddpg", "td3", "sac"):
    CASES[f"{algo} {SWINGING}"] = (algo, SWINGING, {**OFF, "random_steps": 24})
    CASES[f"{algo} n-step"] = (algo, SWINGING, {**OFF, "random_steps": 24, "n_step": 3})
    CASES[f"{algo} pink"] = (algo, SWINGING, {**OFF, "random_steps": 24, "exploration_noise": "pink"})
CASES["sac fixed alpha"] = ("sac", SWINGING, {**OFF, "learn_alpha": False})


def leaves(tree: Any) -> dict[str, np.ndarray]:
    """Every leaf by its path; of random keys their words."""
    import jax

    def plain(x: Any) -> np.ndarray:
        return np.asarray(jax.random.key_data(x) if jax.numpy.issubdtype(x.dtype, jax.dtypes.prng_key) else x)

    return {jax.tree_util.keystr(path): plain(x) for path, x in jax.tree.leaves_with_path(tree)}


def work(folder: Path, names: list[str]) -> None:
    """One checkout, the first on the path: a file of leaves for each case. Public names only, as both have them."""
    import jax

    import jaxrl_up
    from jaxrl_up import envs

    jax.config.update("jax_compilation_cache_dir", str(folder.parent / "cache"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    for name in names:
        algo, env_name, fields = CASES[name]
        known = {**fields}
        config = jaxrl_up.make_config(algo, known.pop("preset", None), **known)
        env = envs.make(env_name)
        result = jaxrl_up.run(algo, env, config, 3, num_evals=2, num_episodes=2, max_eval_steps=50, progress=False)
        how = jaxrl_up.Evaluation(2, False, 50)
        swept = jaxrl_up.sweep(algo, env, config, {"learning_rate": [1e-3, 1e-2]}, jax.numpy.arange(3), 2, how)
        found = leaves({"run": {"state": result.state, "log": result.log}, "sweep": swept})
        np.savez(folder / f"{list(CASES).index(name)}.npz", **{f"{i} {k}": x for i, (k, x) in enumerate(found.items())})
        jax.clear_caches()  # programs add up to more mappings than Linux allows
        print(f"  {name}", flush=True)


def read(path: Path) -> list[tuple[str, np.ndarray]]:
    """The leaves in their order."""
    with np.load(path) as file:
        return [(key.split(" ", 1)[1], file[key]) for key in file.files]


def difference(before: list[tuple[str, np.ndarray]], after: list[tuple[str, np.ndarray]]) -> str:
    """The first leaf that differs, in words; nothing if none does. Leaves go by name, and else by their order."""
    names = dict(after)
    left = [leaf for leaf in after if leaf[0] not in dict(before)]
    for name, x in before:
        if name in names:
            y = names[name]
        elif left:
            _, y = left.pop(0)
        else:
            return f"{name} is gone"
        if x.shape != y.shape or x.dtype != y.dtype:
            return f"{name} was {x.dtype}{list(x.shape)} and is {y.dtype}{list(y.shape)}"
        if x.tobytes() != y.tobytes():
            where = np.argwhere((x != y) & ~((x != x) & (y != y)))
            index = tuple(where[0]) if len(where) else ()
            return f"{name}{[int(i) for i in index]} was {x[index]} and is {y[index]}, {len(where)} of {x.size} differ"
    return f"{left[0][0]} is new" if left else ""


def main() -> None:
    """Run both checkouts, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", type=Path, help="a checkout")
    parser.add_argument("after", type=Path, help="another")
    parser.add_argument("algos", nargs="*", help="only these")
    parser.add_argument("--devices", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--work", help=argparse.SUPPRESS)
    options = parser.parse_args()
    names = [name for name, (algo, _, _) in CASES.items() if not options.algos or algo in options.algos]
    if options.work:
        return work(Path(options.work), names)
    differing: list[str] = []
    with tempfile.TemporaryDirectory() as scratch:
        for devices in options.devices:
            folders = []
            for which, checkout in (("before", options.before), ("after", options.after)):
                folder = Path(scratch) / f"{which}{devices}"
                folder.mkdir()
                folders.append(folder)
                print(f"{which}: {checkout.resolve()}, {devices} device(s)", flush=True)
                path = str(checkout.resolve())
                flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}"
                environment = {**os.environ, "PYTHONPATH": path, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
                environment["TF_CPP_MIN_LOG_LEVEL"] = "3"  # see jaxrl_up/__init__.py: JAX is imported first here
                command = [sys.executable, str(Path(__file__).resolve()), ".", ".", *options.algos]
                command += ["--work", str(folder)]
                subprocess.run(command, check=True, env=environment, cwd=path)
            for i, name in enumerate(CASES):
                if name not in names:
                    continue
                before, after = (read(folder / f"{i}.npz") for folder in folders)
                renamed = sorted({n for n, _ in before} ^ {n for n, _ in after})
                found = difference(before, after)
                if found:
                    differing.append(f"{name}, {devices} device(s): {found}")
                elif renamed:
                    print(f"  {name}: equal; other names: {', '.join(renamed[:6])}")
    number = len(names) * len(options.devices)
    print(f"{number - len(differing)} of {number} cases equal to the last bit")
    for line in differing:
        print(f"  {line}")
    sys.exit(1 if differing else 0)


if __name__ == "__main__":
    main()
