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
from jaxrl_up.records import clock, concerns, count, games, processes, spread
from jaxrl_up.training import Log, num_updates, played_in
from jaxrl_up.types import Algorithm, PyTree

if TYPE_CHECKING:
    from jaxrl_up.records import RunResult


class Reporter:
    """Live progress of a run, as a context manager; plain lines where the stream is no terminal.

    `enabled=False` makes every method silent. `stream` is standard error by default.
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
    ) -> None:
        self.algo, self.env, self.seeds, self.enabled = algo, env, tuple(seeds), enabled
        self.played = played_elsewhere(env, evaluation_env)
        self.total_steps = num_updates(algo, config) * algo.steps_per_update(config)
        self.stream = sys.stderr if stream is None else stream
        self.display: _Display | None = None
        self.named: set[int] = set()  # failed seeds already reported
        self.waiting = ExitStack()  # counts the seconds until it is closed, or the terminal's display does

    def __enter__(self) -> Reporter:
        if not self.enabled:
            return self
        if self.stream.isatty():
            self.display = _Display(self.stream, self.total_steps)
        self._say(
            f"{self.algo.name} on {self.env.full_name}: {count(len(self.seeds), 'seed')} x {self.total_steps:,} steps "
            f"on {devices_in_words(len(self.seeds))}{self.played}, compiling ..."
        )
        if self.display is not None:
            self.display.start()
        else:
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
        if self.enabled:
            self._say(f"compiled in {seconds:.1f} s{f' ({source})' if source else ''}, training")
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
        rate = len(self.seeds) * steps / max(seconds, 1e-9)
        remaining = seconds * (self.total_steps - steps) / max(steps, 1)
        parts = [f"{rate:,.0f} steps/s", f"{clock(remaining)} left", f"return {spread(log.returns)}"]
        if not self.algo.learns_to_act:
            parts.append(f"loss {np.mean(log.losses['loss']):.3g}")
        if self.display is not None:
            self.display.show("   ".join(parts), steps)
        else:
            self._say("   ".join([f"{steps:,}/{self.total_steps:,} steps", *parts]))

    def finished(self, result: RunResult) -> None:
        """Print the summary of a run."""
        if self.enabled:
            for line in summary(result):
                self._say(line)

    def _say(self, line: str) -> None:
        if self.display is not None:
            self.display.say(line)
        else:
            print(line, file=self.stream, flush=True)


class _Display:
    """A bar and a line below it, drawn by rich (imported here: it is not always needed)."""

    def __init__(self, stream: TextIO, total_steps: int) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TimeElapsedColumn
        from rich.text import Text

        self.console = Console(file=stream, highlight=False, markup=False)
        self.text = Text("compiling")
        self.bar = Progress(
            SpinnerColumn(), BarColumn(), MofNCompleteColumn(), "env steps", TimeElapsedColumn(), console=self.console
        )
        self.task = self.bar.add_task("", total=total_steps)
        from rich.console import Group

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
    trained = f"trained in {result.train_seconds:.1f} s ({result.steps_per_second:,.0f} env steps/s, all seeds)"
    return [
        f"score {result.score} (IQM of {count(len(result.seeds), 'seed')}, 95% interval, "
        f"{int(result.env_steps[-1]):,} steps)",
        *games(result),
        f"worst seed {result.seeds[worst]}: {final[worst]:.1f}",
        f"compiled in {result.compile_seconds:.1f} s, {trained}",
        *concerns(result),
    ]
