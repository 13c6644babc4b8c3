"""What an engine's metrics page says of one thing that is judged: the whole of it, or a rank."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from serinus.engines import Counters
from serinus.sidecar.ledger import SHOWS_WITHIN, Ledger, Seen

__all__ = ["Book", "together"]


class Book:
    """One ledger, and what was read last. `stall` is the stall budget, in seconds.

    `ledger` is kept up by whoever sends canaries.
    """

    def __init__(self, *, stall: float) -> None:
        # A page must have shown the last question (see `doubt`) before the stall budget is over.
        shows_within = min(SHOWS_WITHIN, stall / 4)
        self.ledger = Ledger(shows_within=shows_within)
        self.last: Seen | None = None
        self.trouble = ""
        """Why there was no reading last time; empty if there was."""
        self.moved_at = float("-inf")
        """When its counters were last seen to have moved."""
        self.heard: Callable[[Seen], None] = lambda _seen: None
        """Called with each reading."""

    @property
    def believed(self) -> bool:
        """Whether the page shows what is known to have happened."""
        return self.ledger.believed

    def read(self, counters: Counters, *, began: float, at: float) -> Seen:
        """Take a reading that was asked for at `began` and known at `at`, and tell of it."""
        base = self.ledger.base
        if base is not None and _made(counters) != _made(base):
            self.moved_at = at
        self.ledger, self.last = self.ledger.read(counters, began=began, at=at)
        self.trouble = ""
        self.heard(self.last)
        return self.last

    def forget(self) -> None:
        """Begin again, with another engine."""
        self.ledger = self.ledger.anew()
        self.trouble, self.last, self.moved_at = "", None, float("-inf")

    def strayed(self, others: Iterable[Book]) -> bool:
        """Whether a canary passed that this page does not show, while it shows others' work.

        Then it went elsewhere: the engine does not let a request choose its rank.
        """
        since = self.ledger.missing_since
        if self.believed or since is None:
            return False
        return any(other.moved_at > since for other in others if other is not self)


def together(seen: Iterable[Seen], *, at: float) -> Seen:
    """Return what several readings of one page say of the whole engine."""
    parts = list(seen)
    pending = [one.pending for one in parts if one.pending is not None]
    return Seen(
        at,
        any(one.progress for one in parts),
        sum(pending) if pending else None,
        all(one.steady for one in parts),
        any(one.anew for one in parts),
    )


def _made(counters: Counters) -> tuple[float | None, ...]:
    return counters.tokens, counters.steps, counters.finished
