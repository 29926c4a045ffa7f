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
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from jaxrl_up.types import Array

Result = tuple[tuple[int, ...], Any]  # shape and dtype of what one environment gives
host_call_p = Primitive("host_call")
host_call_p.multiple_results = True


def host_call(
    function: Callable[..., Sequence[np.ndarray]], results: Sequence[Result], *arguments: Array
) -> list[Array]:
    """Call `function` on the host: NumPy arrays `[N, ...]` in and out, N as many as `vmap` makes of it.

    `results` are the shapes and dtypes of one of the N, as `arguments` are of one. The function has to be pure, as XLA
    may leave a call out or make it twice, and thread-safe, as devices call at once; equal ones share a program. It may
    not raise: see `Guard`.
    """
    kinds = tuple((tuple(shape), np.dtype(dtype)) for shape, dtype in results)
    out = host_call_p.bind(*(jnp.asarray(x)[None] for x in arguments), function=function, results=kinds)
    return [x[0] for x in out]


@host_call_p.def_abstract_eval
def _shapes(*avals: Any, function: Any, results: tuple[Result, ...]) -> list[Any]:
    return [ShapedArray((avals[0].shape[0], *shape), dtype) for shape, dtype in results]


def _batched(arguments: Sequence[Array], axes: Sequence[Any], *, function: Any, results: Any) -> Any:
    size = next(x.shape[axis] for x, axis in zip(arguments, axes, strict=True) if axis is not None)
    given = []
    for x, axis in zip(arguments, axes, strict=True):
        x = jnp.broadcast_to(x, (size, *x.shape)) if axis is None else jnp.moveaxis(x, axis, 0)
        given.append(x.reshape(-1, *x.shape[2:]))
    out = host_call_p.bind(*given, function=function, results=results)
    return [x.reshape(size, -1, *x.shape[1:]) for x in out], [0] * len(out)


def _lowered(context: Any, *arguments: Any, function: Any, results: Any) -> Any:
    def call(*given: Any) -> tuple[np.ndarray, ...]:
        return tuple(function(*map(np.asarray, given)))

    shapes = context.avals_in, context.avals_out
    return mlir.emit_python_callback(
        context, call, None, list(arguments), *shapes, has_side_effect=False, returns_token=False
    )[0]


def _not_differentiable(*given: Any, **options: Any) -> Any:
    raise ValueError("an environment that runs on the host cannot be differentiated")


@cache
def _jitted(function: Any, results: Any) -> Callable[..., Any]:
    return jax.jit(partial(host_call_p.bind, function=function, results=results))


host_call_p.def_impl(lambda *arguments, function, results: _jitted(function, results)(*arguments))
batching.primitive_batchers[host_call_p] = _batched
ad.primitive_jvps[host_call_p] = _not_differentiable
mlir.register_lowering(host_call_p, _lowered, cacheable=False)


class HostError(RuntimeError):
    """A simulator on the host raised an error; what the program computed with it is of no use."""


class Guard:
    """What simulators raise within a program, where nothing may be raised, kept for who waits for the program."""

    def __init__(self) -> None:
        self.lock, self.error = threading.Lock(), ""

    def note(self, name: str, error: BaseException) -> None:
        """Keep the first error of a program."""
        with self.lock:
            reason = (str(error).splitlines() or [""])[0]
            self.error = self.error or f"{name}: its simulator raised {type(error).__name__}: {reason}"

    @property
    def failed(self) -> bool:
        """Whether there was an error that nobody was told of yet: then a step need not be made."""
        return bool(self.error)

    def check(self) -> None:
        """Raise `HostError`, once, if a simulator has raised an error since the last call."""
        with self.lock:
            error, self.error = self.error, ""
        if error:
            raise HostError(error)


GUARD = Guard()
