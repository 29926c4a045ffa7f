"""Every finite MDP is an environment, and a policy on it is a table."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_up import envs
from jaxrl_up.tabular.finite_mdp import MDP
from jaxrl_up.tabular.trajectories import draw
from jaxrl_up.types import Array, Key, PyTree


def as_env(mdp: MDP, *, features: Any = None, name: str = "MDP") -> envs.Env:
    """The MDP as an `Env`: every algorithm runs on it, and is judged against the exact answer.

    It shows the number of the state, `Discrete(S)`, or the row of `features` `[S, ...]` that belongs to it, a Box;
    actions are `Discrete(A)`. Terminal states terminate, the horizon truncates. The discount is for the algorithm to
    say, as `gamma`: give it the same. The tables are `env.params`, traced leaves: of one size all MDPs are one program,
    and `vmap` runs over many. Raises `ValueError` for features that are not one row a state.
    """
    over = mdp.terminal.reshape(-1, *[1] * (mdp.reward.ndim - 1))
    params: dict[str, Any] = {  # of terminal states nothing is read, but parameters are numbers
        "transition": jnp.where(mdp.terminal[:, None, None], 0, mdp.transition),
        "reward": jnp.where(over, 0, mdp.reward),
        "start": mdp.start,
        "terminal": mdp.terminal.astype(jnp.float32),
    }
    space: envs.Space = envs.Discrete(mdp.states)
    if features is not None:
        features = jnp.asarray(features, jnp.float32)
        if features.ndim < 1 or features.shape[0] != mdp.states:
            raise ValueError(f"features have one row a state, [{mdp.states}, ...], got shape {list(features.shape)}")
        params["features"] = features
        space = envs.Box(-np.inf, np.inf, features.shape[1:])
    return envs.from_functions(
        _reset, _step, space, envs.Discrete(mdp.actions), max_steps=mdp.horizon, params=params, name=name
    )


def _reset(key: Key, params: dict[str, Array]) -> tuple[Array, Array]:
    state = draw(key, params["start"])
    return state, _shown(state, params)


def _step(key: Key, state: Array, action: Array, params: dict[str, Array]) -> tuple[Array, Array, Array, Array, Array]:
    there = draw(key, params["transition"][state, action])
    reward = params["reward"]
    paid = reward[(state, action, there)[: reward.ndim]]
    return there, _shown(there, params), paid, params["terminal"][there] > 0, jnp.asarray(False)


def _shown(state: Array, params: dict[str, Array]) -> Array:
    return params["features"][state] if "features" in params else state


def observations(mdp: MDP, features: Any = None) -> Array:
    """What `as_env` shows in each state, `[S]` or `[S, ...]`: to ask a policy or a value about all states at once."""
    return jnp.arange(mdp.states, dtype=jnp.int32) if features is None else jnp.asarray(features, jnp.float32)


def policy_table(mdp: MDP, act: Any, key: Key | None = None, *, samples: int = 1000, features: Any = None) -> Array:
    """pi(a | s) `[S, A]` of a policy in hand, `act(obs)` as `RunResult.policy()` gives it: what it does in each state.

    Without a key its one action; with a key, the frequencies of `samples` actions of `act(obs, key=key)`.
    """
    shown = observations(mdp, features)
    if key is None:
        return jax.nn.one_hot(jnp.asarray(act(shown)), mdp.actions)
    drawn: PyTree = jax.vmap(lambda key: jnp.asarray(act(shown, key=key)))(jax.random.split(key, samples))
    return jnp.mean(jax.nn.one_hot(drawn, mdp.actions), axis=0)
