"""A run that is killed ends as if it had been left alone, once it is resumed; `bench/kill.py` kills twenty."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.learning  # some minutes of processes that start
def test_two_kills(tmp_path):
    command = [sys.executable, ROOT / "bench" / "kill.py", "--kills", "2", "--evaluations", "20"]
    command += ["--out", tmp_path / "kill.json"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    report = json.loads((tmp_path / "kill.json").read_text())
    assert (report["equal"], report["living"]) == (2, 2)
