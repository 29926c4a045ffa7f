"""Rows of a rollout against a plain loop, episode sums, and whole episodes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import assert_equal

from jaxrl_up.envs import Box, Discrete, from_functions, probes
from jaxrl_up.learning import distinct, play, rollout, start, unroll


def walk(max_steps=4):
    """A random walk that terminates beyond 1.5 and is cut after `max_steps`; the reward is the position."""
    return from_functions(_reset, _step, Box(-9, 9, (1,)), Discrete(2), max_steps, name="walk")


def _reset(key):
    position = jax.random.uniform(key, (1,))
    return position, position


def _step(key, position, action):
    position = position + 0.4 * action + 0.1 * jax.random.normal(key, (1,))
    return position, position, position[0], position[0] > 1.5, jnp.bool_(False)


def policy(obs, memory, key):
    action = jax.random.bernoulli(key, 0.7, obs.shape[:1]).astype(jnp.int32)
    return action, memory, {"twice": 2 * obs[:, 0]}


def test_rows_equal_a_plain_loop():
    env, length, envs, key = walk(), 23, 3, jax.random.key(3)
    interaction = start(env, envs, jax.random.key(0))
    after, rows, sums = jax.jit(lambda i, k: unroll(env, policy, i, length, k))(interaction, key)

    policy_key, env_key = jax.random.split(key)
    policy_keys, env_keys = jax.random.split(policy_key, length), jax.random.split(env_key, (length, envs))
    step = jax.jit(env.step)
    states = [jax.tree.map(lambda x: x[b], interaction.env_state) for b in range(envs)]  # noqa: B023
    obs, total, steps = np.array(interaction.obs), np.zeros(envs), np.zeros(envs, int)
    count = total_return = total_length = 0
    flags = np.zeros(2, int)
    for t in range(length):
        action, _, extras = policy(jnp.asarray(obs), (), policy_keys[t])
        np.testing.assert_array_equal(rows.action[t], action)
        np.testing.assert_allclose(rows.extras["twice"][t], extras["twice"], rtol=1e-5)
        for b in range(envs):
            np.testing.assert_allclose(rows.obs[t, b], obs[b], rtol=1e-5)
            states[b], this = step(env_keys[t, b], states[b], action[b])
            np.testing.assert_allclose(rows.next_obs[t, b], this.next_obs, rtol=1e-5)
            np.testing.assert_allclose(rows.reward[t, b], this.reward, rtol=1e-5)
            assert bool(rows.terminated[t, b]) == bool(this.terminated)
            assert bool(rows.truncated[t, b]) == bool(this.truncated)
            flags += [bool(this.terminated), bool(this.truncated)]
            obs[b] = this.obs
            total[b] += this.reward
            steps[b] += 1
            if this.terminated or this.truncated:
                assert not np.array_equal(this.obs, this.next_obs)
                count, total_return, total_length = count + 1, total_return + total[b], total_length + steps[b]
                total[b] = steps[b] = 0
    assert np.all(flags > 0)
    assert int(sums.count) == count
    assert int(sums.total_length) == total_length
    np.testing.assert_allclose(sums.total_return, total_return, rtol=1e-4)
    np.testing.assert_allclose(after.episode_return, total, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(after.episode_length, steps)
    np.testing.assert_allclose(after.obs, obs, rtol=1e-5)


def test_two_halves_carry_episodes_over():
    env = probes.count_steps(terminate_at=None, max_steps=5)
    interaction = start(env, 2, jax.random.key(0))
    interaction, rows, first = unroll(env, policy, interaction, 3, jax.random.key(1))
    assert int(first.count) == 0
    assert float(first.total_return) == 0
    np.testing.assert_array_equal(rows.obs[:, 0, 0], [0, 1, 2])
    interaction, rows, second = unroll(env, policy, interaction, 4, jax.random.key(2))
    np.testing.assert_array_equal(rows.obs[:, 1, 0], [3, 4, 0, 1])
    np.testing.assert_array_equal(rows.next_obs[:, 1, 0], [4, 5, 1, 2])
    assert (int(second.count), float(second.total_return), int(second.total_length)) == (2, 10.0, 10)
    np.testing.assert_array_equal(interaction.episode_length, [2, 2])


def stay(obs, memory, key):
    return jnp.zeros(obs.shape[0], jnp.int32), memory


def acting(choose):
    """What `play` calls, of a function of the observations and the key."""
    return lambda obs, memory, key: (choose(obs, key), memory)


@pytest.mark.parametrize(("cap", "length", "finished"), [(None, 5, True), (3, 3, False), (9, 5, True)])
def test_play_stops_at_the_end_or_the_cap(cap, length, finished):
    episodes = play(probes.count_steps(max_steps=5), stay, jax.random.key(0), 3, cap)
    np.testing.assert_array_equal(episodes.lengths, [length] * 3)
    np.testing.assert_array_equal(episodes.returns, [length] * 3)
    np.testing.assert_array_equal(episodes.finished, [finished] * 3)


def test_episodes_that_repeat_others_are_told():
    """By their actions and rewards, to the last bit, for as long as they go on."""
    env, key = probes.count_steps(max_steps=5), jax.random.key(0)
    assert int(distinct(play(env, stay, key, 6))) == 1
    assert int(distinct(play(env, acting(lambda obs, _: jnp.arange(6, dtype=jnp.int32) % 3), key, 6))) == 3
    assert int(distinct(play(env, acting(lambda obs, _: stay(obs, (), _)[0] + (obs[:, 0] > 8)), key, 6))) == 1
    close = jnp.float32([0.1, 0.1, np.nextafter(np.float32(0.1), np.float32(1)), -0.1])[:, None]
    assert int(distinct(play(probes.continuous_action_reward(), acting(lambda *_: close), key, 4))) == 3
    drawn = play(walk(30), acting(lambda o, k: jnp.zeros_like(policy(o, (), k)[0])), key, 20)
    assert int(distinct(drawn)) == len(set(np.asarray(drawn.returns).tolist())) > 10  # rewards alone


def test_play_counts_one_episode_of_each_environment():
    episodes = jax.jit(lambda key: play(walk(30), acting(lambda o, k: policy(o, (), k)[0]), key, 20))(jax.random.key(0))
    assert np.all(episodes.finished)
    assert len(set(np.asarray(episodes.lengths).tolist())) > 1
    assert np.all(episodes.returns / episodes.lengths < 2.1)
    again = play(walk(30), acting(lambda o, k: policy(o, (), k)[0]), jax.random.key(0), 20)
    np.testing.assert_allclose(episodes.returns, again.returns, rtol=1e-5)
    other = play(walk(30), acting(lambda o, k: policy(o, (), k)[0]), jax.random.key(1), 20)
    assert np.any(episodes.returns != other.returns)


def test_play_has_a_cap_where_the_environment_has_none():
    episodes = jax.jit(lambda: play(probes.count_steps(max_steps=None), stay, jax.random.key(0), 1))()
    assert episodes.lengths.tolist() == [10_000]
    assert not episodes.finished[0]


def test_start_gives_every_environment_its_own_reset():
    interaction = start(walk(), 8, jax.random.key(0))
    assert len(np.unique(interaction.obs)) == 8
    assert interaction.episode_return.shape == interaction.episode_length.shape == (8,)


def counting_memory(key):
    """Steps since the episode began, and a key of its own."""
    return {"age": jnp.int32(0), "key": key}


def remember(obs, memory, key):
    """Acts by what is remembered, and remembers one step more."""
    after = {"age": memory["age"] + 1, "key": jax.vmap(lambda key: jax.random.split(key)[0])(memory["key"])}
    return memory["age"] % 2, after, memory


def test_a_memory_begins_anew_with_every_episode():
    env, length, num_envs = walk(), 23, 3
    interaction = start(env, num_envs, jax.random.key(0), counting_memory, jax.random.key(9))
    after, rows, _ = jax.jit(lambda i, k: unroll(env, remember, i, length, k, None, counting_memory))(
        interaction, jax.random.key(3)
    )
    age = np.zeros(num_envs, int)
    keys = np.asarray(jax.random.key_data(rows.extras["key"]))
    begun = {tuple(key) for key in keys[0].tolist()}
    for t in range(length):
        np.testing.assert_array_equal(rows.extras["age"][t], age)
        np.testing.assert_array_equal(rows.action[t], age % 2)
        done = np.asarray(rows.terminated[t] | rows.truncated[t])
        age = np.where(done, 0, age + 1)
        if t + 1 < length:
            split = np.asarray(
                jax.random.key_data(jax.vmap(lambda key: jax.random.split(key)[0])(rows.extras["key"][t]))
            )
            np.testing.assert_array_equal(keys[t + 1][~done], split[~done])
            begun |= {tuple(key) for key in keys[t + 1][done].tolist()}
    assert done.sum() >= 0 and len(begun) > num_envs  # every episode has a key of its own
    np.testing.assert_array_equal(after.memory["age"], age)
    np.testing.assert_array_equal(interaction.memory["age"], 0)


def test_fresh_memories_too_large_to_draw_ahead_are_the_same(monkeypatch):
    env, num_envs = walk(), 3
    interaction = start(env, num_envs, jax.random.key(0), counting_memory, jax.random.key(9))
    results = []
    for room in (2**24, 0):
        monkeypatch.setattr(rollout, "RESETS_AHEAD", room)
        results.append(unroll(env, remember, interaction, 23, jax.random.key(3), None, counting_memory))
    assert_equal(*results)


def test_a_memory_alters_no_reset():
    env = walk()
    plain = start(env, 3, jax.random.key(0))
    _, without, _ = unroll(env, lambda o, m, k: (o[:, 0] > 0, m, ()), plain, 23, jax.random.key(3))
    remembering = start(env, 3, jax.random.key(0), counting_memory, jax.random.key(9))
    _, rows, _ = unroll(
        env, lambda o, m, k: (o[:, 0] > 0, m, ()), remembering, 23, jax.random.key(3), None, counting_memory
    )
    assert_equal(without, rows)


def test_an_episode_played_remembers():
    def act(obs, memory, key):
        action, memory, _ = remember(obs, memory, key)
        return action, memory

    episodes = play(probes.matched_action_reward(), act, jax.random.key(0), 4, None, counting_memory)
    assert np.all(episodes.lengths == 1)
    alternating = play(probes.count_steps(max_steps=6), act, jax.random.key(0), 4, None, counting_memory)
    fixed = play(probes.count_steps(max_steps=6), stay, jax.random.key(0), 4)
    assert np.all(alternating.mark != fixed.mark) and int(distinct(alternating)) == 1
