"""The gymnax adapter: every environment conforms, and agrees with gymnax and gymnasium."""

import subprocess
import sys

import gymnasium
import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_up import envs

NAMES = [name for name in envs.names() if "/" not in name]  # others are of other suites


@pytest.mark.thorough(  # the dearest to compile, those that other tests check, and those as mended as others
    *("Seaquest-MinAtar", "Freeway-MinAtar", "Asterix-MinAtar", "SpaceInvaders-MinAtar", "Breakout-MinAtar"),
    *("CartPole-v1", "Pendulum-v1", "Acrobot-v1", "MountainCar-v0", "Swimmer-misc", "PointRobot-misc"),
    *("DeepSea-bsuite", "Catch-bsuite", "GaussianBandit-misc"),
)
@pytest.mark.parametrize("name", NAMES)
def test_every_environment_passes_the_conformance_check(name):
    envs.check(envs.make(name))


def test_names_are_all_that_gymnax_registers_without_a_download():
    assert set(NAMES) == set(gymnax.registered_envs) - {"MNISTBandit-bsuite"}


def test_importing_envs_does_not_import_gymnax():
    code = "import sys, jaxrl_up.envs as e; e.names(); e.listing(); assert 'gymnax' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", NAMES)
def test_the_listing_is_of_what_is_built(name):
    env, (observations, actions, limit) = envs.make(name), envs.listing()[name]
    spaces = env.observation_space, env.action_space
    assert [x.split()[0] for x in (observations, actions)] == [
        repr(space) if isinstance(space, envs.Discrete) and space is spaces[1] else type(space).__name__
        for space in spaces
    ]
    assert observations.split(" ", 1)[1] == str(list(spaces[0].shape))
    assert limit == env.max_steps


@pytest.mark.thorough
def test_what_gymnax_draws_with_is_loaded_when_it_draws():
    code = (
        "import sys, jaxrl_up.envs as e; e.make('CartPole-v1'); assert 'seaborn' not in sys.modules; "
        "from gymnax.environments.misc import pong; assert pong.sns.color_palette('cubehelix'); "
        "assert 'seaborn' in sys.modules; import matplotlib.pyplot as plt; assert plt.subplots is pong.plt.subplots"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def roll(env, key, num_steps):
    """Play random actions: actions and TimeSteps [T, ...]."""
    reset_key, scan_key = jax.random.split(key)
    state, obs = env.reset(reset_key)

    def one(state, key):
        action_key, step_key = jax.random.split(key)
        action = env.action_space.sample(action_key)
        state, step = env.step(step_key, state, action)
        return state, (action, step)

    return obs, *jax.lax.scan(one, state, jax.random.split(scan_key, num_steps))[1]


@pytest.mark.parametrize(
    ("name", "limit"),
    [("CartPole-v1", 15), ("Pendulum-v1", 7), ("Breakout-MinAtar", 10), ("DeepSea-bsuite", 8)],
)
def test_steps_flags_and_final_observations_equal_those_of_gymnax(name, limit):
    env = envs.make(name, max_steps=limit)
    other, params = gymnax.make(name)
    params = params.replace(max_steps_in_episode=limit)

    def reference(key, actions):
        reset_key, scan_key = jax.random.split(key)
        obs, state = other.reset(reset_key, params)

        def one(state, given):
            key, action = given
            obs, state, reward, terminated, truncated, info = other.step(
                jax.random.split(key)[1], state, action, params
            )
            return state, (obs, info["final_observation"], reward, terminated, truncated)

        state = jax.tree.map(jnp.asarray, state)
        return obs, *jax.lax.scan(one, state, (jax.random.split(scan_key, len(actions)), actions))[1]

    key = jax.random.key(3)
    start, actions, step = jax.jit(lambda key: roll(env, key, 60))(key)
    expected = jax.jit(reference)(key, actions)
    assert (step.terminated | step.truncated).sum() >= 3
    for ours, theirs in zip((start, *step[:5]), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "name", ["CartPole-v1", "Pendulum-v1", "MountainCar-v0", "MountainCarContinuous-v0", "Acrobot-v1"]
)
def test_dynamics_equal_those_of_gymnasium(name):
    env, other = envs.make(name), gymnasium.make(name).unwrapped
    other.reset(seed=0)
    state, _ = env.reset(jax.random.key(0))
    fields = {
        "CartPole-v1": ("x", "x_dot", "theta", "theta_dot"),
        "Pendulum-v1": ("theta", "theta_dot"),
        "Acrobot-v1": ("joint_angle1", "joint_angle2", "velocity_1", "velocity_2"),
    }.get(name, ("position", "velocity"))
    other.state = np.array([getattr(state, field) for field in fields], np.float64)
    step_fn = jax.jit(env.step)
    for i in range(12):
        action = env.action_space.sample(jax.random.key(i))
        native = int(action) if action.ndim == 0 else np.asarray(action)
        expected, reward, terminated, _, _ = other.step(native)
        state, step = step_fn(jax.random.key(i), state, action)
        np.testing.assert_allclose(step.next_obs, expected, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(step.reward, reward, rtol=1e-3, atol=1e-4)
        assert bool(step.terminated) == bool(terminated)
        if terminated:
            break


def test_sixteen_gravities_are_one_compiled_program_and_differ():
    env, count = envs.make("CartPole-v1"), []

    @jax.jit
    def reached(env, key):
        count.append(1)
        return jax.vmap(lambda env: roll(env, key, 9)[2].next_obs[-1])(env)

    for gravities in (jnp.linspace(1.0, 30.0, 16), jnp.linspace(2.0, 9.0, 16)):
        batch = jax.vmap(lambda gravity: env.with_params(gravity=gravity))(gravities)
        batch = batch.replace(params={k: jnp.broadcast_to(v, 16) for k, v in batch.params.items()})
        final = reached(batch, jax.random.key(0))
        alone = roll(env.with_params(gravity=gravities[5]), jax.random.key(0), 9)[2].next_obs[-1]
        np.testing.assert_allclose(final[5], alone, rtol=1e-5)
        assert len(np.unique(np.asarray(final[:, 3]))) == 16
    assert len(count) == 1


def test_equal_makes_share_a_spec_and_other_static_values_do_not():
    one, two = envs.make("CartPole-v1", gravity=3.0), envs.make("CartPole-v1", gravity=jnp.float32(4))
    assert one.spec == two.spec and hash(one.spec) == hash(two.spec) and one.spec is two.spec
    assert jax.tree.structure(one) == jax.tree.structure(two)
    assert envs.make("CartPole-v1", max_steps=500).spec == one.spec
    assert envs.make("CartPole-v1", max_steps=20).spec != one.spec
    assert envs.make("CartPole-v1", max_steps=20).max_steps == 20
    assert envs.make("CartPole-v1", max_steps_in_episode=20).spec == envs.make("CartPole-v1", max_steps=20).spec
    assert envs.make("CartPole-v1", x_threshold=1.0).observation_space.high[0] == 2.0


def test_make_inside_jit_takes_traced_parameters_and_leaks_nothing():
    @jax.jit
    def first(gravity, key):
        env = envs.make("MetaMaze-misc", maze_size=11, reward=gravity)
        return roll(env, key, 3)[2].reward

    assert first(2.0, jax.random.key(0)).shape == (3,)
    env = envs.make("MetaMaze-misc", maze_size=11)
    assert roll(env, jax.random.key(0), 3)[2].reward.shape == (3,)


def test_derived_parameters_follow_unless_given():
    key = jax.random.key(0)

    def last(env):
        return roll(env, key, 8)[2].next_obs[-1]

    base, heavy = envs.make("CartPole-v1"), envs.make("CartPole-v1", masspole=0.5)
    gymnax_like = envs.make("CartPole-v1", masspole=0.5, total_mass=1.1, polemass_length=0.05)
    explicit = envs.make("CartPole-v1", masspole=0.5, total_mass=1.5, polemass_length=0.25)
    np.testing.assert_allclose(last(heavy), last(explicit), rtol=1e-5)
    np.testing.assert_allclose(last(heavy), last(base.with_params(masspole=0.5)), rtol=1e-5)
    assert not np.allclose(last(heavy), last(gymnax_like), rtol=1e-3)
    assert "total_mass" not in base.params and "total_mass" in explicit.params


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: envs.make("Cartpole"), "Did you mean 'CartPole-v1'"),
        (lambda: envs.make("CartPole-v1", gravty=1.0), "Did you mean 'gravity'"),
        (lambda: envs.make("CartPole-v1", max_steps=0), "integer >= 1"),
        (lambda: envs.make("CartPole-v1", max_steps=2.5), "must be of type int"),
        (lambda: envs.make("BernoulliBandit-misc", max_steps=2.5), "integer >= 1"),
        (lambda: envs.make("CartPole-v1", gravity="heavy"), "must be a number"),
        (lambda: envs.make("FourRooms-misc", resample_init_pos=3), "must be of type bool"),
        (lambda: envs.make("Reacher-misc", num_joints=3), "cannot be traced"),
        (lambda: envs.make("CartPole-v1").with_params(gravty=1.0), "Did you mean 'gravity'"),
        (lambda: envs.make("CartPole-v1").with_params(x_threshold=1.0), "is static"),
        (lambda: envs.make("CartPole-v1").with_params(total_mass=1.0), "masscart and masspole"),
        (lambda: jax.jit(lambda x: envs.make("CartPole-v1", x_threshold=x).params)(1.0), "is static"),
    ],
)
def test_wrong_names_and_values_are_explained(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_constructor_options_are_static():
    assert envs.make("Freeway-MinAtar", use_minimal_action_set=False).action_space.n == 6
    deep = envs.make("DeepSea-bsuite", size=5)
    assert deep.observation_space.shape == (5, 5) and deep.max_steps == 5
    assert envs.make("FrozenLake-misc", map_name="8x8").max_steps == 200
    assert envs.make("FourRooms-misc", goal_fixed=[1, 1]).reset(jax.random.key(0))[0].goal.tolist() == [1, 1]


def test_deep_sea_is_terminated_and_truncated_at_once():
    _, _, step = roll(envs.make("DeepSea-bsuite", size=3), jax.random.key(0), 7)
    assert step.terminated.tolist() == step.truncated.tolist() == [False, False, True] * 2 + [False]


class TestMends:
    def test_the_left_wall_stops_the_continuous_car(self):
        env = envs.make("MountainCarContinuous-v0")
        state, _ = env.reset(jax.random.key(0))
        state = state.replace(position=jnp.float32(-1.19), velocity=jnp.float32(-0.06))
        state, step = env.step(jax.random.key(0), state, jnp.array([-1.0]))
        np.testing.assert_allclose(step.next_obs, [-1.2, 0.0], atol=1e-6)
        assert state.velocity == 0

    def test_the_pong_ball_stays_on_the_screen(self):
        env = envs.make("Pong-misc")

        def rows(key):
            state, _ = env.reset(key)

            def one(state, key):
                state, _ = env.step(key, state, env.action_space.sample(jax.random.fold_in(key, 7)))
                return state, state.ball_position[0]

            return jax.lax.scan(one, state, jax.random.split(key, 1000))[1]

        reached = jax.jit(jax.vmap(rows))(jax.random.split(jax.random.key(0), 8))
        assert reached.min() >= 0 and reached.max() <= 29

    def test_four_rooms_draws_the_agent_where_it_is(self):
        env = envs.make("FourRooms-misc", use_visual_obs=True)
        state, obs = env.reset(jax.random.key(0))
        assert jnp.argwhere(obs[..., 1]).tolist() == [state.pos.tolist()]
        assert env.observation_space.binary

    def test_the_bandit_keeps_its_best_arm(self):
        env = envs.make("SimpleBandit-bsuite")
        states, _ = jax.jit(jax.vmap(env.reset))(jax.random.split(jax.random.key(0), 8))
        best = jnp.argmax(states.rewards, axis=1)
        assert (best == best[0]).all()
        _, step = env.step(jax.random.key(1), jax.tree.map(lambda x: x[0], states), best[0])
        assert step.reward == 1.0 and step.terminated

    def test_the_maze_goes_on_after_the_goal(self):
        _, _, step = jax.jit(lambda key: roll(envs.make("MetaMaze-misc"), key, 2000))(jax.random.key(0))
        assert (step.reward == 10).sum() >= 3 and not step.terminated.any() and step.truncated.sum() == 10

    @pytest.mark.thorough("BernoulliBandit-misc-options0", "GaussianBandit-misc-options2", "MetaMaze-misc-options3")
    @pytest.mark.parametrize(
        ("name", "options"),
        [
            ("BernoulliBandit-misc", {"max_steps": 150}),
            ("BernoulliBandit-misc", {"normalize_time": False, "max_steps": 150}),
            ("GaussianBandit-misc", {"normalize_time": False}),
            ("MetaMaze-misc", {"normalize_time": True}),
            ("MemoryChain-bsuite", {"num_bits": 3}),
            ("FourRooms-misc", {"resample_init_pos": True, "resample_goal_pos": True}),
        ],
    )
    def test_mended_spaces_hold_under_other_options(self, name, options):
        envs.check(envs.make(name, **options))


def test_a_gymnax_object_of_ones_own_becomes_an_env():
    from gymnax.environments.classic_control.pendulum import EnvParams, Pendulum

    own = Pendulum()
    env = envs.from_gymnax(own, EnvParams(max_steps_in_episode=9), name="own")
    assert env.spec == envs.from_gymnax(own, EnvParams(max_steps_in_episode=9, g=3.0), name="own").spec
    assert env.max_steps == 9 and set(env.params) == {"dt", "g", "l", "m"}
    envs.check(env)


def test_a_gymnax_space_that_observations_do_not_fit_is_refused():
    from gymnax.environments import spaces
    from gymnax.environments.classic_control.pendulum import Pendulum

    class Split(Pendulum):
        def observation_space(self, params):
            return spaces.Dict({"a": spaces.Discrete(2)})

    with pytest.raises(ValueError, match="the observation of reset_env has not the parts of its space Dict"):
        envs.from_gymnax(Split())


def test_the_pair_of_gymnax_make_is_taken():
    pair = gymnax.make("Catch-bsuite")
    env = envs.from_gymnax(pair)
    assert env.spec == envs.from_gymnax(*pair).spec
    assert env.reset(jax.random.key(0))[1].shape == env.observation_space.shape
    envs.check(env, num_steps=20)


@pytest.mark.parametrize("name", ["Catch-bsuite", "MemoryChain-bsuite", "BernoulliBandit-misc", "Pong-misc"])
def test_gymnaxs_own_objects_show_what_their_spaces_say(name):
    assert envs.from_gymnax(*gymnax.make(name)).observation_space == envs.make(name).observation_space


def test_a_changed_gymnax_object_is_another_environment():
    from gymnax.environments.classic_control.pendulum import Pendulum

    class Scaled(Pendulum):
        scale = 1.0

        def step_env(self, key, state, action, params):
            obs, state, reward, terminated, info = super().step_env(key, state, action, params)
            return obs, state, self.scale * reward, terminated, info

    own, key, step = (
        Scaled(),
        jax.random.key(0),
        jax.jit(lambda env, state: env.step(key, state, jnp.zeros(1))[1].reward),
    )
    env = envs.from_gymnax(own)
    state, _ = env.reset(key)
    paid = step(env, state)
    assert envs.from_gymnax(own).spec == env.spec
    own.scale = 2.0
    np.testing.assert_allclose(step(envs.from_gymnax(own), state), 2 * paid, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "parameter", "value"), [("Pendulum-v1", "g", 10.0), ("MountainCarContinuous-v0", "power", 0.0015)]
)
def test_gradients_go_through_continuous_physics(name, parameter, value):
    """By central differences; of the state at the end, which no reward has cut."""
    env = envs.make(name)

    def reached(x):
        other, key = env.with_params(**{parameter: x}), jax.random.key(0)
        state, first = other.reset(key)
        action = 0.3 * jnp.ones(env.action_space.shape)

        def step(carry, key):
            state, _ = carry
            state, step = other.step(key, state, action)
            return (state, step.next_obs), None

        (_, obs), _ = jax.lax.scan(step, (state, first), jax.random.split(key, 6))
        return jnp.sum(obs)

    reached = jax.jit(reached)
    step = 1e-2 * value
    expected = (reached(value + step) - reached(value - step)) / (2 * step)
    assert abs(expected) > 1e-4
    np.testing.assert_allclose(jax.grad(reached)(value), expected, rtol=2e-2)


def test_gradients_of_discrete_actions_are_stopped_as_is_said():
    env, key = envs.make("CartPole-v1"), jax.random.key(0)

    def reached(gravity):
        other = env.with_params(gravity=gravity)
        state, _ = other.reset(key)
        return jnp.sum(other.step(key, other.step(key, state, 0)[0], 1)[1].next_obs)

    assert reached(20.0) != reached(5.0)
    assert jax.grad(reached)(9.8) == 0
    from jaxrl_up.envs import gymnax_mends

    assert "all others stop the gradient at every step" in gymnax_mends.__doc__
