"""Environments of one's own by name: FILE.py:NAME and MODULE:NAME."""

import os
import sys

import jax
import pytest

from jaxrl_up import PPO, envs, run
from jaxrl_up.cli import main
from jaxrl_up.records import file_name, load_run, run_source

FILE = """\
import jax, jax.numpy as jnp
from jaxrl_up import envs

def reset(key, params):
    place = jax.random.uniform(key, (1,))
    return place, place

def step(key, place, action, params):
    place = place + 0.1 * (2 * action - 1)
    return place, place, -jnp.abs(place[0] - params["goal"]), jnp.bool_(False), jnp.bool_(False)

def maze(size=3, max_steps=20):
    space = envs.Box(-jnp.inf, jnp.inf, (1,))
    return envs.from_functions(reset, step, space, envs.Discrete(2), max_steps, {"goal": size / 10.0}, name="inner")

def aimed(goal=0.25):
    return maze().with_params(goal=goal)

def any_of(**options):
    return maze(**options)

rough = envs.randomize(maze(), goal=(0.0, 1.0))
fixed = maze()
number = 3
def broken():
    return 3
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "my_envs.py").write_text(FILE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    yield tmp_path
    sys.modules.pop("my_envs", None)


@pytest.mark.parametrize("name", ["my_envs.py:fixed", "my_envs:fixed", "{}/my_envs.py:maze", "my_envs.py:any_of"])
def test_it_is_found_and_bears_the_name(folder, name):
    name = name.format(folder)
    env = envs.make(name)
    assert (env.name, env.max_steps, sorted(env.params)) == (name, 20, ["goal"])
    assert env.spec == envs.make(name).spec
    envs.check(env)


def test_options_go_to_the_function_or_to_the_parameters(folder):
    env = envs.make("my_envs.py:maze", size=7, max_steps=5)
    assert (env.max_steps, env.params["goal"]) == (5, pytest.approx(0.7))
    assert dict(env.spec.fixed) == {"size": 7}
    assert envs.make("my_envs.py:maze", goal=0.25).params["goal"] == 0.25
    assert envs.make("my_envs.py:fixed", goal=0.25, max_steps=20).params["goal"] == 0.25


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("none.py:maze", {}, "there is no file .*none.py"),
        ("no_such_module:maze", {}, "module 'no_such_module' cannot be imported"),
        ("my_envs.py:mase", {}, "has no 'mase'. Did you mean 'maze'"),
        ("my_envs.py:number", {}, "must be an Env or a function that returns one, got 3"),
        ("my_envs.py:broken", {}, "must be an Env or a function that returns one, got 3"),
        ("my_envs.py:fixed", {"size": 3}, "has no parameter 'size'"),
        ("my_envs.py:fixed", {"max_steps": 9}, "takes no max_steps"),
        ("my_envs.py:", {}, "names no environment"),
    ],
)
def test_what_is_wrong_is_one_line(folder, name, options, message):
    with pytest.raises(ValueError, match=message) as error:
        envs.make(name, **options)
    assert "\n" not in str(error.value)


def test_a_file_that_was_changed_is_run_again(folder):
    before = envs.make("my_envs.py:maze")
    path = folder / "my_envs.py"
    path.write_text(FILE.replace("size / 10.0", "size / 5.0"), encoding="utf-8")
    os.utime(path, ns=(1, 1))
    assert envs.make("my_envs.py:maze").params["goal"] == pytest.approx(2 * before.params["goal"])


def test_a_randomised_one_is_evaluated_with_its_nominal_parameters(folder):
    env = envs.make("my_envs.py:rough")
    assert envs.randomized(env) == {"goal"} and not envs.randomized(envs.nominal(env))


def test_a_run_of_it_is_built_again(folder, capsys):
    config = PPO.Config(total_steps=64, num_envs=2, rollout_length=16, hidden=(4,))
    env = envs.make("my_envs.py:maze", size=4, goal=0.5)
    run(PPO, env, config, seeds=1, directory="runs/one", num_evals=1, num_episodes=2, progress=False)
    with pytest.raises(ValueError, match=r"give env='my_envs\.py:maze'"):
        load_run("runs/one")
    again = load_run("runs/one", env="my_envs.py:maze").env
    assert again.spec == env.spec and again.params == env.params
    assert run_source("runs/one", {"env": "my_envs.py:maze"}).environment == "my_envs.py:maze"
    assert main(["evaluate", "runs/one", "--episodes", "2", "--env", "my_envs.py:maze", "--env.size", "5"]) == 0
    command = ["train", "ppo", "--env", "my_envs.py:maze", "--env.size", "4", "--dry-run"]
    assert main(command) == 0
    assert jax.tree.leaves(again.params)


@pytest.mark.thorough("options1")
@pytest.mark.parametrize("options", [{}, {"goal": 0.5}])
def test_an_argument_that_is_a_parameter_too_is_noted_once(folder, options):
    """As a parameter, whether it was given or is the function's default: a run of it is built again as it was."""
    env = envs.make("my_envs.py:aimed", **options)
    assert (dict(env.spec.fixed), env.params) == ({}, {"goal": options.get("goal", 0.25)})
    config = PPO.Config(total_steps=64, num_envs=2, rollout_length=16, hidden=(4,))
    run(PPO, env, config, seeds=1, directory="runs/one", num_evals=1, num_episodes=2, progress=False)
    again = load_run("runs/one", env="my_envs.py:aimed").env
    assert again.spec == env.spec and again.params == env.params


def test_names_of_folders():
    assert file_name("gymnasium/ALE/Pong-v5") == "gymnasium-ALE-Pong-v5"
    assert file_name("my_envs.py:maze") == "my_envs.py-maze"
    assert file_name("CartPole-v1") == "CartPole-v1"
