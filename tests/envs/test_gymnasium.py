"""Environments of gymnasium by name: what is built, and steps equal to gymnasium's own."""

import importlib
import re
import subprocess
import sys

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_up import envs

LISTING = {name: row for name, row in envs.listing().items() if name.startswith("gymnasium/")}
MUJOCO = [name for name, (obs, *_) in LISTING.items() if "v5" in name and "ALE" not in name]
ATARI = [name for name in LISTING if "ALE" in name]
OTHERS = [name for name in LISTING if name not in (*MUJOCO, *ATARI)]
DEFAULT = ("Walker2d", "Ant")


def every(names, default):
    marked = [
        pytest.param(name, marks=() if any(d in name for d in default) else pytest.mark.thorough) for name in names
    ]
    return pytest.mark.parametrize("name", marked)


def seed_of(key):
    high, low = (int(word) for word in jax.random.key_data(key))
    return high * 2**32 + low


def narrow(x):
    return np.asarray(x, np.float32) if np.asarray(x).dtype == np.float64 else x


def assert_as_gymnasium_steps(env, theirs, steps, episodes=3):
    """The same seeds and actions through both; `theirs` has the time limit."""
    step, key = jax.jit(env.step), jax.random.key(3)
    state, obs = jax.jit(env.reset)(key)
    rng, ends = np.random.default_rng(0), 0
    expected, _ = theirs.reset(seed=seed_of(key))
    jax.tree.map(np.testing.assert_array_equal, obs, jax.tree.map(narrow, expected))
    theirs.action_space.seed(0)
    for i in range(steps):
        action, key = theirs.action_space.sample(), jax.random.key(100 + i)
        if isinstance(theirs.action_space, gymnasium.spaces.Box) and i % 7 == 0:
            action = rng.choice(np.stack([theirs.action_space.low, theirs.action_space.high])).astype(np.float32)
        state, ours = step(key, state, jnp.asarray(action))
        expected, reward, terminated, truncated, _ = theirs.step(action)
        jax.tree.map(np.testing.assert_array_equal, ours.next_obs, jax.tree.map(narrow, expected))
        assert ours.reward == np.float32(reward)
        assert (bool(ours.terminated), bool(ours.truncated)) == (terminated, truncated)
        if terminated or truncated:
            ends += 1
            expected, _ = theirs.reset(seed=seed_of(key))
        jax.tree.map(np.testing.assert_array_equal, ours.obs, jax.tree.map(narrow, expected))
    assert ends >= episodes


@pytest.mark.thorough("gymnasium/Ant-v5")
@every(MUJOCO, DEFAULT)
def test_mujoco_steps_as_gymnasium_does(name):
    env = envs.make(name, max_steps=90)
    assert not env.spec.tokens
    assert_as_gymnasium_steps(env, gymnasium.make(name.partition("/")[2], max_episode_steps=90), 400)


@pytest.mark.thorough("gymnasium/Ant-v5")
@every(MUJOCO, DEFAULT)
def test_a_mujoco_lane_alone_is_the_lane_among_three(name):
    env = envs.make(name, max_steps=40)

    def roll(key):
        def step(carry, key):
            state, _ = carry
            action_key, step_key = jax.random.split(key)
            state, step = env.step(step_key, state, env.action_space.sample(action_key))
            return (state, step.obs), (step.next_obs, step.reward, state.simulator)

        reset_key, key = jax.random.split(key)
        return jax.lax.scan(step, env.reset(reset_key), jax.random.split(key, 100))[1]

    keys = jax.random.split(jax.random.key(5), 3)
    together, alone = jax.jit(jax.vmap(roll))(keys), jax.jit(roll)(keys[1])
    jax.tree.map(lambda all_, one: np.testing.assert_array_equal(all_[1], one), together, alone)


@every(MUJOCO, ("Walker2d",))
def test_mujoco_passes_the_check(name):
    envs.check(envs.make(name, max_steps=30))


@every(OTHERS, ("CartPole", "Blackjack", "MountainCarContinuous", "FrozenLake"))
def test_others_step_as_gymnasium_does(name):
    env = envs.make(name, max_steps=40)
    assert env.spec.tokens
    assert_as_gymnasium_steps(env, gymnasium.make(name.partition("/")[2], max_episode_steps=40), 150)


@every(OTHERS, ("Acrobot", "Taxi"))
def test_others_pass_the_check(name):
    envs.check(envs.make(name, max_steps=30))


def kind(space):
    name = type(space).__name__
    return str(space) if name == "Discrete" and space.n else f"{name} {list(space.shape)}" if name != "Tuple" else name


@pytest.mark.parametrize("name", LISTING)
def test_the_listing_says_what_is_built(name):
    env, (observations, actions, limit) = envs.make(name), LISTING[name]
    space = env.observation_space
    shown = f"Discrete {list(space.shape)}" if isinstance(space, envs.Discrete) else kind(space)
    assert (shown, kind(env.action_space), env.max_steps) == (observations, actions, limit)
    assert envs.listing()[name] == LISTING[name]
    assert envs.is_name(name)


def test_what_makes_them_is_told_their_options():
    env = envs.make("gymnasium/FrozenLake-v1", desc=["SH", "FG"], is_slippery=False)
    assert env.observation_space == envs.Discrete(4)
    assert dict(env.spec.fixed) == {"desc": ("SH", "FG"), "is_slippery": False}
    assert env == envs.make("gymnasium/FrozenLake-v1", desc=("SH", "FG"), is_slippery=False)
    state, obs = env.reset(jax.random.key(0))
    state, step = env.step(jax.random.key(1), state, 2)  # to the right, into the hole
    assert (obs, step.next_obs, step.obs) == (0, 1, 0)
    assert step.terminated and not step.truncated


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("gymnasium/Walker-v5", {}, "no environment 'gymnasium/Walker-v5' in gymnasium. Did you mean 'Walker2d-v5'"),
        ("gymnasium/CartPole-v1", {"gravity": 1}, "cannot be built with {'gravity': 1}: "),
        ("gymnasium/CartPole-v1", {"max_steps": 0}, "must be an integer >= 1, got 0"),
        ("gymnasium/CartPole-v1", {"workers": 0}, "workers=0 must be at least 1"),
        ("gymnasium/Walker2d-v5", {"workers": 2}, "takes no workers: its states are data"),
        ("gymnasium/FrozenLake-v1", {"desc": {}}, "desc={} of gymnasium/FrozenLake-v1 must be a number, a text or a"),
    ],
)
def test_what_cannot_be_built_is_one_line(name, options, message):
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        envs.make(name, **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("missing", "name"), [("ale_py", "ALE/Pong-v5"), ("cv2", "ALE/Freeway-v5")])
def test_what_is_not_installed_names_the_extra(monkeypatch, missing, name):
    real = importlib.import_module

    def without(module, *rest):
        if module == missing:
            raise ImportError(module)
        return real(module, *rest)

    monkeypatch.setattr(importlib, "import_module", without)
    with pytest.raises(ValueError, match=r"pip install 'jaxrl-up\[atari\]'"):
        envs.make(f"gymnasium/{name}", max_steps=17)


WITHOUT_MUJOCO = """
import sys
sys.modules["mujoco"] = None
from jaxrl_up import envs
print(envs.make("gymnasium/CartPole-v1").spec.tokens)
try:
    envs.make("gymnasium/Walker2d-v5")
except ValueError as error:
    print(error)
"""


def test_mujoco_is_needed_for_mujoco_only():
    done = subprocess.run([sys.executable, "-c", WITHOUT_MUJOCO], capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()
    assert first == "True"
    assert second.startswith("gymnasium/Walker2d-v5 needs libraries that are not installed: pip install 'jaxrl-up[gym")


# Atari


def test_atari_is_seen_as_dqn_does():
    env = envs.make("gymnasium/ALE/Pong-v5", max_steps=60)
    assert (env.observation_space.shape, env.observation_space.dtype) == ((84, 84), jnp.uint8)
    theirs = gymnasium.make("ALE/Pong-v5", frameskip=1)
    theirs = gymnasium.wrappers.AtariPreprocessing(theirs, noop_max=30, frame_skip=4)
    assert_as_gymnasium_steps(env, gymnasium.wrappers.TimeLimit(theirs, 60), 130, episodes=2)
    stacked = envs.wrap(env, ["frame_stack=4", "clip_reward"])
    assert (stacked.observation_space.shape, stacked.observation_space.dtype) == ((84, 84, 4), jnp.uint8)


def test_atari_options():
    screen = envs.make("gymnasium/ALE/Breakout-v5", preprocess=False)
    assert (screen.observation_space.shape, screen.max_steps) == ((210, 160, 3), 27_000)
    env = envs.make("gymnasium/ALE/Breakout-v5", frame_skip=2, screen_size=42, full_action_space=True)
    assert (env.observation_space.shape, env.action_space.n, env.max_steps) == ((42, 42), 18, 54_000)


@pytest.mark.thorough
@every(ATARI, ("Breakout",))
def test_atari_passes_the_check(name):
    envs.check(envs.wrap(envs.make(name, max_steps=30), ["frame_stack=4", "clip_reward"]))
