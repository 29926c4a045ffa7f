"""The site builds without a warning, holds together, and nothing that it loads leaves the machine."""

import importlib
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote, urlsplit

import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / "docs" / "_site"
LOADED = {"img": "src", "script": "src", "link": "href", "iframe": "src", "source": "src", "video": "src"}
IN_CSS = re.compile(r"""@import\s+(?:url\()?["']?([^"')\s;]+)|url\(\s*["']?([^"')]+)""")
LEFT_OVER = re.compile(r"\$\$|\\\(|\\\[|\{\{|\{%|latex error|<!-- lessons", re.IGNORECASE)

pytestmark = pytest.mark.site


class Page:
    """What the tests look at in a page."""

    def __init__(self, path):
        from bs4 import BeautifulSoup

        soup = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
        self.title, self.headings = soup.title and soup.title.text.strip(), len(soup.find_all("h1"))
        self.ids = {tag["id"] for tag in soup.find_all(id=True)} | {
            tag["name"] for tag in soup.find_all("a", {"name": 1})
        }
        self.links = [tag["href"] for tag in soup.find_all("a", href=True)]
        self.loaded = [tag[name] for tag in soup.find_all(list(LOADED)) if (name := LOADED[tag.name]) in tag.attrs]
        self.styles = [tag.text for tag in soup.find_all("style")] + [tag["style"] for tag in soup.find_all(style=True)]
        self.formulas = len(soup.find_all("math"))
        self.broken_lists = [tag.text for tag in soup.find_all("p") if re.search(r"\n([-*]|\d\.) ", tag.text)]
        for tag in soup.find_all(["code", "script", "style"]):
            tag.decompose()
        self.left_over = LEFT_OVER.findall(soup.text)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the built site."""
    place = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", ROOT / "mkdocs.yml", "-d", place]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return place


@pytest.fixture(scope="module")
def pages(site):
    """Every page by its path."""
    return {path: Page(path) for path in sorted(site.rglob("*.html"))}


def target_of(site, page, link):
    """The file that a link leads to, and the anchor in it."""
    parts = urlsplit(link)
    start = site if parts.path.startswith("/") else page.parent
    path = (start / unquote(parts.path).lstrip("/")).resolve() if parts.path else page
    return path / "index.html" if path.is_dir() else path, unquote(parts.fragment)


def leaves(link):
    """Whether a link leads to another machine."""
    return link.startswith("//") or urlsplit(link).scheme in ("http", "https", "ws", "wss", "ftp")


def test_links_and_anchors_lead_somewhere(site, pages):
    wrong = []
    for path, page in pages.items():
        for link in {*page.links, *page.loaded}:
            if leaves(link) or urlsplit(link).scheme in ("data", "mailto"):
                continue
            target, anchor = target_of(site, path, link)
            known = not anchor or target.suffix != ".html" or anchor == "__top" or anchor in pages[target].ids
            if not (target.is_file() and target.is_relative_to(site.resolve()) and known):
                wrong.append(f"{path.relative_to(site)}: {link}")
    assert not wrong


def test_nothing_that_is_loaded_leaves_the_machine(site, pages):
    styles = {path: [path.read_text(encoding="utf-8")] for path in site.rglob("*.css")}
    styles |= {path: page.styles for path, page in pages.items()}
    loaded = {path: [a or b for text in texts for a, b in IN_CSS.findall(text)] for path, texts in styles.items()}
    loaded = [(path, link) for path, links in loaded.items() for link in links]
    loaded += [(path, link) for path, page in pages.items() for link in page.loaded]
    assert loaded
    assert not [f"{path.relative_to(site)}: {link}" for path, link in loaded if leaves(link)]


def test_every_page_has_a_title_and_one_heading(site, pages):
    wrong = [path for path, page in pages.items() if not page.title or page.headings != 1]
    assert not [str(path.relative_to(site)) for path in wrong]


def test_nothing_is_left_unrendered(site, pages):
    assert not {str(path.relative_to(site)): page.left_over for path, page in pages.items() if page.left_over}
    assert sum(page.formulas for page in pages.values()) > 0


def test_lists_are_lists(site, pages):
    """To mend: a blank line before the list."""
    assert not {str(path.relative_to(site)): page.broken_lists for path, page in pages.items() if page.broken_lists}


def test_every_public_name_is_in_the_reference(site, pages):
    faces = {path.parent.name: path for path in (ROOT / "jaxrl_up").glob("*/__init__.py") if path.parent.name != "cli"}
    faces["jaxrl_up"] = ROOT / "jaxrl_up" / "__init__.py"
    missing = []
    for room, path in faces.items():
        names = re.findall(r"^from .* import (\w+) as \1$", path.read_text(encoding="utf-8"), re.MULTILINE)
        assert names
        prefix = "jaxrl_up" if room == "jaxrl_up" else f"jaxrl_up.{room}"
        known = pages[site / "reference" / room / "index.html"].ids
        missing += [f"{prefix}.{name}" for name in names if f"{prefix}.{name}" not in known]
    assert not missing
    assert {f"jaxrl_up.types.{name}" for name in ("Algorithm", "TimeStep", "Array")} <= pages[
        site / "reference" / "types" / "index.html"
    ].ids


def test_every_notebook_is_a_page(site, pages):
    for path in (ROOT / "notebooks").glob("[0-9]*.ipynb"):
        page = pages[site / "lessons" / path.stem / "index.html"]
        assert any(f"{path.stem}_files/" in link for link in page.loaded)
        listed = {
            target_of(site, site / "lessons" / "index.html", link)[0]
            for link in pages[site / "lessons/index.html"].links
        }
        assert site.resolve() / "lessons" / path.stem / "index.html" in listed


@pytest.fixture
def tool(monkeypatch):
    """Imports a module of the site."""
    monkeypatch.syspath_prepend(str(TOOLS))
    return importlib.import_module


def test_a_formula_that_cannot_be_converted_stops_the_build(tool):
    from mkdocs.exceptions import PluginError

    heading = SimpleNamespace(title=r"About \(\gamma\)", children=[])
    hooks, page = tool("hooks"), SimpleNamespace(file=SimpleNamespace(src_uri="theory.md"), toc=[heading])
    content = hooks.on_page_content(r'<span class="arithmatex">\(a &lt; \gamma\)</span>', page, None, None)
    assert content.startswith("<math")
    assert heading.title.startswith("About <math")
    assert "γ" in content or "&#x003B3;" in content
    for wrong in (r"\nosuchcommand{x}", r"\frac{1}", r"\left( x", "x}", r"\begin{foo}x\end{foo}", "a & b"):
        with pytest.raises(PluginError, match=r"theory\.md.*cannot convert"):
            hooks.on_page_content(rf'<div class="arithmatex">\[{wrong}\]</div>', page, None, None)


def test_a_public_name_without_a_docstring_stops_the_build(tool, tmp_path):
    from mkdocs.exceptions import PluginError

    reference = tool("reference")
    for room in ("", *reference.ROOMS):
        folder = tmp_path / "jaxrl_up" / room
        folder.mkdir(exist_ok=True)
        (folder / "__init__.py").write_text('"""A room."""\n', encoding="utf-8")
    ops = tmp_path / "jaxrl_up" / "ops"
    (ops / "__init__.py").write_text('"""Ops."""\nfrom jaxrl_up.ops.a import f as f\nfrom jaxrl_up.ops.a import g\n')
    (ops / "a.py").write_text('def f():\n    """Told."""\ndef g():\n    pass\n')
    assert "::: jaxrl_up.ops.f\n" in reference.pages(tmp_path)["reference/ops.md"]
    (ops / "a.py").write_text("def f():\n    pass\n")
    with pytest.raises(PluginError, match=r"jaxrl_up\.ops\.f"):
        reference.pages(tmp_path)


def test_a_notebook_becomes_a_page_without_standard_error(tool, tmp_path):
    stream = nbformat.v4.new_output
    outputs = [
        stream("stream", name="stdout", text="\x1b[31mred\x1b[0m\n"),
        stream("stream", name="stderr", text="noise"),
        stream("stream", name="stdout", text="after\n"),
    ]
    cells = [
        nbformat.v4.new_markdown_cell("# 1. A title\n\nAn opening, of\ntwo lines. And 1.5 more."),
        nbformat.v4.new_code_cell("print(1)", outputs=outputs),
        nbformat.v4.new_markdown_cell("## Exercises\n\n`jaxrl-up exercise start 1.2`; then 1.10.\n\n## Reading\n\n1.7"),
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "01_one.ipynb")
    lessons = tool("lessons")
    text = lessons.pages(tmp_path)["lessons/01_one.md"]
    assert "red" in text
    assert "after" in text
    assert "noise" not in text
    assert "\x1b" not in text
    assert lessons.listing(tmp_path) == (
        "- **1. [A title](01_one.md)**<br>An opening, of two lines. *Exercises 1.2, 1.10.*"
    )
