"""An app's lifespan, with a beginning and an end of ours around it.

The server's `lifespan.startup` is kept from the app until we have begun, and the end comes after
the app's own. An app that knows no lifespan is answered for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from serinus.asgi.types import App, Message, Receive, Scope, Send

__all__ = ["Lifespan"]

_STARTUP, _SHUTDOWN = "lifespan.startup", "lifespan.shutdown"


class Lifespan:
    """One lifespan. `begin` raises what makes the start fail; `leave` is told of the coming end."""

    def __init__(
        self,
        *,
        begin: Callable[[], Awaitable[None]],
        leave: Callable[[], None],
        end: Callable[[], Awaitable[None]],
    ) -> None:
        self._begin = begin
        self._leave = leave
        self._end = end
        self._begun = False
        self._started = False
        """The server was told that the app has started, or could not."""
        self._ended = False

    async def run(self, app: App, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the lifespan on to the app, until the server ends it."""
        messages: asyncio.Queue[Message] = asyncio.Queue(2)

        async def receive_ours() -> Message:
            message = await self._next(receive)
            messages.put_nowait(message)
            return message

        async def send_ours(message: Message) -> None:
            await self._send(send, message)

        try:
            await app(scope, receive_ours, send_ours)
        except Exception:
            if self._started:  # it is broken, and no stranger to lifespans
                await self._close()
                raise
        if not self._ended:
            await self._alone(receive, send, asked=not messages.empty())

    async def _alone(self, receive: Receive, send: Send, *, asked: bool) -> None:
        """Answer the server in place of an app that does not."""
        if not asked:
            await self._next(receive)
        if not self._started:
            await self._send(send, {"type": f"{_STARTUP}.complete"})
        while (await self._next(receive))["type"] != _SHUTDOWN:
            pass
        await self._send(send, {"type": f"{_SHUTDOWN}.complete"})

    async def _next(self, receive: Receive) -> Message:
        message = await receive()
        if message["type"] == _STARTUP and not self._begun:
            self._begun = True
            await self._begin()
        elif message["type"] == _SHUTDOWN:
            self._leave()
        return message

    async def _send(self, send: Send, message: Message) -> None:
        kind = message["type"]
        if kind.startswith(_STARTUP):
            self._started = True
        if kind.startswith(_SHUTDOWN) or kind == f"{_STARTUP}.failed":
            await self._close()
        await send(message)

    async def _close(self) -> None:
        if self._begun and not self._ended:
            self._ended = True
            await self._end()
