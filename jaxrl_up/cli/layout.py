"""What is printed fits the terminal: help, usages, examples and tables."""

from __future__ import annotations

import argparse
import os
import re
import sys
import textwrap
from collections.abc import Sequence
from typing import Any

from jaxrl_up.experiments import columns

NO_TERMINAL = 112  # columns of help where there is no terminal
WIDEST = 120
NARROWEST = 24  # of a column of text


def room() -> int | None:
    """Columns of the terminal, also that of standard error beside a pager; None where there is none."""
    return columns(sys.stdout, sys.stderr)


def width() -> int:
    """Columns that help may take."""
    return max(min((room() or NO_TERMINAL) - 1, WIDEST), 2 * NARROWEST)


def formatter(prog: str) -> argparse.HelpFormatter:
    """Help as wide as the terminal."""
    return argparse.HelpFormatter(prog, max_help_position=min(34, width() // 3 + 6), width=width())


def fold_usage(prog: str, usage: str | None) -> str | None:
    """A usage in as many lines as it needs; what stands in brackets stays together."""
    if usage is None:
        return None
    begin = f"{prog} "
    words = [word.replace("\0", " ") for word in _whole_brackets(usage.removeprefix(begin)).split()]
    indent, lines, room = " " * len(f"usage: {begin}"), [""], width() - len(f"usage: {begin}")
    for word in words:
        if lines[-1] and len(lines[-1]) + 1 + len(word) > room:
            lines.append("")
        lines[-1] += f"{' ' if lines[-1] else ''}{word}"
    return begin + f"\n{indent}".join(lines)


def _whole_brackets(text: str) -> str:
    """A text with zeros for the spaces within brackets."""
    depth, found = 0, []
    for letter in text:
        depth += (letter == "[") - (letter == "]")
        found.append("\0" if letter == " " and depth else letter)
    return "".join(found)


def near_paths(text: str) -> str:
    """A message with its paths as seen from the current directory, where they are below it: `records.near` of each."""
    here = os.path.join(os.getcwd(), "")
    if here == os.sep:
        return text
    paths = rf"(?<![^\s'\"`(=:]){re.escape(here)}(-?)(?=[^\s'\"`)])"
    return re.sub(paths, lambda found: "./-" if found[1] else "", text)


def fill(text: str) -> str:
    """A paragraph."""
    return textwrap.fill(text, width(), break_on_hyphens=False, break_long_words=False)


def definitions(rows: Sequence[tuple[str, str]]) -> str:
    """Names, and beside them what they are."""
    wide = max(len(name) for name, _ in rows)
    column = max(width() - wide - 4, NARROWEST)
    lines = []
    for name, text in rows:
        first, *more = textwrap.wrap(text, column, break_on_hyphens=False)
        lines += [f"  {name:<{wide}}  {first}", *(" " * (wide + 4) + line for line in more)]
    return "\n".join(lines)


def example(line: str) -> str:
    """A command line, continued before an option where it is too long for one."""
    lines = [""]
    for word in re.split(r" (?=--)", line):
        if lines[-1] and len(f"  {lines[-1]} {word} \\") > width():
            lines.append(f"  {word}")
        else:
            lines[-1] += f"{' ' if lines[-1] else ''}{word}"
    return " \\\n".join(f"  {line}" for line in lines)


def table(rows: list[tuple[str, ...]]) -> list[str]:
    """Rows of cells, the first one their names, as lines with aligned columns.

    On a terminal that is too narrow the last column is folded, or each row becomes lines of its own.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    columns, before = room() if sys.stdout.isatty() else None, sum(widths[:-1]) + 2 * (len(widths) - 1)
    if columns is None or before + widths[-1] <= columns:
        return [_aligned(row, widths) for row in rows]
    if columns - before >= NARROWEST:
        folded = [(row, textwrap.wrap(row[-1], columns - before, break_on_hyphens=False) or [""]) for row in rows]
        return [
            _aligned((*(row[:-1] if i == 0 else [""] * (len(row) - 1)), text), widths)
            for row, texts in folded
            for i, text in enumerate(texts)
        ]
    wide, lines = max(map(len, rows[0])), list[str]()
    for row in rows[1:]:
        for name, cell in zip(rows[0], row, strict=True):
            text = textwrap.wrap(cell, max(columns - wide - 2, NARROWEST), break_on_hyphens=False) or [""]
            lines += [f"{name if i == 0 else '':<{wide}}  {part}".rstrip() for i, part in enumerate(text)]
        lines.append("")
    return lines[:-1]


def _aligned(row: Sequence[Any], widths: Sequence[int]) -> str:
    return "  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)).rstrip()
