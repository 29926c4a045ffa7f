"""What is printed fits the terminal."""

import argparse
import io
import sys

import pytest

from jaxrl_up.cli import COMMANDS, layout, main


@pytest.fixture(params=[60, 80, 120])
def wide(request, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(request.param))
    return request.param


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_is_as_wide_as_the_terminal(command, wide, capsys):
    for words in (["exercise", "check"],) if command == "exercise" else ([command] if command else [],):
        assert main([*words, "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    too_long = [line for line in lines if len(line) > wide and len(line.split()) > 2]
    assert too_long == []
    assert command in ("algos", "envs", "exercise") or max(map(len, lines)) > wide * 0.7


def test_a_usage_is_cut_between_its_options(monkeypatch):
    monkeypatch.setenv("COLUMNS", "50")
    usage = layout.fold_usage("jaxrl-up eject", "jaxrl-up eject ALGO FILE.py [--wrap NAME[=VALUE] ...] [--x]")
    assert usage == f"jaxrl-up eject ALGO FILE.py\n{' ' * 22}[--wrap NAME[=VALUE] ...]\n{' ' * 22}[--x]"


def test_an_example_goes_on_before_an_option(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    line = "jaxrl-up train ppo --env Acrobot-v1 --seeds 16 --gamma 0.995"
    assert layout.example(line) == "  jaxrl-up train ppo --env Acrobot-v1 --seeds 16 \\\n    --gamma 0.995"
    monkeypatch.setenv("COLUMNS", "120")
    assert layout.example(line) == f"  {line}"


ROWS = [("name", "number", "what it is"), ("one", "1", "a sentence that is rather long"), ("two", "22", "short")]


def test_tables(monkeypatch):
    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.setattr(sys, "stdout", io.StringIO())  # a pipe: as for a program that reads it
    whole = ["name  number  what it is", "one   1       a sentence that is rather long", "two   22      short"]
    assert layout.table(ROWS) == whole
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "44")
    assert layout.table(ROWS) == whole
    monkeypatch.setenv("COLUMNS", "40")
    assert layout.table(ROWS)[1:3] == ["one   1       a sentence that is rather", "              long"]
    monkeypatch.setenv("COLUMNS", "30")
    assert layout.table(ROWS) == [
        *("name        one", "number      1", "what it is  a sentence that is", "            rather long", ""),
        *("name        two", "number      22", "what it is  short"),
    ]


def test_paths_in_a_message_are_as_short_as_the_place_makes_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    here, above = f"{tmp_path}/", tmp_path.parent
    for text, near in {
        f"{here}runs/one holds no run": "runs/one holds no run",
        f"go on with `jaxrl-up resume '{here}two words'`": "go on with `jaxrl-up resume 'two words'`",
        f"--out={here}a.png and {here}-b: {here}": f"--out=a.png and ./-b: {here}",
        f"{above}/other /x{here}one {tmp_path}2/one": f"{above}/other /x{here}one {tmp_path}2/one",
    }.items():
        assert layout.near_paths(text) == near
    monkeypatch.chdir("/")
    assert layout.near_paths("a/b http://c /d") == "a/b http://c /d"


def test_help_stays_readable_in_a_sliver(monkeypatch):
    monkeypatch.setenv("COLUMNS", "10")
    parser = argparse.ArgumentParser(prog="x", formatter_class=layout.formatter)
    parser.add_argument("--option", help="what it is")
    assert "what it is" in parser.format_help()
