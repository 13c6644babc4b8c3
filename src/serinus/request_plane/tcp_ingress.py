"""Serves endpoints over the reference's TCP request plane, so that its clients call our workers.

The caller does not try elsewhere when it is refused, so requests that arrive while the word of a
withdrawal is still on its way are served like any other: see `Service`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator
from typing import Any

from serinus.core.address import EndpointAddress
from serinus.errors import RequestError, SettingsError, excerpt
from serinus.request_plane import tcp_wire as wire
from serinus.request_plane.faults import Fault, failed
from serinus.request_plane.gate import Gate, Ticket
from serinus.request_plane.keepalive import keep_alive
from serinus.request_plane.service import Call, GoneError, Service, carry

__all__ = ["TcpIngress", "listen"]

logger = logging.getLogger("serinus")

_CONNECT = 5.0
"""Seconds to connect to whoever wants the answer."""
_SLOWEST = 60.0
"""Seconds in which a reader must take something; it is given up then."""
_AFTER = 1.0
"""Seconds that the reader of an answer has to close, before we do; and that readers have to end."""


class TcpIngress:
    """Listens from `start` to `close`. `limit` bounds the bytes of a request."""

    def __init__(self, service: Service, gate: Gate, *, host: str, port: int, limit: int) -> None:
        self._service = service
        self._gate = gate
        self._host = host
        self._port = port
        self._limit = limit
        self._server: asyncio.Server | None = None
        self._answers: set[asyncio.Task[None]] = set()
        self._callers: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}
        """The connections over which requests come, and the tasks that read them."""

    @property
    def port(self) -> int:
        """The port, also when 0 was asked for."""
        return self._port

    async def start(self) -> None:
        """Listen. Raises SettingsError if the address cannot be had."""
        self._server = await listen(self._serve, self._host, self._port, called="tcp_rpc_port")
        self._port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Take no more requests, and cancel what is still in flight."""
        if self._server is not None:
            self._server.close()
            readers = [task for task in self._callers.values() if task is not None]
            for caller in self._callers:
                caller.transport.abort()
            if readers:  # which end by themselves now
                await asyncio.wait(readers, timeout=_AFTER)
            with contextlib.suppress(TimeoutError):  # from Python 3.12.1 on, for connections too
                async with asyncio.timeout(_AFTER):
                    await self._server.wait_closed()
        for task in self._answers:
            task.cancel()
        await asyncio.gather(*self._answers, return_exceptions=True)

    # --- requests ----------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        keep_alive(writer)
        self._callers[writer] = asyncio.current_task()
        try:
            while True:
                request = await self._next(reader)
                writer.write(wire.ack(self._take(request)))
                await writer.drain()
        except (EOFError, OSError):
            pass  # the caller is gone
        except (ValueError, KeyError, RecursionError, UnicodeDecodeError) as error:
            why = f"not understood: {excerpt(error)}"
            logger.warning("request plane over TCP: %s", why)
            with contextlib.suppress(OSError):  # and what follows cannot be either
                writer.write(wire.ack(wire.UNAVAILABLE + why.encode()))
                await writer.drain()
        finally:
            self._callers.pop(writer, None)
            writer.close()

    async def _next(self, reader: asyncio.StreamReader) -> wire.Request:
        """Read the next request; once begun, it has to come."""
        first = await reader.readexactly(1)

        async def exactly(count: int) -> bytes:
            nonlocal first
            taken, first = first, b""
            return taken + await reader.readexactly(count - len(taken))

        async with asyncio.timeout(_SLOWEST):
            return await wire.read_request(exactly, limit=self._limit)

    def _take(self, request: wire.Request) -> bytes:
        """Begin to answer a request; return what it is acknowledged with."""
        try:
            address = _address(request.path)
            call: Call
            if request.refused is None:
                call = self._service.call(address, request.body, request_id=request.request_id)
            else:
                call = _Refused(request.refused)
            ticket = self._gate.admit()
        except RequestError as error:
            overloaded = error.fault == Fault.OVERLOADED
            return (wire.OVERLOADED if overloaded else wire.UNAVAILABLE) + str(error).encode()
        task = asyncio.create_task(self._answer(request, call, ticket), name=f"call of {address}")
        self._answers.add(task)
        task.add_done_callback(self._answers.discard)
        return wire.TAKEN

    # --- answers -----------------------------------------------------------------------------

    async def _answer(self, request: wire.Request, call: Call, ticket: Ticket) -> None:
        try:
            async with asyncio.timeout(_CONNECT):
                reader, writer = await asyncio.open_connection(*request.reply[:2])
            keep_alive(writer)
        except BaseException as error:
            ticket.leave()
            await call.stream.aclose()
            if not isinstance(error, OSError):  # TimeoutError is one
                raise
            logger.info("request plane over TCP: no answer to %s: %s", request.reply[:2], error)
            return
        word = asyncio.create_task(_last_word(reader), name="the caller's word")
        try:
            with contextlib.suppress(GoneError):
                await _Out(writer).answer(request, call, ticket, word)
                await asyncio.wait({word}, timeout=_AFTER)  # it closes when it has read all
        finally:
            word.cancel()
            writer.close()
            await asyncio.gather(word, return_exceptions=True)


class _Refused:
    """A call that fails by what is wrong with its request."""

    def __init__(self, error: RequestError) -> None:
        self.stream = self._stream((error,))

    def stop(self) -> None:
        """Have nothing to stop."""

    async def _stream(self, errors: tuple[RequestError, ...]) -> AsyncGenerator[Any, None]:
        for error in errors:
            raise error
        yield  # which makes it a generator


class _Out:
    """An answer's connection: what is sent waits for a slow reader, and not for ever."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    async def answer(
        self, request: wire.Request, call: Call, ticket: Ticket, unwanted: asyncio.Task[None]
    ) -> None:
        """Send a whole answer."""
        head = {"subject": request.reply.subject, "stream_type": "response"}
        self._writer.write(wire.frame(head=head) + wire.frame(head={"error": None}))
        try:
            await carry(call, self._deliver, ticket, unwanted=unwanted)
        except GoneError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller is told
            await self._send(wire.error_item(failed(error)))
        await self._send(wire.last())

    async def _deliver(self, value: Any) -> None:
        await self._send(wire.item(value))

    async def _send(self, data: bytes) -> None:
        self._writer.write(data)
        try:
            async with asyncio.timeout(_SLOWEST):
                await self._writer.drain()
        except OSError as error:  # TimeoutError is one
            self._writer.transport.abort()
            raise GoneError from error


async def _last_word(reader: asyncio.StreamReader) -> None:
    """Return when the answer is not wanted any more."""
    with contextlib.suppress(EOFError, OSError, ValueError):
        while True:
            said = await wire.read_frame(reader.readexactly, limit=wire.MOST_CONTROL)
            if said.head.strip(b'"').decode() in (wire.STOP, wire.KILL):
                return


def _address(path: str) -> EndpointAddress:
    """Read `<hex id>/namespace/component/endpoint`."""
    try:
        return EndpointAddress.parse(".".join(path.split("/")[1:]))
    except SettingsError:
        told = f"unknown endpoint {excerpt(path, limit=100)}"
        raise RequestError(told, fault=Fault.UNAVAILABLE) from None


async def listen(handler: Any, host: str, port: int, *, called: str) -> asyncio.Server:
    """Listen for connections. Raises SettingsError that names the setting."""
    try:
        return await asyncio.start_server(handler, host, port)
    except OSError as failure:
        raise SettingsError(
            f"{called} {port}: {host}:{port} cannot be listened on: {failure.strerror}; accepted: "
            "an address of this machine with a free port, or 0 for any free one"
        ) from failure
