"""One CPU device a core, so that seeds spread over the cores as they do over accelerators."""

from __future__ import annotations

import os

import jax

from jaxrl_up.config import as_whole, shown, whole_or_none
from jaxrl_up.records import processes


def use_all_cores(cores: int | None = None, runs: int | None = None) -> int:
    """Give JAX one CPU device per core; call it before the first JAX computation.

    Seeds are spread over devices, and one CPU device keeps about one core busy. `cores=None` counts those this
    process may use, or its part of them where `use_all_processes` has found others on this machine; there will be no
    more devices than `runs` (seeds times grid points), if that is given. JAX gets one thread a device: networks of 64
    units lose more by handing work from thread to thread than they gain. For a few runs of large networks set the
    environment variable `PJRT_NPROC` to a larger number of threads first.

    Does nothing where an accelerator is the default. Returns the number of CPU devices; raises `ValueError` for a
    number that is none, and `RuntimeError` if JAX has started with another number already.
    """
    cores = whole_or_none("cores", cores)
    if cores is None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        cores = max(cores // processes.place().neighbours, 1)
    if runs is not None:
        number = as_whole(runs)
        if number is None:
            raise ValueError(f"runs={shown(runs)} must be a whole number, or None")
        cores = max(min(cores, processes.widest(number)), 1)
    try:
        jax.config.update("jax_num_cpu_devices", cores)
        os.environ.setdefault("PJRT_NPROC", str(cores))
    except RuntimeError:
        started = len(jax.devices("cpu"))
        if started != cores:
            raise RuntimeError(
                f"JAX has already started with {started} CPU device(s): call use_all_cores() before any JAX computation"
            ) from None
    return cores
