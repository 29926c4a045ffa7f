"""AlphaZero: its moves, what it learns from, one gradient step, and tic-tac-toe played so that it cannot be beaten."""

import functools
import importlib.util
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from tiny import tiny

from jaxrl_up import ALPHAZERO, envs, evaluate, load_recipe, make_config, run
from jaxrl_up.algorithms import alphazero
from jaxrl_up.config import canonical
from jaxrl_up.learning import planning

BENCH = Path(__file__).resolve().parents[2] / "bench" / "alphazero.py"


@functools.cache
def bench():
    spec = importlib.util.spec_from_file_location("bench_alphazero", BENCH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def solved():
    return bench().solve()


@functools.cache
def board():
    return envs.with_simulator("pgx/tic_tac_toe")


def settings(**fields):
    return canonical(make_config("alphazero", network="mlp", hidden=(8,), value_bound=1.0, **fields))


@functools.cache
def params():
    return alphazero.network(settings(), board()).init(jax.random.key(0))


def after(*moves):
    state, obs = board().reset(jax.random.key(0))
    for move in moves:
        state, step = board().step(jax.random.key(0), state, jnp.int32(move))
        obs = step.obs
    return jax.tree.map(lambda x: x[None], obs)


@jax.jit  # one program for all values of traced fields
def _act(config, params, obs, key):
    return ALPHAZERO.act(config, board(), params, obs, key=key)[0]


def act(config, obs, key=None):
    return _act(config, params(), obs, key)


# -- tic-tac-toe


def test_there_are_as_many_positions_as_there_are_and_the_game_is_drawn(solved):
    assert solved.q.shape == (4520, 9)
    assert solved.value[0] == 0
    assert np.all(solved.q[0] == 0)
    # beside the opponent's own table, made by lines of stones and without the environment
    minimax = jax.jit(jax.vmap(envs.make("pgx/tic_tac_toe").spec.board.minimax(None)))
    best = np.asarray(minimax(solved.obs, jax.random.split(jax.random.key(0), 4520)))
    assert bench().optimal_share(solved, best) == 1.0


def test_the_exact_moves_are_never_beaten_and_others_are(solved):
    best = solved.q.argmax(1)
    assert (bench().optimal_share(solved, best), bench().blunders(solved, best)) == (1.0, 0)
    legal = (solved.q > -2).argmax(1)  # always the first free cell
    assert bench().optimal_share(solved, legal) < 0.8
    assert bench().blunders(solved, legal) > 0


@pytest.mark.thorough("gumbel")
@pytest.mark.parametrize("search", ["gumbel", "muzero"])
def test_a_search_of_an_untrained_network_finds_forced_wins(search, solved):
    """In nearly all of a hundred positions that are won by some moves and not by most; the network alone in half."""
    wins = solved.q == 1
    some = np.flatnonzero(wins.any(1) & (np.median(solved.q, axis=1) < 1))
    some = some[np.linspace(0, len(some) - 1, 100).astype(int)]
    obs = jax.tree.map(lambda x: x[some], solved.obs)
    few, many = (
        np.mean(wins[some, np.asarray(act(settings(search=search, num_simulations=n), obs))]) for n in (0, 150)
    )
    assert many > 0.93
    assert few < 0.7


@pytest.mark.thorough
@pytest.mark.parametrize("search", ["gumbel", "muzero"])
def test_it_takes_a_win_and_stops_one(search):
    """X on 0 and 1, O on 3 and 4: X wins by 2. X on 0 and 4, O on 1: O has to take 8."""
    config = settings(search=search, num_simulations=64)
    assert int(act(config, after(0, 3, 1, 4))[0]) == 2
    assert int(act(config, after(0, 1, 4))[0]) == 8


@pytest.mark.thorough
def test_the_value_after_a_search_is_the_movers(solved):
    """A mean over what was tried: above 0 where the mover wins at once, below 0 where it must lose."""
    config = settings(search="muzero", num_simulations=150)
    won = np.flatnonzero((solved.q == 1).any(1) & (solved.after == -1).any(1))[:50]
    lost = np.flatnonzero(solved.value == -1)[:50]

    @jax.jit
    def value(obs):
        return alphazero.searched(config, board(), params(), obs, jax.random.key(0), False).value

    of_won, of_lost = (value(jax.tree.map(lambda x, rows=rows: x[rows], solved.obs)) for rows in (won, lost))
    assert np.mean(of_won) > 0.15
    assert np.mean(of_lost) < -0.15


@pytest.mark.learning
@pytest.mark.parametrize("recipe", ["tic-tac-toe"])
def test_tic_tac_toe_is_learned_until_nobody_beats_it(recipe, solved):
    """Five seeds: no reply leads to a lost position, for the search and for the network alone; before, some do."""
    recipe = load_recipe(f"alphazero/{recipe}")
    done = run(recipe.algo, recipe.env, recipe.config, seeds=5, num_evals=1, num_episodes=1, progress=False)
    fresh = alphazero.network(recipe.config, recipe.env).init(jax.random.key(0))
    judge = bench().judge
    assert judge(solved, recipe.config, fresh)["blunders"] > 0
    for i in range(5):
        found = judge(solved, recipe.config, jax.tree.map(lambda x, i=i: x[i], done.state.learner.acting))
        assert (found["blunders"], found["network_blunders"]) == (0, 0)
        assert found["network_optimal"] >= 0.97


@pytest.mark.learning
def test_the_lake_that_slips_wants_nodes_of_chance():
    """Within 0.05 of V* = 0.542 by the recipe, on average over five seeds and whatever eight searches draw."""
    found = bench().slippery_lake(5, outcomes=(32,))
    assert np.mean(found["V of the search, chance_outcomes=32"]) > found["V*"] - 0.05


# -- moves


@pytest.mark.thorough("muzero")
@pytest.mark.parametrize("search", ["gumbel", "muzero"])
def test_moves_are_legal_whatever_explores(search):
    obs = after(0, 3, 1, 4)
    obs = jax.tree.map(lambda x: jnp.concatenate([x] * 64), obs)
    config = settings(search=search, num_simulations=4, temperature=5.0, dirichlet_fraction=1.0, gumbel_scale=10.0)
    moves = act(config, obs, key=jax.random.key(1))
    assert set(np.unique(moves)) <= {2, 5, 6, 7, 8}
    assert len(np.unique(moves)) > 2

    @jax.jit
    def weights(obs):
        return alphazero.searched(config, board(), params(), obs, jax.random.key(1), True).weights

    found = weights(obs)
    assert np.all(np.asarray(found)[:, [0, 1, 3, 4]] == 0)
    np.testing.assert_allclose(np.sum(found, axis=1), 1.0, rtol=1e-5)


@pytest.mark.thorough
@pytest.mark.parametrize("search", ["gumbel", "muzero"])
def test_evaluation_has_no_temperature_and_no_noise(search):
    obs = jax.tree.map(lambda x: jnp.concatenate([x] * 16), after(0))
    plain = act(settings(search=search, num_simulations=16, temperature=0.0), obs)
    wild = settings(search=search, num_simulations=16, temperature=9.0, gumbel_scale=9.0, dirichlet_fraction=1.0)
    assert len(np.unique(plain)) == 1
    np.testing.assert_array_equal(act(wild, obs), plain)
    assert len(np.unique(act(wild, obs, key=jax.random.key(0)))) > 2


def moved(config, obs, memory, weights, seed=0):
    number = len(weights)
    found = planning.Searched(jnp.full(number, 8, jnp.int32), weights, jnp.zeros(number))
    memory = {name: jnp.full(number, value) for name, value in memory.items()}
    return alphazero.move(config, board(), obs, memory, found, jax.random.key(seed))


def test_early_moves_are_drawn_by_weights_and_temperature():
    number, weights = 20_000, np.array([0.5, 0.3, 0.2, 0, 0, 0, 0, 0, 0], np.float32)
    obs = jax.tree.map(lambda x: jnp.broadcast_to(x[0], (number, *x.shape[1:])), after())
    many = jnp.broadcast_to(weights, (number, 9))
    for temperature in (1.0, 0.5):
        config = settings(temperature=temperature, temperature_moves=3.0)
        action, learned = moved(config, obs, {"move": 2, "opening": 0.0}, many)
        shares = np.bincount(np.asarray(action), minlength=9) / number
        wanted = weights ** (1 / temperature)
        np.testing.assert_allclose(shares, wanted / wanted.sum(), atol=0.015)
        assert np.all(learned)
        late, _ = moved(config, obs, {"move": 3, "opening": 0.0}, many)
        assert np.all(np.asarray(late) == 8)
    cold, _ = moved(settings(temperature=0.0), obs, {"move": 0, "opening": 0.0}, many)
    assert np.all(np.asarray(cold) == 8)


def test_openings_are_uniform_over_legal_moves_and_not_learned_from():
    number = 8_000
    obs = jax.tree.map(lambda x: jnp.broadcast_to(x[0], (number, *x.shape[1:])), after(0, 4))
    weights = jnp.broadcast_to(jnp.zeros(9).at[2].set(1.0), (number, 9))
    action, learned = moved(settings(), obs, {"move": 2, "opening": 3.0}, weights)
    assert not np.any(learned)
    shares = np.bincount(np.asarray(action), minlength=9) / number
    np.testing.assert_allclose(shares, np.array([0, 1, 1, 1, 0, 1, 1, 1, 1]) / 7, atol=0.02)
    action, learned = moved(settings(), obs, {"move": 3, "opening": 3.0}, weights)
    assert np.all(learned)
    assert np.all(np.asarray(action) == 2)


def test_openings_are_of_any_length_up_to_the_most():
    config = settings(random_openings=3.0)
    drawn = jax.jit(jax.vmap(lambda key: alphazero.initial_memory(config, board(), key)["opening"]))(
        jax.random.split(jax.random.key(0), 8_000)
    )
    np.testing.assert_allclose(np.bincount(np.asarray(drawn).astype(int)) / 8_000, [0.25] * 4, atol=0.02)


# -- learning


@jax.jit
def _begun(config):
    return ALPHAZERO.init(config, board(), jax.random.key(0))


@jax.jit
def _played(config, state):
    return alphazero.play(config, board(), state, jax.random.key(1))


def played(**fields):
    """A tiny run's update on tic-tac-toe: the config, the state before, and the positions it met."""
    config = settings(num_envs=6, rollout_length=12, num_simulations=4, buffer_size=72, **fields)
    state = _begun(config)
    return config, state, _played(config, state)


def test_self_play_is_games_whose_winners_and_losers_are_told_so(solved):
    """Games put together again from the boards met: each position's outcome, by whose view it is."""
    _, _, (_, positions, episodes) = played(temperature=1.0)
    boards = np.asarray(positions.obs["board"])
    stones, length = boards.sum((2, 3, 4)), 12
    ended = 0
    for game in range(6):
        for start in range(length):
            end = start
            while end + 1 < length and stones[end + 1, game] > stones[end, game]:
                end += 1
            if end + 1 == length:
                break  # the game goes on after the rollout
            ended += start == 0 or stones[start, game] == 0
            values = [float(x) for x in positions.outcome[start : end + 1, game]]
            assert values[-1] in (0.0, 1.0)  # who moves last wins, or the board is full
            assert values == [values[-1] * (-1.0) ** (end - t) for t in range(start, end + 1)]
    assert 0 < ended <= int(episodes.count)  # a game that ends with the rollout is counted too


def test_random_moves_count_nothing_and_the_searchs_all():
    _, _, (interaction, positions, _) = played(random_openings=5.0)
    counts, stones = np.asarray(positions.counts), np.asarray(positions.obs["board"]).sum((2, 3, 4))
    assert 0 < np.mean(counts) < 1
    for game in range(6):
        for t in range(1, 12):
            if stones[t, game] > stones[t - 1, game]:  # the same game: once the search moves it goes on to
                assert counts[t, game] >= counts[t - 1, game]
    assert np.all(counts[stones >= 5] == 1)
    assert np.all(np.asarray(interaction.memory["opening"]) <= 5)


def test_one_gradient_step_is_the_papers_row_by_row():
    """l = (z - v)^2 - pi^T log p over the rows that count; Adam's first moment is a tenth of its gradient."""
    config = settings(value_cost=0.7, weight_decay=0.0, max_grad_norm=None)
    _, state, (_, positions, _) = played(random_openings=4.0)
    rows = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[:20], positions)
    rng = np.random.default_rng(0)
    rows = rows._replace(outcome=jnp.asarray(rng.normal(size=20), jnp.float32))
    net, learner = alphazero.network(config, board()), state.learner
    assert 0 < float(jnp.sum(rows.counts)) < 20

    def of_row(params, i):
        obs = jax.tree.map(lambda x: x[i], rows.obs)
        policy, value = net.both(params, jax.tree.map(lambda x: x[None], obs))
        logits = policy.logits[0]
        p = jnp.exp(logits) * obs["mask"]
        p = p / jnp.sum(p)
        cross = -jnp.sum(jnp.where(rows.weights[i] > 0, rows.weights[i] * jnp.log(jnp.where(p > 0, p, 1.0)), 0.0))
        return 0.7 * (rows.outcome[i] - value[0]) ** 2 + cross

    counted = [i for i in range(20) if rows.counts[i] > 0]
    wanted = jax.jit(jax.grad(lambda params: sum(of_row(params, i) for i in counted) / len(counted)))(learner.params)
    learn = jax.jit(functools.partial(alphazero.learn, config, board()))
    after_step, losses = learn(learner, rows, 0.01)
    found = {part: 10 * ravel_pytree(opt_state[0].mu)[0] for part, opt_state in after_step.opt_state.items()}
    for part in ("actor", "critic"):
        np.testing.assert_allclose(found[part], ravel_pytree(wanted[part])[0], rtol=2e-3, atol=2e-5)
    np.testing.assert_allclose(losses["loss"], losses["policy_loss"] + 0.7 * losses["value_loss"], rtol=1e-5)

    unread = rows._replace(
        outcome=jnp.where(rows.counts > 0, rows.outcome, 7.0),
        weights=jnp.where(rows.counts[:, None] > 0, rows.weights, 0.5),
    )
    other, _ = learn(learner, unread, 0.01)
    np.testing.assert_allclose(ravel_pytree(other.params)[0], ravel_pytree(after_step.params)[0], rtol=1e-5, atol=1e-7)


def test_weights_decay_beside_the_step():
    _, state, (_, positions, _) = played()
    rows = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), positions)
    learn = jax.jit(lambda config: alphazero.learn(config, board(), state.learner, rows, 0.1)[0].params)
    plain, decayed = (learn(settings(weight_decay=c)) for c in (0.0, 0.5))
    for before, a, b in zip(*map(jax.tree.leaves, (state.learner.params, plain, decayed)), strict=True):
        np.testing.assert_allclose(b, a - 0.1 * 0.5 * before, rtol=1e-4, atol=1e-6)


def test_a_rescaled_value_stays_what_it_was():
    _, state, (_, positions, _) = played(normalize_returns=True)
    positions = positions._replace(outcome=100.0 * positions.outcome)
    rows = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), positions)
    learner = jax.jit(alphazero.rescale)(state.learner, positions)
    value = jax.jit(functools.partial(alphazero.values, settings(), board()))
    np.testing.assert_allclose(value(learner, rows.obs), value(state.learner, rows.obs), rtol=1e-4, atol=1e-5)
    scale = float(learner.params["critic"]["params"]["head"]["scale"])
    np.testing.assert_allclose(scale, np.sqrt(np.mean(np.square(positions.outcome))), rtol=1e-4)


@pytest.mark.thorough
def test_in_the_view_of_one_player_what_follows_is_its_own():
    """Learned against an opponent: outcomes keep their sign, while the search knows of the other's turns."""
    env = envs.with_simulator(envs.make("pgx/tic_tac_toe", opponent="random"))
    assert (env.spec.players, planning.players_of(env)) == (1, 2)
    config = settings(num_envs=8, rollout_length=8, num_simulations=4, buffer_size=64)

    @jax.jit
    def go(key):
        state = ALPHAZERO.init(config, env, key)
        return alphazero.play(config, env, state, key)

    _, positions, _ = go(jax.random.key(0))
    stones = np.asarray(positions.obs["board"]).sum((2, 3, 4))
    outcome = np.asarray(positions.outcome)
    same = stones[1:] > stones[:-1]
    assert np.any(same)
    np.testing.assert_array_equal(outcome[1:][same], outcome[:-1][same])


@pytest.mark.thorough
def test_actions_are_numbered_as_the_environment_does():
    """A Discrete that begins at 3: the search tries, and the policy gives, its own numbers."""

    def reset(key):
        return jnp.int32(0), jnp.zeros(1)

    def step(key, state, action):
        return state, jnp.ones(1), (action == 4) * 1.0, jnp.bool_(True), jnp.bool_(False)

    env = envs.from_functions(reset, step, envs.Box(0, 1, (1,)), envs.Discrete(2, start=3), name="from three")
    env = envs.with_simulator(env)
    config = tiny(ALPHAZERO, num_simulations=8)

    @jax.jit
    def updated(key):
        return ALPHAZERO.update(canonical(config), env, ALPHAZERO.init(canonical(config), env, key))[0]

    state = updated(jax.random.key(0))
    returns = evaluate(ALPHAZERO, env, config, state.policy, jax.random.key(0), 4)
    assert np.all(returns == 1.0)
