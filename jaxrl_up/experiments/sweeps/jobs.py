"""A sweep as jobs: planned by one process, its parts trained by others, wherever and in whatever order."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from jaxrl_up.config import whole
from jaxrl_up.envs import Env
from jaxrl_up.experiments.drive import transfers
from jaxrl_up.experiments.stopping import stoppable
from jaxrl_up.experiments.sweeps.live_progress import Voice
from jaxrl_up.experiments.sweeps.plan import SweepArguments
from jaxrl_up.experiments.sweeps.results import SweepResult
from jaxrl_up.experiments.sweeps.running import created, train_cell
from jaxrl_up.experiments.sweeps.sweep_records import (
    Sweep,
    cell_directory,
    has_come,
    is_done,
    load_plan,
    note_device,
    read_results,
    write_results,
)
from jaxrl_up.records import (
    CHECKPOINT_SECONDS,
    RunSettings,
    alone,
    check_settings,
    checkpoint,
    count,
    going_on,
    own_options,
)
from jaxrl_up.types import Algorithm


def plan_sweep(asked: SweepArguments) -> Sweep:
    """As `start_sweep`, but nothing is trained: each part is for `resume_part`, in whatever process.

    Raises `ValueError` for successive halving too.
    """
    _check_apart(asked.settings.halving)
    with created(asked) as sweep:
        return sweep


def load_jobs(
    directory: str | Path,
    algo: Algorithm | str | None = None,
    env: Env | str | None = None,
    evaluation_env: Env | str | None = None,
    own: Mapping[str, Any] | None = None,
) -> tuple[Sweep, tuple[int, ...]]:
    """A sweep that was planned, and the parts of it that are not done yet; raises as `resume_part` does."""
    sweep = load_plan(directory, algo, env, evaluation_env, own)
    _check_apart(sweep.halving)
    return sweep, _left(sweep)


def _left(sweep: Sweep) -> tuple[int, ...]:
    return tuple(k for k in range(len(sweep.cells)) if not has_come(sweep, k))


class PartResult(NamedTuple):
    """What `resume_part` reached."""

    directory: Path  # of the sweep
    parts: int
    left: tuple[int, ...]  # parts that are not done yet, as far as their directories show
    stopped: str  # what stopped the part: "Ctrl-C", "SIGTERM" or nothing
    sweep: SweepResult | None  # once no part is left


@transfers()
def resume_part(
    directory: str | Path,
    part: int,
    algo: Algorithm | str | None = None,
    env: Env | str | None = None,
    *,
    evaluation_env: Env | str | None = None,
    own: Mapping[str, Any] | None = None,
    progress: bool = True,
    checkpoint_seconds: float | None = CHECKPOINT_SECONDS,
) -> PartResult:
    """Go on with one part of a sweep, that in `cells/PART`, beside whatever processes train other parts.

    A part that is done is left as it is. Whoever finds all parts done writes the tables, which are byte for byte those
    of one process with the same devices. The other arguments are as for `resume_sweep`. Raises what that raises, and
    `ValueError` for a part that there is not, one of successive halving, and one that another process is training.
    """
    part, given = whole("part", part, 0), RunSettings(progress=progress, checkpoint_seconds=checkpoint_seconds)
    sweep = load_plan(directory, algo, env, evaluation_env, own)
    _check_apart(sweep.halving)
    if part >= len(sweep.cells):
        raise ValueError(f"{directory} has {count(len(sweep.cells), 'part')}, from 0 on: there is no part {part}")
    settings = sweep.base.settings.driven_as(check_settings(given))
    sweep, stopped = sweep._replace(base=sweep.base._replace(settings=settings)), ""
    where = cell_directory(sweep, part)
    say = Voice(settings.progress)
    again = going_on(sweep.base.directory, "--part", part, *own_options(sweep.base.tables))
    signals = stoppable(say.pressed, lambda: again)
    with alone(sweep.base.directory, beside_parts=True), alone(where), signals as stop:
        if not is_done(sweep, part):
            if not checkpoint.places(where):
                note_device(sweep, part)
            stopped = train_cell(sweep, part, f"part {part}: ", say, stop, {}, {})
        left = _left(sweep)
        result = None if left else read_results(sweep)
        if result is not None and result.finished.all():
            write_results(sweep, result)
    return PartResult(sweep.base.directory, len(sweep.cells), left, stopped, result)


def _check_apart(halving: int) -> None:
    """Raise `ValueError` for a sweep whose parts are not trained apart from one another."""
    if whole("halving", halving) > 1:
        raise ValueError(
            f"halving={halving}: a rung of successive halving begins where all parts of the one before have ended, so "
            "they are no jobs of their own: train this sweep in one process, or leave halving out"
        )
