"""A run's directory: config.toml, progress.csv, timing.csv, checkpoints, curve.png and report.html."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jaxrl_up.records import checkpoint, processes
from jaxrl_up.records.files import LONGEST, expand, make_directory, write_atomically
from jaxrl_up.records.values import to_toml

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

FILES = ("config.toml", "progress.csv", "timing.csv", "curve.png", "report.html", checkpoint.FOLDER)
RUNS = Path("runs")
"""Where a run or a sweep goes that is given no directory."""
SWEEP = "sweep.toml"
"""The file that says what a sweep is, and is the sign of one."""
CELLS = "cells"
"""The folder of a sweep's runs, one for the points of each program."""
RANKING = "ranking.csv"
"""The table of a sweep's points from best to worst."""
SINKS = ("tensorboard", "wandb")  # folders of sinks: replaced with a run, but no sign of one


def create(directory: str | Path, tables: Mapping[str, Mapping[str, Any]], force: bool = False) -> None:
    """Make a run's directory with its config.toml; with `force` a run that was there is removed.

    Raises `FileExistsError` for a directory that holds a run, and `OSError` for one that cannot be written.
    """
    directory = expand(directory)
    check_directory(directory, force)
    try:
        make_directory(directory)
        held = force and (directory / "config.toml").exists()  # removed last: until then the next --force knows it
        for name in reversed((*FILES, *(SINKS if held else ()))) if force else ():
            path = directory / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        write_atomically(directory / "config.toml", to_toml(tables), replace=False)
    except FileExistsError:
        raise FileExistsError(f"{directory} already holds a run; choose another directory") from None
    except OSError as error:
        raise OSError(f"cannot write a run to {directory}: {error.strerror or error}") from error


def newest_run(place: Path = RUNS, sweeps: bool = False) -> Path | None:
    """The run in a directory that was begun last, of those with a checkpoint; with `sweeps` of sweeps too."""
    found = [path for path in place.glob("*/config.toml") if (path.parent / checkpoint.FOLDER).is_dir()]
    found += place.glob(f"*/{SWEEP}") if sweeps else []
    return max(found, key=lambda path: path.stat().st_mtime).parent if found else None


def file_name(environment: str) -> str:
    """The name of an environment as part of a directory's: `gymnasium-Walker2d-v5`."""
    return re.sub(r"[/:?&=]", "-", environment)


def reserve(place: str | Path) -> Path:
    """Make a directory at `place`, or at `place-2`, `place-3`, ... where there is one already. Raises `OSError`."""
    number = 1
    while True:
        directory = expand(place if number == 1 else f"{place}-{number}")
        try:
            directory.mkdir(parents=True)
        except FileExistsError:
            number += 1
        except OSError as error:
            raise OSError(f"cannot write a run to {directory}: {error.strerror}") from error
        else:
            return directory


@contextmanager
def alone(directory: str | Path, beside_parts: bool = False) -> Iterator[None]:
    """Within, no other process trains in a directory, but those that train with this one; a kill frees it.

    `beside_parts`: others may be there that say so too, each alone in the directory of a part of its own. Raises
    `ValueError` where another trains.
    """
    if fcntl is None or not processes.is_first():  # no such locks on this system, or the first process has it
        yield
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if beside_parts else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"{directory} is being trained by another process") from None
        except OSError:  # a file system without locks
            pass
        yield
    finally:
        os.close(descriptor)


def check_directory(directory: str | Path, force: bool = False) -> None:
    """Raise `FileExistsError` for a directory that holds a run, `OSError` for what cannot become one.

    With `force`, a run that is there may be replaced.
    """
    directory = expand(directory)
    if len(os.fsencode(directory.absolute())) > LONGEST:
        raise OSError(f"cannot write a run to {directory}: the path is longer than {LONGEST} bytes")
    for part in (directory, *directory.parents):
        if part.exists() and not part.is_dir():
            raise NotADirectoryError(f"cannot write a run to {directory}: {part} is not a directory")
        if part.exists():
            if not os.access(part, os.W_OK | os.X_OK):
                raise PermissionError(f"cannot write a run to {directory}: no right to write in {part}")
            break
    if (directory / SWEEP).exists():
        raise FileExistsError(f"{directory} already holds a sweep ({SWEEP}); choose another directory")
    for name in FILES:
        if (directory / name).exists() and not force:
            raise FileExistsError(
                f"{directory} already holds a run ({name}); choose another directory, or replace it with --force"
            )


def is_part(directory: str | Path) -> bool:
    """Whether a run is a part of a sweep, which is resumed as a whole."""
    return (expand(directory).absolute().parent.parent / SWEEP).is_file()
