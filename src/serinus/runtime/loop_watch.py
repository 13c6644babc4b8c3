"""How much time our own event loop lost: the question "is it me?" before an engine is accused.

Wakes at a steady pace; what it wakes late by was lost to a blocked loop, a held GIL or a stopped
process, and no canary that ran meanwhile proves anything. A host that was suspended stops the
monotonic clock too: nothing comes late then, and only the clock that counts the sleep tells of it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from serinus.core.own_state import LONGEST_DELAY

__all__ = ["LoopWatch", "slept"]

_PACE = 0.1


def slept() -> float:
    """Seconds that the host has been suspended since it started; always 0 where nobody counts."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return 0.0 if boot is None else max(time.clock_gettime(boot) - time.monotonic(), 0.0)


class LoopWatch:
    """Adds up the seconds by which its timer came late, tiny delays left out.

    `slept()` says how long the host has been suspended in all. `trouble(seconds, why)` is called
    after each delay or suspension that is longer than LONGEST_DELAY: `seconds` is how much of it
    the monotonic clock has counted.
    """

    def __init__(
        self,
        *,
        ignore: float = 0.05,
        slept: Callable[[], float] = slept,
        trouble: Callable[[float, str], None] = lambda _seconds, _why: None,
    ) -> None:
        self.suspensions = 0
        self.suspended = 0.0
        """Seconds that the host has slept while this watched."""
        self._ignore = ignore
        self._slept = slept
        self._slept_before = 0.0
        self._trouble = trouble
        self._lost = 0.0
        self._expected = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to watch the running loop."""
        self.stop()
        self._loop = asyncio.get_running_loop()
        self._slept_before = self._slept()
        self._expected = self._loop.time() + _PACE
        self._timer = self._loop.call_at(self._expected, self._wake, self._loop)

    def stop(self) -> None:
        """Stop watching."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @property
    def lost(self) -> float:
        """Seconds lost so far, a delay that goes on right now included."""
        if self._loop is None or self._timer is None:
            return self._lost
        late = self._loop.time() - self._expected
        return self._lost + late if late > self._ignore else self._lost

    @property
    def asleep(self) -> float:
        """Seconds that the host has slept so far, a sleep that is just over included."""
        return self.suspended + self._new_sleep()

    def _new_sleep(self) -> float:
        if self._timer is None:
            return 0.0
        new = self._slept() - self._slept_before
        return new if new >= LONGEST_DELAY else 0.0

    @property
    def late(self) -> float:
        """Seconds by which the loop is late right now."""
        if self._loop is None or self._timer is None:
            return 0.0
        late = self._loop.time() - self._expected
        return late if late > self._ignore else 0.0

    def _wake(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        late, sleep = now - self._expected, self._slept() - self._slept_before
        self._expected = now + _PACE
        self._timer = loop.call_at(self._expected, self._wake, loop)
        if late <= self._ignore and sleep < LONGEST_DELAY:
            return
        late = late if late > self._ignore else 0.0
        sleep = sleep if sleep >= LONGEST_DELAY else 0.0
        self._lost += late
        if sleep:
            self._slept_before += sleep
            self.suspended += sleep
            self.suspensions += 1
        if late >= LONGEST_DELAY:
            self._trouble(late, f"our own event loop was late by {late:.1f} s")
        if sleep:
            self._trouble(0.0, f"the host was suspended for {sleep:.1f} s")
