"""One request of a user on its way through the app: what comes and goes keeps the account.

Nothing is changed and nothing held back. The headers of an answer prove nothing: a frozen engine's
server sends them too.

An event in the middle of a stream is accounted for in `send` itself (benchmarks/chunk_cost.py says
what it costs). Of such a one the clock is read when it comes, and not again when the server has
taken it: a server that does not have to wait takes it at once. Where it has to wait, since the
client reads slowly, a round sees that (`serinus.asgi.rounds`), and until the server has taken it
nothing is owed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from serinus.asgi.bodies import brings_output, error_of
from serinus.asgi.rounds import Rounds
from serinus.asgi.types import App, Message, Receive, Scope, Send
from serinus.core.evidence import RequestFault
from serinus.errors import excerpt
from serinus.runtime.account import Account
from serinus.runtime.traffic import SAMPLE, Traffic

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


_DATA, _EVENT = b"data:"[0], b"event:"[0]
_ERROR = b'data: {"error'[9]  # as in b'data:{"error' and b"event: error"
"""By two bytes is told what is none of those; what may be one is looked at again."""


class _Way(NamedTuple):
    """What an answer goes through; `look` sees whether it waits, `settle` brings up the account."""

    send: Send
    look: Callable[[], None]
    settle: Callable[[], None]


class Exchange(Account):
    """One request, from its arrival to the end of its answer."""

    __slots__ = (
        "_asked",
        "_gone",
        "_piece",
        "_receive",
        "_rounds",
        "_send",
        "_status",
        "_told",
        "_uploaded",
    )

    def __init__(
        self, traffic: Traffic, rounds: Rounds, scope: Scope, receive: Receive, send: Send
    ) -> None:
        super().__init__(traffic)
        self._rounds = rounds
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
            await self._pass(app, scope)
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

    async def _pass(self, app: App, scope: Scope) -> None:
        way = self._way()
        self._rounds.join(way.look)
        try:
            await app(scope, self.receive, way.send)
        finally:
            self._rounds.leave(way.look)
            way.settle()

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

    def _way(self) -> _Way:
        """Return what passes the answer on.

        As long as one event comes like the other, the account is kept in variables of its own,
        which cost half of what attributes do; before anything else it is settled.
        """
        traffic, clock, pass_on = self._traffic, self._traffic.clock, self._send
        alike = waits = False
        left = 0  # as `_left` while events are alike; else none may be taken for one
        piece, came = b"", 0.0

        async def send(message: Message) -> None:
            nonlocal left, piece, came, waits
            try:
                body = message["body"]
                if (
                    not left
                    or not message["more_body"]
                    or (body[0] != _DATA and body[0] != _EVENT)
                    or body[9] == _ERROR
                ):
                    body = None
            except LookupError:
                body = None
            if body is None:
                settle()
                await self._send_slowly(message)
                settle()  # others may have come meanwhile
                begin()
                return
            piece = body
            came = now = clock()  # from here on to `waits` as in `brought`
            left -= 1
            silent = now - traffic.flow_at
            traffic.flow_at = now
            if silent > traffic.telling:
                silent = min(silent, now - traffic.waiting_since)  # a rest is no silence
                if silent > traffic.telling:
                    traffic.went_on(now, silent)
            waits = True
            try:
                await pass_on(message)
            except BaseException as error:
                stop(error)
                raise
            waits = False
            if not left:
                go_on()

        def settle() -> None:
            nonlocal alike, left
            if alike:
                self._left, self._last, self._piece = left, came, piece
                alike, left = False, 0

        def begin() -> None:
            nonlocal alike, left, waits
            if self._left and not self._resting:
                alike, left, waits = True, self._left, False

        def stop(error: BaseException) -> None:
            settle()
            self.rests()
            self._gone = self._gone or isinstance(error, OSError)

        def go_on() -> None:
            """Go on after a rest that is to be known: it is one of the sample, or was seen."""
            nonlocal left
            if alike:
                self.sampled(clock() - came)
                left = SAMPLE
            elif self._left is not None and not self._told:
                self.owes()
                begin()

        def look() -> None:
            if alike and waits:
                settle()
                self.rests(since=came)

        return _Way(send, look, settle)

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
