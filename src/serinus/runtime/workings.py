"""What works inside a `Runtime` while it is entered, put together and taken apart in order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from serinus.core.address import EndpointAddress
from serinus.core.group import Group, Kind
from serinus.core.policy import ALL
from serinus.errors import LifecycleError
from serinus.runtime import metrics
from serinus.runtime.board import Board
from serinus.runtime.checks import Check, as_question
from serinus.runtime.draining import Draining, SignalWatch
from serinus.runtime.endpoint import Endpoint
from serinus.runtime.endpoint_group import EndpointGroup
from serinus.runtime.engine_monitor import EngineMonitor
from serinus.runtime.publisher import Publisher
from serinus.runtime.served import Served
from serinus.runtime.sleep_monitor import SleepMonitor, can_tell
from serinus.settings import Settings
from serinus.status import SystemStatusServer

if TYPE_CHECKING:
    from serinus.request_plane.client import Client
    from serinus.runtime.lease_file import LeaseFile
    from serinus.runtime.membership import Membership
    from serinus.runtime.memory import Memory
    from serinus.traces.recorder import Recorder

__all__ = ["Workings"]

logger = logging.getLogger("serinus")

_SELDOM = 60.0
"""Seconds between two writings of what was learned."""
_LATECOMERS = 1.0
"""Seconds for which an instance that was withdrawn still serves who has not heard of it yet: the
reference's clients do not try elsewhere."""
_RESOLUTION = 1.0
"""Seconds between two looks at traffic while it is recorded, which is otherwise looked at when a
verdict may follow from it: a trace must serve other settings too."""


class Workings:
    """The board, what publishes it, and the tasks around it. Made on the running loop."""

    def __init__(
        self,
        settings: Settings,
        server: SystemStatusServer | None,
        *,
        handle_signals: bool,
        clock: Callable[[], float],
        seed: int | None,
    ) -> None:
        self.settings = settings
        self.recorder = _recorder(settings, clock)
        observe = None if self.recorder is None else self.recorder.observe
        self._memory = _memory(settings)
        self.board = Board(settings, clock=clock, seed=seed, observe=observe, memory=self._memory)
        self.publisher = Publisher(self.board, server)
        self.board.changed = self.publisher.changed
        self.served: dict[EndpointAddress, Served] = {}
        self._leaving: list[Served] = []
        """Withdrawn, with requests that go on to their end."""
        self.membership = _membership(settings, self, server)
        grace = settings.drain_grace_period
        if self.membership is not None and self.membership.planes.served:
            grace = max(grace, _LATECOMERS)
        self.draining = Draining(
            began=self._begin_draining,
            in_flight=self.in_flight,
            grace=grace,
            timeout=settings.drain_timeout,
        )
        self._make = partial(  # one for all endpoints, which are many
            Endpoint,
            board=self.board,
            served=self.served,
            drained=self.draining.wait,
            left=self._left,
            client=self.client,
        )
        self._server = server
        self._signals = SignalWatch(self.draining.begin) if handle_signals else None
        self._tasks: set[asyncio.Task[None]] = set()
        self._engines: list[Any] = []

    def start(self) -> None:
        """Attach to the status server and begin to judge.

        Raises TraceError if evidence is to be recorded and cannot be.
        """
        if self.recorder is not None:
            self.recorder.start()
            logger.info("recording to %s", self.recorder.file)
            self.start_task(self._look_around(), name="looks for the recording")
        if self._memory is not None:
            self.start_task(self._keep_memory(), name="memory of what was learned")
        if (leases := _lease_file(self.settings, self.board)) is not None:
            self.start_task(leases.run(), name="follows the file of leases")
        if self._server is not None:
            self._server.attach(
                asyncio.get_running_loop(), metrics=self.metrics, details=self.publisher.details
            )
        self.board.manager.start()
        if self._signals is not None:
            self._signals.open()
        self.publisher.publish()

    async def join(self) -> None:
        """Be callable, and announced, if the settings say so.

        Raises SettingsError for a port that cannot be had, MissingExtraError.
        """
        if self.membership is not None:
            await self.membership.open()
            self.publisher.publish()

    async def close(self) -> None:
        """Drain, then end everything; the status server is left, and has heard the last word."""
        try:
            await self.draining.finish()
        finally:
            if self.membership is not None:
                await self.membership.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self.board.manager.stop()
            await self._shut_engines()
            self.publisher.publish()
            self.publisher.close()
            self.board.leases.close()
            if self._signals is not None:
                self._signals.close()
            if self._server is not None:
                self._server.detach()
            if self.recorder is not None:
                await asyncio.to_thread(self.recorder.close)
            await self._remember()

    def endpoint(self, address: str) -> Endpoint:
        """Return the endpoint at an address."""
        return self._endpoint(EndpointAddress.parse(address))

    def group(self, address: str, *, kind: str, policy: str | None) -> EndpointGroup:
        """Make a group; without a policy it is the settings', which a sharded group cannot have."""
        if policy is None:
            policy = str(ALL) if kind == Kind.SHARDED else self.settings.group_policy
        group = Group.of(EndpointAddress.parse(address), kind, policy)
        return EndpointGroup(group, board=self.board, make=self._endpoint)

    def _endpoint(self, address: EndpointAddress, rank: int | None = None) -> Endpoint:
        return self._make(address, rank=rank)

    def client(self, address: EndpointAddress, **options: Any) -> Client:
        """Return a client of an endpoint anywhere. Raises LifecycleError without discovery."""
        if self.membership is None or self.membership.discovery is None:
            raise LifecycleError(
                f"client of {address}: discovery is off; set DYN_DISCOVERY_BACKEND, "
                "as nobody can be found without"
            )
        return self.membership.client(address, **options)

    def advertise(
        self,
        address: str,
        transport: Mapping[str, str],
        facts: Callable[[], Mapping[str, object]],
    ) -> None:
        """Announce an endpoint that somebody else serves, where discovery is on."""
        if self.membership is not None:
            self.membership.advertise(EndpointAddress.parse(address), transport, facts)

    def add_check(self, name: str, check: Check, *, interval: float, timeout: float) -> None:
        """Add a custom check of the process."""
        question = as_question(name, check, self.board.clock)
        self.board.add_check(name, question, interval=interval, timeout=timeout)

    def monitor_engine(
        self, engine: Any, *, interval: float | None, timeout: float | None, shutdown: bool
    ) -> None:
        """Watch an engine for its death and its sleep.

        With `shutdown`, end it when the runtime closes.
        """
        settings = self.settings
        monitor = EngineMonitor(
            engine,
            died=self.board.engine_died,
            heard=self.board.heard,
            interval=settings.engine_health_check_interval if interval is None else interval,
            timeout=settings.engine_health_check_timeout if timeout is None else timeout,
            max_failures=settings.engine_health_check_max_failures,
        )
        self.start_task(monitor.run(), name=f"monitor of {type(engine).__name__}")
        if can_tell(engine):
            sleep = SleepMonitor(engine, slept=self.board.slept)
            self.start_task(sleep.run(), name=f"sleep of {type(engine).__name__}")
        if shutdown:
            self._engines.append(engine)

    def start_task(self, work: Coroutine[Any, Any, None], *, name: str) -> None:
        """Run a coroutine until the runtime closes; one that fails is reported at once."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._task_ended)

    def in_flight(self) -> int:
        """Count the requests that draining waits for, those of withdrawn endpoints among them."""
        waited_for = (*self.served.values(), *self._leaving)
        return sum(one.traffic.in_flight for one in waited_for if one.graceful)

    def metrics(self) -> bytes:
        """Render the metrics."""
        return metrics.render(self.board, self.served, self.recorder, self.membership)

    async def _keep_memory(self) -> None:
        while True:
            await asyncio.sleep(_SELDOM)
            await self._remember()

    async def _remember(self) -> None:
        """Write what was learned, if there is a file for it, and anything new."""
        memory = self._memory
        if memory is not None and memory.keep(self.board.remembered()):
            await asyncio.to_thread(memory.write)

    async def _look_around(self) -> None:
        while True:
            await asyncio.sleep(_RESOLUTION)
            self.board.look_around()

    def _left(self, served: Served) -> None:
        """Keep what was withdrawn in mind until its last request has ended."""
        self._leaving = [one for one in (*self._leaving, served) if one.traffic.in_flight]

    def _begin_draining(self) -> None:
        self.board.drain()
        self.publisher.publish()

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("%s failed", task.get_name(), exc_info=error)

    async def _shut_engines(self) -> None:
        limit = self.settings.engine_health_shutdown_timeout
        for engine in self._engines:
            try:
                async with asyncio.timeout(limit):
                    await asyncio.to_thread(engine.shutdown)
            except Exception:
                logger.exception("the engine's shutdown failed")


def _memory(settings: Settings) -> Memory | None:
    budget = settings.canary_budget or settings.canary_token_budget
    learns = settings.adaptive or settings.correctness_policy != "off"
    if settings.state_file is None or not (learns or budget):
        return None
    # As with the recorder.
    from pathlib import Path  # noqa: PLC0415

    from serinus.runtime.memory import Memory  # noqa: PLC0415

    memory = Memory(Path(settings.state_file))
    memory.load()
    return memory


def _membership(
    settings: Settings, workings: Workings, server: SystemStatusServer | None
) -> Membership | None:
    ports = max(settings.tcp_rpc_port, settings.http_rpc_port)
    if settings.discovery_backend == "off" and ports < 0:
        return None
    # As with the recorder.
    from serinus.runtime.membership import Membership  # noqa: PLC0415

    return Membership(
        workings.board,
        workings.served,
        publisher=workings.publisher,
        status_address=lambda: None if server is None else server.address,
    )


def _lease_file(settings: Settings, board: Board) -> LeaseFile | None:
    if settings.lease_file is None:
        return None
    # As with the recorder.
    from pathlib import Path  # noqa: PLC0415

    from serinus.runtime.lease_file import LeaseFile  # noqa: PLC0415

    return LeaseFile(Path(settings.lease_file), board.leases)


def _recorder(settings: Settings, clock: Callable[[], float]) -> Recorder | None:
    if settings.record is None:
        return None
    # Only who records pays for these.
    from pathlib import Path  # noqa: PLC0415

    from serinus.traces.recorder import Recorder  # noqa: PLC0415

    return Recorder(
        Path(settings.record),
        clock=clock,
        most_bytes=settings.record_bytes,
        keep=settings.record_keep,
    )
