"""The short way for requests that come again and again."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from serinus.discovery.memory import Memory
from serinus.frontend.answer import Answer, answer_json, of_chunks
from serinus.frontend.frontend import Frontend
from serinus.frontend.shortcut import Ready, Shortcut
from serinus.settings import Settings

KUBELET = (
    b"GET /health HTTP/1.1\r\nHost: 10.0.0.1:8000\r\nUser-Agent: kube-probe/1.31\r\n"
    b"Accept: */*\r\n\r\n"
)


class Body(bytearray):
    """A chunk whose end can be seen."""


ANSWER = answer_json(200, {"status": "healthy"})


def of_health(target: str) -> Ready | None:
    """What stands ready for one path."""
    return (lambda: ANSWER) if target == "/health" else None


def test_a_plain_request_gets_what_stands_ready() -> None:
    """Status line, headers, body."""
    pieces = Shortcut(of_health).answer(KUBELET)
    assert pieces is not None
    head, _, body = b"".join(pieces).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n")
    assert body == b'{"status":"healthy"}'


@pytest.mark.parametrize(
    "request_",
    [
        b"",
        b"\r\n\r\n",
        b"GET /health HTTP/1.1\r\n",
        KUBELET[:-2],
        KUBELET + b"x",
        KUBELET + KUBELET,
        KUBELET.replace(b"GET", b"HEAD"),
        KUBELET.replace(b"GET", b"POST"),
        KUBELET.replace(b"1.1\r", b"1.0\r"),
        KUBELET.replace(b"/health", b"/other"),
        KUBELET.replace(b"/health", b"/health /x"),
        KUBELET.replace(b"/health", b"/h\xc3\xa4lth"),
        KUBELET.replace(b"Host: 10.0.0.1:8000\r\n", b""),
        KUBELET.replace(b"Accept", b"Host"),
        KUBELET.replace(b"Accept: */*", b"Connection: close"),
        KUBELET.replace(b"Accept: */*", b"CONTENT-LENGTH: 3"),
        KUBELET.replace(b"Accept: */*", b"Transfer-Encoding: chunked"),
        KUBELET.replace(b"Accept: */*", b"If-None-Match: x"),
        KUBELET.replace(b"Accept: */*", b"Authorization: Bearer x"),
        KUBELET.replace(b"Accept: */*", b"Accept : */*"),
        KUBELET.replace(b"Accept: */*", b" folded: x"),
        KUBELET.replace(b"Accept: */*", b"X: " + b"x" * 3000),
    ],
)
def test_anything_else_goes_the_way_of_the_server(request_: bytes) -> None:
    """What is not understood to the last byte is none of this way's."""
    assert Shortcut(of_health).answer(request_) is None


def test_what_is_remembered_is_bounded() -> None:
    """Whoever sends another request each time costs nothing that stays."""
    shortcut = Shortcut(of_health)
    for number in range(1000):
        assert shortcut.answer(KUBELET.replace(b"kube-probe", b"probe%d" % number))
    assert len(shortcut._known) <= 256


def test_answers_that_are_over_are_not_kept_for_each_who_asked() -> None:
    """A fleet that changes has another listing each time, and each may be large."""
    listings: list[weakref.ref[Body]] = []

    def fresh() -> Answer:
        body = Body(b"x" * 1000)
        listings.append(weakref.ref(body))
        return of_chunks(200, (b"[", body, b"]"))  # type: ignore[arg-type] # bytes take no weak reference

    shortcut = Shortcut(lambda _: fresh)
    for number in range(200):
        assert shortcut.answer(KUBELET.replace(b"kube-probe", b"probe%d" % number))
    gc.collect()
    assert sum(listing() is not None for listing in listings) <= 4


def test_another_answer_is_written_anew() -> None:
    """What was written before is kept only as long as its answer stands."""
    now: list[Answer] = [ANSWER]
    shortcut = Shortcut(lambda _: lambda: now[0])
    first = shortcut.answer(KUBELET)
    assert shortcut.answer(KUBELET) is first
    now[0] = answer_json(503, {"status": "not_ready"})
    second = shortcut.answer(KUBELET)
    assert second is not None
    assert b"".join(second).startswith(b"HTTP/1.1 503 Service Unavailable\r\n")


@pytest.mark.real_time
async def test_both_ways_share_a_connection() -> None:
    """A request in two parts, pipelined ones and plain ones, one after the other, in order."""
    settings = Settings(
        discovery_backend="memory", http_port=0, http_host="127.0.0.1", outside_interval=0.0
    )
    async with Frontend(settings, backend=Memory(), handle_signals=False) as it:
        await it.listed()
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", int(it.address.rpartition(":")[2])
        )

        async def answer() -> tuple[bytes, bytes]:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"content-length")
            )
            return head.split(b"\r\n")[0], await reader.readexactly(length)

        live = KUBELET.replace(b"/health", b"/live")
        other = KUBELET.replace(b"/health", b"/capacity")
        async with asyncio.timeout(20):
            writer.write(KUBELET)
            assert b"healthy" in (await answer())[1]
            writer.write(other)
            assert b"hold_scale_down" in (await answer())[1]
            writer.write(KUBELET[:20])
            await asyncio.sleep(0.1)
            writer.write(KUBELET[20:])
            assert b"healthy" in (await answer())[1]
            writer.write(live)
            assert b"live" in (await answer())[1]
            writer.write(live + KUBELET + other)
            assert b"live" in (await answer())[1]
            assert b"healthy" in (await answer())[1]
            assert b"hold_scale_down" in (await answer())[1]
            writer.write(KUBELET)
            status, body = await answer()
            assert (status, b"healthy" in body) == (b"HTTP/1.1 200 OK", True)
        writer.close()
        assert it.app.requests["/health", 200] == 4
