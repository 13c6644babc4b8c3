"""Serves endpoints over HTTP; what is on the wire is said in `http_wire.py`.

The one door by which the HTTP server enters. Raises MissingExtraError without it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable

from serinus.core.address import EndpointAddress
from serinus.errors import MissingExtraError, RequestError, SettingsError, excerpt
from serinus.request_plane import http_wire as wire
from serinus.request_plane.faults import Fault, failed
from serinus.request_plane.gate import Gate
from serinus.request_plane.service import GoneError, Service, carry

try:
    from aiohttp import web
except ImportError as failure:
    raise MissingExtraError(what="The request plane over HTTP", extra="http") from failure

__all__ = ["HttpIngress"]

_SLOWEST = 60.0
"""Seconds in which a request must have come, and a reader must take something; it is given up then.
"""
_SHUTDOWN = 1.0


class HttpIngress:
    """Listens from `start` to `close`.

    `limit` bounds the bytes of a request; `overload_code` is the status of one that finds no room;
    while `draining()`, none is taken.
    """

    def __init__(
        self,
        service: Service,
        gate: Gate,
        *,
        host: str,
        port: int,
        limit: int,
        overload_code: int,
        draining: Callable[[], bool],
    ) -> None:
        self._service = service
        self._gate = gate
        self._host = host
        self._port = port
        self._draining = draining
        self._codes = wire.CODES | {Fault.OVERLOADED: overload_code}
        self._limit = limit
        app = web.Application(client_max_size=limit)
        app.router.add_post(f"{wire.ROOT}/{{namespace}}/{{component}}/{{endpoint}}", self._serve)
        self._runner = web.AppRunner(
            app, handler_cancellation=True, access_log=None, shutdown_timeout=_SHUTDOWN
        )

    @property
    def port(self) -> int:
        """The port, also when 0 was asked for."""
        return self._port

    async def start(self) -> None:
        """Listen. Raises SettingsError if the address cannot be had."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port)
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            raise SettingsError(
                f"http_rpc_port {self._port}: {self._host}:{self._port} cannot be listened on: "
                f"{error.strerror}; accepted: an address of this machine with a free port, "
                "or 0 for any free one"
            ) from error
        self._port = self._runner.addresses[0][1]

    async def close(self) -> None:
        """Take no more requests, and cancel what is still in flight."""
        await self._runner.cleanup()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        answer = _Answer(request)
        try:
            await self._answer(request, answer)
        except GoneError:
            if request.transport is not None:
                request.transport.abort()
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller is told
            told = failed(error)
            if not answer.begun:
                return self._refusal(told)
            with contextlib.suppress(GoneError):
                await answer.end(wire.error_line(told))
        return answer.response

    async def _answer(self, request: web.Request, answer: _Answer) -> None:
        if self._draining():
            raise RequestError("draining: no new requests", fault=Fault.UNAVAILABLE)
        seconds = wire.read_deadline(request.headers.get(wire.DEADLINE))
        address = EndpointAddress(*(request.match_info[part] for part in EndpointAddress._fields))
        value = await self._read(request)
        request_id = request.headers.get(wire.REQUEST_ID)
        ticket = self._gate.admit()
        try:
            call = self._service.call(address, value, request_id=request_id)
        except BaseException:
            ticket.leave()
            raise
        await carry(call, answer.send, ticket, seconds=seconds)
        await answer.end(wire.end_line(answer.items))

    async def _read(self, request: web.Request) -> object:
        try:
            async with asyncio.timeout(_SLOWEST):
                body = await request.read()
            return json.loads(body)
        except web.HTTPRequestEntityTooLarge as error:
            told = f"the request is too large; accepted: at most {self._limit} bytes"
            raise RequestError(told, fault=Fault.CLIENT) from error
        except TimeoutError as error:
            told = f"the request did not come within {_SLOWEST:g} s"
            raise RequestError(told, fault=Fault.CLIENT) from error
        except (ValueError, RecursionError) as error:
            told = f"the request is no JSON: {excerpt(error)}"
            raise RequestError(told, fault=Fault.CLIENT) from error

    def _refusal(self, error: RequestError) -> web.Response:
        code = self._codes[Fault(error.fault)]
        return web.Response(
            status=code, body=wire.error_line(error), content_type=wire.CONTENT_TYPE
        )


class _Answer:
    """An answer that begins with its first item, or with its end."""

    def __init__(self, request: web.Request) -> None:
        self.response = web.StreamResponse(headers={"content-type": wire.CONTENT_TYPE})
        self.begun = False
        self.items = 0
        self._request = request

    async def send(self, item: object) -> None:
        """Send an item."""
        line = wire.item_line(item)
        self.items += 1
        await self._write(line)

    async def end(self, line: bytes) -> None:
        """Send the last line."""
        await self._write(line)
        await self._write(b"")

    async def _write(self, line: bytes) -> None:
        """Write a line, or none for the end; it waits for a slow reader, and not for ever."""
        try:
            async with asyncio.timeout(_SLOWEST):
                if not self.begun:
                    self.begun = True
                    await self.response.prepare(self._request)
                if line:
                    await self.response.write(line)
                else:
                    await self.response.write_eof()
        except OSError as error:  # TimeoutError is one
            raise GoneError from error
