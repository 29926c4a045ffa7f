"""Bodies of simulators and pixels as pictures."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_up import envs
from jaxrl_up.analysis import HEADER, HEIGHT, Episode, can_draw, draw_episode, gif_steps
from jaxrl_up.envs import look

EYE = np.eye(3)


def rods(start, end, radius=0.1):
    """An environment whose state is a shift along x, drawn as capsules; steps of 10 ms."""

    def shapes(params, state):
        shift = np.array([float(state), 0, 0])
        number = len(start)
        return envs.Shapes(np.array(start) + shift, np.array(end) + shift, np.full(number, radius), np.arange(number))

    spec = envs.Spec("rods", lambda *_: None, lambda *_: None, envs.Box(-1, 1, (2,)), envs.Discrete(2))
    return envs.Env({}, spec._replace(look=envs.Look(shapes, 0.01)))


def episode(states, observations=None):
    number = len(states)
    observations = np.zeros((number, 2)) if observations is None else observations
    return Episode(np.asarray(states), observations, np.zeros(number - 1, int), np.ones(number - 1), True, False)


def drawn(env, played, t=0):
    (frame,) = draw_episode(env, played, steps=[t])
    return np.asarray(frame.convert("RGB")).astype(int)[HEADER + 4 :]


def coloured(pixels):
    """Where there is colour and no grey: [rows, columns]."""
    return np.argwhere(np.ptp(pixels, axis=2) > 60)


def test_an_upright_rod_stands_on_the_floor_and_the_picture_goes_along():
    env = rods([[0, 0, 0.1]], [[0, 0, 1.1]])
    assert can_draw(env)
    first, last = (coloured(drawn(env, episode([0.0, 0.5]), t)) for t in (0, 1))
    tall, wide = np.ptp(first, axis=0)
    scale = (HEIGHT - HEADER - 80) / 2.2
    assert tall == pytest.approx(1.2 * scale, abs=4) and wide == pytest.approx(0.2 * scale, abs=4)
    assert first[:, 0].max() == pytest.approx(HEIGHT - 60 - HEADER - 4, abs=3)
    np.testing.assert_array_equal(first, last)  # it has moved, and is in the middle still
    assert (drawn(env, episode([0.0, 0.5]), 0) != drawn(env, episode([0.0, 0.5]), 1)).any()  # the marks have not


def test_what_lies_flat_is_seen_from_above():
    along, across = rods([[0, -1, 0.1]], [[0, 1, 0.1]]), rods([[-1, 0, 0.1]], [[1, 0, 0.1]])
    tall, wide = (np.ptp(coloured(drawn(env, episode([0.0, 0.0]))), axis=0) for env in (along, across))
    assert tall[0] > 5 * tall[1] and wide[1] > 5 * wide[0]


def test_what_is_nearer_hides_what_is_behind():
    near, far = [[0, -1, 0.5]], [[0, 1, 0.5]]
    for order in (near + far, far + near):
        env = rods(order, [[x, y, z + 0.8] for x, y, z in order], 0.3)
        pixels = drawn(env, episode([0.0, 0.0]))
        rows, columns = coloured(pixels).mean(0).astype(int)
        red, _, blue = pixels[rows, columns]
        assert (blue > red) == (order == near + far)  # the first body is blue, the second vermillion


def test_a_gif_of_bodies_keeps_the_simulated_time():
    steps, fps = gif_steps(rods([[0, 0, 0]], [[0, 0, 1]]), 100)
    assert steps[1] - steps[0] == 4 and fps == 25


def test_shapes_of_geoms():
    kind = np.array([0, look.SPHERE, look.CAPSULE, look.CYLINDER, look.BOX, look.ELLIPSOID])
    size = np.array([[9, 9, 9], [0.2, 0, 0], [0.1, 0.5, 0], [0.1, 0.5, 0], [1, 0.2, 0.1], [0.1, 0.2, 3]])
    turned = np.array([[0, 0, 1], [0, 1, 0], [-1, 0, 0]])  # z to x
    rotation = np.array([EYE, EYE, EYE, turned, EYE, EYE])
    position = np.arange(18.0).reshape(6, 3)
    shapes = look.capsules(kind, size, position, rotation, np.arange(6))
    np.testing.assert_array_equal(shapes.body, [1, 2, 3, 4, 5])  # the plane is not drawn
    np.testing.assert_allclose(shapes.radius, [0.2, 0.1, 0.1, 0.2, 0.2])
    half = (shapes.end - shapes.start) / 2
    np.testing.assert_allclose(half, [[0, 0, 0], [0, 0, 0.5], [0.5, 0, 0], [0.8, 0, 0], [0, 0, 2.8]], atol=1e-12)
    np.testing.assert_allclose((shapes.start + shapes.end) / 2, position[1:])


def test_pixels_are_drawn_the_newest_of_a_stack():
    image = envs.Box(0, 255, (4, 6, 2), jnp.uint8)
    env = envs.Env({}, envs.Spec("screen", lambda *_: None, lambda *_: None, image, envs.Discrete(2)))
    pixels = np.zeros((2, 4, 6, 2), np.uint8)
    pixels[:, :, :3, 1] = 255  # the left half of the newest
    shown = drawn(env, episode([0, 0], pixels))
    left, right = shown[150, 150], shown[150, 400]
    assert can_draw(env) and left.min() > 240 and right.max() < 15


def test_a_view_that_cannot_be_had_is_one_line():
    env = rods([[0, 0, 0]], [[0, 0, 1]])
    with pytest.raises(ValueError, match="rods has no renderer of its own"):
        list(draw_episode(env, episode([0.0, 0.0]), simulator_view=True))

    def broken(params, state):
        raise RuntimeError("no OpenGL\nat all")

    env = env.replace(spec=env.spec._replace(look=env.spec.look._replace(frame=broken)))
    with pytest.raises(ValueError, match=r"cannot draw here \(no OpenGL\).*MUJOCO_GL"):
        list(draw_episode(env, episode([0.0, 0.0]), simulator_view=True))


def test_a_view_of_the_simulators_own_keeps_its_colours():
    def frame(params, state):
        return np.full((8, 8, 3), (12, 200, 90), np.uint8)

    env = rods([[0, 0, 0]], [[0, 0, 1]])
    env = env.replace(spec=env.spec._replace(look=env.spec.look._replace(frame=frame)))
    (picture,) = draw_episode(env, episode([0.0, 0.0]), steps=[0], simulator_view=True)
    middle = np.asarray(picture.convert("RGB"))[250, 280]
    np.testing.assert_allclose(middle, (12, 200, 90), atol=6)


def test_of_mujoco_where_its_bodies_are():
    pytest.importorskip("mujoco")
    env = envs.make("gymnasium/Walker2d-v5")
    state, _ = jax.jit(env.reset)(jax.random.key(0))
    shapes = env.spec.look.shapes(env.params, jax.tree.map(np.asarray, state))
    assert len(shapes.radius) == 7 and np.all(np.abs(shapes.start) < 2)
    tops = np.maximum(shapes.start, shapes.end)[:, 2]
    assert tops[0] == tops.max() > 1.2  # the torso
    assert env.spec.look.step_seconds == pytest.approx(0.008)
