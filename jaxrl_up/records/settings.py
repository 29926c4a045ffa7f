"""How a run is evaluated, kept and shown: one record of all that `run` is told beside what it trains."""

from __future__ import annotations

import dataclasses
from typing import Any

from jaxrl_up.config import flag, seconds_or_none, whole, whole_or_none
from jaxrl_up.records.processes import is_first
from jaxrl_up.training import Evaluation

CHECKPOINT_SECONDS = 120.0
"""Seconds between checkpoints, unless told otherwise."""


@dataclasses.dataclass(frozen=True)
class RunSettings:
    """The options of `run`, by the names that they have there. The first ones are kept in [run] of config.toml."""

    num_evals: int = 20
    num_episodes: int = 16
    deterministic: bool = True
    max_eval_steps: int | None = None
    preset: str | None = None
    stages: tuple[tuple[int, int], ...] = ()
    """of a run that was made longer: total steps and number of evaluations of each time before"""
    progress: bool = True
    checkpoint_seconds: float | None = CHECKPOINT_SECONDS
    force: bool = False
    sinks: tuple[Any, ...] = ()
    """see `jaxrl_up.experiments.sinks`"""

    @property
    def evaluation(self) -> Evaluation:
        """How policies are evaluated."""
        return Evaluation(self.num_episodes, self.deterministic, self.max_eval_steps)

    def recorded(self) -> dict[str, Any]:
        """What [run] of config.toml holds of it."""
        kept = {name: getattr(self, name) for name in RECORDED}
        return {name: value for name, value in kept.items() if name not in ("preset", "stages") or value}

    def driven_as(self, given: RunSettings) -> RunSettings:
        """What is recorded of these, with what concerns this process of `given`."""
        return dataclasses.replace(given, **{name: getattr(self, name) for name in RECORDED})


RECORDED = ("num_evals", "num_episodes", "deterministic", "max_eval_steps", "stages", "preset")
"""Settings that config.toml keeps."""


def check_settings(settings: Any) -> Any:
    """The settings, of whatever class, with plain values. Raises `ValueError` for one out of range."""
    return dataclasses.replace(
        settings,
        num_evals=whole("num_evals", settings.num_evals),
        num_episodes=whole("num_episodes", settings.num_episodes),
        deterministic=flag("deterministic", settings.deterministic),
        max_eval_steps=whole_or_none("max_eval_steps", settings.max_eval_steps),
        progress=flag("progress", settings.progress) and is_first(),
        checkpoint_seconds=seconds_or_none("checkpoint_seconds", settings.checkpoint_seconds),
        force=flag("force", settings.force),
    )
