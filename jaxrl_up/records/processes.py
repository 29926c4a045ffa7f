"""Several processes that train together: which one this is, and how what all have comes to the first, which writes.

Each drives its own lanes on its own devices, as a process alone does. What has to come together, numbers of evaluations
and checkpoints, goes as bytes over one connection of each process with the first (`experiments.use_all_processes` makes
them). A process whose connection breaks ends this one too, whatever it does meanwhile. A process alone has no
connections, and everything here gives back what it was given.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import queue
import struct
import sys
import threading
import time
import zlib
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_up.config import wrap_as
from jaxrl_up.types import PyTree

CHUNK = 1 << 18  # bytes that are sent at once
AHEAD = 64  # so many of them wait to be read
SIZE = struct.Struct("<q")  # how many bytes follow, before each of them
BYE = -1  # in its place: nothing follows, since the process ends in order
GRACE = 3.0  # seconds in which this process may find by itself what ended another
PATIENCE = 20.0  # seconds until a file of the first process is seen
GONE = 1  # exit code of a process that ends because another is gone


class Place(NamedTuple):
    """Which of several processes this is."""

    process: int = 0
    processes: int = 1
    neighbours: int = 1  # processes on this machine that share its cores and memory, with this one


class Peer:
    """Another process, at the other end of a connection. A thread reads what it sends, and sees that it ends."""

    def __init__(self, process: int, connection: Connection) -> None:
        self.process, self.connection = process, connection
        self.inbox: queue.Queue[Any] = queue.Queue(AHEAD)  # a size, then bytes until there are so many
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        try:
            while (size := SIZE.unpack(self.connection.recv_bytes())[0]) != BYE:
                self.inbox.put(size)
                while size > 0:
                    self.inbox.put(chunk := self.connection.recv_bytes())
                    size -= len(chunk)
            self.inbox.put(BYE)
        except (EOFError, OSError, struct.error):
            _end(self.process)

    def send(self, data: Any) -> None:
        """Send bytes."""
        data = memoryview(data)
        try:
            self.connection.send_bytes(SIZE.pack(len(data)))
            for at in range(0, len(data), CHUNK):
                self.connection.send_bytes(data[at : at + CHUNK])
        except OSError:
            _end(self.process)

    def receive(self) -> bytearray:
        """The bytes that it sends next."""
        if (size := self.inbox.get()) == BYE:
            _end(self.process)
        data = bytearray(size)
        self.receive_into(data, size)
        return data

    def receive_array(self, rows: np.ndarray) -> None:
        """Fill an array, whose memory is contiguous, with what it sends next."""
        if (size := self.inbox.get()) != rows.nbytes:
            _end(self.process)
        self.receive_into(_bytes(rows), size)

    def receive_into(self, data: Any, size: int) -> None:
        """Fill `data` with so many bytes that are on their way."""
        at, data = 0, memoryview(data)
        while at < size:
            chunk = self.inbox.get()
            data[at : at + len(chunk)] = chunk
            at += len(chunk)

    def leave(self) -> None:
        """Say that this process ends in order."""
        with contextlib.suppress(OSError):  # it has ended before
            self.connection.send_bytes(SIZE.pack(BYE))


class _State:
    """Where this process stands: set once, by `connect`."""

    place = Place()
    peers: tuple[Peer, ...] = ()  # of process 0 all others, of another one process 0
    ending = threading.Lock()
    abandoned = False


def connect(place: Place, connections: Sequence[tuple[int, Connection]]) -> None:
    """Say which of several processes this is, with connections to `(process, ...)` all others or to the first one."""
    _State.place, _State.peers = place, tuple(Peer(*one) for one in connections)
    if connections:
        atexit.register(_leave)


def abandon() -> None:
    """Say that this process ends otherwise than in order, so that the others end too."""
    _State.abandoned = True


def place() -> Place:
    """Which of several processes this is; of one alone the first."""
    return _State.place


def is_first() -> bool:
    """Whether this process is the one that writes: records, checkpoints and what is said on a terminal."""
    return _State.place.process == 0


def share(lanes: int, process: int | None = None) -> range:
    """Which of so many lanes a process (None: this one) trains: neighbours, and as many as others or one less."""
    process, processes, _ = _State.place if process is None else _State.place._replace(process=process)
    few, more = divmod(lanes, processes)
    first = process * few + min(process, more)
    return range(first, first + few + (process < more))


def widest(lanes: int) -> int:
    """The lanes of the process that has most of them."""
    return -(-lanes // _State.place.processes)


def check_lanes(lanes: int, what: str) -> None:
    """Raise `ValueError` for fewer lanes than there are processes."""
    if lanes < _State.place.processes:
        raise ValueError(
            f"{what} are {lanes} in {_State.place.processes} processes, which need one each at least: give more, or "
            "start fewer processes"
        )


def from_first(make: Callable[..., Any], *arguments: Any) -> Any:
    """What a function gives in the first process, in all of them; something that JSON knows."""
    if not is_first():
        return json.loads(_State.peers[0].receive())
    value = make(*arguments)
    for peer in _State.peers:
        peer.send(json.dumps(value).encode())
    return value


def together() -> None:
    """Return when all processes have come here."""
    gather(np.zeros(1))
    from_first(lambda: None)


def agree(value: Any, what: str) -> None:
    """Raise `ValueError` unless all processes say the same, something that JSON knows."""
    value = json.loads(json.dumps(value))
    first = from_first(lambda: value)
    if first != value:
        raise ValueError(
            f"{what} is {value} in process {_State.place.process}, but {first} in process 0: give all processes the "
            "same command, and a directory on a file system that all of them share"
        )


def see(path: Path) -> None:
    """Raise `ValueError` where a file is not what the first process sees there, also a little later."""
    known = from_first(_checksum, path)
    until = time.monotonic() + PATIENCE
    while known is not None and _checksum(path) != known:
        if time.monotonic() > until:
            raise ValueError(
                f"process {_State.place.process} does not see {path} as process 0 does: several processes need a "
                "directory on a file system that all of them share"
            )
        time.sleep(0.1)


def gather(tree: PyTree, lanes: int | None = None) -> PyTree:
    """In the first process the lanes of all, one after another, on the host; in the others None.

    `tree` has in each process its `share` of so many lanes, arrays of the host or keys; with None one row each. Leaf by
    leaf, so that there is never a second replay.
    """
    if not _State.peers:
        return tree
    whole = jax.tree.map(lambda x: _gathered(x, lanes), tree)
    return whole if is_first() else None


def everywhere(tree: PyTree, lanes: int | None = None) -> PyTree:
    """`gather` in all processes, of small arrays."""
    if not _State.peers:
        return tree

    def leaf(x: Any) -> Any:
        whole = _gathered(x, lanes)
        for peer in _State.peers:
            peer.send(_bytes(whole)) if is_first() else peer.receive_array(whole)
        return whole

    return jax.tree.map(leaf, tree)


def _gathered(x: Any, lanes: int | None) -> Any:
    """The rows of all processes; elsewhere than in the first one room for them."""
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        return wrap_as(_gathered(np.asarray(jax.random.key_data(x)), lanes), x.dtype)
    here, processes, _ = _State.place
    lanes = processes if lanes is None else lanes
    mine, whole = np.ascontiguousarray(x), np.empty((lanes, *x.shape[1:]), x.dtype)
    rows = share(lanes)
    if here:
        _State.peers[0].send(_bytes(mine[: len(rows)]))
        return whole
    whole[rows.start : rows.stop] = mine[: len(rows)]
    for peer in _State.peers:
        rows = share(lanes, peer.process)
        peer.receive_array(whole[rows.start : rows.stop])
    return whole


def _bytes(x: np.ndarray) -> np.ndarray:
    return x.reshape(-1).view(np.uint8)


def _checksum(path: Path) -> int | None:
    try:
        return zlib.crc32(path.read_bytes())
    except OSError:
        return None


def _leave() -> None:
    """At exit: say goodbye, but after an error, so that the others end too."""
    with _State.ending:
        if not _State.abandoned and getattr(sys, "last_value", None) is None:
            for peer in _State.peers:
                peer.leave()
        _State.peers = ()


def _end(process: int) -> None:
    """End this process, since another one has ended before its time; never returns."""
    time.sleep(GRACE)
    with _State.ending:
        if _State.peers:
            cursor = "\x1b[?25h\n" if os.isatty(2) else ""  # which live progress hides
            line = (
                f"jaxrl-up: error: process {process} of {_State.place.processes} has ended, and process "
                f"{_State.place.process} ends with it: `jaxrl-up resume` goes on from the last checkpoint of a kept run"
            )
            os.write(2, f"{cursor}{line}\n".encode())
            os._exit(GONE)
    threading.Event().wait()  # it is ending by itself
