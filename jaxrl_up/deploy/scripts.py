"""Ejecting: an algorithm as a script of your own, whole (see `full_scripts`) or thin.

Thin, it is the package's own file with a main below it. What that imports is public, so the script needs nothing else:
`jaxrl_up`, its `envs` and `ops`, and the modules that the algorithms share.
"""

from __future__ import annotations

import ast
import inspect
import json
import keyword
import shlex
import sys
from collections.abc import Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import cast

from jaxrl_up import envs
from jaxrl_up._version import __version__
from jaxrl_up.algorithms import ALGORITHMS, check_support, find_algorithm
from jaxrl_up.config import declarations, did_you_mean, flag
from jaxrl_up.deploy.full_scripts import whole
from jaxrl_up.deploy.layout import rank
from jaxrl_up.records import expand, write_atomically
from jaxrl_up.types import Algorithm

HEADER = """\
# {name}.py: {algo} of jaxrl_up {version} as a file of your own, by `jaxrl-up eject`. Until you change it,
#
#     python {name}.py --env {env} --seeds 8 --directory runs/{name}{options}
#
# gives the numbers of `jaxrl-up train {algo}` with the same options.
# Its records say "{name}", so that they are not taken for those of the package's own.
"""

MAIN = '''

def main() -> None:
    """Train on several seeds at once and print the score: the interquartile mean over seeds, with a 95% interval."""
    parser = argparse.ArgumentParser(description="Train {name} on an environment, several seeds at once.")
    parser.add_argument("--env", default="{env}", help="environment; `jaxrl-up envs` lists them")
    parser.add_argument("--wrap", action="append", metavar="NAME[=VALUE]", help="wrap it; the first is applied first")
    parser.add_argument("--seeds", type=int, default=8, help="how many")
    parser.add_argument("--total-steps", type=int, default=Config.total_steps, help="environment steps of each seed")
    parser.add_argument("--directory", help="where to write config, progress and curve; must not hold a run")
    options = parser.parse_args()
    use_all_cores(runs=options.seeds)  # before any JAX computation
    config = Config(total_steps=options.total_steps)
    {default}env = envs.wrap(options.env, options.wrap or {wrappers})
    result = run({record}, env, config, seeds=options.seeds, directory=options.directory)
    print(f"score {{result.score}}")


if __name__ == "__main__":
    main()
'''
MAIN_IMPORTS = {"envs", "run", "use_all_cores"}


def eject(
    algo: Algorithm | str,
    path: str | Path,
    env: str | None = None,
    force: bool = False,
    wrappers: Sequence[str] = (),
    thin: bool = False,
) -> Path:
    """Write an algorithm of the package as a script that trains it on `env`, unless told otherwise when it runs.

    The script has the whole algorithm: its own file, and what that takes from other algorithms and from its family. A
    `thin` one equals the algorithm's own file. Either has a `main`, and in the record the name of the script. `env` is
    by default CartPole-v1, or Pendulum-v1 for continuous actions, wrapped as `envs.wrap` does with `wrappers`; `force`
    overwrites. Raises `ValueError` for an environment or wrapper that does not exist or that does not fit the
    algorithm, for a name that cannot be imported or hides another module and for a flag that is none,
    `FileExistsError` for a file that is there already, and `OSError` for one that cannot be written. Nothing is
    written then.
    """
    algo, path, force, thin = find_algorithm(algo), expand(path), flag("force", force), flag("thin", thin)
    if ALGORITHMS.get(algo.name) is not algo:
        raise ValueError(f"{algo.name!r} is your own: there is a file of it already")
    env = env or ("CartPole-v1" if "Discrete" in algo.action_spaces else "Pendulum-v1")
    _check_name(algo, path)
    if not envs.is_name(env):
        raise ValueError(
            f"there is no environment {env!r}.{did_you_mean(env, envs.names())} `jaxrl-up envs` lists them"
        )
    check_support(algo, envs.wrap(env, wrappers))
    text = (script if thin else whole)(algo, path.stem, env, wrappers)
    try:
        write_atomically(path, text, replace=force)
    except FileExistsError:
        raise FileExistsError(f"{path} exists already; choose another name, or overwrite it with --force") from None
    except OSError as error:
        raise OSError(f"cannot write {path}: {error.strerror}") from error
    return path


def script(algo: Algorithm, name: str, env: str, wrappers: Sequence[str] = ()) -> str:
    """The text of the script `<name>.py` for an algorithm of the package, with all fields of its config written out."""
    text = inspect.getsource(sys.modules[algo.Config.__module__])
    tree, lines = ast.parse(text), text.splitlines()
    config = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Config")
    record = cast(ast.Assign, tree.body[-1])  # PPO = Algorithm("ppo", Config, ...)
    call = cast(ast.Call, record.value)
    given = [ast.get_source_segment(text, node) for node in call.args[1:]]
    given += [f"{node.arg}={ast.get_source_segment(text, node.value)}" for node in call.keywords]
    variable, fields = ast.unparse(record.targets[0]), declarations(algo.Config)

    # from the last line to the first, so that line numbers stay right
    lines[record.lineno - 1 :] = [f"{variable} = Algorithm(", *(f"    {x}," for x in [f'"{name}"', *given]), ")"]
    written = [f"class Config:\n    {ast.get_source_segment(text, config.body[0])}\n"]
    written += [f'    {field.text}\n    """{field.doc}"""' for field in fields.values()]
    lines[config.lineno - 1 : config.end_lineno] = written
    needed = {"jaxrl_up": MAIN_IMPORTS, "jaxrl_up.types": {"static", "traced"}}
    if any("Any" in field.text for field in fields.values()):
        needed["typing"] = {"Any"}
    _import(lines, tree, needed)
    about = {"name": name, "env": env, "algo": algo.name, "record": variable, "version": __version__}
    about["options"] = "".join(f" \\\n#         --wrap {shlex.quote(wrapper)}" for wrapper in wrappers)
    entries = "".join(f"        {json.dumps(wrapper)},\n" for wrapper in wrappers)
    about["default"] = f"wrappers = [\n{entries}    ]\n    " if wrappers else ""
    about["wrappers"] = "wrappers" if wrappers else "[]"
    return HEADER.format(**about) + "\n".join(lines) + "\n" + MAIN.format(**about)


def _import(lines: list[str], tree: ast.Module, needed: dict[str, set[str]]) -> None:
    """Add names to the imports of a file, in their order: `argparse`, and those `needed` of modules."""
    found = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    for node in reversed(found):
        if isinstance(node, ast.ImportFrom) and node.module in needed:
            names = {alias.name for alias in node.names} | needed.pop(node.module)
            lines[node.lineno - 1 : node.end_lineno] = [
                f"from {node.module} import {', '.join(sorted(names, key=rank))}"
            ]
    standard = [node for node in found[1:] if _is_standard(node)]  # after `from __future__`
    own = next(
        node for node in found if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("jaxrl_up")
    )
    if "jaxrl_up" in needed:  # of which the file has nothing yet
        names = sorted(needed.pop("jaxrl_up"), key=rank)
        lines.insert(own.lineno - 1, f"from jaxrl_up import {', '.join(names)}")
    rest = [f"from {module} import {', '.join(names)}" for module, names in needed.items()]
    start, end = found[1].lineno - 1, standard[-1].end_lineno if standard else found[1].lineno - 1
    lines[end:end] = rest if standard else [*rest, ""]
    lines.insert(start, "import argparse")


def _is_standard(node: ast.Import | ast.ImportFrom) -> bool:
    name = node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
    return (name or "").partition(".")[0] in sys.stdlib_module_names


@cache
def _installed() -> frozenset[str]:
    """The names of all modules that are installed; to find them takes a while."""
    return frozenset(metadata.packages_distributions())


def _check_name(algo: Algorithm, path: Path) -> None:
    """Raise `ValueError` unless Python can import the file by its name and still finds everything else."""
    advice = f"choose another name, as my_{algo.name}.py"
    if path.suffix != ".py":
        raise ValueError(f"{str(path)!r} is no Python file: {advice}")
    if not path.stem.isidentifier() or keyword.iskeyword(path.stem):
        raise ValueError(f"{path.name!r} cannot be imported by its name: {advice}")
    if path.stem in ALGORITHMS:
        raise ValueError(f"{path.name!r}: records could not tell it from the package's {path.stem}; {advice}")
    if path.stem in {"jaxrl_up", *sys.stdlib_module_names, *_installed()}:
        raise ValueError(f"{path.name!r} would hide the module {path.stem} from what it imports; {advice}")
