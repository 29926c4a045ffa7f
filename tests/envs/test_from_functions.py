"""Bring your own environment, and what `Env.step` itself promises."""

import jax
import jax.numpy as jnp
import pytest

from jaxrl_up import envs


def make_walk(max_steps=30):
    """A whole environment in twenty lines: walk to +5 or -5 on a line, paid 1 at +5."""

    def reset(key):
        place = jax.random.randint(key, (), -2, 3)
        return place, place[None].astype(jnp.float32)

    def step(key, place, action, params):
        slip = jax.random.bernoulli(key, params["slip"])
        place = place + jnp.where(slip, 1 - 2 * action, 2 * action - 1)
        obs = place[None].astype(jnp.float32)
        return place, obs, place == 5, abs(place) == 5, False

    return envs.from_functions(
        lambda key, params: reset(key),
        step,
        envs.Box(-5, 5, (1,)),
        envs.Discrete(2),
        max_steps,
        {"slip": 0.1},
    )


def test_an_environment_of_ones_own_conforms():
    envs.check(make_walk())
    assert make_walk().with_params(slip=0.5).params["slip"] == 0.5


def test_info_and_plain_numbers_are_taken():
    env = envs.from_functions(
        lambda key: ({"time": 0}, jnp.zeros(1)),
        lambda key, state, action: (
            {"time": state["time"] + 1},
            [1.0],
            1,
            False,
            False,
            {"time": state["time"]},
        ),
        envs.Box(0, 1, (1,)),
        envs.Discrete(2),
        max_steps=3,
        deterministic_reset=True,
    )
    envs.check(env)
    _, step = env.step(jax.random.key(0), env.reset(jax.random.key(0))[0], 1)
    assert step.reward.dtype == jnp.float32 and step.info["time"] == 0


def test_equal_calls_give_equal_specs():
    def reset(key):
        return jnp.zeros(1), jnp.zeros(1)

    def step(key, state, action):
        return state, state, 0.0, False, False

    def build(limit):
        return envs.from_functions(reset, step, envs.Box(0, 1, (1,)), envs.Discrete(2), limit)

    assert build(5).spec == build(5).spec and build(5).spec != build(6).spec


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reset": 3}, "needs a function as reset"),
        ({"action_space": 2}, "Discrete or envs.Box as action_space"),
        ({"max_steps": 0}, "max_steps >= 1"),
        ({"max_steps": True}, "max_steps >= 1"),
        ({"params": {"slip": "much"}}, "must be a number"),
    ],
)
def test_wrong_arguments_are_explained(change, message):
    arguments = {
        "reset": lambda key: (jnp.zeros(1), jnp.zeros(1)),
        "step": lambda key, state, action: (state, state, 0.0, False, False),
        "observation_space": envs.Box(0, 1, (1,)),
        "action_space": envs.Discrete(2),
    }
    with pytest.raises(ValueError, match=message):
        envs.from_functions(**{**arguments, **change})


def test_actions_of_the_wrong_shape_or_kind_are_refused():
    key, walk, pendulum = jax.random.key(0), make_walk(), envs.make("Pendulum-v1")
    state, _ = walk.reset(key)
    with pytest.raises(ValueError, match=r"use jax\.vmap for a batch"):
        walk.step(key, state, jnp.zeros(4, jnp.int32))
    with pytest.raises(ValueError, match="is an integer, got float32"):
        walk.step(key, state, 1.0)
    with pytest.raises(ValueError, match=r"has shape \(1,\), got \(\)"):
        pendulum.step(key, pendulum.reset(key)[0], 0.0)


def test_the_state_after_an_end_is_a_fresh_one():
    env, key = envs.make("CartPole-v1", max_steps=1), jax.random.key(7)
    state, step = env.step(key, env.reset(key)[0], 0)
    fresh, obs = env.reset(jax.random.split(key)[1])
    assert step.truncated and not step.terminated and (step.obs == obs).all()
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), state, fresh))
    assert not (step.obs == step.next_obs).all()
