"""An event loop whose clock jumps to the next deadline when nothing is ready.

Hours pass in milliseconds, and always in the same order. It is for logic: a loop that waits for
sockets or subprocesses must run in real time.
"""

from __future__ import annotations

import asyncio
import selectors

__all__ = ["VirtualTimeLoop"]


class _ImpatientSelector(selectors.SelectSelector):
    """Answers at once, and tells the loop how long it would have slept."""

    def __init__(self) -> None:
        super().__init__()
        self.loop: VirtualTimeLoop | None = None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or self.loop is None:
            return ready
        if timeout is None:
            raise RuntimeError("virtual time: nothing is ready and no timer is set: a deadlock")
        self.loop.advance(timeout)
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """A selector loop that never sleeps: `time()` starts at 1,000 s and moves by deadlines only."""

    def __init__(self) -> None:
        self._now = 1000.0
        selector = _ImpatientSelector()
        super().__init__(selector)
        selector.loop = self

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move the clock; a negative or tiny step still reaches the next timer."""
        self._now += max(seconds, 1e-9)
