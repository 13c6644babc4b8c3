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


class _Handle(asyncio.TimerHandle):
    """A call that is due at a time; it is asked for no context."""

    __slots__ = ("call", "dead", "given")

    def __init__(self, when: float, call: Callable[..., object], given: tuple[Any, ...]) -> None:
        self._when = when
        self.call = call
        self.given = given
        self.dead = False

    def run(self) -> None:
        """Call, unless it was called off."""
        if not self.dead:
            self.call(*self.given)

    def cancel(self) -> None:
        """Do not call."""
        self.dead = True

    def cancelled(self) -> bool:
        """Whether it was called off."""
        return self.dead

    def __repr__(self) -> str:
        return f"<call of {self.call!r} at {self._when:.6f}>"


class MemoryLoop(asyncio.AbstractEventLoop):
    """`time()` starts at 1,000 s, and moves to the next timer whenever nothing is ready.

    `suspend(seconds)` is what a host does that sleeps: time has gone by, and every timer that was
    due meanwhile comes late.
    """

    def __init__(self) -> None:
        self._now = 1000.0
        self._ready: deque[_Handle] = deque()
        self._timers: list[tuple[float, int, _Handle]] = []
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
            handle = _Handle(self._now, context.run, (callback, *args))
        else:
            handle = _Handle(self._now, callback, args)
        self._ready.append(handle)
        return handle

    def call_later(  # type: ignore[override]
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> _Handle:
        """Call after so many seconds."""
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,  # noqa: ARG002 - see the module
    ) -> _Handle:
        """Call at a time."""
        handle = _Handle(when, callback, args)
        self._made += 1
        heappush(self._timers, (when, self._made, handle))
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
        self._running = True
        before = events._get_running_loop()
        events._set_running_loop(self)
        try:
            while not main.done():
                self._turn()
        finally:
            main.cancel()
            while self._ready and not main.done():
                self._ready.popleft().run()
            self._running = False
            events._set_running_loop(before)
        return main.result()

    def _turn(self) -> None:
        """Run what is ready; if nothing is, what is due at the next moment."""
        ready = self._ready
        if not ready:
            handle = self._next_timer()
            if not self._due_with_it():
                handle.call(*handle.given)
                return
            ready.appendleft(handle)
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle.dead:
                handle.call(*handle.given)

    def _next_timer(self) -> _Handle:
        """Go to the next moment, and take its first timer."""
        timers = self._timers
        while timers:
            when, _, handle = heappop(timers)
            if not handle.dead:
                if when > self._now:
                    self._now = when
                return handle
        raise RuntimeError("virtual time: nothing is ready and no timer is set: a deadlock")

    def _due_with_it(self) -> bool:
        """Whether more is due by now; it is ready then."""
        timers, ready, now = self._timers, self._ready, self._now
        while timers and timers[0][0] <= now:
            handle = heappop(timers)[2]
            if not handle.dead:
                ready.append(handle)
        return bool(ready)
