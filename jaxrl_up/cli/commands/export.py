"""`jaxrl-up export`: write a trained policy as one file for deployment."""

from __future__ import annotations

import shutil
import sys
from typing import Any

from jaxrl_up.cli.options import Parser, UsageError, whole
from jaxrl_up.cli.own import add_own, given_own


def main(arguments: list[str]) -> int:
    """`jaxrl-up export RUN FILE`: check, write, and print the path written on standard output."""
    parser = Parser(
        compiles=True,
        prog="jaxrl-up export",
        usage="jaxrl-up export RUN FILE [--seed N] [--best] [--with-loader] [--force]",
        description="Write the greedy policy of one seed as one file: a program for JAX, on CPU and CUDA, and one for "
        "NumPy alone, with the observation normaliser and the action bounds in it.",
    )
    parser.add_argument("run", metavar="RUN", help="directory of the run")
    parser.add_argument("file", metavar="FILE", help="the file to write, such as policy.bin")
    options = parser.add_argument_group("options")
    parser.add(options, "--seed", type=whole, metavar="N", help="which seed (default: that of the greatest return)")
    parser.add(options, "--best", action="store_true",
               help="the policy of the seed's best evaluation, and not the last one")  # fmt: skip
    parser.add(options, "--with-loader", action="store_true",
               help="copy numpy_policy.py, which needs nothing but NumPy, beside the file")  # fmt: skip
    parser.add(options, "--force", action="store_true", help="overwrite")
    add_own(parser, arguments)
    given = parser.parse(arguments)
    return 0 if given is None else _export(given)


def _export(given: Any) -> int:
    import jax
    import numpy as np

    from jaxrl_up.deploy import check_path, numpy_policy, save_policy
    from jaxrl_up.records import count, load_policies, load_run, near, value

    try:
        path = check_path(given.file, given.force)
        loader = path.with_name("numpy_policy.py")
        if given.with_loader:
            check_path(loader, given.force)
        run = load_run(given.run, **given_own(given))
        policies = load_policies(run)
    except FileExistsError as error:
        raise UsageError(f"{error} (--force)") from error
    except (ValueError, OSError) as error:
        raise UsageError(str(error)) from error
    if run.grid:
        raise UsageError(f"{run.directory} is a sweep over {', '.join(run.grid)}: export from a run of one config")
    if given.seed is not None and given.seed not in run.seeds:
        raise UsageError(f"seed {given.seed} was not run; choose from {', '.join(map(str, run.seeds))}")
    returns = policies.best_returns if given.best else policies.returns
    greatest = int(np.argmax(np.nan_to_num(returns, nan=-np.inf)))
    lane = greatest if given.seed is None else run.seeds.index(given.seed)
    about = {
        "seed": run.seeds[lane],
        "env_steps": int(policies.best_steps[lane]) if given.best else policies.env_steps,
        "return": float(returns[lane]) if np.isfinite(returns[lane]) else None,
    }
    policy = jax.tree.map(lambda leaf: leaf[lane], policies.best if given.best else policies.last)
    try:
        save_policy(path, run.algo, run.env, run.config, policy, about, overwrite=given.force)
        if given.with_loader:
            shutil.copyfile(numpy_policy.__file__, loader)
    except (ValueError, OSError) as error:
        raise UsageError(str(error)) from error
    kind = "best" if given.best else "last"
    reached, steps = float(returns[lane]), count(about["env_steps"], "step")
    print(f"seed {about['seed']}, its {kind} policy: return {value(reached)} after {steps}", file=sys.stderr)
    print(near(path))
    return 0
