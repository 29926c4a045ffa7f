"""What a stream can show: lines that are drawn again or plain ones, how wide, and a small curve of text."""

from __future__ import annotations

import os
import re
import textwrap
from collections.abc import Sequence
from contextlib import suppress
from typing import TextIO

import numpy as np

from jaxrl_up.records import value

DUMB = ("dumb", "unknown")
COMMAND = re.compile(r"(?:^.{0,16}|(?<=`)|(?<=[:&] )(?<!error: ))jaxrl-up [a-z][^`]*")
"""A command in a line, with the few words before it that begin the line."""
ROWS = 5  # of a curve
USUAL = 80  # columns, where a terminal says nothing
WIDEST = 72
NARROWEST = 30
FEWEST = 3  # evaluations, below which there is no curve to see
DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])  # of a braille sign, U+2800 + their sum


def lively(stream: TextIO) -> bool:
    """Whether lines may be coloured and drawn again: a terminal that can, and nobody asked for none (no-color.org)."""
    return stream.isatty() and os.environ.get("TERM") not in DUMB and not os.environ.get("NO_COLOR")


def columns(*streams: TextIO) -> int | None:
    """How wide a terminal is: by `COLUMNS`, or as the first of the streams says that is one; None where none does."""
    if os.environ.get("COLUMNS", "").isdigit():
        return int(os.environ["COLUMNS"]) or None
    for stream in streams:
        if stream.isatty():
            with suppress(OSError, ValueError):  # a stream of Python's own has no number
                return os.get_terminal_size(stream.fileno()).columns or None
    return None


def folded(text: str, stream: TextIO) -> str:
    """A text whose lines are too long for a terminal, broken between words; a command stays whole, to be copied.

    As it is where `stream` is no terminal.
    """
    if not stream.isatty():
        return text
    wide = max(columns(stream) or USUAL, NARROWEST)
    return "\n".join(line if len(line) <= wide else _folded(line, wide) for line in text.split("\n"))


def _folded(line: str, wide: int) -> str:
    """A line in several, those behind the first below what a label begins, `free   22.9 GiB`, or indented by two."""
    words = COMMAND.sub(lambda found: found[0].replace(" ", "\0"), line).replace("&&\0", "&& ")
    label = re.match(r"[a-z ]{1,16}(: |  )(?=\S)", line)
    indent = " " * (2 if label is None else len(label[0]))
    lines = textwrap.wrap(words, wide, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines).replace("\0", " ")


def curve(steps: Sequence[int], numbers: Sequence[float], caption: str, stream: TextIO) -> list[str]:
    """The curve of `numbers [E]` over environment steps `[E]` in a few lines of text.

    Without signs beyond ASCII where the terminal is dumb or has no others. No line where there are fewer than three
    numbers, or no room.
    """
    x, y = np.asarray(steps, np.float64), np.asarray(numbers, np.float64)
    x, y = x[np.isfinite(y)], y[np.isfinite(y)]
    if len(y) < FEWEST:
        return []
    low, high = float(y.min()), float(y.max())
    labels = [value(high, low), *[""] * (ROWS - 2), value(low, high)]
    margin = max(map(len, labels))
    wide = min((columns(stream) or USUAL) - 1, WIDEST) - margin - 2
    if wide < NARROWEST:
        return []
    plain = not _shows(stream, "⣿┤")
    fine = (ROWS, wide) if plain else (4 * ROWS, 2 * wide)
    there = _drawn(np.interp(np.linspace(x[0], x[-1], fine[1]), x, y), low, high, fine[0])
    rows = ["".join("*" if dot else " " for dot in row) for row in there] if plain else _braille(there)
    lines = [f"{label:>{margin}} {'|' if plain else '┤' if label else '│'}{row.rstrip()}"
             for label, row in zip(labels, rows, strict=True)]  # fmt: skip
    first, last = f"{int(x[0]):,}", f"{int(x[-1]):,} steps"
    middle = caption if len(first + caption + last) + 4 <= wide else ""
    return [*lines, " " * (margin + 2) + f"{first}{middle:^{wide - len(first) - len(last)}}{last}"]


def _shows(stream: TextIO, signs: str) -> bool:
    try:
        signs.encode(getattr(stream, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return os.environ.get("TERM") not in DUMB


def _drawn(heights: np.ndarray, low: float, high: float, rows: int) -> np.ndarray:
    """A line through `heights [W]` as dots `[rows, W]`, the highest first, without gaps between neighbours."""
    share = (heights - low) / (high - low) if high > low else np.full(len(heights), 0.5)
    level = np.rint(share * (rows - 1)).astype(int)
    before = np.concatenate([level[:1], level[:-1]])
    bottom = np.minimum(level, np.where(before < level, before + 1, level))
    top = np.maximum(level, np.where(before > level, before - 1, level))
    row = np.arange(rows)[::-1, None]
    return (row >= bottom) & (row <= top)


def _braille(there: np.ndarray) -> list[str]:
    """Dots `[4 H, 2 W]` as H lines of W signs."""
    tall, wide = there.shape
    cells = there.reshape(tall // 4, 4, wide // 2, 2)
    signs = np.einsum("hawb,ab->hw", cells, DOTS)
    return ["".join(chr(0x2800 + int(sign)) if sign else " " for sign in row) for row in signs]
