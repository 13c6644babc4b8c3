"""One request of a user on its way through the app: what comes and goes keeps the account.

Nothing is changed and nothing held back. The headers of an answer prove nothing: a frozen engine's
server sends them too. A body message costs about what a chunk costs the library
(benchmarks/chunk_cost.py), so that an event in the middle of a stream is accounted for in `send`
itself.
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


_DATA = b"data:"[0]
_ERROR = b'data: {"error'[8]
_ERROR_AT_ONCE = b'data:{"error'[8]
"""By two bytes is told what may be one of those; others are taken for it, and looked at again."""


class Exchange(Account):
    """One request, from its arrival to the end of its answer."""

    __slots__ = (
        "_asked",
        "_clock",
        "_gone",
        "_piece",
        "_receive",
        "_send",
        "_status",
        "_told",
        "_uploaded",
    )

    def __init__(self, traffic: Traffic, scope: Scope, receive: Receive, send: Send) -> None:
        super().__init__(traffic)
        self._clock = traffic.clock
        self._receive = receive
        self._send = send
        self._asked = f"{scope['method']} {excerpt(scope['path'], limit=80)}"
        self._status = 0
        self._piece = b""
        """The last piece that was not read: whole pieces are searched at the end only."""
        self._told = False
        """Whether an error in the answer was told of: its end is no good end then."""
        self._uploaded = False
        """Whether the whole request is here: before, it is the client who owes something."""
        self._gone = False
        """Whether the client went away before the answer was complete."""

    async def run(self, app: App, scope: Scope) -> None:
        """Have the app answer; what it raises comes out."""
        try:
            await app(scope, self.receive, self.send)
        except asyncio.CancelledError:
            self.cancelled()
            raise
        except Exception as error:
            if self._gone:
                self.cancelled()
            else:
                self.failed(_blame(error), f"{type(error).__name__}: {excerpt(error)}")
            raise
        if not self.closed:
            if self._gone:
                self.cancelled()
            else:
                self.failed(RequestFault.SERVER, f"{self._asked}: its answer broke off")

    async def receive(self) -> Message:
        """Pass on what the client sends."""
        if self._uploaded or self.closed:
            message = await self._receive()
        else:
            self.rests()
            try:
                message = await self._receive()
            finally:
                self._owes_again()  # it may have been answered meanwhile
            if not message.get("more_body", False):
                self._uploaded = True
        if message["type"] == "http.disconnect" and not self.closed:
            self._gone = True
        return message

    def _owes_again(self) -> None:
        if not (self._uploaded or self.closed):
            self.owes()

    async def send(self, message: Message) -> None:
        """Pass on what the app answers."""
        left = self._left
        try:
            piece = message["body"]
            if (
                not (left and message["more_body"])
                or self._resting
                or piece[0] != _DATA
                or piece[8] == _ERROR
                or piece[8] == _ERROR_AT_ONCE
            ):
                left = None
        except LookupError:
            left, piece = None, b""
        if not left:
            await self._send_slowly(message)
            return
        traffic, clock, send = self._traffic, self._clock, self._send
        self._piece = piece
        self._last = now = clock()  # from here on as in `accounted`
        self._resting = True
        traffic.awaiting -= 1
        self._left = left = left - 1
        silent = traffic.waiting_since
        if silent < traffic.flow_at:  # noqa: PLR1730 - max() costs too much here
            silent = traffic.flow_at
        traffic.flow_at = now
        silent = now - silent
        if silent > traffic.telling:
            traffic.went_on(now, silent)
        try:
            await send(message)
        except OSError:
            self._gone = True
            raise
        if left and self._resting:
            self._resting = False
            others = traffic.awaiting
            if not others:
                if traffic.flow_at is now:
                    traffic.waiting_since = clock()
                else:
                    traffic.ends_rest(clock())
            traffic.awaiting = others + 1
        else:
            self.owes()

    async def _send_slowly(self, message: Message) -> None:
        """Pass on what is not just one more event of a stream."""
        if self.closed:
            await self._send(message)
            return
        if message["type"] != "http.response.body":
            await self._begin(message)
            return
        piece = message.get("body")
        if piece and self._brings(piece):
            self.brought()
        else:
            self.rests()
        try:
            await self._send(message)
        except OSError:
            self._gone = True
            raise
        if not message.get("more_body"):
            self._end()
        elif not self._told:  # after an error nothing more is owed, and nothing is read in haste
            self.owes()

    def _brings(self, piece: bytes) -> bool:
        """Say whether a piece of the body is output; tell of an error in it."""
        if self.good and not piece.startswith(_TELLING):
            self._piece = piece
            return True
        if b"error" in piece and self._status < 400 and (found := error_of(piece)) is not None:
            self.rests()
            self._told = True
            self.told(found[0], f"{self._asked}: {found[1]}")
            return False
        if self.good and not self._told:
            return not piece.startswith(_COMMENT)
        return self._status < 400 and brings_output(piece)

    async def _begin(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._uploaded = True  # it is answered, whether it was read or not
            self.owes()
        try:
            await self._send(message)
        except OSError:
            self._gone = True
            raise
        if message["type"] == "http.response.pathsend":  # a file in place of a body
            self._end()

    def _end(self) -> None:
        """Close the account of an answer that is complete; an error may have been its last word."""
        status = self._status
        if b"error" in self._piece and (found := error_of(self._piece)) is not None:
            self.failed(found[0], f"{self._asked}: {found[1]}")
            return
        if status < 400:
            self.finished(well=not self._told)
        else:
            self.failed(_fault(status), f"{self._asked}: HTTP {status}")


def _fault(status: int) -> RequestFault:
    """Say whose fault a status is; that the engine has too much to do is not its illness."""
    if status < 500:
        return RequestFault.CLIENT
    return RequestFault.TIMEOUT if status == 504 else RequestFault.SERVER


def _blame(error: Exception) -> RequestFault:
    """Say whose fault an exception is that the app does not catch: its server answers 500."""
    return RequestFault.TIMEOUT if isinstance(error, TimeoutError) else RequestFault.SERVER
