"""Public entries take names, dicts and numbers of any kind, and still trace."""

import dataclasses
import sys
from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import EVALUATION, cartpole, tiny

from jaxrl_up import (
    PPO,
    Evaluation,
    envs,
    evaluate,
    evaluate_episodes,
    load_run,
    make_config,
    resume,
    run,
    sweep,
    train,
)
from jaxrl_up.algorithms import check_policy, take
from jaxrl_up.analysis import record_episode
from jaxrl_up.cli import main
from jaxrl_up.experiments import Sink, as_sinks

FIELDS = {"total_steps": 64, "num_envs": 2, "rollout_length": 8, "num_epochs": 1, "num_minibatches": 1, "hidden": (4,)}
ODD = {**FIELDS, "total_steps": 64.0, "num_envs": np.int64(2), "rollout_length": jnp.int32(8), "hidden": np.array([4])}


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A run of names, dicts and odd numbers."""
    directory = tmp_path_factory.mktemp("entries") / "run"
    how = {"num_evals": np.array(1), "num_episodes": 2.0, "max_eval_steps": np.int32(6)}
    result = run(
        "ppo", "CartPole-v1", ODD, jnp.arange(2), str(directory), deterministic=np.True_, progress=False, **how
    )
    return result, directory


@pytest.mark.thorough
def test_names_and_odd_numbers_are_a_plain_run(kept):
    result, directory = kept
    assert result.algo is PPO
    assert result.env.spec == envs.make("CartPole-v1").spec
    assert result.config == make_config(PPO, **FIELDS)
    assert result.seeds == (0, 1)
    text = (directory / "config.toml").read_text()
    for line in (
        "total_steps = 64",
        "num_envs = 2",
        "hidden = [\n    4,\n]",
        "seeds = [\n    0,\n    1,\n]",
        "num_episodes = 2",
        "num_evals = 1",
    ):
        assert f"\n{line}\n" in text


def test_a_kept_run_is_found_by_names(kept):
    result, directory = kept
    found = load_run(directory, "ppo", "CartPole-v1", FIELDS)
    assert found.config == result.config
    again = resume(directory, algo="ppo", env="CartPole-v1", progress=False)
    np.testing.assert_array_equal(again.returns, result.returns)
    with pytest.raises(ValueError, match="the run is of ppo, not of dqn"):
        load_run(directory, "dqn")


def test_policies_are_evaluated_by_names(kept):
    result, _ = kept
    policy, key = jax.tree.map(lambda x: x[0], result.state.policy), jax.random.key(3)
    returns = evaluate("ppo", "CartPole-v1", FIELDS, policy, key, 2.0, np.True_, np.int32(5))
    episodes = evaluate_episodes(PPO, envs.make("CartPole-v1"), result.config, policy, key, 2, True, 5)
    np.testing.assert_array_equal(returns, episodes.returns)
    one = record_episode("ppo", "CartPole-v1", FIELDS, policy, key, max_steps=np.float32(5))
    assert one.length == 5


def test_what_could_be_traced_still_can():
    config, keys = make_config(PPO, **FIELDS), jax.random.split(jax.random.key(0), 2)

    def trained(gamma, gravity, key):
        env = cartpole().with_params(gravity=gravity)
        state, log = train(PPO, env, config.replace(gamma=gamma), key, 1, EVALUATION)
        returns = evaluate(PPO, env, config.replace(gamma=gamma), state.policy, key, 2)
        return log.returns, returns, record_shapes(env, state)

    def record_shapes(env, state):
        check_policy(PPO, env, config, state.policy)
        return state.counters

    shapes = jax.eval_shape(jax.vmap(trained), jnp.array([0.9, 1.5]), jnp.array([9.8, 3.0]), keys)
    assert (shapes[0].shape, shapes[1].shape) == ((2, 2), (2, 2))

    def swept(gamma, keys):
        return sweep("ppo", cartpole(), config, {"gamma": gamma, "gravity": [gamma[0], 9.8]}, keys, 1, Evaluation(2))[1]

    assert jax.eval_shape(swept, jnp.array([0.9, 1.5]), keys).returns.shape == (2, 2, 2)


def test_a_config_may_be_left_out_or_a_dict():
    assert take("ppo", "CartPole-v1")[2] == PPO.Config()
    assert take(PPO, cartpole(), {"gamma": np.float32(0.5)})[2] == make_config(PPO, gamma=0.5)
    config = tiny(PPO)
    assert take(PPO, cartpole(), config)[2] is config


def test_a_preset_is_where_the_config_comes_from(monkeypatch):
    def stop(algo, env, config, *_, **__):
        raise Found(config)

    monkeypatch.setattr(sys.modules["jaxrl_up.experiments.runs"], "check_memory", stop)
    for config in (None, {"gamma": 0.5}):
        with pytest.raises(Found) as found:
            run(PPO, cartpole(), config, 1, preset="spinup")
        assert found.value.config == make_config(PPO, "spinup", **(config or {}))


class Found(Exception):
    def __init__(self, config):
        self.config = config


def test_one_sink_is_taken_for_a_list():
    sink = Sink("mine", print, print, print)
    assert as_sinks(sink) == as_sinks([sink]) == (sink,)
    assert as_sinks(()) == ()


def test_the_policies_check_is_by_shape_alone():
    config = tiny(PPO)
    shapes = jax.eval_shape(lambda key: PPO.init(config, cartpole(), key), jax.random.key(0)).policy
    halved = jax.tree.map(lambda x: np.zeros(x.shape, np.float16), shapes)
    check_policy(PPO, cartpole(), config, halved)


@pytest.fixture
def checks(monkeypatch):
    """How often each field was checked."""
    counted, fields = Counter(), sys.modules["jaxrl_up.config.fields"]

    def counting(field, given, held=fields.held):
        counted[field.name] += 1
        return held(field, given)

    for module in (fields, sys.modules["jaxrl_up.config"], sys.modules["jaxrl_up.experiments.sweeps.points"]):
        monkeypatch.setattr(module, "held", counting)
    return counted


ONCE = dict.fromkeys((field.name for field in dataclasses.fields(PPO.Config)), 1)
HOW = {"num_evals": 1, "num_episodes": 2, "max_eval_steps": 6, "progress": False}


@pytest.mark.thorough
@pytest.mark.parametrize("config", [FIELDS, PPO.Config(**FIELDS)], ids=["a dict", "a config"])
def test_a_run_checks_its_config_once(config, checks, tmp_path):
    """From the door to the gradient step, the checkpoint and the report."""
    result = run("ppo", "CartPole-v1", config, 1, tmp_path / "run", **HOW)
    result.policy()(np.zeros(4, np.float32))
    assert checks == ONCE
    checks.clear()
    resume(tmp_path / "run", total_steps=128, schedule_steps=64, progress=False)
    assert checks == {**ONCE, "total_steps": 2, "schedule_steps": 2}  # those of config.toml, and the new ones


@pytest.mark.thorough
def test_a_command_line_checks_its_config_once(checks, tmp_path):
    words = [f"--{name}={','.join(map(str, x)) if name == 'hidden' else x}" for name, x in FIELDS.items()]
    words += ["--seeds=1", "--num-evals=1", "--num-episodes=2", "--max-eval-steps=6", "--no-progress"]
    assert main(["train", "ppo", *words, "--directory", str(tmp_path / "run")]) == 0
    assert checks == ONCE
    checks.clear()
    assert main(["sweep", "ppo", *words, "--grid", "gamma=0.9,0.99", "--directory", str(tmp_path / "sweep")]) == 0
    assert checks == {**ONCE, "gamma": 3}  # and the two values of the grid


@pytest.mark.thorough
def test_the_compiled_gear_checks_its_config_once(checks):
    train("ppo", "CartPole-v1", FIELDS, 0, 1, EVALUATION)
    assert checks == ONCE
    checks.clear()
    sweep("ppo", "CartPole-v1", FIELDS, {"gamma": [0.9, 0.99]}, jnp.arange(1), 1, EVALUATION)
    assert checks == ONCE  # the values of the grid are arrays, checked as such
