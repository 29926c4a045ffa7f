"""Recorded episodes, their frames, GIFs and tables."""

import itertools
import math
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageColor
from tiny import cartpole, clock, image, tiny
from tree_tasks import COMPOSED, GAMBLER, panel

from jaxrl_up import DQN, PPO, envs, evaluate_episodes
from jaxrl_up.analysis import (
    ACTIONS,
    BLUE,
    CHANNELS,
    COLOURS,
    HEADER,
    HEIGHT,
    MAX_FRAMES,
    SCENES,
    VERMILLION,
    WIDTH,
    Episode,
    action_text,
    can_draw,
    draw_episode,
    drawing,
    episode_table,
    gif_steps,
    observation_text,
    record_episode,
    write_gif,
    write_mp4,
)
from jaxrl_up.config import canonical
from jaxrl_up.envs import Box, Discrete, MultiDiscrete, Simulator, Tuple
from jaxrl_up.learning import fresh_start, memory_of
from jaxrl_up.training import begin


def new_policy(algo, env, seed=0):
    return begin(algo, env, canonical(tiny(algo)), jax.random.key(seed)).state.policy


@pytest.fixture(scope="module")
def balancing():
    """CartPole of 12 steps with an untrained policy."""
    env = cartpole()
    return env, new_policy(PPO, env)


def test_an_episode_is_what_a_loop_of_steps_gives(balancing):
    env, policy = balancing
    config = canonical(tiny(PPO))
    episode = record_episode(PPO, env, tiny(PPO), policy, jax.random.key(3))
    step, act = jax.jit(env.step), jax.jit(lambda obs: PPO.act(config, env, policy, obs, (), None)[0])
    state = jax.tree.map(lambda x: jnp.asarray(x[0]), episode.states)
    obs, rewards = jnp.asarray(episode.observations[0]), []
    for t in itertools.count():
        np.testing.assert_array_equal(episode.actions[t], act(obs))
        state, now = step(jax.random.key(99 + t), state, act(obs))  # CartPole itself draws nothing
        rewards.append(float(now.reward))
        np.testing.assert_allclose(episode.observations[t + 1], now.next_obs, rtol=1e-5)
        if now.terminated or now.truncated:
            break
        np.testing.assert_allclose(episode.states.x[t + 1], state.x, rtol=1e-5)
        obs = now.obs
    assert len(rewards) == episode.length == len(episode.states.x) - 1
    assert episode.total_return == sum(rewards)
    assert (episode.terminated, episode.truncated) == (bool(now.terminated), bool(now.truncated))
    np.testing.assert_array_equal(episode.states.theta, episode.observations[:, 2])  # the last is no reset state


@pytest.mark.parametrize("deterministic", [True, False])
def test_it_is_the_episode_that_is_evaluated(balancing, deterministic):
    env, policy = balancing
    for seed in range(2):
        arguments = (PPO, env, canonical(tiny(PPO)), policy, jax.random.key(seed))
        episode = record_episode(*arguments, deterministic)
        expected = evaluate_episodes(*arguments, num_episodes=1, deterministic=deterministic)
        assert (episode.length, episode.total_return) == (expected.lengths[0], expected.returns[0])


def test_the_last_state_is_the_one_reached_and_endings_are_told_apart():
    env = clock(DQN)  # shows the time modulo 4, pays 1 on leaving phase 0, ends by its limit of 6
    policy = new_policy(DQN, env)
    episode = record_episode(DQN, env, tiny(DQN), policy, jax.random.key(0))
    np.testing.assert_array_equal(np.argmax(episode.observations, axis=1), [0, 1, 2, 3, 0, 1, 2])
    np.testing.assert_array_equal(episode.states.inner, range(7))
    np.testing.assert_array_equal(episode.rewards, [1, 0, 0, 0, 1, 0])
    assert (episode.ending, episode.total_return, episode.actions.shape) == ("time limit", 2.0, (6,))
    episode = record_episode(DQN, env, tiny(DQN), policy, jax.random.key(0), max_steps=2)
    assert (episode.ending, episode.length, len(episode.observations)) == ("stopped", 2, 3)
    with pytest.raises(ValueError, match="max_steps=0"):
        record_episode(DQN, env, tiny(DQN), policy, jax.random.key(0), max_steps=0)


def by_hand(env, actions, rewards=None, observations=None, **values):
    """An episode whose states have these values `[T + 1]`."""
    length = len(actions)
    state = jax.tree.map(lambda x: np.repeat(np.asarray(x)[None], length + 1, axis=0), env.reset(jax.random.key(0))[0])
    state = state.replace(**{name: np.asarray(x, np.float32) for name, x in values.items()})
    observations = np.zeros((length + 1, *env.observation_space.shape)) if observations is None else observations
    rewards = np.ones(length, np.float32) if rewards is None else np.asarray(rewards, np.float32)
    return Episode(state, observations, np.asarray(actions), rewards, True, False)


def pixels(frame, colour):
    """Rows and columns of the pixels of a colour below the header."""
    rows, columns = np.nonzero((np.asarray(frame.convert("RGB"))[HEADER + 2 :] == ImageColor.getrgb(colour)).all(-1))
    assert len(rows) > 100, "nothing of that colour"
    return rows + HEADER + 2, columns


def test_cart_and_pole_are_where_the_state_has_them():
    env = envs.make("CartPole-v1")
    episode = by_hand(env, [0, 1], x=[-1.5, 1.5, 0.0], theta=[0.0, 0.2, -0.2])
    left, right, middle = draw_episode(env, episode, "ppo")
    assert left.size == (WIDTH, HEIGHT) and left.mode == "P"
    scale = (WIDTH / 2 - 30) / 2.4  # pixels a metre
    for frame, x, theta in ((left, -1.5, 0.0), (right, 1.5, 0.2), (middle, 0.0, -0.2)):
        rows, columns = pixels(frame, BLUE)
        assert abs((columns.min() + columns.max()) / 2 - (WIDTH / 2 + scale * x)) <= 2
        rows, columns = pixels(frame, VERMILLION)
        tip = columns[rows < rows.min() + 8].mean()
        assert abs(tip - (WIDTH / 2 + scale * (x + math.sin(theta)))) <= 4  # a pole of one metre
    first_again = next(draw_episode(env, episode, "ppo", steps=[0]))
    np.testing.assert_array_equal(first_again, left)
    other_action = by_hand(env, [1, 1], x=[-1.5, 1.5, 0.0], theta=[0.0, 0.2, -0.2])
    assert (np.asarray(next(draw_episode(env, other_action, "ppo"))) != np.asarray(left)).any()


def test_links_and_cars_are_where_the_state_has_them():
    env = envs.make("Pendulum-v1")
    for frame, sign in zip(draw_episode(env, by_hand(env, [[2.0]], theta=[0.0, np.pi])), (-1, 1), strict=True):
        assert sign * (pixels(frame, VERMILLION)[0].mean() - (HEADER + 175)) > 40
    env = envs.make("Acrobot-v1")
    episode = by_hand(env, [2], joint_angle1=[0.0, np.pi / 2], joint_angle2=[0.0, np.pi / 2])
    hanging, bent = draw_episode(env, episode)
    assert abs(pixels(hanging, VERMILLION)[1].mean() - WIDTH / 2) < 2
    assert pixels(hanging, VERMILLION)[0].mean() > pixels(hanging, BLUE)[0].mean() + 40
    assert pixels(bent, VERMILLION)[1].mean() > WIDTH / 2 + 60  # the elbow to the right,
    assert pixels(bent, VERMILLION)[0].mean() < HEADER + 150  # and the tip above it
    env = envs.make("MountainCarContinuous-v0")
    left, right = draw_episode(env, by_hand(env, [[0.5]], position=[-1.1, 0.5]))
    assert pixels(left, BLUE)[1].mean() < 100 < WIDTH - 150 < pixels(right, BLUE)[1].mean()


def test_cells_have_the_colours_of_their_channels():
    env = envs.make("Breakout-MinAtar")
    planes = np.zeros((2, 10, 10, 4), np.float32)
    planes[0, 2, 7, 3] = 1  # a brick
    planes[1, 5, 4, [1, 2]] = 1  # ball and trail in one cell
    first, second = (np.asarray(x.convert("RGB")) for x in draw_episode(env, by_hand(env, [2], observations=planes)))
    cell, left, top = 33, 16, HEADER + 10

    def at(frame, row, column, inset=0.5):
        return tuple(frame[int(top + (row + inset) * cell), int(left + (column + inset) * cell)].tolist())

    assert at(first, 2, 7) == at(first, 2, 7, 0.1) == ImageColor.getrgb(COLOURS[3])
    assert at(first, 2, 6) == at(first, 7, 2) == at(second, 2, 7) == (255, 255, 255)
    assert at(second, 5, 4, 0.1) == ImageColor.getrgb(COLOURS[1])
    assert at(second, 5, 4) == ImageColor.getrgb(COLOURS[2])
    for channel in range(4):  # the legend, also of what is not on the board
        assert tuple(first[top + 32 * channel + 11, left + 10 * cell + 20 + 11].tolist()) == ImageColor.getrgb(
            COLOURS[channel]
        )


# Machado et al. 2009, "A physiologically-based model for simulation of colour vision deficiency", severity 1
BLINDNESS = {
    "none": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


@pytest.mark.parametrize("kind", BLINDNESS)
def test_colours_are_told_apart(kind):
    def lab(colour):
        c = np.array(ImageColor.getrgb(colour)) / 255
        linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
        seen = np.clip(np.array(BLINDNESS[kind]) @ linear, 0, 1)
        to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
        x, y, z = np.cbrt(np.array(to_xyz) @ seen / [0.9505, 1, 1.089])
        return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])

    for one, other in itertools.combinations((*COLOURS, "#FFFFFF"), 2):
        assert np.linalg.norm(lab(one) - lab(other)) > 15, (one, other)


def test_a_gif_reads_back(tmp_path):
    env = envs.make("CartPole-v1")
    episode = by_hand(env, [1] * 6, x=np.linspace(-1, 1, 7))
    path = write_gif(draw_episode(env, episode), tmp_path / "a.gif", fps=12, hold=0.5)
    with Image.open(path) as gif:
        assert (gif.n_frames, gif.size, gif.info["loop"]) == (7, (WIDTH, HEIGHT), 0)
        durations, columns = [], []
        for i in range(7):
            gif.seek(i)
            durations.append(gif.info["duration"])
            columns.append(pixels(gif, BLUE)[1].mean())
    assert durations == [80, 90, 80, 80, 90, 80, 80 + 500]  # 7 frames at 12 a second are 580 ms, to a hundredth
    assert np.all(np.diff(columns) > 30)


def test_a_video_reads_back(tmp_path):
    av = pytest.importorskip("av")
    env = envs.make("CartPole-v1")
    episode = by_hand(env, [1] * 6, x=np.linspace(-1, 1, 7))
    path = write_mp4(draw_episode(env, episode), tmp_path / "a.mp4", fps=12.5, hold=0.4)
    with av.open(path) as file:
        stream = file.streams.video[0]
        frames = [frame.to_ndarray(format="rgb24").astype(int) for frame in file.decode(stream)]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert stream.average_rate == 12.5
    assert len(frames) == 7 + 5 and frames[0].shape == (HEIGHT, WIDTH, 3)
    blue = np.array([int(BLUE[i : i + 2], 16) for i in (1, 3, 5)])
    columns = [np.nonzero(np.abs(frame - blue).max(axis=2) < 40)[1].mean() for frame in frames]
    assert np.all(np.diff(columns[:7]) > 30) and np.allclose(columns[6:], columns[6], atol=1)


@pytest.mark.thorough
def test_what_is_no_video(tmp_path, monkeypatch):
    pytest.importorskip("av")
    frame = Image.new("P", (4, 4))
    for path, frames, fps, message in (
        ("a.gif", [frame], 10, "must end in .mp4"),
        ("a.mp4", [], 10, "no frames"),
        ("a.mp4", [frame], 0, "fps=0"),
    ):
        with pytest.raises(ValueError, match=message):
            write_mp4(frames, tmp_path / path, fps)
    with pytest.raises(OSError, match="cannot write"):
        write_mp4([Image.new("P", (64, 64))], tmp_path / "missing" / "a.mp4", 10)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ValueError, match=r"pip install 'jaxrl-up\[video\]'"):
        write_mp4([frame], tmp_path / "a.mp4", 10)
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_written(tmp_path):
    frame = Image.new("P", (4, 4))
    for path, frames, fps, message in (
        ("a.png", [frame], 10, "must end in .gif"),
        ("a.gif", [], 10, "no frames"),
        ("a.gif", [frame], 51, "fps=51"),
        ("a.gif", [frame], 0, "fps=0"),
    ):
        with pytest.raises(ValueError, match=message):
            write_gif(frames, tmp_path / path, fps)
    with pytest.raises(OSError, match="cannot write"):
        write_gif([frame], tmp_path / "missing" / "a.gif", 10)
    assert not list(tmp_path.iterdir())


def test_long_episodes_skip_frames_and_keep_their_speed():
    cart, freeway = envs.make("CartPole-v1"), envs.make("Freeway-MinAtar")
    assert gif_steps(freeway, 3) == ([0, 1, 2, 3], 15)
    steps, fps = gif_steps(cart, 499)  # 50 steps a second
    assert (steps[:3], steps[-2:], fps) == ([0, 2, 4], [498, 499], 25)
    steps, fps = gif_steps(freeway, 2500)
    assert len(steps) <= MAX_FRAMES and steps[-1] == 2500
    assert fps * (steps[1] - steps[0]) == 15
    for length in range(1, 1200, 7):
        assert len(gif_steps(freeway, length)[0]) <= MAX_FRAMES
    assert gif_steps(freeway, 2500, max_frames=None) == ([*range(2501)], 15)  # of an MP4


def test_table_of_steps():
    env = clock(DQN)
    observations = np.eye(4)[[0, 1, 2, 3, 0]]
    episode = Episode(None, observations, np.array([1, 0, 1, 1]), np.float32([1, 0, -0.25, -0.0]), False, True)
    assert episode_table(env, episode, head=2, tail=1).splitlines() == [
        "step  observation  action      reward",
        "0     1 0 0 0      action 1    1",
        "1     0 1 0 0      action 0    0",
        "...   (1 more)",
        "3     0 0 0 1      action 1    0",
        "4     1 0 0 0      time limit",
    ]
    assert "-0.25" in episode_table(env, episode)


def test_table_of_trees():
    """A column for each part, but for simulators; masks in the groups of their actions, long arrays cut."""
    env = panel(shown={"a": Tuple((Box(-9, 9, (2, 3)), Discrete(4, start=-1))), "z": Simulator()})
    observations = {
        "a": (np.arange(18.0).reshape(3, 2, 3), np.int32([-1, 0, 2])),
        "mask": np.bool_([[1, 0, 0, 1, 0], [0, 1, 1, 1, 1], [0, 0, 0, 0, 0]]),
        "z": (np.zeros((3, 2)), {"more": np.zeros(3)}),
    }
    episode = Episode(None, observations, np.int32([[0, 1], [1, 2]]), np.float32([1, -1]), False, True)
    assert episode_table(env, episode).splitlines() == [
        "step  a/0                          a/1  mask    action      reward",
        "0     0 1 2 3 ... (6 numbers)      -1   10 010  action 0 1  1",
        "1     6 7 8 9 ... (6 numbers)      0    01 111  action 1 2  -1",
        "2     12 13 14 15 ... (6 numbers)  2    00 000  time limit",
    ]
    assert episode_table(env, episode, head=0, tail=1).splitlines()[1].split() == ["...", "(1", "more)"]
    env = panel(COMPOSED, {"x": Box(-1, 1, (2,)), "y": MultiDiscrete((2, 2))})
    actions = {"gear": np.int32([3]), "push": (np.float32([[0.5, -1]]), np.int32([1]))}
    episode = Episode(None, {"x": np.ones((2, 2)), "y": np.ones((2, 2))}, actions, np.float32([1]), True, False)
    assert episode_table(env, episode).splitlines() == [
        "step  x    y    action/gear  action/push/0  action/push/1  reward",
        "0     1 1  1 1  3            +0.50 -1.00    1              1",
        "1     1 1  1 1  terminated",
    ]
    assert action_text(env, jax.tree.map(lambda x: x[0], actions)) == "gear 3, push/0 +0.50 -1.00, push/1 1"
    assert observation_text(env, {"x": [0, 1], "y": [1, 0]}) == "x 0 1, y 1 0"
    wide = panel(MultiDiscrete((20, 10)), {"x": Box(-1, 1, ())})
    text = observation_text(wide, {"x": 1, "mask": np.arange(30) % 3 == 0})
    assert text == "mask 10 of 30 allowed, x 1"
    assert action_text(panel(Box(-1, 1, (17,))), np.zeros(17)).endswith("+0.00 ... (17 numbers)")


@pytest.mark.parametrize("deterministic", [True, False])
def test_what_is_remembered_goes_on_in_a_recorded_episode(deterministic):
    """It is the episode that is evaluated, of a policy that counts and draws."""
    env = cartpole()
    policy, key = new_policy(GAMBLER, env), jax.random.key(5)
    episode = record_episode(GAMBLER, env, tiny(GAMBLER), policy, key, deterministic)
    expected = evaluate_episodes(GAMBLER, env, canonical(tiny(GAMBLER)), policy, key, 1, deterministic)
    assert (episode.length, episode.total_return) == (expected.lengths[0], expected.returns[0])
    act = jax.jit(lambda obs, memory: GAMBLER.act(canonical(tiny(GAMBLER)), env, policy, obs, memory, None))
    reset_key = jax.random.split(jax.random.split(key)[0], 1)[0]
    _, memory = fresh_start(env, memory_of(GAMBLER, env, canonical(tiny(GAMBLER)), True), reset_key)
    for t in range(episode.length):
        action, memory = act(jnp.asarray(episode.observations[t]), memory)
        np.testing.assert_array_equal(episode.actions[t], action)


@pytest.mark.thorough
def test_an_episode_of_trees_is_the_one_that_is_evaluated():
    env = panel(max_steps=6)
    policy, key = new_policy(PPO, env), jax.random.key(2)
    episode = record_episode(PPO, env, tiny(PPO), policy, key)
    expected = evaluate_episodes(PPO, env, canonical(tiny(PPO)), policy, key, 1)
    assert (episode.length, episode.total_return) == (6, expected.returns[0])
    assert episode.total_return == 6.0  # each action was allowed
    assert episode.observations["arm"][0].shape == (7, 3) and episode.actions.shape == (6, 2)
    assert not can_draw(env)


def test_a_wrapped_environment_is_drawn_from_its_own_state():
    cart = envs.make("CartPole-v1", max_steps=9)
    plain = by_hand(cart, [0, 1], x=[-1.5, 1.5, 0.0], theta=[0.0, 0.2, -0.2])
    wrapped = envs.previous_action(envs.time_left(envs.frame_stack(cart, 3)))
    times = np.zeros(3, np.int32)
    stacked = plain._replace(states=envs.Timed(envs.Stacked(envs.Limited(plain.states, times), {}), times))
    assert can_draw(wrapped)
    for one, other in zip(draw_episode(cart, plain), draw_episode(wrapped, stacked), strict=True):
        np.testing.assert_array_equal(one, other)
    grid = envs.previous_action(envs.make("Breakout-MinAtar"))
    assert not can_draw(grid)  # a part of what is seen
    with pytest.raises(ValueError, match="no drawing of Breakout-MinAtar"):
        next(draw_episode(grid, plain))


def test_words_for_actions_and_observations():
    words = action_text
    assert words(envs.make("CartPole-v1"), 0) == "left"
    assert words(envs.make("Acrobot-v1"), 0) == "torque -1 N m"
    assert words(envs.make("Pendulum-v1"), [-7.0]) == "torque -2.00 N m"  # as it is executed
    assert words(envs.make("Freeway-MinAtar"), 1) == "up"
    assert words(envs.make("Breakout-MinAtar"), 2) == "right"
    assert words(envs.make("Breakout-MinAtar", use_minimal_action_set=False), 2) == "up"
    breakout = envs.make("Breakout-MinAtar")
    _, obs = breakout.reset(jax.random.key(0))
    assert observation_text(breakout, obs) == "paddle 1, ball 1, trail 1, brick 30"
    assert observation_text(clock(DQN), np.arange(10)) == "0 1 2 3 4 5 6 7 ... (10 numbers)"


def test_only_what_has_a_drawing_is_drawn():
    for name, channels in CHANNELS.items():
        env = envs.make(name)
        assert can_draw(env) and drawing.channels(env) == channels
        assert len(ACTIONS.get(name, range(env.action_space.n))) == env.action_space.n
    assert all(can_draw(envs.make(name)) for name in SCENES)
    assert not can_draw(envs.make("FourRooms-misc"))
    assert can_draw(image())  # a picture of 0 to 255
    episode = Episode(None, np.zeros((1, 4)), np.zeros(0), np.zeros(0, np.float32), False, False)
    with pytest.raises(ValueError, match="no drawing of clock"):
        next(draw_episode(clock(DQN), episode))


def test_drawn_physics_is_drawn_as_it_was_played(balancing):
    """The pole has the length of the episode, and not the nominal one."""
    env, policy = balancing
    drawn = envs.time_limit(envs.randomize(env, length=(1.1, 1.1), gravity=(8, 12)), 6)
    episode = record_episode(PPO, drawn, tiny(PPO), policy, jax.random.key(3))
    within = episode._replace(states=episode.states.inner.inner)

    def last(env, episode):
        (frame,) = draw_episode(env, episode, steps=[episode.length])
        return np.asarray(frame)

    np.testing.assert_array_equal(last(drawn, episode), last(env.with_params(length=1.1), within))
    assert (last(drawn, episode) != last(env, within)).any()
