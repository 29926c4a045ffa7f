"""The page of benchmarks is what its script makes of the stored results, and says where every number comes from."""

import importlib.util
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("benchmark_page", ROOT / "bench" / "benchmark_page.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_that_of_the_results(script):
    """After new results: python bench/benchmark_page.py."""
    assert PAGE.read_text(encoding="utf-8") == script.page(script.read())


def test_every_measured_recipe_has_a_row_with_its_recipe_and_its_data():
    rows = re.findall(r"^\| \[(\S+)\]\((\S+)\) .*\[\S+\]\((\S+)\) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    measured = set()
    for path in (ROOT / "bench" / "results").glob("*.json"):
        table = json.loads(path.read_text(encoding="utf-8"))
        measured |= {table["recipe"]} if isinstance(table, dict) and "curves" in table else set()
    assert {recipe for recipe, _, _ in rows} == measured
    for recipe, settings, data in rows:
        assert (PAGE.parent / settings).exists()
        assert json.loads((PAGE.parent / data).read_text(encoding="utf-8"))["recipe"] == recipe


def test_pictures_are_there_and_small():
    shown = set(re.findall(r"\(images/(\S+)\)", PAGE.read_text(encoding="utf-8")))
    files = {path.name: path.stat().st_size for path in (PAGE.parent / "images").glob("benchmark-*")}
    assert shown == set(files)
    assert sum(files.values()) < 1_000_000


def test_pictures_are_drawn(script, tmp_path):
    """Of two environments, and one comparison across them."""
    chosen = [r for r in script.read() if r.environment in ("Pendulum-v1", "MountainCarContinuous-v0")]
    script.SUITES = {"continuous actions": script.SUITES["continuous actions"]}
    names = sorted(path.name for path in script.draw(chosen, tmp_path / "images"))
    places = ("mountaincarcontinuous-v0", "pendulum-v1")
    expected = [f"benchmark-{place}{kind}.png" for place in places for kind in ("", "-scores", "-profiles")]
    assert names == sorted(["benchmark-continuous-actions.png", *expected])
