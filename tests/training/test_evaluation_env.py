"""Evaluation in another environment, in programs: what is played pays what it says, training is what it was."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from tiny import EVALUATION, assert_equal, cartpole, tiny

from jaxrl_up import A2C, DQN, envs, sweep, train
from jaxrl_up.envs import nominal, randomize
from jaxrl_up.training import with_swept

STEPS = 3


def reset(key, params):
    return jnp.zeros(1), jnp.zeros(1)


def step(key, state, action, params):
    return state, state, params["pay"], jnp.bool_(False), jnp.bool_(False)


def paying(pay=1.0, max_steps=STEPS, size=1):
    """Pays the same at each step, whatever is done: a return says in which environment it was earned."""
    space = envs.Box(-1, 1, (size,))
    return envs.from_functions(reset, step, space, envs.Discrete(2), max_steps, {"pay": pay}, name="paying")


def reading():
    """Reads another parameter of its own."""

    def other_step(key, state, action, params):
        return state, state, params["rate"], jnp.bool_(False), jnp.bool_(False)

    spaces = envs.Box(-1, 1, (1,)), envs.Discrete(2)
    return envs.from_functions(reset, other_step, *spaces, STEPS, {"rate": 7.0}, name="reading")


def deep(env):
    """Under other wrappers."""
    return envs.scale_reward(envs.time_limit(env, 2), 10)


DRAWN = randomize(paying(), pay=(5, 5))
CASES = {  # trained on, evaluated in, earned in training, and in evaluations
    "itself": (paying(), None, 3, 3),
    "nominal": (DRAWN, None, 15, 3),
    "nominal, deep within": (deep(DRAWN), None, 100, 20),
    "as it is drawn": (DRAWN, DRAWN, 15, 15),
    "other physics": (paying(), paying(2), 3, 6),
    "another time limit": (paying(), paying(max_steps=8), 3, 8),
    "another environment": (DRAWN, reading(), 15, 21),
}


@pytest.mark.thorough("a2c-itself", "a2c-as it is drawn", "a2c-another time limit", "a2c-nominal, deep within")
@pytest.mark.parametrize(
    ("algo", "name"),
    [*((A2C, name) for name in CASES), (DQN, "nominal, deep within")],
    ids=lambda given: getattr(given, "name", given),
)
def test_returns_are_of_the_environment_that_is_said(algo, name):
    env, evaluation_env, trained, evaluated = CASES[name]
    _, log = train(algo, env, tiny(algo), 0, 2, EVALUATION, evaluation_env)
    np.testing.assert_allclose(log.train_returns, [np.nan, trained, trained])
    np.testing.assert_allclose(log.returns, evaluated)


def test_training_does_not_notice():
    config = tiny(A2C)
    state, log = train(A2C, cartpole(), config, 0, 2, EVALUATION)
    other, elsewhere = train(A2C, cartpole(), config, 0, 2, EVALUATION, envs.make("CartPole-v1", gravity=100.0))
    assert_equal(state, other)
    assert_equal((log.learned, log.trained), (elsewhere.learned, elsewhere.trained))


@pytest.mark.thorough
def test_swept_parameters_are_of_both_where_both_have_them():
    """One program, on two devices: its own time limit, and the pay of each point."""
    grid, keys = {"pay": np.float32([2, 3])}, [0, 1]
    _, log = sweep(A2C, paying(), tiny(A2C), grid, keys, 1, EVALUATION, paying(9, max_steps=7))
    np.testing.assert_allclose(log.returns[:, :, 1], np.float32([[14, 14], [21, 21]]))
    np.testing.assert_allclose(log.train_returns[:, :, 1], np.float32([[6, 6], [9, 9]]))
    assert with_swept(reading(), {"env.pay": 2.0, "config.gamma": 0.5}).params == reading().params
    swept_beside = {"learning_rate": np.float32([1e-3, 1e-2])}
    _, log = sweep(A2C, DRAWN, tiny(A2C), swept_beside, keys, 1, EVALUATION)
    np.testing.assert_allclose(log.returns, 3)
    np.testing.assert_allclose(log.train_returns[:, :, 1], 15)


def test_it_compiles_once_for_all_physics():
    traces = []

    def act(*given):
        traces.append(given)
        return A2C.act(*given)

    algo = dataclasses.replace(A2C, name="counted", act=act)
    for pay in (2, 3, 4):
        _, log = train(algo, paying(), tiny(A2C), 0, 2, EVALUATION, paying(pay))
        np.testing.assert_allclose(log.returns, 3 * pay)
    assert len(traces) == 1


def sized(config, env, key):
    """Begins with networks as wide as the time limit."""
    return A2C.init(config.replace(hidden=(env.max_steps,)), env, key)


def other_observations():
    return envs.frame_stack(paying(), 2)


def with_hand_made_spec():
    def by_hand(*given):
        return DRAWN.spec.step(*given)

    return DRAWN.replace(spec=DRAWN.spec._replace(step=by_hand))


BAD = {
    "observations": (paying(), paying(size=2), ValueError, "evaluation_env has the observation space Box(-1, 1, (2,"),
    "wrapped otherwise": (
        paying(),
        other_observations(),
        ValueError,
        "paying + time_limit(3), which is trained on, has",
    ),
    "actions": (cartpole(), envs.make("Acrobot-v1"), ValueError, "evaluation_env has the observation space"),
    "a name of nothing": (cartpole(), "CartPole-v0", ValueError, "evaluation_env: "),
    "no environment": (cartpole(), 3, TypeError, "evaluation_env: env=3 must be an Env"),
    "changed by hand": (with_hand_made_spec(), None, ValueError, "or say what to evaluate in, as evaluation_env"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_does_not_fit_is_one_line(name):
    env, evaluation_env, kind, message = BAD[name]
    with pytest.raises(kind) as raised:
        train(A2C, env, tiny(A2C), 0, 1, EVALUATION, evaluation_env)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_policies_have_to_fit():
    algo = dataclasses.replace(A2C, name="sized", init=sized)
    with pytest.raises(ValueError, match="policy is not one of sized on paying with this config"):
        train(algo, paying(), tiny(A2C), 0, 1, EVALUATION, paying(max_steps=8))


@pytest.mark.parametrize("name", ["pay", "env.pay"])
def test_what_is_drawn_is_not_swept(name):
    with pytest.raises(ValueError, match=r"'pay' is drawn for each episode of paying .*leave it out of the sweep"):
        sweep(A2C, deep(DRAWN), tiny(A2C), {name: [1.0, 2.0]}, [0], 1, EVALUATION)
    nominal(deep(DRAWN)).with_params(pay=2.0)
