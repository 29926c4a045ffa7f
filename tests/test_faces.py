"""What Python's own tools show of the package: `dir`, `repr` and `help`."""

import importlib
import inspect
import pydoc

import pytest
from fake_runs import make_result

from jaxrl_up import ALGORITHMS, PPO, Algorithm

ROOMS = ("config", "ops", "envs", "tabular", "learning", "algorithms", "training", "records", "analysis")
ROOMS += ("experiments", "deploy", "types")
OFFERED = {"jaxrl_up": {"envs", "ops", "tabular"}, "jaxrl_up.ops": {"bellman", "distributional"}}  # modules, on purpose


@pytest.mark.parametrize("name", ["jaxrl_up", *(f"jaxrl_up.{room}" for room in ROOMS), "jaxrl_up.envs.probes"])
def test_dir_has_what_a_module_offers(name):
    module = importlib.import_module(name)
    names = [key for key in dir(module) if not key.startswith("__")]
    assert len(names) > 5 and names == sorted(set(names))
    assert [key for key in names if key.startswith("_")] == []
    modules = {key: getattr(module, key) for key in names if inspect.ismodule(getattr(module, key))}
    assert all(value.__name__.startswith("jaxrl_up.") for value in modules.values())
    if name in OFFERED:
        assert set(modules) == OFFERED[name]
    assert "face" not in names or name == "jaxrl_up.types"


def test_dir_of_the_environments():
    from jaxrl_up import envs

    assert {"make", "Env", "Box", "check", "probes", "randomize"} <= set(dir(envs))
    assert not {"core", "suites", "wrapping", "jax", "annotations"} & set(dir(envs))


@pytest.mark.parametrize("algo", list(ALGORITHMS.values()), ids=list(ALGORITHMS))
def test_an_algorithm_says_in_a_line_what_it_is(algo):
    assert repr(algo).startswith(f"<Algorithm {algo.name}: ")
    assert len(repr(algo)) <= 120 and "\n" not in repr(algo)


def test_help_is_about_the_algorithm_and_its_config():
    text = pydoc.plain(pydoc.render_doc(PPO))
    assert "Proximal Policy Optimization" in text and "Config(total_steps=500000," in text
    assert "Presets: default, spinup." in text and "<function" not in text
    assert "A learning algorithm as a record" in pydoc.plain(pydoc.render_doc(Algorithm))
    assert str(inspect.getdoc(Algorithm)).startswith("A learning algorithm")


def test_a_result_is_a_line():
    assert repr(make_result()).startswith("<RunResult ppo on Fake-v0: score 33.5 [-41.4, 108.5] (IQM of 3 seeds, ")
    assert repr(make_result()._replace(log=None)) == "<RunResult ppo on Fake-v0>"
