"""Runs of wrapped environments, made in Python, are built again by what config.toml says of them."""

import shutil
import tomllib

import jax
import numpy as np
import pytest
from tiny import assert_equal, tiny

from jaxrl_up import A2C, envs, load_run, resume, run
from jaxrl_up.records import (
    Source,
    build_environment,
    describe_environment,
    is_built_by_name,
    run_source,
    to_toml,
)

SETTINGS = {"num_evals": 2, "num_episodes": 2, "progress": False}


def wrapped():
    """A time limit within and one without, and a number of more than six digits."""
    env = envs.scale_reward(envs.make("CartPole-v1", max_steps=40, gravity=12.1), 1 / 3)
    return envs.time_left(envs.frame_stack(envs.time_limit(env, 12), 2))


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """A run of it."""
    directory = tmp_path_factory.mktemp("wrapped") / "run"
    run(A2C, wrapped(), tiny(A2C), 2, directory=directory, **SETTINGS)
    return directory


@pytest.mark.parametrize(
    "env",
    [
        wrapped(),
        envs.time_limit("FrozenLake-misc", 9),
        envs.mask_observation(envs.make("Pendulum-v1", max_steps=77), [1]),
        envs.time_limit(envs.time_left(envs.make("DeepSea-bsuite", size=5)), 3),
    ],
    ids=lambda env: env.full_name,
)
def test_a_config_builds_its_wrapped_environment_again(env):
    table = tomllib.loads(to_toml(describe_environment(env)))["environment"]
    again = build_environment(table["name"], table)
    assert again.spec == env.spec
    jax.tree.map(np.testing.assert_array_equal, again.params, env.params)
    assert is_built_by_name(env)


@pytest.mark.thorough
def test_a_run_made_in_python_is_loaded_and_goes_on_without_its_environment(directory, tmp_path):
    assert load_run(directory).env.spec == wrapped().spec
    shutil.copytree(directory, tmp_path / "run")
    longer = {"total_steps": 128, "schedule_steps": 64, "progress": False}
    whole = run(A2C, wrapped(), tiny(A2C, total_steps=128, schedule_steps=64), 2, **(SETTINGS | {"num_evals": 4}))
    assert_equal(resume(tmp_path / "run", **longer).state, whole.state)


def test_it_is_repeated_with_its_wrappers(directory):
    source = run_source(directory)
    wrappers = ("scale_reward(0.3333333333333333)", "time_limit(12)", "frame_stack(2)", "time_left")
    assert isinstance(source, Source)
    assert (source.environment, source.wrappers) == ("CartPole-v1", wrappers)
    assert (source.parameters["max_steps"], source.parameters["gravity"]) == (40, 12.1)
    assert envs.wrap(envs.make("CartPole-v1", **source.parameters), source.wrappers).spec == wrapped().spec


def edited(directory, tmp_path, old, new):
    text = (directory / "config.toml").read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "config.toml").write_text(text.replace(old, new), encoding="utf-8")
    return tmp_path


def test_numbers_that_were_recorded_with_six_digits_are_still_those_of_the_environment(directory, tmp_path):
    short = edited(directory, tmp_path, "scale_reward(0.3333333333333333)", "scale_reward(0.333333)")
    assert load_run(short, env=wrapped()).env.spec == wrapped().spec
    other = edited(directory, tmp_path, "scale_reward(0.3333333333333333)", "scale_reward(0.333334)")
    with pytest.raises(ValueError, match="the environment has changed: wrappers was"):
        load_run(other, env=wrapped())


@pytest.mark.parametrize("name", ["mine(2)", "frame_stack(two)", "frame_stack(2, 3)"])
def test_a_wrapper_of_ones_own_has_to_be_given(name, directory, tmp_path):
    own = edited(directory, tmp_path, "frame_stack(2)", name)
    with pytest.raises(
        ValueError, match=r"the environment 'CartPole-v1' with .* is not found by name.*: give env='FILE.py:NAME'"
    ):
        load_run(own)
    with pytest.raises(ValueError, match=r"the environment 'CartPole-v1' with .*: give env='FILE.py:NAME'"):
        run_source(own)


def test_another_wrapper_is_another_environment(directory, tmp_path):
    with pytest.raises(ValueError, match="the environment has changed: wrappers was"):
        load_run(directory, env=envs.scale_reward(wrapped(), 2))
    with pytest.raises(ValueError, match="the environment has changed: observation_space was"):
        load_run(edited(directory, tmp_path, "frame_stack(2)", "frame_stack(3)"))
    with pytest.raises(ValueError, match=r"config.toml: frame_stack needs an integer frames >= 2"):
        load_run(edited(directory, tmp_path, "frame_stack(2)", "frame_stack(1)"))


def test_one_that_only_has_the_name_is_not_built_by_it():
    cartpole = envs.make("CartPole-v1")

    def step(key, state, action):
        return state, state, 0.0, False, False

    def reset(key):
        return cartpole.reset(key)[1], cartpole.reset(key)[1]

    spaces = cartpole.observation_space, cartpole.action_space
    assert not is_built_by_name(envs.from_functions(reset, step, *spaces, name="CartPole-v1"))
    assert not is_built_by_name(envs.from_functions(reset, step, *spaces, max_steps=9, name="CartPole-v1"))
    assert is_built_by_name(cartpole)
