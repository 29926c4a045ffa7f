"""Drawn parameters: uniform, anew in each episode, kept within it, in the dynamics and nowhere else."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import assert_equal

from jaxrl_up import envs
from jaxrl_up.envs import Randomized, nominal, randomize, randomized

RANGES = {"gravity": (8, 12), "masspole": (0.05, 0.5)}
LANES, STEPS = 64, 40


def cartpole():
    return envs.make("CartPole-v1", max_steps=7)


def weighted():
    """Pays the weights, which are an array, and their scale; shows nothing of either."""

    def reset(key, params):
        return jnp.int32(0), jnp.zeros(1)

    def step(key, state, action, params):
        reward = jnp.sum(params["weights"]) * params["scale"]
        return state + 1, jnp.zeros(1), reward, jnp.bool_(False), jnp.bool_(False), {"weights": params["weights"]}

    space = envs.Box(-1, 1, (1,))
    params = {"weights": [1.0, 2.0, 3.0], "scale": 2.0}
    how = {"name": "weighted", "deterministic_reset": True}
    return envs.from_functions(reset, step, space, envs.Discrete(2), 3, params, **how)


@jax.jit
def play(env, key):
    """States and steps `[T, B]`, of random actions; the states are those before the steps."""
    reset_key, loop_key = jax.random.split(key)
    state, _ = jax.vmap(env.reset)(jax.random.split(reset_key, LANES))

    def step(state, key):
        action_key, step_key = jax.random.split(key)
        actions = jax.random.randint(action_key, (LANES,), 0, 2)
        reached, steps = jax.vmap(env.step)(jax.random.split(step_key, LANES), state, actions)
        return reached, (state, steps, actions)

    return jax.lax.scan(step, state, jax.random.split(loop_key, STEPS))[1]


@pytest.fixture(scope="module")
def played():
    return jax.tree.map(np.asarray, play(randomize(cartpole(), **RANGES), jax.random.key(0)))


def test_what_is_drawn_enters_the_dynamics(played):
    """Each step is that of Barto, Sutton and Anderson's equations, in NumPy, with the values of the episode."""
    states, steps, actions = played
    g, m = (np.float64(states.drawn[name]) for name in ("gravity", "masspole"))
    x, v, angle, turning = (np.float64(getattr(states.inner, name)) for name in ("x", "x_dot", "theta", "theta_dot"))
    force, total, length = 20.0 * actions - 10, 1.0 + m, 0.5
    temp = (force + m * length * turning**2 * np.sin(angle)) / total
    spin = (g * np.sin(angle) - np.cos(angle) * temp) / (length * (4 / 3 - m * np.cos(angle) ** 2 / total))
    push = temp - m * length * spin * np.cos(angle) / total
    wanted = np.stack([x + 0.02 * v, v + 0.02 * push, angle + 0.02 * turning, turning + 0.02 * spin], -1)
    np.testing.assert_allclose(steps.next_obs, wanted, rtol=1e-5, atol=1e-5)
    still = {name: float(cartpole().params[name]) for name in RANGES}
    assert np.std(g) > 0.5
    assert np.abs(g - still["gravity"]).max() > 1


def test_they_are_kept_within_an_episode_and_drawn_anew_in_the_next(played):
    states, steps, _ = played
    ended = (steps.terminated | steps.truncated)[:-1]
    assert ended.sum() > LANES * 4
    for values in states.drawn.values():
        np.testing.assert_array_equal((values[1:] != values[:-1]), ended)


def test_they_are_uniform_and_independent():
    """Kolmogorov's distance, and no correlation: between parameters, with the state, with the episode after."""
    env, number = randomize(envs.make("CartPole-v1"), **RANGES), 4096

    @jax.jit
    def two_episodes(key):
        first, next_ = jax.random.split(key)
        return [jax.vmap(env.reset)(jax.random.split(k, number))[0] for k in (first, next_)]

    one, two = two_episodes(jax.random.key(1))
    columns = [np.asarray(x) for x in (*one.drawn.values(), *two.drawn.values(), one.inner.x, one.inner.theta)]
    for name, values in one.drawn.items():
        low, high = RANGES[name]
        assert low <= values.min() < low + 0.01 * (high - low) < high - 0.01 * (high - low) < values.max() <= high
        shares = (np.sort(values) - low) / (high - low)
        assert np.abs(shares - (np.arange(number) + 0.5) / number).max() < 1.6 / np.sqrt(number)
    others = np.corrcoef(columns) - np.eye(len(columns))
    assert np.abs(others).max() < 4 / np.sqrt(number)


def test_environments_side_by_side_draw_for_themselves(played):
    states, _, _ = played
    for values in states.drawn.values():
        assert len(np.unique(values[0])) == LANES


@pytest.mark.thorough("Acrobot-v1")
@pytest.mark.parametrize("name", ["CartPole-v1", "Acrobot-v1"])
def test_a_range_of_no_width_is_that_parameter(name):
    """Bit for bit, one operation after the other: XLA rounds fused ones otherwise where a number is one of many."""
    fixed = {"gravity": 11.3, "masspole": 0.3} if name == "CartPole-v1" else {"link_mass_2": 1.7}
    env = envs.make(name, max_steps=3)
    drawn, given = randomize(env, **{name: (x, x) for name, x in fixed.items()}), env.with_params(**fixed)
    state, same = (x.reset(jax.random.key(2))[0] for x in (drawn, given))
    with jax.disable_jit():
        for t in range(7):
            assert_equal(state.inner, same)
            key = jax.random.fold_in(jax.random.key(3), t)
            (state, step), (same, as_given) = drawn.step(key, state, 1), given.step(key, same, 1)
            assert_equal(step, as_given)
    assert (np.asarray(step.next_obs) != np.asarray(env.step(key, same, 1)[1].next_obs)).any()


def test_of_an_array_each_element_is_drawn():
    env = randomize(weighted(), weights=(-1, 1))
    states, steps, _ = play(env, jax.random.key(0))
    weights = np.asarray(states.drawn["weights"])
    assert weights.shape == (STEPS, LANES, 3)
    assert len(np.unique(weights[0])) == 3 * LANES
    np.testing.assert_allclose(steps.reward, 2 * weights.sum(axis=-1), atol=1e-6)


def test_two_wraps_are_one_of_both():
    """So no order matters, and neither draw says anything about the other."""
    one = randomize(cartpole(), **RANGES)
    two = randomize(randomize(cartpole(), masspole=RANGES["masspole"]), gravity=RANGES["gravity"])
    states, steps, _ = play(one, jax.random.key(3))
    nested, same, _ = play(two, jax.random.key(3))
    assert isinstance(nested.inner, Randomized)
    assert_equal(({**nested.drawn, **nested.inner.drawn}, same), (states.drawn, steps))


def test_nobody_is_shown_them_and_the_nominal_ones_stay():
    env = randomize(cartpole(), **RANGES)
    assert env.observation_space == cartpole().observation_space
    assert_equal(env.params, cartpole().params)
    _, step = env.step(jax.random.key(0), env.reset(jax.random.key(1))[0], 0)
    _, plain = cartpole().step(jax.random.key(0), cartpole().reset(jax.random.key(1))[0], 0)
    assert jax.tree.structure(step) == jax.tree.structure(plain)
    assert randomized(env) == {*RANGES}
    assert not randomized(cartpole())


def test_equal_wraps_are_equal():
    env = randomize(cartpole(), **RANGES)
    assert env.spec is randomize(cartpole(), **dict(reversed(RANGES.items()))).spec
    assert env.spec != randomize(cartpole(), gravity=(8, 12)).spec
    assert env.spec.wrappers == ("randomize(gravity=8:12, masspole=0.05:0.5)",)


def test_nominal_is_without_however_deep():
    def wrapped(env):
        return envs.with_simulator(envs.time_left(envs.frame_stack(envs.time_limit(env, 5), 2)))

    twice = randomize(wrapped(randomize(cartpole(), gravity=(8, 12))), masspole=(0.1, 0.2))
    assert nominal(twice).spec is wrapped(cartpole()).spec
    assert_equal(nominal(twice).params, cartpole().params)
    assert nominal(wrapped(cartpole())).spec is wrapped(cartpole()).spec
    other = nominal(randomize(cartpole(), gravity=(8, 12)).with_params(gravity=5.0, masspole=0.3))
    assert (float(other.params["gravity"]), other.spec) == (5.0, cartpole().spec)


def test_what_was_changed_by_hand_over_it_is_not_dropped():
    env = randomize(cartpole(), **RANGES)
    changed = envs.time_limit(env.replace(spec=env.spec._replace(step=cartpole().spec.step)), 5)
    with pytest.raises(ValueError, match=r"its Spec was then changed by hand.*evaluation_env"):
        nominal(changed)


def test_a_planner_simulates_with_the_values_of_the_episode():
    env = envs.with_simulator(randomize(cartpole(), gravity=(5, 15), force_mag=(1, 20)))
    state, obs = env.reset(jax.random.key(4))
    key = jax.random.key(5)
    _, foreseen, *_ = envs.simulate(env, key, envs.simulator_of(env, obs), 1)
    reached = env.spec.step(env.params, key, state, 1)[1]
    assert_equal(foreseen["obs"], reached["obs"])
    other = envs.simulate(nominal(env), key, nominal(env).reset(jax.random.key(4))[0], 1)[1]["obs"]
    assert (np.asarray(other) != np.asarray(reached["obs"])).any()
    late = randomize(envs.with_simulator(cartpole()), gravity=(8, 12))
    simulated = envs.simulator_of(late, late.reset(key)[1])
    with pytest.raises(ValueError, match=r"randomize\(gravity=8:12\) comes after with_simulator"):
        envs.simulate(late, key, simulated, 1)


@pytest.mark.thorough("weighted + time_limit(3) + randomize(scale=2:2)")
@pytest.mark.parametrize(
    "env",
    [
        envs.frame_stack(randomize(cartpole(), **RANGES), 2),
        randomize(envs.make("Pendulum-v1", max_steps=9), g=(5, 15)),
        randomize(weighted(), scale=(1, 2)),
        randomize(weighted(), scale=(2, 2)),
    ],
    ids=lambda env: env.full_name,
)
def test_it_passes_the_check(env):
    envs.check(env)


BAD = {
    "nothing": ({}, "randomize needs what to draw, as in randomize(env, gravity=(8, 12))"),
    "unknown": ({"gravty": (1, 2)}, "CartPole-v1 has no parameter 'gravty'. Did you mean 'gravity'?"),
    "static": ({"x_threshold": (1, 2)}, "'x_threshold' of CartPole-v1 is static (= 2.4)"),
    "derived": ({"total_mass": (1, 2)}, "'total_mass' of CartPole-v1 is computed from masscart and masspole"),
    "the wrong way round": ({"gravity": (12, 8)}, "randomize needs low <= high for gravity, got (12, 8)"),
    "not a number": ({"gravity": (8, np.nan)}, "randomize needs a finite Python number as gravity (it is static)"),
    "infinite": ({"gravity": (8, np.inf)}, "needs a finite Python number as gravity"),
    "text": ({"gravity": ("8", 12)}, "needs a finite Python number as gravity (it is static), got '8'"),
    "traced": ({"gravity": (jnp.zeros(3), 12)}, "needs a finite Python number as gravity"),
    "one number": ({"gravity": 9.8}, "randomize needs two numbers for gravity, as gravity=(low, high), got 9.8"),
    "three": ({"gravity": (1, 2, 3)}, "randomize needs two numbers for gravity"),
    "too wide": ({"gravity": (-3e38, 3e38)}, "needs ends of gravity that float32 can tell apart"),
    "beyond float32": ({"gravity": (0, 1e39)}, "needs ends of gravity that float32 can tell apart"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_range_is_one_line(name):
    ranges, message = BAD[name]
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        randomize("CartPole-v1", **ranges)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_what_is_drawn_already_is_not_drawn_again():
    with pytest.raises(ValueError, match=r"'gravity' of CartPole-v1 .* is drawn already: randomize it once"):
        randomize(envs.time_limit(randomize(cartpole(), gravity=(8, 12)), 5), gravity=(9, 10))
