"""Runs and sweeps that are evaluated elsewhere: kept, resumed, refused where it is another."""

import logging
import re
import shutil
import tomllib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import assert_equal, tiny

from jaxrl_up import A2C, DQN, envs, load_run, resume, run, run_sweep
from jaxrl_up.analysis import gather
from jaxrl_up.records import run_source

SETTINGS = {"num_evals": 2, "num_episodes": 2, "progress": False}
TRAINED = envs.frame_stack(envs.randomize(envs.make("CartPole-v1", max_steps=12), gravity=(8, 12)), 2)
PLAYED = envs.frame_stack(envs.make("CartPole-v1", max_steps=9, gravity=20.0), 2)


def reset(key, params):
    return jnp.zeros(1), jnp.zeros(1)


def step(key, state, action, params):
    return state, state, params["pay"], jnp.bool_(False), jnp.bool_(False)


def paying(pay=1.0, max_steps=3):
    """Pays the same at each step, whatever is done."""
    spaces = envs.Box(-1, 1, (1,)), envs.Discrete(2)
    return envs.from_functions(reset, step, *spaces, max_steps, {"pay": pay}, name="paying")


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """A run of environments that are built by name."""
    directory = tmp_path_factory.mktemp("elsewhere") / "run"
    run(A2C, TRAINED, tiny(A2C), 2, directory, evaluation_env=PLAYED, **SETTINGS)
    return directory


@pytest.fixture
def copy(directory, tmp_path):
    return shutil.copytree(directory, tmp_path / "copy")


def tables(directory):
    return tomllib.loads((directory / "config.toml").read_text(encoding="utf-8"))


def test_it_is_recorded_and_built_again(directory):
    table = tables(directory)["evaluation_environment"]
    assert (table["max_steps"], table["params"]["gravity"], table["wrappers"]) == (9, 20.0, ["frame_stack(2)"])
    found = load_run(directory)
    assert (found.env.spec, found.evaluation_env.spec) == (TRAINED.spec, PLAYED.spec)
    assert_equal((found.env, found.evaluation_env), (TRAINED, PLAYED))
    page = (directory / "report.html").read_text(encoding="utf-8")
    assert "evaluated in another environment, CartPole-v1 + frame_stack(2)" in page
    assert gather([directory])["CartPole-v1"]["run"][0].settings["evaluation_environment.gravity"] == 20.0


def test_one_that_is_not_given_is_not_recorded(tmp_path):
    """And a drawn parameter is nominal in evaluations."""
    env = envs.time_limit(envs.randomize(paying(), pay=(5, 5)), 2)
    result = run(A2C, env, tiny(A2C), 1, tmp_path / "run", **SETTINGS)
    assert "evaluation_environment" not in tables(tmp_path / "run")
    np.testing.assert_array_equal(result.returns, 2)
    np.testing.assert_array_equal(result.log.train_returns, [[np.nan, 10, 10]])
    assert "evaluated with the nominal parameters" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    again = load_run(tmp_path / "run", env=env)
    assert (again.evaluation_env, again.played_env.spec) == (None, envs.time_limit(paying(), 2).spec)


class Compiles(logging.Handler):
    """How often parts of runs are compiled within."""

    def __enter__(self):
        self.names, self.context = [], jax.log_compiles()
        logging.getLogger("jax._src.interpreters.pxla").addHandler(self)
        self.context.__enter__()
        return self.names

    def emit(self, record):
        self.names += re.findall(r"^Compiling (\S*advance_lanes\S*)", record.getMessage())

    def __exit__(self, *error):
        self.context.__exit__(*error)
        logging.getLogger("jax._src.interpreters.pxla").removeHandler(self)


def test_it_goes_on_as_if_it_had_never_stopped(copy):
    longer = {"total_steps": 128, "schedule_steps": 64, "progress": False}
    config = tiny(A2C, total_steps=128, schedule_steps=64)
    with Compiles() as compiled:
        whole = run(A2C, TRAINED, config, 2, evaluation_env=PLAYED, **(SETTINGS | {"num_evals": 4}))
    assert len(compiled) == 1
    again = resume(copy, **longer)
    assert_equal((again.state, again.log), (whole.state, whole.log))
    assert again.evaluation_env.spec == PLAYED.spec
    assert load_run(copy).evaluation_env.spec == PLAYED.spec


def test_another_one_is_refused(directory, copy, tmp_path):
    path = copy / "config.toml"
    text = path.read_text(encoding="utf-8")
    with pytest.raises(ValueError, match=r"the evaluation environment has changed: gravity was 20.0 and is 21.0"):
        resume(copy, evaluation_env=PLAYED.with_params(gravity=21.0))
    path.write_text(text.replace("gravity = 20.0", "gravity = 21.0"), encoding="utf-8")
    with pytest.raises(ValueError, match=r"was written with params=.* but config.toml says"):
        resume(copy, progress=False)
    path.write_text(text[: text.index("[evaluation_environment]")] + text[text.index("[versions]") :], encoding="utf-8")
    with pytest.raises(ValueError, match=r"was written with name=CartPole-v1, but config.toml says None"):
        resume(copy, progress=False)
    with pytest.raises(ValueError, match="the run has no evaluation environment: leave evaluation_env out"):
        resume(copy, evaluation_env=PLAYED, progress=False)


@pytest.mark.thorough
def test_one_of_ones_own_is_given_again(tmp_path):
    place, config = tmp_path / "run", tiny(A2C)
    run(A2C, paying(), config, 1, place, evaluation_env=paying(2), **SETTINGS)
    with pytest.raises(ValueError, match=r"is not found by name.*: give evaluation_env='FILE.py:NAME'"):
        resume(place, env=paying(), progress=False)
    again = resume(place, env=paying(), evaluation_env=paying(2), progress=False)
    np.testing.assert_array_equal(again.returns, 6)
    with pytest.raises(
        ValueError, match=r"are not found by name.*: give env='FILE.py:NAME', evaluation_env='FILE.py:NAME'"
    ):
        run_source(place)


def test_what_does_not_fit_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match="evaluation_env has the observation space"):
        run(A2C, TRAINED, tiny(A2C), 1, tmp_path / "run", evaluation_env="CartPole-v1", **SETTINGS)
    with pytest.raises(ValueError, match="evaluation_env has the observation space"):
        run_sweep(DQN, TRAINED, tiny(DQN), {"gamma": [0.9]}, 1, tmp_path / "run", evaluation_env="CartPole-v1")
    assert not list(tmp_path.iterdir())


def test_a_point_alone_has_its_parameters_in_evaluations_too(tmp_path):
    what = (A2C, paying(), tiny(A2C), {"pay": [4.0]}, 1, tmp_path / "sweep")
    with pytest.warns(UserWarning, match=r"best.toml was not written: a recipe cannot name"):
        result = run_sweep(*what, evaluation_env=paying(9, 2), **SETTINGS)
    np.testing.assert_array_equal(result.returns, 8)
