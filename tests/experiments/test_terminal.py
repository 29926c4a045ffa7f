"""A curve in a few lines of text."""

import io

import numpy as np
import pytest

from jaxrl_up.experiments import curve, folded, lively


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def _terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.delenv("NO_COLOR", raising=False)


def test_a_line_in_signs_of_braille(monkeypatch):
    lines = curve([0, 50, 1000], [0.0, 0.0, 50.0], "return", Terminal())
    assert len(lines) == 6 and max(map(len, lines)) < 60
    assert lines[0].startswith("50.0 ┤") and lines[4].startswith(" 0.0 ┤⣀") and lines[1].startswith("     │")
    assert lines[-1].split() == ["0", "return", "1,000", "steps"]
    heights = [max(i for i in range(5) if lines[i][6:].ljust(60)[column] > " ") for column in range(53)]
    assert heights == sorted(heights, reverse=True)  # it only rises
    assert not any(line.endswith(" ") for line in lines)


def test_a_line_in_plain_signs(monkeypatch):
    for name, value, stream in (("TERM", "dumb", Terminal()), ("LANG", "C", Terminal())):
        stream.encoding = "ascii" if name == "LANG" else "utf-8"
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            lines = curve([0, 100], [0.0, 1.0, 2.0][:2], "return", stream)
            assert lines == []
            lines = curve([0, 50, 100], [-1.0, 0.0, 1.0], "return", stream)
        assert "".join(lines).isascii()
        assert lines[0].endswith("*") and lines[4].startswith("-1.000 |*")
        for column in range(8, 58):  # no gap
            assert any(line.ljust(60)[column] == "*" for line in lines[:5])


def test_a_level_line_numbers_that_are_missing_and_no_room(monkeypatch):
    level = curve([0, 1, 2], [3.0, 3.0, 3.0], "return", Terminal())
    assert [line.rstrip() for line in level[:2]] == ["3.000 ┤", "      │"] and "⠒" in level[2] + level[2].replace(
        "⠤", "⠒"
    )
    assert curve([0, 1, 2, 3], [np.nan, 3.0, 3.0, 4.0], "return", Terminal())[-1].split()[0] == "1"
    assert curve([0, 1, 2], [np.nan, 3.0, 4.0], "return", Terminal()) == []
    monkeypatch.setenv("COLUMNS", "30")
    assert curve([0, 1, 2], [3.0, 3.0, 4.0], "return", Terminal()) == []


def test_what_is_lively(monkeypatch):
    assert lively(Terminal()) and not lively(io.StringIO())
    for name, value in (("NO_COLOR", "1"), ("TERM", "dumb")):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            assert not lively(Terminal())


AGAIN = "jaxrl-up resume runs/ppo-CartPole-v1 --network my_net.py:Net"


@pytest.mark.parametrize(
    "lines",
    [
        ["ppo on CartPole-v1: 2 seeds x 4,096 steps on 2 cpu devices,", "  compiling ..."],
        ["on disk        2.5 MiB at most, uncompressed: two", f"{'':15}checkpoints, and one that is being written"],
        ["jaxrl-up: error: jaxrl-up train has no option '--gama'. Did", "  you mean '--gamma'?"],
        ["go on from the last checkpoint with:", f"  {AGAIN}"],
        [f"next: {AGAIN}"],
        [f"      {AGAIN} &&", "      jaxrl-up plot runs/one"],
        ["a line as it is"],
    ],
)
def test_long_lines_are_broken_between_words_and_commands_are_whole(lines):
    text = " ".join([lines[0], *map(str.strip, lines[1:])])
    assert folded(text, io.StringIO()) == text
    assert folded(text, Terminal()).split("\n") == lines
    assert folded(f"\n{text}", Terminal()).split("\n") == ["", *lines]
