"""How games come out, and the ring of positions to learn from."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import cartpole

from jaxrl_up import envs
from jaxrl_up.learning import planning, rollout

T, B = 9, 4


def rows(reward, terminated, truncated):
    reward, terminated, truncated = (jnp.asarray(x) for x in (reward, terminated, truncated))
    return rollout.Rows((), (), (), reward.astype(jnp.float32), (), terminated.astype(bool), truncated.astype(bool))


def drawn(seed=0):
    rng = np.random.default_rng(seed)
    terminated, truncated = rng.random((2, T, B)) < 0.25
    return rng.normal(size=(T, B)), terminated, truncated, rng.normal(size=(T, B)).astype(np.float32)


def test_who_wins_wins_at_each_own_move_and_loses_at_each_other_one():
    """Two games: the first is won at its third move, the second is cut after two, where the value is 0.5."""
    given = rows([[0], [0], [1], [0], [0]], [[0], [0], [1], [0], [0]], np.zeros((5, 1)))
    next_value = jnp.asarray([[9.0], [9.0], [9.0], [9.0], [0.5]])
    outcome = planning.outcomes(given, next_value, -1.0)
    assert outcome[:, 0].tolist() == [1.0, -1.0, 1.0, 0.5, -0.5]


@pytest.mark.parametrize("players", [1, 2])
def test_outcomes_are_those_of_a_loop_over_games(players):
    """Forwards over the moves of each game, in one player's view, and then turned to who moved."""
    reward, terminated, truncated, next_value = drawn()
    gamma = 0.9
    found = planning.outcomes(
        rows(reward, terminated, truncated), jnp.asarray(next_value), planning.discount_of(gamma, players)
    )
    for b in range(B):
        for start in range(T):
            total, weight, mine = 0.0, 1.0, 1.0
            for t in range(start, T):
                total += weight * mine * reward[t, b]
                weight *= gamma
                if players == 2:
                    mine = -mine
                if terminated[t, b]:
                    break
                if truncated[t, b] or t == T - 1:
                    total += weight * mine * next_value[t, b]
                    break
            np.testing.assert_allclose(found[start, b], total, rtol=1e-5, atol=1e-6)


def test_nothing_is_read_across_the_end_of_a_game():
    reward, terminated, truncated, next_value = drawn(1)
    terminated[4] = True
    other = reward.copy()
    other[5:] += 100.0
    hidden = np.where(terminated, np.nan, next_value)
    before, after = (
        planning.outcomes(rows(r, terminated, truncated), jnp.asarray(v), -1.0)
        for r, v in ((reward, next_value), (other, hidden))
    )
    np.testing.assert_array_equal(before[:5], after[:5])
    assert not np.any(np.isnan(after))


def filled(env, capacity, rollouts, length=2, num_envs=3):
    """A ring after so many rollouts, whose outcomes number the rows written."""
    ring = planning.empty(env, planning.ring_rows(capacity, num_envs, length), num_envs, 2)
    write = jax.jit(partial(planning.write, env))
    for time in range(rollouts):
        number = time * length * num_envs + np.arange(length * num_envs, dtype=np.float32).reshape(length, num_envs)
        obs = np.broadcast_to(number[..., None], (length, num_envs, 4))
        weights = np.broadcast_to(number[..., None], (length, num_envs, 2))
        new = planning.Positions(obs, weights, number, number)
        ring = write(ring, np.int32(time), new)
    return ring


@pytest.mark.parametrize(("rollouts", "kept"), [(1, range(6)), (3, range(18)), (5, range(12, 30))])
def test_the_last_rollouts_are_drawn_from_each_row_as_likely(rollouts, kept):
    env = cartpole()
    ring = filled(env, 19, rollouts)
    bits = jax.random.bits(jax.random.key(0), (6_000,), jnp.uint32)
    batch = planning.draw(env, ring, jnp.int32(rollouts), 2, bits)
    numbers, counts = np.unique(batch.outcome, return_counts=True)
    assert numbers.tolist() == list(kept)
    np.testing.assert_allclose(counts / 6_000, 1 / len(kept), atol=0.02)
    for part in (batch.obs[:, 0], batch.weights[:, 1], batch.counts):  # of one and the same row
        np.testing.assert_array_equal(part, batch.outcome)


def test_boards_and_masks_come_back_from_their_bits():
    env = envs.make("pgx/tic_tac_toe")
    ring = planning.empty(env, 2, 3, 9)
    rng = np.random.default_rng(0)
    obs = {"board": rng.random((2, 3, 3, 3, 2)) < 0.5, "mask": rng.random((2, 3, 9)) < 0.5}
    numbers = np.arange(6, dtype=np.float32).reshape(2, 3)
    new = planning.Positions(obs, np.zeros((2, 3, 9), np.float32), numbers, np.ones((2, 3), np.float32))
    ring = jax.jit(partial(planning.write, env))(ring, jnp.int32(0), new)
    assert ring.obs["board"].dtype == jnp.uint8
    bits = jax.random.bits(jax.random.key(1), (50,), jnp.uint32)
    batch = jax.jit(lambda ring, bits: planning.draw(env, ring, jnp.int32(1), 2, bits))(ring, bits)
    for name, x in obs.items():
        np.testing.assert_array_equal(batch.obs[name], x.reshape(6, *x.shape[2:])[np.asarray(batch.outcome, int)])


def test_a_ring_holds_a_rollout_at_least():
    assert [planning.ring_rows(capacity, 3, 4) for capacity in (11, 12, 35, 36)] == [4, 4, 8, 12]


def test_a_turned_position_is_a_position_of_the_game_turned():
    """A game played and the same game played turned: boards, masks and weights go together."""
    env = envs.make("pgx/tic_tac_toe")
    cells, actions = envs.symmetries(env)
    moves, advance = [0, 4, 1], jax.jit(env.step)
    for g in range(len(cells)):
        boards = []
        for played in (moves, [int(np.flatnonzero(actions[g] == move)[0]) for move in moves]):
            state, obs = env.reset(jax.random.key(0))
            for move in played:
                state, step = advance(jax.random.key(0), state, np.int32(move))
                obs = step.obs
            boards.append((obs, jnp.zeros(9).at[played[-1]].set(1.0)))
        (obs, weights), (other, moved) = boards
        one = planning.Positions(jax.tree.map(lambda x: x[None], obs), weights[None], jnp.ones(1), jnp.ones(1))
        found = planning.turned(env, one, jnp.asarray([g]))
        np.testing.assert_array_equal(found.obs["board"][0], other["board"])
        np.testing.assert_array_equal(found.obs["mask"][0], other["mask"])
        np.testing.assert_array_equal(found.weights[0], moved)


def test_what_has_no_symmetry_is_learned_as_it_is():
    assert planning.draw_symmetries(cartpole(), jax.random.key(0), (2, 3)) is None
    drawn = planning.draw_symmetries(envs.make("pgx/connect_four"), jax.random.key(0), (50, 3))
    assert set(np.unique(drawn)) == {0, 1}
