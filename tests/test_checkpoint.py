"""Checkpoints: every leaf comes back bit for bit, and what is not whole or not ours is refused in one line."""

import copy
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_up import checkpoint

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


def test_the_newest_stays_and_parts_are_cleared(place, tmp_path):
    (tmp_path / "checkpoints" / "99.part.orbax-checkpoint-tmp").mkdir()
    assert checkpoint.latest(tmp_path) == place
    newer = checkpoint.save(tmp_path, 100, STATE, POLICY, {})
    assert checkpoint.latest(tmp_path) == newer
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["100"]
    checkpoint.save(tmp_path, 100, STATE, POLICY, {"again": True})
    assert checkpoint.about(newer)["again"]
    assert checkpoint.latest(tmp_path / "elsewhere") is None


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
            path.write_bytes(data)
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
    assert checkpoint.latest(tmp_path) == place
    checkpoint.restore(place, "state", shapes(STATE))


def test_what_is_written_is_not_copied_first(tmp_path, monkeypatch):
    """A replay would be there once more."""
    copied = []
    monkeypatch.setattr(copy, "deepcopy", lambda x, *_, deep=copy.deepcopy: copied.append(type(x)) or deep(x, *_))
    checkpoint.save(tmp_path, 1, {"replay": np.ones(8, np.float32)}, {"w": np.ones(2, np.float32)}, {})
    assert np.ndarray not in copied
