"""An episode as frames, and frames as an animated GIF."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from jaxrl_up.analysis.drawing.canvas import BLACK, HEADER, HEIGHT, PALE, SMOOTH, VERMILLION, WIDTH, Canvas
from jaxrl_up.analysis.drawing.episode import Episode, as_played, state_at
from jaxrl_up.analysis.drawing.scenes import scene_of
from jaxrl_up.analysis.drawing.table import _number, acted_text
from jaxrl_up.envs import Env
from jaxrl_up.records import expand, write_atomically

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_FRAMES = 600
"""Frames of a GIF at most."""
MAX_FPS = 30

MOVES_PER_SECOND = 1
STEPS_PER_SECOND = {
    "CartPole-v1": 50,
    "Pendulum-v1": 20,
    "Acrobot-v1": 15,
    "MountainCar-v0": 30,
    "MountainCarContinuous-v0": 30,
}


def can_draw(env: Env) -> bool:
    """Whether there is a drawing of this environment: classic control, bodies, boards, a grid in [0, 1], pixels.

    A grid `[H, W]` or `[H, W, C]`, or an image of uint8, that is a part of what is observed is not drawn.
    """
    return scene_of(env) is not None


def draw_episode(
    env: Env, episode: Episode, title: str = "", steps: Iterable[int] | None = None, simulator_view: bool = False
) -> Iterator[Image]:
    """Frames of `WIDTH` x `HEIGHT` pixels of the states at `steps` (default: all T + 1), in one palette.

    A frame shows the state, the step, the return until then and the action chosen there; the last, how the episode
    ended. With `simulator_view` the state is as the simulator itself pictures it (MuJoCo's renderer), in colours of its
    own. Raises `ValueError` for an environment without a drawing, and for a view that cannot be had.
    """
    env = as_played(env, episode)
    if simulator_view:
        yield from _views(env, episode, title, steps)
        return
    scene = scene_of(env)
    if scene is None:
        raise ValueError(f"there is no drawing of {env.name}; use `episode_table`")
    for t in range(episode.length + 1) if steps is None else steps:
        canvas = _headed(env, episode, title, t)
        scene(canvas, env, episode, t)
        yield canvas.finish()


MOST_LETTERS = 22  # of an action


def _headed(env: Env, episode: Episode, title: str, t: int) -> Canvas:
    """A picture with what is above every scene."""
    canvas, acted = Canvas(), t < episode.length
    words = acted_text(env, episode, t) if acted else episode.ending
    words = words if len(words) <= MOST_LETTERS else words[: MOST_LETTERS - 3].rstrip() + " ..."
    canvas.text((16, 8), f"{env.name}   {title}".strip(), 18)
    canvas.text((16, 38), f"step {t}", 22)
    canvas.text((140, 38), f"return {_number(np.sum(episode.rewards[:t], dtype=np.float64))}", 22)
    canvas.text((320, 38), words, 22, BLACK if acted else VERMILLION)
    canvas.line([(0, HEADER), (WIDTH, HEADER)], PALE, 2)
    return canvas


def _views(env: Env, episode: Episode, title: str, steps: Iterable[int] | None) -> Iterator[Image]:
    """Frames by the simulator's own renderer, in the colours of the first."""
    from PIL.Image import Dither

    look, colours = env.spec.look, None
    if look is None or look.frame is None:
        raise ValueError(f"{env.name} has no renderer of its own: leave simulator_view away")
    for t in range(episode.length + 1) if steps is None else steps:
        try:
            pixels = look.frame(env.params, state_at(episode, t))
        except Exception as error:  # whatever OpenGL says
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise ValueError(
                f"the renderer of {env.name} cannot draw here ({reason}): leave simulator_view away, or name another "
                "in the environment variable MUJOCO_GL"
            ) from error
        canvas, scale = _headed(env, episode, title, t), (HEIGHT - HEADER) / pixels.shape[0]
        canvas.picture(pixels, ((WIDTH - scale * pixels.shape[1]) / 2, HEADER), scale)
        picture = canvas.image.reduce(SMOOTH)
        colours = picture.quantize(255) if colours is None else colours
        yield picture.quantize(palette=colours, dither=Dither.NONE)


def gif_steps(env: Env, length: int, max_frames: int | None = MAX_FRAMES) -> tuple[list[int], float]:
    """Which states of an episode of `length` steps to draw, and how many a second.

    Steps are skipped where there would be more than `MAX_FPS` a second or `max_frames` in all (None: as many as there
    are, for an MP4); the speed stays. The last state is always drawn.
    """
    usual = 15 if env.spec.board is None else MOVES_PER_SECOND
    rate = STEPS_PER_SECOND.get(env.name, usual) if env.spec.look is None else 1 / env.spec.look.step_seconds
    most = length if max_frames is None else max_frames - 1
    stride = max(math.ceil(rate / MAX_FPS), math.ceil(length / max(most, 1)), 1)
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
