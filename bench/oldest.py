"""The tests with the oldest versions of libraries that pyproject.toml allows, in an environment of its own.

    python bench/oldest.py [arguments of pytest]        # `-n 2 --dist load` unless given; needs `pip install uv`

What the declared versions allow and the code cannot do fails here first, and not with a user. Of what old libraries
warn in one another nothing is said.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Install and test; the exit code is that of pytest."""
    with tempfile.TemporaryDirectory() as place:
        python = f"{place}/venv/bin/python"
        subprocess.run(["uv", "venv", "-q", "--python", sys.executable, f"{place}/venv"], check=True)
        oldest = ["--resolution", "lowest-direct", "-e", f"{ROOT}[test]"]
        subprocess.run(["uv", "pip", "install", "-q", "--python", python, *oldest], check=True)
        arguments = sys.argv[1:] or ["-n", "2", "--dist", "load"]
        settings = os.environ | {"PATH": f"{place}/venv/bin:{os.environ['PATH']}"}
        tests = [python, "-m", "pytest", "-W", "ignore::DeprecationWarning", *arguments]
        return subprocess.run(tests, cwd=ROOT, env=settings, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
