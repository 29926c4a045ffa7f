"""Spaces made of spaces, and functions over all leaves of one: an observation of one array is a tree of one leaf.

A path names a leaf by the keys that lead to it, as in "arm/camera" or "0"; that of a space alone is "".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_up.config import as_key, shown
from jaxrl_up.envs.spaces.box import Box
from jaxrl_up.envs.spaces.discrete import Discrete, Mask, MultiDiscrete
from jaxrl_up.types import Array, Key, PyTree


@dataclass(frozen=True)
class Simulator:
    """The state of the environment itself, for planners: any tree of arrays, which nothing learns from or stores."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Raises AttributeError: it is no array."""
        raise AttributeError("a Simulator() is no array: it has no shape and no dtype")

    @property
    def dtype(self) -> np.dtype:
        """Raises AttributeError: it is no array."""
        raise AttributeError("a Simulator() is no array: it has no shape and no dtype")

    def sample(self, key: Key) -> Any:
        """Raises ValueError: only an environment makes a state of itself."""
        raise ValueError("Simulator() has no elements of its own: its states come from the environment")

    def contains(self, x: Any) -> Array:
        """True."""
        return jnp.asarray(True)

    def __repr__(self) -> str:
        return "Simulator()"


Leaf = Box | Discrete | MultiDiscrete | Mask | Simulator
"""A space without parts."""
LEAVES = (Box, Discrete, MultiDiscrete, Mask, Simulator)
"""The classes of spaces without parts."""


@dataclass(frozen=True, init=False, repr=False)
class Dict:
    """A dict of elements by name, in the order of the names: `Dict({"position": Box(...), "door": Discrete(2)})`.

    `space["door"]` is a part. Raises ValueError for names that are no text, are empty or hold a "/", and for no names
    at all; TypeError for a part that is no space.
    """

    items: tuple[tuple[str, Any], ...]

    def __init__(self, spaces: Mapping[str, Any] | None = None, **more: Any) -> None:
        if not isinstance(spaces, Mapping | None):
            raise TypeError(f"Dict(spaces) needs a dict of spaces by name, got {shown(spaces)}.")
        given = {**(spaces or {}), **more}
        for name, space in given.items():
            if not isinstance(name, str) or not name or "/" in name:
                raise ValueError(f"Dict(spaces) needs names that are text without '/', got {shown(name)}.")
            _require_space(f"Dict(spaces) as {name!r}", space)
        if not given:
            raise ValueError("Dict(spaces) needs one space at least.")
        object.__setattr__(self, "items", tuple(sorted(given.items())))

    @property
    def spaces(self) -> dict[str, Any]:
        """The parts by name."""
        return dict(self.items)

    def __getitem__(self, name: str) -> Any:
        return self.spaces[name]

    def __contains__(self, name: object) -> bool:
        return name in self.spaces

    def sample(self, key: Key) -> dict[str, Any]:
        """Draw one element of each part."""
        return sample(self, key)

    def contains(self, x: Any) -> Array:
        """Say whether x is a dict of these names and elements: bool []."""
        if not isinstance(x, Mapping) or x.keys() != self.spaces.keys():
            return jnp.asarray(False)
        return _all(space.contains(x[name]) for name, space in self.items)

    def __repr__(self) -> str:
        return "Dict({" + ", ".join(f"{name!r}: {space}" for name, space in self.items) + "})"


@dataclass(frozen=True, init=False, repr=False)
class Tuple:
    """A tuple of elements: `Tuple((Box(...), Discrete(2)))`. `space[1]` is a part.

    Raises ValueError for no space at all and TypeError for a part that is no space.
    """

    spaces: tuple[Any, ...]

    def __init__(self, spaces: Any) -> None:
        if not isinstance(spaces, tuple | list):
            raise TypeError(f"Tuple(spaces) needs a tuple of spaces, got {shown(spaces)}.")
        for i, space in enumerate(spaces):
            _require_space(f"Tuple(spaces) as number {i}", space)
        if not spaces:
            raise ValueError("Tuple(spaces) needs one space at least.")
        dropped = [leaf for space in spaces for leaf in leaves(space).values() if isinstance(leaf, Mask | Simulator)]
        if dropped:
            raise ValueError(
                f"Tuple(spaces) has no place for {dropped[0]}, which not all see: give it a name in a Dict."
            )
        object.__setattr__(self, "spaces", tuple(spaces))

    def __getitem__(self, index: int) -> Any:
        return self.spaces[index]

    def __len__(self) -> int:
        return len(self.spaces)

    def sample(self, key: Key) -> tuple[Any, ...]:
        """Draw one element of each part."""
        return sample(self, key)

    def contains(self, x: Any) -> Array:
        """Say whether x is a tuple of these elements: bool []."""
        if not isinstance(x, tuple | list) or len(x) != len(self.spaces):
            return jnp.asarray(False)
        return _all(space.contains(part) for space, part in zip(self.spaces, x, strict=True))

    def __repr__(self) -> str:
        return f"Tuple(({', '.join(map(str, self.spaces))}{',' if len(self.spaces) == 1 else ''}))"


Space = Leaf | Dict | Tuple
"""Any space."""
SPACES = (*LEAVES, Dict, Tuple)
"""The classes of spaces."""


def _require_space(where: str, space: Any) -> None:
    if not isinstance(space, SPACES):
        raise TypeError(f"{where} needs a space, as envs.Box or envs.Discrete, got {shown(space)}.")


def _all(flags: Iterator[Array]) -> Array:
    return jnp.all(jnp.stack(list(flags)))


def tree(space: Space) -> PyTree:
    """The leaves of a space in dicts and tuples, as the elements have them; JAX sees each leaf as one."""
    if isinstance(space, Dict):
        return {name: tree(part) for name, part in space.items}
    return tuple(tree(part) for part in space.spaces) if isinstance(space, Tuple) else space


def map_leaves(function: Callable[..., Any], space: Space, *elements: PyTree) -> PyTree:
    """`function(leaf, part of each element)` for all leaves of a space, in their tree.

    Elements may have leading axes. Raises ValueError if one has another tree than the space.
    """
    return jax.tree.map(function, tree(space), *elements)


def leaves(space: Space) -> dict[str, Leaf]:
    """All leaves by path, in the order of `jax.tree.leaves`."""
    found = jax.tree.leaves_with_path(tree(space))
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in found}


def parts(space: Space, element: PyTree) -> dict[str, PyTree]:
    """The parts of an element by path, as `leaves` has the spaces."""
    flat = jax.tree.structure(tree(space)).flatten_up_to(element)
    return dict(zip(leaves(space), flat, strict=True))


def sample(space: Space, key: Key) -> PyTree:
    """Draw one element; each leaf of a tree has a key of its own."""
    if isinstance(space, LEAVES):
        return space.sample(key)
    structure = jax.tree.structure(tree(space))
    keys = jax.random.split(as_key(key), structure.num_leaves)
    return jax.tree.map(lambda leaf, key: leaf.sample(key), tree(space), jax.tree.unflatten(structure, list(keys)))


def only(space: Space, keep: Callable[[str, Leaf], bool]) -> Space:
    """The space of the leaves for which `keep(path, leaf)` is true; no dict in it is empty.

    Raises ValueError if it is true for none.
    """
    kept = pick(space, keep, tree(space))
    if kept is None:
        raise ValueError(f"nothing of {space} is left for networks to see")
    return of_tree(kept)


def of_tree(kept: PyTree) -> Space:
    """The space whose `tree` this is."""
    if isinstance(kept, SPACES):
        return kept
    if isinstance(kept, dict):
        return Dict({name: of_tree(part) for name, part in kept.items()})
    return Tuple(tuple(of_tree(part) for part in kept))


def pick(space: Space, keep: Callable[[str, Leaf], bool], element: PyTree) -> PyTree:
    """The element of `only(space, keep)` in an element of `space`, whose dicts need not have every name."""
    wanted = {path for path, leaf in leaves(space).items() if keep(path, leaf)}

    def below(space: Space, path: str, element: PyTree) -> PyTree:
        if isinstance(space, LEAVES):
            return element
        named = space.items if isinstance(space, Dict) else tuple(enumerate(space.spaces))
        paths = {name: f"{path}{name}" for name, _ in named}
        kept = {
            name: below(part, f"{paths[name]}/", element[name])
            for name, part in named
            if any(leaf == paths[name] or leaf.startswith(f"{paths[name]}/") for leaf in wanted)
            and (isinstance(space, Tuple) or name in element)
        }
        return kept if isinstance(space, Dict) else tuple(kept.values())

    return below(space, "", element) if wanted else None


def zeros(space: Space, axes: tuple[int, ...] = ()) -> PyTree:
    """Zeros of the shape and dtype of elements, behind leading `axes`; of a Simulator nothing, ()."""
    return map_leaves(
        lambda leaf: () if isinstance(leaf, Simulator) else jnp.zeros((*axes, *leaf.shape), leaf.dtype), space
    )
