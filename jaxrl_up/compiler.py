"""Versions of jaxlib whose compiler for CPU is wrong, set right before JAX starts.

XLA hands products and reductions on CPU to the library YNNPACK, fused with what surrounds them. jaxlib 0.10.2 gets a
row wrong at some sizes (https://github.com/jax-ml/jax/issues/39103), and both versions below end the process at arrays
of rank 7 or 8 (https://github.com/jax-ml/jax/issues/39257). pip does not install them with this library; where one is
installed all the same, it works without the fusion.
"""

from __future__ import annotations

import os
from pathlib import Path

import jax
import jaxlib.version

FAULTY = ((0, 10, 2), (0, 11, 0))  # of jaxlib; pyproject.toml excludes the same
FUSION = "--xla_cpu_experimental_ynn_fusion_type"


def leave_out_faulty_fusion() -> None:
    """Switch XLA's fusion off where the installed jaxlib gets it wrong, by the environment variable `XLA_FLAGS`.

    Call it before the first JAX computation. Other flags stay, and so does the user's own value of this one; a version
    that is right is left alone. Raises `ImportError` if JAX has already started on CPU with the fusion.
    """
    flags = os.environ.get("XLA_FLAGS", "").strip()
    if flags and not flags.startswith("-"):  # the name of a file with flags
        flags = Path(flags).read_text(encoding="utf-8").strip()
    if jaxlib.version.__version_info__ not in FAULTY or FUSION in flags:
        return
    if _started():
        if jax.default_backend() != "cpu":
            return
        raise ImportError(
            f"jaxlib {jaxlib.version.__version__} computes wrong on CPU and JAX has already started: import jaxrl_up "
            f"before any JAX computation, set XLA_FLAGS={FUSION}= or install another jaxlib"
        )
    os.environ["XLA_FLAGS"] = f"{flags} {FUSION}=".strip()


def _started() -> bool:
    """Whether JAX has begun to compute: then it lets the number of CPU devices be set no more."""
    devices = jax.config.values["jax_num_cpu_devices"]
    try:
        jax.config.update("jax_num_cpu_devices", devices + 3)
    except RuntimeError:
        return True
    jax.config.update("jax_num_cpu_devices", devices)
    return False
