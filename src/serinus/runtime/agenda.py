"""When to attend to which target: one heap and one timer for all of them."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from itertools import count

from serinus.runtime.target import HealthCheckTarget

__all__ = ["SLACK", "Agenda"]

SLACK = 0.002
"""Seconds by which what is due together is done together."""
_CATCH_UP = 0.1
"""Seconds that a loop which was late gets, before what it has not handled yet counts as silence."""
_SPARE = 64
"""Overtaken plans may lie in the heap until there are this many, and one for four others."""
_NEVER = float("inf")


class Agenda:
    """Calls `attend(target)` when its time has come; each target has one plan at most.

    `lost()` says how many seconds our own event loop has lost so far: after it was late, the work
    is put off once, so that what came in meanwhile is handled before anyone is judged.
    """

    def __init__(
        self,
        attend: Callable[[HealthCheckTarget], None],
        *,
        clock: Callable[[], float],
        lost: Callable[[], float],
    ) -> None:
        self._attend = attend
        self._clock = clock
        self._lost = lost
        self._lost_before = 0.0
        self._caught_up = False
        self._plans: list[tuple[float, int, HealthCheckTarget]] = []
        self._limit = _SPARE
        self._tie = count()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0

    def __len__(self) -> int:
        return len(self._plans)

    @property
    def is_open(self) -> bool:
        """Whether it calls."""
        return self._loop is not None

    def open(self) -> None:
        """Begin to call, on the running loop, also what was planned before."""
        self._loop = asyncio.get_running_loop()
        self._arm()

    def close(self) -> None:
        """Call no more; plans are kept."""
        self._loop = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def plan(self, target: HealthCheckTarget, at: float) -> None:
        """Attend to a target at a time, in the clock's seconds, if not planned earlier anyway."""
        if at == _NEVER or (target.due_at is not None and target.due_at <= at):
            return
        target.due_at = at
        heapq.heappush(self._plans, (at, next(self._tie), target))
        if len(self._plans) > self._limit:
            self._tidy()
        if self._timer is None or at < self._timer_at:
            self._arm()

    def drop(self, target: HealthCheckTarget) -> None:
        """Forget the plan for a target."""
        target.due_at = None

    def _tidy(self) -> None:
        self._plans = [plan for plan in self._plans if plan[2].due_at == plan[0]]
        heapq.heapify(self._plans)
        self._limit = len(self._plans) * 5 // 4 + _SPARE

    def _arm(self) -> None:
        plans = self._plans
        while plans and plans[0][2].due_at != plans[0][0]:  # nobody wakes for what was overtaken
            heapq.heappop(plans)
        if self._loop is None or not plans:
            return
        first = plans[0][0]
        if self._timer is not None:
            if self._timer_at <= first:
                return
            self._timer.cancel()
        self._timer_at = first
        self._timer = self._loop.call_later(max(first - self._clock(), 0.0), self._work)

    def _work(self) -> None:
        self._timer = None
        if not self._must_catch_up():
            for target in self._due():
                self._attend(target)
            if self._timer is None:  # otherwise it is set for what was planned meanwhile
                self._arm()

    def _due(self) -> list[HealthCheckTarget]:
        """Take what is due off the agenda, all of it before any of it is attended to."""
        horizon = self._clock() + SLACK
        due = []
        while self._plans and self._plans[0][0] <= horizon:
            at, _, target = heapq.heappop(self._plans)
            if target.due_at == at:
                target.due_at = None
                due.append(target)
        return due

    def _must_catch_up(self) -> bool:
        lost, before = self._lost(), self._lost_before
        self._lost_before = lost
        self._caught_up = lost > before and not self._caught_up
        if self._caught_up and self._loop is not None:
            self._timer_at = float("-inf")
            self._timer = self._loop.call_later(_CATCH_UP, self._work)
        return self._caught_up
