"""What a sweep says on standard error."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np

from jaxrl_up.envs import Env, counting
from jaxrl_up.experiments import memory
from jaxrl_up.experiments.live_progress import devices_in_words
from jaxrl_up.experiments.sweeps.plan import SweepSettings, planned
from jaxrl_up.experiments.sweeps.points import describe_point
from jaxrl_up.experiments.sweeps.results import rank
from jaxrl_up.experiments.sweeps.sweep_records import Cell, Sweep
from jaxrl_up.ops import iqm
from jaxrl_up.records import Point, clock, count, processes
from jaxrl_up.training import Log
from jaxrl_up.types import Algorithm, PyTree

Programs = dict[tuple[int, int], dict[Any, Any]]  # of each group and width, once compiled; see `drive`


def plan_lines(
    algo: Algorithm | str,
    env: Env | str,
    config: PyTree | None,
    grid: Mapping[str, Sequence[Any]] | Sequence[Point],
    seeds: int | Sequence[int] = 8,
    settings: SweepSettings = SweepSettings(),
    evaluation_env: Env | str | None = None,
) -> list[str]:
    """What `run_sweep` would train and compile, for people; raises what it would raise for these arguments."""
    sweep, cells = planned(algo, env, config, grid, seeds, settings, evaluation_env)
    sweep = sweep._replace(cells=tuple(cells))
    lines = announcement(sweep, 0, range(len(cells)), {})
    for i, member in enumerate(sweep.groups):
        parts = [cell for cell in cells if cell.group == i]
        static = {name: value for name, value in sweep.points[member.points[0]].items() if name not in member.swept}
        needed = memory.need(sweep.base.algo, member.env, member.config)
        lines.append(
            f"program {i + 1}: {describe_point(static) + ': ' if static else ''}{count(len(member.points), 'point')}, "
            f"{count(len(parts), 'part')} of {count(parts[0].width, 'run')}, {memory.readable(needed.per_seed)} each, "
            f"{memory.readable(memory.at_start(needed, processes.widest(parts[0].width)))} at the start"
        )
    return lines


def announcement(sweep: Sweep, rung: int, todo: Sequence[int], programs: Programs) -> list[str]:
    """What is going to be trained, and how many programs will be compiled for it beside those there are."""
    cells, base = [sweep.cells[k] for k in todo], sweep.base
    if not cells:
        return []
    here = {point for cell in sweep.cells if cell.rung == rung for point in cell.points}
    lanes = sum(len(cell.lanes) for cell in cells)
    lines = [
        f"{base.algo.name} on {base.env.full_name}: {count(len(here), 'point')} x {count(len(base.seeds), 'seed')}, "
        f"{count(lanes, 'run')} to train, on {devices_in_words()}"
    ]
    if sweep.halving > 1:
        lines[0] = f"rung {rung + 1} of {sweep.halving}: {lines[0]}"
    missing = len({(cell.group, cell.width) for cell in cells} - set(programs))
    lines.append(f"{count(missing, 'program')} to compile, {count(len(cells), 'part')} to train")
    return lines


class SweepWatcher:
    """Says how a part of a sweep goes: a line for each evaluation."""

    def __init__(
        self, sweep: Sweep, cell: Cell, part: str, total_steps: int, compiles: bool, say: Callable[[str], None]
    ) -> None:
        self.points, self.cell, self.total_steps, self.compiles = sweep.points, cell, total_steps, compiles
        self.part, self.say, self.named, self.waiting = part, say, set[int](), ExitStack()

    def __enter__(self) -> None:
        cell = self.cell
        what = (
            describe_point(self.points[cell.points[0]]) if len(cell.points) == 1 else count(len(cell.points), "point")
        )
        doing = "compiling" if self.compiles else "training"
        self.say(f"{self.part}{what} x {count(len(cell.seeds), 'seed')}, {doing} ...")
        self.waiting.enter_context(counting(f"{self.part}{doing}", say=self.say))

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self.waiting.close()

    def compiled(self, seconds: float, source: str = "") -> None:
        """Say how long it took, if something was compiled."""
        self.waiting.close()
        if self.compiles:
            self.say(f"{self.part}compiled in {seconds:.1f} s{f' ({source})' if source else ''}, training")

    def evaluated(self, log: Log, seconds: float) -> None:
        """Say how far it is, and which point is best so far."""
        lanes, steps = self.cell.lanes, int(log.env_steps[0])
        for lane in np.flatnonzero(np.asarray(log.failed_at) >= 0).tolist():
            if lane not in self.named:
                self.named.add(lane)
                point, seed = lanes[lane]
                self.say(
                    f"{describe_point(self.points[point])}, seed {seed} failed at update {int(log.failed_at[lane])}; "
                    "it keeps its last finite policy"
                )
        final = list(np.asarray(log.returns).reshape(len(self.cell.points), -1))
        best = rank(final)[0]
        self.say(
            f"{self.part}{steps:,}/{self.total_steps:,} steps   {len(lanes) * steps / max(seconds, 1e-9):,.0f} steps/s"
            f"   {clock(seconds * (self.total_steps - steps) / max(steps, 1))} left   "
            f"best {float(iqm(final[best])):.1f} at {describe_point(self.points[self.cell.points[best]])}"
        )
