"""The reference's request plane over TCP, as bytes. No I/O.

Seen on the wire with Dynamo 1.6.1. Numbers are unsigned and big-endian.

A request goes over a connection that the caller keeps:

    u16 path, u16 headers, u32 payload: each its length, then the bytes in turn; the headers are a
    JSON object of texts, the payload is a two-part frame

and is acknowledged there, in order, by a u32 length and as many bytes: none for "taken", else why
not, of which `Server overloaded:` and `Server unavailable:` are told apart by the reference.

A two-part frame is u64 head, u64 body, u64 checksum (0: none), and the bytes of both. Of a request
the head is a JSON object that names the codec of the body and where the answer is wanted: the
worker connects there and sends frames,

    head {"subject", "stream_type": "response"}       which of the caller's requests it is
    head {"error": null}, or a text                   the handler has been started, or not
    body {"data": {"data": ITEM}, "complete_final": false}      for every item
    body {"data": {"event": "error", "error": {…}}, …}          when the handler fails
    body {"complete_final": true}                     that was all
    head "sentinel"                                   and nothing follows

while the caller may send the head "stop" or "kill", or close: the answer is not wanted any more.

Bodies are JSON or msgpack, as the record of the instance says; ours say and send JSON.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

from serinus.errors import RequestError, excerpt
from serinus.request_plane.faults import Fault

__all__ = [
    "CODEC",
    "KILL",
    "MOST_CONTROL",
    "OVERLOADED",
    "SENTINEL",
    "STOP",
    "TAKEN",
    "UNAVAILABLE",
    "Frame",
    "Reply",
    "Request",
    "ack",
    "error_item",
    "fault_in",
    "frame",
    "item",
    "last",
    "read_ack",
    "read_frame",
    "read_request",
    "request",
]

CODEC = "json"
MOST_CONTROL = 65536
"""Bytes of the control part of a request, and of any word of control."""
STOP, KILL, SENTINEL = "stop", "kill", "sentinel"
TAKEN = b""
OVERLOADED = b"Server overloaded: "
UNAVAILABLE = b"Server unavailable: "

_U16, _U32, _FRAME = struct.Struct(">H"), struct.Struct(">I"), struct.Struct(">QQQ")
_KIND = {
    Fault.CLIENT: ("InvalidArgument", "InvalidRequest", "backend.invalid_argument"),
    Fault.TIMEOUT: ("ConnectionTimeout", "DeadlineExceeded", "backend.connection_timeout"),
}
_ANY_KIND = ("Unknown", "Internal", "backend.unknown")

Exactly: TypeAlias = Callable[[int], Awaitable[bytes]]
"""Reads so many bytes, as `asyncio.StreamReader.readexactly`."""


class Frame(NamedTuple):
    """Two parts, either of which may be empty."""

    head: bytes
    body: bytes


class Reply(NamedTuple):
    """Where an answer is wanted: an address, and which of the requests there it is of."""

    host: str
    port: int
    subject: str


class Request(NamedTuple):
    """A request as it comes in."""

    path: str
    request_id: str
    reply: Reply
    body: Any
    refused: RequestError | None = None
    """Why it is not accepted."""


# --- writing ---------------------------------------------------------------------------------


def frame(*, head: Any = ..., body: Any = ...) -> bytes:
    """Write a two-part frame of JSON values; without one, that part is empty.

    >>> frame(head="sentinel")[24:]
    b'"sentinel"'
    """
    parts = [b"" if part is ... else _json(part) for part in (head, body)]
    return _FRAME.pack(len(parts[0]), len(parts[1]), 0) + parts[0] + parts[1]


def request(path: str, value: Any, *, request_id: str, reply: Reply) -> bytes:
    """Write a request."""
    where = {
        "address": f"[{reply.host}]:{reply.port}" if ":" in reply.host else _plain(reply),
        "subject": reply.subject,
        "context": request_id,
        "stream_type": "response",
    }
    control = {
        "id": request_id,
        "request_type": "single_in",
        "response_type": "many_out",
        "payload_codec": CODEC,
        "connection_info": {"transport": "tcp_server", "info": json.dumps(where)},
    }
    payload = frame(head=control, body=value)
    name, headers = path.encode(), _json({"request-id": request_id, "x-endpoint-path": path})
    lengths = _U16.pack(len(name)), _U16.pack(len(headers)), _U32.pack(len(payload))
    return b"".join((lengths[0], name, lengths[1], headers, lengths[2], payload))


def ack(why: bytes = TAKEN) -> bytes:
    """Write the acknowledgement of a request: taken, or why not."""
    return _U32.pack(len(why)) + why


def item(value: Any) -> bytes:
    """Write one item of an answer. Raises RequestError for what JSON cannot say."""
    try:
        return frame(body={"data": {"data": value}, "complete_final": False})
    except (TypeError, ValueError, RecursionError) as error:
        told = f"the handler yielded what JSON cannot say: {excerpt(error)}"
        raise RequestError(told, fault=Fault.SERVER) from error


def error_item(error: RequestError) -> bytes:
    """Write the error that ends an answer, in the reference's words for it."""
    kind, group, reason = _KIND.get(Fault(error.fault), _ANY_KIND)
    told = {
        "error_type": {"Backend": kind},
        "class": group,
        "reason": reason,
        "message": str(error),
        "diagnostic": str(error),
    }
    return frame(body={"data": {"event": "error", "error": told}, "complete_final": False})


def last() -> bytes:
    """Write the end of an answer."""
    return frame(body={"complete_final": True}) + frame(head=SENTINEL)


# --- reading ---------------------------------------------------------------------------------


async def read_request(exactly: Exactly, *, limit: int) -> Request:
    """Read a request. Raises ValueError or KeyError for what is none, EOFError between two.

    One that cannot be accepted is read to its end and carries why not: its caller is to be told.
    """
    path = await exactly(_U16.unpack(await exactly(2))[0])
    await exactly(_U16.unpack(await exactly(2))[0])
    (length,) = _U32.unpack(await exactly(4))
    if length < _FRAME.size:
        raise ValueError("a payload that is no frame")
    head, body, _ = _FRAME.unpack(await exactly(_FRAME.size))
    if _FRAME.size + head + body != length:
        raise ValueError("a payload whose parts are not as long as it says")
    if head > MOST_CONTROL:
        raise ValueError(f"a control part of {head} bytes; accepted: at most {MOST_CONTROL}")
    control = _mapping(json.loads(await exactly(head)))
    request = Request(
        path.decode(), str(control["id"]), _reply(_mapping(control["connection_info"])), None
    )
    if body > limit:
        await _skip(exactly, body)
        why = f"a request of {body} bytes; accepted: at most {limit}"
        return request._replace(refused=RequestError(why, fault=Fault.CLIENT))
    data = await exactly(body)
    codec = control.get("payload_codec", CODEC)
    if codec != CODEC:
        why = f"a body in {excerpt(codec, limit=20)}; accepted: {CODEC}, as announced"
        return request._replace(refused=RequestError(why, fault=Fault.CLIENT))
    try:
        return request._replace(body=json.loads(data))
    except (ValueError, RecursionError) as error:
        why = f"the request is no JSON: {excerpt(error)}"
        return request._replace(refused=RequestError(why, fault=Fault.CLIENT))


async def read_ack(exactly: Exactly, *, limit: int = MOST_CONTROL) -> bytes:
    """Read an acknowledgement. Raises ValueError for one that is too long."""
    (length,) = _U32.unpack(await exactly(4))
    if length > limit:
        raise ValueError(f"an acknowledgement of {length} bytes")
    return await exactly(length)


async def read_frame(exactly: Exactly, *, limit: int) -> Frame:
    """Read a two-part frame. Raises ValueError for one that is too long."""
    head, body, _ = _FRAME.unpack(await exactly(_FRAME.size))
    if head + body > limit:
        raise ValueError(f"a frame of {head + body} bytes; accepted: at most {limit}")
    return Frame(await exactly(head), await exactly(body))


def fault_in(error: Mapping[str, Any]) -> Fault:
    """Say whose fault an error item tells of.

    >>> fault_in({"error_type": {"Backend": "InvalidArgument"}})
    <Fault.CLIENT: 'client'>
    """
    kind = error.get("error_type")
    word = next(iter(kind.values()), "") if isinstance(kind, Mapping) else kind
    if word in ("InvalidArgument", "Cancelled"):
        return Fault.CLIENT
    if word in ("ConnectionTimeout", "ResponseTimeout"):
        return Fault.TIMEOUT
    return Fault.TRANSPORT if word in ("Disconnected", "CannotConnect") else Fault.SERVER


async def _skip(exactly: Exactly, length: int) -> None:
    while length:
        length -= len(await exactly(min(length, MOST_CONTROL)))


def _reply(connection: Mapping[str, Any]) -> Reply:
    if connection.get("transport") != "tcp_server":
        kind = excerpt(connection.get("transport"), limit=40)
        raise ValueError(f"an answer is wanted by {kind}; accepted: tcp_server")
    info = _mapping(json.loads(connection["info"]))
    host, _, port = str(info["address"]).rpartition(":")
    return Reply(host.strip("[]"), int(port), str(info["subject"]))


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"a {type(value).__name__} where an object is expected")  # noqa: TRY004 - of foreign text
    return value


def _plain(reply: Reply) -> str:
    return f"{reply.host}:{reply.port}"


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
