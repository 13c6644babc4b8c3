"""The rules of the reference (NVIDIA Dynamo 1.6.1), as measured, over a simulated engine.

- A canary goes out after `wait` without activity, the first one a whole wait after the start; the
  wait begins anew when a canary is sent.
- Its first item within `timeout` passes it, whatever the item says; else it failed. It is never
  cancelled: the engine works on it until it is done with it.
- One result turns the endpoint, both ways, and so does any chunk of real traffic that is no error.
- Chunks and empty ends of real traffic are activity. An error is not, to the reference's advantage.
- `/live` is `/health`.
"""

from __future__ import annotations

from heapq import heappop, heappush
from itertools import count
from math import inf

from serinus.simulation.engine import Fate, Request, SimulatedEngine
from serinus.simulation.faults import Fault, Window
from serinus.simulation.record import Record
from serinus.simulation.schedule import Schedule

__all__ = ["judged_by_reference"]

WAIT, TIMEOUT = 10.0, 3.0
_LATE = 1.2


def judged_by_reference(
    schedule: Schedule,
    *,
    wait: float = WAIT,
    timeout: float = TIMEOUT,
    asleep: tuple[Window, ...] = (),
    trace: bool = False,
) -> Record:
    """Return what the reference would have said. `asleep`: when its host slept."""
    return _Reference(schedule, wait, timeout, asleep, trace=trace).run()


class _Reference:
    def __init__(
        self,
        schedule: Schedule,
        wait: float,
        timeout: float,
        asleep: tuple[Window, ...],
        *,
        trace: bool,
    ) -> None:
        self.wait = wait
        self.timeout = timeout
        self.asleep = asleep
        self.engine = SimulatedEngine(schedule, began=0.0, asleep=asleep)
        self.engine.left = self._left
        self.record = Record("reference", schedule.seconds, history=[] if trace else None)
        self.active_at = 0.0
        self.sent_at = 0.0
        self.spoilt: set[Window] = set()
        self.events: list[tuple[float, int, str, bool]] = []
        self.tie = count()

    def run(self) -> Record:
        self._plan(self.wait, "due")
        self._plan(self._next_chunk(0.0), "chunk")
        while self.events and self.events[0][0] < self.record.seconds:
            now, _, what, good = heappop(self.events)
            if what == "due":
                self._due(now)
            elif what == "result":
                self._result(now, good=good)
            else:
                self._chunk(now)
        self.record.live = self.record.ready
        return self.record

    def _plan(self, at: float, what: str, *, good: bool = False) -> None:
        for window in self.asleep:
            if window.start <= at < window.end:
                at = window.end
        if at < inf:
            heappush(self.events, (at, next(self.tie), what, good))

    def _due(self, now: float) -> None:
        self._sync(now)
        last = max(self.active_at, self.sent_at)
        if now < last + self.wait - 1e-9:
            self._plan(last + self.wait, "due")
            return
        self.sent_at = now
        self.record.canaries += 1
        self._plan(now + self.wait, "due")
        at, good = self._outcome(self.engine.ask(now), now)
        self._plan(at, "result", good=good)
        unfinished = sum(request.canary for request in self.engine.active)
        self.record.most_in_flight = max(self.record.most_in_flight, unfinished)

    def _outcome(self, request: Request, now: float) -> tuple[float, bool]:
        first, out = request.first, now + self.timeout
        if request.fate is Fate.ERROR_ITEM:
            first = request.ends
        elif request.fate in {Fate.ERROR, Fate.EMPTY, Fate.REFUSED}:
            return request.ends, False
        window = self.engine.on(now, Fault.LOST_ANSWER, Fault.LATE_ANSWER)
        if window is not None and window not in self.spoilt:
            self.spoilt.add(window)
            first += inf if window.fault is Fault.LOST_ANSWER else _LATE * self.timeout
        if first <= request.ends and first <= out:
            return first, True
        if request.fate is Fate.DROPPED and request.ends < out:
            return request.ends, False
        return out, False

    def _result(self, now: float, *, good: bool) -> None:
        self.record.tell(now, f"canary {'passed' if good else 'failed'}")
        self._turn(now, good=good, why="canary")

    def _chunk(self, now: float) -> None:
        """See a chunk of real traffic, which matters while it is not ready."""
        self._sync(now)
        if not self.record.ready[-1].good and self.active_at >= now - 0.01:
            self._turn(now, good=True, why="traffic")
        if not self.record.ready[-1].good:
            self._plan(self._next_chunk(now), "chunk")

    def _turn(self, now: float, *, good: bool, why: str) -> None:
        was = self.record.ready[-1].good
        self.record.turned(self.record.ready, now, good=good, why=why)
        if was and not good:
            self._plan(self._next_chunk(now), "chunk")

    def _next_chunk(self, now: float) -> float:
        self.engine.advance(now)
        return min(self.engine.next_token(now), self.engine.next_arrival()) + 1e-6

    def _sync(self, now: float) -> None:
        self.engine.advance(now)
        for request in self.engine.active:
            if not request.canary:
                self._seen(request, now)

    def _left(self, request: Request) -> None:
        self._seen(request, request.ends)
        if request.fate is Fate.EMPTY:
            self.active_at = max(self.active_at, request.ends)

    def _seen(self, request: Request, at: float) -> None:
        self.active_at = max(self.active_at, self.engine.flowed_at(request, at))
