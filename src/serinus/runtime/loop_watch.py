"""How much time our own event loop lost: the question "is it me?" before an engine is accused.

Wakes at a steady pace; what it wakes late by was lost to a blocked loop, a held GIL or a suspended
host, and no canary that ran meanwhile proves anything.
"""

from __future__ import annotations

import asyncio

__all__ = ["LoopWatch"]

_PACE = 0.1


class LoopWatch:
    """Adds up the seconds by which its timer came late, tiny delays left out."""

    def __init__(self, *, ignore: float = 0.05) -> None:
        self._ignore = ignore
        self._lost = 0.0
        self._expected = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to watch the running loop."""
        self.stop()
        self._loop = asyncio.get_running_loop()
        self._arm(self._loop)

    def stop(self) -> None:
        """Stop watching."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @property
    def lost(self) -> float:
        """Seconds lost so far, a delay that goes on right now included."""
        return self._lost + self._late()

    def _late(self) -> float:
        if self._loop is None or self._timer is None:
            return 0.0
        late = self._loop.time() - self._expected
        return late if late > self._ignore else 0.0

    def _arm(self, loop: asyncio.AbstractEventLoop) -> None:
        self._expected = loop.time() + _PACE
        self._timer = loop.call_at(self._expected, self._wake)

    def _wake(self) -> None:
        self._lost += self._late()
        if self._loop is not None:
            self._arm(self._loop)
