"""Bring your own environment, and what `Env.step` itself promises."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_up import envs
from jaxrl_up.envs import as_parameter
from jaxrl_up.learning import play


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


class Corridor:
    """Ends at `size`; what its functions read besides is in several places."""

    def __init__(self, size):
        self.size, self.table = size, np.arange(20.0)

    def reset(self, key):
        return jnp.int32(0), jnp.zeros(1)

    def step(self, key, place, action):
        return place + 1, jnp.zeros(1), jnp.asarray(self.table)[place], place + 1 >= self.size, False

    def env(self):
        return envs.from_functions(self.reset, self.step, envs.Box(-1, 1, (1,)), envs.Discrete(2), 12)


@jax.jit
def returned(env):
    return play(env, lambda obs, memory, key: (jnp.zeros(len(obs), jnp.int32), memory), jax.random.key(0), 1).returns[0]


SCALE = 1.0


def scaled_step(key, place, action):
    return place + 1, jnp.zeros(1), SCALE, place >= 1, False


def test_a_changed_object_is_another_environment():
    corridor = Corridor(3)
    before = corridor.env()
    assert returned(before) == 0 + 1 + 2
    corridor.size = 5
    assert returned(corridor.env()) == 0 + 1 + 2 + 3 + 4
    assert corridor.env().spec != before.spec
    corridor.table = np.ones(20)
    assert returned(corridor.env()) == 5
    assert corridor.env().spec == corridor.env().spec


def test_a_changed_constant_or_variable_is_another_environment(monkeypatch):
    corridor, weight = Corridor(3), 1.0

    def step(key, place, action):
        return place + 1, jnp.zeros(1), weight, place >= 1, False

    def build(function):
        return envs.from_functions(corridor.reset, function, envs.Box(-1, 1, (1,)), envs.Discrete(2), 12)

    assert returned(build(scaled_step)) == returned(build(step)) == 2
    monkeypatch.setattr(sys.modules[__name__], "SCALE", 2.0)
    weight = 3.0
    assert returned(build(scaled_step)) == 4
    assert returned(build(step)) == 6
    wrapped = envs.episode_statistics(envs.scale_reward(build(step), 0.5))
    assert returned(wrapped) == 3
    weight = 5.0
    assert returned(envs.episode_statistics(envs.scale_reward(build(step), 0.5))) == 5


def test_a_program_that_was_left_is_not_met_again():
    """The first of these environments is traced only after the change."""
    corridor = Corridor(3)
    late = corridor.env()
    corridor.size = 5
    assert returned(corridor.env()) == returned(late) == 10
    corridor.size = 3
    assert returned(corridor.env()) == 3


def test_arrays_within_functions_that_are_compiled_by_themselves_count():
    """Of two such functions of one text the arrays are all that tells them apart."""

    class Lookup(Corridor):
        def __init__(self, table):
            super().__init__(3)
            self.look = jax.jit(lambda place: jnp.asarray(table)[place])

        def step(self, key, place, action):
            return place + 1, jnp.zeros(1), self.look(place), place + 1 >= self.size, False

    lookup = Lookup(np.arange(20.0))
    assert returned(lookup.env()) == 0 + 1 + 2
    lookup.look = Lookup(np.full(20, 2.0)).look
    assert returned(lookup.env()) == 6


def test_equal_programs_are_compiled_once():
    corridor = Corridor(4)
    traced = []

    @jax.jit
    def count(env):
        traced.append(1)
        return env.reset(jax.random.key(0))

    for _ in range(3):
        count(corridor.env())
    assert len(traced) == 1


def test_making_one_starts_no_backend_and_runs_nothing():
    code = """
from jax._src import xla_bridge
from jaxrl_up.envs import Box, Discrete, from_functions
import jax.numpy as jnp
def step(key, state, action):
    return state + 1, jnp.ones(1), 1.0, state > 3, False
from_functions(lambda key: (jnp.int32(0), jnp.zeros(1)), step, Box(-1, 1, (1,)), Discrete(2), 5)
assert not xla_bridge._backends
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_parameters_are_exact_in_float32():
    for value in (16777216, 2**40, np.int8(3), True, np.bool_(False), jnp.int32(7), [1, 2], np.float64(0.1), np.inf):
        held = as_parameter("x", value)
        assert held.dtype == jnp.float32
        np.testing.assert_array_equal(held, np.asarray(value, np.float32))
    assert jax.jit(lambda n: as_parameter("x", n))(123456789).dtype == jnp.float32
