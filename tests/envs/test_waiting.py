"""Seconds on screen."""

import time

import pytest

from jaxrl_up.envs import counting, waiting


def test_what_takes_long_counts_its_seconds(monkeypatch, capsys):
    monkeypatch.setattr(waiting, "PATIENCE", 0.05)
    with counting("loading"):
        time.sleep(0.17)
    printed = capsys.readouterr()
    assert printed.out == ""
    lines = printed.err.splitlines()
    assert len(lines) >= 2
    assert set(lines) == {"loading ... 0 s"}
    time.sleep(0.1)
    assert capsys.readouterr().err == ""


def test_what_is_quick_or_silent_says_nothing(monkeypatch, capsys):
    with counting("quick"):
        pass
    monkeypatch.setattr(waiting, "PATIENCE", 0.01)
    with counting("silent", enabled=False):
        time.sleep(0.03)
    lines = []
    with pytest.raises(ZeroDivisionError), counting("failing", say=lines.append):
        _ = time.sleep(0.03) or 1 / 0
    assert lines
    assert capsys.readouterr().err == ""
