"""Environments that go on from a fresh reset by themselves: alone, under wrappers, and in rollouts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_up import DQN, PPO, envs, make_config
from jaxrl_up.config import canonical
from jaxrl_up.envs import Box, Discrete
from jaxrl_up.learning import rollout

ENDS = 5


def reset(key):
    return jnp.int32(0), jnp.zeros(2)


def step(key, time, action):
    time = time + 1
    return time, jnp.float32([time, 10 * action + time]), jnp.float32(time), time >= ENDS, False, {"twice": 2 * time}


PLAIN = envs.from_functions(reset, step, Box(-1.0, 100.0, (2,)), Discrete(3), name="ladder", deterministic_reset=True)


def restarting(env):
    """The same with a restart, that says which steps were made by it: `made [...]` in `info`."""

    def restart(params, key, state, action):
        reached, obs, reward, terminated, truncated, info = env.spec.step(params, key, state, action)
        fresh_state, fresh_obs = env.spec.reset(params, key)
        done = terminated | truncated
        state, seen = jnp.where(done, fresh_state, reached), jnp.where(done, fresh_obs, obs)
        return state, seen, obs, reward, terminated, truncated, {**info, "made": jnp.bool_(True)}

    return env.replace(spec=env.spec._replace(restart=restart))


def played(env, steps=4 * ENDS + 2):
    def one(carry, key):
        state, now = env.step(key, carry[0], jax.random.randint(key, (), 0, 3))
        return (state, now.obs), now

    return jax.lax.scan(one, env.reset(jax.random.key(0)), jax.random.split(jax.random.key(1), steps))[1]


def equal(a, b):
    info = {name: b.info[name] for name in a.info}
    jax.tree.map(np.testing.assert_array_equal, a, b._replace(info=info))


WRAPPERS = [
    [],
    ["frame_stack=3"],
    ["previous_action", "frame_stack=2"],
    ["episode_statistics"],
    ["time_left"],
    ["clip_reward=0,3", "scale_reward=0.5"],
    ["sticky_actions=0.0"],
    ["mask_observation=0"],
]


@pytest.mark.parametrize("wrappers", WRAPPERS, ids=" ".join)
def test_what_a_wrapper_keeps_begins_anew(wrappers):
    limited = [PLAIN, restarting(PLAIN)]
    if wrappers == ["time_left"]:
        limited = [env.replace(spec=env.spec._replace(max_steps=ENDS)) for env in limited]
    plain, restarted = (envs.wrap(env, wrappers) for env in limited)
    assert restarted.spec.restart is not None and restarted.spec == envs.wrap(limited[1], wrappers).spec
    plain, restarted = played(plain), played(restarted)
    assert "made" in restarted.info and "made" not in plain.info
    assert restarted.terminated.sum() == 4
    equal(plain, restarted)


def test_what_ends_episodes_resets_them_itself():
    env = envs.time_limit(restarting(PLAIN), 3)
    assert env.spec.restart is None
    equal(played(envs.time_limit(PLAIN, 3)), played(env))


def test_a_simulator_is_shown_as_it_goes_on():
    env = envs.with_simulator(restarting(PLAIN))
    state, _ = env.reset(0)
    for time in range(1, ENDS + 1):
        state, now = env.step(0, state, 1)
        assert not envs.simulator_of(env, now.obs).terminated
        assert envs.simulator_of(env, now.obs).state == time % ENDS
    assert envs.simulator_of(env, now.next_obs).terminated


@pytest.mark.parametrize("algo", [PPO, DQN], ids=lambda algo: algo.name)
def test_no_resets_are_drawn_ahead(algo):
    """Training resets as often as there are environments: at the beginning."""
    calls = []

    def counted(params, key):
        calls.append(1)
        return PLAIN.spec.reset(params, key)

    env = restarting(PLAIN)
    env = env.replace(spec=env.spec._replace(reset=counted))
    config = canonical(make_config(algo, total_steps=64, num_envs=2, rollout_length=8))
    state = jax.eval_shape(lambda key: algo.init(config, env, key), jax.random.key(0))
    begun = len(calls)
    jax.eval_shape(lambda state: algo.update(config, env, state), state)
    assert begun and len(calls) == begun


def test_a_rollout_has_the_true_successors():
    env = restarting(PLAIN)

    def policy(obs, memory, key):
        return jnp.ones(obs.shape[0], jnp.int32), memory, ()

    begun = rollout.start(env, 3, jax.random.key(0))
    _, rows, sums = jax.jit(lambda begun: rollout.unroll(env, policy, begun, 2 * ENDS, jax.random.key(1)))(begun)
    np.testing.assert_array_equal(rows.next_obs[:, 0, 0], [1, 2, 3, 4, 5] * 2)
    np.testing.assert_array_equal(rows.obs[:, 0, 0], [0, 1, 2, 3, 4] * 2)
    assert sums.count == 6 and sums.total_length == 6 * ENDS
