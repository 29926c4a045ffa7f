"""A key is a key in whatever form it is handed over."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import EVALUATION, assert_equal, cartpole, is_key, task, tiny

from jaxrl_up import ALGORITHMS, PPO, envs, evaluate, sweep, train
from jaxrl_up.analysis import record_episode
from jaxrl_up.config import as_key, as_keys, wrap_as
from jaxrl_up.envs import Box

ONE = [jax.random.PRNGKey(7), np.asarray(jax.random.PRNGKey(7)), 7, np.int64(7), np.uint32(7), jnp.int32(7)]
MANY = {
    "raw": lambda: jnp.stack([jax.random.PRNGKey(seed) for seed in (0, 1, 5)]),
    "raw, on the host": lambda: np.stack([np.asarray(jax.random.PRNGKey(seed)) for seed in (0, 1, 5)]),
    "numbers": lambda: [0, 1, 5],
    "an array of numbers": lambda: jnp.array([0, 1, 5]),
    "a list of keys": lambda: [jax.random.key(0), jax.random.PRNGKey(1), 5],
}


@pytest.mark.parametrize("key", ONE, ids=str)
def test_all_forms_are_one_key(key):
    assert_equal(as_key(key), jax.random.key(7))


def test_traced_forms_too():
    numbers = jnp.array([3, 4, 5])
    keys = jax.vmap(jax.random.key)(numbers)
    assert_equal(jax.vmap(as_key)(numbers), keys)
    assert_equal(jax.vmap(as_key)(jax.vmap(jax.random.PRNGKey)(numbers)), keys)
    assert_equal(jax.jit(as_keys)(jax.vmap(jax.random.PRNGKey)(numbers)), keys)
    assert_equal(jax.jit(as_keys)(numbers), keys)


@pytest.mark.parametrize("form", MANY)
def test_many_keys(form):
    assert_equal(as_keys(MANY[form]()), jax.vmap(jax.random.key)(jnp.array([0, 1, 5])))
    assert as_keys(range(3)).shape == (3,)


@pytest.mark.parametrize("kind", ["rbg", "unsafe_rbg"])
def test_a_key_of_another_kind_stays_of_its_kind(kind):
    keys = jax.random.split(jax.random.key(0, impl=kind), 3)
    assert as_key(keys[0]) is not None and as_key(keys[0]).dtype == keys.dtype == as_keys(keys).dtype
    assert as_keys([keys[0], keys[1]]).dtype == keys.dtype
    assert_equal(wrap_as(jax.random.key_data(keys), keys.dtype), keys)


@pytest.mark.parametrize(
    ("key", "error"),
    [
        (True, TypeError),
        (None, TypeError),
        (0.0, TypeError),
        ("0", TypeError),
        ([0], TypeError),
        (jnp.zeros(2), TypeError),
        (-1, ValueError),
        (2**32, ValueError),
        (jnp.zeros(3, jnp.uint32), ValueError),
        (jnp.zeros((4, 2), jnp.uint32), ValueError),
        (jnp.arange(3), ValueError),
    ],
)
def test_what_is_no_key_is_refused_with_advice(key, error):
    with pytest.raises(error, match=r"jax.random.key\(0\)"):
        as_key(key)
    with pytest.raises(error, match=r"jax.random.key\(0\)"):
        cartpole().reset(key)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (jax.random.PRNGKey(0), "is one key"),
        (jnp.zeros((0, 2), jnp.uint32), "not keys"),
        (jnp.arange(3, dtype=jnp.uint32), "not keys"),
        ([], "no key"),
        (8, "not random keys"),
        (None, "not random keys"),
        ([0.5], "not a random key"),
    ],
)
def test_what_are_no_keys_is_refused_with_advice(keys, message):
    with pytest.raises((TypeError, ValueError), match=message):
        sweep(PPO, cartpole(), tiny(PPO), {"gamma": [0.9]}, keys, 1, EVALUATION)


def test_one_typed_key_for_a_sweep_is_refused():
    with pytest.raises(ValueError, match="is one key: give S of them"):
        as_keys(jax.random.key(0))


@pytest.mark.thorough
def test_training_is_the_same_with_raw_keys():
    env, config, raw = cartpole(), tiny(PPO), jax.random.PRNGKey(3)
    state, log = train(PPO, env, config, jax.random.key(3), 1, EVALUATION)
    for key in (raw, 3):
        assert_equal(train(PPO, env, config, key, 1, EVALUATION), (state, log))
    swept = sweep(PPO, env, config, {"gamma": [config.gamma]}, raw[None], 1, EVALUATION)[1]
    np.testing.assert_allclose(swept.returns[0], [log.returns])

    def many(keys):
        vmapped = jax.vmap(lambda key: train(PPO, env, config, key, 1, EVALUATION)[1].returns)(keys)
        return vmapped, sweep(PPO, env, config, {"gamma": [0.9, 1.0]}, keys, 1, EVALUATION)[1].returns

    assert [x.shape for x in jax.eval_shape(many, jnp.stack([raw] * 3))] == [(3, 2), (2, 3, 2)]
    returns = evaluate(PPO, env, config, state.policy, jax.random.key(3), 1)
    for key in (raw, 3):
        assert_equal(evaluate(PPO, env, config, state.policy, key, 1), returns)
        assert record_episode(PPO, env, config, state.policy, key, True).rewards.sum() == returns[0]


@pytest.mark.parametrize("name", ALGORITHMS)
def test_the_functions_of_an_algorithm_take_raw_keys(name):
    algo = ALGORITHMS[name]
    env, config = task(algo), tiny(algo)
    states = [jax.eval_shape(lambda key: algo.init(config, env, as_key(key)), jax.random.key(0))]
    for key in (0, jax.random.PRNGKey(0)):
        states.append(jax.eval_shape(lambda key: algo.init(config, env, key), key))
        given = [states[0].policy, states[0].interaction.obs, states[0].interaction.memory]
        jax.eval_shape(lambda given, key=key: algo.act(config, env, *given, key), given)
    assert all(is_key(state.key) and state.key.shape == () for state in states)
    assert states[0] == states[1] == states[2]


def test_environments_take_raw_keys():
    env = envs.make("Pendulum-v1", max_steps=5)
    for key in (jax.random.PRNGKey(1), 1):
        state, obs = env.reset(key)
        assert_equal((state, obs), env.reset(jax.random.key(1)))
        assert_equal(env.step(key, state, jnp.zeros(1)), env.step(jax.random.key(1), state, jnp.zeros(1)))
        for space in (env.action_space, env.observation_space, Box(0, 9, (2,), np.int32), envs.Discrete(9)):
            assert_equal(space.sample(key), space.sample(jax.random.key(1)))
        envs.check(env, key, 8)
