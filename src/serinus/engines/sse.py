"""Server-sent events, read as they arrive (https://html.spec.whatwg.org, "event stream").

Any division of a stream into pieces gives the same events. Two habits of engines go beyond the
standard: a stream may end without its last empty line, and llama-server has a field `error`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["MAX_EVENT_BYTES", "SseEvent", "SseReader"]

MAX_EVENT_BYTES = 1 << 20
"""The default bound on one line and on the data of one event."""

_LINE_END = re.compile(rb"\r\n|\r|\n")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_IGNORED = frozenset({b"", b"id", b"retry"})  # the empty field is a comment
_STRAY_BYTES = 200


@dataclass(frozen=True, slots=True)
class SseEvent:
    """One event. `name` is "message" unless the stream says otherwise."""

    data: str
    name: str = "message"


class SseReader:
    r"""Turns pieces of bytes into events. `limit` bounds a line and an event's data, in bytes.

    A stream that oversteps the bound is not read further: `overflowed` holds, no event follows,
    and those before it stand. `stray` is the first line that is not of an event stream at all, or
    the beginning of it; "" while there is none.

    >>> reader = SseReader()
    >>> reader.feed(b"data: a\nda"), reader.feed(b"ta: b\n\n")
    ([], [SseEvent(data='a\nb', name='message')])
    """

    def __init__(self, *, limit: int = MAX_EVENT_BYTES) -> None:
        self.overflowed = False
        self.stray = ""
        self._limit = limit
        self._line = bytearray()
        self._data: list[str] = []
        self._size = 0
        self._name = ""
        self._first = True
        self._skip_lf = False

    def feed(self, data: bytes) -> list[SseEvent]:
        """Take the next bytes; return the events that they complete."""
        events: list[SseEvent] = []
        if self.overflowed or not data:
            return events
        # A CR ends its line at once; if it was the last byte, an LF may still belong to it.
        start = 1 if self._skip_lf and data[:1] == b"\n" else 0
        self._skip_lf = data.endswith(b"\r")
        for end in _LINE_END.finditer(data, start):
            self._line += data[start : end.start()]
            start = end.end()
            if not self._take_line(events):
                return events
        self._line += data[start:]
        self._check(len(self._line))
        return events

    def end(self) -> list[SseEvent]:
        """Take the end of the stream; return the event that it cut short of its empty line."""
        events: list[SseEvent] = []
        if not self.overflowed and self._take_line(events):
            self._dispatch(events)
        return events

    def _take_line(self, events: list[SseEvent]) -> bool:
        """Take the line that is complete now; say whether the stream may be read on."""
        line = bytes(self._line)
        self._line.clear()
        if not self._check(len(line)):
            return False
        if self._first:
            line = line.removeprefix(_BYTE_ORDER_MARK)
            self._first = False
        if not line:
            self._dispatch(events)
        else:
            self._take_field(*line.partition(b":")[::2])
        return not self.overflowed

    def _take_field(self, field: bytes, value: bytes) -> None:
        text = value.removeprefix(b" ").decode(errors="replace")
        if field == b"event":
            self._name = text
        elif field in {b"data", b"error"}:
            if field == b"error":
                self._name = "error"
            self._data.append(text)
            self._size += len(value) + 1
            self._check(self._size)
        elif field not in _IGNORED:
            self.stray = self.stray or field[:_STRAY_BYTES].decode(errors="replace")

    def _dispatch(self, events: list[SseEvent]) -> None:
        if self._data:
            events.append(SseEvent("\n".join(self._data), self._name or "message"))
        self._data, self._size, self._name = [], 0, ""

    def _check(self, size: int) -> bool:
        self.overflowed = size > self._limit
        return not self.overflowed
