"""Paths as users give them, and files that are there whole or not at all."""

import os
from pathlib import Path

import pytest

from jaxrl_up import PPO, envs, load_recipe, load_run, run
from jaxrl_up.analysis import find_runs
from jaxrl_up.deploy import eject
from jaxrl_up.records import (
    check_directory,
    clear_parts,
    expand,
    read_progress,
    read_text,
    table_text,
    write_atomically,
)


class PowerFailure(BaseException):
    pass


@pytest.mark.parametrize("replace", [True, False])
def test_a_file_is_whole_or_as_it_was_after_a_power_failure_at_any_moment(tmp_path, replace):
    changes = ("replace", "link", "unlink", "fsync", "open")
    path = tmp_path / "a.txt"
    for number in range(20):
        path.unlink(missing_ok=True)
        if replace:
            path.write_text("before")
        made = []
        with pytest.MonkeyPatch.context() as patch:
            for name in changes:
                patch.setattr(os, name, failing(made, number, getattr(os, name)))
            try:
                write_atomically(path, "after", replace)
            except PowerFailure:
                pass
            else:
                break
        assert not path.exists() or path.read_text() in ("before", "after")
        assert path.exists() or not replace
    assert number > 4
    (tmp_path / ".123.jaxrl_up.part").write_text("left over")
    (tmp_path / "mine.part").write_text("of the user")
    clear_parts(tmp_path)
    assert sorted(x.name for x in tmp_path.iterdir()) == ["a.txt", "mine.part"]


def failing(made, number, call):
    def before(*args, **options):
        made.append(call)
        if len(made) > number:
            raise PowerFailure
        return call(*args, **options)

    return before


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    events, fsync, replace = [], os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda n: events.append(os.readlink(f"/proc/self/fd/{n}")) or fsync(n))
    monkeypatch.setattr(os, "replace", lambda old, new: events.append("replace") or replace(old, new))
    write_atomically(tmp_path / "a", b"x" * 9)
    assert events == [str(tmp_path / f".{os.getpid()}.jaxrl_up.part"), "replace", str(tmp_path)]


def test_what_cannot_be_written_is_the_file_and_not_its_part(tmp_path, monkeypatch):
    def read_only(*_):
        raise OSError(30, "Read-only file system", str(tmp_path / "part"))

    monkeypatch.setattr(Path, "write_bytes", read_only)
    monkeypatch.setattr(Path, "unlink", lambda *_, **__: read_only())
    with pytest.raises(OSError, match="Read-only") as raised:
        write_atomically(tmp_path / "a", "text")
    assert (raised.value.errno, raised.value.filename) == (30, str(tmp_path / "a"))


def test_a_name_as_long_as_a_file_system_takes(tmp_path):
    write_atomically(tmp_path / ("n" * 255), "text")
    assert [len(path.name) for path in tmp_path.iterdir()] == [255]


def test_tilde_is_the_home_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert expand("~/a") == expand(Path("~") / "a") == tmp_path / "a"
    assert expand("a/~") == Path("a/~")
    (tmp_path / "mine.toml").write_bytes(b'\xef\xbb\xbfalgorithm = "ppo"\r\nenvironment = "CartPole-v1"\r\n')
    assert load_recipe("~/mine.toml").algo is PPO
    assert eject(PPO, "~/my_ppo.py").parent == tmp_path
    assert read_text(tmp_path / "my_ppo.py").startswith("# my_ppo.py")


@pytest.mark.parametrize(
    "call",
    [
        lambda path: run(PPO, envs.make("CartPole-v1"), PPO.Config(), 1, path),
        load_run,
        read_progress,
        lambda path: find_runs([path]),
        expand,
    ],
)
def test_what_is_no_path_is_refused(call):
    for path in ("", "a\0b"):
        with pytest.raises(ValueError, match="is no path: name a file or directory"):
            call(path)
    with pytest.raises(TypeError, match="=3 must be a path, as text"):
        call(3)


def test_a_path_that_leaves_no_room_is_refused_before_anything_is_made(tmp_path):
    place = tmp_path.joinpath(*["d" * 250] * 16)
    with pytest.raises(OSError, match="the path is longer than 3840 bytes"):
        check_directory(place)


def test_names_in_a_table_come_back(tmp_path):
    """Of parameters and losses, which may be a user's own."""
    names = ["seed", "env_steps", "a,b", 'c"d', "e\nf"]
    (tmp_path / "progress.csv").write_text(table_text(names, [[0, 16, 1.5, 2.5, 3.5]]) + "0,32,1")
    assert list(read_progress(tmp_path)) == names
