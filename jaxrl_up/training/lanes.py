"""Lanes: many runs in one program, each with its own key and its own values of the swept fields.

All leaves carry a leading lane axis except the counters, which are the same in every lane.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxrl_up.envs import Env
from jaxrl_up.training.compiled import run_schedule
from jaxrl_up.training.evaluation import Evaluation
from jaxrl_up.training.progress import Log, Progress, advance, begin, update
from jaxrl_up.types import Algorithm, Array, Key, PyTree

Envs = tuple[Env, Env | None]  # to train on, and to evaluate in where that is another


def apply_swept(env: Env, config: PyTree, swept: Mapping[str, Array]) -> tuple[Env, PyTree]:
    """The environment and config of one lane."""
    params = {k[4:]: v for k, v in swept.items() if k.startswith("env.")}
    return (env.with_params(**params) if params else env), with_fields(config, swept)


def with_fields(config: PyTree, swept: Mapping[str, Array]) -> PyTree:
    """The config of one lane."""
    return config.replace(**{k[7:]: v for k, v in swept.items() if k.startswith("config.")})


def with_swept(env: Env, swept: Mapping[str, Array]) -> Env:
    """An environment to evaluate in as one lane has it: with the swept parameters that it has too."""
    params = {k[4:]: v for k, v in swept.items() if k.startswith("env.") and k[4:] in env.params}
    return env.with_params(**params) if params else env


def lane_axes(progress: Progress) -> Progress:
    """Where the lane axis is in a `Progress`: leading everywhere, absent from the counters."""
    axes = jax.tree.map(lambda _: 0, progress)
    return axes._replace(state=axes.state._replace(counters=None))


def lane_mesh(lanes: int) -> Mesh | None:
    """A mesh over all local devices, but no more than there are lanes; None for a single device."""
    devices = jax.local_devices()[:lanes]
    if len(devices) == 1:
        return None
    return Mesh(np.array(devices), ("lanes",), axis_types=(AxisType.Auto,))


def specs(axes: PyTree) -> PyTree:
    """Partition specs of vmap axes."""
    return jax.tree.map(
        lambda axis: PartitionSpec() if axis is None else PartitionSpec("lanes"),
        axes,
        is_leaf=lambda x: x is None,
    )


def place(tree: PyTree, mesh: Mesh | None, axes: PyTree = 0) -> PyTree:
    """Pad the lanes to a multiple of the devices by repeating the first ones, and spread them."""
    if mesh is None:
        return tree

    def put(x: Array, spec: PartitionSpec) -> Array:
        return jax.device_put(x, NamedSharding(mesh, spec))

    def spread(x: Array) -> Array:
        missing = -x.shape[0] % mesh.size
        return put(jnp.concatenate([x] + [x[:1]] * missing) if missing else x, PartitionSpec("lanes"))

    return _at_axes(spread, axes, tree, lambda x: put(x, PartitionSpec()))


def join(pieces: Sequence[PyTree], mesh: Mesh, axes: PyTree = 0) -> PyTree:
    """The lanes of each device as one tree, spread over the mesh; nothing is copied."""

    def subtree(axis: int | None, *trees: PyTree) -> PyTree:
        sharding = NamedSharding(mesh, PartitionSpec() if axis is None else PartitionSpec("lanes"))

        def leaf(*shards: Array) -> Array:
            lead = shards[0].shape[:1] if axis is None else (sum(len(x) for x in shards),)
            shape = (*lead, *shards[0].shape[1:])
            return jax.make_array_from_single_device_arrays(shape, sharding, shards)

        return jax.tree.map(leaf, *trees)

    return jax.tree.map(subtree, axes, *pieces, is_leaf=lambda x: x is None)


def shares(rows: Sequence[int], devices: int) -> list[np.ndarray]:
    """The lanes that go to each device, filled up by repeating the first one."""
    return np.split(np.array([*rows, *[rows[0]] * (-len(rows) % devices)]), devices)


def _at_axes(
    function: Callable[[Array], Any],
    axes: PyTree,
    tree: PyTree,
    elsewhere: Callable[[Array], Any] = lambda x: x,
) -> PyTree:
    """`function` of the leaves that have a lane axis, `elsewhere` of the others; `axes` may be a prefix of `tree`."""
    return jax.tree.map(
        lambda axis, subtree: jax.tree.map(elsewhere if axis is None else function, subtree),
        axes,
        tree,
        is_leaf=lambda x: x is None,
    )


def begin_lanes(
    algo: Algorithm,
    env: Env,
    config: PyTree,
    swept: Mapping[str, Array],
    keys: Key,
    mesh: Mesh | None,
    options: Mapping[str, Any] | None = None,
) -> Progress:
    """`begin` for every lane: the lanes of one device after those of another, all made on the first device.

    That device so holds no more than its share, and no state exists twice. (Not as a sharded program: orthogonal
    initialisation of a network of one's own can deadlock there, in LAPACK.) `options` are the compiler's, and only for
    a caller that is not within another program.
    """
    program = begin_program(**(options or {}))
    if mesh is None:
        return program(algo, env, config, dict(swept), keys)
    pieces: list[Progress] = []
    here = shares(range(keys.shape[0]), mesh.size)
    for device, rows in zip(mesh.devices[::-1], here[::-1], strict=True):  # the first device last: its share stays
        some = {name: value[rows] for name, value in swept.items()}
        made = [program(algo, env, config, some, keys[rows])]  # in a list, so that `pop` lets go of it
        pieces.append(jax.block_until_ready(jax.device_put(made.pop(), device)))
    return join(pieces[::-1], mesh, lane_axes(pieces[0]))


@functools.cache
def begin_program(**options: Any) -> Callable[..., Progress]:
    """`begin` of all lanes of one device as a program."""

    def begin_all(algo: Algorithm, env: Env, config: PyTree, swept: dict[str, Array], keys: Key) -> Progress:
        def lane(swept: dict[str, Array], key: Key) -> Progress:
            return begin(algo, *apply_swept(env, config, swept), key)

        axes = lane_axes(jax.eval_shape(partial(begin, algo), env, config, jax.random.key(0)))
        return jax.vmap(lane, out_axes=axes)(swept, keys)

    return jax.jit(begin_all, static_argnames=("algo",), compiler_options=options or None)


def over_lanes(lane: Callable[..., Any], progress: Progress, mesh: Mesh | None) -> Callable[..., Any]:
    """Vmap `lane(envs, config, swept, progress, n) -> (progress, log)` over lanes and spread it over a mesh.

    `envs` are the environment and the one to evaluate in, or None. Each device runs its own lanes; nothing is
    communicated.
    """
    axes = lane_axes(progress)

    def lanes(envs: Envs, config: PyTree, swept: dict[str, Array], progress: Progress, n: Array) -> Any:
        if progress.failed_at.shape[0] == 1:  # of this device: batched by one, every small operation costs more
            swept, progress = _at_axes(lambda x: x[0], (0, axes), (swept, progress))
            return _at_axes(lambda x: x[None], (axes, 0), lane(envs, config, swept, progress, n))
        return jax.vmap(lane, in_axes=(None, None, 0, axes, None), out_axes=(axes, 0))(envs, config, swept, progress, n)

    if mesh is None:
        return lanes
    everywhere, spread = PartitionSpec(), PartitionSpec("lanes")
    return jax.shard_map(
        lanes,
        mesh=mesh,
        in_specs=(everywhere, everywhere, spread, specs(axes), everywhere),
        out_specs=(specs(axes), spread),
        check_vma=False,
    )


def trace_update(algo: Algorithm, env: Env, config: PyTree, progress: Progress, lanes: int) -> ClosedJaxpr:
    """One update of a lane where so many are trained together; `progress` may be shapes, and has no lane axis.

    It is traced as `advance_lanes` does it, which then finds the trace and need not make it again.
    """
    mesh, traced = lane_mesh(lanes), []
    width = 1 if mesh is None else mesh.size  # a lane for each device

    def lane(envs: Envs, config: PyTree, swept: dict[str, Array], progress: Progress, n: Array) -> Any:
        traced.append(update.trace(algo, envs[0], config, progress.state).jaxpr)
        return progress, n

    def shape(x: Array) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((width, *x.shape), x.dtype)

    shapes = _at_axes(shape, lane_axes(progress), progress)
    jax.eval_shape(over_lanes(lane, shapes, mesh), (env, None), config, {}, shapes, jnp.int32(0))
    return traced[0]


@partial(jax.jit, static_argnames=("algo", "evaluation", "mesh"), donate_argnames=("progress",))
def advance_lanes(
    algo: Algorithm,
    env: Env,
    config: PyTree,
    swept: dict[str, Array],
    progress: Progress,
    num_updates: Array,
    evaluation: Evaluation,
    mesh: Mesh | None,
    evaluation_env: Env | None = None,
) -> tuple[Progress, Log]:
    """`advance` in every lane, log `[lanes]`; the old progress is donated."""

    def lane(envs: Envs, config: PyTree, swept: dict[str, Array], progress: Progress, n: Array) -> Any:
        env, config, evaluation_env = _of_lane(envs, config, swept)
        return advance(algo, env, config, progress, n, evaluation, evaluation_env)

    return over_lanes(lane, progress, mesh)((env, evaluation_env), config, swept, progress, num_updates)


@partial(jax.jit, static_argnames=("algo", "evaluation", "mesh"), donate_argnames=("progress",))
def train_lanes(
    algo: Algorithm,
    env: Env,
    config: PyTree,
    swept: dict[str, Array],
    progress: Progress,
    updates: Array,
    evaluation: Evaluation,
    mesh: Mesh | None,
    evaluation_env: Env | None = None,
) -> tuple[Progress, Log]:
    """All of `advance_lanes`'s calls as one program, one for each of `updates [E + 1]`; log `[lanes, E + 1]`."""

    def lane(envs: Envs, config: PyTree, swept: dict[str, Array], progress: Progress, updates: Array) -> Any:
        env, config, evaluation_env = _of_lane(envs, config, swept)
        return run_schedule(algo, env, config, progress, updates, evaluation, evaluation_env)

    return over_lanes(lane, progress, mesh)((env, evaluation_env), config, swept, progress, updates)


def _of_lane(envs: Envs, config: PyTree, swept: Mapping[str, Array]) -> tuple[Env, PyTree, Env | None]:
    """What one lane trains on, with which config, and what it evaluates in."""
    env, evaluation_env = envs
    evaluation_env = None if evaluation_env is None else with_swept(evaluation_env, swept)
    return *apply_swept(env, config, swept), evaluation_env
