"""Text to token ids and back, without a model: the same prompt gets the same answer, always."""

from __future__ import annotations

import re
import zlib
from math import nan
from typing import NamedTuple

__all__ = [
    "BOS",
    "GARBAGE",
    "ROLE",
    "VOCABULARY",
    "Said",
    "answer_token",
    "other_token",
    "said",
    "token_ids",
    "token_text",
]

BOS = 1
ROLE = 3  # stands for who speaks, in a conversation
VOCABULARY = 32_000  # ids from 0 to below this are taken in a prompt, as with a llama tokenizer

_SENTENCE = tuple(
    re.findall(
        r"\w+",
        "the canary sings while the engine answers with one token after another and no one "
        "minds how long it sings because every song is a proof",
    )
)
#: One answer id whose text is empty: half of a character, as real tokenizers have them.
#: A reader that counts characters, and not tokens, is wrong about it.
_SILENT = len(_SENTENCE)
_FIRST = 1000  # where the words of the sentence begin among the ids

#: What an engine says whose numbers have become NaN.
GARBAGE = 0
_GARBAGE_TEXT = "!"

_PIECES = re.compile(r"\w+|[^\w\s]")


def token_ids(text: str) -> tuple[int, ...]:
    """Return one id for each word and each mark.

    >>> len(token_ids("the engine, at last"))
    5
    """
    ids = (
        zlib.crc32(piece.encode()) % (VOCABULARY - 2000) + 2000 for piece in _PIECES.findall(text)
    )
    return tuple(ids)


def answer_token(prompt: tuple[int, ...], position: int) -> int:
    """Return the id that follows `prompt` and `position` tokens of answer."""
    return _FIRST + (sum(prompt) + position) % (len(_SENTENCE) + 1)


def token_text(token: int) -> str:
    """Return the text of an answer's token: a word with its space, nothing, or garbage.

    >>> token_text(answer_token((), 0))
    ' the'
    """
    if token == GARBAGE:
        return _GARBAGE_TEXT
    place = token - _FIRST
    return "" if place == _SILENT else " " + _SENTENCE[place]


class Said(NamedTuple):
    """One token of an answer, how likely it was, and what came next to it."""

    token: int
    logprob: float
    rival: int
    rival_logprob: float

    def nearly(self, noise: float) -> bool:
        """Whether so much noise turns the order of the two."""
        return self.logprob - self.rival_logprob <= noise


NAN = Said(GARBAGE, nan, GARBAGE, nan)
_TIES = 11
"""At one place in so many, two tokens are nearly as likely."""


def said(prompt: tuple[int, ...], position: int) -> Said:
    """Return what follows `prompt` and `position` tokens of answer: always the same.

    A trained model is sure of most of its tokens, and now and then of none.
    """
    draw = zlib.crc32(f"{prompt} {position}".encode())
    logprob = -0.05 - draw % 1000 / 1500
    gap = draw % 61 / 1000 if draw % _TIES == 0 else 0.5 + draw % 700 / 350
    token = answer_token(prompt, position)
    return Said(token, logprob, other_token(token), logprob - gap)


def other_token(token: int) -> int:
    """Return another token than this one."""
    return _FIRST + (token - _FIRST + 5) % _SILENT
