"""The time limit that a suite is asked for."""

from __future__ import annotations

from typing import Any

from jaxrl_up.config import as_whole, shown


def limit_of(name: str, max_steps: Any) -> int | None:
    """`max_steps` as an int, None as None; raises ValueError unless it is an integer from 1 on."""
    limit = as_whole(max_steps)
    if max_steps is not None and (limit or 0) < 1:
        raise ValueError(f"max_steps of {name} must be an integer >= 1, got {shown(max_steps)}.")
    return limit
