"""Compiled programs kept on disk, so that a later start does not compile them again.

JAX's persistent compilation cache does the keeping: its keys hold the program, the versions and the flags. Here is
where it lies, how large it may grow, and what is done about what JAX leaves to its users: another processor, a process
killed in the middle of a write, an entry that cannot be read.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import jax
from jax import monitoring

from jaxrl_up.records import expand, reason

MOST_BYTES = 2**30
JAXLIB = metadata.version("jaxlib")
ENTRY, USED, LOCK = "-cache", "-atime", ".lockfile"  # JAX's names
REFUSED = f"refused-by-jaxlib-{JAXLIB}"
"""The file in a cache directory that says that this jaxlib could not use it."""
TROUBLE = re.compile(r"Error (reading|writing) persistent compilation cache entry for '(.*?)': (.*)", re.DOTALL)


class Counts(NamedTuple):
    """Programs of this process so far that could have been kept, and those that were there."""

    asked: int
    found: int


_counts = Counts(0, 0)


def use_compilation_cache(directory: str | Path | None = None, max_bytes: int = MOST_BYTES) -> Path | None:
    """Keep compiled programs on disk from now on, and take those that are there. The command line does so by itself.

    `directory` is by default `jaxrl_up` in the user's cache directory (`$XDG_CACHE_HOME`, or `~/.cache`, on Linux); it
    has a folder for each kind of processor. What was used least recently goes where a folder holds over `max_bytes`.
    Processes and versions may share it. A directory that JAX was given already (`jax_compilation_cache_dir`) stays, and
    a cache that is switched off (`jax_enable_compilation_cache`) stays off.

    Returns where the programs are kept; None, with a warning that says why, where they cannot be: nobody else may be
    able to write there, since what lies there is executed.
    """
    if not _setting("jax_enable_compilation_cache"):
        return None
    if _setting("jax_compilation_cache_dir"):
        return Path(_setting("jax_compilation_cache_dir"))
    try:
        place = _private(expand(_default() if directory is None else directory, "directory") / _processor())
        if (place / REFUSED).exists():
            raise OSError(refusal())
        _sweep_up(place)
    except OSError as error:
        warnings.warn(f"compiled programs are not kept: {reason(error)}", stacklevel=2)
        return None
    jax.config.update("jax_compilation_cache_dir", str(place))
    jax.config.update("jax_compilation_cache_max_size", max_bytes)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    return place


def compiled(lowered: Any, options: dict[str, Any]) -> tuple[Any, str]:
    """A lowered program, compiled or found, and what a user should know of that: `from cache`, or why it never is."""
    before = _counts
    program = lowered.compile(compiler_options=options)
    if _counts.found > before.found:
        return program, "from cache"
    asked = _counts.asked > before.asked
    return program, "not kept: it calls back to Python" if asked and "python_cpu_callback" in lowered.as_text() else ""


@contextmanager
def heeded() -> Iterator[None]:
    """Within, each program that JAX cannot read or write is one line of ours, and what it could not read is forgotten.

    Only in the main thread: Python's warnings belong to all threads.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with warnings.catch_warnings(record=True) as caught:
        yield
    said = set[str]()
    for warning in caught:
        line = _mend(str(warning.message))
        if line is None:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
        elif line not in said:
            said.add(line)
            warnings.warn(line, stacklevel=3)


def _mend(message: str) -> str | None:
    """What to say in place of JAX's warning of an entry that it could not read or write; None for another warning.

    An unreadable entry goes, since JAX would not write over it. Where this jaxlib refuses what it wrote itself on this
    processor, nothing is kept any more.
    """
    found, directory = TROUBLE.match(message), _setting("jax_compilation_cache_dir")
    if found is None or not directory:
        return None
    doing, program, reason = found[1], found[2], found[3].splitlines()[0]
    place = Path(directory)
    if doing == "writing":
        return f"compiled programs are not kept in {place}: {reason}"
    if reason.startswith("Timeout"):
        return f"kept programs are not used: other processes work with {place} all the time"
    with contextlib.suppress(OSError):
        if "machine type" in message.lower():
            (place / REFUSED).touch()
            return f"compiled programs are not kept: {refusal()}"
        for entry in place.iterdir():
            if entry.name.startswith(f"{program}-"):
                entry.unlink()
    return f"a kept program ({program}) could not be read and is compiled anew: {reason}"


def refusal() -> str:
    """Why nothing is kept on a processor whose programs jaxlib does not take back."""
    return f"jaxlib {JAXLIB} refuses its own on this processor, so every start compiles anew"


def _setting(name: str) -> Any:
    return getattr(jax.config, name)


def _default() -> Path:
    import platformdirs

    return platformdirs.user_cache_path("jaxrl_up")


def _processor() -> str:
    """A name of this kind of processor: one kind may not run what was compiled for another."""
    about = [platform.machine(), platform.processor()]
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        about += sorted({line for line in lines if line.startswith(("model name", "flags", "Features", "CPU part"))})
    return f"{platform.machine()}-{hashlib.sha256(' '.join(about).encode()).hexdigest()[:12]}"


def _private(place: Path) -> Path:
    """Make a directory that others cannot write to. Raises `OSError` where others can."""
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    if hasattr(os, "getuid"):
        about = place.stat()
        if about.st_uid != os.getuid() or about.st_mode & 0o022:
            raise PermissionError(f"others can write to {place}")
    if not os.access(place, os.W_OK | os.X_OK):
        raise PermissionError(f"no right to write in {place}")
    return place


def _sweep_up(place: Path) -> None:
    """Remove entries that a process was killed while writing, which JAX would read in vain for ever."""
    import filelock

    with contextlib.suppress(filelock.Timeout), filelock.FileLock(place / LOCK, timeout=1):
        names = {path.name for path in place.iterdir()}
        for name in names:
            stem = name.removesuffix(ENTRY)
            if stem != name and f"{stem}{USED}" not in names:
                (place / name).unlink()


def _count(event: str, **_: str | int) -> None:
    global _counts
    asked, found = _counts
    if event == "/jax/compilation_cache/compile_requests_use_cache":
        _counts = Counts(asked + 1, found)
    elif event == "/jax/compilation_cache/cache_hits":
        _counts = Counts(asked, found + 1)


monitoring.register_event_listener(_count)
