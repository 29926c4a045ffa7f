"""Signals that stop a run are answered at once."""

import hashlib
import io
import os
import signal
import threading
import time

import pytest

from jaxrl_up.experiments import LEAVING, stop_words, stoppable


@pytest.mark.parametrize(("number", "name"), [(signal.SIGINT, "Ctrl-C"), (signal.SIGTERM, "SIGTERM")])
def test_it_is_said_at_once_also_while_nothing_of_python_runs(number, name):
    said = []
    with stoppable(lambda what: said.append((what, time.perf_counter()))) as stop:
        timers = [threading.Timer(after, os.kill, (os.getpid(), number)) for after in (0.05, 0.15)]
        for timer in timers:
            timer.start()
        hashlib.pbkdf2_hmac("sha256", b"", b"", 2_000_000)  # as XLA: handlers run only when it comes back
        done = time.perf_counter()
        with pytest.raises(KeyboardInterrupt):
            stop()
    [(what, when)] = said
    assert what == name and when < done


def test_who_listened_before_hears_it_too():
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer)
    said = []
    try:
        with stoppable(said.append) as stop:
            os.kill(os.getpid(), signal.SIGTERM)
            assert os.read(reader, 1)[0] == signal.SIGTERM
            assert stop() == "SIGTERM"
        assert said == ["SIGTERM"]
        assert signal.set_wakeup_fd(before) == writer
    finally:
        os.close(reader)
        os.close(writer)


def test_words(monkeypatch):
    assert (
        stop_words("Ctrl-C") == "Ctrl-C: stopping at the next evaluation; Ctrl-C again to raise KeyboardInterrupt then"
    )
    LEAVING.set()
    try:
        assert stop_words("Ctrl-C") == "Ctrl-C: stopping at the next evaluation; Ctrl-C again to leave now"
        assert stop_words("SIGTERM", True) == (
            "SIGTERM: stopping at the first evaluation, once this is compiled; a second one leaves now"
        )
        stream = io.StringIO()
        assert stop_words("Ctrl-C", stream=stream) == stop_words("Ctrl-C")
        monkeypatch.setattr(stream, "isatty", lambda: True)
        assert stop_words("Ctrl-C", stream=stream) == "\n" + stop_words("Ctrl-C")  # behind ^C
    finally:
        LEAVING.clear()
