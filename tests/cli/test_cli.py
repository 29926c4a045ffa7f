"""The command line: what it trains, what it writes, and one line for every bad input."""

import dataclasses
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import tomllib
from contextlib import contextmanager

import pytest
from stopping import stop_after

from jaxrl_up import ALGORITHMS, PPO, envs, make_config, run, train
from jaxrl_up.algorithms import check_support
from jaxrl_up.cli import main
from jaxrl_up.config import field_help
from jaxrl_up.records import columns

TINY = [
    *("--total-steps", "256", "--num-envs", "2", "--rollout_length", "32", "--num-epochs", "1"),
    *("--num-minibatches", "1", "--hidden", "8,4", "--initial-log-std", "-5e-1", "--no-shared"),
    *("--seeds", "3,5", "--num-evals", "2", "--num-episodes", "2", "--max-eval-steps", "20", "--env.gravity=12"),
]
SCORE = re.compile(r"score \S+ \[\S+, \S+\] \(IQM of 2 seeds, 95% interval, (\d+) steps\)")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A tiny run: exit code, standard output, standard error, directory."""
    directory = tmp_path_factory.mktemp("cli") / "run"
    with pytest.MonkeyPatch.context() as patch:
        out, err = _capture(patch)
        code = main(["train", *TINY, "--directory", str(directory)])
    return code, out.getvalue(), err.getvalue(), directory


def _capture(patch):
    import io

    out, err = io.StringIO(), io.StringIO()
    patch.setattr(sys, "stdout", out)
    patch.setattr(sys, "stderr", err)
    return out, err


@contextmanager
def unread():
    """A stream whose reader has gone, as after `| head -1`."""
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w", encoding="utf-8") as stream:
        yield stream  # to be closed without an error


def test_train_scores_on_standard_output(tiny):
    code, out, err, directory = tiny
    assert code == 0
    assert SCORE.fullmatch(out.strip())[1] == "256"
    assert "ppo on CartPole-v1: 2 seeds x 256 steps" in err
    assert "return" in err
    assert err.splitlines()[-4:] == [
        f"records are in {directory}; open {directory / 'report.html'}",
        f"next: jaxrl-up watch {directory}",
        f"      jaxrl-up evaluate {directory} && jaxrl-up plot {directory}",
        f"      jaxrl-up resume {directory} --total-steps 512 --schedule-steps 256",
    ]


def test_train_records_what_was_asked(tiny):
    directory = tiny[-1]
    names = {"config.toml", "progress.csv", "timing.csv", "checkpoints", "curve.png", "report.html"}
    assert {p.name for p in directory.iterdir()} == names
    config = tomllib.loads((directory / "config.toml").read_text())
    assert config["run"]["seeds"] == [3, 5]
    assert config["run"]["max_eval_steps"] == 20
    assert config["environment"]["params"]["gravity"] == 12.0
    asked = {"rollout_length": 32, "hidden": [8, 4], "shared": False, "initial_log_std": -0.5}
    assert {name: config["config"][name] for name in asked} == asked


def same_files(run, other):
    """Byte for byte, but for the commit of the working directory."""
    assert (run / "progress.csv").read_bytes() == (other / "progress.csv").read_bytes()
    texts = [re.sub("commit = .*", "", (place / "config.toml").read_text()) for place in (run, other)]
    assert texts[0] == texts[1]


def test_equal_runs_write_equal_bytes_also_without_progress(tiny, tmp_path, capsys):
    other = ["TRAIN".lower(), "PPO", *TINY, "--no-progress", "--directory", str(tmp_path), "--name", "run"]
    assert main(other) == 0
    assert "compil" not in capsys.readouterr().err
    same_files(tmp_path / "run", tiny[-1])


def test_a_run_is_repeated_from_its_config_where_it_finds_a_place(tiny, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with monkeypatch.context() as patch, unread() as stream:  # a training goes on where nobody reads its progress
        patch.setattr(sys, "stderr", stream)
        assert main(["train", "--from", str(tiny[-1] / "config.toml")]) == 0
    assert main(["train", "--no-progress", f"--from={tiny[-1]}", "--gamma", "0.5"]) == 0
    first, second = sorted((tmp_path / "runs").iterdir())
    assert [first.name, second.name] == ["ppo-CartPole-v1", "ppo-CartPole-v1-2"]
    same_files(first, tiny[-1])
    assert tomllib.loads((second / "config.toml").read_text())["config"]["gamma"] == 0.5
    capsys.readouterr()


@pytest.mark.thorough
def test_the_preset_is_noted(tmp_path, monkeypatch, capsys):
    """And kept when the run is made longer."""
    directory = tmp_path / "run"
    assert main(["train", "--preset", "spinup", *TINY, "--no-progress", "--directory", str(directory)]) == 0
    assert main(["resume", str(directory), "--no-progress", "--total-steps", "512"]) == 0
    run = tomllib.loads((directory / "config.toml").read_text())["run"]
    assert (run["preset"], run["num_evals"], run["stages"]) == ("spinup", 4, [[256, 2]])


def test_a_run_is_kept_only_where_it_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", *TINY, "--no-progress", "--directory", "none"]) == 0
    assert not list(tmp_path.iterdir())
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    (tmp_path / "runs" / "mine" / "notes.txt").write_text("mine")
    (tmp_path / "runs" / "mine" / "config.toml").write_text("old")
    assert main(["train", *TINY, "--no-progress", "--name", "mine"]) == 2
    assert "already holds a run (config.toml); choose another directory, or replace it with --force" in (
        capsys.readouterr().err
    )
    assert main(["train", *TINY, "--no-progress", "--name", "mine", "--force", "--tensorboard"]) == 0
    names = {path.name for path in (tmp_path / "runs" / "mine").iterdir()}
    assert {"notes.txt", "progress.csv", "tensorboard"} <= names
    assert tomllib.loads((tmp_path / "runs" / "mine" / "config.toml").read_text())["run"]["seeds"] == [3, 5]


def test_a_stopped_run_is_resumed(tiny, tmp_path, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        stop_after(patch, 1)
        assert main(["train", *TINY, "--directory", str(tmp_path / "run")]) == 143
    error = capsys.readouterr().err
    assert "stopped by SIGTERM at 128 of 256 steps" in error
    assert f"go on with: jaxrl-up resume {tmp_path / 'run'}" in error
    assert "SIGTERM: stopping at the next evaluation; a second one leaves now" in error
    assert "--schedule-steps" not in error  # it is not made longer before its end
    assert main(["resume", str(tmp_path / "run")]) == 0
    printed = capsys.readouterr()
    assert SCORE.fullmatch(printed.out.strip())[1] == "256"
    assert re.search(
        r"^going on from 128 of 256 steps \(checkpoint of \d{4}-.*\), compiling", printed.err, re.MULTILINE
    )
    assert main(["resume", str(tmp_path / "run")]) == 0
    again = capsys.readouterr()
    assert again.out == printed.out and "compil" not in again.err
    longer = f"jaxrl-up resume {tmp_path / 'run'} --total-steps 512 --schedule-steps 256"
    assert re.search(rf"^finished at 256 of 256 steps \(checkpoint of .*\); .*: {longer}$", again.err, re.MULTILINE)
    same_files(tmp_path / "run", tiny[-1])
    assert main(["resume", str(tmp_path / "run"), "--no-progress"]) == 0
    assert capsys.readouterr().out == printed.out
    assert main(["resume", str(tmp_path / "run"), "--total-steps", "512", "--no-progress"]) == 2
    assert "--schedule-steps" in capsys.readouterr().err


def test_ctrl_c_keeps_what_was_reached(tmp_path, monkeypatch, capsys):
    stop_after(monkeypatch, 1, signal.SIGINT)
    assert main(["train", *TINY, "--directory", str(tmp_path / "run"), "--no-progress"]) == 130
    printed = capsys.readouterr()
    assert printed.err.startswith("Ctrl-C: stopping at the next evaluation; Ctrl-C again to leave now\n")
    assert SCORE.fullmatch(printed.out.strip())[1] == "128"
    assert "stopped by Ctrl-C at 128 of 256 steps" in printed.err
    assert len((tmp_path / "run" / "progress.csv").read_text().splitlines()) == 1 + 4  # two seeds, twice


def test_failed_seeds_are_named_and_scored(tiny, tmp_path, capsys):
    arguments = ["train", *TINY, "--learning-rate", "1e38", "--directory", str(tmp_path / "run")]
    assert main(arguments) == 0
    printed = capsys.readouterr()
    assert SCORE.fullmatch(printed.out.strip())
    for seed in (3, 5):
        assert re.search(rf"seed {seed} failed at update \d: its loss or parameters were not finite", printed.err)
    assert ",-1," not in (tmp_path / "run" / "progress.csv").read_text().splitlines()[-1]


def test_ctrl_c_before_training(monkeypatch, capsys):
    def press(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(envs, "make", press)
    assert main(["train"]) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "jaxrl-up: stopped by Ctrl-C"


BAD = {
    "trian": "unknown command 'trian'. Did you mean 'train'?",
    "--versoin": "unknown option '--versoin'. Did you mean '--version'?",
    "envs CartPole": "unrecognized arguments: CartPole",
    "train pp0": "unknown algorithm 'pp0'. Did you mean 'ppo'?",
    "train --shared pp0": "unknown algorithm 'pp0'. Did you mean 'ppo'?",
    "train ppo trpo": "unrecognized arguments: trpo",
    "train --env CartPole": "no environment 'CartPole'. Did you mean 'CartPole-v1'?",
    "train --env MNISTBandit": "no environment 'MNISTBandit'",
    "train --env MNISTBandit-bsuite": "no environment 'MNISTBandit-bsuite'",
    "train --gama 0.9": "no option '--gama'. Did you mean '--gamma'?",
    "train -gamma 0.9": "no option '-gamma'",
    "train ppo --learning_rte=1": "no option '--learning_rte'. Did you mean '--learning-rate'?",
    "train --gamma high": "--gamma: 'high' is not a number",
    "train --gamma": "--gamma: expected one argument",
    "train --gamma none": "--gamma: 'none' is not a number",
    "train --gamma 1.5": "gamma=1.5 is out of range: it must be between 0 and 1",
    "train --gamma -1e-3": "gamma=-0.001 is out of range",
    "train --learning-rate nan": "learning_rate=nan is out of range",
    "train --learning-rate -inf": "learning_rate=-inf is out of range",
    "train --num-envs 0": "num_envs=0 is out of range: it must be at least 1",
    "train --num-envs 2.5": "--num-envs: '2.5' is not a whole number",
    "train --num-envs inf": "--num-envs: 'inf' is not a whole number",
    "train --total-steps 3e9": "total_steps=3000000000 is out of range",
    "train --num-minibatches 3": "num_minibatches=3 does not divide num_envs * rollout_length = 1024",
    "train --hidden 64,x": "--hidden: 'x' is not a whole number",
    "train --hidden 64,0": "hidden=(64, 0) must be whole numbers, each at least 1",
    "train --activation rleu": "Did you mean 'relu'?",
    "train --network mpl": "network='mpl'",
    "train --head bta": "Did you mean 'beta'?",
    "train --head beta": "head='beta' draws actions within bounds",
    "train --log-std net": "log_std='net': choose from parameter, network",
    "train --shared yes": "unknown algorithm 'yes'",
    "train --shared=yes": "--shared/--no-shared: ignored explicit argument 'yes'",
    "train --seeds 0": "seeds=0: give how many (at least 1)",
    "train --seeds -3": "seeds=-3: give how many (at least 1)",
    "train --seeds 1,1": "seeds=(1, 1): give how many",
    "train --seeds 1,-2": "seeds=(1, -2): give how many",
    "train --seeds 1,x": "--seeds: 'x' is not a whole number",
    "train --preset spinpu": "ppo has no preset 'spinpu'; it has default, spinup",
    "train --num-evals 0": "num_evals=0 must be at least 1",
    "train --num-episodes 0": "num_episodes=0 must be at least 1",
    "train --max-eval-steps 0": "max_eval_steps=0 must be at least 1",
    "train --env.gravty 12": "no parameter 'gravty'. Did you mean 'gravity'?",
    "train --env.gravity": "--env.gravity needs a value",
    "train --env.gravity high": "'gravity'",
    "train --env.gravity nan": "--env.gravity=nan must be a finite number",
    "train --env.max_steps 0": "max_steps of CartPole-v1 must be",
    "train --env.max_steps 2.5": "max_steps",
    "train --schedule-steps 0": "schedule_steps=0 is out of range: it must be at least 1",
    "train --name a/b": "--name 'a/b' must be a plain name",
    "train --name ..": "--name '..' must be a plain name",
    "train --checkpoint-seconds -1": "checkpoint_seconds=-1 must be at least 0 seconds",
    "train --checkpoint-seconds soon": "--checkpoint-seconds: 'soon' is not a number",
    "train --wandb ''": "cannot be a project of Weights & Biases",
    "train --recipe ppo/cartpol": "Did you mean 'ppo/cartpole'",
    "train --recipe": "--recipe needs",
    "train --from nowhere": "error: nowhere holds no run: there is no config.toml",
    "train --from": "--from needs a run",
    "train sac": "sac acts in Box spaces",
    "resume": "resume needs DIR (the directory of the run, or of a sweep); there is none in runs yet: `jaxrl-up train`",
    "watch --best": "watch needs RUN (the directory of a run); there is none in runs yet: `jaxrl-up train` makes one",
    "play": "RUN|ENV (the directory of a run, or a game with its opponent): jaxrl-up play 'pgx/connect_four?opponent",
    "resume nowhere": "error: nowhere holds no run: there is no config.toml",
    "resume nowhere --totl-steps 5": "no option '--totl-steps'. Did you mean '--total-steps'?",
    "resume nowhere --total-steps many": "--total-steps: 'many' is not a whole number",
    "plot": "give the directories of runs",
    "plot nowhere": "nowhere",
    "evaluate nowhere": "error: nowhere holds no run",
    "watch nowhere": "error: nowhere holds no run",
    "report nowhere": "nowhere",
    "export nowhere policy.bin": "error: nowhere holds no run",
    "eject pp0 mine.py": "unknown algorithm 'pp0'. Did you mean 'ppo'?",
    "eject ppo mine.txt": "mine.txt",
}
NO_DIRECTORY = ("--gamma", "--env.gravity", "--recipe", "--from")  # lines that end in an option without its value


@pytest.fixture(scope="module")
def loaded():
    """The first environment takes seconds, and its loading is then said."""
    return envs.make("CartPole-v1")


@pytest.mark.parametrize("line", BAD)
@pytest.mark.usefixtures("loaded")
def test_a_bad_input_is_one_line(line, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    arguments = shlex.split(line)
    if arguments[0] == "train" and not line.endswith(NO_DIRECTORY) and "--name" not in arguments:
        arguments += ["--directory", "run"]
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert printed.err.startswith("jaxrl-up: error: ")
    assert BAD[line] in printed.err
    assert not list(tmp_path.iterdir())


def test_a_directory_that_holds_a_run_is_refused(tiny, capsys):
    directory = tiny[-1]
    before = {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    assert main(["train", "--no-progress", "--directory", str(directory)]) == 2
    assert "already holds a run" in capsys.readouterr().err
    assert before == {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_a_file_is_no_directory(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["train", "--no-progress", "--directory", str(tmp_path / "file" / "run")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_an_action_space_that_is_not_supported_names_who_supports_it(monkeypatch, capsys):
    boxes = dataclasses.replace(PPO, action_spaces=("Box",))
    monkeypatch.setitem(ALGORITHMS, "ppo", boxes)
    assert main(["train", "ppo", "--no-progress"]) == 2
    error = capsys.readouterr().err
    assert "ppo acts in Box spaces, but CartPole-v1 has the action space Discrete(2)" in error
    others = [name for name, algo in ALGORITHMS.items() if "Discrete" in algo.action_spaces]
    assert f"algorithms for Discrete: {', '.join(others) or 'none'}" in error
    env = envs.make("CartPole-v1")
    for call in (check_support, run, lambda algo, env: train(algo, env, PPO.Config(), None)):
        with pytest.raises(ValueError, match="algorithms for Discrete"):
            call(boxes, env)


def test_a_full_disk_is_one_line_and_keeps_the_checkpoint(tmp_path, monkeypatch, capsys):
    append, calls = columns._append, []

    def full(path, text):
        calls.append(path)
        if path.name == "progress.csv" and len([p for p in calls if p.name == "progress.csv"]) == 2:
            raise OSError(28, "No space left on device", str(path))
        append(path, text)

    with monkeypatch.context() as patch:
        patch.setattr(columns, "_append", full)
        code = main(
            ["train", *TINY, "--no-progress", "--directory", str(tmp_path / "run"), "--checkpoint-seconds", "0"]
        )
    printed = capsys.readouterr()
    assert (code, printed.out, printed.err.count("\n")) == (2, "", 1)
    assert "No space left on device" in printed.err
    assert main(["resume", str(tmp_path / "run"), "--no-progress"]) == 0


@pytest.mark.parametrize("where", [(), ("the file",)])
def test_an_error_of_the_system_has_words_and_no_number(where, monkeypatch, capsys):
    def full(*_, **__):
        raise OSError(28, "No space left on device", *where)

    monkeypatch.setattr(envs, "make", full)
    assert main(["train", "--no-progress"]) == 2
    assert capsys.readouterr().err == f"jaxrl-up: error: {': '.join((*where, 'No space left on device'))}\n"


def test_a_directory_without_rights_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert main(["train", "--no-progress", "--directory", str(tmp_path / "run")]) == 2
    assert f"no right to write in {tmp_path}" in capsys.readouterr().err


def test_slow_loading_is_said(monkeypatch, capsys):
    def slow(*_, **__):
        time.sleep(0.3)
        raise ValueError("too late")

    monkeypatch.setattr("jaxrl_up.envs.waiting.PATIENCE", 0.2)
    monkeypatch.setattr(envs, "make", slow)
    assert main(["train"]) == 2
    assert capsys.readouterr().err == "loading CartPole-v1 ... 0 s\njaxrl-up: error: too late\n"


def test_help_at_every_level(capsys):
    for arguments in (["--help"], [], ["train", "--help"], ["train", "ppo", "-h"], ["algos", "--help"], ["envs", "-h"]):
        assert main(arguments) == 0
        assert "usage: jaxrl-up" in capsys.readouterr().out


@pytest.mark.parametrize("algo", list(ALGORITHMS.values()), ids=list(ALGORITHMS))
def test_help_names_every_field(algo, capsys):
    assert main(["train", algo.name, "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for field in dataclasses.fields(algo.Config):
        assert f"--{field.name.replace('_', '-')}" in text
    if algo is PPO:
        assert "--gamma X discount per step (default 0.99; between 0 and 1)" in text
        assert "--no-shared" in text
        assert "(default 0.5; at least 0; or none)" in text


def test_a_run_without_a_word_of_where_is_kept_and_has_room_for_its_checkpoints(tmp_path, monkeypatch, capsys):
    def check(algo, env, config, seeds, kept=True):
        if kept:
            raise ValueError("no room")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys.modules["jaxrl_up.experiments.runs"], "check_memory", check)
    assert main(["train", "--no-progress"]) == 2
    assert capsys.readouterr().err == "jaxrl-up: error: no room\n"
    assert list(tmp_path.glob("runs/*")) == []


@pytest.mark.parametrize("algo", list(ALGORITHMS.values()), ids=list(ALGORITHMS))
def test_every_field_has_a_docstring_and_its_default_parses(algo):
    fields, shown = {field.name: field for field in dataclasses.fields(algo.Config)}, field_help(algo.Config)
    assert sorted(help_.name for help_ in shown) == sorted(fields)
    own = [name for name in algo.Config.__annotations__ if name in fields]
    assert [help_.name for help_ in shown[: len(own)]] == own  # the algorithm's own come first
    for help_ in shown:
        field = fields[help_.name]
        assert not help_.text.startswith("("), f"{field.name} has no docstring"
        assert help_.kind in (bool, int, float, str, tuple)
        if field.default is None:
            assert help_.optional


def test_presets_build(capsys):
    for algo in ALGORITHMS.values():
        for preset in algo.presets:
            assert make_config(algo, preset)


def test_algos_and_envs(capsys):
    assert main(["algos"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(ALGORITHMS) + 1
    assert any(line.startswith("ppo ") and "spinup" in line and "Schulman" in line for line in lines)
    for algo, line in zip(ALGORITHMS.values(), lines[1:], strict=True):
        assert sys.modules[algo.Config.__module__].__doc__.partition("\n")[0].rstrip(".") in line
    assert main(["envs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == list(envs.names())
    assert any(line.split() == ["CartPole-v1", "Box", "[4]", "Discrete(2)", "500"] for line in lines)


def test_as_a_process():
    module = [sys.executable, "-m", "jaxrl_up"]
    version = subprocess.run([*module, "--version"], capture_output=True, text=True, check=False)
    assert (version.returncode, version.stderr) == (0, "")
    assert re.fullmatch(r"jaxrl-up \d+\.\d+\S*\n", version.stdout)
    bad = subprocess.run([*module, "train", "--gamma", "2"], capture_output=True, text=True, check=False)
    assert (bad.returncode, bad.stdout, bad.stderr.count("\n")) == (2, "", 1)


@pytest.mark.parametrize("line", ["--version", "train --help", "train --dry-run", "algos"])
def test_where_nobody_reads_the_output_a_command_ends_quietly(line, monkeypatch, capsys):
    with unread() as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert main(line.split()) == 141
    assert capsys.readouterr().err == ""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs Linux's disk that is full")
@pytest.mark.parametrize("line", ["--version", "train --dry-run"])
def test_output_that_a_full_disk_does_not_take_is_one_line(line, monkeypatch, capsys):
    with open("/dev/full", "w", encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert main(line.split()) == 2
    assert capsys.readouterr().err == "jaxrl-up: error: standard output: No space left on device\n"


def test_streams_that_are_closed_from_the_start(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert (main(["train", "--help"]), main(["train", "--gamma", "2"])) == (0, 2)


def test_the_command_line_is_light_and_leaves_the_devices_to_choose():
    code = (
        "import sys; import jaxrl_up.cli; from jax._src import xla_bridge; "
        "heavy = {'gymnax', 'matplotlib', 'distrax', 'scipy'} & set(sys.modules); "
        "assert not heavy, heavy; assert not xla_bridge._backends, 'importing started a JAX backend'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


TWICE = """
import os, signal, time
from jaxrl_up.cli import at_once_if_pressed_twice
from jaxrl_up.experiments import stoppable

with at_once_if_pressed_twice(), stoppable(last=lambda: "go on with: this"):
    for _ in range(2):
        os.kill(os.getpid(), signal.{name})
        time.sleep(0.2)
    time.sleep(60)  # as XLA, which lets no handler of Python run while it compiles
"""


@pytest.mark.thorough("SIGTERM")
@pytest.mark.parametrize(("name", "code", "said"), [("SIGINT", 130, "Ctrl-C"), ("SIGTERM", 143, "SIGTERM")])
def test_a_second_signal_ends_the_process_at_once(name, code, said):
    done = subprocess.run(
        [sys.executable, "-c", TWICE.format(name=name)], capture_output=True, text=True, timeout=50, check=False
    )
    assert (done.returncode, done.stderr) == (code, f"jaxrl-up: stopped by {said}, at once\ngo on with: this\n")


def test_a_second_signal_ends_the_process_also_where_the_first_has_ended_who_read_it():
    with unread() as stream:
        program = [sys.executable, "-c", TWICE.format(name="SIGINT")]
        assert subprocess.run(program, stderr=stream, timeout=50, check=False).returncode == 130
