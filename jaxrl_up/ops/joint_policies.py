"""Policies over actions in parts, such as a dict of a discrete and a continuous one, from policies over the parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax

from jaxrl_up.types import Array, Key, PyTree


class Joint(NamedTuple):
    """Independent policies in a dict or a tuple (or any tree of these), over actions in one of the same structure.

    Samples and modes are trees of those of the parts; log_prob, entropy and KL add up, since
    pi(a) = prod_i pi_i(a_i). All parts have one batch shape. Methods raise ValueError for a tree of another structure
    and where there are no parts, AssertionError if the batch shapes differ, and what the parts raise.

    >>> from jaxrl_up.ops import Categorical
    >>> round(float(Joint((Categorical(jax.numpy.zeros(2)), Categorical(jax.numpy.zeros(4)))).entropy()), 3)  # log 8
    2.079
    """

    parts: PyTree  # of policies

    def _map(self, function: Callable[..., Any], *trees: PyTree) -> PyTree:
        """`function(part, ...)` of each part and what stands at its place in the trees."""
        return jax.tree.map(function, self.parts, *trees, is_leaf=_is_policy)

    def _keys(self, key: Key) -> PyTree:
        """A key for each part."""
        structure = jax.tree.structure(self.parts, is_leaf=_is_policy)
        return jax.tree.unflatten(structure, list(jax.random.split(key, structure.num_leaves)))

    def _total(self, function: Callable[..., Array], *trees: PyTree) -> Array:
        """The sum of `function(part, ...)` over the parts."""
        terms = jax.tree.leaves(self._map(function, *trees))
        if not terms:
            raise ValueError("a joint policy of no parts has no batch shape; give it one at least")
        chex.assert_equal_shape(terms)
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        return total

    def sample(self, key: Key) -> PyTree:
        """A tree of actions, each sampled with a key of its own."""
        return self._map(lambda part, key: part.sample(key), self._keys(key))

    def sample_with(self, noise: PyTree) -> PyTree:
        """A tree of actions from one of noise, each as the part's `sample_with` wants it."""
        return self._map(lambda part, noise: part.sample_with(noise), noise)

    def log_prob(self, action: PyTree) -> Array:
        """sum_i log pi_i(action_i) `[...]`."""
        return self._total(lambda part, action: part.log_prob(action), action)

    def sample_and_log_prob(self, key: Key) -> tuple[PyTree, Array]:
        """A tree of actions and its log-probability, each part's computed with its sample."""
        pairs = self._map(lambda part, key: part.sample_and_log_prob(key), self._keys(key))
        return self._map(lambda _, pair: pair[0], pairs), self._total(lambda _, pair: pair[1], pairs)

    def entropy(self) -> Array:
        """sum_i of the entropies `[...]`, of parts that know theirs without a key (`TanhGaussian` does not)."""
        return self._total(lambda part: part.entropy())

    def kl(self, other: Joint) -> Array:
        """sum_i KL(part_i || other_i) `[...]`; `other` has the same structure, and the same kinds of parts in it."""
        return self._total(lambda part, other: part.kl(other), other.parts)

    def mode(self) -> PyTree:
        """A tree of the modes of the parts."""
        return self._map(lambda part: part.mode())


def _is_policy(x: Any) -> bool:
    return hasattr(type(x), "log_prob")
