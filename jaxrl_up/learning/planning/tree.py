"""Search in a tree of what an environment's own simulator may come to, by mctx.

Each simulation goes down the tree, opens one new node and carries what it found back up (Silver et al. 2017, 2018).
Two ways to choose on the way down:

    muzero    argmax_a Q(s, a) + P(s, a) sqrt(N(s)) / (1 + N(s, a)) c(s)        (Schrittwieser et al. 2020, eq. 2)
    gumbel    at the root by sequential halving of actions drawn without replacement, below so that visits follow the
              improved policy softmax(logits + sigma(Q))                         (Danihelka et al. 2022)

Of a game of two, every value is the mover's, and what follows a move is the other's: the discount is -gamma. A node
where the episode is over goes on to itself: nothing is earned there, and its value is 0, or after a time limit what the
network says. In every node only what its mask allows is chosen.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrl_up import ops
from jaxrl_up.envs import Env, Simulated, Space, from_unit, leaves, mask_of, model_of, only, simulator_of, stored
from jaxrl_up.learning.networks import NetworkFields
from jaxrl_up.learning.rollout import stored_space
from jaxrl_up.types import Array, Key, PyTree, static, traced

Predict = Callable[[PyTree], tuple[Array, Array]]
"""obs `[N, *shape]` -> log-probabilities `[N, A]`, -1e30 where forbidden, and values `[N]`"""
FORBIDDEN = -1e29  # log-probabilities below are of actions that the mask forbids


@dataclasses.dataclass(frozen=True)
class TreeFields(NetworkFields):
    """How a tree is searched."""

    search: str = static("gumbel", choices=("gumbel", "muzero"))
    """how actions are chosen in the tree: gumbel, by sequential halving, or muzero, by visits and prior (PUCT)"""
    num_simulations: int = static(32, low=0)
    """nodes that a search opens; 0: none, the network alone acts"""
    simulations: float | None = traced(None, 0.0)
    """of muzero: how many of num_simulations are made, one at least, without recompiling; none is all"""
    chance_outcomes: int = static(0, low=0)
    """of muzero: successors that are drawn for each action tried, as likely as one another; 0: one for good, which is
    exact where nothing is random"""
    considered_actions: int = static(16, low=2)
    """of gumbel: actions that are tried at the root, at most"""
    value_scale: float = traced(0.1, 0.0)
    """of gumbel: how much values count beside log-probabilities, c_scale"""
    value_bound: float | None = traced(None, 1e-6)
    """values lie within plus and minus this, as 1 in games, and are scaled by it; none: by those of siblings"""
    exploration: float = traced(1.25, 0.0)
    """of muzero: how much prior and few visits count beside values, c_1"""
    gamma: float = traced(1.0, 0.0, 1.0)
    """discount per step"""


class Node(NamedTuple):
    """What is kept of a place in the tree, `[N, ...]`."""

    state: Simulated
    value: Array  # float32 [N], of the network


class Searched(NamedTuple):
    """What searches from N roots end with."""

    action: Array  # int32 [N], the best one
    weights: Array  # float32 [N, A], probabilities: the improved policy
    value: Array  # float32 [N], of the root after the search


class Noise(NamedTuple):
    """How much a search explores at its root: nothing is greedy."""

    gumbel_scale: Array | float = 0.0
    dirichlet_fraction: Array | float = 0.0
    dirichlet_alpha: Array | float = 1.0


def players_of(env: Env) -> int:
    """How many play the game that is simulated: in the view of one of them there are still two."""
    return (env.spec.simulated or env.spec).players


def discount_of(gamma: Array | float, players: int) -> Array | float:
    """gamma, and -gamma where what follows a move is the value of the other player."""
    return -gamma if players == 2 else gamma


def check_search(config: Any, env: Env) -> None:
    """Raise `ValueError` for fields of one search with the other, and for an environment that shows no simulator."""
    if config.search == "gumbel" and config.chance_outcomes:
        raise ValueError("chance_outcomes is of search='muzero', not of search='gumbel': set search='muzero'")
    if config.chance_outcomes == 1:
        raise ValueError("chance_outcomes=1 is no chance: choose 0, for one successor, or 2 and more")
    require_model(env)


def space_within(env: Env) -> Space:
    """What is stored of what the environment under `with_simulator` shows."""
    within = env.spec.simulated
    return stored_space(env) if within is None else only(within.observation_space, stored)


def require_model(env: Env) -> None:
    """Raise `ValueError` unless what the simulator of an environment shows is what policies see."""
    within = env.spec.simulated
    if within is None:
        raise ValueError(
            f"a search tries actions in the simulator of {env.name}, which shows none: wrap it in envs.with_simulator "
            "(--wrap with_simulator)"
        )
    shown, inner = leaves(stored_space(env)), leaves(space_within(env))
    if list(shown.values()) != list(inner.values()):
        raise ValueError(
            f"{env.name} shows more than its simulator does: put wrappers that add to observations before "
            "with_simulator"
        )


def tree_search(config: Any, env: Env, predict: Predict, obs: PyTree, key: Key, noise: Noise = Noise()) -> Searched:
    """The best actions from what is shown, `obs [N, *shape]` with simulators, by `num_simulations` steps in each.

    The model is the environment's own simulator (`envs.model_of`), whose chances are drawn with keys made of `key`.
    With `chance_outcomes` K an action tried leads to a node of chance: K successors with keys of their own, as likely
    as one another, and its first value is that of one more. Without, the first successor drawn is kept for good: where
    chance plays a part, that takes what happened once for what always happens.
    """
    log_probs, value = predict(obs)
    mask = mask_of(env.observation_space, obs)
    if config.num_simulations == 0:
        return Searched(jnp.argmax(log_probs, axis=-1).astype(jnp.int32), jnp.exp(log_probs), value)
    mctx = _mctx()
    words = jax.random.PRNGKey(jax.random.bits(key, (), jnp.uint32))  # not typed: mctx selects among them in its loops
    step = stepping(config, env, predict)
    root = mctx.RootFnOutput(prior_logits=log_probs, value=value, embedding=Node(simulator_of(env, obs), value))
    forbidden = None if mask is None else ~ops.allowed_actions(mask)
    settings: dict[str, Any] = {"invalid_actions": forbidden, "num_simulations": config.num_simulations}
    if config.search == "gumbel":
        output = mctx.gumbel_muzero_policy(
            (), words, root, step, qtransform=_gumbel_values(config, mctx), gumbel_scale=noise.gumbel_scale,
            max_num_considered_actions=config.considered_actions, **settings,
        )  # fmt: skip
        weights, action = output.action_weights, output.action
        value = output.search_tree.node_values[:, 0]
        return Searched(action.astype(jnp.int32), weights, value)

    settings |= {
        "qtransform": _muzero_values(config, mctx),
        "dirichlet_fraction": jnp.asarray(noise.dirichlet_fraction, jnp.float32),
        "dirichlet_alpha": jnp.asarray(noise.dirichlet_alpha, jnp.float32),
        "pb_c_init": config.exploration,
    }
    if config.simulations is not None:
        made = jnp.clip(config.simulations, 1, config.num_simulations).astype(jnp.int32)
        settings["loop_fn"] = lambda low, high, body, carry: jax.lax.fori_loop(low, made, body, carry)
    if config.chance_outcomes:
        decide, happen = chancing(config, env, predict)
        output = mctx.stochastic_muzero_policy((), words, root, decide, happen, **settings)
    else:
        output = mctx.muzero_policy((), words, root, step, **settings)
    weights = output.action_weights
    return Searched(jnp.argmax(weights, axis=-1).astype(jnp.int32), weights, output.search_tree.node_values[:, 0])


class Reached(NamedTuple):
    """One step on from each of N nodes."""

    node: Node
    log_probs: Array  # [N, A]
    reward: Array  # [N]
    discount: Array  # [N], 0 where the episode terminated


def advance(config: Any, env: Env, predict: Predict, node: Node, action: Array, keys: Key) -> Reached:
    """Step N nodes, with actions and keys `[N]`; where it was over before, stay."""
    model = model_of(env)
    before = node.state.terminated | node.state.truncated
    action = from_unit(action, env.action_space)
    state, obs, reward, terminated = jax.vmap(model.step, (None, 0, 0, 0))(env.params, keys, node.state, action)
    log_probs, value = predict(obs)

    # a terminal node is worth nothing and is not gone on from; what it shows is not read
    value = jnp.where(terminated, 0.0, jnp.where(before, node.value, value))
    log_probs = jnp.where((terminated | before)[:, None], 0.0, log_probs)
    gamma = discount_of(config.gamma, players_of(env))
    discount = jnp.where(terminated, 0.0, jnp.where(before, 1.0, gamma))
    return Reached(Node(state, value), log_probs, reward, discount)


def stepping(config: Any, env: Env, predict: Predict) -> Callable[..., Any]:
    """How mctx opens a node: (params, key, action `[N]`, nodes) -> what it leads to, and the nodes there."""
    mctx = _mctx()

    def step(params: PyTree, key: Key, action: Array, node: Node) -> tuple[Any, Node]:
        keys = jax.random.split(jax.random.wrap_key_data(key), action.shape[0])
        node, log_probs, reward, discount = advance(config, env, predict, node, action, keys)
        return mctx.RecurrentFnOutput(reward=reward, discount=discount, prior_logits=log_probs, value=node.value), node

    return step


class Tried(NamedTuple):
    """An action in a node, before chance has its say."""

    node: Node
    action: Array  # int32 [N]
    seed: Array  # uint32 [N], of the keys of its outcomes


def chancing(config: Any, env: Env, predict: Predict) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """How mctx opens a node of chance, and one behind it."""
    mctx, number = _mctx(), config.chance_outcomes

    def outcome(tried: Tried, which: Array) -> Reached:
        keys = jax.vmap(lambda seed, i: jax.random.fold_in(jax.random.key(seed), i))(tried.seed, which)
        return advance(config, env, predict, tried.node, tried.action, keys)

    def decide(params: PyTree, key: Key, action: Array, node: Node) -> tuple[Any, Tried]:
        tried = Tried(
            node, action.astype(jnp.int32), jax.random.bits(jax.random.wrap_key_data(key), action.shape, jnp.uint32)
        )
        one = outcome(tried, jnp.full(action.shape, number, jnp.int32))  # of none of those that come below
        value = one.reward + one.discount * one.node.value
        even = jnp.zeros((*action.shape, number), jnp.float32)
        return mctx.DecisionRecurrentFnOutput(chance_logits=even, afterstate_value=value), tried

    def happen(params: PyTree, key: Key, which: Array, tried: Tried) -> tuple[Any, Node]:
        node, log_probs, reward, discount = outcome(tried, which.astype(jnp.int32))
        return mctx.ChanceRecurrentFnOutput(
            action_logits=log_probs, value=node.value, reward=reward, discount=discount
        ), node

    return decide, happen


def _muzero_values(config: Any, mctx: ModuleType) -> Callable[..., Array]:
    """Q of a node's actions in [0, 1], and far below that of a forbidden one, which mctx masks at the root alone.

    With a bound, what was not tried yet counts as Q = 0, as in AlphaGo Zero; without, as the least of its siblings.
    """

    def values(tree: Any, node: Array) -> Array:
        if config.value_bound is None:
            scaled = mctx.qtransform_by_parent_and_siblings(tree, node)
        else:
            tried = tree.children_visits[node] > 0
            scaled = 0.5 + jnp.where(tried, tree.qvalues(node), 0.0) / (2.0 * config.value_bound)
        return jnp.where(tree.children_prior_logits[node] < FORBIDDEN, -1e9, scaled)

    return values


def _gumbel_values(config: Any, mctx: ModuleType) -> Callable[..., Array]:
    """sigma(Q) of a node's actions: (50 + max_a N(a)) c_scale Q, with Q in [0, 1]."""

    def values(tree: Any, node: Array) -> Array:
        bound = config.value_bound
        scale = config.value_scale if bound is None else config.value_scale / (2.0 * bound)
        return mctx.qtransform_completed_by_mix_value(tree, node, value_scale=scale, rescale_values=bound is None)

    return values


def _mctx() -> ModuleType:
    try:
        import mctx
    except ImportError as error:
        raise ValueError(
            f"searching a tree needs a library that is not installed: pip install 'jaxrl-up[boards]' ({error})"
        ) from error
    return mctx
