"""What a sweep says on standard error."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np

from jaxrl_up.envs import counting
from jaxrl_up.experiments import memory
from jaxrl_up.experiments.live_progress import devices_in_words, speed
from jaxrl_up.experiments.stopping import LEAVING, stop_words
from jaxrl_up.experiments.sweeps.plan import SweepArguments, planned
from jaxrl_up.experiments.sweeps.points import describe_point
from jaxrl_up.experiments.sweeps.results import rank
from jaxrl_up.experiments.sweeps.sweep_records import Cell, Sweep
from jaxrl_up.experiments.terminal import folded
from jaxrl_up.records import command, count, duration, near, processes, spread, steps_made
from jaxrl_up.training import Log

Programs = dict[tuple[int, int], dict[Any, Any]]  # of each group and width, once compiled; see `drive`


def plan_lines(asked: SweepArguments) -> list[str]:
    """What `run_sweep` would train and compile, for people; raises what it would raise for these arguments."""
    sweep, cells = planned(asked)
    sweep = sweep._replace(cells=tuple(cells))
    lines = announcement(sweep, 0, range(len(cells)), {})
    for i, member in enumerate(sweep.groups):
        parts = [cell for cell in cells if cell.group == i]
        static = {name: value for name, value in sweep.points[member.points[0]].items() if name not in member.swept}
        needed = memory.need(sweep.base.algo, member.env, member.config, parts[0].width)
        lines.append(
            f"program {i + 1}: {describe_point(static) + ': ' if static else ''}{count(len(member.points), 'point')} x "
            f"{steps_made(sweep.base.algo, member.config)}, "
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


def how_far(sweep: Sweep, done: int) -> str:
    """What a sweep that is resumed goes on from: so many of its parts are done."""
    if done < len(sweep.cells) or sweep.cells[-1].rung + 1 < sweep.halving:
        return f"going on with {near(sweep.base.directory)}: {done:,} of {count(len(sweep.cells), 'part')} done"
    best = command("train", "--recipe", sweep.base.directory / "best.toml")
    return f"finished: {count(done, 'part')} done; a sweep is not made longer, its best point is trained by: {best}"


class Voice:
    """What a sweep says on standard error, called with a line; silent where it is not `enabled`."""

    def __init__(self, enabled: bool) -> None:
        self.enabled, self.compiling = enabled, True

    def __call__(self, line: str) -> None:
        if self.enabled:
            print(folded(line, sys.stderr), file=sys.stderr, flush=True)

    def pressed(self, name: str) -> None:
        """Say what a signal that stops a sweep brings about, by its name; as that of `Reporter`."""
        if self.enabled or LEAVING.is_set():
            print(folded(stop_words(name, self.compiling, sys.stderr), sys.stderr), file=sys.stderr, flush=True)


class SweepWatcher:
    """Says how a part of a sweep goes: a line for each evaluation. `reached` are the steps that it goes on from."""

    def __init__(
        self, sweep: Sweep, cell: Cell, part: str, total_steps: int, compiles: bool, say: Voice, reached: int = 0
    ) -> None:
        self.points, self.cell, self.total_steps, self.compiles = sweep.points, cell, total_steps, compiles
        self.part, self.say, self.named, self.waiting = part, say, set[int](), ExitStack()
        self.going_on = f"going on from {reached:,} of {count(total_steps, 'step')}, " if reached else ""

    def __enter__(self) -> None:
        cell = self.cell
        what = (
            describe_point(self.points[cell.points[0]]) if len(cell.points) == 1 else count(len(cell.points), "point")
        )
        doing = "compiling" if self.compiles else "training"
        self.say.compiling = self.compiles
        self.say(f"{self.part}{what} x {count(len(cell.seeds), 'seed')}, {self.going_on}{doing} ...")
        self.waiting.enter_context(counting(f"{self.part}{doing}", say=self.say))

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self.waiting.close()

    def compiled(self, seconds: float, source: str = "") -> None:
        """Say how long it took, if something was compiled."""
        self.waiting.close()
        self.say.compiling = False
        if self.compiles:
            self.say(f"{self.part}compiled in {duration(seconds)}{f' ({source})' if source else ''}, training")

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
        point = describe_point(self.points[self.cell.points[best]])
        parts = [
            f"{self.part}{steps:,}/{self.total_steps:,} steps",
            *speed(len(lanes), steps, self.total_steps, seconds),
        ]
        untrained = ["untrained"] * (steps == 0)
        self.say("   ".join([*parts, f"best return {spread(final[best])} at {point}", *untrained]))

    def pressed(self, name: str) -> None:
        """The sweep says it: see `Voice`."""
        self.say.pressed(name)
