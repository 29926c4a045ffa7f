"""Lanes moved between the host and the devices come out bit for bit as they went in."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_up.lanes import choose, gather, to_devices, to_host
from jaxrl_up.saved_runs import Best, Reached
from jaxrl_up.training import Log, Progress

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
    log = Log(*(number.astype(np.float32) + i for i in range(7)), {"loss": -number.astype(np.float32)}, number)
    progress = Progress(state, number.astype(np.int32), keys)
    best = Best({"w": -weights}, number.astype(np.float32), number.astype(np.int32))
    return Reached(progress, (log, log), best, 5.0, 4.0)


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
