"""The README and the documents say what works: their Python runs, their commands are understood."""

import importlib
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import jax
import pytest
from fake_runs import need_of_beginning

from jaxrl_up.cli import COMMANDS as CLI_COMMANDS
from jaxrl_up.cli import main
from jaxrl_up.experiments import memory

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
MADE = re.compile(r"(\.\./)*(reference|lessons)/\w+\.md$")  # with the site, whose tests follow links to them


def blocks(path, language):
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


SNIPPETS = {str(path.relative_to(ROOT)): blocks(path, "python") for path in DOCUMENTS}
OTHERS = [name for name, codes in SNIPPETS.items() if codes and name != "README.md"]
RUN_ALL = """
import runpy, sys, jaxrl_up
jaxrl_up.use_all_cores()
for path in sys.argv[1:]:
    runpy.run_path(path, run_name="__main__")
"""
COMMANDS = sorted(
    {
        line.partition("  #")[0].strip()
        for path in DOCUMENTS
        for block in blocks(path, "bash")
        for line in re.split(r"\n|&&", block)
    }
    | {c for path in DOCUMENTS for c in re.findall(r"`(jaxrl-up [^`]+)`", path.read_text(encoding="utf-8"))}
)


@pytest.mark.parametrize(
    "documents",
    [
        pytest.param(["README.md"], marks=pytest.mark.lessons),
        *(OTHERS[i : i + 5] for i in range(0, len(OTHERS), 5)),
    ],
    ids=lambda names: names[0],
)
def test_python_runs(documents, tmp_path):
    """One after another in a process that has imported what they need; long ones with an update between evaluations."""
    scripts = []
    for document in documents:
        for i, code in enumerate(SNIPPETS[document]):
            scripts.append(tmp_path / f"{document.replace('/', '_')}_{i}.py")
            code = code.replace("20_000", "5_200").replace("30_000", "10_300")
            scripts[-1].write_text(code, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", RUN_ALL, *scripts]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


WORKERS = {  # what commands call once they have understood their arguments; who imports it first, then where it is from
    "cli.jobs": ("executor_of",),
    "cli.commands.evaluate": ("load_run",),
    "cli.commands.watch": ("load_run",),
    "cli.commands.play": ("load_run", "converse"),
    "experiments": ("start", "resume", "start_sweep", "plan_sweep"),
    "records": ("load_run", "read_config", "run_source"),
    "analysis": ("find_runs", "plot_sweep", "write_report"),
    "deploy": ("eject",),
}


OWN = {  # files of one's own that commands name
    "my_ppo.py": "import dataclasses\nimport jaxrl_up\nPPO = dataclasses.replace(jaxrl_up.PPO, name='my_ppo')\n",
    "my_net.py": "from flax import linen\nclass Net(linen.Dense):\n    features: int = 4\n",
}


class Understood(Exception):
    pass


@pytest.mark.parametrize("command", [c for c in COMMANDS if "jaxrl-up" in c.split(" ")[0]])
def test_commands_are_understood(command, monkeypatch, tmp_path, capsys):
    def stop(*args, **kwargs):
        raise Understood

    jax.config.update(
        "jax_numpy_rank_promotion", "allow"
    )  # gymnax's Swimmer broadcasts; conftest sets it for each test
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name, text in OWN.items():
        Path(name).write_text(text, encoding="utf-8")
    monkeypatch.setattr(memory, "need", need_of_beginning)
    for module, names in WORKERS.items():
        for name in names:
            monkeypatch.setattr(importlib.import_module(f"jaxrl_up.{module}"), name, stop)
    words = shlex.split(command)[1:]
    if words in [[name] for name in CLI_COMMANDS if name not in ("train", "algos", "envs", "recipes")]:
        return  # the name of a command
    try:
        code = main(words)
    except Understood:
        return
    assert code == 0, capsys.readouterr().err
    assert words[0] != "train" or {"--help", "--dry-run"} & set(words)


def test_files_named_exist():
    for path in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8")):
            elsewhere = target.startswith("http") or ("docs" in path.parts and MADE.match(target))
            assert elsewhere or (path.parent / target).exists(), f"{path.name}: {target}"
        for target in re.findall(
            r"`((?:bench|docs|configs|tests|jaxrl_up)/[\w/.-]+)`", path.read_text(encoding="utf-8")
        ):
            assert (ROOT / target).exists(), f"{path.name}: {target}"


def test_ci_runs_the_commands_of_the_readme():
    first, *_ = blocks(ROOT / "README.md", "bash")
    install_and_train, test = first.splitlines()
    assert install_and_train.startswith("python3 -m venv")
    assert "pytest" in test
    assert "readme_command 1" in (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert "readme_command 2" in (ROOT / ".ci/run").read_text(encoding="utf-8")
