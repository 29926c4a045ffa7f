"""`jaxrl-up sweep`: what it prints and keeps, how it goes on, and one line for every bad input."""

import csv
import re
import signal
import tomllib

import pytest

from jaxrl_up import envs
from jaxrl_up.cli import main
from jaxrl_up.experiments import SweepWatcher

TINY = [
    *("a2c", "--total-steps", "64", "--num-envs", "2", "--rollout-length", "8", "--hidden", "8"),
    *("--initializer", "flax", "--seeds", "3,5", "--num-evals", "2", "--num-episodes", "2", "--max-eval-steps", "12"),
    *("--env.gravity=12", "--grid", "learning-rate=1e-3,1e-2", "--grid=env.force_mag=8,10"),
]
BEST = re.compile(r"best learning_rate=\S+, env\.force_mag=\S+: score \S+ \[\S+, \S+\] \(IQM of 2 seeds, 95% .*, 64 st")


@pytest.fixture(scope="module")
def stopped(cpus, tmp_path_factory):
    """A sweep stopped by SIGTERM after one of two evaluations of trained policies: exit code, directory."""
    directory = tmp_path_factory.mktemp("sweep") / "sweep"
    evaluated = SweepWatcher.evaluated

    def press(self, *arguments):
        evaluated(self, *arguments)
        if arguments[0].env_steps[0]:
            signal.raise_signal(signal.SIGTERM)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SweepWatcher, "evaluated", press)
        return main(["sweep", *TINY, "--directory", str(directory)]), directory


def test_it_stops_goes_on_and_prints_the_ranking(stopped, capsys):
    code, directory = stopped
    assert code == 143
    assert not (directory / "best.toml").exists()
    assert (
        len((directory / "results.csv").read_text().splitlines()) == 1 + 4 * 2 * 2
    )  # of two seeds, untrained and then
    assert main(["resume", str(directory)]) == 0
    out, err = capsys.readouterr()
    header, *rows, best = out.splitlines()
    assert header.split()[:4] == ["rank", "learning_rate", "env.force_mag", "IQM,"]
    assert [row.split()[0] for row in rows] == list("1234")
    assert BEST.match(best)
    assert "1 program to compile, 1 part to train" in err
    assert "64/64 steps" in err
    assert f"going on with {directory}: 0 of 1 part done" in err
    assert "part 1" not in err and "4 points x 2 seeds, going on from 32 of 64 steps, compiling ..." in err
    assert re.search(r"best return \S+ \(IQM, seeds \S+\) at learning_rate=", err)
    assert err.splitlines()[-2:] == [
        f"next: jaxrl-up train --recipe {directory / 'best.toml'}",
        f"      jaxrl-up plot {directory}",
    ]
    with (directory / "ranking.csv").open(newline="") as file:
        ranking = list(csv.DictReader(file))
    assert [row.split()[1] for row in rows] == [row["learning_rate"] for row in ranking]
    assert {row["env.force_mag"] for row in ranking} == {"8.0", "10.0"}
    recipe = tomllib.loads((directory / "best.toml").read_text())
    assert recipe["parameters"]["gravity"] == 12.0
    assert recipe["config"]["learning_rate"] == float(ranking[0]["learning_rate"])


@pytest.mark.parametrize("command", ["watch", "evaluate", "export"])
def test_where_a_run_is_asked_for_a_sweep_says_where_its_runs_are(stopped, capsys, monkeypatch, command):
    _, directory = stopped
    monkeypatch.chdir(directory.parent)
    assert main([command, directory.name, *(["policy.bin"] if command == "export" else [])]) == 2
    err = capsys.readouterr().err
    assert "sweep holds a sweep: its run, of all points, is sweep/cells/0" in err
    assert main([command, "sweep/cells/0", "--point", "9", *(["policy.bin"] if command == "export" else [])]) == 2
    (directory / "cells" / "1").mkdir()
    (directory / "cells" / "1" / "config.toml").touch()
    main([command, directory.name, *(["policy.bin"] if command == "export" else [])])
    err = capsys.readouterr().err
    (directory / "cells" / "1" / "config.toml").unlink()
    (directory / "cells" / "1").rmdir()
    assert "sweep holds a sweep of 2 runs, of points that share a program: sweep/cells/0 is the first" in err


def test_a_finished_sweep_says_so(stopped, capsys):
    _, directory = stopped
    main(["resume", str(directory), "--no-progress"])
    capsys.readouterr()
    assert main(["resume", str(directory)]) == 0
    err = capsys.readouterr().err
    assert "compil" not in err
    assert "finished: 1 part done; a sweep is not made longer, its best point is trained by: jaxrl-up train" in err


def test_the_best_can_be_trained_and_parts_can_be_drawn(stopped, tmp_path, capsys):
    _, directory = stopped
    main(["resume", str(directory), "--no-progress"])
    capsys.readouterr()
    assert main(["train", "--recipe", str(directory / "best.toml"), "--dry-run"]) == 0
    assert "a2c on CartPole-v1: 2 seeds x 64 steps" in capsys.readouterr().out
    assert main(["plot", str(directory), "--out", str(tmp_path / "curves.png")]) == 0
    assert (tmp_path / "curves.csv").read_text().count("lr 1e-3, force_mag 8") == 3
    capsys.readouterr()
    assert main(["plot", str(directory), "--kind", "scores", "--out", str(tmp_path / "sweep.png")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'sweep.png'}\n"
    assert (tmp_path / "sweep.png").read_bytes() == (directory / "sweep.png").read_bytes()


def test_dry_run_says_what_would_be_compiled_and_writes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    line = [*TINY, "--grid", "rollout_length=8,16", "--grid", "hidden=8-8,16", "--max-lanes", "4", "--dry-run"]
    assert main(["sweep", *line]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("a2c on CartPole-v1: 16 points x 2 seeds, 32 runs to train")
    assert out[1] == "4 programs to compile, 8 parts to train"
    assert out[2].startswith("program 1: rollout_length=8, hidden=8-8: 4 points x 64 steps, 2 parts of 4 runs, ")
    assert not list(tmp_path.iterdir())


def test_random_points_from_the_command_line(tmp_path, capsys):
    line = ["sweep", *TINY, "--random", "3", "--log", "gamma=0.5:0.9", "--dry-run"]
    assert main(line) == 0
    assert "3 points x 2 seeds" in capsys.readouterr().out


BAD = {
    "": "say what to vary, as in",
    "--grid gamma": "--grid gamma: give a name and what it takes",
    "--grid gamma=": "--grid gamma=: give a name",
    "--grid gamma=0.9,,0.8": "--grid gamma=0.9,,0.8 has an empty value",
    "--grid gamma=0.9,0.9": "gamma has 0.9 twice",
    "--grid gamma=0.9 --grid gamma=0.8": "--grid gamma is given twice",
    "--grid gamma=0.9,x": "--grid gamma: 'x' is not a number",
    "--grid gamma=0.9,2": "gamma=2 is out of range: it must be between 0 and 1",
    "--grid gama=0.9": "'gama' cannot be swept. Did you mean 'gamma'?",
    "--grid env.gravty=9": "Did you mean 'gravity'?",
    "--grid env.gravity=nan": "--env.gravity=nan must be a finite number",
    "--grid num_envs=2.5": "--grid num_envs: '2.5' is not a whole number",
    "--grid shared=yes": "--grid shared: 'yes' is not true or false",
    "--grid hidden=8-x": "--grid hidden: '8-x' is not a whole number",
    "--grid activation=rleu": "Did you mean 'relu'?",
    "--grid num_minibatches=3": "num_minibatches=3 does not divide",
    "--log gamma=0.5:0.9": "say how many points with --random N",
    "--random 3 --log gamma=0.5": "--log gamma=0.5 is no range",
    "--random 3 --log gamma=0.9:0.5": "is no range: give two numbers, the lower first",
    "--random 3 --log gamma=0:0.5": "a logarithmic range is above 0",
    "--random 3 --log gamma=0.1:0.5 --uniform gamma=0.1:0.5": "more than one list or range",
    "--random 3 --grid gamma=0.9": "but the lists have 1 combinations",
    "--random 0 --grid gamma=0.9": "random=0 must be at least 1",
    "--random 2 --uniform num_envs=2:9": "must be a whole number",
    "--grid gamma=0.9,0.8 --halving 9": "evaluations do not tell apart",
    "--grid gamma=0.9 --max-lanes 0": "max_lanes=0 must be at least 1",
    "--grid gamma=0.9 --seeds 0": "seeds=0: give how many",
    "--grid gamma=0.9 --env CartPole": "Did you mean 'CartPole-v1'?",
    "--grid gamma=0.9 --checkpoint-seconds -1": "checkpoint_seconds=-1 must be at least 0 seconds",
    "--grid gamma=0.9 --name a/b": "must be a plain name",
    "--grdi gamma=0.9": "no option '--grdi'. Did you mean '--grid'?",
    "--grid gamma=0.9 dqn": "name the algorithm first: jaxrl-up sweep dqn",
}


@pytest.mark.parametrize("line", BAD)
def test_a_bad_input_is_one_line(line, tmp_path, monkeypatch, capsys):
    envs.make("CartPole-v1")
    monkeypatch.chdir(tmp_path)
    assert main(["sweep", *line.split()]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert BAD[line] in err
    assert not list(tmp_path.iterdir())


def test_a_sweep_is_not_made_longer_nor_overwritten(stopped, capsys):
    _, directory = stopped
    for line, message in {
        "--total-steps 128": f"its best point can: jaxrl-up train --recipe {directory / 'best.toml'} --total-steps 128",
        "--wandb project": "has no sinks",
        "--checkpoint-seconds -1": "must be at least 0",
    }.items():
        assert main(["resume", str(directory), *line.split()]) == 2
        assert message in capsys.readouterr().err
    assert main(["sweep", *TINY, "--directory", str(directory)]) == 2
    assert "already holds a sweep" in capsys.readouterr().err
