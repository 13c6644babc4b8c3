"""What changed, bounded: the last transitions of everything that has a status."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

__all__ = ["History", "Transition"]


class Transition(NamedTuple):
    """At `at`, `subject` went from one status and reason to another; `detail` is the evidence."""

    at: float
    subject: str
    before: str
    after: str
    reason: str
    detail: str


class History:
    """The last `size` transitions, oldest first.

    >>> history = History(size=1)
    >>> history.add(Transition(1.0, "n.c.e", "notready", "ready", "canary", ""))
    >>> history.add(Transition(2.0, "n.c.e", "ready", "notready", "canary_timeout", ""))
    >>> [transition.at for transition in history.transitions], history.forgotten
    ([2.0], 1)
    """

    def __init__(self, *, size: int) -> None:
        self._kept: deque[Transition] = deque(maxlen=size)
        self.seen = 0

    def add(self, transition: Transition) -> None:
        """Remember a transition, and forget the oldest beyond the size."""
        self._kept.append(transition)
        self.seen += 1

    @property
    def transitions(self) -> tuple[Transition, ...]:
        """What is remembered."""
        return tuple(self._kept)

    @property
    def forgotten(self) -> int:
        """How many were forgotten."""
        return self.seen - len(self._kept)
