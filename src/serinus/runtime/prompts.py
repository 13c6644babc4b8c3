"""How long prompts take to be read, by their size: whether a silence can be the reading of one.

An engine that reads a long prompt to its end before it answers anybody is as silent meanwhile as
one that hangs. What tells them apart is the prompt: others of its size, or longer, have been read
in a time that is known. It holds no text, and guesses nothing about a prompt that is longer than
any before, or of which nobody knows the size.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import inf
from typing import Any, NamedTuple

__all__ = ["Prompt", "Prompts", "size_of"]

_ENOUGH = 8
"""Prompts of a size or longer before it is known how long they take."""
_MARGIN = 4.0
"""Times the longest reading of late, of one prompt among those that are read: sizes are known to a
factor of two, and reading may take more than in proportion."""
_LEAST = 0.25
"""Seconds that are always allowed."""
_FADING = 1 - 1 / 512
"""What is left of the longest reading with each one after it."""
_LEVELS = 32
_IDS = ("token_ids", "prompt_token_ids", "input_ids")
_TEXTS = ("prompt", "text")
_BESIDES = frozenset(
    {"multi_modal_data", "image_data", "audio_data", "video_data", "mm_processor_kwargs"}
)
_OF_A_CHARACTER = 2
"""Characters for a token, roughly, in languages that have many and in those that have few."""


class Prompt(NamedTuple):
    """A request that has brought nothing yet: since when, and how long its prompt is, in tokens."""

    began: float
    size: int | None = None


class Prompts:
    """The longest readings of late, by the power of two of the prompt's size."""

    __slots__ = ("_read",)

    def __init__(self) -> None:
        self._read: dict[int, tuple[int, float]] = {}

    def read(self, size: int, seconds: float) -> None:
        """Take in that a prompt was read, in which nothing else went on for so long."""
        level = _level(size)
        count, longest = self._read.get(level, (0, 0.0))
        self._read[level] = (count + 1, max(seconds, longest * _FADING))

    def longest(self, sizes: Iterable[int | None]) -> float:
        """Return how long reading all of these may take, in seconds; infinite if nobody knows."""
        each = [self._longest(size) for size in sizes]
        return max(sum(each) + (_MARGIN - 1) * max(each, default=0.0), _LEAST)

    def _longest(self, size: int | None) -> float:
        if size is None:
            return inf
        seen, most = 0, 0.0
        for level in range(_level(size), _LEVELS + 1):
            count, longest = self._read.get(level, (0, 0.0))
            seen, most = seen + count, max(most, longest)
            if seen >= _ENOUGH:
                return most
        return inf


def size_of(request: Any) -> int | None:
    """Return how long a request's prompt is, in tokens and roughly; None if that is not plain.

    >>> size_of({"token_ids": [1, 2, 3]}), size_of({"prompt": "a canary"})
    (3, 4)
    >>> size_of({"messages": [{"role": "user", "content": "hello!"}]})
    3
    >>> size_of({"token_ids": [1], "multi_modal_data": {"image": "…"}}) is None
    True
    """
    if not isinstance(request, Mapping) or not _BESIDES.isdisjoint(request):
        return None
    for name in _IDS:
        ids = request.get(name)
        if ids is not None:
            return _ids(ids)
    for name in _TEXTS:
        text = request.get(name)
        if text is not None:
            return _text(text)
    messages = request.get("messages")
    if not isinstance(messages, list | tuple) or not all(isinstance(m, Mapping) for m in messages):
        return None
    sizes = [_text(message.get("content") or "") for message in messages]
    return None if None in sizes else sum(size for size in sizes if size is not None)


def _ids(ids: Any) -> int | None:
    if isinstance(ids, str):
        return None
    try:
        return len(ids)
    except TypeError:
        return None


def _text(text: Any) -> int | None:
    if isinstance(text, str):
        return len(text) // _OF_A_CHARACTER
    whole = isinstance(text, list | tuple) and all(type(one) is int for one in text)
    return len(text) if whole else None


def _level(size: int) -> int:
    return min(max(size, 0).bit_length(), _LEVELS)
