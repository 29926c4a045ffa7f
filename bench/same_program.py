"""Do two checkouts compile to the same program? For a change that must cost nothing where it is not used.

    git worktree add ../before HEAD~1 && python bench/same_program.py ../before . [ppo dqn sac] [--seeds 1 8]

Compiles one part of a run (updates and an evaluation, `advance_lanes`) of each algorithm in both checkouts and compares
what XLA's optimiser leaves, instruction for instruction; metadata and names, which count what was there before
optimising, are set aside. Prints the number of instructions, or the first line that differs; exit code 1 if any does.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

TASKS = {"ppo": "CartPole-v1", "dqn": "CartPole-v1", "sac": "Pendulum-v1"}
OTHERS = {"ddpg": "Pendulum-v1", "td3": "Pendulum-v1"}


def plain(text: str) -> list[str]:
    """The lines of a program, its names numbered in the order in which they come."""
    text = re.sub(r", (metadata|backend_config|frontend_attributes|origin)=\{[^{}]*(\{[^{}]*\}[^{}]*)*\}", "", text)
    known: dict[str, str] = {}
    lines = []
    for line in text.splitlines():
        if not line.strip() or line.startswith(
            ("HloModule", "FileNames", "FunctionNames", "FileLocations", "StackFrames")
        ):
            continue
        if re.match(r"^\d+ ", line):  # the tables of places in files
            continue
        lines.append(re.sub(r"%[\w.\-]+", lambda found: known.setdefault(found[0], f"%{len(known)}"), line))
    return lines


def work(folder: Path, algos: list[str], seeds: list[int]) -> None:
    """One checkout, the first on the path: a file for each program."""
    import jax
    import jax.numpy as jnp

    from jaxrl_up import ALGORITHMS, Evaluation, envs, make_config
    from jaxrl_up.config import canonical
    from jaxrl_up.training import advance_lanes, begin_lanes

    for algo in algos:
        env, config = envs.make((TASKS | OTHERS).get(algo, "CartPole-v1")), canonical(make_config(algo))
        for number in seeds:
            keys = jax.vmap(jax.random.key)(jnp.arange(number, dtype=jnp.uint32))
            known = ALGORITHMS[algo]

            def begin(keys: jax.Array, known=known, env=env, config=config):
                return begin_lanes(known, env, config, {}, keys, None)

            progress = jax.eval_shape(begin, keys)
            lowered = advance_lanes.lower(known, env, config, {}, progress, jnp.int32(9), Evaluation(), None)
            (folder / f"{algo} {number}").write_text(lowered.compile().as_text())


def main() -> None:
    """Compile in both checkouts, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", type=Path, help="a checkout")
    parser.add_argument("after", type=Path, help="another")
    parser.add_argument("algos", nargs="*", default=list(TASKS), help="only these")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--work", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        return work(Path(options.work), options.algos, options.seeds)
    differ = False
    with tempfile.TemporaryDirectory() as scratch:
        folders = []
        for which, checkout in (("before", options.before), ("after", options.after)):
            folder = Path(scratch) / which
            folder.mkdir()
            folders.append(folder)
            path = str(checkout.resolve())
            command = [sys.executable, str(Path(__file__).resolve()), ".", ".", *options.algos, "--work", str(folder)]
            command += ["--seeds", *map(str, options.seeds)]
            environment = {**os.environ, "PYTHONPATH": path, "JAX_PLATFORMS": "cpu"}
            subprocess.run(command, check=True, env=environment, cwd=path)
        for name in sorted(path.name for path in folders[0].iterdir()):
            before, after = (plain((folder / name).read_text()) for folder in folders)
            unlike = next((i for i, (x, y) in enumerate(zip(before, after, strict=False)) if x != y), None)
            if unlike is None and len(before) == len(after):
                print(f"{name} seeds: the same {len(before)} instructions")
                continue
            differ = True
            print(f"{name} seeds: {len(before)} instructions became {len(after)}")
            if unlike is not None:
                print(
                    f"  line {unlike} was {before[unlike].strip()[:300]}\n  and is        {after[unlike].strip()[:300]}"
                )
    sys.exit(1 if differ else 0)


if __name__ == "__main__":
    main()
