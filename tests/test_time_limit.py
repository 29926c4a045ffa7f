"""A test that is stuck fails; it does not keep all others waiting."""

import subprocess
import sys

STUCK = """
import time

def test_stuck():
    time.sleep(600)
"""


def test_a_stuck_test_fails(tmp_path, request):
    assert float(request.config.getini("timeout")) == 600
    path = tmp_path / "test_stuck.py"
    path.write_text(STUCK)
    options = ["--timeout=1", f"--override-ini=timeout_method={request.config.getini('timeout_method')}"]
    command = [sys.executable, "-m", "pytest", f"--rootdir={tmp_path}", "-c", "/dev/null", *options, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode != 0
    assert "Timeout" in done.stdout + done.stderr and "time.sleep(600)" in done.stdout + done.stderr
