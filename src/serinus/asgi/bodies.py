"""Pieces of answers' bodies: which one is output, and which one is an error.

A piece is judged by itself: servers send whole events. Only pieces that may be an error, and the
first one of an answer, are read at all.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from serinus.core.evidence import RequestFault
from serinus.engines.sse import SseEvent, SseReader
from serinus.errors import excerpt
from serinus.runtime.answers import error_in, tokens_in
from serinus.runtime.traffic import blame_item

__all__ = ["brings_output", "error_of"]

_MOST = 64 << 10
"""Bytes of a piece that are read; an error is shorter."""
_DONE = "[DONE]"


def error_of(piece: bytes) -> tuple[RequestFault, str] | None:
    r"""Return whose fault the error is that a piece carries, and its text; None without one.

    >>> error_of(b'data: {"error": {"message": "CUDA error", "code": 500}}\n\n')
    (<RequestFault.SERVER: 'server'>, "error: {'message': 'CUDA error', 'code': 500}")
    >>> error_of(b'data: {"choices": [{"text": "an \\"error\\""}]}\n\n') is None
    True
    """
    for event in _events(piece):
        item = _json(event.data)
        found = error_in(item)
        if found is None and event.name == "error":
            found = f"event: error {excerpt(event.data)}"
        if found is not None:
            return blame_item(item), found
    return None


def brings_output(piece: bytes) -> bool:
    r"""Say whether the first piece of an answer has output in it.

    A chat's opening, which has only a role, is none; nor is a bare `[DONE]`. What cannot be read
    (plain text, a compressed body) counts.

    >>> brings_output(b'data: {"choices": [{"delta": {"role": "assistant", "content": ""}}]}\n\n')
    False
    >>> brings_output(b'once upon')
    True
    """
    if not piece.startswith((b"data:", b"event:", b"{")):
        return not piece.startswith(b":")
    items = [event.data for event in _events(piece)]
    return not items or any(_is_output(text) for text in items)


def _is_output(text: str) -> bool:
    if text.strip() == _DONE:
        return False
    item = _json(text)
    return item is None or tokens_in(item) > 0


def _events(piece: bytes) -> Iterator[SseEvent]:
    """Yield the events of a piece, or the JSON document that it is."""
    if piece[:1] == b"{":
        if len(piece) <= _MOST:
            yield SseEvent(piece.decode(errors="replace"))
        return
    reader = SseReader()
    yield from reader.feed(piece[:_MOST])
    yield from reader.end()


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
