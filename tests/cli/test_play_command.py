"""`jaxrl-up play`: a person's lines, scripted; and boards as text and as frames."""

import io
import shlex
import shutil
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import tiny

from jaxrl_up import ALPHAZERO, DQN, PPO, envs, run
from jaxrl_up.analysis import can_draw, draw_episode, episode_table, gif_steps, record_episode
from jaxrl_up.cli import main
from jaxrl_up.config import canonical
from jaxrl_up.records import load_policies, load_run

OPPONENT = "pgx/tic_tac_toe?opponent=random"


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "board"
    run(DQN, OPPONENT, tiny(DQN), (0, 3), path, num_evals=2, num_episodes=2, progress=False)
    return path


@pytest.fixture(scope="module")
def mine(tmp_path_factory):
    """An opponent that takes the first free cell."""
    path = tmp_path_factory.mktemp("mine") / "mine.py"
    path.write_text("import jax.numpy as jnp\n\n\ndef play(obs, key):\n    return jnp.argmax(obs['mask'])\n")
    return f"pgx/tic_tac_toe?opponent={path}:play"


@pytest.fixture
def said(monkeypatch, capsys):
    """What is said when lines are typed."""

    def play(lines, *words):
        monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
        code = main(["play", *map(str, words)])
        out = capsys.readouterr()
        assert (code, out.err) == (0, ""), out.err
        return out.out

    return play


def test_a_game_is_won(said, mine):
    text = said("5\n4\n6\n", mine)
    assert "You are X and move first." in text
    assert "1 2 3\n4 5 6\n7 8 9\nYour moves: 1 2 3 4 5 6 7 8 9" in text
    assert text.count("O plays") == 2 and "O plays 1" in text
    assert text.endswith("O O .\nX X X\n. . .\n\nYou win.\n")
    assert "\x1b" not in text


def test_a_game_is_lost_by_who_moves_second(said, mine):
    text = said("5\n7\n", mine, "--second")
    assert "You are O and move second." in text and "X plays 1" in text
    assert text.endswith("X X X\n. O .\nO . .\n\nYou lose.\n")
    assert "You are O" in said("quit\n", f"{mine}&first=false")
    assert "You are X" in said("quit\n", f"{mine}&first=false", "--first")


def test_moves_are_taken_back_with_their_answers(said, mine):
    text = said("9\n8\nundo\nundo\nundo\n5\n4\n6\n", mine)
    assert text.count("There is no move of yours to take back.") == 1
    assert text.endswith("You win.\n")


def test_what_is_no_move_changes_nothing(said, mine):
    text = said("5\n5\n10\nleft\n\n?\n4\n6\n", mine)
    assert "'5' is no move that you have, nor hint, undo, moves, quit. Your moves: 2 3 4 6 7 8 9" in text
    assert "'10' is no move" in text and "'left' is no move" in text and text.count("Name a move, or:") == 2
    assert text.endswith("You win.\n")


@pytest.mark.parametrize("lines", ["", "5\n", "5\nquit\nno more\n", "Q"])
def test_it_ends_with_the_lines_or_when_asked(said, mine, lines):
    assert said(lines, mine).endswith("The game is left.\n")


def test_a_hint_of_an_opponent_is_its_move(said):
    text = said("5\n1\nhint\nquit\n", "pgx/tic_tac_toe?opponent=minimax", "--episode-seed", 1)
    assert "It would play " in text
    text = said("1\n1\n1\nhint\n", "pgx/connect_four?opponent=minimax&depth=2", "--episode-seed", 3)
    assert "1 2 3 4 5 6 7\nYour moves" in text and text.count("O plays") == 3


@pytest.mark.thorough
def test_against_a_policy_with_its_values(said, directory):
    text = said("hint\nquit\n", directory, "--seed", 3, "--best")
    assert "pgx/tic_tac_toe: dqn, seed 3, " in text
    saved = load_run(directory)
    game, policy = envs.make("pgx/tic_tac_toe"), jax.tree.map(lambda x: x[1], load_policies(saved).best)
    values = np.asarray(DQN.judge(saved.config, game, policy, game.reset(0)[1])["values"])
    best = np.argsort(-values)
    assert f"It would play {best[0] + 1}. Its values: {best[0] + 1} {values[best[0]]:+.2f}, {best[1] + 1} " in text
    first = said("quit\n", directory, "--second")
    assert first.count("X plays") == 1


def test_probabilities_add_up_and_forbid(tmp_path):
    env = envs.make("pgx/connect_four")
    policy = PPO.init(tiny(PPO), env, jax.random.key(0)).policy
    obs = env.reset(0)[1]
    obs["mask"] = obs["mask"].at[3].set(False)
    held = np.asarray(PPO.judge(tiny(PPO), env, policy, obs)["probabilities"])
    assert held[3] == 0 and abs(held.sum() - 1) < 1e-5


@pytest.mark.thorough
def test_a_search_says_what_it_found():
    env, config = envs.with_simulator("pgx/tic_tac_toe"), tiny(ALPHAZERO)
    policy = ALPHAZERO.init(config, env, jax.random.key(0)).policy
    obs = env.reset(jax.random.key(0))[1]
    held = ALPHAZERO.judge(config, env, policy, obs)
    assert abs(float(held["probabilities"].sum()) - 1) < 1e-5
    assert held["value"].shape == ()
    both = ALPHAZERO.judge(config, env, policy, jax.tree.map(lambda x: jnp.stack([x, x]), obs))
    assert both["probabilities"].shape == (2, 9)
    assert both["value"].shape == (2,)


def test_all_of_it_through_a_pipe(mine):
    command = [sys.executable, "-m", "jaxrl_up", "play", mine, "--no-cache"]
    done = subprocess.run(command, input="5\n4\nhint\n6\n", capture_output=True, text=True, timeout=300, check=True)
    assert done.stdout.endswith("You win.\n") and done.stderr == ""
    assert "It would play 3." in done.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "nowhere holds no run"),
        (["pgx/hex"], "says no opponent: write pgx/hex?opponent=random"),
        (["CartPole-v1"], "CartPole-v1 is no game of two players, nor one side of it"),
        (["pgx/hex?opponent=minimax"], "minimax plays pgx/tic_tac_toe"),
        (["pgx/hex?opponent"], "behind the ? stand options"),
        (["pgx/hex?opponent=random", "--best"], "is no run: leave --seed, --best, --stochastic and --point out"),
        (["pgx/hex?opponent=random", "--first", "--second"], "you have one side"),
        (["pgx/hex?opponent=random", "--episode-seed", "-1"], "must be a whole number from 0 to 2^32 - 1"),
    ],
)
def test_bad_input_is_one_line(words, message, capsys):
    assert main(["play", *words]) == 2
    out = capsys.readouterr()
    assert message in out.err and out.err.count("\n") == 1 and out.out == ""


def test_seeds_and_points_are_those_of_the_run(directory, capsys):
    assert main(["play", str(directory), "--seed", "1"]) == 2
    assert "has no seed 1; its seeds are 0, 3" in capsys.readouterr().err
    assert main(["play", str(directory), "--point", "2"]) == 2
    assert "has points 0 to 0" in capsys.readouterr().err


def test_what_a_run_has_of_ones_own_is_named(said, directory, mine, tmp_path, monkeypatch, capsys):
    """Its algorithm, and who it was trained against."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    shutil.copytree(directory, tmp_path / "board")
    config, algo = tmp_path / "board/config.toml", tmp_path / "own_dqn.py"
    algo.write_text("import dataclasses\nimport jaxrl_up\nMINE = dataclasses.replace(jaxrl_up.DQN, name='mine')\n")
    text = config.read_text().replace('"dqn"', '"mine"').replace(OPPONENT, mine)
    config.write_text(text + f'\n[own]\nalgorithm = "{algo}"\n')
    assert main(["play", str(tmp_path / "board")]) == 2
    line = capsys.readouterr().err
    words = shlex.split(line[line.index("jaxrl-up play ") :])[2:]
    assert words == [str(tmp_path / "board"), "--algo", str(algo), "--env", mine]
    assert "own_dqn" not in sys.modules
    assert "pgx/tic_tac_toe: mine, seed 0, " in said("quit\n", *words)
    assert main(["play", mine, "--algo", str(algo)]) == 2
    assert "is no run: leave out what names something of one" in capsys.readouterr().err


# -- colours and drawings


def test_what_has_no_board_says_so():
    with pytest.raises(ValueError, match="CartPole-v1 has no board that is drawn"):
        envs.board_of(envs.make("CartPole-v1"))


def test_colours_are_for_terminals_that_want_them(monkeypatch):
    from jaxrl_up.cli import coloured

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert coloured(Terminal()) and not coloured(io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not coloured(Terminal())


def text_after(name, moves, legal=False):
    """The board after moves by their usual names."""
    env = envs.make(f"pgx/{name}")
    state, obs = env.reset(0)
    step = jax.jit(env.step)
    for move in moves:
        names = {envs.board_of(env).move(envs.own_state(state), a): a for a in np.flatnonzero(obs["mask"])}
        state, taken = step(jax.random.key(0), state, int(names[move]))
        obs = taken.obs
    return envs.board_text(env, state, np.flatnonzero(obs["mask"]) if legal else ()).split("\n")


def test_othello_as_text():
    lines = text_after("othello", ["d3", "c3"], legal=True)
    assert lines[2:5] == [" 3 . + O X . . . .", " 4 . . + O X . . .", " 5 . . . X O + . ."]
    assert lines[-1] == "   a b c d e f g h"
    assert sum(line.count("O") for line in lines) + sum(line.count("X") for line in lines) == 6


def test_hex_as_text():
    lines = text_after("hex", ["b1", "swap", "k11"])
    assert lines[1] == "  2 O . . . . . . . . . ."  # mirrored, and of who swapped
    assert lines[10].endswith(". X") and lines[10].startswith(" " * 10 + "11 ")
    assert lines[11] == " " * 14 + "a b c d e f g h i j k"


@pytest.mark.thorough
def test_go_as_text():
    lines = text_after("go_9x9", ["A1", "J9", "pass"])
    assert lines[8] == " 1 X . . . . . . . ." and lines[0] == " 9 . . . . . . . . O"
    assert lines[9] == "   A B C D E F G H J"


@pytest.mark.thorough
def test_chess_as_text():
    lines = text_after("gardner_chess", ["a2a3", "b4a3"])
    assert lines[0] == " 5 r n b q k" and lines[2] == " 3 p . . . ." and lines[4] == " 1 R N B Q K"


@pytest.mark.thorough
def test_chess_of_eight_as_text():
    lines = text_after("chess", ["e2e4", "d7d5", "e4d5", "d8d5"])
    assert lines[3] == " 5 . . . q . . . ." and lines[0] == " 8 r n b . k b n r"


def test_a_game_is_watched_as_boards(directory):
    saved = load_run(directory)
    env, policy = saved.env, jax.tree.map(lambda x: x[0], load_policies(saved).last)
    episode = record_episode(DQN, env, canonical(saved.config), policy, jax.random.key(0))
    assert can_draw(env) and episode.length <= 9 and gif_steps(env, episode.length)[1] == 1
    written = episode_table(env, episode)
    assert written.count(" plays ") == episode.length and written.startswith("step 0: ")
    assert f"step {episode.length}: terminated\n" in written
    frames = list(draw_episode(env, episode, "a title"))
    assert len(frames) == episode.length + 1
    stones = [int(np.sum(np.asarray(x.convert("RGB"))[80:390] == (0, 114, 178))) for x in frames]  # blue, X
    assert stones[-1] > stones[0]


def test_the_command_watches_games(directory, capsys):
    assert main(["watch", str(directory), "--text"]) == 0
    assert " plays " in capsys.readouterr().out
    assert main(["watch", str(directory)]) == 0
    assert (directory / "episode.gif").stat().st_size > 1000
