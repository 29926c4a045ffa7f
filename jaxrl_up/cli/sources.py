"""What a command starts from: a recipe, or the run of a directory."""

from __future__ import annotations

from typing import Any

from jaxrl_up.cli.options import UsageError
from jaxrl_up.cli.own import FIELDS, algorithm, own_words, without

SOURCES = {
    "--recipe": "a name or a file, as in `--recipe ppo/pendulum`",
    "--from": "a run, as in `--from runs/ppo-CartPole-v1`",
}


def take_source(arguments: list[str], algo: str | None = None) -> tuple[list[str], Any]:
    """The arguments without `--recipe` or `--from`, and what that says, a `records.Source`; None where there is none.

    What else is given overrides it. `algo` is what `--algo` says.
    """
    given = [i for i, argument in enumerate(arguments) if argument.partition("=")[0] in SOURCES]
    if not given:
        return arguments, None
    if len(given) > 1:
        raise UsageError("--recipe or --from can be given once")
    start = given[0]
    name, equals, source = arguments[start].partition("=")
    source = source if equals else "".join(arguments[start + 1 : start + 2])
    if not source or source.startswith("--"):
        from jaxrl_up.records import command, newest_run

        run = newest_run() if name == "--from" else None
        needed = SOURCES[name] if run is None else f"a run: {command('train', name, run)}"
        raise UsageError(f"{name} needs {needed}")
    rest = arguments[:start] + arguments[start + (1 if equals else 2) :]
    if rest and not rest[0].startswith("-"):
        raise UsageError(f"{name} names the algorithm already; leave {rest[0]!r} out")
    from jaxrl_up.experiments import recipe_source

    try:
        if name == "--from":
            return _from_run(rest, source, algo)
        if algo is not None:
            raise UsageError(f"--recipe names the algorithm already; leave --algo {algo} out")
        return rest, recipe_source(source)
    except (ValueError, OSError) as error:
        raise UsageError(str(error)) from error


def _from_run(arguments: list[str], directory: str, algo: str | None) -> tuple[list[str], Any]:
    """As `take_source`, of a run. A class that is named for a field of it is the one that the run had."""
    from jaxrl_up import envs
    from jaxrl_up.algorithms import own_kinds
    from jaxrl_up.config import own_variable
    from jaxrl_up.records import run_source

    found = None if algo is None else algorithm(algo)
    kinds = FIELDS if found is None else (*FIELDS, *own_kinds(found))
    fields = own_words(arguments, kinds)
    given = {word.partition("=")[0].replace("_", "-") for word in arguments}
    named = {"env": "--env" in given or None, "evaluation_env": "--eval-env" in given or None, "algo": found}
    source = run_source(directory, {**fields, **{name: x for name, x in named.items() if x is not None}})
    if found is not None and found.name != source.algorithm:
        raise UsageError(f"--algo {algo} is {found.name}, but the run is of {source.algorithm}")
    if not envs.is_named(source.environment, source.wrappers):
        source = source._replace(wrappers=())
    same = [name for name, text in fields.items() if _is_of(source.fields.get(name), own_variable(text))]
    return without(arguments, same), source


def _is_of(value: Any, named: Any) -> bool:
    """Whether a value is what is named, or of that class; of nnx, which is kept as a linen module, of its class."""
    return value is named or (isinstance(named, type) and named in (type(value), getattr(value, "kind", None)))
