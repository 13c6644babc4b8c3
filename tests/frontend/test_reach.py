"""Reaching an instance as its clients would."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from serinus.core.address import EndpointAddress
from serinus.core.instance import Instance
from serinus.frontend.reach import Outcome, Reach, place_of

pytestmark = pytest.mark.real_time
HERE = EndpointAddress.parse("demo.backend.generate")


@asynccontextmanager
async def server(says: bytes | None) -> AsyncIterator[int]:
    """Answers every connection with some bytes; None: takes it and says nothing."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readline()
            if says is None:
                await asyncio.sleep(30)
            else:
                writer.write(says)
                await writer.drain()
        finally:
            writer.close()

    it = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield it.sockets[0].getsockname()[1]
    it.close()


def over(kind: str, place: str) -> Instance:
    """An instance at a place."""
    return Instance(HERE, 1, {kind: place})


@pytest.mark.parametrize(
    ("says", "outcome", "reason"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", Outcome.REACHED, ""),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", Outcome.REACHED, ""),
        (b"HTTP/1.1 405 Method Not Allowed\r\n\r\n", Outcome.REACHED, ""),
        (b"HTTP/1.1 401\r\n\r\n", Outcome.REACHED, ""),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", Outcome.FAILED, "answers 502"),
        (b"SSH-2.0-OpenSSH\r\n", Outcome.FAILED, "answers, and not in HTTP"),
        (b"x" * 5000, Outcome.FAILED, "answers, and not in HTTP"),
        (b"", Outcome.FAILED, "closed the connection without an answer"),
    ],
)
async def test_any_answer_but_a_failure_of_the_server_shows_it(
    says: bytes, outcome: Outcome, reason: str
) -> None:
    """A 404 has been answered by somebody who is there; a 502 by somebody in between."""
    async with server(says) as port:
        found = await Reach(timeout=5)(over("http", f"http://127.0.0.1:{port}/v1"))
        assert found == (outcome, reason)


async def test_silence_is_a_failure() -> None:
    """A frozen process has its connections taken by the kernel, and answers nothing."""
    async with server(None) as port:
        reach = Reach(timeout=0.2, clock=lambda: 0.0)
        found = await reach(over("http", f"http://127.0.0.1:{port}"))
        assert found == (Outcome.FAILED, "no answer in 0.2 s")


async def test_a_port_that_is_closed_is_a_failure() -> None:
    """With the system's word for it."""
    async with server(b"") as port:
        pass
    found = await Reach(timeout=5)(over("tcp", f"127.0.0.1:{port}/1/demo/backend/generate"))
    assert found.outcome is Outcome.FAILED
    assert "onnect" in found.reason


async def test_over_tcp_a_connection_is_all_that_is_asked() -> None:
    """The reference's plane: the process that took it said nothing, and need not."""
    async with server(None) as port:
        found = await Reach(timeout=5)(over("tcp", f"127.0.0.1:{port}/1/demo/backend/generate"))
        assert found.outcome is Outcome.REACHED


async def test_when_our_own_loop_was_late_nothing_was_shown() -> None:
    """Whoever was asleep cannot say that nobody came."""
    times = iter((0.0, 10.0))
    async with server(None) as port:
        reach = Reach(timeout=0.1, clock=lambda: next(times))
        found = await reach(over("http", f"http://127.0.0.1:{port}"))
        assert found == (Outcome.UNKNOWN, "our own event loop was late")


async def test_a_transport_that_nobody_here_speaks_shows_nothing() -> None:
    """It is left as it is, and counted."""
    found = await Reach(timeout=5)(over("nats_tcp", "subject"))
    assert found.outcome is Outcome.UNKNOWN


@pytest.mark.parametrize(
    "one",
    [
        over("tcp", "nowhere"),
        over("tcp", "host:0/x"),
        over("tcp", "host:99999/x"),
        over("http", "ftp://host"),
        over("http", "http:///path"),
        over("http", "http://host:port/"),
        over("http", "http://host/a b"),
        over("http", "http://host/\r\nX: y"),
    ],
)
async def test_an_address_that_cannot_be_read_is_a_failure(one: Instance) -> None:
    """Its clients cannot call it either; and nothing of it gets into a request."""
    try:
        place = place_of(one)
    except ValueError:
        found = await Reach(timeout=1)(one)
        assert found.outcome is Outcome.FAILED
        assert found.reason.startswith("its address cannot be read")
    else:
        assert place is not None
        assert "\r" not in place.path
        assert "\n" not in place.path


def test_the_request_plane_over_http_goes_before_tcp() -> None:
    """It shows more for the same price."""
    one = Instance(
        HERE, 1, {"tcp": "10.0.0.1:9/1/x"}, facts={"rpc": "http://10.0.0.1:80/v1/rpc/a/b/c"}
    )
    assert place_of(one) == ("10.0.0.1", 80, False, "/v1/rpc/a/b/c")
