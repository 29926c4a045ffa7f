"""One environment of brax as functions of its parameters, its state cut down to what steps read."""

from __future__ import annotations

import contextlib
import copy
import importlib
import warnings
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.interpreters import partial_eval

from jaxrl_up.envs.core import strong
from jaxrl_up.envs.look import Shapes, capsules
from jaxrl_up.envs.suites.dtypes import narrow
from jaxrl_up.types import Array, Key

Simulator = dict[str, Array]
MAXIMAL = ("spring", "positional")  # backends that reckon with powers of masses, and have the masses in their state


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Within, and in a function decorated with it, brax has what it reckons with, whatever the settings of JAX are.

    Numbers have 32 bits, ranks and types are promoted, and nothing is warned of: it is not maintained, and says so.
    """
    with narrow(), jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


class Physics:
    """The functions of one environment, which is never changed; hashes by identity.

    `mass` scales masses and inertias of links, `gear` the forces of actuators, `friction` that of geometries; `gravity`
    is the z component. Inverse weights that soften constraints stay as the model has them.
    """

    def __init__(self, name: str, environment: Any) -> None:
        self.name, self.environment = name, environment
        with jax.ensure_compile_time_eval():
            self.sys = _scaled(environment.sys) if environment.backend in MAXIMAL else environment.sys
            self.step_seconds = float(environment.dt)
        sys = self.sys
        self.defaults = {"friction": 1.0, "gear": 1.0, "gravity": float(np.asarray(sys.gravity)[2]), "mass": 1.0}
        self.counts = {"friction": sys.ngeom, "gear": sys.nu, "gravity": 0, "mass": sys.num_links()}
        self.num_actions = int(sys.act_size())
        params = {key: jax.ShapeDtypeStruct((), jnp.float32) for key in self.defaults}
        key = jax.eval_shape(jax.random.key, 0)
        first = jax.eval_shape(lambda params, key: self._in(params).reset(jax.random.key_data(key)), params, key)
        paths, self.structure = jax.tree.flatten_with_path(first.pipeline_state)
        self.shapes = {jax.tree_util.keystr(path, simple=True, separator="."): x for path, x in paths}
        self.metrics, self.told = tuple(first.metrics), dict(first.info)
        self.obs_shape = first.obs.shape
        self.kept = frozenset(self.shapes)
        self.kept = self._read(params)

    def require_shape(self, key: str, value: Any) -> None:
        """Raise ValueError unless a parameter is one number, or one for each part that it is of."""
        count = self.counts[key]
        if value.shape not in ((), (count,)) or (count == 0 and value.shape):
            what = {"friction": "geometry", "gear": "actuator", "gravity": "", "mass": "link"}[key]
            parts = f" or {count} numbers, one for each {what}" if count else ""
            raise ValueError(f"{key!r} of {self.name} must be one number{parts}, got the shape {tuple(value.shape)}")

    def reset(self, params: Any, key: Key) -> tuple[Simulator, Array]:
        """Of brax's reset: (what steps read of the state, observation)."""
        first = self._in(params).reset(jax.random.key_data(key))
        return self._keep(first.pipeline_state), strong(first.obs, jnp.float32)

    def step(self, params: Any, simulator: Simulator, action: Array) -> tuple[Simulator, Array, Array, Array, Any]:
        """Of brax's step: (what steps read of the state, observation, reward, done, metrics)."""
        environment = self._in(params)
        metrics = {key: jnp.float32(0) for key in self.metrics}
        told = {key: jnp.zeros(x.shape, x.dtype) for key, x in self.told.items()}
        state = _state_kind()(self._whole(environment, simulator), None, jnp.float32(0), jnp.float32(0), metrics, told)
        after = environment.step(state, action)
        info = {key: strong(value, jnp.float32) for key, value in after.metrics.items()}
        obs, reward = strong(after.obs, jnp.float32), strong(after.reward, jnp.float32)
        return self._keep(after.pipeline_state), obs, reward, strong(after.done, bool), info

    def shapes_of(self, params: Any, state: Any) -> Shapes:
        """What a state, on the host, looks like: the geometries of the model at its coordinates."""
        mujoco: Any = importlib.import_module("mujoco")
        model = self.sys.mj_model
        data = mujoco.MjData(model)
        data.qpos[:] = state.simulator["q"]
        mujoco.mj_kinematics(model, data)
        rotation = data.geom_xmat.reshape(-1, 3, 3)
        return capsules(model.geom_type, model.geom_size, data.geom_xpos, rotation, model.geom_bodyid)

    def _in(self, params: Any) -> Any:
        """The environment, its physics as the parameters say."""
        for key, value in params.items():
            self.require_shape(key, value)
        sys = self.sys
        mass, gear, friction = (
            jnp.broadcast_to(params[key], (self.counts[key],)) for key in ("mass", "gear", "friction")
        )
        gravity = jnp.concatenate([jnp.asarray(sys.gravity[:2], jnp.float32), params["gravity"][None]])
        body = jnp.concatenate([jnp.ones(1, jnp.float32), mass])  # bodies are the world and the links
        changed = copy.copy(self.environment)
        changed.sys = self.sys.tree_replace(
            {
                "gravity": gravity,
                "opt.gravity": gravity,
                "link.inertia.mass": sys.link.inertia.mass * mass,
                "link.inertia.i": sys.link.inertia.i * mass[:, None, None],
                "body_mass": sys.body_mass * body,
                "body_inertia": sys.body_inertia * body[:, None],
                "actuator.gear": sys.actuator.gear * gear,
                "actuator_gear": sys.actuator_gear * gear[:, None],
                "geom_friction": sys.geom_friction * friction[:, None],
            }
        )
        return changed

    def _keep(self, pipeline_state: Any) -> Simulator:
        leaves = zip(self.shapes.items(), jax.tree.leaves(pipeline_state), strict=True)
        return {name: strong(leaf, shape.dtype) for (name, shape), leaf in leaves if name in self.kept}

    def _whole(self, environment: Any, simulator: Simulator) -> Any:
        """A state of brax's own, with zeros for what no step reads."""
        leaves = {name: jnp.zeros(x.shape, x.dtype) for name, x in self.shapes.items()} | simulator
        if environment.backend in MAXIMAL:
            leaves["mass"] = environment.sys.link.inertia.mass
        return jax.tree.unflatten(self.structure, [leaves[name] for name in self.shapes])

    def _read(self, params: Any) -> frozenset[str]:
        """The names of what a step reads of the state, for its results or for the steps after it."""
        action = jax.ShapeDtypeStruct((self.num_actions,), jnp.float32)
        program, outputs = jax.make_jaxpr(
            lambda simulator, params, action: self.step(params, simulator, action), return_shape=True
        )(self.shapes, params, action)
        order = sorted(self.shapes)  # as jax flattens a dict
        results = [*order, *[None] * (len(jax.tree.leaves(outputs)) - len(order))]
        kept: frozenset[str] = frozenset()
        while True:
            wanted = [name is None or name in kept for name in results]
            _, used = partial_eval.dce_jaxpr(program.jaxpr, wanted)
            read = frozenset(name for name, is_used in zip(order, used, strict=False) if is_used)
            if read <= kept:
                return kept
            kept |= read


def _scaled(sys: Any) -> Any:
    """A system whose masses and inertias are the powers of them that its backend reckons with.

    Some models say that all links weigh the same: the power is 0, and a factor within it would do nothing.
    """
    inertia = sys.link.inertia
    return sys.tree_replace(
        {
            "link.inertia.mass": inertia.mass ** (1 - sys.spring_mass_scale),
            "link.inertia.i": inertia.i ** (1 - sys.spring_inertia_scale),
            "spring_mass_scale": 0,
            "spring_inertia_scale": 0,
        }
    )


def _state_kind() -> Any:
    from brax.envs.base import State

    return State
