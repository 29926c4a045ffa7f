"""A sweep as jobs: its parts as commands for any scheduler, and by submitit; the tables are those of one process."""

import os
import shlex
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

from jaxrl_up.cli import main
from jaxrl_up.experiments import SweepWatcher, load_sweep, resume_part
from jaxrl_up.records import alone

ROOT = Path(__file__).resolve().parents[2]
TINY = [
    *("sweep", "a2c", "--total-steps", "64", "--num-envs", "2", "--rollout-length", "8", "--hidden", "8"),
    *("--initializer", "flax", "--seeds", "3,5", "--num-evals", "2", "--num-episodes", "2", "--max-eval-steps", "12"),
    *("--env.max_steps=12", "--grid", "learning-rate=1e-3,1e-2,1e-1", "--max-lanes", "4", "--no-progress"),
]  # two parts
TABLES = ("results.csv", "ranking.csv", "best.toml", "cells/0/progress.csv", "cells/1/progress.csv")


@pytest.fixture(scope="module")
def whole(cpus, tmp_path_factory):
    """The sweep in one process: its directory."""
    directory = tmp_path_factory.mktemp("whole") / "sweep"
    assert main([*TINY, "--directory", str(directory)]) == 0
    return directory


def assert_same(directory, other):
    for name in TABLES:
        assert (directory / name).read_bytes() == (other / name).read_bytes(), name
    assert (directory / "sweep.png").exists()


def planned(directory, capsys, *more):
    """The command lines of the parts, as words."""
    assert main([*TINY, "--directory", str(directory), "--print-jobs", *more]) == 0
    return [shlex.split(line) for line in capsys.readouterr().out.splitlines()]


def test_printed_commands_come_to_the_tables_of_one_process(whole, tmp_path, capsys, monkeypatch):
    """In any order, stopped and repeated; whoever ends last writes the tables."""
    directory = tmp_path / "my sweep"
    first, second = planned(directory, capsys, "--checkpoint-seconds", "none")
    assert first == [
        "jaxrl-up",
        "resume",
        str(directory),
        "--part",
        "0",
        "--no-progress",
        "--checkpoint-seconds",
        "none",
    ]
    assert not load_sweep(directory).finished.any()
    config = directory / "cells/0/config.toml"
    config.write_text(config.read_text().replace('platform = "cpu"', 'platform = "tpu"'))  # of who planned it
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SweepWatcher, "evaluated", lambda *_: os.kill(os.getpid(), 15))
        assert main(second[1:]) == 143
    assert capsys.readouterr().out == "part 1 is stopped by SIGTERM, 2 of 2 parts left\n"
    assert main(second[1:]) == 0
    assert capsys.readouterr().out == "part 1 is done, 1 of 2 parts left\n"
    assert not (directory / "results.csv").exists()
    assert main(["resume", str(directory), "--print-jobs"]) == 0
    assert capsys.readouterr().out.split(" --part ")[1] == "0\n"
    assert main(first[1:]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("best learning_rate=")
    assert tomllib.loads(config.read_text())["device"]["platform"] == "cpu"
    assert_same(directory, whole)
    monkeypatch.setattr(SweepWatcher, "evaluated", None)
    reached = resume_part(directory, 1, progress=False)  # done: nothing is trained
    assert (reached.left, reached.sweep.ranking) == ((), load_sweep(whole).ranking)


def test_what_is_left_is_trained_by_resume(whole, tmp_path, capsys):
    first, _ = planned(tmp_path / "sweep", capsys)
    assert main(first[1:]) == 0
    assert main(["resume", str(tmp_path / "sweep"), "--no-progress"]) == 0
    assert_same(tmp_path / "sweep", whole)


def test_submitted_to_processes_of_this_machine(whole, tmp_path):
    """Two parts side by side, by submitit's local executor."""
    directory, environment = tmp_path / "sweep", {**os.environ, "PYTHONPATH": str(ROOT)}
    words = [*TINY, "--directory", str(directory), "--submit", "local", "--submit-option", "timeout_min=5"]
    line = [sys.executable, "-m", "jaxrl_up", *words]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert [line.rpartition(" ")[0] for line in done.stdout.splitlines()] == ["part 0: job", "part 1: job"]
    jobs = [line.split()[-1] for line in done.stdout.splitlines()]
    ends = [directory / "jobs" / f"{job}_0_result.pkl" for job in jobs]
    for _ in range(1200):
        if all(end.exists() for end in ends):
            break
        time.sleep(0.1)
    assert all(end.exists() for end in ends), [path.read_text() for path in directory.glob("jobs/*_0_log.err")]
    assert_same(directory, whole)


def test_submitted_to_slurm(tmp_path, monkeypatch, capsys):
    """As far as sbatch, here one that keeps what it is given."""
    for name, text in {"srun": "", "sbatch": f"cat $1 > {tmp_path}/script; echo Submitted batch job 4242"}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    given = ["--submit-option", "slurm_partition=gpu", "--submit-option=gpus_per_node=1"]
    assert main([*TINY, "--directory", str(tmp_path / "sweep"), "--submit", "slurm", *given]) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines() == ["part 0: job 4242_0", "part 1: job 4242_1"]
    assert f"`jaxrl-up resume {tmp_path / 'sweep'}` trains what is left" in printed.err
    script = (tmp_path / "script").read_text()
    for line in ("partition=gpu", "gpus-per-node=1", "time=1440", "array=0-1%2", "job-name=sweep"):
        assert f"#SBATCH --{line}\n" in script
    (tmp_path / "sbatch").write_text("#!/bin/sh\necho no such partition >&2\nexit 1\n")
    assert main(["resume", str(tmp_path / "sweep"), "--submit", "slurm"]) == 2
    assert "no such partition. The sweep is there: submit it by jaxrl-up resume" in capsys.readouterr().err


def test_locks(whole, capsys):
    """A part beside others, none twice, and no part beside the sweep as a whole."""
    part, all_of_it = ["resume", str(whole), "--part", "0"], ["resume", str(whole), "--no-progress"]
    for where, beside, words, code in (
        (whole, True, all_of_it, 2),
        (whole, True, part, 0),
        (whole, False, part, 2),
        (whole / "cells/0", False, part, 2),
        (whole / "cells/1", False, part, 0),
    ):
        with alone(where, beside_parts=beside):
            assert main(words) == code
            said = capsys.readouterr().err
            assert (f"{where} is being trained by another process" in said) is (code == 2)


BAD = {
    "--print-jobs --halving 2 --eta 2": "halving=2: a rung of successive halving begins where all parts of the one",
    "--print-jobs --submit local": "--print-jobs and --submit: print the commands, or submit them",
    "--submit pbs": "--submit pbs: choose from slurm, local",
    "--submit slurm": '--submit slurm: Could not detect "srun"',
    "--submit local --submit-option gpus": "--submit-option gpus: give a name and a value",
    "--submit local --submit-option local_cpus=2": "Unknown argument 'cpus' for executor 'local'",
    "--submit local --submit-option timeout_min=long": '"timeout_min" expected type',
    "--submit-option nodes=1": "--submit-option is for --submit",
}


@pytest.mark.parametrize("words", BAD)
def test_a_bad_input_is_one_line(words, tmp_path, capsys):
    assert main([*TINY, "--directory", str(tmp_path / "sweep"), *words.split()]) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    assert BAD[words] in printed.err
    assert not list(tmp_path.iterdir())


def test_parts_that_there_are_not(whole, tmp_path, capsys, monkeypatch):
    for words, message in {
        f"{whole} --part 2": "has 2 parts, from 0 on: there is no part 2",
        f"{whole} --part -1": "part=-1 must be at least 0",
        f"{whole} --part 0 --print-jobs": "--part trains one part",
        f"{whole}/cells/0 --part 0": "holds no sweep: leave --part, --print-jobs and --submit out",
        f"{tmp_path} --print-jobs": "holds no sweep",
    }.items():
        assert main(["resume", *words.split()]) == 2
        assert message in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "submitit", None)
    assert main(["resume", str(whole), "--submit", "local"]) == 2
    assert "pip install 'jaxrl-up[slurm]'" in capsys.readouterr().err
