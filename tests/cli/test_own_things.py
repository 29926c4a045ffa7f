"""Algorithms, networks and environments of one's own on the command line, by FILE.py:NAME."""

import os
import runpy
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from jaxrl_up import ALGORITHMS, envs, load_policies, load_run, load_sweep, make_config, resume
from jaxrl_up.algorithms import find_algorithm, own_kinds, own_value
from jaxrl_up.cli import main, take_source
from jaxrl_up.config import own_variable
from jaxrl_up.experiments import SweepArguments, describe_point, sweeps
from jaxrl_up.records import (
    NotNamed,
    RunSettings,
    build_environment,
    command,
    create,
    describe,
    is_built_by_name,
    toml_value,
)

ALGO = '''\
from __future__ import annotations

from typing import ClassVar

from flax import struct

from jaxrl_up import Algorithm, PPO
from jaxrl_up.algorithms import vpg
from jaxrl_up.types import static, traced


@struct.dataclass(frozen=True)
class Config(vpg.Config):
    """Fields."""

    kind: ClassVar[str] = "mine"
    total_steps: int = static(32, low=1)
    num_envs: int = static(2, low=1)
    rollout_length: int = static(8, low=1)
    value_steps: int = static(1, low=0)
    hidden: tuple[int, ...] = static((4,))
    strength: float = traced(1.0, 0.0, 2.0)
    """of nothing in particular"""


MINE = Algorithm(
    "mine", Config, vpg.VPG.init, vpg.VPG.update, vpg.VPG.act, vpg.VPG.steps_per_update, {"weak": {"strength": 0.5}},
    vpg.VPG.action_spaces,
)
'''
NET = """\
from flax import linen as nn


class Net(nn.Module):
    width: int = 3

    @nn.compact
    def __call__(self, x):
        return nn.tanh(nn.Dense(self.width)(x))


wide = Net(5)
number = 3


def made():
    return Net(6)


def needs(width):
    return Net(width)
"""
ENV = """\
import jax, jax.numpy as jnp
from jaxrl_up import envs

def reset(key):
    return jnp.zeros(1), jnp.zeros(1)

def step(key, place, action):
    return place, place, 1.0 * action, jnp.bool_(False), jnp.bool_(False)

corridor = envs.from_functions(reset, step, envs.Box(-1, 1, (1,)), envs.Discrete(2), 4, name="corridor")
"""
QUICK = ["--seeds", "1", "--num-evals", "1", "--num-episodes", "2", "--no-progress"]
NAMING = ["--algo", "my_algo.py", "--network", "my_net.py:Net", "--env", "my_env.py:corridor"]
MODULES = ("my_algo", "my_net", "my_env", "my_script", "moved", "more", "acts")


def forget():
    """As a new process does, but for what stands in the caches of files."""
    for name in MODULES:
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with the files, and a run of all of them."""
    folder = tmp_path_factory.mktemp("own things")
    forget()  # tests of documents have files of the same names
    for name, text in {"my_algo.py": ALGO, "my_net.py": NET, "my_env.py": ENV}.items():
        (folder / name).write_text(text, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "path", [*sys.path])
        words = "--env my_env.py:corridor --network my_net.py:wide --strength 0.5 --directory"
        assert main(["train", "--algo", "my_algo.py", *words.split(), "runs/my run", *QUICK]) == 0
    return folder


@pytest.fixture
def folder(made, monkeypatch):
    monkeypatch.chdir(made)
    monkeypatch.setattr(sys, "path", [*sys.path])
    forget()
    yield made
    forget()


def said(capsys, words):
    """What a command line that is refused says, in one line."""
    capsys.readouterr()
    assert main(words) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    return printed.err


def test_its_fields_are_options(folder, capsys):
    assert main(["train", "--algo", "my_algo.py", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "--strength X of nothing in particular (default 1.0; between 0 and 2)" in text
    assert "default, weak" in text and "--network and --head also take FILE.py:NAME" in text
    assert main(["train", "my_algo.py", "--dry-run", "--preset", "weak"]) == 0  # as the first word too
    assert capsys.readouterr().out.startswith("mine on CartPole-v1: 8 seeds x 32 steps")
    assert "Did you mean '--strength'?" in said(capsys, ["train", "--algo", "my_algo.py", "--strenght", "1"])
    assert "strength=3 is out of range" in said(capsys, ["train", "--algo=my_algo.py", "--strength", "3", "--dry-run"])
    assert "mine has no preset 'week'" in said(capsys, ["train", "--algo", "my_algo.py", "--preset", "week"])


def test_the_run_remembers_what_it_needs(folder):
    tables = tomllib.loads(Path("runs/my run/config.toml").read_text(encoding="utf-8"))
    assert tables["own"] == {"algorithm": "my_algo.py", "network": "my_net.py:Net"}
    assert tables["config"]["network"] == {"import": "my_net:Net", "fields": {"width": 5}}
    assert tables["run"]["algorithm"] == "mine"


@pytest.mark.parametrize(
    "words",
    [
        ["evaluate", "runs/my run", "--episodes", "2"],
        ["watch", "runs/my run", "--text"],
        ["export", "runs/my run", "policy.bin", "--force"],
        ["resume", "runs/my run", "--no-progress"],
        ["train", "--from", "runs/my run", "--dry-run"],
    ],
    ids=lambda words: words[0],
)
def test_what_is_not_named_is_asked_for_in_a_line_that_works(words, folder, capsys):
    error = said(capsys, words)
    line = error[error.index("jaxrl-up ", 10) :]
    what = "the algorithm 'mine' and the network my_net:Net and the environment 'my_env.py:corridor'"
    assert f"{what} are not found by name" in error
    assert shlex.split(line)[1 : len(words) + 1] == words
    assert shlex.split(line)[len(words) + 1 :] == NAMING
    assert main(shlex.split(line)[1:]) == 0


def test_nothing_is_imported_because_a_file_names_it(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("my_algo.py", "my_net.py"):
        Path(name).write_text("import pathlib\npathlib.Path('imported').touch()\nraise SystemExit\n", encoding="utf-8")
    config = (folder / "runs/my run/config.toml").read_text(encoding="utf-8").replace("my_env.py:corridor", "corridor")
    Path("config.toml").write_text(config, encoding="utf-8")
    line = said(capsys, ["resume", "."])
    assert line.endswith("jaxrl-up resume . --algo my_algo.py --network my_net.py:Net --env FILE.py:NAME\n")
    assert "SystemExit" in said(capsys, ["resume", ".", "--algo", "my_algo.py"]) and Path("imported").exists()
    Path("config.toml").write_text(config.replace('"my_algo.py"', '"a; b"'), encoding="utf-8")
    assert "jaxrl-up resume . --algo FILE.py --network" in said(capsys, ["resume", "."])


@pytest.mark.parametrize(
    "words",
    [
        ["train", "--from", ".", "--dry-run"],
        ["sweep", "--grid", "gamma=0.9", "--from", ".", "--dry-run"],
        ["resume", "."],
        ["watch", "."],
        ["export", ".", "policy.bin"],
    ],
    ids=lambda words: words[0],
)
def test_no_module_is_imported_because_a_run_has_its_name_as_text(words, folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("marked_net.py").write_text(MARK, encoding="utf-8")
    config = (folder / "runs/my run/config.toml").read_text(encoding="utf-8").split("[config.network]")
    after = config[1].partition("\n[environment]")[2]
    text = config[0].replace("[config]\n", '[config]\nnetwork = "marked_net.py:Net"\n') + "[environment]" + after
    Path("config.toml").write_text(text, encoding="utf-8")
    own = ["--algo", str(folder / "my_algo.py"), "--env", str(folder / "my_env.py:corridor")]
    line = said(capsys, [*words, *own])
    asked = (
        "the network marked_net.py:Net is not found by name, and what is your own is imported only where you name it: "
    )
    assert line.endswith(f"{asked}{command(*words, *own, '--network', 'marked_net.py:Net')}\n")
    assert not Path("imported").exists()


OPENED = [
    ["resume", "runs/one"],
    ["evaluate", "runs/one"],
    ["watch", "runs/one", "--text"],
    ["export", "runs/one", "policy.bin"],
    ["play", "runs/one"],
    ["train", "--from", "runs/one", "--dry-run"],
    ["sweep", "--from", "runs/one", "--grid", "gamma=0.9", "--dry-run"],
    ["resume", "runs/sweep"],
    ["resume", "runs/sweep", "--part", "0"],
    ["resume", "runs/sweep", "--print-jobs"],
]
MARK = "import pathlib\npathlib.Path('imported').touch()\n"


@pytest.mark.parametrize(
    ("name", "static"),
    [
        ("marked.py:corridor", ""),
        ("marked:corridor", ""),
        ("pgx/tic_tac_toe?opponent=marked.py:act&first=true", ""),
        ("gymnasium/marked:Env-v0", ""),
        ("pgx/tic_tac_toe", 'opponent = "marked.py:act"'),
    ],
)
@pytest.mark.parametrize("words", OPENED, ids=" ".join)
def test_no_environment_is_imported_because_a_file_names_it(name, static, words, folder, tmp_path, monkeypatch, capsys):
    """Neither one of a file nor of a module that is there to be imported, in a run or a sweep; nor who plays in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    Path("marked.py").write_text(MARK, encoding="utf-8")
    record("runs/one", envs.make("CartPole-v1"))
    text = Path("runs/one/config.toml").read_text(encoding="utf-8").replace('"CartPole-v1"', f'"{name}"')
    text = text.replace("[environment.static]", f"[environment.static]\n{static}")
    Path("runs/one/config.toml").write_text(text, encoding="utf-8")
    Path("runs/sweep").mkdir()
    Path("runs/sweep/sweep.toml").write_text(text, encoding="utf-8")
    line = said(capsys, words)
    assert "an opponent is no parameter" in line if static else line.endswith(f"--env {shlex.quote(name)}\n")
    assert not Path("imported").exists() and "marked" not in sys.modules
    assert main(["report", "runs/one"]) == 2 and not Path("imported").exists()  # which reads tables


def test_one_that_is_named_in_place_of_another_imports_that_alone(folder, tmp_path, monkeypatch, capsys):
    """Of a run that says another file, also where it is built again, for other physics."""
    monkeypatch.chdir(tmp_path)
    for name in ("kept.py", "moved.py"):
        Path(name).write_text(ENV, encoding="utf-8")
    record("runs/one", envs.make(f"{tmp_path}/kept.py:corridor"))
    text = Path("runs/one/config.toml").read_text(encoding="utf-8").replace("/kept.py", "/marked.py")
    Path("runs/one/config.toml").write_text(text, encoding="utf-8")
    Path("marked.py").write_text(MARK + ENV, encoding="utf-8")
    given = load_run("runs/one", env="moved.py:corridor").env
    assert given.name == f"{tmp_path}/marked.py:corridor" and not is_built_by_name(given)
    with pytest.raises(ValueError, match="is imported only where you name it"):
        build_environment(given.name, {"max_steps": 4})
    words = ["evaluate", "runs/one", "--env", "moved.py:corridor", "--env.wind", "1"]
    assert "has no parameter 'wind'" in said(capsys, words)
    assert not Path("imported").exists()
    assert load_run("runs/one", env=given.name).env.name == given.name and Path("imported").exists()


def test_another_environment_takes_the_place_of_the_users_own(folder, capsys):
    words = ["train", "--from", "runs/my run", "--algo", "my_algo.py", "--network", "my_net.py:Net", "--dry-run"]
    assert main([*words, "--env", "Acrobot-v1"]) == 0
    assert "mine on Acrobot-v1" in capsys.readouterr().out
    assert "my_env" not in sys.modules


def test_a_class_is_that_of_the_run_and_a_module_another_one(folder):
    """`--from` with the class repeats its fields; another module of the file takes its place."""
    for given, width, left in (("my_net.py:Net", 5, []), ("my_net.py:made", None, ["--network", "my_net.py:made"])):
        words = ["--from", "runs/my run", "--network", given, "--env", "my_env.py:corridor"]
        arguments, source = take_source(words, "my_algo.py")
        assert arguments == [*left, "--env", "my_env.py:corridor"]
        assert (source.algorithm, source.environment) == ("mine", "my_env.py:corridor")
        assert left or (source.fields["network"].width, source.fields["strength"]) == (width, 0.5)


def test_from_python_it_is_asked_for_and_given_by_name_too(folder):
    given = r"give algo='my_algo.py', env='my_env.py:corridor', own=\{'network': 'my_net.py:Net'\}$"
    for opened in (load_run, resume, load_policies):
        with pytest.raises(NotNamed, match=given):
            opened("runs/my run")
    env = "my_env.py:corridor"
    spec = load_run("runs/my run", algo="my_algo.py", env=env, own={"network": "my_net.py:Net"})
    assert (spec.algo.name, spec.config.network.width, spec.env.name) == ("mine", 5, env)
    with pytest.raises(ValueError, match="the run has no head of your own"):
        load_run("runs/my run", algo="my_algo.py", env=env, own={"head": "my_net.py:Net"})
    with pytest.raises(ValueError, match="the run is of mine, not of ppo"):
        load_run("runs/my run", algo="ppo")


def record(directory, env, network="auto"):
    """A run of VPG as it is before it trains."""
    settings, config = RunSettings().recorded(), make_config("vpg", network=network)
    create(directory, toml_value(describe(ALGORITHMS["vpg"], env, config, [0], settings)), force=True)


def test_an_environment_without_a_name_is_given(folder, capsys):
    """One made in Python, whose name is none that builds it."""
    record("runs/corridor", runpy.run_path("my_env.py")["corridor"])
    line = said(capsys, ["evaluate", "runs/corridor", "--episodes", "2"])
    assert line.endswith("jaxrl-up evaluate runs/corridor --episodes 2 --env FILE.py:NAME\n")
    given = ["--env", "my_env.py:corridor"]
    assert "holds no checkpoint yet" in said(capsys, ["evaluate", "runs/corridor", "--episodes", "2", *given])
    assert "has no parameter 'wind'" in said(capsys, ["evaluate", "runs/corridor", *given, "--env.wind", "1"])
    assert load_run("runs/corridor", env="my_env.py:corridor").env.name == "corridor"
    record("runs/named", envs.make("my_env.py:corridor"))
    Path("moved.py").write_text(ENV, encoding="utf-8")
    assert load_run("runs/named", env="moved.py:corridor").env.name == "my_env.py:corridor"
    Path("runs/named/config.toml").write_text(
        Path("runs/named/config.toml").read_text(encoding="utf-8").replace("my_env.py:", "gone.py:"), encoding="utf-8"
    )
    line = said(capsys, ["resume", "runs/named", "--total-steps", "1e6"])
    steps = make_config("vpg").total_steps
    assert line.endswith(f" --env FILE.py:NAME --schedule-steps {steps}\n") and ", here as FILE.py:NAME: jaxrl" in line
    line = said(capsys, ["resume", "runs/named"])  # its file is no longer there
    assert "the environment 'gone.py:corridor' is not found" in line and line.endswith("named --env FILE.py:NAME\n")
    assert load_run("runs/named", env="moved.py:corridor").env.name == "gone.py:corridor"


def test_a_policy_and_a_field_of_another_name(folder, capsys):
    """Of `policy` it is the function; a class of flax is called for whatever field."""
    Path("acts.py").write_text("def first(obs, key):\n    return 0\n", encoding="utf-8")
    assert main(["train", "value_fitting", "--policy", "acts.py:first", "--dry-run"]) == 0
    assert "Did you mean 'first'?" in said(capsys, ["train", "value_fitting", "--policy", "acts.py:frst"])
    assert " my_net.py, line 13: policy=my_net.py:number must be a function" in said(
        capsys, ["train", "value_fitting", "--policy", "my_net.py:number"]
    )
    own = ALGO.replace("    strength:", '    encoder: Any = static("none")\n    """a module"""\n    strength:')
    Path("more.py").write_text(own.replace("import ClassVar", "import Any, ClassVar"), encoding="utf-8")
    algo = find_algorithm("more.py")
    assert "encoder" in own_kinds(algo) and own_value("encoder", "my_net.py:Net").width == 3
    config = make_config(algo, encoder=own_value("encoder", "my_net.py:wide"))
    tables = describe(algo, envs.make("my_env.py:corridor"), config, [0], RunSettings().recorded())
    assert tables["own"] == {"algorithm": "more.py", "encoder": "my_net.py:Net"}
    create("runs/more", toml_value(tables))
    forget()
    line = said(capsys, ["evaluate", "runs/more"])
    assert line.endswith("runs/more --algo more.py --encoder my_net.py:Net --env my_env.py:corridor\n")
    assert "holds no checkpoint yet" in said(capsys, shlex.split(line[line.index("evaluate") :]))


SCRIPT = """
if __name__ == "__main__":
    from jaxrl_up import envs
    from test_own_things import record

    record("runs/script", envs.make("CartPole-v1"), wide)
"""


def test_a_script_that_trains_is_named_as_a_file(folder, capsys):
    """What is defined in the program that was started is recorded as what imports it would say."""
    Path("my_script.py").write_text(NET + SCRIPT, encoding="utf-8")
    runpy.run_path("my_script.py", run_name="__main__")
    error = said(capsys, ["evaluate", "runs/script", "--episodes", "2"])
    assert error.endswith("jaxrl-up evaluate runs/script --episodes 2 --network my_script.py:Net\n")
    given = ["--network", "my_script.py:Net"]
    assert "holds no checkpoint yet" in said(capsys, ["evaluate", "runs/script", *given])
    path = Path("runs/script/config.toml")  # as it was recorded before
    before = path.read_text(encoding="utf-8")
    path.write_text(before.replace('"my_script:Net"', '"__main__:Net"'), encoding="utf-8")
    forget()
    assert "network __main__:Net is not found" in said(capsys, ["evaluate", "runs/script"])
    assert load_run("runs/script", own={"network": "my_script.py:Net"}).config.network.width == 5


@pytest.mark.thorough
def test_a_sweep_of_its_fields_and_a_recipe_of_the_best(folder, capsys):
    words = ["sweep", "--algo", "my_algo.py", "--grid", "strength=0.5,1", "--network", "my_net.py:Net", *QUICK]
    assert main([*words, "--directory", "runs/sweep"]) == 0
    recipe = tomllib.loads(Path("runs/sweep/best.toml").read_text(encoding="utf-8"))
    assert (recipe["algorithm"], recipe["config"]["network"]) == ("my_algo.py", "my_net.py:Net")
    forget()
    assert main(["train", "--recipe", "runs/sweep/best.toml", "--dry-run"]) == 0
    assert capsys.readouterr().out.splitlines()[-7].startswith("mine on CartPole-v1")
    error = said(capsys, ["resume", "runs/sweep"])
    assert "jaxrl-up resume runs/sweep --algo my_algo.py" in error
    named = ["--algo", "my_algo.py", "--network", "my_net.py:Net"]
    assert main(["resume", "runs/sweep", *named, "--no-progress"]) == 0
    forget()
    assert main([*words, "--env", "my_env.py:corridor", "--directory", "runs/jobs", "--print-jobs"]) == 0
    (line,) = capsys.readouterr().out.splitlines()[-1:]
    assert shlex.split(line)[3:] == ["--part", "0", *NAMING, "--no-progress"]
    forget()
    assert main(shlex.split(line)[1:]) == 0


def test_a_sweep_over_networks_by_name_and_of_ones_own(folder, capsys):
    """Its records name them, so does its table; they are asked for in a line that works, and imported where named."""
    names = ["mlp", "my_net.py:Net", "my_net.py:wide"]
    words = ["sweep", "a2c", "--grid", f"network={','.join(names)}", "--grid", "gamma=0.9,0.8", "--network", names[1]]
    assert main([*words, "--name", "nets", "--print-jobs", "--seeds", "1"]) == 0
    (*_, line) = capsys.readouterr().out.splitlines()
    assert line.endswith("--part 2 --network my_net.py:Net,my_net.py:wide")
    for cell, name in enumerate(names):
        tables = tomllib.loads(Path(f"runs/nets/cells/{cell}/config.toml").read_text(encoding="utf-8"))
        assert tables.get("own", {}).get("network") == (None if cell == 0 else name)
    forget()
    error = said(capsys, ["resume", "runs/nets", "--print-jobs"])
    assert "the network my_net:Net is not found by name" in error and "my_net" not in sys.modules
    again = shlex.split(error[error.index("jaxrl-up ", 10) :])[1:]
    assert again[-2:] == ["--network", ",".join(names[1:])] and main(again) == 0
    assert "the sweep has 2 values of network of your own" in said(capsys, [*again[:-1], names[1]])
    forget()
    read = load_sweep("runs/nets", own={"network": names[1:]})
    assert [point["network"] for point in read.points[::2]] == names
    reached = {"returns": np.arange(6.0).reshape(6, 1, 1), "env_steps": np.zeros((6, 1)), "finished": np.full(6, True)}
    done = read._replace(**reached)
    assert (done.best_config.network.width, done.best_config.gamma) == (5, 0.8)
    assert 'network = "my_net.py:wide"' in sweeps.sweep_records.best_recipe(done)
    forget()
    with pytest.raises(NotNamed, match=r"my_net:Net is not found.*own=\{'network': 'my_net.py:Net,my_net.py:wide'\}"):
        load_sweep("runs/nets")


def test_a_sweep_over_networks_from_python(folder):
    """Networks themselves too, which are called by their variables, or by what they are of."""
    Net, wide = (own_variable(f"my_net.py:{name}") for name in ("Net", "wide"))
    given = {"network": ["my_net.py:made", wide, Net(7), "mlp"]}
    asked = SweepArguments("a2c", "CartPole-v1", {"network": Net(2)}, given, 1)
    sweep, parts = sweeps.plan.planned(asked)
    names = ["my_net.py:made", "my_net.py:wide", "my_net.py:Net(width=7)", "mlp"]
    assert [point["network"] for point in sweep.points] == names and len(parts) == 4
    assert [describe_point(point) for point in sweep.points] == [f"network={name}" for name in names]
    assert [getattr(group.config.network, "width", None) for group in sweep.groups] == [6, 5, 7, None]
    assert sweep.base.tables["own"]["network"] == [*names[:2], "my_net.py:Net"]


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ("network=my_net.py", "--grid network: 'my_net.py' is a file: say what of it, as my_net.py:NAME"),
        ("network=my_net.py:Nett", "--grid network: 'my_net.py:Nett': my_net.py has no 'Nett'. Did you mean 'Net'?"),
        ("network=mlp,my_net.py:number", "my_net.py, line 13: network=my_net.py:number is no flax module but 3"),
        ("network=mlp,mlpp", "network='mlpp' is not known"),
        ("network=my_net.py:Net,my_net.py:Net", "network has my_net.py:Net twice"),
        ("activation=my_net.py:Net", "activation='my_net.py:Net': choose from"),
    ],
)
def test_what_is_wrong_with_a_network_of_a_sweep_is_one_line(grid, message, folder, capsys):
    assert message in said(capsys, ["sweep", "a2c", "--grid", grid, "--dry-run"])


WRONG = {  # the text of wrong.py, how it is named, and what is said
    "syntax": ("a = 1\nb = (\n", "wrong.py", " wrong.py, line 2: '(' was never closed"),
    "raises": ("a = 1\n\nprint(b)\n", "wrong.py", " wrong.py, line 3: NameError: name 'b' is not defined"),
    "within": ("import math\nx = math.sqrt(-1)\n", "wrong.py:X", " wrong.py, line 2: ValueError:"),
    "exits": ("import sys\nsys.exit(3)\n", "wrong.py", " wrong.py, line 2: SystemExit: 3"),
    "none": ("from jaxrl_up import PPO\n", "wrong.py", "'wrong.py': there is no Algorithm in it"),
    "two": (
        "from jaxrl_up import PPO\nimport dataclasses as d\nA = d.replace(PPO, name='a')\n\nB = d.replace(A)",
        "wrong.py",
        "'wrong.py' holds 2 algorithms (A, line 3; B, line 5): say which, as wrong.py:A",
    ),
    "typo": ("AB = 1\n", "wrong.py:AC", "wrong.py has no 'AC'. Did you mean 'AB'?"),
    "other": ("\nAB = 1\n", "wrong.py:AB", " wrong.py, line 2: wrong.py:AB must be an Algorithm, got 1"),
    "module": ("", "no_such:THING", "module 'no_such' cannot be imported"),
    "missing": ("", "nowhere.py", "there is no file"),
    "config": (
        "import dataclasses\nfrom jaxrl_up import PPO\nA = dataclasses.replace(PPO, name='a', Config=dict)\n",
        "wrong.py",
        " wrong.py, line 3: its Config has to be a dataclass with a default in each field",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_with_an_algorithm_is_one_line_with_its_place(case, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    text, name, message = WRONG[case]
    Path("wrong.py").write_text(text, encoding="utf-8")
    before = set(sys.modules)
    for words in (["train", "--algo", name], ["train", name], ["evaluate", "runs/none", "--algo", name]):
        assert message in said(capsys, words)
    assert [path.name for path in tmp_path.iterdir()] == ["wrong.py"]
    sys.modules.pop("wrong", None)
    assert not {name for name in set(sys.modules) - before if "wrong" in name}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("my_nett.py:Net", " my_nett.py. Did you mean 'my_net.py'?"),
        ("my_net.py", "--network: 'my_net.py' is a file: say what of it, as my_net.py:NAME"),
        ("my_net.py:number", " my_net.py, line 13: network=my_net.py:number is no flax module but 3"),
        ("my_net.py:needs", " my_net.py, line 20: needs() cannot be called without arguments"),
        ("my_net.py:Nett", "my_net.py has no 'Nett'. Did you mean 'Net'?"),
        ("mlpp", "network='mlpp' is not known"),
    ],
)
def test_what_is_wrong_with_a_network_is_one_line_with_its_place(name, message, folder, capsys):
    assert message in said(capsys, ["train", "ppo", "--network", name, "--directory", "runs/wrong"])
    assert not Path("runs/wrong").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("train ppo --algo my_algo.py", "--algo names the algorithm: give it once"),
        ("train --algo", "--algo needs a file or a name, as in `--algo my_algo.py`"),
        ("train --recipe ppo/acrobot --algo my_algo.py", "--recipe names the algorithm already; leave --algo"),
        ("evaluate runs/nothing --network my_net", "'my_net' names nothing of your own: write FILE.py:NAME"),
        ("eject my_algo.py other.py", "'mine' is your own"),
    ],
)
def test_a_wrong_option_is_one_line(words, message, folder, capsys):
    assert message in said(capsys, words.split())


def test_a_file_hides_nothing_that_bears_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    Path("colorsys.py").write_text(ALGO, encoding="utf-8")
    algo = find_algorithm("colorsys.py")
    import colorsys

    assert colorsys.rgb_to_hsv and algo.Config.__module__ != "colorsys"
    assert find_algorithm("colorsys.py") is algo and "mine" not in ALGORITHMS


@pytest.mark.thorough("sweep a2c --grid network={}:Net,mlp")
@pytest.mark.parametrize("words", ["train --algo {}", "sweep a2c --grid network={}:Net,mlp"])
def test_devices_are_chosen_before_a_file_computes(words, tmp_path):
    """Also where a file of one's own starts JAX as soon as it is run."""
    file = tmp_path / "early.py"
    file.write_text(ALGO + "import jax.numpy as jnp\nONE = jnp.ones(1)\n" + NET, encoding="utf-8")
    code = "import sys, jax; from jaxrl_up.cli import main; main(sys.argv[1:]); print(len(jax.devices()))"
    words = [*words.format(file).split(), "--dry-run", "--seeds", "2"]
    environment = {name: x for name, x in os.environ.items() if name not in ("XLA_FLAGS", "PJRT_NPROC")}
    done = subprocess.run([sys.executable, "-c", code, *words], env=environment, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == str(min(2, len(os.sched_getaffinity(0)))), done.stderr
