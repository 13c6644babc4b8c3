"""An engine that exists as arithmetic: what it has done by any moment is computed when looked at.

It has slots and a queue, first come, first served. A request's times are settled when it arrives,
because everything that will happen to the engine is known from its schedule; nothing is stepped
token by token, so an hour of a busy engine costs milliseconds.

Simplified: requests do not slow each other down, and a request that is given up before its turn
does not bring the turns of those forward that came after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import StrEnum
from heapq import heapify, heappop, heappush
from math import inf

from serinus.simulation.course import Course
from serinus.simulation.faults import FREEZES, Fault, Window
from serinus.simulation.schedule import Arrival, Schedule

__all__ = ["Fate", "Request", "SimulatedEngine"]

_AT_ONCE = 0.004
"""Seconds in which an engine fails a request that it does not try."""
_SEVERAL = 1e-6


class Fate(StrEnum):
    """How a request ends."""

    TOKENS = "tokens"
    ERROR = "error"
    ERROR_ITEM = "error item"
    EMPTY = "empty"
    REFUSED = "refused"
    DROPPED = "dropped"
    GIVEN_UP = "given up"


_TOKENS = Fate.TOKENS  # looked up once: an enumeration takes its time to find a member
_ANSWERED_BADLY = {
    Fault.ERROR: Fate.ERROR,
    Fault.ERROR_ITEM: Fate.ERROR_ITEM,
    Fault.EMPTY: Fate.EMPTY,
}


class Request:
    """One request, with all that will come of it. Times are the loop's seconds.

    `first` and `last` are when its first and its last token come, `ends` when it is over.
    """

    __slots__ = (
        "arrived",
        "bad",
        "canary",
        "ends",
        "fate",
        "first",
        "gap",
        "last",
        "prompt",
        "start",
        "tokens",
        "work",
    )

    def __init__(self, arrived: float, *, canary: bool) -> None:
        self.arrived = arrived
        self.canary = canary
        self.start = inf
        self.first = inf
        self.last = inf
        self.ends = inf
        self.gap = 0.0
        self.prompt = 1
        """Its length in tokens."""
        self.tokens = 0
        """How many it has brought when it is over."""
        self.work = inf
        """The work that the engine had done when the first token came."""
        self.fate = _TOKENS
        self.bad = False
        """Whether it is answered badly, without a token."""

    def __lt__(self, other: Request) -> bool:
        return self.ends < other.ends


class SimulatedEngine:
    """One engine, from its schedule, which began at `began` on the loop's clock.

    `asleep` are windows in which it is suspended together with its host: who comes then is heard
    when it wakes. `arrived` and `left` are
    called for each of the users' requests, in order, when time is taken up to it (`advance`).
    """

    def __init__(
        self, schedule: Schedule, *, began: float, asleep: tuple[Window, ...] = ()
    ) -> None:
        self.schedule = schedule
        self.began = began
        self.windows = tuple(
            window._replace(start=began + window.start, end=began + window.end)
            for window in schedule.windows
        )
        self._reading = Course(self._pieces(asleep, Fault.LONG_PREFILL))
        self._writing = Course(self._pieces(asleep, Fault.PARTIAL))
        self._bad = tuple(w for w in self.windows if w.fault in _ANSWERED_BADLY)
        self._crashes = tuple(w for w in self.windows if w.fault is Fault.CRASH)
        self._long = tuple(w for w in self.windows if w.fault is Fault.LONG_PREFILL)
        self._asleep = asleep
        self._gap = schedule.pace.gap
        self._slots = [began] * schedule.pace.slots
        self._to_come = iter(schedule.arrivals)
        self._next = next(self._to_come, None)
        self._comes = self._when_next_comes()
        self._crashed = 0
        self.active: list[Request] = []
        """Requests in flight, by when they end; canaries among them."""
        self.arrived: Callable[[Request], None] = _nothing
        self.left: Callable[[Request], None] = _nothing
        self.tokens_done = 0
        """Tokens of requests that are over."""
        self.finished = 0

    def _pieces(
        self, asleep: tuple[Window, ...], also: Fault
    ) -> Iterator[tuple[float, float, float]]:
        for window in self.windows:
            if window.fault in FREEZES or window.fault is also:
                yield window.start, window.end, 0.0
            elif window.fault is Fault.SLOW:
                yield window.start, window.end, 1 / window.value
        for window in asleep:
            yield window.start, window.end, 0.0

    # --- what is on --------------------------------------------------------------------------

    def on(self, at: float, *faults: Fault) -> Window | None:
        """Return the window in which one of these is on."""
        for window in self.windows:
            if window.start > at:
                return None
            if window.fault in faults and at < window.end:
                return window
        return None

    def loading(self, at: float) -> tuple[bool, bool]:
        """Say whether its port is closed, and whether it has no model yet."""
        crash = self.on(at, Fault.CRASH)
        if crash is None:
            return False, False
        opens = max(crash.end - self.schedule.pace.load, (crash.start + crash.end) / 2)
        return at < opens, True

    # --- requests ----------------------------------------------------------------------------

    def advance(self, now: float) -> None:
        """Take time up to `now`: requests come, and leave."""
        active = self.active
        while True:
            leave = active[0].ends if active else inf
            if leave <= self._comes:
                if leave > now:
                    break
                self._leave(heappop(active))
            elif self._comes > now:
                break
            elif self._next is not None:
                at = self._comes
                arrival, self._next = self._next, next(self._to_come, None)
                self._comes = self._when_next_comes()
                self._users(arrival, at)

    def next_arrival(self) -> float:
        """Return when the next user comes; inf if none does."""
        return self._comes

    def _when_next_comes(self) -> float:
        if self._next is None:
            return inf
        at = self.began + self._next.at
        if self._asleep and (asleep := _on(self._asleep, at)) is not None:
            return asleep.end
        return at

    def ask(self, now: float) -> Request:
        """Take in a canary: one token."""
        self.advance(now)
        request = Request(now, canary=True)
        self._settle(request, Arrival(now, 1, self._gap, inf))
        heappush(self.active, request)
        return request

    def abort(self, request: Request, now: float) -> None:
        """Give a request up, and its slot with it."""
        self.advance(now)
        if request not in self.active:
            return
        self.active.remove(request)
        heapify(self.active)
        if request.ends in self._slots and request.fate is _TOKENS:
            self._slots.remove(request.ends)
            self._slots.append(max(request.start, now))
            heapify(self._slots)

    def _users(self, arrival: Arrival, at: float) -> None:
        request = Request(at, canary=False)
        request.prompt = arrival.prompt
        self._settle(request, arrival)
        self.arrived(request)
        heappush(self.active, request)

    def _leave(self, request: Request) -> None:
        if request.fate is _TOKENS:
            self.finished += 1
        self.tokens_done += request.tokens
        if not request.canary:
            self.left(request)

    def _settle(self, request: Request, arrival: Arrival) -> None:
        """Compute all that will come of a request."""
        at = request.arrived
        crash = self._crash(at) if self._crashes else None
        if crash is not None and at >= crash.start:
            request.fate, request.ends = Fate.REFUSED, at
            return
        if self._bad and self._fails(request, at):
            return
        free = heappop(self._slots)
        request.start = start = free if free > at else at
        if start > at and self._bad and self._fails(request, start):
            self._give_up(request, arrival, crash)
            return
        long = None
        if self._long and not request.canary:
            long = next((w for w in self._long if w.start == at), None)
        first = long.end if long is not None else self._reading.after(start, arrival.prefill)
        request.first, request.gap, request.tokens = first, self._gap, arrival.tokens
        if first < inf:
            request.work = work = self._writing.done(first)
            rest = (arrival.tokens - 1) * self._gap
            request.last = request.ends = self._writing.when(work + rest + _SEVERAL)
        self._give_up(request, arrival, crash)

    def _fails(self, request: Request, at: float) -> bool:
        """Let a request fail that is looked at at this moment, if that is how the engine is."""
        bad = _on(self._bad, at)
        if bad is None or self._reading.done(at + _AT_ONCE) <= self._reading.done(at):
            return False
        request.fate, request.ends = _ANSWERED_BADLY[bad.fault], at + _AT_ONCE
        request.bad = True
        return True

    def _give_up(self, request: Request, arrival: Arrival, crash: Window | None) -> None:
        """End a request before its time if its user or its engine goes, and free its slot then."""
        gives_up = request.arrived + arrival.patience
        if request.ends > gives_up:
            request.fate, request.ends = Fate.GIVEN_UP, gives_up
        if crash is not None and request.ends > crash.start:
            request.fate, request.ends = Fate.DROPPED, crash.start
        if request.fate is not _TOKENS:
            request.tokens = self.tokens_of(request, request.ends)
        ends, start = request.ends, request.start
        heappush(self._slots, ends if ends > start else start)

    def _crash(self, at: float) -> Window | None:
        """Return the crash that is on or comes next; after each, begin with empty slots."""
        crashes = self._crashes
        while self._crashed < len(crashes):
            crash = crashes[self._crashed]
            if at < crash.end:
                return crash
            self._crashed += 1
            self._slots = [at] * self.schedule.pace.slots
        return None

    # --- what can be seen --------------------------------------------------------------------

    def tokens_of(self, request: Request, at: float) -> int:
        """Count the tokens that a request has brought."""
        if at < request.first or request.bad:
            return 0
        last = request.last
        until = at if at < last else last
        done = self._writing.done(until) - request.work
        return 1 + int(done / request.gap + 1e-6)

    def flowed_at(self, request: Request, at: float) -> float:
        """Return when a request's newest token came; -inf before the first."""
        return self.came_at(request, self.tokens_of(request, at), at)

    def came_at(self, request: Request, tokens: int, at: float) -> float:
        """Return when the newest of so many tokens came, by `at`; -inf if there is none."""
        if tokens > 1:
            came = self._writing.when(request.work + (tokens - 1) * request.gap)
            return came if came < at else at
        return request.first if tokens else -inf

    def goes_on_until(self, request: Request, at: float) -> float:
        """Return when the last token comes that follows the newest one as quickly as usual."""
        flowed = self.flowed_at(request, at)
        ends = min(request.last, request.ends, self._writing.changes(at))
        return max(flowed, ends - request.gap) if flowed > at - 2 * request.gap else flowed

    def next_token(self, now: float, *, soon: float = -inf) -> float:
        """Return when the next token of any user's request comes, or one of those up to `soon`."""
        nearest = inf
        for request in self.active:
            if nearest <= soon:
                break
            if request.canary or request.bad:
                continue
            if now < request.first:
                at = request.first
            else:
                tokens = self.tokens_of(request, now)
                at = self._writing.when(request.work + tokens * request.gap + _SEVERAL)
                at = at if at <= request.last + _SEVERAL else request.ends
            if now < at <= request.ends and at < nearest:
                nearest = at
        return nearest

    def next_first(self, now: float) -> float:
        """Return when the next first token of any user's request comes."""
        return min([one.first for one in self.active if now < one.first <= one.ends], default=inf)

    def tokens(self, at: float) -> int:
        """Count all tokens so far."""
        return self.tokens_done + sum(self.tokens_of(request, at) for request in self.active)


def _on(windows: tuple[Window, ...], at: float) -> Window | None:
    """Return the one of these windows that is on."""
    for window in windows:
        if window.start <= at < window.end:
            return window
    return None


def _nothing(_request: Request) -> None:
    """Nobody wants to know."""
