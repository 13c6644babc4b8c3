"""Asks an ASGI app in its own process: no socket, no port, no other middleware around it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from serinus.asgi.types import App, Message, Scope
from serinus.engines import Answer, AnswerReader, Question
from serinus.errors import EngineError

__all__ = ["Inside", "Reply"]

_MOST = 4 << 20
"""Bytes of an answer that are kept, or read; more fails."""


class Reply(NamedTuple):
    """What came back: when its first piece came and when its end, and the body of a plain page."""

    status: int
    first: float | None
    done: float
    body: bytes = b""


_OF_A_CONNECTION = frozenset(
    {
        "asgi",
        "client",
        "extensions",
        "headers",
        "http_version",
        "method",
        "path",
        "query_string",
        "raw_path",
        "root_path",
        "scheme",
        "server",
        "state",
        "type",
    }
)
"""What a scope says of its own connection; the rest is what layers around us have put into it."""


class Inside:
    """The app, asked from inside, where layers around it have left `around` in the scope."""

    def __init__(
        self,
        app: App,
        *,
        clock: Callable[[], float],
        around: Scope,
        key: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._app = app
        self._clock = clock
        self._around = {k: v for k, v in around.items() if k not in _OF_A_CONNECTION}
        self._state: Mapping[str, Any] | None = around.get("state")
        self._root_path: str = around.get("root_path", "")
        self._key = key

    async def ask(self, question: Question, reader: AnswerReader) -> Reply:
        """Put a question, and have the answer read; whatever the app raises comes out.

        Cancelling it cancels the app's request. An answer that the app leaves incomplete fails by
        what its reader says.
        """
        request = _Request(self._clock, question.body, reader)
        await self._app(self._scope(question), request.receive, request.send)
        reader.end()
        return Reply(request.status, request.first, request.done or self._clock())

    async def page(self, path: str) -> Reply:
        """Get a page. Raises EngineError for one that is too large."""
        reader = _PageReader()
        reply = await self.ask(Question("GET", path, (), b""), reader)
        if reader.too_large:
            raise EngineError(f"{path}: more than {_MOST} bytes")
        return reply._replace(body=bytes(reader.body))

    def _scope(self, question: Question) -> Scope:
        headers = [*question.headers, ("host", "localhost")]
        if question.body:
            headers.append(("content-length", str(len(question.body))))
        if key := self._key():
            headers.append(("authorization", f"Bearer {key}"))
        path = self._root_path + question.path
        scope: dict[str, Any] = {
            **self._around,
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": question.method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": self._root_path,
            "headers": [(name.encode(), value.encode()) for name, value in headers],
            "client": ("127.0.0.1", 0),
            "server": ("localhost", None),
        }
        if self._state is not None:
            scope["state"] = dict(self._state)
        return scope


class _Request:
    """The server's end of one request."""

    def __init__(self, clock: Callable[[], float], body: bytes, reader: AnswerReader) -> None:
        self.status = 0
        self.first: float | None = None
        self.done: float | None = None
        self._clock = clock
        self._body: bytes | None = body
        self._reader = reader
        self._over = asyncio.Event()

    async def receive(self) -> Message:
        """Hand over the request, then wait for the end, as a patient client does."""
        if self._body is None:
            await self._over.wait()
            return {"type": "http.disconnect"}
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(self, message: Message) -> None:
        """Take a piece of the answer."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = {n.decode("latin-1"): v.decode("latin-1") for n, v in message["headers"]}
            self._reader.start(self.status, headers)
        elif message["type"] == "http.response.body" and self.done is None:
            if piece := message.get("body"):
                if self.first is None:
                    self.first = self._clock()
                self._reader.feed(bytes(piece))
            if not message.get("more_body"):
                self.done = self._clock()
                self._over.set()


class _PageReader:
    """Keeps a page as it is."""

    def __init__(self) -> None:
        self.body = bytearray()
        self.too_large = False
        self.answer = Answer()

    def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Take the head."""

    def feed(self, data: bytes) -> None:
        """Take a piece."""
        self.too_large = self.too_large or len(self.body) + len(data) > _MOST
        if not self.too_large:
            self.body += data

    def end(self) -> None:
        """Take the end."""
