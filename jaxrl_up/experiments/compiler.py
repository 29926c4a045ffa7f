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


LEVEL = "xla_backend_optimization_level"  # XLA's default is 3


def options(once: bool = False) -> dict[str, int | bool]:
    """Compiler options of a program that trains, or of one that runs `once`, like that which begins the seeds.

    On CPU, LLVM's level 2 gives programs as fast as its level 3 in about 0.6 of the time; what runs once is not
    optimised at all. A level in the user's `XLA_FLAGS` stays, and other processors are left alone. Only for programs
    that are called at the top: JAX takes no options for a program within another.
    """
    if jax.default_backend() != "cpu" or LEVEL in os.environ.get("XLA_FLAGS", ""):
        return {}
    if not once:
        return {LEVEL: 2}
    emitters = {"xla_cpu_use_fusion_emitters": False} if jax.__version_info__ < (0, 11) else {}  # unknown from then on
    return {LEVEL: 0, **emitters}
