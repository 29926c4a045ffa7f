"""Examples of docstrings, which stand in them without a heading, as a section that mkdocstrings knows."""

import re

import griffe

EXAMPLE = re.compile(r"^>>> .*?(?=\n\n|\Z)", re.DOTALL | re.MULTILINE)


class Doctests(griffe.Extension):
    """Puts "Examples:" over paragraphs that begin with `>>>`, and indents them."""

    def on_object(self, *, obj, **kwargs):
        if obj.docstring:
            obj.docstring.value = EXAMPLE.sub(_section, obj.docstring.value)


def _section(match):
    return "Examples:\n" + "\n".join(f"    {line}" for line in match[0].splitlines())
