"""How much memory a run takes, found without allocating it, and how much there is."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax

from jaxrl_up.config import canonical
from jaxrl_up.envs import Env
from jaxrl_up.training import begin
from jaxrl_up.types import Algorithm, PyTree

COPIES = 2  # of the state: it is made on one device, then placed on all
HEADROOM = 512 * 2**20  # bytes for compiling and for what an update works with
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


def need(algo: Algorithm, env: Env, config: PyTree) -> Need:
    """What one seed's state takes."""
    progress = jax.eval_shape(partial(begin, algo), env, canonical(config), jax.random.key(0))
    replay = sum(_bytes(getattr(progress.state, name, ())) for name in ("replay", "priorities"))
    per_transition = replay / config.buffer_size if replay else None
    return Need(_bytes(progress), replay, per_transition)


def at_start(per_seed: int, seeds: int) -> int:
    """The most that many seeds take at once, in bytes: their states with copies, and room to compile and to work."""
    return COPIES * seeds * per_seed + HEADROOM


def available() -> int | None:
    """Bytes that may still be taken on the devices that run; None where this is not known.

    On CPU the least of what the machine and the control groups of this process have left; file caches count as free.
    """
    device = jax.local_devices()[0]
    if device.platform != "cpu":
        stats = device.memory_stats() or {}
        limit = stats.get("bytes_limit")
        return None if limit is None else (limit - stats.get("bytes_in_use", 0)) * len(jax.local_devices())
    left = [_machine(), _groups(Path("/proc/self/cgroup"), Path("/sys/fs/cgroup"))]
    return min((x for x in left if x is not None), default=None)


def check_memory(algo: Algorithm, env: Env, config: PyTree, seeds: int) -> None:
    """Raise `ValueError`, before anything is allocated, if that many seeds do not fit."""
    per_seed = need(algo, env, config).per_seed  # raises what `begin` raises, also where `free` is not known
    free = available()
    if free is None or at_start(per_seed, seeds) <= free:
        return
    fit = max((free - HEADROOM) // (COPIES * per_seed), 0)
    ways = ["fewer"] * (fit > 0) + ["a smaller buffer_size"] * hasattr(config, "buffer_size")
    advice = f"; choose {' or '.join(ways)}" if ways else ""
    raise ValueError(
        f"{seeds} seed(s) of {readable(per_seed)} need {readable(at_start(per_seed, seeds))}, but "
        f"{readable(free)} are free: at most {fit} fit{advice}"
    )


def memory_lines(algo: Algorithm, env: Env, config: PyTree, seeds: int) -> list[str]:
    """What a run takes, for people."""
    needed, free = need(algo, env, config), available()
    lines = [f"{algo.name} on {env.name}: {seeds} seed(s), {config.total_steps:,} steps each"]
    lines.append(f"a seed         {readable(needed.per_seed)}")
    if needed.per_transition is not None:
        lines.append(f"its replay     {readable(needed.replay)}, {needed.per_transition:.1f} bytes a transition")
    lines.append(f"all seeds      {readable(seeds * needed.per_seed)}")
    lines.append(f"at the start   {readable(at_start(needed.per_seed, seeds))}, with copies and compiling")
    lines.append("free           " + ("not known" if free is None else readable(free)))
    return lines


def readable(size: float) -> str:
    """A number of bytes in the unit that suits it."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    raise AssertionError


def _bytes(tree: Any) -> int:
    sizes = jax.tree.map(lambda x: math.prod(x.shape) * x.dtype.itemsize, tree)
    return sum(jax.tree.leaves(sizes))


def _machine() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1])
    except (OSError, StopIteration, ValueError):
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
