"""Recipes with wrappers: read, shown, overridden; one line for every bad one."""

import pytest

from jaxrl_up import A2C, envs, run_sweep
from jaxrl_up.cli import main
from jaxrl_up.experiments import load_recipe, recipe_source

RECIPE = """\
algorithm = "dqn"
environment = "CartPole-v1"
wrappers = ["time_limit=60", "frame_stack(2)"]

[parameters]
gravity = 12.5
"""


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "stacked.toml"
    path.write_text(RECIPE, encoding="utf-8")
    return path


def test_the_environment_of_a_recipe_is_wrapped(recipe):
    env = load_recipe(recipe).env
    assert env.spec == envs.frame_stack(envs.time_limit("CartPole-v1", 60), 2).spec
    assert env.params["gravity"] == 12.5
    assert recipe_source(recipe).wrappers == ("time_limit=60", "frame_stack(2)")


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("", "CartPole-v1 + time_limit(60) + frame_stack(2)"),
        ("--env.gravity 9", "CartPole-v1 + time_limit(60) + frame_stack(2)"),
        ("--wrap sticky_actions --wrap frame_stack=3", "CartPole-v1 + sticky_actions(0.25) + frame_stack(3)"),
        ("--wrap none", "CartPole-v1"),
    ],
)
def test_train_takes_them_unless_others_are_given(words, name, recipe, capsys):
    assert main(["train", "--recipe", str(recipe), "--dry-run", *words.split()]) == 0
    assert capsys.readouterr().out.startswith(f"dqn on {name}: ")
    assert main(["sweep", "--recipe", str(recipe), "--dry-run", "--grid", "gamma=0.9,0.99", *words.split()]) == 0
    assert capsys.readouterr().out.startswith(f"dqn on {name}: ")


def test_the_table_of_recipes_shows_them(recipe, monkeypatch, capsys):
    module = "jaxrl_up.experiments"
    monkeypatch.setattr(f"{module}.recipe_names", lambda: (str(recipe), "ppo/pendulum"))
    assert main(["recipes"]) == 0
    _, stacked, pendulum = capsys.readouterr().out.splitlines()
    assert "CartPole-v1 + time_limit=60 + frame_stack(2)  " in stacked
    assert "Pendulum-v1  " in pendulum


@pytest.mark.parametrize(
    ("wrappers", "message"),
    [
        ('"frame_stack=4"', "wrappers='frame_stack=4' must be a list of texts"),
        ("[4]", "wrappers=[4] must be a list of texts"),
        ('["frame_stak=4"]', "There is no wrapper 'frame_stak'. Did you mean 'frame_stack'?"),
        ('["frame_stack"]', "does not say frames: write frame_stack=FRAMES"),
        ('["rescale_action"]', "rescale_action needs a Box action space"),
    ],
)
def test_bad_wrappers_are_an_error_that_names_the_file(wrappers, message, recipe, tmp_path, capsys):
    recipe.write_text(RECIPE.replace('["time_limit=60", "frame_stack(2)"]', wrappers), encoding="utf-8")
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        load_recipe(recipe)
    assert str(raised.value).startswith(f"{recipe}: ")
    assert message in str(raised.value)
    assert main(["train", "--recipe", str(recipe), "--directory", str(tmp_path / "run"), "--no-progress"]) == 2
    error = capsys.readouterr().err
    assert (message in error, error.count("\n")) == (True, 1)
    assert not (tmp_path / "run").exists()


def test_a_wrapper_of_ones_own_has_no_recipe(tmp_path):
    """And nothing static in its environment can be swept."""
    env = envs.time_left("CartPole-v1")
    own = env.replace(spec=env.spec._replace(wrappers=("mine",)))
    with pytest.raises(ValueError, match="cannot be swept in an environment of your own"):
        run_sweep(A2C, own, A2C.Config(), {"env.max_steps": [5, 6]}, 1, tmp_path / "sweep", progress=False)
