"""Several processes that train together: as one process does, one of them writes, and none outlives another."""

import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from multiprocessing.connection import Connection

import numpy as np
import pytest

from jaxrl_up import resume, use_all_processes
from jaxrl_up.cli import main
from jaxrl_up.experiments import Meeting, find_meeting, join
from jaxrl_up.records import columns, processes, read_config

TINY = [
    *("--total-steps", "256", "--num-envs", "2", "--rollout-length", "32", "--hidden", "8"),
    *("--num-evals", "4", "--num-episodes", "2", "--max-eval-steps", "20"),
    *("--schedule-steps", "512"),
]
LONG = [*TINY, "--total-steps", "60_000_000", "--num-evals", "100_000", "--checkpoint-seconds", "0"]
FILES = {"config.toml", "progress.csv", "timing.csv", "checkpoints", "curve.png", "report.html"}


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


class Together:
    """The same command in several processes."""

    def __init__(self, folder, *arguments, number=2, folders=None):
        where = f"127.0.0.1:{free_port()}"
        self.started = [
            subprocess.Popen(
                [sys.executable, "-m", "jaxrl_up", *arguments, "--coordinator", where, f"--processes={number}",
                 f"--process={i}"],
                cwd=folders[i] if folders else folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )
            for i in range(number)
        ]  # fmt: skip

    def ended(self, seconds=240):
        """(exit code, standard output, standard error) of each."""
        until = time.monotonic() + seconds
        try:
            said = [one.communicate(timeout=max(until - time.monotonic(), 0.1)) for one in self.started]
        finally:
            for one in self.started:
                one.kill()
        return [(one.returncode, *texts) for one, texts in zip(self.started, said, strict=True)]

    def until_kept(self, directory):
        """Wait for a checkpoint."""
        for _ in range(1200):
            if list(directory.glob("checkpoints/*/seal.json")) or any(one.poll() for one in self.started):
                break
            time.sleep(0.1)
        return self


def same_up_to_rounding(ours, theirs):
    ours, theirs = columns.read_progress(ours), columns.read_progress(theirs)
    assert list(ours) == list(theirs)
    for name in ours:
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-3, atol=1e-5, err_msg=name)


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """A run in two processes: its directory, and what they said."""
    folder = tmp_path_factory.mktemp("processes")
    said = Together(folder, "train", "a2c", *TINY, "--seeds", "3", "--directory", "run").ended()
    return folder / "run", said


def test_two_processes_train_as_one(two, tmp_path, capsys):
    directory, ((code, out, err), other) = two
    assert (code, other) == (0, (0, "", "")), err
    assert "3 seeds x 256 steps on" in err
    assert "in 2 processes" in err
    assert {path.name for path in directory.iterdir()} == FILES
    assert main(["train", "a2c", *TINY, "--seeds", "3", "--directory", str(tmp_path / "one")]) == 0
    assert out == capsys.readouterr().out
    same_up_to_rounding(directory, tmp_path / "one")
    ours, theirs = read_config(directory / "config.toml"), read_config(tmp_path / "one" / "config.toml")
    assert ours["device"]["processes"] == 2
    assert {**ours, "device": 0, "code": 0} == {**theirs, "device": 0, "code": 0}


LAUNCHERS = ("SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID")
SLURM = dict(zip(LAUNCHERS, ("4097", "node[07-09,12]", "4", "2", "1"), strict=True))
OPEN_MPI = {
    "OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_LOCAL_RANK": "0",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "1",
}  # fmt: skip
URI = {"OMPI_MCA_orte_hnp_uri": "1531576320.0;tcp://10.96.0.1,10.148.0.1:34911"}


@pytest.mark.parametrize(
    ("environment", "given", "found"),
    [
        ({}, (None, None, None), None),
        ({}, (None, 1, None), None),
        ({}, ("10.0.0.1:1234", 1, 0), None),
        ({}, ("10.0.0.1:1234", 4, 3), Meeting("10.0.0.1:1234", 4, 3)),
        ({}, ("[::1]:1234", 2, 0), Meeting("::1:1234", 2, 0)),
        (SLURM, (None, None, None), Meeting("node07:61441", 4, 2, 1)),
        ({**SLURM, "SLURM_STEP_TASKS_PER_NODE": "1(x4)"}, (None, None, None), Meeting("node07:61441", 4, 2)),
        ({**SLURM, "CUDA_VISIBLE_DEVICES": "0"}, (None, None, None), Meeting("node07:61441", 4, 2)),
        ({**SLURM, "JAX_COORDINATOR_PORT": "99"}, (None, None, None), Meeting("node07:99", 4, 2, 1)),
        ({**SLURM, "SLURM_NTASKS": "1", "SLURM_PROCID": "0"}, (None, None, None), None),
        (SLURM, (None, 1, None), None),
        ({**OPEN_MPI, **URI}, (None, None, None), Meeting("10.96.0.1:62624", 2, 1)),
        (OPEN_MPI, ("head:1234", None, None), Meeting("head:1234", 2, 1)),
    ],
)
def test_where_processes_meet(environment, given, found, monkeypatch):
    for name in (*LAUNCHERS, "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert find_meeting(*given) == found


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--processes", "2"], "several processes must know where the first waits: give coordinator"),
        (["--process", "1"], "several processes must know where the first waits: give coordinator"),
        (["--coordinator", "h:1"], "coordinator='h:1': say how many processes (--processes) too"),
        (["--coordinator", "h:1", "--processes=2"], "coordinator='h:1': say which process this is (--process) too"),
        (["--coordinator", "h:1", "--processes=2", "--process=2"], "process=2 must be below processes=2"),
        (["--coordinator", "h:1", "--processes=1", "--process=1"], "process=1 must be below processes=1"),
        (["--coordinator", "h:1", "--processes=0", "--process=0"], "processes=0 must be"),
        (["--coordinator", "h", "--processes=2", "--process=1"], "coordinator='h' must be HOST:PORT, as in"),
        (["--coordinator", "h:99999", "--processes=2", "--process=1"], "coordinator='h:99999' must be HOST:PORT"),
        (["--coordinator", "h:1", "--processes=2", "--process=0", "--dry-run"], "seeds are 1 in 2 processes"),
    ],
)
def test_options_that_do_not_fit_are_one_line(options, line, capsys):
    assert main(["train", "a2c", "--seeds", "1", *options]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(f"jaxrl-up: error: {line}")
    assert processes.place() == processes.Place()


def test_open_mpi_that_names_no_address(monkeypatch):
    for name, value in OPEN_MPI.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=r"Open MPI does not say where the first process waits: give coordinator"):
        find_meeting(None, None, None)


def test_what_a_process_would_take_is_said_without_the_others(capsys):
    command = ["--seeds", "5", "--dry-run", "--coordinator", "127.0.0.1:1", "--processes", "2", "--process", "1"]
    assert main(["train", "a2c", *TINY, *command]) == 0
    out = capsys.readouterr().out
    assert "3 seeds x" in out
    assert "processes      2; the lines above are of the one with most seeds" in out


def test_processes_that_do_not_come_are_named():
    where = f"127.0.0.1:{free_port()}"
    with pytest.raises(OSError, match=rf"process 0 waited 0 s at {where} in vain for process 1, 2 of 3"):
        use_all_processes(where, 3, 0, timeout=0.3)
    with pytest.raises(OSError, match=rf"process 1 found no process 0 at {where} within 0 s: Connection refused"):
        use_all_processes(where, 3, 1, timeout=0.3)
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(OSError, match=rf"cannot wait at {taken}: .*; give another port"):
            use_all_processes(taken, 3, 0, timeout=0.3)


@pytest.mark.parametrize(
    ("says", "line"),
    [
        ({"processes": 3}, "process 1 says there are processes=3, but process 0 says 2"),
        ({"version": "0"}, "process 1 is jaxrl_up 0, but process 0 is"),
        ({"process": 0}, "process=0 was started twice: give each its own number"),
    ],
)
def test_a_process_that_does_not_belong_there(says, line):
    from jaxrl_up import __version__

    port, answers = free_port(), []

    def come():
        for _ in range(100):
            try:
                connection = Connection(socket.create_connection(("127.0.0.1", port)).detach())
                break
            except OSError:
                time.sleep(0.05)
        connection.send_bytes(json.dumps({"process": 1, "processes": 2, "version": __version__, **says}).encode())
        answers.append(json.loads(connection.recv_bytes()))

    other = threading.Thread(target=come)
    other.start()
    with pytest.raises(ValueError, match=line.replace(".", r"\.")):
        join(Meeting(f"127.0.0.1:{port}", 2, 0), timeout=30)
    other.join()
    assert answers[0].startswith(line)


def test_lanes_are_shared_out(monkeypatch):
    for lanes, number in ((5, 2), (4, 4), (7, 3), (1, 2)):
        rows = []
        for i in range(number):
            monkeypatch.setattr("jaxrl_up.records.processes._State.place", processes.Place(i, number))
            rows += processes.share(lanes)
            assert len(processes.share(lanes)) <= processes.widest(lanes)
        assert rows == list(range(lanes))


@pytest.mark.thorough
def test_the_same_number_goes_on_bit_for_bit_and_another_up_to_rounding(two, tmp_path):
    for name in ("by two", "by one"):
        shutil.copytree(two[0], tmp_path / name)
    longer = ("--total-steps", "512")
    by_two = Together(tmp_path, "resume", "by two", *longer)
    assert [code for code, *_ in by_two.ended()] == [0, 0]
    straight = Together(tmp_path, "train", "a2c", *TINY, *longer, "--num-evals=8", "--seeds=3", "--directory=straight")
    assert [code for code, *_ in straight.ended()] == [0, 0]
    known = (tmp_path / "straight" / "progress.csv").read_bytes()
    assert (tmp_path / "by two" / "progress.csv").read_bytes() == known
    with pytest.warns(UserWarning, match=r"device\(s\) in 2 processes and goes on with 2 cpu: equal up to rounding"):
        resume(tmp_path / "by one", 512, progress=False)
    same_up_to_rounding(tmp_path / "by one", tmp_path / "straight")


@pytest.mark.thorough
@pytest.mark.parametrize("victim", [0, 1])
def test_a_lost_process_ends_the_others(victim, tmp_path):
    started = Together(tmp_path, "train", "a2c", *LONG, "--seeds", "2", "--directory", "run")
    started.until_kept(tmp_path / "run").started[victim].kill()
    code, _, err = started.ended(seconds=30)[1 - victim]
    assert code == 1, err
    last = err.splitlines()[-1]
    assert last.startswith(f"jaxrl-up: error: process {victim} of 2 has ended, and process {1 - victim} ends with it")
    assert main(["resume", str(tmp_path / "run"), "--total-steps", "1"]) == 2  # it is whole, and this is no longer run


@pytest.mark.thorough
@pytest.mark.parametrize("stopped", [0, 1])
def test_a_stop_of_one_stops_all_in_order(stopped, tmp_path):
    started = Together(tmp_path, "train", "a2c", *LONG, "--seeds", "2", "--directory", "run")
    started.until_kept(tmp_path / "run").started[stopped].send_signal(signal.SIGTERM)
    (code, out, err), (other, *nothing) = started.ended(seconds=60)
    assert (code, other, nothing) == (143, 143, ["", ""])
    assert out.startswith("score ")
    assert "stopped by SIGTERM" in err
    assert {path.name for path in (tmp_path / "run").iterdir()} == FILES


@pytest.mark.thorough
def test_a_sweep_whose_last_rung_has_fewer_lanes_than_processes(tmp_path, capsys):
    sweep = ["sweep", "a2c", *TINY, "--grid", "learning_rate=1e-3,1e-4,1e-5", "--seeds=1", "--halving=2", "--directory"]
    (code, out, err), other = Together(tmp_path, *sweep, "two").ended()
    assert (code, other) == (0, (0, "", "")), err
    assert main([*sweep, str(tmp_path / "one")]) == 0
    assert out == capsys.readouterr().out
    for k in range(2):
        same_up_to_rounding(tmp_path / "two" / "cells" / str(k), tmp_path / "one" / "cells" / str(k))


@pytest.mark.thorough
def test_a_directory_that_not_all_see(tmp_path):
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
    (first, _, said), (code, _, err) = Together(
        None, "train", "a2c", *TINY, "--seeds=2", "--directory=run", folders=folders
    ).ended()
    assert (first, code) == (1, 2)
    assert err.count("\n") == 1
    assert "process 1 does not see" in err
    assert said.splitlines()[-1].startswith("jaxrl-up: error: process 1 of 2 has ended")


@pytest.mark.thorough
def test_from_python_and_more_than_one_run(tmp_path):
    code = """
import sys, jaxrl_up
place = jaxrl_up.use_all_processes(sys.argv[1], 2, int(sys.argv[2]))
jaxrl_up.use_all_cores()
how = dict(num_evals=2, num_episodes=2, max_eval_steps=20, progress=False)
fields = dict(total_steps=256, num_envs=2, rollout_length=32, hidden=(8,))
for number in (2, 3):
    result = jaxrl_up.run("a2c", "CartPole-v1", fields, seeds=number, **how)
    assert len(result.returns) == number
    assert (result.state is None) == (place.process == 1)
    print(result.score)
if place.process == 1:
    raise SystemError("by itself")
import time
time.sleep(60)
"""
    where = f"127.0.0.1:{free_port()}"
    started = [
        subprocess.Popen([sys.executable, "-c", code, where, str(i)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         text=True)
        for i in range(2)
    ]  # fmt: skip
    (first, line), (second, trace) = (one.communicate(timeout=120) for one in started)
    assert first == second
    assert len(first.splitlines()) == 2
    assert "SystemError: by itself" in trace
    assert line.splitlines()[-1].startswith("jaxrl-up: error: process 1 of 2 has ended")
    assert [one.returncode for one in started] == [1, 1]
