"""The reference: a page for each room, with every name that its face exports. The list is read from the source."""

import ast

import griffe
from mkdocs.exceptions import PluginError

ROOMS = (
    *("ops", "tabular", "envs", "learning", "algorithms", "training"),
    *("experiments", "records", "analysis", "deploy", "config", "types"),
)
ALGORITHMS = "jaxrl_up.algorithms"


def pages(root):
    """The pages of the reference: {uri: Markdown for mkdocstrings}. A public name without a docstring stops the
    build."""
    package = griffe.load("jaxrl_up", search_paths=[root], try_relative_path=False)
    faces = {"jaxrl_up": package} | {f"jaxrl_up.{room}": package[room] for room in ROOMS}
    missing = [f"{path}.{name}" for path, face in faces.items() for name in public(face) if not _text(face, name)]
    if missing:
        raise PluginError(f"public names without a docstring: {', '.join(missing)}")
    made = {f"reference/{path.rpartition('.')[2]}.md": _page(face, faces) for path, face in faces.items()}
    rooms = "".join(
        f"| [`{path}`]({path.rpartition('.')[2]}.md) | {face.docstring.value.splitlines()[0]} | {len(public(face))} |\n"
        for path, face in faces.items()
    )
    made["reference/index.md"] = (
        "---\nrender_macros: false\n---\n# Reference\n\nEvery public name, room by room, as its docstring says it."
        f"\n\n| room | what is in it | names |\n|---|---|---|\n{rooms}"
    )
    return made


def public(face):
    """The names that a face exports: `from x import y as y`; all that it defines where it is a file of its own."""
    if face.filepath.name != "__init__.py":
        return [name for name, member in face.members.items() if not name.startswith("_") and not member.is_alias]
    imports = [node for node in ast.parse(face.filepath.read_text("utf-8")).body if isinstance(node, ast.ImportFrom)]
    return [alias.name for node in imports for alias in node.names if alias.name == alias.asname]


def _target(face, name):
    member = face.members[name]
    return member.final_target if member.is_alias else member


def _is_algorithm(target):
    """Whether a name is an algorithm's record: it is explained by the docstring of its file."""
    return target.is_attribute and str(target.value).startswith("Algorithm(")


def _text(face, name):
    target = _target(face, name)
    return target.module.docstring if _is_algorithm(target) else target.docstring


def _page(face, faces):
    """The page of a face: its docstring, then every name."""
    parts = ["---", "render_macros: false", "---", f"# `{face.path}`", "", face.docstring.value, ""]
    return "\n".join([*parts, *(_entry(face, name, faces) for name in public(face))])


def _entry(face, name, faces):
    """One name of a face: rooms and algorithms where they are at home, all else by mkdocstrings."""
    target, path = _target(face, name), f"{face.path}.{name}"
    heading = f"## `{name}` {{ #{path} }}\n\n"
    if target.path in faces:
        return f"{heading}{_first(target)} All of it is in [`{target.path}`]({target.name}.md).\n"
    if _is_algorithm(target):
        if face.name != "algorithms":
            return f"{heading}{_first(target.module)} More in [`algorithms`](algorithms.md#{ALGORITHMS}.{name}).\n"
        return f"{heading}{target.module.docstring.value}\n\n::: {target.module.path}.Config\n{_options(3)}"
    if target.is_module:
        members = [own for own in public(target) if own not in public(face) and not _is_algorithm(target[own])]
        return f"::: {path}\n{_options(2, members)}"
    return f"::: {path}\n"


def _first(target):
    return target.docstring.value.split("\n\n")[0].replace("\n", " ")


def _options(level, members=None):
    chosen = "" if members is None else f"      members: {members}\n"
    return f"    options:\n      heading_level: {level}\n{chosen}"
