"""What the pages of prose name is there: functions by their path, fields of algorithms, arguments of `run`."""

import dataclasses
import inspect
import re
from pathlib import Path

import pytest

import jaxrl_up
from jaxrl_up import ALGORITHMS, envs, run

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGES = (
    "coming_from",
    "debugging",
    "clusters",
    "devices",
    "get_started",
    "glossary",
    "index",
    "own_algorithm",
    "papers",
    "research",
)
ROOMS = ("algorithms", "analysis", "deploy", "envs", "experiments", "learning", "ops", "records", "tabular", "training")
FIELDS = {name: {field.name for field in dataclasses.fields(algo.Config)} for name, algo in ALGORITHMS.items()}
ALL_FIELDS = set().union(*FIELDS.values())


def prose(page):
    """The text of a page without its blocks of code."""
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def quoted(text):
    return re.findall(r"`([^`\n]+)`", text)


def resolve(name):
    """What a dotted path means, from `jaxrl_up` on; `ALGORITHM.FIELD` is a field of a Config."""
    first, *rest = name.removeprefix("jaxrl_up.").split(".")
    if first in FIELDS and rest and rest[0] in FIELDS[first]:
        return
    found = getattr(jaxrl_up.algorithms if first in FIELDS else jaxrl_up, first)
    for part in rest:
        found = getattr(found, part)


@pytest.mark.parametrize("page", PAGES)
def test_names_are_there(page):
    starts = (*ROOMS, *FIELDS, "jaxrl_up", "TimeStep")
    for name in quoted(prose(page)):
        path = re.match(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", name)
        if path and path[0].split(".")[0] in starts and not path[0].endswith((".py", ".md", ".toml", ".csv")):
            resolve(path[0])


def test_glossary_names_functions():
    """Each entry names something, and single names are of the package's face."""
    entries = prose("glossary").split("\n\n**")[1:]
    assert len(entries) > 60
    assert [entry.split(".**")[0] for entry in entries if not quoted(entry)] == []
    for name in quoted("".join(entries)):
        resolve(name)


def test_probes_are_there():
    rows = re.findall(
        r"^\| (`\w+`(?:, `\w+`)*) \|", prose("debugging").partition("## Probe environments")[2], re.MULTILINE
    )
    names = [name for row in rows[:7] for name in quoted(row)]
    assert len(names) == 8 and all(hasattr(envs.probes, name) for name in names)


def test_fields_of_other_libraries_are_fields_here():
    """The middle column of the tables of hyperparameters names fields, or says none."""
    tables = re.findall(
        r"^\| [\w .-]+ \| here, field \|.*?\n\n", prose("coming_from") + "\n\n", re.MULTILINE | re.DOTALL
    )
    assert len(tables) == 4
    for table in tables:
        for row in table.strip().splitlines()[2:]:
            here = row.split("|")[2].strip()
            assert here == "none" or quoted(here), row
            assert set(quoted(here)) <= ALL_FIELDS, row


def test_arguments_of_run_are_arguments():
    named = {"num_evals", "num_episodes", "checkpoint_seconds"}
    assert named <= set(quoted(prose("coming_from"))) and named <= set(inspect.signature(run).parameters)
