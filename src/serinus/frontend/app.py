"""The routes of the frontend, as an ASGI application: a path is looked up, its answer is sent.

There is no router and no middleware: the paths are few and fixed, and what is sent stands ready.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

from serinus.frontend.answer import Answer, answer_json, of_chunks
from serinus.frontend.bodies import Bodies
from serinus.frontend.events import Events
from serinus.settings import Settings
from serinus.settings.conflicts import METRICS_PATH, MODELS_PATH

__all__ = ["App"]

logger = logging.getLogger("serinus")

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_PATIENCE = 30.0
"""Seconds that a reader may take nothing before it is left."""
_NO = frozenset({"false", "0", "no", "off"})
_LIVE = answer_json(200, {"status": "live", "message": "Service is live"})
_STOPPING = answer_json(503, {"status": "shutting_down", "message": "Service is shutting down"})
_NOT_FOUND = answer_json(404, {"message": "Not found", "type": "Not Found", "code": 404})
_NO_MODEL = answer_json(404, {"message": "Model not found", "type": "Not Found", "code": 404})
_NOT_ALLOWED = of_chunks(405, (), more=((b"allow", b"GET,HEAD"),))
_FULL = answer_json(503, {"status": "full", "message": "as many readers as are allowed"})
_UNMODIFIED = Answer(304, [], ())


class App:
    """Answers requests. `details`, `metrics` and `page` render what is asked for seldom."""

    def __init__(
        self,
        settings: Settings,
        bodies: Bodies,
        events: Events,
        *,
        token: str | None,
        metrics: Callable[[], Answer],
        page: Answer,
    ) -> None:
        self.stopping = False
        self.in_flight = 0
        """Requests that are being answered, streams apart."""
        self.requests: Counter[tuple[str, int]] = Counter()
        self._bodies = bodies
        self._events = events
        self._reach = settings.status_details
        self._token = None if token is None else f"Bearer {token}".encode()
        self._health_path = settings.http_health_path
        self._live_path = settings.http_live_path
        self._routes: dict[str, Callable[[Scope], Answer]] = {
            settings.http_health_path: self._health,
            settings.http_live_path: self._live,
            METRICS_PATH: lambda _: metrics(),
            MODELS_PATH: lambda _: bodies.model_list(),
            "/capacity": lambda _: bodies.capacity(),
            "/dashboard": lambda _: page,
        }

    def ready(self, target: str) -> Callable[[], Answer] | None:
        """Return what answers a path with its query, if nothing else in a request matters."""
        path, _, query = target.partition("?")
        asked = dict(parse_qsl(query, keep_blank_values=True))
        if path == self._live_path and not query:
            return lambda: self._counted(path, self._live({}))
        if path != self._health_path or asked.keys() - {"instances"}:
            return None
        instances = asked.get("instances", "true").lower() not in _NO
        return lambda: self._counted(path, self._bodies.health(instances=instances))

    def _counted(self, path: str, answer: Answer) -> Answer:
        self.requests[path, answer.status] += 1
        return answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; other scopes than HTTP are none of ours."""
        if scope["type"] != "http":
            return
        path = scope["path"]
        if path == "/events" and scope["method"] == "GET":
            await self._stream(scope, receive, send)
            return
        self.in_flight += 1
        try:
            name, answer = self._answer(path, scope)
            self.requests[name, answer.status] += 1
            await _send(answer, send, head=scope["method"] == "HEAD")
        finally:
            self.in_flight -= 1

    def _answer(self, path: str, scope: Scope) -> tuple[str, Answer]:
        route = self._routes.get(path)
        if route is None:
            return self._model(path)
        if scope["method"] not in ("GET", "HEAD"):
            return path, _NOT_ALLOWED
        return path, route(scope)

    def _model(self, path: str) -> tuple[str, Answer]:
        if path.startswith(f"{MODELS_PATH}/") and path.endswith("/ready"):
            model = path[len(MODELS_PATH) + 1 : -len("/ready")]
            return f"{MODELS_PATH}/{{model}}/ready", self._bodies.model_ready(model) or _NO_MODEL
        return "other", _NOT_FOUND

    def _live(self, _: Scope) -> Answer:
        return _STOPPING if self.stopping else _LIVE

    def _health(self, scope: Scope) -> Answer:
        query = scope["query_string"]
        if not query:
            return self._listing(scope)
        asked = dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True))
        if "verbose" in asked and self._may_see_details(scope):
            health = self._bodies.health_now
            told = {"status": "healthy" if health.ready else "not_ready"}
            told |= {"stage": str(health.stage), "message": health.why}
            return answer_json(
                200 if health.ready else 503, {**told, "details": self._bodies.details()}
            )
        if "verbose" in asked or asked.get("instances", "true").lower() in _NO:
            return self._bodies.health(instances=False)
        return self._listing(scope)

    def _listing(self, scope: Scope) -> Answer:
        answer = self._bodies.health(instances=True)
        if answer.headers[-1][0] == b"etag":
            tag = answer.headers[-1][1]
            if any(k == b"if-none-match" and v == tag for k, v in scope["headers"]):
                return _UNMODIFIED
        return answer

    def _may_see_details(self, scope: Scope) -> bool:
        if self._reach == "off":
            return False
        if self._token is not None:
            for name, value in scope["headers"]:
                if name == b"authorization" and hmac.compare_digest(value, self._token):
                    return True
        return self._reach == "local" and _is_local(scope.get("client"))

    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.stopping or self._events.full:
            self.requests["/events", 503] += 1
            await _send(_STOPPING if self.stopping else _FULL, send, head=False)
            return
        self.requests["/events", 200] += 1
        asked = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        with_instances = asked.get("instances", "false").lower() not in _NO
        left = asyncio.create_task(_disconnected(receive), name="reader of events")
        work = asyncio.create_task(self._write(send, instances=with_instances), name="events")
        try:
            await asyncio.wait({left, work}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (left, work):
                task.cancel()
            await asyncio.gather(left, work, return_exceptions=True)

    async def _write(self, send: Send, *, instances: bool) -> None:
        headers = [
            (b"content-type", b"text/event-stream"),
            (b"cache-control", b"no-store"),
            (b"x-accel-buffering", b"no"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        stream = self._events.stream(instances=instances)
        try:
            async for event in stream:
                async with asyncio.timeout(_PATIENCE):
                    for piece in event:
                        await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        except TimeoutError:
            logger.info("a reader of events took nothing for %g s and was left", _PATIENCE)
            raise
        finally:
            await stream.aclose()  # type: ignore[attr-defined]


async def _send(answer: Answer, send: Send, *, head: bool) -> None:
    await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
    chunks = answer.chunks
    if head or not chunks:
        await send({"type": "http.response.body", "body": b""})
        return
    for chunk in chunks[:-1]:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": chunks[-1]})


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _is_local(client: object) -> bool:
    if not isinstance(client, list | tuple):
        return True  # a unix socket has no peer address
    host = str(client[0])
    return host == "::1" or host.startswith(("127.", "::ffff:127."))
