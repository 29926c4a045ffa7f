"""Each probe has the value function it documents, found here by playing it."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_up import envs
from jaxrl_up.envs import probes

GAMMA = 0.9


@pytest.mark.parametrize("name", probes.PROBES)
def test_probes_conform(name):
    env = probes.PROBES[name]()
    assert env.name == name and env.spec == probes.PROBES[name]().spec
    envs.check(env)


def play(env, actions, key=None, num_steps=8):
    """Play a fixed sequence or function of obs; returns the list of (obs, action, TimeStep)."""
    key = jax.random.key(0) if key is None else key
    state, obs = env.reset(key)
    rows = []
    for i, action in zip(range(num_steps), actions, strict=False):
        action = action(obs) if callable(action) else action
        state, step = env.step(jax.random.fold_in(key, i), state, action)
        rows.append((obs, action, step))
        obs = step.obs
    return rows


def first_return(rows):
    """Discounted return of the first episode, which must terminate."""
    total, discount = 0.0, 1.0
    for _, _, step in rows:
        total, discount = total + discount * float(step.reward), discount * GAMMA
        if step.terminated:
            return total
    raise AssertionError("the episode did not terminate")


@pytest.mark.parametrize(
    ("env", "actions", "value"),
    [
        (probes.one_step(), [0], 1.0),
        (probes.delayed_reward(), [0, 1], GAMMA),
        (probes.action_reward(), [1], 1.0),
        (probes.action_reward(), [0], -1.0),
        (probes.continuous_action_reward(0.5), [jnp.array([0.5])], 0.0),
        (probes.continuous_action_reward(2.0, 1.0, 4.0), [jnp.array([4.0])], -4.0),
        (probes.matched_action_reward(), [lambda obs: (obs[0] > 0).astype(int)], 1.0),
        (probes.matched_action_reward(), [lambda obs: (obs[0] < 0).astype(int)], -1.0),
        (probes.continuous_matched_action_reward(0.5), [lambda obs: 0.5 * obs], 0.0),
        (probes.continuous_matched_action_reward(0.5), [lambda obs: -0.5 * obs], -1.0),
        (probes.count_steps(terminate_at=3, max_steps=3), [0] * 3, 1 + GAMMA + GAMMA**2),
        (probes.count_steps(terminate_at=1, max_steps=None), [0], 1.0),
    ],
)
def test_returns_are_the_documented_values(env, actions, value):
    np.testing.assert_allclose(first_return(play(env, actions)), value, rtol=1e-5, atol=1e-6)


def test_the_observed_reward_takes_both_signs():
    env, seen = probes.observed_reward(), set()
    for seed in range(8):
        obs, _, step = play(env, [0], jax.random.key(seed))[0]
        assert step.reward == obs[0] and step.terminated
        seen.add(float(obs[0]))
    assert seen == {-1.0, 1.0}


def test_constant_reward_ends_by_its_limit_only():
    rows = play(probes.constant_reward(2.5, max_steps=3), itertools.repeat(1))
    assert [float(step.reward) for _, _, step in rows] == [2.5] * 8
    assert not any(step.terminated for _, _, step in rows)
    assert [bool(step.truncated) for _, _, step in rows] == ([False, False, True] * 3)[:8]
    assert probes.constant_reward(1.0).spec == probes.constant_reward(2.0).spec


@pytest.mark.parametrize(
    ("terminate_at", "max_steps", "length"),
    [(None, 3, 3), (3, 3, 3), (2, 3, 2), (None, 1, 1), (1, 1, 1), (4, None, 4)],
)
def test_count_steps_shows_flags_and_both_observations_at_ends(terminate_at, max_steps, length):
    for i, (obs, _, step) in enumerate(play(probes.count_steps(terminate_at, max_steps), itertools.repeat(0))):
        time = i % length
        ends = time + 1 == length
        assert obs[0] == time and step.next_obs[0] == time + 1
        assert step.obs[0] == (0 if ends else time + 1)
        assert bool(step.terminated) == (time + 1 == terminate_at)
        assert bool(step.truncated) == (time + 1 == max_steps)


def test_count_steps_refuses_to_end_before_it_starts():
    with pytest.raises(ValueError, match="terminate_at >= 1"):
        probes.count_steps(terminate_at=0)
