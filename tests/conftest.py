"""Two CPU devices for all tests, quick compiles that are shared, and strict shapes.

Compiling is most of the time here, so programs are compiled with little optimisation, and what one worker has compiled
the others take from a cache of this session (or, to keep it, one that `JAX_COMPILATION_CACHE_DIR` names). Learning
tests run long enough to want the real thing: `pytest -m learning`; plain `pytest` leaves them out. It tries what holds
for every algorithm with one of each family, and `pytest -m thorough` with the rest, but for what repeats at a high
price what another test of these sees: that is `exhaustive`, and tried before a release. `@pytest.mark.thorough("sac")`,
and the same of `exhaustive`, means the parameters of that name alone.

Checks that are on: arrays of different rank do not broadcast (`jax_numpy_rank_promotion`), except where gymnax is
stepped for its own sake (its Swimmer broadcasts). `jax_debug_key_reuse` cannot be on for everything, because gymnax
environments reuse keys; the contract suite traces every algorithm with it on a probe environment.
"""

import gc
import itertools
import os
import shutil
import tempfile

import jax
import pytest

import jaxrl_up

MAY_BROADCAST = ("tests/envs/test_gymnax.py", "tests/cli/test_cli.py")
MOST_MAPPINGS = 12_000
LEFT_OUT = ("learning", "thorough", "exhaustive", "lessons", "site")  # by plain `pytest`
EVERY_ALGORITHM = (  # here plain `pytest` tries some algorithms only
    *(
        "tests/algorithms/test_contract.py",
        "tests/algorithms/test_known_values.py",
        "tests/algorithms/test_action_masks.py",
    ),
    *("tests/algorithms/test_variants.py", "tests/envs/test_observations.py", "tests/training/test_modes.py"),
)
STAND_FOR_OTHERS = {"ppo", "dqn", "sac", "mpc"}
LONGEST_LEARNING = 3600  # seconds
PROGRAMS = pytest.StashKey[str]()  # where compiled programs are shared, if it is to be removed
QUICK_COMPILE = "--xla_backend_optimization_level=0"
if jax.__version_info__ < (0, 11):  # which refuses to start with a flag it does not know
    QUICK_COMPILE += " --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"


def pytest_configure(config):
    if "learning" not in config.option.markexpr:
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {QUICK_COMPILE}".strip()
    jaxrl_up.use_all_cores(2)
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:  # so workers find it, and what tests start
        config.stash[PROGRAMS] = tempfile.mkdtemp(prefix="jaxrl_up-programs-")
        os.environ["JAX_COMPILATION_CACHE_DIR"] = config.stash[PROGRAMS]
    os.environ |= {"JAX_COMPILATION_CACHE_MAX_SIZE": str(2**31), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1"}
    jax.config.update("jax_compilation_cache_dir", os.environ["JAX_COMPILATION_CACHE_DIR"])
    jax.config.update("jax_compilation_cache_max_size", 2**31)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


def pytest_collection_finish():
    """The devices are those of the tests from now on, whatever a command that is tried first would choose.

    Collecting garbage, which walks over all that was imported and collected, took a twentieth of the time.
    """
    jax.devices()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """A file to a worker, so that none compiles and sets up again what another has."""
    if config.option.dist == "load":  # what `-n` alone asks for
        from xdist.scheduler import LoadFileScheduling

        config.option.loadscopereorder = False
        return LoadFileScheduling(config, log)
    return None


def pytest_unconfigure(config):
    shutil.rmtree(config.stash.get(PROGRAMS, ""), ignore_errors=True)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    by_name = any("::" in arg for arg in config.args)
    _take_marks_from_other_parameters(items, whole=not by_name)
    for item in items:
        if item.get_closest_marker("learning"):
            item.add_marker(pytest.mark.timeout(LONGEST_LEARNING))
        if _is_thorough(item):
            item.add_marker(pytest.mark.thorough)
    if by_name:  # a test asked for by name always runs
        return
    asked_for = config.option.markexpr
    names = LEFT_OUT if not asked_for else () if "exhaustive" in asked_for else ("exhaustive",)
    left_out = [item for item in items if any(map(item.get_closest_marker, names))]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def _take_marks_from_other_parameters(items, whole):
    """Marks that name parameters, by their id or by a part of it, stay on those alone; `whole` if all are there."""
    named = {}
    for item in items:
        for mark in [mark for mark in item.own_markers if mark.name in ("thorough", "exhaustive") and mark.args]:
            name = item.callspec.id if hasattr(item, "callspec") else ""
            fits = set(mark.args) & {name, *name.split("-")}
            named.setdefault((item.location[0], item.originalname, mark.args), set()).update(fits)
            if not fits:
                item.own_markers.remove(mark)
    for (file, test, names), found in named.items():
        if whole and set(names) != found:
            raise pytest.UsageError(f"{file}: {test} has no parameter {sorted(set(names) - found)} for its mark")


def _is_thorough(item):
    """What is tried with algorithms that others stand for, and the examples of documents other than the README."""
    given = getattr(item, "callspec", None)
    if given is None:
        return False
    if "documents" in given.params:
        return given.id != "README.md"
    if not item.nodeid.startswith(EVERY_ALGORITHM):
        return False
    found = jax.tree.leaves(list(given.params.values()), is_leaf=lambda x: isinstance(x, jaxrl_up.Algorithm))
    names = {getattr(x, "name", x) for x in found if isinstance(x, str | jaxrl_up.Algorithm)} & set(jaxrl_up.ALGORITHMS)
    return bool(names) and not names & STAND_FOR_OTHERS


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    jax.config.update("jax_numpy_rank_promotion", "allow" if item.nodeid.startswith(MAY_BROADCAST) else "raise")


tests_run = itertools.count(1)


@pytest.fixture(autouse=True)
def _forget_programs():
    """Compiled programs are not kept for ever: they add up to gigabytes, and to more mappings than Linux allows.

    A process may have 65,530; past that, compiling aborts. With 12,000 it takes some 3 GB. To count them takes a while.
    """
    yield
    if next(tests_run) % 8 == 0 and _mappings() > MOST_MAPPINGS:
        jax.clear_caches()


def _mappings():
    """How many the process has; 0 where the system does not say."""
    try:
        with open("/proc/self/maps", "rb") as lines:
            return sum(1 for _ in lines)
    except OSError:
        return 0


@pytest.fixture(scope="session")
def cpus():
    """The two devices that programs are spread over."""
    devices = jax.devices("cpu")
    assert len(devices) == 2
    return devices
