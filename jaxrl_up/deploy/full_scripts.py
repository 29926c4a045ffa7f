"""Ejecting an algorithm whole: its own file with what it is made of, down to the faces of the package.

Its Config has all fields written out. What it takes from other algorithms and from its family (acting, learning, the
loop) stands in the file; networks, replay, rollout and mathematics are imported. Texts are those of the package (see
`inlining`), those of a family with what the algorithm brings in place (see `families`).
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Sequence
from functools import cache

from jaxrl_up._version import __version__
from jaxrl_up.config import declarations
from jaxrl_up.deploy.families import changes_of, planner_changes
from jaxrl_up.deploy.inlining import Edit, Place, Source, edited, found_at, laid_out, uses
from jaxrl_up.deploy.layout import Part, import_lines, in_order, joined, kind_of, literal
from jaxrl_up.types import Algorithm

LEARNING = "jaxrl_up.learning"
OFF_POLICY, ON_POLICY, PLANNERS = f"{LEARNING}.off_policy", f"{LEARNING}.on_policy", f"{LEARNING}.planning.acting"
SEARCH = f"{LEARNING}.planning.search"
OF_SOME = {SEARCH: ("mpc", "pets"), **{f"{LEARNING}.planning.{x}": ("mpc",) for x in ("imagination", "proposals")}}
"""Modules whose definitions come along for some algorithms, which are about them."""
FAMILY = (
    *(OFF_POLICY, ON_POLICY, f"{LEARNING}.q_learning", f"{LEARNING}.actor_critic"),
    *(*OF_SOME, PLANNERS, f"{LEARNING}.given_policy"),
)
"""Modules whose definitions come along; of the others of the room only their names."""
KEPT = {
    ON_POLICY: {"require_kl", "minibatches", "shuffled", "value_loss"},
    PLANNERS: {"one_by_one", "together"},
}
"""What stays in its family's module."""
RENAMED = {
    Place(ON_POLICY, "rates"): "step_sizes",
    Place(f"{LEARNING}.actor_critic", "critic_rate"): "critic_step_size",
}
ALIASES = {f"{LEARNING}.replay": "replay_buffer"}  # modules that bear the name of a variable


HEADER = """\
# {name}.py: {algo} of jaxrl_up {version} as a file of your own, by `jaxrl-up eject`. Run, it takes
# the options of `jaxrl-up train {algo}` and, until you change it, gives the same numbers. Commands about its
# runs take --algo {name}.py.
"""
LONGEST = 450
"""Lines of a script; one that would be longer says nothing of deviations from the paper.

Only mbve and mbpo, a model beside another algorithm, are longer even so: see `tests/deploy`.
"""


class Writer:
    """What is gathered while an algorithm is written out."""

    def __init__(self, algo: Algorithm) -> None:
        self.name, self.main = algo.name, algo.Config.__module__
        self.family = OFF_POLICY  # whose loop the algorithm brings functions to
        self.names: dict[Place, str] = {}
        self.imports: set[str] = set()
        self.queue: list[Place] = []
        self.brought: dict[str, ast.expr] = {}
        self.source = cache(self._source)
        self.brought = self._brought(self.main)
        self.source.cache_clear()
        self.found_at = cache(lambda place: found_at(place, self.source))
        self.parents = self._parents()

    def _source(self, module: str) -> Source:
        changes = planner_changes if self.family == PLANNERS else changes_of
        found = Source(module, changes(self.brought) if module == self.family and self.brought else {})
        return found.without_defaults() if _is_algorithm(module) else found

    def _brought(self, module: str) -> dict[str, ast.expr]:
        """What an off-policy algorithm brings to its family, by name; nothing for others."""
        call = self.source(module).expression("BROUGHT")
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
            return {}
        given = {str(word.arg): word.value for word in call.keywords}
        if call.func.attr == "Planner":
            self.family = PLANNERS
            return dict(zip(("act", "initial_memory"), call.args, strict=True))
        if call.func.attr == "_replace":
            parent = ast.unparse(call.func.value).partition(".")[0]
            return {**self._brought(f"jaxrl_up.algorithms.{parent}"), **given}
        return given

    def _parents(self) -> list[str]:
        """The modules of algorithms that are read from, the own one first."""
        found = [self.main]
        for module in found:
            for place, _ in self.source(module).imported.values():
                other = self.found_at(place).module
                if _is_algorithm(other) and other not in found:
                    found.append(other)
        return found

    def meaning(self, source: Source, parts: tuple[str, ...]) -> tuple[Place, int, Source]:
        """What a name means, how many of its parts say so, and the module that knows it."""
        first = parts[0]
        if first == "brought" and len(parts) == 2:  # what has the name of something of the family
            return Place(self.main, parts[1]), 2, source
        if source.module == self.main and (place := self.behind(source, parts)):  # `sac.learn` is not the own `learn`
            return place, 2, source
        known = [source, *(self.source(module) for module in self.parents)]
        for here in known:
            if first in here.defined:
                return self.followed(Place(here.module, first)), 1, here
            if first in here.imported:
                place = self.found_at(here.imported[first][0])
                if not place.name and place.module.startswith("jaxrl_up") and len(parts) == 2:
                    return self.followed(self.found_at(Place(place.module, parts[1]))), 2, here
                return self.followed(place), 1, here
        raise AssertionError(f"{'.'.join(parts)} in {source.module} is not known")

    def followed(self, place: Place) -> Place:
        """The definition behind what only gives another name to one; in an algorithm's file its own goes first."""
        if _is_algorithm(place.module) and place.name in self.source(self.main).defined:
            place = Place(self.main, place.name)
        if not self.comes_along(place):
            return place
        source = self.source(place.module)
        value = source.expression(place.name)
        if isinstance(value, ast.Call) and ast.unparse(value.func) == "partial":  # of another algorithm's function
            behind = self.behind(source, _parts(value.args[0]))
            return behind if behind is not None and _is_algorithm(behind.module) else place
        return self.behind(source, _parts(value)) or place

    def behind(self, source: Source, parts: tuple[str, ...]) -> Place | None:
        """What `module.name` is defined as there, also where the algorithm has something of that name."""
        if len(parts) != 2 or parts[0] not in (*source.imported, "BROUGHT"):
            return None
        if parts[0] == "BROUGHT":
            return Place(self.family, parts[1])
        module = self.found_at(source.imported[parts[0]][0])
        if module.name or not module.module.startswith("jaxrl_up"):
            return None
        place = self.found_at(Place(module.module, parts[1]))
        inner = self.source(place.module)
        return self.behind(inner, _parts(inner.expression(place.name))) or place

    def comes_along(self, place: Place) -> bool:
        """Whether a definition stands in the script."""
        if self.name not in OF_SOME.get(place.module, (self.name,)):
            return False
        return (_is_algorithm(place.module) or place.module in FAMILY) and place.name not in KEPT.get(place.module, ())

    def written(self, source: Source, parts: tuple[str, ...]) -> tuple[str, str | None]:
        """How the script says a name, and the name of what has to stand in it."""
        place, said, here = self.meaning(source, parts)
        rest = "".join(f".{part}" for part in parts[said:])
        if self.comes_along(place) and place.name:
            return self.name_of(place) + rest, self.name_of(place)
        module = self.found_at(here.imported[parts[0]][0]) if parts[0] in here.imported else place
        if not module.name and not self.comes_along(module._replace(name="*")):
            self.imports.add(self._import_of(here, parts[0], module))
            return ".".join(parts), None
        if not place.module.startswith("jaxrl_up"):
            self.imports.add(here.imported[parts[0]][1])
            return ".".join(parts), None
        room = ".".join(place.module.split(".")[:2])
        if place.name in self.source(room).imported or place.module == room:
            local = parts[0] if said == 1 else place.name
            self.imports.add(f"from {room} import {place.name}" + f" as {local}" * (local != place.name))
            return local + rest, None
        module = ".".join(place.module.split(".")[:3])
        alias = ALIASES.get(module, module.rpartition(".")[2])
        self.imports.add(f"from {room} import {module.rpartition('.')[2]}" + f" as {alias}" * (module in ALIASES))
        return f"{alias}.{place.name}{rest}", None

    def _import_of(self, here: Source, name: str, place: Place) -> str:
        """The statement that imports a module, or something of another library, as a source has it."""
        if not place.module.startswith("jaxrl_up"):
            return here.imported[name][1]
        room, _, module = place.module.rpartition(".")
        return f"from {room} import {module}" + f" as {name}" * (name != module)

    def name_of(self, place: Place) -> str:
        """The name of a definition in the script, which is asked for with it."""
        if place not in self.names:
            name = RENAMED.get(place, place.name)
            if place.module == OFF_POLICY and name == "Learner" and name in self.source(self.main).defined:
                name = "BaseLearner"
            elif name in self.source(self.main).defined and self.followed(Place(self.main, name)) != place:
                name = f"{place.module.rpartition('.')[2]}_{name}"  # beside what the algorithm calls so: sac_learn
            assert name not in self.names.values(), f"{name} of {place.module} is taken"
            self.names[place] = name
            self.queue.append(place)
        return self.names[place]

    def part(self, place: Place) -> Part:
        """A definition as the script has it."""
        source = self.source(place.module)
        node = source.defined[place.name]
        name, value = self.name_of(place), source.expression(place.name)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple) and value is not None:
            edits, needs = self.edits(source, value)
            return Part(name, f"{name} = {self.text(source, value, edits)}", needs)
        edits, needs = self.edits(source, node)
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and name != node.name:
            line = source.lines[node.lineno - 1]
            column = line.index(node.name)
            edits.append(Edit((node.lineno, column), (node.lineno, column + len(node.name)), name))
        return Part(name, edited(source.lines, *source.extent(node), edits), needs)

    def text(self, source: Source, value: ast.expr, edits: list[Edit]) -> str:
        """An expression alone, with changes."""
        end_line, end = value.end_lineno or 0, value.end_col_offset or 0
        tail = source.lines[end_line - 1][end:]
        text = edited(source.lines, value.lineno, end_line, edits)
        return text[value.col_offset : len(text) - len(tail)]

    def edits(self, source: Source, node: ast.AST) -> tuple[list[Edit], tuple[str, ...]]:
        """The names in a statement that are said otherwise, and those that it needs at once."""
        edits, needs = [], []
        for use in uses(node):
            text, name = self.written(source, use.parts)
            assert text.partition(".")[0] not in use.bound, f"{text} in {source.module} has another meaning there"
            if text != ".".join(use.parts):
                edits.append(Edit(use.start, use.end, text))
            if use.at_once and name is not None:
                needs.append(name)
        return edits, tuple(needs)


def _parts(value: ast.expr | None) -> tuple[str, ...]:
    """The two of an expression `module.name`; none of another."""
    return tuple(ast.unparse(value).split(".")) if isinstance(value, ast.Attribute) else ()


def _is_algorithm(module: str) -> bool:
    return module.startswith("jaxrl_up.algorithms.")


def whole(algo: Algorithm, name: str, env: str, wrappers: Sequence[str] = ()) -> str:
    """The text of the script `<name>.py` with all that an algorithm of the package is made of, but for what is shared.

    Its record has that name, and it trains as `jaxrl-up train` does, on `env` in `wrappers` if not told otherwise.
    """
    writer = Writer(algo)
    source = writer.source(writer.main)
    record = source.tree.body[-1]
    assert isinstance(record, ast.Assign) and isinstance(record.value, ast.Call)
    ends = _record(writer, source, record, algo, name)
    own = [Place(writer.main, other) for other in source.defined]
    parts: dict[Place, Part] = {}
    for place in own:
        expression = source.expression(place.name)
        if place.name in ("Config", "BROUGHT", *ast.unparse(record.targets[0]).split()) or isinstance(
            expression, ast.Dict | ast.BinOp
        ):
            continue
        found = writer.meaning(source, (place.name,))[0]
        if writer.comes_along(found):
            writer.name_of(found)
    done = 0
    while done < len(writer.queue):
        place = writer.queue[done]
        if place.name != "Config":
            parts[place] = writer.part(place)
        done += 1
    config = _config(writer, algo, source)
    mine = [place for place in parts if _is_algorithm(place.module)]
    order = {place: i for i, place in enumerate(own)}
    mine.sort(key=lambda place: order.get(Place(writer.main, place.name), len(order)))
    shared = [place for place in parts if place not in mine]
    line = {place: writer.source(place.module).defined[place.name].lineno for place in shared}
    kind = {place: ("class", "def").index(kind_of(parts[place].text)) for place in shared}
    shared.sort(key=lambda place: (kind[place], FAMILY.index(place.module), line[place]))
    texts = in_order([parts[place] for place in [*mine, *shared]])
    doc = str(ast.get_source_segment(source.text, source.tree.body[0]))
    presets = [f"PRESETS = {literal(dict(algo.presets))}"] if algo.presets else []
    writer.imports |= {"import sys", "from jaxrl_up.cli import main"}
    body = f"{import_lines(writer.imports)}\n\n\n{joined([config, *presets, *texts, ends])}\n\n\n{_main(env, wrappers)}"
    header = HEADER.format(name=name, algo=algo.name, version=__version__)
    if (header + doc + body).count("\n") + 2 > LONGEST:
        doc = re.sub(r"\nDeviations: .*?\n(?=\n)", "", doc, flags=re.DOTALL)
    return f"{header}{doc}\n\n{body}"


def _main(env: str, wrappers: Sequence[str]) -> str:
    """What the script does when it is run."""
    where = ["--env", env, *(word for wrapper in wrappers for word in ("--wrap", wrapper))]
    if where == ["--env", "CartPole-v1"]:  # the default
        return 'if __name__ == "__main__":\n    raise SystemExit(main(["train", "--algo", *sys.argv]))\n'
    lines = [f'    where = [] if {{"--from", "--recipe"}} & {{*sys.argv}} else {json.dumps(where)}']
    lines.append('    raise SystemExit(main(["train", "--algo", sys.argv[0], *where, *sys.argv[1:]]))')
    return "\n".join(['if __name__ == "__main__":', *laid_out(lines)]) + "\n"


def _record(writer: Writer, source: Source, record: ast.Assign, algo: Algorithm, name: str) -> str:
    """The last statement, the record, under another name and with the presets by theirs."""
    call = record.value
    assert isinstance(call, ast.Call)
    words = []
    for i, value in enumerate([*call.args, *(word.value for word in call.keywords)]):
        if i == 6 and algo.presets:
            words.append("PRESETS")
            continue
        text = f'"{name}"' if i == 0 else writer.text(source, value, writer.edits(source, value)[0])
        words.append(f"{call.keywords[i - len(call.args)].arg}={text}" if i >= len(call.args) else text)
    writer.imports.add("from jaxrl_up import Algorithm")
    lines = "".join(f"    {word},\n" for word in words)
    return f"{ast.unparse(record.targets[0])} = Algorithm(\n{lines})"


def _config(writer: Writer, algo: Algorithm, source: Source) -> str:
    node = source.defined["Config"]
    assert isinstance(node, ast.ClassDef)
    fields = declarations(algo.Config)
    text = "\n".join(field.text for field in fields.values())
    writer.imports |= {"from flax import struct"} | {
        f"from jaxrl_up.types import {kind}" for kind in ("static", "traced") if f"= {kind}(" in text
    }
    writer.imports |= {f"from typing import {name}" for name in ("Any", "ClassVar") if f": {name}" in text}
    written = "\n".join(f'    {field.text}\n    """{field.doc}"""' for field in fields.values())
    doc = ast.get_source_segment(source.text, node.body[0])
    return f"@struct.dataclass(frozen=True)\nclass Config:\n    {doc}\n\n{written}"
