"""Python within a compiled program: batches, threads, and errors that reach the caller."""

import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, Mesh, PartitionSpec

from jaxrl_up.envs import GUARD, HostError, host_call


class Doubling:
    """Doubles, and keeps the shapes of what it was given."""

    def __init__(self):
        self.shapes = []

    def __call__(self, x):
        self.shapes.append(x.shape)
        return 2 * x, x.sum(axis=tuple(range(1, x.ndim))).astype(np.float32)


def doubled(function, x, **options):
    return host_call(function, ((x.shape, x.dtype), ((), jnp.float32)), x, **options)


def test_a_batch_is_one_call_with_all_its_axes_in_one():
    function, x = Doubling(), jnp.arange(24, dtype=jnp.float32).reshape(4, 2, 3)
    alone = doubled(function, x[0, 0])
    assert alone[0].shape == (3,) and alone[1] == 3.0
    twice, total = jax.jit(jax.vmap(jax.vmap(lambda x: doubled(function, x)), in_axes=1))(x)
    np.testing.assert_array_equal(twice, 2 * jnp.moveaxis(x, 1, 0))
    np.testing.assert_array_equal(total, x.sum(-1).T)
    assert function.shapes == [(1, 3), (8, 3)]


def test_what_has_no_batch_axis_is_repeated():
    def add(x, y):
        return (x + y,)

    out = jax.vmap(lambda x, y: host_call(add, (((), jnp.float32),), x, y)[0], in_axes=(0, None))
    np.testing.assert_array_equal(out(jnp.arange(3.0), jnp.float32(1)), [1, 2, 3])


@pytest.mark.parametrize("once", [False, True])
def test_it_is_called_once_a_step(once):
    function = Doubling()

    @jax.jit
    def loop(x):
        return jax.lax.fori_loop(0, 50, lambda _, x: jax.vmap(lambda x: doubled(function, x, once=once))(x)[0] / 2, x)

    np.testing.assert_array_equal(loop(jnp.ones((5, 3))), jnp.ones((5, 3)))
    assert function.shapes == [(5, 3)] * 50


def test_once_is_neither_dropped_nor_shared_nor_moved_out_of_a_loop():
    function = Doubling()

    @jax.jit
    def loop(x):
        def body(_, total):
            one, two = doubled(function, x, once=True), doubled(function, x, once=True)
            return total + one[1] + two[1]

        return jax.lax.fori_loop(0, 5, body, jnp.float32(0))

    assert loop(jnp.ones(3)) == 30
    assert len(function.shapes) == 10


class Equal(Doubling):
    def __eq__(self, other):
        return isinstance(other, Equal)

    def __hash__(self):
        return 0


def test_equal_functions_share_a_program():
    traced = []

    def call(function, x):
        traced.append(function)
        return doubled(function, x)[0]

    program = jax.jit(call, static_argnums=0)
    program(Equal(), jnp.ones(3))
    program(Equal(), jnp.ones(3))
    assert len(traced) == 1


def test_two_devices_call_at_once_with_arrays_of_megabytes(cpus):
    """Each waits in its callback for the other, so they have to be there together, and neither waits for XLA."""
    together, x = threading.Barrier(2, timeout=60), np.ones((2, 400_000), np.float32)  # 1.6 MB each

    def meet(x):
        together.wait()
        return (x + 1,)

    def loop(x):
        return jax.lax.fori_loop(0, 20, lambda _, x: host_call(meet, ((x.shape, x.dtype),), x)[0], x)

    mesh, lanes = Mesh(np.array(cpus), ("lanes",), axis_types=(AxisType.Auto,)), PartitionSpec("lanes")
    program = jax.jit(jax.shard_map(jax.vmap(loop), mesh=mesh, in_specs=lanes, out_specs=lanes, check_vma=False))
    np.testing.assert_array_equal(program(x), np.full((2, 400_000), 21.0))


def test_it_has_no_derivative():
    with pytest.raises(ValueError, match="runs on the host cannot be differentiated"):
        jax.grad(lambda x: doubled(Doubling(), x)[1])(jnp.ones(3))


def failing(x):
    GUARD.note("a simulator", KeyError("knee"))
    return (x,)


def test_an_error_is_raised_by_who_waits_once():
    def call(x):
        return host_call(failing, ((x.shape, x.dtype),), x)[0]

    with pytest.raises(HostError, match="a simulator: its simulator raised KeyError: 'knee'"):  # outside of a program
        call(jnp.ones(3))
    program = jax.jit(call)
    program(jnp.ones(3)).block_until_ready()
    assert GUARD.failed
    with pytest.raises(HostError, match="knee"):
        GUARD.watch(lambda: program(jnp.ones(3)))
    GUARD.check()
    program(jnp.ones(3)).block_until_ready()
    np.testing.assert_array_equal(GUARD.watch(lambda: jnp.ones(3)), jnp.ones(3))  # not the error of the one before
    assert not GUARD.failed


def test_a_program_beside_it_takes_no_error_away_and_one_after_it_gets_none():
    begun = GUARD.begin()
    GUARD.note("a simulator", ValueError("elbow"))
    assert GUARD.watch(lambda: 1) == 1  # as of a run in another thread, which begins now
    later = GUARD.begin()
    with pytest.raises(HostError, match="a simulator: its simulator raised ValueError: elbow"):
        GUARD.check(begun)
    GUARD.check(later)
    GUARD.check()
    GUARD.note("another", ValueError("knee"))
    for mark in (begun, later):  # both ran when it was raised; the first is told what it was told before
        with pytest.raises(HostError, match="elbow" if mark == begun else "knee"):
            GUARD.check(mark)


def test_within_another_program_the_outer_one_is_watched():
    def inner(x):
        return GUARD.watch(lambda: host_call(failing, ((x.shape, x.dtype),), x)[0])

    program = jax.jit(inner)
    with pytest.raises(HostError, match="knee"):
        GUARD.watch(lambda: program(jnp.ones(3)))
