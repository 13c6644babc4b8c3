"""Asking a status port, and noting when which answer came."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Event, Thread


@dataclass(frozen=True, slots=True)
class Answer:
    """One probe's outcome. ``status`` is 0 where no answer came; times are monotonic seconds."""

    asked_at: float
    took: float
    status: int
    body: bytes = b""


def ask(port: int, path: str = "/health", *, limit: float = 10.0) -> Answer:
    """One probe on a connection of its own, as a kubelet does it."""
    asked_at = time.monotonic()
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=limit) as connection:
            status, body = _exchange(connection, path)
    except OSError:
        status, body = 0, b""
    return Answer(asked_at, time.monotonic() - asked_at, status, body)


def _exchange(connection: socket.socket, path: str) -> tuple[int, bytes]:
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: probe\r\n\r\n".encode())
    received = b""
    while b"\r\n\r\n" not in received:
        received += _more(connection)
    head, _, body = received.partition(b"\r\n\r\n")
    length = 0
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    while len(body) < length:
        body += _more(connection)
    return int(head.split(None, 2)[1]), body


def _more(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise ConnectionResetError("closed in the middle of an answer")
    return data


def polled(port: int, path: str = "/health", *, pace: float, seconds: float) -> Iterator[Answer]:
    """A probe every ``pace`` seconds, for so many seconds."""
    ends_at = time.monotonic() + seconds
    due = time.monotonic()
    while due < ends_at:
        yield ask(port, path)
        due = max(due + pace, time.monotonic())
        time.sleep(max(0.0, due - time.monotonic()))


def first(port: int, status: int, *, seconds: float, pace: float = 0.01) -> Answer | None:
    """The first probe with that status, or nothing if none had it in time."""
    return next((a for a in polled(port, pace=pace, seconds=seconds) if a.status == status), None)


class Watch:
    """Probes in the background, one every ``pace`` seconds, each on a connection of its own."""

    def __init__(self, port: int, path: str = "/health", *, pace: float) -> None:
        self.answers: list[Answer] = []
        self._over = Event()
        self._thread = Thread(target=self._run, args=(port, path, pace), daemon=True)

    def _run(self, port: int, path: str, pace: float) -> None:
        while not self._over.wait(pace):
            self.answers.append(ask(port, path))

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


class Sleeper:
    """Sleeps 20 ms again and again, and notes by how much it overslept: the machine's own noise."""

    def __init__(self) -> None:
        self._late: list[tuple[float, float]] = []
        self._over = Event()
        self._thread = Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self._over.is_set():
            asleep_at = time.monotonic()
            time.sleep(0.02)
            self._late.append((asleep_at, time.monotonic() - asleep_at - 0.02))

    def __enter__(self) -> Sleeper:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def worst(self, *, since: float, until: float) -> float:
        """The most that it overslept in that time, in seconds."""
        return max((late for at, late in self._late if since <= at <= until), default=0.0)
