"""When the runtime lives: with the app's lifespan, or from its first request."""

from __future__ import annotations

import asyncio
import json

import pytest

from serinus import Runtime
from serinus.asgi import HealthMiddleware
from serinus.asgi.types import Message, Receive, Scope, Send
from tests.asgi.apps import Model, Server, settings, streams, token, watched

GOOD = streams(token())


def runtime() -> Runtime:
    clock = asyncio.get_running_loop().time
    return Runtime(settings(), handle_signals=False, clock=clock, seed=1)


async def test_the_apps_own_lifespan_runs_inside_ours() -> None:
    """We begin before it and end after it; its state reaches requests and canaries."""
    seen: list[str] = []
    ours = runtime()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "lifespan"
        await receive()
        seen.append("started" if ours.entered else "too early")
        await send({"type": "lifespan.startup.complete"})
        await receive()
        seen.append("draining" if ours.draining else "not draining")
        await send({"type": "lifespan.shutdown.complete"})

    server = Server(HealthMiddleware(app, runtime=ours))
    await server.startup()
    assert ours.report().readiness.ready
    await server.shutdown()
    assert seen == ["started", "draining"]
    assert [message["type"] for message in server.said] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]


async def test_an_app_without_a_lifespan_is_answered_for() -> None:
    """It raises, or returns: the server hears of a start and of an end."""

    async def silent(scope: Scope, receive: Receive, send: Send) -> None:
        return

    for app in (Model(GOOD), silent):
        ours = runtime()
        server = Server(HealthMiddleware(app, runtime=ours))
        await server.startup()
        assert ours.report().readiness.ready
        await server.shutdown()
        assert [message["type"] for message in server.said] == [
            "lifespan.startup.complete",
            "lifespan.shutdown.complete",
        ]


async def test_an_app_that_cannot_start_says_so_and_leaves_nothing_running() -> None:
    """Its word goes through."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no GPU"})

    ours = runtime()
    server = Server(HealthMiddleware(app, runtime=ours))
    await server.startup()
    assert server.said == [{"type": "lifespan.startup.failed", "message": "no GPU"}]
    assert ours.draining


async def test_without_a_lifespan_the_first_request_begins() -> None:
    """Some servers have none."""
    ours = runtime()
    server = Server(HealthMiddleware(Model(GOOD), runtime=ours))
    assert not ours.entered
    first, second = server.request(), server.request()
    assert (await first.answered())[0] == (await second.answered())[0] == 200
    assert ours.report().readiness.ready
    await ours.__aexit__(None, None, None)


async def test_a_runtime_that_is_open_already_stays_its_owners() -> None:
    """Two apps may share it; each withdraws its own endpoint at its end."""
    async with runtime() as shared:
        one = Server(HealthMiddleware(Model(GOOD), runtime=shared, endpoint="a.web.one"))
        two = Server(HealthMiddleware(Model(GOOD), runtime=shared, endpoint="a.web.two"))
        await one.startup()
        await two.startup()
        assert [str(e.address) for e in shared.report().endpoints] == ["a.web.one", "a.web.two"]
        await one.shutdown()
        assert [str(e.address) for e in shared.report().endpoints] == ["a.web.two"]
        assert not shared.draining
        await two.shutdown()


async def test_websockets_go_through() -> None:
    """They are not looked at."""
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(_message: Message) -> None:
        return

    await HealthMiddleware(app, runtime=runtime())({"type": "websocket"}, receive, send)
    assert seen == ["websocket"]


async def test_nothing_is_mounted_unless_it_is_asked_for() -> None:
    """A path of the app stays the app's."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            raise NotImplementedError
        await send({"type": "http.response.start", "status": 418, "headers": []})
        await send({"type": "http.response.body", "body": scope["path"].encode()})

    async with watched(app) as (server, _):
        assert await server.request("/health", method="GET").answered() == (418, b"/health")
    async with watched(app, mount="/serinus") as (server, ours):
        assert (await server.request("/health", method="GET").answered())[0] == 418
        status, body = await server.request("/serinus/health", method="GET").answered()
        assert (status, json.loads(body)["status"]) == (200, "ready")
        assert json.loads(body)["endpoints"] == {"generate": "ready"}
        with ours.hold("not now"):
            status, body = await server.request("/serinus/health", method="GET").answered()
            assert (status, json.loads(body)["status"]) == (503, "notready")
            status, body = await server.request("/serinus/live", method="GET").answered()
            assert (status, json.loads(body)["status"]) == (200, "live")
        status, body = await server.request("/serinus/metrics", method="GET").answered()
        assert status == 200
        assert b"serinus_" in body
        assert await server.request("/serinus/live", method="HEAD").answered() == (200, b"")
        assert (await server.request("/serinus/live").answered())[0] == 405


async def test_a_start_that_fails_fails_the_servers_start() -> None:
    """As with a port that is taken: the server hears why."""

    class Broken(Runtime):
        async def __aenter__(self) -> Broken:
            raise OSError("the status port is taken")

    server = Server(HealthMiddleware(Model(GOOD), runtime=Broken(settings())))
    await server.startup()
    with pytest.raises(OSError, match="the status port is taken"):
        await server.shutdown()


@pytest.mark.parametrize(
    ("engine", "enabled", "warned"),
    [("openai", False, True), ("openai", True, False), (None, False, False)],
)
async def test_an_engine_without_canaries_is_said_to_be_ready_whatever_happens(
    caplog: pytest.LogCaptureFixture, engine: str | None, enabled: bool, warned: bool
) -> None:
    """Whoever names an engine means it to be asked, and may have forgotten the other setting."""
    given = settings(health_check_enabled=enabled)
    async with watched(Model(GOOD), given, engine=engine, model="tiny"):
        pass
    assert ("DYN_HEALTH_CHECK_ENABLED is not true" in caplog.text) is warned
