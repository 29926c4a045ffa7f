"""Going on from fresh resets where a reset is dear: drawn for those environments of a batch whose episodes end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_batching import custom_vmap

from jaxrl_up.config import wrap_as
from jaxrl_up.envs.core import where
from jaxrl_up.types import Array, Key, PyTree

ONE_IN = 32  # environments of a batch for which a pass draws resets
AT_LEAST = 8  # resets of a pass


def restarting(reset: Callable[..., Any], step: Callable[..., Any]) -> Callable[..., Any]:
    """The `restart` of a Spec with this `reset` and `step`: the episodes of `Env.step` without one.

    Of a batch, also of batches of it, resets are drawn for one in 32 at once, but 8 at least, until all ended episodes
    have one, where `Env.step` would draw one for every environment at every step. Gradients go through `step`; of
    resets there is none.
    """

    def restart(params: Any, key: Key, state: Any, action: PyTree) -> Any:
        step_key, reset_key = jax.random.split(key)
        reached, next_obs, reward, terminated, truncated, info = step(params, step_key, state, action)
        over = terminated | truncated

        def one(bits: PyTree, words: Array) -> PyTree:
            params = jax.tree.map(lambda x: lax.bitcast_convert_type(x, jnp.float32), bits)
            return reset(params, wrap_as(words, key.dtype))

        # as bits, through which no gradient asks its way: it could not, through a loop
        bits = jax.tree.map(lambda x: lax.bitcast_convert_type(x, jnp.uint32), params)
        fresh = _where_over(one)(over, bits, jax.random.key_data(reset_key))
        state, obs = where(over, fresh, (reached, next_obs))
        return state, obs, next_obs, reward, terminated, truncated, info

    return restart


def _where_over(draw: Callable[..., PyTree]) -> Callable[..., PyTree]:
    """`(over, *arguments) -> draw(*arguments)` where `over`, and elsewhere zeros; a batch is drawn in passes."""

    def zeros(*arguments: Any) -> PyTree:
        return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(draw, *arguments))

    @custom_vmap
    def single(over: Array, *arguments: Any) -> PyTree:
        return lax.cond(over, draw, zeros, *arguments)

    @custom_vmap
    def batch(over: Array, *arguments: Any) -> PyTree:
        count = over.shape[0]
        size = min(max(AT_LEAST, count // ONE_IN), count)
        ended, total = jnp.nonzero(over, size=-(-count // size) * size, fill_value=count)[0], jnp.sum(over)

        def draw_some(carry: tuple[Array, PyTree]) -> tuple[Array, PyTree]:
            done, drawn = carry
            rows = lax.dynamic_slice_in_dim(ended, done, size)
            some = jax.vmap(draw)(*jax.tree.map(lambda x: x.at[rows].get(mode="clip"), arguments))
            return done + size, jax.tree.map(lambda x, new: x.at[rows].set(new, mode="drop"), drawn, some)

        nothing = jax.eval_shape(jax.vmap(draw), *arguments)
        first = jnp.zeros_like(total), jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), nothing)
        return lax.while_loop(lambda carry: carry[0] < total, draw_some, first)[1]

    def every(size: int, batched: Any, arguments: Any) -> Any:
        return jax.tree.map(
            lambda x, is_batched: x if is_batched else jnp.broadcast_to(x, (size, *x.shape)), arguments, batched
        )

    @single.def_vmap
    def _(size: int, batched: Any, *arguments: Any) -> Any:
        drawn = batch(*every(size, batched, list(arguments)))
        return drawn, jax.tree.map(lambda _: True, drawn)

    @batch.def_vmap
    def _(size: int, batched: Any, *arguments: Any) -> Any:
        flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), every(size, batched, list(arguments)))
        drawn = jax.tree.map(lambda x: x.reshape(size, -1, *x.shape[1:]), batch(*flat))
        return drawn, jax.tree.map(lambda _: True, drawn)

    return single
