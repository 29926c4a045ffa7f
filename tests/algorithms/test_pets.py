"""PETS: what is given in place of what is learned, what it refuses, what it acts by, and two tasks of one step."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import targets, tiny

from jaxrl_up import PETS, Evaluation, envs, run, train
from jaxrl_up.algorithms import pets
from jaxrl_up.config import canonical
from jaxrl_up.envs import probes
from jaxrl_up.learning import Transitions, planning

BEST = 3.5


def near(obs, action, next_obs):
    """Best is 3.5, in the bounds' units."""
    return -jnp.sum(jnp.square(action - BEST))


def over(obs, action, next_obs):
    return jnp.bool_(True)


def walk(action_space, obs_space=None, show=lambda x: x):
    """Shows what it is given to show of a number that actions do not move."""

    def reset(key):
        x = jax.random.uniform(key, (2,))
        return x, show(x)

    def step(key, x, action):
        return x, show(x), 0.0, jnp.bool_(False), jnp.bool_(False)

    return envs.from_functions(reset, step, obs_space or envs.Box(0, 1, (2,)), action_space, 6, name="walk")


BOUNDED = walk(envs.Box(0.0, 4.0, (1,)))


def begun(config, number=3):
    """What has learned nothing, observations and memories."""

    @jax.jit
    def begin(one, two, three):
        obs = jax.vmap(lambda key: BOUNDED.reset(key)[1])(jax.random.split(two, number))
        memory = jax.vmap(lambda key: PETS.initial_memory(config, BOUNDED, key))(jax.random.split(three, number))
        return PETS.init(config, BOUNDED, one), obs, memory

    return begin(*map(jax.random.key, range(3)))


def act(config):
    return jax.jit(lambda *given: PETS.act(config, BOUNDED, *given))


@pytest.mark.thorough
def test_a_reward_that_is_given_decides_whatever_the_model_has_learned():
    """With a model that has learned nothing, and after which every step is the last."""
    config = canonical(tiny(PETS, reward=near, termination=over, samples=64, elites=6, iterations=5))
    state, obs, memory = begun(config)
    action, _ = act(config)(state.policy, obs, memory)
    np.testing.assert_allclose(action, BEST, atol=0.1)
    learned = config.replace(reward="learned")
    assert np.max(np.abs(act(learned)(state.policy, obs, memory)[0] - BEST)) > 0.5


@pytest.mark.parametrize("ends", [True, False])
def test_a_termination_that_is_given_ends_plans(ends):
    """What the last step of a plan earns counts only where the first has not ended it."""
    config = canonical(tiny(PETS, reward=near, termination=lambda *did: jnp.bool_(ends)))
    state, obs, _ = begun(config)
    member = pets.dynamics(config, BOUNDED).member(state.policy, 0)
    plan = jnp.full((3, 1), -1.0)  # at the lower bound, 0
    imagined = jax.jit(partial(planning.imagined_return, pets.model(config, BOUNDED)))
    earned = imagined(member, obs[0], plan, jax.random.key(0))
    np.testing.assert_allclose(earned, -(BEST**2) * (1 if ends else 3), rtol=1e-6)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"particles": 3}, "particles=3 must be a multiple of members=2, or fewer"),
        ({"reward": "true"}, "reward='true': choose 'learned', or give a function"),
        ({"termination": 3}, "termination=3: choose 'learned', or give a function"),
        ({"network": "cnn"}, "network='cnn': models are mlp, as auto, or linear"),
        ({"elites": 6}, "elites=6 must be at most samples=5"),
    ],
)
def test_fields_that_do_not_fit_are_refused(fields, message):
    with pytest.raises(ValueError, match=message) as found:
        run(PETS, BOUNDED, tiny(PETS, **fields), 1, progress=False)
    assert "\n" not in str(found.value)


@pytest.mark.thorough
@pytest.mark.parametrize("particles", [1, 4])
def test_fewer_particles_than_members_and_several_for_each(particles):
    config = canonical(tiny(PETS, particles=particles))
    state, obs, memory = begun(config)
    assert np.all(np.isfinite(act(config)(state.policy, obs, memory)[0]))


@pytest.mark.parametrize(
    ("env", "message"),
    [
        (walk(envs.Discrete(2), envs.Box(0, 1, (2, 1)), lambda x: x[:, None]), "vectors of floats, walk shows"),
        (walk(envs.Discrete(2), envs.Discrete(3), lambda x: jnp.int32(0)), "vectors of floats, walk shows"),
        (walk(envs.Discrete(2), envs.Box(0, 1, (0,)), lambda x: x[:0]), "holds no number"),
        (walk(envs.Box(-np.inf, np.inf, (1,))), "give every dimension finite bounds"),
        (
            walk(
                envs.Discrete(2),
                envs.Dict({"x": envs.Box(0, 1, (2,)), "mask": envs.Mask(2)}),
                lambda x: {"x": x, "mask": jnp.ones(2, bool)},
            ),
            "vectors of floats, walk shows",
        ),
    ],
    ids=["matrix", "discrete", "nothing", "unbounded", "mask"],
)
def test_what_it_cannot_model_or_plan_in_is_refused(env, message):
    with pytest.raises(ValueError, match=message) as found:
        run(PETS, env, tiny(PETS), 1, progress=False)
    assert "\n" not in str(found.value)


def test_a_linear_model_has_no_hidden_layer():
    for name, layers in (("linear", set()), ("auto", {"MLP_0"})):
        config = canonical(tiny(PETS, network=name))
        networks = jax.eval_shape(partial(PETS.init, config, BOUNDED), jax.random.key(0)).policy["networks"]
        assert set(networks["params"]) == {"mean", "log_variance", "termination"} | layers


def test_acting_depends_on_the_memory_and_on_no_key():
    config = canonical(tiny(PETS))
    state, obs, memory = begun(config)
    acting = act(config)
    one, after = acting(state.policy, obs, memory)
    for key in (0, 9):
        other, _ = acting(state.policy, obs, memory, jax.random.key(key))
        np.testing.assert_allclose(one, other, rtol=1e-5)
    assert not np.allclose(one, acting(state.policy, obs, after)[0], rtol=1e-3)


def test_the_first_steps_are_uniform_and_then_it_plans():
    config = canonical(tiny(PETS, random_steps=6))
    state, obs, memory = begun(config)
    noise = pets.acting_noise(config, BOUNDED, jax.random.key(3), (2_000, 3))
    assert np.max(np.abs(noise)) <= 1.0
    np.testing.assert_allclose(np.quantile(noise, [0.1, 0.5, 0.9]), [-0.8, 0.0, 0.8], atol=0.05)
    explore = jax.jit(partial(pets.explore, config, BOUNDED))
    for env_steps, plans in ((5, False), (6, True)):
        action, after = explore(state.learner, obs, memory, noise[0], jnp.int32(env_steps))
        assert np.array_equal(action, noise[0]) != plans
        shifted = np.any(np.asarray(after["proposal"].mean) != np.asarray(memory["proposal"].mean))
        assert shifted == plans


@pytest.mark.parametrize(
    ("env", "worst"),
    [pytest.param(probes.matched_action_reward(), 0.99, id="discrete", marks=pytest.mark.thorough),
     pytest.param(targets(), -0.1, id="box")],
)  # fmt: skip
def test_it_learns_what_pays(env, worst):
    """Reward and ending too, in episodes of one step."""
    config = tiny(
        PETS, total_steps=192, num_envs=4, rollout_length=16, train_every=4, gradient_steps=50, batch_size=64,
        buffer_size=400, random_steps=64, learning_starts=64, learning_rate=3e-3, hidden=(32,), horizon=1, samples=64,
        elites=6, iterations=4,
    )  # fmt: skip
    _, log = train(PETS, env, config, jax.random.key(0), 1, Evaluation(num_episodes=16, max_steps=2))
    assert int(log.failed_at[-1]) == -1
    assert float(log.returns[-1]) > worst


GOAL = 0.5


def pushed():
    """Moves a number by the action; nothing is paid, since what pays is given."""

    def reset(key):
        x = jax.random.uniform(key, (1,), minval=-0.5, maxval=0.5)
        return x, x

    def step(key, x, action):
        return x + action, x + action, 0.0, jnp.bool_(False), jnp.bool_(False)

    return envs.from_functions(reset, step, envs.Box(-9, 9, (1,)), envs.Box(-2.0, 2.0, (1,)), 1, name="pushed")


@pytest.mark.thorough
def test_a_model_of_shuffled_actions_plans_no_better_than_any_action():
    """The same transitions, learned from with their actions and with those of one another, which then mean nothing."""
    env = pushed()
    config = canonical(
        tiny(PETS, horizon=1, samples=64, elites=6, iterations=3, hidden=(16,), learning_rate=1e-2,
             reward=lambda obs, action, after: -jnp.sum(jnp.square(after - GOAL)), termination=over)
    )  # fmt: skip
    obs_key, action_key, order_key, init_key, memory_key = jax.random.split(jax.random.key(0), 5)
    obs = jax.random.uniform(obs_key, (128, 1), minval=-0.5, maxval=0.5)
    action = jax.random.uniform(action_key, (128, 1), minval=-1.0, maxval=1.0)  # unit actions
    ones, index = jnp.ones(128), jnp.arange(128, dtype=jnp.int32)

    @jax.jit
    def missed(taken):
        """How far from the goal the plan leads in the true world, of a model that learned these actions."""
        batch = Transitions(obs, taken, 0.0 * ones, ones, obs + 2.0 * action, ones, index, obs[:0], ones[:0])

        def fit(i, learner):
            return pets.BROUGHT.learn(config, env, learner, batch, (), i)[0]

        learner = jax.lax.fori_loop(0, 300, fit, PETS.init(config, env, init_key).learner)
        memory = jax.vmap(lambda key: PETS.initial_memory(config, env, key))(jax.random.split(memory_key, 32))
        did, _ = PETS.act(config, env, learner.acting, obs[:32], memory)
        return jnp.mean(jnp.abs(obs[:32] + did - GOAL))

    assert missed(action) < 0.1
    assert missed(jax.random.permutation(order_key, action)) > 0.5
