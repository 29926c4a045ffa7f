"""Statements of a script in order, with the empty lines, imports and literals that ruff would write."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

WIDTH = 120
"""Characters of a line."""


class Part(NamedTuple):
    """A statement of the script."""

    name: str
    text: str
    needs: tuple[str, ...]  # the names that it reads where the script is run


def kind_of(text: str) -> str:
    """What a statement is: "class", "def", or for the rest "class", which stands before functions."""
    first = next(line for line in text.splitlines() if not line.startswith("#"))
    return "def" if first.startswith("def") else "class"


def joined(texts: list[str]) -> str:
    """Statements with the empty lines that belong between them."""
    result = texts[0]
    for before, text in itertools.pairwise(texts):
        blocks = [kind_of(x) == "def" or "\nclass " in f"\n{x}" for x in (before, text)]
        result += ("\n\n\n" if any(blocks) else "\n\n") + text
    return result


def in_order(parts: list[Part]) -> list[str]:
    """The texts, each after what it needs."""
    known, done, texts = {part.name: part for part in parts}, set(), []

    def add(part: Part) -> None:
        if part.name not in done:
            done.add(part.name)
            for name in part.needs:
                if name in known:
                    add(known[name])
            texts.append(part.text)

    for part in parts:
        add(part)
    return texts


def literal(value: Any, indent: str = "") -> str:
    """A value as source text, dicts with an item to a line."""
    if not isinstance(value, Mapping):
        return f"{value:_}" if type(value) is int else repr(value).replace("'", '"')
    if not value:
        return "{}"
    inner = indent + "    "
    one = "{" + ", ".join(f'"{key}": {literal(item)}' for key, item in value.items()) + "}"
    if indent and len(one) < WIDTH - 40:
        return one
    return "{\n" + "".join(f'{inner}"{key}": {literal(item, inner)},\n' for key, item in value.items()) + indent + "}"


def import_lines(found: Iterable[str]) -> str:
    """Statements of imports in the order of ruff: standard library, others, the package; names of a module together."""
    plain = sorted(line for line in found if line.startswith("import "))
    names: dict[str, list[str]] = {}
    for line in found:
        if line.startswith("from "):
            module, _, name = line.removeprefix("from ").partition(" import ")
            names.setdefault(module, []).append(name)
    groups: list[list[str]] = [[], [], []]
    for line in plain:
        groups[0 if line.split()[1].partition(".")[0] in sys.stdlib_module_names else 1].append(line)
    for module in sorted(names):
        root = module.partition(".")[0]
        kind = 0 if root in sys.stdlib_module_names else 2 if root == "jaxrl_up" else 1
        simple = sorted({name for name in names[module] if " as " not in name}, key=rank)
        renamed = sorted({name for name in names[module] if " as " in name})
        first = [f"from {module} import {', '.join(simple)}"] if simple else []
        for line in [*first, *(f"from {module} import {name}" for name in renamed)]:
            if len(line) > WIDTH:
                line = f"from {module} import (\n" + "".join(f"    {name},\n" for name in simple) + ")"
            groups[kind].append(line)
    return "\n\n".join(["from __future__ import annotations", *("\n".join(group) for group in groups if group)])


def rank(name: str) -> tuple[int, str]:
    """The order in which ruff sorts imported names: constants, classes, the rest."""
    return (0 if name.isupper() and len(name) > 1 else 1 if name[0].isupper() else 2), name
