"""Ending well: readiness first, then the requests in flight, the status port last."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from collections.abc import Callable
from typing import Any

__all__ = ["Draining", "SignalWatch"]

logger = logging.getLogger("serinus")

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_GLANCE = 0.02
"""Seconds between two looks at what is still in flight."""
_SPARE = 64
"""Waiters that were given up are kept until they outnumber the others by this."""


class Draining:
    """From the wish to end until nothing is in flight, or the time for it is over.

    `grace` is how long "draining" is shown at the least, so that load balancers see it; `timeout`
    how long requests in flight may take, from the beginning on. Seconds.
    """

    def __init__(
        self,
        *,
        began: Callable[[], None],
        in_flight: Callable[[], int],
        grace: float,
        timeout: float,
    ) -> None:
        self._began = began
        self._in_flight = in_flight
        self._grace = grace
        self._timeout = timeout
        self._task: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()
        self._done = False
        self._waiters: list[asyncio.Future[None]] = []
        """Futures, as every endpoint that is served waits here: coroutines weigh more."""
        self._most = _SPARE

    def begin(self) -> None:
        """Begin to drain; once more means: wait no longer."""
        if self._task is None:
            self._began()
            self._task = asyncio.get_running_loop().create_task(self._run(), name="serinus drain")
        else:
            self._hurry.set()

    def wait(self) -> asyncio.Future[None]:
        """Return what is done when drained, which someone else begins."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._done:
            waiter.set_result(None)
            return waiter
        self._waiters.append(waiter)
        if len(self._waiters) > self._most:  # those who wait no longer have cancelled theirs
            self._waiters = [one for one in self._waiters if not one.done()]
            self._most = 2 * len(self._waiters) + _SPARE
        return waiter

    async def finish(self) -> None:
        """Drain if nobody has begun to, and wait for the end of it."""
        if self._task is None:
            self.begin()
        await self.wait()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        shown, limit = began + self._grace, began + max(self._grace, self._timeout)
        try:
            while not self._hurry.is_set():
                now = loop.time()
                if now >= limit or (now >= shown and not self._in_flight()):
                    break
                await asyncio.sleep(min(_GLANCE, limit - now))
            if left := self._in_flight():
                logger.warning("drained with %d request(s) still in flight", left)
        finally:
            self._done = True
            for waiter in self._waiters:
                if not waiter.done():
                    waiter.set_result(None)
            self._waiters.clear()


class SignalWatch:
    """Turns SIGTERM and SIGINT into a call while it is open; earlier handlers come back after."""

    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call
        self._before: dict[signal.Signals, Any] = {}

    def open(self) -> None:
        """Take the signals; only the main thread can."""
        if threading.current_thread() is not threading.main_thread():
            return
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            self._before[number] = signal.getsignal(number)
            loop.add_signal_handler(number, self._call)

    def close(self) -> None:
        """Give the signals back."""
        for number, before in self._before.items():
            asyncio.get_running_loop().remove_signal_handler(number)
            signal.signal(number, before if before is not None else signal.SIG_DFL)
        self._before.clear()
