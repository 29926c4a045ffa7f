"""An episode as frames, and frames as an animated GIF."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from jaxrl_up.analysis.drawing.canvas import BLACK, HEADER, PALE, VERMILLION, WIDTH, Canvas
from jaxrl_up.analysis.drawing.episode import Episode, action_at, as_played
from jaxrl_up.analysis.drawing.scenes import SCENES, _grid, is_grid
from jaxrl_up.analysis.drawing.table import _number, action_text
from jaxrl_up.envs import Env
from jaxrl_up.records import expand, write_atomically

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_FRAMES, MAX_FPS = 600, 30

STEPS_PER_SECOND = {
    "CartPole-v1": 50,
    "Pendulum-v1": 20,
    "Acrobot-v1": 15,
    "MountainCar-v0": 30,
    "MountainCarContinuous-v0": 30,
}


def can_draw(env: Env) -> bool:
    """Whether there is a drawing of this environment: classic control, or a grid `[H, W]` or `[H, W, C]` in [0, 1].

    A grid that is a part of what is observed is not drawn.
    """
    return env.name in SCENES or is_grid(env)


def draw_episode(env: Env, episode: Episode, title: str = "", steps: Iterable[int] | None = None) -> Iterator[Image]:
    """Frames of `WIDTH` x `HEIGHT` pixels of the states at `steps` (default: all T + 1), in one palette.

    A frame shows the state, the step, the return until then and the action chosen there; the last, how the episode
    ended. Raises `ValueError` for an environment without a drawing.
    """
    if not can_draw(env):
        raise ValueError(f"there is no drawing of {env.name}; use `episode_table`")
    env = as_played(env, episode)
    returns = np.concatenate([[0.0], np.cumsum(episode.rewards, dtype=np.float64)])
    scene = SCENES.get(env.name, _grid)
    for t in range(episode.length + 1) if steps is None else steps:
        canvas = Canvas()
        canvas.text((16, 8), f"{env.name}   {title}".strip(), 18)
        canvas.text((16, 38), f"step {t}", 22)
        canvas.text((140, 38), f"return {_number(returns[t])}", 22)
        acted = t < episode.length
        canvas.text((320, 38), action_text(env, action_at(episode, t)) if acted else episode.ending, 22,
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
