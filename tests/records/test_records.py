"""Run directories: what is written, that it reads back, and that nothing is overwritten."""

import csv
import math
import tomllib

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import pytest
from fake_runs import CONFIG, RETURNS, SEEDS, STEPS, at, make_env, make_log, make_result
from tiny import task, tiny

from jaxrl_up import ALGORITHMS, PPO, envs, make_config, resume, run
from jaxrl_up.analysis import gather
from jaxrl_up.experiments import draw
from jaxrl_up.records import (
    COLUMNS,
    WHOLE,
    Recorder,
    check_directory,
    create,
    describe,
    load_run,
    number,
    read_config,
    read_progress,
    read_timing,
    reserve,
    to_toml,
    toml_value,
)
from jaxrl_up.types import Mean


class Torso(nn.Module):
    width: int = 8

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.width)(x)


def record(directory, log=None, config=CONFIG):
    log = make_log() if log is None else log
    begin(directory, config)
    recorder = Recorder(directory, SEEDS, 1024)
    recorder.begin()
    for e in range(len(STEPS)):
        recorder.append(at(log, e), 1.5 * e)
    draw(make_result(log, config=config), directory)
    return directory


def begin(directory, config=CONFIG, force=False):
    create(directory, describe(PPO, make_env(), config, SEEDS, {"num_evals": 3, "max_eval_steps": None}), force)


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return record(tmp_path_factory.mktemp("runs") / "deep" / "run")


@pytest.mark.parametrize("made", [True, False])
def test_a_picture_that_cannot_be_written_is_a_line_in_words(made, tmp_path, monkeypatch):
    """And on a full disk the one that was there stays."""
    monkeypatch.setattr("jaxrl_up.analysis.write_report", lambda _: None)
    picture = tmp_path / "curve.png"

    def refuse(*_):
        raise OSError(28, "No space left on device")

    if made:
        picture.write_bytes(b"old")
        monkeypatch.setattr("os.replace", refuse)
    else:
        picture.mkdir()
    with pytest.warns(UserWarning, match="curve.png") as warned:
        draw(make_result(), tmp_path)
    [text] = [str(warning.message) for warning in warned]
    assert text == f"{picture} was not written: {'No space left on device' if made else 'Is a directory'}"
    assert [path.name for path in tmp_path.iterdir()] == ["curve.png"]
    assert not made or picture.read_bytes() == b"old"


def test_what_was_not_measured_is_an_empty_cell(tmp_path):
    """Before the first gradient step; a loss that was no number is another thing."""
    log = make_log()
    made = np.array([[0, 0, 4], [0, 0, 4], [0, 0, 0]], np.int32)
    entropy = np.where(np.arange(3) == 1, np.nan, np.float32(0.5)) * np.ones((3, 3), np.float32)
    log = log._replace(learned={"loss": Mean(0.1 * made, made), "entropy": Mean(entropy, np.ones((3, 3), np.int32))})
    directory = record(tmp_path / "run", log)
    with (directory / "progress.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["loss"] for row in rows] == [""] * 6 + ["0.1", "0.1", ""]
    assert [row["entropy"] for row in rows] == ["0.5"] * 3 + ["nan"] * 3 + ["0.5"] * 3
    columns = read_progress(directory)
    np.testing.assert_array_equal(columns["loss"], log.losses["loss"])
    np.testing.assert_array_equal(columns["loss"], np.where(made > 0, 0.1, np.nan))
    curves = gather(directory, "loss", smooth=3)
    (curve,) = curves["Fake-v0"]["run"]
    np.testing.assert_array_equal(curve.values, columns["loss"])
    curve = gather(make_result(log), "entropy", smooth=3)["Fake-v0"]["ppo on Fake-v0"][0]
    np.testing.assert_allclose(curve.values, [[0.5, np.nan, 0.5]] * 3)


def test_rows_are_tidy(directory):
    with (directory / "progress.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == (*COLUMNS, "entropy", "loss")
    assert [(int(r["seed"]), int(r["env_steps"])) for r in rows] == [(s, n) for n in STEPS for s in SEEDS]
    assert [int(r["updates"]) for r in rows[::3]] == [1, 2, 3]
    values = np.array([float(r["return"]) for r in rows], np.float32).reshape(3, 3).T
    np.testing.assert_array_equal(values, RETURNS)  # exactly
    assert math.isnan(float(rows[-1]["train_return"]))
    assert {r["failed_at"] for r in rows} == {"-1"}


def test_equal_runs_write_equal_bytes(directory, tmp_path):
    again = record(tmp_path / "again")
    for name in ("progress.csv", "config.toml"):
        assert (again / name).read_bytes() == (directory / name).read_bytes()


def test_pandas_reads_it(directory):
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_csv(directory / "progress.csv")
    assert frame.groupby("seed")["return"].last().tolist() == pytest.approx(RETURNS[:, -1].tolist())


def test_config_reads_back(directory):
    config = tomllib.loads((directory / "config.toml").read_text())
    assert config["run"] == {"algorithm": "ppo", "seeds": [0, 3, 7], "num_evals": 3, "max_eval_steps": "none"}
    assert config["environment"]["name"] == "Fake-v0"
    assert config["environment"]["params"] == {"gravity": 9.8}
    assert config["environment"]["static"] == {"size": 4, "max_steps": 9}
    assert {"jax", "jaxrl_up", "python"} <= set(config["versions"])
    assert config["device"]["count"] >= 1
    back = {k: None if v == "none" else tuple(v) if isinstance(v, list) else v for k, v in config["config"].items()}
    assert PPO.Config(**back) == CONFIG


def test_versions_of_a_simulator_are_noted_where_it_is_used():
    pytest.importorskip("mujoco")
    walker, cartpole = envs.make("gymnasium/Walker2d-v5"), envs.make("CartPole-v1")
    plain, noted = (set(describe(PPO, env, CONFIG, [0])["versions"]) for env in (cartpole, walker))
    assert {"gymnasium", "mujoco"} <= noted and not {"gymnasium", "mujoco", "brax"} & plain
    assert "mujoco" in describe(PPO, cartpole, CONFIG, [0], evaluation_env=walker)["versions"]


def test_every_kind_of_value_reads_back():
    values = {
        "text": 'a "quoted"\\ line\nbreak \x7f é 🙂',
        "odd key": True,
        "small": 1e-7,
        "float32": np.float32(0.1),
        "whole": 3.0,
        "array": jnp.asarray([1.5, 2.0]),
        "nested": ((1, 2), ()),
        "infinite": math.inf,
        "big": 2**31,
        "table": {"a b": np.int32(4), "c": np.bool_(False)},
    }
    back = tomllib.loads(to_toml({"t": values}))["t"]
    assert back == {
        **values,
        "float32": 0.1,
        "array": [1.5, 2.0],
        "nested": [[1, 2], []],
        "table": {"a b": 4, "c": False},
    }
    assert isinstance(back["whole"], float)
    assert math.isnan(tomllib.loads(to_toml({"t": {"x": math.nan}}))["t"]["x"])


NUMBERS = {"int": np.int64(-(2**62)), "float32": np.float32(3e-4), "float64": np.float64(0.1), "half": jnp.float16(0.1)}
OTHERS = {"bool": np.bool_(True), "scalar": jnp.int32(7), "bfloat16": jnp.bfloat16(0.1), "large": 1e300, "tiny": 5e-324}
TEXTS = {"control": "".join(map(chr, range(160))), "lines": "a\r\nb\n", "quotes": '"""\'\\', "none": "none", "": ""}
LISTS = {"tables": [{"a": 1}, {"b": {"c": []}}], "mixed": [1, "a", {"b": [{"c": None}]}], "long": [{"a": "x" * 99}] * 2}
TABLES = [
    {},
    {"a": {}, "b": {"c": {}, "d": {"e": {}}}},
    {"lone": 1, "t": {"x": None, "list": (None, (), [[]], [None]), "y": {}, "z": -0.0}},
    {"numbers": NUMBERS, "others": OTHERS, "texts": TEXTS, "lists": LISTS},
    {"arrays": {"zero": np.zeros(()), "empty": np.zeros((0, 2)), "matrix": jnp.arange(6.0).reshape(2, 3) / 7}},
    {"limits": {"up": math.inf, "down": np.float32(-np.inf), "all": jnp.array([-jnp.inf, jnp.inf])}},
    {"": {"": 1}, "a.b": {"c d": {'"': 2, "\n": 3, "\x00\x1f\x7f": 4}}, "é": {"'": 5, "#": 6, "=": 7, "[x]": 8}},
    {"config": {"network": Torso(), "several": (Torso(1), Torso(2)), "within": {"n": Torso(np.int32(3))}, "f": record}},
    {"config": {"layer": nn.Dense(4, kernel_init=nn.initializers.ones), "kind": Torso, "set": {1, 2}}},
]


@pytest.mark.parametrize("tables", TABLES)
def test_toml_reads_back_as_its_values(tables):
    values = toml_value(tables)
    assert tomllib.loads(to_toml(tables)) == values == toml_value(values)
    assert exact(tomllib.loads(to_toml(tables))) == exact(values)


def test_made_up_toml_reads_back_as_its_values():
    rng = np.random.default_rng(0)
    words = ["a", "b c", "", "é", "x.y", "\n", "#", "none"]

    def table(depth):
        return {str(rng.choice(words)): value(depth - 1) for _ in range(rng.integers(5))}

    def value(depth):
        kind = rng.integers(8 if depth > 0 else 5)
        if kind == 5:
            return [value(depth - 1) for _ in range(rng.integers(4))]
        if kind > 5:
            return table(depth) if kind == 6 else [table(depth) for _ in range(rng.integers(4))]
        number = rng.normal() if rng.random() < 0.9 else rng.choice([np.nan, np.inf, -np.inf])
        return (None, bool(rng.integers(2)), np.float32(number), float(number), str(rng.choice(words)))[kind]

    for _ in range(300):
        tables = table(5)
        assert exact(tomllib.loads(to_toml(tables))) == exact(toml_value(tables)), tables


def exact(value):
    """Values to the last bit and with their types, of which nan is one; tables by their keys."""
    if isinstance(value, dict):
        return {key: exact(item) for key, item in value.items()}
    return [exact(item) for item in value] if isinstance(value, list) else repr(value)


def test_what_toml_values_are():
    values = toml_value((None, np.float32(0.1), {"a": jnp.ones(2)}, "b", math.inf))
    assert values == ["none", 0.1, {"a": [1.0, 1.0]}, "b", math.inf]
    assert math.isnan(toml_value(np.float32("nan")))
    assert [type(toml_value(x)) for x in (np.bool_(1), np.int32(1), np.float32(1), 1.0)] == [bool, int, float, float]


def test_a_custom_network_is_named():
    network = tomllib.loads(to_toml({"config": {"network": Torso(width=4)}}))["config"]["network"]
    assert network["import"].endswith("test_records:Torso")
    assert network["fields"] == {"width": 4}
    assert "0x" not in tomllib.loads(to_toml({"t": {"f": record}}))["t"]["f"]["repr"]


def test_numbers_are_the_shortest_that_read_back():
    assert number(np.float32(22.1)) == "22.1"
    assert number(np.float32(1e-7)) == "1e-07"
    assert number(np.int32(7)) == "7"
    assert number(np.float32("nan")) == "nan"


def test_timing_is_apart(directory):
    lines = (directory / "timing.csv").read_text().splitlines()
    assert lines == [
        "event,env_steps,seconds",
        *(f"evaluation,{n},{x}" for n, x in zip(STEPS, ("0.000", "1.500", "3.000"), strict=True)),
    ]


def test_timing_reads_back(tmp_path):
    assert read_timing(tmp_path) == []
    recorder = Recorder(tmp_path, SEEDS, 1024)
    recorder.begin()
    recorder.time("compile", 0, 2.0)
    recorder.time("evaluation", 1024, 0.1 + 0.2)
    path = tmp_path / "timing.csv"
    with path.open("a") as file:
        file.write("evaluation,2048\nevaluation,x,1.0\ntrain,3072,4")  # the last was 4.125
    assert read_timing(tmp_path) == [("compile", 0, 2.0), ("evaluation", 1024, 0.3)]
    recorder.begin([at(make_log(), 2)], 7.0)
    assert path.read_text().splitlines() == [
        *("event,env_steps,seconds", "compile,0,2.000", "evaluation,1024,0.300", "resume,3072,7.000"),
    ]


def test_a_run_without_its_settings_has_no_tables(directory, tmp_path):
    assert read_config(tmp_path, missing_ok=True) == {}
    with pytest.raises(FileNotFoundError, match="holds no run"):
        read_config(tmp_path)
    assert read_config(directory, missing_ok=True) == read_config(directory)
    (tmp_path / "config.toml").write_text("[run")
    with pytest.raises(ValueError, match="not readable as TOML"):
        read_config(tmp_path, missing_ok=True)


def test_curve_is_a_png(directory):
    assert (directory / "curve.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_rows_are_there_after_each_evaluation(tmp_path):
    recorder = Recorder(tmp_path, SEEDS, 1024)
    recorder.begin()
    for e in range(2):
        recorder.append(at(make_log(), e), 0.0)
        assert read_progress(tmp_path)["return"].shape == (3, e + 1)


def test_what_is_newer_than_the_checkpoint_is_dropped(directory, tmp_path):
    for name in ("progress.csv", "timing.csv"):
        (tmp_path / name).write_bytes((directory / name).read_bytes())
    recorder = Recorder(tmp_path, SEEDS, 1024)
    recorder.begin([at(make_log(), 0)], 7.0)
    assert read_progress(tmp_path)["env_steps"].tolist() == [[STEPS[0]]] * 3
    assert (tmp_path / "timing.csv").read_text().splitlines()[1:] == ["evaluation,1024,0.000", "resume,1024,7.000"]
    for e in (1, 2):
        recorder.append(at(make_log(), e), 0.0)
    assert (tmp_path / "progress.csv").read_bytes() == (directory / "progress.csv").read_bytes()
    assert not list(tmp_path.glob("*.part"))


def test_swept_values_come_first(tmp_path):
    recorder = Recorder(tmp_path, (0, 1, 0), 1024, {"learning_rate": np.float32([0.1, 0.1, 0.2])})
    recorder.begin()
    for e in range(3):
        recorder.append(at(make_log(), e), 0.0)
    columns = read_progress(tmp_path)
    assert list(columns)[:3] == ["learning_rate", "seed", "env_steps"]
    np.testing.assert_array_equal(columns["seed"][:, -1], [0, 1, 0])
    np.testing.assert_array_equal(columns["learning_rate"][:, 0], [0.1, 0.1, 0.2])
    np.testing.assert_array_equal(columns["return"].astype(np.float32), RETURNS)


def test_a_tidy_table_is_what_pandas_takes(tmp_path):
    directory = record(tmp_path / "run", make_log(failed_at=(-1, 17, -1)))
    columns, tidy = read_progress(directory), read_progress(directory, tidy=True)
    assert list(tidy) == list(columns)
    assert {column.shape for column in tidy.values()} == {(9,)}
    assert tidy["seed"].tolist() == list(SEEDS) * 3 and tidy["env_steps"].tolist() == [s for s in STEPS for _ in SEEDS]
    assert {name for name, column in tidy.items() if column.dtype == np.int64} == set(WHOLE)
    for name, column in tidy.items():
        np.testing.assert_array_equal(column.reshape(3, 3).T, columns[name])
    pandas = pytest.importorskip("pandas")
    frame, read = pandas.DataFrame(tidy), pandas.read_csv(directory / "progress.csv")
    pandas.testing.assert_frame_equal(frame, read, check_dtype=False)
    assert frame.groupby("env_steps")["return"].max().tolist() == columns["return"].max(axis=0).tolist()


def test_a_torn_last_row_is_left_out(directory, tmp_path):
    text = (directory / "progress.csv").read_text()
    (tmp_path / "progress.csv").write_text(text[:-30])
    np.testing.assert_array_equal(read_progress(tmp_path)["env_steps"], [STEPS[:2]] * 3)


def test_a_failed_seed_is_in_the_rows(tmp_path):
    columns = read_progress(record(tmp_path / "run", make_log(failed_at=(-1, 17, -1))))
    assert columns["failed_at"][:, -1].tolist() == [-1, 17, -1]


def test_nothing_is_overwritten(directory):
    before = {path: path.read_bytes() for path in directory.iterdir()}
    with pytest.raises(FileExistsError, match="already holds a run"):
        begin(directory)
    assert before == {path: path.read_bytes() for path in directory.iterdir()}


def test_other_files_do_not_disturb(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    begin(tmp_path)
    begin(tmp_path, force=True)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_place_that_cannot_be_written_is_said_first(tmp_path):
    (tmp_path / "file").write_text("")
    for call in (check_directory, begin):
        with pytest.raises(NotADirectoryError, match="file is not a directory"):
            call(tmp_path / "file" / "run")


def test_a_directory_without_rights(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.mkdir", refuse)
    with pytest.raises(OSError, match=r"cannot write a run to .*: Permission denied"):
        begin(tmp_path / "run")


@pytest.mark.parametrize(
    ("text", "error"), [(None, FileNotFoundError), ("", ValueError), ("seed,return\n", ValueError)]
)
def test_no_run_to_read(tmp_path, text, error):
    if text is not None:
        (tmp_path / "progress.csv").write_text(text)
    with pytest.raises(error, match=r"progress\.csv"):
        read_progress(tmp_path)


def test_a_run_is_replaced_only_by_force(tmp_path):
    record(tmp_path)
    begin(tmp_path, CONFIG.replace(gamma=0.5), force=True)
    assert [path.name for path in tmp_path.iterdir()] == ["config.toml"]
    assert tomllib.loads((tmp_path / "config.toml").read_text())["config"]["gamma"] == 0.5


def test_a_place_of_its_own(tmp_path):
    assert [reserve(tmp_path / "a" / "run").name for _ in range(3)] == ["run", "run-2", "run-3"]
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="cannot write a run"):
        reserve(tmp_path / "file" / "run")


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_run_is_described_by_the_fields_of_its_config(name, tmp_path):
    """By those that `make_config` takes again, and nothing else."""
    config = tiny(ALGORITHMS[name])
    table = describe(ALGORITHMS[name], make_env(), config, SEEDS)["config"]
    assert make_config(name, **table) == config


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["pets", "mbpo", "mbve"])
def test_a_kept_run_of_what_learns_a_model_is_read_and_goes_on(name, tmp_path):
    algo = ALGORITHMS[name]
    config, settings = tiny(algo, total_steps=32), {"num_evals": 2, "num_episodes": 1, "progress": False}
    kept = run(algo, task(algo), config, seeds=1, directory=tmp_path / "run", **settings)
    assert load_run(tmp_path / "run").config == config
    longer = resume(tmp_path / "run", total_steps=48, progress=False)
    assert longer.env_steps[-1] == 48 > kept.env_steps[-1]
