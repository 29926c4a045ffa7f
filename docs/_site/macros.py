"""What the pages of the site say from the code itself, for mkdocs-macros: facts, fields, scores, columns, lines.

    {{ facts("ppo") }}                                          what it is, at a glance
    {{ fields("ppo") }}                                         a table of its fields
    {{ scores("ppo") }}                                         what its recipes reach, with their curves
    {{ columns("ppo") }}                                        what it logs
    {{ deviations("ppo") }}                                     what its docstring says of the paper, as a list
    {{ source("ppo", "loss") }}                                 a function of its file
    {{ source("ppo", "update", "# run pi_old", "# optimise") }} some lines of it

A name is an algorithm's; `source` takes modules of `jaxrl_up.learning`, as "models", and `ops` as well. Each macro
gives Markdown and raises `ValueError` for what it does not find, so a page that no longer fits the code fails the
build. Links lead from `docs/algorithms` to files of the repository.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import inspect
import json
import math
import re
import sys
import textwrap
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import jax

import jaxrl_up
from jaxrl_up import envs, make_config
from jaxrl_up.algorithms import ALGORITHMS, find_algorithm
from jaxrl_up.config import declarations
from jaxrl_up.learning import actor_critic, models, off_policy, on_policy, planning, q_learning
from jaxrl_up.records import GAMES, SHARED, column_meaning
from jaxrl_up.types import Algorithm

ROOT = Path(__file__).resolve().parents[2]
UP = "../../"  # from a page in docs/algorithms to the root

FAMILIES = {  # by the fields that its Config is built on, the first that fits: the family, and what it learns from
    models.BesideFields: (
        "actor and critics, with a learned model beside them",
        "off-policy: from a replay of what any earlier policy did, and from what the model makes of it",
    ),
    on_policy.Fields: ("policy gradient with a critic", "on-policy: from its own last rollout, which is then dropped"),
    q_learning.Fields: ("Q-learning", "off-policy: from a replay of what any earlier policy did"),
    actor_critic.Fields: ("actor and critics", "off-policy: from a replay of what any earlier policy did"),
    off_policy.ReplayFields: (
        "planning in a learned model",
        "a model, and no policy: from a replay of all that was done",
    ),
    planning.TreeFields: (
        "search in the true model, and learning from it",
        "off-policy: from the positions of its last games, and what its searches found there",
    ),
    planning.SearchFields: ("planning in the true model", "nothing: the environment's simulator is the model"),
}
EVALUATION = ("evaluation of a given policy", "on-policy: from rollouts of the policy that is given")
SPACES = {
    "Discrete": "discrete",
    "Box": "continuous",
    "MultiDiscrete": "several discrete ones",
    "Dict": "dicts and tuples of these",
}


def define_env(env: Any) -> None:
    """Hand the macros to mkdocs-macros."""
    for macro in MACROS:
        env.macro(macro)


def facts(name: str) -> str:
    """The algorithm at a glance."""
    algo = find_algorithm(name)
    family, data = _family(algo)
    config, file = make_config(algo), _file(_module(name))
    update = f"{config.rollout_length:,} steps of {config.num_envs} environment{'s' * (config.num_envs > 1)}"
    presets = [f"`{preset}`" for preset in ("default", *algo.presets)]
    recipes = [f"`{_recipe(path)}`" for path in _recipes(name)] or ["none yet"]
    return _table(
        ("name", f"`{name}`"),
        [
            ("family", family),
            ("learns", data),
            ("actions", ", ".join(SPACES[space] for space in algo.action_spaces)),
            ("one update", f"{update}, by default; {config.total_steps:,} steps in all"),
            ("presets", ", ".join(presets)),
            ("recipes", ", ".join(recipes)),
            ("file", _link(file)),
        ],
    )


def fields(name: str) -> str:
    """All fields of the algorithm's Config: its own, then, folded, those of its family."""
    config = find_algorithm(name).Config
    known, kinds = declarations(config), {field.name: field for field in dataclasses.fields(config)}
    own = [field for field in known if field in config.__annotations__ and field in kinds]
    inherited = [field for field in known if field not in config.__annotations__]
    head = ("field", "default", "allowed", "kind", "what it is")
    tables = [_table(head, [_field(kinds[field], known[field].doc) for field in names]) for names in (own, inherited)]
    folded = textwrap.indent(tables[1], "    ")
    return f'{tables[0]}\n\n??? note "{len(inherited)} fields that it shares with its family"\n\n{folded}'


def scores(name: str) -> str:
    """What each recipe of the algorithm was measured to reach, by which command, and the pictures of the curves."""
    rows, commands, pictures = [], [], []
    for path in _recipes(name):
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        recipe, expected, row = _recipe(path), table.get("expected"), (_link(path, path.stem), table["environment"])
        if expected is None:
            note = table.get("note", "").replace("docs/bodies.md", "[bodies](../bodies.md)")
            rows.append((*row, f"{table['config']['total_steps']:,}", f"not here: {note}", "", "", ""))
            continue
        results = ROOT / "bench" / "results" / f"{recipe.replace('/', '-')}.json"
        low, high = expected["interval"]
        score = f"{expected['iqm']:,.1f}", f"{low:,.1f} to {high:,.1f}", f"{expected['worst']:,.1f}"
        rows.append((*row, f"{expected['env_steps']:,}", *score, _link(results, str(expected["seeds"]))))
        commands.append(expected["command"])
        if results.with_suffix(".png").exists():
            picture = f"![Learning curves of {recipe}]({UP}{results.with_suffix('.png').relative_to(ROOT)})"
            caption = (
                f"`{recipe}`, {expected['seeds']} seeds: evaluations of each while it trains, IQM and 95% interval"
            )
            pictures.append(f"{picture}\n\n*{caption}.*")
    if not rows:
        return f"There is no recipe of `{name}` yet, so no measured score."
    head = ("settings", "environment", "steps", "IQM", "95% interval", "worst seed", "seeds")
    measured = "Final policies, every seed counted, by\n\n```bash\n" + "\n".join(commands) + "\n```"
    table = f'<div class="scores" markdown>\n\n{_table(head, rows)}\n\n</div>'
    return "\n\n".join([table, measured, *pictures])


def columns(name: str) -> str:
    """The columns of progress.csv: what this algorithm learns, and, folded, what every run logs."""
    head = ("column", "what it is")
    shared = _table(head, [(f"`{column}`", meaning) for column, meaning in shared_columns().items()])
    own = _table(head, [(f"`{column}`", meaning(name, column)) for column in logged(name)])
    return f'{own}\n\n??? note "What every run logs"\n\n{textwrap.indent(shared, "    ")}'


def deviations(name: str) -> str:
    """What the docstring of the algorithm names as differing from the paper, a line for each."""
    paragraphs = [" ".join(x.split()) for x in (_module(name).__doc__ or "").split("\n\n")]
    found = [x.removeprefix("Deviations: ") for x in paragraphs if x.startswith("Deviations: ")]
    if len(found) != 1:
        raise ValueError(f"the docstring of {name} has {len(found)} paragraphs that begin with 'Deviations: ', not one")
    first, *others = re.split(r"(?<=[\w`)])\. (?=[A-Z])", found[0].rstrip("."))
    parts, depth, begin = [], 0, 0
    for match in re.finditer(r"[()]|; ", first):
        depth += {"(": 1, ")": -1}.get(match[0], 0)
        if depth == 0 and match[0] == "; ":
            parts.append(first[begin : match.start()])
            begin = match.end()
    return "\n".join(f"- {part}" for part in (*parts, first[begin:], *others))


def source(name: str, function: str, start: str | None = None, end: str | None = None) -> str:
    """Lines of a function: all, or from the one with `start` in it up to the one before that with `end` in it."""
    found = _unwrapped(getattr(_module(name), function, None))
    if not callable(found):
        raise ValueError(f"{name} has no function {function!r}")
    lines = textwrap.dedent(inspect.getsource(found)).splitlines()
    first = _only(lines, start, 0, f"{name}.{function}") if start else 0
    last = _only(lines, end, first + 1, f"{name}.{function}") if end else len(lines)
    code = textwrap.dedent("\n".join(lines[first:last])).strip("\n")
    where = f"{_link(_file(sys.modules[found.__module__]))}, `{found.__name__}`"
    return f'<div class="ours" markdown>\n\n```python\n{code}\n```\n\n{where}\n\n</div>'


def efficiency() -> str:
    """When seeds of each learner first reached a return, for a page in docs: what `bench/model_pays.py` measured."""
    path = ROOT / "bench" / "results" / "model_pays.json"
    rows = []
    for name, row in json.loads(path.read_text(encoding="utf-8"))["rows"].items():
        middle, low, high = row["iqm"]
        seconds = row["seconds_of_the_middle"]
        late = f"{middle:,.0f}" if not row["never"] else f"at least {middle:,.0f}"
        reached = f"{row['seeds'] - row['never']} of {row['seeds']}"
        taken = "" if seconds is None else f"{seconds:,.0f}"
        rows.append((name, reached, late, f"{low:,.0f} to {high:,.0f}", taken, f"{row['compile_seconds']:,.0f}"))
    head = ("learner", "seeds that did", "environment steps", "95% interval", "seconds", "compiling")
    table = f'<div class="scores" markdown>\n\n{_table(head, rows)}\n\n</div>'
    return f"{table}\n\n[All curves as numbers](../bench/results/{path.name})."


MACROS = (facts, fields, scores, columns, deviations, source, efficiency)


@functools.cache
def logged(name: str) -> list[str]:
    """What the algorithm logs of its learning, by name; with every switch that is off by default on."""
    algo = find_algorithm(name)
    env = envs.make("CartPole-v1" if "Discrete" in algo.action_spaces else "Pendulum-v1")
    searches = issubclass(algo.Config, planning.TreeFields) or not algo.learns
    env = envs.with_simulator(env) if searches else env
    off = [f.name for f in dataclasses.fields(algo.Config) if f.metadata.get("pytree_node", True) and f.default is None]
    config = make_config(algo, **dict.fromkeys(off, 0.1))
    state = jax.eval_shape(lambda key: algo.init(config, env, key), jax.random.key(0))
    _, metrics = jax.eval_shape(lambda state: algo.update(config, env, state), state)
    return sorted(metrics.losses)


def shared_columns() -> dict[str, str]:
    """What every run logs: column -> sentence."""
    return {column: found.what for column, found in SHARED.items() if column not in GAMES}


def meaning(name: str, column: str) -> str:
    """The sentence of a column that an algorithm logs. Raises `ValueError` where there is none."""
    found = column_meaning(name, column)
    if found is None:
        raise ValueError(f"records/meanings.py has no sentence for the column {column!r} of {name}")
    return found.what


def _module(name: str) -> ModuleType:
    """The file of an algorithm, or a module of `learning` or `ops`."""
    if name in ALGORITHMS:
        return sys.modules[ALGORITHMS[name].Config.__module__]
    if name == "ops":
        return importlib.import_module("jaxrl_up.ops")
    found = getattr(importlib.import_module("jaxrl_up.learning"), name, None)
    if not isinstance(found, ModuleType):
        raise ValueError(f"{name!r} is no algorithm and no module of jaxrl_up.learning")
    return found


def _unwrapped(function: Any) -> Any:
    while isinstance(function, functools.partial):
        function = function.func
    return inspect.unwrap(function) if callable(function) else function


def _only(lines: list[str], text: str, first: int, where: str) -> int:
    """The one line from `first` on that contains a text."""
    found = [i for i, line in enumerate(lines) if i >= first and text in line]
    if len(found) != 1:
        raise ValueError(f"{where} has {len(found)} lines with {text!r}, not one")
    return found[0]


def _family(algo: Algorithm) -> tuple[str, str]:
    return next((text for base, text in FAMILIES.items() if issubclass(algo.Config, base)), EVALUATION)


def _file(module: ModuleType) -> Path:
    """The file of a module as it lies in the repository, wherever the package is installed."""
    return ROOT / Path(inspect.getfile(module)).relative_to(Path(jaxrl_up.__file__).parents[1])


def _link(path: Path, text: str | None = None) -> str:
    inside = path.relative_to(ROOT).as_posix()
    return f"[{text or inside}]({UP}{inside})"


def _recipes(name: str) -> list[Path]:
    return sorted((ROOT / "configs" / name).glob("*.toml"))


def _recipe(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


def _field(field: dataclasses.Field, doc: str) -> tuple[str, ...]:
    kind = "traced" if field.metadata.get("pytree_node", True) else "static"
    return f"`{field.name}`", f"`{_shown(field.default)}`", _allowed(field), kind, " ".join(doc.split())


def _shown(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value:,}".replace(",", "_")
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _allowed(field: dataclasses.Field) -> str:
    """The values of a field: its choices, or its range."""
    low, high = field.metadata.get("range") or (-math.inf, math.inf)
    optional = " or none" if field.default is None or "None" in str(field.type) else ""
    if field.metadata.get("choices"):
        return ", ".join(f"`{choice}`" for choice in field.metadata["choices"])
    if isinstance(field.default, bool):
        return "`true`, `false`"
    if isinstance(field.default, tuple):
        return "whole numbers ≥ 1"
    if field.metadata.get("above"):
        return f"above `{field.metadata['above']}`"
    if math.isfinite(low) and math.isfinite(high):
        return f"{low:g} to {high:g}{optional}"
    if math.isfinite(low):
        return f"≥ {low:g}{optional}"
    return "any, or none" if optional else "a number" if isinstance(field.default, float) else "see right"


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
