"""Runs of board games: what is played in them is legal, and they are found, resumed and evaluated again."""

import tomllib

import jax
import numpy as np
import pytest
from tiny import assert_equal, tiny

from jaxrl_up import A2C, DQN, PPO, envs, load_run, resume, run
from jaxrl_up.analysis import record_episode
from jaxrl_up.cli import main
from jaxrl_up.config import canonical
from jaxrl_up.records import build_environment, file_name, is_built_by_name, load_policies, run_source

NAME = "pgx/tic_tac_toe?opponent=random&first=false"
PERFECT = "pgx/tic_tac_toe?opponent=minimax"
SETTINGS = {"num_evals": 2, "num_episodes": 2, "progress": False}


def first_free(obs, key):
    return obs["mask"].argmax()


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    directory = tmp_path_factory.mktemp("boards") / "run"
    run(A2C, NAME, tiny(A2C), 2, directory=directory, evaluation_env=PERFECT, **SETTINGS)
    return directory


def test_a_run_says_all_of_its_game(directory):
    tables = tomllib.loads((directory / "config.toml").read_text())
    assert (tables["environment"]["name"], tables["environment"]["wrappers"]) == (NAME, [])
    assert tables["evaluation_environment"]["name"] == PERFECT
    assert "pgx" in tables["versions"]
    saved = load_run(directory)
    assert saved.env == envs.make(NAME) and saved.played_env == envs.make(PERFECT)
    source = run_source(directory)
    assert (source.environment, source.evaluation.environment) == (NAME, PERFECT)


@pytest.mark.thorough
def test_it_goes_on_to_the_same_end_as_without_a_stop(directory, tmp_path):
    config = tiny(A2C).replace(schedule_steps=64)
    run(A2C, NAME, config, 2, directory=tmp_path / "whole", evaluation_env=PERFECT, **{**SETTINGS, "num_evals": 4})
    half = {**SETTINGS, "num_evals": 2}
    run(A2C, NAME, config.replace(total_steps=32), 2, directory=tmp_path / "half", evaluation_env=PERFECT, **half)
    resume(tmp_path / "half", total_steps=64, schedule_steps=64, progress=False)
    whole, resumed = (load_policies(load_run(tmp_path / name)).last for name in ("whole", "half"))
    assert_equal(whole, resumed)


@pytest.mark.thorough("<lambda>3")
@pytest.mark.parametrize(
    "env",
    [
        lambda: envs.make("pgx/connect_four", opponent="minimax", depth=3),
        lambda: envs.with_simulator("pgx/connect_four?opponent=minimax&depth=3"),
        lambda: envs.time_limit(envs.make(NAME), 3),
        lambda: envs.make("pgx/go_9x9", komi=5.5, opponent="random"),
        lambda: envs.nominal(envs.with_simulator("pgx/othello")),
    ],
)
def test_what_is_recorded_is_built_again(env):
    env = env()
    assert is_built_by_name(env)
    table = {
        "name": env.name,
        "max_steps": "none" if env.max_steps is None else env.max_steps,
        "wrappers": list(env.spec.wrappers),
        "static": dict(env.spec.fixed),
    }
    again = build_environment(env.name, table)
    assert again == env or env.max_steps == again.max_steps == 3  # of which the game has a limit of its own too


@pytest.mark.parametrize(
    "env",
    [
        lambda: envs.against("pgx/tic_tac_toe", first_free),
        lambda: envs.against(envs.time_limit("pgx/tic_tac_toe", 5), "random"),
        lambda: envs.against(envs.make("pgx/tic_tac_toe", max_steps=5), "random"),
        lambda: envs.nominal(envs.time_limit("pgx/tic_tac_toe", 5)),
    ],
)
def test_what_no_name_says_is_not_taken_for_another_game(env):
    assert not is_built_by_name(env())


@pytest.mark.thorough("False")
@pytest.mark.parametrize("algo", [DQN, PPO])
@pytest.mark.parametrize("deterministic", [True, False])
def test_every_move_that_is_played_is_legal(algo, deterministic):
    env, config = envs.make("pgx/connect_four?opponent=random"), canonical(tiny(algo))
    state = jax.jit(algo.init)(config, env, jax.random.key(0))
    episode = record_episode(algo, env, config, state.policy, jax.random.key(1), deterministic)
    masks = episode.observations["mask"][:-1]
    assert masks[np.arange(episode.length), episode.actions].all() and episode.length <= 42


def test_algorithms_of_one_player_want_one_side():
    message = "moves for one player, but pgx/tic_tac_toe is a game of two: give it one side, as pgx/tic_tac_toe.oppon"
    for algo in (PPO, DQN, "value_fitting"):
        with pytest.raises(ValueError, match=message):
            run(algo, "pgx/tic_tac_toe", seeds=1)
    with pytest.raises(ValueError, match="mpc moves for one player"):
        run("mpc", envs.with_simulator("pgx/tic_tac_toe"), seeds=1)
    with pytest.raises(ValueError, match=r"mpc plans for one player, but what .* simulates is a game of two, without"):
        run("mpc", envs.with_simulator(NAME), seeds=1)


def test_folders_have_plain_names():
    assert file_name("pgx/connect_four?opponent=minimax&depth=4") == "pgx-connect_four-opponent-minimax-depth-4"


def test_commands_take_games_and_opponents(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    fields = ["--total-steps=64", "--num-envs=2", "--rollout-length=8", "--hidden=8", "--num-evals=2"]
    words = [
        "train",
        "a2c",
        "--env",
        NAME,
        "--initializer=flax",  # and so the program of the other run
        "--seeds",
        "2",
        "--no-progress",
        "--num-episodes=2",
        *fields,
    ]
    assert main([*words, "--eval-env", PERFECT]) == 0
    place = "runs/a2c-pgx-tic_tac_toe-opponent-random-first-false"
    assert capsys.readouterr().out.startswith("score ")
    assert main(["evaluate", place, "--episodes", "4", "--env.opponent", "random", "--env.first", "true"]) == 0
    assert "score" in capsys.readouterr().out
    assert main(["train", "--from", place, "--seeds", "1", "--no-progress", "--env", "pgx/tic_tac_toe?opponent"]) == 2
    assert "there is no environment 'pgx/tic_tac_toe?opponent'" in capsys.readouterr().err
    assert main(["envs"]) == 0
    assert "pgx/connect_four" in capsys.readouterr().out


@pytest.mark.learning
@pytest.mark.parametrize(
    ("algo", "fields", "least"),
    [
        ("ppo", {"total_steps": 65_536, "num_envs": 64, "rollout_length": 16, "gamma": 1.0}, 0.5),
        ("dqn", {"total_steps": 20_000, "num_envs": 8, "learning_starts": 500, "gamma": 1.0}, 0.6),
    ],
)
def test_learners_of_one_player_learn_against_an_opponent(algo, fields, least):
    """A random player earns about 0."""
    result = run(algo, "pgx/tic_tac_toe?opponent=random", {"network": "mlp", **fields}, 4, num_episodes=64, num_evals=2)
    assert result.score.iqm > least
