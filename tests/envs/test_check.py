"""`envs.check` finds what is wrong with a wrong environment, and says it."""

import itertools
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_up import envs
from jaxrl_up.envs import probes

BOX = envs.Box(-1.0, 1.0, (1,))
COUNTER = itertools.count()


def good_reset(key):
    obs = jax.random.uniform(key, (1,))
    return {"obs": obs, "time": 0}, obs


def good_step(key, state, action):
    return {"obs": state["obs"], "time": state["time"] + 1}, state["obs"], 1.0, state["time"] > 5, False


def build(reset=good_reset, step=good_step, space=BOX, **options):
    return envs.from_functions(reset, step, space, envs.Discrete(2), max_steps=9, **options)


def returning(**changes):
    """A step that returns what good_step does, but for the parts named."""

    def step(key, state, action):
        state, obs, reward, terminated, truncated = good_step(key, state, action)
        parts = {
            "state": state,
            "obs": obs,
            "reward": reward,
            "terminated": terminated,
            "truncated": truncated,
        }
        return tuple({**parts, **{name: change(parts) for name, change in changes.items()}}.values())

    return step


def raw(**changes):
    """A Spec put together by hand, without the conversions of from_functions."""
    env = build()
    return env.replace(spec=env.spec._replace(**changes))


def limitless(terminated_at=None):
    env = probes.count_steps(terminate_at=terminated_at, max_steps=None)
    return env.replace(spec=env.spec._replace(max_steps=4))


def test_the_good_environment_passes():
    envs.check(build())


def showing(factor):
    """An environment whose observation to act on is so many times the one that was reached."""

    def restart(params, key, state, action):
        state, obs, *rest = build().spec.step(params, key, state, action)
        return state, obs * factor, obs, *rest

    return raw(restart=restart)


def test_an_observation_that_jumps_within_an_episode_is_found():
    with pytest.raises(ValueError, match="obs differs from next_obs at step 0"):
        envs.check(showing(0.999))


def test_rounding_is_no_jump():
    """XLA may compute one number twice, for obs and for next_obs, and round it in two ways."""
    envs.check(showing(1 - 2.0**-23))
    envs.check(build(), key=jax.random.key(5), num_steps=3)


BROKEN = {
    "not an env": (lambda: "CartPole-v1", "check needs an Env, got str"),
    "reset returns one value": (
        lambda: build(reset=lambda key: good_reset(key)[1]),
        r"must return \(state, obs\)",
    ),
    "step returns four values": (
        lambda: build(step=lambda *given: good_step(*given)[:4]),
        r"must return \(state, obs, reward, terminated, truncated\)",
    ),
    "python branch": (
        lambda: build(step=returning(reward=lambda p: 1.0 if p["obs"][0] > 0 else 0.0)),
        "jnp.where instead of `if`",
    ),
    "numpy on traced values": (
        lambda: build(step=returning(obs=lambda p: np.sin(p["obs"]))),
        "jnp instead of np",
    ),
    "numpy random numbers": (
        lambda: build(step=returning(reward=lambda p: np.random.default_rng().random())),
        "two traces of step differ",
    ),
    "a counter on the host": (
        lambda: build(reset=lambda key: ({"obs": jnp.ones(1) * next(COUNTER), "time": 0}, jnp.ones(1))),
        "two traces of reset differ",
    ),
    "the clock": (
        lambda: build(step=returning(reward=lambda p: time.perf_counter() % 1)),
        "two traces of step differ",
    ),
    "observation shape": (lambda: build(space=envs.Box(-1, 1, (2,))), r"has shape \(1,\)"),
    "floats in an integer space": (lambda: build(space=envs.Box(-1, 1, (1,), jnp.int32)), "holds integers"),
    "observation outside": (
        lambda: build(step=returning(obs=lambda p: p["obs"] + 3.0)),
        "observations leave Box.* Widen the space",
    ),
    "reward shape": (
        lambda: build(step=returning(reward=lambda p: p["obs"])),
        "reward of custom must be a scalar",
    ),
    "flag that is a number": (
        lambda: build(step=returning(terminated=lambda p: 0)),
        "terminated of custom must be a scalar bool, got int32",
    ),
    "flag of another shape": (
        lambda: build(step=returning(truncated=lambda p: p["obs"] > 0)),
        "truncated of custom must be a scalar bool",
    ),
    "nan reward": (lambda: build(step=returning(reward=lambda p: jnp.log(-p["obs"][0]))), "NaN or infinity"),
    "state structure": (
        lambda: build(step=returning(state=lambda p: {"obs": p["obs"]})),
        "in one structure",
    ),
    "state dtype": (
        lambda: build(step=returning(state=lambda p: {**p["state"], "time": p["state"]["time"] + 0.5})),
        "leaf '.*time.*' is int32.* after reset, float32",
    ),
    "reset ignores its key": (
        lambda: build(reset=lambda key: ({"obs": jnp.ones(1), "time": 0}, jnp.ones(1))),
        "one and the same state for 16 keys.*deterministic_reset",
    ),
    "wrongly deterministic": (lambda: build(deterministic_reset=True), "drop it"),
    "wrongly binary": (lambda: build(space=envs.Box(0, 1, (1,), binary=True)), "other numbers than 0 and 1"),
    "binary but for resets": (
        lambda: build(step=returning(obs=lambda p: (p["obs"] > 0) * 1.0), space=envs.Box(0, 1, (1,), binary=True)),
        "other numbers than 0 and 1",
    ),
    "info that is no dict": (
        lambda: raw(step=lambda *given: (*build().spec.step(*given)[:5], jnp.zeros(()))),
        "info must be a dict",
    ),
    "raw reward dtype": (
        lambda: raw(step=lambda *g: (*(out := build().spec.step(*g))[:2], jnp.int32(1), *out[3:])),
        "reward must be a scalar float32, got int32",
    ),
    "raw observation dtype": (
        lambda: raw(observation_space=envs.Box(-1, 1, (1,), jnp.float16)),
        "observation after reset is float32",
    ),
    "weak state": (
        lambda: raw(
            reset=lambda params, key: (jnp.asarray(0), build().spec.reset(params, key)[1]),
            step=lambda params, key, state, action: (
                state + 1,
                jnp.zeros(1),
                jnp.float32(1),
                jnp.bool_(False),
                jnp.bool_(False),
                {},
            ),
        ),
        "weakly typed int32",
    ),
    "unhashable spec": (lambda: raw(fixed=[1]), "must be hashable"),
    "max_steps that is a float": (lambda: raw(max_steps=3.0), "max_steps must be None or an int"),
    "spaces of another library": (
        lambda: raw(action_space="Discrete"),
        "action_space must be a space such as envs.Discrete",
    ),
    "a parameter that is a number": (lambda: build().replace(params={"a": 1.0}), "must be a float32 array"),
    "episodes past the limit": (lambda: limitless(), "runs past|is not truncated at max_steps=4"),
    "the limit as a termination": (lambda: limitless(4), "is not truncated at max_steps=4"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_wrong_is_said(name):
    broken, message = BROKEN[name]
    with pytest.raises(ValueError, match=message):
        envs.check(broken())


def test_a_step_with_another_dtype_fails_in_step_too():
    env = BROKEN["state dtype"][0]()
    with pytest.raises(ValueError, match="in one shape and dtype"):
        env.step(jax.random.key(0), env.reset(jax.random.key(0))[0], 0)
