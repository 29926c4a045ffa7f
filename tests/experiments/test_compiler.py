"""The installed compiler computes right, and a faulty one is mended or refused."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import jaxlib.version
import numpy as np
import pytest

from jaxrl_up import ops
from jaxrl_up.experiments import compiler
from jaxrl_up.learning import product

SUMS = """
import sys
{before}
import jax, jax.numpy as jnp, numpy as np
x = np.random.default_rng(0).normal(size=(32_800, 3)).astype(np.float32)
program = jax.jit(lambda x: jax.vmap(lambda row: jnp.sum((jnp.eye(3) @ row) ** 2))(x))
sys.exit(not np.allclose(program(x), np.sum(x.astype(np.float64) ** 2, axis=-1), rtol=1e-4))
"""
THEIRS = f"--xla_dump_hlo_as_text=false {compiler.FUSION}=+reduce"


def run_program(text, flags):
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    environment |= {} if flags is None else {"XLA_FLAGS": flags}
    return subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, env=environment, timeout=120)


@pytest.mark.parametrize("size", [1, 3, 8])
@pytest.mark.parametrize("rows", [127, 32_767, 32_769, 40_001])
def test_products_and_reductions_are_right(rows, size):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, size)).astype(np.float32)
    w = rng.normal(size=(size, size)).astype(np.float32)

    @jax.jit
    def program(x, w):
        by_row = jax.vmap(lambda row: w.T @ row)(x)
        ours = product(x, w)
        return (
            jnp.sum(by_row**2, axis=-1),
            jnp.max(jnp.abs(ours), axis=-1),
            ops.Categorical(x @ w).log_probs(),
            jnp.mean(jnp.tanh(ours), axis=0),
            jax.grad(lambda w: jnp.mean(jnp.sum(product(x, w) ** 2, axis=-1)))(w),
        )

    wide = x.astype(np.float64)
    y = wide @ w
    log_probs = y - y.max(-1, keepdims=True)
    log_probs -= np.log(np.exp(log_probs).sum(-1, keepdims=True))
    expected = (np.sum(y**2, -1), np.abs(y).max(-1), log_probs, np.tanh(y).mean(0), 2 * wide.T @ y / rows)
    for found, right in zip(program(x, w), expected, strict=True):
        np.testing.assert_allclose(found, right, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("seeds", [1, 3])
def test_products_and_reductions_are_right_for_many_seeds(seeds):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(seeds, 32_800, 3)).astype(np.float32)
    w = rng.normal(size=(seeds, 3, 3)).astype(np.float32)
    found = jax.jit(jax.vmap(lambda x, w: jax.vmap(lambda row: jnp.sum((w @ row) ** 2))(x)))(x, w)
    right = np.sum(np.einsum("sba,sna->snb", w.astype(np.float64), x) ** 2, -1)
    np.testing.assert_allclose(found, right, rtol=2e-4, atol=2e-4)


def test_users_compute_right_without_the_flags_of_the_tests():
    done = run_program(SUMS.format(before="import jaxrl_up"), None)
    assert done.returncode == 0, done.stderr


def test_arrays_of_rank_seven_do_not_end_the_process():
    text = """
import jaxrl_up, jax, jax.numpy as jnp
x = jnp.ones((3, 1, 2, 2, 8, 8, 8))
assert bool(jnp.all(jax.jit(lambda x, y: jnp.sum(x * y, axis=3))(x, x) == 2))
"""
    done = run_program(text, None)
    assert done.returncode == 0, (done.returncode, done.stderr)


@pytest.fixture
def faulty(monkeypatch):
    """As if a faulty jaxlib were installed, and JAX had not started."""
    monkeypatch.setattr(jaxlib.version, "__version_info__", (0, 11, 0))
    monkeypatch.setattr(jaxlib.version, "__version__", "0.11.0")
    monkeypatch.setattr(compiler, "_started", lambda: False)


@pytest.mark.usefixtures("faulty")
def test_a_faulty_fusion_is_switched_off(monkeypatch):
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    compiler.leave_out_faulty_fusion()
    assert os.environ["XLA_FLAGS"] == f"{compiler.FUSION}="


@pytest.mark.usefixtures("faulty")
def test_flags_of_the_user_stay(monkeypatch, tmp_path):
    monkeypatch.setenv("XLA_FLAGS", " --xla_dump_hlo_as_text=false ")
    compiler.leave_out_faulty_fusion()
    assert os.environ["XLA_FLAGS"] == f"--xla_dump_hlo_as_text=false {compiler.FUSION}="
    compiler.leave_out_faulty_fusion()
    assert os.environ["XLA_FLAGS"].count(compiler.FUSION) == 1
    monkeypatch.setenv("XLA_FLAGS", THEIRS)
    compiler.leave_out_faulty_fusion()
    assert os.environ["XLA_FLAGS"] == THEIRS
    (tmp_path / "flags").write_text("--xla_dump_hlo_as_text=false\n")
    monkeypatch.setenv("XLA_FLAGS", str(tmp_path / "flags"))
    compiler.leave_out_faulty_fusion()
    assert os.environ["XLA_FLAGS"] == f"--xla_dump_hlo_as_text=false {compiler.FUSION}="


@pytest.mark.usefixtures("faulty")
@pytest.mark.parametrize("version", [(0, 10, 0), (0, 10, 1), (0, 11, 1), (0, 11, 2), (0, 12, 0)])
def test_other_versions_are_left_alone(monkeypatch, version):
    monkeypatch.setattr(jaxlib.version, "__version_info__", version)
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    compiler.leave_out_faulty_fusion()
    assert "XLA_FLAGS" not in os.environ


@pytest.mark.usefixtures("faulty")
def test_jax_that_has_started_with_a_faulty_fusion_is_refused_in_one_line(monkeypatch):
    monkeypatch.setattr(compiler, "_started", lambda: True)
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    with pytest.raises(ImportError, match=r"^jaxlib 0\.11\.0 computes wrong on CPU.*import jaxrl_up before.*$"):
        compiler.leave_out_faulty_fusion()
    assert "XLA_FLAGS" not in os.environ
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    compiler.leave_out_faulty_fusion()
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    monkeypatch.setenv("XLA_FLAGS", f"{compiler.FUSION}=")
    compiler.leave_out_faulty_fusion()


def test_whether_jax_has_started_is_seen():
    text = """
import jax
from jaxrl_up.experiments import compiler
assert not compiler._started() and jax.config.jax_num_cpu_devices == -1
jax.config.update("jax_num_cpu_devices", 2)
assert not compiler._started() and len(jax.devices("cpu")) == 2
assert compiler._started() and jax.config.jax_num_cpu_devices == 2
"""
    done = run_program(text, None)
    assert done.returncode == 0, done.stderr


def test_pip_leaves_out_the_same_versions():
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    for version in compiler.FAULTY:
        assert text.count("!=" + ".".join(map(str, version))) == 2  # jax and jaxlib
