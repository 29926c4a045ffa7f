"""Grids: what moves do, FrozenLake as gymnax has it, and what is drawn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_up import envs, tabular

LEFT, DOWN, RIGHT, UP = range(4)


def successors(mdp, state, action):
    row = np.asarray(mdp.transition[state, action])
    return {int(s): round(float(row[s]), 6) for s in np.flatnonzero(row)}


def test_moves_and_walls():
    mdp = tabular.from_grid("S.#\n..G", discount=0.9)  # states 0 1 / 2 3 4
    assert [successors(mdp, 0, a) for a in range(4)] == [{0: 1}, {2: 1}, {1: 1}, {0: 1}]
    assert [successors(mdp, 1, a) for a in range(4)] == [{0: 1}, {3: 1}, {1: 1}, {1: 1}]
    assert mdp.layout.cells == ((0, 0), (0, 1), (1, 0), (1, 1), (1, 2))
    np.testing.assert_allclose(mdp.start, [1, 0, 0, 0, 0])
    np.testing.assert_array_equal(mdp.terminal, [False] * 4 + [True])


def test_slipping_goes_to_either_side():
    mdp = tabular.from_grid(["...", ".S.", "..."], discount=0.9, slip=0.5)
    assert successors(mdp, 4, UP) == {1: 0.5, 3: 0.25, 5: 0.25}
    assert successors(mdp, 0, LEFT) == {0: 0.75, 3: 0.25}


def test_wind_blows_up_and_stops_at_walls():
    mdp = tabular.from_grid(["#..", "...", "..."], discount=0.9, wind=[0, 2, -1])  # states 0 1 / 2 3 4 / 5 6 7
    assert successors(mdp, 6, LEFT) == {2: 1}  # to (2, 0), one up, then the wall
    assert successors(mdp, 6, UP) == {0: 1}
    assert successors(mdp, 1, DOWN) == {7: 1}


def test_rewards_are_for_entering():
    mdp = tabular.from_grid("SoGP", discount=0.9, step_reward=-0.1, rewards={"o": 5.0, "G": 2.0})
    np.testing.assert_allclose(mdp.expected_reward[0], [-0.1, -0.1, 4.9, -0.1], rtol=1e-6)
    np.testing.assert_allclose(mdp.expected_reward[1, RIGHT], 1.9, rtol=1e-6)
    np.testing.assert_allclose(mdp.reward_table[1, RIGHT, 3], -1.1, rtol=1e-6)
    np.testing.assert_array_equal(mdp.terminal, [False, False, True, True])


@pytest.mark.thorough("True-8x8")
@pytest.mark.thorough("4x4")
@pytest.mark.parametrize("name", ["4x4", "8x8"])
@pytest.mark.parametrize("slippery", [False, True])
def test_frozen_lake_is_that_of_gymnax(name, slippery):
    """Step by step: without slipping exactly, with it by the frequencies of 3,000 steps, within 5 standard errors."""
    env = envs.make("FrozenLake-misc", map_name=name, is_slippery=slippery)
    found = tabular.from_env(env, discount=0.99, ignore=("time",), draws=3_000 if slippery else 4)
    mdp = tabular.frozen_lake(name, slippery=slippery)
    place = np.asarray(found.observations)  # the number that gymnax gives to each state that can be reached
    expected = np.asarray(mdp.transition)[place][:, :, place]
    alive = ~np.asarray(mdp.terminal)[place]
    slack = 5 * np.sqrt(expected * (1 - expected) / 3_000) + 1e-6
    assert np.all(np.abs(np.asarray(found.mdp.transition) - expected)[alive] <= slack[alive])
    np.testing.assert_array_equal(found.mdp.terminal, mdp.terminal[place])
    possible = (np.asarray(found.mdp.transition) > 0) & alive[:, None, None]
    rewards = np.asarray(mdp.reward_table)[place][:, :, place]
    np.testing.assert_allclose(np.asarray(found.mdp.reward_table)[possible], rewards[possible])


def test_it_draws_values_and_policies():
    mdp = tabular.from_grid("S.#\n..G", discount=0.5)
    assert tabular.grid_text(mdp, tabular.v_star(mdp)) == "0.25 0.50 ####\n0.50 1.00    G"
    policy = tabular.value_iteration(mdp).policy
    assert tabular.grid_text(mdp, policy=policy) == "↓→  ↓ ##\n →  →  G"
    assert tabular.grid_text(mdp, policy=[2, 1, 2, 2, 0]) == "→ ↓ #\n→ → G"
    assert tabular.grid_text(mdp, tabular.occupancy(mdp, policy), digits=1) == "1.0 0.2 ###\n0.2 0.2   G"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"text": "S.\n."}, "rows of a grid have one length: row 1 has 1 characters, row 0 2"),
        ({"text": "S?G"}, r"a grid is of .*, got '\?'"),
        ({"text": ""}, "a grid is rows of characters"),
        ({"text": "##"}, "the grid has walls only"),
        ({"text": "S.G", "slip": 1.5}, r"slip=1.5 is a probability, in \[0, 1\]"),
        ({"text": "S.G", "wind": [1]}, "wind is a whole number for each of the 3 columns"),
        ({"text": "S#G", "rewards": {"#": -1.0}}, "rewards are for entering a cell, .* no wall: got '#'"),
        ({"text": "S.G", "rewards": {"GG": 1.0}}, "by its character, .*: got 'GG'"),
        ({"text": "S#G", "discount": 1.0}, "discount=1 without an end: no way leads from state 0"),
    ],
)
def test_a_bad_grid_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        tabular.from_grid(**{"discount": 0.9} | arguments)


def test_what_cannot_be_drawn_says_so():
    mdp = tabular.from_grid("S.G", discount=0.9)
    with pytest.raises(ValueError, match="was not built from a grid"):
        tabular.grid_text(tabular.garnet(jax.random.key(0), 3, 2, 2, discount=0.9), jnp.zeros(3))
    with pytest.raises(ValueError, match="give values or a policy, one of the two"):
        tabular.grid_text(mdp)
    with pytest.raises(ValueError, match=r"values of shape \[3\], got \[2\]"):
        tabular.grid_text(mdp, jnp.zeros(2))
    with pytest.raises(ValueError, match="map_name"):
        tabular.frozen_lake("5x5")
