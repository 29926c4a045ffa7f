"""The report of a run: one page that is whole, says what went wrong first, and holds the run's numbers."""

import base64
import re
import tomllib
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from fake_runs import CONFIG, RETURNS, SEEDS, at, make_env, make_log, mean
from matplotlib import rc_context

from jaxrl_up import PPO
from jaxrl_up.analysis import draw_columns, write_report
from jaxrl_up.cli import main
from jaxrl_up.ops import score
from jaxrl_up.records import COLUMNS, Recorder, column_meaning, create, describe

VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """The text of each element by its tag, the tables as rows of cells, and every address."""

    def __init__(self, text):
        super().__init__()
        self.open, self.texts, self.tables, self.addresses, self.text = [], {}, [], [], ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.addresses += [value for name, value in attributes if name in ("src", "href", "srcset", "data", "action")]
        if tag not in VOID:
            self.open.append(tag)
            self.texts.setdefault(tag, []).append("")
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag  # properly nested

    def handle_data(self, data):
        for tag in set(self.open):
            self.texts[tag][-1] += data
        if "style" not in self.open:
            self.text += data
        if {"td", "th"} & set(self.open):
            self.tables[-1][-1][-1] += data

    def table(self, *header):
        """The rows of the table with this header, or with this cell at the start of its first row."""
        (found,) = (rows for rows in self.tables if tuple(rows[0][: len(header)]) == header)
        return found


def write(directory, log=None, evaluations=3, timing=True, config=CONFIG, env=None, swept=None):
    log = make_log() if log is None else log
    create(directory, describe(PPO, env or make_env(), config, SEEDS, {"num_evals": 3, "max_eval_steps": None}))
    recorder = Recorder(directory, SEEDS, 1024, swept)
    recorder.begin()
    recorder.time("compile", 0, 2.0)
    for evaluation in range(evaluations):
        recorder.append(at(log, evaluation), 3.0 + evaluation)
    if timing:
        recorder.time("checkpoint", 3072, 0.25)
        recorder.time("train", 3072, 4.0)
    return directory


def read(directory):
    return Page(write_report(directory).read_text(encoding="utf-8"))


@pytest.fixture
def undrawn(monkeypatch):
    """Without the pictures, which take most of the time."""

    def draw(runs, path):
        path.write_bytes(b"picture")
        return path

    monkeypatch.setattr("jaxrl_up.analysis.report.plot_curves", draw)
    monkeypatch.setattr("jaxrl_up.analysis.report.draw_columns", lambda columns, names, axes: ())


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return read(write(tmp_path_factory.mktemp("runs") / "one"))


def test_it_says_what_was_run_and_its_score(page):
    assert page.texts["h1"] == page.texts["title"] == ["ppo on Fake-v0"]
    assert "3 seeds, 3,072 steps each" in page.text
    assert "33.5 [-41.4, 108.5]" in page.text  # (40.25 + 1/3 + 60) / 3
    assert "Worst is seed 3: 0.3." in page.text


def test_every_seed_is_in_the_table(page):
    header, *rows = page.table("seed")
    assert header[:5] == ["seed", "final return", "± over episodes", "best return", "at steps"]
    assert rows == [
        ["0", "40.2", "0.500", "40.2", "3,072", "40.2", "0", ""],
        ["3", "0.333", "0.500", "35.0", "2,048", "0.333", "0", ""],
        ["7", "60.0", "0.500", "60.0", "3,072", "60.0", "0", ""],
    ]


def test_the_curve_is_there_as_numbers_too(page):
    rows = page.table("steps", "IQM", "low", "high")[1:]
    assert [row[:2] for row in rows] == [["1,024", "17.4"], ["2,048", "38.5"], ["3,072", "33.5"]]
    for evaluation, row in enumerate(rows):
        assert tuple(map(float, row[2:])) == pytest.approx(score(RETURNS[:, evaluation])[1:3], abs=0.05)


def test_times_are_apart(page):
    assert {row[0]: row[1:] for row in page.table("", "time")[1:]} == {
        "compiling, and setting up": ["2.0 s", ""],
        "training, evaluations and checkpoints within it": ["4.0 s", "2,304 steps/s, all seeds"],
        "checkpoints": ["0.2 s", ""],
        "until the last evaluation, compiling included": ["5.0 s", ""],
    }


def test_settings_and_versions(page):
    found = {tuple(row) for rows in page.tables for row in rows}
    assert {("seeds", "0, 3, 7"), ("total_steps", "3072"), ("anneal_learning_rate", "true")} <= found
    assert {("gravity", "9.8"), ("size", "4"), ("hidden", "64, 64"), ("platform", "cpu")} <= found
    assert {"environment.params", "versions", "device", "code"} <= set(page.texts["h3"])
    assert {"jax", "jaxlib", "python", "commit"} <= {cells[0] for cells in found}


def test_every_column_is_drawn_with_its_sentence(page):
    captions = {text.partition(":")[0]: text for text in page.texts["figcaption"]}
    drawn = [name for name in COLUMNS if name not in ("seed", "env_steps", "updates", "unfinished", "failed_at")]
    assert set(captions) == {*drawn, "loss", "entropy"}
    for name, text in captions.items():
        what, healthy = column_meaning("ppo", name)
        assert text == f"{name}: {what}. Healthy: {healthy}.".replace("`", "")
    for name in ("unfinished", "failed_at"):  # of which there are none
        assert f"{name}, {column_meaning('ppo', name)[0]}; ".replace("`", "") in page.text.partition("Not drawn: ")[2]
    assert "; seed, the seed; env_steps, environment steps of this seed so far; updates, " in page.text


def test_columns_of_ones_own_algorithm_are_drawn_too(undrawn, tmp_path):
    directory = write(tmp_path / "run")
    config = directory / "config.toml"
    config.write_text(config.read_text().replace('"ppo"', '"mine"'))
    assert "entropy, what mine reports under this name; loss, what mine reports" in read(directory).text


def test_pictures_of_columns_have_what_was_there():
    """A first evaluation without losses, a seed that failed, one value alone, and points of a sweep."""
    steps, nan = np.tile([0.0, 20_000.0, 40_000.0], (4, 1)), np.nan
    values = np.array([[nan, 3.0, 2.0], [nan, 4.0, nan], [nan, 5.0, 4.0], [nan, np.inf, 5.0]])
    once = np.where(steps == 40_000, 1.0, nan)
    columns = {"rate": np.repeat([[0.1], [0.2]], 2, 0) + 0 * steps, "seed": steps * 0, "env_steps": steps}
    columns |= {"loss": values, "once": once, "never": steps * nan}
    pictures = dict(draw_columns(columns, ["loss", "once", "never"]))
    assert list(pictures) == ["loss", "once"]
    assert all(picture.startswith(b"\x89PNG") for picture in pictures.values())
    assert dict(draw_columns(columns, ["loss"], axes=["rate"]))["loss"] != pictures["loss"]
    with rc_context({"figure.constrained_layout.use": True}):  # as a style of one's own may ask for
        assert dict(draw_columns(columns, ["loss", "once"])) == pictures


def test_it_needs_nothing_but_itself(page, tmp_path):
    assert len(page.addresses) == len(page.texts["figcaption"])
    for address in page.addresses:
        head, data = address.split(",")
        assert head == "data:image/png;base64"
        assert base64.b64decode(data, validate=True).startswith(b"\x89PNG\r\n\x1a\n")
    text = write_report(write(tmp_path / "run")).read_text(encoding="utf-8")
    assert not re.search(r"https?://|<script|<link|@import|url\(", text)
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        *("config.toml", "progress.csv", "report.html", "timing.csv"),
    ]


def test_nothing_to_warn_of(page):
    assert "none failed" in page.text
    assert "To know first" not in page.texts["h2"]


def test_what_went_wrong_comes_first(undrawn, tmp_path):
    page = read(write(tmp_path / "run", make_log(failed_at=(-1, 17, -1), unfinished=(0, 2, 1))))
    first, second = page.texts["li"]
    assert first.startswith("Seed 3 failed at update 17: its loss or parameters were not finite.")
    assert second.startswith("3 episodes of the last evaluation met the step cap unfinished")
    assert page.texts["h2"][0] == "To know first"
    assert page.text.index("failed at update 17") < page.text.index("33.5 [")
    assert [row[-2:] for row in page.table("seed")[1:]] == [["0", ""], ["2", "update 17"], ["1", ""]]
    assert "none failed" not in page.text


def test_episodes_that_repeat_others_are_said(undrawn, tmp_path):
    directory = write(tmp_path / "run", make_log()._replace(distinct=np.full((3, 3), 2)))
    assert read(directory).texts.get("li", []) == []  # how many episodes there were is not said in config.toml
    config = directory / "config.toml"
    config.write_text(config.read_text().replace("num_evals = 3", "num_evals = 3\nnum_episodes = 16"))
    (line,) = read(directory).texts["li"]
    assert line.startswith("Of the 16 episodes of the last evaluation only 2 differ")


def test_scores_on_minatar_say_that_it_is_not_the_original(undrawn, tmp_path):
    directory = write(tmp_path / "run")
    assert "not the original" not in read(directory).text
    config = directory / "config.toml"
    config.write_text(config.read_text().replace("Fake-v0", "Breakout-MinAtar"))
    assert "Gymnax's MinAtar is not the original" in read(directory).text


def test_a_run_of_before_they_were_counted_is_read(undrawn, tmp_path):
    directory = write(tmp_path / "run")
    path, column = directory / "progress.csv", COLUMNS.index("distinct")
    rows = [line.split(",") for line in path.read_text().splitlines()]
    path.write_text("".join(",".join(row[:column] + row[column + 1 :]) + "\n" for row in rows))
    assert "distinct" not in path.read_text()
    assert read(directory).texts.get("li", []) == []


def test_a_run_under_way(undrawn, tmp_path):
    directory = write(tmp_path / "run", evaluations=2, timing=False)
    with (directory / "timing.csv").open("a") as file:
        file.write("checkpo")  # not written whole
    page = read(directory)
    assert page.texts["li"] == ["The run is not finished: it was at 2,048 of 3,072 steps when this was written."]
    assert str(score(RETURNS[:, 1])) in page.text
    assert [row[0] for row in page.table("", "time")[1:]] == [
        "compiling, and setting up",
        "until the last evaluation, compiling included",
    ]


def test_whole_updates_end_a_run(undrawn, tmp_path):
    page = read(write(tmp_path / "run", config=CONFIG.replace(total_steps=4000)))  # a fourth update has no room
    assert "li" not in page.texts


def test_a_resumed_run(undrawn, tmp_path):
    directory = write(tmp_path / "run")
    with (directory / "timing.csv").open("a") as file:
        file.write("resume,1024,70.5\ncompile,1024,3.0\ncheckpoint,3072,1.75\ntrain,3072,200.0\n")
    times = {row[0]: row[1:] for row in read(directory).table("", "time")[1:]}
    assert times["compiling, and setting up"] == ["5.0 s", "2 times, 3.0 s at most"]
    assert times["checkpoints"] == ["2.0 s", "2 times, 1.8 s at most"]
    assert times["training, evaluations and checkpoints within it"][0] == "3:20"  # the last row has all of it
    assert times["taken up again at 1,024 steps"] == ["70.5 s", "worked until then"]


def test_what_was_cut_and_what_failed_is_drawn(tmp_path):
    page = read(write(tmp_path / "run", make_log(failed_at=(-1, 2, -1), unfinished=(0, 0, 1))))
    assert {"unfinished", "failed_at"} <= {text.partition(":")[0] for text in page.texts["figcaption"]}


def test_numbers_that_are_none(tmp_path):
    returns = RETURNS.copy()
    returns[1, 2], returns[2, :] = np.nan, np.nan
    log = make_log(returns=returns)
    learned = {"loss": mean((3, 3), np.nan), "value_loss": mean((3, 3), np.float32([1, np.inf, np.nan]))}
    log = log._replace(learned=learned)
    page = read(write(tmp_path / "run", log))
    assert "nan [nan, nan]" in page.text
    assert page.texts["li"] == [
        f"Seed {seed} has no finite return at the last evaluation (nan)." for seed in (3, 7)
    ]  # the score is one of theirs
    rows = page.table("seed")[1:]
    assert [row[1] for row in rows] == ["40.2", "nan", "nan"]
    assert [row[3:5] for row in rows] == [["40.2", "3,072"], ["35.0", "2,048"], ["none", ""]]
    drawn = [text.partition(":")[0] for text in page.texts["figcaption"]]
    assert "value_loss" in drawn and "loss" not in drawn  # one that never was a number is not drawn
    assert "Not drawn: loss, the number that is minimised" in page.text


def test_one_seed_is_said_to_be_one(undrawn, tmp_path):
    directory = write(tmp_path / "run")
    path = directory / "progress.csv"
    header, *rows = path.read_text().splitlines()
    path.write_text("\n".join([header, *(row for row in rows if row.startswith("3,"))]) + "\n")
    assert read(directory).texts["li"][0].startswith("There is one seed")


def named(name):
    """The made-up environment under another name."""
    env = make_env()
    return env.replace(spec=env.spec._replace(name=name))


def test_the_template_is_a_file_of_the_package():
    """Else an installed package has none: what is listed under package-data in pyproject.toml."""
    project = Path(__file__).parents[2]
    settings = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = settings["tool"]["setuptools"]["package-data"]["jaxrl_up"]
    (template,) = (project / "jaxrl_up").rglob("*.jinja")
    assert any(template in (project / "jaxrl_up").glob(pattern) for pattern in patterns)


def test_names_are_escaped(tmp_path):
    directory = write(tmp_path / "<i>'run' $y_$", env=named('<b>Maze</b> & "Co" $x_$'))
    text = write_report(directory).read_text(encoding="utf-8")
    assert "<b>" not in text and "<i>" not in text
    page = Page(text)
    assert page.texts["h1"] == ['ppo on <b>Maze</b> & "Co" $x_$']
    assert "jaxrl-up resume takes --env FILE.py:NAME for it" in page.text  # an environment of ones own
    assert "pre" not in page.texts


def test_the_commands_are_those_of_the_directory(undrawn, tmp_path):
    place = f"'{tmp_path}/<i>'\"'\"'run'\"'\"' $y_$"
    (commands,) = read(write(tmp_path / "<i>'run' $y_$", env=named("CartPole-v1"))).texts["pre"]
    assert commands.splitlines() == [f"jaxrl-up train --from {place}/config.toml'", f"jaxrl-up resume {place}'"]


def test_what_is_ones_own_is_named_in_the_commands(undrawn, tmp_path):
    directory = write(tmp_path / "run", env=named("CartPole-v1"))
    with (directory / "config.toml").open("a", encoding="utf-8") as file:
        file.write('[own]\nalgorithm = "my algo.py"\nhead = "heads:Mine"\n')
    (commands,) = read(directory).texts["pre"]
    own = "--algo 'my algo.py' --head heads:Mine"
    assert [line.partition(" --algo ")[2] for line in commands.splitlines()] == [own.removeprefix("--algo ")] * 2


def test_a_sweep_is_scored_by_grid_point(tmp_path):
    page = read(write(tmp_path / "run", swept={"learning_rate": [1e-3, 1e-3, 1e-2]}))
    assert "2 grid points, 3 seeds" in page.text
    assert page.table("grid point")[1:] == [
        ["learning_rate=0.001", str(score(RETURNS[:2, -1])), "0.3"],
        ["learning_rate=0.01", "60.0 [60.0, 60.0]", "60.0"],
    ]
    assert [row[:3] for row in page.table("learning_rate", "seed")[1:]] == [
        ["0.001", "0", "40.2"],
        ["0.001", "3", "0.333"],
        ["0.01", "7", "60.0"],
    ]


def test_only_the_numbers_are_needed(undrawn, tmp_path):
    directory = write(tmp_path / "run")
    for name in ("config.toml", "timing.csv"):
        (directory / name).unlink()
    page = read(directory)
    assert page.texts["h1"] == ["run"]
    assert "There is no timing.csv." in page.text and "There is no config.toml" in page.text


def test_it_is_replaced_all_at_once(undrawn, tmp_path, monkeypatch):
    directory = write(tmp_path / "run")
    (directory / "report.html").write_text("old")

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr("os.replace", refuse)
        with pytest.raises(OSError, match=r"cannot write .*report\.html: Permission denied"):
            write_report(directory)
    assert (directory / "report.html").read_text() == "old"
    assert write_report(directory) == directory / "report.html"
    assert (directory / "report.html").read_text() != "old"


@pytest.mark.parametrize(
    ("name", "text", "error"),
    [
        (None, "", FileNotFoundError),
        ("progress.csv", "", ValueError),
        ("progress.csv", "seed,env_steps,updates\n0,1,1\n", ValueError),
        ("config.toml", "[run", ValueError),
    ],
)
def test_no_run_to_report(tmp_path, name, text, error):
    directory = tmp_path / "run"
    if name == "config.toml":
        write(directory)
    directory.mkdir(exist_ok=True)
    if name:
        (directory / name).write_text(text)
    with pytest.raises(error, match=name or r"progress\.csv") as caught:
        write_report(directory)
    assert "\n" not in str(caught.value)
    assert not (directory / "report.html").exists()


def test_the_command_prints_the_path(undrawn, tmp_path, capsys):
    directory = write(tmp_path / "run")
    assert main(["report", str(directory)]) == 0
    assert capsys.readouterr().out == f"{directory / 'report.html'}\n"
    assert main(["report", str(tmp_path)]) == 2
    out, err = capsys.readouterr()
    assert out == "" and len(err.splitlines()) == 1 and "holds no run" in err
    assert main(["report"]) == 2
