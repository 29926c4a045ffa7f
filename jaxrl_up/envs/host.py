"""Python within a compiled program: one call for a whole batch, and errors that reach the caller.

Not `jax.pure_callback`: that one first puts what it is given on a device, by a thread of XLA's, and where all of these
wait for the callback, it waits for ever: with one thread a device from about 100 KB on. It also takes 67 us, this 10.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import ShapedArray, Tracer
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from jaxrl_up.types import Array

Result = tuple[tuple[int, ...], Any]  # shape and dtype of what one environment gives
host_call_p = Primitive("host_call")
host_call_p.multiple_results = True


def host_call(
    function: Callable[..., Sequence[np.ndarray]], results: Sequence[Result], *arguments: Array, once: bool = False
) -> list[Array]:
    """Call `function` on the host: NumPy arrays `[N, ...]` in and out, N as many as `vmap` makes of it.

    `results` are the shapes and dtypes of one of the N, as `arguments` are of one. The function has to be pure, as XLA
    may leave a call out, make one of equal ones or move one out of a loop; with `once` it does none of it. It has to
    be thread-safe, as devices call at once; equal ones share a program. It may not raise: see `Guard`.
    """
    kinds = tuple((tuple(shape), np.dtype(dtype)) for shape, dtype in results)
    given = [jnp.asarray(x)[None] for x in arguments]
    out = host_call_p.bind(*given, function=function, results=kinds, once=once)
    return [x[0] for x in out]


@host_call_p.def_abstract_eval
def _shapes(*avals: Any, function: Any, results: tuple[Result, ...], once: bool) -> list[Any]:
    return [ShapedArray((avals[0].shape[0], *shape), dtype) for shape, dtype in results]


def _batched(arguments: Sequence[Array], axes: Sequence[Any], *, function: Any, results: Any, once: bool) -> Any:
    size = next(x.shape[axis] for x, axis in zip(arguments, axes, strict=True) if axis is not None)
    given = []
    for x, axis in zip(arguments, axes, strict=True):
        x = jnp.broadcast_to(x, (size, *x.shape)) if axis is None else jnp.moveaxis(x, axis, 0)
        given.append(x.reshape(-1, *x.shape[2:]))
    out = host_call_p.bind(*given, function=function, results=results, once=once)
    return [x.reshape(size, -1, *x.shape[1:]) for x in out], [0] * len(out)


def _lowered(context: Any, *arguments: Any, function: Any, results: Any, once: bool) -> Any:
    def call(*given: Any) -> tuple[np.ndarray, ...]:
        return tuple(function(*map(np.asarray, given)))

    shapes = context.avals_in, context.avals_out
    return mlir.emit_python_callback(
        context, call, None, list(arguments), *shapes, has_side_effect=once, returns_token=False
    )[0]


def _not_differentiable(*given: Any, **options: Any) -> Any:
    raise ValueError("an environment that runs on the host cannot be differentiated")


@cache
def _jitted(function: Any, results: Any, once: bool) -> Callable[..., Any]:
    return jax.jit(partial(host_call_p.bind, function=function, results=results, once=once))


@host_call_p.def_impl
def _called(*arguments: Any, function: Any, results: Any, once: bool) -> Any:
    """A call outside of any program, of which an error is known at once."""
    out = jax.block_until_ready(_jitted(function, results, once)(*arguments))
    GUARD.check()
    return out


batching.primitive_batchers[host_call_p] = _batched
ad.primitive_jvps[host_call_p] = _not_differentiable
mlir.register_lowering(host_call_p, _lowered, cacheable=False)


class HostError(RuntimeError):
    """A simulator on the host raised an error; what the program computed with it is of no use."""


class StateError(RuntimeError):
    """A state that cannot be stepped: what the caller did, and no simulator."""


class WorkerError(RuntimeError):
    """A simulator raised an error in a process of its own: `kind` is the name of the error's class."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


class Guard:
    """What simulators raise within a program, where nothing may be raised, kept for who waits for the program.

    An error is of every program that runs at that time, in whichever thread: which of them called is not known.
    """

    def __init__(self) -> None:
        self.lock, self.told = threading.Lock(), 0
        self.errors: list[str] = []  # the first `told` of them are known, or of programs that are over

    def note(self, name: str, error: BaseException) -> None:
        """Keep the first error of a program."""
        with self.lock:
            reason = (str(error).splitlines() or [""])[0]
            kind = error.kind if isinstance(error, WorkerError) else type(error).__name__
            whose = "" if isinstance(error, StateError) else f"its simulator raised {kind}: "
            if not self.failed:
                self.errors.append(f"{name}: {whose}{reason}")

    def begin(self) -> int:
        """Before a program: how many errors there were, for its `check`."""
        with self.lock:
            self.told = len(self.errors)
            return self.told

    @property
    def failed(self) -> bool:
        """Whether there was an error that nobody was told of yet: then a step need not be made."""
        return len(self.errors) > self.told

    def check(self, begun: int | None = None) -> None:
        """Raise `HostError` if a simulator has raised an error since `begin` gave this number.

        Without it, once, since anybody was told last.
        """
        with self.lock:
            since = self.errors[self.told if begun is None else begun :]
            self.told = len(self.errors)
        if since:
            raise HostError(since[0])

    def watch(self, program: Callable[[], Any]) -> Any:
        """What a program gives, ready; raises `HostError` if a simulator has raised meanwhile.

        Of a program within another one nothing is known yet, so whoever waits for that has to `check`.
        """
        begun = self.begin()
        try:
            results = program()
        except Exception:
            self.check(begun)  # which is the reason
            raise
        if not any(isinstance(x, Tracer) for x in jax.tree.leaves(results)):
            jax.block_until_ready(results)
            self.check(begun)
        return results


GUARD = Guard()
"""The guard of this process."""
