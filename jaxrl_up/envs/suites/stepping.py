"""Simulators of one environment of gymnasium, stepped one after the other, in this process or in one of its own.

A worker is this file, run as a program: it imports nothing of jaxrl_up, as JAX would take seconds and memory.
"""

from __future__ import annotations

import importlib
import os
import pickle
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Leaves = tuple[np.ndarray, ...]
Order = tuple[int, Leaves | None, bool, int | None]  # slot, action (None: reset), whether the limit is met, seed
Answer = tuple[Leaves, float, bool, bool, Leaves | None]  # successor, reward, terminated, truncated, a fresh episode


def build(recipe: tuple[Any, ...]) -> Any:
    """A simulator: of `("registered", id, options)`, `("atari", id, options, view)` or `("made", function)`.

    `view` are options of gymnasium's AtariPreprocessing.
    """
    kind, what, *more = recipe
    if kind == "made":
        return what()
    gymnasium = importlib.import_module("gymnasium")
    made = gymnasium.make(what, max_episode_steps=-1, disable_env_checker=True, **more[0])
    return made if kind == "registered" else gymnasium.wrappers.AtariPreprocessing(made, **more[1])


def use_atari() -> None:
    """Make the games of ale_py known to gymnasium, without its greeting. Raises ImportError without it."""
    ale: Any = importlib.import_module("ale_py")
    ale.ALEInterface.setLoggerMode(ale.LoggerMode.Error)
    importlib.import_module("gymnasium").register_envs(ale)


def flat(space: Any, element: Any) -> list[np.ndarray]:
    """The leaves of an element in the order of JAX's, float64 as float32."""
    kind = type(space).__name__
    if kind == "Dict":
        return [leaf for name in sorted(space.spaces) for leaf in flat(space.spaces[name], element[name])]
    if kind == "Tuple":
        return [leaf for part, x in zip(space.spaces, element, strict=True) for leaf in flat(part, x)]
    return [np.asarray(element, dtype_of(space))]


def dtype_of(space: Any) -> np.dtype:
    """The dtype that elements of a leaf have outside of gymnasium."""
    if np.issubdtype(space.dtype, np.floating):
        return np.dtype(np.float32)
    narrow = {"MultiBinary": np.int8, "Discrete": np.int32, "MultiDiscrete": np.int32}
    usual = {"int64": np.int32, "uint64": np.uint32}.get(np.dtype(space.dtype).name, space.dtype)
    return np.dtype(narrow.get(type(space).__name__, usual))


def given(space: Any, leaves: Sequence[np.ndarray]) -> Any:
    """The element of these leaves as gymnasium has it: an int of Discrete, else arrays in the dtype of the space."""
    rest = list(leaves)

    def take(space: Any) -> Any:
        kind = type(space).__name__
        if kind == "Dict":
            return {name: take(space.spaces[name]) for name in sorted(space.spaces)}
        if kind == "Tuple":
            return tuple(take(part) for part in space.spaces)
        x = rest.pop(0)
        if kind == "Discrete":
            return int(x)
        wide = np.array(x, space.dtype)
        if kind == "Box" and wide.dtype == np.float64:  # a bound in float32 may lie beyond the bound
            for bound in (space.low, space.high):
                wide = np.where(x == bound.astype(np.float32), bound, wide)
        return wide

    return take(space)


class Simulators:
    """Simulators by slot, each built when it is first reset."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make, self.envs = make, dict[int, Any]()

    def do(self, orders: Sequence[Order]) -> list[Answer]:
        """Reset or step what is asked for; where an episode ends and there is a seed, begin the next."""
        return [self._one(*order) for order in orders]

    def _one(self, slot: int, action: Leaves | None, last: bool, seed: int | None) -> Answer:
        env = self.envs.pop(slot, None)  # one that raises does not come back
        if action is None:
            env = self.make() if env is None else env
            answer = self._reset(env, seed), 0.0, False, False, None
        elif env is None:
            raise RuntimeError("the process with its state has ended")
        else:
            reached, reward, terminated, truncated, _ = env.step(given(env.action_space, action))
            over = bool(terminated or truncated or last)
            successor = tuple(flat(env.observation_space, reached))
            fresh = self._reset(env, seed) if over and seed is not None else None
            answer = successor, float(reward), bool(terminated), bool(truncated), fresh
        self.envs[slot] = env
        return answer

    def _reset(self, env: Any, seed: int | None) -> Leaves:
        return tuple(x.copy() for x in flat(env.observation_space, env.reset(seed=seed)[0]))


def serve() -> None:
    """Answer the orders that come on standard input until it ends, as it does with the process that writes there."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that gives orders
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what simulators print is no answer
    requests = sys.stdin.buffer
    try:
        path, atari, packed = pickle.load(requests)
        sys.path[:] = path
        if atari:
            use_atari()
        recipe = pickle.loads(packed)
        simulators = Simulators(lambda: build(recipe))
        while True:
            orders = pickle.load(requests)
            try:
                answer: Any = simulators.do(orders)
            except Exception as error:
                answer = type(error).__name__, (str(error).splitlines() or [""])[0]
            pickle.dump(answer, answers, protocol=pickle.HIGHEST_PROTOCOL)
            answers.flush()
    except (EOFError, BrokenPipeError):
        return


if __name__ == "__main__":
    serve()
