"""Ctrl-C and SIGTERM: a run that stops in order, and says at once that it will."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, TextIO

STOPS = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}
"""Signals that stop a run in order, and what they are called."""
LEAVING = threading.Event()
"""Set while a second signal ends the process at once, as on the command line."""
_LAST_WORDS: list[Callable[[], str]] = []


@contextmanager
def stoppable(
    say: Callable[[str], None] | None = None, last: Callable[[], str] | None = None
) -> Iterator[Callable[[], str]]:
    """Within, Ctrl-C and SIGTERM only set a flag, whose name the callable gives; after a second one it raises.

    `KeyboardInterrupt` is raised there and not in the handler, since XLA does not survive it while it compiles. `say`
    is given the name of the first at once, in a thread of its own: handlers of Python wait while XLA computes, and one
    that prints may find the lock of the display held by what it interrupts. `last` gives the line for `last_words`.
    """
    pressed: list[str] = []
    heard: list[str] = []  # by the thread: for Python two of a kind that come while XLA computes are one

    def handle(signum: int, frame: Any) -> None:
        pressed.append(STOPS[signal.Signals(signum)])

    def stop() -> str:
        if max(len(pressed), len(heard)) > 1:
            raise KeyboardInterrupt
        return (pressed or heard or [""])[0]

    if threading.current_thread() is not threading.main_thread():  # signals are not ours to handle
        yield lambda: ""
        return
    previous = {number: signal.signal(number, handle) for number in STOPS}
    _LAST_WORDS.append(last or str)
    try:
        with ExitStack() as stack:
            if say is not None and os.name != "nt":  # whose signals reach sockets only
                stack.enter_context(_listening(heard, say))
            yield stop
    finally:
        _LAST_WORDS.pop()
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def _listening(heard: list[str], say: Callable[[str], None]) -> Iterator[None]:
    """Within, a thread notes the signals that stop and says the name of the first; who listened before hears them."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    previous = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)

    def listen() -> None:
        while number := os.read(reader, 1):
            if previous != -1:
                with suppress(OSError):
                    os.write(previous, number)
            if number[0] in STOPS:
                heard.append(STOPS[signal.Signals(number[0])])
                if len(heard) == 1:
                    say(heard[0])
        os.close(reader)

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(previous)
        os.close(writer)
        listener.join(1.0)


def last_words() -> str:
    """How what is trained goes on after the process has ended at once, a line; empty where it does not."""
    with suppress(IndexError, OSError, ValueError):
        return _LAST_WORDS[-1]()
    return ""


def stop_words(name: str, compiling: bool = False, stream: TextIO | None = None) -> str:
    """What is said when a signal has come; on a line of its own where `stream` is a terminal, which shows ^C."""
    when = "the first evaluation, once this is compiled" if compiling else "the next evaluation"
    again = f"{name} again" if name == "Ctrl-C" else "a second one"
    then = "to leave now" if name == "Ctrl-C" else "leaves now"
    then = then if LEAVING.is_set() else "to raise KeyboardInterrupt then" if name == "Ctrl-C" else "raises then"
    begin = "\n" if stream is not None and stream.isatty() else ""
    return f"{begin}{name}: stopping at {when}; {again} {then}"
