"""One GET over a plain socket, with a deadline over all of it: what an exec probe needs, quickly.

`http.client` would double the time that a probe takes to start.
"""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass

from serinus.errors import SettingsError, excerpt

__all__ = ["Address", "ProbeError", "Reply", "get"]

_MOST = 8 << 20
_PIECE = 1 << 16
_ACCEPTED = "accepted: PORT, HOST:PORT, http://HOST:PORT with or without a path, or unix:PATH"


class ProbeError(Exception):
    """There was no answer, or none in HTTP; the text says why."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A status and a body; `degraded` if a header says that it serves, but not as it should."""

    status: int
    body: bytes
    degraded: bool = False


@dataclass(frozen=True, slots=True)
class Address:
    """Where to ask: a TCP address or the path of a unix socket, and the path of the page."""

    host: str = "127.0.0.1"
    port: int = 0
    socket_path: str | None = None
    path: str = ""

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read what somebody wrote.

        Raises SettingsError.

        >>> str(Address.parse("9090")), str(Address.parse("http://[::1]:9090/live"))
        ('http://127.0.0.1:9090', 'http://[::1]:9090/live')
        """
        if text.startswith("unix:"):
            path = text.removeprefix("unix:").removeprefix("//")
            if not path:
                raise _refused(text)
            return cls(socket_path=path)
        rest = text.removeprefix("http://")
        place, slash, path = rest.partition("/")
        host, _, port = place.rpartition(":") if ":" in place else ("", "", place)
        if not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536 or "@" in place:
            raise _refused(text)
        host = host.removeprefix("[").removesuffix("]")
        if any(mark in rest for mark in " ?#") or "://" in rest:
            raise _refused(text)
        return cls(host or "127.0.0.1", int(port), path=slash + path if path else "")

    def __str__(self) -> str:
        if self.socket_path is not None:
            return f"unix:{self.socket_path}{self.path and ' '}{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}{self.path}"

    @property
    def authority(self) -> str:
        """The value of the header Host."""
        if self.socket_path is not None:
            return "localhost"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def get(address: Address, *, query: str = "", bearer: str | None = None, seconds: float) -> Reply:
    """Ask for the page within `seconds`. Raises ProbeError."""
    deadline = time.monotonic() + seconds
    lines = [
        f"GET {address.path}{query} HTTP/1.1",
        f"Host: {address.authority}",
        "User-Agent: serinus-check",
        "Accept: application/json",
        "Connection: close",
    ]
    if bearer is not None:
        lines.append(f"Authorization: Bearer {bearer}")
    request = "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")
    try:
        with _connection(address, seconds) as connection:
            connection.sendall(request)
            return _reply(connection, deadline)
    except TimeoutError:
        raise ProbeError(f"no answer within {seconds:g} s") from None
    except OSError as error:
        raise ProbeError(error.strerror or str(error)) from error


def _connection(address: Address, seconds: float) -> socket.socket:
    if address.socket_path is None:
        return socket.create_connection((address.host, address.port), timeout=seconds)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(seconds)
        connection.connect(address.socket_path)
    except BaseException:
        connection.close()
        raise
    return connection


def _reply(connection: socket.socket, deadline: float) -> Reply:
    """Read until the server closes, or until all that it announced is there."""
    data = bytearray()
    while len(data) < _MOST:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        connection.settimeout(left)
        piece = connection.recv(_PIECE)
        data += piece
        head, end, body = bytes(data).partition(b"\r\n\r\n")
        if not piece:
            return _read(head, body)
        if end and (reply := _whole(head, body)) is not None:
            return reply
    raise ProbeError(f"an answer of more than {_MOST} bytes")


def _whole(head: bytes, body: bytes) -> Reply | None:
    """Return the reply if it is all there, as far as its head tells."""
    fields = _fields(head)
    if fields.get(b"transfer-encoding") == b"chunked":
        return _read(head, body) if body.endswith(b"0\r\n\r\n") else None
    length = fields.get(b"content-length", b"")
    if length.isdigit() and len(body) >= int(length):
        return _read(head, body[: int(length)])
    return None


def _read(head: bytes, body: bytes) -> Reply:
    version, _, rest = head.partition(b" ")
    status = rest[:3]
    if not version.startswith(b"HTTP/") or not status.isdigit():
        shown = excerpt(head.decode("latin-1"), limit=60)
        raise ProbeError(f"its answer is not HTTP: {shown!r}" if head else "no answer: it hung up")
    if _fields(head).get(b"transfer-encoding") == b"chunked":
        body = _unchunked(body)
    degraded = _fields(head).get(b"x-envoy-degraded") == b"true"
    return Reply(int(status), body, degraded=degraded)


def _fields(head: bytes) -> dict[bytes, bytes]:
    pairs = (line.partition(b":") for line in head.split(b"\r\n")[1:])
    return {name.strip().lower(): value.strip().lower() for name, _, value in pairs}


def _unchunked(data: bytes) -> bytes:
    body = bytearray()
    while data:
        size, _, data = data.partition(b"\r\n")
        try:
            length = int(size.partition(b";")[0], 16)
        except ValueError:
            raise ProbeError("its answer has a broken chunk") from None
        if length <= 0:
            break
        body += data[:length]
        data = data[length + 2 :]
    return bytes(body)


def _refused(text: str) -> SettingsError:
    shown = "the address (not shown)" if "@" in text else repr(excerpt(text, limit=80))
    return SettingsError(f"{shown} is not an address to ask; {_ACCEPTED}")
