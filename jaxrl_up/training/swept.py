"""Sweeps as one program: every point of a grid on every key, spread over all devices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxrl_up.algorithms import take
from jaxrl_up.config import (
    above_fields,
    as_keys,
    canonical,
    check_above,
    check_field,
    numbers,
    shown,
    spell,
    traced_fields,
)
from jaxrl_up.envs import GUARD, Env, as_parameter, randomized
from jaxrl_up.training.evaluation import Evaluation, as_evaluation, on_host, take_evaluation_env
from jaxrl_up.training.evaluation_schedule import schedule
from jaxrl_up.training.lanes import begin_lanes, lane_mesh, place, train_lanes
from jaxrl_up.training.progress import Log, Progress
from jaxrl_up.types import Algorithm, Array, Key, PyTree

# Lanes: many runs in one program, each with its own key and its own values of the swept fields. All leaves
# carry a leading lane axis except the counters, which are the same in every lane.


def sweep(
    algo: Algorithm | str,
    env: Env | str,
    config: PyTree,
    grid: Mapping[str, Array],
    keys: Key,
    num_evals: int = 20,
    evaluation: Evaluation = Evaluation(),
    evaluation_env: Env | str | None = None,
) -> tuple[PyTree, Log]:
    """Train every one of C grid points on every one of S keys (or whole numbers) `[S]`, as one program on all devices.

    `grid` maps traced config fields, or environment parameters (`gravity`, or `env.gravity` where a config
    field has that name too), to values `[C]`; they vary together. `evaluation_env` is as for `train`, with the swept
    parameters that it has. Returns states `[C, S, ...]` and logs `[C, S, E + 1]`, of which the first is of the
    untrained policies. Called under `jit`, it stays on one device. Raises `ValueError` for a name that cannot be swept,
    values that are no numbers or out of range, and values of unequal length.
    """
    algo, env, config = take(algo, env, config)
    evaluation_env = take_evaluation_env(algo, env, config, evaluation_env)
    given = {name: _traced_or_given(values) for name, values in resolve(env, config, grid).items()}
    check_grid(env, config, given)
    config, evaluation, keys = canonical(config), as_evaluation(evaluation), as_keys(keys)
    swept = {name: jnp.asarray(values, jnp.float32) for name, values in given.items()}
    points, seeds = next(iter(swept.values())).shape[0], keys.shape[0]
    lane_keys = jnp.tile(keys, points)
    lane_swept = {name: jnp.repeat(value, seeds, axis=0) for name, value in swept.items()}
    mesh = None if isinstance(keys, Tracer) else lane_mesh(points * seeds)
    updates = schedule(algo, config, num_evals)

    def program() -> tuple[Progress, Log]:
        progress = begin_lanes(algo, env, config, lane_swept, lane_keys, mesh)
        placed = place(lane_swept, mesh)
        return train_lanes(algo, env, config, placed, progress, updates, evaluation, mesh, evaluation_env)

    progress, log = GUARD.watch(program) if on_host(env, evaluation_env) else program()
    if mesh is not None:  # wait here: XLA aborts a gather in which one device waited 40 s for another that still trains
        log = jax.tree.map(jnp.asarray, jax.device_get(log))
    lanes = points * seeds

    def split(x: Array) -> Array:
        return x[:lanes].reshape(points, seeds, *x.shape[1:])

    counters = progress.state.counters
    state = jax.tree.map(split, progress.state._replace(counters=None))
    return state._replace(counters=counters), jax.tree.map(split, log)


def resolve(env: Env, config: PyTree, grid: Mapping[str, Any]) -> dict[str, Any]:
    """The grid with every name spelt out: `config.name` or `env.name`."""
    params = list(env.params) if isinstance(env.params, dict) else []
    if not isinstance(grid, Mapping) or not all(isinstance(name, str) for name in grid):
        raise TypeError(f"grid={shown(grid)} must be a dict of names and values, as {{'gamma': [0.9, 0.99]}}")
    resolved = {}
    for name, value in grid.items():
        full = spell(name, traced_fields(config), params, " in one program")
        if full.startswith("config.") and getattr(config, full[7:]) is None:
            raise ValueError(f"{name!r} is off (None) in this config; give it a number before sweeping it")
        if full.startswith("env."):
            check_not_drawn(env, full[4:])
        resolved[full] = value
    return resolved


def check_not_drawn(env: Env, name: str) -> None:
    """Raise `ValueError` for a parameter that is drawn for each episode, whose nominal value trains nothing."""
    if name in randomized(env):
        raise ValueError(
            f"{name!r} is drawn for each episode of {env.full_name}, so other values of it would train nothing else: "
            "leave it out of the sweep, or out of randomize"
        )


def _traced_or_given(values: Any) -> Any:
    return jnp.asarray(values) if any(isinstance(x, Tracer) for x in jax.tree.leaves(values)) else values


def check_grid(env: Env, config: PyTree, grid: Mapping[str, Any]) -> None:
    """Raise `ValueError` for a grid, its names spelt out, with a value that `run` would refuse, or unequal lengths.

    Values that are traced are known by their shapes only.
    """
    for name, given in grid.items():
        values = given if isinstance(given, Tracer) else numbers(name.removeprefix("config."), given)
        where, field = name.split(".", 1)
        if where == "config":
            check_field(config, field, values)
        elif not isinstance(values, Tracer) and np.isnan(values).any():
            raise ValueError(f"{name}=nan must be a number")
        else:
            as_parameter(name, given)
        wanted = () if where == "config" else np.shape(env.params[field])
        if np.shape(values)[1:] != wanted or not np.shape(values):
            each = f"an array of shape {list(wanted)}" if wanted else "one number"
            raise ValueError(
                f"{name.removeprefix('config.')} has shape {list(np.shape(values))}: the values of a grid need one "
                f"length, and each must be {each}"
            )
    lengths = {name.removeprefix("config."): len(values) for name, values in grid.items()}
    if len(set(lengths.values())) != 1 or 0 in lengths.values():
        raise ValueError(f"the values of a grid need one length, at least 1; got {lengths or 'no names'}")
    for name, other in above_fields(config).items():
        value, least = (grid.get(f"config.{field}", getattr(config, field)) for field in (name, other))
        check_above(name, value, other, least)
