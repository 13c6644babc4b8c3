"""What is ours among an engine's numbers: canaries are neither users' work nor progress.

An engine counts our canaries as it counts everybody's requests. A reading of its metrics is told to
the ledger together with what we sent, and comes back as what it says of *users*:

- `pending`: running and waiting, less our canary in flight, less those that ended a moment ago, and
  less *ghosts*: canaries that we gave up, and that the engine may not have let go of. Ghosts are
  forgotten as soon as the engine reports less, or gets others' work done.
- `progress`: more tokens, finished requests or steps than our own canaries can have brought. A
  canary has one token to give (an exam has more); one that we gave up may give it late (seen on a
  slow engine, whose late tokens would otherwise prove it over and over).

A page on which a canary's token does not appear stands still (a broken exporter, a stale cache):
it is not believed until it moves, and says nothing of users meanwhile.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from serinus.engines import Counters

__all__ = ["GHOSTS", "SETTLES_WITHIN", "SHOWS_WITHIN", "Flight", "Ledger", "Seen"]

GHOSTS = 8
"""As many given-up canaries are made allowance for. Where an engine keeps more of them they look
like users' work, so that no more are sent on top: a pile of them has crashed engines."""
SHOWS_WITHIN = 1.0
"""Seconds after which a page must show a canary that passed (vLLM's does within milliseconds)."""
SETTLES_WITHIN = 5.0
"""Seconds after which a canary that is over is no longer made allowance for."""
STEPS = 4
"""Steps that a canary of one token may take: reading its prompt, its token, and an empty one after
it. One of more tokens takes as many more."""


@dataclass(frozen=True, slots=True)
class Flight:
    """A canary in flight. `on_top`: users' work was in flight when it was sent."""

    sent: float
    on_top: bool = False
    shown: bool = False
    """The counters have moved since it was sent."""
    tokens: int = 1
    """What it may bring."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a reading says of users. `pending` is None where it does not say."""

    at: float
    progress: bool
    pending: int | None
    steady: bool = True
    """Whether a standstill would show: long requests move tokens or steps, and no other counter."""
    flow_at: float | None = None
    """When users' work went on, at the earliest, if it did since the reading before."""
    anew: bool = False
    """The counters went down: another engine answers at the same address."""


@dataclass(frozen=True, slots=True)
class _Landed:
    """A canary that is over, and may not have been on a page yet."""

    at: float
    shown: bool
    on_top: bool
    tokens: int = 1


@dataclass(frozen=True, slots=True)
class Ledger:
    """All that has to be remembered of an engine's numbers. Times are monotonic seconds."""

    base: Counters | None = None
    flight: Flight | None = None
    landed: tuple[_Landed, ...] = ()
    ghosts: int = 0
    late: int = 0
    """Given-up canaries whose tokens may still come."""
    late_tokens: int = 1
    """The most that one of them may bring."""
    missing_since: float | None = None
    """Since when the token of a canary that passed is not on the page."""
    believed: bool = True
    shows_within: float = SHOWS_WITHIN

    # --- what we do --------------------------------------------------------------------------

    def sent(self, at: float, *, on_top: bool = False, tokens: int = 1) -> Ledger:
        """Take down that a canary is sent."""
        return replace(self, flight=Flight(at, on_top, tokens=tokens))

    def passed(self, at: float) -> Ledger:
        """Take down that the canary in flight brought its token."""
        flight, since = self.flight, self.missing_since
        if flight is not None and not flight.shown and since is None and _counts(self.base):
            since = at
        return replace(self.answered(at), missing_since=since)

    def answered(self, at: float) -> Ledger:
        """Take down that the canary in flight was answered, with or without a token."""
        if self.flight is None:
            return self
        flight = self.flight
        landed = (*self.landed, _Landed(at, flight.shown, flight.on_top, flight.tokens))
        return replace(self, flight=None, landed=landed[-GHOSTS:])

    def given_up(self) -> Ledger:
        """Take down that we closed the connection of the canary in flight: it may haunt."""
        if self.flight is None:
            return self
        ghosts = self.ghosts + (not self.flight.on_top)
        tokens = max(self.flight.tokens, self.late_tokens if self.late else 1)
        return replace(
            self,
            flight=None,
            ghosts=min(ghosts, GHOSTS),
            late=min(self.late + 1, GHOSTS),
            late_tokens=tokens,
        )

    def never_arrived(self) -> Ledger:
        """Take down that the canary in flight did not reach the engine."""
        return replace(self, flight=None)

    def anew(self) -> Ledger:
        """Begin again with another engine; what is in flight stays."""
        return Ledger(flight=self.flight, shows_within=self.shows_within)

    # --- what we see -------------------------------------------------------------------------

    def read(self, now: Counters, *, began: float, at: float) -> tuple[Ledger, Seen]:
        """Take a reading that was asked for at `began` and known at `at`."""
        if self.base is None:
            return self._counted(replace(self, base=now), now, at, progress=False)
        moves = _moves(self.base, now)
        if any(move < 0 for move in moves.values()):
            fresh = replace(self.anew(), base=now)
            ledger, seen = self._counted(fresh, now, at, progress=False)
            return ledger, replace(seen, anew=True)
        if self._beyond(moves):
            return self._counted(self._moved_by_users(now, began), now, at, progress=True)
        if any(moves.values()):
            return self._counted(self._moved_by_us(now, moves, began), now, at, progress=False)
        return self._counted(self._stood_still(now, began), now, at, progress=False)

    def _beyond(self, moves: dict[str, float]) -> bool:
        sizes = [one.tokens for one in (self.flight, *self.landed) if one is not None]
        sizes += [self.late_tokens] * self.late
        ours, made = len(sizes), sum(sizes)
        return (
            moves["tokens"] > made
            or moves["finished"] > ours
            or moves["steps"] > made + ours * (STEPS - 1)
        )

    def _moved_by_users(self, now: Counters, began: float) -> Ledger:
        landed = tuple(one for one in self._shown().landed if one.at >= began)
        return replace(self._shown(), base=now, landed=landed, ghosts=0, late=0)

    def _moved_by_us(self, now: Counters, moves: dict[str, float], began: float) -> Ledger:
        shown = self._shown()
        settled = [one for one in shown.landed if one.at < began]
        sizes = [one.tokens for one in (self.flight, *settled) if one is not None]
        size = self.late_tokens
        excess = max(
            (moves["tokens"] - sum(sizes)) / size,
            moves["finished"] - len(sizes),
            (moves["steps"] - sum(sizes) - len(sizes) * (STEPS - 1)) / (size + STEPS - 1),
        )
        late = max(self.late - max(math.ceil(excess), 0), 0)
        landed = tuple(one for one in shown.landed if one.at >= began)
        return replace(shown, base=now, landed=landed, late=late)

    def _stood_still(self, now: Counters, began: float) -> Ledger:
        landed = tuple(
            one
            for one in self.landed
            if one.at >= began or (not one.shown and began - one.at < SETTLES_WITHIN)
        )
        missing = self.missing_since
        overdue = missing is not None and began - missing >= self.shows_within
        believed = self.believed and not overdue
        return replace(self, base=now, landed=landed, believed=believed)

    def _shown(self) -> Ledger:
        """The page moved: it is alive, and what has been sent so far is on it."""
        flight = None if self.flight is None else replace(self.flight, shown=True)
        landed = tuple(replace(one, shown=True) for one in self.landed)
        return replace(self, flight=flight, landed=landed, missing_since=None, believed=True)

    @staticmethod
    def _counted(
        ledger: Ledger, now: Counters, at: float, *, progress: bool
    ) -> tuple[Ledger, Seen]:
        """Say what is pending of users', and forget the ghosts that are not reported."""
        reported = now.pending
        steady = now.tokens is not None or now.steps is not None
        if reported is None or not ledger.believed:
            return ledger, Seen(at, progress, None, steady)
        flying = ledger.flight is not None and not ledger.flight.on_top
        ours = int(flying) + sum(not one.on_top for one in ledger.landed)
        rest = max(math.ceil(reported) - ours, 0)
        ghosts = min(ledger.ghosts, rest)
        return replace(ledger, ghosts=ghosts), Seen(at, progress, rest - ghosts, steady)


def _counts(page: Counters | None) -> bool:
    """Whether a page has any counter that a canary moves."""
    known = () if page is None else (page.tokens, page.steps, page.finished)
    return any(counter is not None for counter in known)


def _moves(before: Counters, after: Counters) -> dict[str, float]:
    """By how much each counter went up; one that is not known on both pages has not moved."""
    moves = {}
    for name in ("tokens", "steps", "finished"):
        old, new = getattr(before, name), getattr(after, name)
        moves[name] = 0.0 if old is None or new is None else new - old
    return moves
