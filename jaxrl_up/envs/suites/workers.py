"""Simulators in processes of their own, which begin with the first step and end with this process."""

from __future__ import annotations

import pickle
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from typing import Any, cast

from jaxrl_up.envs.host import WorkerError
from jaxrl_up.envs.suites import stepping
from jaxrl_up.envs.suites.stepping import Answer, Order


class Workers:
    """As `stepping.Simulators`, with slot s in process s modulo their number."""

    def __init__(self, name: str, recipe: tuple[Any, ...], number: int, atari: bool) -> None:
        cloudpickle = _cloudpickle()
        try:
            packed = cloudpickle.dumps(recipe)
        except Exception as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise ValueError(
                f"{name} cannot be sent to workers={number} processes: {reason}. Give a function that makes one, and "
                "let it open within itself what cannot be pickled"
            ) from error
        self.begin = pickle.dumps((sys.path, atari, packed))
        self.processes: list[subprocess.Popen[bytes] | None] = [None] * number
        self.locks = [threading.Lock() for _ in range(number)]

    def do(self, orders: Sequence[Order]) -> list[Answer]:
        """As `Simulators.do`, in all processes at once; raises `WorkerError` for what one of them raised."""
        count, found = len(self.processes), dict[int, Answer]()
        shares: dict[int, list[int]] = {}
        for row, order in enumerate(orders):
            shares.setdefault(order[0] % count, []).append(row)
        failed: WorkerError | None = None
        with ExitStack() as stack:
            for worker in sorted(shares):
                stack.enter_context(self.locks[worker])
            asked = []
            for worker, rows in shares.items():
                try:
                    self._ask(worker, [orders[row] for row in rows])
                    asked.append(worker)
                except OSError:
                    failed = failed or self._ended(worker)
            for worker in asked:  # all of them, whatever one says, or an answer would wait for the next question
                try:
                    answer = pickle.load(cast(Any, self._process(worker).stdout))
                except (EOFError, OSError, pickle.UnpicklingError):
                    failed = failed or self._ended(worker)
                    continue
                if isinstance(answer, tuple):
                    failed = failed or WorkerError(*answer)
                else:
                    found.update(zip(shares[worker], answer, strict=True))
        if failed is not None:
            raise failed
        return [found[row] for row in range(len(orders))]

    def _process(self, worker: int) -> subprocess.Popen[bytes]:
        process = self.processes[worker]
        assert process is not None
        return process

    def _ask(self, worker: int, orders: list[Order]) -> None:
        if self.processes[worker] is None:
            command = [sys.executable, stepping.__file__]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            self.processes[worker] = process
            cast(Any, process.stdin).write(self.begin)
        pipe = cast(Any, self._process(worker).stdin)
        pickle.dump(orders, pipe, protocol=pickle.HIGHEST_PROTOCOL)
        pipe.flush()

    def _ended(self, worker: int) -> WorkerError:
        """A worker that says nothing any more; the next reset starts another."""
        process, self.processes[worker] = self._process(worker), None
        process.kill()
        for pipe in (process.stdin, process.stdout):
            with suppress(OSError):  # of what was not sent yet
                cast(Any, pipe).close()
        return WorkerError("EOFError", f"its process ended with exit code {process.wait()}")


def _cloudpickle() -> Any:
    import cloudpickle  # a dependency of gymnasium

    return cloudpickle
