"""Lanes on the move: from the host to the devices and back, and from device to device."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_up.config import wrap_as
from jaxrl_up.records import Best, Snapshot, processes
from jaxrl_up.training import Progress, join, lane_mesh, place, shares
from jaxrl_up.types import Array, PyTree


def to_devices(reached: Snapshot, width: int) -> Snapshot:
    """Copies with `width` lanes, made by repeating those there are.

    What comes from a file may share memory with it, which a donated buffer must not; hence copies. They are made leaf
    by leaf and device by device, so that there are never two more of a replay.
    """
    mesh = lane_mesh(width)

    def put(x: Any) -> Array:
        rows = np.arange(width) % len(x)
        if mesh is None:
            return jnp.array(_rows(x, rows), copy=True)
        pieces = []
        for device, some in zip(mesh.devices, shares(rows.tolist(), mesh.size), strict=True):
            with jax.default_device(device):
                pieces.append(jax.device_put(jnp.array(_rows(x, some), copy=True), device))
        return join(pieces, mesh)

    assert reached.best is not None, "only what is kept comes from the host"
    bare, counters = _apart(reached.progress)
    progress, policy = jax.tree.map(put, (bare, reached.best.policy))
    best = reached.best._replace(policy=policy)
    return Snapshot(_together(progress, _everywhere(counters, width)), reached.logs, best, *reached[3:])


def to_host(reached: Snapshot) -> Snapshot:
    """What a checkpoint holds: without the lanes that fill up the devices."""
    assert reached.best is not None, "only what is kept is fetched"
    lanes, (bare, counters) = len(reached.best.returns), _apart(reached.progress)
    bare, policy = jax.tree.map(lambda x: _fetch(x, lanes), (bare, reached.best.policy))
    return Snapshot(_together(bare, counters), reached.logs, reached.best._replace(policy=policy), *reached[3:])


def gathered(reached: Snapshot, lanes: int) -> Snapshot | None:
    """The lanes of all processes, each of which has its share on the host, in the first process; None in the others."""
    bare, counters = _apart(reached.progress)
    found = processes.gather((bare, reached.best), lanes)
    return None if found is None else Snapshot(_together(found[0], counters), reached.logs, found[1], *reached[3:])


def gathered_state(state: PyTree, lanes: int) -> PyTree:
    """The same of an algorithm's State; of a process alone it stays where it is."""
    if processes.place().processes == 1:
        return state
    bare = jax.tree.map(lambda x: x if isinstance(x, np.ndarray) else _fetch(x, len(x)), state._replace(counters=None))
    found = processes.gather(bare, lanes)
    return None if found is None else found._replace(counters=state.counters)


def without_padding(state: PyTree, lanes: int) -> PyTree:
    """An algorithm's State without the lanes that fill up the devices; where there are some it is used up.

    Lanes that cannot be spread evenly over the devices come to the host, leaf by leaf, so that there is never a second
    replay.
    """
    bare, counters = state._replace(counters=None), state.counters

    def leaf(x: Array) -> Any:
        if len(x) == lanes:
            return x
        found = _fetch(x, lanes)
        x.delete()
        return found

    return jax.tree.map(leaf, bare)._replace(counters=counters)


def choose(reached: Snapshot, lanes: Sequence[int]) -> Snapshot:
    """Some lanes, on the host."""
    bare, counters = _apart(reached.progress)
    bare, logs, best = jax.tree.map(lambda x: x[np.array(lanes)], (bare, reached.logs, reached.best))
    return Snapshot(_together(bare, counters), logs, best, *reached[3:])


def gather_on_host(parts: Sequence[Snapshot], lanes: Sequence[tuple[int, int]]) -> Snapshot:
    """The lanes (part, lane) of what was read of several parts, on the host."""
    apart = [_apart(part.progress) for part in parts]

    def leaf(*x: Any) -> Any:
        of_keys = jnp.issubdtype(x[0].dtype, jax.dtypes.prng_key)
        return (jnp if of_keys else np).stack([x[part][lane] for part, lane in lanes])

    trees = [(bare, part.logs, part.best) for (bare, _), part in zip(apart, parts, strict=True)]
    bare, logs, best = jax.tree.map(leaf, *trees)
    return Snapshot(_together(bare, apart[-1][1]), logs, best, *parts[-1][3:])


def gather(parts: Sequence[Snapshot], lanes: Sequence[tuple[int, int]], width: int) -> Snapshot:
    """The lanes (part, lane) of what was reached in several parts, filled up to `width`, without a way over the host.

    A device is sent only the lanes that go on there; XLA's own gather of a sharded array would first send all to all.
    """
    last, mesh = parts[-1], lane_mesh(width)
    devices = [jax.local_devices()[0]] if mesh is None else list(mesh.devices)
    shards = [_shards((_apart(part.progress)[0], _kept(part).policy)) for part in parts]
    here = shares([i % len(lanes) for i in range(width)], len(devices))

    def source(row: tuple[int, int]) -> tuple[int, int]:
        part, lane = row
        return part, lane // len(shards[part][0][0].failed_at)

    def for_device(i: int) -> PyTree:
        pieces = []
        for (part, shard), some in groupby((lanes[row] for row in here[i]), source):
            tree = shards[part][shard]
            chosen = np.array([lane % len(tree[0].failed_at) for _, lane in some])
            pieces.append(jax.device_put(_take(tree, chosen), devices[i]))
        return _concatenate(pieces) if len(pieces) > 1 else pieces[0]

    pieces = [for_device(i) for i in range(len(devices))]
    progress, policy = pieces[0] if mesh is None else join(pieces, mesh)
    logs, returns, env_steps = (
        jax.tree.map(lambda *x: np.stack([x[part][lane] for part, lane in lanes]), *trees)
        for trees in zip(*((part.logs, _kept(part).returns, _kept(part).env_steps) for part in parts), strict=True)
    )
    progress = _together(progress, _everywhere(last.progress.state.counters, width))
    return Snapshot(progress, logs, Best(policy, returns, env_steps), *last[3:])


def _kept(part: Snapshot) -> Best:
    assert part.best is not None, "only what is kept is gathered"
    return part.best


def _apart(progress: Progress) -> tuple[Progress, PyTree]:
    """What has lanes, and the counters, which have none."""
    return progress._replace(state=progress.state._replace(counters=None)), progress.state.counters


def _together(bare: Progress, counters: PyTree) -> Progress:
    return bare._replace(state=bare.state._replace(counters=counters))


def _everywhere(counters: PyTree, width: int) -> PyTree:
    """Copies of the counters on all devices that so many lanes are spread over."""
    copies = jax.tree.map(lambda x: jnp.array(jax.device_get(x), copy=True), counters)
    return place(copies, lane_mesh(width), None)


def _shards(tree: PyTree) -> list[PyTree]:
    """A tree for each device, of the lanes it has, in order."""
    leaves, structure = jax.tree.flatten(tree)
    by_leaf = [sorted(x.addressable_shards, key=lambda shard: shard.index[0].start or 0) for x in leaves]
    return [structure.unflatten(shard.data for shard in shards) for shards in zip(*by_leaf, strict=True)]


@jax.jit
def _take(tree: PyTree, lanes: Array) -> PyTree:
    return jax.tree.map(lambda x: x[lanes], tree)


@jax.jit
def _concatenate(trees: Sequence[PyTree]) -> PyTree:
    return jax.tree.map(lambda *x: jnp.concatenate(x), *trees)


def _rows(x: Any, rows: np.ndarray) -> Any:
    """Some lanes; a view of them where they are neighbours."""
    first, last = int(rows[0]), int(rows[-1]) + 1
    return x[first:last] if np.array_equal(rows, np.arange(first, last)) else x[rows]


def _fetch(x: Array, lanes: int) -> Any:
    """The first lanes of an array on the host; of keys as keys on one device.

    Device by device: of an array on many, NumPy's copy of the whole stays as long as the array does.
    """
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        return wrap_as(jax.device_get(jax.random.key_data(x))[:lanes], x.dtype)
    if len(x.addressable_shards) == 1:
        return np.asarray(x)[:lanes]
    whole = np.empty((lanes, *x.shape[1:]), x.dtype)
    for shard in x.addressable_shards:
        part = whole[shard.index[0]]
        part[:] = np.asarray(shard.data)[: len(part)]
    return whole
