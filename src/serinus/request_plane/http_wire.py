"""The request plane over HTTP, as text. No I/O.

`POST /v1/rpc/<namespace>/<component>/<endpoint>`, the request as a JSON value. The answer begins
with its first item: until then a failure has a status code. It is one JSON object a line:

    {"data": ITEM}                                    for every item
    {"error": {"fault": "server", "message": "…"}}    the handler failed; nothing follows
    {"end": 17}                                       that was all, so many items; nothing follows

An answer that ends without either of the last two was cut. A refusal is the `error` line alone.
"""

from __future__ import annotations

import json
from typing import Any

from serinus.core.address import EndpointAddress
from serinus.errors import RequestError, excerpt
from serinus.request_plane.faults import Fault

__all__ = [
    "CONTENT_TYPE",
    "DEADLINE",
    "REQUEST_ID",
    "ROOT",
    "end_line",
    "error_in",
    "error_line",
    "fault_of_code",
    "item_line",
    "path_of",
    "read_deadline",
]

ROOT = "/v1/rpc"
CONTENT_TYPE = "application/x-ndjson"
DEADLINE = "x-deadline-seconds"
"""A header of the request: seconds from its arrival in which the answer is to be complete."""
REQUEST_ID = "x-request-id"
CODES = {
    Fault.CLIENT: 400,
    Fault.SERVER: 500,
    Fault.TIMEOUT: 504,
    Fault.TRANSPORT: 502,
    Fault.UNAVAILABLE: 503,
}


def path_of(address: EndpointAddress) -> str:
    """Return the path of an endpoint.

    >>> path_of(EndpointAddress.parse("demo.backend.generate"))
    '/v1/rpc/demo/backend/generate'
    """
    return f"{ROOT}/{'/'.join(address)}"


def item_line(item: Any) -> bytes:
    """Write an item. Raises RequestError for what JSON cannot say."""
    try:
        return _line({"data": item})
    except (TypeError, ValueError, RecursionError) as error:
        told = f"the handler yielded what JSON cannot say: {excerpt(error)}"
        raise RequestError(told, fault=Fault.SERVER) from error


def error_line(error: RequestError) -> bytes:
    """Write why there is no answer, or no more of it."""
    return _line({"error": {"fault": str(error.fault), "message": str(error)}})


def end_line(items: int) -> bytes:
    """Write the end of a whole answer."""
    return _line({"end": items})


def error_in(line: Any) -> RequestError | None:
    """Read the error that a line tells of, if it does."""
    error = line.get("error") if isinstance(line, dict) else None
    if not isinstance(error, dict):
        return None
    fault = str(error.get("fault"))
    known = fault if fault in set(Fault) else Fault.SERVER
    return RequestError(excerpt(error.get("message", "failed without a word")), fault=known)


def fault_of_code(code: int) -> Fault:
    """Say what an answer's code means where its body does not.

    >>> fault_of_code(404), fault_of_code(529), fault_of_code(500)
    (<Fault.UNAVAILABLE: 'unavailable'>, <Fault.OVERLOADED: 'overloaded'>, <Fault.SERVER: 'server'>)
    """
    if code in (404, 503):
        return Fault.UNAVAILABLE
    if code in (429, 529):
        return Fault.OVERLOADED
    if code in (408, 504):
        return Fault.TIMEOUT
    return Fault.CLIENT if 400 <= code < 500 else Fault.SERVER


def read_deadline(text: str | None) -> float | None:
    """Read the header of that name. Raises RequestError for what is no number of seconds."""
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < float("inf"):
        raise RequestError(
            f"{DEADLINE}: {excerpt(text, limit=40)!r}; accepted: seconds greater than 0",
            fault=Fault.CLIENT,
        )
    return seconds


def _line(value: Any) -> bytes:
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode() + b"\n"
