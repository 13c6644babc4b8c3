"""One request of a user on its way through the app: what comes and goes keeps the account.

Nothing is changed and nothing held back. The headers of an answer prove nothing: a frozen engine's
server sends them too. A body message costs what a chunk costs the library
(benchmarks/chunk_cost.py).
"""

from __future__ import annotations

import asyncio

from serinus.asgi.bodies import brings_output, error_of
from serinus.asgi.types import App, Message, Receive, Scope, Send
from serinus.core.evidence import RequestFault
from serinus.errors import excerpt
from serinus.runtime.account import Account
from serinus.runtime.traffic import Traffic

__all__ = ["Exchange"]

_COMMENT = b":"
"""Begins a comment of an event stream: a ping is sent while nothing comes."""
_TELLING = (
    _COMMENT,
    b"data: [DONE]",
    b"event: error",
    b'data: {"error',
    b'data:{"error',
    b'{"error',
)
"""How a piece begins that is no output, or an error."""


class Exchange:
    """One request, from its arrival to the end of its answer."""

    __slots__ = (
        "_account",
        "_asked",
        "_gone",
        "_last",
        "_receive",
        "_send",
        "_status",
        "_traffic",
        "_uploaded",
    )

    def __init__(self, traffic: Traffic, scope: Scope, receive: Receive, send: Send) -> None:
        self._traffic = traffic
        self._account = Account(traffic)
        self._receive = receive
        self._send = send
        self._asked = f"{scope['method']} {excerpt(scope['path'], limit=80)}"
        self._status = 0
        self._last = b""
        """The last piece that was not read: whole pieces are searched at the end only."""
        self._uploaded = False
        """Whether the whole request is here: before, it is the client who owes something."""
        self._gone = False
        """Whether the client went away before the answer was complete."""

    async def run(self, app: App, scope: Scope) -> None:
        """Have the app answer; what it raises comes out."""
        account = self._account
        try:
            await app(scope, self.receive, self.send)
        except asyncio.CancelledError:
            account.cancelled()
            raise
        except Exception as error:
            if self._gone:
                account.cancelled()
            else:
                account.failed(_blame(error), f"{type(error).__name__}: {excerpt(error)}")
            raise
        if not account.closed:
            if self._gone:
                account.cancelled()
            else:
                account.failed(RequestFault.SERVER, f"{self._asked}: its answer broke off")

    async def receive(self) -> Message:
        """Pass on what the client sends."""
        account = self._account
        if self._uploaded or account.closed:
            message = await self._receive()
        else:
            account.rests()
            try:
                message = await self._receive()
            finally:
                self._owes_again()  # it may have been answered meanwhile
            if not message.get("more_body", False):
                self._uploaded = True
        if message["type"] == "http.disconnect" and not account.closed:
            self._gone = True
        return message

    def _owes_again(self) -> None:
        if not (self._uploaded or self._account.closed):
            self._account.owes()

    async def send(self, message: Message) -> None:
        """Pass on what the app answers."""
        account = self._account
        piece = message.get("body")
        if piece and account.good and not account.closed and not piece.startswith(_TELLING):
            self._last = piece
            account.brought()
            try:
                await self._send(message)
            except OSError:
                self._gone = True
                raise
            if message.get("more_body"):
                account.owes()
            else:
                self._end()
            return
        await self._send_slowly(message, piece)

    async def _send_slowly(self, message: Message, piece: bytes | None) -> None:
        """Pass on what is not just one more piece of a stream."""
        account = self._account
        if account.closed:
            await self._send(message)
            return
        if message["type"] != "http.response.body":
            await self._begin(message)
            return
        if piece and self._brings(piece):
            account.brought()
        else:
            account.rests()
        try:
            await self._send(message)
        except OSError:
            self._gone = True
            raise
        if message.get("more_body"):
            account.owes()
        else:
            self._end()

    def _brings(self, piece: bytes) -> bool:
        """Say whether a piece of the body is output; tell of an error in it."""
        if b"error" in piece and self._status < 400 and (found := error_of(piece)) is not None:
            self._account.rests()
            self._traffic.failed(found[0], f"{self._asked}: {found[1]}")
            return False
        if self._account.good:
            return not piece.startswith(_COMMENT)
        return self._status < 400 and brings_output(piece)

    async def _begin(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._uploaded = True  # it is answered, whether it was read or not
            self._account.owes()
        try:
            await self._send(message)
        except OSError:
            self._gone = True
            raise
        if message["type"] == "http.response.pathsend":  # a file in place of a body
            self._end()

    def _end(self) -> None:
        """Close the account of an answer that is complete; an error may have been its last word."""
        account, status = self._account, self._status
        if self._last and b"error" in self._last and (found := error_of(self._last)) is not None:
            account.failed(found[0], f"{self._asked}: {found[1]}")
            return
        if status < 400:
            account.finished()
        else:
            account.failed(_fault(status), f"{self._asked}: HTTP {status}")


def _fault(status: int) -> RequestFault:
    """Say whose fault a status is; that the engine has too much to do is not its illness."""
    if status < 500:
        return RequestFault.CLIENT
    return RequestFault.TIMEOUT if status == 504 else RequestFault.SERVER


def _blame(error: Exception) -> RequestFault:
    """Say whose fault an exception is that the app does not catch: its server answers 500."""
    return RequestFault.TIMEOUT if isinstance(error, TimeoutError) else RequestFault.SERVER
