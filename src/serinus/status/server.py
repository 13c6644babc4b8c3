"""`SystemStatusServer`: the worker's end of its status port.

It binds the socket, has the status process started and looked after, and brings it documents and
heartbeats. Nothing here answers a request, and once it is up nothing here waits for the status
process: what happens to that never reaches the worker.
"""

from __future__ import annotations

import json
import os
import sys
import time
import weakref
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

from serinus.errors import LifecycleError, StatusError
from serinus.status.attachment import Attachment
from serinus.status.binding import Binding, bind
from serinus.status.config import StatusConfig
from serinus.status.dashboard import dashboard
from serinus.status.launcher import Launcher
from serinus.status.outbox import Outbox
from serinus.status.page import ControlPage
from serinus.status.process import layout
from serinus.status.supervisor import Supervisor

if TYPE_CHECKING:
    import asyncio

__all__ = ["SystemStatusServer"]


class _Parts(NamedTuple):
    """What a started server holds."""

    binding: Binding
    page: ControlPage
    bell: int
    worker: int
    launcher: Launcher
    supervisor: Supervisor

    def forget(self) -> None:
        """Let go of everything, in a forked copy of the worker: the status port is not its own."""
        self.supervisor.forget()
        self.launcher.close()
        os.close(self.worker)
        os.close(self.bell)
        self.page.close()
        self.binding.listener.close()


class SystemStatusServer:
    """Serves `/health`, `/live` and `/metrics` of this process from a process of its own.

    `publish` may be called before `start`, and from any thread. `attach`, `detach` and `close`
    belong to the event loop's thread. A forked copy of the worker has no status port: there all
    methods do nothing.
    """

    def __init__(
        self, config: StatusConfig, *, clock_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._config = config
        self._clock_ns = clock_ns
        self._outbox = Outbox()
        self._cleanup = ExitStack()
        self._parts: _Parts | None = None
        self._attachment: Attachment | None = None
        self._closed = False

    def start(self) -> None:
        """Bind, start the status process, and return once it answers.

        Raises SettingsError if the address cannot be had, StatusError if the status process cannot
        be run, LifecycleError if this server was started before.
        """
        if self._parts is not None or self._closed:
            raise LifecycleError("this status server was started before; make another one")
        _require_linux()
        try:
            with ExitStack() as cleanup:
                self._parts = self._start(cleanup)
                self._cleanup = cleanup.pop_all()
        except OSError as error:
            raise StatusError(f"the status process could not be started: {error}") from error
        _running.add(self)

    @property
    def address(self) -> str:
        """Where it listens: `http://host:port`, or `unix:` and a path."""
        return self._started().binding.address

    @property
    def port(self) -> int | None:
        """The port that it listens on, None of a unix socket."""
        return self._started().binding.port

    @property
    def child_pid(self) -> int | None:
        """The id of the status process; None while another one is being started."""
        return self._started().supervisor.child_pid

    def attach(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        metrics: Callable[[], bytes],
        details: Callable[[], bytes],
    ) -> None:
        """Start the loop's heartbeat, and render metrics and details when they are asked for.

        `metrics` returns Prometheus text, `details` a JSON object; both run in the loop, are asked
        at most five times a second, and may raise: then what they last returned is served.
        """
        parts = self._started()
        if self._closed:
            return
        if self._attachment is not None:
            raise LifecycleError("this status server is attached to a loop; detach it first")
        self._attachment = Attachment(
            loop,
            parts.page,
            parts.bell,
            self._outbox,
            metrics=metrics,
            details=details,
            clock_ns=self._clock_ns,
        )

    def detach(self) -> None:
        """Stop the loop's heartbeat: from here on, a loop that stands still is nobody's fault."""
        attachment, self._attachment = self._attachment, None
        if attachment is not None and not self._closed:
            attachment.end()

    def publish(
        self,
        *,
        ready: bool,
        live: bool,
        reason: str,
        endpoints: bytes,
        armed: bool,
        degraded: bool = False,
    ) -> None:
        """Say how the worker is, from now on; never waits.

        `endpoints` is a JSON object of states, see `endpoints_json`. `armed` says that the worker
        has been ready once: only then does a blocked loop make it not live. `degraded`: it
        serves, but not as it should, which a header says beside each 200.
        """
        if self._closed:
            return
        head = (ready, live, armed, json.dumps(reason)[1:-1], degraded)
        if self._outbox.put(layout.HEALTH, endpoints, head) and self._attachment is not None:
            self._attachment.details_have_changed()

    def renew_details(self) -> None:
        """Render the details now, so that nobody reads older ones beside what is published next.

        Belongs to the event loop's thread.
        """
        if self._attachment is not None and not self._closed:
            self._attachment.renew_details()

    def lease_until(self, seconds_monotonic: float) -> None:
        """Excuse a blocked loop until this time.monotonic() (liveness only); 0 ends the lease."""
        if self._parts is not None and not self._closed:
            self._parts.page.lease_until(int(seconds_monotonic * 1e9))

    def close(self) -> None:
        """End the status process and free the port; idempotent, takes seconds at the very worst."""
        self.detach()
        if not self._closed:
            self._closed = True
            _running.discard(self)
            self._cleanup.close()

    def _started(self) -> _Parts:
        if self._parts is None:
            raise LifecycleError("this status server is not started")
        return self._parts

    def _start(self, cleanup: ExitStack) -> _Parts:
        config = self._config
        binding = bind(config)
        cleanup.callback(binding.remove_file)
        cleanup.callback(binding.listener.close)
        page = ControlPage(started=self._clock_ns())
        cleanup.callback(page.close)
        bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        cleanup.callback(os.close, bell)
        worker = os.pidfd_open(os.getpid())
        cleanup.callback(os.close, worker)
        descriptors = (binding.listener.fileno(), page.descriptor, bell, worker)
        launcher = Launcher(
            {
                "listener": binding.listener.fileno(),
                "page": page.descriptor,
                "bell": bell,
                "worker": worker,
                "worker_pid": os.getpid(),
                "socket_path": None if binding.path is None else os.fsencode(binding.path),
                "socket_inode": binding.inode,
                "health_path": config.health_path.encode(),
                "live_path": config.live_path.encode(),
                "live_mode": config.live_mode,
                "loop_stall": config.loop_stall,
                "loop_budget": config.loop_budget,
                "linger": config.linger,
                "max_connections": config.max_connections,
                "header_bytes": config.header_bytes,
                "header_timeout": config.header_timeout,
                "idle_timeout": config.idle_timeout,
                "details": config.details,
                "token": None if config.token is None else config.token.encode(),
                "dashboard": b"" if config.details == "off" else dashboard(config.health_path),
            },
            descriptors=descriptors,
        )
        cleanup.callback(launcher.close)
        supervisor = Supervisor(launcher, page, self._outbox, clock_ns=self._clock_ns)
        cleanup.callback(supervisor.stop)
        supervisor.start()
        return _Parts(binding, page, bell, worker, launcher, supervisor)

    def _forget(self) -> None:
        parts, self._closed, self._attachment = self._parts, True, None
        self._cleanup.pop_all()
        if parts is not None:
            parts.forget()


_running: weakref.WeakSet[SystemStatusServer] = weakref.WeakSet()


def _forget_all() -> None:
    for server in list(_running):
        server._forget()
    _running.clear()


if hasattr(os, "register_at_fork"):
    # A forked copy that kept the listening socket would keep the port from the next worker.
    os.register_at_fork(after_in_child=_forget_all)


def _require_linux() -> None:
    missing = [name for name in ("memfd_create", "pidfd_open", "eventfd") if not hasattr(os, name)]
    if sys.platform != "linux" or missing:
        raise StatusError(
            f"the status port needs Linux 5.3 or newer and its memfd, pidfd and eventfd; this is "
            f"{sys.platform}" + (f" without {', '.join(missing)}" if missing else "")
        )
    if not sys.executable:
        raise StatusError(
            "the status port needs sys.executable, the interpreter to run its process with; it is "
            "empty in this embedded Python"
        )
