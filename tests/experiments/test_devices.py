"""What `use_all_cores` gives JAX, seen from fresh processes."""

import os
import subprocess
import sys

import pytest

CODE = """
import os, jax, jaxrl_up
print({call}, len(jax.devices("cpu")), os.environ.get("PJRT_NPROC"))
"""


def fresh(call, **environment):
    environment = {k: v for k, v in os.environ.items() if k != "PJRT_NPROC"} | environment
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(call=call)], env=environment, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


@pytest.mark.thorough("jaxrl_up.use_all_cores(3)-3 3 3")
@pytest.mark.parametrize(
    ("call", "seen"),
    [
        ("jaxrl_up.use_all_cores(3)", "3 3 3"),
        ("jaxrl_up.use_all_cores(3, runs=2)", "2 2 2"),
        ("jaxrl_up.use_all_cores(2, runs=64)", "2 2 2"),
    ],
)
def test_one_device_and_one_thread_a_core_but_no_more_than_runs(call, seen):
    assert fresh(call) == seen


def test_a_number_of_threads_that_is_set_stays():
    assert fresh("jaxrl_up.use_all_cores(1)", PJRT_NPROC="4") == "1 1 4"


def test_too_late_is_said():
    late = "(jax.devices(), jaxrl_up.use_all_cores(3))"
    assert fresh(late).startswith("RuntimeError: JAX has already started with 1 CPU device(s)")
