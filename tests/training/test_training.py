"""The compiled gear: schedules, logs, sweeps, evaluation, and programs inside programs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import EVALUATION, assert_close, breaking, cartpole, go_on, image, keys_of, lane, start_lanes, tiny, to_host

from jaxrl_up import A2C, PPO, Evaluation, envs, evaluate, evaluate_episodes, sweep, train
from jaxrl_up.config import canonical
from jaxrl_up.envs import probes
from jaxrl_up.training import apply_swept, lane_axes, lane_mesh, num_updates, place, resolve, schedule

CONFIG = tiny(A2C)


@pytest.fixture(scope="module")
def gravities(cpus):
    """Two gravities times three seeds, six lanes on two devices."""
    return sweep(A2C, cartpole(), CONFIG, {"gravity": [5.0, 15.0]}, keys_of((0, 1, 2)), 2, EVALUATION)


def test_sweep_of_the_environment_equals_separate_runs(gravities):
    states, log = gravities
    assert log.returns.shape == (2, 3, 3)
    assert log.losses["loss"].shape == (2, 3, 3)
    assert all(x.shape[:2] == (2, 3) for x in jax.tree.leaves(states._replace(counters=None)))
    assert states.counters.updates.shape == ()
    learner = jax.tree.map(np.asarray, states.learner)
    for c, gravity in enumerate((5.0, 15.0)):
        env = envs.make("CartPole-v1", max_steps=12, gravity=gravity)
        for s in (0, 2):
            state, alone = train(A2C, env, CONFIG, jax.random.key(s), 2, EVALUATION)
            assert_close(jax.tree.map(lambda x: x[c, s], learner), state.learner)  # noqa: B023
            np.testing.assert_allclose(log.returns[c, s], alone.returns, rtol=1e-4)
            np.testing.assert_array_equal(log.env_steps[c, s], alone.env_steps)


def test_gravity_matters(gravities):
    obs = gravities[0].interaction.obs
    assert np.all(np.any(np.asarray(obs[0] != obs[1]), axis=(1, 2)))


@pytest.mark.thorough
def test_sweep_of_a_field_and_a_parameter_together():
    keys = keys_of((4,))
    grid = {"learning_rate": [0.0, 0.01, 0.02], "env.gravity": [9.0, 10.0, 11.0]}
    states, log = sweep(A2C, cartpole(), CONFIG, grid, keys, 1, EVALUATION)
    assert log.returns.shape == (3, 1, 2)
    params = to_host(states.learner.params["actor"])
    first = lane(start_lanes(A2C, cartpole(), CONFIG, (4,)).state, 0)
    for x, start in zip(params, jax.tree.leaves(first.learner.params["actor"]), strict=True):
        np.testing.assert_allclose(x[0, 0], start, atol=1e-6)  # a step size of 0 learns nothing
    assert any(np.any(x[1] != x[2]) for x in params)


@pytest.mark.thorough
def test_sweep_under_jit_is_the_same(gravities):
    @jax.jit
    def program(keys):
        return sweep(A2C, cartpole(), CONFIG, {"gravity": [5.0, 15.0]}, keys, 2, EVALUATION)[1].returns

    np.testing.assert_allclose(program(keys_of((0, 1, 2))), gravities[1].returns, rtol=1e-4)


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({"learning_rat": [1.0]}, "Did you mean 'learning_rate'"),
        ({"gravty": [1.0]}, "Did you mean 'gravity'"),
        ({"num_envs": [1, 2]}, "cannot be swept"),
        ({"value_learning_rate": [1e-3]}, "is off \\(None\\) in this config"),
        ({"learning_rate": 1e-3}, "one length"),
        ({"learning_rate": [1e-3, 1e-2], "gamma": [0.9]}, "one length"),
    ],
)
def test_what_cannot_be_swept(grid, message):
    with pytest.raises(ValueError, match=message):
        sweep(A2C, cartpole(), CONFIG, grid, keys_of((0,)))


def test_names_are_spelt_out():
    env = breaking(PPO).replace(params={"gamma": jnp.float32(1.0)})
    assert resolve(cartpole(), CONFIG, {"gamma": 1, "length": 2}) == {"config.gamma": 1, "env.length": 2}
    assert resolve(env, CONFIG, {"env.gamma": 1, "config.gamma": 2}) == {"env.gamma": 1, "config.gamma": 2}
    with pytest.raises(ValueError, match=r"write config\.gamma or env\.gamma"):
        resolve(env, CONFIG, {"gamma": 1})
    env, config = apply_swept(cartpole(), CONFIG, {"env.length": 2.0, "config.gamma": 0.5})
    assert (float(env.params["length"]), config.gamma) == (2.0, 0.5)


@pytest.mark.parametrize(("steps", "evals"), [(64, 1), (64, 3), (64, 4), (64, 20), (1, 5), (100, 4), (16 * 101, 20)])
def test_schedule_ends_where_training_ends(steps, evals):
    config = tiny(A2C, total_steps=steps)
    parts = np.asarray(schedule(A2C, config, evals))
    total = num_updates(A2C, config)
    assert parts.sum() == total == max(steps // 16, 1)
    assert parts[0] == 0  # the untrained policy
    assert len(parts[1:]) == min(evals, total)
    assert parts[1:].min() >= 1
    assert parts[1:].max() - parts[1:].min() <= 1


def test_schedule_needs_an_evaluation():
    with pytest.raises(ValueError, match="num_evals=0"):
        train(A2C, cartpole(), CONFIG, jax.random.key(0), 0)


def test_log_of_a_run():
    """Episodes of 5 steps that pay 1 each, 2 environments, 4 updates of 8 steps."""
    env = probes.count_steps(max_steps=5)
    state, log = train(A2C, env, CONFIG, jax.random.key(0), 2, Evaluation(3))
    np.testing.assert_array_equal(log.env_steps, [0, 32, 64])
    np.testing.assert_array_equal(log.returns, [5, 5, 5])
    np.testing.assert_array_equal(log.returns_std, [0, 0, 0])
    np.testing.assert_array_equal(log.lengths, [5, 5, 5])
    np.testing.assert_array_equal(log.unfinished, [0, 0, 0])
    assert np.all((log.distinct >= 1) & (log.distinct <= 3))
    np.testing.assert_array_equal(log.train_returns, [np.nan, 5, 5])
    np.testing.assert_array_equal(log.train_episodes, [0, 6, 6])  # 16 and then 32 steps each
    np.testing.assert_array_equal(log.failed_at, [-1, -1, -1])
    assert all(x.shape == (3,) and np.isnan(x[0]) and np.isfinite(x[1:]).all() for x in log.losses.values())
    assert int(state.counters.env_steps) == 64


def test_training_returns_are_nan_only_where_no_episode_ended():
    _, log = train(A2C, probes.count_steps(max_steps=20), CONFIG, jax.random.key(0), 2, Evaluation(1, max_steps=9))
    np.testing.assert_array_equal(log.train_episodes, [0, 0, 2])
    np.testing.assert_array_equal(log.train_returns, [np.nan, np.nan, 20])
    np.testing.assert_array_equal(log.unfinished, [1, 1, 1])
    np.testing.assert_array_equal(log.returns, [9, 9, 9])


def test_train_of_many_keys_and_metrics_by_cadence(cpus):
    """The number of evaluations is another program, but not another run."""
    keys = keys_of((0, 1, 2, 3))
    often = jax.jit(jax.vmap(lambda key: train(A2C, cartpole(), CONFIG, key, 4, EVALUATION)))(keys)
    once = jax.jit(jax.vmap(lambda key: train(A2C, cartpole(), CONFIG, key, 1, EVALUATION)))(keys)
    assert often[1].returns.shape == (4, 5)
    assert_close(often[0], once[0])
    np.testing.assert_allclose(often[1].returns[:, -1], once[1].returns[:, -1])
    np.testing.assert_allclose(np.mean(often[1].losses["loss"][:, 1:], axis=1), once[1].losses["loss"][:, 1], rtol=1e-4)
    assert np.sum(often[1].train_episodes) == np.sum(once[1].train_episodes)


def test_train_inside_jit_takes_traced_values():
    """Training as a function of its hyperparameters and of physics: what meta-learning needs."""

    @jax.jit
    def final(learning_rate, gravity, key):
        env = cartpole().with_params(gravity=gravity)
        state, log = train(A2C, env, CONFIG.replace(learning_rate=learning_rate), key, 1, EVALUATION)
        return state.learner.params, log.returns[-1]

    key = jax.random.key(0)
    inside = final(1e-2, 5.0, key)
    state, log = train(
        A2C, envs.make("CartPole-v1", max_steps=12, gravity=5.0), CONFIG.replace(learning_rate=1e-2), key, 1, EVALUATION
    )
    assert_close(inside[0], state.learner.params)
    np.testing.assert_allclose(inside[1], log.returns[-1])


def test_evaluate_is_whole_episodes_of_the_policy():
    env, config = cartpole(), canonical(CONFIG)
    state = jax.jit(lambda key: A2C.init(config, env, key))(jax.random.key(0))

    @jax.jit
    def both(key):
        greedy = evaluate_episodes(A2C, env, config, state.policy, key, 6)
        return greedy, evaluate(A2C, env, config, state.policy, key, 6, deterministic=False)

    greedy, drawn = both(jax.random.key(1))
    assert greedy.returns.shape == drawn.shape == (6,)
    np.testing.assert_array_equal(greedy.returns, greedy.lengths)
    assert np.all(greedy.finished)
    assert np.any(greedy.returns != drawn)
    np.testing.assert_array_equal(both(jax.random.key(1))[1], drawn)
    assert np.all(evaluate(A2C, env, config, state.policy, jax.random.key(1), 6, max_steps=3) == 3)


def test_lanes_fill_the_devices(cpus):
    assert lane_mesh(1) is None
    assert lane_mesh(2).size == lane_mesh(7).size == 2
    start = start_lanes(A2C, cartpole(), CONFIG, (5, 6, 7))
    spread = place(start, lane_mesh(3), lane_axes(start))
    assert spread.failed_at.shape == (4,)
    assert len(spread.state.interaction.obs.sharding.device_set) == 2
    assert spread.state.counters.updates.shape == ()
    assert_close(lane(spread.state, 3), lane(start.state, 0), atol=0, rtol=0)


def test_sharded_and_unsharded_lanes_agree(cpus):
    start = start_lanes(A2C, cartpole(), CONFIG, (5, 6))
    sharded, log = go_on(A2C, cartpole(), CONFIG, start, 3)
    single, single_log = go_on(A2C, cartpole(), CONFIG, start, 3, mesh=None)
    assert_close(sharded, single)
    np.testing.assert_allclose(log.returns, single_log.returns)


@pytest.mark.thorough
def test_memory_does_not_grow_with_the_length_of_a_run():
    """Nothing of the size of a rollout is kept per update: only the count of updates differs between these programs."""
    sizes = []
    for steps in (64, 64_000):
        config = tiny(PPO, total_steps=steps)
        program = jax.jit(lambda key: train(PPO, image(), config, key, 2, EVALUATION))  # noqa: B023
        memory = program.lower(jax.random.key(0)).compile().memory_analysis()
        sizes.append((memory.temp_size_in_bytes, memory.output_size_in_bytes))
    assert sizes[0] == sizes[1]
