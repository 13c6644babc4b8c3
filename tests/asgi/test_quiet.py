"""Canaries are left out of a server's log, and nobody else is."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from serinus.asgi import QuietCanaries, WithoutCanaries

ACCESS = "tests.access"
CANARY = [(b"host", b"x"), (b"x-serinus-canary", b"1")]


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """The access log, without filters before and after."""
    caplog.set_level(logging.INFO, ACCESS)
    yield caplog
    logging.getLogger(ACCESS).filters.clear()


async def app(scope: Any, _receive: Any, send: Any) -> None:
    """An app that takes its time, and tells."""
    await asyncio.sleep(0.01)
    await send({"type": "http.response.start", "scope": scope})


async def served(quiet: QuietCanaries, path: str, headers: Any, *, kind: str = "http") -> None:
    """Serve as uvicorn does: a task for each request, the line written as the answer begins."""

    async def send(_message: Any) -> None:
        logging.getLogger(ACCESS).info(path)

    async def receive() -> Any:
        raise AssertionError

    scope = {"type": kind, "path": path, "headers": headers}
    await asyncio.create_task(quiet(scope, receive, send))


async def test_canaries_are_not_logged_and_users_are(log: pytest.LogCaptureFixture) -> None:
    """Also where they are served at the same time."""
    quiet = QuietCanaries(app, loggers=[ACCESS])
    await asyncio.gather(
        served(quiet, "/first", []),
        served(quiet, "/canary", CANARY),
        served(quiet, "/second", [(b"x-other", b"1")]),
    )
    assert sorted(log.messages) == ["/first", "/second"]


async def test_the_context_ends_with_the_request(log: pytest.LogCaptureFixture) -> None:
    """Also with one that fails, in the task of whoever called."""
    quiet = QuietCanaries(broken, loggers=[ACCESS])
    with pytest.raises(ZeroDivisionError):
        await quiet({"type": "http", "headers": CANARY}, nothing, nothing)
    logging.getLogger(ACCESS).info("/after")
    assert log.messages == ["/after"]


async def broken(_scope: Any, _receive: Any, _send: Any) -> None:
    """An app that fails."""
    raise ZeroDivisionError


async def nothing(*_: Any) -> Any:
    """Neither."""


async def test_other_connections_go_through(log: pytest.LogCaptureFixture) -> None:
    """A lifespan has no headers."""
    quiet = QuietCanaries(app, loggers=[ACCESS])
    await served(quiet, "/socket", CANARY, kind="websocket")
    scopes: list[Any] = []

    async def lifespan(scope: Any, _receive: Any, _send: Any) -> None:
        scopes.append(scope)

    await QuietCanaries(lifespan, loggers=[ACCESS])({"type": "lifespan"}, nothing, nothing)
    assert log.messages == ["/socket"]
    assert scopes == [{"type": "lifespan"}]


def test_a_logger_gets_one_filter_however_often_an_app_is_wrapped() -> None:
    """Uvicorn's access log, if none is named."""
    access = logging.getLogger("uvicorn.access")
    try:
        QuietCanaries(QuietCanaries(app))
        assert [type(one) for one in access.filters] == [WithoutCanaries]
    finally:
        access.filters.clear()
