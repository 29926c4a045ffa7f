"""Games of two players: by hand, against a plain loop, and with the sides changed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_up import envs, ops
from jaxrl_up.envs import mask_of
from jaxrl_up.training import match, round_robin

LINES = [(0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6)]


@pytest.fixture(scope="module")
def board():
    return envs.make("pgx/tic_tac_toe")


def by_preference(board, order):
    """A player who takes the first free cell of an order."""
    rank = jnp.zeros(9).at[jnp.asarray(order)].set(jnp.arange(9, 0, -1))

    def move(obs, key):
        return jnp.argmax(jnp.where(mask_of(board.observation_space, obs), rank, -1.0), axis=-1)

    return move


def at_random(board):
    def move(obs, key):
        mask = mask_of(board.observation_space, obs)
        return ops.action_from_uniform(jax.random.uniform(key, mask.shape[:1]), mask)

    return move


def plain_game(order_of_first, order_of_second):
    """What the one who begins earns, in lists."""
    owner, sides = [None] * 9, (order_of_first, order_of_second)
    for move in range(9):
        cell = next(cell for cell in sides[move % 2] if owner[cell] is None)
        owner[cell] = move % 2
        if any(all(owner[c] == move % 2 for c in line) for line in LINES):
            return 1 if move % 2 == 0 else -1
    return 0


def test_games_are_those_of_a_plain_loop(board):
    rng = np.random.default_rng(0)
    found = set()
    for _ in range(6):
        one, other = rng.permutation(9).tolist(), rng.permutation(9).tolist()
        players = by_preference(board, one), by_preference(board, other)
        earned = np.asarray(match(board, *players, jax.random.key(0), 4, opening=0))
        expected = [plain_game(one, other), -plain_game(other, one)]
        np.testing.assert_array_equal(earned, expected * 2)
        found |= set(expected)
    assert found == {1, 0, -1}  # or too little was tried


def test_players_change_sides_from_one_opening(board):
    one, other = by_preference(board, range(9)), by_preference(board, [4, 8, 6, 2, 0, 1, 3, 5, 7])
    earned = np.asarray(match(board, one, other, jax.random.key(1), 40, opening=3)).reshape(-1, 2)
    swapped = np.asarray(match(board, other, one, jax.random.key(1), 40, opening=3)).reshape(-1, 2)
    np.testing.assert_array_equal(swapped, -earned[:, ::-1])
    assert len(np.unique(earned, axis=0)) > 3  # openings differ


def test_a_player_is_as_good_as_itself_and_pairs_cancel(board):
    one = by_preference(board, [4, 0, 2, 6, 8, 1, 3, 5, 7])
    earned = np.asarray(match(board, one, one, jax.random.key(2), 64)).reshape(-1, 2)
    np.testing.assert_array_equal(earned.sum(axis=1), 0)


def test_ratings_order_players(board):
    orders = jnp.array([[1, 3, 5, 7, 0, 2, 6, 8, 4], [4, 0, 2, 6, 8, 1, 3, 5, 7], [4, 0, 2, 6, 8, 1, 3, 5, 7]])
    points = round_robin(board, lambda order: by_preference(board, order), orders, jax.random.key(3), 100, 3)
    points = np.asarray(points)
    np.testing.assert_array_equal(points + points.T, 100 * (1 - np.eye(3)))
    ratings = ops.elo(points)
    assert ratings[1] > 100  # corners and the centre before edges
    assert ratings[2] > 100


def test_who_cannot_have_a_match(board):
    player = at_random(board)
    with pytest.raises(ValueError, match="board of two players"):
        match(envs.make("CartPole-v1"), player, player, jax.random.key(0), 2)
    with pytest.raises(ValueError, match="must be even"):
        match(board, player, player, jax.random.key(0), 3)
