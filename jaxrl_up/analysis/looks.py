"""The look that all pictures share: sizes, colours, panels, labels and legends.

A panel for each environment, a colour and a line style for each label, both the same in every panel. Legends stand
outside the axes, and long texts are broken into lines, so that nothing hides data and nothing is cut off.
matplotlib.pyplot is not used: no window, no shared state.
"""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jaxrl_up.config import did_you_mean, shown
from jaxrl_up.records import expand, write_atomically

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette: told apart with every common colour blindness; the styles tell them apart in grey too
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
STYLES = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)))
COLOUR_MAP = "cividis"  # even for all common colour blindness, and in grey
COLUMNS = 3  # panels beside one another
NARROWEST = 2.0  # inches of a panel of a picture whose width is given
LOWEST = 20  # lines of text of such a panel's height
LEGENDS = ("outside", "inside", "direct", "none")
WIDTHS = {"column": 3.25, "page": 6.75}  # inches: of a page with two columns
USUAL_SIZE = (7, 4.5)  # inches
USUAL_FONT = 14.0  # points, of a picture that is read at half its size
PAPER_FONT = 8.0  # points, where the width is given: as large as the picture will be printed
GLUE = "\0"  # a space at which no line is broken
CHARACTER = 0.55  # ems, the mean width of a character
EMBEDDED: Any = {"pdf.fonttype": 42, "ps.fonttype": 42, "svg.fonttype": "path"}  # TrueType, and glyphs as paths


class Looks(NamedTuple):
    """How a picture looks: made by `looks`, which checks it."""

    legend: str = "outside"
    width: float | None = None  # inches
    font_size: float = USUAL_FONT  # points, of the labels of axes

    @property
    def scale(self) -> float:
        """How much thinner than usual lines and smaller texts are."""
        return self.font_size / USUAL_FONT

    @property
    def small(self) -> float:
        """Points of ticks and legends."""
        return 0.85 * self.font_size


def looks(legend: str = "outside", width: float | str | None = None, font_size: float | None = None) -> Looks:
    """The looks of a picture.

    `legend` is "outside" (below the panels), "inside", "direct" (at the curves' ends) or "none". `width` is inches, or
    "column" (3.25) or "page" (6.75); None is one that can be read at half its size. `font_size` is points, by default 8
    where there is a width and else 14. Raises `ValueError` for anything else.
    """
    if legend not in LEGENDS:
        raise ValueError(f"legend={legend!r}: choose from {', '.join(LEGENDS)}.{did_you_mean(str(legend), LEGENDS)}")
    if isinstance(width, str) and width in WIDTHS:
        width = WIDTHS[width]
    try:
        inches = None if width is None else float(width)
        points = (USUAL_FONT if width is None else PAPER_FONT) if font_size is None else float(font_size)
    except (TypeError, ValueError):
        inches, points = 0.0, 0.0
    if inches is not None and not 1.5 <= inches <= 40:
        raise ValueError(f"width={shown(width)}: give 1.5 to 40 inches, or {', '.join(WIDTHS)}")
    if not 4 <= points <= 40:
        raise ValueError(f"font_size={shown(font_size)}: give 4 to 40 points")
    return Looks(legend, inches, points)


def panel_figure(names: Iterable[str], title: str | None, style: Looks = Looks()) -> tuple[Figure, dict[str, Axes]]:
    """A figure with a panel for each name, titled with it (a single one with `title`, where there is one)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = list(names)
    columns = min(len(names), COLUMNS)
    if style.width is not None:
        columns = max(1, min(columns, int(style.width / NARROWEST)))
    rows = -(-len(names) // columns)
    across, down = USUAL_SIZE if len(names) == 1 else (5.2, 4.2)
    if style.width is not None:
        across = style.width / columns
        down = max(0.75 * across, LOWEST * style.font_size / 72)
    figure = Figure(figsize=(across * columns, down * rows), layout="constrained")
    FigureCanvasAgg(figure)
    panels = {name: figure.add_subplot(rows, columns, i + 1) for i, name in enumerate(names)}
    for name, axes in panels.items():
        text = title if title and len(names) == 1 else name
        write(axes.set_title, wrapped(text, 0.8 * across, style.font_size), fontsize=style.font_size)
    if title and len(names) > 1:
        size = 1.1 * style.font_size
        write(figure.suptitle, wrapped(title, 0.95 * across * columns, size), fontsize=size)
    return figure, panels


def label_looks(panels: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Colour and line style of each label, the same in every panel."""
    labels = dict.fromkeys(label for groups in panels.values() for label in groups)
    return {
        label: {"color": COLOURS[i % len(COLOURS)], "linestyle": STYLES[i % len(STYLES)]}
        for i, label in enumerate(labels)
    }


def write(method: Callable[..., Any], *texts: Any, **looks: Any) -> Any:
    """Call what draws texts so that they are drawn as written: to matplotlib a pair of `$` is mathematics."""
    return method(*map(printable, texts), parse_math=False, **looks)


def printable(text: Any) -> Any:
    """A text, or a list of texts, without what stands for bytes of a file name that are no UTF-8."""
    if not isinstance(text, str):
        return [printable(item) for item in text] if isinstance(text, list) else text
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def wrapped(text: str, inches: float, points: float) -> str:
    """A text in lines that are so long at most, about; broken after commas and before brackets where that is enough."""
    room = max(8, int(inches * 72 / (CHARACTER * points)))
    lines = []
    for line in text.split("\n"):
        together = re.sub(r"\([^()]*\)", lambda match: match[0].replace(" ", GLUE), line)  # what is in brackets
        glued = re.sub(r"(?<![,:]) (?!\()", GLUE, together)
        glued = next((one for one in (glued, together) if max(map(len, one.split(" "))) <= room), line)
        lines += textwrap.wrap(glued, room, break_on_hyphens=False) or [""]
    return "\n".join(lines).replace(GLUE, " ")


def finish_axes(axes: Axes, x_label: str, y_label: str, style: Looks = Looks()) -> None:
    """Labels of the axes, broken into lines where the panel is short, and ticks."""
    from matplotlib.ticker import EngFormatter

    across, down = (0.95 * inches for inches in panel_inches(axes))
    write(axes.set_xlabel, wrapped(x_label, across, style.font_size), fontsize=style.font_size)
    write(axes.set_ylabel, wrapped(y_label, down, style.font_size), fontsize=style.font_size)
    if axes.dataLim.x1 >= 10_000 and axes.get_xscale() == "linear":
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.tick_params(labelsize=style.small)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def panel_inches(axes: Axes) -> tuple[float, float]:
    """Width and height of a panel, about: before labels and legends have taken their room."""
    box, figure = axes.get_position(), axes.get_figure(root=True)
    size = figure.get_size_inches() if figure is not None else USUAL_SIZE
    return box.width * size[0], box.height * size[1]


def add_legend(figure: Figure, lines: Sequence[tuple[Axes, Mapping[str, Artist]]], style: Looks) -> None:
    """Say what the lines of each panel are, text by text, where `style` wants it."""
    if style.legend == "direct":
        _label_ends(figure, lines, style)
    elif style.legend == "inside":
        for axes, known in lines:
            _legend(axes.legend, known, style, framealpha=0.8)
    elif style.legend == "outside":
        known = {text: line for _, panel in lines for text, line in panel.items()}
        _below(figure, known, style)


def _below(figure: Figure, known: Mapping[str, Artist], style: Looks) -> None:
    """A legend below the panels, in as many columns as fit; the figure grows by its height."""
    width, height = figure.get_size_inches()
    room = width - 5 * style.small / 72  # beside the line of an entry
    known = {wrapped(text, room, style.small): line for text, line in known.items()}
    renderer = figure.canvas.get_renderer()  # pyright: ignore[reportAttributeAccessIssue]

    def size(columns: int) -> tuple[float, float]:
        legend = _legend(figure.legend, known, style, ncols=columns, loc="lower left", frameon=False)
        box = legend.get_window_extent(renderer)
        legend.remove()
        return box.width / figure.dpi, box.height / figure.dpi

    columns = next((n for n in range(len(known), 1, -1) if size(n)[0] <= width), 1)
    figure.set_size_inches(width, height + size(columns)[1])
    _legend(figure.legend, known, style, ncols=columns, loc="outside lower center", frameon=False)


def _legend(method: Callable[..., Any], known: Mapping[str, Artist], style: Looks, **more: Any) -> Any:
    # texts come later: matplotlib leaves those out of a legend that begin with an underscore
    numbered = [*known.values()], [str(i) for i in range(len(known))]
    legend = method(*numbered, fontsize=style.small, columnspacing=1.2, **more)
    for entry, text in zip(legend.get_texts(), known, strict=True):
        entry.set_parse_math(False)
        entry.set_text(printable(text))
    return legend


def _label_ends(figure: Figure, lines: Sequence[tuple[Axes, Mapping[str, Artist]]], style: Looks) -> None:
    """A text at the end of each line, right of the axes, moved apart where they would touch."""
    line_height = 1.35 * style.small / 72  # inches
    texts: dict[int, dict[str, str]] = {}
    missing = 0.0
    for i, (axes, known) in enumerate(lines):
        across, down = figure.get_size_inches() * (axes.get_position().width, axes.get_position().height)
        texts[i] = {text: wrapped(text, 0.4 * across, style.small) for text in known}
        missing = max(missing, line_height * sum(t.count("\n") + 1 for t in texts[i].values()) - 0.8 * down)
    if missing > 0:
        rows = lines[0][0].get_gridspec().nrows  # pyright: ignore[reportOptionalMemberAccess]
        figure.set_size_inches(figure.get_figwidth(), figure.get_figheight() + 1.3 * missing * rows)
    figure.draw_without_rendering()
    for i, (axes, known) in enumerate(lines):
        down = figure.get_figheight() * axes.get_position().height
        ends = [(text, line, _end(line)) for text, line in known.items()]
        ends = [(text, line, end) for text, line, end in ends if end is not None]
        heights = [line_height / down * (texts[i][text].count("\n") + 1) for text, _, _ in ends]
        wanted = [float(axes.transAxes.inverted().transform(axes.transData.transform(end))[1]) for *_, end in ends]
        for (text, line, end), y in zip(ends, apart(wanted, heights), strict=True):
            colour = line.get_color()  # pyright: ignore[reportAttributeAccessIssue]
            pointer = {"arrowstyle": "-", "color": colour, "linewidth": 0.7 * style.scale, "relpos": (0, 0.5),
                       "shrinkA": 1, "shrinkB": 0}  # fmt: skip
            axes.annotate(
                printable(texts[i][text]), end, (1.03, y), "data", "axes fraction", color=_dark(colour),
                va="center", fontsize=style.small, parse_math=False, annotation_clip=False, arrowprops=pointer,
            )  # fmt: skip


def _end(line: Any) -> tuple[float, float] | None:
    """The last point of a line that is finite."""
    x, y = np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)
    known = np.flatnonzero(np.isfinite(y))
    return (float(x[known[-1]]), float(y[known[-1]])) if len(known) else None


def apart(wanted: Sequence[float], heights: Sequence[float]) -> list[float]:
    """Middles of texts on [0, 1], near to the `wanted` and in their order, so that texts of these `heights` are apart.

    The mean of two ways to do that, from below and from above.
    """

    order = sorted(range(len(wanted)), key=lambda i: wanted[i])

    def stack(order: Sequence[int], wanted: Sequence[float]) -> list[float]:
        places, below, above = [0.0] * len(wanted), 0.0, sum(heights)
        for i in order:
            places[i] = max(below, min(wanted[i] - heights[i] / 2, 1 - above)) + heights[i] / 2
            below = places[i] + heights[i] / 2
            above -= heights[i]
        return places

    up, down = stack(order, wanted), stack(order[::-1], [1 - y for y in wanted])
    return [(a + 1 - b) / 2 for a, b in zip(up, down, strict=True)]


def _dark(colour: str) -> Any:
    """A colour that can be read as text on white."""
    from matplotlib.colors import to_rgb

    red, green, blue = to_rgb(colour)
    light = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return tuple(x * min(1.0, 0.5 / light) for x in (red, green, blue)) if light > 0.5 else colour


def save(figure: Figure, path: str | Path, style: Looks = Looks()) -> Path:
    """Write a figure in the format that its suffix says, with its fonts in it. Raises `OSError` if that fails."""
    from matplotlib import rc_context

    path, picture = expand(path), io.BytesIO()
    with rc_context(EMBEDDED):
        figure.savefig(picture, format=path.suffix[1:] or None, dpi=150 if style.width is None else 300)
    try:
        write_atomically(path, picture.getvalue())
    except OSError as error:
        raise OSError(f"cannot write {path}: {error.strerror or error}") from error
    return path
