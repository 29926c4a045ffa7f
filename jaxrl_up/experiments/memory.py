"""How much memory a run takes, found without allocating it, and how much there is."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax

from jaxrl_up.config import canonical
from jaxrl_up.envs import Env
from jaxrl_up.experiments.jaxpr_memory import working_bytes
from jaxrl_up.records import count, processes, steps_made
from jaxrl_up.training import begin, trace_update
from jaxrl_up.types import Algorithm, PyTree

CHECKPOINTS = 3  # on the disk at most: the last two, and one that is being written
COPIES = 2  # of the state: where the devices do not divide the seeds, the lanes are fetched at the end
KEPT_COPIES = 4  # a checkpoint is fetched, encoded and written; what does not compress is there each time
PACKING = 2  # XLA's arrays for an update take up to about so many times what lives at once
HEADROOM = 512 * 2**20  # bytes for compiling
GROUPS = {  # where control groups of version 2 and 1 are, and their limit, use and statistics
    "": ("", "memory.max", "memory.current", "memory.stat", "inactive_file"),
    "memory": (
        "memory",
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        "memory.stat",
        "total_inactive_file",
    ),
}


class Need(NamedTuple):
    """Bytes of a run."""

    per_seed: int  # of the state
    replay: int  # of that, the replay with its priorities
    per_transition: float | None  # of the replay; None where there is none
    working: int  # what an update of one seed works with, estimated


def need(algo: Algorithm, env: Env, config: PyTree, seeds: int = 1) -> Need:
    """What one of so many seeds takes: its state, and what its updates work with."""
    config = canonical(config)
    progress = jax.eval_shape(partial(begin, algo), env, config, jax.random.key(0))
    program = trace_update(algo, env, config, progress, seeds).jaxpr
    working = PACKING * working_bytes(program, program.invars[-len(jax.tree.leaves(progress.state)) :])
    replay = _bytes(progress.state.experience)
    per_transition = replay / config.buffer_size if replay else None
    return Need(_bytes(progress), replay, per_transition, working)


def at_start(needed: Need, seeds: int, kept: bool = True) -> int:
    """The most that many seeds take at once, in bytes: their states with copies, and room to compile and to work.

    A run that is `kept` has checkpoints. Lanes that fill up the devices count. Of several accelerators each has to hold
    what the fullest does.
    """
    devices, used = _devices(seeds)
    return -(-seeds // used) * devices * _per_lane(needed, kept) + HEADROOM


def most_seeds(needed: Need, free: int, kept: bool = True) -> int:
    """How many seeds fit in so many bytes: without lanes to fill up the devices, if there are enough for all."""
    lanes = max((free - HEADROOM) // _per_lane(needed, kept), 0)
    devices, _ = _devices(lanes)
    return lanes - lanes % devices


def available() -> int | None:
    """Bytes that may still be taken on the devices that run; None where this is not known.

    On CPU the least of what the machine and the control groups of this process have left; file caches count as free,
    and processes that train together on one machine share it. Of several accelerators as much as the fullest has left
    counts of each.
    """
    devices = jax.local_devices()
    if devices[0].platform != "cpu":
        stats = [device.memory_stats() or {} for device in devices]
        if any("bytes_limit" not in known for known in stats):
            return None
        return min(known["bytes_limit"] - known.get("bytes_in_use", 0) for known in stats) * len(devices)
    left = [_machine(), _groups(Path("/proc/self/cgroup"), Path("/sys/fs/cgroup"))]
    free = min((x for x in left if x is not None), default=None)
    return None if free is None else free // processes.place().neighbours


def check_memory(algo: Algorithm, env: Env, config: PyTree, seeds: int, kept: bool = True) -> None:
    """Raise `ValueError`, before anything is allocated, if that many seeds do not fit."""
    needed = need(algo, env, config, seeds)  # raises what `begin` raises, also where `free` is not known
    free = available()
    if free is None or at_start(needed, seeds, kept) <= free:
        return
    fit = most_seeds(needed, free, kept)
    ways = ["fewer"] * (fit > 0) + ["a smaller buffer_size"] * hasattr(config, "buffer_size")
    advice = f"; choose {' or '.join(ways)}" if ways else ""
    raise ValueError(
        f"{count(seeds, 'seed')} of {readable(needed.per_seed)} need {readable(at_start(needed, seeds, kept))}, but "
        f"{readable(free)} are free: at most {fit} fit{advice}"
    )


def memory_lines(algo: Algorithm, env: Env, config: PyTree, seeds: int) -> list[str]:
    """What a run takes, for people."""
    needed, free = need(algo, env, config, seeds), available()
    lines = [f"{algo.name} on {env.full_name}: {count(seeds, 'seed')} x {steps_made(algo, config)}"]
    lines.append(f"a seed         {readable(needed.per_seed)}")
    if needed.per_transition is not None:
        lines.append(f"its replay     {readable(needed.replay)}, {needed.per_transition:.1f} bytes a transition")
    lines.append(f"an update      {readable(needed.working)} a seed, estimated")
    lines.append(f"all seeds      {readable(seeds * needed.per_seed)}")
    lines.append(f"at the start   {readable(at_start(needed, seeds))}, with copies, updates and compiling")
    disk = readable(CHECKPOINTS * seeds * needed.per_seed)
    lines.append(f"on disk        {disk} at most, uncompressed: two checkpoints, and one that is being written")
    lines.append("free           " + ("not known" if free is None else readable(free)))
    return lines


def readable(size: float) -> str:
    """A number of bytes in the unit that suits it."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    raise AssertionError


def _per_lane(needed: Need, kept: bool) -> int:
    return (KEPT_COPIES if kept else COPIES) * needed.per_seed + needed.working


def _devices(lanes: int) -> tuple[int, int]:
    """Of how many devices the memory counts, and over how many so many lanes are spread."""
    devices = jax.local_devices()
    used = max(min(lanes, len(devices)), 1)
    return (used if devices[0].platform == "cpu" else len(devices)), used


def _bytes(tree: Any) -> int:
    sizes = jax.tree.map(lambda x: math.prod(x.shape) * x.dtype.itemsize, tree)
    return sum(jax.tree.leaves(sizes))


def _machine() -> int | None:
    import psutil

    try:
        return psutil.virtual_memory().available
    except OSError:  # no right to look
        return None


def _groups(membership: Path, root: Path) -> int | None:
    """What the groups named in `membership`, and all groups they are in, have left."""
    try:
        lines = membership.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    paths = dict.fromkeys(GROUPS, "/")  # the hierarchy's root is this process's group where a container mounts it so
    for line in lines:  # "0::/path", or "4:memory:/path"
        _, controllers, path = line.split(":", 2)
        paths |= {name: path for name in controllers.split(",") if name in GROUPS}
    left = []
    for name, path in paths.items():
        folder, *files = GROUPS[name]
        inner = Path(path.lstrip("/"))
        left += [_group(root / folder / group, *files) for group in (inner, *inner.parents)]
    return min((x for x in left if x is not None), default=None)


def _group(root: Path, limit: str, use: str, statistics: str, cache: str) -> int | None:
    try:
        most = int((root / limit).read_text(encoding="ascii"))
        used = int((root / use).read_text(encoding="ascii"))
        lines = (root / statistics).read_text(encoding="ascii").splitlines()
        cached = int(next(line for line in lines if line.startswith(f"{cache} ")).split()[1])
    except (OSError, StopIteration, ValueError):  # no such group, or no limit ("max")
        return None
    return max(most - used + cached, 0)
