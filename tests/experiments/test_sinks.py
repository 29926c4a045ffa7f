"""Sinks: what TensorBoard and Weights & Biases are given is read back from the files they leave."""

import json
import socket
import struct
import sys
import tomllib
import warnings

import numpy as np
import pytest
from fake_runs import CONFIG, RETURNS, SEEDS, STEPS, at, make_env, make_log, mean

from jaxrl_up import PPO
from jaxrl_up.experiments import sinks
from jaxrl_up.ops import score
from jaxrl_up.records import Recorder, describe, to_toml

DESCRIPTION = describe(PPO, make_env(), CONFIG, SEEDS, {"num_evals": 3, "max_eval_steps": None})
SETTINGS = tomllib.loads(to_toml(DESCRIPTION))


def feed(sink, log=None, evaluations=(0, 1, 2)):
    log = make_log() if log is None else log
    with sinks.feed([sink], DESCRIPTION) as append:
        for evaluation in evaluations:
            append(at(log, evaluation))


def events(path):
    """The events of a file of TFRecords: length, checksum, message, checksum."""
    event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")
    data, place, found = path.read_bytes(), 0, []
    while place < len(data):
        (length,) = struct.unpack_from("<Q", data, place)
        event = event_pb2.Event()
        event.ParseFromString(data[place + 12 : place + 12 + length])
        found.append(event)
        place += 16 + length
    return found


def series(directory):
    """`name -> {step: value}` of all event files of a directory, and the steps at which a file begins."""
    values, starts = {}, []
    for path in sorted(directory.iterdir()):
        for event in events(path):
            if event.HasField("session_log"):
                starts.append(event.step)
            for value in event.summary.value:
                if value.WhichOneof("value") == "simple_value":
                    values.setdefault(value.tag, {})[event.step] = value.simple_value
    return values, starts


def test_the_series_of_an_evaluation():
    log = at(make_log(failed_at=(-1, 17, -1)), 2)
    assert sinks.scalars(SEEDS, log) == {
        "return/iqm": pytest.approx((40.25 + 1 / 3 + 60) / 3),  # of three seeds none is cut
        "return/low": pytest.approx(score(log.returns).low),
        "return/high": pytest.approx(score(log.returns).high),
        "return/seed_0": 40.25,
        "return/seed_3": pytest.approx(1 / 3),
        "return/seed_7": 60.0,
        "length/iqm": pytest.approx((40.25 + 1 / 3 + 60) / 3),
        "entropy/iqm": 0.25,
        "loss/iqm": pytest.approx(1e-7),
        "failed_seeds": 1.0,
    }  # no training episode ended, so there is no train_return


def test_one_seed_without_a_number():
    returns = RETURNS.copy()
    returns[1, 2] = np.nan
    log = at(make_log(returns=returns), 2)
    log = log._replace(learned={"loss": mean(3, np.array([1.0, np.inf, 3.0]))})
    found = sinks.scalars(SEEDS, log)
    assert np.isnan(found["return/iqm"]) and np.isnan(found["return/seed_3"])
    assert found["loss/iqm"] == 2.0  # of the two that have one
    assert found["length/iqm"] == 50.125


def test_tensorboard_gets_every_series(tmp_path):
    feed(sinks.tensorboard(tmp_path / "new" / "events"))
    values, starts = series(tmp_path / "new" / "events")
    assert starts == [STEPS[0]]
    assert list(values["return/seed_7"]) == list(STEPS)
    for i, seed in enumerate(SEEDS):
        np.testing.assert_array_equal(np.float32(list(values[f"return/seed_{seed}"].values())), RETURNS[i])
    for evaluation, step in enumerate(STEPS):
        written = {name: value[step] for name, value in values.items() if step in value}
        assert written == pytest.approx(sinks.scalars(SEEDS, at(make_log(), evaluation)))


def test_tensorboard_shows_the_settings(tmp_path):
    feed(sinks.tensorboard(tmp_path))
    (path,) = tmp_path.iterdir()
    (text,) = (value for event in events(path) for value in event.summary.value if value.HasField("tensor"))
    written = text.tensor.string_val[0].decode()
    assert tomllib.loads("".join(line.removeprefix("    ") + "\n" for line in written.splitlines())) == SETTINGS


def test_tensorboard_is_whole_after_every_evaluation(tmp_path):
    with sinks.feed([sinks.tensorboard(tmp_path)], DESCRIPTION) as append:
        append(at(make_log(), 0))
        assert list(series(tmp_path)[0]["return/iqm"]) == [STEPS[0]]


def test_a_resumed_run_says_where_it_starts(tmp_path):
    feed(sinks.tensorboard(tmp_path / "a"), evaluations=(0, 1))
    feed(sinks.tensorboard(tmp_path / "b"), evaluations=(1, 2))
    assert series(tmp_path / "b")[1] == [STEPS[1]]  # TensorBoard hides what came from there on


def test_tensorboard_names_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"events to .*file/x: Not a directory"):
        feed(sinks.tensorboard(tmp_path / "file" / "x"))


def noting(name, notes, fails=()):
    """A sink that notes what it is told, and raises where it should."""

    def note(what):
        notes.append((name, what))
        if what in fails:
            raise RuntimeError("disk\nfull")

    return sinks.Sink(
        name,
        lambda description: note(f"start {description['run']['seeds']}"),
        lambda log: note(int(log.env_steps[0])),
        lambda failed: note("failed" if failed else "finished"),
    )


def test_sinks_are_started_fed_and_finished_in_turn():
    notes = []
    with sinks.feed([noting("a", notes), noting("b", notes)], DESCRIPTION) as append:
        append(at(make_log(), 0))
    start = "start [0, 3, 7]"
    assert notes == [("a", start), ("b", start), ("a", 1024), ("b", 1024), ("b", "finished"), ("a", "finished")]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_sinks_are_finished_after_an_exception(error, tmp_path):
    notes = []

    def train():
        with sinks.feed([noting("a", notes), sinks.tensorboard(tmp_path)], DESCRIPTION) as append:
            append(at(make_log(), 0))
            raise error

    with pytest.raises(error):
        train()
    assert notes[-1] == ("a", "failed")
    assert list(series(tmp_path)[0]["return/iqm"]) == [STEPS[0]]


def test_a_sink_that_breaks_does_not_end_the_run():
    notes = []
    broken, whole = noting("broken", notes, fails=(1024, "finished")), noting("whole", notes)
    with warnings.catch_warnings(record=True) as warned, sinks.feed([broken, whole], DESCRIPTION) as append:
        warnings.simplefilter("always")
        append(at(make_log(), 0))
        append(at(make_log(), 1))
    assert [str(w.message) for w in warned] == [
        "broken takes no more numbers from 1,024 steps on: disk full",
        "broken was not closed: disk full",
    ]
    assert [what for name, what in notes if name == "broken"] == ["start [0, 3, 7]", 1024, "finished"]
    assert [what for name, what in notes if name == "whole"][1:] == [1024, 2048, "finished"]


def test_a_sink_that_cannot_start_ends_the_run_before_it_begins():
    notes = []
    broken = noting("broken", notes, fails=("start [0, 3, 7]",))
    with pytest.raises(RuntimeError, match="disk"), sinks.feed([noting("a", notes), broken], DESCRIPTION):
        notes.append("trained")
    assert "trained" not in notes
    assert notes[-1] == ("a", "failed")


@pytest.mark.parametrize(
    ("library", "make"),
    [("tensorboardX", lambda: sinks.tensorboard("x")), ("wandb", lambda: sinks.wandb("x"))],
)
def test_a_missing_library_is_one_line_that_says_what_to_install(library, make, monkeypatch):
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.delitem(sys.modules, "tensorboardX.event_file_writer", raising=False)
    with pytest.raises(ValueError, match=rf"pip install 'jaxrl-up\[{library.removesuffix('X')}\]'$"):
        make()


@pytest.fixture
def outside(monkeypatch, tmp_path):
    """wandb offline, with a listener at every address it could call."""
    import wandb

    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    for name in ("WANDB_BASE_URL", "HTTPS_PROXY", "HTTP_PROXY"):
        monkeypatch.setenv(name, address)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "config"))
    wandb.teardown()  # it reads the variables once in a process
    yield listener
    wandb.teardown()
    listener.close()


def wandb_records(path):
    """The records of a file of wandb: LevelDB's log format after 7 bytes, blocks of 32 KiB."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, place, part = path.read_bytes(), 7, b""
    while place < len(data):
        if place % 32768 > 32768 - 7:  # too little is left of this block for a header
            place += 32768 - place % 32768
            continue
        length, kind = struct.unpack_from("<HB", data, place + 4)
        part += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            record = Record()
            record.ParseFromString(part)
            part = b""
            yield record


def items(updates):
    return {".".join(item.nested_key) or item.key: json.loads(item.value_json) for item in updates}


def wandb_runs(directory):
    """Of each file of wandb, in order: what it says of the run, its rows and its exit code."""
    from wandb import teardown

    teardown()  # its own process writes the file, some time after the run was finished
    found = []
    for path in sorted((directory / "wandb").glob("offline-run-*/*.wandb")):
        records = list(wandb_records(path))
        (about,) = (record.run for record in records if record.HasField("run"))
        rows = [items(record.history.item) for record in records if record.HasField("history")]
        (end,) = (record.exit for record in records if record.HasField("exit"))
        found.append((about, rows, end.exit_code))
    return found


@pytest.mark.parametrize("error", [None, RuntimeError])
def test_wandb_offline_keeps_everything_and_calls_nobody(outside, tmp_path, error):
    sink = sinks.wandb("project", directory=tmp_path / "run", name="a name")
    try:
        with sinks.feed([sink], DESCRIPTION) as append:
            for evaluation in range(3):
                append(at(make_log(), evaluation))
            if error:
                raise error
    except RuntimeError:
        assert error
    runs = {about.display_name: (about, rows, code) for about, rows, code in wandb_runs(tmp_path / "run")}
    assert sorted(runs) == [f"a name, seed {seed}" for seed in SEEDS]
    for lane, seed in enumerate(SEEDS):
        about, rows, code = runs[f"a name, seed {seed}"]
        assert (about.project, about.run_group, code) == ("project", "a name", bool(error))
        config = items(about.config.update)
        assert {name: config[name] for name in SETTINGS} == SETTINGS and config["seed"] == seed
        assert [row["env_steps"] for row in rows] == [row["_step"] for row in rows] == list(STEPS)
        np.testing.assert_array_equal(np.float32([row["return"] for row in rows]), RETURNS[lane])
        assert set(rows[0]) >= {"loss", "entropy", "train_return", "length", "failed_at"}
        assert "train_return" not in rows[2]  # no training episode ended
    with pytest.raises(BlockingIOError):  # no connection waits
        outside.accept()


LOG = make_log(returns=RETURNS / 100)


class FakeRun:
    def __init__(self, **options):
        self.options, self.rows, self.code = options, [], None

    def define_metric(self, *_, **__):
        pass

    def log(self, row, step):
        self.rows.append({**row, "step": step})

    def finish(self, exit_code):
        self.code = exit_code


@pytest.fixture
def fake(monkeypatch):
    """wandb that notes its runs. What it returns can be broken: `fake.broken` is raised at the second run."""
    wandb = pytest.importorskip("wandb")
    made = []

    def init(**options):
        if made and init.broken:
            raise init.broken
        made.append(FakeRun(**options))
        return made[-1]

    init.broken, init.made = None, made
    monkeypatch.setattr(wandb, "init", init)
    return init


def kept(directory, evaluations, games=False):
    """A run's directory as it is when a process goes on after so many evaluations."""
    recorder = Recorder(directory, SEEDS, 1024, games=games)
    directory.mkdir(exist_ok=True)
    if evaluations == 0:
        recorder.begin()
    else:
        recorder.begin([at(LOG, e) for e in range(evaluations)], 1.0)
    return directory


def trained(sink, evaluations, description=DESCRIPTION):
    with sinks.feed([sink], description) as append:
        for evaluation in evaluations:
            append(at(LOG, evaluation))


def test_a_resumed_run_goes_on_in_the_same_wandb_runs(fake, tmp_path):
    """The first process came to the second evaluation, its checkpoint to the first: that one is trained again."""
    directory = kept(tmp_path / "run", 0)
    trained(sinks.wandb("p", directory), [0, 1])
    first = fake.made[:]
    kept(directory, 1)
    trained(sinks.wandb("p", directory), [1, 2])
    second = fake.made[3:]
    assert [run.options["id"] for run in first] == [run.options["id"] for run in second]
    assert len({run.options["id"] for run in first}) == 3
    assert {run.options["group"] for run in fake.made} == {first[0].options["group"]}
    assert first[0].options["group"].startswith("run-")
    assert [run.options["resume"] for run in fake.made] == [None] * 3 + ["allow"] * 3
    for lane, (one, two) in enumerate(zip(first, second, strict=True)):
        assert [row["step"] for row in one.rows + two.rows] == list(STEPS)  # none twice
        np.testing.assert_array_equal(np.float32([row["return"] for row in one.rows + two.rows]), LOG.returns[lane])
        assert (one.options["config"]["seed"], one.code) == (SEEDS[lane], 0)


@pytest.mark.parametrize(
    ("name", "wrappers", "games"),
    [
        ("Fake-v0", [], False),
        ("Fake-v0?opponent=minimax&depth=4", ["mask_obs()"], True),
        ("Fake-v0", ["against(opponent=own)"], True),
    ],
)
def test_a_run_that_was_trained_without_wandb_is_written_from_its_records(fake, tmp_path, name, wrappers, games):
    directory = kept(tmp_path / "run", 2, games)
    played = {**DESCRIPTION["environment"], "name": name, "wrappers": wrappers}
    trained(sinks.wandb("p", directory), [2], {**DESCRIPTION, "environment": played})
    live = FakeRun()
    for evaluation in range(3):
        live.log(sinks._row(at(LOG, evaluation), 0, games), STEPS[evaluation])
        assert sum(live.rows[-1].get(name, 0.0) for name in ("won", "drawn", "lost")) == pytest.approx(float(games))
    assert [set(row) for row in fake.made[0].rows] == [set(row) for row in live.rows]
    for row, expected in zip(fake.made[0].rows, live.rows, strict=True):
        assert row == pytest.approx(expected)
    trained(sinks.wandb("other", directory), [])  # another project has nothing of it yet
    assert [row["step"] for row in fake.made[3].rows] == list(STEPS[:2])
    assert fake.made[3].options["id"] != fake.made[0].options["id"]


def test_wandb_runs_that_cannot_all_start_are_ended(fake, tmp_path):
    fake.broken = OSError(28, "No space left on device")
    with pytest.raises(OSError, match=r"cannot write wandb's files to .*: No space left"):
        trained(sinks.wandb("p", tmp_path), [0])
    assert [run.code for run in fake.made] == [1]


def test_new_runs_have_new_names(fake, tmp_path):
    for _ in range(2):
        trained(sinks.wandb("p"), [0])
    groups = {run.options["group"] for run in fake.made}
    assert len(groups) == 2 and all(group.startswith("ppo-Fake-v0-") for group in groups)
    assert fake.made[0].options["dir"] is None


@pytest.mark.parametrize("project", ["", "a/b"])
def test_a_project_that_cannot_be_one(project):
    with pytest.raises(ValueError, match="cannot be a project of Weights & Biases"):
        sinks.wandb(project)


def test_wandb_without_a_login_says_so(outside, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    with pytest.raises(OSError, match=r"^Weights & Biases: .*API key.* Or set WANDB_MODE=offline$"):
        feed(sinks.wandb("project", directory=tmp_path))
