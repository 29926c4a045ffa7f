"""Random MDPs, and environments gone through: Catch and DeepSea, whose best returns are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_up import envs, tabular
from jaxrl_up.envs import Discrete, from_functions


def test_garnet_has_the_branching_asked_for():
    mdp = tabular.garnet(jax.random.key(0), 30, 4, 3, discount=0.9, reward_std=2.0)
    np.testing.assert_array_equal(jnp.sum(mdp.transition > 0, axis=-1), np.full((30, 4), 3))
    np.testing.assert_allclose(jnp.sum(mdp.transition, axis=-1), np.ones((30, 4)), rtol=1e-5)
    assert 1.5 < jnp.std(mdp.reward) < 2.5
    sure = tabular.garnet(jax.random.key(1), 4, 2, 1, discount=0.9)
    assert set(np.unique(sure.transition)) == {0.0, 1.0}
    for branching in (0, 5):
        with pytest.raises(ValueError, match=f"branching={branching} is from 1 to the number of states, 4"):
            tabular.garnet(jax.random.key(0), 4, 2, branching, discount=0.9)


def test_garnets_probabilities_are_uniform_over_the_simplex():
    """With 2 successors the first has a uniform probability: mean 1/2, variance 1/12."""
    mdp = tabular.garnet(jax.random.key(2), 40, 10, 2, discount=0.9)
    rows = np.asarray(mdp.transition).reshape(400, 40)
    largest = rows.max(axis=1)  # of a uniform number and its rest: uniform in [1/2, 1]
    assert abs(largest.mean() - 0.75) < 5 * np.sqrt(1 / 48 / 400)


@pytest.mark.thorough
def test_catch_is_always_caught_by_the_best_policy():
    found = tabular.from_env(envs.make("Catch-bsuite"), discount=0.99, ignore=("time",), uniform_start=True)
    mdp = found.mdp
    np.testing.assert_allclose(tabular.v_star(mdp) @ mdp.start, 0.99**8, rtol=1e-5)  # the ball falls 9 rows
    np.testing.assert_allclose(mdp.start[:5], np.full(5, 0.2), rtol=1e-6)
    assert found.observations.shape == (mdp.states, 10, 5)
    # doing nothing catches the ball that falls into the middle: 1 of 5
    np.testing.assert_allclose(tabular.expected_return(mdp, np.full(mdp.states, 1)), -0.6 * 0.99**8, rtol=1e-5)


def test_deep_sea_pays_the_way_right():
    mdp = tabular.from_env(envs.make("DeepSea-bsuite"), discount=1.0, draws=2).mdp
    np.testing.assert_allclose(tabular.v_star(mdp) @ mdp.start, 1 - 0.01, rtol=1e-5)
    worst = tabular.v_star(mdp.replace(reward=-mdp.reward))  # going right, but not in the last column
    np.testing.assert_allclose(-worst @ mdp.start, -0.01 * 7 / 8, rtol=1e-5)


def walk(step_limit=None, noise=0.5):
    """Places 0 to 3 on a line; right succeeds with probability 1 - noise; the last ends."""

    def reset(key):
        return jnp.int32(jax.random.bernoulli(key, 0.5)), jnp.int32(0)

    def step(key, state, action):
        moves = jax.random.bernoulli(key, 1 - noise) & (action == 4)
        state = state + moves
        return state, state, jnp.float32(moves), state == 3, jnp.asarray(False)

    return from_functions(reset, step, Discrete(4), Discrete(2, start=3), max_steps=step_limit)


def test_frequencies_are_within_their_standard_error():
    found = tabular.from_env(walk(), discount=0.9, draws=2_000)
    mdp, place = found.mdp, np.asarray(found.states)
    order = np.argsort(place)
    moved = np.asarray(mdp.transition)[order[:3], 1][:, order]  # action 4 is the second of Discrete(2, start=3)
    assert np.all(np.abs(np.diag(moved[:, 1:]) - 0.5) < 5 * np.sqrt(0.25 / 2_000))
    np.testing.assert_allclose(np.asarray(mdp.transition)[order[:3], 0], np.eye(4)[:3][:, np.argsort(order)])
    np.testing.assert_allclose(np.sort(np.asarray(mdp.start))[2:], [0.5, 0.5], atol=5 * np.sqrt(0.25 / 32_000))


def test_a_time_limit_ends_what_shows_its_clock():
    mdp = tabular.from_env(walk(step_limit=2, noise=0.0), discount=1.0, draws=8).mdp
    np.testing.assert_allclose(tabular.v_star(mdp)[mdp.start > 0], [2.0, 2.0])
    free = tabular.from_env(walk(step_limit=2, noise=0.0), discount=1.0, draws=8, ignore="time").mdp  # or ("time",)
    np.testing.assert_allclose(np.sort(tabular.v_star(free)[free.start > 0]), [2.0, 3.0])


def test_states_of_any_leaves_are_told_apart():
    """Bools, an empty leaf, and -0.0, which is 0.0."""

    def step(key, state, action):
        state = {"flag": state["flag"] ^ (action == 1), "zero": -state["zero"], "none": state["none"]}
        return state, state["flag"], jnp.float32(0), state["flag"], jnp.asarray(False)

    first = {"flag": jnp.asarray(False), "zero": jnp.float32(0), "none": jnp.zeros((0, 2))}
    env = from_functions(lambda key: (first, first["flag"]), step, Discrete(2), Discrete(2))
    found = tabular.from_env(env, discount=0.9, draws=2)
    np.testing.assert_array_equal(found.states["flag"], [False, True])
    assert found.states["none"].shape == (2, 0, 2)


def test_errors():
    with pytest.raises(ValueError, match=r"has nothing to ignore of the name 'tyme': .*time"):
        tabular.from_env(walk(step_limit=2), discount=0.9, ignore=("tyme",))
    with pytest.raises(ValueError, match="draws=0 must be at least 1"):
        tabular.from_env(walk(), discount=0.9, draws=0)
    with pytest.raises(ValueError, match="wants Discrete actions, Pendulum-v1 has Box"):
        tabular.from_env(envs.make("Pendulum-v1"), discount=0.9)
    with pytest.raises(ValueError, match="CartPole-v1 has more than max_states=50 states; is there a clock"):
        tabular.from_env(envs.make("CartPole-v1"), discount=0.9, max_states=50)
