"""Lanes moved between the host and the devices come out bit for bit as they went in."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import cartpole, keys_of, tiny

from jaxrl_up import DQN
from jaxrl_up.config import canonical
from jaxrl_up.experiments import choose, gather, to_devices, to_host, without_padding
from jaxrl_up.records import Best, Snapshot
from jaxrl_up.training import Log, Progress, begin_lanes, begin_program, lane_mesh, lanes
from jaxrl_up.types import Mean

ODD = np.array([-0.0, np.nan, np.inf, 1e-45, -1.5], np.float32)  # what arithmetic would not leave alone


class State(NamedTuple):
    """Of an algorithm: the least that is asked for."""

    policy: dict
    key: jax.Array
    counters: dict


def reached(lanes, first=0):
    """Something to move: all leaves of a lane tell which lane it is."""
    number = first + np.arange(lanes)
    weights = np.roll(np.resize(ODD, lanes), first).reshape(-1, 1) * np.ones((1, 2), np.float32)
    keys = jax.vmap(jax.random.key)(jnp.asarray(number, jnp.uint32))
    state = State({"w": weights}, keys, {"updates": np.int32(3)})
    floats = number.astype(np.float32)
    log = Log(*(floats + i for i in range(6)), Mean(floats, number), {"loss": Mean(-floats, number)}, number)
    progress = Progress(state, number.astype(np.int32), keys)
    best = Best({"w": -weights}, number.astype(np.float32), number.astype(np.int32))
    return Snapshot(progress, (log, log), best, 5.0, 4.0)


def bits(tree):
    """The leaves as bytes, keys as words."""

    def words(x):
        return np.asarray(jax.random.key_data(x) if jnp.issubdtype(jnp.result_type(x), jax.dtypes.prng_key) else x)

    return [(words(x).dtype, words(x).shape, words(x).tobytes()) for x in jax.tree.leaves(tree)]


LANES = [[(0, 1), (0, 3), (1, 0)], [(1, 2), (0, 0), (1, 1)], [(0, 0)], [(1, 1), (1, 1), (0, 4)]]


@pytest.mark.parametrize(("lanes", "width"), [(1, 1), (1, 2), (3, 3), (2, 5), (4, 4)])
def test_to_the_devices_and_back(cpus, lanes, width):
    there = to_devices(reached(lanes), width)
    assert there.progress.failed_at.shape[0] >= width
    np.testing.assert_array_equal(np.asarray(there.progress.failed_at)[:width], np.arange(width) % lanes)
    assert bits(to_host(there)) == bits(reached(lanes))


@pytest.mark.parametrize("width", [3, 4, 7])
@pytest.mark.parametrize("lanes", LANES)
def test_gathered_over_devices_as_on_the_host(cpus, lanes, width):
    """From five lanes and three, on two devices each, in an order of one's own."""
    parts = [reached(5), reached(3, first=5)]
    found = gather([to_devices(parts[0], 5), to_devices(parts[1], 4)], lanes, width)
    singles = [to_devices(choose(parts[part], [lane]), 1) for part, lane in lanes]
    number = [5 * part + lane for part, lane in lanes]
    np.testing.assert_array_equal(np.asarray(found.progress.failed_at)[:width], np.resize(number, width))
    assert len(found.progress.failed_at) == width + width % len(cpus)
    assert len({shard.device for shard in found.progress.failed_at.addressable_shards}) == 2
    for i, single in enumerate(singles):
        assert bits(choose(to_host(found), [i])) == bits(to_host(single))


def test_gathered_on_one_device(cpus):
    """A single lane goes on, on a single device; what it came from is left as it was."""
    whole = to_devices(reached(5), 5)
    found = gather([whole], [(0, 3)], 1)
    assert bits(to_host(found)) == bits(choose(reached(5), [3]))
    assert {shard.device for shard in found.progress.state.policy["w"].addressable_shards} == {cpus[0]}
    jax.tree.map(lambda x: x.delete(), (found.progress, found.best.policy))
    assert bits(to_host(whole)) == bits(reached(5))


def test_padding_is_dropped_without_a_replica(cpus):
    """Lanes that the devices divide stay as they are; others come to the host, and what they came from is let go of."""
    even, odd = (to_devices(reached(lanes), lanes).progress.state for lanes in (4, 3))
    assert without_padding(even, 4).policy["w"] is even.policy["w"]
    found = without_padding(odd, 3)
    assert isinstance(found.policy["w"], np.ndarray)
    assert odd.policy["w"].is_deleted()
    assert bits(found) == bits(reached(3).progress.state)


def test_what_is_fetched_is_not_kept_twice(cpus):
    """NumPy's copy of an array on many devices stays as long as the array does."""
    there = to_devices(reached(4), 4)
    to_host(there)
    assert all(x._npy_value is None for x in jax.tree.leaves((there.best.policy, there.progress.failed_at)))


def test_lanes_begin_on_their_devices_as_on_one(cpus):
    """Each device with its share, the last filled up by the first lane."""
    config = canonical(tiny(DQN))
    some = begin_lanes(DQN, cartpole(), config, {}, keys_of((3, 4, 5)), lane_mesh(3))
    alone = [begin_lanes(DQN, cartpole(), config, {}, keys_of(seeds), None) for seeds in ((3, 4), (5, 3))]
    for spread, *parts in zip(*(jax.tree.leaves(x.state.learner) for x in (some, *alone)), strict=True):
        assert {shard.device for shard in spread.addressable_shards} == set(cpus)
        np.testing.assert_array_equal(np.asarray(spread), np.concatenate([np.asarray(x) for x in parts]))
    assert int(some.state.counters.updates) == 0


def test_never_more_than_a_share_begins_at_once(cpus, monkeypatch):
    begin, widths = begin_program(), []
    monkeypatch.setattr(lanes, "begin_program", lambda: lambda *args: widths.append(len(args[-1])) or begin(*args))
    begin_lanes(DQN, cartpole(), canonical(tiny(DQN)), {}, keys_of((3, 4, 5)), lane_mesh(3))
    assert widths == [2, 2]
