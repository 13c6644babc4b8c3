"""What an engine's metrics page says of one thing that is judged: the whole of it, or a rank."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from serinus.engines import Counters
from serinus.sidecar.ledger import SHOWS_WITHIN, Ledger, Seen

__all__ = ["Book", "busy_pace", "together"]

_BUSY_LOOKS = 30
"""Readings within a stall budget, at the least, while users' work is in flight."""


class Book:
    """One ledger, and what was read last. `stall` is the stall budget, in seconds.

    `pace`: seconds between two readings while there is work. `ledger` is kept up by whoever sends
    canaries.
    """

    def __init__(self, *, stall: float, pace: float = 0.0) -> None:
        # A page must have shown the last question (see `doubt`) before the stall budget is over.
        shows_within = min(SHOWS_WITHIN, stall / 4)
        self.ledger = Ledger(shows_within=shows_within)
        self.last: Seen | None = None
        self.trouble = ""
        """Why there was no reading last time; empty if there was."""
        self._pace = pace
        self._asked_at: float | None = None
        """When the last reading was asked for, if there was one."""
        self.moved_at = float("-inf")
        """When its counters were last seen to have moved."""
        self.heard: Callable[[Seen], None] = lambda _seen: None
        """Called with each reading."""

    @property
    def reading(self) -> tuple[Counters, float, float] | None:
        """What was read last, when it was asked for, and when it was known."""
        counters, last = self.ledger.base, self.last
        if counters is None or last is None or self._asked_at is None:
            return None
        return counters, self._asked_at, last.at

    @property
    def believed(self) -> bool:
        """Whether the page shows what is known to have happened."""
        return self.ledger.believed

    def read(self, counters: Counters, *, began: float, at: float) -> Seen:
        """Take a reading that was asked for at `began` and known at `at`, and tell of it."""
        base = self.ledger.base
        if base is not None and _made(counters) != _made(base):
            self.moved_at = at
        self.ledger, seen = self.ledger.read(counters, began=began, at=at)
        if seen.progress:
            seen = replace(seen, flow_at=self._earliest(at))
        self.last, self._asked_at, self.trouble = seen, began, ""
        self.heard(self.last)
        return self.last

    def _earliest(self, at: float) -> float:
        """Return when what has moved by `at` did so at the earliest: after the reading before.

        That one may be long ago, where readings take long or fail. Then no more is held against the
        engine than the pace at which readings should come.
        """
        before = self._asked_at
        return at if before is None or self.trouble else max(before, at - self._pace)

    def forget(self) -> None:
        """Begin again, with another engine."""
        self.ledger = self.ledger.anew()
        self.trouble, self.last, self.moved_at = "", None, float("-inf")
        self._asked_at = None

    def strayed(self, others: Iterable[Book]) -> bool:
        """Whether a canary passed that this page does not show, while it shows others' work.

        Then it went elsewhere: the engine does not let a request choose its rank.
        """
        since = self.ledger.missing_since
        if self.believed or since is None:
            return False
        return any(other.moved_at > since for other in others if other is not self)


def busy_pace(*, interval: float, stall: float) -> float:
    """Return the seconds between two readings while users' work is in flight."""
    return min(interval, stall / _BUSY_LOOKS)


def together(seen: Iterable[Seen], *, at: float) -> Seen:
    """Return what several readings of one page say of the whole engine."""
    parts = list(seen)
    pending = [one.pending for one in parts if one.pending is not None]
    return Seen(
        at,
        any(one.progress for one in parts),
        sum(pending) if pending else None,
        all(one.steady for one in parts),
        anew=any(one.anew for one in parts),
    )


def _made(counters: Counters) -> tuple[float | None, ...]:
    return counters.tokens, counters.steps, counters.finished
