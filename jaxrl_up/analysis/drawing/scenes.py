"""What each environment looks like."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxrl_up.analysis.drawing.boards import board_scene
from jaxrl_up.analysis.drawing.canvas import (
    BLACK,
    BLUE,
    COLOURS,
    GREEN,
    GREY,
    HEADER,
    HEIGHT,
    PALE,
    VERMILLION,
    WIDTH,
    Canvas,
)
from jaxrl_up.analysis.drawing.episode import CHANNELS, Episode, parameter, state_at
from jaxrl_up.envs import Box, Env, Shapes


def is_grid(env: Env) -> bool:
    """Whether observations are one array of cells that are on or off, in channels or not."""
    space = env.observation_space
    if not isinstance(space, Box) or len(space.shape) not in (2, 3) or (space.low, space.high) != (0.0, 1.0):
        return False
    return len(space.shape) == 2 or space.shape[2] <= len(COLOURS)


def executed_action(env: Env, action: Any) -> np.ndarray:
    """What the physics makes of an action: Pendulum and MountainCarContinuous clip it to its bounds."""
    if isinstance(env.action_space, Box) and env.name in SCENES:
        return np.clip(action, *map(np.asarray, env.action_space.bounds()))
    return np.asarray(action)


def _cartpole(canvas: Canvas, env: Env, episode: Episode, t: int) -> None:
    state = state_at(episode, t)
    limit, pole = float(parameter(env, "x_threshold")), 2 * float(parameter(env, "length"))
    lean = float(parameter(env, "theta_threshold_radians"))
    scale, floor, top = min((WIDTH / 2 - 30) / limit, 210 / pole), 350, 306

    def to_x(position: float) -> float:
        return WIDTH / 2 + scale * position

    canvas.axis(to_x, floor, -limit, limit, 1.0, "position [m]")
    for side in (-limit, limit):
        canvas.dashes((to_x(side), HEADER + 40), (to_x(side), floor), GREY, 2)
    x = to_x(float(state.x))
    for angle in (-lean, lean):
        canvas.dashes((x, top), (x + 210 * math.sin(angle), top - 210 * math.cos(angle)), GREY, 2)
    canvas.rectangle(x - 38, top, x + 38, top + 32, BLUE)
    for wheel in (-22, 22):
        canvas.circle((x + wheel, floor - 9), 8, BLACK)
    angle = float(state.theta)
    canvas.rod((x, top), (x + scale * pole * math.sin(angle), top - scale * pole * math.cos(angle)), VERMILLION, 11)
    canvas.circle((x, top), 4, BLACK)
    if t < episode.length:
        side = 1 if episode.actions[t] == 1 else -1
        canvas.arrow([(x + side * 42, top + 16), (x + side * 78, top + 16)], BLACK, 5)
    canvas.text((16, HEADER + 10), f"pole {math.degrees(angle):+.1f}°", 18)
    canvas.text((WIDTH - 16, HEADER + 10), "dashes: where it ends", 18, "#555555", anchor="ra")


def _pendulum(canvas: Canvas, env: Env, episode: Episode, t: int) -> None:
    angle, centre, rod = float(state_at(episode, t).theta), (WIDTH / 2, HEADER + 175), 130
    wrapped = (math.degrees(angle) + 180) % 360 - 180
    canvas.dashes(centre, (centre[0], centre[1] - rod - 20), GREY, 3)
    canvas.text((centre[0] + 12, centre[1] - rod - 28), "upright", 18, "#555555")
    canvas.rod(centre, (centre[0] - rod * math.sin(angle), centre[1] - rod * math.cos(angle)), VERMILLION, 18)
    if t < episode.length:
        torque = executed_action(env, episode.actions[t])[0] / float(parameter(env, "max_torque"))
        canvas.arc(centre, 46, 2.4 * torque, BLUE, 6)
    canvas.circle(centre, 7, BLACK)
    canvas.text((16, HEADER + 10), f"angle {wrapped:+.0f}°", 18)
    canvas.text((16, HEIGHT - 30), "arrow: torque", 18, BLUE)


def _acrobot(canvas: Canvas, env: Env, episode: Episode, t: int) -> None:
    state = state_at(episode, t)
    upper, lower = float(parameter(env, "link_length_1")), float(parameter(env, "link_length_2"))
    scale, pivot = 152 / (upper + lower), np.array([WIDTH / 2, HEADER + 175])
    a, b = float(state.joint_angle1), float(state.joint_angle1) + float(state.joint_angle2)
    elbow = pivot + scale * upper * np.array([math.sin(a), math.cos(a)])
    tip = elbow + scale * lower * np.array([math.sin(b), math.cos(b)])
    goal = pivot[1] - scale
    canvas.dashes((60, goal), (WIDTH - 60, goal), GREY, 3)
    canvas.text((16, goal - 26), "goal height", 18, "#555555")
    canvas.rod(pivot, elbow, BLUE, 16)
    canvas.rod(elbow, tip, VERMILLION, 16)
    for joint in (pivot, elbow):
        canvas.circle(joint, 5, BLACK)
    if t < episode.length:
        torque = float(parameter(env, "available_torque")[int(episode.actions[t])])
        canvas.arc(elbow, 30, 2.4 * np.sign(torque), BLACK, 5)
    canvas.text((16, HEIGHT - 30), "arrow: torque at the joint", 18)


def _mountain_car(canvas: Canvas, env: Env, episode: Episode, t: int) -> None:
    low, high, goal = (float(parameter(env, f"{name}_position")) for name in ("min", "max", "goal"))
    scale, floor = (WIDTH - 90) / (high - low), 356

    def height(position: float) -> float:
        return 0.45 * math.sin(3 * position) + 0.55

    def to_x(position: float) -> float:
        return 45 + scale * (position - low)

    def at(position: float) -> np.ndarray:
        return np.array([to_x(position), floor - 14 - 190 * height(position)])

    canvas.line([at(x) for x in np.linspace(low, high, 80)], BLACK, 4)
    canvas.axis(to_x, floor, low, high, 0.3, "position")
    flag = at(goal)
    canvas.line([flag, flag - (0, 66)], BLACK, 3)
    canvas.polygon([flag - (0, 66), flag - (-30, 55), flag - (0, 44)], GREEN)
    canvas.text((float(flag[0]) - 8, float(flag[1]) - 66), "goal", 18, GREEN, anchor="ra")
    canvas.text((16, HEADER + 10), "arrow: push", 18, VERMILLION)
    position = float(state_at(episode, t).position)
    along = at(position + 1e-3) - at(position - 1e-3)
    along = along / np.linalg.norm(along)
    up = np.array([along[1], -along[0]])
    centre = at(position) + 2 * up
    corners = [(-24, 9), (-24, 22), (-12, 34), (12, 34), (24, 22), (24, 9)]
    canvas.polygon([centre + x * along + y * up for x, y in corners], BLUE)
    for wheel in (-14, 14):
        canvas.circle(centre + wheel * along + 8 * up, 8, BLACK)
    if t < episode.length:
        action = executed_action(env, episode.actions[t])
        push = float(action) - 1 if env.name == "MountainCar-v0" else float(action[0])
        if abs(push) > 0.02:
            start = centre + 46 * up
            canvas.arrow([start - 40 * push * along / 2, start + 40 * push * along / 2], VERMILLION, 5)


def _grid(canvas: Canvas, env: Env, episode: Episode, t: int) -> None:
    planes = np.asarray(episode.observations[t]) > 0
    planes = planes.reshape(*planes.shape[:2], -1)
    rows, columns = planes.shape[:2]
    cell = min((HEIGHT - HEADER - 20) // rows, 350 // columns)
    top, left = HEADER + 10, 16
    canvas.rectangle(left - 1, top - 1, left + columns * cell + 1, top + rows * cell + 1, PALE)
    for row, column in np.ndindex(rows, columns):
        x, y = left + column * cell, top + row * cell
        canvas.rectangle(x + 1, y + 1, x + cell - 1, y + cell - 1, "#FFFFFF")
        shown = np.flatnonzero(planes[row, column])
        for i, channel in enumerate(shown):  # several in one cell: one inside the other
            inset = 1 + i * (cell / 2 - 1) / len(shown)
            canvas.rectangle(x + inset, y + inset, x + cell - inset, y + cell - inset, COLOURS[channel])
    left += columns * cell + 20
    for channel, name in enumerate(channels(env)):
        y = top + channel * 32
        canvas.rectangle(left - 1, y - 1, left + 23, y + 23, GREY)
        canvas.rectangle(left, y, left + 22, y + 22, COLOURS[channel])
        canvas.text((left + 32, y + 11), name, 18, anchor="lm")


def channels(env: Env) -> tuple[str, ...]:
    """The names of a grid's channels, see `is_grid`."""
    space = env.observation_space
    number = space.shape[2] if isinstance(space, Box) and len(space.shape) == 3 else 1
    names = CHANNELS.get(env.name, ())
    return names if len(names) == number else tuple(f"channel {i}" for i in range(number))


def is_image(env: Env) -> bool:
    """Whether observations are pixels, uint8 `[H, W]` or `[H, W, C]`."""
    space = env.observation_space
    return (
        isinstance(space, Box) and space.dtype == np.uint8 and len(space.shape) in (2, 3) and min(space.shape[:2]) > 1
    )


def _image(canvas: Canvas, env: Env, episode: Episode, t: int) -> None:
    """Pixels in colour where there are three channels, else the last of them, which is the newest of a stack."""
    pixels = np.asarray(episode.observations[t])
    if pixels.ndim == 3 and pixels.shape[2] != 3:
        pixels = pixels[..., -1]
    rows, columns = pixels.shape[:2]
    scale = min((HEIGHT - HEADER - 20) / rows, (WIDTH - 32) / columns)
    canvas.picture(pixels, ((WIDTH - columns * scale) / 2, HEADER + 10), scale)


def _bodies(canvas: Canvas, env: Env, episode: Episode, t: int) -> None:
    """Capsules from the side, x to the right and z up; the picture goes along.

    What stays in the plane of the floor is seen from above, y up.
    """
    look, room, ground = env.spec.look, HEIGHT - HEADER - 80, HEIGHT - 60
    assert look is not None

    def shapes_at(t: int) -> Shapes:
        return look.shapes(env.params, state_at(episode, t))

    shapes, some = shapes_at(t), [shapes_at(at) for at in (0, episode.length // 2, episode.length)]
    extents = np.array([np.ptp(np.concatenate([x.start, x.end]), axis=0) for x in some])
    above = bool((extents[:, 2] < 0.25 * extents[:, :2].max(1)).all())
    up, towards = (1, 2) if above else (2, 1)
    scale = room / (1.4 * float(extents[:, :2].max()) if above else 2.2)
    centre = (shapes.start + shapes.end).mean(0) / 2
    lowest = min(0.0, *(float(np.minimum(x.start, x.end)[:, 2].min()) for x in some))
    level = ground - room / 2 + scale * float(centre[1]) if above else ground + scale * lowest
    reach = WIDTH / 2 / scale

    def to_x(x: float) -> float:
        return WIDTH / 2 + scale * (x - float(centre[0]))

    def at(point: np.ndarray) -> tuple[float, float]:
        return to_x(float(point[0])), level - scale * float(point[up])

    label = "position [m], from above" if above else "position [m]"
    low, high = float(centre[0]) - reach, float(centre[0]) + reach
    canvas.axis(to_x, ground, low, high, 1.0 if scale < 300 else 0.2, label)
    bodies = sorted(set(np.asarray(shapes.body).tolist()))
    order = (shapes.start + shapes.end)[:, towards] * (1 if above else -1)
    for i in np.argsort(order, kind="stable"):  # what is behind first
        colour = COLOURS[bodies.index(int(shapes.body[i])) % len(COLOURS)]
        canvas.rod(at(shapes.start[i]), at(shapes.end[i]), colour, 2 * scale * float(shapes.radius[i]))


Scene = Callable[[Canvas, Env, Episode, int], None]


def scene_of(env: Env) -> Scene | None:
    """What draws the states of an environment; None where nothing does."""
    if env.name in SCENES:
        return SCENES[env.name]
    if env.spec.board is not None:
        return board_scene
    return _bodies if env.spec.look is not None else _grid if is_grid(env) else _image if is_image(env) else None


SCENES: dict[str, Scene] = {
    "CartPole-v1": _cartpole,
    "Pendulum-v1": _pendulum,
    "Acrobot-v1": _acrobot,
    "MountainCar-v0": _mountain_car,
    "MountainCarContinuous-v0": _mountain_car,
}
"""How a state is drawn, by the name of its environment."""
