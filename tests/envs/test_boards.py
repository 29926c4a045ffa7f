"""Boards of pgx: the mover's view of what pgx itself does."""

import subprocess
import sys
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_up import envs

thorough = pytest.mark.thorough
DEAR = ("pgx/shogi", "pgx/go_19x19", "pgx/chess", "pgx/animal_shogi")  # to compile
LISTED = [name for name in envs.names() if name.startswith("pgx/")]
QUICK = ("pgx/tic_tac_toe", "pgx/connect_four")
LENGTH = {"pgx/tic_tac_toe": 60, "pgx/connect_four": 120, "pgx/go_9x9": 200, "pgx/othello": 100, "pgx/hex": 150}
LONG = ("pgx/go_19x19", "pgx/shogi")  # whose games by chance outlast these


def all_but(*quick):
    marks = {name: pytest.mark.exhaustive if name in DEAR else thorough for name in LISTED}
    return [name if name in quick else pytest.param(name, marks=marks[name]) for name in LISTED]


@cache
def theirs(name):
    """The game of pgx itself."""
    envs.make(name)
    import pgx

    return pgx.make(name.partition("/")[2])


def random_games(name, lanes, length, key):
    """Ours and pgx's own, side by side with the same legal actions, one game after another."""
    env, raw = envs.make(name), theirs(name)

    def both(carry, key):
        (state, obs), other = carry
        action_key, step_key, reset_key = jax.random.split(key, 3)
        action = envs.sample_allowed(env.action_space, obs["mask"], action_key)
        mover = other.current_player
        state, step = env.step(step_key, state, action)
        reached = raw.step(other, action)
        told = {
            "action": action,
            "before": (obs["board"], other.observation),
            "masks": (obs["mask"], other.legal_action_mask),
            "reached": (step.next_obs["board"], reached.observation),
            "rewards": (step.reward, reached.rewards[mover]),
            "ends": (step.terminated, reached.terminated),
            "others": reached.rewards[1 - mover],
            "truncated": step.truncated,
            "follows": step.obs,
        }
        fresh = raw.init(reset_key)
        reached = jax.tree.map(lambda new, old: jnp.where(reached.terminated, new, old), fresh, reached)
        return ((state, step.obs), reached), told

    def lane(key):
        ours_key, theirs_key, key = jax.random.split(key, 3)
        return jax.lax.scan(both, (env.reset(ours_key), raw.init(theirs_key)), jax.random.split(key, length))[1]

    with jax.numpy_rank_promotion("allow"):  # as pgx needs it
        return jax.tree.map(np.asarray, jax.jit(jax.vmap(lane))(jax.random.split(key, lanes)))


@pytest.mark.parametrize("name", all_but(*QUICK))
def test_it_plays_as_pgx_does_and_says_so_to_the_mover(name):
    lanes = 40 if name in LENGTH else 4
    told = random_games(name, lanes, LENGTH.get(name, 520 if name == "pgx/chess" else 300), jax.random.key(3))
    for what in ("before", "masks", "reached", "rewards", "ends"):
        ours, raw = told[what]
        np.testing.assert_array_equal(ours, raw, err_msg=f"{name}: {what}")
    over, (rewards, _) = told["ends"][0], told["rewards"]
    assert not told["truncated"].any()
    assert over.sum() >= lanes / 2 or name in LONG, "games should end"
    np.testing.assert_array_equal(rewards + told["others"], 0.0)  # what one wins the other loses
    assert not rewards[~over].any()
    first = envs.make(name).reset(jax.random.key(0))[1]
    for part, x in first.items():
        np.testing.assert_array_equal(told["follows"][part][over], np.broadcast_to(x, (over.sum(), *x.shape)))
    if name in QUICK:
        assert over.sum() > 150 and set(np.unique(rewards[over])) <= {0.0, 1.0}  # who moves last wins, or nobody
    if name == "pgx/tic_tac_toe":
        assert 0.0 in rewards[over]
    if name == "pgx/othello":
        assert (told["action"] == 64).any() and {-1.0, 1.0} <= set(
            np.unique(rewards[over])
        )  # passes; the mover may lose
    if name == "pgx/hex":
        assert (told["action"] == 121).any()  # the second move may be to swap


@pytest.mark.parametrize("name", all_but("pgx/tic_tac_toe"))
def test_it_passes_the_check_and_is_as_listed(name):
    env, (observations, actions, limit) = envs.make(name), envs.listing()[name]
    board = env.observation_space["board"]
    assert observations == f"board {list(board.shape)}, mask" and actions == str(env.action_space)
    assert limit is None and env.max_steps is None and env.spec.players == 2 and env.spec.deterministic_reset
    assert board.binary == (board.dtype == np.bool_)
    envs.check(env)


def test_an_illegal_move_loses():
    env = envs.make("pgx/tic_tac_toe")
    state, _ = env.reset(jax.random.key(0))
    state, step = env.step(jax.random.key(1), state, 4)
    assert not step.obs["mask"][4] and not step.terminated
    _, step = env.step(jax.random.key(2), state, 4)
    assert float(step.reward) == -1.0 and bool(step.terminated)
    assert not step.obs["board"].any()


def test_a_finished_board_stays_as_it_is():
    env = envs.make("pgx/tic_tac_toe")
    state, _ = env.reset(jax.random.key(0))
    for action in (0, 3, 1, 4, 2):
        state, obs, reward, terminated, *_ = env.spec.step({}, jax.random.key(0), state, jnp.int32(action))
    assert float(reward) == 1.0 and bool(terminated)
    _, later, reward, terminated, *_ = env.spec.step({}, jax.random.key(0), state, jnp.int32(8))
    assert float(reward) == 0.0 and bool(terminated)
    np.testing.assert_array_equal(later["board"], obs["board"])


def test_the_board_is_seen_by_who_moves():
    env = envs.make("pgx/connect_four")
    state, obs = env.reset(jax.random.key(0))
    for ply, column in enumerate((0, 6, 0)):
        state, step = env.step(jax.random.key(1), state, column)
        obs = step.obs["board"]
        assert int(obs[..., 1].sum()) == ply // 2 + 1 and int(obs[..., 0].sum()) == (ply + 1) // 2
    assert obs[5, 0, 1] and obs[4, 0, 1] and obs[5, 6, 0]


def test_a_state_is_arrays_and_no_observation():
    env = envs.make("pgx/go_9x9")
    state, _ = jax.jit(env.reset)(jax.random.key(0))
    assert all(isinstance(x, jax.Array) for x in jax.tree.leaves(state))
    assert not any("observation" in jax.tree_util.keystr(path) for path, _ in jax.tree.leaves_with_path(state))


def test_go_has_options_and_equal_ones_share_a_program():
    env = envs.make("pgx/go_9x9", komi=5.5, max_terminal_steps=20)
    assert env.spec.fixed == (("komi", 5.5), ("max_terminal_steps", 20))
    assert env.spec == envs.make("pgx/go_9x9?komi=5.5&max_terminal_steps=20").spec != envs.make("pgx/go_9x9").spec
    state, step = env.reset(jax.random.key(0))[0], None
    advance = jax.jit(env.step)
    for action in range(0, 40, 2):
        state, step = advance(jax.random.key(0), state, action)
    assert bool(step.terminated)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (partial(envs.make, "pgx/tic_tac"), "There is no environment 'pgx/tic_tac'. Did you mean 'tic_tac_toe'?"),
        (partial(envs.make, "pgx/backgammon"), "'pgx/backgammon' has dice"),
        (partial(envs.make, "pgx/kuhn_poker"), "hides cards"),
        (partial(envs.make, "pgx/2048"), "has one player"),
        (partial(envs.make, "pgx/minatar-breakout"), "take gymnax's"),
        (partial(envs.make, "pgx/hex", komi=3), "no parameter 'komi'"),
        (partial(envs.make, "pgx/go_9x9", komi="many"), "'komi' of pgx/go_9x9 must be a finite number, got 'many'"),
        (partial(envs.make, "pgx/go_9x9", history_length=0), "'history_length' of pgx/go_9x9 must be an integer >= 1"),
        (partial(envs.make, "pgx/hex", max_steps=0), "max_steps of pgx/hex must be an integer >= 1, got 0"),
        (partial(envs.make, "pgx/hex", depth=5), "is an option of the opponent"),
    ],
)
def test_what_is_refused_is_one_line(make, says):
    with pytest.raises(ValueError, match=r".+") as error:
        make()
    assert says in str(error.value) and "\n" not in str(error.value)


def test_pgx_is_imported_late_and_its_absence_names_the_extra():
    code = (
        "import sys, jaxrl_up.envs as e; e.names(); e.listing(); assert not {'pgx', 'mctx'} & set(sys.modules);"
        "sys.modules['pgx'] = None\n"
        "try: e.make('pgx/hex')\n"
        "except ValueError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert "pip install 'jaxrl-up[boards]'" in done.stdout


def test_a_time_limit_counts_moves_of_both_or_turns_of_one():
    for name, first in (("pgx/hex", 5), ("pgx/tic_tac_toe?opponent=random&first=true", 2)):
        env = envs.make(name, max_steps=first)
        state, obs = env.reset(jax.random.key(0))
        advance = jax.jit(env.step)
        for time in range(1, first + 1):
            action = np.int32(np.argmax(obs["mask"]))
            state, step = advance(jax.random.key(time), state, action)
            obs = step.obs
            assert bool(step.truncated) == (time == first) and not bool(step.terminated)
        assert env.max_steps == first and envs.make(name).max_steps is None
        np.testing.assert_array_equal(obs["board"], env.reset(jax.random.key(0))[1]["board"])


def test_whatever_the_width_of_numbers_it_is_the_same():
    env = envs.make("pgx/othello")
    with jax.enable_x64(True):
        state, _ = jax.jit(env.reset)(jax.random.key(0))
        reached, step = jax.jit(env.step)(jax.random.key(0), state, 19)
    assert {x.dtype.itemsize for x in jax.tree.leaves((state, reached, step))} <= {1, 4}
