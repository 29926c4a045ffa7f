"""Checkpoints: the whole state of a run on disk, so that it goes on bit for bit, written by orbax.

`checkpoints/<updates>/` holds three items: `state` (everything a run needs to go on), `policy` (what acting needs, and
the best of it so far: small, so that looking at a policy never reads a replay) and `about` (JSON). A checkpoint is
written beside its place, flushed to the disk, and then renamed, so that one with its final name is whole, also after a
power failure. The last two are kept: if the newest is damaged, the one before is there. Leaves are stored as plain
arrays under their path in the pytree, random keys as their data. Reading one executes nothing, and a file that is not
what was written is found by its checksum.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import shutil
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_up.config import wrap_as
from jaxrl_up.records.files import expand, flush, flush_tree, reason
from jaxrl_up.types import PyTree

FORMAT = 3  # since 2 the evaluations so far hold totals and counts in place of means, since 3 the untrained policy
FOLDER = "checkpoints"
SEAL = "seal.json"
PART = ".part"  # ends the name of a checkpoint that is not whole
OLD = ".old"  # and of one that is being replaced
KEPT = 2
ORBAX = threading.Lock()  # two threads that save at once find one another's temporary folders


class Damaged(ValueError):
    """A checkpoint whose files are not what was written."""


def save(directory: str | Path, updates: int, state: PyTree, policy: PyTree, about: Mapping[str, Any]) -> Path:
    """Write a checkpoint of a run after so many updates; then only the one before it stays. Raises `OSError`."""
    import orbax.checkpoint as ocp

    directory = expand(directory).absolute()
    folder = directory / FOLDER
    folder.mkdir(exist_ok=True)
    flush(directory)
    place, part, old = (folder / f"{updates}{end}" for end in ("", PART, OLD))
    for left_over in folder.glob(f"*{PART}*"):
        shutil.rmtree(left_over, ignore_errors=True)
    trees = {"state": to_arrays(state), "policy": to_arrays(policy)}
    items = ocp.args.Composite(
        **{item: ocp.args.PyTreeSave(arrays) for item, arrays in trees.items() if arrays},  # orbax takes no empty ones
        about=ocp.args.JsonSave({"format": FORMAT, "updates": updates, **about}),
    )
    try:
        with ORBAX, _quiet(), _harmless(folder) as same, _checkpointer() as checkpointer:
            checkpointer.save(same / part.name, args=items)
    except Exception as error:  # what orbax's storage raises is no OSError
        raise OSError(f"cannot write the checkpoint {place}: {_first_line(error)}") from error
    _seal(part)
    flush_tree(part)
    if place.exists():
        shutil.rmtree(old, ignore_errors=True)
        os.rename(place, old)
    os.rename(part, place)
    flush(folder)
    found = places(directory)
    kept = [path for path in found if path.suffix != OLD and updates_of(path) <= updates][:KEPT]
    for other in found:  # later ones are of a future that was given up
        if other not in kept:
            shutil.rmtree(other, ignore_errors=True)
    return place


def saved(directory: str | Path, updates: int) -> str:
    """When the checkpoint after so many updates was written, for people: `2026-01-31 16:05`."""
    try:
        seconds = (expand(directory).absolute() / FOLDER / str(updates)).stat().st_mtime
    except OSError:  # it was replaced meanwhile
        return "an unknown time"
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def places(directory: str | Path) -> list[Path]:
    """The checkpoints of a run, the newest first. Each was written whole, but may have been damaged since."""
    folder = expand(directory).absolute() / FOLDER
    named = [path for path in folder.glob("*") if re.fullmatch(rf"[0-9]+({re.escape(OLD)})?", path.name)]
    return sorted(named, key=lambda path: (-updates_of(path), path.suffix))  # the replaced after what replaces it


def updates_of(checkpoint: Path) -> int:
    """How many updates were done."""
    return int(checkpoint.name.removesuffix(OLD))


def is_undamaged(checkpoint: Path) -> bool:
    """Whether all files of a checkpoint are what was written. They are read, but not again while they stay."""
    paths = sorted(path for path in checkpoint.rglob("*") if path.is_file())
    return _is_undamaged(checkpoint, tuple((path, *_stamp(path)) for path in paths))


@lru_cache(maxsize=4096)
def _is_undamaged(checkpoint: Path, _: tuple[Any, ...]) -> bool:
    try:
        check(checkpoint)
    except Damaged:
        return False
    return True


def _stamp(path: Path) -> tuple[int, int, int]:
    about = path.stat()
    return about.st_ino, about.st_size, about.st_mtime_ns


def about(checkpoint: Path) -> dict[str, Any]:
    """What was written about a checkpoint. Raises `ValueError` if it is not one, or not of this version."""
    import orbax.checkpoint as ocp

    found = _restore(checkpoint, "about", ocp.args.JsonRestore())
    if not isinstance(found, dict) or "format" not in found:
        raise ValueError(f"{checkpoint} is not a checkpoint of jaxrl_up")
    if found["format"] != FORMAT:
        raise ValueError(
            f"{checkpoint} has format {found['format']}, but this version goes on from {FORMAT} only, since a run "
            "begins with an evaluation of the untrained policy; what it learned can be evaluated, watched and exported"
        )
    return found


def restore(checkpoint: Path, item: str, like: PyTree) -> PyTree:
    """The item `state` or `policy` as host arrays in the structure of `like` (shapes and dtypes are enough).

    Raises `ValueError`, in one line, for a checkpoint that cannot be read whole or holds something else.
    """
    import orbax.checkpoint as ocp

    wanted = to_arrays(like)
    found = {}
    if wanted:
        arguments = {name: ocp.RestoreArgs(restore_type=np.ndarray) for name in wanted}
        found = _restore(checkpoint, item, ocp.args.PyTreeRestore(item=wanted, restore_args=arguments))
    for name, leaf in wanted.items():
        shape, dtype = np.shape(found[name]), np.asarray(found[name]).dtype
        if shape != leaf.shape or dtype != leaf.dtype:
            raise ValueError(
                f"{checkpoint} does not belong to this run: {name} is {dtype}{list(shape)} there and "
                f"{leaf.dtype}{list(leaf.shape)} here"
            )
    return from_arrays(found, like)


def to_arrays(tree: PyTree) -> dict[str, Any]:
    """The leaves of a pytree by their path, keys as their data; those without elements are left out."""
    leaves = {jax.tree_util.keystr(path): _data(leaf) for path, leaf in jax.tree.leaves_with_path(tree)}
    return {name: leaf for name, leaf in leaves.items() if 0 not in leaf.shape}


def from_arrays(arrays: Mapping[str, Any], like: PyTree) -> PyTree:
    """The inverse of `to_arrays`, on the host but for the keys."""

    def leaf(path: Any, old: Any) -> Any:
        name = jax.tree_util.keystr(path)
        if name not in arrays:
            return np.zeros(old.shape, old.dtype)
        if _is_key(old):
            return wrap_as(arrays[name], old.dtype)
        return np.asarray(arrays[name])

    return jax.tree.map_with_path(leaf, like)


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _data(leaf: Any) -> Any:
    if not _is_key(leaf):
        return leaf if isinstance(leaf, jax.ShapeDtypeStruct) else np.asarray(leaf)
    if isinstance(leaf, jax.ShapeDtypeStruct):
        return jax.eval_shape(jax.random.key_data, leaf)
    return np.asarray(jax.random.key_data(leaf))


def _checkpointer() -> Any:
    import orbax.checkpoint as ocp

    # nothing goes on while it writes, so that it need not copy first what it writes
    arrays = ocp.type_handlers.NumpyHandler(deepcopy_host_arrays=False)
    known = ocp.type_handlers.create_type_handler_registry((np.ndarray, arrays))
    state, policy = (ocp.PyTreeCheckpointHandler(type_handler_registry=known) for _ in range(2))
    about = ocp.JsonCheckpointHandler()
    return ocp.Checkpointer(ocp.CompositeCheckpointHandler(state=state, policy=policy, about=about))


def _restore(checkpoint: Path, item: str, arguments: Any) -> Any:
    import orbax.checkpoint as ocp

    check(checkpoint, item)
    try:
        with ORBAX, _quiet(), _harmless(checkpoint) as same, _checkpointer() as checkpointer:
            return checkpointer.restore(same, args=ocp.args.Composite(**{item: arguments}))[item]
    except Exception as error:  # whatever orbax, its storage or JSON say of files that are not what they were
        raise ValueError(f"{checkpoint} cannot be read: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    if (full := os.strerror(errno.ENOSPC)) in str(error):  # at the end of what storage libraries say
        return full
    if isinstance(error, OSError):
        return reason(error)
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__


def _seal(folder: Path) -> None:
    """Note the size and checksum of every file, so that a damaged one is known before storage libraries meet it."""
    files = {path.relative_to(folder).as_posix(): _print(path) for path in sorted(folder.rglob("*")) if path.is_file()}
    (folder / SEAL).write_text(json.dumps(files), encoding="ascii")


def check(folder: Path, item: str = "") -> None:
    """Raise `Damaged` if a file of an item, or of the checkpoint itself, is not what was written."""
    try:
        files = json.loads((folder / SEAL).read_text(encoding="ascii"))
        checked = {name: known for name, known in files.items() if "/" not in name or name.startswith(item)}
        damaged = [name for name, known in checked.items() if _print(folder / name) != known]
    except (OSError, ValueError, AttributeError) as error:
        raise Damaged(f"{folder} is not a whole checkpoint: {_first_line(error)}") from None
    if damaged or not files:
        raise Damaged(f"{folder} is damaged: {damaged[0] if damaged else SEAL} is not what was written")


def _print(path: Path) -> list[int]:
    checksum = size = 0
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            checksum, size = zlib.crc32(block, checksum), size + len(block)
    return [size, checksum]


@contextmanager
def _harmless(folder: Path) -> Iterator[Path]:
    """Within, the same directory by another name where orbax would take its own for a pattern, or for no text."""
    if re.fullmatch(r"[A-Za-z0-9_./-]+", str(folder)):
        yield folder
    elif Path("/proc/self/fd").is_dir():
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            yield Path(f"/proc/self/fd/{descriptor}")
        finally:
            os.close(descriptor)
    else:
        with tempfile.TemporaryDirectory() as beside:
            link = Path(beside) / "folder"
            link.symlink_to(folder, target_is_directory=True)
            yield link


@contextmanager
def _quiet() -> Iterator[None]:
    """Within, orbax says nothing about itself on standard error. A filter of its own each time: threads do not meet.

    Where it fails that stays so, since threads of orbax go on to say what was raised already, and those of its storage
    that nobody waits for their answers any more.
    """
    logger, unraisablehook = logging.getLogger("absl"), sys.unraisablehook

    def only_failures(record: logging.LogRecord) -> bool:
        return record.levelno >= logging.CRITICAL

    def no_late_answers(unraisable: Any) -> None:
        trace = unraisable.exc_traceback
        if trace is None or trace.tb_frame.f_code.co_name != "call_soon_threadsafe":
            unraisablehook(unraisable)

    logger.addFilter(only_failures)
    sys.unraisablehook = no_late_answers
    yield
    logger.removeFilter(only_failures)
    sys.unraisablehook = unraisablehook
