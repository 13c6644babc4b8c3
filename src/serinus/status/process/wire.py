"""HTTP/1.1 as far as a status port needs it: pure, bytes in, values out.

Strict where leniency could hide a mistake (bare LF, control bytes, odd lengths: 400), and
deliberately without bodies: a request that carries one is answered, then its connection ends.
"""

from __future__ import annotations

CRLF = b"\r\n"
TOKEN = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
FORWARDED = frozenset({b"forwarded", b"via", b"x-forwarded-for", b"x-real-ip"})
PHRASES = {
    200: b"OK",
    400: b"Bad Request",
    404: b"Not Found",
    405: b"Method Not Allowed",
    408: b"Request Timeout",
    431: b"Request Header Fields Too Large",
    503: b"Service Unavailable",
    505: b"HTTP Version Not Supported",
}

JSON = b"application/json"
TEXT = b"text/plain; charset=utf-8"
HTML = b"text/html; charset=utf-8"
PROMETHEUS = b"text/plain; version=0.0.4; charset=utf-8"

# How the connection goes on, and what the answer says about it.
STAY = 0
CLOSE = 1
STAY_AND_SAY_SO = 2
CONNECTION = (b"", b"connection: close\r\n", b"connection: keep-alive\r\n")

DEGRADED = b"x-envoy-degraded: true\r\n"
"""Envoy's HTTP health checker takes it for: send traffic elsewhere as long as others are well."""


class MalformedError(Exception):
    """The bytes are no request that can be answered: `status` is the code to refuse them with."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Request:
    """One request's head, as far as it matters here."""

    __slots__ = ("bearer", "forwarded", "has_body", "method", "path", "persist", "query")

    def __init__(
        self,
        *,
        method: bytes,
        path: bytes,
        query: bytes,
        persist: int,
        has_body: bool,
        bearer: bytes | None,
        forwarded: bool,
    ) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.persist = persist
        self.has_body = has_body
        self.bearer = bearer
        self.forwarded = forwarded

    @property
    def verbose(self) -> bool:
        """Whether the query asks for details."""
        for pair in self.query.split(b"&"):
            name, _, value = pair.partition(b"=")
            if name == b"verbose" and value.lower() not in (b"0", b"false", b"no", b"off"):
                return True
        return False


class Inbox:
    """What a connection has sent and is not answered yet: at most `limit` bytes and one read."""

    __slots__ = ("_buffer", "_limit", "_scanned")

    def __init__(self, limit: int) -> None:
        self._buffer = bytearray()
        self._limit = limit
        self._scanned = 0

    def __len__(self) -> int:
        return len(self._buffer)

    def feed(self, data: bytes) -> None:
        """Add what was read."""
        self._buffer += data

    def next(self) -> Request | None:
        """Take the next complete request, or None while it is incomplete.

        Raises MalformedError at the earliest byte that proves that no request will come.
        """
        buffer = self._buffer
        if buffer[:2] == CRLF:  # RFC 9112, 2.2: empty lines before a request are skipped
            self._buffer = buffer = buffer.lstrip(CRLF)
            self._scanned = 0
        if not buffer or buffer == b"\r":
            return None
        if buffer[0] not in TOKEN:
            raise MalformedError(400)
        end = buffer.find(b"\r\n\r\n", self._scanned)
        if end > self._limit or (end < 0 and len(buffer) > self._limit):
            raise MalformedError(431)
        if end < 0:
            if buffer.count(b"\n") != buffer.count(CRLF):
                raise MalformedError(400)
            self._scanned = max(0, len(buffer) - 3)
            return None
        head = bytes(buffer[:end])
        del buffer[: end + 4]
        self._scanned = 0
        return parse_head(head)


def parse_head(head: bytes) -> Request:
    """Read a request's head, without the empty line that ends it; raises MalformedError."""
    lines = head.split(CRLF)
    if head.count(b"\n") != len(lines) - 1 or head.count(b"\r") != len(lines) - 1 or b"\0" in head:
        raise MalformedError(400)
    method, path, query, minor = _request_line(lines[0])
    connection = b""
    length: bytes | None = None
    has_body = forwarded = False
    bearer: bytes | None = None
    for line in lines[1:]:
        name, colon, value = line.partition(b":")
        if not colon or not name or name.translate(None, TOKEN):
            raise MalformedError(400)
        name = name.lower()
        value = value.strip(b" \t")
        if name == b"connection":
            connection += b"," + value.lower()
        elif name == b"content-length":
            if not value.isdigit() or length not in (None, value):
                raise MalformedError(400)
            length = value
            has_body = has_body or value.strip(b"0") != b""
        elif name == b"transfer-encoding":
            has_body = True
        elif name == b"authorization":
            bearer = _bearer(value)
        elif name in FORWARDED:
            forwarded = True
    options = {option.strip(b" \t") for option in connection.split(b",")}
    if has_body or b"close" in options:
        persist = CLOSE
    elif minor == b"0":
        persist = STAY_AND_SAY_SO if b"keep-alive" in options else CLOSE
    else:
        persist = STAY
    return Request(
        method=method,
        path=path,
        query=query,
        persist=persist,
        has_body=has_body,
        bearer=bearer,
        forwarded=forwarded,
    )


def _request_line(line: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    parts = line.split(b" ")
    if len(parts) != 3 or not parts[0] or parts[0].translate(None, TOKEN):
        raise MalformedError(400)
    method, target, version = parts
    if not version.startswith(b"HTTP/") or len(version) != 8 or version[6:7] != b".":
        raise MalformedError(400)
    if version[5:7] != b"1.":
        raise MalformedError(505)
    path, _, query = target.partition(b"?")
    if path.startswith(b"http://"):  # the absolute form that a proxy sends
        path = b"/" + path[7:].partition(b"/")[2]
    elif not path.startswith(b"/") and path != b"*":
        raise MalformedError(400)
    return method, path, query, version[7:]


def _bearer(value: bytes) -> bytes | None:
    scheme, _, token = value.partition(b" ")
    return token.strip(b" ") if scheme.lower() == b"bearer" else None


def head_of(status: int, *, length: int, media: bytes, persist: int, fields: bytes = b"") -> bytes:
    """Render the head of an answer, down to and with the empty line; `fields` are whole lines."""
    return b"HTTP/1.1 %d %s\r\n%s%scontent-length: %d\r\n%s\r\n" % (
        status,
        PHRASES[status],
        b"content-type: %s\r\n" % media if media else b"",
        fields,
        length,
        CONNECTION[persist],
    )
