"""The greedy policy of an algorithm as a program of flat arrays: for `jax.export`, and as operations for NumPy.

A program maps the parts of observations, and of a memory where there is one, to the parts of actions and of the memory
after them, all `[batch, *shape]`. Random keys in a memory are their words, uint32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

from jaxrl_up.config import canonical
from jaxrl_up.deploy.numpy_policy import BATCH, OPERATIONS, Program
from jaxrl_up.envs import Env, Simulator, leaves, tree
from jaxrl_up.learning import acting_space, memory_of
from jaxrl_up.types import Algorithm, Array, PyTree

PLATFORMS = ("cpu", "cuda")
CALLS = ("jit", "custom_jvp_call", "custom_vjp_call", "closed_call")  # these only hold other operations
IDENTITIES = ("stop_gradient", "copy", "optimization_barrier")
DRAWS = ("random_", "threefry", "rng_")  # how the names of operations on random keys begin


class Greedy(NamedTuple):
    """The greedy policy of one seed on flat arrays of one environment."""

    act: Callable[..., tuple[Array, ...]]  # (*parts of observations, *parts of a memory) -> those of actions, of memory
    begin: Callable[[Array], tuple[Array, ...]]  # the words of a key -> parts of a memory
    inputs: list[jax.ShapeDtypeStruct]  # of `act`
    key: jax.ShapeDtypeStruct  # the words
    memory: list[dict[str, Any]]  # what each part of a memory is: path, shape and dtype; `key`: a random key's kind
    kind: str  # of the key that begins a memory


def greedy(algo: Algorithm, env: Env, config: PyTree, policy: PyTree) -> Greedy:
    """The greedy policy of one seed; raises `ValueError` for one that acts on a simulator, which no file holds."""
    policy, config, space = jax.tree.map(np.asarray, policy), canonical(config), acting_space(env)
    for path, leaf in leaves(space).items():
        if isinstance(leaf, Simulator):
            where = f" has a Simulator() at {path!r}" if path else " is a Simulator()"
            raise ValueError(
                f"a policy that needs the simulator cannot be exported: what {env.name} shows{where}, and a file holds "
                "no environment"
            )
    initial_memory = memory_of(algo, env, config, deterministic=True)
    sample = jax.eval_shape(jax.random.key, 0)
    beginning = jax.eval_shape(initial_memory, sample)
    described = [_describe(path, x) for path, x in jax.tree.leaves_with_path(beginning)]
    inputs = [jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in leaves(space).values()]
    shown = len(inputs)

    def act(*inputs: Array) -> tuple[Array, ...]:
        obs = jax.tree.unflatten(jax.tree.structure(tree(space)), inputs[:shown])
        remembered = [
            jax.random.wrap_key_data(x, impl=leaf["key"]) if "key" in leaf else x
            for leaf, x in zip(described, inputs[shown:], strict=True)
        ]
        memory = jax.tree.unflatten(jax.tree.structure(beginning), remembered)
        action, memory = algo.act(config, env, jax.tree.map(jnp.asarray, policy), obs, memory, None)
        return (*jax.tree.leaves(action), *(_words(memory) if described else ()))

    def begin(words: Array) -> tuple[Array, ...]:
        return tuple(_words(initial_memory(jax.random.wrap_key_data(words, impl=_kind(sample)))))

    inputs += [jax.ShapeDtypeStruct(tuple(x["shape"]), jnp.dtype(x["dtype"])) for x in described]
    return Greedy(act, begin, inputs, jax.eval_shape(jax.random.key_data, sample), described, _kind(sample))


def _describe(path: Any, leaf: Any) -> dict[str, Any]:
    """A part of a memory as the file holds it."""
    words = jax.eval_shape(jax.random.key_data, leaf) if is_key(leaf) else leaf
    about = {
        "path": jax.tree_util.keystr(path, simple=True, separator="/"),
        "shape": list(words.shape),
        "dtype": np.dtype(words.dtype).name,
    }
    return {**about, "key": _kind(leaf)} if is_key(leaf) else about


def is_key(x: Any) -> bool:
    """Whether an array holds typed random keys."""
    return isinstance(x, jax.Array | jax.ShapeDtypeStruct) and jnp.issubdtype(x.dtype, jax.dtypes.prng_key)


def words_of(x: Any) -> Any:
    """Random keys `[...]` as their words, uint32 `[..., W]`; other arrays as they are."""
    return jax.random.key_data(x) if is_key(x) else x


def _words(memory: PyTree) -> list[Array]:
    return [words_of(jnp.asarray(x)) for x in jax.tree.leaves(memory)]


def _kind(key: Any) -> str:
    """The name of what makes random numbers of a key."""
    kind = jax.random.key_impl(jnp.empty((), key.dtype))
    if not isinstance(kind, str):
        raise ValueError(f"random keys of the kind {kind} cannot be exported: it has no name that JAX finds it by")
    return kind


def export_policy(algo: Algorithm, env: Env, config: PyTree, policy: PyTree) -> tuple[bytes, bytes | None]:
    """The greedy policy of one seed, and what begins its memory, as `jax.export` serialises them for CPU and CUDA.

    The first maps the parts of observations and of a memory to those of actions and of the memory after them, each
    `[batch, *shape]` in the dtype of its space, in the order of `envs.leaves` and of `jax.tree.leaves`. The second maps
    the words of keys, uint32 `[batch, W]`, to the parts of a memory; None where there is no memory. Random keys in a
    memory are words, too. Matrix products are in full float32 on every device. Raises `ValueError` for a policy that
    acts on a simulator.
    """
    found = greedy(algo, env, config, policy)
    return _exported(found.act, found.inputs), _exported(found.begin, [found.key]) if found.memory else None


def _exported(function: Callable[..., Any], inputs: Sequence[jax.ShapeDtypeStruct]) -> bytes:
    with jax.default_matmul_precision("highest"), _no_locations():
        batched = jax.jit(jax.vmap(function))
        return bytes(jax.export.export(batched, platforms=PLATFORMS)(*_batched(inputs)).serialize())


def _batched(inputs: Sequence[jax.ShapeDtypeStruct]) -> list[jax.ShapeDtypeStruct]:
    (batch,) = jax.export.symbolic_shape(BATCH)
    return [jax.ShapeDtypeStruct((batch, *x.shape), x.dtype) for x in inputs]


@contextmanager
def _no_locations() -> Iterator[None]:
    """Within, programs do not note the files and lines that they come from."""
    before = cast(Any, jax.config).jax_traceback_in_locations_limit
    jax.config.update("jax_traceback_in_locations_limit", 0)
    try:
        yield
    finally:
        jax.config.update("jax_traceback_in_locations_limit", before)


def numpy_program(algo: Algorithm, env: Env, config: PyTree, policy: PyTree) -> Program:
    """The greedy policy of one seed as operations for NumPy, equal to `act` up to rounding, and how a memory begins.

    What does not depend on an input is computed here, what does not lead to a result left out. Raises
    `NotImplementedError` if the policy uses an operation that NumPy lacks, such as a convolution, or random keys, and
    `ValueError` as `export_policy`.
    """
    found = greedy(algo, env, config, policy)
    if any("key" in leaf for leaf in found.memory):
        raise NotImplementedError("its memory holds a random key")
    for x in found.inputs:
        _require_numbers(x.dtype)
    begun = _recorded(found.begin, [found.key])[2] if found.memory else []
    beginning = tuple(x for x in begun if isinstance(x, np.ndarray))
    if len(beginning) < len(begun):
        raise NotImplementedError("its memory begins with a draw from a random key")
    inputs, recorded, outputs = _recorded(jax.vmap(found.act), _batched(found.inputs))
    needed = {id(output) for output in outputs}
    for step in reversed(recorded):
        if id(step) in needed:
            needed |= {id(value) for value in step.inputs}
    steps = [step for step in recorded if id(step) in needed]
    values = [value for step in steps for value in step.inputs] + outputs
    constants = list({id(value): value for value in values if not isinstance(value, _Step)}.values())
    number = {id(value): i for i, value in enumerate([*inputs, *constants, *steps])}
    listed = [
        {"operation": step.operation, "inputs": [number[id(value)] for value in step.inputs], **_parameters(step)}
        for step in steps
    ]
    return Program(constants, listed, [number[id(output)] for output in outputs], beginning)


@dataclass(eq=False)
class _Step:
    """An operation recorded, and the value that it gives."""

    operation: str
    inputs: list[_Step | np.ndarray]
    dtype: Any
    parameters: Mapping[str, Any]


Recorded = tuple[list[_Step], list[_Step], list[_Step | np.ndarray]]


def _recorded(function: Callable[..., Any], inputs: Sequence[jax.ShapeDtypeStruct]) -> Recorded:
    """What stands for the inputs, the steps in order, and the results: arrays where they depend on no input."""
    traced, steps = jax.make_jaxpr(function)(*inputs), []
    given = [_Step("", [], x.dtype, {}) for x in inputs]
    return given, steps, _record(traced.jaxpr, traced.consts, given, steps)


def _record(
    jaxpr: Jaxpr, constants: Sequence[Any], inputs: Sequence[_Step | np.ndarray], recorded: list[_Step]
) -> list[_Step | np.ndarray]:
    """What a jaxpr gives for these inputs: arrays where it depends on none of them, else steps, added in order."""
    values = dict(zip(jaxpr.constvars, map(_fetched, constants), strict=True))
    values |= dict(zip(jaxpr.invars, inputs, strict=True))

    def read(atom: Any) -> Any:
        return np.asarray(atom.val, cast(Any, atom.aval).dtype) if isinstance(atom, Literal) else values[atom]

    for eqn in jaxpr.eqns:
        name, given = eqn.primitive.name, [read(atom) for atom in eqn.invars]
        inner = eqn.params.get("jaxpr", eqn.params.get("call_jaxpr")) if name in CALLS else None
        if isinstance(inner, ClosedJaxpr):
            results = _record(inner.jaxpr, inner.consts, given, recorded)
        elif name in IDENTITIES:
            results = given
        elif not any(isinstance(value, _Step) for value in given) and _sized(eqn.outvars):
            results = eqn.primitive.bind(*map(jnp.asarray, given), **eqn.params)
            results = [_fetched(result) for result in (results if eqn.primitive.multiple_results else [results])]
        else:
            results = list(_steps(eqn, given))
            recorded += results
        values |= dict(zip(eqn.outvars, results, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _fetched(x: Any) -> Any:
    """A constant for NumPy; random keys stay what they are, since what is drawn from constant ones is constant."""
    return x if is_key(x) else np.asarray(x)


def _steps(eqn: Any, given: list[Any]) -> Iterator[_Step]:
    """An operation as steps, one for each of its results; a split is a slice for each part."""
    start = 0
    for i, result in enumerate(eqn.outvars):
        name, parameters, shape = eqn.primitive.name, eqn.params, eqn.invars[0].aval.shape if eqn.invars else ()
        if name == "split":
            axis, end = eqn.params["axis"], start + eqn.params["sizes"][i]
            starts, limits = [0] * len(shape), list(shape)
            starts[axis], limits[axis], start = start, end, end
            name, parameters = "slice", {"start_indices": starts, "limit_indices": limits, "strides": None}
        yield _Step(name, given, result.aval.dtype, parameters)


def _sized(atoms: Sequence[Any]) -> bool:
    return not any(jax.export.is_symbolic_dim(size) for atom in atoms for size in atom.aval.shape)


def _parameters(step: _Step) -> dict[str, Any]:
    """The parameters of an operation that NumPy needs; raises `NotImplementedError` if it lacks the operation."""
    name, params = step.operation, step.parameters
    if name.startswith(DRAWS):
        raise NotImplementedError("it draws from random keys")
    batched_product = name == "dot_general" and any(params["dimension_numbers"][1])
    if name not in OPERATIONS or batched_product or (name == "reshape" and params["dimensions"] is not None):
        raise NotImplementedError(f"it uses the operation {name}")
    _require_numbers(step.dtype)
    return {key: _plain(params[key]) for key in OPERATIONS[name].parameters}


def _require_numbers(dtype: Any) -> None:
    """Raise `NotImplementedError` for a dtype that NumPy alone does not know."""
    if getattr(dtype, "kind", None) not in tuple("biuf"):
        raise NotImplementedError(f"it uses numbers of type {dtype}")


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
