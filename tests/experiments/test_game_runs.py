"""Runs whose evaluations are games against an opponent: what was won, drawn and lost is recorded and said."""

import numpy as np
import pytest

from jaxrl_up import A2C, envs, load_run, resume, run
from jaxrl_up.analysis import gather
from jaxrl_up.cli import main
from jaxrl_up.records import read_progress

CONFIG = {"total_steps": 512, "num_envs": 8, "rollout_length": 16, "hidden": (8,)}


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    directory = tmp_path_factory.mktemp("games") / "run"
    env = envs.make("pgx/tic_tac_toe", opponent="random")
    result = run(A2C, env, A2C.Config(**CONFIG), 2, directory=directory, num_evals=2, num_episodes=40, progress=False)
    return directory, result


@pytest.mark.thorough
def test_shares_are_counted(played):
    directory, result = played
    columns = read_progress(directory)
    shares = np.stack([columns[name] for name in ("won", "drawn", "lost")])
    np.testing.assert_allclose(shares.sum(axis=0), 1.0, atol=1e-6)
    np.testing.assert_allclose(shares[0] - shares[2], columns["return"], atol=1e-6)
    np.testing.assert_allclose(40 * shares, np.round(40 * shares), atol=1e-3)  # of 40 games
    np.testing.assert_allclose(np.stack(result.games), shares, atol=1e-6)
    ((curve,),) = (panel for groups in gather(result, "won").values() for panel in groups.values())
    np.testing.assert_allclose(curve.values, shares[0], atol=1e-6)
    assert (shares[0] > 0).all()
    assert (shares[2] > 0).all()


def test_it_is_said(played, capsys):
    directory, _ = played
    assert main(["evaluate", str(directory), "--episodes", "16"]) == 0
    assert "won " in capsys.readouterr().out
    assert main(["report", str(directory)]) == 0
    assert "Of the games, won " in (directory / "report.html").read_text()


def test_a_longer_run_keeps_the_columns(played):
    directory, _ = played
    result = resume(directory, total_steps=1024, schedule_steps=512, progress=False)
    columns = read_progress(directory)
    assert columns["won"].shape == (2, 5)
    assert result.games.win.shape == (2, 5)
    assert load_run(directory).env.spec.opponent


@pytest.mark.thorough
def test_nobody_wins_where_nobody_plays(tmp_path):
    config = A2C.Config(**{**CONFIG, "total_steps": 128})
    result = run(A2C, "CartPole-v1", config, 1, directory=tmp_path / "run", num_evals=1, progress=False)
    assert result.games is None
    assert "won" not in read_progress(tmp_path / "run")
