"""How long prompts take to be read, by their size: whether a silence can be the reading of one.

An engine that reads a long prompt to its end before it answers anybody is as silent meanwhile as
one that hangs. What tells them apart is the prompt: others of its size, or longer, have been read
in a time that is known. It holds no text, and guesses nothing about a prompt that is longer than
any before, or of which nobody knows the size.

What an engine has in a prefix cache is not read at all. Such prompts are known by their speed: they
say nothing of how long reading takes, and soon make nobody forget it. And a long prompt may always
be read as slowly as any long one of late, by the token.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import inf
from typing import Any, NamedTuple

__all__ = ["ALLOWED", "Prompt", "Prompts", "size_of"]

_ENOUGH = 8
"""Prompts of a size or longer before it is known how long they take."""
_MARGIN = 4.0
"""Times the longest reading of late, of one prompt among those that are read: sizes are known to a
factor of two, and reading may take more than in proportion."""
ALLOWED = 0.25
"""Seconds that reading may always take."""
_FADING = 1 - 1 / 512
"""What is left of the longest reading with each one after it."""
_CACHED = 8.0
"""A prompt that is read so many times quicker than another of its size was not read, but found."""
_FADING_BY_CACHED = 1 - 1 / 8192
"""What is left of the longest with each of those."""
_LONG = 1024
"""Tokens of a prompt of which reading takes most of the time to its first token."""
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
    silence: float = 0.0
    """How long nothing had gone on when it began, in seconds."""


class _Longest:
    """The longest of some times, of late."""

    __slots__ = ("confirmed", "longest", "times")

    def __init__(self) -> None:
        self.times = 0
        self.longest = 0.0
        self.confirmed = False
        """Whether it was seen more than once: a single one may be a warm-up's, and fades sooner."""

    def take(self, seconds: float) -> None:
        """Take one more time."""
        self.times += 1
        longest = self.longest
        if seconds * _CACHED < longest:
            fading = _FADING_BY_CACHED if self.confirmed else _FADING
        else:
            fading = _FADING
            self.confirmed = 0 < seconds <= longest * _CACHED
        self.longest = max(seconds, longest * fading)


class Prompts:
    """The longest readings of late, by the power of two of the prompt's size."""

    __slots__ = ("_read", "_slowest")

    def __init__(self) -> None:
        self._read: dict[int, _Longest] | None = None
        """None of an endpoint that was never used, of which there may be many."""
        self._slowest: _Longest | None = None
        """Seconds for a token, of long prompts; None before the first."""

    def read(self, size: int, seconds: float) -> None:
        """Take in that a prompt was read, in which nothing else went on for so long."""
        if self._read is None:
            self._read = {}
        level = _level(size)
        of_level = self._read.get(level)
        if of_level is None:
            of_level = self._read[level] = _Longest()
        of_level.take(seconds)
        if size >= _LONG:
            if self._slowest is None:
                self._slowest = _Longest()
            self._slowest.take(seconds / size)

    def longest(self, sizes: Iterable[int | None]) -> float:
        """Return how long reading all of these may take, in seconds; infinite if nobody knows."""
        each = [self._longest(size) for size in sizes]
        return max(sum(each) + (_MARGIN - 1) * max(each, default=0.0), ALLOWED)

    def _longest(self, size: int | None) -> float:
        if size is None or self._read is None:
            return inf
        seen, most = 0, 0.0
        for level in range(_level(size), _LEVELS + 1):
            read = self._read.get(level)
            if read is None:
                continue
            seen, most = seen + read.times, max(most, read.longest)
            if seen >= _ENOUGH:
                slowest = self._slowest
                if size < _LONG or slowest is None or not slowest.confirmed:
                    return most
                return max(most, slowest.longest * size)
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
    return min(size.bit_length(), _LEVELS) if size > 0 else 0
