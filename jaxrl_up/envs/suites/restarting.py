"""Going on from fresh resets where a reset is dear: drawn for those environments of a batch whose episodes end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import dtypes, lax
from jax.custom_batching import custom_vmap

from jaxrl_up.config import wrap_as
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

        def one(params: Any, words: Array) -> PyTree:
            return reset(params, wrap_as(words, key.dtype))

        state, obs = _replaced(one)(over, (reached, next_obs), params, jax.random.key_data(reset_key))
        return state, obs, next_obs, reward, terminated, truncated, info

    return restart


def _replaced(draw: Callable[..., PyTree]) -> Callable[..., PyTree]:
    """`(over, here, *arguments) -> draw(*arguments)` where `over`, elsewhere `here`; a batch is drawn in passes.

    What is drawn is written into `here`, which costs a batch of which little is over next to nothing. Gradients go
    through `here` alone: none could go through the loop.
    """

    @custom_vmap
    def single(over: Array, here: PyTree, *arguments: Any) -> PyTree:
        return lax.cond(over, lambda _, *arguments: draw(*arguments), lambda here, *_: here, here, *arguments)

    @custom_vmap
    def batch(over: Array, here: PyTree, *arguments: Any) -> PyTree:
        count = over.shape[0]
        size = min(max(AT_LEAST, count // ONE_IN), count)
        ended, total = jnp.nonzero(over, size=-(-count // size) * size, fill_value=count)[0], jnp.sum(over)

        def draw_some(carry: tuple[Array, PyTree]) -> tuple[Array, PyTree]:
            done, here = carry
            rows = lax.dynamic_slice_in_dim(ended, done, size)
            some = jax.vmap(draw)(*jax.tree.map(lambda x: x.at[rows].get(mode="clip"), arguments))
            return done + size, jax.tree.map(lambda x, new: x.at[rows].set(new, mode="drop"), here, some)

        return lax.while_loop(lambda carry: carry[0] < total, draw_some, (jnp.zeros_like(total), here))[1]

    def every(size: int, batched: Any, arguments: Any) -> Any:
        return jax.tree.map(
            lambda x, is_batched: x if is_batched else jnp.broadcast_to(x, (size, *x.shape)), arguments, batched
        )

    @single.def_vmap
    def _(size: int, batched: Any, *arguments: Any) -> Any:
        replaced = batch(*every(size, batched, list(arguments)))
        return replaced, jax.tree.map(lambda _: True, replaced)

    @batch.def_vmap
    def _(size: int, batched: Any, *arguments: Any) -> Any:
        flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), every(size, batched, list(arguments)))
        replaced = jax.tree.map(lambda x: x.reshape(size, -1, *x.shape[1:]), batch(*flat))
        return replaced, jax.tree.map(lambda _: True, replaced)

    @jax.custom_jvp
    def replaced(over: Array, here: PyTree, *arguments: Any) -> PyTree:
        return single(over, here, *arguments)

    @replaced.defjvp
    def _(primals: Any, tangents: Any) -> Any:
        over, change = primals[0], tangents[1]
        change = jax.tree.map(lambda x: x if x.dtype == dtypes.float0 else jnp.where(over, 0, x), change)
        return replaced(*primals), change

    return replaced
