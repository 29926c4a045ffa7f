"""Standard output and standard error that can end before the command: their reader has gone, or a disk is full."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from typing import Any, TextIO, cast


class OutputEnded(Exception):
    """Standard output cannot be written any more; no `OSError`, which commands take for one of their files."""

    def __init__(self, error: OSError) -> None:
        self.unread = error.errno == errno.EPIPE
        super().__init__(f"standard output: {error.strerror or error}")


class _Stream:
    """A stream that calls `ended` when it cannot be written, and then leads nowhere, also for what it still holds."""

    def __init__(self, stream: TextIO, ended: Callable[[OSError], None]) -> None:
        self._stream, self._ended = stream, ended

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError as error:
            self._end(error)
        return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._end(error)

    def _end(self, error: OSError) -> None:
        with suppress(OSError):  # a stream of Python's own has no number
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
        self._ended(error)


@contextmanager
def standard_streams() -> Iterator[None]:
    """Within, standard output raises `OutputEnded` where it cannot be written, and standard error is then silent.

    What a command does is worth more than what it says beside: a training whose progress nobody reads any more goes on.
    A stream that was closed from the start leads nowhere.
    """

    def output_ended(error: OSError) -> None:
        raise OutputEnded(error) from None

    with open(os.devnull, "w") as nothing:
        out = _Stream(sys.stdout or nothing, output_ended)
        beside = _Stream(sys.stderr or nothing, lambda error: None)
        with redirect_stdout(cast(TextIO, out)), redirect_stderr(cast(TextIO, beside)):
            yield
