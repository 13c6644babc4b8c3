"""The frontend put together: discovery, view, bodies, stream, prober, server; and how it ends."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Self

from serinus.core.instance import Instance
from serinus.core.stage import Stage
from serinus.discovery import Backend, Discovery
from serinus.discovery.choice import backend_of
from serinus.errors import LifecycleError, SettingsError
from serinus.frontend.app import App
from serinus.frontend.bodies import Bodies
from serinus.frontend.dashboard import dashboard
from serinus.frontend.events import Events
from serinus.frontend.metrics import Metrics
from serinus.frontend.prober import Prober
from serinus.frontend.reach import Reach, Reached
from serinus.frontend.server import Server
from serinus.frontend.view import View
from serinus.runtime.draining import Draining, SignalWatch
from serinus.settings import Settings, status_token
from serinus.status.binding import bind
from serinus.status.config import StatusConfig

if TYPE_CHECKING:
    from serinus.frontend.asking import Asking

__all__ = ["Frontend"]

logger = logging.getLogger("serinus")

_PACE = 0.01
"""Seconds between two times that changes are taken in; those in between are taken in together."""
_TICK = 0.5
"""Seconds between two looks at what changes with time alone."""


class Frontend:
    """One view of the fleet, served over HTTP. An async context manager.

    Raises SettingsError if the port, the token or the backend cannot be had.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        backend: Backend | None = None,
        handle_signals: bool = True,
        clock: Callable[[], float] = time.monotonic,
        seed: int | None = None,
    ) -> None:
        chosen = backend or backend_of(settings)
        if chosen is None:
            raise SettingsError(
                "discovery_backend: 'off' is not accepted by a frontend; accepted: any other, as "
                "it shows what is announced there"
            )
        self.name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self.settings = settings
        self.discovery = Discovery(
            chosen, lease=settings.discovery_lease, owner=self.name, clock=clock, seed=seed
        )
        self.view = View(self.discovery, settings, clock=clock)
        self.bodies = Bodies(self.view)
        self.events = Events(self.view, self.bodies, most=settings.frontend_streams, clock=clock)
        reach: Callable[[Instance], Awaitable[Reached]] = Reach(
            timeout=settings.outside_timeout, clock=clock
        )
        self._asking = _asking(settings, reach, clock)
        reach = self._asking or reach
        self.prober = Prober(
            self.discovery, self.view, reach, settings, name=self.name, clock=clock, seed=seed
        )
        metrics = Metrics(self.view, self.bodies, self.events, self.prober, clock=clock)
        self.app = App(
            settings,
            self.bodies,
            self.events,
            token=status_token(settings),
            metrics=metrics,
            page=dashboard(settings.http_health_path),
        )
        metrics.app = self.app
        self.address = ""
        self._clock = clock
        self._stage: Stage | None = None
        self._changed: set[str] = set()
        self._due: asyncio.TimerHandle | None = None
        self._taken = float("-inf")
        self._stop = asyncio.Event()
        self._listed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._draining = Draining(
            began=self._drain,
            in_flight=lambda: self.app.in_flight,
            grace=settings.drain_grace_period,
            timeout=settings.http_drain_timeout,
        )
        self._signals = SignalWatch(self.stop) if handle_signals else None
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as opened:
            settings = self.settings
            binding = bind(
                StatusConfig(
                    host=settings.http_host,
                    port=settings.http_port,
                    linger=0.0,
                    names=("http_port", "http_host"),
                )
            )
            opened.callback(binding.listener.close)
            await opened.enter_async_context(self.discovery)
            self.view.tell(self._news)
            self.view.open()
            opened.callback(self.view.close)
            self._take_in()
            server = Server(self.app, binding.listener)
            await server.start()
            opened.push_async_callback(server.stop)
            if self._asking is not None:
                opened.push_async_callback(self._asking.close)
            opened.push_async_callback(self._end_tasks)
            self._start(self.prober.run(), "prober")
            self._start(self._tick(), "frontend's clock")
            if self._signals is not None:
                self._signals.open()
                opened.callback(self._signals.close)
            self.address = binding.address
            self._open = opened.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            await self._draining.finish()
        finally:
            self.app.stopping = True
            self.events.end()
            await self._open.__aexit__(kind, error, trace)

    def stop(self) -> None:
        """Begin to drain, and let `stopped` return when that is done; once more: wait no longer."""
        if not self.address:
            raise LifecycleError("the frontend is not entered: use 'async with Frontend(...)'")
        self._draining.begin()
        self._stop.set()

    async def stopped(self) -> None:
        """Wait until a signal, or `stop`, ends it, and it has drained; then leave the context."""
        await self._stop.wait()
        await self._draining.wait()

    async def listed(self) -> None:
        """Wait until everything was listed once."""
        await self._listed.wait()

    # --- what changes ------------------------------------------------------------------------

    def _drain(self) -> None:
        self.view.draining = True
        self._take_in()

    def _news(self, names: frozenset[str]) -> None:
        """Take changes in soon, and at a bounded pace however many come."""
        self._changed.update(names)
        if self._due is None:
            wait = max(self._taken + _PACE - self._clock(), 0.0)
            self._due = asyncio.get_running_loop().call_later(wait, self._take_in)

    def _take_in(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None
        self._taken = self._clock()
        changed, self._changed = frozenset(self._changed), set()
        pools, models = self.bodies.refresh()
        stage = self.bodies.health_now.stage
        if stage is not self._stage:
            logger.info("frontend: %s%s", stage, f": {why}" if (why := self._why()) else "")
            self._stage = stage
        if stage in (Stage.READY, Stage.STALE):
            self._listed.set()
        self.events.publish(pools, models, changed)

    def _why(self) -> str:
        return self.bodies.health_now.why

    async def _tick(self) -> None:
        """See what turns with time alone: a view that becomes stale, a finding nobody renews."""
        health = self.bodies.health_now
        while True:
            await asyncio.sleep(_TICK)
            self.view.drop_orphans()
            now = self.view.health
            if now != health:
                health = now
                self._take_in()

    def _start(self, work: Coroutine[object, object, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(_report)
        self._tasks.append(task)

    async def _end_tasks(self) -> None:
        if self._due is not None:
            self._due.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _asking(
    settings: Settings,
    reach: Callable[[Instance], Awaitable[Reached]],
    clock: Callable[[], float],
) -> Asking | None:
    """Return what asks through the request plane, if that is wanted."""
    if settings.outside_proof != "request":
        return None
    # Only now, as the request plane is a fifth of what a start costs.
    from serinus.frontend.asking import Asking  # noqa: PLC0415
    from serinus.runtime.planes import advertised, listened_on  # noqa: PLC0415

    return Asking(
        reach,
        timeout=settings.outside_timeout,
        bind=listened_on(settings),
        host=advertised(settings),
        clock=clock,
    )


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("%s failed", task.get_name(), exc_info=error)
