"""How several processes find one another: by options, or by what SLURM or Open MPI tell each that they start."""

from __future__ import annotations

import ipaddress
import json
import os
import re
import socket
import time
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import jax

from jaxrl_up._version import __version__
from jaxrl_up.config import shown, whole_or_none
from jaxrl_up.envs import counting
from jaxrl_up.records import processes as link

TIMEOUT = 300.0  # seconds until all processes have come
KEEPALIVE = {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 20_000}  # s, s, times, ms


class Meeting(NamedTuple):
    """Where processes meet: `host:port` of process 0, and which of how many this is."""

    coordinator: str
    processes: int
    process: int
    device: int | None = None  # of the accelerators on this machine, where each of several processes has one


def use_all_processes(
    coordinator: str | None = None,
    processes: int | None = None,
    process: int | None = None,
    *,
    timeout: float = TIMEOUT,
) -> link.Place:
    """Train with other processes that do the same; call it before the first JAX computation and `use_all_cores`.

    Seeds and grid points then spread over the devices of all processes. `coordinator` is `host:port` where process 0
    waits for the others, `processes` how many there are and `process` which this is, from 0 on; all three are as SLURM
    or Open MPI say where these have started the process. Without them, and outside of a cluster, this process stays
    alone. Returns `(process, processes, neighbours)`; only process 0 writes and has the `state` of a result. Returns
    after all have come, and raises `ValueError` for a number out of range or a process that says otherwise, `OSError`
    where they do not meet within `timeout` seconds.
    """
    meeting = find_meeting(coordinator, processes, process)
    if meeting is not None:
        join(meeting, timeout)
    return link.place()


def find_meeting(coordinator: str | None, processes: int | None, process: int | None) -> Meeting | None:
    """Where processes meet, by what is given and what SLURM or Open MPI say; None for one alone. Connects to nothing.

    Raises `ValueError` for what does not fit together.
    """
    processes, process = whole_or_none("processes", processes), whole_or_none("process", process, 0)
    found, said, number = _launcher()
    if processes == 1 and not process:  # also where a cluster says otherwise
        return None
    if found is None and coordinator is None and processes is None and process is None:
        return None
    processes, process = said if processes is None else processes, number if process is None else process
    if processes == 1 and not process:
        return None
    if coordinator is None and found is not None:
        coordinator = _address(found)
    if coordinator is None:
        raise ValueError(
            "several processes must know where the first waits: give coordinator (--coordinator HOST:PORT)"
        )
    if processes is None or process is None:
        what = "how many processes (--processes)" if processes is None else "which process this is (--process)"
        raise ValueError(f"coordinator={shown(coordinator)}: say {what} too; only SLURM and Open MPI say it themselves")
    if not process < processes:
        raise ValueError(f"process={process} must be below processes={processes}: they are counted from 0")
    host, port = _split(coordinator)
    return Meeting(f"{host}:{port}", processes, process, None if found is None else _device(found))


def join(meeting: Meeting, timeout: float = TIMEOUT, connects: bool = True) -> None:
    """Connect with the other processes; returns when all have come. Raises as `use_all_processes` does.

    Without `connects` this is the first process, and knows how many there are: to plan what they would do.
    """
    if link.place().processes > 1:
        raise ValueError("this process has joined others already: call use_all_processes() once")
    host, port = _split(meeting.coordinator)
    neighbours = meeting.processes if _is_loopback(host) else 1
    if not connects:
        link.connect(link.Place(0, meeting.processes, neighbours), ())
        return
    until = time.monotonic() + timeout
    where = f"process {meeting.process} of {meeting.processes}: waiting at {meeting.coordinator} for"
    if meeting.process == 0:
        with counting(f"{where} the others"):
            connections = _accept(host, port, meeting, until, timeout)
    else:
        with counting(f"{where} process 0"):
            connections = [(0, _call(host, port, meeting, until, timeout))]
    if meeting.device is not None:
        for kind in ("cuda", "rocm"):
            jax.config.update(f"jax_{kind}_visible_devices", str(meeting.device))
    link.connect(link.Place(meeting.process, meeting.processes, neighbours), connections)


def _launcher() -> tuple[str | None, int | None, int | None]:
    """Who started this process as one of several, how many it says there are, and which it says this is."""
    said = os.environ.get
    if "OMPI_COMM_WORLD_SIZE" in os.environ:
        return "Open MPI", int(said("OMPI_COMM_WORLD_SIZE", "")), int(said("OMPI_COMM_WORLD_RANK", "0"))
    if all(name in os.environ for name in ("SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_NTASKS", "SLURM_PROCID")):
        return "SLURM", int(said("SLURM_NTASKS", "")), int(said("SLURM_PROCID", ""))
    return None, None, None


def _address(launcher: str) -> str:
    """Where process 0 is, by the rules of `jax.distributed.initialize`."""
    from jax._src.clusters import OmpiCluster, SlurmCluster

    cluster: Any = OmpiCluster if launcher == "Open MPI" else SlurmCluster
    try:
        return cluster.get_coordinator_address(None, os.environ.get("JAX_COORDINATOR_PORT"))
    except (KeyError, ValueError, RuntimeError):  # Open MPI 5 names no address
        raise ValueError(
            f"{launcher} does not say where the first process waits: give coordinator (--coordinator HOST:PORT), or "
            "stay alone with processes=1 (--processes 1)"
        ) from None


def _device(launcher: str) -> int | None:
    """Which accelerator is this process's, where several processes of a machine see all of them."""
    slurm = launcher == "SLURM"
    number = os.environ.get("SLURM_LOCALID" if slurm else "OMPI_COMM_WORLD_LOCAL_RANK")
    here = os.environ.get("SLURM_STEP_TASKS_PER_NODE" if slurm else "OMPI_COMM_WORLD_LOCAL_SIZE", "")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if number is None or re.match(r"1(\(|$)", here) or (visible is not None and len(visible.split(",")) <= int(number)):
        return None
    return int(number)


def _split(coordinator: str) -> tuple[str, int]:
    host, colon, port = str(coordinator).rpartition(":")
    if not colon or not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"coordinator={shown(coordinator)} must be HOST:PORT, as in 10.0.0.1:1234")
    return host.strip("[]"), int(port)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _accept(host: str, port: int, meeting: Meeting, until: float, timeout: float) -> list[tuple[int, Connection]]:
    """Process 0: wait until all others have said who they are."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        server = socket.create_server((host if _is_loopback(host) else "", port), family=family)
    except OSError as error:
        raise OSError(f"process 0 cannot wait at {meeting.coordinator}: {error.strerror}; give another port") from None
    there: dict[int, Connection] = {}
    with server:
        while len(there) < meeting.processes - 1:
            server.settimeout(max(until - time.monotonic(), 0.01))
            try:
                connection = _connection(server.accept()[0])
            except TimeoutError:
                missing = sorted(set(range(1, meeting.processes)) - set(there))
                raise OSError(
                    f"process 0 waited {timeout:.0f} s at {meeting.coordinator} in vain for process "
                    f"{', '.join(map(str, missing[:8]))} of {meeting.processes}"
                ) from None
            said = _heard(connection, min(until, time.monotonic() + 5))
            if not isinstance(said, dict) or "process" not in said:  # no process of ours
                continue
            wrong = _mistake(said, meeting, there)
            if wrong:
                connection.send_bytes(json.dumps(wrong).encode())
                raise ValueError(wrong)
            there[said["process"]] = connection
    for connection in there.values():
        connection.send_bytes(b"null")
    return sorted(there.items())


def _mistake(said: dict[str, Any], meeting: Meeting, there: dict[int, Connection]) -> str:
    """What is wrong with a process that has come, or nothing."""
    if said.get("version") != __version__:
        return f"process {said['process']} is jaxrl_up {said.get('version')}, but process 0 is {__version__}"
    if said.get("processes") != meeting.processes:
        return (
            f"process {said['process']} says there are processes={said.get('processes')}, but process 0 says "
            f"{meeting.processes}"
        )
    if said["process"] in (0, *there):
        return f"process={said['process']} was started twice: give each its own number"
    return ""


def _call(host: str, port: int, meeting: Meeting, until: float, timeout: float) -> Connection:
    """Another process: say who this is as soon as process 0 is there, and wait until all have come."""
    while True:
        try:
            connection = _connection(socket.create_connection((host, port), max(until - time.monotonic(), 0.01)))
            break
        except OSError as error:
            if time.monotonic() > until:
                raise OSError(
                    f"process {meeting.process} found no process 0 at {meeting.coordinator} within {timeout:.0f} s: "
                    f"{error.strerror or error}"
                ) from None
            time.sleep(0.2)
    me = {"process": meeting.process, "processes": meeting.processes, "version": __version__}
    connection.send_bytes(json.dumps(me).encode())
    answer = _heard(connection, until + 5)
    if answer is not None:
        raise ValueError(answer or f"process 0 at {meeting.coordinator} ended before all processes had come")
    return connection


def _heard(connection: Connection, until: float) -> Any:
    """What a process says, as JSON; an empty text where it says nothing, or nothing that can be read."""
    try:
        if not connection.poll(max(until - time.monotonic(), 0.01)):
            return ""
        return json.loads(connection.recv_bytes(1 << 12))
    except (EOFError, OSError, ValueError):
        return ""


def _connection(sock: socket.socket) -> Connection:
    """Messages over a socket that notices within half a minute that the other end, or the way there, is gone."""
    sock.settimeout(None)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for name, value in KEEPALIVE.items():
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return Connection(sock.detach())
