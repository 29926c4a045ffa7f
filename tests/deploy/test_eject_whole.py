"""Scripts that have an algorithm whole: what stands in them, the same numbers, and changing one on the command line."""

import ast
import importlib.util
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import assert_equal, task, tiny

from jaxrl_up import ALGORITHMS, run
from jaxrl_up.cli import main
from jaxrl_up.config import field_help

ROOT = Path(__file__).resolve().parents[2]
FACES = {"jaxrl_up", "jaxrl_up.cli", "jaxrl_up.config", "jaxrl_up.envs", "jaxrl_up.learning", "jaxrl_up.types"}
EVERY = pytest.mark.parametrize("name", list(ALGORITHMS))
LONGER = {"mbve": 494, "mbpo": 558}  # lines, with the algorithm that they build on
QUICK = "--seeds 1 --num-evals 1 --num-episodes 2 --no-progress --total-steps 64 --num-envs 2 --rollout-length 8"


@pytest.fixture(scope="module")
def scripts(tmp_path_factory):
    """A directory with the algorithms as my_<name>.py."""
    directory = tmp_path_factory.mktemp("whole")
    for name in ALGORITHMS:
        assert main(["eject", name, str(directory / f"my_{name}.py")]) == 0
    return directory


def load(path):
    """The module of a file, as `import` makes it."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


@EVERY
def test_the_algorithm_stands_in_one_file_above_faces(name, scripts):
    text = (scripts / f"my_{name}.py").read_text(encoding="utf-8")
    assert text.count("\n") <= LONGER.get(name, 450)
    body = ast.parse(text).body
    modules = {node.module for node in body if isinstance(node, ast.ImportFrom) if "jaxrl_up" in node.module}
    assert modules <= FACES
    imported = {x.name for node in body if isinstance(node, ast.ImportFrom) for x in node.names}
    assert not imported & {"off_policy", "q_learning", "actor_critic", "Learner", "QLearner", *ALGORITHMS}
    defined = {node.name: node for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    assigned = {node.targets[0].id for node in body if isinstance(node, ast.Assign)}
    other = {
        "value_fitting": {"targets", "loss"},
        "mpc": {"plan", "search", "Gaussian"},
        "alphazero": {"play", "learn"},
        "mbve": {"explore", "learn", "td3_learn"},
        "mbpo": {"explore", "learn", "sac_learn", "sac_learning_noise", "off_policy_init"},
    }
    learns = other.get(name, {"explore", "learn"} if "replay_buffer" in text else {"collect", "network"})
    assert {"Config", "Learner", "State", "init", "update", "act", *learns} <= defined.keys() | assigned
    assert defined["Config"].bases == [] and "brought" not in text and "BROUGHT" not in text


@EVERY
def test_it_imports_and_has_the_same_fields(name, scripts):
    algo, ejected = ALGORITHMS[name], getattr(load(scripts / f"my_{name}.py"), name.upper())
    assert field_help(ejected.Config) == field_help(algo.Config)
    assert vars(ejected.Config()) == vars(algo.Config())
    for part in ("presets", "action_spaces", "greedy_memory", "learns", "learns_to_act", "players"):
        assert getattr(ejected, part) == getattr(algo, part), part
    memory = getattr(sys.modules[f"my_{name}"], algo.initial_memory.__name__, algo.initial_memory)
    assert ejected.initial_memory == memory  # which stands in the script, or is the package's
    for anneal in (True, False):
        fields = {k: anneal for k in ("anneal_learning_rate", "anneal_clip") if k in vars(algo.Config())}
        assert ejected.anneals(ejected.Config(**fields)) == algo.anneals(algo.Config(**fields))
    assert ejected.name == f"my_{name}"


@pytest.mark.thorough("value_fitting", "ppo", "sac", "mpc")  # the others of their families
@pytest.mark.exhaustive(*(name for name in ALGORITHMS if name not in ("dqn", "ppo", "sac", "value_fitting", "mpc")))
@EVERY
def test_it_gives_the_same_numbers(name, scripts):
    algo, env = ALGORITHMS[name], task(ALGORITHMS[name])
    ejected = getattr(load(scripts / f"my_{name}.py"), name.upper())
    settings = {"seeds": (3, 5), "num_evals": 2, "num_episodes": 2, "progress": False}
    one = run(algo, env, tiny(algo), **settings)
    other = run(ejected, env, ejected.Config(**vars(tiny(algo))), **settings)
    assert_equal(one.log, other.log)
    assert_equal(one.state, other.state)


def test_they_are_formatted_linted_and_typed(scripts):
    settings = ["--config", str(ROOT / "pyproject.toml"), str(scripts)]
    python = [sys.executable, "-m"]
    names = ("ppo", "sac", "value_fitting", "mpc", "pets", "alphazero", "mbve", "mbpo")
    typed = [str(scripts / f"my_{x}.py") for x in names]
    for command in (
        [*python, "ruff", "format", "--check", *settings],
        [*python, "ruff", "check", "--no-cache", *settings],
        [*python, "pyright", "--pythonpath", sys.executable, *typed],
    ):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_script_takes_what_train_takes(scripts, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    assert main(["eject", "dqn", "own.py", "--env", "Breakout-MinAtar", "--wrap", "frame_stack=2"]) == 0
    for words, said in {
        "--dry-run --gamma 0.9": "own on Breakout-MinAtar + frame_stack(2): 8 seeds x 499,712 steps",
        "--dry-run --env Acrobot-v1 --preset fitted_q": "own on Acrobot-v1",
    }.items():
        monkeypatch.setattr(sys, "argv", ["own.py", *words.split()])
        with pytest.raises(SystemExit) as end:
            runpy.run_path("own.py", run_name="__main__")
        assert end.value.code == 0 and said in capsys.readouterr().out


def test_boltzmann_exploration_in_place_of_epsilon_greedy(scripts, tmp_path, monkeypatch, capsys):
    """A few lines of the script are another algorithm, which the command line trains and knows again."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    text = (scripts / "my_dqn.py").read_text(encoding="utf-8")
    for old, new in load(ROOT / "bench" / "sessions.py").CHANGES.items():  # as the page of sessions makes them
        assert text.count(old) == 1
        text = text.replace(old, new)
    Path("ejected.py").write_text(text, encoding="utf-8")
    small = f"{QUICK} --hidden 8 --batch-size 8 --buffer-size 64 --learning-starts 16 --env.max_steps 12"
    command = f"train --algo ejected.py {small} --directory".split()
    for temperature in ("0.01", "100"):
        assert main([*command, f"runs/{temperature}", "--temperature", temperature]) == 0
    first, second = (Path(f"runs/{x}/progress.csv").read_bytes() for x in ("0.01", "100"))
    assert first != second  # it is what explores
    capsys.readouterr()
    assert main(["evaluate", "runs/100"]) == 2
    line = capsys.readouterr().err.partition("name it: ")[2]
    assert line == "jaxrl-up evaluate runs/100 --algo ejected.py\n"
    assert main([*shlex.split(line)[1:], "--episodes", "2"]) == 0
    assert main(["watch", "runs/100", "--text", "--algo", "ejected.py"]) == 0
    longer = ["--total-steps", "128", "--schedule-steps", "64", "--no-progress", "--algo", "ejected.py"]
    assert main(["resume", "runs/100", *longer]) == 0
    assert "128 steps" in capsys.readouterr().out.splitlines()[-1]
