"""Pictures and their numbers, from results and from run directories written by hand."""

import csv
import subprocess
import sys

import jax
import numpy as np
import pytest
from fake_runs import RETURNS, STEPS, make_log, make_result
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from written_runs import write_run, write_sweep

from jaxrl_up.analysis import (
    efficiency_bands,
    final_scores,
    find_runs,
    gather,
    improvements,
    notes,
    plot_curves,
    plot_efficiency,
    plot_improvement,
    plot_profiles,
    plot_ratings,
    plot_scores,
    pool,
)
from jaxrl_up.experiments import product
from jaxrl_up.ops import Score, bootstrap, probability_of_improvement

ONE = np.array([[1.0, 2.0, 3.0], [3.0, 6.0, 9.0]])
TWO = np.array([[0.0, 4.0, 8.0], [2.0, 4.0, 10.0], [6.0, 6.0, 6.0]])


@pytest.fixture
def runs(tmp_path):
    return [
        write_run(tmp_path / "runs" / "one", ONE),
        write_run(tmp_path / "runs" / "two", TWO, seeds=[5, 6, 7]),
        write_run(tmp_path / "runs" / "other", TWO, algorithm="a2c"),
    ]


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def only(panels):
    (groups,) = panels.values()
    return groups


def test_a_result_and_a_directory_are_curves(runs):
    ((label, (curve,)),) = only(gather(make_result())).items()
    assert (label, curve.seeds) == ("ppo on Fake-v0", (0, 3, 7))
    np.testing.assert_array_equal(curve.x, STEPS)
    np.testing.assert_array_equal(curve.values, RETURNS)
    ((label, (curve,)),) = only(gather(str(runs[0]))).items()
    assert (label, curve.seeds) == ("one", (0, 1))
    np.testing.assert_array_equal(curve.x, [100, 200, 300])
    np.testing.assert_array_equal(curve.values, ONE)


def test_pictures_and_their_numbers(runs, tmp_path):
    numbers = tmp_path / "curve.csv"
    picture = plot_curves({"A": runs[0], "B": runs[1:]}, tmp_path / "curve.png", title="both", numbers=numbers)
    assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    rows = table(numbers)
    assert [row["label"] for row in rows] == ["A"] * 3 + ["B"] * 3
    assert rows[0] | {"iqm": 0, "low": 0, "high": 0} == {
        **{"environment": "CartPole-v1", "label": "A", "column": "return", "seeds": "2", "env_steps": "100.0"},
        **{"iqm": 0, "low": 0, "high": 0},
    }
    both = np.concatenate([TWO, TWO])
    for values, at in ((ONE, rows[:3]), (both, rows[3:])):
        found = np.array([[float(row[name]) for name in ("iqm", "low", "high")] for row in at]).T
        np.testing.assert_array_equal(found, bootstrap(values))
    assert b"<svg" in plot_curves([runs[0], runs[0]], tmp_path / "curve.svg").read_bytes()
    assert plot_curves([make_result(), runs[0]], tmp_path / "loss.png", column="loss").exists()


ODD = ("_old", "cost $5_$6^", r"a\$b", "50% {x} \\frac", "$")


def test_every_text_of_a_user_is_drawn_as_written(runs, tmp_path, monkeypatch):
    """Matplotlib leaves labels out that begin with an underscore, and takes what is between dollars for mathematics."""
    figures, savefig = [], Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *args, **more: figures.append(self) or savefig(self, *args, **more)
    )
    labelled = {odd: write_run(tmp_path / "odd" / str(i), ONE, environment=ODD[1]) for i, odd in enumerate(ODD)}
    for title in (None, *ODD):
        plot_curves(labelled, tmp_path / "c.svg", title=title)
        assert drawn(figures[-1]) >= set(ODD) | {title or ODD[1]}
    plot_profiles({odd: labelled[odd] for odd in ODD[:2]}, tmp_path / "p.svg")
    assert drawn(figures[-1]) >= set(ODD[:2])
    plot_efficiency(labelled, tmp_path / "e.svg", 5.0)
    assert drawn(figures[-1]) >= {f"{odd}: 1 of 2 seeds" for odd in ODD}
    plot_improvement({odd: labelled[odd] for odd in ODD[:3]}, tmp_path / "i.svg")
    assert drawn(figures[-1]) >= {f"{ODD[0]} > {ODD[1]}", f"{ODD[1]} > {ODD[2]}"}
    for grid in ({"$a_$b^": ["$x_$y^", "_z"]}, {"$a_$b^": ["$x_$y^", "_z"], "_c": ["$", "$$"]}):
        points = product(grid)
        plot_scores(points, [Score(1.0, 0.0, 2.0)] * len(points), tmp_path / "s.svg", ODD[1])
        assert drawn(figures[-1]) >= {*grid, *(value for values in grid.values() for value in values), ODD[1]}
    many = {f"_{i}": labelled["_old"] for i in range(8)}
    plot_curves(many, tmp_path / "m.svg", legend="direct")
    assert drawn(figures[-1]) >= set(many)


def drawn(figure):
    """The texts of a picture that are drawn as they are."""
    return {text.get_text() for text in figure.findobj(Text) if not text.get_parse_math()}


def test_a_name_that_is_no_text_is_drawn_with_a_mark(runs, tmp_path):
    assert plot_curves({"caf\udce9": runs[0]}, tmp_path / "c.png", numbers=tmp_path / "c.csv").exists()
    assert b"caf\xe9" in (tmp_path / "c.csv").read_bytes()


def test_a_panel_for_each_environment_and_never_their_mean(tmp_path):
    for name, scale in (("CartPole-v1", 1), ("Acrobot-v1", -100)):
        for algorithm in ("ppo", "a2c"):
            write_run(tmp_path / f"{algorithm}-{name}", scale * ONE, environment=name, algorithm=algorithm)
    panels = gather(find_runs([tmp_path]), group="algorithm")
    assert {name: list(groups) for name, groups in panels.items()} == {
        "Acrobot-v1": ["a2c", "ppo"],
        "CartPole-v1": ["a2c", "ppo"],
    }
    numbers = tmp_path / "p.csv"
    plot_curves(find_runs([tmp_path]), tmp_path / "p.pdf", group="algorithm", numbers=numbers)
    first = {row["environment"]: float(row["iqm"]) for row in table(numbers) if row["env_steps"] == "100.0"}
    assert first == {"Acrobot-v1": -200.0, "CartPole-v1": 2.0}


def test_smoothing_is_a_trailing_mean_in_each_seed(runs):
    (curve,) = only(gather(runs[1], smooth=2))["two"]
    np.testing.assert_array_equal(curve.values, [[0, 2, 6], [2, 3, 7], [6, 6, 6]])
    (curve,) = only(gather(runs[0], smooth=99))["one"]
    np.testing.assert_array_equal(curve.values, [[1, 1.5, 2], [3, 4.5, 6]])


def test_groups(runs, tmp_path):
    def labels(group):
        return {label: len(curves) for label, curves in only(gather(runs, group=group)).items()}

    assert labels(None) == labels("run") == {"one": 1, "two": 1, "other": 1}
    assert labels("algorithm") == {"ppo": 2, "a2c": 1}
    assert labels("environment") == {"CartPole-v1": 3}
    assert labels("algorithm,learning-rate") == {"ppo, lr 1e-3": 2, "a2c, lr 1e-3": 1}
    _, values = pool(only(gather(runs, group="algorithm"))["ppo"])
    np.testing.assert_array_equal(values, np.concatenate([ONE, TWO]))
    same_name = write_run(tmp_path / "more" / "one", TWO)
    assert list(only(gather([runs[0], same_name]))) == [str(runs[0]), str(same_name)]


def test_a_sweep_is_a_curve_for_each_grid_point(runs, tmp_path):
    sweep = write_sweep(tmp_path / "sweep", [ONE, ONE + 1, ONE + 2], (0.1, 0.01, 0.001))
    groups = only(gather(sweep))
    assert list(groups) == ["lr 0.1", "lr 0.01", "lr 1e-3"]
    for i, (curve,) in enumerate(groups.values()):
        np.testing.assert_array_equal(curve.values, ONE + i)
        assert curve.seeds == (0, 1)
    assert len(only(gather([sweep, runs[2]], group="algorithm"))) == 4


def test_seconds_are_those_of_the_evaluations(tmp_path):
    fast = write_run(tmp_path / "fast", ONE, seconds=(10, 11, 12))
    slow = write_run(tmp_path / "slow", ONE + 10, seconds=(11, 13, 15))
    curves = only(gather([fast, slow], x="seconds", group="algorithm"))["ppo"]
    np.testing.assert_array_equal(curves[1].x, [11, 13, 15])
    x, values = pool(curves)  # where both were: interpolated linearly
    np.testing.assert_array_equal(x, [11, 12])
    np.testing.assert_array_equal(values, [[2, 3], [6, 9], [11, 11.5], [13, 14.5]])
    late = write_run(tmp_path / "late", ONE + 20, seconds=(20, 21, 22))
    with pytest.raises(ValueError, match="cannot be pooled"):
        pool(only(gather([fast, late], x="seconds", group="algorithm"))["ppo"])
    with pytest.raises(ValueError, match="give the directory"):
        gather(make_result(), x="seconds")
    (late / "timing.csv").write_text("event,env_steps,seconds\nevaluation,100,1.0\n")
    with pytest.raises(ValueError, match="no time of the evaluation at 200 steps"):
        gather(late, x="seconds")


def test_unfinished_runs_go_as_far_as_they_go(runs, tmp_path):
    part = write_run(tmp_path / "part", TWO[:, :2], steps=(100, 200), seconds=(1, 2), seeds=[8, 9, 10])
    panels = gather([*runs, part], group="algorithm")
    assert notes(panels) == ["part is unfinished (200 of 340 steps): drawn as far as it goes"]
    x, values = pool(only(panels)["ppo"])
    np.testing.assert_array_equal(x, [100, 200])
    assert values.shape == (8, 2)
    end, scores = final_scores(only(panels))  # compared at what all reached
    assert end == 200
    np.testing.assert_array_equal(scores["a2c"], TWO[:, 1])


def test_pools_what_is_alike_and_says_what_is_not(runs, tmp_path):
    other = write_run(tmp_path / "rate", TWO, learning_rate=0.5)
    (line,) = notes(gather([runs[0], other], group="algorithm"))
    assert line == "'ppo' pools runs that differ in learning_rate: one, rate"
    assert notes(gather([runs[0], other], group="learning_rate")) == []
    moon = write_run(tmp_path / "moon", TWO, gravity=1.6)
    with pytest.raises(ValueError, match=r"differ in env\.gravity: group by that too"):
        gather([runs[0], moon], group="algorithm")
    assert list(only(gather([runs[0], moon], group="env.gravity"))) == ["g 9.8", "g 1.6"]
    with pytest.raises(ValueError, match="seeds would count twice"):
        gather({"twice": [runs[0], runs[0]]})


def test_of_the_rungs_of_halving_the_last_counts(tmp_path):
    """Part 1 goes on with one of the points of part 0."""
    sweep, three = tmp_path / "sweep", np.stack([ONE, 2 * ONE])
    write_sweep(sweep / "cells/0", three[..., :2], [0.1, 0.01], steps=(100, 200), seconds=(10.0, 11.0))
    later = write_sweep(sweep / "cells/1", three[1:], [0.01])
    (sweep / "sweep.toml").touch()
    panels = gather(sorted((sweep / "cells").iterdir()), group="learning_rate")
    assert [(curve.name, curve.swept["learning_rate"]) for [curve] in only(panels).values()] == [
        ("0", 0.1),
        ("1", 0.01),
    ]
    assert notes(panels) == ["0 is unfinished (200 of 340 steps): drawn as far as it goes"]
    alone = only(gather([sweep / "cells/0"], group="learning_rate"))  # where the later rung is not given
    assert len(alone) == 2
    assert list(only(gather({"early": sweep / "cells/0", "late": later}))) == [
        "early, lr 0.1",
        "early, lr 0.01",
        "late, lr 0.01",
    ]


def test_improvement_is_the_mean_over_environments(tmp_path):
    x, y = [ONE, 3 * ONE], [TWO, TWO]
    for i, name in enumerate(("A-v0", "B-v0")):
        write_run(tmp_path / f"x{i}", x[i], environment=name, algorithm="x")
        write_run(tmp_path / f"y{i}", y[i], environment=name, algorithm="y")
    (pair,) = improvements(gather(find_runs([tmp_path]), group="algorithm"))
    assert pair[:3] == ("x", "y", (4, 6))
    assert pair[3:] == probability_of_improvement([t[:, -1] for t in x], [t[:, -1] for t in y])
    picture = plot_improvement(find_runs([tmp_path]), tmp_path / "i.svg", group="algorithm", numbers=tmp_path / "i.csv")
    assert picture.exists()
    (row,) = table(tmp_path / "i.csv")
    assert (row["environments"], row["x"], float(row["probability"])) == ("A-v0 B-v0", "x", pair.probability)
    with pytest.raises(ValueError, match="'x1' has no run on A-v0"):
        improvements(gather([tmp_path / "x0", tmp_path / "x1"]))
    with pytest.raises(ValueError, match="only 'x0'"):
        improvements(gather(tmp_path / "x0"))


def test_many_runs_are_compared_with_the_best(runs):
    pairs = improvements(gather({name: runs[i % 3] for i, name in enumerate("abcd")}))
    assert [(p.x, p.y) for p in pairs] == [("a", "b"), ("a", "c"), ("a", "d"), ("b", "c"), ("b", "d"), ("c", "d")]
    pairs = improvements(gather({name: runs[i % 3] for i, name in enumerate("abcdefg")}))
    assert [(p.x, p.y) for p in pairs] == [("b", other) for other in "acdefg"]  # of equals the first


def test_points_that_are_tied_with_the_best_are_framed(tmp_path, monkeypatch):
    """Neither their number nor that they are the highest makes them so, but intervals."""
    figures, savefig = [], Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *args, **_: figures.append(self) or savefig(self, *args))
    points = product({"learning_rate": [1e-3, 1e-2], "gamma": [0.9, 0.99]})
    scores = [Score(9.0, 8.0, 10.0), Score(8.5, 8.2, 8.8), Score(7.0, 1.0, 8.0), Score(7.9, 7.8, 7.99)]
    plot_scores(points, scores, tmp_path / "heat.png")
    frames = [frame for frame in figures[0].axes[0].patches if isinstance(frame, Rectangle)]
    where = {(round(frame.get_x() + 0.5), round(frame.get_y() + 0.5)): frame.get_linestyle() for frame in frames}
    assert where == {(0, 0): "solid", (1, 0): "--", (0, 1): "--"}  # gamma across, the rate upwards
    assert [text.get_text() for text in figures[0].legends[0].get_texts()] == [
        "best",
        "tied with it: their intervals overlap",
    ]
    plot_scores(points, scores, tmp_path / "heat.png", ties=[True, False, False, False])
    assert len([frame for frame in figures[1].axes[0].patches if isinstance(frame, Rectangle)]) == 1
    one = product({"learning_rate": [1e-3, 1e-2, 1e-1]})
    plot_scores(one, scores[:3], tmp_path / "line.png", best=0)
    star, rings = figures[2].axes[0].lines[-2:]
    assert (list(star.get_xdata()), list(rings.get_xdata())) == ([1e-3], [1e-2, 1e-1])


def test_profile_numbers_are_counts(runs, tmp_path):
    plot_profiles(runs[1], tmp_path / "p.png", numbers=tmp_path / "p.csv")
    rows = [(float(r["threshold"]), float(r["fraction_above"])) for r in table(tmp_path / "p.csv")]
    assert rows == [(5.8, 1.0), (6.0, 2 / 3), (8.0, 1 / 3), (10.0, 0.0), (10.2, 0.0)]


def test_efficiency_counts_seeds_that_never_got_there(runs, tmp_path):
    bands = only(efficiency_bands(gather(runs[1:], group="algorithm"), 7))
    assert bands["ppo"].legend == "ppo: 2 of 3 seeds, median 300"
    np.testing.assert_array_equal(bands["ppo"].x, [0, 100, 200, 300])
    np.testing.assert_allclose(bands["ppo"].middle, [0, 0, 0, 2 / 3])
    assert (bands["ppo"].low[-1], bands["ppo"].high[-1]) == (0, 1)
    assert only(efficiency_bands(gather(runs[0]), 9.5))["one"].legend == "one: 0 of 2 seeds"
    assert plot_efficiency(runs, tmp_path / "e.png", 7, numbers=tmp_path / "e.csv").exists()
    assert [r["fraction_reached"] for r in table(tmp_path / "e.csv")[:4]] == ["0.0", "0.0", "0.0", "0.5"]
    other = write_run(tmp_path / "acrobot", ONE, environment="Acrobot-v1")
    with pytest.raises(ValueError, match="several environments"):
        plot_efficiency([*runs, other], tmp_path / "x.png", 7)
    with pytest.raises(ValueError, match="finite"):
        plot_efficiency(runs, tmp_path / "x.png", np.nan)


def test_one_seed_and_one_evaluation(tmp_path):
    log = make_log()
    one = make_result(at_first_seed(log))._replace(seeds=(0,))
    assert plot_curves(one, tmp_path / "a.png").exists()
    assert plot_profiles([one, one], tmp_path / "b.png").exists()
    assert plot_efficiency(one, tmp_path / "c.png", 30).exists()


def at_first_seed(log):
    return jax.tree.map(lambda x: x[:1, :1], log)


def test_nothing_to_draw(runs, tmp_path):
    with pytest.raises(ValueError, match="no run"):
        plot_curves([], tmp_path / "x.png")
    for run in (runs[0], make_result()):
        with pytest.raises(ValueError, match=r"no column 'rteurn'\. Did you mean 'return'"):
            plot_curves(run, tmp_path / "x.png", column="rteurn")
    with pytest.raises(FileNotFoundError, match="holds no run"):
        plot_curves(tmp_path, tmp_path / "x.png")
    with pytest.raises(ValueError, match="choose from steps, seconds"):
        plot_curves(runs, tmp_path / "x.png", x="second")
    with pytest.raises(ValueError, match="smooth=0"):
        plot_curves(runs, tmp_path / "x.png", smooth=0)
    with pytest.raises(
        ValueError, match=r"no run has a setting 'learnin_rate' to group by\. Did you mean 'learning_rate'"
    ):
        plot_curves(runs, tmp_path / "x.png", group="learnin_rate")
    with pytest.raises(ValueError, match="not from both"):
        plot_curves({"a": runs}, tmp_path / "x.png", group="algorithm")
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


def test_pyplot_is_never_imported(runs, tmp_path):
    code = (
        "import sys; import jaxrl_up; from jaxrl_up.analysis import plot_curves; "
        "assert 'matplotlib' not in sys.modules; "
        f"plot_curves({str(runs[0])!r}, {str(tmp_path / 'c.png')!r}); "
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_ratings_are_drawn(tmp_path):
    path = plot_ratings([0, 100, 200], {"search": np.array([[0.0, 150, 300], [0, 90, 280]])}, tmp_path / "elo.png")
    assert path.stat().st_size > 5_000
    with pytest.raises(ValueError, match="a column for each step"):
        plot_ratings([0, 100], {"search": np.zeros((2, 3))}, tmp_path / "no.png")
