"""docs/theory.md gives what it says, and leaves out nothing of the room."""

import doctest
import inspect
import re
from pathlib import Path

import pytest

from jaxrl_up import tabular

PAGE = Path(__file__).resolve().parents[2] / "docs" / "theory.md"
FENCE = re.compile(r"^```pycon\n(.*?)^```", re.MULTILINE | re.DOTALL)


def examples():
    """The page with all but its examples blank, so that what fails is named by its line."""
    text, end, kept = PAGE.read_text(encoding="utf-8"), 0, ""
    for found in FENCE.finditer(text):
        kept += "\n" * text.count("\n", end, found.start(1)) + found[1]
        end = found.end(1)
    return kept


@pytest.mark.thorough
def test_examples_are_right(tmp_path, monkeypatch):
    """One namespace for all: they build on one another."""
    monkeypatch.chdir(tmp_path)
    test = doctest.DocTestParser().get_doctest(examples(), {"__name__": "theory"}, PAGE.name, str(PAGE), 0)
    said: list[str] = []
    result = doctest.DocTestRunner(verbose=False).run(test, out=said.append)
    assert result.failed == 0, "".join(said)
    assert result.attempted > 100


def test_every_example_is_run():
    assert examples().count("\n>>> ") == PAGE.read_text(encoding="utf-8").count("\n>>> ")


@pytest.mark.parametrize("module", [tabular, tabular.policy_gradients], ids=["tabular", "policy_gradients"])
def test_everything_is_on_the_page(module):
    """Every function and class that is public."""
    named = set(re.findall(r"\w+", PAGE.read_text(encoding="utf-8")))
    own = {
        name
        for name, x in vars(module).items()
        if (inspect.isfunction(x) or inspect.isclass(x)) and x.__module__.startswith(module.__name__)
    }
    assert len(own) > 10
    assert {name for name in own if not name.startswith("_")} <= named
