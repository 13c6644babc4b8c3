"""What lies where entries are and cannot be one: what a backend leaves out, by name.

An entry whose value means nothing is not here: its readers know what they cannot read.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice

__all__ = ["Foreign"]

_MOST = 1000
"""Names that are remembered of one place."""


class Foreign:
    """The account of one backend. A backend of threads may write while others read."""

    def __init__(self) -> None:
        self.seen = 0
        """How often something was found that was not known before."""
        self._found: dict[str, Mapping[str, str]] = {}

    @property
    def now(self) -> dict[str, str]:
        """Why each is left out, by the name that it has there."""
        return {name: why for found in tuple(self._found.values()) for name, why in found.items()}

    def found(self, where: str, wrong: Mapping[str, str]) -> dict[str, str]:
        """Take all that is wrong in one place by now; return what is news.

        >>> foreign = Foreign()
        >>> foreign.found("v1/instances", {"x": "no key"})
        {'x': 'no key'}
        >>> foreign.found("v1/instances", {"x": "no key"})
        {}
        >>> foreign.found("v1/instances", {}), foreign.now, foreign.seen
        ({}, {}, 1)
        """
        if not wrong and not self._found.get(where):
            return {}
        known = self.now
        self._found[where] = dict(islice(wrong.items(), _MOST))
        news = {name: why for name, why in self._found[where].items() if known.get(name) != why}
        self.seen += len(news)
        return news
