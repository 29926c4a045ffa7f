"""Two CPU devices for all tests, quick compiles, and strict shapes.

Compiling is most of the time here, so programs are compiled with little optimisation. Learning tests run long
enough to want the real thing: `pytest -m learning`; plain `pytest` leaves them out.

Checks that are on: arrays of different rank do not broadcast (`jax_numpy_rank_promotion`), except where gymnax is
stepped for its own sake (its Swimmer broadcasts). `jax_debug_key_reuse` cannot be on for everything, because gymnax
environments reuse keys; the contract suite traces every algorithm with it on a probe environment.
"""

import os

import jax
import pytest

import jaxrl_up

MAY_BROADCAST = ("tests/envs/test_gymnax.py", "tests/test_cli.py")
FORGET_EVERY = 40  # tests
TESTS_RUN = pytest.StashKey[int]()
QUICK_COMPILE = "--xla_backend_optimization_level=0"
if jax.__version_info__ < (0, 11):  # which refuses to start with a flag it does not know
    QUICK_COMPILE += " --xla_cpu_use_fusion_emitters=false"


def pytest_configure(config):
    if "learning" not in config.option.markexpr:
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {QUICK_COMPILE}".strip()
    jaxrl_up.use_all_cores(2)


def pytest_collection_modifyitems(config, items):
    if "learning" in config.option.markexpr:
        return
    named = [arg for arg in config.args if "::" in arg]  # a test asked for by name always runs
    left_out = [item for item in items if item.get_closest_marker("learning") and not named]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    jax.config.update("jax_numpy_rank_promotion", "allow" if item.nodeid.startswith(MAY_BROADCAST) else "raise")


@pytest.fixture(autouse=True)
def _forget_programs(request):
    """Compiled programs are not kept for long: they add up to gigabytes, and to more mappings than Linux allows.

    A test leaves some 250 mappings behind, of 65,530 that a process may have; past that, compiling aborts.
    """
    yield
    request.config.stash[TESTS_RUN] = request.config.stash.get(TESTS_RUN, 0) + 1
    if request.config.stash[TESTS_RUN] % FORGET_EVERY == 0:
        jax.clear_caches()


@pytest.fixture(scope="session")
def cpus():
    """The two devices that programs are spread over."""
    devices = jax.devices("cpu")
    assert len(devices) == 2
    return devices
