"""Policies for deployment: one file with a compiled program for JAX, and the same program for NumPy alone.

`policy.bin` is a zip file:

    about.json           format, versions, algorithm, environment, spaces, the parts of a memory, and where the policy
                         comes from
    policy.jax           the program, serialised by jax.export for CPU and CUDA, any number of observations
    memory.jax           what begins a memory, for a policy that remembers, from any number of keys
    program.json         the program as array operations, for NumPy (see numpy_policy.py),
    constants/<i>.npy    the constants it works on, and
    memory/<i>.npy       how a memory begins

Both programs are `act` of the algorithm, traced once with the policy as constants: the observation normaliser and the
bounds of the actions are in it. Equal policies make equal files; a file holds no path of the machine it was made on.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_batching import custom_vmap

from jaxrl_up._version import __version__
from jaxrl_up.algorithms import check_policy, take_config, take_names
from jaxrl_up.config import as_key, flag
from jaxrl_up.deploy import numpy_policy
from jaxrl_up.deploy.numpy_policy import CONSTANT, FORMAT, MEMORY
from jaxrl_up.deploy.programs import export_policy, greedy, is_key, numpy_program, words_of
from jaxrl_up.envs import Box, Dict, Discrete, Env, Mask, MultiDiscrete, Simulator, Space, Tuple
from jaxrl_up.learning import acting_space
from jaxrl_up.records import expand, write_atomically
from jaxrl_up.types import Algorithm, Array, PyTree


@dataclass(frozen=True, eq=False)
class Policy:
    """A greedy policy: `policy(obs [..., *shape])` gives actions `[..., *shape]` in the environment's own bounds.

    Observations and actions of a Dict are dicts, those of a Tuple tuples; what the critic alone sees is no part of the
    observation space. A policy that `remembers` is called as `action, memory = policy(obs, memory)`, and an episode
    begins with `memory = policy.initial_memory(key)`.
    """

    about: dict[str, Any]
    observation_space: Space
    action_space: Space
    program: Exported  # the parts of observations and of a memory, [batch, *shape], to those of actions and of a memory
    beginning: Exported | None = None  # the words of keys [batch, W] to the parts of a memory

    @property
    def remembers(self) -> bool:
        """Whether it is called with a memory."""
        return numpy_policy.remembers(self.about)

    def initial_memory(self, key: Any) -> tuple[Array, ...]:
        """What it remembers at the beginning of an episode: its arrays in a tuple, as `jax.tree.leaves` orders them.

        Typed keys with leading axes give a memory with these axes. Raises `ValueError` for a key of another kind than
        that of the live policy, and as `config.as_key`.
        """
        if self.beginning is None:
            return ()
        keys = key if is_key(key) else as_key(key)
        kind = jax.random.key_impl(keys)
        if kind != self.about["key"]:
            raise ValueError(
                f"this policy begins with a key of {self.about['key']}, and not of {kind}: give "
                f"jax.random.key(seed, impl={self.about['key']!r})"
            )
        words = jax.random.key_data(keys)
        parts = self.beginning(words.reshape(math.prod(keys.shape), *words.shape[keys.ndim :]))
        return self._typed([x.reshape((*keys.shape, *x.shape[1:])) for x in parts])

    def __call__(self, obs: Any, memory: PyTree = None) -> Any:
        """An action for `(obs)`, or an action and the memory after it for `(obs, memory)`.

        A memory is any tree of its arrays, also that of the live policy, with the leading axes of the observations.
        Raises `ValueError`, which names the part, for what is no observation of the space or no memory of this policy,
        and `TypeError` if it is called without a memory that it needs, or with one that it does not.
        """
        given = None if memory is None else tuple(map(words_of, jax.tree.leaves(memory)))
        result = numpy_policy.act(self.about, self.program, jnp.asarray, obs, given)
        return (result[0], self._typed(result[1])) if self.remembers else result

    def _typed(self, memory: Sequence[Array]) -> tuple[Array, ...]:
        """Words as the random keys that they are."""
        return tuple(
            jax.random.wrap_key_data(x, impl=leaf["key"]) if "key" in leaf else x
            for leaf, x in zip(self.about["memory"], memory, strict=True)
        )


class Exported:
    """A program from what `jax.export` serialised, which is what is pickled of it: arrays to a list of arrays.

    All of them begin with one axis of any length; what `jax.vmap` adds becomes part of it.
    """

    def __init__(self, serialized: bytes) -> None:
        self.serialized = serialized
        self.call = jax.jit(_joining_axes(jax.export.deserialize(bytearray(serialized)).call))

    def __call__(self, *arguments: Any) -> list[Array]:
        return jax.tree.leaves(self.call(*arguments))

    def __reduce__(self) -> Any:
        return Exported, (self.serialized,)


def _joining_axes(call: Callable[..., PyTree]) -> Callable[..., PyTree]:
    """A function of arrays `[N, ...]`, for any N, as one that may be vmapped."""
    joining = custom_vmap(call)

    @joining.def_vmap
    def _(size: int, batched: Any, *arguments: Any) -> Any:
        every = [
            x if is_batched else jnp.broadcast_to(x, (size, *x.shape))
            for x, is_batched in zip(arguments, batched, strict=True)
        ]
        results = joining(*(x.reshape(-1, *x.shape[2:]) for x in every))
        results = jax.tree.map(lambda x: x.reshape(size, every[0].shape[1], *x.shape[1:]), results)
        return results, jax.tree.map(lambda _: True, results)

    return joining


def load_policy(path: str | Path) -> Policy:
    """Load what `save_policy` wrote, for JAX.

    Raises `OSError` if it cannot be read and `ValueError`, in one line, if it is not a whole policy.
    """
    about, contents = numpy_policy.read(path)
    try:
        program = Exported(contents["policy.jax"])
        beginning = Exported(contents["memory.jax"]) if numpy_policy.remembers(about) else None
        spaces = [_space(about[name]) for name in ("observation_space", "action_space")]
    except Exception as error:  # what flatbuffers, MLIR or JAX say of bytes that are not a program they know
        lines = str(error).strip().splitlines()
        raise ValueError(f"{path} cannot be read: {lines[0] if lines else type(error).__name__}") from None
    return Policy(about, spaces[0], spaces[1], program, beginning)


def save_policy(
    path: str | Path,
    algo: Algorithm | str,
    env: Env | str,
    config: PyTree,
    policy: PyTree,
    about: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write the greedy policy of one seed (one of `state.policy [S, ...]`) for JAX and, where it can be, for NumPy.

    `about` is added to what the file says about itself: anything that JSON can hold, under other names than its own.
    The file appears whole or not at all. Raises `OSError` if it cannot be written, or exists and may not be
    overwritten, and `ValueError` or `TypeError` for a policy that is not of this algorithm, environment and config, or
    that acts on a simulator, and for an `overwrite` that is no flag.
    """
    algo, env = take_names(algo, env, config)
    config = take_config(algo, config)
    path = check_path(path, overwrite)
    described = {
        "jaxrl_up policy": FORMAT,
        "jaxrl_up": __version__,
        "jax": jax.__version__,
        "algorithm": algo.name,
        "environment": env.name,
        "observation_space": _describe(acting_space(env)),
        "action_space": _describe(env.action_space),
    }
    taken = {*described, "memory", "key", "numpy"} & {*(about or {})}
    if taken:
        raise ValueError(f"about: what the file says of {min(taken)!r} it says itself; choose another name")
    described |= about or {}
    try:
        found = greedy(algo, env, config, policy)
        program, beginning = export_policy(algo, env, config, policy)
    except Exception:
        check_policy(algo, env, config, policy)
        raise
    contents = {"policy.jax": program}
    if beginning is not None:
        described |= {"memory": found.memory, "key": found.kind}
        contents["memory.jax"] = beginning
    try:
        operations = numpy_program(algo, env, config, policy)
    except NotImplementedError as error:
        described["numpy"] = str(error)
    else:
        listed = {"constants": len(operations.constants), "steps": operations.steps, "outputs": operations.outputs}
        contents["program.json"] = json.dumps(listed).encode()
        contents |= {CONSTANT.format(i): _npy(x) for i, x in enumerate(operations.constants)}
        contents |= {MEMORY.format(i): _npy(x) for i, x in enumerate(operations.beginning)}
    contents = {"about.json": json.dumps(described, indent=1).encode(), **contents}
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as file:
        for name, data in contents.items():
            file.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)  # without the time of day
    try:
        write_atomically(path, whole.getvalue())
    except OSError as error:
        raise OSError(f"cannot write {path}: {error.strerror}") from error
    return path


def check_path(path: str | Path, overwrite: bool = False) -> Path:
    """Raise what `save_policy` would raise for this path, before anything is computed."""
    path, overwrite = expand(path), flag("overwrite", overwrite)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a directory: name the file, as in {path / 'policy.bin'}")
    if not path.parent.is_dir():
        raise NotADirectoryError(f"cannot write {path}: there is no directory {path.parent}")
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists already: choose another name or allow to overwrite it")
    return path


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array, allow_pickle=False)
    return file.getvalue()


def _describe(space: Space) -> dict[str, Any]:
    kind = {"kind": type(space).__name__}
    if isinstance(space, Dict):
        return {**kind, "spaces": {name: _describe(part) for name, part in space.items}}
    if isinstance(space, Tuple):
        return {**kind, "spaces": [_describe(part) for part in space.spaces]}
    if isinstance(space, Simulator):
        return kind
    kind = {**kind, "shape": list(space.shape), "dtype": space.dtype.name}
    if isinstance(space, Discrete):
        return {**kind, "n": space.n, "start": space.start}
    if isinstance(space, MultiDiscrete | Mask):
        return {**kind, "sizes": list(space.sizes)}
    binary = {"binary": True} if space.binary else {}
    return {**kind, "low": _bounds(space.low), "high": _bounds(space.high), **binary}


def _bounds(bound: Any) -> Any:
    """One number, or nested lists; None where there is no bound, since JSON has no infinity."""
    if isinstance(bound, tuple):
        return [_bounds(item) for item in bound]
    return bound if math.isfinite(bound) else None


def _space(described: Mapping[str, Any]) -> Space:
    kind = described["kind"]
    if kind == "Dict":
        return Dict({name: _space(part) for name, part in described["spaces"].items()})
    if kind == "Tuple":
        return Tuple(tuple(_space(part) for part in described["spaces"]))
    if kind == "Discrete":
        return Discrete(described["n"], described.get("start", 0))  # format 1 has no start
    if kind in ("MultiDiscrete", "Mask"):
        return {"MultiDiscrete": MultiDiscrete, "Mask": Mask}[kind](tuple(described["sizes"]))
    low, high = (np.asarray(described[name], np.float64) for name in ("low", "high"))  # None becomes NaN
    low, high = np.where(np.isnan(low), -np.inf, low), np.where(np.isnan(high), np.inf, high)
    return Box(low, high, described["shape"], described["dtype"], binary=described.get("binary", False))
