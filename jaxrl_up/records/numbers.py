"""Numbers as people read them, one spelling of each.

Counts, as of steps, have separators: 99,328. What is measured, as a return, has one decimal from 10 on and three below,
as a `Score` has: 487.5, -0.125; numbers that are compared have as many as the largest of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxrl_up.ops import Score, iqm
from jaxrl_up.training import num_updates
from jaxrl_up.types import Algorithm, PyTree


def score_line(total: Score, seeds: int, what: str) -> str:
    """The line of a score: `score 500.0 [499.2, 500.0] (IQM of 8 seeds, 95% interval, 99,328 steps)`."""
    if seeds == 1:  # an interval over one would have no width
        return f"score {value(total.iqm)} (1 seed, no interval, {what})"
    return f"score {total} (IQM of {count(seeds, 'seed')}, {total.level:.0%} interval, {what})"


def spread(returns: Any) -> str:
    """`IQM (min..max)` over seeds, or the value of one: `473.8 (IQM, seeds 431.3..500.0)`."""
    returns = np.asarray(returns, np.float64)
    if returns.size == 1:
        return value(returns.item())
    middle, low, high = (value(x, *returns) for x in (float(iqm(returns)), returns.min(), returns.max()))
    return f"{middle} (IQM, seeds {low}..{high})"


def value(x: float, *beside: float) -> str:
    """Something measured: `487.5`, `-0.125`; with as many decimals as what it stands beside."""
    largest = max(abs(float(y)) for y in (x, *beside))
    return f"{float(x):.{1 if largest >= 10 else 3}f}"


def steps_made(algo: Algorithm, config: PyTree) -> str:
    """`99,328 steps`, the whole updates that fit into total_steps; where that is fewer, why."""
    each = algo.steps_per_update(config)
    made = num_updates(algo, config) * each
    short = f" (of {config.total_steps:,}: an update takes {each:,})" if made != config.total_steps else ""
    return f"{count(made, 'step')}{short}"


def count(number: int, noun: str) -> str:
    """`1 seed`, `2 seeds`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """`8.3 s`, and from two minutes on `2:05` or `1:01:40`."""
    return f"{seconds:.1f} s" if seconds < 120 else clock(seconds)


def clock(seconds: float) -> str:
    """`h:mm:ss` or `m:ss`."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
