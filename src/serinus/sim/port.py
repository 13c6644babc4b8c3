"""An HTTP application on a port that can be shut and opened again."""

from __future__ import annotations

import asyncio

from serinus.errors import LifecycleError
from serinus.sim.http import Handler, Middleware, web
from serinus.sim.listener import Place

__all__ = ["Port"]

GRACE_SECONDS = 0.5  # for answers under way when the simulator ends
_TURNS_OF_ACCEPTING = 3
"""Of the loop, from accepting a connection to knowing it. One whose server is closed in between is
lost to everyone (Python 3.11), and its client waits."""


class Port:
    """A place and the application that answers there."""

    def __init__(self, place: Place, application: web.Application) -> None:
        self._place = place
        self._busy: set[asyncio.BaseProtocol] = set()
        application.middlewares.append(self._attended())
        self._runner = web.AppRunner(
            application,
            handler_cancellation=True,
            access_log=None,
            shutdown_timeout=GRACE_SECONDS,
        )
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """The address, as `http://127.0.0.1:8000`."""
        return self._place.url

    async def start(self) -> None:
        """Get ready to answer; the port is still shut."""
        await self._runner.setup()

    async def open(self) -> None:
        """Listen; if it does already, nothing happens.

        Raises:
            SettingsError: Another program has taken the port meanwhile.
            LifecycleError: It was not started.
        """
        if self._server is None:
            loop = asyncio.get_running_loop()
            protocol = self._runner.server
            if protocol is None:
                raise LifecycleError("a port is started before it is opened")
            self._server = await loop.create_server(protocol, sock=self._place.listening())

    async def shut(self) -> None:
        """Refuse connections, and let the idle ones go; what is being answered goes on."""
        server, self._server = self._server, None
        if server is not None:
            for listener in server.sockets:
                asyncio.get_running_loop().remove_reader(listener.fileno())
            for _ in range(_TURNS_OF_ACCEPTING):
                await asyncio.sleep(0)
            server.close()
            for connection in self._runner.server.connections if self._runner.server else ():
                if connection not in self._busy:
                    connection.force_close()

    async def close(self) -> None:
        """Shut for good, and give the number back."""
        await self.shut()
        await self._runner.cleanup()
        self._place.release()

    def _attended(self) -> Middleware:
        """Return a middleware that knows which connections are being answered."""

        @web.middleware
        async def attended(request: web.Request, handler: Handler) -> web.StreamResponse:
            connection = request.protocol
            self._busy.add(connection)
            try:
                return await handler(request)
            finally:
                self._busy.discard(connection)
                if self._server is None:
                    connection.close()  # after this answer: the port was shut meanwhile

        return attended
