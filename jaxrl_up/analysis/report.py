"""A run as one page: report.html, which needs nothing but itself (no script, no other file, no network).

What went otherwise than planned comes first, then the score, the curves, every seed, the times, and what it takes to
repeat the run. All of it is read from the run's directory, so that a report can be written again at any time.
"""

from __future__ import annotations

import base64
import shlex
import tempfile
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxrl_up import envs
from jaxrl_up.algorithms import ALGORITHMS
from jaxrl_up.analysis.plots import plot_curves
from jaxrl_up.ops import bootstrap, score
from jaxrl_up.records import COLUMNS, clock, count, expand, is_part, read_progress, read_text, repeats, write_atomically

NAME = "report.html"
DIAGNOSTICS = ("value_loss", "critic_loss", "entropy", "q_value", "loss")  # the first two that a run has are drawn


class Run(NamedTuple):
    """A run as its files say it is; L lanes are the seeds, or in a sweep grid points times seeds."""

    directory: Path
    tables: dict[str, Any]  # of config.toml
    columns: dict[str, np.ndarray]  # of progress.csv, [L, E]
    timing: list[tuple[str, int, float]]  # rows of timing.csv: event, env_steps, seconds

    @property
    def axes(self) -> list[str]:
        """Names that are swept; none in a plain run."""
        names = list(self.columns)
        return names[: names.index("seed")]

    @property
    def steps(self) -> int:
        """Environment steps per seed so far."""
        return int(self.columns["env_steps"][0, -1])


def write_report(directory: str | Path) -> Path:
    """Write `directory/report.html` of the run there, finished or not, and return its path.

    A report that was there is replaced, all at once. Raises `FileNotFoundError` for a directory without a run,
    `ValueError` for files that are not a run's, and `OSError` if it cannot be written.
    """
    run = _read(expand(directory))
    path = run.directory / NAME
    with np.errstate(invalid="ignore"):  # the interval of infinite numbers
        page = _page(run)
    try:
        write_atomically(path, page)
    except OSError as error:
        raise OSError(f"cannot write {path}: {error.strerror or error}") from error
    return path


def _read(directory: Path) -> Run:
    columns = read_progress(directory)
    columns.setdefault("distinct", np.full_like(columns.get("unfinished", np.empty(0)), -1))  # in version 0.1
    missing = [name for name in COLUMNS if name not in columns]
    if missing:
        raise ValueError(f"{directory / 'progress.csv'} is not of a run: it has no column {missing[0]!r}")
    path = directory / "config.toml"
    try:
        tables = tomllib.loads(read_text(path)) if path.exists() else {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not readable as TOML: {error}") from None
    return Run(directory, tables, columns, _read_timing(directory / "timing.csv"))


def _read_timing(path: Path) -> list[tuple[str, int, float]]:
    """The rows of timing.csv, but for a last one that was not written whole; none where there is no file."""
    rows = []
    for line in read_text(path).splitlines()[1:] if path.exists() else []:
        try:
            event, steps, seconds = line.split(",")
            rows.append((event, int(steps), float(seconds)))
        except ValueError:
            continue
    return rows


def _page(run: Run) -> str:
    title = _title(run)
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{escape(_subtitle(run))}</p>",
        _concerns(run),
        _scores(run),
        _curves(run),
        "<h2>Seeds</h2>",
        _seeds(run),
        "<h2>Times</h2>",
        _times(run),
        "<h2>Launch it again</h2>",
        _commands(run),
        "<h2>Settings</h2>",
        f'<div class="settings">{"".join(_settings(run.tables))}</div>',
    ]
    body = "\n".join(part for part in parts if part)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _title(run: Run) -> str:
    algorithm, environment = _get(run.tables, "run", "algorithm"), _get(run.tables, "environment", "name")
    return f"{algorithm} on {environment}" if algorithm and environment else run.directory.resolve().name


def _subtitle(run: Run) -> str:
    points, seeds = _points(run), run.columns["seed"][:, 0]
    what = [count(len(np.unique(seeds)), "seed"), f"{run.steps:,} steps each"]
    return ", ".join([count(len(points), "grid point")] * bool(run.axes) + what) + f", in {run.directory}"


def _points(run: Run) -> dict[str, np.ndarray]:
    """Grid point -> which lanes are of it, bool [L]; one without a name in a plain run."""
    values = (
        np.stack([run.columns[axis][:, 0] for axis in run.axes], 1) if run.axes else np.zeros((len(_final(run)), 0))
    )
    return {
        ", ".join(f"{axis}={value:g}" for axis, value in zip(run.axes, point, strict=True)): (values == point).all(1)
        for point in dict.fromkeys(map(tuple, values.tolist()))
    }


def _final(run: Run) -> np.ndarray:
    """Returns at the last evaluation, [L]."""
    return run.columns["return"][:, -1]


def _lane(run: Run, lane: int) -> str:
    """`seed 3`, in a sweep with its grid point."""
    point = "".join(f"{axis}={run.columns[axis][lane, 0]:g}, " for axis in run.axes)
    return f"{point}seed {run.columns['seed'][lane, 0]:.0f}"


def _concerns(run: Run) -> str:
    """What a reader of the score must know, in words."""
    columns, lines = run.columns, []
    failed_at, unfinished = columns["failed_at"][:, -1], int(columns["unfinished"][:, -1].sum())
    for lane in np.flatnonzero(failed_at >= 0).tolist():
        lines.append(
            f"{_lane(run, lane)} failed at update {failed_at[lane]:,.0f}: its loss or parameters were not finite. Its "
            "last finite policy was kept, and is in the score."
        )
    for lane in np.flatnonzero(~np.isfinite(_final(run))).tolist():
        lines.append(f"{_lane(run, lane)} has no finite return at the last evaluation ({_final(run)[lane]}).")
    total = _get(run.tables, "config", "total_steps", 0)
    per_update = run.steps // max(int(columns["updates"][0, -1]), 1)
    if run.steps + per_update <= total:
        lines.append(f"The run is not finished: it was at {run.steps:,} of {total:,} steps when this was written.")
    if unfinished:
        lines.append(
            f"{count(unfinished, 'episode')} of the last evaluation met the step cap unfinished, counted with the "
            "return until then."
        )
    lines += repeats(columns["distinct"][:, -1], _get(run.tables, "run", "num_episodes", 0))
    if not run.axes and len(_final(run)) == 1:
        lines.append("There is one seed: nothing here says how far another one would be from it.")
    if not lines:
        return '<p class="fine">All seeds ran to the end; none failed, and no evaluation episode was cut.</p>'
    items = "".join(f"<li>{escape(line[0].upper() + line[1:])}</li>" for line in lines)
    return f'<section class="concerns"><h2>To know first</h2><ul>{items}</ul></section>'


def _scores(run: Run) -> str:
    final, note = _final(run), envs.caution(_get(run.tables, "environment", "name"))
    note = f"\n<p>{escape(note[0].upper() + note[1:])}.</p>" if note else ""
    if not run.axes:
        worst = int(np.argmin(final))  # one that is not a number, if there is one
        about = f"IQM of {count(len(final), 'seed')} with a 95% interval; final policies"
        worst = f"{_lane(run, worst)}: {final[worst]:.1f}"
        return (
            f'<p class="score">{escape(str(score(final)))}</p>\n<p>{escape(about)}. Worst is {escape(worst)}.</p>{note}'
        )
    rows = [(point, str(score(final[lanes])), _number(final[lanes].min())) for point, lanes in _points(run).items()]
    return "<h2>Scores</h2>" + _table(("grid point", "IQM, 95% interval", "worst seed"), rows) + note


def _curves(run: Run) -> str:
    """The returns, and below them the losses that there is room for."""
    known = [name for name in run.columns if name not in (*COLUMNS, *run.axes)]
    small = [name for name in DIAGNOSTICS if name in known] or known
    finite = [name for name in small if np.isfinite(run.columns[name]).any()][:2]
    figures = [_figure(run, "return"), *(_figure(run, name) for name in finite)]
    text = '<h2>Curves</h2>\n<div class="curves">' + "\n".join(figures) + "</div>"
    if run.axes:
        return text
    middle, low, high = bootstrap(run.columns["return"])
    rows = [
        (f"{steps:,.0f}", *map(_number, values))
        for steps, *values in zip(run.columns["env_steps"][0], middle, low, high, strict=True)
    ]
    table = _table(("steps", "IQM", "low", "high"), rows)
    return f"{text}\n<details><summary>The returns as numbers</summary>{table}</details>"


def _figure(run: Run, column: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        try:
            picture = plot_curves({run.directory.resolve().name: run.directory}, Path(folder) / "c.png", column=column)
        except (OSError, ImportError, ValueError) as error:
            return f"<p>{escape(f'The curve of {column} was not drawn: {error}')}</p>"
        data = base64.b64encode(picture.read_bytes()).decode("ascii")
    alt = f"{column} over environment steps: every seed, the IQM and its 95% band"
    return f'<figure><img alt="{escape(alt)}" src="data:image/png;base64,{data}"></figure>'


def _seeds(run: Run) -> str:
    columns = run.columns
    header = ("seed", "final return", "± over episodes", "best return", "at steps", "mean length", "cut", "failed at")
    rows = []
    for lane, returns in enumerate(columns["return"]):
        best = None if np.isnan(returns).all() else int(np.nanargmax(returns))
        failed_at = columns["failed_at"][lane, -1]
        rows.append(
            (
                *(f"{columns[axis][lane, 0]:g}" for axis in run.axes),
                f"{columns['seed'][lane, 0]:.0f}",
                _number(returns[-1]),
                _number(columns["return_std"][lane, -1]),
                "none" if best is None else _number(returns[best]),
                "" if best is None else f"{columns['env_steps'][lane, best]:,.0f}",
                _number(columns["length"][lane, -1]),
                f"{columns['unfinished'][lane, -1]:.0f}",
                f"update {failed_at:,.0f}" if failed_at >= 0 else "",
            )
        )
    evaluations = count(columns["return"].shape[1], "evaluation")
    note = (
        f"Length and cut episodes are of the last evaluation. The best return is the highest of {evaluations}, and so "
        "biased upwards; the score takes the final one."
    )
    return _table((*run.axes, *header), rows) + f"<p>{escape(note)}</p>"


def _times(run: Run) -> str:
    """Compile, train and checkpoint apart; of a run that is under way, what is known so far."""
    if not run.timing:
        return "<p>There is no timing.csv.</p>"
    seconds = {event: [s for e, _, s in run.timing if e == event] for event, _, _ in run.timing}
    rows = []
    if "compile" in seconds:
        rows.append(("compiling, and setting up", _seconds(sum(seconds["compile"])), _times_of(seconds["compile"])))
    if "train" in seconds:
        steps, train = [(n, s) for event, n, s in run.timing if event == "train"][-1]  # of all processes until then
        rate = f"{len(_final(run)) * steps / train:,.0f} steps/s, all seeds" if train > 0 else ""
        rows.append(("training, evaluations and checkpoints within it", _seconds(train), rate))
    if "checkpoint" in seconds:
        rows.append(("checkpoints", _seconds(sum(seconds["checkpoint"])), _times_of(seconds["checkpoint"])))
    if "evaluation" in seconds:
        rows.append(("until the last evaluation, compiling included", _seconds(seconds["evaluation"][-1]), ""))
    rows += [
        (f"taken up again at {steps:,} steps", _seconds(s), "worked until then")
        for event, steps, s in run.timing
        if event == "resume"
    ]
    return _table(("", "time", ""), rows)


def _times_of(seconds: Sequence[float]) -> str:
    return "" if len(seconds) == 1 else f"{len(seconds)} times, {_seconds(max(seconds))} at most"


def _commands(run: Run) -> str:
    if not run.tables:
        return "<p>There is no config.toml, so the settings of this run are not known.</p>"
    if "grid" in run.tables or is_part(run.directory):
        return "<p>This is a part of a sweep, which is launched and resumed as a whole.</p>"
    environment = run.tables.get("environment", {})
    named = _get(run.tables, "run", "algorithm") in ALGORITHMS and environment.get("name") in envs.names()
    if not named or environment.get("wrappers"):
        return "<p>Its algorithm or environment is not one that is built by name: resume it from Python.</p>"
    place = shlex.quote(str(run.directory.absolute()))
    launch = f"jaxrl-up train --from {shlex.quote(str(run.directory.absolute() / 'config.toml'))}"
    return (
        f"<p>From the start, and from where it stopped:</p>\n<pre>{escape(launch)}\n"
        f"{escape(f'jaxrl-up resume {place}')}</pre>"
    )


def _settings(tables: Mapping[str, Any], above: str = "") -> Iterable[str]:
    """A table for each table of config.toml, those within it after it."""
    for name, table in tables.items():
        if not isinstance(table, Mapping):
            continue
        path = f"{above}{name}"
        inner = {key: value for key, value in table.items() if isinstance(value, Mapping) and path == "environment"}
        rows = [(key, _text(value)) for key, value in table.items() if key not in inner]
        if rows:
            yield f"<section><h3>{escape(path)}</h3>{_table((), rows)}</section>"
        yield from _settings(inner, f"{path}.")


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    if isinstance(value, Mapping):
        return ", ".join(f"{key} = {_text(item)}" for key, item in value.items())
    return str(value)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    lines = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>\n" for row in rows)
    head = f"<thead><tr>{head}</tr></thead>\n" if head else ""
    return f'<div class="table"><table>{head}<tbody>{lines}</tbody></table></div>'


def _number(value: float) -> str:
    return f"{value:,.1f}" if abs(value) >= 10 else f"{value:.3g}"


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 120 else clock(seconds)


def _get(tables: Mapping[str, Any], table: str, key: str, default: Any = "") -> Any:
    return tables.get(table, {}).get(key, default)


STYLE = """
:root { color-scheme: light dark; --ink: #1b1b1b; --paper: #fff; --line: #d0d0d0; --soft: #f4f4f4; --mark: #b3261e; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e6e6; --paper: #161616; --line: #444; --soft: #242424; --mark: #ff8a80; }
}
body { max-width: 60rem; margin: 0 auto; padding: 1rem; background: var(--paper); color: var(--ink);
       font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; margin: 0.5rem 0 0; }
h2 { font-size: 1.2rem; margin: 2rem 0 0.5rem; }
h3 { font-size: 1rem; margin: 1rem 0 0.25rem; }
.score { font-size: 2rem; font-weight: 600; margin: 1rem 0 0; }
.concerns { border-left: 0.3rem solid var(--mark); background: var(--soft); padding: 0.25rem 1rem; margin: 1rem 0; }
.concerns h2 { margin: 0.5rem 0; color: var(--mark); }
.concerns ul { padding-left: 1.2rem; }
.table { overflow-x: auto; overflow-wrap: normal; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 0.2rem 0.7rem; text-align: right; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
.settings { columns: 24rem; column-gap: 2rem; }
.settings section { break-inside: avoid; }
.settings table { width: 100%; }
.settings td:last-child { overflow-wrap: anywhere; }
.curves { display: flex; flex-wrap: wrap; gap: 0.75rem; }
figure { margin: 0; flex: 1 1 18rem; }
figure:first-child { flex: 0 1 46rem; }
img { width: 100%; height: auto; border-radius: 0.4rem; background: #fff; }
pre { background: var(--soft); padding: 0.75rem; white-space: pre-wrap; }
@media print {
  body { max-width: none; padding: 0; font-size: 10pt; }
  .table { overflow: visible; }
  figure, tr, pre { break-inside: avoid; }
}
"""
