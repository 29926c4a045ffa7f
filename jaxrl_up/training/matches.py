"""Games of two policies against one another, each pair of games from one opening with the sides changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxrl_up.config import as_key, whole
from jaxrl_up.envs import Env, acting, mask_of, pick
from jaxrl_up.learning import DEFAULT_STEP_CAP
from jaxrl_up.ops import action_from_uniform
from jaxrl_up.types import Array, Key, PyTree

Move = Callable[[PyTree, Key], Array]
"""(obs `[N, ...]` as `Algorithm.act` gets it, key) -> actions `[N]`: how a player moves"""


def match(
    env: Env, first: Move, second: Move, key: Key, num_games: int, opening: int = 2, max_moves: int = DEFAULT_STEP_CAP
) -> Array:
    """What `first` earned in each of `num_games` games of two, float32 `[num_games]`: 1 won, 0 drawn, -1 lost.

    `env` is a board, wrapped in `with_simulator` where a player needs that. Games 2i and 2i + 1 begin alike, with
    `opening` uniformly random moves, which are as many as make games of players without chance differ; `first` begins
    the one and `second` the other. One that ends in the opening, or is not over after `max_moves`, counts as drawn.
    Raises `ValueError` for an environment of one player, and for a number of games that is not even.
    """
    if env.spec.players != 2:
        raise ValueError(f"a match needs a board of two players, as pgx/tic_tac_toe, and {env.full_name} is of one")
    if whole("num_games", num_games) % 2:
        raise ValueError(f"num_games={num_games} must be even: each opening is played from both sides")
    pairs, space = num_games // 2, env.observation_space
    reset_key, opening_key, game_key = jax.random.split(as_key(key), 3)
    once = jax.vmap(env.reset)(jax.random.split(reset_key, pairs))

    def made(carry: Any, action: Array, key: Key, sign: Array | float) -> Any:
        """After one move in all games `[N]`; those that are over stay."""
        state, obs, earned, over = carry
        keys = jax.random.split(key, over.shape[0])
        state, step = jax.vmap(env.step_or_restart)(keys, state, action, (state, obs))
        earned = earned + jnp.where(over, 0.0, sign * step.reward)
        return state, step.obs, earned, over | step.terminated | step.truncated

    def random_move(carry: Any, key: Key) -> Any:
        draw_key, step_key = jax.random.split(key)
        mask = mask_of(space, carry[1])
        mask = jnp.ones((pairs, env.action_space.n), bool) if mask is None else mask  # pyright: ignore
        action = action_from_uniform(jax.random.uniform(draw_key, (pairs,), jnp.float32), mask)
        return made(carry, action, step_key, 0.0), None

    begun = (*once, jnp.zeros(pairs, jnp.float32), jnp.zeros(pairs, bool))
    begun, _ = jax.lax.scan(random_move, begun, jax.random.split(opening_key, opening))

    def unfinished(carry: Any) -> Array:
        move, sides = carry
        return (move < max_moves) & ~jnp.all(sides[3])

    def round_of_moves(carry: Any) -> Any:
        # side 0 holds the games in which `first` is to move, side 1 those of `second`; a move changes the sides
        move, sides = carry
        keys = jax.random.split(jax.random.fold_in(game_key, move), 4)
        moved = []
        for side, (player, sign) in enumerate(((first, 1.0), (second, -1.0))):
            here = jax.tree.map(lambda x, side=side: x[side], sides)
            action = player(pick(space, acting, here[1]), keys[side])
            moved.append(made(here, action, keys[2 + side], sign))
        return move + 1, jax.tree.map(lambda a, b: jnp.stack([b, a]), *moved)

    both = jax.tree.map(lambda x: jnp.stack([x, x]), begun)
    moves, (_, _, earned, _) = jax.lax.while_loop(unfinished, round_of_moves, (jnp.int32(0), both))
    earned = jnp.where(moves % 2 == 0, earned, earned[::-1])  # as the sides were at the beginning
    return earned.T.reshape(-1)


def round_robin(
    env: Env, player: Callable[[PyTree], Move], policies: PyTree, key: Key, num_games: int, opening: int = 2
) -> Array:
    """Points `[P, P]`: what each of P policies scored against each other in `num_games` games, a draw as a half.

    `player(policy)` is how a policy moves, `policies [P, ...]` are stacked. What `ops.elo` makes ratings of.
    """
    number = jax.tree.leaves(policies)[0].shape[0]
    rows, columns = jnp.triu_indices(number, 1)

    def scored(pair: tuple[Array, Array, Key]) -> Array:
        one, other, key = pair
        first, second = (player(jax.tree.map(lambda x, i=i: x[i], policies)) for i in (one, other))
        return jnp.sum((match(env, first, second, key, num_games, opening) + 1.0) / 2.0)

    keys = jax.random.split(as_key(key), len(rows))
    points = jax.lax.map(scored, (rows, columns, keys))
    table = jnp.zeros((number, number), jnp.float32)
    return table.at[rows, columns].set(points).at[columns, rows].set(num_games - points)
