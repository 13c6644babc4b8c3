"""The request planes as bytes: what is written is read, and any bytes are survived."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from serinus.errors import RequestError
from serinus.request_plane import http_wire, tcp_wire
from serinus.request_plane.faults import Fault
from serinus.request_plane.tcp_wire import Reply, Request

LIMIT = 4096
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda some: (
        st.lists(some, max_size=3) | st.dictionaries(st.text(max_size=4), some, max_size=3)
    ),
    max_leaves=8,
)
CONTROL = (
    b'{"id":"e6039373","request_type":"single_in","response_type":"many_out",'
    b'"payload_codec":"json","connection_info":{"transport":"tcp_server","info":"{'
    b'\\"address\\":\\"192.0.2.2:45681\\",\\"subject\\":\\"6c527372-9bc2\\",'
    b'\\"context\\":\\"e6039373\\",\\"stream_type\\":\\"response\\"}"}}'
)
"""As Dynamo 1.6.1 writes it; ids cut short."""


def recorded(control: bytes = CONTROL, body: bytes = b'{"n":3}') -> bytes:
    """Return a request as a client of Dynamo 1.6.1 sent it, with another control part."""
    path = b"1234abcd5678/demo/backend/generate"
    headers = b'{"x-frontend-send-ts-ns":"1795804590276945786","request-id":"e6039373"}'
    payload = len(control).to_bytes(8) + len(body).to_bytes(8) + bytes(8) + control + body
    head = len(path).to_bytes(2) + path + len(headers).to_bytes(2) + headers
    return head + len(payload).to_bytes(4) + payload


async def read(data: bytes) -> tcp_wire.Request:
    """Read a request from bytes that then end."""
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    return await tcp_wire.read_request(reader.readexactly, limit=LIMIT)


def read_now(data: bytes) -> tcp_wire.Request:
    """Read a request where no loop runs."""
    return asyncio.run(read(data))


@given(JSON, st.sampled_from(["10.0.0.7", "::1", "worker-3"]), st.integers(1, 65535))
def test_a_request_is_read_as_it_was_written(value: Any, host: str, port: int) -> None:
    """With where its answer is wanted."""
    reply = Reply(host, port, "some-subject")
    written = tcp_wire.request("1f/demo/backend/generate", value, request_id="r1", reply=reply)
    if len(written) < LIMIT:
        path = "1f/demo/backend/generate"
        assert read_now(written) == Request(path, "r1", reply, value)


def test_a_request_of_the_reference_is_read() -> None:
    """Recorded from its client."""
    reply = Reply("192.0.2.2", 45681, "6c527372-9bc2")
    path = "1234abcd5678/demo/backend/generate"
    assert read_now(recorded()) == Request(path, "e6039373", reply, {"n": 3})


@given(st.binary(max_size=200))
@example(recorded()[:60])
@example(recorded()[:-1])
@example(recorded(CONTROL.replace(b"tcp_server", b"tcp_mirror")))
@example(recorded(CONTROL.replace(b"45681", b"port")))
@example(recorded(b"[" * 2000))
@example(recorded(b"7"))
def test_what_is_no_request_is_refused(data: bytes) -> None:
    """By an error that the ingress expects, whatever the bytes."""
    with pytest.raises((ValueError, KeyError, EOFError, RecursionError)):
        read_now(data)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (recorded(CONTROL.replace(b'"json"', b'"msgpack"')), "a body in msgpack; accepted: json"),
        (recorded(body=b"x" * (LIMIT + 1)), "a request of 4097 bytes; accepted: at most 4096"),
        (recorded(body=b"{"), "the request is no JSON"),
        (recorded(body=b"[" * 2000), "the request is no JSON"),
        (recorded(body=b""), "the request is no JSON"),
    ],
)
def test_a_request_that_is_not_accepted_says_where_to_say_so(data: bytes, why: str) -> None:
    """The connection it came by goes on."""
    request = read_now(data)
    assert request.refused is not None
    assert why in str(request.refused)
    assert request.refused.fault == "client"
    assert request.reply.port == 45681


def test_more_than_the_control_part_may_have_is_not_waited_for() -> None:
    """Nor is memory kept for it."""
    huge = (70000).to_bytes(8) + bytes(16)
    with pytest.raises(ValueError, match="70000 bytes; accepted: at most 65536"):
        read_now(b"\0\x01a\0\0" + (70024).to_bytes(4) + huge)


@given(JSON)
def test_an_item_is_what_the_reference_writes(value: Any) -> None:
    """Compared with what its own worker sent, byte by byte but for the item."""
    told = tcp_wire.item(value)
    assert json.loads(told[24:]) == {"data": {"data": value}, "complete_final": False}
    assert told[:16] == (0).to_bytes(8) + len(told[24:]).to_bytes(8)


def test_the_end_is_what_the_reference_writes() -> None:
    """Recorded from its worker."""
    assert tcp_wire.last() == (
        b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x17\0\0\0\0\0\0\0\0"
        b'{"complete_final":true}\0\0\0\0\0\0\0\n\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"sentinel"'
    )


@pytest.mark.parametrize("fault", Fault)
def test_whose_fault_it_was_survives_both_wires(fault: Fault) -> None:
    """Over TCP as far as the reference has a word for it."""
    error = RequestError("so it was", fault=fault)
    over_http = http_wire.error_in(json.loads(http_wire.error_line(error)))
    assert over_http is not None
    assert (over_http.fault, str(over_http)) == (fault, "so it was")
    over_tcp = json.loads(tcp_wire.error_item(error)[24:])["data"]["error"]
    known = fault in (Fault.CLIENT, Fault.TIMEOUT)
    assert tcp_wire.fault_in(over_tcp) == (fault if known else Fault.SERVER)


@pytest.mark.parametrize("item", [object(), float("nan"), {"a": {1}}, b"bytes"])
def test_what_json_cannot_say_is_the_handlers_fault(item: object) -> None:
    """And not the client's, though Python calls it a ValueError."""
    for write in (tcp_wire.item, http_wire.item_line):
        with pytest.raises(RequestError, match="yielded what JSON cannot say") as error:
            write(item)
        assert error.value.fault == "server"


@pytest.mark.parametrize("text", ["0", "-1", "soon", "nan", "inf", ""])
def test_a_deadline_that_is_none_is_refused(text: str) -> None:
    """With what is accepted."""
    with pytest.raises(RequestError, match="accepted: seconds greater than 0"):
        http_wire.read_deadline(text)
    assert http_wire.read_deadline("2.5") == 2.5
    assert http_wire.read_deadline(None) is None
