"""Small pictures of the columns of progress.csv, many and quick: every seed as a thin line, and their IQM."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from jaxrl_up.analysis.looks import COLOURS, STYLES
from jaxrl_up.ops import iqm

SIZE = (3.4, 2.0)  # inches
DOTS = 120  # an inch
PANEL = (0.17, 0.16, 0.8, 0.76)  # left, bottom, width, height, as parts of the picture


def draw_columns(
    columns: Mapping[str, np.ndarray], names: Sequence[str], axes: Sequence[str] = ()
) -> Iterator[tuple[str, bytes]]:
    """Name and PNG of each of the columns `names` that has a finite value, over `env_steps`.

    `columns` holds arrays `[L, E]`, as `read_progress` gives them. In a sweep, whose swept names are `axes`, each grid
    point has a line of its own, the IQM over its seeds.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import PlaceHolderLayoutEngine
    from matplotlib.ticker import EngFormatter, MaxNLocator

    # the panel stays at PANEL: with no engine, one of rcParams would come in
    placed = PlaceHolderLayoutEngine(True, True)
    figure = Figure(figsize=SIZE, dpi=DOTS, layout=placed)
    FigureCanvasAgg(figure)
    panel = figure.add_axes(PANEL)
    steps = columns["env_steps"][0]
    points = np.stack([columns[axis][:, 0] for axis in axes], 1) if axes else np.zeros((len(columns["seed"]), 0))
    groups = [(points == point).all(axis=1) for point in dict.fromkeys(map(tuple, points.tolist()))]
    for name in names:
        values = np.where(np.isfinite(columns[name]), columns[name], np.nan)
        known = np.isfinite(values).any(axis=0)
        if not known.any():
            continue
        panel.clear()
        marker = "o" if known.sum() == 1 else None
        for i, lanes in enumerate(groups):
            looks = {"color": COLOURS[i % len(COLOURS)], "linestyle": STYLES[i % len(STYLES)], "marker": marker}
            if len(groups) == 1:
                panel.plot(steps, values.T, color=COLOURS[0], linewidth=0.6, alpha=0.5, marker=marker, markersize=3)
            panel.plot(steps, [_middle(value) for value in values[lanes].T], linewidth=1.6, markersize=4, **looks)
        panel.xaxis.set_major_locator(MaxNLocator(5))
        panel.yaxis.set_major_locator(MaxNLocator(5))
        for axis in (panel.xaxis, panel.yaxis):
            if np.abs(axis.get_data_interval()).max() >= 10_000:
                axis.set_major_formatter(EngFormatter(sep=""))
        panel.tick_params(labelsize=7)
        panel.grid(alpha=0.3)
        panel.spines[["top", "right"]].set_visible(False)
        picture = io.BytesIO()
        figure.savefig(picture, format="png")
        yield name, picture.getvalue()


def _middle(values: np.ndarray) -> float:
    """The IQM of the seeds that have a value."""
    known = values[np.isfinite(values)]
    return float(iqm(known)) if known.size else np.nan
