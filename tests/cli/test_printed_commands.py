"""Every command that is printed can be pasted into a shell."""

import ast
import io
import os
import re
import shlex
import sys
from pathlib import Path

import pytest
from fake_runs import make_result

import jaxrl_up
from jaxrl_up import PPO
from jaxrl_up.cli import main, next_lines, report
from jaxrl_up.experiments import check_place
from jaxrl_up.records import command, concerns, longer, near, way_on

ROOT = Path(jaxrl_up.__file__).parent
ODD = ("two words", "it's", "a$HOME", "b[1]", "c?d=1&e", "-dash", "a;b", "ünï")


@pytest.mark.parametrize("name", ODD)
def test_what_a_run_prints_is_read_back_by_a_shell(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    place, stopped = tmp_path / name, make_result(stopped="Ctrl-C")._replace(directory=tmp_path / name)
    again = next(line for line in concerns(stopped) if line.startswith("go on with: ")).removeprefix("go on with: ")
    lines = [part for line in next_lines(stopped._replace(stopped=""))[1:] for part in line.split(" && ")]
    for text in (again, *(line.removeprefix("next:").strip() for line in lines)):
        program, verb, path, *_ = shlex.split(text)
        assert program == "jaxrl-up" and verb in ("resume", "watch", "evaluate", "plot")
        assert Path(path).absolute() == place and not path.startswith("-")
    assert shlex.split(longer(stopped._replace(config=PPO.Config(total_steps=2000))))[-4:] == [
        *("--total-steps", "4000", "--schedule-steps", "2000"),
    ]


@pytest.mark.parametrize(
    ("terminals", "printed"), [((), 1), (("stdout",), 1), (("stderr",), 1), (("stdout", "stderr"), 0)]
)
def test_one_terminal_has_the_score_once(terminals, printed, monkeypatch):
    """Where both streams are it, progress has said it; anything that reads standard output finds it there."""
    streams = {name: io.StringIO() for name in ("stdout", "stderr")}
    for name, stream in streams.items():
        monkeypatch.setattr(stream, "isatty", lambda name=name: name in terminals)
        monkeypatch.setattr(sys, name, stream)
    assert report(make_result(), progress=True) == 0
    assert streams["stdout"].getvalue().count("score 33.5 [") == printed
    assert report(make_result(), progress=False) == 0
    assert streams["stdout"].getvalue().count("score 33.5 [") == printed + 1


def test_how_a_run_goes_on_that_was_left_at_once(tmp_path):
    left = make_result()._replace(directory=tmp_path / "a run")
    assert way_on(left) == f"no checkpoint was written; begin again with: {command('resume', left.directory)}"
    (left.directory / "checkpoints" / "3").mkdir(parents=True)
    assert way_on(left) == f"go on from the last checkpoint with: {command('resume', left.directory)}"


def test_what_does_not_anneal_is_made_longer_by_its_total_alone(tmp_path):
    config = PPO.Config(total_steps=2000, anneal_learning_rate=False)
    assert longer(make_result()._replace(config=config, directory=tmp_path)).endswith(" --total-steps 4000")


@pytest.mark.parametrize(("total", "line"), [(100, 2048), (1024, 2048), (5000, 10_000), (2**31 - 2**11, 2**31 - 1)])
def test_a_longer_run_makes_another_update_at_least(total, line, tmp_path):
    """An update takes 1024 steps, and counters hold 2^31 - 1."""
    run = make_result()._replace(config=PPO.Config(total_steps=total), directory=tmp_path)
    assert longer(run).endswith(f" --total-steps {line} --schedule-steps {total}")


def test_paths_are_as_short_as_the_place_makes_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert near(tmp_path / "runs" / "one") == "runs/one"
    assert near(tmp_path.parent) == str(tmp_path.parent)
    assert near(Path("runs/one")) == "runs/one"
    assert command("resume", tmp_path / "a b", "--algo", "my algo.py") == "jaxrl-up resume 'a b' --algo 'my algo.py'"


def test_a_command_without_a_run_names_the_newest(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for age, name in enumerate(["runs/no checkpoint/config.toml", "runs/new one/config.toml", "runs/old/config.toml"]):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("own.network = 'my_net.py:Net'\n" * ("new" in name))
        os.utime(tmp_path / name, (1e9 - age, 1e9 - age))
    for name in ("new one", "old"):
        (tmp_path / "runs" / name / "checkpoints").mkdir()
    own = "--network my_net.py:Net"
    for words, said in {
        "evaluate --env.g 1": f"(the directory of a run): jaxrl-up evaluate --env.g 1 'runs/new one' {own}\n",
        "export --best": f"jaxrl-up export --best 'runs/new one' policy.bin {own}\n",
        "export runs/old": "needs FILE (the file to write, such as policy.bin): jaxrl-up export runs/old policy.bin\n",
        "plot": ": jaxrl-up plot 'runs/new one'\n",
        "train --from": "--from needs a run: jaxrl-up train --from 'runs/new one'\n",
    }.items():
        assert main(words.split()) == 2
        assert said in capsys.readouterr().err
    (tmp_path / "runs" / "sweep").mkdir()
    (tmp_path / "runs" / "sweep" / "sweep.toml").write_text("")
    assert main(["resume"]) == 2
    assert capsys.readouterr().err.endswith(": jaxrl-up resume runs/sweep\n")


def test_a_sweep_that_is_there_names_the_command_that_goes_on(tmp_path):
    place = tmp_path / "a sweep"
    place.mkdir()
    (place / "sweep.toml").write_text("")
    with pytest.raises(FileExistsError, match=re.escape(f"`{command('resume', place)}`")):
        check_place(place)


def test_commands_with_something_of_the_users_in_them_are_made_by_command():
    """In the source no text goes on behind `jaxrl-up VERB` with a value."""
    found = []
    for path in sorted(ROOT.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                for before, after in zip(node.values, node.values[1:], strict=False):
                    text = before.value if isinstance(before, ast.Constant) else ""
                    if isinstance(after, ast.FormattedValue) and re.search(r"jaxrl-up [a-z]+ ([^`]* )?$", str(text)):
                        found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    allowed = {
        "cli/main.py",
        "cli/commands/exercise.py",
        "cli/exercises/worked.py",
        "types.py",
    }
    assert [place for place in found if place.partition(":")[0] not in allowed] == []


def test_help_of_a_command_is_had_either_way(capsys):
    for words in (["help", "plot"], ["plot", "--help"]):
        assert main(words) == 0
    first, second = capsys.readouterr().out.split("usage: ")[1:] or ("", "")
    assert first.strip() == second.strip() and "jaxrl-up plot" in first
