"""What XLA says on standard error by itself, where it says nothing to users. Imported before JAX, which imports XLA.

jaxlib before 0.10.2 complains of every program that it takes from a compilation cache, on processors where its compiler
notes preferences (`prefer-no-gather`) that are no features: 3 KB each, of programs that run
(https://github.com/jax-ml/jax/issues/38445). Its errors reach Python as exceptions all the same.
"""

from __future__ import annotations

import os
from importlib import metadata

LEVEL = "TF_CPP_MIN_LOG_LEVEL"  # 3: only what ends the process; read once, when XLA is imported

NOISY = tuple(map(int, metadata.version("jaxlib").split(".")[:3])) < (0, 10, 2)
if NOISY and os.environ.get(LEVEL, "1") == "1":  # which is what JAX sets, also for the processes that one starts
    os.environ[LEVEL] = "3"
