"""Games of two players as one of them sees them."""

import pickle
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_up import envs

LINES = np.array([[0, 1, 2], [3, 4, 5], [6, 7, 8], [0, 3, 6], [1, 4, 7], [2, 5, 8], [0, 4, 8], [2, 4, 6]])
TIC_TAC_TOE = "pgx/tic_tac_toe"


def first_legal(obs, key):
    """An opponent of the user's: the first cell that is free."""
    return jnp.argmax(obs["mask"])


def played(env, lanes, length, act, key=0):
    """Steps [lanes, length] of games one after another: observations acted on, and the time steps."""

    def one(carry, key):
        state, obs = carry
        action_key, step_key = jax.random.split(key)
        state, step = env.step(step_key, state, act(obs, action_key))
        return (state, step.obs), (obs, step)

    def lane(key):
        reset_key, key = jax.random.split(key)
        return jax.lax.scan(one, env.reset(reset_key), jax.random.split(key, length))[1]

    return jax.tree.map(np.asarray, jax.jit(jax.vmap(lane))(jax.random.split(jax.random.key(key), lanes)))


def at_random(env):
    return lambda obs, key: envs.sample_allowed(env.action_space, obs["mask"], key)


def line(stones):
    """Whether stones [..., 3, 3] hold a line."""
    return stones.reshape(*stones.shape[:-2], 9)[..., LINES].all(-1).any(-1)


@pytest.mark.parametrize("first", [True, False])
def test_rewards_and_turns_are_those_of_one_side(first):
    """Whoever moved last shows as the other in the last observation: its stones tell who has won."""
    env = envs.against(TIC_TAC_TOE, "random", first=first)
    obs, step = played(env, 60, 40, at_random(env))
    mine, theirs = (obs["board"][..., i].sum((-1, -2)) for i in (0, 1))
    np.testing.assert_array_equal(theirs - mine, 0 if first else 1)  # to move again: as many, or one less
    over = step.terminated
    last = step.next_obs["board"]
    i_was_last = (last.sum((-1, -2, -3)) % 2 == 1) == first
    expected = np.where(line(last[..., 1]), np.where(i_was_last, 1.0, -1.0), 0.0)
    np.testing.assert_array_equal(step.reward, np.where(over, expected, 0.0))
    assert {-1.0, 0.0, 1.0} == set(np.unique(step.reward[over])) and over.sum() > 400
    np.testing.assert_array_equal(over, line(last[..., 1]) | (last.sum((-1, -2, -3)) == 9))
    assert step.reward[over].mean() * (1 if first else -1) > 0.1  # who begins has the better of it


def test_who_begins_is_drawn_for_each_game():
    env = envs.make(TIC_TAC_TOE, opponent="random")
    _, obs = jax.jit(jax.vmap(env.reset))(jax.random.split(jax.random.key(0), 400))
    stones = np.asarray(obs["board"]).sum((1, 2, 3))
    assert set(stones.tolist()) == {0, 1} and 150 < stones.sum() < 250
    _, step = played(env, 20, 40, at_random(env))
    begun = step.obs["board"][step.terminated].sum((1, 2, 3))
    assert set(begun.tolist()) == {0, 1} and 0.35 < begun.mean() < 0.65


def test_the_opponent_sees_the_game_from_its_side():
    """It copies what it sees: its own stones, its own mask."""
    env = envs.against(TIC_TAC_TOE, first_legal, first=True)
    state, _ = env.reset(jax.random.key(0))
    for action, reply in ((4, 0), (1, 2), (3, 5)):
        state, step = env.step(jax.random.key(1), state, action)
        assert step.obs["board"][..., 1].reshape(9)[reply] and step.obs["board"][..., 0].reshape(9)[action]
    seen = []

    def look(obs, key):
        seen.append(obs)
        return jnp.argmax(obs["mask"])

    for env in (envs.against(TIC_TAC_TOE, look), envs.against(envs.with_simulator(TIC_TAC_TOE), look)):
        env.reset(jax.random.key(0))
        assert set(seen.pop()) == {"board", "mask"}


def test_nobody_moves_after_the_end():
    env = envs.against(TIC_TAC_TOE, first_legal, first=True)
    state, _ = env.reset(jax.random.key(0))
    for action in (4, 3, 5):  # the row in the middle; the other has 0 and 1
        state, step = env.step(jax.random.key(1), state, action)
    assert bool(step.terminated) and float(step.reward) == 1.0
    assert step.next_obs["board"][..., 0].sum() == 2 and step.next_obs["board"][..., 1].sum() == 3
    assert not step.obs["board"].any()


def test_an_illegal_move_of_either_loses():
    env = envs.against(TIC_TAC_TOE, lambda obs, key: jnp.int32(4), first=True)
    state, _ = env.reset(jax.random.key(0))
    _, step = env.step(jax.random.key(1), state, 4)
    assert bool(step.terminated) and float(step.reward) == 1.0
    state, _ = env.step(jax.random.key(1), state, 3)
    _, step = env.step(jax.random.key(1), state, 4)
    assert bool(step.terminated) and float(step.reward) == -1.0


def test_minimax_never_loses_tic_tac_toe_and_draws_with_itself():
    env = envs.make("pgx/tic_tac_toe?opponent=minimax")
    _, step = played(env, 60, 40, at_random(env))
    ends = step.reward[step.terminated]
    assert len(ends) > 400 and ends.max() == 0.0 and ends.mean() < -0.7
    _, step = played(env, 20, 20, envs.make(TIC_TAC_TOE).spec.board.minimax(None))
    assert step.terminated.sum() > 50 and not step.reward.any()


@pytest.mark.thorough
def test_connect_four_blocks_from_depth_two():
    def blocked(depth):
        env = envs.make("pgx/connect_four", opponent="minimax", depth=depth, first=True)

        def game(key):
            state, _ = env.reset(key)
            for step_key in jax.random.split(key, 3):
                state, step = env.step(step_key, state, 0)
            threatened = step.next_obs["board"][3:, 0, 0].all() & ~step.terminated
            return threatened, step.obs["board"][2, 0, 1]

        threatened, blocked = map(np.asarray, jax.jit(jax.vmap(game))(jax.random.split(jax.random.key(0), 50)))
        assert threatened.sum() > 10
        return blocked[threatened]

    assert blocked(2).all() and not blocked(1).all()


def test_the_simulator_is_of_the_game_in_whatever_order():
    outer = envs.with_simulator("pgx/connect_four?opponent=minimax&depth=2")
    inner = envs.against(envs.with_simulator("pgx/connect_four"), "minimax", depth=2)
    assert outer == inner and outer.spec.players == 1
    assert outer.full_name == "pgx/connect_four?opponent=minimax&depth=2 + with_simulator"
    assert outer.spec.simulated == envs.make("pgx/connect_four").spec
    assert outer.spec.simulated.players == 2
    state, obs = outer.reset(jax.random.key(3))
    stones = int(obs["board"].sum())
    after, shown, reward, discount = envs.simulate(outer, jax.random.key(0), envs.simulator_of(outer, obs), 3)
    assert int(shown["board"].sum()) == stones + 1 and bool(shown["board"][5, 3, 1])  # the other's view: no reply
    assert float(reward) == 0.0 and float(discount) == 1.0 and not after.terminated
    model = envs.model_of(outer)
    assert not model.reset(outer.params, jax.random.key(0)).state.game["_x"].board[5] >= 0
    _, step = outer.step(jax.random.key(1), state, 3)
    assert int(step.obs["board"].sum()) == stones + 2
    np.testing.assert_array_equal(step.obs["simulator"].state.game["legal_action_mask"], step.obs["mask"])
    function = envs.with_simulator(envs.against(TIC_TAC_TOE, first_legal))
    assert function == envs.against(envs.with_simulator(TIC_TAC_TOE), first_legal)
    envs.simulate(function, jax.random.key(0), envs.simulator_of(function, function.reset(0)[1]), 3)


def test_a_simulator_over_other_wrappers_says_where_it_belongs():
    env = envs.time_limit("pgx/tic_tac_toe?opponent=random", 3)
    with pytest.raises(
        ValueError, match="not its opponent, so it comes before other wrappers: with_simulator, then ti"
    ):
        envs.with_simulator(env)
    assert envs.time_limit(envs.with_simulator("pgx/tic_tac_toe?opponent=random"), 3).max_steps == 3


def test_what_evaluations_play_is_a_random_opponent():
    for env in (envs.make(TIC_TAC_TOE), envs.with_simulator(TIC_TAC_TOE)):
        assert envs.nominal(env) == envs.against(env, "random")
    given = envs.make("pgx/tic_tac_toe?opponent=minimax")
    assert envs.nominal(given) is given


def test_names_say_all_of_it():
    for name, env in {
        "pgx/connect_four?opponent=minimax&depth=4": envs.make("pgx/connect_four", opponent="minimax", depth=4),
        "pgx/tic_tac_toe?opponent=random&first=false": envs.against(TIC_TAC_TOE, "random", first=False),
        "pgx/go_9x9?opponent=random": envs.make("pgx/go_9x9", komi=7.5, opponent="random"),
    }.items():
        assert env.name == name and envs.is_name(name) and env.spec.players == 1
        assert pickle.loads(pickle.dumps(env.spec)) == env.spec
    assert envs.make("pgx/connect_four?depth=4&opponent=minimax") == envs.make(
        "pgx/connect_four?opponent=random", opponent="minimax", depth=4
    )
    assert envs.against(TIC_TAC_TOE, first_legal).full_name == "pgx/tic_tac_toe + against(opponent=first_legal)"
    assert not envs.is_name("pgx/hex?opponent") and not envs.is_name("none?opponent=random")


def test_an_opponent_in_a_file(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(
        "import jax.numpy as jnp\ndef play(obs, key):\n    return jnp.argmax(obs['mask'])\nnothing = 3\n"
    )
    monkeypatch.chdir(tmp_path)
    env = envs.make("pgx/tic_tac_toe?opponent=mine.py:play&first=true")
    assert env.name == "pgx/tic_tac_toe?opponent=mine.py:play&first=true"
    state, _ = env.reset(jax.random.key(0))
    _, step = env.step(jax.random.key(0), state, 5)
    assert bool(step.obs["board"][0, 0, 1])
    assert pickle.loads(pickle.dumps(env.spec)) == env.spec
    with pytest.raises(
        ValueError, match=r"opponent 'mine.py:nothing' must be a function \(obs, key\) -> action, got 3"
    ):
        envs.make(TIC_TAC_TOE, opponent="mine.py:nothing")
    with pytest.raises(ValueError, match="there is no file"):
        envs.make(TIC_TAC_TOE, opponent="yours.py:play")


def test_a_game_of_ones_own_has_opponents_too():
    """Nim of 7: take 1 or 2, who takes the last wins."""

    def reset(params, key):
        return {"left": jnp.int32(7)}, {"left": jnp.int32(7), "mask": jnp.ones(2, bool)}

    def step(params, key, state, action):
        left = jnp.maximum(state["left"] - action - 1, 0)
        obs = {"left": left, "mask": jnp.arange(2) < left}
        return {"left": left}, obs, (left == 0).astype(jnp.float32), left == 0, jnp.bool_(False), {}

    game = envs.from_functions(
        reset=lambda key: reset(None, key),
        step=lambda key, state, action: step(None, key, state, action)[:-1],
        observation_space=envs.Dict(left=envs.Discrete(8), mask=envs.Mask(2)),
        action_space=envs.Discrete(2),
        deterministic_reset=True,
        players=2,
    )

    def perfect(obs, key):
        return jnp.where(obs["left"] % 3 == 2, 1, 0)

    seen = envs.against(game, perfect, first=False)
    _, steps = played(seen, 8, 20, at_random(seen))
    assert steps.terminated.any() and (steps.reward[steps.terminated] == -1.0).all()
    seen = envs.against(game, "random", first=True)
    _, steps = played(seen, 8, 20, perfect)  # which leaves it 6, 3 and nothing
    assert steps.terminated.any() and (steps.reward[steps.terminated] == 1.0).all()
    envs.check(envs.against(game, "random"))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (partial(envs.against, TIC_TAC_TOE, "minmax"), "there is no opponent 'minmax'. Did you mean 'minimax'?"),
        (partial(envs.against, TIC_TAC_TOE, "minimax", depth=3), "sees tic-tac-toe to its end: leave depth=3 out"),
        (partial(envs.against, TIC_TAC_TOE, "random", depth=3), "depth=3 is for opponent='minimax'"),
        (partial(envs.against, TIC_TAC_TOE, first="me"), "first='me' must be true, false or none"),
        (
            partial(envs.against, "pgx/hex", "minimax"),
            "minimax plays pgx/tic_tac_toe and pgx/connect_four, not pgx/hex",
        ),
        (partial(envs.against, "CartPole-v1"), "needs a game of two players; CartPole-v1 has one"),
        (partial(envs.make, "CartPole-v1?opponent=random"), "needs a game of two players; CartPole-v1 has one"),
        (partial(envs.against, "pgx/tic_tac_toe?opponent=random"), "has one: leave opponent out"),
        (partial(envs.make, "pgx/hex?opponent"), "behind the ? stand options between &"),
        (partial(envs.make, "pgx/hex?opponent=random&opponent=random"), "each once"),
        (partial(envs.make, "pgx/hex?opponent=random&komi=3"), "no parameter 'komi'"),
    ],
)
def test_what_is_refused_is_one_line(make, says):
    with pytest.raises(ValueError, match=r".+") as error:
        make()
    assert says in str(error.value) and "\n" not in str(error.value)


def test_an_opponent_is_a_name_or_a_function():
    with pytest.raises(TypeError, match=r"opponent=3 must be 'random', 'minimax', or a function"):
        envs.against(TIC_TAC_TOE, 3)


@pytest.mark.thorough("connect_four")
@pytest.mark.parametrize(
    "env",
    [
        pytest.param("pgx/tic_tac_toe?opponent=minimax", id="tic_tac_toe"),
        pytest.param("pgx/connect_four?opponent=minimax&depth=3", id="connect_four"),
    ],
)
def test_games_against_opponents_pass_the_check(env):
    envs.check(envs.make(env) if "tic_tac_toe" in env else envs.with_simulator(env))
