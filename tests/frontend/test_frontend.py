"""A whole frontend over HTTP, in this process."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import pytest

from serinus.discovery import Discovery
from serinus.discovery.memory import Memory
from serinus.errors import LifecycleError, SettingsError
from serinus.frontend.frontend import Frontend
from serinus.settings import Settings
from tests.frontend.fleet import announce, instance
from tests.frontend.wire import events, get, get_json

pytestmark = pytest.mark.real_time


def settings(**more: Any) -> Settings:
    """A frontend on a free port of loopback, quick to look."""
    told: dict[str, Any] = {"http_port": 0, "http_host": "127.0.0.1", "discovery_lease": 1.0}
    told |= {"outside_interval": 0.3, "outside_timeout": 0.3, "fleet_stale_after": 0.5}
    return Settings(discovery_backend="memory", **(told | more))


@asynccontextmanager
async def frontend(store: Memory, **more: Any) -> AsyncIterator[Frontend]:
    """A frontend over a store."""
    async with Frontend(settings(**more), backend=store, handle_signals=False) as it:
        yield it


async def until(found: Callable[[], Any]) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(20):
        while not found():  # noqa: ASYNC110 - anything may be waited for
            await asyncio.sleep(0.01)


async def test_a_fleet_is_shown_over_http() -> None:
    """Health, stream, metrics and the page, from one process."""
    store = Memory()
    async with (
        frontend(store) as it,
        events(it.address, "/events?instances=true") as stream,
        Discovery(store, lease=1.0, owner="worker") as worker,
    ):
        kind, told = await anext(stream)
        assert kind == "state"
        announce(worker, instance(1, place=it.address), instance(2, place="http://127.0.0.1:1"))
        ids: set[int] = set()
        async with asyncio.timeout(20):
            while ids != {1, 2}:
                kind, told = await anext(stream)
                ids |= {one["instance_id"] for one in told.get("instances", [])}
        status, told = await get_json(it.address, "/health")
        assert (status, len(told["instances"])) == (200, 2)
        await until(it.view.unreachable)
        status, told = await get_json(it.address, "/health?verbose")
        assert [one["instance"] for one in told["details"]["unreachable"]] == [instance(2).name]
        assert told["details"]["outside"]["leader"] == it.name
        _, text = await get(it.address, "/metrics")
        assert b"serinus_prober_leader 1" in text
        status, page = await get(it.address, "/dashboard")
        assert (status, page[:15]) == (200, b"<!doctype html>")
        assert b"--good-wash: #e2f2e8;" in page, "its style is in it"
        assert b".css" not in page


async def test_the_view_is_stale_while_the_backend_is_away_and_heals() -> None:
    """With its age, and what it last knew."""
    store = Memory()
    async with (
        frontend(store) as it,
        Discovery(store, lease=1.0, owner="worker") as worker,
        events(it.address) as stream,
    ):
        announce(worker, instance(1, place=it.address))
        await until(lambda: len(it.view.listing) == 1)
        store.fail()
        stage = ""
        async with asyncio.timeout(20):
            while stage != "stale":
                _, told = await anext(stream)
                stage = told["stage"]
        _, told = await get_json(it.address, "/health")
        assert (told["stage"], len(told["instances"])) == ("stale", 1)
        store.restore()
        async with asyncio.timeout(20):
            while stage != "ready":
                _, told = await anext(stream)
                stage = told["stage"]
        _, told = await get_json(it.address, "/health")
        assert (told["stage"], len(told["instances"])) == ("ready", 1)


async def test_draining_shows_at_once_and_ends_the_streams() -> None:
    """`/health` turns, `/live` stays, and a reader of events holds nobody up."""
    async with AsyncExitStack() as stack:
        it = await stack.enter_async_context(frontend(Memory(), drain_grace_period=0.5))
        async with events(it.address) as stream:
            stage = ""
            async with asyncio.timeout(20):
                while stage != "ready":
                    stage = (await anext(stream))[1]["stage"]
            it.stop()
            status, told = await get_json(it.address, "/health")
            assert (status, told["stage"]) == (503, "draining")
            assert (await get(it.address, "/live"))[0] == 200
            assert (await anext(stream))[1]["stage"] == "draining"
            await it.stopped()
            await stack.aclose()
            async with asyncio.timeout(20):
                assert [kind async for kind, _ in stream] == ["end"]


async def test_a_port_that_is_taken_is_named() -> None:
    """By its setting, with what would do."""
    store = Memory()
    async with frontend(store) as it:
        port = int(it.address.rpartition(":")[2])
        with pytest.raises(SettingsError, match=f"http_port: {port} on http_host '127.0.0.1'"):
            async with frontend(store, http_port=port):
                pass


async def test_without_discovery_there_is_nothing_to_show() -> None:
    """And it says so before anything is started."""
    with pytest.raises(SettingsError, match="discovery_backend: 'off'"):
        Frontend(Settings(discovery_backend="off"))


async def test_it_is_stopped_only_while_it_runs() -> None:
    """A mistake of its user is told."""
    it = Frontend(settings(), backend=Memory())
    with pytest.raises(LifecycleError, match="not entered"):
        it.stop()


async def test_a_connection_that_asks_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever holds ports open costs a descriptor for a moment."""
    monkeypatch.setattr("serinus.frontend.server._SILENCE", 0.2)
    async with frontend(Memory()) as it:
        host, _, port = it.address.removeprefix("http://").rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /hea")
        async with asyncio.timeout(20):
            assert await reader.read() == b""
        writer.close()
        reader, writer = await asyncio.open_connection(host, int(port))
        async with asyncio.timeout(20):
            writer.write(b"GET /live HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 200")
            await asyncio.sleep(0.5)
            writer.write(b"GET /live HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 200")
            writer.write(b"GET /li")
            assert await reader.read() == b""
        writer.close()


@pytest.mark.parametrize("header", ["Accept: */*", "Accept-Encoding: x\r\nIf-None-Match: x"])
async def test_a_reader_that_takes_nothing_is_left(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, header: str
) -> None:
    """By the short way and by the server's; what was not taken is given up, not kept."""
    monkeypatch.setattr("serinus.frontend.server._PATIENCE", 0.5)
    caplog.set_level(logging.INFO, logger="serinus")
    async with listing_of_megabytes() as it, connected(it) as reader:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(
            reader, f"GET /health HTTP/1.1\r\nHost: x\r\n{header}\r\n\r\n".encode()
        )
        await until(lambda: "took nothing for 0.5 s and was left" in caplog.text)
        came = 0
        with suppress(ConnectionError):
            while data := await loop.sock_recv(reader, 1 << 20):
                came += len(data)
        assert came < it.view.listing.length
        assert (await get(it.address, "/live"))[0] == 200


async def test_a_slow_reader_gets_all_of_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever takes something now and then is waited for, however long all of it takes."""
    monkeypatch.setattr("serinus.frontend.server._PATIENCE", 1.0)
    caplog.set_level(logging.INFO, logger="serinus")
    async with listing_of_megabytes() as it, connected(it, room=1 << 16) as reader:
        loop = asyncio.get_running_loop()
        request = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        await loop.sock_sendall(reader, request)
        came = 0
        while data := await loop.sock_recv(reader, 1 << 18):
            came += len(data)
            await asyncio.sleep(0.02)
        assert came > it.view.listing.length
        assert "took nothing" not in caplog.text


@asynccontextmanager
async def listing_of_megabytes() -> AsyncIterator[Frontend]:
    """A frontend whose listing does not fit the buffers of a socket."""
    store = Memory()
    async with (
        frontend(store, outside_interval=0.0, discovery_lease=60.0) as it,
        Discovery(store, lease=60.0, owner="worker") as worker,
    ):
        place = "http://10.0.0.1:8000/" + "x" * 4000
        announce(worker, *(instance(number, place=place) for number in range(1, 2001)))
        await until(lambda: len(it.view.listing) == 2000)
        it.view.listing.chunks()
        yield it


@asynccontextmanager
async def connected(it: Frontend, *, room: int = 4096) -> AsyncIterator[socket.socket]:
    """A connection with that much room at this end."""
    with socket.socket() as ours:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        ours.setblocking(False)
        host, _, port = it.address.removeprefix("http://").rpartition(":")
        await asyncio.get_running_loop().sock_connect(ours, (host, int(port)))
        yield ours
