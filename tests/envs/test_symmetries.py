"""Turns and reflections: games that are played transformed stay the transformed games."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_up import envs

thorough = pytest.mark.thorough
SIZES = {"tic_tac_toe": 8, "connect_four": 2, "othello": 8, "hex": 2, "go_9x9": 8, "go_19x19": 8, "gardner_chess": 1}
LANES = {"tic_tac_toe": 30, "connect_four": 30, "othello": 4, "hex": 4, "go_9x9": 3}
LENGTHS = {"tic_tac_toe": 9, "connect_four": 42, "othello": 64, "hex": 90, "go_9x9": 120}


def transformed_start(name, state, cells, actions):
    """The first state transformed; only othello begins with stones."""
    if name != "othello":
        return state
    game = state.game
    x = game["_x"]._replace(board=game["_x"].board[cells])
    return state._replace(game={**game, "_x": x, "legal_action_mask": game["legal_action_mask"][actions]})


@pytest.mark.parametrize(
    "name", [name if name in ("tic_tac_toe", "connect_four") else pytest.param(name, marks=thorough) for name in LANES]
)
def test_a_transformed_game_goes_on_as_the_transformed_game(name):
    env = envs.make(f"pgx/{name}")
    found = envs.symmetries(env)
    shape = env.observation_space["board"].shape
    inverse = np.argsort(found.actions, axis=1)  # an action becomes the one whose logit is taken from it

    def seen(g, obs):
        cells = obs["board"].reshape(-1, shape[-1])[found_cells[g]].reshape(shape)
        return {"board": cells, "mask": obs["mask"][found_actions[g]]}

    found_cells, found_actions, inverse = jnp.asarray(found.cells), jnp.asarray(found.actions), jnp.asarray(inverse)
    every = jnp.arange(len(found.cells))

    def game(key):
        state, obs = env.reset(key)
        others = jax.vmap(lambda g: transformed_start(name, state, found_cells[g], found_actions[g]))(every)

        def move(carry, key):
            state, obs, others, over = carry
            action = envs.sample_allowed(env.action_space, obs["mask"], key)
            state, obs, reward, ended, *_ = env.spec.step({}, key, state, action)
            others, views, rewards, ends, *_ = jax.vmap(lambda s, g: env.spec.step({}, key, s, inverse[g][action]))(
                others, every
            )
            wanted = jax.vmap(lambda g: seen(g, obs))(every)
            same = [(views[part] == wanted[part]).reshape(len(every), -1).all(1) for part in ("board", "mask")]
            same += [rewards == reward, ends == ended]
            return (state, obs, others, over | ended), jnp.stack(same, 1) | over

        carry = state, obs, others, jnp.bool_(False)
        return jax.lax.scan(move, carry, jax.random.split(key, LENGTHS[name]))[1]

    same = np.asarray(jax.jit(jax.vmap(game))(jax.random.split(jax.random.key(5), LANES[name])))
    assert same.shape[-2:] == (SIZES[name], 4)
    assert same.all(axis=(0, 1)).all(), f"by transformation: board, mask, reward, end\n{same.all(axis=(0, 1))}"


@pytest.mark.thorough("gardner_chess")
@pytest.mark.parametrize("name", SIZES)
def test_they_are_a_group_of_rearrangements_and_the_identity_is_first(name):
    env = envs.make(f"pgx/{name}")
    found, (rows, columns, _) = envs.symmetries(env), env.observation_space["board"].shape
    assert found.cells.dtype == found.actions.dtype == np.int32
    assert found.cells.shape == (SIZES[name], rows * columns)
    assert found.actions.shape == (SIZES[name], env.action_space.n)
    for part in found:
        assert part[0].tolist() == list(range(part.shape[1]))
        assert len({tuple(row) for row in part.tolist()}) == len(part) or len(part) == 1
        assert {tuple(one[other]) for one in part for other in part} == {tuple(row) for row in part}


def test_a_corner_goes_where_it_should():
    found = envs.symmetries(envs.make("pgx/tic_tac_toe"))
    corner = np.eye(9, dtype=int)[0]
    assert {int(np.argmax(corner[cells])) for cells in found.cells} == {0, 2, 6, 8}
    mirrored = envs.symmetries(envs.make("pgx/connect_four"))
    assert mirrored.actions[1].tolist() == [6, 5, 4, 3, 2, 1, 0]
    assert mirrored.cells[1, :7].tolist() == [6, 5, 4, 3, 2, 1, 0]


def test_elsewhere_it_is_the_identity_alone():
    found = envs.symmetries(envs.make("CartPole-v1"))
    assert found.cells.shape == (1, 0) and found.actions.tolist() == [[0, 1]]
    with pytest.raises(ValueError, match="symmetries are of actions that are Discrete; Pendulum-v1 has"):
        envs.symmetries(envs.make("Pendulum-v1"))
    shown = envs.with_simulator("pgx/othello?opponent=random")
    assert envs.symmetries(shown).cells.shape == (8, 64)
