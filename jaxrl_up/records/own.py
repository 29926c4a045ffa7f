"""What a run has of the user's own: how config.toml remembers it, and how it is asked for where the run is opened.

A run is data: nothing of the user's own is imported because a file of it says so. Its table `own` says by which names
to give it, as text, and what opens the run takes them from the user.
"""

from __future__ import annotations

import contextlib
import dataclasses
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxrl_up import envs
from jaxrl_up.algorithms import own_kinds, own_name, own_value
from jaxrl_up.config import is_own_file, is_own_name, module_named, own_variable, place_of
from jaxrl_up.records.values import Named, Point, Unknown, from_toml, text, toml_value
from jaxrl_up.types import Algorithm, PyTree

OWN = "own"
"""The table of config.toml with the names of what is the user's own."""
EVALUATED = "evaluation_environment"
"""The table of config.toml for an environment to evaluate in, where that is another."""
ENVIRONMENTS = {"env": "environment", "evaluation_env": EVALUATED}
"""Arguments of `load_run` and the tables that they are."""
OPTIONS = {"algo": "--algo", "env": "--env", "evaluation_env": "--eval-env"}
"""Arguments of `load_run` and the options of the command line that they are; a field goes by its name."""
LIBRARIES = ("jaxrl_up", "flax", "jax", "optax", "distrax", "builtins", "functools")  # never one's own


NAMELESS = "FILE.py:NAME"
"""What stands for a name that is not known, as that of a lambda."""
PATTERNS = ("FILE.py", NAMELESS)
WHY = "not found by name, and what is your own is imported only where you name it"


Asked = tuple[str, str]
"""Something to be named: argument of `load_run`, or field; and in words."""


class NotNamed(ValueError):
    """Something of the user's own that was not named: `what` it is, as the beginning of a sentence that goes on with
    `WHY`; and `missing`, by argument of `load_run` or by field what to give."""

    def __init__(self, what: str, missing: Mapping[str, str]) -> None:
        self.what, self.missing = what, dict(missing)
        fields = {name: text for name, text in missing.items() if name not in OPTIONS}
        given = [f"{name}={text!r}" for name, text in missing.items() if name in OPTIONS]
        given += [f"own={fields}"] if fields else []
        instead = ", or give the config" if NAMELESS in fields.values() else ""
        super().__init__(f"{what} {WHY}: give {', '.join(given)}{instead}")

    def by(self, command: str) -> str:
        """The sentence with a command line that names it, where the same without did not."""
        pattern = next((f", here as {text}" for text in self.missing.values() if text in PATTERNS), "")
        return f"{' '.join(self.what.split())} {WHY}{pattern}: {command} {shlex.join(self.options)}"

    @property
    def options(self) -> list[str]:
        """The words of a command line that say it: `["--algo", "my_algo.py"]`."""
        return [word for name, text in self.missing.items() for word in (option(name), text)]


def own_names(algo: Algorithm, config: PyTree) -> dict[str, str]:
    """The names of what is the user's own in a run, environments apart, which have theirs: the table `own`."""
    names = {"algorithm": own_name(algo)}
    for field in own_kinds(algo):
        names[field] = _class_name(toml_value(getattr(config, field)))
    return {name: text for name, text in names.items() if text is not None}


def named(field: str, value: Any) -> Any:
    """A value of a field in a sweep's points: what may be the user's own by what it is called.

    That is a text `FILE.py:NAME`, which is imported, or a module or function: by its variable where it is one, else as
    `FILE.py:Net(width=5)` with the fields that are no default. Anything else is as it is. Raises `ValueError` as
    `own_value` does.
    """
    if isinstance(value, Named):
        return value
    if is_own_name(value):
        return Named(value, own_value(field, value))
    table = toml_value(value)
    if not isinstance(table, dict):
        return value
    module = str(table["import"]).partition(":")[0]
    held = vars(module_named(module) or object)
    variable = next((name for name, other in list(held.items()) if other is value), None)
    place = place_of(module)
    if place and variable:
        return Named(f"{place}:{variable}", value)
    usual = {field.name: toml_value(field.default) for field in dataclasses.fields(value)} if "fields" in table else {}
    fields = {name: x for name, x in table.get("fields", {}).items() if x != usual[name]}
    return Named(called(table | ({"fields": fields} if usual else {}), _class_name(table)), value)


def _class_name(table: Any) -> str | None:
    """By which name to give what `toml_value` gives of something of the user's own: that of its class or function."""
    return next((_named(path) for path in _paths(table)), None)


def called(value: Any, name: str | None = None) -> str:
    """A value of config.toml in a few characters, a module as `Net(width=5)`.

    With the name of what is the user's own in it, as the table `own` has it: `FILE.py:Net(width=5)`, and for another
    name than that of its class or function the name itself.
    """
    if not isinstance(value, Mapping):
        return "-".join(map(called, value)) if isinstance(value, list) else text(value)
    kind = str(value.get("import")).rpartition(":")[2]
    fields = [f"{field}={called(x)}" for field, x in value.get("fields", {}).items()]
    short = f"{kind}({', '.join(fields)})" if "fields" in value else kind
    place, _, variable = (name or "").rpartition(":")
    return short if not name else f"{place}:{short}" if variable == kind else name


def names_in(points: Sequence[Point]) -> dict[str, list[str]]:
    """By which names to give what is the user's own in a sweep's points: one for each value, by field, in order."""
    found: dict[str, dict[str, str]] = {}
    for point in points:
        for field, value in point.items():
            if isinstance(value, Named):
                name = str(value) if is_own_name(value) else _class_name(toml_value(value.value)) or NAMELESS
                found.setdefault(field, {})[value] = name
    return {field: list(names.values()) for field, names in found.items()}


def swept_values(tables: Mapping[str, Any], own: Mapping[str, Any]) -> tuple[dict[str, list[Any]], list[Asked]]:
    """The values of a sweep's points by field, as its sweep.toml says them, and what of them has to be named.

    `own` has what the user named by field: for each value of it that is the user's own one, in order. Raises
    `ValueError` for another number of them.
    """
    columns, asked_for = {}, []
    for name in tables["sweep"]["axes"] if "sweep" in tables else ():
        column = columns[name] = list(tables["points"][name])
        mine: list[Any] = []
        mine += [value for i, value in enumerate(column) if isinstance(value, Mapping) and value not in column[:i]]
        given = own.get(name, [None] * len(mine))
        given = given if isinstance(given, list) else [given]
        if len(given) != len(mine):
            raise ValueError(f"the sweep has {len(mine)} values of {name} of your own: name each, with commas between")
        for i, value in enumerate(column):
            try:
                if isinstance(value, Mapping):
                    table = {key: x for key, x in value.items() if key != "called"}
                    column[i] = Named(
                        value.get("called", called(table)), from_toml(table, name, given[mine.index(value)])
                    )
                else:
                    column[i] = from_toml(value, name)
            except Unknown as error:
                asked_for += [(name, str(error))] if (name, str(error)) not in asked_for else []
    return columns, asked_for


def own_options(tables: Mapping[str, Any]) -> list[str]:
    """The options that open what these tables of config.toml, or of sweep.toml, are of: `["--algo", "my_algo.py"]`."""
    asked_for = ["algo" if name == "algorithm" else name for name in tables.get(OWN, {})]
    asked_for += [name for name, table in ENVIRONMENTS.items() if envs.own_parts(tables.get(table, {}).get("name", ""))]
    return [word for name in asked_for for word in (option(name), remembered(tables, name))]


def options_for(result: Any) -> list[str]:
    """As `own_options`, of a `RunResult`, a `RunSpec` or a sweep's result."""
    others = {"environment": result.env, EVALUATED: result.evaluation_env}
    tables = {
        name: {"name": env.name, "wrappers": env.spec.wrappers} for name, env in others.items() if env is not None
    }
    own = own_names(result.algo, result.config) | names_in(getattr(result, "points", ()))
    return own_options({OWN: own, **tables})


def command(*words: Any) -> str:
    """A command line of ours to paste, quoted for the shell: `jaxrl-up resume 'runs/two words' --algo FILE.py`.

    Paths are as short as the current directory makes them.
    """
    return shlex.join(["jaxrl-up", *(near(word) if isinstance(word, Path) else str(word) for word in words)])


def near(path: Path) -> str:
    """A path as seen from the current directory where it is below that, otherwise as it is."""
    with contextlib.suppress(OSError, ValueError):
        text = str(path.relative_to(Path.cwd()) if path.is_absolute() else path)
        return text if not text.startswith("-") else f"./{text}"
    return str(path)


def option(name: str) -> str:
    """The option of the command line that gives an argument of `load_run`, or a field."""
    return OPTIONS.get(name, f"--{name.replace('_', '-')}")


def remembered(tables: Mapping[str, Any], argument: str) -> str:
    """What to give for an argument of `load_run`, or a field, of a run; a pattern where its tables do not say it."""
    if argument in ENVIRONMENTS:
        table = tables[ENVIRONMENTS[argument]]
        text = table["name"]
        known = envs.is_named(text, table["wrappers"]) and not envs.is_gone(text)
    else:
        written = tables.get("config", {}).get(argument)
        noted = tables.get(OWN, {}).get("algorithm" if argument == "algo" else argument)
        if isinstance(noted, list):  # of a sweep
            return ",".join(x if is_own_name(x) and x.isprintable() else NAMELESS for x in noted)
        text = written if is_own_name(written) else noted
        known = is_own_name(text) or is_own_file(text)
    return str(text) if known and text.isprintable() else "FILE.py" if argument == "algo" else NAMELESS


def variables(own: Mapping[str, Any] | None) -> dict[str, Any]:
    """What the user named by field: the variables of texts, anything else as it is.

    For a sweep over a field it may be a list, or names with commas between.
    """
    return {name: _variables(x) for name, x in (own or {}).items()}


def _variables(given: Any) -> Any:
    parts = given.split(",") if isinstance(given, str) else given
    if isinstance(parts, list | tuple) and (not isinstance(given, str) or (parts[1:] and all(map(is_own_name, parts)))):
        return [_variables(part) for part in parts]
    return own_variable(given) if isinstance(given, str) else given


def _paths(value: Any) -> Iterator[str]:
    """The import paths in what `toml_value` gives of what may be the user's own."""
    if isinstance(value, Mapping):
        path = value.get("import")
        if isinstance(path, str) and path.partition(":")[0].partition(".")[0] not in LIBRARIES:
            yield path
        for item in value.values():
            yield from _paths(item)
    elif isinstance(value, list):
        for item in value:
            yield from _paths(item)


def _named(path: str) -> str | None:
    """The name of an import path; None where it is in no file or module, or no variable there."""
    module, _, attribute = path.partition(":")
    name = f"{place_of(module)}:{attribute.partition('.')[0]}"
    return name if place_of(module) is not None and is_own_name(name) and "<" not in attribute else None
