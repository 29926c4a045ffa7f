"""What a sweep trains in which program: points, rungs of successive halving, parts that fit in memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxrl_up.algorithms import take
from jaxrl_up.config import seed_list, whole, whole_or_none
from jaxrl_up.envs import Env
from jaxrl_up.experiments import memory
from jaxrl_up.experiments.memory import check_memory
from jaxrl_up.experiments.sweeps.points import group, product, spell
from jaxrl_up.experiments.sweeps.results import rank
from jaxrl_up.experiments.sweeps.sweep_records import Cell, Sweep, rung_ends
from jaxrl_up.records import (
    OWN,
    Point,
    RunSettings,
    RunSpec,
    check_settings,
    describe,
    names_in,
    processes,
    toml_value,
)
from jaxrl_up.training import evaluation_ends, take_evaluation_env
from jaxrl_up.types import Algorithm, PyTree

ETA = 3


def keep(final: Sequence[np.ndarray], eta: int = ETA) -> list[int]:
    """Indices of the points that successive halving trains further: the best floor(n / eta), but one at least.

    The points are compared by `rank` at the end of a rung, `final [C, S]`; see Jamieson & Talwalkar 2016
    (arXiv:1502.07943, figure 1) and Li et al. 2018 (arXiv:1603.06560, algorithm 1: n_i = floor(n eta^-i)).
    """
    return sorted(rank(final)[: max(len(final) // eta, 1)])


@dataclasses.dataclass(frozen=True)
class SweepSettings(RunSettings):
    """The options of `run_sweep`, by the names that they have there."""

    halving: int = 1
    eta: int = ETA
    max_lanes: int | None = None


class SweepArguments(NamedTuple):
    """What `run_sweep` is asked for, unchecked, with its options as one record."""

    algo: Algorithm | str
    env: Env | str
    config: PyTree | None
    grid: Mapping[str, Sequence[Any]] | Sequence[Point]
    seeds: int | Sequence[int] = 8
    directory: str | Path | None = None
    settings: SweepSettings = SweepSettings()
    evaluation_env: Env | str | None = None


def planned(asked: SweepArguments) -> tuple[Sweep, list[Cell]]:
    """A sweep, checked, and its first parts; it has no directory yet. Raises what `run_sweep` raises."""
    algo, env, config = take(asked.algo, asked.env, asked.config, asked.settings.preset)
    evaluation_env = take_evaluation_env(algo, env, config, asked.evaluation_env)
    points = spell(env, config, product(asked.grid) if isinstance(asked.grid, Mapping) else asked.grid)
    groups, seeds = group(env, config, points, evaluation_env), seed_list(asked.seeds)
    settings = dataclasses.replace(check_settings(asked.settings), preset=None)  # points differ from it
    halving, eta = whole("halving", settings.halving), whole("eta", settings.eta, 2)
    max_lanes = whole_or_none("max_lanes", settings.max_lanes)
    for member in groups:
        take_evaluation_env(algo, member.env, member.config, member.evaluation_env)
        check_memory(algo, member.env, member.config, 1)
        rung_ends(evaluation_ends(algo, member.config, settings.num_evals), halving, eta)
    swept = names_in(points)
    config = algo.Config(**vars(config) | {name: getattr(algo.Config(), name) for name in swept})  # of no point
    tables = toml_value(describe(algo, env, config, seeds, settings.recorded(), evaluation_env))
    tables |= {OWN: tables.get(OWN, {}) | swept} if swept else {}
    base = RunSpec(None, algo, env, config, seeds, settings, {}, tables, evaluation_env)
    sweep = Sweep(base, points, groups, (), halving, eta, max_lanes)
    processes.check_lanes(len(points) * len(seeds), "points times seeds")
    return sweep, plan(sweep, 0, range(len(points)))


def plan(sweep: Sweep, rung: int, points: Sequence[int]) -> list[Cell]:
    """The parts in which `points` are trained in a rung: those of a program together, cut to what fits in memory."""
    return [
        Cell(rung, member, tuple(points), tuple(seeds), width)
        for _, member, points, seeds, width in processes.from_first(_plan, sweep, rung, points)
    ]


def _plan(sweep: Sweep, rung: int, points: Sequence[int]) -> list[Cell]:
    algo, seeds, cells = sweep.base.algo, sweep.base.seeds, []
    for i, member in enumerate(sweep.groups):
        here = [point for point in member.points if point in points]
        free = memory.available()
        needed = memory.need(algo, member.env, member.config, len(here) * len(seeds))
        fit = len(here) * len(seeds) if free is None else memory.most_seeds(needed, free) * processes.place().processes
        fit = max((cell.width for cell in sweep.cells if cell.group == i), default=fit)  # as in the first rung
        fit = max(min(fit, sweep.max_lanes or fit), 1)
        point_parts = _parts(here, max(fit // len(seeds), 1))
        seed_parts = _parts(seeds, fit)
        parts = [(some, many) for some in point_parts for many in seed_parts]
        width = max((len(some) * len(many) for some, many in parts), default=0)
        cells += [Cell(rung, i, tuple(some), tuple(many), width) for some, many in parts]
    return cells


def _parts(items: Sequence[int], most: int) -> list[Sequence[int]]:
    """As few parts as possible of at most so many items, and of one size but for the last."""
    size = -(-len(items) // -(-len(items) // most)) if items else 1
    return [items[i : i + size] for i in range(0, len(items), size)]
