"""Lessons: the notebooks, as they are stored with their outputs, as pages."""

import json
import re

import nbformat
from mkdocs.exceptions import PluginError
from nbconvert import MarkdownExporter
from nbconvert.preprocessors import CoalesceStreamsPreprocessor

TEMPLATE = """
{%- extends 'markdown/index.md.j2' -%}
{%- macro shown(text) %}

````{ .text .output .no-copy }
{{ text.rstrip() | strip_ansi }}
````

{% endmacro -%}
{% block input %}

````python
{{ cell.source }}
````

{% endblock input %}
{% block stream %}{% if output.name == 'stdout' %}{{ shown(output.text) }}{% endif %}{% endblock stream %}
{% block data_text scoped %}{{ shown(output.data['text/plain']) }}{% endblock data_text %}
{% block data_html scoped %}

<div class="output">
{{ output.data['text/html'] }}
</div>

{% endblock data_html %}
{% block data_png %}

![What the cell draws]({{ output.metadata.filenames['image/png'] | path2url }}){ .figure }

{% endblock data_png %}
"""
LIST = "<!-- lessons -->"
OPENING = re.compile(r"# (?:\d+\. )?(?P<title>[^\n]+)\n+(?P<sentence>.+?[.?])(\s|$)", re.DOTALL)


def is_lesson(path):
    """Whether a path of the repository is one of the notebooks that become pages, or its script."""
    return str(path.parent) == "notebooks" and path.name[0].isdigit() and path.suffix in (".ipynb", ".py")


def source(uri):
    """The notebook that a page was made of; None for other pages."""
    name = uri.removeprefix("lessons/").removesuffix(".md")
    return f"notebooks/{name}.ipynb" if uri == f"lessons/{name}.md" and name != "index" else None


def pages(folder):
    """The pages and pictures of the notebooks in `folder`: {uri: Markdown or bytes}. Standard error is left out."""
    exporter = MarkdownExporter(raw_template=TEMPLATE)
    exporter.register_preprocessor(CoalesceStreamsPreprocessor(), enabled=True)
    made = {}
    for path in sorted(folder.glob("[0-9]*.ipynb")):
        resources = {"unique_key": path.stem, "output_files_dir": f"{path.stem}_files"}
        text, resources = exporter.from_filename(str(path), resources=resources)
        title = json.dumps(f"{int(path.name[:2])}. {_opening(path)['title']}", ensure_ascii=False)
        made[f"lessons/{path.stem}.md"] = f"---\nrender_macros: false\ntitle: {title}\n---\n{text}"
        made |= {f"lessons/{name}": picture for name, picture in resources["outputs"].items()}
    return made


def listing(folder):
    """A list of the notebooks in `folder`: number and title, the sentence they open with, exercises that they name."""
    items = []
    for path in sorted(folder.glob("[0-9]*.ipynb")):
        number, opening, text = int(path.name[:2]), _opening(path), "\n".join(_texts(path))
        link, sentence = f"[{opening['title']}]({path.stem}.md)", " ".join(opening["sentence"].split())
        exercises = dict.fromkeys(
            re.findall(rf"\b{number}\.\d+\b", text.partition("## Exercises")[2].partition("\n## ")[0])
        )
        named = f" *Exercises {', '.join(exercises)}.*" if exercises else ""
        items.append(f"- **{number}. {link}**<br>{sentence}{named}")
    return "\n".join(items)


def _texts(path):
    """The cells of a notebook that are text."""
    return [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown"]


def _opening(path):
    """The title of a notebook and its first sentence."""
    opening = OPENING.match(_texts(path)[0])
    if opening is None:
        raise PluginError(f"{path.name} does not begin with a title and a sentence")
    return opening
