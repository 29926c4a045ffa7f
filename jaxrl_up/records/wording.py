"""What a reader of a score must know, in words."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxrl_up.config import LARGEST
from jaxrl_up.ops import Shares, score
from jaxrl_up.records import checkpoint
from jaxrl_up.records.numbers import count
from jaxrl_up.records.own import command, options_for
from jaxrl_up.training import num_updates

if TYPE_CHECKING:
    from jaxrl_up.records.result import RunResult
    from jaxrl_up.records.run_spec import RunSpec

NOT_KEPT = (
    "nothing was kept on disk, so it cannot go on; to keep a run give it a directory: --directory DIR, in Python "
    "directory=DIR"
)
"""What is said of a run without a directory that ends before its time."""


def concerns(result: RunResult) -> list[str]:
    """What a reader of the score must know: failed seeds, an early stop, unfinished or repeated episodes."""
    lines = [
        f"seed {seed} failed at update {update}: its loss or parameters were not finite; "
        "its last finite policy was kept and scored"
        for seed, update in result.failed.items()
    ]
    if result.stopped:
        total = num_updates(result.algo, result.config) * result.algo.steps_per_update(result.config)
        lines.append(f"stopped by {result.stopped} at {int(result.env_steps[-1]):,} of {total:,} steps")
        lines.append(NOT_KEPT if result.directory is None else going_on(result.directory, *options_for(result)))
    unfinished = int(np.sum(np.asarray(result.log.unfinished)[:, -1]))
    if unfinished:
        lines.append(
            f"{count(unfinished, 'episode')} of the last evaluation met the step cap unfinished, "
            "counted with the return until then"
        )
    if result.num_episodes is not None:
        lines += repeats(np.asarray(result.log.distinct)[:, -1], result.num_episodes)
    return lines


def games(result: RunResult) -> list[str]:
    """How the last evaluation's games against an opponent ended, in a line; none where there is no opponent."""
    if result.games is None:
        return []
    return [of_games(Shares(*(share[:, -1] for share in result.games)))]


def of_games(shares: Shares) -> str:
    """`won 81.0% [75.2%, 86.8%], drew ..., lost ...`: IQMs over seeds of shares `[S]`, with 95% intervals."""
    scores = [score(share) for share in shares]
    ends = [[f"{100 * min(max(x, 0.0), 1.0):.1f}%" for x in found[:3]] for found in scores]
    said = zip(("won", "drew", "lost"), ends, strict=True)
    return ", ".join(f"{what} {share} [{low}, {high}]" for what, (share, low, high) in said)


def repeats(distinct: np.ndarray, episodes: int) -> list[str]:
    """A sentence where the episodes of an evaluation repeat one another: `distinct [S]`, -1 where it is not known.

    None where a single one of many does, as two short episodes may by chance.
    """
    fewest = int(np.min(distinct))
    if not 0 <= fewest < episodes or fewest == episodes - 1 > 1:
        return []
    seeds = "" if np.all(distinct == fewest) else ", in the seed with the fewest"
    if fewest == 1:
        what = f"the {episodes} episodes of the last evaluation are the same in every action and reward{seeds}"
        return [f"{what}: they count as one, and make the score no surer"]
    what = f"of the {episodes} episodes of the last evaluation only {fewest} differ in an action or a reward{seeds}"
    return [f"{what}: the others repeat them, and make the score no surer"]


def going_on(directory: Path, *options: Any) -> str:
    """`go on with: jaxrl-up resume DIRECTORY OPTIONS`, of a run or a sweep."""
    return f"go on with: {command('resume', directory, *options)}"


def way_on(run: RunSpec | RunResult) -> str:
    """How a run that is kept goes on after its process has ended in the middle."""
    again = command("resume", run.directory, *options_for(run))
    if run.directory is not None and checkpoint.places(run.directory):
        return f"go on from the last checkpoint with: {again}"
    return f"no checkpoint was written; begin again with: {again}"


def least_longer(run: RunSpec | RunResult) -> int:
    """The least `total_steps` that makes a run longer: by an update."""
    return (num_updates(run.algo, run.config) + 1) * run.algo.steps_per_update(run.config)


def longer(run: RunSpec | RunResult, total_steps: int | None = None) -> str:
    """The command that makes a run longer, by default twice as long; what is annealed stays as it was."""
    algo, config = run.algo, run.config
    twice = max(min(2 * config.total_steps, LARGEST), least_longer(run))
    words = ["--total-steps", twice if total_steps is None else total_steps]
    if algo.anneals(config) and config.schedule_steps is None:
        words += ["--schedule-steps", config.total_steps]
    return command("resume", run.directory, *words, *options_for(run))
