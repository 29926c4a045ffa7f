"""Seconds on screen while something takes long."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PATIENCE = 2.5  # seconds without a word; what is quicker leaves no trace


def say(line: str) -> None:
    """A line on standard error, at once."""
    print(line, file=sys.stderr, flush=True)


@contextmanager
def counting(what: str, enabled: bool = True, say: Callable[[str], None] = say) -> Iterator[None]:
    """Within, say every 2.5 seconds what is going on and for how long."""
    done, begun = threading.Event(), time.perf_counter()

    def tell() -> None:
        while not done.wait(PATIENCE):
            say(f"{what} ... {time.perf_counter() - begun:.0f} s")

    teller = threading.Thread(target=tell, daemon=True)
    if enabled:
        teller.start()
    try:
        yield
    finally:
        done.set()
        if enabled:
            teller.join()
