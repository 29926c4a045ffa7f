"""Definitions of several modules as one file: what they name is found, and either comes along or is imported.

Text stays as it is written, comments too; only names change, `module.name` to `name`, and the lines that then fit, or
no longer fit, in one.
"""

from __future__ import annotations

import ast
import builtins
import copy
import importlib.util
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from jaxrl_up.deploy.layout import WIDTH


class Place(NamedTuple):
    """Where something is defined, or with an empty name a module itself."""

    module: str
    name: str


class Source:
    """A module's text. `changes` are texts to replace, each of which is there once."""

    def __init__(self, module: str, changes: Mapping[str, str] | None = None) -> None:
        spec = importlib.util.find_spec(module)
        assert spec is not None and spec.origin is not None
        text = Path(spec.origin).read_text(encoding="utf-8")
        for old, new in (changes or {}).items():
            assert text.count(old) == 1, f"{module} has not once {old!r}"
            text = text.replace(old, new)
        self.module, self.text, self.lines = module, text, text.splitlines()
        self.tree = ast.parse(text)

    def without_defaults(self) -> Source:
        """The same without arguments that only let other algorithms give another function: `loss: Any = loss`."""
        edits = []
        for node in self.tree.body:
            if isinstance(node, ast.FunctionDef):
                given, defaults = node.args.args, [*reversed(node.args.defaults)]
                for i, default in enumerate(defaults):
                    before = defaults[i + 1] if i + 1 < len(defaults) else given[-i - 2]
                    if isinstance(default, ast.Name) and default.id == given[-i - 1].arg:
                        edits.append(Edit(_end(before), _end(default), ""))
        found = copy.copy(self)
        for name in ("imported", "defined"):
            vars(found).pop(name, None)
        text = "\n".join(_changed(self.lines, 1, len(self.lines), edits))
        found.text = re.sub(r"(?<=^def )(\w+\(\n)((?:    \w+: .*,\n)+)(?=\) ->)", _in_a_line, text, flags=re.MULTILINE)
        found.lines, found.tree = found.text.splitlines(), ast.parse(found.text)
        return found

    @cached_property
    def imported(self) -> dict[str, tuple[Place, str]]:
        """What each imported name is, as far as the text says, and the statement that imports it."""
        found = {}
        for node in self.tree.body:
            if isinstance(node, ast.Import):
                for alias in node.names:
                    name = alias.asname or alias.name
                    found[name] = Place(alias.name, ""), f"import {alias.name}" + f" as {name}" * (name != alias.name)
            elif isinstance(node, ast.ImportFrom) and node.module != "__future__":
                for alias in node.names:
                    name = alias.asname or alias.name
                    written = alias.name if name == alias.name else f"{alias.name} as {name}"
                    found[name] = Place(str(node.module), alias.name), f"from {node.module} import {written}"
        return found

    @cached_property
    def defined(self) -> dict[str, ast.stmt]:
        """The statement that defines each name, with its comments."""
        found: dict[str, ast.stmt] = {}
        for node in self.tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                found[node.name] = node
            elif isinstance(node, ast.Assign):
                names = [x.id for target in node.targets for x in ast.walk(target) if isinstance(x, ast.Name)]
                found |= dict.fromkeys(names, node)
        return found

    def expression(self, name: str) -> ast.expr | None:
        """What is assigned to a name, also as a part of several; None where it is defined otherwise."""
        node = self.defined.get(name)
        if not isinstance(node, ast.Assign):
            return None
        target = node.targets[0]
        if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
            return dict(zip([ast.unparse(x) for x in target.elts], node.value.elts, strict=True))[name]
        return node.value

    def extent(self, node: ast.stmt) -> tuple[int, int]:
        """The first line of a statement, with decorators and the comment above it, and the last."""
        decorators = getattr(node, "decorator_list", [])
        first = min([node.lineno, *(decorator.lineno for decorator in decorators)])
        while self.lines[first - 2].startswith("#"):
            first -= 1
        return first, node.end_lineno or node.lineno


def _in_a_line(header: re.Match[str]) -> str:
    """The arguments of a function, one to a line, in one line where that has room for them."""
    line = "    " + " ".join(header[2].split()).removesuffix(",")
    return f"{header[1]}{line}\n" if len(line) <= WIDTH else header[0]


def found_at(place: Place, source: Callable[[str], Source]) -> Place:
    """Where something really is defined: followed through the imports of faces and other modules."""
    module, name = place
    if not name or not module.startswith("jaxrl_up"):
        return place
    if importlib.util.find_spec(module) and name not in (here := source(module)).defined:
        if name in here.imported:
            (origin, inner), _ = here.imported[name]
            full = f"{origin}.{inner}" if inner else origin
            if _is_module(full):
                return Place(full, "")
            return found_at(Place(origin, inner), source)
        if _is_module(f"{module}.{name}"):
            return Place(f"{module}.{name}", "")
    return place


def _is_module(name: str) -> bool:
    return name in sys.modules or (name.startswith("jaxrl_up") and _spec(name))


def _spec(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


class Use(NamedTuple):
    """A global name in a text: which characters it is, what it means, and what is bound around it."""

    start: tuple[int, int]
    end: tuple[int, int]
    parts: tuple[str, ...]  # ("off_policy", "descend")
    bound: frozenset[str]
    at_once: bool  # evaluated where the file is run, and not later


def uses(node: ast.AST) -> Iterator[Use]:
    """The global names of a statement, `name` or `name.attribute` each."""
    yield from _uses(node, frozenset(), True)


def _uses(node: ast.AST, bound: frozenset[str], at_once: bool) -> Iterator[Use]:
    if isinstance(node, ast.FunctionDef | ast.Lambda):
        arguments = node.args
        for inner in [*arguments.defaults, *(x for x in arguments.kw_defaults if x is not None)]:
            yield from _uses(inner, bound, at_once)
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        every += [x for x in (arguments.vararg, arguments.kwarg) if x is not None]
        body = [node.body] if isinstance(node, ast.Lambda) else node.body
        if isinstance(node, ast.FunctionDef):
            for inner in [*(x.annotation for x in every if x.annotation), *([node.returns] if node.returns else [])]:
                yield from _uses(inner, bound, False)
            for inner in node.decorator_list:
                yield from _uses(inner, bound, at_once)
        within = bound | {x.arg for x in every} | {name for x in body for name in _stored(x)}
        for inner in body:
            yield from _uses(inner, within, False)
    elif isinstance(node, ast.ListComp | ast.DictComp | ast.SetComp | ast.GeneratorExp):
        bound |= {x.id for c in node.generators for x in ast.walk(c.target) if isinstance(x, ast.Name)}
        for inner in ast.iter_child_nodes(node):
            yield from _uses(inner, bound, at_once)
    elif isinstance(node, ast.AnnAssign):
        yield from _uses(node.annotation, bound, False)
        if node.value is not None:
            yield from _uses(node.value, bound, at_once)
    elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        yield from _use(node, (node.value.id, node.attr), bound, at_once)
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
        yield from _use(node, (node.id,), bound, at_once)
    else:
        for inner in ast.iter_child_nodes(node):
            yield from _uses(inner, bound, at_once)


def _use(node: ast.expr, parts: tuple[str, ...], bound: frozenset[str], at_once: bool) -> Iterator[Use]:
    if parts[0] not in bound and not (hasattr(builtins, parts[0])):
        end = (node.end_lineno or node.lineno, node.end_col_offset or 0)
        yield Use((node.lineno, node.col_offset), end, parts, bound, at_once)


def _stored(node: ast.AST) -> Iterator[str]:
    """The names that a statement binds, those within functions in it apart."""
    if isinstance(node, ast.FunctionDef):
        yield node.name
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id
    elif isinstance(node, ast.ExceptHandler) and node.name:
        yield node.name
        for inner in node.body:
            yield from _stored(inner)
    elif not isinstance(node, ast.Lambda | ast.ListComp | ast.DictComp | ast.SetComp | ast.GeneratorExp):
        for inner in ast.iter_child_nodes(node):
            yield from _stored(inner)


def _end(node: ast.arg | ast.expr) -> tuple[int, int]:
    """Where an argument of a function ends, its type too."""
    last = node.annotation if isinstance(node, ast.arg) and node.annotation is not None else node
    return last.end_lineno or 0, last.end_col_offset or 0


class Edit(NamedTuple):
    """Characters of a text, and what takes their place."""

    start: tuple[int, int]  # line from 1, character from 0
    end: tuple[int, int]
    text: str


def edited(lines: list[str], first: int, last: int, edits: list[Edit]) -> str:
    """Lines `first` to `last`, with changes, laid out anew where these need it."""
    return "\n".join(laid_out(_changed(lines, first, last, edits)))


def _changed(lines: list[str], first: int, last: int, edits: list[Edit]) -> list[str]:
    part = {number: lines[number - 1] for number in range(first, last + 1)}
    for (line, column), (end_line, end_column), text in sorted(edits, reverse=True):
        rest = part[end_line][end_column:]
        for number in range(line + 1, end_line + 1):
            del part[number]
        part[line] = part[line][:column] + text + rest
    return [part[number] for number in sorted(part)]


def laid_out(lines: list[str]) -> list[str]:
    """Lines as ruff has them: brackets that fit are closed, and those that do not are opened."""
    done: list[str] = []
    for line in lines:
        done.append(line)
        if len(done) >= 3 and line.strip()[:1] in (")", "]", "}") and done[-3].rstrip()[-1:] in ("(", "[", "{"):
            joined = done[-3] + done[-2].strip() + line.strip()
            same = len(done[-3]) - len(done[-3].lstrip()) == len(line) - len(line.lstrip())
            if same and not done[-2].rstrip().endswith(",") and len(joined) <= WIDTH and "#" not in done[-2]:
                done[-3:] = [joined]
    return [x for line in done for x in _opened(line)]


def _opened(line: str) -> list[str]:
    if len(line) <= WIDTH or line.lstrip().startswith("#"):
        return [line]
    found = re.match(r"(.*?[^(\[{]*?)([(\[{])(.*)([)\]}])([^()\[\]{}]*)$", line)
    assert found is not None, line
    depth, start = 0, len(line)
    close = found.start(4)
    if line.lstrip().startswith("def ") and ") -> " in line:  # its arguments, and not what it returns
        close = line.index(") -> ")
    for i in range(close, -1, -1):
        depth += (line[i] in ")]}") - (line[i] in "([{")
        if depth == 0:
            start = i
            break
    indent = " " * (len(line) - len(line.lstrip()))
    inner = indent + "    " + line[start + 1 : close]
    if len(inner) <= WIDTH:
        return [line[: start + 1], inner, indent + line[close:]]
    return [
        line[: start + 1],
        *(f"{indent}    {x}," for x in _arguments(line[start + 1 : close])),
        indent + line[close:],
    ]


def _arguments(text: str) -> list[str]:
    """A text between brackets, cut at the commas that are not in further ones."""
    depth, parts, last = 0, [], 0
    for i, character in enumerate(text):
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth == 0:
            parts.append(text[last:i].strip())
            last = i + 1
    return [*parts, text[last:].strip()]
