"""What users hold is pickled and copied: by name, or as the call that built it."""

import copy
import dataclasses
import multiprocessing
import pickle
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import assert_equal, breaking, cartpole, chain, clock, tiny, to_host

from jaxrl_up import A2C, ALGORITHMS, PPO, Evaluation, Score, envs, run, train, use_all_cores
from jaxrl_up.deploy import load_policy, save_policy
from jaxrl_up.envs import probes
from jaxrl_up.learning import MLP


def again(x):
    return pickle.loads(pickle.dumps(x))


class Walk:
    """An environment as methods of an object."""

    def reset(self, key):
        return jnp.zeros(1), jnp.zeros(1)

    def step(self, key, state, action):
        return state, state, 0.0, False, False


ENVIRONMENTS = {
    "made": cartpole,
    "with options": lambda: envs.make("DeepSea-bsuite", size=4),
    "with other physics": lambda: envs.make("CartPole-v1", total_mass=2.0, gravity=3.0),
    "wrapped": lambda: envs.episode_statistics(envs.sticky_actions(envs.time_limit(envs.make("Catch-bsuite"), 5), 0.5)),
    "observed otherwise": lambda: envs.mask_observation(cartpole(), [2, 0]),
    "flat": lambda: envs.flatten_observation(envs.make("Catch-bsuite")),
    "acted otherwise": lambda: envs.scale_reward(envs.rescale_action(envs.make("Pendulum-v1")), 0.5),
    "with drawn physics": lambda: envs.time_left(envs.randomize(cartpole(), gravity=(8, 12))),
    "of functions": chain,
    "of functions with parameters": lambda: breaking(A2C, 7),
    "a probe": probes.count_steps,
}


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_environments_compare_equal(name):
    env = ENVIRONMENTS[name]()
    found = again(env)
    assert found.spec == env.spec
    assert hash(found.spec) == hash(env.spec)
    assert jax.tree.structure(found) == jax.tree.structure(env)
    assert_equal(found, env)
    assert copy.deepcopy(env).spec is env.spec


def test_an_environment_of_an_object_comes_with_the_object():
    walk = Walk()
    env = envs.from_functions(walk.reset, walk.step, envs.Box(0, 1, (1,)), envs.Discrete(2), deterministic_reset=True)
    envs.check(again(env), num_steps=4)


def test_a_gymnax_object_comes_along():
    from gymnax.environments.classic_control.pendulum import Pendulum

    env = envs.from_gymnax(Pendulum())
    found, key = again(env), jax.random.key(0)
    assert (found.observation_space, found.max_steps) == (env.observation_space, env.max_steps)
    assert_equal(found.reset(key), env.reset(key))


@pytest.mark.thorough
def test_in_another_process(tmp_path):
    path = tmp_path / "env.pickle"
    path.write_bytes(pickle.dumps((PPO, cartpole(), tiny(PPO))))
    code = f"import pickle; algo, env, config = pickle.load(open({str(path)!r}, 'rb')); print(algo.name, env.max_steps)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "ppo 12\n"


def trained(algo, env, config):
    """The numbers that one small update gives."""
    state, log = train(algo, env, config, jax.random.key(3), 1, Evaluation(2, max_steps=6))
    return to_host((state, log))


def trained_in_a_child(algo, env, config):
    use_all_cores(2)
    return trained(algo, env, config)


@pytest.mark.thorough
def test_a_spawned_process_trains_alike():
    given = A2C, clock(A2C), tiny(A2C, total_steps=16)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found = pool.apply_async(trained_in_a_child, given).get(timeout=300)
    assert_equal(found, trained(*given))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda: envs.from_functions(
                lambda key: (0, jnp.zeros(1)), lambda *_: None, envs.Box(0, 1, (1,)), envs.Discrete(2)
            ),
            "which Python finds by no name; define its functions at the top of a module",
        ),
        (lambda: envs.time_limit(chain().replace(spec=chain().spec._replace(name="x")), 3), "changed by hand"),
        (lambda: dataclasses.replace(PPO, name="mine"), "mine cannot be pickled: it is no variable of a module"),
    ],
)
def test_what_cannot_be_found_again_is_said(build, message):
    with pytest.raises(TypeError, match=message):
        pickle.dumps(build())
    copy.deepcopy(build())


@pytest.mark.parametrize("algo", ALGORITHMS.values(), ids=lambda algo: algo.name)
def test_algorithms_are_themselves(algo):
    assert again(algo) is algo
    assert copy.deepcopy(algo) is algo
    assert again(tiny(algo)) == tiny(algo)


def test_configs_and_scores():
    config = PPO.Config(network=MLP((3,)), gamma=0.5)
    assert again(config) == copy.deepcopy(config) == config
    assert again(Score(1.0, 0.5, 2.0)) == Score(1.0, 0.5, 2.0)


@pytest.fixture(scope="module")
def result(cpus):
    return run(A2C, clock(A2C), tiny(A2C), (3, 5), num_evals=1, num_episodes=2, max_eval_steps=6, progress=False)


def test_results(result):
    found = again(result)
    assert found.algo is A2C
    assert (found.env.spec, found.config, found.seeds) == (result.env.spec, result.config, result.seeds)
    assert_equal((found.state, found.log), (result.state, result.log))
    assert found.score == result.score
    copy.deepcopy(result)


def test_policies(result, tmp_path):
    obs = np.eye(4, dtype=np.float32)
    policy = result.policy(5)
    data = pickle.dumps(policy)
    np.testing.assert_array_equal(pickle.loads(data)(obs), policy(obs))
    assert len(data) < len(pickle.dumps(result))  # no optimiser, no environments
    stochastic = again(result.policy(5, deterministic=False))
    np.testing.assert_array_equal(stochastic(obs, jax.random.key(1)), result.policy(5, False)(obs, jax.random.key(1)))
    params = jax.tree.map(lambda x: x[1], result.state.policy)
    exported = load_policy(save_policy(tmp_path / "policy.bin", A2C, result.env, result.config, params))
    np.testing.assert_array_equal(again(exported)(obs), exported(obs))
