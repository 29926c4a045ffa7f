"""What MkDocs does for this site beyond its plugins: pages made at build, links out of docs/, formulas as MathML."""

import html
import os
import re
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

import lessons
import mathematics
import reference
from markdown.extensions import Extension
from markdown.inlinepatterns import SimpleTextInlineProcessor
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = {"README.md": "readme.md", "CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
PLAIN = "---\nrender_macros: false\n---\n"  # a page that is made is no template
FOLDERS = {"docs": "index.md", "notebooks": "lessons/index.md"}
LINK = re.compile(r"\[(?P<text>[^][]*)\]\((?![a-z]+:|[#/])(?P<target>[^()\s]+)\)")
FORMULA = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)
TITLE = re.compile(r"\\\((.*?)\\\)")


class PlainUnderscores(Extension):
    """An underscore is a subscript, as in V(s'_t), and never an emphasis."""

    def extendMarkdown(self, md):
        """Take underscores as text before the pattern of emphasis sees them."""
        md.inlinePatterns.register(SimpleTextInlineProcessor("(_+)"), "underscore", 65)


def on_config(config):
    """Add what is no package of its own to the extensions of Markdown."""
    config.markdown_extensions.append(PlainUnderscores())


def on_files(files, config):
    """Add the pages that are made of notebooks, docstrings and documents of the root, and the files linked to."""
    made = {uri: PLAIN + (ROOT / name).read_text(encoding="utf-8") for name, uri in DOCUMENTS.items()}
    made |= lessons.pages(ROOT / "notebooks") | reference.pages(ROOT)
    for uri, content in made.items():
        files.append(File.generated(config, uri, content=content))
    for file in list(files.documentation_pages()):
        for match in LINK.finditer(file.content_string):
            _publish(_in_repository(file.src_uri, match["target"]), files, config)
    config.nav = _expanded(config.nav, files)
    return files


def on_page_markdown(markdown, page, config, files):
    """Put in the list of lessons, and turn links to files of the repository into links to their pages or copies.

    A link whose text is the name of the file has the title of its page in the place of it.
    """

    def link(match):
        text, (path, _, anchor) = match["text"], match["target"].partition("#")
        target = path and _publish(_in_repository(page.file.src_uri, path), files, config)
        if not target:
            return match[0]
        if text.strip("`").endswith(path.lstrip("./")) and target.endswith(".md"):
            text = _title(files.get_file_from_path(target)) or text
        relative = os.path.relpath(target, os.path.dirname(page.file.src_uri) or ".")
        return f"[{text}]({relative}{'#' if anchor else ''}{anchor})"

    markdown = LINK.sub(link, markdown)
    return markdown.replace(lessons.LIST, lessons.listing(ROOT / "notebooks")) if lessons.LIST in markdown else markdown


def on_page_content(content, page, config, files):
    """Formulas, marked by arithmatex, as MathML: in the text and in the table of contents."""
    _convert_titles(page.toc, page)
    return FORMULA.sub(lambda match: _mathml(html.unescape(match[3]), match[2] == "[", page), content)


def _convert_titles(links, page):
    """Formulas in headings, as the table of contents has them."""
    for link in links:
        link.title = TITLE.sub(lambda match: _mathml(html.unescape(match[1]), False, page), link.title)
        _convert_titles(link.children, page)


def _mathml(latex, block, page):
    """A formula as MathML; one that cannot be converted stops the build."""
    try:
        formula = mathematics.mathml(latex, block)
    except ValueError as error:
        raise PluginError(f"{page.file.src_uri}: cannot convert ${latex.strip()}$: {error}") from error
    return f'<div class="formula">{formula}</div>' if block else formula


def _in_repository(uri, target):
    """Where a link of the page `uri` leads, as a path in the repository: of what the page was made of."""
    made_of = {page: name for name, page in DOCUMENTS.items()}
    source = made_of.get(uri) or lessons.source(uri) or f"docs/{uri}"
    source = source.removeprefix("docs/files/")
    return PurePosixPath(os.path.normpath(os.path.join(os.path.dirname(source), target.partition("#")[0])))


def _publish(path, files, config):
    """The place in the site of a path in the repository; what has no page is copied. None if there is no such path."""
    if page := (DOCUMENTS | FOLDERS).get(str(path)):
        return page
    if path.is_relative_to("docs"):
        return str(path.relative_to("docs"))
    if lessons.is_lesson(path):
        return f"lessons/{path.stem}.md"
    if not (ROOT / path).exists() or str(path).startswith(".."):
        return None
    folder = (ROOT / path).is_dir()
    uri = f"files/{path}/index.md" if folder else f"files/{path}"
    if files.get_file_from_path(uri) is None:
        made = {"content": _listing(path)} if folder else {"abs_src_path": str(ROOT / path)}
        files.append(File.generated(config, uri, **made))
        for file in _files(path) if folder else []:
            _publish(file, files, config)
    return uri


def _title(file):
    """The first heading of a page; None if there is no such page."""
    heading = re.search(r"^# (.*)$", file.content_string, re.MULTILINE) if file else None
    return heading and heading[1]


def _files(folder):
    """All files under a folder of the repository, sorted."""
    return sorted(PurePosixPath(file.relative_to(ROOT)) for file in (ROOT / folder).rglob("*") if file.is_file())


def _listing(folder):
    """A page that links to every file under a folder."""
    names = [file.relative_to(folder) for file in _files(folder)]
    return f"{PLAIN}# `{folder}`\n\n" + "".join(f"- [{name}]({name})\n" for name in names)


def _expanded(nav, files):
    """The navigation with patterns replaced by the pages that match, in the order of `files`."""
    pages = [file.src_uri for file in files.documentation_pages()]
    named = set(_leaves(nav))

    def expand(item):
        if isinstance(item, dict):
            ((title, inner),) = item.items()
            return [{title: [page for entry in inner for page in expand(entry)] if isinstance(inner, list) else inner}]
        return [page for page in pages if page not in named and fnmatch(page, item)] if "*" in item else [item]

    return [entry for item in nav for entry in expand(item) if entry not in [{title: []} for title in entry]]


def _leaves(nav):
    """The pages and patterns that a navigation names."""
    for item in nav:
        value = next(iter(item.values())) if isinstance(item, dict) else item
        yield from _leaves(value) if isinstance(value, list) else [value]
