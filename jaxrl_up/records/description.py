"""Everything that is needed to repeat a run, as tables."""

from __future__ import annotations

import dataclasses
import platform
import subprocess
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

import jax

from jaxrl_up._version import __version__
from jaxrl_up.envs import Env, libraries
from jaxrl_up.records import processes
from jaxrl_up.records.own import EVALUATED, OWN, own_names
from jaxrl_up.types import Algorithm, PyTree


def describe(
    algo: Algorithm,
    env: Env,
    config: PyTree,
    seeds: Sequence[int],
    settings: Mapping[str, Any] | None = None,
    evaluation_env: Env | None = None,
) -> dict[str, Any]:
    """Everything that is needed to repeat a run, as nested dictionaries (tables of config.toml)."""
    own, number = own_names(algo, config), processes.place().processes
    evaluated = {} if evaluation_env is None else {EVALUATED: describe_environment(evaluation_env)["environment"]}
    return {
        "run": {"algorithm": algo.name, "seeds": list(seeds), **(settings or {})},
        "config": {field.name: getattr(config, field.name) for field in dataclasses.fields(config)},
        **describe_environment(env),
        **evaluated,
        **({OWN: own} if own else {}),
        "versions": versions(env, evaluation_env),
        "code": {"commit": commit()},
        "device": {
            "kind": jax.local_devices()[0].device_kind,
            "platform": jax.default_backend(),
            "count": len(jax.local_devices()) * number,
            **({"processes": number} if number > 1 else {}),
        },
    }


def describe_environment(env: Env) -> dict[str, Any]:
    """The table of config.toml that says what the environment is."""
    return {
        "environment": {
            "name": env.name,
            "max_steps": env.max_steps,
            "wrappers": list(env.spec.wrappers),
            "observation_space": str(env.observation_space),
            "action_space": str(env.action_space),
            "params": dict(env.params) if isinstance(env.params, dict) else {"repr": repr(env.params)},
            "static": dict(env.spec.fixed),
        },
    }


def are_games(tables: Mapping[str, Any]) -> bool:
    """Whether the evaluations of a run that is so described are games against an opponent."""
    played = tables.get(EVALUATED, tables["environment"])
    return "?opponent=" in played["name"] or any(text.startswith("against(") for text in played["wrappers"])


def versions(env: Env, evaluation_env: Env | None) -> dict[str, str]:
    """Versions of what the numbers of a run in these environments depend on, as far as it is installed."""
    suites = (*libraries(env), *(libraries(evaluation_env) if evaluation_env is not None else ()))
    names = ("jax", "jaxlib", "flax", "optax", "gymnax", "numpy", *suites)
    installed = {name: next(iter(metadata.distributions(name=name)), None) for name in names}
    found = {name: one.version for name, one in installed.items() if one is not None}
    return {"jaxrl_up": __version__, "python": platform.python_version(), **found}


def commit() -> str | None:
    """The git commit of the working directory, `-dirty` where files differ from it; None outside a repository."""
    try:
        command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
