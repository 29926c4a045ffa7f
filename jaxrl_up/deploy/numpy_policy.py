"""An exported policy with NumPy alone, for where JAX is not: copy this one file and `policy.bin` there.

    from numpy_policy import load_policy
    policy = load_policy("policy.bin")
    action = policy(obs)  # one observation, or any number of leading axes

    memory = policy.initial_memory()  # of a policy that remembers, when an episode begins
    action, memory = policy(obs, memory)

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
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

FORMAT = 2  # format 1 knows one array of observations, one of actions and no memory
BATCH = "batch"  # stands for the number of observations in the shapes of a program
CONSTANT, MEMORY = "constants/{}.npy", "memory/{}.npy"
TREES = ("Dict", "Tuple")  # spaces made of spaces


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


def _pad(x: np.ndarray, value: np.ndarray, padding_config: Any) -> np.ndarray:
    spread = [size + max(size - 1, 0) * between for size, (_, _, between) in zip(x.shape, padding_config, strict=True)]
    ends = [(max(low, 0), max(high, 0)) for low, high, _ in padding_config]
    padded = np.full([low + size + high for size, (low, high) in zip(spread, ends, strict=True)], value, x.dtype)
    steps = [between + 1 for _, _, between in padding_config]
    padded[tuple(slice(a, a + n, k) for (a, _), n, k in zip(ends, spread, steps, strict=True))] = x
    cut = [(max(-low, 0), max(-high, 0)) for low, high, _ in padding_config]
    return padded[tuple(slice(a, size - b) for (a, b), size in zip(cut, padded.shape, strict=True))]


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
    "pad": Operation(_pad, ("padding_config",)),
    "reduce_and": Operation(lambda x, axes: np.bitwise_and.reduce(x, tuple(axes)), ("axes",)),
    "reduce_max": Operation(lambda x, axes: x.max(tuple(axes)), ("axes",)),
    "reduce_min": Operation(lambda x, axes: x.min(tuple(axes)), ("axes",)),
    "reduce_or": Operation(lambda x, axes: np.bitwise_or.reduce(x, tuple(axes)), ("axes",)),
    "reduce_sum": Operation(lambda x, axes: x.sum(tuple(axes), dtype=x.dtype), ("axes",)),
    "rem": Operation(np.fmod),
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
    """Operations on values, which are numbered: the inputs, the constants, then what each step gives."""

    constants: list[np.ndarray]
    steps: list[dict[str, Any]]  # {"operation": name, "inputs": numbers of values, **parameters}
    outputs: list[int]  # the numbers of the values that are asked for
    beginning: tuple[np.ndarray, ...] = ()  # of a memory, for one episode

    def __call__(self, *inputs: np.ndarray) -> list[np.ndarray]:
        """Arrays `[batch, *shape]` for arrays `[batch, *shape]`."""
        values = [*inputs, *self.constants]
        with np.errstate(all="ignore"):  # as in JAX, exp may overflow to infinity
            for step in self.steps:
                parameters = {name: _with_batch(x, len(inputs[0])) for name, x in step.items()}
                operation, numbers = OPERATIONS[parameters.pop("operation")], parameters.pop("inputs")
                values.append(np.asarray(operation.compute(*(values[i] for i in numbers), **parameters)))
        return [values[i] for i in self.outputs]


@dataclass(frozen=True)
class Policy:
    """A greedy policy: `policy(obs [..., *shape])` gives actions `[..., *shape]` in the environment's own bounds.

    Observations and actions of a Dict are dicts, those of a Tuple tuples. A policy that `remembers` is called as
    `action, memory = policy(obs, memory)`, and an episode begins with `memory = policy.initial_memory()`.
    """

    about: dict[str, Any]
    program: Program

    @property
    def observation_space(self) -> dict[str, Any]:
        """Kind, shape, dtype, and bounds (None: unbounded), `n` or `sizes`; of a Dict or a Tuple kind and `spaces`."""
        return self.about["observation_space"]

    @property
    def action_space(self) -> dict[str, Any]:
        """As `observation_space`."""
        return self.about["action_space"]

    @property
    def remembers(self) -> bool:
        """Whether it is called with a memory."""
        return remembers(self.about)

    def initial_memory(self, key: Any = None, lead: tuple[int, ...] = ()) -> tuple[np.ndarray, ...]:
        """What it remembers at the beginning of an episode, with leading axes `lead` of many: arrays, in a tuple.

        No `key` changes it: a memory that begins with a draw is for JAX.
        """
        return tuple(np.broadcast_to(x, (*lead, *x.shape)).copy() for x in self.program.beginning)

    def __call__(self, obs: Any, memory: Any = None) -> Any:
        """An action for `(obs)`, or an action and the memory after it for `(obs, memory)`.

        Raises `ValueError`, which names the part, for what is no observation of the space or no memory of this policy,
        and `TypeError` if it is called without a memory that it needs, or with one that it does not.
        """
        return act(self.about, self.program, np.asarray, obs, memory)


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
        outputs = program["outputs"] if "outputs" in program else [program["output"]]  # the latter in format 1
        unknown = {step["operation"] for step in program["steps"]} - set(OPERATIONS)
        if unknown:
            raise ValueError(f"unknown operation {min(unknown)!r}")
        beginning = tuple(_array(contents[MEMORY.format(i)]) for i in range(len(about.get("memory", ()))))
        return Policy(about, Program(constants, program["steps"], outputs, beginning))
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
    if form not in range(1, FORMAT + 1):
        raise ValueError(f"{path} is of format {form}, but this version reads formats 1 to {FORMAT}")
    return about, contents


def act(
    about: Mapping[str, Any], program: Callable[..., Any], as_array: Callable[[Any], Any], obs: Any, memory: Any
) -> Any:
    """What a policy gives: its program maps parts of observations, and of a memory, to parts of actions and a memory.

    `as_array` makes an array of a part, NumPy's or JAX's. Raises as `Policy` when called.
    """
    if remembers(about) and memory is None:
        raise TypeError(
            "this policy remembers: call it as `action, memory = policy(obs, memory)`, and begin an episode with "
            "`memory = policy.initial_memory(key)`"
        )
    if not remembers(about) and not (memory is None or (isinstance(memory, tuple) and not memory)):
        raise TypeError("this policy remembers nothing: call it as `action = policy(obs)`")
    described = about.get("memory", [])
    remembered = () if memory is None else memory if isinstance(memory, tuple | list) else (memory,)
    if len(described) != len(remembered):
        raise ValueError(f"a memory of this policy has {len(described)} parts, and not {len(remembered)}")
    given = [("observations", *part) for part in parts(about["observation_space"], obs)]
    given += [("parts of the memory", x["path"], x, part) for x, part in zip(described, remembered, strict=True)]
    lead, inputs = flattened(given, as_array)
    results = [x.reshape((*lead, *x.shape[1:])) for x in program(*inputs)]
    after = results[len(results) - len(described) :]
    action = composed(about["action_space"], iter(results))
    return (action, tuple(after)) if described else action


def remembers(about: Mapping[str, Any]) -> bool:
    """Whether a policy that says this about itself is called with a memory."""
    return bool(about.get("memory"))


def parts(space: Mapping[str, Any], element: Any, path: str = "") -> list[tuple[str, Mapping[str, Any], Any]]:
    """The path, the description and the part of each leaf, in the order of a program's inputs.

    What a described space does not name is left out of dicts. Raises `ValueError` for observations of other parts.
    """
    if space["kind"] not in TREES:
        return [(path, space, element)]
    at = f" at {path!r}" if path else ""
    if space["kind"] == "Dict":
        named = list(space["spaces"].items())
        if not isinstance(element, Mapping):
            raise ValueError(f"observations{at} are no dict of {', '.join(name for name, _ in named)}")
        missing = [name for name, _ in named if name not in element]
        if missing:
            raise ValueError(f"observations lack the part {_below(path, missing[0])!r}")
    else:
        named = list(enumerate(space["spaces"]))
        if not isinstance(element, tuple | list) or len(element) != len(named):
            raise ValueError(f"observations{at} are no tuple of {len(named)} parts")
    return [leaf for name, part in named for leaf in parts(part, element[name], _below(path, name))]


def composed(space: Mapping[str, Any], leaves: Iterator[Any]) -> Any:
    """The element of a described space that has these leaves, in the order of `parts`."""
    if space["kind"] == "Dict":
        return {name: composed(part, leaves) for name, part in space["spaces"].items()}
    if space["kind"] == "Tuple":
        return tuple(composed(part, leaves) for part in space["spaces"])
    return next(leaves)


def flattened(
    given: list[tuple[str, str, Mapping[str, Any], Any]], as_array: Callable[[Any], Any]
) -> tuple[tuple[int, ...], list[Any]]:
    """The leading axes that arrays `[..., *shape]` share, and the arrays as `[batch, *shape]` of their leaf's dtype.

    Each is given with what it is, its path and its leaf. Raises `ValueError` for what is no array, for another shape,
    other leading axes than the first array has, or floats where the leaf has integers.
    """
    lead, flat = None, []
    for what, path, leaf, x in given:
        at, shape, dtype = f" at {path!r}" if path else "", tuple(leaf["shape"]), np.dtype(leaf["dtype"])
        try:
            x = as_array(x)
        except (TypeError, ValueError):
            raise ValueError(f"{what}{at} are no array of numbers") from None
        axes = x.ndim - len(shape)
        if axes < 0 or x.shape[axes:] != shape or 0 in x.shape[:axes]:
            raise ValueError(f"{what} of shape {x.shape}{at} are not one or more of shape {shape}")
        whole = np.issubdtype(x.dtype, np.integer) or x.dtype == np.bool_
        if not (whole or (np.issubdtype(x.dtype, np.floating) and np.issubdtype(dtype, np.floating))):
            raise ValueError(f"{what} of dtype {np.dtype(x.dtype)}{at} are not of the space's, {dtype}")
        lead = x.shape[:axes] if lead is None else lead
        if x.shape[:axes] != lead:
            raise ValueError(f"{what}{at} have the leading axes {x.shape[:axes]}, those before them {lead}")
        flat.append(x.astype(dtype).reshape(math.prod(lead), *shape))
    return lead or (), flat


def _below(path: str, name: Any) -> str:
    return f"{path}/{name}" if path else str(name)


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
    """`python numpy_policy.py FILE [OBSERVATION [MEMORY]]`: say what the policy is, or its action (as JSON).

    Of a policy that remembers, the action and the memory after it; without MEMORY it begins an episode.
    """
    if not 1 <= len(arguments) <= 3 or arguments[0].startswith("-"):
        print("usage: python numpy_policy.py policy.bin ['[0.1, 0, -0.2, 0]' [MEMORY]]", file=sys.stderr)
        return 2
    try:
        policy = load_policy(arguments[0])
        given = [json.loads(argument) for argument in arguments[1:]]
        if len(given) == 1 and policy.remembers:
            given.append(policy.initial_memory())
        result = _listed(policy(*given)) if given else policy.about
    except (ValueError, TypeError, OSError) as error:
        print(f"numpy_policy: error: {error}", file=sys.stderr)
        return 2
    print(json.dumps(result))
    return 0


def _listed(result: Any) -> Any:
    """Arrays in dicts and tuples as JSON holds them."""
    if isinstance(result, dict):
        return {name: _listed(part) for name, part in result.items()}
    return [_listed(part) for part in result] if isinstance(result, tuple) else result.tolist()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
