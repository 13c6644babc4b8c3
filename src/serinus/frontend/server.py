"""The HTTP server under the frontend: uvicorn, with our socket, our signals and a bound on silence.

The one door by which it enters. Raises MissingExtraError without it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Iterator
from typing import Any

from serinus.errors import MissingExtraError
from serinus.frontend.app import App
from serinus.frontend.outlet import Outlet
from serinus.frontend.shortcut import Shortcut

try:
    import uvicorn
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
except ImportError as failure:
    raise MissingExtraError(what="The frontend", extra="frontend") from failure

__all__ = ["Server"]

_SILENCE = 10.0
"""Seconds that a request has to arrive, from its first byte or from the connection on."""
_KEEP_ALIVE = 75
_WRITE_AHEAD = 1 << 20
"""Bytes that may wait for a slow reader; they are references to chunks that all readers share."""
_PATIENCE = 30.0
"""Seconds that a reader may take nothing of what was written to it."""
_CONNECTIONS = 10_000


class _Protocol(HttpToolsProtocol):
    """Takes the short way where there is one; leaves who asks nothing, and who takes nothing.

    uvicorn itself waits for ever for the first word.
    """

    shortcut: Shortcut
    between = True
    """Whether all that was received so far was whole requests."""
    asked = False
    """Whether a whole request came since the connection was made, or the last one began."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(Outlet(transport, patience=_PATIENCE))  # type: ignore[arg-type]
        transport.set_write_buffer_limits(high=_WRITE_AHEAD)
        self._first_word = self.loop.call_later(_SILENCE, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        self._first_word.cancel()
        self.transport.end()  # type: ignore[attr-defined]
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        cycle: Any = self.cycle
        if self.between and (cycle is None or cycle.response_complete) and not self.pipeline:
            pieces = None if self.flow.write_paused else self.shortcut.answer(data)
            if pieces is not None:
                self.asked = True
                self._unset_keepalive_if_required()
                self.transport.writelines(pieces)
                self.timeout_keep_alive_task = self.loop.call_later(
                    self.timeout_keep_alive, self.timeout_keep_alive_handler
                )
                return
        super().data_received(data)

    def on_message_begin(self) -> None:
        self.between = self.asked = False
        self._first_word.cancel()
        self._first_word = self.loop.call_later(_SILENCE, self._look)
        super().on_message_begin()

    def on_message_complete(self) -> None:
        self.between = self.asked = True
        self._first_word.cancel()
        super().on_message_complete()

    def _look(self) -> None:
        if not self.asked:
            self.transport.close()


class _Uvicorn(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to the frontend."""
        yield


class Server:
    """Serves an application on a listening socket, which it closes."""

    def __init__(self, app: App, listener: socket.socket) -> None:
        protocol = type("Protocol", (_Protocol,), {"shortcut": Shortcut(app.ready)})
        config = uvicorn.Config(
            app,
            http=protocol,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_keep_alive=_KEEP_ALIVE,
            timeout_graceful_shutdown=2,
            limit_concurrency=_CONNECTIONS,
        )
        logging.getLogger("uvicorn").setLevel(logging.ERROR)  # strangers' nonsense is no news
        self._server = _Uvicorn(config)
        self._listener = listener
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Serve; return when it does."""
        self._task = asyncio.create_task(
            self._server.serve(sockets=[self._listener]), name="http server"
        )
        while not self._server.started:
            if self._task.done():
                self._task.result()
            await asyncio.sleep(0.005)

    async def stop(self) -> None:
        """Close the port, and what is still open after a moment."""
        self._server.should_exit = True
        if self._task is not None:
            await self._task
