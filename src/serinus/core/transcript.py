"""What an engine said to a fixed prompt, token by token, and whether it says it for ever.

It judges nothing: `correctness` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from math import isfinite, isnan
from typing import NamedTuple

__all__ = ["Token", "Transcript", "Unit", "loop_in"]

Token = int | str

_IMPOSSIBLE = -1000.0
"""A log-probability below this is none: vLLM writes -9999 for minus infinity, which JSON lacks."""
_LEAST_LOOP = 12
"""Tokens of a tail that repeats itself before it is called endless."""
_LONGEST_BLOCK = 8
_TIMES = 4


class Unit(StrEnum):
    """By what an answer is told, the best first."""

    ID = "id"
    TEXT = "text"
    """The text of each token."""
    CHARACTER = "character"
    """The engine tells of no tokens: each character stands for one."""


class Transcript(NamedTuple):
    """An answer. All sequences are of the same length where they are there."""

    tokens: tuple[Token, ...] = ()
    logprobs: tuple[float, ...] | None = None
    """The natural logarithm of each token's probability; None where the engine tells none."""
    margins: tuple[float, ...] | None = None
    """By how much each token was likelier than the next best one, in the same measure."""
    text: str = ""
    by: Unit = Unit.ID

    def joined(self, more: Transcript) -> Transcript:
        """Return it with what came next; what one of the two does not tell, both do not."""
        if not self.tokens:
            return more._replace(text=self.text + more.text)
        if not more.tokens:
            return self._replace(text=self.text + more.text)
        return Transcript(
            self.tokens + more.tokens,
            _both(self.logprobs, more.logprobs),
            _both(self.margins, more.margins),
            self.text + more.text,
            more.by,
        )

    @property
    def unsound(self) -> int | None:
        """The place of the first token whose log-probability is no number that one can have."""
        for place, logprob in enumerate(self.logprobs or ()):
            if not isfinite(logprob) or logprob < _IMPOSSIBLE:
                return place
        return None

    @property
    def numberless(self) -> bool:
        """Whether none of its log-probabilities is a number."""
        return bool(self.logprobs) and all(map(isnan, self.logprobs or ()))


def loop_in(tokens: Sequence[Token]) -> tuple[Token, ...]:
    """Return the block that an answer repeats to its end; empty if it does not.

    Endless is a tail of at least 12 tokens, and of at least half of the answer, that is one block
    of at most 8 tokens, four times or more.

    >>> loop_in([5, 1, 2] + [7, 9] * 6)
    (7, 9)
    >>> loop_in(range(24))
    ()
    """
    size = len(tokens)
    for period in range(1, _LONGEST_BLOCK + 1):
        run = period
        while run < size and tokens[size - 1 - run] == tokens[size - 1 - run + period]:
            run += 1
        if run >= max(_LEAST_LOOP, size / 2, period * _TIMES):
            return tuple(tokens[size - period :])
    return ()


def _both(
    one: tuple[float, ...] | None, other: tuple[float, ...] | None
) -> tuple[float, ...] | None:
    return None if one is None or other is None else one + other
