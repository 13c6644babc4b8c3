"""ASGI apps and a server of them in virtual time: one request at a time, piece by piece."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from serinus import Runtime, Settings
from serinus.asgi import HealthMiddleware
from serinus.asgi.types import App, Message, Receive, Scope, Send

PATH = "/v1/completions"
EVENT_STREAM = [(b"content-type", b"text/event-stream")]


def event(item: Any) -> bytes:
    """One event of a stream, as servers of OpenAI's API send it."""
    text = item if isinstance(item, str) else json.dumps(item)
    return f"data: {text}\n\n".encode()


def token(text: str = "x") -> bytes:
    """An event with one token."""
    return event({"choices": [{"index": 0, "text": text}]})


class Server:
    """The server's end: the lifespan, and requests."""

    def __init__(self, app: App) -> None:
        self.app = app
        self._inbox: asyncio.Queue[Message] = asyncio.Queue()
        self.said: list[Message] = []
        self._heard = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.state: dict[str, Any] = {}

    async def startup(self) -> None:
        """Begin the lifespan, and wait for the word that it has begun."""

        async def send(message: Message) -> None:
            self.said.append(message)
            self._heard.set()

        scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0"},
            "state": self.state,
            "app": self,  # as Starlette does
        }
        self._task = asyncio.create_task(_run(self.app, scope, self._inbox.get, send))
        self._inbox.put_nowait({"type": "lifespan.startup"})
        heard = asyncio.create_task(self._heard.wait())
        await asyncio.wait({self._task, heard}, return_when=asyncio.FIRST_COMPLETED)
        heard.cancel()

    async def shutdown(self) -> None:
        """End it."""
        assert self._task is not None
        self._inbox.put_nowait({"type": "lifespan.shutdown"})
        await self._task

    def request(
        self,
        path: str = PATH,
        *,
        method: str = "POST",
        take: Callable[[], Awaitable[None]] | None = None,
    ) -> Request:
        """Send a request whose body is there at once; `take` is what each piece waits for."""
        return Request(self.app, path, method, take)


class Request:
    """One request on its way."""

    def __init__(
        self,
        app: App,
        path: str,
        method: str,
        take: Callable[[], Awaitable[None]] | None,
    ) -> None:
        self._take = take
        self._inbox: asyncio.Queue[Message] = asyncio.Queue()
        self._inbox.put_nowait({"type": "http.request", "body": b"{}", "more_body": False})
        self.messages: list[Message] = []
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [],
        }
        self.task: asyncio.Task[None] = asyncio.create_task(
            _run(app, scope, self._inbox.get, self._send)
        )

    async def _send(self, message: Message) -> None:
        self.messages.append(message)
        if self._take is not None and message["type"] == "http.response.body":
            await self._take()

    def disconnect(self) -> None:
        """Go away."""
        self._inbox.put_nowait({"type": "http.disconnect"})

    async def answered(self) -> tuple[int, bytes]:
        """Wait for the whole answer: its status, its body."""
        await self.task
        return self.status, b"".join(m.get("body", b"") for m in self.messages[1:])

    @property
    def status(self) -> int:
        """The status of its answer."""
        status: int = self.messages[0]["status"]
        return status


async def _run(app: App, scope: Scope, receive: Receive, send: Send) -> None:
    await app(scope, receive, send)


Answer = Callable[[Receive, Send], Awaitable[None]]


class Model:
    """A server of OpenAI's API: `behave` answers POSTs, the list of models is there."""

    def __init__(self, behave: Answer) -> None:
        self.behave = behave
        self.scopes: list[Scope] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        if scope["type"] != "http":
            raise ValueError(f"{scope['type']} is not known here")
        self.scopes.append(scope)
        if scope["path"] == "/v1/models":
            body = json.dumps({"object": "list", "data": [{"id": "tiny"}]}).encode()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": body})
            return
        await receive()
        await self.behave(receive, send)


def streams(*pieces: bytes, pace: float = 0.1, status: int = 200) -> Answer:
    """Answer with these pieces, each after `pace` seconds."""

    async def answer(_receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": EVENT_STREAM})
        for piece in pieces:
            await asyncio.sleep(pace)
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    return answer


async def hangs(receive: Receive, send: Send) -> None:
    """Send the head and then nothing, as a server before a frozen engine does."""
    await send({"type": "http.response.start", "status": 200, "headers": EVENT_STREAM})
    await asyncio.Event().wait()


def settings(**given: Any) -> Settings:
    """Quick ones without a port: a canary after 10 s, 3 s for it, a stall budget of 60 s."""
    return Settings(**{"system_port": -1, "health_check_enabled": True, **given})


@asynccontextmanager
async def watched(
    app: App, given: Settings | None = None, **options: Any
) -> AsyncIterator[tuple[Server, Runtime]]:
    """Serve an app with the middleware around it, in this loop's time."""
    clock = asyncio.get_running_loop().time
    runtime = Runtime(given or settings(), handle_signals=False, clock=clock, seed=1)
    server = Server(HealthMiddleware(app, runtime=runtime, **options))
    await server.startup()
    assert server.said[0]["type"] == "lifespan.startup.complete", server.said
    try:
        yield server, runtime
    finally:
        await server.shutdown()
