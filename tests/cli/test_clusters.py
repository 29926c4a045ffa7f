"""The files of docs/clusters.md: a shell reads them, YAML holds together, and their commands are ours."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from jaxrl_up.cli import main

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "clusters.md").read_text(encoding="utf-8")
PAGE = PAGE.partition("## A sweep as jobs")[0]


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


[SERVICE, JOB] = [part for block in blocks("yaml") for part in yaml.safe_load_all(block)]
POD = JOB["spec"]["template"]["spec"]
WRITTEN = [*blocks("sh"), *POD["containers"][0]["args"]]
SCRIPTS = [re.sub(r" \\\n *", " ", script) for script in WRITTEN]  # lines that go on are one
WHERE = re.compile(r'^where="(.*)"$', re.MULTILINE)
COMMANDS = [
    command.replace("$where", " ".join(WHERE.findall(script)))
    for script in SCRIPTS
    for command in re.findall(r"jaxrl-up [a-z]+ .*(?= &$)|jaxrl-up [a-z]+ .*", script, re.MULTILINE)
]


class Understood(Exception):
    """The command line has come to its work."""


def test_shells_read_the_scripts():
    assert len(WRITTEN) == 3
    for script in WRITTEN:
        done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), script


def test_slurm_reads_its_options():
    [script] = [script for script in SCRIPTS if script.startswith("#!")]
    options = dict(re.findall(r"^#SBATCH --([a-z-]+)(?:=(\S+))?$", script, re.MULTILINE))
    assert len(options) == script.count("#SBATCH") == 8
    assert options["signal"] == "TERM@120"  # to the steps, as srun starts them, and not to the shell


def test_pods_find_the_first_one():
    name, number = JOB["metadata"]["name"], JOB["spec"]["completions"]
    assert SERVICE["spec"]["clusterIP"] == "None"
    assert SERVICE["spec"]["publishNotReadyAddresses"] is True
    assert SERVICE["spec"]["selector"] == {"job-name": name}
    assert JOB["spec"]["completionMode"] == "Indexed"
    assert JOB["spec"]["parallelism"] == number
    assert POD["subdomain"] == SERVICE["metadata"]["name"]
    [mount] = POD["containers"][0]["volumeMounts"]
    assert mount["name"] == POD["volumes"][0]["name"]
    [where] = WHERE.findall(SCRIPTS[-1])
    assert where.startswith(f"--coordinator {name}-0.{POD['subdomain']}:1234 --processes {number} --process ")


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_are_ours(command, monkeypatch, tmp_path, capsys):
    def stop(*args, **kwargs):
        raise Understood

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("jaxrl_up.experiments.join", lambda meeting, **how: None)
    monkeypatch.setattr("jaxrl_up.records.read_config", stop)
    monkeypatch.setattr("jaxrl_up.experiments.start", stop)
    words = shlex.split(re.sub(r'"?\$\w+"?', "1", command))[1:]
    with pytest.raises(Understood):
        assert main(words) == 0, capsys.readouterr().err


def test_there_are_commands():
    assert len(COMMANDS) == 5
