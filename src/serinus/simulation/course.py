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

    __slots__ = ("_speeds", "_starts", "_work")

    def __init__(self, pieces: Iterable[tuple[float, float, float]] = ()) -> None:
        kept = [piece for piece in pieces if piece[1] > piece[0]]
        edges = sorted({0.0, *(p[0] for p in kept), *(p[1] for p in kept)} - {inf})
        self._starts: list[float] = []
        self._speeds: list[float] = []
        for edge in edges:
            speed = min((s for a, b, s in kept if a <= edge < b), default=1.0)
            if not self._speeds or self._speeds[-1] != speed:
                self._starts.append(edge)
                self._speeds.append(speed)
        self._work = [0.0]
        for number in range(1, len(self._starts)):
            length = self._starts[number] - self._starts[number - 1]
            self._work.append(self._work[-1] + length * self._speeds[number - 1])

    def changes(self, at: float) -> float:
        """Return when the speed of a time changes next; inf if it does not."""
        number = bisect_right(self._starts, at)
        return self._starts[number] if number < len(self._starts) else inf

    def done(self, at: float) -> float:
        """Return the work done until a time."""
        number = bisect_right(self._starts, at) - 1
        return self._work[number] + (at - self._starts[number]) * self._speeds[number]

    def when(self, work: float) -> float:
        """Return when so much work is done: after a freeze, not before it; inf if never."""
        number, speeds = bisect_right(self._work, work) - 1, self._speeds
        while not speeds[number]:
            number += 1
            if number == len(speeds):
                return inf
        left = work - self._work[number]
        return self._starts[number] + left / speeds[number] if left > 0 else self._starts[number]

    def after(self, at: float, work: float) -> float:
        """Return when so much more work will be done than was at a time."""
        return self.when(self.done(at) + work)
