"""An event loop of timers and tasks alone, many times faster than one that looks at sockets.

It runs asyncio's own tasks, futures and time-outs in virtual time. What it leaves out: sockets,
threads, subprocesses, signals, and a context of their own for callbacks (nothing that is simulated
keeps anything in one).
"""

from __future__ import annotations

import asyncio
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from heapq import heappop, heappush
from typing import Any, TypeVar

__all__ = ["MemoryLoop"]

T = TypeVar("T")


class _Handle(list[Any]):
    """A call that is due at a time: [when, number, call, given].

    It is what asyncio knows as a TimerHandle, and lies in the heap as it is: among those of one
    time the number decides, by which they were made.
    """

    __slots__ = ()

    def cancel(self) -> None:
        """Do not call, and let go of what would have been given: it may well hold this handle."""
        self[2:] = None, ()

    def cancelled(self) -> bool:
        """Whether it was called off."""
        return self[2] is None

    def when(self) -> float:
        """Return when it is due."""
        at: float = self[0]
        return at


class MemoryLoop(asyncio.AbstractEventLoop):
    """`time()` starts at 1,000 s, and moves to the next timer whenever nothing is ready.

    `suspend(seconds)` is what a host does that sleeps: time has gone by, and every timer that was
    due meanwhile comes late.
    """

    def __init__(self) -> None:
        self._now = 1000.0
        self._ready: deque[_Handle] = deque()
        self._timers: list[_Handle] = []
        self._made = 0
        self._running = False
        self._closed = False

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self._now

    def suspend(self, seconds: float) -> None:
        """Lose time, as a host that sleeps does."""
        self._now += seconds

    # --- what asyncio asks of a loop ---------------------------------------------------------

    def call_soon(  # type: ignore[override] # no keyword is ever given but the context
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> _Handle:
        """Call at once, after what is ready already."""
        if context is not None:  # a task's own: its variables are its affair
            handle = _Handle((self._now, 0, context.run, (callback, *args)))
        else:
            handle = _Handle((self._now, 0, callback, args))
        self._ready.append(handle)
        return handle

    def call_later(  # type: ignore[override]
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,  # noqa: ARG002 - see the module
    ) -> _Handle:
        """Call after so many seconds."""
        self._made = number = self._made + 1
        handle = _Handle((self._now + delay, number, callback, args))
        heappush(self._timers, handle)
        return handle

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,  # noqa: ARG002 - see the module
    ) -> _Handle:
        """Call at a time."""
        self._made = number = self._made + 1
        handle = _Handle((when, number, callback, args))
        heappush(self._timers, handle)
        return handle

    def create_future(self) -> asyncio.Future[Any]:
        """Return a future of this loop."""
        return asyncio.Future(loop=self)

    def create_task(  # type: ignore[override]
        self, coro: Coroutine[Any, Any, T], *, name: object = None, context: Context | None = None
    ) -> asyncio.Task[T]:
        """Return a task of this loop."""
        return asyncio.Task(
            coro, loop=self, name=None if name is None else str(name), context=context
        )

    def get_debug(self) -> bool:
        """Say no."""
        return False

    def is_running(self) -> bool:
        """Whether it runs now."""
        return self._running

    def is_closed(self) -> bool:
        """Whether it has been closed."""
        return self._closed

    def close(self) -> None:
        """Forget what was planned."""
        self._closed = True
        self._timers.clear()
        self._ready.clear()

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Stop: in a simulation nothing may fail unseen."""
        error: BaseException | None = context.get("exception")
        raise RuntimeError(str(context.get("message"))) from error

    def run_until_complete(self, future: Any) -> Any:
        """Run until a future is done. Raises RuntimeError if nothing is left that could end it."""
        main: asyncio.Future[Any] = asyncio.ensure_future(future, loop=self)
        main.add_done_callback(self._stop)
        before = events._get_running_loop()
        events._set_running_loop(self)
        try:
            self._run()
        finally:
            main.cancel()
            while self._ready and not main.done():
                self._run_ready()
            self._running = False
            events._set_running_loop(before)
        return main.result()

    def _stop(self, _main: asyncio.Future[Any]) -> None:
        self._running = False

    def _run(self) -> None:
        """Run what is ready; whenever nothing is, go to the next moment at which something is."""
        ready, timers = self._ready, self._timers
        self._running = True
        while self._running:
            if ready:
                self._run_ready()
                continue
            if not timers:
                told = "virtual time: nothing is ready and no timer is set: a deadlock"
                raise RuntimeError(told)
            first = heappop(timers)
            when, _, call, given = first
            if call is None:
                continue
            if when > self._now:
                self._now = when
            if timers and timers[0][0] <= self._now:  # before anything that it may call
                ready.append(first)
                while timers and timers[0][0] <= self._now:
                    ready.append(heappop(timers))
            else:
                call(*given)

    def _run_ready(self) -> None:
        """Run what is ready by now, and was not called off."""
        ready = self._ready
        for _ in range(len(ready)):
            _, _, call, given = ready.popleft()
            if call is not None:
                call(*given)
