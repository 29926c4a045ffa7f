"""`jaxrl-up plot`: what it writes, and one line for every bad input."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from written_runs import write_ranking, write_run

from jaxrl_up.cli import main
from jaxrl_up.ops import bootstrap

ONE = np.array([[1.0, 2.0, 3.0], [3.0, 6.0, 9.0]])


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "runs" / "ppo", ONE)
    write_run(tmp_path / "runs" / "a2c", ONE + 1, algorithm="a2c")
    write_run(tmp_path / "acrobot", -ONE, environment="Acrobot-v1")
    return tmp_path


def test_writes_a_picture_and_its_numbers(place, capsys):
    for _ in range(2):  # a second time over the first
        assert main(["plot", "runs/ppo", "runs/a2c"]) == 0
        out, err = capsys.readouterr()
        assert (out, err) == ("plot.png\nplot.csv\n", "")
    assert (place / "plot.png").read_bytes()[:4] == b"\x89PNG"
    header, *rows = (place / "plot.csv").read_text().splitlines()
    assert header == "environment,label,column,seeds,env_steps,iqm,low,high"
    score, low, high = bootstrap(np.array([1.0, 3.0]))
    assert rows[0] == f"CartPole-v1,ppo,return,2,100.0,{score},{low},{high}"
    assert rows[3].startswith("CartPole-v1,a2c,return,2,100.0,3.0,")


def test_a_directory_stands_for_the_runs_in_it(place):
    assert main(["plot", ".", "runs/ppo", "--group", "algorithm", "--x", "seconds", "--smooth", "2"]) == 0
    rows = [line.split(",") for line in (place / "plot.csv").read_text().splitlines()]
    assert rows[0][4] == "seconds"
    found = [(row[0], row[1], row[3]) for row in rows[1::3]]
    assert found == [("Acrobot-v1", "ppo", "2"), ("CartPole-v1", "a2c", "2"), ("CartPole-v1", "ppo", "2")]
    assert rows[-2][4:6] == ["11.0", "3.0"]  # mean of 2 and 4, the first two evaluations' IQM


def test_what_is_drawn_and_how(place):
    """Every kind takes all of it, also where there is no legend to place."""
    options = ["--width", "page", "--font-size", "7", "--legend", "direct", "--out", "a.pdf", "--threshold", "4"]
    assert main(["plot", ".", "--select", "algorithm=*", "--exclude", "acro*", "--kind", "all", *options]) == 0
    rows = [line.split(",")[:2] for line in (place / "a-curves.csv").read_text().splitlines()[1:]]
    assert rows == [["CartPole-v1", "a2c"]] * 3 + [["CartPole-v1", "ppo"]] * 3
    assert b"/FontFile2" in (place / "a-improvement.pdf").read_bytes()


def test_all_kinds(place, capsys):
    assert main(["plot", "runs", "--kind", "all", "--threshold", "4", "--out", "all.svg"]) == 0
    kinds = ["curves", "profiles", "improvement", "efficiency"]
    out, err = capsys.readouterr()
    assert out.split() == [f"all-{kind}.{suffix}" for kind in kinds for suffix in ("svg", "csv")]
    assert err == ""
    assert all((place / name).stat().st_size > 0 for name in out.split())
    assert (
        (place / "all-improvement.csv").read_text().splitlines()[1].startswith("CartPole-v1,return,a2c,ppo,2,2,0.75,")
    )


def test_all_says_what_is_left_out(place, capsys):
    assert main(["plot", "runs", "acrobot", "--kind", "all", "--group", "algorithm"]) == 0
    out, err = capsys.readouterr()
    assert out.split() == ["plot-curves.png", "plot-curves.csv", "plot-profiles.png", "plot-profiles.csv"]
    assert "no picture of efficiency: it needs --threshold" in err
    assert "no picture of improvement" in err and "'a2c' has no run on Acrobot-v1" in err


def test_unfinished_runs_are_drawn_and_named(place, capsys):
    write_run(place / "part", ONE[:, :2], steps=(100, 200), seconds=(1, 2))
    assert main(["plot", "part"]) == 0
    assert capsys.readouterr().err == "part is unfinished (200 of 340 steps): drawn as far as it goes\n"


def test_the_commands_of_the_document_work(place, capsys):
    write_run(place / "runs" / "dqn", ONE, algorithm="dqn")
    document = Path(__file__).resolve().parents[2] / "docs/plots.md"
    commands = re.findall(r"^\$ jaxrl-up (plot .*?)(?:  #.*)?$", document.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(commands) >= 5
    for command in commands:
        assert main(shlex.split(command)) == 0
        out, err = capsys.readouterr()
        assert out and err == "", command


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give the directories of runs"),
        (["runs/pop"], "there is no directory runs/pop"),
        (["empty"], "empty holds no run"),
        (["runs", "--y", "retrun"], "has no column 'retrun'. Did you mean 'return'?"),
        (["runs", "--x", "time"], "choose from steps, seconds"),
        (["runs", "--smooth", "0"], "smooth=0 must be at least 1"),
        (["runs", "--smooth", "half"], "'half' is not a whole number"),
        (["runs", "--kind", "profile"], "Did you mean 'profiles'?"),
        (["runs", "--kind", "efficiency"], "--threshold 400"),
        (["runs", "acrobot", "--kind", "efficiency", "--threshold", "-100"], "several environments"),
        (["runs/ppo", "--kind", "improvement"], "only 'ppo'"),
        (["runs", "--group", "algoritm"], "Did you mean 'algorithm'?"),
        (["runs", "--select", "pop"], "select 'pop' matches nothing"),
        (["runs", "--exclude", "*"], "nothing is left to draw"),
        (["runs", "--legend", "right"], "choose from outside, inside, direct, none"),
        (["runs", "--width", "wide"], "give 1.5 to 40 inches, or column, page"),
        (["runs", "--font-size", "1"], "give 4 to 40 points"),
        (["runs", "--out", "plot.jpg"], "must end in .png, .svg, .pdf"),
        (["runs", "--out", "figures/plot.png"], "there is no directory figures"),
        (["runs", "--out", "notes.png"], "notes.csv is there and holds something else"),
        (["runs", "--colour", "red"], "has no option '--colour'"),
        (["runs/ppo", "--kind", "scores"], "runs/ppo holds no sweep"),
        (["begun", "--kind", "scores"], "no point of begun is done: go on with `jaxrl-up resume begun`"),
        (["runs", "acrobot", "--kind", "scores"], "takes the directory of one sweep"),
        (
            ["sweep", "--kind", "scores", "--select", "ppo", "--x", "steps", "--smooth", "3"],
            "leave --smooth and --select out",
        ),
        (["sweep", "--kind", "scores", "--legend", "direct"], "choose outside, inside or none"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(place, capsys, arguments, said):
    (place / "empty").mkdir()
    write_ranking(place / "begun", {"gamma": [0.9, 0.99]}, [1.0, 2.0], done=0)
    write_ranking(place / "sweep", {"gamma": [0.9, 0.99]}, [1.0, 2.0])
    (place / "notes.csv").write_text("day,note\n")
    before = sorted(place.iterdir())
    assert main(["plot", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"jaxrl-up: error: .*\n", err) and said in err
    assert sorted(place.iterdir()) == before
    assert (place / "notes.csv").read_text() == "day,note\n"
