"""Files: paths as users give them, text that an editor may have saved, and writing that a power failure cannot tear."""

from __future__ import annotations

import contextlib
import csv
import errno
import io
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

PART = "jaxrl_up.part"  # ends the name of a file that is being written
LONGEST = 4096 - 256  # bytes of a directory's path: systems take 4096, and its files need some


def expand(path: str | os.PathLike[str], name: str = "path") -> Path:
    """A path with `~` as the home directory. Raises `ValueError` for an empty one, `TypeError` for what is no path.

    `name` is what the caller calls it.
    """
    try:
        text = os.fspath(path)
    except TypeError:
        text = None
    if not isinstance(text, str):
        raise TypeError(f"{name}={path!r} must be a path, as text or as pathlib.Path")
    if not text or "\0" in text:
        raise ValueError(f"{name}={text!r} is no path: name a file or directory, as in 'runs/one', or '.' for this one")
    return Path(os.path.expanduser(text))


def read_text(path: Path) -> str:
    """The text of a file in UTF-8, with or without the byte order mark that some editors put before it."""
    return path.read_text(encoding="utf-8-sig")


def flush(path: str | Path) -> None:
    """Return when a file, or a directory with its names, is on the disk. Raises `OSError`."""
    if os.name == "nt" and os.path.isdir(path):  # which has no way to do so
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # a file system that cannot
            raise
    finally:
        os.close(descriptor)


def flush_tree(folder: Path) -> None:
    """`flush` everything in a directory, and then the directory."""
    for inner, _, names in os.walk(folder, topdown=False):
        for name in names:
            flush(os.path.join(inner, name))
        flush(inner)


def make_directory(path: Path) -> None:
    """Make a directory, and those that it is in, so that they are there to stay. Raises `OSError`."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in missing:
        flush(folder.parent)


def write_atomically(path: Path, content: str | bytes, replace: bool = True) -> None:
    """Write a file so that it is there whole or not at all, also after a power failure.

    Raises `FileExistsError` where there is one and it may not be replaced, and `OSError` if it cannot be written.
    """
    data = content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content
    part = path.with_name(f".{os.getpid()}.{PART}")  # short, whatever the name is
    try:
        part.write_bytes(data)
        flush(part)
        if replace:
            os.replace(part, path)
        else:
            _link(part, path)
        flush(path.parent)
    except FileExistsError:
        raise
    except OSError as error:  # of the file that was asked for, and not of its part
        raise OSError(error.errno, error.strerror or str(error), str(path)) from None
    finally:
        with contextlib.suppress(OSError):  # on a disk that cannot be written
            part.unlink(missing_ok=True)


def reason(error: Exception) -> str:
    """What an error says, on one line; of an `OSError` its file and the system's words, without the number."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(str(error).split()) or type(error).__name__


def not_written(path: Path, error: Exception) -> str:
    """A line that says why a file was not written."""
    return f"{path} was not written: {reason(error).removeprefix(f'cannot write {path}: ')}"


def _link(part: Path, path: Path) -> None:
    """Give a file its name; fails where there is one, also on a file system without hard links."""
    try:
        os.link(part, path)
    except FileExistsError:
        raise
    except OSError:
        if path.exists():
            raise FileExistsError(path) from None
        os.replace(part, path)


def clear_parts(directory: Path) -> None:
    """Remove what processes that were killed had begun to write into a directory."""
    for path in directory.iterdir():
        if re.fullmatch(rf"\.\d+\.{re.escape(PART)}", path.name):
            path.unlink(missing_ok=True)


def table_text(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table as CSV; numbers are written so that they read back the same."""
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows([header, *rows])
    return file.getvalue()


def read_table(path: Path) -> list[list[str]]:
    """The cells of a CSV file as text, the header first; a last line that was not written whole is left out."""
    text = read_text(path)
    return [*csv.reader(io.StringIO(text[: text.rfind("\n") + 1]))]
