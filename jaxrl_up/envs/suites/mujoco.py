"""MuJoCo environments of gymnasium as pure functions: the state of the simulator is the state of the environment.

What is kept of it is all that a step reads: MuJoCo's integration state, and the positions of bodies that rewards
compare with (they lag behind the coordinates by a substep). So a step is a function of its arguments, whichever of
the simulators at hand makes it, and runs, resumed or not, are equal to the last bit.
"""

from __future__ import annotations

import importlib
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_up.envs.host import GUARD, host_call
from jaxrl_up.envs.look import Shapes, capsules
from jaxrl_up.types import Array, Key, PyTree

Built = Callable[[], Any]


class MujocoState(NamedTuple):
    """The state of one simulator."""

    simulator: Array  # uint32 [2 K], K numbers of 64 bits as pairs of words
    time: Array  # int32 [], steps taken in this episode


def is_pure(env: Any) -> bool:
    """Whether an environment is one of gymnasium's own on MuJoCo, which keep nothing that steps read but `data`."""
    kind = type(env)
    own = kind.__module__.startswith("gymnasium.envs.mujoco.")  # which needs no import of what may not be installed
    return own and any(base.__name__ == "MujocoEnv" for base in kind.__mro__)


@contextmanager
def no_log() -> Iterator[None]:
    """Within, MuJoCo, where it is there, writes no warnings of models to the screen and to a file where it is run."""
    try:
        mujoco: Any = importlib.import_module("mujoco")
    except ImportError:
        yield
        return
    before = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(lambda message: None)
    try:
        yield
    finally:
        mujoco.set_mju_user_warning(before)


class Mujoco:
    """Simulators of one environment, built as they are needed: a thread takes one for as long as a call lasts."""

    def __init__(self, name: str, env: Any, build: Built, limit: int | None) -> None:
        mujoco: Any = importlib.import_module("mujoco")
        self.name, self.build, self.limit = name, build, limit
        self.lock, self.get, self.set = threading.Lock(), mujoco.mj_getState, mujoco.mj_setState
        self.forward = mujoco.mj_forward
        self.signature = int(mujoco.mjtState.mjSTATE_INTEGRATION)
        self.idle, self.size = [env], mujoco.mj_stateSize(env.model, self.signature)
        self.width = self.size + env.data.xpos.size + env.data.xipos.size
        self.obs_shape, self.action_shape = env.observation_space.shape, env.action_space.shape
        env.reset(seed=0)
        info = env.step(np.zeros(self.action_shape, np.float32))[-1]
        self.info = tuple(key for key, value in info.items() if np.ndim(value) == 0 and not isinstance(value, str))

    @contextmanager
    def simulator(self) -> Iterator[Any]:
        """One that no other thread uses."""
        with self.lock:
            env = self.idle.pop() if self.idle else None
        env = self.build() if env is None else env
        try:
            yield env
        finally:
            with self.lock:
                self.idle.append(env)

    def save(self, env: Any, row: np.ndarray) -> None:
        """Write the state of a simulator into float64 `[K]`."""
        data, bodies = env.data, self.size + env.data.xpos.size
        self.get(env.model, data, row[: self.size], self.signature)
        row[self.size : bodies] = data.xpos.ravel()
        row[bodies:] = data.xipos.ravel()

    def load(self, env: Any, row: np.ndarray) -> None:
        """Give a simulator the state that was saved in float64 `[K]`."""
        data, bodies = env.data, self.size + env.data.xpos.size
        self.set(env.model, data, row[: self.size], self.signature)
        data.xpos.ravel()[:] = row[self.size : bodies]
        data.xipos.ravel()[:] = row[bodies:]

    def reset(self, words: np.ndarray) -> tuple[np.ndarray, ...]:
        """Of keys as words, uint32 `[N, W]`: (states, observations)."""
        count = len(words)
        states, obs = np.full((count, self.width), np.nan), np.full((count, *self.obs_shape), np.nan, np.float32)
        try:
            with self.simulator() as env:
                for row in range(count):
                    obs[row] = env.reset(seed=seed_of(words[row]))[0]
                    self.save(env, states[row])
        except Exception as error:
            GUARD.note(self.name, error)
        return states.view(np.uint32), obs

    def step(self, states: np.ndarray, action: np.ndarray) -> tuple[np.ndarray, ...]:
        """(states, observations, rewards, terminated, info `[N, I]`), nothing begun anew."""
        return self._step(states, action, None, None)

    def restart(
        self, words: np.ndarray, states: np.ndarray, time: np.ndarray, action: np.ndarray
    ) -> tuple[np.ndarray, ...]:
        """As `step`, and what to go on from: (states, next observations, rewards, terminated, info, observations)."""
        return self._step(states, action, time, words)

    def _step(
        self, states: np.ndarray, action: np.ndarray, time: np.ndarray | None, words: np.ndarray | None
    ) -> tuple[np.ndarray, ...]:
        count, before = len(action), states.view(np.float64)
        after, obs = np.full((count, self.width), np.nan), np.full((count, *self.obs_shape), np.nan, np.float32)
        reward, terminated = np.full(count, np.nan, np.float32), np.ones(count, bool)
        info, fresh = np.zeros((count, len(self.info)), np.float32), None if words is None else obs.copy()
        try:
            if not GUARD.failed:
                with self.simulator() as env:
                    for row in range(count):
                        self.load(env, before[row])
                        obs[row], reward[row], terminated[row], _, said = env.step(action[row])
                        info[row] = [said[key] for key in self.info]
                        if words is not None and fresh is not None:
                            assert time is not None
                            over = terminated[row] or (self.limit is not None and time[row] + 1 >= self.limit)
                            fresh[row] = env.reset(seed=seed_of(words[row]))[0] if over else obs[row]
                        self.save(env, after[row])
        except Exception as error:
            GUARD.note(self.name, error)
        results = after.view(np.uint32), obs, reward, terminated, info
        return results if fresh is None else (*results, fresh)

    def shapes(self, params: PyTree, state: MujocoState) -> Shapes:
        """What a state, on the host, looks like."""
        with self.shown(state) as env:
            model, data = env.model, env.data
            return capsules(
                model.geom_type,
                model.geom_size,
                data.geom_xpos,
                data.geom_xmat.reshape(-1, 3, 3),
                model.geom_bodyid,
            )

    def frame(self, params: PyTree, state: MujocoState) -> np.ndarray:
        """A picture by MuJoCo's own renderer; raises whatever it raises where there is none.

        Where there is no screen it draws with EGL, unless the environment variable `MUJOCO_GL` says otherwise.
        """
        if not os.environ.get("DISPLAY"):
            os.environ.setdefault("MUJOCO_GL", "egl")
        with self.shown(state) as env:
            env.render_mode = "rgb_array"
            try:
                return env.render()
            finally:
                env.render_mode = None

    @contextmanager
    def shown(self, state: MujocoState) -> Iterator[Any]:
        """A simulator in a state, with the positions of all its geoms."""
        with self.simulator() as env:
            self.load(env, np.ascontiguousarray(state.simulator, np.uint32).view(np.float64))
            self.forward(env.model, env.data)
            yield env


def seed_of(words: np.ndarray) -> int:
    """The seed that gymnasium's `reset` gets for a key as words, uint32 `[W]`: the words as one whole number."""
    return int.from_bytes(words.astype(">u4").tobytes(), "big")


def functions(host: Mujoco) -> tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]:
    """The `reset`, `step` and `restart` of a Spec."""
    state, obs = ((2 * host.width,), np.uint32), (host.obs_shape, np.float32)
    stepped = state, obs, ((), np.float32), ((), np.bool_), ((len(host.info),), np.float32)

    def truncated(time: Array) -> Array:
        return jnp.bool_(False) if host.limit is None else time >= host.limit

    def named(info: Array) -> dict[str, Array]:
        return {key: info[place] for place, key in enumerate(host.info)}

    def reset(params: PyTree, key: Key) -> Any:
        simulator, first = host_call(host.reset, (state, obs), jax.random.key_data(key))
        return MujocoState(simulator, jnp.int32(0)), first

    def step(params: PyTree, key: Key, state: MujocoState, action: Array) -> Any:
        simulator, next_obs, reward, terminated, info = host_call(host.step, stepped, state.simulator, action)
        time = state.time + 1
        return MujocoState(simulator, time), next_obs, reward, terminated, truncated(time), named(info)

    def restart(params: PyTree, key: Key, state: MujocoState, action: Array) -> Any:
        words, time = jax.random.key_data(key), state.time + 1
        given = words, state.simulator, state.time, action
        simulator, next_obs, reward, terminated, info, first = host_call(host.restart, (*stepped, obs), *given)
        limit = truncated(time)
        reached = MujocoState(simulator, jnp.where(terminated | limit, 0, time))
        return reached, first, next_obs, reward, terminated, limit, named(info)

    return reset, step, restart
