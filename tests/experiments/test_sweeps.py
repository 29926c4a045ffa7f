"""Sweeps: how points become programs, what is trained, what is written, and what goes on after a stop."""

import csv
import itertools
import logging
import shutil
import signal

import jax
import numpy as np
import pytest
from tiny import assert_equal, breaking, cartpole, chain, tiny

from jaxrl_up import A2C, PPO, load_recipe, load_sweep, random_points, resume_sweep, run, run_sweep
from jaxrl_up.analysis import is_logarithmic, plot_scores, sweep_plots
from jaxrl_up.experiments import (
    FILES,
    SweepArguments,
    SweepWatcher,
    keep,
    memory,
    plan_lines,
    points,
    rank,
    rung_ends,
    sweeps,
)
from jaxrl_up.ops import Score, iqm
from jaxrl_up.records import load_run, load_snapshot
from jaxrl_up.training import advance_lanes

CONFIG = tiny(A2C)  # 4 updates
RATES = [1e-3, 3e-2, 1e-2]
SEEDS = (7, 0)
SETTINGS = {"num_evals": 4, "num_episodes": 3, "max_eval_steps": 12}


def sweep(directory, grid, **settings):
    return run_sweep(A2C, cartpole(), CONFIG, grid, SEEDS, directory, **{**SETTINGS, **settings})


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


class Compiles(logging.Handler):
    """Counts what XLA compiles, by name."""

    def __init__(self):
        super().__init__()
        self.names = []

    def emit(self, record):
        message = record.getMessage()
        if message.startswith("Compiling "):
            self.names.append(message.split()[1])

    def __enter__(self):
        self.logger = logging.getLogger("jax._src.interpreters.pxla")
        self.logger.addHandler(self)
        self.context = jax.log_compiles()
        self.context.__enter__()
        return self

    def __exit__(self, *error):
        self.context.__exit__(*error)
        self.logger.removeHandler(self)

    @property
    def programs(self):
        return sum("advance_lanes" in name for name in self.names)


def stop_after(patch, *counts):
    """Raise SIGTERM once so many evaluations of trained policies were shown, counted on over several calls."""
    shown, evaluated = [], SweepWatcher.evaluated

    def count(self, log, seconds):
        evaluated(self, log, seconds)
        shown.extend([log] if log.env_steps[0] else [])
        if log.env_steps[0] and len(shown) in counts:
            signal.raise_signal(signal.SIGTERM)

    patch.setattr(SweepWatcher, "evaluated", count)


@pytest.fixture(scope="module")
def mixed(cpus, tmp_path_factory):
    """Traced and static values: the result, what was compiled, what was said."""
    directory = tmp_path_factory.mktemp("mixed") / "sweep"
    with pytest.MonkeyPatch.context() as patch, Compiles() as compiles:
        said = []
        patch.setattr("builtins.print", lambda line, **_: said.append(line))
        result = sweep(directory, {"learning_rate": RATES, "num_envs": [2, 4]})
    return result, compiles, said


@pytest.fixture(scope="module")
def parts(cpus, tmp_path_factory):
    """Three points of one program in two parts, the second filled up."""
    directory = tmp_path_factory.mktemp("parts") / "sweep"
    with Compiles() as compiles:
        result = sweep(directory, {"learning_rate": RATES}, max_lanes=4, progress=False)
    return result, compiles


@pytest.mark.thorough
def test_every_shape_is_compiled_once_as_announced(mixed, parts):
    _, compiles, said = mixed
    assert said[1] == "2 programs to compile, 2 parts to train"
    assert compiles.programs == 2
    result, compiles = parts
    assert sorted(path.name for path in (result.directory / "cells").iterdir()) == ["0", "1"]
    assert compiles.programs == 1


def test_parts_agree_with_one_batch(mixed, parts):
    one, (two, _) = mixed[0], parts
    assert two.points == tuple({"learning_rate": rate} for rate in RATES)
    np.testing.assert_allclose(two.returns, one.returns[::2], rtol=1e-4)
    assert two.returns.shape == (3, 2, 5)


def test_a_point_is_the_run_of_its_config_alone(mixed, tmp_path):
    result = mixed[0]
    point = result.points.index({"learning_rate": 3e-2, "num_envs": 2})
    config = CONFIG.replace(learning_rate=3e-2, num_envs=2)
    alone = run(A2C, cartpole(), config, SEEDS, tmp_path / "run", progress=False, **SETTINGS)
    np.testing.assert_allclose(result.returns[point], alone.returns, rtol=1e-4)
    rows = [row for row in read(result.directory / "results.csv") if row["point"] == str(point)]
    theirs = sorted(read(tmp_path / "run/progress.csv"), key=lambda row: int(row["seed"]))  # stable: steps in order
    assert sorted((row["seed"], row["env_steps"]) for row in rows) == sorted(
        (r["seed"], r["env_steps"]) for r in theirs
    )
    for row, other in zip(sorted(rows, key=lambda row: int(row["seed"])), theirs, strict=True):
        assert (row["learning_rate"], row["num_envs"]) == ("0.03", "2")
        assert (row["entropy"] == "") == (other["entropy"] == "") == (row["env_steps"] == "0")
        for name in ("return", "length", *(["entropy"] if row["entropy"] else [])):
            np.testing.assert_allclose(float(row[name]), float(other[name]), 1e-3)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("-0.5", "learning_rate=-0.5 is out of range: it must be at least 0"),
        ("nan", "learning_rate=nan is out of range"),
        ("'fast'", "must be a number"),
    ],
)
def test_values_edited_by_hand_are_checked(parts, tmp_path, value, says):
    """Those of a part, and the points they are of."""
    shutil.copytree(parts[0].directory, tmp_path / "sweep", ignore=shutil.ignore_patterns("checkpoints"))
    for name, where, load in (
        ("cells/0/config.toml", "in [grid], ", load_run),
        ("sweep.toml", "is not a sweep's: ", lambda path: load_sweep(path.parent)),
    ):
        path = tmp_path / "sweep" / name
        head, table, tail = path.read_text().partition("[grid]" if name.startswith("cells") else "[points]")
        path.write_text(head + table + tail.replace("0.001", value, 1))
        with pytest.raises(ValueError, match="learning_rate") as caught:
            load(path)
        assert all(text in str(caught.value) for text in (str(path), f"{where}learning_rate", says))
        assert len(str(caught.value).splitlines()) == 1


def test_an_unknown_name_in_a_grid_is_said(parts, tmp_path):
    shutil.copytree(parts[0].directory / "cells/0", tmp_path / "0")
    path = tmp_path / "0/config.toml"
    head, table, tail = path.read_text().partition("[grid]")
    path.write_text(head + table + tail.replace("learning_rate", "learning_rat", 1))
    with pytest.raises(ValueError, match=r"config\.toml: in \[grid\], .*Did you mean 'learning_rate'"):
        load_run(path)


def test_points_that_were_evaluated_less_often_are_filled_with_nan(mixed):
    result = mixed[0]
    np.testing.assert_array_equal(result.env_steps[0], [0, 16, 32, 48, 64])
    np.testing.assert_array_equal(result.env_steps[1], [0, 32, 64, np.nan, np.nan])
    assert np.isnan(result.returns[1, :, 3:]).all()
    assert np.isfinite(result.returns[1, :, :3]).all()
    assert result.finished.all()


def test_ranking_is_by_the_iqm_of_final_returns(mixed):
    result = mixed[0]
    final = [
        row[:, 2 if point["num_envs"] == 4 else 4] for row, point in zip(result.returns, result.points, strict=True)
    ]
    middle = [float(iqm(row)) for row in final]
    assert [r.score.iqm for r in result.ranking] == sorted(middle, reverse=True)
    assert sorted(r.point for r in result.ranking) == list(range(6))
    for ranked in result.ranking:
        assert ranked.score.iqm == middle[ranked.point]
        assert ranked.worst == final[ranked.point].min() == final[ranked.point][SEEDS.index(ranked.worst_seed)]
    rows = read(result.directory / "ranking.csv")
    assert [int(row["point"]) for row in rows] == [r.point for r in result.ranking]
    assert [row["rank"] for row in rows] == list("123456")
    assert float(rows[0]["iqm"]) == result.best.score.iqm
    first = final[result.best.point]
    for ranked, row in zip(result.ranking, rows, strict=True):
        overlap = ranked.score.high >= result.best.score.low and ranked.score.low <= result.best.score.high
        assert ranked.tied == overlap == (row["tied"] == "true")
        wins = np.mean(np.sign(first[:, None] - final[ranked.point]) / 2 + 0.5)
        assert ranked.best_wins == pytest.approx(wins) and float(row["best_wins"]) == ranked.best_wins


def test_the_best_is_a_recipe(mixed):
    result = mixed[0]
    recipe = load_recipe(result.directory / "best.toml")
    assert recipe.algo is A2C
    assert recipe.config == result.best_config
    assert {name: getattr(recipe.config, name) for name in ("learning_rate", "num_envs")} == result.best.values
    assert recipe.env.spec == cartpole().spec
    assert recipe.seeds == len(SEEDS)


def test_it_is_read_back_as_it_was(mixed):
    result = mixed[0]
    again = load_sweep(result.directory)
    assert again.points == result.points
    assert again.ranking == result.ranking
    np.testing.assert_array_equal(again.returns, result.returns)
    assert {path.name for path in result.directory.iterdir()} == set(FILES)


def test_a_sweep_stopped_twice_ends_as_one_that_was_not(parts, tmp_path, monkeypatch):
    """First at the last evaluation of a part, whose end must not hide the signal, then within the next part."""
    whole, (directory, again) = parts[0], (tmp_path / "sweep", [])
    stop_after(monkeypatch, 4, 6)
    first = sweep(directory, {"learning_rate": RATES}, max_lanes=4, progress=False)
    assert (first.stopped, first.finished.tolist()) == ("SIGTERM", [True, True, False])
    assert [r.point for r in first.ranking] == [r.point for r in whole.ranking if r.point < 2]
    second = resume_sweep(directory, progress=False)
    assert (second.stopped, second.finished.tolist()) == ("SIGTERM", [True, True, False])
    assert np.isnan(second.returns[2, :, 3:]).all()
    again = resume_sweep(directory, progress=False)
    assert (again.stopped, again.finished.all()) == ("", True)
    for name in ("results.csv", "ranking.csv", "best.toml", "cells/1/progress.csv"):
        assert (directory / name).read_bytes() == (whole.directory / name).read_bytes()
    with Compiles() as compiles:
        resume_sweep(directory, progress=False)
    assert compiles.programs == 0


def test_halving_trains_the_best_on_as_they_were(parts, tmp_path, monkeypatch):
    """Stopped in both rungs and resumed; the survivor's rows are those of the sweep that halved nothing."""
    whole, directory = parts[0], tmp_path / "sweep"
    stop_after(monkeypatch, 1, 3)
    for stopped in (
        sweep(directory, {"learning_rate": RATES}, halving=2, eta=2, progress=False),
        resume_sweep(directory, progress=False),
    ):
        assert stopped.stopped == "SIGTERM"
    result = resume_sweep(directory, progress=False)
    (kept,) = keep(list(whole.returns[:, :, 2]), 2)
    assert kept == np.argmax(np.mean(whole.returns[:, :, 2], axis=1))
    assert result.best.point == kept
    assert result.rungs.tolist() == [int(c == kept) for c in range(3)]
    assert result.finished.all()
    np.testing.assert_allclose(result.returns[kept], whole.returns[kept], rtol=1e-4)
    np.testing.assert_allclose(result.returns[:, :, :3], whole.returns[:, :, :3], rtol=1e-4)
    assert np.isnan(np.delete(result.returns, kept, axis=0)[:, :, 3:]).all()
    assert [row["rung"] for row in read(directory / "ranking.csv")] == ["2", "1", "1"]
    assert [int(row["env_steps"]) for row in read(directory / "ranking.csv")] == [64, 32, 32]
    assert {row["tied"] for row in read(directory / "ranking.csv")[1:]} == {"false"}  # they were stopped earlier


def remembered(read_back):
    """`load_snapshot`, which adds what it gives to a list."""
    return lambda saved: read_back.append(load_snapshot(saved)) or read_back[-1]


@pytest.fixture(scope="module")
def halved(cpus, tmp_path_factory):
    """Two programs in two parts each, halved, never stopped: the checkpoints it read, what was compiled and said."""
    advance_lanes.clear_cache()
    directory, read_back, said = tmp_path_factory.mktemp("halved") / "sweep", [], []
    with pytest.MonkeyPatch.context() as patch, Compiles() as compiles:
        patch.setattr(sweeps.running, "load_snapshot", remembered(read_back))
        patch.setattr("builtins.print", lambda line, **_: said.append(line))
        sweep(directory, HALVED, halving=2, eta=2, max_lanes=4)
    return directory, [found for found in read_back if found is not None], compiles, said


HALVED = {"learning_rate": RATES, "num_envs": [2, 4]}


def assert_same_files(directory, other):
    """Of two sweeps that are halved: the tables by bytes, what was reached by bits."""
    names = sorted(path.relative_to(other).as_posix() for path in other.glob("cells/*/progress.csv"))
    assert len(names) > 4
    for name in ("results.csv", "ranking.csv", "best.toml", *names):
        assert (directory / name).read_bytes() == (other / name).read_bytes(), name
    for name in names:
        ours, theirs = (load_snapshot(load_run((place / name).parent))[0] for place in (directory, other))
        assert_equal(ours.progress, theirs.progress)
        assert_equal(ours.best, theirs.best)


@pytest.mark.thorough
def test_survivors_stay_on_the_devices(halved):
    directory, read_back, compiles, said = halved
    assert not read_back
    announced = [line for line in said if "to compile" in line]
    assert announced == ["2 programs to compile, 4 parts to train", "1 program to compile, 2 parts to train"]
    assert compiles.programs == 3  # a part of the second rung is as wide as one of the first
    assert {row["rung"] for row in read(directory / "ranking.csv")} == {"1", "2"}


@pytest.mark.thorough("stops0", "stops1")
@pytest.mark.parametrize("stops", [(3,), (6,), (5, 7)])
def test_survivors_read_from_checkpoints_end_as_those_that_stayed(halved, stops, tmp_path, monkeypatch):
    """Stopped in the first rung, at its end or in the second."""
    directory = tmp_path / "sweep"
    stop_after(monkeypatch, *stops)
    assert sweep(directory, HALVED, halving=2, eta=2, max_lanes=4, progress=False).stopped
    for _ in stops:
        last = resume_sweep(directory, progress=False)
    assert not last.stopped
    assert_same_files(directory, halved[0])


@pytest.mark.thorough
def test_parts_whose_newest_checkpoint_is_damaged_are_trained_again(halved, tmp_path, monkeypatch):
    """At the end of the first rung, of which some points survive; they are not ranked before."""
    directory = tmp_path / "sweep"
    stop_after(monkeypatch, 8)
    sweep(directory, HALVED, halving=2, eta=2, max_lanes=4, progress=False, checkpoint_seconds=0.0)
    before = load_sweep(directory)
    for newest in directory.glob("cells/*/checkpoints/2"):
        flip(max((newest / "state").rglob("*"), key=lambda path: path.stat().st_size))
    assert len(load_sweep(directory).ranking) < len(before.ranking)
    with pytest.warns(UserWarning, match=r"checkpoints/2 is damaged: .*taken is .* of 1 updates, .*is lost"):
        resume_sweep(directory, progress=False)
    assert_same_files(directory, halved[0])


def flip(path):
    """Change one bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_survivors_go_by_checkpoints_where_memory_is_short(halved, tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: memory.HEADROOM)
    monkeypatch.setattr(sweeps.plan, "check_memory", lambda *_: None)
    read_back = []
    monkeypatch.setattr(sweeps.running, "load_snapshot", remembered(read_back))
    rung_plan = sweeps.plan.plan
    for module in (sweeps.plan, sweeps.running):
        monkeypatch.setattr(module, "plan", lambda *args: unhurried(rung_plan, *args))
    sweep(tmp_path / "sweep", HALVED, halving=2, eta=2, max_lanes=4, progress=False)
    assert sum(found is not None for found in read_back) >= 2
    assert_same_files(tmp_path / "sweep", halved[0])


def unhurried(plan, *args):
    """A plan made with memory to spare."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory, "available", lambda: None)
        return plan(*args)


def test_failed_seeds_and_an_environment_of_ones_own(tmp_path, capsys):
    """A reward that is NaN at the twentieth step, in one of two points; no recipe can name the environment."""
    env, grid = breaking(A2C), {"nan_at": [np.inf, 20.0]}
    with pytest.raises(ValueError, match="must be a finite number"):
        run_sweep(A2C, env, CONFIG, grid, SEEDS, tmp_path / "sweep", **SETTINGS)
    with pytest.warns(UserWarning, match=r"best.toml was not written: a recipe cannot name .* of your own"):
        result = run_sweep(A2C, env, CONFIG, {"nan_at": [1e9, 20.0]}, SEEDS, tmp_path / "sweep", **SETTINGS)
    assert result.failed_at.tolist() == [[-1, -1], [3, 3]]
    assert [r.failed for r in sorted(result.ranking, key=lambda r: r.point)] == [(), SEEDS]
    assert "env.nan_at=20, seed 7 failed at update 3; it keeps its last finite policy" in capsys.readouterr().err
    with pytest.raises(ValueError, match=r"is not found by name.*: give env='FILE.py:NAME'"):
        load_sweep(tmp_path / "sweep")
    assert load_sweep(tmp_path / "sweep", env=env).ranking == result.ranking


def test_memory_decides_how_many_fit(monkeypatch):
    needed = memory.need(A2C, cartpole(), CONFIG)
    monkeypatch.setattr(memory, "available", lambda: memory.at_start(needed, 4))
    asked = SweepArguments(A2C, cartpole(), CONFIG, {"learning_rate": RATES}, SEEDS)
    plan = plan_lines(asked)
    assert plan[1:3] == ["1 program to compile, 2 parts to train", plan[2]]
    assert plan[2].startswith("program 1: 3 points x 64 steps, 2 parts of 4 runs, ")
    monkeypatch.setattr(memory, "available", lambda: memory.at_start(needed, 1))
    assert "6 parts of 1 run," in plan_lines(asked)[2]
    monkeypatch.setattr(memory, "available", lambda: memory.HEADROOM)
    with pytest.raises(ValueError, match="at most 0 fit"):
        plan_lines(asked)


def test_points_are_grouped_by_program():
    grid = {"learning-rate": [1e-4, 1], "num_envs": [4, 16], "target_kl": [None, 0.01], "max_steps": [9, 12]}
    spelt = points.spell(cartpole(), PPO.Config(), points.product(grid))
    assert spelt[0] == {"learning_rate": 1e-4, "num_envs": 4, "target_kl": None, "env.max_steps": 9}
    assert isinstance(spelt[-1]["learning_rate"], float)
    groups = points.group(cartpole(), PPO.Config(), spelt)
    assert len(groups) == 2 * 2 * 2
    assert sorted(itertools.chain(*(group.points for group in groups))) == list(range(16))
    for group in groups:
        values = [spelt[i] for i in group.points]
        assert len({(v["num_envs"], v["target_kl"], v["env.max_steps"]) for v in values}) == 1
        assert group.swept["learning_rate"] == (1e-4, 1.0)
        assert ("target_kl" in group.swept) == (values[0]["target_kl"] is not None)
        assert (group.config.num_envs, group.env.max_steps) == (values[0]["num_envs"], values[0]["env.max_steps"])


def test_physics_and_derived_parameters_are_traced():
    spelt = points.spell(cartpole(), PPO.Config(), points.product({"gravity": [5, 10], "env.total_mass": [1.2, 2.0]}))
    (group,) = points.group(cartpole(), PPO.Config(), spelt)
    assert group.swept == {"env.gravity": (5.0, 5.0, 10.0, 10.0), "env.total_mass": (1.2, 2.0, 1.2, 2.0)}


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({}, "at least one name"),
        ({"gamma": []}, "give a list of at least one value"),
        ({"gamma": "0.9"}, "give a list"),
        ({"gamma": [0.9, 0.9]}, "gamma has 0.9 twice"),
        ({"gama": [0.9]}, "'gama' cannot be swept. Did you mean 'gamma'?"),
        ({"gamma": [1.5]}, "gamma=1.5 is out of range"),
        ({"gamma": ["high"]}, "gamma='high' must be a number"),
        ({"num_envs": [2.5]}, "num_envs=2.5 must be a whole number"),
        ({"hidden": [8, 2.5]}, "must be whole numbers"),
        ({"activation": ["rleu"]}, "Did you mean 'relu'"),
        ({"env.gravty": [1]}, "Did you mean 'gravity'"),
        ({"gravity": [np.nan]}, "env.gravity=nan must be a finite number"),
        ({"gravity": [1], "env.gravity": [2]}, "env.gravity is given twice"),
        ({"max_steps": [0]}, "max_steps of CartPole-v1 must be"),
        ([], "at least one point"),
        ([{"gamma": 0.9}, {"gae_lambda": 0.9}], "all points need the same names"),
        ([{"gamma": 0.9}, {"gamma": 0.9}], "the point gamma=0.9 is given twice"),
        ([{}], "at least one name"),
    ],
)
def test_bad_points_are_refused_before_anything_is_written(grid, message, tmp_path):
    with pytest.raises(ValueError, match="(?s)" + message.replace("?", r"\?")):
        sweep(tmp_path / "sweep", grid)
    assert not list(tmp_path.iterdir())


def test_what_is_static_in_an_environment_of_your_own_cannot_be_swept():
    env = chain()
    with pytest.raises(ValueError, match="cannot be swept in an environment of your own"):
        points.spell(env, CONFIG, ({"env.max_steps": 3},))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"halving": 0}, "halving=0 must be at least 1"),
        ({"halving": 2, "eta": 1}, "eta=1 must be at least 2"),
        ({"halving": 4}, "4 evaluations do not tell apart"),
        ({"max_lanes": 0}, "max_lanes=0"),
        ({"num_evals": 0}, "num_evals=0"),
    ],
)
def test_bad_settings_are_refused(settings, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        sweep(tmp_path / "sweep", {"learning_rate": RATES}, **settings)
    assert not list(tmp_path.iterdir())


def test_a_directory_in_use_is_refused(parts, tmp_path):
    directory = parts[0].directory
    with pytest.raises(FileExistsError, match="already holds a sweep"):
        sweep(directory, {"learning_rate": RATES})
    with pytest.raises(FileExistsError, match="already holds a run"):
        sweep(directory / "cells/0", {"learning_rate": RATES})
    with pytest.raises(FileNotFoundError, match="holds no sweep"):
        load_sweep(tmp_path)
    copy = shutil.copytree(directory, tmp_path / "copy")
    text = (copy / "sweep.toml").read_text()
    (copy / "sweep.toml").write_text(text.replace("[cells.", "[cell."))
    with pytest.raises(ValueError, match="is not a sweep's: 'cells'"):
        load_sweep(copy)


def test_a_row_that_was_not_written_whole_is_left_out(parts, tmp_path):
    copy = shutil.copytree(parts[0].directory, tmp_path / "copy")
    path = copy / "cells" / "0" / "progress.csv"
    path.write_text(path.read_text()[:-2])  # its last number has lost a digit, and so has another value
    whole, torn = load_sweep(parts[0].directory).returns, load_sweep(copy).returns
    missing = np.isnan(torn) & ~np.isnan(whole)
    assert missing.any() and missing[..., :-1].sum() == 0
    np.testing.assert_array_equal(torn[~missing], whole[~missing])


def test_random_points_are_reproducible_and_in_their_ranges():
    ranges = {"uniform": {"gamma": (0.9, 0.99)}, "log": {"learning_rate": (1e-5, 1e-2)}}
    drawn = random_points(400, {"num_envs": [4, 16]}, **ranges)
    assert drawn == random_points(400, {"num_envs": [4, 16]}, **ranges)
    assert drawn != random_points(400, {"num_envs": [4, 16]}, **ranges, seed=1)
    gammas, rates = (np.array([point[name] for point in drawn]) for name in ("gamma", "learning_rate"))
    assert gammas.min() >= 0.9 and gammas.max() <= 0.99
    assert rates.min() >= 1e-5 and rates.max() <= 1e-2
    assert {point["num_envs"] for point in drawn} == {4, 16}
    np.testing.assert_allclose(np.mean(gammas), 0.945, atol=0.005)
    np.testing.assert_allclose(np.mean(np.log10(rates)), -3.5, atol=0.15)
    np.testing.assert_allclose(np.std(np.log10(rates)), 3 / np.sqrt(12), atol=0.1)
    listed = random_points(4, {"a": [1, 2], "b": ["x", "y"]})
    assert sorted(map(str, listed)) == sorted(map(str, points.product({"a": [1, 2], "b": ["x", "y"]})))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"log": {"a": (0.0, 1.0)}}, "a logarithmic range is above 0"),
        ({"log": {"a": (1.0, 1.0)}}, "is no range"),
        ({"uniform": {"a": (2.0, 1.0)}}, "is no range"),
        ({"uniform": {"a": (0.0, np.inf)}}, "is no range"),
        ({"uniform": {"a": (0.0, 1.0)}, "log": {"a": (0.1, 1.0)}}, "more than one list or range"),
        ({"choices": {"a": [1, 2]}}, "have 2 combinations"),
        ({"choices": {"a": [1, 1]}}, "a has 1 twice"),
        ({}, "at least one name"),
    ],
)
def test_bad_ranges_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        random_points(3, **arguments)
    with pytest.raises(ValueError, match="random=0"):
        random_points(0, {"a": [1]})


def test_rank_and_keep_by_hand():
    final = [np.array(row, float) for row in ([1, 9], [5, 5], [6, 4], [np.nan, 9], [8, 8], [4, 6], [3, 3])]
    assert rank(final) == [4, 1, 2, 5, 0, 6, 3]  # means 5, 5, 5, nan, 8, 5, 3; ties by the worst seed, then in order
    assert rank(final, [1, 0, 0, 2, 0, 0, 1]) == [3, 0, 6, 4, 1, 2, 5]
    assert keep(final, 3) == [1, 4]
    assert keep(final, 2) == [1, 2, 4]
    assert keep(final[:2], 3) == [1]


def test_rungs_end_at_powers_of_eta():
    assert rung_ends(range(1, 28), 4, 3) == [1, 3, 9, 27]
    assert rung_ends(range(10, 101, 10), 2, 4) == [3, 10]  # the first evaluation at or after 25 of 100
    assert rung_ends((7, 13), 1, 3) == [2]


def test_axes_are_logarithmic_where_values_are():
    assert is_logarithmic([1e-4, 3e-4, 1e-3]) and is_logarithmic([0.1, 0.01])
    assert not is_logarithmic([0.9, 0.99, 0.999])
    assert not is_logarithmic([4, 16]) and not is_logarithmic([0.0, 1.0, 10.0]) and not is_logarithmic([1.0])
    assert not is_logarithmic([1, 5, 10])
    assert is_logarithmic([1.2e-4, 7e-4, 1.2e-3, 2.2e-3, 2.9e-3, 4.2e-3, 5.2e-3, 7.4e-3])


@pytest.mark.parametrize(
    "grid",
    [
        {"learning_rate": [1e-4, 1e-3]},
        {"activation": ["tanh", "relu"]},
        {"gamma": [0.9], "hidden": [(64, 64)]},
        {"hidden": [(64, 64), (8,)], "learning_rate": [1e-4, 1e-3, 1e-2]},
        {"a": [1, 2], "b": [True, False], "c": [None, 0.1]},
    ],
    ids=lambda grid: "-".join(grid),
)
def test_pictures_of_every_kind(grid, tmp_path, monkeypatch):
    texts = []
    monkeypatch.setattr("matplotlib.axes.Axes.text", lambda self, x, y, text, **_: texts.append((x, y, text)))
    drawn = points.product(grid)
    scores = [Score(float(i), i - 1.0, i + 1.0) for i in range(len(drawn))]
    assert plot_scores(drawn, scores, tmp_path / "sweep.png").stat().st_size > 5000
    if "hidden" in grid and "learning_rate" in grid:
        assert texts == [(column, row, f"{3 * row + column:.1f}") for row in (0, 1) for column in (0, 1, 2)]
    with pytest.raises(ValueError, match="one score for each point"):
        plot_scores(drawn, [], tmp_path / "none.png")


def test_the_picture_marks_the_first_of_the_ranking(tmp_path, monkeypatch):
    """Two points have one score; the worst seed decides, and not their order."""
    marked, mark = [], sweep_plots._mark

    def note(axes, x, y, best, *rest):
        marked.append((x[best], y[best]))
        return mark(axes, x, y, best, *rest)

    monkeypatch.setattr(sweep_plots, "_mark", note)
    drawn = points.product({"learning_rate": [1e-4, 1e-3, 1e-2]})
    plot_scores(drawn, [Score(5.0, 4.0, 6.0)] * 3, tmp_path / "sweep.png", best=1)
    assert marked == [(1e-3, 5.0)]
