"""Finite MDPs made by chance, or by going through an environment."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_up import envs
from jaxrl_up.tabular.finite_mdp import MDP, mdp
from jaxrl_up.types import Array, Key, PyTree


def garnet(
    key: Key,
    states: int,
    actions: int,
    branching: int,
    *,
    discount: Any,
    reward_std: float = 1.0,
    horizon: int | None = None,
) -> MDP:
    """A random MDP: from every (s, a), `branching` different successors with random probabilities; r(s, a) normal.

    Probabilities are the gaps between sorted uniform numbers, so uniform over the simplex; rewards have mean 0 and
    standard deviation `reward_std`; episodes begin anywhere and never end. `vmap` over keys gives many. Reference:
    Archibald, McKinnon & Thomas 1995, "On the generation of Markov decision processes" (here every state can begin).
    Raises `ValueError` unless 1 <= branching <= states.
    """
    if not 1 <= branching <= states or actions < 1:
        raise ValueError(f"branching={branching} is from 1 to the number of states, {states}, and actions at least 1")
    successor_key, probability_key, reward_key = jax.random.split(key, 3)
    ranks = jnp.argsort(jax.random.uniform(successor_key, (states, actions, states)), axis=-1)
    cuts = jnp.sort(jax.random.uniform(probability_key, (states, actions, branching - 1), float), axis=-1)
    edges = [jnp.zeros_like(cuts, shape=(states, actions, 1)), cuts, jnp.ones_like(cuts, shape=(states, actions, 1))]
    weights = jnp.diff(jnp.concatenate(edges, axis=-1), axis=-1)
    chosen = jax.nn.one_hot(ranks[..., :branching], states, dtype=weights.dtype)
    transition = jnp.sum(weights[..., None] * chosen, axis=-2)
    reward = reward_std * jax.random.normal(reward_key, (states, actions), float)
    return mdp(transition, reward, discount=discount, horizon=horizon)


class Enumeration(NamedTuple):
    """An environment as a finite MDP, and what its states look like."""

    mdp: MDP
    observations: PyTree
    """what the environment shows in each state, `[S, ...]`; see `policy_table`"""
    states: PyTree
    """the states of the environment, `[S, ...]`"""


def from_env(
    env: envs.Env,
    *,
    discount: Any,
    ignore: str | tuple[str, ...] = (),
    uniform_start: bool = False,
    draws: int = 256,
    max_states: int = 10_000,
    key: Key | None = None,
) -> Enumeration:
    """Go through all states that a small environment with discrete actions can reach, and write its MDP down.

    From each state every action is tried with `draws` keys, and the reset with 16 times as many. Where all give the
    same, the row is exact; else probabilities are frequencies, of standard error sqrt(p (1 - p) / draws), and what is
    rare may be missed. Rewards are means. The episode's end, by termination or by its time limit, is a terminal state.

    Args:
      env: deterministic or random, with `Discrete` actions and no random key in its state.
      discount: gamma, as of `mdp`.
      ignore: leaves of the state, by the end of their names, that make no difference, as a clock: ("time",). A time
        limit then ends nothing.
      uniform_start: all first states that were seen are equally likely, in place of their frequencies.
      draws: keys for each state and action.
      max_states: give up beyond.
      key: what to draw with; the same key gives the same MDP.

    Raises:
      ValueError: other actions, a random key in the state, no leaf to ignore, or more than `max_states` states.
    """
    if draws < 1:
        raise ValueError(f"draws={draws} must be at least 1")
    ignore = (ignore,) if isinstance(ignore, str) else tuple(ignore)
    space = env.action_space
    if not isinstance(space, envs.Discrete) or space.shape != ():
        raise ValueError(f"from_env wants Discrete actions, {env.name} has {space}")
    actions = space.start + jnp.arange(space.n)
    reset_key, step_key = jax.random.split(jax.random.key(0) if key is None else key)
    firsts, shown = jax.jit(jax.vmap(env.reset))(jax.random.split(reset_key, 16 * draws))
    leaves = {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree.leaves_with_path(firsts)}
    for path, leaf in leaves.items():
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            raise ValueError(f"the state of {env.name} holds a random key at {path or 'its root'}")
    for name in ignore:
        if not any(path.endswith(name) for path in leaves):
            raise ValueError(f"the state of {env.name} has nothing to ignore of the name {name!r}: {', '.join(leaves)}")

    @jax.jit
    def explore(states: PyTree, keys: Key) -> Any:
        """Every action with every key from each of the states: leaves `[N, A, draws, ...]`."""

        def one(state: PyTree, action: Array, key: Key) -> Any:
            return env.spec.step(env.params, key, state, action)[:5]

        over_keys = jax.vmap(one, (None, None, 0))
        over_actions = jax.vmap(over_keys, (None, 0, None))
        return jax.vmap(over_actions, (0, None, 0))(states, actions, keys)

    found: dict[bytes, int] = {}
    kept: list[tuple[PyTree, PyTree]] = []
    ends: list[bool] = []

    def numbers(states: PyTree, shown: PyTree, over: np.ndarray) -> np.ndarray:
        """The number of each of `[N, ...]` states, `[N]`; new ones are kept."""
        names, first, which = np.unique(_names(states, over, ignore), return_index=True, return_inverse=True)
        for name, i in sorted(zip((name.tobytes() for name in names), first, strict=True), key=lambda pair: pair[1]):
            if name not in found:
                if len(found) == max_states:
                    raise ValueError(
                        f"{env.name} has more than max_states={max_states} states; is there a clock to ignore, as in "
                        "ignore=('time',)?"
                    )
                found[name] = len(found)
                kept.append(jax.tree.map(lambda x, i=i: x[i], (states, shown)))
                ends.append(bool(over[i]))
        return np.array([found[name.tobytes()] for name in names])[which.reshape(-1)]

    begins = np.bincount(numbers(jax.device_get(firsts), jax.device_get(shown), np.zeros(16 * draws, bool)))
    edges, rewards, done, batch = [], [], 0, 64
    while done < len(kept):
        here = [n for n in range(done, min(done + batch, len(kept))) if not ends[n]]
        done = min(done + batch, len(kept))
        if not here:
            continue
        padded = here + [here[0]] * (batch - len(here))  # one size, one program
        states = jax.tree.map(lambda *x: np.stack(x), *[kept[n][0] for n in padded])
        keys = jax.vmap(lambda n: jax.random.split(jax.random.fold_in(step_key, n), draws))(jnp.asarray(padded))
        tried = jax.tree.map(partial(_first, len(here)), explore(states, keys))
        reached, obs, reward, terminated, truncated = tried
        over = terminated if ignore else terminated | truncated
        origin, action, _ = np.indices((len(here), space.n, draws)).reshape(3, -1)
        edges.append(np.stack([np.array(here)[origin], action, numbers(reached, obs, over)]))
        rewards.append(reward)
    edge = tuple(np.concatenate(edges, axis=1))
    counts, paid = np.zeros((2, len(kept), space.n, len(kept)))
    np.add.at(counts, edge, 1)
    np.add.at(paid, edge, np.concatenate(rewards))
    start = np.pad(begins / begins.sum(), (0, len(kept) - len(begins)))
    start = (start > 0) / (start > 0).sum() if uniform_start else start
    states, observations = jax.tree.map(lambda *x: jnp.stack(x), *kept)
    return Enumeration(
        mdp(counts / draws, paid / np.maximum(counts, 1), discount=discount, start=start, terminal=ends),
        observations,
        states,
    )


def _first(number: int, x: Array) -> np.ndarray:
    """`[N, A, draws, ...]` of the first `number` states, their axes in one."""
    return np.asarray(x)[:number].reshape(number * x.shape[1] * x.shape[2], *x.shape[3:])


def _names(states: PyTree, over: np.ndarray, ignore: tuple[str, ...]) -> np.ndarray:
    """What tells states `[N, ...]` apart, `[N]`: the bytes of their leaves, and whether the episode is over."""
    parts = [over.astype(np.uint8).reshape(len(over), 1)]
    for path, leaf in jax.tree.leaves_with_path(states):
        if leaf.size and not any(jax.tree_util.keystr(path).endswith(name) for name in ignore):
            leaf = np.ascontiguousarray(np.asarray(leaf) + np.zeros((), np.asarray(leaf).dtype))  # -0.0 is 0.0
            parts.append(leaf.reshape(len(over), -1).view(np.uint8).reshape(len(over), -1))
    rows = np.ascontiguousarray(np.concatenate(parts, axis=1))
    return rows.view(np.dtype((np.void, rows.shape[1]))).reshape(-1)
