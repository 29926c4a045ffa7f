"""Runs that stop and go on: the same numbers, the same files, and one line for what cannot go on."""

import re
import shutil
import signal
import tomllib
import warnings

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from stopping import stop_after
from tiny import assert_equal, breaking, cartpole, clock, tiny

from jaxrl_up import A2C, DQN, Evaluation, envs, load_policies, load_run, resume, run
from jaxrl_up.analysis import gather, write_report
from jaxrl_up.cli import main
from jaxrl_up.config import canonical
from jaxrl_up.experiments import STOPS, to_devices
from jaxrl_up.records import alone, checkpoint, describe_environment, environment_options, load_snapshot, to_toml
from jaxrl_up.training import advance_lanes, lane_mesh

CONFIG = tiny(A2C)  # 4 updates
SEEDS = (7, 0, 3)
SETTINGS = {"num_evals": 4, "num_episodes": 3, "max_eval_steps": 12, "progress": False}


class Torso(nn.Module):
    width: int = 8

    @nn.compact
    def __call__(self, x):
        return nn.tanh(nn.Dense(self.width)(x))


@pytest.fixture(scope="module")
def whole(cpus, tmp_path_factory):
    directory = tmp_path_factory.mktemp("whole") / "run"
    return run(A2C, cartpole(), CONFIG, SEEDS, directory=directory, **SETTINGS)


@pytest.fixture(scope="module")
def kept(whole, tmp_path_factory):
    """A run stopped after two of four evaluations, beside that of the untrained policies."""
    directory = tmp_path_factory.mktemp("kept") / "run"
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, 2)
        result = run(A2C, cartpole(), CONFIG, SEEDS, directory=directory, **SETTINGS)
    assert (result.stopped, result.returns.shape) == ("SIGTERM", (3, 3))
    return directory


@pytest.fixture
def stopped(kept, tmp_path):
    return shutil.copytree(kept, tmp_path / "run")


def files(directory):
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def same_end(result, whole):
    assert_equal(result.state, whole.state)
    assert (result.directory / "progress.csv").read_bytes() == (whole.directory / "progress.csv").read_bytes()
    texts = [re.sub("commit = .*", "", (r.directory / "config.toml").read_text()) for r in (result, whole)]
    assert texts[0] == texts[1]
    ours, theirs = (load_policies(load_run(r.directory)) for r in (result, whole))
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)
    np.testing.assert_array_equal(result.returns, whole.returns)


def test_it_goes_on_bit_for_bit(stopped, whole):
    result = resume(stopped, progress=False)
    assert not result.stopped
    same_end(result, whole)
    events = [line.split(",")[0] for line in (stopped / "timing.csv").read_text().splitlines()[1:]]
    first, second = ["compile", *["evaluation"] * 3, "checkpoint", "train"], ["resume", "compile"]
    assert events == [*first, *second, "evaluation", "evaluation", "checkpoint", "train"]
    assert {"curve.png", "report.html"} <= {path.name for path in stopped.iterdir()}


def test_rows_that_are_newer_than_the_checkpoint_are_written_again(stopped, whole):
    with (stopped / "progress.csv").open("a") as file:
        file.writelines((whole.directory / "progress.csv").read_text().splitlines(keepends=True)[10:12])
        file.write("3,48,3,1")
    same_end(resume(stopped, progress=False), whole)


def test_without_a_checkpoint_it_starts_again(stopped, whole):
    shutil.rmtree(stopped / "checkpoints")
    with pytest.raises(ValueError, match="holds no checkpoint yet"):
        load_policies(load_run(stopped))
    same_end(resume(stopped, progress=False, checkpoint_seconds=0.0), whole)
    assert (stopped / "timing.csv").read_text().count("checkpoint") == 5


def test_a_finished_run_stays_as_it_is(whole, tmp_path):
    directory = shutil.copytree(whole.directory, tmp_path / "run")
    before = files(directory)
    result = resume(directory, progress=False)
    assert_equal(result.state, whole.state)
    assert result.compile_seconds == 0
    after = files(directory)
    assert {path for path in before if before[path] != after[path]} <= {
        directory / "curve.png",
        directory / "report.html",
    }


def test_the_best_policy_is_kept(whole):
    found = load_policies(load_run(whole.directory))
    trained = whole.returns[:, 1:]  # the untrained policy is never the best
    np.testing.assert_array_equal(found.best_returns, trained.max(axis=1))
    np.testing.assert_array_equal(found.best_steps, whole.env_steps[1:][trained.argmax(axis=1)])
    np.testing.assert_array_equal(found.returns, whole.returns[:, -1])
    jax.tree.map(np.testing.assert_array_equal, found.last, whole.state.policy)
    assert found.env_steps == 64


def test_a_run_stopped_before_its_first_update(whole, tmp_path):
    """Its only evaluation is of the untrained policies, which are not called the best of it."""
    directory = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, 0)
        result = run(A2C, cartpole(), CONFIG, SEEDS, directory=directory, **SETTINGS)
    assert (result.stopped, result.env_steps.tolist()) == ("SIGTERM", [0])
    np.testing.assert_array_equal(result.returns, whole.returns[:, :1])
    (curve,) = gather([directory])["CartPole-v1"]["run"]
    assert curve.unfinished == "0 of 64 steps"
    assert "0 of 64 steps" in (directory / "report.html").read_text()
    found = load_policies(load_run(directory))
    assert (found.env_steps, found.best_returns.tolist()) == (0, [-np.inf] * 3)
    assert main(["evaluate", str(directory), "--best", "--episodes", "2"]) == 0
    same_end(resume(directory, progress=False), whole)


def test_a_checkpoint_of_an_earlier_format_is_one_line(stopped, monkeypatch):
    monkeypatch.setattr(checkpoint, "FORMAT", checkpoint.FORMAT + 1)
    with pytest.raises(ValueError, match=r"has format 3, but .* begins with an evaluation of the untrained") as error:
        resume(stopped, progress=False)
    assert "\n" not in str(error.value)
    assert load_policies(load_run(stopped)).env_steps == 32  # what it learned is not lost


def test_a_run_is_made_longer(whole, tmp_path):
    """It ends where a run of that length with the same schedules ends, and can be stopped on the way."""
    directory = shutil.copytree(whole.directory, tmp_path / "run")
    with pytest.raises(
        ValueError,
        match=r"anneals over all of total_steps.*--schedule-steps.*64.*112.*: jaxrl-up .* 112 --schedule-steps 64$",
    ):
        resume(directory, total_steps=112, progress=False)
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, 1)
        assert resume(directory, total_steps=112, schedule_steps=64, progress=False).stopped
    longer = resume(directory, progress=False)
    np.testing.assert_array_equal(longer.env_steps, [0, 16, 32, 48, 64, 80, 96, 112])
    np.testing.assert_array_equal(longer.returns[:, :5], whole.returns)
    once = run(
        A2C, cartpole(), CONFIG.replace(total_steps=112, schedule_steps=64), SEEDS, **{**SETTINGS, "num_evals": 7}
    )
    assert_equal(longer.state, once.state)
    np.testing.assert_array_equal(longer.returns, once.returns)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"total_steps": 64},
            r"total_steps=64 makes the run no longer: it has 64 steps already, and an update takes 16, so it must be "
            r"at least 80, as in: jaxrl-up resume .*/run --total-steps 128 --schedule-steps 64$",
        ),
        ({"schedule_steps": 64}, "give total_steps too"),
        ({"total_steps": 70, "schedule_steps": 64}, "total_steps=70 makes the run no longer"),
        ({"total_steps": 128, "schedule_steps": 0}, "schedule_steps=0 is out of range"),
    ],
)
def test_a_length_that_cannot_be_is_refused(stopped, settings, message):
    before = files(stopped)
    with pytest.raises(ValueError, match=message):
        resume(stopped, progress=False, **settings)
    assert files(stopped) == before


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("gamma = 0.99", "gamma = 0.9", r"was written with gamma=0\.99, but config\.toml says 0\.9"),
        ("gamma = 0.99", "gamma = 2.0", r"gamma=2 is out of range"),
        ("gamma = 0.99", 'gamma = "high"', r"gamma='high' must be a number"),
        ("gamma =", "gama =", r"no field 'gama'. Did you mean 'gamma'"),
        ("num_evals = 4", "num_evals = 3", r"was written with num_evals=4, but config\.toml says 3"),
        ("num_evals = 4", "num_eval = 4", r"\[run\] has no 'num_eval'. Did you mean 'num_evals'"),
        ("total_steps = 64", "total_steps = 128", r"was written with total_steps=64, but config\.toml says 128"),
        ('schedule_steps = "none"', "schedule_steps = 32", r"was written with schedule_steps=none"),
        ("seeds = [\n    7,\n    0,\n    3,\n]", "seeds = [7, 0]", "seeds=.7, 0, 3., but config.toml says"),
        ('algorithm = "a2c"', 'algorithm = "a3c"', "the algorithm 'a3c' .Did you mean 'sac'.*is not found by name"),
        ("gravity = 9.8", "gravity = 9.9", "gravity"),
        ("max_steps = 12", "max_steps = 13", "max_steps"),
        ("Discrete(2)", "Discrete(3)", r"the environment has changed: action_space was Discrete\(3\)"),
        ("[environment]", "[environs]", "'name' is missing"),
        ("[run]", "[run", "not readable as TOML"),
    ],
)
def test_a_config_that_is_not_the_runs_is_refused(stopped, old, new, message):
    path = stopped / "config.toml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    before = files(stopped)
    with pytest.raises(ValueError, match=message) as error:
        resume(stopped, progress=False)
    assert "\n" not in str(error.value)
    assert files(stopped) == before


def test_a_damaged_checkpoint_is_refused_and_nothing_is_lost(stopped):
    largest = max((stopped / "checkpoints").rglob("*"), key=lambda path: path.stat().st_size)
    largest.write_bytes(largest.read_bytes()[:-1])
    before = files(stopped)
    with pytest.raises(ValueError, match="damaged"):
        resume(stopped, progress=False)
    assert files(stopped) == before


def test_of_a_damaged_checkpoint_the_one_before_is_taken(stopped, whole):
    """Each file in turn: cut, changed in one bit, or gone; nothing that acting or going on needs goes unseen."""
    end = resume(stopped, progress=False, checkpoint_seconds=0.0).directory / "checkpoints" / "4"
    saved = load_run(stopped)
    for i, path in enumerate(path for path in end.rglob("*") if path.is_file() and path.stat().st_size):
        data = path.read_bytes()
        damaged = (data[:-1], bytes([data[0] ^ 1]) + data[1:], None)[i % 3]
        path.unlink()
        if damaged is not None:
            path.write_bytes(damaged)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            reached, _ = load_snapshot(saved)
            policies = load_policies(saved)
        assert len(reached.logs) == 4
        assert len(caught) == 1 + (policies.env_steps == 48)  # acting does not need the state
        said = [str(warning.message) for warning in caught]
        assert all(re.search(r"checkpoints/4 is .*; taken is .* of 3 updates.* is lost", line) for line in said)
        path.write_bytes(data)
    (end / "seal.json").unlink()
    with pytest.warns(UserWarning, match="checkpoints/4 is"):
        same_end(resume(stopped, progress=False), whole)


@pytest.mark.thorough("x.toml")
@pytest.mark.parametrize("name", ["lr=[1e-3,1e-4] $5_$6^ {a}*?", "x.toml"])
def test_a_directory_of_any_name(stopped, whole, tmp_path, monkeypatch, capsys, name):
    """Also given with the home directory as ~, or as it is seen from where one is."""
    shutil.move(stopped, tmp_path / "home" / name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "home")
    result = resume(f"~/{name}", progress=False)
    same_end(result, whole)
    assert result.directory == tmp_path / "home" / name == load_run(name).directory
    for command in (["report", f"~/{name}"], ["export", f"~/{name}", "~/policy.bin"], ["plot", name]):
        assert main(command) == 0
    assert (tmp_path / "home" / "policy.bin").exists()
    assert capsys.readouterr().err.startswith("seed ")


def test_a_file_saved_by_an_editor_of_windows_is_read(whole, tmp_path):
    directory = shutil.copytree(whole.directory, tmp_path / "run")
    for name in ("config.toml", "progress.csv", "timing.csv"):
        text = (directory / name).read_bytes()
        (directory / name).write_bytes(b"\xef\xbb\xbf" + text.replace(b"\n", b"\r\n"))
    assert load_run(directory).tables == load_run(whole.directory).tables
    ours, theirs = (gather([place], x="seconds") for place in (directory, whole.directory))
    np.testing.assert_array_equal(ours["CartPole-v1"]["run"][0].values, theirs["CartPole-v1"]["run"][0].values)
    report = write_report(directory).read_text()
    assert "compiling, and setting up" in report


def test_other_devices_are_named(stopped, monkeypatch):
    monkeypatch.setattr("jax.local_devices", lambda: jax.devices()[:1])
    with pytest.raises(UserWarning, match=r"was on 2 cpu device\(s\) and goes on with 1 cpu: equal up to rounding"):
        resume(stopped, progress=False)  # before anything is compiled


def test_no_run_to_resume(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds no run: there is no config\.toml"):
        resume(tmp_path)


@pytest.mark.thorough
def test_an_environment_and_a_network_of_ones_own(tmp_path):
    env = clock(A2C)
    config = CONFIG.replace(network=Torso(width=5))
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, 1)
        run(A2C, env, config, 2, directory=tmp_path / "run", **SETTINGS)
    with pytest.raises(ValueError, match=r"'clock' with time_limit\(6\) is not found by name.*: give env="):
        resume(tmp_path / "run", progress=False)
    with pytest.raises(ValueError, match="the environment has changed: max_steps was 6 and is 7"):
        resume(tmp_path / "run", env=clock(A2C, 7), progress=False)
    with pytest.raises(ValueError, match="the run is of a2c, not of dqn"):
        resume(tmp_path / "run", env=env, algo=DQN, progress=False)
    assert load_run(tmp_path / "run", env=env).config.network == Torso(width=5)
    assert_equal(resume(tmp_path / "run", env=env, progress=False).state, run(A2C, env, config, 2, **SETTINGS).state)


@pytest.mark.parametrize(
    "path", ["os:system", "subprocess:Popen", "not_imported_yet:Net", "test_resume:stop_after", "os"]
)
def test_nothing_that_a_config_names_is_run(stopped, path):
    text = (stopped / "config.toml").read_text()
    network = f'network = {{ import = "{path}", fields = {{ command = "touch ran" }} }}'
    (stopped / "config.toml").write_text(re.sub("^network = .*$", network, text, flags=re.MULTILINE))
    with pytest.raises(ValueError, match=f"the network {path} is not found by name"):
        load_run(stopped)


def test_a_failed_seed_stays_failed(tmp_path):
    env, config = breaking(A2C, 20), CONFIG
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, 3, signal.SIGINT)
        assert run(A2C, env, config, (3, 9), directory=tmp_path / "run", **SETTINGS).stopped == "Ctrl-C"
    assert resume(tmp_path / "run", env=env, progress=False).failed == {3: 3, 9: 3}


def test_both_signals_are_obeyed():
    assert set(STOPS) == {signal.SIGINT, signal.SIGTERM}


def test_a_replay_goes_on_too(tmp_path):
    """One lane of DQN, prioritised, past the end of its ring; nothing is annealed wrongly when it is made longer."""
    env, config = cartpole(), tiny(DQN)
    once = run(DQN, env, config.replace(total_steps=96, schedule_steps=64), [5], **{**SETTINGS, "num_evals": 6})
    run(DQN, env, config, [5], directory=tmp_path / "run", **SETTINGS)
    longer = resume(tmp_path / "run", total_steps=96, schedule_steps=64, progress=False)
    assert_equal(longer.state, once.state)


@pytest.mark.thorough
def test_a_restored_replay_is_written_in_place(tmp_path):
    """Two lanes of DQN with replays of megabytes: what is restored is donated, and no program holds another replay."""
    config = tiny(DQN, buffer_size=100_000, prioritized=False)
    run(DQN, cartpole(), config, 2, directory=tmp_path / "run", **SETTINGS)
    reached, _ = load_snapshot(load_run(tmp_path / "run"))
    mesh, progress = lane_mesh(2), to_devices(reached, 2).progress
    arguments = (DQN, cartpole(), canonical(config), {}, progress, jnp.int32(1), Evaluation(2), mesh)
    compiled = advance_lanes.lower(*arguments).compile()
    memory, replay = compiled.memory_analysis(), progress.state.replay.obs
    size = replay.nbytes // 2  # on each device
    assert memory.temp_size_in_bytes < size < memory.alias_size_in_bytes
    assert size > 1_500_000
    before = [shard.data.unsafe_buffer_pointer() for shard in replay.addressable_shards]
    after, _ = compiled(cartpole(), canonical(config), {}, progress, jnp.int32(1))
    assert replay.is_deleted()
    assert [shard.data.unsafe_buffer_pointer() for shard in after.state.replay.obs.addressable_shards] == before


@pytest.mark.thorough
def test_a_network_that_no_config_can_name(tmp_path):
    """Its fields are functions: it is kept all the same, and resumed with its config given."""
    config = CONFIG.replace(network=nn.Sequential((nn.Dense(4), nn.tanh)))
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, 1)
        run(A2C, cartpole(), config, 2, directory=tmp_path / "run", **SETTINGS)
    with pytest.raises(ValueError, match=r"is not found by name|has no field|must be") as error:
        resume(tmp_path / "run", progress=False)
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match=r"the config is not the run's: gamma was 0\.99 and is 0\.5"):
        resume(tmp_path / "run", config=config.replace(gamma=0.5), progress=False)
    assert not resume(tmp_path / "run", config=config, progress=False).stopped


def test_one_process_at_a_time(stopped):
    """The lock is the kernel's: another open file stands for another process."""
    before = files(stopped)
    with alone(stopped):
        with pytest.raises(ValueError, match="is being trained by another process"):
            resume(stopped, progress=False)
        with pytest.raises(ValueError, match="is being trained by another process"):
            run(A2C, cartpole(), CONFIG, SEEDS, directory=stopped, force=True, **SETTINGS)
    assert files(stopped) == before


def test_parts_of_a_sweep_are_not_resumed_alone(stopped, tmp_path):
    cell = tmp_path / "sweep" / "cells" / "0"
    shutil.copytree(stopped, cell)
    (tmp_path / "sweep" / "sweep.toml").write_text("")
    with pytest.raises(ValueError, match="is a part of a sweep"):
        resume(cell, progress=False)
    with pytest.raises(FileExistsError, match="already holds a sweep"):
        run(A2C, cartpole(), CONFIG, SEEDS, directory=tmp_path / "sweep", force=True, **SETTINGS)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("CartPole-v1", {"gravity": 12.1}),
        ("CartPole-v1", {"total_mass": 1.5}),
        ("Pendulum-v1", {"max_steps": 77}),
        ("DeepSea-bsuite", {"size": 5}),
        ("FrozenLake-misc", {"is_slippery": False}),
    ],
)
def test_a_config_builds_its_environment_again(name, options):
    """Physics, time limits and what the constructor was told."""
    env = envs.make(name, **options)
    table = tomllib.loads(to_toml(describe_environment(env)))["environment"]
    again = envs.make(name, **environment_options(table))
    assert again.spec == env.spec
    assert env.spec != envs.make(name).spec or "gravity" in options
    jax.tree.map(np.testing.assert_array_equal, again.params, env.params)
