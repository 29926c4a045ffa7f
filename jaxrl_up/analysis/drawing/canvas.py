"""A picture drawn in the units of a scene."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image


WIDTH = 560
"""Pixels across a frame."""
HEIGHT = 420
"""Pixels of a frame from top to bottom."""
HEADER = 70
"""Pixels of the text at its top."""
SMOOTH = 3  # drawn so many times larger, then averaged
BLUE = "#0072B2"
"""The first colour."""
VERMILLION = "#D55E00"
"""The second colour."""
GREEN, BLACK, GREY, PALE = "#009E73", "#000000", "#999999", "#DDDDDD"
COLOURS = (BLUE, VERMILLION, GREEN, "#CC79A7", "#E69F00", "#56B4E9", BLACK, "#F0E442", "#9933FF", "#663300")
"""Okabe and Ito's palette with two more, told apart with every common colour blindness."""


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

    def picture(self, pixels: np.ndarray, at: tuple[float, float], scale: float) -> None:
        """Pixels, uint8 `[H, W]` or `[H, W, 3]`, with their upper left corner at a place, each `scale` wide."""
        from PIL import Image

        rows, columns = pixels.shape[:2]
        size = round(columns * scale * SMOOTH), round(rows * scale * SMOOTH)
        image = Image.fromarray(pixels).convert("RGB").resize(size, Image.Resampling.NEAREST)
        self.image.paste(image, (round(at[0] * SMOOTH), round(at[1] * SMOOTH)))

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
