"""An answer as it stands ready: status, headers and chunks of its body."""

from __future__ import annotations

import json
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, NamedTuple

__all__ = ["JSON", "TEXT", "Answer", "answer_json", "dumps"]

JSON = b"application/json"
TEXT = b"text/plain; version=0.0.4; charset=utf-8"


class Answer(NamedTuple):
    """What a request gets, whoever asks."""

    status: int
    headers: list[tuple[bytes, bytes]]
    chunks: tuple[bytes, ...]

    def head(self) -> bytes:
        """Write the status line and the headers of HTTP/1.1."""
        lines = b"".join(b"%s: %s\r\n" % pair for pair in self.headers)
        phrase = HTTPStatus(self.status).phrase.encode()
        return b"HTTP/1.1 %d %s\r\n%s\r\n" % (self.status, phrase, lines)


def dumps(value: Any) -> bytes:
    """Write JSON, compact."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def answer_json(status: int, value: Any) -> Answer:
    """Return an answer with a value as JSON."""
    return of_chunks(status, (dumps(value),))


def of_chunks(
    status: int,
    chunks: Iterable[bytes],
    *,
    kind: bytes = JSON,
    more: Iterable[tuple[bytes, bytes]] = (),
) -> Answer:
    """Return an answer of chunks that are ready."""
    body = tuple(chunks)
    length = b"%d" % sum(map(len, body))
    headers = [
        (b"content-type", kind),
        (b"content-length", length),
        (b"cache-control", b"no-store"),
    ]
    return Answer(status, [*headers, *more], body)
