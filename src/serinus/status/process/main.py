"""The status process from its first line to its last."""

from __future__ import annotations

import mmap
import posix
from _signal import (  # type: ignore[import-not-found]  # `signal` costs 1 MiB, and typeshed
    SIG_IGN,
    SIGHUP,
    SIGINT,
    SIGTERM,
    signal,
)
from _socket import socket

from serinus.status.process import layout
from serinus.status.process.board import Board
from serinus.status.process.clerk import Clerk
from serinus.status.process.plan import Routes
from serinus.status.process.post import Post
from serinus.status.process.service import Service
from serinus.status.process.telemetry import Telemetry
from serinus.status.process.wishes import Wishes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DESCRIPTORS_IN_RESERVE = 32
"""For the standard streams, the page, the sockets, and documents on their way."""


def main(config: dict[str, Any]) -> None:
    """Serve until the worker closes the port or dies.

    The process's life is bound to the worker's by a pidfd. Signals that end a group of processes
    (a terminal, a service manager stopping its whole control group) are meant for the worker,
    which may have requests to finish and wants its probes answered meanwhile.
    """
    for number in (SIGINT, SIGTERM, SIGHUP):
        signal(number, SIG_IGN)
    _call_ourselves(b"serinus-status")
    words = memoryview(mmap.mmap(config["page"], layout.PAGE_BYTES)).cast("Q")
    telemetry = Telemetry()
    board = Board(
        words,
        worker=config["worker_pid"],
        loop_stall=config["loop_stall"],
        loop_budget=config["loop_budget"],
        live_follows_ready=config["live_mode"] == "dynamo",
        telemetry=telemetry,
    )
    service = Service(
        listener=socket(fileno=config["listener"]),
        post=Post(socket(fileno=config["channel"]), words, board),
        worker=config["worker"],
        board=board,
        clerk=Clerk(
            board,
            Routes(
                health=config["health_path"],
                live=config["live_path"],
                dashboard=bool(config["dashboard"]),
            ),
            telemetry,
            details=config["details"],
            token=config["token"],
            dashboard=config["dashboard"],
        ),
        wishes=Wishes(words, config["bell"], board),
        telemetry=telemetry,
        linger=config["linger"],
        max_connections=_room_for(config["max_connections"]),
        header_bytes=config["header_bytes"],
        header_timeout=config["header_timeout"],
        idle_timeout=config["idle_timeout"],
    )
    service.run()
    remove_socket(config["socket_path"], config["socket_inode"])


def remove_socket(path: bytes | None, inode: tuple[int, int] | None) -> None:
    """Remove the file of our unix socket, unless it is no longer ours."""
    if path is None:
        return
    try:
        found = posix.stat(path)
        if (found.st_dev, found.st_ino) == inode:
            posix.unlink(path)
    except OSError:
        return  # gone, or out of reach: whoever binds next replaces it


def _room_for(connections: int) -> int:
    limit = posix.sysconf("SC_OPEN_MAX")
    if limit < 0:
        return connections
    return max(1, min(connections, limit - DESCRIPTORS_IN_RESERVE))


def _call_ourselves(name: bytes) -> None:
    """Be found in `ps` and `top`; costs no more than a file write."""
    try:
        descriptor = posix.open("/proc/self/comm", posix.O_WRONLY)
    except OSError:
        return
    try:
        posix.write(descriptor, name)
    finally:
        posix.close(descriptor)
