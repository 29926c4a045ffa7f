"""`--wrap`: what it costs, and that all commands build the wrapped environment again."""

import importlib.util
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from jaxrl_up import envs, load_run
from jaxrl_up.cli import main

ROOT = Path(__file__).resolve().parents[2]
TINY = shlex.split("--total-steps 64 --num-envs 2 --rollout-length 8 --hidden 8 --no-progress")
TINY += shlex.split("--seeds 3, --num-evals 2 --num-episodes 2")
WRAPS = shlex.split('--wrap time_limit=6 --wrap frame_stack=3 --wrap "clip_reward(-1, 0.5)"')
RECORDED = ("time_limit(6)", "frame_stack(3)", "clip_reward(-1, 0.5)")
ENV = "Catch-bsuite"  # with a drawing


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """A tiny run of a wrapped environment, with parameters of it too."""
    directory = tmp_path_factory.mktemp("wrap") / "run"
    options = ["--env", ENV, "--env.max_steps", "50", *WRAPS, *TINY, "--schedule-steps", "64"]
    assert main(["train", "a2c", *options, "--directory", str(directory)]) == 0
    return directory


def per_transition(out):
    return float(re.search(r"([\d.]+) bytes a transition", out)[1])


def test_the_plan_shows_what_the_replay_of_a_frame_stack_takes(capsys):
    """Observations are stacked four times; reward, ending and action are 12 bytes more, whatever is shown."""
    plain = ["train", "dqn", "--env", "Breakout-MinAtar", "--dry-run", "--no-progress"]
    assert main(plain) == 0
    one = capsys.readouterr().out
    assert main([*plain, "--wrap", "frame_stack=4"]) == 0
    four = capsys.readouterr().out
    assert one.startswith("dqn on Breakout-MinAtar: ")
    assert four.startswith("dqn on Breakout-MinAtar + frame_stack(4): ")
    assert per_transition(four) - 12 == pytest.approx(4 * (per_transition(one) - 12), abs=0.3)  # printed in tenths


def test_help_lists_the_wrappers(capsys):
    for command in ("train", "sweep"):
        assert main([command, "--help"]) == 0
        text = " ".join(capsys.readouterr().out.split())
        assert all(usage in text for usage in envs.wrapper_usages())


def test_a_wrapped_run_is_kept_as_such(directory):
    run = load_run(directory)
    assert run.env.spec.wrappers == RECORDED
    assert run.env.spec == envs.wrap(envs.make(ENV, max_steps=50), RECORDED).spec
    page = (directory / "report.html").read_text(encoding="utf-8")
    assert f"a2c on {ENV} + time_limit(6) + frame_stack(3) + clip_reward(-1, 0.5)" in page
    assert "jaxrl-up train --from" in page


def test_it_is_evaluated_watched_and_exported(directory, tmp_path, capsys):
    out = str(tmp_path / "policy.bin")
    for words in ("evaluate {} --episodes 3", "evaluate {} --episodes 3 --env.max_steps 20", "watch {} --text"):
        assert main(shlex.split(words.format(directory))) == 0
    assert main(["watch", str(directory), "--out", str(tmp_path / "episode.gif")]) == 0
    assert "return 0.000 in 6 steps, time limit, seed 3" in capsys.readouterr().out
    assert main(["export", str(directory), out]) == 0
    assert main(["evaluate", str(directory), "--env.max_steps", "5"]) == 2
    assert "time_limit(6) has no effect" in capsys.readouterr().err


@pytest.mark.thorough
def test_it_is_made_longer_as_if_it_had_never_stopped(directory, tmp_path, capsys):
    """From a copy by `--from`, which takes the wrappers over."""
    short, long = tmp_path / "short", tmp_path / "long"
    repeat = ["train", "--from", str(directory), "--no-progress", "--schedule-steps", "64"]
    assert main([*repeat, "--directory", str(short)]) == 0
    assert (short / "progress.csv").read_bytes() == (directory / "progress.csv").read_bytes()
    assert main(["resume", str(short), "--total-steps", "128", "--no-progress"]) == 0
    assert main([*repeat, "--total-steps", "128", "--num-evals", "4", "--directory", str(long)]) == 0
    assert (short / "progress.csv").read_bytes() == (long / "progress.csv").read_bytes()
    assert load_run(long).env.spec.wrappers == RECORDED


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("", " + ".join((ENV, *RECORDED))),
        ("--wrap time-left", f"{ENV} + time_left"),
        ("--wrap none", ENV),
        ("--env MemoryChain-bsuite", " + ".join(("MemoryChain-bsuite", *RECORDED))),
    ],
    ids=["as it was", "instead of all", "none", "another environment"],
)
def test_wrappers_on_the_command_line_replace_those_of_the_run(words, name, directory, capsys):
    assert main(["train", "--from", str(directory), "--dry-run", *words.split()]) == 0
    assert capsys.readouterr().out.startswith(f"a2c on {name}: ")


@pytest.mark.thorough
@pytest.mark.parametrize("limits", ["9", "9,12"])
def test_a_sweep_of_a_wrapped_environment_and_its_best_point(limits, tmp_path, capsys):
    place = tmp_path / "sweep"
    what = ["--grid", f"env.max_steps={limits}", *WRAPS, *TINY, "--directory", str(place)]
    assert main(["sweep", "a2c", "--env", ENV, *what]) == 0
    for k, limit in enumerate(map(int, limits.split(","))):
        cell = load_run(place / "cells" / str(k)).env
        assert cell.spec == envs.wrap(envs.make(ENV, max_steps=limit), RECORDED).spec
    assert main(["resume", str(place), "--no-progress"]) == 0
    assert tomllib.loads((place / "best.toml").read_text(encoding="utf-8"))["wrappers"] == list(RECORDED)
    capsys.readouterr()
    assert main(["train", "--recipe", str(place / "best.toml"), "--dry-run"]) == 0
    assert capsys.readouterr().out.startswith(f"a2c on {ENV} + time_limit(6) + frame_stack(3)")


class Scored:
    """What a run comes to, as far as a script reads it."""

    score = 1.0


EJECTED = shlex.split('--wrap frame_stack=2 --wrap "clip_reward(-1, 0.5)"')
OPTIONS = ["--total-steps", "1024", "--seeds", "1", "--directory"]


@pytest.fixture
def ejected(tmp_path, monkeypatch):
    """The module of a script with wrappers, in a folder of its own, asked to write to `own`."""
    monkeypatch.chdir(tmp_path)
    assert main(["eject", "a2c", "mine.py", "--thin", "--env", ENV, *EJECTED]) == 0
    spec = importlib.util.spec_from_file_location("mine", tmp_path / "mine.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "mine", module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "use_all_cores", lambda runs: None)  # they are chosen
    monkeypatch.setattr(sys, "argv", ["mine.py", *OPTIONS, "own"])
    return module


@pytest.mark.thorough
def test_an_ejected_script_writes_what_train_writes(ejected):
    ejected.main()
    assert main(["train", "a2c", "--env", ENV, *EJECTED, *OPTIONS, "package", "--no-progress"]) == 0
    assert Path("own/progress.csv").read_bytes() == Path("package/progress.csv").read_bytes()
    recorded = tomllib.loads(Path("own/config.toml").read_text(encoding="utf-8"))["environment"]["wrappers"]
    assert recorded == ["frame_stack(2)", "clip_reward(-1, 0.5)"]


def test_an_ejected_script_builds_the_wrapped_environment(ejected, tmp_path, monkeypatch):
    """And is clean; the run is not made."""
    asked = []
    monkeypatch.setattr(ejected, "run", lambda algo, env, *_, **settings: asked.append(env) or Scored())
    ejected.main()
    assert asked[0].spec == envs.wrap(envs.make(ENV), ("frame_stack(2)", "clip_reward(-1, 0.5)")).spec
    config = ["--config", str(ROOT / "pyproject.toml"), str(tmp_path / "mine.py")]
    for command in (["format", "--check"], ["check", "--no-cache"]):
        words = [sys.executable, "-m", "ruff", *command, *config]
        checked = subprocess.run(words, cwd=ROOT, capture_output=True, check=False)
        assert checked.returncode == 0, checked.stdout


BAD = {
    "train --wrap frame_stak=4": "There is no wrapper 'frame_stak'. Did you mean 'frame_stack'?",
    "train --wrap frame_stack": "does not say frames: write frame_stack=FRAMES",
    "train --wrap frame_stack=four": "'four' is no number; write frame_stack=FRAMES",
    "train --wrap frame_stack=1": "frame_stack needs an integer frames >= 2, got 1",
    "train --wrap rescale_action": "rescale_action needs a Box action space of floats",
    "train --wrap previous_action --wrap previous_action": "previous_action adds 'previous_action', which",
    "train --wrap none --wrap time_left": "--wrap none leaves all wrappers away: give no other",
    "train --wrap": "--wrap: expected one argument",
    "train --env.gravity nan --wrap time_left": "gravity=nan must be a finite number",
    "sweep --grid gamma=0.9,0.99 --wrap scale_reward": "does not say scale: write scale_reward=SCALE",
    "sweep --grid env.max_steps=5,500 --wrap time_limit=9": "time_limit(9) has no effect",
    "eject ppo mine.py --wrap frame_stak=4": "There is no wrapper 'frame_stak'",
    "eject ppo mine.py --wrap one_hot_observation": "one_hot_observation needs a Discrete observation",
    "evaluate run --wrap time_left": "has no option '--wrap'",
}


@pytest.mark.parametrize("line", BAD)
def test_a_bad_input_is_one_line_and_writes_nothing(line, tmp_path, monkeypatch, capsys):
    envs.make("CartPole-v1")  # the first one takes seconds, and its loading is then said
    monkeypatch.chdir(tmp_path)
    assert main(line.split()) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    assert BAD[line] in printed.err
    assert not list(tmp_path.iterdir())
