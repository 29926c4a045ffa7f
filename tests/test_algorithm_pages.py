"""A page for each algorithm, docs/algorithms/NAME.md, that says what the code does, with the macros of docs/_site."""

import ast
import functools
import importlib.util
import re
import textwrap
from pathlib import Path

import jinja2
import pytest

from jaxrl_up import ALGORITHMS, make_config
from jaxrl_up.algorithms import ppo
from jaxrl_up.records import GAMES, column_meaning

ROOT = Path(__file__).resolve().parent.parent
PAGES = ROOT / "docs" / "algorithms"
SECTIONS = [
    "Background",
    "Quick facts",
    "Key equations",
    "Exploration against exploitation",
    "Pseudocode beside our lines",
    "What it logs",
    "Deviations from the paper",
    "Time limits",
    "Fields",
    "How to run it",
    "Scores and curves",
    "Related pages",
    "References",
]


@pytest.fixture(scope="module")
def macros():
    spec = importlib.util.spec_from_file_location("site_macros", ROOT / "docs" / "_site" / "macros.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def rendered(macros):
    """The page of an algorithm as the site has it, made once."""
    return functools.cache(lambda name: render(page(name), macros))


def page(name):
    return (PAGES / f"{name}.md").read_text(encoding="utf-8")


def render(text, macros):
    """The page as mkdocs-macros makes it."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined)
    environment.globals |= {macro.__name__: macro for macro in macros.MACROS}
    return environment.from_string(text).render()


def section(text, title):
    return re.split(r"^## ", text.partition(f"\n## {title}\n")[2], flags=re.MULTILINE)[0]


def first_cells(table):
    """The names in the first column of every table of a text."""
    rows = re.findall(r"^ *\|([^|]*)\|", table, re.MULTILINE)
    return [name for row in rows for name in re.findall(r"`(\w+)`", row)]


def test_every_algorithm_has_a_page_and_every_page_an_algorithm():
    assert {path.stem for path in PAGES.glob("*.md")} == set(ALGORITHMS)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_page_has_all_sections(name):
    text = page(name)
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == SECTIONS
    empty = [title for title in SECTIONS if len(section(text, title).split()) < 2]
    assert empty == []
    assert [
        macro for macro in ("facts", "fields", "scores", "columns", "deviations") if f'{macro}("{name}")' not in text
    ] == []
    assert section(text, "Pseudocode beside our lines").count('<div class="beside" markdown>') >= 3
    assert f"jaxrl-up train {name} " in section(text, "How to run it")
    assert len(re.findall(r"^```python$", text, re.MULTILINE)) <= 1


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_page_says_of_every_column_when_it_is_healthy_and_when_sick(name, macros):
    table = section(page(name), "What it logs")
    columns = [*macros.shared_columns(), *macros.logged(name)]
    assert sorted(first_cells(table)) == sorted(columns)
    for column in (*columns, *GAMES):
        found = column_meaning(name, column)
        assert found and found.what and found.healthy, column
    for row in re.findall(r"^\| `.*$", table, re.MULTILINE):
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]]
        assert len(cells) == 3 and all(cells), row


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_page_is_rendered_and_its_links_lead_somewhere(name, rendered):
    text = rendered(name)
    for target, anchor in re.findall(r"\]\(([^)#\s]+)(?:#([^)]*))?\)", text):
        assert (PAGES / target).exists(), target
        if anchor:
            heads = re.findall(r"^#+ (.*)$", (PAGES / target).read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in [re.sub(r"[^\w -]", "", head).strip().lower().replace(" ", "-") for head in heads], anchor
    assert sorted(first_cells(section(text, "Fields"))) == sorted(make_config(name).__dict__)
    assert len(re.findall(r'<div class="ours" markdown>\n\n```python\n', text)) >= 3
    recipes = sorted((ROOT / "configs" / name).glob("*.toml"))
    assert [path.name for path in recipes if f"/{path.name})" not in section(text, "Scores and curves")] == []
    assert [
        path.name for path in (ROOT / "bench" / "results").glob(f"{name}-*.png") if f"results/{path.name})" not in text
    ] == []


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_page_takes_whole_statements_of_the_source(name, rendered):
    """What is beside the pseudocode parses, so no line of a statement is cut off."""
    code = re.findall(r'<div class="ours" markdown>\n\n```python\n(.*?)\n```', rendered(name), re.DOTALL)
    for block in code:
        ast.parse("def f():\n" + textwrap.indent(block, "    ") + "\n    pass")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.source("ppo", "los"), "ppo has no function 'los'"),
        (lambda m: m.source("ppo", "loss", "what is not there"), "ppo.loss has 0 lines with 'what is not there'"),
        (lambda m: m.source("ppo", "update", "config"), "lines with 'config', not one"),
        (
            lambda m: m.source("ppo", "update", "# theta_old <- theta", "# run pi_old"),
            "has 0 lines with '# run pi_old'",
        ),
        (lambda m: m.source("nothing", "loss"), "'nothing' is no algorithm and no module"),
        (lambda m: m.facts("nothing"), "there is no algorithm 'nothing'"),
        (lambda m: m.meaning("ppo", "q_value_2"), "no sentence for the column 'q_value_2' of ppo"),
    ],
)
def test_what_a_macro_does_not_find_stops_the_build(call, message, macros):
    with pytest.raises(ValueError, match=re.escape(message)):
        call(macros)


def test_source_gives_our_lines(macros):
    text = macros.source("ppo", "update", "# theta_old <- theta", "return on_policy.finish")
    code = re.search(r"```python\n(.*?)\n```", text, re.DOTALL)[1]
    assert code.splitlines()[0] == "# theta_old <- theta"
    assert code.splitlines()[-1] == "losses = means(losses, config.num_epochs * config.num_minibatches)"
    assert Path(ppo.__file__).read_text(encoding="utf-8").count(code.splitlines()[-1]) == 1
    assert "[jaxrl_up/algorithms/ppo.py](../../jaxrl_up/algorithms/ppo.py)" in text
    assert "ddpg.py" in macros.source("td3", "actor_loss")  # where it is written


def test_fields_say_default_range_and_kind(macros):
    table = macros.fields("c51")
    assert "| `v_max` | `100.0` | above `v_min` | traced | greatest return on the support" in table
    own, folded = table.split("??? note")
    assert "`num_atoms`" in own and "`num_atoms`" not in folded
    assert "    | `double` | `false` | `true`, `false` | static |" in folded


def test_deviations_are_the_docstrings(macros):
    listed = macros.deviations("value_fitting").splitlines()
    assert all(line.startswith("- ") for line in listed)
    assert '- by Adam, where the books have plain gradient descent (`optimizer="sgd"`; the preset `linear`)' in listed
    doc = " ".join((ppo.__doc__ or "").split())
    assert all(line.removeprefix("- ") in doc for line in macros.deviations("ppo").splitlines())
