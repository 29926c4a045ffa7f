"""Checkpoints: every leaf comes back bit for bit, and what is not whole or not ours is refused in one line."""

import asyncio
import copy
import json
import os
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_up.records import checkpoint

STATE = {
    "keys": jax.random.split(jax.random.key(3), 2),
    "params": ({"kernel": jnp.arange(6.0).reshape(2, 3)}, None),
    "bits": jnp.uint8([1, 255]),
    "flag": jnp.bool_([True, False]),
    "scalar": jnp.int32(-7),
    "nan": jnp.float32([jnp.nan, -0.0, jnp.inf]),
    "nothing": jnp.zeros((2, 0)),
}
POLICY = {"kernel": jnp.ones(3)}


def shapes(tree):
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), tree)


def words(x):
    x = jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x
    return x.dtype, x.shape, np.asarray(x).tobytes()


@pytest.fixture
def place(tmp_path):
    return checkpoint.save(tmp_path, 12, STATE, POLICY, {"seconds": 1.5})


def test_every_leaf_comes_back_bit_for_bit(place):
    back = checkpoint.restore(place, "state", shapes(STATE))
    assert jax.tree.structure(back) == jax.tree.structure(STATE)
    assert [words(x) for x in jax.tree.leaves(back)] == [words(x) for x in jax.tree.leaves(STATE)]
    np.testing.assert_array_equal(checkpoint.restore(place, "policy", shapes(POLICY))["kernel"], 1.0)
    assert checkpoint.about(place) == {"format": checkpoint.FORMAT, "updates": 12, "seconds": 1.5}


def test_the_last_two_stay_and_parts_are_cleared(place, tmp_path):
    (tmp_path / "checkpoints" / "99.part.orbax-checkpoint-tmp").mkdir()
    assert checkpoint.places(tmp_path) == [place]
    newer = checkpoint.save(tmp_path, 100, STATE, POLICY, {})
    assert checkpoint.places(tmp_path) == [newer, place]
    newest = checkpoint.save(tmp_path, 101, STATE, POLICY, {})
    assert checkpoint.places(tmp_path) == [newest, newer]
    checkpoint.save(tmp_path, 100, STATE, POLICY, {"again": True})  # what came after it is given up
    assert names(tmp_path) == ["100"]
    assert checkpoint.about(newer)["again"]
    assert checkpoint.places(tmp_path / "elsewhere") == []


def said_of(place):
    return (place / "state" / "file").read_text()


def names(directory):
    return sorted(path.name for path in (directory / "checkpoints").iterdir())


class PowerFailure(BaseException):
    """Nothing after it is done, not even by what clears up after exceptions."""


CALLS = ("rename", "replace", "mkdir", "rmdir", "unlink", "remove", "fsync", "open", "link")


def fail_before(patch, number):
    """From the call of that number on, every change of the file system is a power failure."""
    made = []

    def failing(name, call):
        def before(*args, **options):
            made.append(name)
            if len(made) > number:
                raise PowerFailure
            return call(*args, **options)

        return before

    for name in CALLS:
        patch.setattr(os, name, failing(name, getattr(os, name)))
    return made


class Copier:
    """In place of orbax, whose threads outlive a failure: writes a few files of the same shape."""

    text = ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def save(self, path, args):
        for item in ("state", "policy", "about"):
            (path / item).mkdir(parents=True)
            (path / item / "file").write_text(self.text)


@pytest.mark.parametrize("updates", [30, 20])
def test_a_power_failure_at_any_moment_loses_no_more_than_what_is_being_written(tmp_path, monkeypatch, updates):
    """Also where the checkpoint replaces one of the same name."""
    monkeypatch.setattr(checkpoint, "_checkpointer", Copier)
    monkeypatch.setattr(os, "fsync", lambda _: None)
    before = tmp_path / "before"
    before.mkdir()
    for number in (10, 20):
        monkeypatch.setattr(Copier, "text", str(number))
        checkpoint.save(before, number, {}, {}, {})
    monkeypatch.setattr(Copier, "text", "new")
    moments = 0
    while True:
        here = tmp_path / str(moments)
        shutil.copytree(before, here)
        with pytest.MonkeyPatch.context() as patch:
            made = fail_before(patch, moments)
            try:
                checkpoint.save(here, updates, {}, {}, {})
            except PowerFailure:
                pass
            else:
                break
        whole = [place for place in checkpoint.places(here) if checkpoint.is_undamaged(place)]
        assert said_of(whole[0]) in ("20", "new")
        checkpoint.save(here, updates, {}, {}, {})  # whatever was left over
        assert names(here) == (["20", "30"] if updates == 30 else ["10", "20"])
        assert said_of(checkpoint.places(here)[0]) == "new"
        moments += 1
    assert {"rename", "rmdir", "fsync"} <= set(made)
    assert moments > 20


def test_all_is_on_the_disk_before_it_has_its_name(place, tmp_path, monkeypatch):
    flushed, at_rename = set(), {}
    fsync, rename = os.fsync, os.rename

    def noting(descriptor):
        flushed.add(Path(os.readlink(f"/proc/self/fd/{descriptor}")))
        fsync(descriptor)

    def checking(old, new):
        if Path(new).name == "13":
            at_rename.update(missing={old, *Path(old).rglob("*")} - flushed, files=len(flushed))
            flushed.clear()
        rename(old, new)

    monkeypatch.setattr(os, "fsync", noting)
    monkeypatch.setattr(os, "rename", checking)
    checkpoint.save(tmp_path, 13, STATE, POLICY, {})
    assert at_rename["missing"] == set()
    assert at_rename["files"] > 10
    assert tmp_path / "checkpoints" in flushed  # and then the name


@pytest.mark.parametrize("name", ["lr=[1e-3,1e-4]", "*?", "{a}", "50% of $HOME", "ö ∑", "-x", "a\nb", "'\"", "n" * 250])
def test_any_directory_will_do(tmp_path, name):
    directory = tmp_path / name
    directory.mkdir()
    place = checkpoint.save(directory, 1, STATE, POLICY, {})
    assert place == directory / "checkpoints" / "1"
    back = checkpoint.restore(place, "state", shapes(STATE))
    assert [words(x) for x in jax.tree.leaves(back)] == [words(x) for x in jax.tree.leaves(STATE)]
    assert checkpoint.about(place)["updates"] == 1


def test_without_the_names_of_open_files_a_link_will_do(tmp_path, monkeypatch):
    directory = tmp_path / "[a]"
    directory.mkdir()
    is_dir = Path.is_dir
    monkeypatch.setattr(Path, "is_dir", lambda path: str(path) != "/proc/self/fd" and is_dir(path))
    place = checkpoint.save(directory, 1, STATE, POLICY, {})
    np.testing.assert_array_equal(checkpoint.restore(place, "policy", shapes(POLICY))["kernel"], 1.0)


def test_no_damage_goes_unseen(place):
    """Every file of the state, cut in half, changed in one byte, or gone."""
    files = [path for path in (place / "state").rglob("*") if path.is_file()]
    assert len(files) > 3
    for path in files:
        data = path.read_bytes()
        middle = len(data) // 2
        flipped = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :] if data else b"x"
        for damaged in (data[:middle] if data else b"y", flipped, None):
            path.unlink()
            if damaged is not None:
                path.write_bytes(damaged)
            with pytest.raises(ValueError, match=r"checkpoint|damaged") as error:
                checkpoint.restore(place, "state", shapes(STATE))
            assert "\n" not in str(error.value)
            assert not checkpoint.is_undamaged(place)
            path.write_bytes(data)
            assert checkpoint.is_undamaged(place)
    checkpoint.restore(place, "state", shapes(STATE))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"flag": jnp.zeros(3, bool)}, "does not belong to this run"),
        ({"scalar": jnp.float32(0)}, "does not belong to this run"),
        ({"more": jnp.zeros(1)}, "cannot be read"),
    ],
)
def test_another_structure_is_refused(place, change, message):
    with pytest.raises(ValueError, match=message) as error:
        checkpoint.restore(place, "state", shapes({**STATE, **change}))
    assert "\n" not in str(error.value)


def test_what_is_no_checkpoint_is_refused(place, tmp_path):
    empty = tmp_path / "checkpoints" / "13"
    empty.mkdir()
    with pytest.raises(ValueError, match="not a whole checkpoint"):
        checkpoint.about(empty)
    foreign = tmp_path / "foreign"
    shutil.copytree(place, foreign)
    (foreign / "about" / "metadata").write_text('{"format": 99}')
    with pytest.raises(ValueError, match="damaged"):
        checkpoint.about(foreign)
    seal = json.loads((foreign / checkpoint.SEAL).read_text())
    seal = {name: known for name, known in seal.items() if not name.startswith("about")}
    (foreign / checkpoint.SEAL).write_text(json.dumps(seal))
    with pytest.raises(ValueError, match="format 99"):
        checkpoint.about(foreign)


def test_a_full_disk_keeps_the_old_one(place, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "_seal", full)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.save(tmp_path, 13, STATE, POLICY, {})
    assert checkpoint.places(tmp_path) == [place]
    checkpoint.restore(place, "state", shapes(STATE))
    assert checkpoint._first_line(ValueError("far away: No space left on device [28]")) == "No space left on device"


def test_late_answers_of_storage_are_silent_after_a_failure_and_nothing_else_is(tmp_path, monkeypatch):
    """As its threads give them: to an event loop that is closed, by way of sys.unraisablehook."""
    said = []
    monkeypatch.setattr(sys, "unraisablehook", before := lambda unraisable: said.append(str(unraisable.exc_value)))
    loop = asyncio.new_event_loop()
    loop.close()
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "_checkpointer", loop.run_forever)  # raises
        with pytest.raises(OSError, match="cannot write the checkpoint"):
            checkpoint.save(tmp_path, 1, STATE, POLICY, {})
    with pytest.raises(RuntimeError) as late:
        loop.call_soon_threadsafe(print)
    for error, trace in ((late.value, late.tb.tb_next), (late.value, late.tb), (ValueError("another"), None)):
        sys.unraisablehook(SimpleNamespace(exc_value=error, exc_traceback=trace))
    assert said == ["Event loop is closed", "another"]  # what a line of Python called, that of this test, is said
    sys.unraisablehook = before
    checkpoint.save(tmp_path, 1, STATE, POLICY, {})
    assert sys.unraisablehook is before


def test_what_is_written_is_not_copied_first(tmp_path, monkeypatch):
    """A replay would be there once more."""
    copied = []
    monkeypatch.setattr(copy, "deepcopy", lambda x, *_, deep=copy.deepcopy: copied.append(type(x)) or deep(x, *_))
    checkpoint.save(tmp_path, 1, {"replay": np.ones(8, np.float32)}, {"w": np.ones(2, np.float32)}, {})
    assert np.ndarray not in copied
