"""The compiled gear: `advance` a run by some updates and one evaluation, `train` and `sweep` scan it.

Everything here can be jitted, vmapped and sharded. The host-driven gear, `run`, loops over the same `advance`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxrl_up.arguments import flag, numbers, shown, whole, whole_or_none
from jaxrl_up.config import above_fields, canonical, check_above, check_field, did_you_mean, traced_fields
from jaxrl_up.entries import check_policy, take
from jaxrl_up.envs import Env
from jaxrl_up.envs.core import as_parameter
from jaxrl_up.keys import as_key, as_keys
from jaxrl_up.ops import centred
from jaxrl_up.rollout import Episodes, distinct, play
from jaxrl_up.types import Algorithm, Array, Key, Mean, Metrics, PyTree


class Progress(NamedTuple):
    """A run at some moment: all that is needed to go on."""

    state: PyTree  # the algorithm's State
    failed_at: Array  # int32, the update whose loss or learner was not finite; -1 for none
    evaluation_key: Key  # root of the evaluations' keys, which share nothing with training


class Log(NamedTuple):
    """One evaluation `[]`, or a run of them `[E]`, `[S, E]`, `[C, S, E]`.

    `train_returns`, `train_episodes` and `losses` are divided where they are read: a program that put out the NaN of a
    mean over nothing would be stopped by `jax_debug_nans`.
    """

    env_steps: Array  # done so far
    returns: Array  # mean undiscounted return of the evaluation's episodes
    returns_std: Array  # over the episodes
    lengths: Array  # mean episode length, environment steps
    unfinished: Array  # episodes that met the step cap, counted with what they had earned
    distinct: Array  # episodes that differ from one another in an action or a reward
    trained: Mean  # returns of the training episodes that ended since the last one
    learned: dict[str, Mean]  # losses over the gradient steps since the last one
    failed_at: Array  # see `Progress`

    @property
    def train_returns(self) -> Any:
        """Mean return of the training episodes that ended since the last evaluation; NaN if none did."""
        return self.trained.value

    @property
    def train_episodes(self) -> Array:
        """How many did."""
        return self.trained.count

    @property
    def losses(self) -> dict[str, Any]:
        """Means over the gradient steps since the last evaluation, by name; NaN if none was made."""
        return {name: mean.value for name, mean in self.learned.items()}


class Evaluation(NamedTuple):
    """How to evaluate: static, hashable."""

    num_episodes: int = 16
    deterministic: bool = True
    max_steps: int | None = None


# Programs within programs, so that one trace serves all who look at them; XLA makes them part of what calls them.


@partial(jax.jit, static_argnames=("algo",))
def update(algo: Algorithm, env: Env, config: PyTree, state: PyTree) -> tuple[PyTree, Metrics]:
    """One update of an algorithm."""
    return algo.update(config, env, state)


@partial(jax.jit, static_argnames=("algo",))
def begin(algo: Algorithm, env: Env, config: PyTree, key: Key) -> Progress:
    """The state before the first update."""
    init_key, evaluation_key = jax.random.split(as_key(key))
    return Progress(algo.init(config, env, init_key), jnp.int32(-1), evaluation_key)


def as_evaluation(evaluation: Evaluation) -> Evaluation:
    """An Evaluation with plain values. Raises `TypeError` for something else and `ValueError` for counts below 1."""
    if not isinstance(evaluation, tuple) or len(evaluation) > len(Evaluation._fields):
        raise TypeError(f"evaluation={shown(evaluation)} must be an Evaluation, as in Evaluation(num_episodes=16)")
    num_episodes, deterministic, max_steps = Evaluation(*evaluation)
    return Evaluation(
        whole("num_episodes", num_episodes),
        flag("deterministic", deterministic),
        whole_or_none("max_steps", max_steps),
    )


def evaluate(
    algo: Algorithm | str,
    env: Env | str,
    config: PyTree,
    policy: PyTree,
    key: Key,
    num_episodes: int = 16,
    deterministic: bool = True,
    max_steps: int | None = None,
) -> Array:
    """Undiscounted returns `[num_episodes]` of whole episodes of a policy (`state.policy`).

    Each episode has a fresh start. `max_steps` caps its length; None is the environment's own time limit, or
    10,000 steps where it has none. An episode that meets the cap reports what it earned until then; use
    `evaluate_episodes` to see which did. `algo` and `env` may be names. Raises `ValueError` or `TypeError` for
    arguments that are wrong or do not belong together, such as the policy of another algorithm.
    """
    return evaluate_episodes(algo, env, config, policy, key, num_episodes, deterministic, max_steps).returns


def evaluate_episodes(
    algo: Algorithm | str,
    env: Env | str,
    config: PyTree,
    policy: PyTree,
    key: Key,
    num_episodes: int = 16,
    deterministic: bool = True,
    max_steps: int | None = None,
) -> Episodes:
    """As `evaluate`, with the lengths of the episodes and whether they finished."""
    algo, env, config = take(algo, env, config)
    evaluation = as_evaluation(Evaluation(num_episodes, deterministic, max_steps))
    check_policy(algo, env, config, policy)
    return play_policy(algo, env, config, policy, key, evaluation)


def play_policy(
    algo: Algorithm, env: Env, config: PyTree, policy: PyTree, key: Key, evaluation: Evaluation
) -> Episodes:
    num_episodes, deterministic, max_steps = evaluation

    def act(obs: Array, key: Key) -> Array:
        return algo.act(config, env, policy, obs, None if deterministic else key)

    return play(env, act, key, num_episodes, max_steps)


def advance(
    algo: Algorithm,
    env: Env,
    config: PyTree,
    progress: Progress,
    num_updates: int | Array,
    evaluation: Evaluation = Evaluation(),
) -> tuple[Progress, Log]:
    """Make `num_updates` updates, then evaluate once.

    `num_updates` may be traced. Metrics are reduced inside the loop, so memory does not grow with it. A seed
    whose loss or learner is not finite keeps the learner it had before that update, for good.
    """

    def body(_: Any, carry: tuple[Progress, Metrics]) -> tuple[Progress, Metrics]:
        progress, total = carry
        progress, metrics = guarded_update(algo, env, config, progress)
        return progress, jax.tree.map(jnp.add, total, metrics)

    _, shapes = jax.eval_shape(partial(update, algo), env, config, progress.state)
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    progress, total = jax.lax.fori_loop(0, num_updates, body, (progress, zeros))

    counters = progress.state.counters
    key = jax.random.fold_in(progress.evaluation_key, counters.updates)
    episodes = play_policy(algo, env, config, progress.state.policy, key, evaluation)
    log = Log(
        env_steps=counters.env_steps,
        returns=jnp.mean(episodes.returns),
        returns_std=jnp.sqrt(jnp.mean(jnp.square(centred(episodes.returns)[1]))),
        lengths=jnp.mean(episodes.lengths, dtype=jnp.float32),
        unfinished=jnp.sum(~episodes.finished, dtype=jnp.int32),
        distinct=distinct(episodes),
        trained=Mean(total.episode_return, total.episode_count),
        learned=total.losses,
        failed_at=progress.failed_at,
    )
    return progress, log


def guarded_update(algo: Algorithm, env: Env, config: PyTree, progress: Progress) -> tuple[Progress, Metrics]:
    """One update, or the old learner where the new one is not finite. The environments go on either way.

    The losses of the update that failed still count, those of later ones do not: nothing is learned by them.
    """
    state, metrics = update(algo, env, config, progress.state)
    leaves = [x.ravel() for x in jax.tree.leaves(state.learner) if jnp.issubdtype(x.dtype, jnp.inexact)]
    # in one piece: a kernel for each leaf takes a fifth of the time of compiling
    numbers = jax.lax.optimization_barrier(jnp.concatenate(leaves))
    finite = jnp.isfinite(metrics.losses["loss"].total) & jnp.all(jnp.isfinite(numbers))
    fine = (progress.failed_at < 0) & finite
    learner = jax.tree.map(lambda new, old: jnp.where(fine, new, old), state.learner, progress.state.learner)
    first_failure = (progress.failed_at < 0) & ~finite
    failed_at = jnp.where(first_failure, state.counters.updates, progress.failed_at)
    losses = jax.tree.map(lambda x: jnp.where(progress.failed_at < 0, x, 0), metrics.losses)
    progress = Progress(state._replace(learner=learner), failed_at, progress.evaluation_key)
    return progress, metrics._replace(losses=losses)


def num_updates(algo: Algorithm, config: PyTree) -> int:
    """Whole updates within `total_steps`, but at least one."""
    return max(config.total_steps // algo.steps_per_update(config), 1)


def schedule(algo: Algorithm, config: PyTree, num_evals: int) -> Array:
    """How many updates go before each evaluation `[E]`, E = `num_evals` or fewer; the last is at the end."""
    return jax.device_put(np.diff((0, *evaluation_ends(algo, config, num_evals))).astype(np.int32))


def evaluation_ends(
    algo: Algorithm, config: PyTree, num_evals: int, stages: Sequence[tuple[int, int]] = ()
) -> tuple[int, ...]:
    """Updates done at each evaluation, evenly spaced, the last at the end.

    A run that was made longer has `stages` before: total steps and number of evaluations until there of each.
    """
    num_evals = whole("num_evals", num_evals)
    ends: list[int] = []
    for total_steps, evals in (*stages, (config.total_steps, num_evals)):
        first, last = ends[-1] if ends else 0, num_updates(algo, config.replace(total_steps=total_steps))
        number = min(evals - len(ends), last - first)
        ends += np.round(np.linspace(first, last, number + 1)).astype(int).tolist()[1:]
    return tuple(ends)


def train(
    algo: Algorithm | str,
    env: Env | str,
    config: PyTree,
    key: Key,
    num_evals: int = 20,
    evaluation: Evaluation = Evaluation(),
) -> tuple[PyTree, Log]:
    """Train one seed from start to end as one program; vmap over `key` for many. A whole number n is its key too.

    `algo` and `env` may be names. Returns the final state and the log `[E]`. Raises `ValueError` for a config out of
    range, and `TypeError` for arguments that are none or in another order.
    """
    algo, env, config = take(algo, env, config)
    config, evaluation = canonical(config), as_evaluation(evaluation)
    return _train(algo, env, config, as_key(key), schedule(algo, config, num_evals), evaluation)


@partial(jax.jit, static_argnames=("algo", "evaluation"))
def _train(
    algo: Algorithm, env: Env, config: PyTree, key: Key, updates: Array, evaluation: Evaluation
) -> tuple[PyTree, Log]:
    progress, log = run_schedule(algo, env, config, begin(algo, env, config, key), updates, evaluation)
    return progress.state, log


def run_schedule(
    algo: Algorithm, env: Env, config: PyTree, progress: Progress, updates: Array, evaluation: Evaluation
) -> tuple[Progress, Log]:
    """`advance` once for each of `updates [E]`; log `[E]`."""

    def step(progress: Progress, n: Array) -> tuple[Progress, Log]:
        return advance(algo, env, config, progress, n, evaluation)

    return jax.lax.scan(step, progress, updates)


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
) -> tuple[PyTree, Log]:
    """Train every one of C grid points on every one of S keys (or whole numbers) `[S]`, as one program on all devices.

    `grid` maps traced config fields, or environment parameters (`gravity`, or `env.gravity` where a config
    field has that name too), to values `[C]`; they vary together. Returns states and logs `[C, S, ...]`.
    Called under `jit`, it stays on one device. Raises `ValueError` for a name that cannot be swept, values that are
    no numbers or out of range, and values of unequal length.
    """
    algo, env, config = take(algo, env, config)
    given = {name: _traced_or_given(values) for name, values in resolve(env, config, grid).items()}
    check_grid(env, config, given)
    config, evaluation, keys = canonical(config), as_evaluation(evaluation), as_keys(keys)
    swept = {name: jnp.asarray(values, jnp.float32) for name, values in given.items()}
    points, seeds = next(iter(swept.values())).shape[0], keys.shape[0]
    lane_keys = jnp.tile(keys, points)
    lane_swept = {name: jnp.repeat(value, seeds, axis=0) for name, value in swept.items()}
    mesh = None if isinstance(keys, Tracer) else lane_mesh(points * seeds)
    progress = begin_lanes(algo, env, config, lane_swept, lane_keys, mesh)
    updates = schedule(algo, config, num_evals)
    lane_swept = place(lane_swept, mesh)
    progress, log = train_lanes(algo, env, config, lane_swept, progress, updates, evaluation, mesh)
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
    fields = [f"config.{name}" for name in traced_fields(config)]
    params = [f"env.{name}" for name in env.params] if isinstance(env.params, dict) else []
    if not isinstance(grid, Mapping) or not all(isinstance(name, str) for name in grid):
        raise TypeError(f"grid={shown(grid)} must be a dict of names and values, as {{'gamma': [0.9, 0.99]}}")
    resolved = {}
    for name, value in grid.items():
        matches = [k for k in (name, f"config.{name}", f"env.{name}") if k in (*fields, *params)]
        if len(matches) > 1:
            raise ValueError(f"{name!r} is a config field and an environment parameter; write {' or '.join(matches)}")
        if not matches:
            short = [k.split(".", 1)[1] for k in (*fields, *params)]
            raise ValueError(
                f"{name!r} cannot be swept in one program.{did_you_mean(name, short)} "
                f"Config fields: {', '.join(k[7:] for k in fields)}. Environment: {', '.join(k[4:] for k in params)}"
            )
        if matches[0].startswith("config.") and getattr(config, matches[0][7:]) is None:
            raise ValueError(f"{name!r} is off (None) in this config; give it a number before sweeping it")
        resolved[matches[0]] = value
    return resolved


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


def apply_swept(env: Env, config: PyTree, swept: Mapping[str, Array]) -> tuple[Env, PyTree]:
    """The environment and config of one lane."""
    fields = {k[7:]: v for k, v in swept.items() if k.startswith("config.")}
    params = {k[4:]: v for k, v in swept.items() if k.startswith("env.")}
    return (env.with_params(**params) if params else env), config.replace(**fields)


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
    function: Callable[[Array], Array],
    axes: PyTree,
    tree: PyTree,
    elsewhere: Callable[[Array], Array] = lambda x: x,
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
    program = _begin_lanes(**(options or {}))
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
def _begin_lanes(**options: Any) -> Callable[..., Progress]:
    """`begin` of all lanes of one device as a program."""

    def begin_all(algo: Algorithm, env: Env, config: PyTree, swept: dict[str, Array], keys: Key) -> Progress:
        def lane(swept: dict[str, Array], key: Key) -> Progress:
            return begin(algo, *apply_swept(env, config, swept), key)

        axes = lane_axes(jax.eval_shape(partial(begin, algo), env, config, jax.random.key(0)))
        return jax.vmap(lane, out_axes=axes)(swept, keys)

    return jax.jit(begin_all, static_argnames=("algo",), compiler_options=options or None)


def over_lanes(lane: Callable[..., Any], progress: Progress, mesh: Mesh | None) -> Callable[..., Any]:
    """Vmap `lane(env, config, swept, progress, n) -> (progress, log)` over lanes and spread it over a mesh.

    Each device runs its own lanes; nothing is communicated.
    """
    axes = lane_axes(progress)

    def lanes(env: Env, config: PyTree, swept: dict[str, Array], progress: Progress, n: Array) -> Any:
        if progress.failed_at.shape[0] == 1:  # of this device: batched by one, every small operation costs more
            swept, progress = _at_axes(lambda x: x[0], (0, axes), (swept, progress))
            return _at_axes(lambda x: x[None], (axes, 0), lane(env, config, swept, progress, n))
        return jax.vmap(lane, in_axes=(None, None, 0, axes, None), out_axes=(axes, 0))(env, config, swept, progress, n)

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
) -> tuple[Progress, Log]:
    """`advance` in every lane, log `[lanes]`; the old progress is donated."""

    def lane(env: Env, config: PyTree, swept: dict[str, Array], progress: Progress, n: Array) -> Any:
        return advance(algo, *apply_swept(env, config, swept), progress, n, evaluation)

    return over_lanes(lane, progress, mesh)(env, config, swept, progress, num_updates)


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
) -> tuple[Progress, Log]:
    """All of `advance_lanes`'s calls as one program, one for each of `updates [E]`; log `[lanes, E]`."""

    def lane(env: Env, config: PyTree, swept: dict[str, Array], progress: Progress, updates: Array) -> Any:
        return run_schedule(algo, *apply_swept(env, config, swept), progress, updates, evaluation)

    return over_lanes(lane, progress, mesh)(env, config, swept, progress, updates)
