"""The account of one request whose answer is passed on item by item by somebody else.

What `accounted` is for a stream that is read, this is for one that is sent: it writes the same
account. A call costs too much for an item in the middle of an answer: who sends many derives from
this, and does there what `brought` does (`serinus.asgi.exchange`).
"""

from __future__ import annotations

from serinus.core.evidence import RequestFault
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
        "_last",
        "_left",
        "_load",
        "_mine",
        "_rested",
        "_resting",
        "_rests",
        "_traffic",
        "closed",
    )

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic
        self._began = self._first = self._last = began = traffic.clock()
        self._rested, self._rests = 0.0, 0
        self._left: int | None = None
        """Good items until the consumer's rest is looked at; None before the first."""
        self._resting = False
        """Whether nothing is owed now: the consumer has an item, or something else to do."""
        self.closed = False
        traffic.started = self._mine = traffic.started + 1
        traffic.expecting[self._mine] = Prompt(began, silence=traffic.silence(began))
        traffic.in_flight = self._load = traffic.in_flight + 1
        traffic.waits(began)

    @property
    def good(self) -> int:
        """Good items so far."""
        return 0 if self._left is None else 1 + SAMPLE * self._rests - self._left

    def brought(self) -> None:
        """Note a good item; from here on the consumer has it."""
        traffic, before = self._traffic, self._last
        self._last = now = traffic.clock()
        if not self._resting:
            self._resting = True
            traffic.awaiting = others = traffic.awaiting - 1
            if not others:
                traffic.idle_since = now
        if self._left is None:
            self._first, self._left = now, 0
            traffic.begun(self._mine, now)
            return
        if not self._left:  # the consumer still has the one before
            self.sampled(now - before)
        assert self._left
        self._left -= 1
        silent = now - max(traffic.waiting_since, traffic.flow_at)
        traffic.flow_at = now
        if silent > traffic.telling:
            traffic.went_on(now, silent)

    def owes(self) -> None:
        """Note that the next item is owed, after `brought` or `rests`; twice is once."""
        if not self._resting:
            return
        self._resting = False
        now = self._traffic.clock()
        if self._left == 0:
            self.sampled(now - self._last)
        if not self._traffic.awaiting:
            self._traffic.ends_rest(now)
        self._traffic.awaiting += 1

    def sampled(self, rest: float) -> None:
        """Note for how many seconds the consumer had an item; not each time, for its cost."""
        self._rested += rest
        self._rests += 1
        self._left = SAMPLE

    def rests(self, *, since: float | None = None) -> None:
        """Note that nothing is owed until `owes`: the consumer has something else to do.

        `since` it has had an item, if not since now.
        """
        if not (self._resting or self.closed):
            self._resting = True
            self._traffic.awaiting -= 1
            if not self._traffic.awaiting:
                self._traffic.idle_since = self._traffic.clock() if since is None else since

    def finished(self, *, well: bool = True) -> None:
        """Close it: the answer is complete. Not `well`: there was an error in it."""
        if not self.closed:
            traffic = self._traffic
            traffic.finished += 1
            if self.good and well:
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
            self._close(told=True)  # first: it is no longer in flight itself when it is told of
            self.told(fault, detail)

    def told(self, fault: RequestFault, detail: str) -> None:
        """Note an error among what it brings."""
        self._traffic.failed(fault, detail, stream=self._mine)

    def _measure(self) -> None:
        traffic, good = self._traffic, self.good
        if traffic.measured is None or not self._last > self._began > traffic.unsettled_at:
            return
        gap = None
        if good > 1:
            gap = (self._last - self._first) / (good - 1) - self._rested / self._rests
        traffic.measured.request(self._first - self._began, gap, self._load)

    def _close(self, *, told: bool = False) -> None:
        self.rests()
        self.closed, self._resting = True, False
        traffic = self._traffic
        if not told:
            traffic.expecting.pop(self._mine, None)
        traffic.in_flight -= 1
        traffic.chunks += self.good
        self._left = None
        traffic.ended(traffic.clock() - self._began)
