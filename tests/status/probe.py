"""A client for the status port that hides nothing: bytes out, bytes in."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, NamedTuple


class Response(NamedTuple):
    """One answer, as it came."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, as JSON."""
        return json.loads(self.body)


class Closed(Exception):  # noqa: N818 - an event, not a fault
    """The server closed the connection before a whole answer had come."""


class Client:
    """A connection to the status port; `with` closes it."""

    def __init__(self, address: str, *, timeout: float = 5.0) -> None:
        if address.startswith("unix:"):
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.sock.settimeout(timeout)
            self.sock.connect(address.removeprefix("unix:"))
        else:
            host, _, port = address.removeprefix("http://").rpartition(":")
            self.sock = socket.create_connection((host.strip("[]"), int(port)), timeout=timeout)
        self._left = b""

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.sock.sendall(data)

    def receive(self, *, head_only: bool = False) -> Response:
        """Read one answer; raises Closed if the connection ends first."""
        while b"\r\n\r\n" not in self._left:
            self._more()
        head, _, self._left = self._left.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        length = 0 if head_only else int(headers["content-length"])
        while len(self._left) < length:
            self._more()
        body, self._left = self._left[:length], self._left[length:]
        return Response(int(first.split(" ")[1]), headers, body)

    def ask(self, method: str, path: str, *headers: str) -> Response:
        """Send a request and read its answer."""
        lines = [f"{method} {path} HTTP/1.1", "Host: x", *headers, "", ""]
        self.send("\r\n".join(lines).encode())
        return self.receive(head_only=method == "HEAD")

    def closed_within(self, seconds: float) -> bool:
        """Whether the server closes the connection, throwing away what comes before."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.sock.settimeout(left)
            try:
                if not self.sock.recv(65536):
                    return True
            except ConnectionResetError:
                return True
            except TimeoutError:
                return False
        return False

    def _more(self) -> None:
        try:
            data = self.sock.recv(65536)
        except ConnectionResetError:
            data = b""
        if not data:
            raise Closed(self._left)
        self._left += data


def get(address: str, path: str, *headers: str) -> Response:
    """Ask once, over a connection of its own."""
    with Client(address) as client:
        return client.ask("GET", path, "Connection: close", *headers)


def eventually(condition: Callable[[], bool], *, within: float = 20.0) -> bool:
    """Poll until the condition holds."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.005)
    return condition()
