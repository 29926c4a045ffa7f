"""Recipes: every one loads, says what was measured and reaches it; names and files; one line for every bad one."""

import importlib.util
import json
import sys
import tomllib
from pathlib import Path

import pytest
from fake_runs import need_of_beginning
from tiny import assert_equal

from jaxrl_up import ALGORITHMS, make_config, run
from jaxrl_up.algorithms import check_support
from jaxrl_up.cli import UsageError, main, take_source
from jaxrl_up.experiments import (
    FOLDER,
    Expected,
    load_recipe,
    memory,
    read_recipe,
    recipe_names,
    recipe_path,
    recipe_source,
)
from jaxrl_up.ops import Score
from jaxrl_up.records import Source
from jaxrl_up.training import num_updates

ROOT = Path(__file__).resolve().parents[2]
EVERY = pytest.mark.parametrize("name", recipe_names())

WHOLE = """\
algorithm = "dqn"
environment = "CartPole-v1"
preset = "fitted_q"
seeds = 3
bar = 400
note = "for those in a hurry"

[parameters]
gravity = 12.5
max_steps = 50

[config]
hidden = [16]
double = true
dueling = false
learning_rate = 3e-4
schedule_steps = "none"

[expected]
iqm = 410
interval = [400.5, 420.0]
worst = 395.25
seeds = 3
env_steps = 499712
command = "python bench/scores.py configs/dqn/whole.toml"
"""


@pytest.fixture
def whole(tmp_path):
    """A recipe with every key."""
    path = tmp_path / "dqn" / "whole.toml"
    path.parent.mkdir()
    path.write_text(WHOLE, encoding="utf-8")
    return path


class Understood(Exception):
    pass


@pytest.mark.thorough("ppo/humanoid-brax")
@EVERY
def test_every_recipe_loads_and_train_understands_it_so(name, tmp_path, monkeypatch):
    def stop(asked, *_):
        raise Understood(asked.algo, asked.env, asked.config, asked.seeds)

    monkeypatch.chdir(tmp_path)
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.algo.name == name.partition("/")[0]
    check_support(recipe.algo, recipe.env)
    monkeypatch.setattr(sys.modules["jaxrl_up.experiments"], "start", stop)
    monkeypatch.setattr(memory, "need", need_of_beginning)
    with pytest.raises(Understood) as understood:
        main(["train", "--recipe", name, "--no-progress"])
    algo, env, config, seeds = understood.value.args
    assert (algo, config, seeds) == (recipe.algo, recipe.config, tuple(range(recipe.seeds)))
    assert env.spec == recipe.env.spec
    assert_equal(env, recipe.env)


@EVERY
def test_every_recipe_was_measured_as_it_is_now_or_says_why_not(name):
    recipe = load_recipe(name)
    if "note" in read_recipe(name):  # and says why not
        assert (recipe.expected, recipe.bar) == (None, None)
        return
    assert recipe.expected is not None, f"run `python bench/scores.py configs/{name}.toml`, then bench/expected.py"
    report = json.loads((ROOT / "bench" / "results" / f"{name.replace('/', '-')}.json").read_text(encoding="utf-8"))
    assert recipe.expected.score[:3] == pytest.approx((report["iqm"], *report["interval"]), abs=6e-4)
    assert recipe.expected.worst == pytest.approx(report["worst"], abs=6e-4)
    assert recipe.expected.seeds == report["seeds"] == recipe.seeds
    steps = num_updates(recipe.algo, recipe.config) * recipe.algo.steps_per_update(recipe.config)
    assert recipe.expected.env_steps == report["env_steps"] == steps
    assert recipe.expected.command == f"python bench/scores.py configs/{name}.toml"
    assert recipe.bar is not None
    assert recipe.expected.score.iqm >= recipe.bar


def test_every_algorithm_has_a_recipe():
    assert {name.partition("/")[0] for name in recipe_names()} == set(ALGORITHMS)


def test_the_recipes_of_the_package_are_those_of_the_repository():
    files = {path for path in (ROOT / "configs").rglob("*") if path.is_file()}
    assert {recipe_path(name).resolve() for name in recipe_names()} == files
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    packed = {path.resolve() for glob in settings["package-data"]["jaxrl_up"] for path in FOLDER.parent.glob(glob)}
    assert files <= packed


def test_every_key_is_read(whole):
    recipe = load_recipe(whole)
    assert recipe.name == "dqn/whole"
    fields = {"hidden": (16,), "double": True, "dueling": False, "learning_rate": 3e-4, "schedule_steps": None}
    assert recipe.config == make_config(ALGORITHMS["dqn"], "fitted_q", **fields)
    assert recipe.env.params["gravity"] == 12.5
    assert (recipe.env.max_steps, recipe.seeds, recipe.bar) == (50, 3, 400)
    assert recipe.expected == Expected(
        Score(410, 400.5, 420.0), 395.25, 3, 499712, "python bench/scores.py configs/dqn/whole.toml"
    )


def test_a_recipe_as_values_for_the_command_line(whole):
    fields = {"hidden": (16,), "double": True, "dueling": False, "learning_rate": 3e-4, "schedule_steps": None}
    parameters, options = {"gravity": 12.5, "max_steps": 50}, {"seeds": 3, "preset": "fitted_q"}
    assert recipe_source(whole) == Source("dqn", "CartPole-v1", parameters, fields, options)
    assert main(["train", f"--recipe={whole}", "--dry-run"]) == 0


def test_what_is_left_out_has_defaults(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text('algorithm = "ppo"\nenvironment = "CartPole-v1"\n', encoding="utf-8")
    recipe = load_recipe("mine.toml")
    assert recipe.name == f"{tmp_path.name}/mine"
    assert recipe.config == make_config(ALGORITHMS["ppo"])
    assert (recipe.bar, recipe.seeds, recipe.expected) == (None, 10, None)


def test_a_recipe_by_name_comes_before_what_overrides_it():
    arguments, source = take_source(["--gamma", "0.9", "--recipe", "ppo/pendulum", "--seeds", "2"])
    assert arguments == ["--gamma", "0.9", "--seeds", "2"]
    assert source == recipe_source(ROOT / "configs/ppo/pendulum.toml")
    assert (source.algorithm, source.environment, source.options) == ("ppo", "Pendulum-v1", {"seeds": 10})


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--recipe", "--recipe needs a name or a file"),
        ("--recipe --seeds 2", "--recipe needs a name or a file"),
        ("ppo --recipe ppo/cartpole", "names the algorithm already; leave 'ppo' out"),
        ("--recipe ppo/cartpole --recipe=ppo/pendulum", "--recipe or --from can be given once"),
        (
            "--recipe ppo/cartpol",
            "no recipe and no file 'ppo/cartpol'. Did you mean 'ppo/cartpole'? `jaxrl-up recipes`",
        ),
        ("--recipe ppo/cartpole.toml", "Did you mean 'ppo/cartpole'?"),
        ("--recipe ./configs", "configs"),
    ],
)
def test_a_recipe_that_is_not_there_is_an_error(words, message, monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises(UsageError, match=message.replace("?", r"\?")):
        take_source(words.split())


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("bar", "barr", "unknown key 'barr'. Did you mean 'bar'?"),
        ('"dqn"', "3", "algorithm=3 must be text"),
        ('"dqn"', '"dpn"', "there is no algorithm 'dpn'. Did you mean 'dqn'?"),
        ('algorithm = "dqn"', "", "the key 'algorithm' is missing"),
        ('environment = "CartPole-v1"', "", "the key 'environment' is missing"),
        ('"CartPole-v1"', '"CartPole"', "'CartPole'. Did you mean 'CartPole-v1'?"),
        ('"fitted_q"', '"spinup"', "dqn has no preset 'spinup'"),
        ("bar = 400", "bar = true", "bar=True must be a number"),
        ("seeds = 3\nbar", "seeds = 0\nbar", "seeds=0 must be at least 1"),
        ("seeds = 3\nbar", "seeds = 3.5\nbar", "seeds=3.5 must be a whole number"),
        ("double", "duoble", "dqn has no field 'duoble'. Did you mean 'double'?"),
        ("3e-4", "-3e-4", "learning_rate=-0.0003 is out of range"),
        ("gravity", "gravty", "'gravty'. Did you mean 'gravity'?"),
        ("iqm", "iqr", "unknown key 'iqr'. Did you mean 'iqm'?"),
        ("worst = 395.25", "", "the key 'worst' is missing"),
        ("[400.5, 420.0]", "[400.5]", r"interval=[400.5] must be two numbers"),
        ('preset = "fitted_q"', "preset", "is not readable as TOML"),
    ],
)
def test_a_bad_recipe_is_an_error_that_names_its_file(old, new, message, whole):
    assert WHOLE.count(old) >= 1
    whole.write_text(WHOLE.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        load_recipe(whole)
    assert str(raised.value).startswith(str(whole))
    assert message in str(raised.value)


def test_the_recipes_are_listed(capsys):
    assert main(["recipes"]) == 0
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split("  ")[0] == "name"
    assert [line.split()[0] for line in lines] == list(recipe_names())
    row = next(line for line in lines if line.startswith("ppo/acrobot "))
    found = load_recipe("ppo/acrobot").expected
    cells = ("ppo/acrobot", "Acrobot-v1", f"{found.env_steps:,}", str(found.score), f"{found.worst:.1f}", "10")
    assert row.split() == " ".join(cells).split()


def test_the_document_shows_a_recipe_as_it_is():
    shown = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8").partition("```toml\n")[2].partition("```")[0]
    assert shown == (ROOT / "configs" / "ppo" / "pendulum.toml").read_text(encoding="utf-8")


def bench_expected():
    spec = importlib.util.spec_from_file_location("bench_expected", ROOT / "bench" / "expected.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_was_measured_is_copied_and_nothing_else_changes(whole, tmp_path):
    bench = bench_expected()
    steps = num_updates(ALGORITHMS["dqn"], load_recipe(whole).config) * 64 * 8
    report = {"seeds": 3, "env_steps": steps, "iqm": 1 / 3, "interval": [0.25, 2 / 3], "worst": -0.125}
    with pytest.raises(ValueError, match=r"run `python bench/scores.py configs/dqn/whole.toml`"):
        bench.expected(whole, tmp_path)
    file = tmp_path / "dqn-whole.json"
    for other in ({"seeds": 4}, {"env_steps": steps - 1}):
        file.write_text(json.dumps(report | other), encoding="utf-8")
        with pytest.raises(ValueError, match="but the recipe asks for 3 and"):
            bench.expected(whole, tmp_path)
    file.write_text(json.dumps(report), encoding="utf-8")
    text = bench.with_expected(WHOLE, bench.expected(whole, tmp_path))
    before, after = tomllib.loads(WHOLE), tomllib.loads(text)
    assert after.pop("expected") == {
        **{"iqm": 0.333, "interval": [0.25, 0.667], "worst": -0.125, "seeds": 3, "env_steps": steps},
        "command": "python bench/scores.py configs/dqn/whole.toml",
    }
    assert {**after, "expected": before["expected"]} == before
    assert bench.with_expected(text, tomllib.loads(text)["expected"]) == text
    with pytest.raises(ValueError, match="must be the last table"):
        bench.with_expected(f"{text}\n[more]\n", {})


@pytest.mark.learning
def test_a_recipe_still_reaches_its_bar():
    recipe = load_recipe("a2c/cartpole")
    result = run(recipe.algo, recipe.env, recipe.config, seeds=5, num_evals=2, num_episodes=32, progress=False)
    assert result.failed == {}
    assert result.score.iqm >= recipe.bar, result.returns
