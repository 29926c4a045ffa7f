"""Learning curves from results and from run directories."""

import subprocess
import sys

import numpy as np
import pytest
from fake_runs import CONFIG, RETURNS, SEEDS, STEPS, at, make_env, make_log, make_result

from jaxrl_up import PPO
from jaxrl_up.plotting import _curves, plot_curves
from jaxrl_up.records import Recorder


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "one"
    recorder = Recorder(path, PPO, make_env(), CONFIG, SEEDS)
    for e in range(len(STEPS)):
        recorder.append(at(make_log(), e))
    return path


def test_a_result_and_its_directory_are_one_curve(directory):
    from_result, from_path = _curves(make_result(), "return"), _curves(str(directory), "return")
    assert list(from_result) == ["ppo on Fake-v0 (IQM of 3 seeds, 95% band)"]
    assert list(from_path) == ["one (IQM of 3 seeds, 95% band)"]
    for curves in (from_result, from_path):
        ((steps, values),) = curves.values()
        np.testing.assert_array_equal(steps, STEPS)
        np.testing.assert_array_equal(np.float32(values), RETURNS)


def test_draws_what_it_is_given(directory, tmp_path):
    runs = {"first": make_result(), "second": directory, "third": directory}
    assert plot_curves(runs, tmp_path / "curve.png", title="two runs").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert b"<svg" in plot_curves([directory, directory], tmp_path / "curve.svg").read_bytes()
    assert plot_curves(directory, tmp_path / "loss.png", column="entropy").exists()


def test_one_seed_and_one_evaluation(tmp_path):
    log = make_log()
    one = make_result(at_first_seed(log))._replace(seeds=(0,))
    assert list(_curves(one, "return")) == ["ppo on Fake-v0 (1 seed)"]
    assert plot_curves(one, tmp_path / "a.png").exists()


def at_first_seed(log):
    losses = {name: value[:1, :1] for name, value in log.losses.items()}
    return type(log)(*(losses if isinstance(x, dict) else x[:1, :1] for x in log))


def test_nothing_to_draw(directory, tmp_path):
    with pytest.raises(ValueError, match="no run"):
        plot_curves([], tmp_path / "x.png")
    with pytest.raises(ValueError, match="no column 'rteurn'"):
        plot_curves(directory, tmp_path / "x.png", column="rteurn")
    with pytest.raises(ValueError, match="no column"):
        plot_curves(make_result(), tmp_path / "x.png", column="rteurn")
    with pytest.raises(FileNotFoundError, match="holds no run"):
        plot_curves(tmp_path, tmp_path / "x.png")
    assert not list(tmp_path.iterdir())


def test_pyplot_is_never_imported(directory, tmp_path):
    code = (
        "import sys; import jaxrl_up; from jaxrl_up.plotting import plot_curves; "
        "assert 'matplotlib' not in sys.modules; "
        f"plot_curves({str(directory)!r}, {str(tmp_path / 'c.png')!r}); "
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
