"""Environments that keep their state to themselves: a state is a token, for a simulator that lives on the host.

A token is good for one step. It says which simulator, of which process, and how many steps that has made; so a step
that is made twice or out of order is an error, and not a wrong number.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_up.envs.host import GUARD, StateError, host_call
from jaxrl_up.envs.spaces import Space, leaves, tree
from jaxrl_up.envs.suites.mujoco import seed_of
from jaxrl_up.envs.suites.stepping import Answer, Leaves, Order
from jaxrl_up.types import Array, Key, PyTree

LEAST_KEPT = 1024  # simulators that may be in use at once, or 8 times as many as one call resets
MOST_OVER = 1_000_000  # episodes that are remembered to be over


class SlotState(NamedTuple):
    """What stands for one simulator."""

    token: Array  # uint32 [4]: the host object, as two words, the number of the simulator, its steps
    time: Array  # int32 [], steps taken in this episode


class Steps(Protocol):
    """What steps simulators: `stepping.Simulators`, or `workers.Workers`."""

    def do(self, orders: Sequence[Order]) -> list[Answer]: ...


class Slots:
    """The simulators of one environment. Calls may come from several threads, each of simulators of its own."""

    def __init__(self, name: str, steps: Steps, observations: Space, limit: int | None) -> None:
        self.name, self.steps, self.limit = name, steps, limit
        self.kinds = [(leaf.shape, np.dtype(leaf.dtype)) for leaf in leaves(observations).values()]
        self.nonce = int.from_bytes(os.urandom(8), "big") | 1  # 0 is nobody's
        self.lock, self.made, self.born, self.most = threading.Lock(), 0, 0, LEAST_KEPT
        self.live: OrderedDict[int, tuple[int, int]] = OrderedDict()  # number -> slot, steps; least recently used first
        self.idle: list[int] = []
        self.over: dict[int, None] = {}
        HOSTS[self.nonce] = self

    def reset(self, words: np.ndarray) -> tuple[np.ndarray, ...]:
        """Of keys as words, uint32 `[N, W]`: (tokens, leaves of observations)."""
        tokens, obs = np.zeros((len(words), 4), np.uint32), self._blank(len(words))
        try:
            with self.lock:
                self.most = max(self.most, 8 * len(words))
                begun = [self._begin(tokens[row]) for row in range(len(words))]
            orders = [(slot, None, False, seed_of(words[row])) for row, slot in enumerate(begun)]
            for row, answer in enumerate(self.steps.do(orders)):
                _write(obs, row, answer[0])
        except Exception as error:
            GUARD.note(self.name, error)
        return tokens, *obs

    def step(self, tokens: np.ndarray, *action: np.ndarray) -> tuple[np.ndarray, ...]:
        """(tokens, leaves of observations, rewards, terminated, truncated). An episode that is over stays so."""
        return self._step(tokens, action, None, None)

    def restart(
        self, words: np.ndarray, tokens: np.ndarray, time: np.ndarray, *action: np.ndarray
    ) -> tuple[np.ndarray, ...]:
        """As `step`, going on where an episode ends, and the leaves to go on from behind the rest.

        A token of another process is truncated, with reward 0, and an episode of a new simulator begins.
        """
        return self._step(tokens, action, time, words)

    def _step(
        self, tokens: np.ndarray, action: Leaves, time: np.ndarray | None, words: np.ndarray | None
    ) -> tuple[np.ndarray, ...]:
        count = len(tokens)
        after, obs, reward = tokens.copy(), self._blank(count), np.full(count, np.nan, np.float32)
        terminated, truncated, fresh = np.ones(count, bool), np.zeros(count, bool), self._blank(count)
        try:
            if not GUARD.failed:
                orders, rows = [], []
                with self.lock:
                    for row in range(count):
                        order = self._order(after[row], words is not None)
                        if order is None:  # over: nothing more is earned
                            reward[row] = 0.0
                            continue
                        slot, foreign = order
                        last = time is not None and self.limit is not None and time[row] + 1 >= self.limit
                        made = None if foreign else tuple(x[row] for x in action)
                        orders.append((slot, made, bool(last), None if words is None else seed_of(words[row])))
                        rows.append(row)
                for row, order, answer in zip(rows, orders, self.steps.do(orders), strict=True):
                    reached, reward[row], terminated[row], truncated[row], begun = answer
                    truncated[row] |= order[1] is None
                    _write(obs, row, reached)
                    _write(fresh, row, reached if begun is None else begun)
                if words is None:
                    with self.lock:
                        for row in rows:
                            if terminated[row] or truncated[row]:
                                self._end(int(after[row, 2]))
        except Exception as error:
            GUARD.note(self.name, error)
        results = after, *obs, reward, terminated, truncated
        return results if words is None else (*results, *fresh)

    def let_go(self, numbers: Sequence[int]) -> None:
        """No step of these simulators will be made any more, and their episodes may be forgotten."""
        with self.lock:
            for number in numbers:
                self._end(number)
                self.over.pop(number, None)

    def _order(self, token: np.ndarray, restarts: bool) -> tuple[int, bool] | None:
        """The slot of a token, which is moved on, and whether it is a new one; None for an episode that is over."""
        number, steps = int(token[2]), int(token[3])
        if _nonce(token) != self.nonce:
            if not restarts:
                raise StateError("a state of another process, or of another environment, cannot be stepped")
            return self._begin(token), True
        if number in self.over and not restarts:
            return None
        if number not in self.live:
            raise StateError(
                "a state was stepped whose simulator has gone to another episode: its own was over, or more than "
                f"{self.most} were begun and not ended"
            )
        slot, made = self.live[number]
        if made != steps:
            raise StateError("a state was stepped twice: its simulator has moved on, so keep what `step` returns")
        token[3] = steps = (steps + 1) % 2**32
        self.live[number] = slot, steps
        self.live.move_to_end(number)
        return slot, False

    def _begin(self, token: np.ndarray) -> int:
        """A slot for a new episode, whose token is written."""
        if not self.idle and len(self.live) >= self.most:
            self.idle.append(self.live.popitem(last=False)[1][0])
        if not self.idle:
            self.idle.append(self.made)
            self.made += 1
        number, self.born = self.born, (self.born + 1) % 2**32
        slot = self.idle.pop()
        self.live[number] = slot, 0
        token[:] = self.nonce >> 32, self.nonce % 2**32, number, 0
        return slot

    def _end(self, number: int) -> None:
        if number in self.live:
            self.idle.append(self.live.pop(number)[0])
            self.over[number] = None
            if len(self.over) > MOST_OVER:
                self.over.pop(next(iter(self.over)))

    def _blank(self, count: int) -> list[np.ndarray]:
        return [np.zeros((count, *shape), dtype) for shape, dtype in self.kinds]


HOSTS: weakref.WeakValueDictionary[int, Slots] = weakref.WeakValueDictionary()


def _nonce(token: np.ndarray) -> int:
    return (int(token[0]) << 32) + int(token[1])


def _write(arrays: list[np.ndarray], row: int, given: Leaves) -> None:
    for array, leaf in zip(arrays, given, strict=True):
        if leaf.shape != array.shape[1:]:
            raise ValueError(f"an observation has shape {leaf.shape}, and its space {array.shape[1:]}")
        array[row] = leaf


def functions(slots: Slots, observations: Space) -> tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]:
    """The `reset`, `step` and `restart` of a Spec."""
    token, obs, limit = ((4,), np.uint32), slots.kinds, slots.limit
    stepped = token, *obs, ((), np.float32), ((), np.bool_), ((), np.bool_)
    structure = jax.tree.structure(tree(observations))

    def element(found: Sequence[Array]) -> PyTree:
        return jax.tree.unflatten(structure, list(found))

    def limited(truncated: Array, time: Array) -> Array:
        return truncated if limit is None else truncated | (time >= limit)

    def reset(params: PyTree, key: Key) -> Any:
        token_, *first = host_call(slots.reset, (token, *obs), jax.random.key_data(key), once=True)
        return SlotState(token_, jnp.int32(0)), element(first)

    def step(params: PyTree, key: Key, state: SlotState, action: PyTree) -> Any:
        given = state.token, *jax.tree.leaves(action)
        token_, *found = host_call(slots.step, stepped, *given, once=True)
        next_obs, (reward, terminated, truncated) = element(found[: len(obs)]), found[len(obs) :]
        time = state.time + 1
        return SlotState(token_, time), next_obs, reward, terminated, limited(truncated, time), {}

    def restart(params: PyTree, key: Key, state: SlotState, action: PyTree) -> Any:
        given = jax.random.key_data(key), state.token, state.time, *jax.tree.leaves(action)
        token_, *found = host_call(slots.restart, (*stepped, *obs), *given, once=True)
        next_obs, first = element(found[: len(obs)]), element(found[len(obs) + 3 :])
        reward, terminated, truncated = found[len(obs) : len(obs) + 3]
        truncated = limited(truncated, state.time + 1)
        time = jnp.where(terminated | truncated, 0, state.time + 1)
        return SlotState(token_, time), first, next_obs, reward, terminated, truncated, {}

    return reset, step, restart


def let_go(state: PyTree, value: Array) -> Array:
    """`value`, after which the simulators that a state stands for are free for other episodes.

    For a program that steps a state no more. What is no token is left alone.
    """
    for slot in _slots(state):
        (value,) = host_call(_free, ((value.shape, value.dtype),), slot.token, value, once=True)
    return value


def _free(tokens: np.ndarray, value: np.ndarray) -> tuple[np.ndarray]:
    for nonce in {_nonce(token) for token in tokens}:
        host = HOSTS.get(nonce)
        if host is not None:
            host.let_go([int(token[2]) for token in tokens if _nonce(token) == nonce])
    return (value,)


def orphaned(state: PyTree) -> PyTree:
    """A tree whose tokens stand for no simulator any more: where they are stepped on, new episodes begin."""

    def orphan(x: Any) -> Any:
        if not _is_slot(x):
            return x
        kept = np.broadcast_to(np.array([0, 0, 1, 1], np.uint32), x.token.shape)
        return x._replace(token=x.token * kept)  # where it is, on the host or on devices

    return jax.tree.map(orphan, state, is_leaf=_is_slot)


def _is_slot(x: Any) -> bool:
    return isinstance(x, SlotState)


def _slots(state: PyTree) -> list[SlotState]:
    return [x for x in jax.tree.leaves(state, is_leaf=_is_slot) if _is_slot(x)]
