"""Frames as an MP4, encoded as H.264 by PyAV, which brings FFmpeg's libraries. An extra, `jaxrl-up[video]`."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxrl_up.records import expand, write_atomically

if TYPE_CHECKING:
    from PIL.Image import Image

QUALITY = "20"  # of x264, "crf": less is better and larger


def write_mp4(frames: Iterable[Image], path: str | Path, fps: float, hold: float = 1.5) -> Path:
    """Write frames, one after the other, as an MP4 that players and browsers show, and return its path.

    The last frame stays `hold` seconds longer. Sides must be even numbers of pixels. Raises `ValueError` for no frames,
    another suffix than .mp4, `fps` outside (0, 120], and where PyAV is missing, and `OSError` where it cannot be
    written.
    """
    av, path, frames = video_library(), expand(path), iter(frames)
    if path.suffix.lower() != ".mp4":
        raise ValueError(f"{path} must end in .mp4")
    if not 0 < fps <= 120:
        raise ValueError(f"fps={fps:g} must be above 0 and at most 120")
    last = next(frames, None)
    if last is None:
        raise ValueError("there are no frames to write")
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "video.mp4"
        _encode(av, made, itertools.chain([last], frames), last.size, fps, hold)
        content = made.read_bytes()
    try:
        write_atomically(path, content)
    except OSError as error:
        raise OSError(f"cannot write {path}: {error.strerror}") from error
    return path


def _encode(av: Any, path: Path, frames: Iterable[Image], size: tuple[int, int], fps: float, hold: float) -> None:
    with av.open(path, "w", options={"movflags": "faststart"}) as file:  # plays before it is loaded whole
        stream = file.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000), options={"crf": QUALITY})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"  # what every player takes
        picture: Any = None
        for frame in frames:
            picture = av.VideoFrame.from_image(frame.convert("RGB"))
            file.mux(stream.encode(picture))
        for _ in range(round(hold * fps)):
            picture.pts = None
            file.mux(stream.encode(picture))
        file.mux(stream.encode())


def video_library() -> Any:
    """PyAV. Raises `ValueError` with what to install where it is missing."""
    try:
        import av
    except ImportError:
        raise ValueError(
            "an MP4 needs a library that is not installed: pip install 'jaxrl-up[video]', or write a .gif"
        ) from None
    return av
