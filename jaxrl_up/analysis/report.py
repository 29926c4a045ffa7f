"""A run as one page: report.html, which needs nothing but itself (no script, no other file, no network).

What went otherwise than planned comes first, then the score, the curves, every seed, the times, and what it takes to
repeat the run. All of it is read from the run's directory, so that a report can be written again at any time. The words
are in report.html.jinja; what they are about is gathered here.
"""

from __future__ import annotations

import base64
import re
import shlex
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxrl_up import envs
from jaxrl_up.algorithms import ALGORITHMS
from jaxrl_up.analysis.column_plots import draw_columns
from jaxrl_up.analysis.plots import plot_curves
from jaxrl_up.ops import Shares, bootstrap, score
from jaxrl_up.records import (
    COLUMNS,
    EVALUATED,
    GAMES,
    SHARED,
    column_meaning,
    count,
    duration,
    expand,
    is_part,
    of_games,
    own_options,
    read_config,
    read_progress,
    read_timing,
    repeats,
    value,
    write_atomically,
)

if TYPE_CHECKING:
    from jinja2 import Template

NAME = "report.html"
OVER = ("seed", "env_steps", "updates")  # columns that others are drawn over
NOTHING = {"unfinished": 0, "distinct": -1, "failed_at": -1}  # columns, and the value that has nothing to show


def write_report(directory: str | Path) -> Path:
    """Write `directory/report.html` of the run there, finished or not, and return its path.

    A report that was there is replaced, all at once. Raises `FileNotFoundError` for a directory without a run,
    `ValueError` for files that are not a run's, and `OSError` if it cannot be written.
    """
    directory = expand(directory)
    path = directory / NAME
    with np.errstate(invalid="ignore"):  # the interval of infinite numbers
        page = _template().render(_contents(directory))
    try:
        write_atomically(path, page)
    except OSError as error:
        raise OSError(f"cannot write {path}: {error.strerror or error}") from error
    return path


def _template() -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup, escape

    how = {"autoescape": True, "undefined": StrictUndefined, "trim_blocks": True, "lstrip_blocks": True}
    pages = Environment(loader=PackageLoader("jaxrl_up.analysis", ""), keep_trailing_newline=True, **how)
    pages.filters |= {"number": value, "seconds": duration, "counted": count, "quote": shlex.quote}
    pages.filters["code"] = lambda text: Markup(re.sub("`([^`]*)`", r"<code>\1</code>", str(escape(text))))
    pages.filters["sentence"] = lambda text: text[0].upper() + text[1:]
    return pages.get_template(f"{NAME}.jinja")


def _contents(directory: Path) -> dict[str, Any]:
    """What the template names; L lanes are the seeds, or in a sweep grid points times seeds."""
    columns = read_progress(directory)  # each [L, E]
    columns.setdefault("distinct", np.full_like(columns.get("unfinished", np.empty(0)), -1))  # in version 0.1
    missing = [name for name in COLUMNS if name not in columns]
    if missing:
        raise ValueError(f"{directory / 'progress.csv'} is not of a run: it has no column {missing[0]!r}")
    axes = list(columns)[: list(columns).index("seed")]  # names that are swept; none in a plain run
    last = {name: values[:, -1] for name, values in columns.items()}
    tables = read_config(directory, missing_ok=True)
    run, environment = tables.get("run", {}), tables.get("environment", {})
    algorithm, name, wrappers = run.get("algorithm", ""), environment.get("name", ""), environment.get("wrappers", [])
    own = own_options(tables)
    lanes, steps = _lanes(columns, axes), int(last["env_steps"][0])
    return {
        "title": f"{algorithm} on {' + '.join((name, *wrappers))}" if algorithm and name else directory.resolve().name,
        "evaluated": _evaluated(tables),
        "directory": directory,
        "place": str(directory.absolute()),
        "config_path": str(directory.absolute() / "config.toml"),
        "axes": axes,
        "lanes": lanes,
        "num_seeds": len(np.unique(last["seed"])),
        "num_evals": columns["return"].shape[1],
        "steps": steps,
        "steps_per_update": steps // max(int(last["updates"][0]), 1),
        "total_steps": tables.get("config", {}).get("total_steps", 0),
        "unfinished": int(last["unfinished"].sum()),
        "repeats": repeats(last["distinct"], run.get("num_episodes", 0)),
        "score": score(last["return"]),
        "games": of_games(Shares(*(last[name] for name in GAMES))) if GAMES[0] in last and not axes else "",
        "worst": lanes[int(np.argmin(last["return"]))],  # one that is not a number, if there is one
        "points": _points(last, axes),
        "caution": envs.caution(name),
        "returns": _returns(directory),
        "columns": _columns(algorithm, columns, axes),
        "curve": [] if axes else _curve(columns),
        **_times(directory, len(lanes)),
        "tables": tables,
        "in_sweep": "grid" in tables or is_part(directory),
        "not_named": [
            *([] if algorithm in ALGORITHMS or "--algo" in own else ["--algo FILE.py"]),
            *([] if envs.is_named(name, wrappers) else ["--env FILE.py:NAME"]),
        ],
        "own": "".join(f" {shlex.quote(word)}" for word in own),
        "settings": list(_settings(tables)),
    }


def _lanes(columns: Mapping[str, np.ndarray], axes: Sequence[str]) -> list[dict[str, Any]]:
    """What is said of each seed, in a sweep with its grid point."""
    lanes = []
    for lane, returns in enumerate(columns["return"]):
        last = {name: values[lane, -1] for name, values in columns.items()}
        trained = np.where(columns["env_steps"][lane] > 0, returns, np.nan)
        best = None if np.isnan(trained).all() else int(np.nanargmax(trained))
        values = {
            "name": "".join(f"{axis}={last[axis]:g}, " for axis in axes) + f"seed {last['seed']:.0f}",
            "point": [f"{last[axis]:g}" for axis in axes],
            "is_finite": np.isfinite(last["return"]),
            "final": last["return"],
            "std": last["return_std"],
            "length": last["length"],
            "best": None if best is None else returns[best],
            "best_steps": None if best is None else int(columns["env_steps"][lane, best]),
        }
        lanes.append({**values, **{name: int(last[name]) for name in ("seed", "unfinished", "failed_at")}})
    return lanes


def _points(last: Mapping[str, np.ndarray], axes: Sequence[str]) -> list[tuple[str, str, str]]:
    """Each grid point of a sweep, its score and its worst seed."""
    values, rows = np.stack([last[axis] for axis in axes], 1) if axes else np.zeros((0, 0)), []
    for point in dict.fromkeys(map(tuple, values.tolist())):
        final = last["return"][(values == point).all(1)]
        name = ", ".join(f"{axis}={x:g}" for axis, x in zip(axes, point, strict=True))
        rows.append((name, str(score(final)), value(final.min(), *score(final)[:3])))
    return rows


def _returns(directory: Path) -> tuple[str, Exception | None]:
    """The picture of the returns, and what went wrong."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            picture = plot_curves({directory.resolve().name: directory}, Path(folder) / "curve.png")
        except (OSError, ImportError, ValueError) as error:
            return "", error
        return _text_of(picture.read_bytes()), None


def _columns(algorithm: str, columns: Mapping[str, np.ndarray], axes: Sequence[str]) -> list[dict[str, str]]:
    """Every column but the swept ones with its sentence, and a picture if it shows something; what is learned first.

    The first is the return, which has a picture of its own.
    """
    learned = [name for name in columns if name not in (*SHARED, *axes)]
    others = [name for name in SHARED if name in columns and name not in ("return", "train_return", *OVER)]
    small = ["train_return", *learned, *others]
    shown = [name for name in small if name not in NOTHING or (columns[name] != NOTHING[name]).any()]
    pictures = {name: _text_of(data) for name, data in draw_columns(columns, shown, axes)}
    rows = []
    for name in ("return", *small, *OVER):
        known = column_meaning(algorithm, name) if algorithm in ALGORITHMS or name in SHARED else None
        what, healthy = known or (f"what {algorithm or 'the algorithm'} reports under this name", "")
        rows.append({"name": name, "what": what, "healthy": healthy, "picture": pictures.get(name, "")})
    return rows


def _text_of(picture: bytes) -> str:
    return base64.b64encode(picture).decode("ascii")


def _curve(columns: Mapping[str, np.ndarray]) -> list[tuple[str, ...]]:
    """Steps, IQM and interval of the returns at each evaluation."""
    numbers = zip(columns["env_steps"][0], *bootstrap(columns["return"]), strict=True)
    return [(f"{steps:,.0f}", *map(value, values)) for steps, *values in numbers]


def _times(directory: Path, num_lanes: int) -> dict[str, Any]:
    """The seconds of each event of timing.csv, when the run was taken up again, and the speed of all seeds."""
    timing = read_timing(directory)
    events = ("compile", "train", "checkpoint", "evaluation")
    trained = next((row for row in reversed(timing) if row.event == "train"), None)  # of all processes until then
    return {
        "times": {name: [row.seconds for row in timing if row.event == name] for name in events} if timing else {},
        "resumed": [row for row in timing if row.event == "resume"],
        "steps_per_second": num_lanes * trained.env_steps / trained.seconds if trained and trained.seconds > 0 else 0,
    }


def _evaluated(tables: Mapping[str, Any]) -> str:
    """Where policies were evaluated, if not in what they were trained on."""
    if EVALUATED in tables:
        table = tables[EVALUATED]
        return f"evaluated in another environment, {' + '.join((table.get('name', ''), *table.get('wrappers', [])))}"
    drawn = any(text.startswith("randomize(") for text in tables.get("environment", {}).get("wrappers", []))
    return "evaluated with the nominal parameters" if drawn else ""


def _settings(tables: Mapping[str, Any], above: str = "") -> Iterable[tuple[str, list[tuple[str, str]]]]:
    """Name and rows of each table of config.toml, those within it after it."""
    for name, table in tables.items():
        if not isinstance(table, Mapping):
            continue
        path = f"{above}{name}"
        inner = {
            key: value
            for key, value in table.items()
            if isinstance(value, Mapping) and path in ("environment", EVALUATED)
        }
        yield path, [(key, _text(value)) for key, value in table.items() if key not in inner]
        yield from _settings(inner, f"{path}.")


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    if isinstance(value, Mapping):
        return ", ".join(f"{key} = {_text(item)}" for key, item in value.items())
    return str(value)
