"""Unusual observations: what every algorithm makes of them, and what a policy in a user's hand does."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import field_names, image, predictable, seen_by, space_for, tiny

from jaxrl_up import ALGORITHMS, PPO, run
from jaxrl_up.config import canonical
from jaxrl_up.deploy import load_policy, numpy_policy, save_policy
from jaxrl_up.envs import Box, Dict, Discrete, MultiDiscrete, Tuple, from_functions
from jaxrl_up.learning import normalisation, on_policy
from jaxrl_up.training import begin

SPACES = [
    Box(0, 1, (5, 2)),
    Box(0, 1, (2, 5, 3)),
    Box(0, 1, ()),
    Box(0, 1, (2, 2, 2, 2)),
    Box(0, 1, (5_000,)),
    Box(0, 1, (3,), np.bool_),
    Box(0, 1, (3,), np.float16),
    Discrete(4),
    Discrete(4, start=-2),
    MultiDiscrete((3, 2)),
    Box(-3, 200, (2, 3), np.int32),
    Box([-np.inf, 0.0, -1.0], [np.inf, np.inf, 1.0]),
    Box(0, 1, (4, 2), binary=True),
    Dict({"at": Box(-1, 1, (2,)), "door": Discrete(3), "lights": Box(0, 1, (4,), np.bool_, binary=True)}),
    Dict({"camera": Box(0, 255, (6, 6, 2), np.uint8), "arm": Dict(angle=Box(-1, 1, ()), at=MultiDiscrete((2, 5)))}),
    Tuple((Box(0, 1, (3, 3)), Tuple((Discrete(2, start=1), Box(-9, 9, (2,), np.int16))))),
    Dict({"obs": Box(0, 1, (2,)), "critic_only": Box(0, 1, (1,))}),
]


SOME = [SPACES[i] for i in (1, 7, 12, 14)]  # pixels, a number, bits, and a tree of several


def shows(space, action_space, max_steps=4):
    """Whatever the space holds, at random."""

    def step(key, time, action):
        return time + 1, space.sample(key), 1.0, jnp.bool_(False), jnp.bool_(False)

    return from_functions(lambda key: (jnp.int32(0), space.sample(key)), step, space, action_space, max_steps)


KINDS = [(name, kinds) for name in ALGORITHMS for kinds in ("some", "every")]


@pytest.mark.thorough("ppo-every", "sac-some")
@pytest.mark.exhaustive(*(f"{name}-every" for name in ALGORITHMS if name not in ("ppo", "pets")))
@pytest.mark.parametrize(("name", "kinds"), KINDS)
def test_every_algorithm_takes_observations_of_every_shape_and_kind(name, kinds):
    algo = ALGORITHMS[name]
    config = canonical(tiny(algo))
    for space in SPACES if kinds == "every" else SOME:
        env = seen_by(algo, shows(space, space_for(algo)))
        if "members" in field_names(algo) and not predictable(space):
            with pytest.raises(ValueError, match=f"a model predicts vectors of floats, {env.name} shows"):
                begin(algo, env, config, jax.random.key(0))
            continue

        def update(key, env=env):
            state = begin(algo, env, config, key).state
            acting = state.policy, state.interaction.obs, state.interaction.memory
            return state, algo.update(config, env, state)[0], algo.act(config, env, *acting)

        before, after, action = jax.eval_shape(update, jax.random.key(0))
        assert before == after and action[0].shape == (config.num_envs, *env.action_space.shape)


@pytest.mark.parametrize("name", [name for name, algo in ALGORITHMS.items() if algo.learns])
def test_observations_without_numbers_are_refused(name):
    algo = ALGORITHMS[name]
    env = seen_by(algo, shows(Box(0, 1, (0,)), space_for(algo)))
    with pytest.raises(ValueError, match="holds no number"):
        jax.eval_shape(lambda key: begin(algo, env, canonical(tiny(algo)), key), jax.random.key(0))


@pytest.fixture(scope="module")
def played():
    """A run on pixels, with whitened observations."""
    env = image()
    config = tiny(PPO, normalize_observations=True, network="mlp", initializer="torch")
    return run(PPO, env, config, 1, num_evals=1, num_episodes=2, progress=False)


def test_a_policy_acts_alike_on_pixels_of_every_whole_dtype(played, tmp_path):
    env = played.env
    params = jax.tree.map(lambda x: x[0], played.state.policy)
    path = save_policy(tmp_path / "policy.bin", PPO, env, played.config, params)
    policies = [played.policy(), load_policy(path), numpy_policy.load_policy(path)]
    pixels = np.random.default_rng(0).integers(0, 256, (40, 6, 6, 2))
    expected = np.asarray(policies[0](pixels.astype(np.uint8)))
    assert len(set(expected.tolist())) > 1
    for policy in policies:
        for given in (pixels.astype(np.uint8), pixels, pixels.astype(np.int16), pixels.tolist()):
            np.testing.assert_array_equal(policy(given), expected)
        for given in (pixels.astype(np.float32), pixels / 255.0, (pixels / 255.0).tolist()):
            with pytest.raises(ValueError, match="not of the space's, uint8"):
                policy(given)
        with pytest.raises(ValueError, match=r"shape \(40, 6, 6\) are not one or more of shape \(6, 6, 2\)"):
            policy(pixels[..., 0])
    with pytest.raises(ValueError, match=r"Box\(0, 255, \(6, 6, 2\), uint8\)"):
        policies[0](pixels[..., 0])


def test_a_stochastic_policy_takes_every_form_of_key(played):
    policy, obs = played.policy(deterministic=False), np.zeros((50, 6, 6, 2), np.uint8)
    expected = policy(obs, jax.random.key(3))
    for key in (3, jax.random.PRNGKey(3)):
        np.testing.assert_array_equal(policy(obs, key), expected)
    with pytest.raises(TypeError, match="not a random key"):
        policy(obs, 0.5)


def flicker(whole):
    """Three pixels at random, as whole numbers or as floats from 0 to 1."""
    pixels = Box(0, 255, (3,), np.uint8)

    def show(key):
        return pixels.sample(key) if whole else pixels.sample(key) / jnp.float32(255)

    def step(key, time, action):
        return time + 1, show(key), action / 2, jnp.bool_(False), jnp.bool_(False)

    space = pixels if whole else Box(0, 1, (3,))
    return from_functions(lambda key: (jnp.int32(0), show(key)), step, space, Discrete(2), 4)


def test_whitened_pixels_are_those_of_floats_from_0_to_1():
    """From the first update on, when nothing is known of them yet: then they are scaled, if not whitened."""
    config = canonical(tiny(PPO, normalize_observations=True))
    logits = []
    for env, obs in ((flicker(True), jnp.uint8([[0, 51, 255]])), (flicker(False), jnp.float32([[0, 0.2, 1]]))):

        @jax.jit
        def learners(key, env=env):
            state = begin(PPO, env, config, key).state
            return state.learner, PPO.update(config, env, state)[0].learner

        @jax.jit
        def said(learner, obs, env=env):
            seen = normalisation.apply(env.observation_space, learner.statistics, obs)
            return on_policy.network(config, env).policy(learner.params["actor"], seen).logits

        for learner in learners(jax.random.key(0)):
            logits.append(said(learner, obs))
            np.testing.assert_array_less(learner.statistics.mean, 1.0)
    np.testing.assert_allclose(logits[:2], logits[2:], rtol=1e-3, atol=1e-5)
