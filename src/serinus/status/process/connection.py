"""A connection, and the stages of its life, each with its own deadline."""

from __future__ import annotations

from _socket import socket

from serinus.status.process.plan import Plan
from serinus.status.process.wire import Inbox


class Connection:
    """One client. `local` says that it came over loopback or a unix socket."""

    __slots__ = (
        "drained",
        "fd",
        "inbox",
        "last",
        "local",
        "mask",
        "pending",
        "plan",
        "since",
        "sock",
        "stage",
    )

    def __init__(self, sock: socket, *, local: bool, mask: int) -> None:
        self.sock = sock
        self.fd = sock.fileno()
        self.local = local
        self.mask = mask
        self.stage: Stage | None = None
        self.since = 0
        self.inbox: Inbox | None = None
        self.plan: Plan | None = None
        self.pending: list[memoryview] = []
        self.last = False
        """Whether the pending answer is the last one."""
        self.drained = 0


class Stage(dict[int, Connection]):
    """The connections in one stage, those that came first in front; the limit is in ns."""

    def __init__(self, why: str, seconds: float) -> None:
        super().__init__()
        self.why = why
        self.limit = int(seconds * 1e9)

    def overdue(self, now: int) -> list[Connection]:
        """List the connections that have been here for longer than the limit."""
        late = []
        for connection in self.values():
            if now - connection.since <= self.limit:
                break
            late.append(connection)
        return late


class Stages:
    """All stages. A connection is in exactly one until it is closed."""

    def __init__(self, *, header: float, idle: float, write: float, wait: float) -> None:
        self.reading = Stage("header_timeout", header)
        """Nothing came yet, or not a whole request."""
        self.idle = Stage("idle_timeout", idle)
        """Answered, and may ask again."""
        self.waiting = Stage("", wait)
        """Waits for a fresh document."""
        self.writing = Stage("write_timeout", write)
        """Does not take its answer as fast as it could."""
        self.draining = Stage("", 1.0)
        """Answered for good; what it still sends is thrown away."""

    def enter(self, connection: Connection, stage: Stage, now: int) -> None:
        """Move a connection to the back of a stage."""
        if connection.stage is not None:
            connection.stage.pop(connection.fd, None)
        connection.stage = stage
        connection.since = now
        stage[connection.fd] = connection

    def leave(self, connection: Connection) -> None:
        """Forget a connection."""
        if connection.stage is not None:
            connection.stage.pop(connection.fd, None)
            connection.stage = None

    def most_dispensable(self) -> Connection | None:
        """Find who has to go when there is no room: the longest idle, else the slowest."""
        idle = [next(iter(stage.values()), None) for stage in (self.reading, self.idle)]
        found = min((c for c in idle if c is not None), key=lambda c: c.since, default=None)
        for stage in (self.draining, self.writing, self.waiting):
            found = found or next(iter(stage.values()), None)
        return found
