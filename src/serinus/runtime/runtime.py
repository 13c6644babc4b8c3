"""`Runtime`: what a worker opens first and closes last.

A shell: it has the status port answer, and only then imports and starts what judges, so that a
worker's first answer does not wait for that.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

from serinus.core.status import HealthStatus
from serinus.errors import LifecycleError, SettingsError
from serinus.settings import Settings, load
from serinus.status import StatusConfig, SystemStatusServer

if TYPE_CHECKING:
    from types import TracebackType

    from serinus.core.report import Report
    from serinus.runtime.board import Board
    from serinus.runtime.checks import Check
    from serinus.runtime.endpoint import Endpoint
    from serinus.runtime.endpoint_group import EndpointGroup
    from serinus.runtime.leases import LeaseGrant
    from serinus.runtime.workings import Workings

__all__ = ["Runtime"]

logger = logging.getLogger("serinus")


class Runtime:
    """Judges the endpoints of this process and answers `/health`, `/live` and `/metrics`.

    An async context manager. The status port answers as soon as it is entered, before any engine
    is loaded, and closes last. `settings` are read from the environment and files when None; with
    a negative `system_port` and no socket there is no status port. `handle_signals`: SIGTERM and
    SIGINT drain (a second one waits no longer). `clock` gives monotonic seconds; `seed` is that of
    the canaries' jitter, None for a different one each time.

    Raises SettingsError for bad settings or a port that cannot be had, StatusError if the status
    process does not come up.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        handle_signals: bool = True,
        clock: Callable[[], float] = time.monotonic,
        seed: int | None = None,
    ) -> None:
        self.settings = settings if settings is not None else _from_surroundings()
        self._handle_signals = handle_signals
        self._clock = clock
        self._seed = seed
        self._server: SystemStatusServer | None = None
        if self.settings.system_socket is not None or self.settings.system_port >= 0:
            self._server = SystemStatusServer(StatusConfig.from_settings(self.settings))
        self._opened = False
        self._inside: Workings | None = None

    # --- life --------------------------------------------------------------------------------

    def open(self) -> str | None:
        """Have the status port answer now: live, and not ready. Returns its address.

        For a worker that imports its engine at the top of its file: open before that import, which
        takes longer than everything here, and enter later. Entering opens what is not open yet.
        """
        if self._server is not None and not self._opened:
            self._server.start()
            self._opened = True
            logger.info("status port: %s", self._server.address)
        return self.address

    async def __aenter__(self) -> Self:
        if self._inside is not None:
            raise LifecycleError("a Runtime is entered once; make another one")
        self.open()
        try:
            from serinus.runtime.workings import Workings  # noqa: PLC0415 - after the first answer

            self._inside = Workings(
                self.settings,
                self._server,
                handle_signals=self._handle_signals,
                clock=self._clock,
                seed=self._seed,
            )
            self._inside.start()
            await self._inside.join()
        except BaseException:
            self._close_server()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            await self._workings.close()
        finally:
            self._close_server()

    def shutdown(self) -> None:
        """Begin to drain: not ready at once, and `serve_endpoint` returns when drained.

        Once more means: wait no longer.
        """
        self._workings.draining.begin()

    async def drain(self) -> None:
        """Drain, and return when nothing is in flight or the time for it is over."""
        await self._workings.draining.finish()

    async def wait_drained(self) -> None:
        """Wait until someone (a signal, `shutdown`) has the runtime drained."""
        await self._workings.draining.wait()

    @property
    def entered(self) -> bool:
        """Whether it has been entered; it may have been left again."""
        return self._inside is not None

    @property
    def draining(self) -> bool:
        """Whether no new work is wanted."""
        return self.board.system.draining

    def in_flight(self) -> int:
        """Count the requests that draining waits for."""
        return self._workings.in_flight()

    @property
    def address(self) -> str | None:
        """Where the status port answers: `http://host:port`, `unix:/path`, or None without one."""
        return None if self._server is None else self._server.address

    # --- what is judged ----------------------------------------------------------------------

    @property
    def board(self) -> Board:
        """Everything that is judged in this process."""
        return self._workings.board

    def endpoint(self, address: str) -> Endpoint:
        """Return the endpoint at `namespace.component.endpoint`. Raises SettingsError."""
        return self._workings.endpoint(address)

    def group(
        self, address: str, *, kind: str = "data-parallel", policy: str | None = None
    ) -> EndpointGroup:
        """Make a group of endpoints at `namespace.component.endpoint`, which decides for them.

        `kind` is "data-parallel", "sharded" or "prefill-decode"; `policy` says how many members
        must be ready: "all", "any", "majority", a number or a share ("3", "75%"), None for the
        settings' own. Raises SettingsError for other words, LifecycleError for a group that exists.
        """
        return self._workings.group(address, kind=kind, policy=policy)

    def advertise(
        self,
        address: str,
        transport: Mapping[str, str],
        facts: Callable[[], Mapping[str, object]] = dict,
    ) -> None:
        """Say how an endpoint that this process watches for somebody else can be called.

        Where discovery is on it is announced with that transport: one kind, and its address.
        `facts` are what else is known of it, read whenever something is announced.
        """
        self._workings.advertise(address, transport, facts)

    def add_check(self, name: str, check: Check, *, interval: float, timeout: float) -> None:
        """Add a custom check of the process: it is ready only while the check passes.

        `check` is an async callable; False or an exception fails it. It is asked every `interval`
        seconds and has `timeout` seconds.
        """
        self._workings.add_check(name, check, interval=interval, timeout=timeout)

    def report(self) -> Report:
        """Take a snapshot of everything that is believed."""
        return self.board.report()

    def metrics(self) -> bytes:
        """Render the metrics, as the worker knows them, in Prometheus text."""
        return self._workings.metrics()

    def mark(self, text: str) -> None:
        """Say in the recording, if there is one, what is going on: `fault: … begins` and `ends`."""
        if self._workings.recorder is not None:
            self._workings.recorder.mark(text)

    # --- the owner's words -------------------------------------------------------------------

    def set_health_status(self, status: HealthStatus | str) -> None:
        """Set the process-wide status, which decides where no endpoint does."""
        try:
            self.board.set_status(HealthStatus(status))
        except ValueError:
            raise SettingsError(
                f"health status {status!r}; accepted: 'ready' or 'notready'"
            ) from None

    @contextmanager
    def hold(self, why: str) -> Iterator[None]:
        """Withhold readiness of the whole process while the context is open."""
        hold = self.board.hold(why)
        try:
            yield
        finally:
            self.board.release(hold)

    def lease(self, why: str, *, seconds: float) -> LeaseGrant:
        """Announce a planned pause of at most `seconds`: silence is excused, bad answers are not.

        It runs at once, for all endpoints (`Endpoint.lease` for one), until it is released or runs
        out; `with` and `async with` release it, and `renew` lets it go on.
        Raises SettingsError if `seconds` is more than the setting `lease_max`.
        """
        return self.board.lease(why, seconds=seconds)

    def engine_died(self, why: str) -> None:
        """Say that the engine of this process is gone: not ready and not live, for good."""
        self.board.engine_died(why)

    def monitor_engine(
        self,
        engine: Any,
        *,
        interval: float | None = None,
        timeout: float | None = None,
        shutdown: bool = False,
    ) -> None:
        """Watch an `AsyncLLM`-like engine (`errored`, `check_health()`) for its death.

        One that has `is_sleeping()` is asked that too: asleep it is not ready, and live.

        `interval` and `timeout` are seconds; None takes the settings. With `shutdown`, the engine's
        `shutdown()` is called when the runtime closes, within the settings' time for it.
        Raises SettingsError for an object that has neither.
        """
        self._workings.monitor_engine(engine, interval=interval, timeout=timeout, shutdown=shutdown)

    def start_task(self, work: Coroutine[Any, Any, None], *, name: str) -> None:
        """Run a coroutine until the runtime closes; one that fails is reported at once."""
        self._workings.start_task(work, name=name)

    # --- inside ------------------------------------------------------------------------------

    @property
    def _workings(self) -> Workings:
        if self._inside is None:
            raise LifecycleError("not entered: use 'async with Runtime() as runtime'")
        return self._inside

    def _close_server(self) -> None:
        if self._server is not None:
            self._server.close()


def _from_surroundings() -> Settings:
    loaded = load()
    for warning in loaded.warnings:
        logger.warning("%s", warning)
    return loaded.settings
