"""Driving compiled parts from the host: between evaluations progress is shown, recorded and kept, and a stop obeyed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, NamedTuple, Protocol, cast

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_up.config import canonical
from jaxrl_up.envs import GUARD, Env, orphaned
from jaxrl_up.experiments import compilation_cache, compiler
from jaxrl_up.experiments.device_transfer import choose, gathered, to_devices, to_host
from jaxrl_up.experiments.sinks import Sink, feed
from jaxrl_up.experiments.stopping import STOPS, stoppable
from jaxrl_up.records import NOT_KEPT, Best, Recorder, RunSpec, Snapshot, describe, processes, save_snapshot, way_on
from jaxrl_up.training import (
    Evaluation,
    Log,
    Progress,
    advance_lanes,
    begin_lanes,
    lane_mesh,
    place,
    updates_between,
)
from jaxrl_up.types import Algorithm, Array, PyTree

Start = list[Snapshot]  # where a run was, or nothing


class Job(NamedTuple):
    """What is to be trained: all that stays as it is meanwhile."""

    algo: Algorithm
    env: Env
    config: PyTree
    seeds: tuple[int, ...]  # [L], of each lane
    swept: dict[str, np.ndarray]  # name -> value [L]
    ends: tuple[int, ...]  # updates done at each evaluation, [E + 1]; the first is of the untrained policy
    evaluation: Evaluation
    width: int = 0  # lanes are filled up to so many, by repeating the first: jobs of one width share a program
    evaluation_env: Env | None = None  # where policies are evaluated, if not in `nominal(env)`


class Watcher(Protocol):
    """What is told how it goes, as a context manager: see `jaxrl_up.experiments.Reporter`."""

    def __enter__(self) -> Any: ...
    def __exit__(self, kind: Any, error: Any, trace: Any) -> None: ...
    def compiled(self, seconds: float, source: str = "") -> None: ...
    def evaluated(self, log: Log, seconds: float) -> None: ...
    def pressed(self, name: str) -> None: ...


class Outcome(NamedTuple):
    """How `drive` ended."""

    reached: Snapshot
    compile_seconds: float
    train_seconds: float  # without compiling, with checkpoints; of all processes that worked on it
    stopped: str  # what stopped it before the end: "Ctrl-C", "SIGTERM" or nothing


class CheckpointPolicy(NamedTuple):
    """Where a run is kept, and how often its checkpoint is written."""

    run: RunSpec
    recorder: Recorder
    seconds: float | None  # between checkpoints at least; None: only when the run ends or is stopped


def drive(
    job: Job,
    reporter: Watcher,
    keeping: CheckpointPolicy | None = None,
    start: Start | None = None,
    sinks: Sequence[Sink] = (),
    programs: dict[Any, Any] | None = None,
    stop: Callable[[], str] | None = None,
) -> Outcome:
    """Train from the start, or from where a run was, to the last evaluation or until it is stopped.

    `start` is emptied, so that what is on the devices then need not stay on the host; what was there already is used
    up. `programs` holds what was compiled, so that a later call with the same shapes
    compiles nothing. `stop` is that of a caller who is within `stoppable` already.
    """
    at = start.pop() if start else None
    everyone, logs = len(job.seeds), list(at.logs) if at is not None else []
    processes.agree([job.algo.name, job.env.full_name, everyone, job.ends[-1], len(job.ends), len(logs)], "the run")
    ours, lanes, at = _of_this_process(job, at)
    width, programs = max(len(ours.seeds), ours.width), {} if programs is None else programs
    updates = updates_between(job.ends)[len(logs) :]
    mesh, config = lane_mesh(width), canonical(job.config)
    swept = {name: jnp.asarray(np.resize(value, width), jnp.float32) for name, value in ours.swept.items()}
    seconds = before, trained_before = (at.seconds, at.train_seconds) if at is not None else (0.0, 0.0)
    compile_seconds, stopped = 0.0, ""
    with ExitStack() as stack:
        stack.enter_context(reporter)
        last = (lambda: NOT_KEPT) if keeping is None else partial(way_on, keeping.run)
        stop = stack.enter_context(stoppable(reporter.pressed, last)) if stop is None else stop
        feed_sinks = stack.enter_context(feed(sinks, _description(job, keeping) if sinks else {}))
        begun, errors = time.perf_counter(), GUARD.begin()
        with compilation_cache.heeded():
            if at is None:
                at = _begun(ours, config, swept, width, keeping is not None)
            elif job.env.spec.tokens:  # not as they were: what fills up the devices would be stepped twice
                at = at._replace(progress=orphaned(at.progress))
            at = to_devices(at, width) if at.on_host else at
            progress, best = at.progress, None if keeping is None else at.best
            swept = place(swept, mesh)
            del at
            if len(updates):
                arrays = (job.env, config, swept, progress, jnp.int32(updates[0]))
                arguments = (job.algo, *arrays, job.evaluation, mesh, job.evaluation_env)
                shape = (job.algo, job.evaluation, mesh, *_shape((*arrays, job.evaluation_env)))
                source = ""
                if shape not in programs:
                    programs[shape], source = _program(*arguments)
                compiled = programs[shape]
                del arrays, arguments
                jax.block_until_ready(progress)
                GUARD.check(errors)
                compile_seconds = time.perf_counter() - begun
                reporter.compiled(compile_seconds, source)
                stop()  # a second Ctrl-C meanwhile
        trained = kept = time.perf_counter()
        if keeping is not None and len(updates):
            keeping.recorder.time("compile", _steps(logs), compile_seconds)
        for count in updates:
            progress, log = compiled(job.env, config, swept, progress, jnp.int32(count), job.evaluation_env)
            here = jax.tree.map(lambda x: np.asarray(x)[:lanes], log)
            GUARD.check(errors)
            logs.append(log := processes.everywhere(here, everyone))
            now = time.perf_counter()
            seconds = (now - begun + before, now - trained + trained_before)
            reporter.evaluated(log, seconds[1])
            feed_sinks(log)
            due = keeping is not None and keeping.seconds is not None and now - kept >= keeping.seconds
            stopped, due = agreed(stop() if len(logs) < len(job.ends) else "", due)
            if keeping is not None and best is not None:
                keeping.recorder.append(log, seconds[0])
                best = _better(best, progress, here)
                if due or stopped or len(logs) == len(job.ends):
                    keeping.recorder.flush()  # rows of evaluations that a checkpoint has are not written again
                    reached = gathered(to_host(Snapshot(progress, tuple(logs), best, *seconds)), everyone)
                    if reached is not None:
                        save_snapshot(keeping.run, reached)
                    del reached
                    kept = time.perf_counter()
                    keeping.recorder.time("checkpoint", _steps(logs), kept - now)
            if stopped:
                break
        train_seconds = time.perf_counter() - trained + trained_before
    if keeping is not None and len(updates):
        keeping.recorder.time("train", _steps(logs), train_seconds)
    return Outcome(Snapshot(progress, tuple(logs), best, *seconds), compile_seconds, train_seconds, stopped)


def _of_this_process(job: Job, at: Snapshot | None) -> tuple[Job, int, Snapshot | None]:
    """The job of this process's share of the lanes, how many these are, and where they were.

    All are of one width, and so one program. A process that has no lane trains a copy of the first.
    """
    if processes.place().processes == 1:
        return job, len(job.seeds), at
    rows = processes.share(len(job.seeds))
    some = list(rows) or [0]
    swept = {name: value[some] for name, value in job.swept.items()}
    width = processes.widest(max(len(job.seeds), job.width))
    ours = job._replace(seeds=tuple(job.seeds[i] for i in some), swept=swept, width=width)
    return ours, len(rows), None if at is None else choose(at, some)


def agreed(stopped: str, due: bool = False) -> tuple[str, bool]:
    """What stops any of the processes, and whether the first one finds that a checkpoint is due."""
    names = ["", *STOPS.values()]
    said = processes.everywhere(np.array([[names.index(stopped), due]]))
    return names[said[:, 0].max()], bool(said[0, 1])


def _begun(job: Job, config: PyTree, swept: dict[str, Array], width: int, kept: bool) -> Snapshot:
    """Every lane before its first update, on the devices."""
    keys = jax.vmap(jax.random.key)(jnp.asarray(np.resize(job.seeds, width), jnp.uint32))
    mesh, once = lane_mesh(width), compiler.options(once=True)
    progress = begin_lanes(job.algo, job.env, config, swept, keys, mesh, once)
    best = _nothing_yet(progress.state.policy, len(job.seeds)) if kept else None
    return Snapshot(progress, (), best, 0.0, 0.0)


def _program(algo: Algorithm, *arguments: Any) -> tuple[Callable[..., Any], str]:
    """`advance_lanes`, compiled for such arguments, as a function of the arrays among them, and where it came from."""
    if cast(Any, jax.config).jax_disable_jit:  # then nothing can be compiled
        *_, evaluation, mesh, evaluation_env = arguments
        return lambda *arrays: advance_lanes(algo, *arrays[:-1], evaluation, mesh, evaluation_env), ""
    return compilation_cache.compiled(advance_lanes.lower(algo, *arguments), compiler.options())


def _description(job: Job, keeping: CheckpointPolicy | None) -> dict[str, Any]:
    """What sinks are told; found anew, by asking git too, only for a run that is not kept."""
    if keeping is not None:
        return keeping.run.tables
    return describe(job.algo, job.env, job.config, job.seeds, evaluation_env=job.evaluation_env)


def _steps(logs: Sequence[Log]) -> int:
    return int(logs[-1].env_steps[0]) if logs else 0


def _shape(tree: PyTree) -> tuple[Any, ...]:
    """What a program is compiled for: structure, with all that is static, shapes and dtypes."""
    return jax.tree.structure(tree), *((x.shape, x.dtype) for x in jax.tree.leaves(tree))


def _nothing_yet(policy: PyTree, lanes: int) -> Best:
    return Best(jax.tree.map(jnp.copy, policy), np.full(lanes, -np.inf, np.float32), np.zeros(lanes, np.int32))


def _better(best: Best, progress: Progress, log: Log) -> Best:
    """The best so far after an evaluation `log [L]`; of equals the first, but never the untrained policy."""
    lanes = len(log.returns)
    better = (log.returns > best.returns) & (log.env_steps > 0)
    if not better.any():
        return best
    missing = progress.failed_at.shape[0] - lanes  # lanes that fill up the devices
    chosen = jnp.asarray(np.concatenate([better, np.zeros(missing, bool)]))
    return Best(
        _choose(chosen, progress.state.policy, best.policy),
        np.where(better, log.returns, best.returns),
        np.where(better, log.env_steps, best.env_steps),
    )


@jax.jit
def _choose(chosen: Array, new: PyTree, old: PyTree) -> PyTree:
    """Lane by lane the new leaves where `chosen [L]`, else the old ones."""

    def leaf(new: Array, old: Array) -> Array:
        return jnp.where(chosen.reshape(-1, *[1] * (new.ndim - 1)), new, old)

    return jax.tree.map(leaf, new, old)


@contextmanager
def transfers() -> Iterator[None]:
    """Within, and in a function decorated with it, what is driven from the host sends arrays to and fro.

    It does so at evaluations only, and means it, whatever `jax_transfer_guard` says.
    """
    with jax.transfer_guard("allow"):
        yield
