"""Modules of the user's own: what they must not do, and those of flax's nnx as linen modules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
from flax import errors

from jaxrl_up.config import own_variable, shown, where
from jaxrl_up.types import Key, PyTree

PURE = "networks here are functions of parameters and input alone"


def require_pure(field: str, module: nn.Module, x: PyTree) -> None:
    """Raise `ValueError`, for a field of a config, unless a module of `x` has no state beside its parameters.

    A key at each call (Dropout), statistics (BatchNorm) and a carry (GRUCell) are what it may not have. Nothing is
    computed: shapes of `x` suffice.
    """
    name = f"{field}={type(module).__name__}(...)"
    if isinstance(module, nn.RNNCellBase | nn.RNN):
        raise _carries(name)
    if type(module).__name__ == "ToLinen":  # of nnx.bridge
        raise ValueError(f"{name} keeps what is not a parameter beside those: give the nnx module by from_nnx")
    variables = jax.eval_shape(module.init, jax.eval_shape(jax.random.key, 0), x)
    if set(variables) - {"params"}:
        raise _stateful(name, ", ".join(sorted(set(variables) - {"params"})))
    try:
        jax.eval_shape(module.apply, variables, x)
    except errors.InvalidRngError as error:
        raise _needs_key(name, str(error).split("(http")[0].strip().removesuffix(".")) from None


def _carries(name: str) -> ValueError:
    return ValueError(f"{name} hands a carry from step to step, but {PURE}: show the past by envs.frame_stack")


def _stateful(name: str, what: str) -> ValueError:
    return ValueError(f"{name} carries state ({what}), but {PURE}: leave it out, as LayerNorm does without BatchNorm's")


def _needs_key(name: str, why: str) -> ValueError:
    return ValueError(f"{name} needs a key at each call ({why}), but {PURE}: leave it out, as Dropout")


class FromNNX(nn.Module):
    """An nnx module as a linen one; see `from_nnx`. Its parameters are `{"nnx": {path: array}}`."""

    kind: Any
    arguments: tuple[tuple[str, Any], ...] = ()

    @nn.compact
    def __call__(self, x: PyTree) -> Any:
        from flax import nnx

        def build(rngs: Any) -> Any:
            return self.kind(**dict(self.arguments), rngs=rngs)

        def init(key: Key) -> dict[str, jax.Array]:
            state = nnx.to_flat_state(nnx.state(build(nnx.Rngs(key)), nnx.Param))
            return {".".join(map(str, path)): variable.get_value() for path, variable in state}

        graph, state, rest = nnx.split(nnx.eval_shape(lambda: build(nnx.Rngs(0))), nnx.Param, ...)
        others = {type(variable) for _, variable in nnx.to_flat_state(rest)}
        if others:
            name, kinds = f"{self.kind.__name__}(...)", ", ".join(sorted(kind.__name__ for kind in others))
            if all(issubclass(kind, nnx.RngState) for kind in others):
                raise _needs_key(name, f"it keeps {kinds}")
            raise _stateful(name, kinds)
        params = self.param("nnx", init)
        found = [
            (path, variable.replace(params[".".join(map(str, path))])) for path, variable in nnx.to_flat_state(state)
        ]
        return nnx.merge(graph, nnx.from_flat_state(found), rest)(x)


def from_nnx(kind: Callable[..., Any], **arguments: Any) -> FromNNX:
    """A module of flax's nnx as `network=` or `head=` takes it: `kind(**arguments, rngs=...)` once for each network.

    It is built with the keys of the run, so seeds differ; gradients move its `nnx.Param`, and it may have no other
    variables. The sizes of its layers are those that it is built with, for actor and critic alike. Arguments have to be
    hashable, since they are a part of the compiled program. Raises `ValueError` for one that is not, for an instance in
    place of a class, and for a cell with a carry; a module with other variables (Dropout's keys, BatchNorm's
    statistics) is refused when it is first built.
    """
    from flax import nnx

    if isinstance(kind, nnx.Module) or not callable(kind):
        raise ValueError(f"from_nnx takes a class and its arguments, as from_nnx(Net, width=64), not {shown(kind)}")
    if isinstance(kind, type) and issubclass(kind, nnx.RNNCellBase | nnx.RNN):
        raise _carries(f"{kind.__name__}(...)")
    for name, value in arguments.items():
        try:
            hash(value)
        except TypeError:
            raise ValueError(f"{name}={shown(value)} of {kind.__name__} must be hashable: give a tuple") from None
    return FromNNX(kind, tuple(sorted(arguments.items())))


def named_module(field: str, name: str) -> nn.Module:
    """A module of `FILE.py:NAME` or `MODULE:NAME`, for a field of a config.

    NAME is a class of modules, which is called without arguments (one of nnx as by `from_nnx`), a module, or a function
    without arguments that returns one. Raises `ValueError`, with the file and line, for what is none of them, and as
    `config.own_variable` does.
    """
    from flax import nnx

    found, what = own_variable(name), name.rpartition(":")[2]
    if isinstance(found, type) and issubclass(found, nnx.Module):
        return from_nnx(found)
    if not isinstance(found, nn.Module) and callable(found):
        try:
            made = found()
        except Exception as error:
            reason = " ".join(str(error).split())
            raise ValueError(
                f"{where(name)}: {what}() cannot be called without arguments ({reason}): name a variable that "
                f"holds the {field}, as net = {what}(...)"
            ) from error
        found = made
    if not isinstance(found, nn.Module):
        advice = "by from_nnx" if isinstance(found, nnx.Module) else "a class of flax.linen or nnx modules, or a module"
        raise ValueError(f"{where(name)}: {field}={name} is no flax module but {shown(found)}: give one {advice}")
    return found
