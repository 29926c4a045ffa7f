"""Environments that planners try actions in: the state is shown, and stepped without going on to a next episode.

`with_simulator` shows an environment's state, `simulate` steps it. A planner draws with keys of its own, so it knows
what may happen and not what will. What is learned to step like an environment has the shape of a `Model`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrl_up.config import as_key
from jaxrl_up.envs.core import Env, Spec, around, as_action, require_same_structure
from jaxrl_up.envs.spaces import Dict, Leaf, Simulator, leaves, only, parts, pick
from jaxrl_up.envs.wrappers.base import wrapper
from jaxrl_up.envs.wrappers.history import joined, joined_space
from jaxrl_up.types import Array, Key, PyTree

SIMULATOR = "simulator"  # the name of the part that `with_simulator` adds
SHOW_ONLY = (  # alter nothing that is simulated
    "frame_stack",
    "previous_action",
    "time_left",
    "episode_statistics",
    "against",
)


class Simulated(NamedTuple):
    """A state to simulate from: the environment's own, and whether the episode ended in it."""

    state: PyTree
    terminated: Array  # bool []
    truncated: Array  # bool []


class Model(NamedTuple):
    """What steps like an environment, as pure functions: exact, as `model_of` one, or learned.

    It starts no next episode, and a time limit is no termination.
    """

    reset: Callable[[PyTree, Key], PyTree]
    """(params, key) -> a state that an episode may begin in"""
    step: Callable[[PyTree, Key, PyTree, PyTree], tuple[PyTree, PyTree, Array, Array]]
    """(params, key, state, action) -> (state, obs, reward float32 [], terminated bool [])"""


@wrapper
def with_simulator(env: Env) -> Env:
    """Show the environment's state too, as `simulator`, for planners to `simulate` from; it is a `Simulated`.

    Any observation but a Dict becomes the `obs` of one. The space of the new part is `Simulator()`: networks and
    statistics do not see it, a replay does not store it. The environments of a run hold it once more beside their own
    states, and so do its checkpoints.

    Put it after whatever changes actions, rewards or the time limit: `simulate` steps what is within. Raises ValueError
    if observations have a part of this name, and for a state with a random key in it, by which a planner could foresee
    what is drawn. (A key that is kept as plain numbers is not found.)
    """
    state, _ = jax.eval_shape(env.reset, jax.eval_shape(jax.random.key, 0))
    for path, leaf in jax.tree.leaves_with_path(state):
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            raise ValueError(
                f"with_simulator shows the state of {env.name}, which holds a random key at "
                f"'{jax.tree_util.keystr(path)}': a planner would foresee what is drawn. Draw from the key of `step`."
            )
    if env.spec.tokens:
        raise ValueError(
            f"with_simulator cannot show the state of {env.name}, which a simulator on the host keeps to itself: plan "
            "in one whose state is data, as CartPole-v1 or gymnasium/Walker2d-v5"
        )
    if not env.spec.opponent:
        return env.replace(spec=_with_simulator(env.spec))
    build, (board, *opponent) = _built(env.spec)
    if board.players != 2:
        raise ValueError(
            f"with_simulator shows the game of {env.name}, not its opponent, so it comes before other wrappers: "
            f"with_simulator, then {', '.join(env.spec.wrappers)}"
        )
    return env.replace(spec=build(_with_simulator(board), *opponent))


def _built(spec: Spec) -> Any:
    """The function and the arguments that a Spec was built by."""
    if spec.origin is None or spec.origin.build(*spec.origin.arguments) != spec:
        raise ValueError(f"{spec.name} was changed by hand: wrap its game in with_simulator, and then in against")
    return spec.origin.build, spec.origin.arguments


@around
def _with_simulator(spec: Spec) -> Spec:
    def reset(params: Any, key: Key) -> Any:
        state, obs = spec.reset(params, key)
        return state, joined(obs, {SIMULATOR: _begun(state)})

    def step(params: Any, key: Key, state: Any, action: PyTree) -> Any:
        state, obs, reward, terminated, truncated, info = spec.step(params, key, state, action)
        obs = joined(obs, {SIMULATOR: Simulated(state, terminated, truncated)})
        return state, obs, reward, terminated, truncated, info

    return spec._replace(
        reset=reset,
        step=step,
        observation_space=joined_space(spec, "with_simulator", {SIMULATOR: Simulator()}),
        wrappers=(*spec.wrappers, "with_simulator"),
        simulated=spec,
    )


def _begun(state: PyTree) -> Simulated:
    return Simulated(state, jnp.bool_(False), jnp.bool_(False))


def simulate(env: Env, key: Key, state: PyTree, action: PyTree) -> tuple[Simulated, PyTree, Array, Array]:
    """Step a state, without auto-reset: (state, obs, reward float32 [], discount float32 []).

    `state` is what `env = with_simulator(...)` shows (see `simulator_of`) or an earlier call returned; that of an
    environment as its `reset` gives it is taken too. `action` is one of `env.action_space`. `obs` is as
    `with_simulator` shows it; later wrappers that only show more, as `frame_stack`, do not add to it.

    `discount` is 0 once the episode has terminated, else 1: also where a time limit truncated it, whose last `obs` may
    be bootstrapped from. After an end of either kind the state stays, rewards are 0 and the discount remains; `obs` is
    then not to be read: where `state.terminated | state.truncated` before the step, keep the one before.

    The key has to be the caller's own: a planner keeps one in its memory and splits it. Raises ValueError for an action
    of the wrong shape or kind, and for a wrapper after `with_simulator` that changes actions, rewards or endings.
    """
    spec = _simulated(env.spec)
    before = state if isinstance(state, Simulated) else _begun(state)
    action = as_action(spec.action_space, action)
    reached, obs, reward, terminated, truncated, _ = spec.step(env.params, as_key(key), before.state, action)
    require_same_structure(before.state, reached, f"the state of {env.name}")
    over = before.terminated | before.truncated
    after = Simulated(
        jax.tree.map(lambda old, new: jnp.where(over, old, new), before.state, reached),
        jnp.where(over, before.terminated, terminated),
        jnp.where(over, before.truncated, truncated),
    )
    if env.spec.simulated is not None:
        obs = joined(obs, {SIMULATOR: after})
    discount = jnp.where(after.terminated, jnp.float32(0), jnp.float32(1))
    return after, obs, jnp.where(over, jnp.float32(0), reward), discount


def _simulated(spec: Spec) -> Spec:
    """What the simulator of an environment steps: the Spec within, or its own where it shows none."""
    if spec.simulated is None:
        return spec
    for name in spec.wrappers[len(spec.simulated.wrappers) + 1 :]:
        if name.split("(")[0] not in SHOW_ONLY:
            raise ValueError(
                f"{spec.name} cannot be simulated: {name} comes after with_simulator, which knows nothing of it. Wrap "
                "in with_simulator last."
            )
    return spec.simulated


def simulator_of(env: Env, obs: PyTree) -> Simulated:
    """The state to simulate from in an observation `[..., *shape]` of an environment, as `Algorithm.act` gets it.

    Raises ValueError if the environment shows none.
    """
    shown = [path for path, leaf in leaves(env.observation_space).items() if isinstance(leaf, Simulator)]
    if len(shown) != 1:
        raise ValueError(
            f"a planner needs the state of {env.name}, which shows {len(shown) or 'no'} simulator"
            f"{'s' if shown else ''}: wrap it in envs.with_simulator."
        )

    def keep(path: str, leaf: Leaf) -> bool:
        return path == shown[0]

    return parts(only(env.observation_space, keep), pick(env.observation_space, keep, obs))[shown[0]]


def without_simulator(env: Env, obs: PyTree) -> PyTree:
    """What the environment under `with_simulator` shows, of what `simulate` returns."""
    inner = env.spec.simulated
    if inner is None or not isinstance(obs, dict):
        return obs
    rest = {name: x for name, x in obs.items() if name != SIMULATOR}
    return rest if isinstance(inner.observation_space, Dict) else rest["obs"]


def model_of(env: Env) -> Model:
    """The exact model of an environment, which steps by `simulate`; its `params` are `env.params`.

    Equal environments have one and the same, whatever their parameters. Its states are `Simulated`, and its
    observations and ends those of `simulate`.
    """
    return _model_of(env.spec)


@cache
def _model_of(spec: Spec) -> Model:
    def reset(params: PyTree, key: Key) -> Simulated:
        return _begun(_simulated(spec).reset(params, as_key(key))[0])

    def step(params: PyTree, key: Key, state: PyTree, action: PyTree) -> tuple[PyTree, PyTree, Array, Array]:
        state, obs, reward, discount = simulate(Env(params, spec), key, state, action)
        return state, obs, reward, discount == 0

    return Model(reset, step)
