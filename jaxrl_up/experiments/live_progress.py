"""What a run says on standard error: a header, live progress, and an honest summary."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

import jax
import numpy as np

from jaxrl_up.envs import Env, counting
from jaxrl_up.experiments.stopping import LEAVING, stop_words
from jaxrl_up.experiments.terminal import USUAL, columns, curve, folded, lively
from jaxrl_up.ops import iqm
from jaxrl_up.records import (
    clock,
    concerns,
    count,
    duration,
    games,
    processes,
    score_line,
    spread,
    steps_made,
    value,
)
from jaxrl_up.training import Log, num_updates, played_in
from jaxrl_up.types import Algorithm, PyTree

if TYPE_CHECKING:
    from jaxrl_up.records import RunResult


class Reporter:
    """Live progress of a run, as a context manager; plain lines where the stream is no terminal, or a dumb one.

    `enabled=False` makes every method silent. `stream` is standard error by default. A run that goes on has the steps
    that it had `reached`, and `news` of where that is in place of the word that something is compiled.
    """

    def __init__(
        self,
        algo: Algorithm,
        env: Env,
        config: PyTree,
        seeds: Sequence[int],
        enabled: bool = True,
        stream: TextIO | None = None,
        evaluation_env: Env | None = None,
        reached: int = 0,
        news: str = "",
    ) -> None:
        self.algo, self.env, self.seeds, self.enabled = algo, env, tuple(seeds), enabled
        self.played, self.reached, self.news = played_elsewhere(env, evaluation_env), reached, news
        self.steps = steps_made(algo, config)
        self.total_steps = num_updates(algo, config) * algo.steps_per_update(config)
        self.stream = sys.stderr if stream is None else stream
        self.display: _Display | None = None
        self.compiling = True
        self.named: set[int] = set()  # failed seeds already reported
        self.waiting = ExitStack()  # counts the seconds until it is closed, or the terminal's display does

    def __enter__(self) -> Reporter:
        if not self.enabled:
            return self
        trains = self.reached < self.total_steps
        if trains and lively(self.stream):
            self.display = _Display(self.stream, self.total_steps, self.reached)
        header = (
            f"{self.algo.name} on {self.env.full_name}: {count(len(self.seeds), 'seed')} x {self.steps} "
            f"on {devices_in_words(len(self.seeds))}{self.played}"
        )
        self._say(header if self.news else f"{header}, compiling ...")
        if self.news:
            self._say(f"{self.news}, compiling ..." if trains else self.news)
        if self.display is not None:
            self.display.start()
        elif trains:
            self.waiting.enter_context(counting("compiling", say=self._say))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.waiting.close()
        if self.display is not None:
            self.display.stop()
            self.display = None

    def compiled(self, seconds: float, source: str = "") -> None:
        """Say that initialisation and compilation took `seconds`; the clock of steps per second starts here.

        `source` is what a user should know of where the program came from.
        """
        self.waiting.close()
        self.compiling = False
        if self.enabled:
            self._say(f"compiled in {duration(seconds)}{f' ({source})' if source else ''}, training")
        if self.display is not None:
            self.display.show("training")

    def evaluated(self, log: Log, seconds: float) -> None:
        """Show one evaluation, `log [S]`, reached `seconds` after compilation."""
        if not self.enabled:
            return
        steps = int(np.asarray(log.env_steps).flat[0])
        for seed, update in zip(self.seeds, np.asarray(log.failed_at), strict=True):
            if update >= 0 and seed not in self.named:
                self.named.add(seed)
                self._say(f"seed {seed} failed at update {int(update)}; it keeps its last finite policy")
        parts = [*speed(len(self.seeds), steps, self.total_steps, seconds), f"return {spread(log.returns)}"]
        parts += ["untrained"] * (steps == 0)
        if not self.algo.learns_to_act and np.isfinite(log.losses["loss"]).any():
            parts.append(f"loss {np.nanmean(log.losses['loss']):.3g}{' (mean)' if len(self.seeds) > 1 else ''}")
        if self.display is not None:
            self.display.show("   ".join(parts), steps)
        else:
            self._say("   ".join([f"{steps:,}/{self.total_steps:,} steps", *parts]))

    def pressed(self, name: str) -> None:
        """Say what the first of the signals that stop a run brings about, by its name; from any thread.

        On the command line also where progress is silent: whoever presses Ctrl-C is waiting for an answer.
        """
        if not (self.enabled or LEAVING.is_set()):
            return
        self._say(stop_words(name, self.compiling, self.stream if self.display is None else None))

    def finished(self, result: RunResult) -> None:
        """Print the summary of a run, on a terminal below its curve."""
        if not self.enabled:
            return
        lines = summary(result)
        if self.stream.isatty():
            middle = iqm(result.returns, axis=0).tolist()
            what = "return" if len(result.seeds) == 1 else f"return, IQM of {count(len(result.seeds), 'seed')}"
            lines = [*curve(result.env_steps.tolist(), middle, what, self.stream), *lines]
        for line in lines:
            self._say(line)

    def _say(self, line: str) -> None:
        if self.display is not None:
            self.display.say(folded(line, self.stream))
        else:
            print(folded(line, self.stream), file=self.stream, flush=True)


def speed(lanes: int, steps: int, total: int, seconds: float) -> list[str]:
    """`1,024 steps/s` of so many lanes, and `0:03 left`; nothing before the first step."""
    if not steps:
        return []
    return [f"{lanes * steps / max(seconds, 1e-9):,.0f} steps/s", f"{clock(seconds * (total - steps) / steps)} left"]


class _Display:
    """A bar and a line below it, drawn by rich (imported here: it is not always needed)."""

    def __init__(self, stream: TextIO, total_steps: int, reached: int) -> None:
        from rich.console import Console, Group
        from rich.live import Live
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
        from rich.text import Text

        self.console = Console(file=stream, highlight=False, markup=False, width=columns(stream) or USUAL)
        self.text = Text("compiling")
        steps = "{task.completed:,.0f}/{task.total:,.0f} steps"
        room = self.console.width - len(f"  {total_steps:,}/{total_steps:,} steps   0:00:00")
        bar = BarColumn(max(min(room, 40), 5))
        self.bar = Progress(SpinnerColumn(), bar, TextColumn(steps), TimeElapsedColumn(), console=self.console)
        self.task = self.bar.add_task("", total=total_steps, completed=reached)
        self.live = Live(Group(self.bar, self.text), console=self.console, refresh_per_second=5)

    def start(self) -> None:
        self.live.start()

    def stop(self) -> None:
        self.live.stop()

    def show(self, line: str, steps: int | None = None) -> None:
        self.text.plain = line
        if steps is not None:
            self.bar.update(self.task, completed=steps)

    def say(self, line: str) -> None:
        self.console.print(line, soft_wrap=True)


def devices_in_words(lanes: int | None = None) -> str:
    """`4 cpu devices in 2 processes`: over what so many lanes spread."""
    place, number = processes.place(), len(jax.local_devices())
    number *= place.processes
    several = f" in {place.processes} processes" if place.processes > 1 else ""
    return count(number if lanes is None else min(number, lanes), f"{jax.default_backend()} device") + several


def played_elsewhere(env: Env, evaluation_env: Env | None) -> str:
    """`, evaluated in CartPole-v1 (gravity=20)`: what evaluations play, where it is not what is trained on."""
    played = played_in(env, evaluation_env)
    other = {name: np.asarray(value) for name, value in played.params.items()}
    changed = [
        f"{name}={value:g}"
        for name, value in sorted(other.items())
        if value.ndim == 0 and not np.array_equal(value, np.asarray(env.params.get(name, np.nan)))
    ]
    if evaluation_env is None and played.full_name == env.full_name:
        return ""
    physics = f" ({', '.join(changed)})" if changed else ""
    return f", evaluated in {played.full_name}{physics}"


def summary(result: RunResult) -> list[str]:
    """The lines that close a run: score, worst seed, times, and everything that went otherwise than planned."""
    final = np.asarray(result.returns)[:, -1]
    worst = int(np.argmin(final))
    total, compiled = result.score, f"compiled in {duration(result.compile_seconds)}, "
    trained = f"trained in {duration(result.train_seconds)} ({result.steps_per_second:,.0f} steps/s, all seeds)"
    return [
        score_line(total, len(result.seeds), count(int(result.env_steps[-1]), "step")),
        *games(result),
        *[f"worst seed {result.seeds[worst]}: {value(final[worst], *total[:3])}"] * (len(final) > 1),
        f"{compiled if result.compile_seconds else ''}{trained}",
        *concerns(result),
    ]
