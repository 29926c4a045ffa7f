"""A planner through everything that carries one: what it earns, what it cannot know, its memory, runs, pictures."""

import pickle
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from shooting import SHOOTING, Config
from stopping import stop_after
from tiny import assert_close, assert_equal, to_host

from jaxrl_up import envs, evaluate, evaluate_episodes, load_policies, load_run, resume, run
from jaxrl_up.analysis import draw_episode, record_episode, write_gif
from jaxrl_up.config import canonical
from jaxrl_up.envs import Box, from_functions, simulate
from jaxrl_up.learning import fresh_start, memory_of, planning, play
from jaxrl_up.training import advance, begin
from jaxrl_up.types import Algorithm

PENDULUM = envs.with_simulator(envs.make("Pendulum-v1", max_steps=12))
SMALL = Config(total_steps=64, num_envs=2, rollout_length=8, candidates=5, horizon=3)
SEEDS = (7, 0, 3)
SETTINGS = {"num_evals": 4, "num_episodes": 3, "max_eval_steps": 12, "progress": False}


# -- what it earns


def test_it_swings_the_pendulum_up():
    """Random actions earn -1200, agents that have learned -150."""
    env = envs.with_simulator("Pendulum-v1")

    def at_random(obs, memory, key):
        return jax.vmap(env.action_space.sample)(jax.random.split(key, 8)), memory

    planned = evaluate(SHOOTING, env, Config(candidates=16, horizon=15), (), jax.random.key(0), 8)
    drawn = jax.jit(lambda key: play(env, at_random, key, 8))(jax.random.key(0)).returns
    assert np.mean(planned) > -300
    assert np.mean(planned) > np.mean(drawn) + 600


def test_a_plan_is_gone_on_with():
    """Without other candidates it is followed to its end, and its last action repeated."""
    config, obs = canonical(SMALL.replace(candidates=1)), PENDULUM.reset(0)[1]
    key = jax.random.key(1)
    memory = {"plan": jnp.array([[0.5], [-1.0], [1.5]]), "key": key}
    for wanted in (0.5, -1.0, 1.5, 1.5):
        action, after = SHOOTING.act(config, PENDULUM, (), obs, memory)
        np.testing.assert_allclose(action, [wanted], rtol=1e-6)
        assert not np.array_equal(*map(jax.random.key_data, (after["key"], memory["key"])))
        memory = after
    begun = SHOOTING.initial_memory(config, PENDULUM, key)
    assert_equal(begun, {"plan": jnp.zeros((3, 1)), "key": key})


def test_a_better_plan_is_taken():
    """The last action of the plan is not worth what the others are, with rewards only for the first."""
    env = envs.with_simulator(
        from_functions(_at_rest, _towards_one, Box(-1, 1, (1,)), Box(-3.0, 3.0, (1,)), name="towards_one")
    )
    config, obs = canonical(Config(candidates=200, horizon=2, spread=0.5)), env.reset(0)[1]
    action, _ = SHOOTING.act(config, env, (), obs, SHOOTING.initial_memory(config, env, jax.random.key(0)))
    np.testing.assert_allclose(action, [1.0], atol=0.1)


def _at_rest(key):
    return jnp.zeros(1), jnp.zeros(1)


def _towards_one(key, state, action):
    over = jnp.bool_(True)
    return state, state, -((action[0] - 1.0) ** 2), over, jnp.bool_(False)


# -- what it cannot know


def _toss(key, state, action):
    """Pay 1 where the sign of the action is that of a coin that the environment tosses."""
    coin = jax.random.bernoulli(key)
    return state, state, 1.0 * ((action[0] > 0) == coin), jnp.bool_(False), jnp.bool_(False)


def coin(max_steps=100):
    return envs.with_simulator(
        from_functions(_at_rest, _toss, Box(-1, 1, (1,)), Box(-1.0, 1.0, (1,)), max_steps, name="coin")
    )


@pytest.mark.parametrize("deterministic", [True, False])
def test_no_planner_foresees_what_the_environment_draws(deterministic):
    """4000 tosses, of which half are won, give or take 0.008; the keys of the environment would win all."""
    config = Config(candidates=8, horizon=1, spread=0.5)
    returns = evaluate(SHOOTING, coin(), config, (), jax.random.key(5), 40, deterministic)
    assert abs(np.mean(returns) / 100 - 0.5) < 0.04


def test_nor_does_one_in_training():
    config = Config(num_envs=40, rollout_length=100, candidates=8, horizon=1, spread=0.5)
    env, config = coin(), canonical(config)
    _, metrics = jax.jit(lambda key: SHOOTING.update(config, env, SHOOTING.init(config, env, key)))(jax.random.key(2))
    assert int(metrics.episode_count) == 40
    assert abs(float(metrics.episode_return) / 4000 - 0.5) < 0.04


def test_nor_by_the_key_it_is_given_to_act():
    """A planner that draws with `act`'s key wins half too, and one that is told the environment's key wins always."""
    env = coin(100)

    def by_a_key(key, state):
        rewards = [simulate(env, key, state, jnp.full(1, sign))[2] for sign in (-1.0, 1.0)]
        return jnp.where(rewards[1] > rewards[0], 1.0, -1.0)[None]

    def act(obs, memory, key):
        return jax.vmap(by_a_key, (None, 0))(key, envs.simulator_of(env, obs)), memory

    episodes = jax.jit(lambda key: play(env, act, key, 40))(jax.random.key(0))
    assert abs(np.mean(episodes.returns) / 100 - 0.5) < 0.04

    state, obs = env.reset(0)
    for t in range(20):
        key = jax.random.key(t)
        told, _ = jax.random.split(key)
        state, step = env.step(key, state, by_a_key(told, obs["simulator"]))
        obs = step.obs
        assert float(step.reward) == 1.0


# -- how it acts


@pytest.mark.thorough("axes1")
@pytest.mark.parametrize("axes", [(), (3,), (2, 3)])
def test_it_acts_for_any_leading_axes(axes):
    config, number = canonical(SMALL), int(np.prod(axes))
    keys = jax.random.split(jax.random.key(0), number).reshape(axes)
    reset, begun = (lambda key: PENDULUM.reset(key)[1]), partial(SHOOTING.initial_memory, config, PENDULUM)
    each, one_by_one = partial(SHOOTING.act, config, PENDULUM, ()), []
    alone = jax.jit(each)
    for _ in axes:
        reset, begun = jax.vmap(reset), jax.vmap(begun)
    obs, memory = jax.jit(lambda keys: (reset(keys), begun(keys)))(keys)
    action, after = jax.jit(each)(obs, memory)
    assert action.shape == (*axes, 1) and after["plan"].shape == (*axes, 3, 1) and after["key"].shape == axes
    for i in np.ndindex(axes):
        one_by_one.append(alone(*jax.tree.map(lambda x: x[i], (obs, memory)))[0])  # noqa: B023
    assert_close(action.reshape(-1, 1), jnp.stack(one_by_one))


def test_without_a_simulator_it_says_what_to_do():
    with pytest.raises(ValueError, match=r"Pendulum-v1, which shows no simulator: wrap it in envs\.with_simulator"):
        run(SHOOTING, "Pendulum-v1", SMALL, 1, progress=False)


# -- updates


def test_an_update_acts_and_counts_and_its_loss_is_zero():
    config = canonical(SMALL)
    progress = begin(SHOOTING, PENDULUM, config, jax.random.key(0))
    progress, log = jax.jit(lambda x: advance(SHOOTING, PENDULUM, config, x, 3))(progress)
    assert progress.state.counters == (3, 48)
    assert np.asarray(progress.state.interaction.episode_length).tolist() == [0, 0]  # 24 steps are two episodes
    assert (int(log.train_episodes), float(log.losses["loss"]), int(log.failed_at)) == (4, 0.0, -1)
    assert float(log.train_returns) < 0
    assert progress.state.policy == progress.state.experience == ()


class Weights(NamedTuple):
    """A model learned before, as a planner may have it."""

    first: jax.Array


def _weights(config, env, key):
    return Weights(jax.random.normal(key, (2,)))


HANDED = planning.Planner(SHOOTING.act, SHOOTING.initial_memory, _weights)
LIKE = {"action_spaces": ("Box",), "initial_memory": SHOOTING.initial_memory, "learns": False}
WITH_WEIGHTS = Algorithm("weights", Config, HANDED.init, HANDED.update, SHOOTING.act, SHOOTING.steps_per_update, **LIKE)


def test_what_it_acts_by_stays_as_it_is():
    config = canonical(SMALL)
    before = begin(WITH_WEIGHTS, PENDULUM, config, jax.random.key(0))
    after, _ = jax.jit(lambda x: advance(WITH_WEIGHTS, PENDULUM, config, x, 2))(before)
    assert after.state.policy.first.shape == (2,)
    assert_equal(after.state.learner, before.state.learner)


# -- runs


@pytest.fixture(scope="module")
def whole(cpus, tmp_path_factory):
    directory = tmp_path_factory.mktemp("planner") / "run"
    return run(SHOOTING, PENDULUM, SMALL, SEEDS, directory=directory, **SETTINGS)


def test_a_run_of_seeds_is_kept(whole):
    assert whole.returns.shape == (3, 5)
    assert len(np.unique(whole.returns)) == 15
    assert whole.failed == {}
    assert np.all(np.asarray(whole.log.losses["loss"])[:, 1:] == 0)
    policies = load_policies(load_run(whole.directory, SHOOTING, PENDULUM))
    assert policies.last == policies.best == ()
    np.testing.assert_array_equal(policies.returns, whole.returns[:, -1])
    plans = np.asarray(whole.state.interaction.memory["plan"])
    assert plans.shape == (3, 2, 3, 1) and np.any(plans != 0)


def test_it_goes_on_bit_for_bit_with_its_memory(whole, tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, 2)
        half = run(SHOOTING, PENDULUM, SMALL, SEEDS, directory=tmp_path / "run", **SETTINGS)
    assert (half.stopped, half.returns.shape) == ("SIGTERM", (3, 3))
    assert np.any(np.asarray(half.state.interaction.memory["plan"]) != 0)  # it stops within episodes
    result = resume(tmp_path / "run", algo=SHOOTING, env=PENDULUM, progress=False)
    assert_equal(result.state, whole.state)
    np.testing.assert_array_equal(result.returns, whole.returns)
    rows = [(directory / "progress.csv").read_bytes() for directory in (result.directory, whole.directory)]
    assert rows[0] == rows[1]


def test_a_policy_of_a_run_plays_as_episodes_are_played(whole):
    key = jax.random.key(4)
    played = evaluate_episodes(SHOOTING, PENDULUM, SMALL, (), key, 1)
    policy = pickle.loads(pickle.dumps(whole.policy(SEEDS[1])))
    with pytest.raises(TypeError, match="this policy remembers"):
        policy(PENDULUM.reset(0)[1])

    reset_key, loop_key = jax.random.split(key)
    begun = memory_of(SHOOTING, PENDULUM, canonical(SMALL), True)
    (state, obs), memory = fresh_start(PENDULUM, begun, jax.random.split(reset_key, 1)[0])
    total, step = 0.0, jax.jit(PENDULUM.step_or_restart)
    for time in range(12):
        _, env_key = jax.random.split(jax.random.fold_in(loop_key, time))
        action, memory = policy(obs, memory)
        state, now = step(jax.random.split(env_key, 1)[0], state, action, (state, obs))
        total, obs = total + float(now.reward), now.next_obs
    np.testing.assert_allclose(total, played.returns[0], rtol=1e-5)
    assert_equal(policy.initial_memory(9)["plan"], jnp.zeros((3, 1)))


@pytest.mark.parametrize("deterministic", [True, False])
def test_the_episode_recorded_is_the_one_evaluated(deterministic, tmp_path):
    key = jax.random.key(6)
    episode = record_episode(SHOOTING, PENDULUM, SMALL, (), key, deterministic)
    played = evaluate_episodes(SHOOTING, PENDULUM, SMALL, (), key, 1, deterministic)
    np.testing.assert_allclose(episode.total_return, played.returns[0], rtol=1e-6)
    assert episode.length == int(played.lengths[0]) == 12
    assert list(episode.observations) == ["obs"]  # simulators are the states
    assert len(to_host(episode.states)[0]) == 13
    write_gif(draw_episode(PENDULUM, episode, steps=[0, 12]), tmp_path / "planned.gif", 20)
    assert (tmp_path / "planned.gif").stat().st_size > 1000
