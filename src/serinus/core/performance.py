"""Is it as quick as it was? A measure of one endpoint against its past, or against an objective.

Slow because busy is not degraded, so like is compared with like: the first token of canaries on an
idle engine with that of earlier ones, the time between tokens with what it was at the same number
of requests in flight. An objective is absolute, and holds under any load.

A `Drift` turns when the median of the last five times is `factor` times what is typical, and back
when it is less than the root of that. What is off does not teach what is typical, nor does a single
time that would be. A `Quota` turns when more than its share of the times, of late, missed the
objective, and back when less than half of that does.
"""

from __future__ import annotations

from math import exp, log, sqrt
from typing import NamedTuple

__all__ = ["Drift", "Quota", "Usual", "level_of", "load_at"]

_ENOUGH = 12
"""Times before there is anything typical."""
_WINDOW = 512
"""Times after which an older one weighs less than 1/e."""
_RECENT = 5
_AS_USUAL = (1.0,) * _RECENT
_LEAST = 0.005
"""Seconds by which a time must be off: less is noise of the clock and the scheduler."""
_SHORTEST = 1e-6
_LEVELS = 6
_MEMORY = 1 / 64
"""Weight of the newest time in a quota."""
_FEW = 20
"""Times before a quota can turn."""


class Usual(NamedTuple):
    """What one measure usually is: the mean of its logarithm, over times that were not off."""

    samples: int = 0
    mean: float = 0.0

    @property
    def typical(self) -> float:
        """It, in seconds."""
        return exp(self.mean)

    def ratio(self, seconds: float) -> float | None:
        """Return how many times as long as usual this is; None until enough is known."""
        if self.samples < _ENOUGH:
            return None
        typical = self.typical
        return seconds / typical if seconds > typical + _LEAST else 1.0

    def after(self, seconds: float) -> Usual:
        """Take one more time."""
        samples, mean = self.samples + 1, self.mean
        step = (log(max(seconds, _SHORTEST)) - mean) / min(samples, _WINDOW)
        return Usual(samples, mean + step)


class Drift(NamedTuple):
    """How many times as long as usual it took of late."""

    recent: tuple[float, ...] = ()
    off: bool = False

    @property
    def median(self) -> float:
        """The middle one of the last few."""
        return _median(self.recent) if self.recent else 1.0

    def after(self, ratio: float, *, factor: float) -> Drift:
        """Take one more."""
        if ratio == 1.0 and not self.off and self.recent == _AS_USUAL:
            return self
        recent = (*self.recent, ratio)[-_RECENT:]
        bound = sqrt(factor) if self.off else factor
        off = len(recent) == _RECENT and max(recent) > bound and _median(recent) > bound
        return Drift(recent, off)


class Quota(NamedTuple):
    """How many of the times missed an objective, of late."""

    samples: int = 0
    missed: float = 0.0
    """Their share."""
    off: bool = False

    def after(self, seconds: float, *, objective: float, share: float) -> Quota:
        """Take one more time; `share` of them should be within the `objective`, in seconds."""
        samples = self.samples + 1
        weight = max(1 / samples, _MEMORY)
        missed = self.missed + weight * ((seconds > objective) - self.missed)
        allowed = 1 - share
        off = samples >= _FEW and missed > (allowed / 2 if self.off else allowed)
        return Quota(samples, missed, off)

    def told(self, objective: float) -> str:
        """Say it in figures."""
        return f"{self.missed:.0%} took longer than {objective:g} s"


def level_of(in_flight: int) -> int:
    """Return the level of load at which so many requests are in flight.

    >>> [level_of(n) for n in (1, 2, 3, 4, 40, 400)]
    [0, 1, 1, 2, 5, 5]
    """
    return min(in_flight.bit_length(), _LEVELS) - 1 if in_flight > 1 else 0


def load_at(level: int) -> str:
    """Say how many requests are in flight at a level of load.

    >>> [load_at(level) for level in (0, 1, 2, 5)]
    ['1', '2 to 3', '4 to 7', '32 and more']
    """
    least = 1 << level
    if level == _LEVELS - 1:
        return f"{least} and more"
    return f"{least} to {2 * least - 1}" if level else "1"


def _median(some: tuple[float, ...]) -> float:
    return sorted(some)[len(some) // 2]
