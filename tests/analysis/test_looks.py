"""Pictures fit for a paper: legends that hide nothing, short labels, sizes, fonts, and what is drawn."""

import itertools
import re

import numpy as np
import pytest
from fake_runs import make_result
from matplotlib.figure import Figure
from matplotlib.text import Text
from written_runs import write_ranking, write_run, write_sweep

from jaxrl_up import tabular
from jaxrl_up.analysis import (
    apart,
    gather,
    looks,
    plot_bars,
    plot_curves,
    plot_efficiency,
    plot_grid,
    plot_improvement,
    plot_ratings,
    plot_sweep,
    short_names,
)
from jaxrl_up.analysis import short_value as short
from jaxrl_up.ops import bootstrap

WORLD = tabular.from_grid(["..G", ".#P", "S.."], discount=0.9)
ONE = np.array([[1.0, 2.0, 3.0], [3.0, 6.0, 9.0]])
LONG = "a name that goes on, and on, until the page is full, and a little further than that_and_without_any_spaces" * 2


@pytest.fixture
def figures(monkeypatch):
    """The figures that were saved."""
    saved, savefig = [], Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *args, **more: saved.append(self) or savefig(self, *args, **more)
    )
    return saved


@pytest.fixture
def runs(tmp_path):
    for i, (name, rate) in enumerate((("one", 3e-4), ("two", 1e-3), ("three", 0.01))):
        write_run(tmp_path / "runs" / name, ONE + i, learning_rate=rate, algorithm="a2c" if name == "three" else "ppo")
    return [tmp_path / "runs" / name for name in ("one", "two", "three")]


def labels(*args, **more):
    return [label for groups in gather(*args, **more).values() for label in groups]


def boxes(figure):
    """Of the panels and of the figure in pixels, of all that is drawn in inches; and the renderer."""
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    inside = [axes.get_window_extent(renderer) for axes in figure.axes]
    return inside, figure.get_tightbbox(renderer), figure.bbox, renderer


def test_labels_are_short(tmp_path):
    sweep = write_sweep(tmp_path / "sweep", [ONE, ONE + 1], (3e-4, 0.01))
    assert labels(sweep) == ["lr 3e-4", "lr 0.01"]
    assert labels(sweep, group="algorithm,env.gravity,learning_rate") == ["ppo, g 9.8, lr 3e-4", "ppo, g 9.8, lr 0.01"]
    assert labels([sweep, make_result()])[:2] == ["sweep, lr 3e-4", "sweep, lr 0.01"]


def test_names_that_two_fields_would_share_are_long():
    assert short_names(["learning_rate", "env.gravity"]) == {"learning_rate": "lr", "env.gravity": "g"}
    both = ["gae_lambda", "td_lambda", "env.size", "size"]
    assert short_names(both) == {name: name for name in both}
    assert short_names(["env.size", "evaluation_environment.size", "gamma"]) == {
        **{"env.size": "size", "evaluation_environment.size": "eval size", "gamma": "gamma"},
    }


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *(
            (3e-4, "3e-4"),
            (0.001, "1e-3"),
            (0.01, "0.01"),
            (0.99, "0.99"),
            (9.8, "9.8"),
            (1000.0, "1000"),
            (1e6, "1e6"),
        ),
        *(
            (0.12345678, "0.12345678"),
            (-2.5e-5, "-2.5e-5"),
            (0.0, "0"),
            (float("inf"), "inf"),
            (16, "16"),
            (True, "true"),
        ),
        *(([64, 64], "64-64"), ("relu", "relu")),
    ],
)
def test_values_are_short(value, text):
    assert short(value) == text


@pytest.mark.thorough("2.0")
@pytest.mark.parametrize("width", [None, "column", 2.0])
@pytest.mark.parametrize("legend", ["outside", "direct"])
def test_a_legend_hides_no_data_and_nothing_is_cut_off(runs, tmp_path, figures, legend, width):
    named = {"short": runs[0], LONG: runs[1], **{f"curve {i}, lr 3e-4": runs[2] for i in range(6)}}
    plot_curves(named, tmp_path / "c.png", legend=legend, width=width)
    (figure,) = figures
    (panel,), drawn, page, renderer = boxes(figure)
    dots = figure.dpi
    assert drawn.x0 * dots >= page.x0 - 1 and drawn.x1 * dots <= page.x1 + 1
    assert drawn.y0 * dots >= page.y0 - 1 and drawn.y1 * dots <= page.y1 + 1
    assert panel.width > 0.25 * page.width and panel.height > 60
    texts = figure.legends[0].get_texts() if legend == "outside" else figure.axes[0].texts
    assert len(texts) == 8
    extents = [Text.get_window_extent(text, renderer) for text in texts]  # without what points to it
    assert not any(box.overlaps(panel) for box in extents)
    if legend == "direct":
        assert not any(a.overlaps(b) for a, b in itertools.combinations(extents, 2))


def test_one_legend_for_all_panels_says_how_many_seeds(tmp_path, figures):
    write_run(tmp_path / "a", ONE, environment="A-v0")
    write_run(tmp_path / "b", ONE[:1], environment="B-v0")
    write_run(tmp_path / "c", ONE, environment="B-v0", algorithm="a2c")
    plot_curves([tmp_path / name for name in "abc"], tmp_path / "p.png", group="algorithm", width="page")
    (legend,) = figures[0].legends
    assert [text.get_text() for text in legend.get_texts()] == ["ppo (1 to 2 seeds)", "a2c (2 seeds)"]
    plot_curves(tmp_path / "a", tmp_path / "p.png")
    assert figures[1].axes[0].get_ylabel() == "evaluation return\nIQM of 2 seeds, 95% band"


def test_no_legend_and_one_inside(runs, tmp_path, figures):
    plot_curves(runs, tmp_path / "n.png", legend="none")
    assert not figures[0].legends and not figures[0].axes[0].get_legend() and not figures[0].axes[0].texts
    plot_curves(runs, tmp_path / "i.png", legend="inside")
    assert [text.get_text() for text in figures[1].axes[0].get_legend().get_texts()] == ["one", "two", "three"]


@pytest.mark.thorough("5", "4.5")
@pytest.mark.parametrize(("width", "inches"), [("column", 3.25), ("page", 6.75), (5, 5.0), ("4.5", 4.5)])
def test_the_width_is_exact_and_texts_are_as_large_as_asked(runs, tmp_path, figures, width, inches):
    from PIL import Image

    plot_curves(runs, tmp_path / "w.png", width=width, font_size=7)
    with Image.open(tmp_path / "w.png") as picture:
        assert picture.width == round(300 * inches)
    (axes,) = figures[0].axes
    assert (axes.xaxis.label.get_fontsize(), axes.title.get_fontsize()) == (7, 7)
    plot_improvement(runs, tmp_path / "i.png", width=width)
    plot_efficiency(runs, tmp_path / "e.png", 5, width=width)
    swept = write_ranking(
        tmp_path / "sweep", {"learning_rate": [1e-3, 1e-2], "gamma": [0.9, 0.99]}, [1.0, 4.0, 3.0, 2.0]
    )
    plot_sweep(swept, tmp_path / "s.png", width=width)
    plot_ratings([0, 1], {"one": ONE[:, :2]}, tmp_path / "r.png", width=width)
    plot_grid(WORLD, tmp_path / "g.png", np.zeros(8), width=width)
    assert {figure.get_figwidth() for figure in figures} == {inches}
    assert {figure.axes[0].xaxis.label.get_fontsize() for figure in figures[1:-1]} == {8}
    assert figures[-1].axes[1].yaxis.label.get_fontsize() == 8
    assert figures[3].axes[0].get_title() == "ppo on CartPole-v1, 2 seeds"
    assert [text.get_text() for text in figures[3].axes[0].texts] == ["1.0", "4.0", "3.0", "2.0"]


def test_bars_show_seeds_and_interval(tmp_path, figures):
    values = np.array([1.0, 2.0, 3.0, 10.0])
    plot_bars({"one": values, LONG: values + 1}, tmp_path / "b.png", "Task", width="column")
    (axes,) = figures[0].axes
    dots, interval, middle = axes.lines[:3]
    low, high = bootstrap(values)[1:]
    assert list(dots.get_xdata()) == values.tolist() and list(interval.get_xdata()) == [low, high]
    assert list(middle.get_xdata()) == [2.5] and axes.get_title() == "Task"
    assert figures[0].get_figwidth() == 3.25
    with pytest.raises(ValueError, match="no scores"):
        plot_bars({}, tmp_path / "n.png")


def test_fonts_are_in_the_file(runs, tmp_path):
    data = plot_curves(runs, tmp_path / "c.pdf").read_bytes()
    assert b"/FontFile2" in data and b"/Type3" not in data  # TrueType: Type 3 is refused by conferences
    text = plot_curves(runs, tmp_path / "c.svg").read_text()
    assert "<path id=" in text and "<text" not in text  # glyphs are shapes


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"select": "two"}, ["two"]),
        ({"select": "t*"}, ["two", "three"]),
        ({"select": ["one", "algorithm=a2c"]}, ["one", "three"]),
        ({"select": "learning_rate=3e-4"}, ["one"]),
        ({"select": "learning-rate=0.0003,algorithm=ppo"}, ["one"]),
        ({"select": "algorithm=p*", "exclude": "run=o*"}, ["two"]),
        ({"exclude": "hidden=64-64,learning_rate=1e-2"}, ["one", "two"]),
    ],
)
def test_what_is_drawn_is_chosen_by_label_or_setting(runs, options, found):
    assert labels(runs, **options) == found


def test_points_of_a_sweep_are_chosen_too(tmp_path):
    sweep = write_sweep(tmp_path / "sweep", [ONE, ONE + 1, ONE + 2], (3e-4, 1e-3, 0.01))
    assert labels(sweep, exclude="lr 1e-3") == ["lr 3e-4", "lr 0.01"]
    assert labels(sweep, select="learning_rate=0.01") == ["lr 0.01"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"select": "for"}, r"select 'for' matches nothing: .* The labels are one, two, three$"),
        ({"exclude": "learning_rate=7"}, "exclude 'learning_rate=7' matches nothing"),
        ({"select": "one", "exclude": "o*"}, "nothing is left to draw"),
    ],
)
def test_a_choice_of_nothing_is_said(runs, options, message):
    with pytest.raises(ValueError, match=message):
        gather(runs, **options)


def test_runs_without_a_field_are_grouped_by_its_default_or_by_a_dash(tmp_path):
    """written_runs say no clip_epsilon: ppo's default is 0.2, and a2c has none."""
    one, two = write_run(tmp_path / "one", ONE), write_run(tmp_path / "two", ONE + 1, algorithm="a2c")
    three = write_run(tmp_path / "three", ONE + 2)
    config = three / "config.toml"
    config.write_text(config.read_text().replace("[config]", "[config]\nclip_epsilon = 0.3"))
    assert labels([one, two, three], group="clip_epsilon") == ["clip 0.2", "clip -", "clip 0.3"]
    config.write_text(config.read_text().replace("= 0.3", "= 0.2"))
    assert labels([one, two, three], group="clip_epsilon") == ["clip 0.2", "clip -"]
    with pytest.raises(ValueError, match="no run has a setting 'clip_epsilon'"):
        gather([one, two], group="clip_epsilon")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"legend": "outsid"}, "Did you mean 'outside'"),
        ({"width": "colum"}, "give 1.5 to 40 inches, or column, page"),
        ({"width": 0.5}, "width=0.5"),
        ({"width": float("nan")}, "width=nan"),
        ({"font_size": 100}, "font_size=100: give 4 to 40 points"),
    ],
)
def test_looks_that_cannot_be(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        looks(**options)


def test_texts_are_moved_apart_in_their_order():
    assert apart([0.1, 0.9], [0.2, 0.2]) == pytest.approx([0.1, 0.9])
    found = apart([0.5, 0.52, 0.51, 0.99], [0.1] * 4)
    assert found[0] < found[2] < found[1] < found[3] <= 0.95 + 1e-9
    assert np.diff(sorted(found)).min() >= 0.1 - 1e-9
    assert sorted(apart([0.0, 0.0, 1.0], [1 / 3] * 3)) == pytest.approx([1 / 6, 1 / 2, 5 / 6])
