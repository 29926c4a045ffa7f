"""Whitening of observations, leaf by leaf: float Boxes and pixels; other leaves pass as they are.

The statistics of an observation of one array are `ops.RunningStatistics`, those of a tree a dict of them by path.
"""

from __future__ import annotations

from typing import Any, cast

import jax
import numpy as np

from jaxrl_up import ops
from jaxrl_up.envs import LEAVES, Box, Leaf, Space, acting, leaves, of_tree, parts, tree
from jaxrl_up.learning.networks import is_pixels, to_float
from jaxrl_up.types import PyTree

Statistics = ops.RunningStatistics | dict[str, ops.RunningStatistics] | None  # None: nothing is whitened


def whitens(leaf: Leaf) -> bool:
    """Whether observations of a leaf are whitened."""
    return isinstance(leaf, Box) and (np.issubdtype(leaf.dtype, np.floating) or is_pixels(leaf))


def init(name: str, space: Space) -> Statistics:
    """Statistics of nothing seen. Raises `ValueError` if no leaf of the observations of `name` can be whitened."""
    found = {path: ops.init_statistics(leaf.shape) for path, leaf in leaves(space).items() if whitens(leaf)}
    if not found:
        raise ValueError(
            f"normalize_observations=True needs observations in a Box, of floats or of pixels, but {name} shows "
            f"{space}, which networks see as it is or one-hot; set it to False"
        )
    return found[""] if isinstance(space, LEAVES) else found


def whitened_space(space: Space) -> Space:
    """The space of what `apply` gives: unbounded floats where leaves are whitened."""

    def of_leaf(leaf: Leaf) -> Leaf:
        return Box(-np.inf, np.inf, leaf.shape) if whitens(leaf) else leaf

    return of_tree(jax.tree.map(of_leaf, tree(space)))


def apply(space: Space, statistics: Statistics, obs: PyTree) -> PyTree:
    """Observations `[..., *shape]` of a space as the networks get them."""
    if statistics is None:
        return obs
    if not isinstance(statistics, dict):
        return ops.normalize(statistics, to_float(cast(Box, space), obs))
    kinds = leaves(space)
    changed = [
        ops.normalize(statistics[path], to_float(cast(Box, kinds[path]), x)) if path in statistics else x
        for path, x in parts(space, obs).items()
    ]
    return jax.tree.unflatten(jax.tree.structure(tree(space)), changed)


def update(space: Space, statistics: Statistics, obs: PyTree) -> Statistics:
    """Statistics that observations `[..., *shape]` have been added to."""
    if not isinstance(statistics, dict):
        return None if statistics is None else ops.update_statistics(statistics, to_float(cast(Box, space), obs))
    found, kinds = parts(space, obs), leaves(space)
    return {
        path: ops.update_statistics(known, to_float(cast(Box, kinds[path]), found[path]))
        for path, known in statistics.items()
    }


def of_acting(statistics: Statistics) -> Statistics:
    """What a policy needs of statistics: all but those of what only the critic sees."""
    if not isinstance(statistics, dict):
        return statistics
    return {path: known for path, known in statistics.items() if acting(path, cast(Any, None))}
