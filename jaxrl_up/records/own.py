"""What a run has of the user's own: how config.toml remembers it, and how it is asked for where the run is opened.

A run is data: nothing of the user's own is imported because a file of it says so. Its table `own` says by which names
to give it, as text, and what opens the run takes them from the user.
"""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxrl_up import envs
from jaxrl_up.algorithms import own_kinds, own_name
from jaxrl_up.config import is_own_file, is_own_name, own_variable
from jaxrl_up.records.naming import NAMELESS, class_name, names_in
from jaxrl_up.records.values import toml_value
from jaxrl_up.types import Algorithm, PyTree

OWN = "own"
"""The table of config.toml with the names of what is the user's own."""
EVALUATED = "evaluation_environment"
"""The table of config.toml for an environment to evaluate in, where that is another."""
ENVIRONMENTS = {"env": "environment", "evaluation_env": EVALUATED}
"""Arguments of `load_run` and the tables that they are."""
OPTIONS = {"algo": "--algo", "env": "--env", "evaluation_env": "--eval-env"}
"""Arguments of `load_run` and the options of the command line that they are; a field goes by its name."""
PATTERNS = ("FILE.py", NAMELESS)
WHY = "not found by name, and what is your own is imported only where you name it"


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
        names[field] = class_name(toml_value(getattr(config, field)))
    return {name: text for name, text in names.items() if text is not None}


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
