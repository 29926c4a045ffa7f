"""Wrappers by name: what is written is read, what is recorded is read back, and one line for every bad one."""

import inspect

import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_up import envs
from jaxrl_up.envs import parse_wrappers, wrap, wrapper_usages

WRITTEN = {  # a text, an environment that it fits, and the same in Python
    "clip_action": ("Pendulum-v1", envs.clip_action),
    "clip_reward": ("CartPole-v1", envs.clip_reward),
    "clip_reward=-2,0.333333333": ("CartPole-v1", lambda env: envs.clip_reward(env, -2, 0.333333333)),
    "clip_reward=high=5": ("CartPole-v1", lambda env: envs.clip_reward(env, high=5)),
    "clip_reward(low=-5, high=1e-7)": ("CartPole-v1", lambda env: envs.clip_reward(env, -5, 1e-7)),
    "episode_statistics": ("CartPole-v1", envs.episode_statistics),
    "flatten_observation": ("Catch-bsuite", envs.flatten_observation),
    "frame_stack=4": ("Breakout-MinAtar", lambda env: envs.frame_stack(env, 4)),
    "frame-stack(frames=3)": ("CartPole-v1", lambda env: envs.frame_stack(env, 3)),
    "mask_observation=2,0": ("CartPole-v1", lambda env: envs.mask_observation(env, (2, 0))),
    "mask_observation=3": ("CartPole-v1", lambda env: envs.mask_observation(env, [3])),
    "mask_observation(true, false, true, false)": ("CartPole-v1", lambda env: envs.mask_observation(env, (0, 2))),
    "one_hot_observation": ("FrozenLake-misc", envs.one_hot_observation),
    "previous_action": ("CartPole-v1", envs.previous_action),
    "randomize=gravity=8:12,masspole=0.05:0.5": (
        "CartPole-v1",
        lambda env: envs.randomize(env, masspole=(0.05, 0.5), gravity=(8, 12)),
    ),
    "randomize( force-mag = -1e-3:0.333333333 )": (
        "CartPole-v1",
        lambda env: envs.randomize(env, force_mag=(-1e-3, 0.333333333)),
    ),
    "rescale_action": ("Pendulum-v1", envs.rescale_action),
    "scale_reward=2": ("CartPole-v1", lambda env: envs.scale_reward(env, 2.0)),
    "scale_reward=0.123456789": ("CartPole-v1", lambda env: envs.scale_reward(env, 0.123456789)),
    "sticky_actions": ("CartPole-v1", envs.sticky_actions),
    "sticky_actions = 0.1 ": ("CartPole-v1", lambda env: envs.sticky_actions(env, 0.1)),
    "time_left": ("CartPole-v1", envs.time_left),
    "time_limit=1e2": ("CartPole-v1", lambda env: envs.time_limit(env, 100)),
    "with_simulator()": ("CartPole-v1", envs.with_simulator),
}


@pytest.mark.parametrize("text", WRITTEN)
def test_a_text_is_the_call_and_what_is_recorded_is_read_back(text):
    name, call = WRITTEN[text]
    env = wrap(name, [text])
    assert env.spec == call(envs.make(name)).spec
    assert len(env.spec.wrappers) == 1
    assert wrap(name, env.spec.wrappers).spec == env.spec


def test_every_wrapper_with_numbers_only_can_be_named():
    """`wrapper` of `wrappers.base` makes them all; `unit_action` is for algorithms, and records no name of its own."""
    made = [
        name for name, x in vars(envs).items() if hasattr(x, "__wrapped__") and "env" in inspect.signature(x).parameters
    ]
    usages = [usage.partition("=")[0].removesuffix("[") for usage in wrapper_usages()]
    assert sorted(usages) == sorted(made) == sorted({parse_wrappers([text])[0].name for text in WRITTEN})


def test_usages_say_what_a_wrapper_takes():
    assert {
        *("frame_stack=FRAMES", "clip_reward[=LOW,HIGH]", "mask_observation=KEEP,...", "time_left"),
        "randomize=NAME=LOW:HIGH,...",
    } < {*wrapper_usages()}


def test_the_first_is_applied_first():
    texts = ("time_limit=50", "sticky_actions=0.1", "frame_stack=2", "time_left")
    env = wrap(envs.make("CartPole-v1", gravity=12), texts)
    by_hand = envs.time_left(envs.frame_stack(envs.sticky_actions(envs.time_limit("CartPole-v1", 50), 0.1), 2))
    assert env.spec == by_hand.spec != wrap("CartPole-v1", texts[::-1]).spec
    assert env.params["gravity"] == 12
    assert env.full_name == "CartPole-v1 + time_limit(50) + sticky_actions(0.1) + frame_stack(2) + time_left"
    assert wrap(env, []).spec == env.spec


def test_numbers_of_numpy_and_jax_are_recorded_whole():
    for number in (np.float32(0.1), jnp.float32(0.1), 0.1):
        assert envs.scale_reward("CartPole-v1", number).spec.wrappers == ("scale_reward(0.1)",)
    third = envs.scale_reward("CartPole-v1", 1 / 3)
    assert third.spec.wrappers == ("scale_reward(0.3333333333333333)",)
    assert wrap("CartPole-v1", third.spec.wrappers).spec == third.spec


BAD = {
    "frame_stak=4": "There is no wrapper 'frame_stak'. Did you mean 'frame_stack'? Allowed: clip_action",
    "against=my.py:play": "an opponent goes with the name of the game, as in 'pgx/tic_tac_toe?opponent=NAME'",
    "": "There is no wrapper ''",
    "unit_action": "There is no wrapper 'unit_action'",
    "frame_stack": "'frame_stack' does not say frames: write frame_stack=FRAMES",
    "frame_stack()": "does not say frames",
    "frame_stack=": "'frame_stack=' has no value: write frame_stack=FRAMES",
    "frame_stack=four": "'four' is no number; write frame_stack=FRAMES",
    "frame_stack=4,5": "'frame_stack=4,5' has a value too many: write frame_stack=FRAMES",
    "frame_stack(4": "has a bracket that is not closed",
    "frame_stack=1": "frame_stack needs an integer frames >= 2, got 1",
    "frame_stack=2.5": "frame_stack needs an integer frames >= 2, got 2.5",
    "frame_stack=true": "frame_stack needs an integer frames >= 2, got True",
    "time_left=3": "has a value too many: write time_left",
    "clip_reward=hi=3": "clip_reward has no argument 'hi': write clip_reward[=LOW,HIGH]",
    "clip_reward=1,low=2": "has a value too many",
    "clip_reward=low=1,low=2": "says low twice",
    "clip_reward=low=-3,2": "values without a name come first",
    "clip_reward=1,,2": "'' is no number",
    "clip_reward=1,1": "clip_reward needs low < high",
    "scale_reward=nan": "scale_reward needs a finite Python number as scale",
    "time_limit=501": "time_limit(501) has no effect",
    "mask_observation=0,7": "needs distinct indices from 0 to 3",
    "rescale_action": "rescale_action needs a Box action space",
    "randomize": "'randomize' needs ranges: write randomize=NAME=LOW:HIGH,...",
    "randomize=gravity": "needs ranges: write randomize=NAME=LOW:HIGH,...",
    "randomize=8:12": "needs ranges",
    "randomize=gravity=8": "needs ranges",
    "randomize=gravity=8:12,": "needs ranges",
    "randomize=gravity=8:twelve": "'twelve' is no number; write randomize=NAME=LOW:HIGH,...",
    "randomize=gravity=8:12,gravity=9:10": "says gravity twice",
    "randomize=gravity=12:8": "randomize needs low <= high for gravity, got (12, 8)",
    "randomize=gravty=8:12": "CartPole-v1 has no parameter 'gravty'. Did you mean 'gravity'?",
}


@pytest.mark.parametrize("text", BAD)
def test_a_bad_text_is_an_error(text):
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        wrap("CartPole-v1", ["time_limit=100" if text != "time_limit=501" else "sticky_actions", text])
    assert BAD[text] in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("wrappers", ["frame_stack=4", 4, {"frame_stack": 4}, [4], [("frame_stack", 4)]])
def test_what_is_no_list_of_texts_is_an_error(wrappers):
    with pytest.raises(TypeError, match=r"'frame_stack=4'"):
        wrap("CartPole-v1", wrappers)


def test_names_of_what_can_be_built():
    assert envs.is_named("CartPole-v1", ["frame_stack(4)"])
    assert not envs.is_named("clock", ["frame_stack(4)"])
    assert not envs.is_named("CartPole-v1", ["mine(4)"])
