"""An MDP as an environment: it steps as its tables say, and algorithms take it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxrl_up
from jaxrl_up import envs, tabular

MDP = tabular.mdp(
    [[[0.2, 0.5, 0.3], [0.0, 1.0, 0.0]], [[0.6, 0.0, 0.4], [1.0, 0.0, 0.0]], [[np.nan] * 3] * 2],
    np.arange(18.0).reshape(3, 2, 3),
    discount=0.9,
    terminal=[2],
    start=[0.25, 0.75, 0.0],
)


def test_it_is_an_environment():
    env = tabular.as_env(MDP.replace(horizon=20), name="three states")
    envs.check(env)
    assert env.max_steps == 20 and env.name == "three states"
    assert (env.observation_space, env.action_space) == (envs.Discrete(3), envs.Discrete(2))


@pytest.fixture(scope="module")
def rows():
    """Steps of 500 copies for 60 steps with random actions."""
    env = tabular.as_env(MDP)

    def one(key):
        reset_key, key = jax.random.split(key)
        state, obs = env.reset(reset_key)

        def step(carry, key):
            state, obs = carry
            action_key, step_key = jax.random.split(key)
            action = jax.random.randint(action_key, (), 0, 2)
            state, after = env.step(step_key, state, action)
            return (state, after.obs), (obs, action, after)

        return jax.lax.scan(step, (state, obs), jax.random.split(key, 60))[1]

    return jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(0), 500))


def test_it_steps_as_its_tables_say(rows):
    obs, action, after = jax.tree.map(np.asarray, rows)
    np.testing.assert_array_equal(after.reward, np.asarray(MDP.reward)[obs, action, after.next_obs])
    np.testing.assert_array_equal(after.terminated, after.next_obs == 2)
    assert not after.truncated.any() and (obs != 2).all()
    for s in range(2):
        for a in range(2):
            there = after.next_obs[(obs == s) & (action == a)]
            expected = np.asarray(MDP.transition[s, a])
            slack = 5 * np.sqrt(expected * (1 - expected) / len(there))
            assert np.all(np.abs(np.bincount(there, minlength=3) / len(there) - expected) <= slack + 1e-9)


def test_episodes_begin_where_start_says(rows):
    after = rows[2]
    first = np.asarray(after.obs)[np.asarray(after.terminated)]
    assert abs(np.mean(first == 1) - 0.75) < 5 * np.sqrt(0.75 * 0.25 / len(first))


@pytest.mark.parametrize("reward", [np.array([1.0, 2.0, 0.0]), np.array([[1.0, 3.0], [2.0, 4.0], [0.0, 0.0]])])
def test_rewards_of_every_convention_are_paid(reward):
    env = tabular.as_env(tabular.mdp(MDP.transition, reward, discount=0.9, terminal=[2], start=0))
    state, _ = env.reset(jax.random.key(0))
    _, after = env.step(jax.random.key(1), state, 1)
    assert after.reward == (reward[0] if reward.ndim == 1 else reward[0, 1])


def test_it_shows_features():
    features = np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]])
    env = tabular.as_env(MDP, features=features)
    assert env.observation_space.shape == (2,)
    state, obs = env.reset(jax.random.key(0))
    np.testing.assert_array_equal(obs, features[int(state)])
    with pytest.raises(ValueError, match=r"one row a state, \[3, ...\], got shape \[2, 2\]"):
        tabular.as_env(MDP, features=features[:2])


def test_mdps_of_one_size_are_one_program():
    mdps = jax.vmap(lambda key: tabular.garnet(key, 4, 2, 2, discount=0.9))(jax.random.split(jax.random.key(0), 3))

    def first_reward(mdp):
        env = tabular.as_env(mdp)
        state, _ = env.reset(jax.random.key(0))
        return env.step(jax.random.key(1), state, 1)[1].reward

    together = jax.jit(jax.vmap(first_reward))(mdps)
    alone = [first_reward(jax.tree.map(lambda x, i=i: x[i], mdps)) for i in range(3)]
    np.testing.assert_allclose(together, alone)
    one, other = (jax.tree.map(lambda x, i=i: x[i], mdps) for i in range(2))
    assert tabular.as_env(one).spec == tabular.as_env(other).spec


def test_a_policy_in_hand_becomes_a_table():
    env = tabular.as_env(MDP)
    small = {"total_steps": 32, "num_envs": 4, "rollout_length": 8}
    done = jaxrl_up.run("a2c", env, small, seeds=(0,), num_evals=1, num_episodes=2, progress=False)
    table = tabular.policy_table(MDP, done.policy())
    assert table.shape == (3, 2) and set(np.unique(table)) <= {0.0, 1.0}
    act = done.policy(deterministic=False)
    drawn = tabular.policy_table(MDP, act, jax.random.key(0), samples=400)
    np.testing.assert_allclose(jnp.sum(drawn, axis=-1), np.ones(3), rtol=1e-5)
    assert np.all((drawn > 0) & (drawn < 1))
