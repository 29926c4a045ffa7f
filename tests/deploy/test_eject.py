"""Thin ejected scripts: the algorithm's own file, clean, the same numbers; one line for every bad input to eject."""

import ast
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest
from tiny import assert_equal, task, tiny
from tree_tasks import observed, panel

from jaxrl_up import ALGORITHMS, run
from jaxrl_up.cli import main
from jaxrl_up.config import field_help
from jaxrl_up.envs import Box, Discrete

ROOT = Path(__file__).resolve().parents[2]
EVERY = pytest.mark.parametrize("algo", list(ALGORITHMS.values()), ids=list(ALGORITHMS))


@pytest.fixture(scope="module")
def scripts(tmp_path_factory):
    """A directory with every algorithm as my_<name>.py."""
    directory = tmp_path_factory.mktemp("ejected")
    for name in ALGORITHMS:
        assert main(["eject", name, str(directory / f"my_{name}.py"), "--thin"]) == 0
    return directory


def parse(path):
    """The statements of a file, imports apart."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    imports = [node for node in body if isinstance(node, ast.Import | ast.ImportFrom)]
    return [node for node in body if node not in imports], imports


def names(imports):
    return {
        f"{node.module}.{a.name}" if isinstance(node, ast.ImportFrom) else a.name
        for node in imports
        for a in node.names
    }


def load(path):
    """The module of a file, as `import` makes it."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


@EVERY
def test_it_is_the_algorithms_own_file_with_another_name_and_a_main(algo, scripts):
    path = scripts / f"my_{algo.name}.py"
    original, imports = parse(Path(sys.modules[algo.Config.__module__].__file__))
    (*ejected, main_function, start), ejected_imports = parse(path)
    assert main_function.name == "main"
    assert ast.unparse(start) == "if __name__ == '__main__':\n    main()"
    name = ejected[-1].value.args[0]
    assert name.value == path.stem
    name.value = algo.name
    configs = [next(node for node in body if getattr(node, "name", "") == "Config") for body in (ejected, original)]
    assert configs[0].bases == [] and configs[1].bases != []  # all fields are written out
    assert ast.dump(configs[0].body[0]) == ast.dump(configs[1].body[0])
    ejected, original = ([node for node in body if node not in configs] for body in (ejected, original))
    assert list(map(ast.dump, ejected)) == list(map(ast.dump, original))

    before, after = names(imports), names(ejected_imports)
    added = {"argparse", *(f"jaxrl_up.{x}" for x in ("envs", "run", "use_all_cores"))}
    assert added <= after - before <= {*added, "jaxrl_up.types.static", "jaxrl_up.types.traced", "typing.Any"}
    assert before <= after
    assert not [name for name in after if "._" in name]


@EVERY
def test_it_imports_and_has_the_same_config(algo, scripts):
    path = scripts / f"my_{algo.name}.py"
    ejected = getattr(load(path), algo.name.upper())
    assert ejected.Config is not algo.Config
    assert field_help(ejected.Config) == field_help(algo.Config)
    assert vars(ejected.Config()) == vars(algo.Config())
    assert ejected.presets == algo.presets
    assert ejected.action_spaces == algo.action_spaces
    assert ejected.name == path.stem
    assert ejected.Config.__module__ == path.stem


@pytest.mark.thorough("dqn")
@pytest.mark.parametrize("name", ["ppo", "dqn"])
def test_it_gives_the_same_numbers(name, scripts):
    algo, env = ALGORITHMS[name], task(ALGORITHMS[name])
    ejected = getattr(load(scripts / f"my_{name}.py"), name.upper())
    settings = {"seeds": (3, 5), "num_evals": 2, "num_episodes": 2, "progress": False}
    one = run(algo, env, tiny(algo), **settings)
    other = run(ejected, env, ejected.Config(**vars(tiny(algo))), **settings)
    assert_equal(one.log, other.log)
    assert_equal(one.state, other.state)


COMPOSED = {  # what they act in, and how: masks of whole numbers, and noise that is remembered
    "dqn": (Discrete(5, start=2), {}),
    "ddpg": (Box(-1, [1, 3], (2,)), {"exploration_noise": "ou"}),
}


@pytest.mark.thorough
@pytest.mark.parametrize("name", COMPOSED)
def test_it_learns_from_trees_and_masks_and_remembers(name, scripts):
    algo, (actions, fields) = ALGORITHMS[name], COMPOSED[name]
    env = panel(actions)
    ejected = getattr(load(scripts / f"my_{name}.py"), name.upper())
    assert (ejected.initial_memory, ejected.greedy_memory) == (algo.initial_memory, algo.greedy_memory)
    config = ejected.Config(**vars(tiny(algo, **fields)))
    result = run(ejected, env, config, seeds=1, num_evals=1, num_episodes=2, progress=False)
    assert (result.returns == 4.0).all()  # each action was allowed
    assert len(jax.tree.leaves(result.state.interaction.memory)) == len(fields)
    action = result.policy()(jax.tree.map(lambda x: x[0], observed(env, 1)))
    assert bool(actions.contains(action))


@pytest.mark.thorough("apart")
@pytest.mark.parametrize("where", ["here", "apart"])
def test_as_a_script_it_writes_what_train_writes(where, scripts, tmp_path, monkeypatch, capsys):
    """In a process of its own, as it is meant to be run, or in this one, which compiles less."""
    script, options = scripts / "my_a2c.py", ["--total-steps", "2048", "--seeds", "2", "--directory"]
    if where == "apart":
        command, environment = [sys.executable, str(script), *options, "own"], {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        said = done.stdout
    else:
        module = load(script)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(module, "use_all_cores", lambda runs: None)  # they are chosen
        monkeypatch.setattr(sys, "argv", [str(script), *options, "own"])
        module.main()
        said = capsys.readouterr().out
    assert main(["train", "a2c", *options, str(tmp_path / "package"), "--no-progress"]) == 0
    score = capsys.readouterr().out.partition(" (")[0]
    assert said == f"{score}\n"
    assert (tmp_path / "own" / "progress.csv").read_bytes() == (tmp_path / "package" / "progress.csv").read_bytes()


def test_it_is_formatted_linted_and_typed(scripts):
    settings = ["--config", str(ROOT / "pyproject.toml"), str(scripts)]
    python = [sys.executable, "-m"]
    for command in (
        [*python, "ruff", "format", "--check", *settings],
        [*python, "ruff", "check", "--no-cache", *settings],
        [*python, "pyright", "--pythonpath", sys.executable, *(str(scripts / f"my_{x}.py") for x in ("ppo", "sac"))],
    ):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_what_it_trains_on_by_default(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["eject", "PPO", "mine.py", "--thin", "--env", "Acrobot-v1"]) == 0
    assert capsys.readouterr().out == "mine.py\n"
    text = Path("mine.py").read_text(encoding="utf-8")
    assert 'parser.add_argument("--env", default="Acrobot-v1"' in text
    assert "python mine.py --env Acrobot-v1" in text
    assert main(["eject", "td3", "mine.py", "--thin", "--force"]) == 0
    assert 'parser.add_argument("--env", default="Pendulum-v1"' in Path("mine.py").read_text(encoding="utf-8")


BAD = {
    "": "needs ALGO (`jaxrl-up algos` lists them) and FILE.py (the script to write, as my_ppo.py): jaxrl-up eject ppo ",
    "ppo": "jaxrl-up eject needs FILE.py (the script to write, as my_ppo.py): jaxrl-up eject ppo my_ppo.py",
    "pp0 mine.py": "unknown algorithm 'pp0'. Did you mean 'ppo'?",
    "ppo mine.py --env CartPole": "no environment 'CartPole'. Did you mean 'CartPole-v1'?",
    "ddpg mine.py --env CartPole-v1": "ddpg acts in Box spaces",
    "ppo mine.py --forse": "no option '--forse'. Did you mean '--force'?",
    "ppo mine": "'mine' is no Python file: choose another name, as my_ppo.py",
    "ppo my-own.py": "'my-own.py' cannot be imported by its name",
    "ppo import.py": "'import.py' cannot be imported by its name",
    "ppo ppo.py": "records could not tell it from the package's ppo",
    "ppo random.py": "would hide the module random",
    "ppo optax.py": "would hide the module optax",
    "ppo nowhere/mine.py": "cannot write nowhere/mine.py: No such file or directory",
    "ppo taken.py": "taken.py exists already",
    "ppo folder.py": "folder.py exists already",
    "ppo folder.py --force": "cannot write folder.py: Is a directory",
    "ppo taken.py/mine.py --force": "cannot write taken.py/mine.py: Not a directory",
}


@pytest.mark.parametrize("line", BAD)
def test_a_bad_input_is_one_line(line, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("taken.py").write_text("mine\n", encoding="utf-8")
    Path("folder.py").mkdir()
    assert main(["eject", *line.split()]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert printed.err.startswith("jaxrl-up: error: ")
    assert BAD[line] in printed.err
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["folder.py", "taken.py"]
    assert Path("taken.py").read_text(encoding="utf-8") == "mine\n"
