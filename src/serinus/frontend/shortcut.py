"""The short way for requests that come again and again: the same bytes, the same answer.

A probe sends the same few lines every time. Once they are understood, what stands ready is written
without parsing them again. Only what is plain enough goes this way: a GET for a path whose answer
depends on nothing else in the request. Everything else goes the way of the server.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TypeAlias

from serinus.frontend.answer import Answer

__all__ = ["Shortcut"]

Ready: TypeAlias = Callable[[], Answer]

_LARGEST = 2048
_MOST = 256
"""Requests that are remembered; more would be somebody who tries."""
_WRITTEN = 4
"""Answers whose pieces are kept, whoever asks: a fleet has few, and an old one may be large."""
_SPEAKING = frozenset(
    {b"connection", b"content-length", b"transfer-encoding", b"expect", b"upgrade"}
    | {b"if-none-match", b"authorization"}
)
"""Headers that say something about the answer, or about what follows."""


class Shortcut:
    """Answers by the bytes of whole requests. `ready` finds what answers a path with its query."""

    def __init__(self, ready: Callable[[str], Ready | None]) -> None:
        self._ready = ready
        self._known: dict[bytes, Ready] = {}
        self._written: deque[tuple[Answer, list[bytes]]] = deque(maxlen=_WRITTEN)

    def answer(self, request: bytes) -> list[bytes] | None:
        """Return what is written for a whole request; None if it does not go this way."""
        ready = self._known.get(request)
        if ready is None:
            ready = self._understood(request)
            if ready is None:
                return None
            if len(self._known) >= _MOST:
                del self._known[next(iter(self._known))]
            self._known[request] = ready
        answer = ready()
        for written, pieces in self._written:
            if written is answer:
                return pieces
        pieces = _pieces(answer)
        self._written.append((answer, pieces))
        return pieces

    def _understood(self, request: bytes) -> Ready | None:
        if len(request) > _LARGEST or not request.endswith(b"\r\n\r\n"):
            return None
        return self._read(request)

    def _read(self, request: bytes) -> Ready | None:
        line, *headers = request[:-4].split(b"\r\n")
        words = line.split(b" ")
        if len(words) != 3 or words[0] != b"GET" or words[2] != b"HTTP/1.1":
            return None
        hosts = 0
        for header in headers:
            name, colon, _ = header.partition(b":")
            if not colon or not name.replace(b"-", b"").isalnum() or name.lower() in _SPEAKING:
                return None  # an empty line among them: it is more than one request
            hosts += name.lower() == b"host"
        if hosts != 1 or not words[1].isascii():
            return None
        return self._ready(words[1].decode())


def _pieces(answer: Answer) -> list[bytes]:
    head = answer.head()
    if len(answer.chunks) == 1:
        return [head + answer.chunks[0]]
    return [head, *answer.chunks]
