"""How many members of a group must be ready: all, any, a majority, a number or a share of them."""

from __future__ import annotations

import re
from math import ceil
from typing import NamedTuple

from serinus.errors import SettingsError, excerpt

__all__ = ["ACCEPTED", "ALL", "Policy"]

ACCEPTED = "all, any, majority, a number of members such as 3, or a share such as 75%"
_SHARE = re.compile(r"(\d+(?:\.\d+)?)\s*%")
_ROUNDING = 1e-9


class Policy(NamedTuple):
    """How many members must be ready: a share of them, rounded up, or a number if not 0."""

    text: str
    share: float = 1.0
    least: int = 0

    @classmethod
    def parse(cls, text: str) -> Policy:
        """Read a policy. Raises SettingsError.

        >>> Policy.parse("75%").needed(4), Policy.parse("majority").needed(4)
        (3, 3)
        >>> Policy.parse("most")
        Traceback (most recent call last):
        serinus.errors.SettingsError: policy: 'most' is not accepted; accepted: all, any, \
majority, a number of members such as 3, or a share such as 75%
        """
        word = text.strip().lower()
        if word == "all":
            return ALL
        if word == "any":
            return cls(word, least=1)
        if word == "majority":
            return cls(word, share=0.5)
        if word.isascii() and word.isdigit() and int(word):
            return cls(word, least=int(word))
        share = _SHARE.fullmatch(word)
        if share is not None and 0 < float(share[1]) <= 100:
            return cls(word.replace(" ", ""), share=float(share[1]) / 100)
        raise SettingsError(
            f"policy: {excerpt(text, limit=40)!r} is not accepted; accepted: {ACCEPTED}"
        )

    def needed(self, size: int) -> int:
        """Return how many of `size` members must be ready, at least one.

        A number that is asked for is asked for, however few members are known.
        """
        if self.text == "majority":
            return size // 2 + 1
        return self.least or max(ceil(self.share * size - _ROUNDING), 1)

    def __str__(self) -> str:
        return self.text


ALL = Policy("all")
