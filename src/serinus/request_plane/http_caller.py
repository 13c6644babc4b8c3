"""Calls instances over HTTP. The one door by which the HTTP client enters.

Raises MissingExtraError without it.
"""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncGenerator
from typing import Any

from serinus.errors import MissingExtraError, RequestError, excerpt
from serinus.request_plane import http_wire as wire
from serinus.request_plane.faults import Fault
from serinus.request_plane.keepalive import kept_alive

try:
    import aiohttp
except ImportError as failure:
    raise MissingExtraError(what="Calling over HTTP", extra="http") from failure

__all__ = ["HttpCaller"]

_CONNECT = 3.0
_LARGEST = 32 << 20
"""Bytes of one line."""
_REFUSAL = 64 << 10
_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT)


class HttpCaller:
    """Opened by its first call. Proxies of the environment and redirects are not followed."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close every connection; calls under way fail."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def call(
        self, place: str, request: Any, *, request_id: str, seconds: float | None = None
    ) -> AsyncGenerator[Any, None]:
        """Yield the items of an answer; `place` is its URL, `seconds` the deadline that it hears.

        Raises RequestError. Closed early, the connection is, and the handler is cancelled.
        """
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0, socket_factory=_socket)
            self._session = aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT)
        headers = {wire.REQUEST_ID: request_id}
        if seconds is not None:
            headers[wire.DEADLINE] = f"{max(seconds, 0.001):.3f}"
        try:
            answer = await self._session.post(
                place, json=request, headers=headers, allow_redirects=False
            )
            try:
                if answer.status != 200:
                    raise await _refusal(answer)
                async for item in _items(answer.content):
                    yield item
            finally:
                answer.close()
        except (aiohttp.ClientError, OSError) as error:  # TimeoutError, to connect, is one
            told = f"{excerpt(place, limit=100)}: {excerpt(error) or type(error).__name__}"
            raise RequestError(told, fault=Fault.TRANSPORT) from error


def _socket(place: aiohttp.AddrInfoType) -> socket.socket:
    made = socket.socket(*place[:3])
    kept_alive(made)
    return made


async def _refusal(answer: aiohttp.ClientResponse) -> RequestError:
    body = await answer.content.read(_REFUSAL)
    try:
        told = wire.error_in(json.loads(body))
    except (ValueError, RecursionError):
        told = None
    if told is not None:
        return told
    fault = wire.fault_of_code(answer.status)
    return RequestError(f"[{answer.status}] {excerpt(body.decode(errors='replace'))}", fault=fault)


async def _items(content: aiohttp.StreamReader) -> AsyncGenerator[Any, None]:
    async for line in _lines(content):
        try:
            told = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise RequestError(
                f"a line that is no JSON: {excerpt(error)}", fault=Fault.SERVER
            ) from error
        if (failure := wire.error_in(told)) is not None:
            raise failure
        if isinstance(told, dict) and "data" in told:
            yield told["data"]
        else:
            await content.read(-1)  # the end, so that the connection is kept
            return
    raise RequestError("the answer was cut before its end", fault=Fault.TRANSPORT)


async def _lines(content: aiohttp.StreamReader) -> AsyncGenerator[bytes, None]:
    left = b""
    async for piece in content.iter_any():
        *whole, left = (left + piece).split(b"\n")
        for line in whole:
            yield line
        if len(left) > _LARGEST:
            told = f"an item of more than {_LARGEST} bytes"
            raise RequestError(told, fault=Fault.SERVER)
