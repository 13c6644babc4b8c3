"""The account of one request whose answer is passed on item by item by somebody else.

What `accounted` is for a stream that is read, this is for one that is sent: it writes the same
account. It costs two calls an item.
"""

from __future__ import annotations

from serinus.core.evidence import Progress, RequestFault
from serinus.runtime.prompts import Prompt
from serinus.runtime.traffic import SAMPLE, Traffic

__all__ = ["Account"]


class Account:
    """One request, from its construction to `close`.

    Its answer is owed from the construction on, but while the consumer has it: from `brought`, or
    `rests`, to `owes`.
    """

    __slots__ = (
        "_began",
        "_first",
        "_held",
        "_last",
        "_load",
        "_mine",
        "_rested",
        "_rests",
        "_traffic",
        "closed",
        "good",
        "waiting",
    )

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic
        self._began = self._first = self._last = self._held = began = traffic.clock()
        self._rested, self._rests = 0.0, 0
        self.good = 0
        """Good items so far."""
        self.waiting = True
        """Whether the next item is owed."""
        self.closed = False
        traffic.started = self._mine = traffic.started + 1
        traffic.expecting[self._mine] = Prompt(began)
        traffic.in_flight = self._load = traffic.in_flight + 1
        traffic.waits(began)

    def brought(self) -> None:
        """Note a good item; from here on the consumer has it."""
        traffic = self._traffic
        self._last = self._held = now = traffic.clock()
        if self.waiting:
            self.waiting = False
            traffic.awaiting = others = traffic.awaiting - 1
            if not others:
                traffic.idle_since = now
        self.good = good = self.good + 1
        if good > 1:
            silent = traffic.waiting_since
            if silent < traffic.flow_at:  # noqa: PLR1730 - max() costs too much here
                silent = traffic.flow_at
            silent = now - silent
            if silent > traffic.widest:  # noqa: PLR1730 - as above
                traffic.widest = silent
            traffic.flow_at = now
        else:
            self._first = now
            traffic.begun(self._mine, now)
        if traffic.alert:
            traffic.told_at = now
            traffic.witness(Progress(now, flow=good > 1, began_at=traffic.first_at))

    def owes(self) -> None:
        """Note that the next item is owed, after `brought` or `rests`; twice is once."""
        if self.waiting:
            return
        self.waiting = True
        traffic = self._traffic
        others = traffic.awaiting
        if not others or self.good & SAMPLE == 1:
            now = traffic.clock()
            if self.good & SAMPLE == 1:  # how long the consumer rests; not each time, for its cost
                self._rested += now - self._held
                self._rests += 1
            if not others:  # as in `Traffic.waits`
                if traffic.flow_at is traffic.idle_since:
                    traffic.waiting_since = now
                else:
                    silent = max(traffic.waiting_since, traffic.flow_at)
                    traffic.waiting_since = silent + now - traffic.idle_since
        traffic.awaiting = others + 1

    def rests(self) -> None:
        """Note that nothing is owed until `owes`: the consumer has something else to do."""
        if self.waiting:
            self.waiting = False
            self._held = now = self._traffic.clock()
            self._traffic.awaiting -= 1
            if not self._traffic.awaiting:
                self._traffic.idle_since = now

    def finished(self) -> None:
        """Close it: the answer is complete."""
        if not self.closed:
            traffic = self._traffic
            traffic.finished += 1
            if self.good:
                traffic.went_well(traffic.clock())
                self._measure()
            self._close()

    def cancelled(self) -> None:
        """Close it: the answer is not wanted any more."""
        if not self.closed:
            self._traffic.cancelled += 1
            self._close()

    def failed(self, fault: RequestFault, detail: str) -> None:
        """Close it: there will be no answer, or no more of it."""
        if not self.closed:
            self._close()  # first: it is no longer in flight itself when it is told of
            self._traffic.failed(fault, detail)

    def _measure(self) -> None:
        traffic, good = self._traffic, self.good
        if traffic.measured is None or not self._last > self._began > traffic.unsettled_at:
            return
        gap = None
        if good > 1:
            gap = (self._last - self._first) / (good - 1) - self._rested / self._rests
        traffic.measured.request(self._first - self._began, gap, self._load)

    def _close(self) -> None:
        self.closed = True
        self.rests()
        traffic = self._traffic
        traffic.expecting.pop(self._mine, None)
        traffic.in_flight -= 1
        traffic.chunks += self.good
        traffic.ended(traffic.clock() - self._began)
