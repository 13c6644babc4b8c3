"""How fast work gets done over time: a speed that changes at known moments.

Work is what an engine gets done in a second at its usual speed, so that a freeze or a slow hour
does not have to be stepped through: when a piece of work will be done is computed.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from math import inf

__all__ = ["Course"]


class Course:
    """Turns times into work done, and back. A speed of 0 is a freeze.

    `pieces` are (start, end, speed); where several overlap, the slowest counts; elsewhere it is 1.

    >>> course = Course([(10.0, 20.0, 0.0), (30.0, 40.0, 0.5)])
    >>> course.done(25.0), course.when(12.0), course.done(40.0)
    (15.0, 22.0, 25.0)
    """

    __slots__ = ("_pieces", "_starts", "_work")

    def __init__(self, pieces: Iterable[tuple[float, float, float]] = ()) -> None:
        kept = [piece for piece in pieces if piece[1] > piece[0]]
        edges = sorted({0.0, *(p[0] for p in kept), *(p[1] for p in kept)} - {inf})
        self._pieces: list[tuple[float, float, float]] = []
        """From when on, the work done until then, and the speed from there on."""
        start, done, speed = 0.0, 0.0, -1.0  # none yet
        for edge in edges:
            slowest = min((s for a, b, s in kept if a <= edge < b), default=1.0)
            if slowest != speed:
                done += (edge - start) * speed
                start, speed = edge, slowest
                self._pieces.append((start, done, speed))
        self._starts = [piece[0] for piece in self._pieces]
        self._work = [piece[1] for piece in self._pieces]

    def changes(self, at: float) -> float:
        """Return when the speed of a time changes next; inf if it does not."""
        number = bisect_right(self._starts, at)
        return self._starts[number] if number < len(self._starts) else inf

    def done(self, at: float) -> float:
        """Return the work done until a time."""
        start, work, speed = self._pieces[bisect_right(self._starts, at) - 1]
        return work + (at - start) * speed

    def when(self, work: float) -> float:
        """Return when so much work is done: after a freeze, not before it; inf if never."""
        number = bisect_right(self._work, work)
        start, done, speed = self._pieces[number - 1]
        while not speed:
            if number == len(self._pieces):
                return inf
            start, done, speed = self._pieces[number]
            number += 1
        return start + (work - done) / speed if work > done else start

    def after(self, at: float, work: float) -> float:
        """Return when so much more work will be done than was at a time."""
        return self.when(self.done(at) + work)
