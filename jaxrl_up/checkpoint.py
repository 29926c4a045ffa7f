"""Checkpoints: the whole state of a run on disk, so that it goes on bit for bit, written by orbax.

`checkpoints/<updates>/` holds three items: `state` (everything a run needs to go on), `policy` (what acting needs, and
the best of it so far: small, so that looking at a policy never reads a replay) and `about` (JSON). A checkpoint is
written beside its place and then renamed, so that one with its final name is whole; older ones are removed after that.
Leaves are stored as plain arrays under their path in the pytree, random keys as their data. Reading one executes
nothing, and a file that is not what was written is found by its checksum.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import threading
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_up.keys import wrap_as
from jaxrl_up.types import PyTree

FORMAT = 1
FOLDER = "checkpoints"
SEAL = "seal.json"
PART = ".part"  # ends the name of a checkpoint that is not whole
ORBAX = threading.Lock()  # two threads that save at once find one another's temporary folders


def save(directory: str | Path, updates: int, state: PyTree, policy: PyTree, about: Mapping[str, Any]) -> Path:
    """Write a checkpoint of a run after so many updates, then remove the older ones. Raises `OSError`."""
    import orbax.checkpoint as ocp

    folder = Path(directory).absolute() / FOLDER
    folder.mkdir(exist_ok=True)
    place, part = folder / str(updates), folder / f"{updates}{PART}"
    for left_over in folder.glob(f"*{PART}*"):
        shutil.rmtree(left_over, ignore_errors=True)
    items = ocp.args.Composite(
        state=ocp.args.PyTreeSave(to_arrays(state)),
        policy=ocp.args.PyTreeSave(to_arrays(policy)),
        about=ocp.args.JsonSave({"format": FORMAT, "updates": updates, **about}),
    )
    try:
        with ORBAX, _quiet(), _checkpointer() as checkpointer:
            checkpointer.save(part, args=items)
    except OSError:
        raise
    except Exception as error:  # what orbax's storage raises is no OSError
        raise OSError(f"cannot write the checkpoint {place}: {_first_line(error)}") from error
    _seal(part)
    if place.exists():
        shutil.rmtree(place)
    os.rename(part, place)
    for older in _whole(folder):
        if older != place:
            shutil.rmtree(older, ignore_errors=True)
    return place


def latest(directory: str | Path) -> Path | None:
    """The newest whole checkpoint of a run, or None."""
    whole = _whole(Path(directory).absolute() / FOLDER)
    return max(whole, key=lambda path: int(path.name), default=None)


def about(checkpoint: Path) -> dict[str, Any]:
    """What was written about a checkpoint. Raises `ValueError` if it is not one, or not of this version."""
    import orbax.checkpoint as ocp

    found = _restore(checkpoint, "about", ocp.args.JsonRestore())
    if not isinstance(found, dict) or "format" not in found:
        raise ValueError(f"{checkpoint} is not a checkpoint of jaxrl_up")
    if found["format"] != FORMAT:
        raise ValueError(f"{checkpoint} has format {found['format']}, but this version reads {FORMAT}")
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


def _whole(folder: Path) -> list[Path]:
    return [path for path in folder.glob("*") if path.name.isdecimal()]


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

    _check_seal(checkpoint, item)
    try:
        with ORBAX, _quiet(), _checkpointer() as checkpointer:
            return checkpointer.restore(checkpoint, args=ocp.args.Composite(**{item: arguments}))[item]
    except Exception as error:  # whatever orbax, its storage or JSON say of files that are not what they were
        raise ValueError(f"{checkpoint} cannot be read: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__


def _seal(folder: Path) -> None:
    """Note the size and checksum of every file, so that a damaged one is known before storage libraries meet it."""
    files = {str(path.relative_to(folder)): _print(path) for path in sorted(folder.rglob("*")) if path.is_file()}
    (folder / SEAL).write_text(json.dumps(files), encoding="ascii")


def _check_seal(folder: Path, item: str) -> None:
    try:
        files = json.loads((folder / SEAL).read_text(encoding="ascii"))
        damaged = [name for name, known in files.items() if name.startswith(item) and _print(folder / name) != known]
    except (OSError, ValueError, AttributeError) as error:
        raise ValueError(f"{folder} is not a whole checkpoint: {_first_line(error)}") from None
    if damaged or not files:
        raise ValueError(f"{folder} is damaged: {damaged[0] if damaged else SEAL} is not what was written")


def _print(path: Path) -> list[int]:
    checksum = size = 0
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            checksum, size = zlib.crc32(block, checksum), size + len(block)
    return [size, checksum]


@contextmanager
def _quiet() -> Iterator[None]:
    """Within, orbax says nothing about itself on standard error. A filter of its own each time: threads do not meet."""
    logger = logging.getLogger("absl")

    def only_failures(record: logging.LogRecord) -> bool:
        return record.levelno >= logging.CRITICAL

    logger.addFilter(only_failures)
    try:
        yield
    finally:
        logger.removeFilter(only_failures)
