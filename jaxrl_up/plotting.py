"""Learning curves: the IQM over seeds with its bootstrap band, and every seed as a thin line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxrl_up.records import read_progress
from jaxrl_up.scores import bootstrap

if TYPE_CHECKING:
    from jaxrl_up.run import RunResult

# Okabe and Ito's palette: told apart with every common colour blindness
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
STYLES = ("-", "--", "-.", ":")


def plot_curves(runs: Any, path: str | Path, title: str | None = None, column: str = "return") -> Path:
    """Draw learning curves to `path` (its suffix says the format: .png, .svg, .pdf) and return it.

    `runs` is one run, a sequence of them, or a mapping from legend label to run; a run is a `RunResult` or the
    directory of one. `column` is the column of progress.csv to draw. Bands are 95% stratified bootstrap
    intervals of the IQM over seeds. Raises `ValueError` for no run or an unknown column, and
    `FileNotFoundError` for a directory without one.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    curves = _curves(runs, column)
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    FigureCanvasAgg(figure)  # no window, and no state shared with pyplot
    axes = figure.add_subplot()
    for i, (label, (steps, values)) in enumerate(curves.items()):
        colour, style = COLOURS[i % len(COLOURS)], STYLES[i // len(COLOURS) % len(STYLES)]
        middle, low, high = bootstrap(values)
        marker = "o" if len(steps) == 1 else None
        if len(values) > 1:
            axes.plot(steps, values.T, color=colour, linewidth=0.6, alpha=0.35, marker=marker)
            axes.fill_between(steps, low, high, color=colour, alpha=0.25, linewidth=0)
        axes.plot(steps, middle, color=colour, linestyle=style, linewidth=2.2, label=label, marker=marker)
    axes.set_xlabel("environment steps per seed", fontsize=14)
    axes.set_ylabel(_Y_LABELS.get(column, column.replace("_", " ")), fontsize=14)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.tick_params(labelsize=12)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    if title:
        axes.set_title(title, fontsize=14)
    axes.legend(fontsize=11, framealpha=0.8)
    figure.savefig(path, dpi=150)
    return Path(path)


_Y_LABELS = {
    "return": "evaluation return (undiscounted)",
    "train_return": "training return (undiscounted)",
    "length": "episode length (environment steps)",
}


def _curves(runs: Any, column: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Label -> (steps `[E]`, values `[S, E]`)."""
    if isinstance(runs, str | Path) or hasattr(runs, "returns"):
        runs = [runs]
    curves: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    named = runs.items() if isinstance(runs, Mapping) else ((None, run) for run in runs)
    for label, run in named:
        default, steps, values = _read(run, column)
        label = default if label is None else str(label)
        seeds = "1 seed" if len(values) == 1 else f"IQM of {len(values)} seeds, 95% band"
        label = f"{label} ({seeds})"
        while label in curves:
            label += "'"
        curves[label] = (steps, values)
    if not curves:
        raise ValueError("no run to draw: give a RunResult, the directory of a run, or several")
    return curves


def _read(run: RunResult | str | Path, column: str) -> tuple[str, np.ndarray, np.ndarray]:
    """Default label, steps `[E]`, values `[S, E]`."""
    if isinstance(run, str | Path):
        columns = read_progress(run)
        if column not in columns:
            raise ValueError(f"{run} has no column {column!r}; it has {', '.join(columns)}")
        return Path(run).name, columns["env_steps"][0], columns[column]
    columns = {
        "return": run.log.returns,
        "return_std": run.log.returns_std,
        "length": run.log.lengths,
        "train_return": run.log.train_returns,
        **run.log.losses,
    }
    if column not in columns:
        raise ValueError(f"the run has no column {column!r}; it has {', '.join(columns)}")
    return f"{run.algo.name} on {run.env.name}", np.asarray(run.env_steps), np.asarray(columns[column])
