"""Compiled programs on disk: found by the next process, bounded, private, and mended where they are damaged."""

import os
import subprocess
import sys
import warnings

import jax
import pytest

from jaxrl_up.experiments import REFUSED, compilation_cache, heeded, use_compilation_cache

FIELDS = {"num-envs": 2, "rollout-length": 8, "hidden": 8, "total-steps": 64}
OPTIONS = {**FIELDS, "initializer": "flax", "env.max-steps": 12, "seeds": 2, "num-evals": 2, "num-episodes": 2}
TINY = ["train", "a2c", *(f"--{name}={value}" for name, value in OPTIONS.items())]


def train(home, directory, *options):
    """What a process that trains says; its cache is in `home`."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    environment["XDG_CACHE_HOME"] = str(home)
    command = [sys.executable, "-m", "jaxrl_up", *TINY, "--directory", str(directory), *options]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr


def entries(home):
    return sorted((home / "jaxrl_up").glob("*/*-cache"))


@pytest.fixture(scope="module")
def cold(tmp_path_factory):
    """A run that compiled everything, and what it said."""
    place = tmp_path_factory.mktemp("cache")
    return place, train(place, place / "cold")


def test_the_next_process_finds_the_programs_and_computes_the_same(cold):
    place, said = cold
    assert "compiled in" in said
    assert "from cache" not in said
    kept = entries(place)
    warm = train(place, place / "warm")
    assert "(from cache), training" in warm
    assert "cpu_aot_loader" not in warm  # what XLA says of programs that it takes back, on some processors
    assert entries(place) == kept
    assert (place / "cold" / "progress.csv").read_bytes() == (place / "warm" / "progress.csv").read_bytes()
    assert all(path.stat().st_mode & 0o077 == 0 for path in (place / "jaxrl_up").iterdir())


@pytest.mark.thorough
def test_without_a_cache_nothing_is_found_or_kept(cold):
    place, _ = cold
    kept = {path: path.stat().st_mtime_ns for path in (place / "jaxrl_up").rglob("*")}
    assert "from cache" not in train(place, place / "none", "--no-cache")
    assert kept == {path: path.stat().st_mtime_ns for path in (place / "jaxrl_up").rglob("*")}


@pytest.mark.thorough
def test_a_damaged_program_is_one_line_and_compiled_anew(cold):
    place, _ = cold
    (program,) = [path for path in entries(place) if "advance_lanes" in path.name]
    program.write_bytes(program.read_bytes()[:100])
    said = train(place, place / "damaged")
    (line,) = [line for line in said.splitlines() if "warning" in line]
    assert line.startswith(
        "jaxrl-up: warning: a kept program (jit_advance_lanes) could not be read and is compiled anew"
    )
    assert "from cache" not in said
    assert not program.exists()  # JAX would not write over it


@pytest.fixture
def no_cache(monkeypatch):
    """JAX as it is before it was told of a cache."""
    before = jax.config.jax_compilation_cache_dir, jax.config.jax_compilation_cache_max_size
    jax.config.update("jax_compilation_cache_dir", None)
    yield
    jax.config.update("jax_compilation_cache_dir", before[0])
    jax.config.update("jax_compilation_cache_max_size", before[1])
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


@pytest.mark.usefixtures("no_cache")
def test_what_a_killed_process_left_is_removed(tmp_path):
    place = use_compilation_cache(tmp_path)
    assert place is not None
    assert place.parent == tmp_path
    for name in ("whole-cache", "whole-atime", "half-cache"):
        (place / name).touch()
    jax.config.update("jax_compilation_cache_dir", None)
    assert use_compilation_cache(tmp_path, max_bytes=2**20) == place
    assert {path.name for path in place.iterdir()} >= {"whole-cache", "whole-atime"}
    assert not (place / "half-cache").exists()
    assert jax.config.jax_compilation_cache_max_size == 2**20


@pytest.mark.usefixtures("no_cache")
def test_where_others_can_write_nothing_is_kept(tmp_path):
    place = use_compilation_cache(tmp_path)
    place.chmod(0o777)
    jax.config.update("jax_compilation_cache_dir", None)
    with pytest.warns(UserWarning, match=r"compiled programs are not kept: others can write to"):
        assert use_compilation_cache(tmp_path) is None
    with pytest.raises(ValueError, match="directory='' is no path"):
        use_compilation_cache("")
    (tmp_path / "file").touch()
    with pytest.warns(UserWarning, match="compiled programs are not kept"):
        assert use_compilation_cache(tmp_path / "file") is None


@pytest.mark.usefixtures("no_cache")
def test_a_processor_whose_programs_are_refused_is_said_once(tmp_path):
    place = use_compilation_cache(tmp_path)
    refused = (
        "Error reading persistent compilation cache entry for 'jit_f': JaxRuntimeError: INTERNAL: Machine type used "
        "for XLA:CPU compilation doesn't match the machine type for execution."
    )

    @heeded()
    def read():
        for _ in range(3):
            warnings.warn(refused, stacklevel=1)

    with pytest.warns(UserWarning, match=r"are not kept: jaxlib \S+ refuses its own on this processor") as caught:
        read()
    assert len(caught) == 1
    assert (place / REFUSED).exists()
    jax.config.update("jax_compilation_cache_dir", None)
    with pytest.warns(UserWarning, match="refuses its own"):
        assert use_compilation_cache(tmp_path) is None


@pytest.mark.usefixtures("no_cache")
def test_a_cache_of_the_users_stays(tmp_path, monkeypatch):
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / "mine"))
    assert use_compilation_cache() == tmp_path / "mine"
    jax.config.update("jax_compilation_cache_dir", None)
    jax.config.update("jax_enable_compilation_cache", False)
    try:
        assert use_compilation_cache(tmp_path) is None
    finally:
        jax.config.update("jax_enable_compilation_cache", True)
    assert not list(tmp_path.iterdir())


def test_other_warnings_pass(tmp_path):
    with pytest.warns(UserWarning, match="of the user's"), heeded():
        warnings.warn("of the user's", stacklevel=1)


def test_a_program_that_calls_back_is_not_kept():
    def tell(x):
        jax.debug.callback(lambda x: None, x)
        return x + 1

    lowered = jax.jit(tell).lower(1.0)
    assert compilation_cache.compiled(lowered, {})[1] == "not kept: it calls back to Python"
    assert compilation_cache.compiled(jax.jit(lambda x: x + 2).lower(1.0), {})[1] in ("", "from cache")
