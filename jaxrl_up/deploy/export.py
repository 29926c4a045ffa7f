"""Policies for deployment: one file with a compiled program for JAX, and the same program for NumPy alone.

`policy.bin` is a zip file:

    about.json           format, versions, algorithm, environment, spaces, and where the policy comes from
    policy.jax           the program, serialised by jax.export for CPU and CUDA, any number of observations
    program.json         the program as array operations, for NumPy (see numpy_policy.py), and
    constants/<i>.npy    the constants it works on

Both programs are `act` of the algorithm, traced once with the policy as constants: the observation normaliser and the
bounds of the actions are in it. Equal policies make equal files; a file holds no path of the machine it was made on.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

from jaxrl_up._version import __version__
from jaxrl_up.algorithms import check_policy, take_config, take_names
from jaxrl_up.config import canonical
from jaxrl_up.deploy import numpy_policy
from jaxrl_up.deploy.numpy_policy import BATCH, CONSTANT, FORMAT, OPERATIONS, Program
from jaxrl_up.envs import Box, Discrete, Env
from jaxrl_up.records import expand, write_atomically
from jaxrl_up.types import Algorithm, Array, PyTree

PLATFORMS = ("cpu", "cuda")
CALLS = ("jit", "custom_jvp_call", "custom_vjp_call", "closed_call")  # these only hold other operations
IDENTITIES = ("stop_gradient", "copy", "optimization_barrier")


@dataclass(frozen=True)
class Policy:
    """A greedy policy: `policy(obs [..., *shape])` gives actions `[..., *shape]` in the environment's own bounds."""

    about: dict[str, Any]
    observation_space: Box | Discrete
    action_space: Box | Discrete
    program: Callable[[Array], Array]  # [batch, *shape] -> [batch, *shape]

    def __call__(self, obs: Any) -> Array:
        """Act on observations; raises `ValueError` if their shape or dtype is not that of the observation space."""
        obs = jnp.asarray(obs)
        space = self.observation_space
        lead = numpy_policy.leading_axes(obs.shape, obs.dtype, space.shape, space.dtype)
        actions = self.program(obs.astype(space.dtype).reshape(math.prod(lead), *space.shape))
        return actions.reshape((*lead, *actions.shape[1:]))


class Exported:
    """A program from what `jax.export` serialised, which is what is pickled of it."""

    def __init__(self, serialized: bytes) -> None:
        self.serialized = serialized
        self.call = jax.jit(jax.export.deserialize(bytearray(serialized)).call)

    def __call__(self, *arguments: Any) -> Any:
        return self.call(*arguments)

    def __reduce__(self) -> Any:
        return Exported, (self.serialized,)


def load_policy(path: str | Path) -> Policy:
    """Load what `save_policy` wrote, for JAX.

    Raises `OSError` if it cannot be read and `ValueError`, in one line, if it is not a whole policy.
    """
    about, contents = numpy_policy.read(path)
    try:
        program = Exported(contents["policy.jax"])
        spaces = [_space(about[name]) for name in ("observation_space", "action_space")]
    except Exception as error:  # what flatbuffers, MLIR or JAX say of bytes that are not a program they know
        lines = str(error).strip().splitlines()
        raise ValueError(f"{path} cannot be read: {lines[0] if lines else type(error).__name__}") from None
    return Policy(about, spaces[0], spaces[1], program)


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

    `about` is added to what the file says about itself: anything that JSON can hold. The file appears whole or not at
    all. Raises `OSError` if it cannot be written, or exists and may not be overwritten, and `ValueError` or `TypeError`
    for a policy that is not of this algorithm, environment and config.
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
        "observation_space": _describe(env.observation_space),
        "action_space": _describe(env.action_space),
        **(about or {}),
    }
    try:
        contents = {"policy.jax": export_policy(algo, env, config, policy)}
    except Exception:
        check_policy(algo, env, config, policy)
        raise
    try:
        program = numpy_program(algo, env, config, policy)
    except NotImplementedError as error:
        described["numpy"] = str(error)
    else:
        listed = {"constants": len(program.constants), "steps": program.steps, "output": program.output}
        contents["program.json"] = json.dumps(listed).encode()
        contents |= {CONSTANT.format(i): _npy(constant) for i, constant in enumerate(program.constants)}
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
    path = expand(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a directory: name the file, as in {path / 'policy.bin'}")
    if not path.parent.is_dir():
        raise NotADirectoryError(f"cannot write {path}: there is no directory {path.parent}")
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists already: choose another name or allow to overwrite it")
    return path


def export_policy(algo: Algorithm, env: Env, config: PyTree, policy: PyTree) -> bytes:
    """The greedy policy of one seed as `jax.export` serialises it, for CPU and CUDA.

    It maps observations `[batch, *shape]`, in the observation space's dtype, to actions `[batch, *shape]` (discrete:
    int32 `[batch]`). Matrix products are in full float32 on every device.
    """
    actions, obs = _program(algo, env, config, policy)
    with jax.default_matmul_precision("highest"), _no_locations():
        return bytes(jax.export.export(jax.jit(actions), platforms=PLATFORMS)(obs).serialize())


def numpy_program(algo: Algorithm, env: Env, config: PyTree, policy: PyTree) -> Program:
    """The greedy policy of one seed as operations for NumPy, equal to `act` up to rounding.

    What does not depend on the observation is computed here, what does not lead to the action left out. Raises
    `NotImplementedError` if the policy uses an operation that NumPy lacks, such as a convolution.
    """
    actions, obs = _program(algo, env, config, policy)
    traced = jax.make_jaxpr(actions)(obs)
    recorded: list[_Step] = []
    obs_value = _Step("", [], {})
    (output,) = _record(traced.jaxpr, traced.consts, [obs_value], recorded)
    needed = {id(output)}
    for step in reversed(recorded):
        if id(step) in needed:
            needed |= {id(value) for value in step.inputs}
    steps = [step for step in recorded if id(step) in needed]
    values = [value for step in steps for value in step.inputs] + [output]
    constants = list({id(value): value for value in values if isinstance(value, np.ndarray)}.values())
    number = {id(value): i for i, value in enumerate([obs_value, *constants, *steps])}
    listed = [
        {"operation": step.operation, "inputs": [number[id(value)] for value in step.inputs], **step.parameters}
        for step in steps
    ]
    return Program(constants, listed, number[id(output)])


@dataclass(eq=False)
class _Step:
    """An operation recorded, and the value that it gives."""

    operation: str
    inputs: list[_Step | np.ndarray]
    parameters: dict[str, Any]


def _program(algo: Algorithm, env: Env, config: PyTree, policy: PyTree) -> tuple[Callable[[Array], Array], Any]:
    """The function from observations `[batch, *shape]` to actions, and what describes its argument."""
    policy, config, space = jax.tree.map(np.asarray, policy), canonical(config), env.observation_space
    (batch,) = jax.export.symbolic_shape(BATCH)

    def act(obs: Array) -> Array:
        return algo.act(config, env, jax.tree.map(jnp.asarray, policy), obs, (), None)[0]

    return jax.vmap(act), jax.ShapeDtypeStruct((batch, *space.shape), space.dtype)


def _record(
    jaxpr: Jaxpr, constants: Sequence[Any], inputs: Sequence[_Step | np.ndarray], recorded: list[_Step]
) -> list[_Step | np.ndarray]:
    """What a jaxpr gives for these inputs: arrays where it depends on no observation, else steps, added in order."""
    values = dict(zip(jaxpr.constvars, map(np.asarray, constants), strict=True))
    values |= dict(zip(jaxpr.invars, inputs, strict=True))

    def read(atom: Any) -> _Step | np.ndarray:
        return np.asarray(atom.val, cast(Any, atom.aval).dtype) if isinstance(atom, Literal) else values[atom]

    for eqn in _needed(jaxpr):
        name, given = eqn.primitive.name, [read(atom) for atom in eqn.invars]
        inner = eqn.params.get("jaxpr", eqn.params.get("call_jaxpr")) if name in CALLS else None
        if isinstance(inner, ClosedJaxpr):
            results = _record(inner.jaxpr, inner.consts, given, recorded)
        elif name in IDENTITIES:
            results = given
        elif all(isinstance(value, np.ndarray) for value in given) and _sized(eqn.outvars):
            results = eqn.primitive.bind(*map(jnp.asarray, given), **eqn.params)
            results = [np.asarray(result) for result in (results if eqn.primitive.multiple_results else [results])]
        else:
            results = [_Step(name, given, _parameters(eqn))]
            recorded += results
        values |= dict(zip(eqn.outvars, results, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _needed(jaxpr: Jaxpr) -> list[Any]:
    """The equations of a jaxpr that lead to what it gives, in order."""
    needed, found = {atom for atom in jaxpr.outvars if not isinstance(atom, Literal)}, []
    for eqn in reversed(jaxpr.eqns):
        if not needed.isdisjoint(eqn.outvars):
            needed |= {atom for atom in eqn.invars if not isinstance(atom, Literal)}
            found.append(eqn)
    return found[::-1]


def _sized(atoms: Sequence[Any]) -> bool:
    return not any(jax.export.is_symbolic_dim(size) for atom in atoms for size in atom.aval.shape)


def _parameters(eqn: Any) -> dict[str, Any]:
    """The parameters of an operation that NumPy needs; raises `NotImplementedError` if it lacks the operation."""
    name, params = eqn.primitive.name, eqn.params
    batched_product = name == "dot_general" and any(params["dimension_numbers"][1])
    if name not in OPERATIONS or batched_product or (name == "reshape" and params["dimensions"] is not None):
        raise NotImplementedError(f"it uses the operation {name}")
    dtype = eqn.outvars[0].aval.dtype
    if dtype.kind not in "biuf":
        raise NotImplementedError(f"it uses numbers of type {dtype}")
    return {key: _plain(params[key]) for key in OPERATIONS[name].parameters}


def _plain(value: Any) -> Any:
    """A parameter as JSON holds it."""
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if jax.export.is_symbolic_dim(value):
        if str(value) != BATCH:
            raise NotImplementedError(f"it uses an array of size {value}")
        return BATCH
    if isinstance(value, np.dtype | type):
        return np.dtype(value).name
    return int(value) if isinstance(value, int | np.integer) else value


@contextmanager
def _no_locations() -> Iterator[None]:
    """Within, programs do not note the files and lines that they come from."""
    before = cast(Any, jax.config).jax_traceback_in_locations_limit
    jax.config.update("jax_traceback_in_locations_limit", 0)
    try:
        yield
    finally:
        jax.config.update("jax_traceback_in_locations_limit", before)


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array, allow_pickle=False)
    return file.getvalue()


def _describe(space: Box | Discrete) -> dict[str, Any]:
    kind = {"kind": type(space).__name__, "shape": list(space.shape), "dtype": space.dtype.name}
    if isinstance(space, Discrete):
        return {**kind, "n": space.n}
    return {**kind, "low": _bounds(space.low), "high": _bounds(space.high)}


def _bounds(bound: Any) -> Any:
    """One number, or nested lists; None where there is no bound, since JSON has no infinity."""
    if isinstance(bound, tuple):
        return [_bounds(item) for item in bound]
    return bound if math.isfinite(bound) else None


def _space(described: Mapping[str, Any]) -> Box | Discrete:
    if described["kind"] == "Discrete":
        return Discrete(described["n"])
    low, high = (np.asarray(described[name], np.float64) for name in ("low", "high"))  # None becomes NaN
    low, high = np.where(np.isnan(low), -np.inf, low), np.where(np.isnan(high), np.inf, high)
    return Box(low, high, described["shape"], described["dtype"])
