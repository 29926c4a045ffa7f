"""Episodes to look at: record one, draw its frames, write them as a GIF or as a table of steps.

The drawings are made with Pillow and not with gymnax's visualiser, which needs gymnasium and pygame for classic control
and names neither the colours of MinAtar nor the step, the reward or the action. Classic control is drawn at the speed
of gymnasium (for CartPole and Pendulum real time at the default time step), all else at 15 steps a second.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_up.arguments import flag, whole_or_none
from jaxrl_up.config import canonical
from jaxrl_up.entries import check_policy, take
from jaxrl_up.envs import Box, Env
from jaxrl_up.envs.core import as_action
from jaxrl_up.envs.wrappers import Counted, Limited, Sticky
from jaxrl_up.files import expand, write_atomically
from jaxrl_up.keys import as_key
from jaxrl_up.rollout import DEFAULT_STEP_CAP
from jaxrl_up.types import Algorithm, Array, Key, PyTree

if TYPE_CHECKING:
    from PIL.Image import Image

WIDTH, HEIGHT, HEADER = 560, 420, 70  # pixels
SMOOTH = 3  # drawn so many times larger, then averaged
MAX_FRAMES, MAX_FPS = 600, 30
BLUE, VERMILLION, GREEN, BLACK, GREY, PALE = "#0072B2", "#D55E00", "#009E73", "#000000", "#999999", "#DDDDDD"
# Okabe and Ito's palette with two more, told apart with every common colour blindness
COLOURS = (BLUE, VERMILLION, GREEN, "#CC79A7", "#E69F00", "#56B4E9", BLACK, "#F0E442", "#9933FF", "#663300")

STEPS_PER_SECOND = {
    "CartPole-v1": 50,
    "Pendulum-v1": 20,
    "Acrobot-v1": 15,
    "MountainCar-v0": 30,
    "MountainCarContinuous-v0": 30,
}
MOVES = ("none", "left", "up", "right", "down", "fire")
ACTIONS = {
    "CartPole-v1": ("left", "right"),
    "MountainCar-v0": ("left", "none", "right"),
    "Asterix-MinAtar": MOVES[:5],
    "Breakout-MinAtar": ("none", "left", "right"),
    "Freeway-MinAtar": ("none", "up", "down"),
    "SpaceInvaders-MinAtar": ("none", "left", "right", "fire"),
    "Seaquest-MinAtar": MOVES,
    "Catch-bsuite": ("left", "none", "right"),
}
CHANNELS = {
    "Asterix-MinAtar": ("player", "enemy", "trail", "gold"),
    "Breakout-MinAtar": ("paddle", "ball", "trail", "brick"),
    "Freeway-MinAtar": ("chicken", "car", *(f"speed {i}" for i in range(1, 6))),
    "Seaquest-MinAtar": ("submarine", "its stern", "its bullet", "trail", "enemy bullet", "fish", "enemy sub",
                         "oxygen", "divers aboard", "diver"),
    "SpaceInvaders-MinAtar": ("cannon", "alien", "going left", "going right", "own bullet", "alien bullet"),
    "Pong-misc": ("paddle", "ball", "trail"),
    "Catch-bsuite": ("ball, paddle",),
    "DeepSea-bsuite": ("agent",),
}  # fmt: skip


class Episode(NamedTuple):
    """One episode of T steps, on the host. Action t was chosen in state t; the last state is the one it ended in."""

    states: PyTree  # [T + 1, ...], of the environment
    observations: np.ndarray  # [T + 1, ...]
    actions: np.ndarray  # [T, ...], as the policy gave them
    rewards: np.ndarray  # float32 [T]
    terminated: bool
    truncated: bool  # neither: it met the step cap

    @property
    def length(self) -> int:
        """T, environment steps."""
        return len(self.rewards)

    @property
    def total_return(self) -> float:
        """The undiscounted sum of the rewards."""
        return float(np.sum(self.rewards, dtype=np.float64))

    @property
    def ending(self) -> str:
        """How it ended: `terminated`, `time limit` or `stopped`."""
        return "terminated" if self.terminated else "time limit" if self.truncated else "stopped"


def record_episode(
    algo: Algorithm | str,
    env: Env | str,
    config: PyTree,
    policy: PyTree,
    key: Key,
    deterministic: bool = True,
    max_steps: int | None = None,
) -> Episode:
    """Play one episode of a policy (`state.policy` of one seed) and keep all of it.

    It is the episode that `evaluate_episodes(algo, env, config, policy, key, 1, deterministic, max_steps)` plays.
    `max_steps` caps its length; None is the environment's time limit, or 10,000 steps where it has none. Raises
    `ValueError` and `TypeError` as that does.
    """
    algo, env, config = take(algo, env, config)
    deterministic, max_steps = flag("deterministic", deterministic), whole_or_none("max_steps", max_steps)
    check_policy(algo, env, config, policy)
    cap = max_steps or env.max_steps or DEFAULT_STEP_CAP
    recorded = _record(algo, env, canonical(config), policy, as_key(key), deterministic, cap)
    states, observations, actions, rewards, terminated, truncated = jax.tree.map(_to_host, recorded)
    done = terminated | truncated
    length = int(np.argmax(done)) + 1 if done.any() else cap
    states, observations = jax.tree.map(lambda x: x[: length + 1], (states, observations))
    last = length - 1
    return Episode(
        states, observations, actions[:length], rewards[:length], bool(terminated[last]), bool(truncated[last])
    )


def _to_host(x: Array) -> Any:
    return x if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else np.asarray(x)


@partial(jax.jit, static_argnames=("algo", "deterministic", "cap"))
def _record(
    algo: Algorithm, env: Env, config: PyTree, policy: PyTree, key: Key, deterministic: bool, cap: int
) -> tuple[PyTree, ...]:
    """`cap` steps without a reset: states and observations `[cap + 1, ...]`, the rest `[cap, ...]`.

    Keys are drawn as `rollout.play` draws them for one episode.
    """
    reset_key, loop_key = jax.random.split(key)
    first = env.reset(jax.random.split(reset_key, 1)[0])

    def step(carry: tuple[PyTree, Array], time: Array) -> Any:
        state, obs = carry
        act_key, env_key = jax.random.split(jax.random.fold_in(loop_key, time))
        action = algo.act(config, env, policy, obs[None], None if deterministic else act_key)[0]
        taken = as_action(env.action_space, action)
        state, obs, reward, terminated, truncated, _ = env.spec.step(
            env.params, jax.random.split(env_key, 1)[0], state, taken
        )
        return (state, obs), ((state, obs), action, reward, terminated, truncated)

    _, (reached, *rest) = jax.lax.scan(step, first, jnp.arange(cap, dtype=jnp.int32))
    states, observations = jax.tree.map(lambda x, xs: jnp.concatenate([x[None], xs]), first, reached)
    return states, observations, *rest


def can_draw(env: Env) -> bool:
    """Whether there is a drawing of this environment: classic control, or a grid `[H, W]` or `[H, W, C]` in [0, 1]."""
    return env.name in SCENES or is_grid(env)


def is_grid(env: Env) -> bool:
    space = env.observation_space
    if not isinstance(space, Box) or len(space.shape) not in (2, 3) or (space.low, space.high) != (0.0, 1.0):
        return False
    return len(space.shape) == 2 or space.shape[2] <= len(COLOURS)


def draw_episode(env: Env, episode: Episode, title: str = "", steps: Iterable[int] | None = None) -> Iterator[Image]:
    """Frames of `WIDTH` x `HEIGHT` pixels of the states at `steps` (default: all T + 1), in one palette.

    A frame shows the state, the step, the return until then and the action chosen there; the last, how the episode
    ended. Raises `ValueError` for an environment without a drawing.
    """
    if not can_draw(env):
        raise ValueError(f"there is no drawing of {env.name}; use `episode_table`")
    returns = np.concatenate([[0.0], np.cumsum(episode.rewards, dtype=np.float64)])
    scene = SCENES.get(env.name, _grid)
    for t in range(episode.length + 1) if steps is None else steps:
        canvas = Canvas()
        canvas.text((16, 8), f"{env.name}   {title}".strip(), 18)
        canvas.text((16, 38), f"step {t}", 22)
        canvas.text((140, 38), f"return {_number(returns[t])}", 22)
        acted = t < episode.length
        canvas.text((320, 38), action_text(env, episode.actions[t]) if acted else episode.ending, 22,
                    BLACK if acted else VERMILLION)  # fmt: skip
        canvas.line([(0, HEADER), (WIDTH, HEADER)], PALE, 2)
        scene(canvas, env, episode, t)
        yield canvas.finish()


def gif_steps(env: Env, length: int) -> tuple[list[int], float]:
    """Which states of an episode of `length` steps to draw, and how many a second.

    Steps are skipped where there would be more than `MAX_FPS` a second or `MAX_FRAMES` in all; the speed stays. The
    last state is always drawn.
    """
    rate = STEPS_PER_SECOND.get(env.name, 15)
    stride = max(math.ceil(rate / MAX_FPS), math.ceil(length / (MAX_FRAMES - 1)), 1)
    return [*range(0, length, stride), length], rate / stride


def write_gif(frames: Iterable[Image], path: str | Path, fps: float, hold: float = 1.5) -> Path:
    """Write frames as a GIF that repeats for ever, and return its path.

    The GIF's clock ticks in hundredths of a second; frames are rounded to it so that the whole keeps `fps`. The last
    frame stays `hold` seconds longer. Equal neighbours become one longer frame. Raises `ValueError` for no frames,
    another suffix than .gif or `fps` outside (0, 50], which viewers do not keep, and `OSError` where it cannot be
    written.
    """
    path, (first, *others) = expand(path), [*frames] or [None]
    if path.suffix.lower() != ".gif":
        raise ValueError(f"{path} must end in .gif")
    if not 0 < fps <= 50:
        raise ValueError(f"fps={fps:g} must be above 0 and at most 50")
    if first is None:
        raise ValueError("there are no frames to write")
    ticks = np.diff([round(100 * i / fps) for i in range(len(others) + 2)])
    ticks[-1] += round(100 * hold)
    content = io.BytesIO()
    durations = [10 * int(tick) for tick in ticks]
    first.save(content, "GIF", save_all=True, append_images=others, duration=durations, loop=0)
    try:
        write_atomically(path, content.getvalue())
    except OSError as error:
        raise OSError(f"cannot write {path}: {error.strerror}") from error
    return path


def episode_table(env: Env, episode: Episode, head: int = 30, tail: int = 10) -> str:
    """The steps of an episode as lines `step, observation, action, reward`; those in the middle of a long one are cut.

    A last line says how the episode ended, and in which observation.
    """
    rows = [("step", "observation", "action", "reward")]
    cut = episode.length - head - tail
    for t in range(episode.length):
        if cut > 0 and head <= t < head + cut:
            if t == head:
                rows.append(("...", f"({cut} more)", "", ""))
            continue
        observation, action = observation_text(env, episode.observations[t]), action_text(env, episode.actions[t])
        rows.append((str(t), observation, action, f"{episode.rewards[t] + 0.0:.4g}"))
    rows.append((str(episode.length), observation_text(env, episode.observations[-1]), episode.ending, ""))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def action_text(env: Env, action: Any) -> str:
    """An action in words where it has any: `left`, `torque +1.20 N m`; else as numbers."""
    action = np.asarray(action)
    if isinstance(env.action_space, Box):
        values = " ".join(f"{x:+.2f}" for x in executed_action(env, action).ravel())
        return {"Pendulum-v1": f"torque {values} N m", "MountainCarContinuous-v0": f"force {values}"}.get(
            env.name, f"action {values}"
        )
    if env.name == "Acrobot-v1":
        return f"torque {parameter(env, 'available_torque')[int(action)]:+g} N m"
    names = ACTIONS.get(env.name, ())
    if "MinAtar" in env.name and env.action_space.n == len(MOVES):  # the full set of actions
        names = MOVES
    return names[int(action)] if len(names) == env.action_space.n else f"action {int(action)}"


def observation_text(env: Env, observation: Any) -> str:
    """An observation in a few words: its first eight numbers, or how many cells each channel of a grid has set."""
    observation = np.asarray(observation)
    if is_grid(env):
        counts = (observation > 0).reshape(-1, len(channels(env))).sum(axis=0)
        return ", ".join(f"{name} {count}" for name, count in zip(channels(env), counts, strict=True) if count)
    values = observation.ravel()
    more = f" ... ({values.size} numbers)" if values.size > 8 else ""
    return " ".join(f"{float(x):.3g}" for x in values[:8]) + more


def _number(x: float) -> str:
    """A whole number as one, else to two decimals."""
    return str(int(x)) if float(x).is_integer() else f"{x:.2f}"


def parameter(env: Env, name: str) -> np.ndarray:
    return np.asarray({**dict(env.spec.fixed), **env.params}[name])


def executed_action(env: Env, action: Any) -> np.ndarray:
    """What the physics makes of an action: Pendulum and MountainCarContinuous clip it to its bounds."""
    if isinstance(env.action_space, Box) and env.name in SCENES:
        return np.clip(action, *map(np.asarray, env.action_space.bounds()))
    return np.asarray(action)


def state_at(episode: Episode, t: int) -> Any:
    """State t, without those of wrappers."""
    state = episode.states
    while isinstance(state, Limited | Counted | Sticky):
        state = state.inner
    return jax.tree.map(lambda x: x[t], state)


class Canvas:
    """A white picture to draw on in pixels; smoothed and given the common palette by `finish`."""

    def __init__(self) -> None:
        from PIL import Image, ImageDraw

        self.image = Image.new("RGB", (WIDTH * SMOOTH, HEIGHT * SMOOTH), "white")
        self.draw = ImageDraw.Draw(self.image)

    def finish(self) -> Image:
        from PIL.Image import Dither

        return self.image.reduce(SMOOTH).quantize(palette=palette(), dither=Dither.NONE)

    def line(self, points: Sequence[Any], colour: str, width: float) -> None:
        self.draw.line(_scaled(points), colour, round(width * SMOOTH), joint="curve")

    def dashes(self, start: tuple[float, float], end: tuple[float, float], colour: str, width: float) -> None:
        a, b = np.array(start), np.array(end)
        count = max(round(float(np.linalg.norm(b - a)) / 14), 1)
        for i in range(count):
            self.line([a + (b - a) * i / count, a + (b - a) * (i + 0.5) / count], colour, width)

    def rod(self, start: Any, end: Any, colour: str, width: float) -> None:
        """A line with round ends."""
        self.line([start, end], colour, width)
        for point in (start, end):
            self.circle(point, width / 2, colour)

    def circle(self, centre: Any, radius: float, colour: str) -> None:
        x, y = centre
        self.draw.ellipse(_scaled([(x - radius, y - radius), (x + radius, y + radius)]), colour)

    def polygon(self, points: Sequence[Any], colour: str) -> None:
        self.draw.polygon(_scaled(points), colour)

    def rectangle(self, left: float, top: float, right: float, bottom: float, colour: str) -> None:
        (x0, y0), (x1, y1) = _scaled([(left, top), (right, bottom)])
        self.draw.rectangle((x0, y0, x1 - 1, y1 - 1), colour)

    def text(self, at: tuple[float, float], text: str, size: int, colour: str = BLACK, anchor: str = "la") -> None:
        """`anchor` as in Pillow: `la` left and top, `ma` middle and top, `lm` left and middle."""
        self.draw.text(_scaled([at])[0], text, colour, _font(size * SMOOTH), anchor)

    def arrow(self, points: Sequence[Any], colour: str, width: float) -> None:
        """A line along points with a head at its end."""
        (x0, y0), (x1, y1) = points[-2], points[-1]
        angle = math.atan2(y1 - y0, x1 - x0)
        head = [(x1 + 2.2 * width * math.cos(angle + turn), y1 + 2.2 * width * math.sin(angle + turn))
                for turn in (0.0, 2.3, -2.3)]  # fmt: skip
        self.line(points, colour, width)
        self.polygon(head, colour)

    def arc(self, centre: Any, radius: float, turn: float, colour: str, width: float) -> None:
        """An arrow round `centre` from its right, `turn` radians counter-clockwise; none for a turn of 0."""
        if abs(turn) > 0.02:
            angles = np.linspace(0, turn, 24)
            points = [(centre[0] + radius * math.cos(a), centre[1] - radius * math.sin(a)) for a in angles]
            self.arrow(points, colour, width)

    def axis(self, to_x: Callable[[float], float], y: float, low: float, high: float, tick: float, label: str) -> None:
        """A horizontal axis with a tick at every multiple of `tick`, and its label below."""
        self.line([(to_x(low), y), (to_x(high), y)], BLACK, 2)
        for i in range(math.ceil(low / tick - 1e-6), math.floor(high / tick + 1e-6) + 1):
            self.line([(to_x(i * tick), y), (to_x(i * tick), y + 7)], BLACK, 2)
            self.text((to_x(i * tick), y + 10), f"{i * tick:g}", 18, anchor="ma")
        self.text(((to_x(low) + to_x(high)) / 2, y + 33), label, 18, anchor="ma")


def _scaled(points: Sequence[Any]) -> list[tuple[float, float]]:
    return [(float(x) * SMOOTH, float(y) * SMOOTH) for x, y in points]


@cache
def _font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size)


@cache
def palette() -> Image:
    """At most 256 colours, the same for all frames: the drawing's, and their blends at smoothed edges."""
    from PIL import Image, ImageColor

    white, black = np.full(3, 255.0), np.zeros(3)
    colours = [np.array(ImageColor.getrgb(colour)) for colour in (*COLOURS, GREY, PALE)]
    greys = [white * i / 31 for i in reversed(range(32))]
    blends = [c + (white - c) * i / 12 for c in colours for i in range(1, 12)]
    shades = [c + (black - c) * i / 5 for c in colours for i in range(1, 5)]
    entries = np.round([white, *colours, *greys, *blends, *shades]).astype(int).tolist()
    apart = {tuple(x // 4 for x in entry): entry for entry in reversed(entries)}  # Pillow looks at six bits of a colour
    image = Image.new("P", (1, 1))
    image.putpalette([x for entry in apart.values() for x in entry])
    return image


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
    """The names of a grid's channels."""
    shape = env.observation_space.shape
    number = shape[2] if len(shape) == 3 else 1
    names = CHANNELS.get(env.name, ())
    return names if len(names) == number else tuple(f"channel {i}" for i in range(number))


SCENES: dict[str, Callable[[Canvas, Env, Episode, int], None]] = {
    "CartPole-v1": _cartpole,
    "Pendulum-v1": _pendulum,
    "Acrobot-v1": _acrobot,
    "MountainCar-v0": _mountain_car,
    "MountainCarContinuous-v0": _mountain_car,
}
