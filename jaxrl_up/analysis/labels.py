"""What curves are called, and which of them are drawn."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from jaxrl_up.algorithms import ALGORITHMS
from jaxrl_up.config import did_you_mean
from jaxrl_up.records import EVALUATED, text, toml_value

NAMES = {  # short, where that is usual; a field that is not here keeps its name
    "learning_rate": "lr",
    "critic_learning_rate": "critic lr",
    "value_learning_rate": "value lr",
    "model_learning_rate": "model lr",
    "gae_lambda": "lambda",
    "td_lambda": "lambda",
    "num_envs": "envs",
    "rollout_length": "rollout",
    "num_epochs": "epochs",
    "num_minibatches": "minibatches",
    "num_simulations": "simulations",
    "batch_size": "batch",
    "buffer_size": "buffer",
    "total_steps": "steps",
    "gradient_steps": "grad steps",
    "max_grad_norm": "grad norm",
    "n_step": "n",
    "clip_epsilon": "clip",
    "entropy_cost": "entropy",
    "value_cost": "value",
    "exploration_noise": "noise",
    "branch_length": "branch",
    "env.gravity": "g",
}
MISSING = "-"  # what a run is labelled with whose algorithm has no such field
PLAIN = ("run", "algorithm", "environment")  # told by their values alone
LONGER = 3  # characters that a number of 1 or more must save to be written with an exponent


def short_names(fields: Iterable[str]) -> dict[str, str]:
    """A short name for each field, by `NAMES`, else without "env."; fields that would share one keep their own."""
    fields = list(dict.fromkeys(fields))
    names = {field: NAMES.get(field) or _plain(field) for field in fields}
    return {field: field if list(names.values()).count(name) > 1 else name for field, name in names.items()}


def short_value(value: Any) -> str:
    """A value in few characters: `3e-4`, `0.99`, `64-64`, `true`.

    >>> [short_value(value) for value in (0.0003, 1000.0, 1e6, (64, 64))]
    ['3e-4', '1000', '1e6', '64-64']
    """
    if not isinstance(value, float) or not math.isfinite(value):
        return text(value)
    plain, (mantissa, _, exponent) = f"{value:.9g}", f"{value:.8e}".partition("e")
    scientific = f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    saved = len(plain) - len(scientific)
    return scientific if saved >= (LONGER if abs(value) >= 1 else 1) else plain


def grouping(group: str, settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """The fields that `group` names, with commas between. Raises `ValueError` for one that is in no settings."""
    fields = [name.strip().replace("-", "_") for name in group.split(",")]
    known = list(dict.fromkeys(["run", *(name for one in settings for name in one)]))
    for field in fields:
        if field not in known:
            raise ValueError(
                f"no run has a setting {field!r} to group by.{did_you_mean(field, known)} It takes run, algorithm, "
                "environment, and the names in config.toml"
            )
    return fields


def value_in(settings: Mapping[str, Any], field: str) -> Any:
    """The value of a field; where config.toml does not say it, the default of the algorithm's Config, else "-"."""
    if field in settings:
        return settings[field]
    algo = ALGORITHMS.get(str(settings.get("algorithm")))
    fields = {} if algo is None else {one.name: one.default for one in dataclasses.fields(algo.Config)}
    return toml_value(fields[field]) if field in fields else MISSING


def label_of(parts: Sequence[tuple[str, Any]], names: Mapping[str, str]) -> str:
    """The label of some fields and values: `ppo, lr 3e-4, g 9.8`."""
    return ", ".join(str(value) if field in PLAIN else f"{names[field]} {short_value(value)}" for field, value in parts)


def matches(pattern: str, label: str, settings: Mapping[str, Any]) -> bool:
    """Whether a curve is what a pattern means: its label, as a glob, or fields and values, `learning_rate=3e-4,run=a*`.

    Of several fields with commas between all must match. A value is compared as a number where both are one.
    """
    if label == pattern or fnmatchcase(label, pattern):
        return True
    parts = [part.partition("=") for part in pattern.split(",")]
    return all(
        equals and field.strip().replace("-", "_") in settings and _is(settings[field.strip().replace("-", "_")], value)
        for field, equals, value in parts
    )


def _is(value: Any, wanted: str) -> bool:
    try:
        return not isinstance(value, bool) and bool(np.isclose(float(value), float(wanted), rtol=1e-6, atol=0))
    except (TypeError, ValueError):
        return fnmatchcase(text(value), wanted.strip())


def _plain(field: str) -> str:
    if field.startswith(f"{EVALUATED}."):
        return f"eval {field.removeprefix(EVALUATED + '.')}"
    return field.removeprefix("env.")
