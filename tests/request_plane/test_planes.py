"""The promises of a request plane: the same over HTTP and over TCP."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import aclosing

import aiohttp
import pytest

from serinus.core.address import EndpointAddress
from serinus.errors import RequestError, SettingsError
from serinus.request_plane.gate import Gate
from serinus.request_plane.http_ingress import HttpIngress
from serinus.request_plane.keepalive import GONE, kept_alive
from serinus.request_plane.tcp_ingress import TcpIngress
from tests.request_plane.services import ADDRESS, LIMIT, Plane, Service, plane_of, until

pytestmark = pytest.mark.real_time
NAMES = ["http", "tcp"]


@pytest.fixture(params=NAMES)
async def plane(request: pytest.FixtureRequest) -> AsyncIterator[Plane]:
    """Return a plane with room enough."""
    async with plane_of(request.param) as served:
        yield served


@pytest.fixture(params=NAMES)
async def full(request: pytest.FixtureRequest) -> AsyncIterator[Plane]:
    """Return a plane with room for one, and for one more that waits."""
    async with plane_of(request.param, most=1, queue=1) as served:
        yield served


async def test_an_answer_comes_item_by_item(plane: Plane) -> None:
    """Each when it is there, and the id of the request with it."""
    loop = asyncio.get_running_loop()
    came = []
    began = loop.time()
    async for item in plane.call({"items": 3, "gap": 0.2, "text": "ü\n"}):
        assert item["text"] == "ü\n"
        came.append(loop.time() - began)
    assert len(came) == 3
    assert came[2] - came[0] >= 0.3
    assert plane.service.ids == ["a-request"]
    await until(lambda: plane.gate.inside == 0)


async def test_an_answer_without_items_is_one(plane: Plane) -> None:
    """It is whole, and empty."""
    assert [item async for item in plane.call({"items": 0})] == []


@pytest.mark.parametrize(
    ("raised", "fault"),
    [
        ("ValueError", "client"),
        ("RuntimeError", "server"),
        ("TimeoutError", "timeout"),
        ("ConnectionResetError", "server"),
    ],
)
@pytest.mark.parametrize("items", [0, 2])
async def test_whose_fault_a_failure_is_arrives(
    plane: Plane, raised: str, fault: str, items: int
) -> None:
    """Before the first item and after it; a lost connection of the handler is none of ours."""
    answer = plane.call({"items": items, "raise": raised})
    for number in range(items):
        assert (await anext(answer))["number"] == number
    with pytest.raises(RequestError, match=f"{raised}: as it was told") as failure:
        await anext(answer)
    assert failure.value.fault == fault


async def test_a_caller_that_leaves_cancels_the_handler(plane: Plane) -> None:
    """Its context is told, and the place is free again."""
    async with aclosing(plane.call({"items": 1, "hang": True})) as answer:
        await anext(answer)
    (call,) = plane.service.calls
    await until(call.ended.is_set)
    assert call.stopped
    await until(lambda: plane.gate.inside == 0)


async def test_a_caller_that_leaves_before_the_first_item_does_too(plane: Plane) -> None:
    """It had nothing to be told by."""
    asking = asyncio.create_task(anext(plane.call({"items": 0, "hang": True})))
    await until(lambda: plane.service.calls)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await until(plane.service.calls[0].ended.is_set)
    assert plane.service.calls[0].stopped


async def test_what_finds_no_room_is_refused(full: Plane) -> None:
    """At once, by a fault of its own; what waits has its turn."""
    async with aclosing(full.call({"items": 1, "hang": True})) as first:
        await anext(first)
        second = asyncio.create_task(anext(full.call({"items": 1})))
        await until(lambda: full.gate.waiting == 1)
        with pytest.raises(RequestError, match="no more are taken") as refused:
            await anext(full.call({"items": 1}))
        assert refused.value.fault == "overloaded"
        assert not second.done()
    assert (await second)["number"] == 0


async def test_a_slow_reader_is_not_read_ahead_for(plane: Plane) -> None:
    """What it does not take fills the sockets, and then the handler waits."""
    async with aclosing(plane.call({"items": 4000, "text": "x" * 20000})) as answer:
        await anext(answer)
        (call,) = plane.service.calls
        last = -1
        while last != call.read:
            last = call.read
            await asyncio.sleep(0.3)
        assert call.read < 2000
        rest = [item async for item in answer]
    assert len(rest) == 3999


async def test_an_endpoint_that_is_not_served_is_unavailable(plane: Plane) -> None:
    """It may be elsewhere."""
    place = plane.place(EndpointAddress("demo", "backend", "other"))
    with pytest.raises(RequestError, match="unknown endpoint") as missing:
        await anext(plane.caller.call(place, {}, request_id="r"))
    assert missing.value.fault == "unavailable"


async def test_nobody_there_is_a_fault_of_the_transport(plane: Plane) -> None:
    """A port that is closed, as after a death."""
    async with plane_of(plane.name) as other:
        place = other.place()
    with pytest.raises(RequestError) as gone:
        await anext(plane.caller.call(place, {}, request_id="r"))
    assert gone.value.fault == "transport"


async def test_an_answer_that_is_cut_is_not_whole(plane: Plane) -> None:
    """The instance dies in the middle of it."""
    async with plane_of(plane.name) as dying:
        answer = plane.caller.call(dying.place(), {"items": 1, "hang": True}, request_id="r")
        await anext(answer)
    with pytest.raises(RequestError) as cut:
        await anext(answer)
    assert cut.value.fault == "transport"


async def test_a_machine_that_is_gone_is_noticed(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody closes its connections; every one that a caller reads asks now and then."""
    told: list[socket.socket] = []

    def note(place: socket.socket) -> None:
        kept_alive(place)
        told.append(place)

    for module in ("keepalive", "http_caller"):
        monkeypatch.setattr(f"serinus.request_plane.{module}.kept_alive", note)
    async with aclosing(plane.call({"items": 1, "hang": True})) as answer:
        await anext(answer)
        assert len(told) == {"http": 1, "tcp": 4}[plane.name]
        for place in told:
            assert place.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert place.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == GONE // 4
            assert place.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == GONE * 1000


async def test_a_request_that_is_too_large_is_refused(plane: Plane) -> None:
    """And the next one is served."""
    with pytest.raises(RequestError, match=f"accepted: at most {LIMIT}"):
        await anext(plane.call({"text": "x" * (LIMIT + 1)}))
    assert [item["number"] async for item in plane.call({"items": 1})] == [0]


async def test_many_at_once_do_not_mix(plane: Plane) -> None:
    """Each caller has its own answer."""

    async def ask(number: int) -> set[str]:
        request = {"items": 5, "gap": 0.01, "text": str(number)}
        return {item["text"] async for item in plane.call(request)}

    answers = await asyncio.gather(*(ask(number) for number in range(16)))
    assert answers == [{str(number)} for number in range(16)]


@pytest.mark.parametrize("kind", NAMES)
async def test_a_port_that_cannot_be_had_is_named(kind: str) -> None:
    """With the setting, and what is accepted."""
    async with plane_of(kind) as there:
        service, gate = Service(), Gate(most=1, queue=1)
        second: HttpIngress | TcpIngress
        second = TcpIngress(service, gate, host="127.0.0.1", port=there.port, limit=LIMIT)
        if kind == "http":
            second = HttpIngress(
                service,
                gate,
                host="127.0.0.1",
                port=there.port,
                limit=LIMIT,
                overload_code=529,
                draining=lambda: False,
            )
        with pytest.raises(SettingsError, match=rf"{kind}_rpc_port {there.port}: .*free port"):
            await second.start()


# --- what only HTTP has ----------------------------------------------------------------------


@pytest.fixture
async def http() -> AsyncIterator[Plane]:
    """Return the plane over HTTP with room for one."""
    async with plane_of("http", most=1, queue=0) as served:
        yield served


async def post(plane: Plane, body: str, **headers: str) -> tuple[int, str, str]:
    """Send a request as anybody could; return the code, the type and the body."""
    name = {key.replace("_", "-"): value for key, value in headers.items()}
    async with (
        aiohttp.ClientSession() as session,
        session.post(plane.place(), data=body, headers=name) as answer,
    ):
        return answer.status, answer.content_type, await answer.text()


async def test_it_is_lines_of_json(http: Plane) -> None:
    """So that curl is a client."""
    code, kind, body = await post(http, '{"items": 2}')
    assert (code, kind) == (200, "application/x-ndjson")
    assert body.splitlines() == [
        '{"data":{"number":0,"text":""}}',
        '{"data":{"number":1,"text":""}}',
        '{"end":2}',
    ]


async def test_a_failure_before_the_first_item_has_a_code(http: Plane) -> None:
    """After it there is only the line."""
    code, _, body = await post(http, '{"items": 0, "raise": "ValueError"}')
    assert code == 400
    assert body == '{"error":{"fault":"client","message":"ValueError: as it was told"}}\n'
    assert (await post(http, '{"raise": "RuntimeError"}'))[0] == 500
    code, _, body = await post(http, '{"items": 1, "raise": "RuntimeError"}')
    assert code == 200
    assert '"fault":"server"' in body.splitlines()[-1]


async def test_past_its_deadline_the_handler_is_cancelled(http: Plane) -> None:
    """The caller says how long; 504 if nothing has come."""
    code, _, body = await post(http, '{"hang": true}', x_deadline_seconds="0.2")
    assert (code, "not done after 0.2 s" in body) == (504, True)
    (call,) = http.service.calls
    assert call.stopped
    assert call.ended.is_set()
    assert (await post(http, "{}", x_deadline_seconds="soon"))[0] == 400


async def test_while_draining_none_is_taken(http: Plane) -> None:
    """What is in flight goes on to its end."""
    answer = http.call({"items": 3, "gap": 0.1})
    await anext(answer)
    http.service.draining = True
    code, _, body = await post(http, "{}")
    assert (code, "draining" in body) == (503, True)
    assert len([item async for item in answer]) == 2


async def test_the_code_for_no_room_is_the_settings(http: Plane) -> None:
    """529 where the reference has it."""
    async with aclosing(http.call({"items": 1, "hang": True})) as first:
        await anext(first)
        assert (await post(http, "{}"))[0] == 529


@pytest.mark.parametrize("body", ["", "{", "nonsense", "[" * 60000])
async def test_what_is_no_json_is_refused(http: Plane, body: str) -> None:
    """By a line of JSON that says so."""
    code, kind, told = await post(http, body)
    assert (code, kind) == (400, "application/x-ndjson")
    assert "the request is no JSON" in told


async def test_a_request_whose_body_does_not_come_is_refused(
    http: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever sends half of it and waits costs a connection for a while, and no more."""
    monkeypatch.setattr("serinus.request_plane.http_ingress._SLOWEST", 0.3)
    reader, writer = await asyncio.open_connection("127.0.0.1", http.port)
    path = http.place().partition(str(http.port))[2]
    writer.write(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{{".encode())
    async with asyncio.timeout(20):
        assert (await reader.readline()).startswith(b"HTTP/1.1 400")
        assert b"the request did not come within 0.3 s" in await reader.readuntil(b"}}")
    writer.close()
    assert http.service.calls == []


# --- what only TCP has -----------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n" * 4000, b"\xff" * 100_000, b"\0" * 64])
async def test_what_is_not_understood_closes_the_connection(data: bytes) -> None:
    """And no other."""
    async with plane_of("tcp") as plane:
        reader, writer = await asyncio.open_connection("127.0.0.1", plane.port)
        writer.write(data)
        writer.write_eof()
        try:
            async with asyncio.timeout(10):
                await reader.read(-1)
        except ConnectionError:
            pass  # reset, as there was more to read
        writer.close()
        assert [item["number"] async for item in plane.call({"items": 1})] == [0]


async def test_a_request_whose_caller_cannot_be_reached_is_given_up() -> None:
    """Its place is free, and its handler never began."""
    async with plane_of("tcp") as plane:
        assert [item["number"] async for item in plane.call({"items": 1})] == [0]
        plane.caller._port = 1  # type: ignore[attr-defined] # where nobody listens
        asking = asyncio.create_task(anext(plane.call({"items": 1})))
        await until(lambda: len(plane.service.calls) == 2)
        await until(lambda: plane.gate.inside == 0)
        assert plane.service.calls[1].read == 0
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)


async def test_closing_waits_for_no_connection_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """From Python 3.12.1 on a server waits until all of its connections are closed."""
    ingress = TcpIngress(Service(), Gate(most=1, queue=1), host="127.0.0.1", port=0, limit=LIMIT)
    await ingress.start()
    monkeypatch.setattr(asyncio.Server, "wait_closed", lambda _: asyncio.sleep(3600))
    async with asyncio.timeout(20):
        await ingress.close()


def test_the_address_is_the_one_of_the_service() -> None:
    """The tests above would prove nothing otherwise."""
    assert str(ADDRESS) == "demo.backend.generate"
