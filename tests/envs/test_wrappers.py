"""Each wrapper does what it says, composes, and compares equal when applied twice alike."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_up import envs
from jaxrl_up.envs import probes

KEY = jax.random.key(0)
INF = float("inf")


def echo(action_space):
    """An environment that shows and pays nothing but the action it received, in info."""

    def step(key, state, action):
        return state, state, 0.0, False, False, {"action": action}

    return envs.from_functions(
        lambda key: (jnp.zeros(1), jnp.zeros(1)),
        step,
        envs.Box(0, 1, (1,)),
        action_space,
        deterministic_reset=True,
    )


def received(env, action):
    return env.step(KEY, env.reset(KEY)[0], jnp.asarray(action))[1].info["action"]


WRAPS = {
    "flatten": lambda: envs.flatten_observation(envs.make("Catch-bsuite")),
    "flatten_discrete": lambda: envs.flatten_observation(envs.make("FrozenLake-misc")),
    "one_hot": lambda: envs.one_hot_observation(envs.make("FrozenLake-misc")),
    "mask": lambda: envs.mask_observation(envs.make("CartPole-v1"), [0, 2]),
    "scale_reward": lambda: envs.scale_reward(envs.make("Pendulum-v1"), 0.1),
    "clip_reward": lambda: envs.clip_reward(envs.make("Pendulum-v1"), -1, 0),
    "rescale_action": lambda: envs.rescale_action(envs.make("Pendulum-v1")),
    "clip_action": lambda: envs.clip_action(envs.make("Pendulum-v1")),
    "time_limit": lambda: envs.time_limit(envs.make("Pendulum-v1"), 17),
    "statistics": lambda: envs.episode_statistics(envs.make("CartPole-v1")),
    "sticky": lambda: envs.sticky_actions(envs.make("CartPole-v1"), 0.25),
    "stack": lambda: envs.episode_statistics(envs.time_limit(envs.sticky_actions(probes.constant_reward()), 7)),
}


@pytest.mark.thorough("flatten_discrete", "clip_reward", "clip_action", "time_limit", "statistics", "sticky")
@pytest.mark.parametrize("name", WRAPS)
def test_wrapped_environments_conform_and_compare_equal(name):
    env = WRAPS[name]()
    assert env.spec == WRAPS[name]().spec and hash(env.spec) == hash(WRAPS[name]().spec)
    envs.check(env, num_steps=40)


def test_observations_are_flattened_one_hot_and_masked():
    catch = envs.make("Catch-bsuite")
    flat = envs.flatten_observation(catch)
    assert flat.observation_space == envs.Box(0.0, 1.0, (50,), binary=True)
    assert (flat.reset(KEY)[1] == catch.reset(KEY)[1].ravel()).all()
    lake = envs.one_hot_observation(envs.make("FrozenLake-misc"))
    assert lake.reset(KEY)[1].tolist() == [1.0] + [0.0] * 15 and lake.observation_space.binary
    cartpole = envs.make("CartPole-v1")
    masked = envs.mask_observation(cartpole, [2, 0])
    assert (masked.reset(KEY)[1] == cartpole.reset(KEY)[1][jnp.array([2, 0])]).all()
    assert masked.observation_space.high == pytest.approx((0.41887903, 4.8))
    by_flags = envs.mask_observation(cartpole, np.array([True, False, True, False]))
    assert by_flags.spec == envs.mask_observation(cartpole, (0, 2)).spec


def test_a_scalar_observation_is_flattened_to_one_number():
    env = envs.from_functions(
        lambda key: (jnp.zeros(()), jnp.zeros(())),
        lambda key, state, action: (state, state, 0.0, False, False),
        envs.Box(0.0, 1.0, ()),
        envs.Discrete(2),
    )
    assert envs.flatten_observation(env).reset(KEY)[1].shape == (1,)


def test_rewards_are_scaled_and_clipped():
    base = probes.constant_reward(4.0)
    for env, reward in ((envs.scale_reward(base, 0.5), 2.0), (envs.clip_reward(base), 1.0)):
        assert env.step(KEY, env.reset(KEY)[0], 0)[1].reward == reward
    counted = envs.scale_reward(envs.episode_statistics(base), 0.5)
    step = counted.step(KEY, counted.reset(KEY)[0], 0)[1]
    assert step.reward == 2.0 and step.info["episode_return"] == 4.0


def test_actions_are_rescaled_per_dimension():
    env = envs.rescale_action(echo(envs.Box([-2.0, 0.0, -INF, 1.0], [2.0, 10.0, INF, INF])))
    assert env.action_space == envs.Box([-1.0, -1.0, -INF, 1.0], [1.0, 1.0, INF, INF])
    for given, expected in (
        ([-1, -1, -7, 1], [-2, 0, -7, 1]),
        ([1, 1, 7, 9], [2, 10, 7, 9]),
        ([0, 0, 0, 0], [0, 5, 0, 1]),
        ([50, -50, 50, -50], [2, 0, 50, 1]),
    ):
        np.testing.assert_allclose(received(env, np.array(given, np.float32)), expected, rtol=1e-6)


def test_rescaled_actions_never_leave_the_bounds_by_rounding():
    space = envs.Box(-0.1, 0.3, (1,))
    env = envs.rescale_action(echo(space))
    actions = jnp.linspace(-1.1, 1.1, 101)[:, None]
    assert jax.vmap(lambda action: space.contains(received(env, action)))(actions).all()


def test_actions_are_clipped():
    env = envs.clip_action(echo(envs.Box([-2.0, 0.0], [2.0, INF])))
    assert received(env, [3.0, -3.0]).tolist() == [2.0, 0.0]
    assert received(env, [1.0, 30.0]).tolist() == [1.0, 30.0]


def test_time_limits_truncate_and_do_not_terminate():
    env = envs.time_limit(probes.count_steps(terminate_at=None, max_steps=None), 3)
    state, _ = env.reset(KEY)
    for time in range(1, 8):
        state, step = env.step(KEY, state, 0)
        assert bool(step.truncated) == (time % 3 == 0) and not step.terminated
    assert env.max_steps == 3


def test_statistics_run_within_an_episode_and_start_afresh():
    env = envs.episode_statistics(probes.count_steps(terminate_at=3, max_steps=None))
    state, _ = env.reset(KEY)
    for time in range(7):
        state, step = env.step(KEY, state, 0)
        assert step.info["episode_return"] == step.info["episode_length"] == time % 3 + 1


def test_sticky_actions_repeat_at_their_rate_but_not_across_episodes():
    env = envs.time_limit(envs.sticky_actions(echo(envs.Discrete(1000)), 0.3), 10)

    def one(state, given):
        key, time = given
        state, step = env.step(key, state, time % 1000)
        return state, step.info["action"] != time % 1000

    times = jnp.arange(20_000)
    _, repeated = jax.lax.scan(one, env.reset(KEY)[0], (jax.random.split(KEY, times.size), times))
    repeated = np.asarray(repeated).reshape(-1, 10)
    assert not repeated[:, 0].any()
    assert abs(repeated[:, 1:].mean() - 0.3) < 0.015


@pytest.mark.parametrize(
    ("wrap", "message"),
    [
        (lambda: envs.one_hot_observation(envs.make("CartPole-v1")), "Use flatten_observation"),
        (lambda: envs.rescale_action(envs.make("CartPole-v1")), "needs a Box action space"),
        (lambda: envs.clip_action(envs.make("CartPole-v1")), "needs a Box action space"),
        (lambda: envs.mask_observation(envs.make("Catch-bsuite"), [0]), "apply flatten_observation first"),
        (lambda: envs.mask_observation(envs.make("CartPole-v1"), [4]), "indices from 0 to 3"),
        (lambda: envs.mask_observation(envs.make("CartPole-v1"), [0, 0]), "distinct"),
        (lambda: envs.mask_observation(envs.make("CartPole-v1"), [True, False]), "4 booleans"),
        (lambda: envs.mask_observation(envs.make("CartPole-v1"), [False] * 4), "keeps at least one"),
        (lambda: envs.time_limit(envs.make("CartPole-v1"), 501), "already truncated at 500"),
        (lambda: envs.time_limit(envs.make("CartPole-v1"), 2.5), "integer max_steps"),
        (lambda: envs.sticky_actions(envs.make("CartPole-v1"), 1.0), "0 <= probability < 1"),
        (lambda: envs.scale_reward(envs.make("CartPole-v1"), INF), "finite Python number"),
        (lambda: envs.clip_reward(envs.make("CartPole-v1"), 1.0, 1.0), "low < high"),
    ],
)
def test_wrappers_that_do_not_fit_explain_themselves(wrap, message):
    with pytest.raises(ValueError, match=message):
        wrap()
