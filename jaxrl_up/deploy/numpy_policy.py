"""An exported policy with NumPy alone, for where JAX is not: copy this one file and `policy.bin` there.

    from numpy_policy import load_policy
    policy = load_policy("policy.bin")
    action = policy(obs)  # one observation, or any number of leading axes

    python numpy_policy.py policy.bin                       # what the policy is
    python numpy_policy.py policy.bin "[0.1, 0, -0.2, 0]"   # its action

The file holds the array operations that JAX itself recorded of the live policy, and the constants they work on: the
weights, the observation normaliser, the bounds. They are carried out here one after the other. The alternative, a
list of layers with a rule for each kind of algorithm and head, would repeat in NumPy what the networks and algorithms
say, and could come apart from them; here nothing knows what a layer or a Gaussian is, so every policy that is made of
the `OPERATIONS` below works, a network of your own included.

A file is data: nothing in it is executed or unpickled.
"""

from __future__ import annotations

import io
import json
import math
import sys
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

FORMAT = 1
BATCH = "batch"  # stands for the number of observations in the shapes of a program
CONSTANT = "constants/{}.npy"


class Operation(NamedTuple):
    """A JAX primitive in NumPy: `compute(*arrays, **parameters)`."""

    compute: Callable[..., np.ndarray]
    parameters: tuple[str, ...] = ()


def _dot_general(x: np.ndarray, y: np.ndarray, dimension_numbers: Any) -> np.ndarray:
    contracted, _ = dimension_numbers
    return np.tensordot(x, y, contracted)


def _broadcast_in_dim(x: np.ndarray, shape: Any, broadcast_dimensions: Any) -> np.ndarray:
    aligned = [1] * len(shape)
    for axis, size in zip(broadcast_dimensions, x.shape, strict=True):
        aligned[axis] = size
    return np.broadcast_to(x.reshape(aligned), shape)


def _slice(x: np.ndarray, start_indices: Any, limit_indices: Any, strides: Any) -> np.ndarray:
    steps = strides or [1] * x.ndim
    return x[tuple(slice(*ends) for ends in zip(start_indices, limit_indices, steps, strict=True))]


OPERATIONS = {
    "abs": Operation(np.abs),
    "add": Operation(np.add),
    "and": Operation(np.bitwise_and),
    "argmax": Operation(lambda x, axes, index_dtype: x.argmax(axes[0]).astype(index_dtype), ("axes", "index_dtype")),
    "argmin": Operation(lambda x, axes, index_dtype: x.argmin(axes[0]).astype(index_dtype), ("axes", "index_dtype")),
    "broadcast_in_dim": Operation(_broadcast_in_dim, ("shape", "broadcast_dimensions")),
    "clamp": Operation(lambda low, x, high: np.minimum(np.maximum(x, low), high)),
    "concatenate": Operation(lambda *arrays, dimension: np.concatenate(arrays, dimension), ("dimension",)),
    "convert_element_type": Operation(lambda x, new_dtype: x.astype(new_dtype), ("new_dtype",)),
    "cos": Operation(np.cos),
    "div": Operation(np.divide),
    "dot_general": Operation(_dot_general, ("dimension_numbers",)),
    "eq": Operation(np.equal),
    "exp": Operation(np.exp),
    "expm1": Operation(np.expm1),
    "ge": Operation(np.greater_equal),
    "gt": Operation(np.greater),
    "integer_pow": Operation(lambda x, y: x**y, ("y",)),
    "le": Operation(np.less_equal),
    "log": Operation(np.log),
    "log1p": Operation(np.log1p),
    "logistic": Operation(lambda x: 1 / (1 + np.exp(-x))),
    "lt": Operation(np.less),
    "max": Operation(np.maximum),
    "min": Operation(np.minimum),
    "mul": Operation(np.multiply),
    "ne": Operation(np.not_equal),
    "neg": Operation(np.negative),
    "not": Operation(np.bitwise_not),
    "or": Operation(np.bitwise_or),
    "reduce_max": Operation(lambda x, axes: x.max(tuple(axes)), ("axes",)),
    "reduce_min": Operation(lambda x, axes: x.min(tuple(axes)), ("axes",)),
    "reduce_sum": Operation(lambda x, axes: x.sum(tuple(axes), dtype=x.dtype), ("axes",)),
    "reshape": Operation(lambda x, new_sizes: x.reshape(new_sizes), ("new_sizes",)),
    "rsqrt": Operation(lambda x: 1 / np.sqrt(x)),
    "select_n": Operation(lambda which, when_false, when_true: np.where(which, when_true, when_false)),
    "sign": Operation(np.sign),
    "sin": Operation(np.sin),
    "slice": Operation(_slice, ("start_indices", "limit_indices", "strides")),
    "sqrt": Operation(np.sqrt),
    "square": Operation(np.square),
    "squeeze": Operation(lambda x, dimensions: x.squeeze(tuple(dimensions)), ("dimensions",)),
    "stack": Operation(lambda *arrays, axis: np.stack(arrays, axis), ("axis",)),
    "sub": Operation(np.subtract),
    "tanh": Operation(np.tanh),
    "transpose": Operation(lambda x, permutation: x.transpose(permutation), ("permutation",)),
}


class Program(NamedTuple):
    """Operations on values, which are numbered: the observations, the constants, then what each step gives."""

    constants: list[np.ndarray]
    steps: list[dict[str, Any]]  # {"operation": name, "inputs": numbers of values, **parameters}
    output: int  # the number of the value that is the actions

    def __call__(self, obs: np.ndarray) -> np.ndarray:
        """Actions `[batch, *shape]` for observations `[batch, *shape]`."""
        values = [obs, *self.constants]
        with np.errstate(all="ignore"):  # as in JAX, exp may overflow to infinity
            for step in self.steps:
                parameters = {name: _with_batch(x, len(obs)) for name, x in step.items()}
                operation, inputs = OPERATIONS[parameters.pop("operation")], parameters.pop("inputs")
                values.append(np.asarray(operation.compute(*(values[i] for i in inputs), **parameters)))
        return values[self.output]


@dataclass(frozen=True)
class Policy:
    """A greedy policy: `policy(obs [..., *shape])` gives actions `[..., *shape]` in the environment's own bounds."""

    about: dict[str, Any]
    program: Program

    @property
    def observation_space(self) -> dict[str, Any]:
        """Kind, shape, dtype and bounds (None: unbounded) or `n`."""
        return self.about["observation_space"]

    @property
    def action_space(self) -> dict[str, Any]:
        """Kind, shape, dtype and bounds (None: unbounded) or `n`."""
        return self.about["action_space"]

    def __call__(self, obs: Any) -> np.ndarray:
        """Act on observations; raises `ValueError` if their shape or dtype is not that of the observation space."""
        obs = np.asarray(obs)
        space = self.observation_space
        lead = leading_axes(obs.shape, obs.dtype, tuple(space["shape"]), np.dtype(space["dtype"]))
        actions = self.program(obs.astype(space["dtype"]).reshape(math.prod(lead), *space["shape"]))
        return actions.reshape((*lead, *actions.shape[1:]))


def load_policy(path: str | Path) -> Policy:
    """Load what `jaxrl-up export` wrote.

    Raises `OSError` if it cannot be read and `ValueError`, in one line, if it is not a whole policy, or one that NumPy
    cannot compute.
    """
    about, contents = read(path)
    if "numpy" in about:
        raise ValueError(
            f"{path} is not for NumPy alone: {about['numpy']}, which NumPy lacks; load it with "
            "jaxrl_up.deploy.load_policy"
        )
    try:
        program = json.loads(contents["program.json"])
        constants = [_array(contents[CONSTANT.format(i)]) for i in range(program["constants"])]
        unknown = {step["operation"] for step in program["steps"]} - set(OPERATIONS)
        if unknown:
            raise ValueError(f"unknown operation {min(unknown)!r}")
        return Policy(about, Program(constants, program["steps"], program["output"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is damaged: {_first_line(error)}") from None


def read(path: str | Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """What a policy file says about itself, and its contents by name; raises as `load_policy`."""
    data = Path(path).expanduser().read_bytes()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            contents = {name: file.read(name) for name in file.namelist()}
        about = json.loads(contents["about.json"])
        form = about["jaxrl_up policy"]
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        raise ValueError(f"{path} is not a policy file, or not a whole one: {_first_line(error)}") from None
    except (KeyError, TypeError, ValueError, RuntimeError, NotImplementedError):
        raise ValueError(f"{path} is not a policy file of jaxrl_up") from None
    if form != FORMAT:
        raise ValueError(f"{path} is of format {form}, but this version reads format {FORMAT}")
    return about, contents


def leading_axes(
    shape: tuple[int, ...], dtype: Any, space_shape: tuple[int, ...], space_dtype: np.dtype
) -> tuple[int, ...]:
    """The axes of observations before those of the space; raises `ValueError` if they are not of the space."""
    check_observations(shape, dtype, space_shape, space_dtype)
    lead = shape[: len(shape) - len(space_shape)]
    if 0 in lead:
        raise ValueError(f"observations of shape {shape} are not one or more of shape {space_shape}")
    return lead


def check_observations(shape: tuple[int, ...], dtype: Any, space_shape: tuple[int, ...], space_dtype: np.dtype) -> None:
    """Raise `ValueError` for observations `[..., *shape]` of another shape, or floats where the space has integers."""
    axes = len(shape) - len(space_shape)
    if axes < 0 or shape[axes:] != space_shape:
        raise ValueError(f"observations of shape {shape} are not one or more of shape {space_shape}")
    whole = np.issubdtype(dtype, np.integer) or dtype == np.bool_
    if not (whole or (np.issubdtype(dtype, np.floating) and np.issubdtype(space_dtype, np.floating))):
        raise ValueError(f"observations of dtype {np.dtype(dtype)} are not of the space's, {space_dtype}")


def _array(data: bytes) -> np.ndarray:
    return np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)


def _with_batch(x: Any, batch: int) -> Any:
    if isinstance(x, list):
        return [_with_batch(item, batch) for item in x]
    return batch if x == BATCH else x


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def main(arguments: list[str]) -> int:
    """`python numpy_policy.py FILE [OBSERVATION]`: say what the policy is, or its action (as JSON)."""
    if not 1 <= len(arguments) <= 2 or arguments[0].startswith("-"):
        print("usage: python numpy_policy.py policy.bin ['[0.1, 0, -0.2, 0]']", file=sys.stderr)
        return 2
    try:
        policy = load_policy(arguments[0])
        result = policy.about if len(arguments) == 1 else policy(json.loads(arguments[1])).tolist()
    except (ValueError, OSError) as error:
        print(f"numpy_policy: error: {error}", file=sys.stderr)
        return 2
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
