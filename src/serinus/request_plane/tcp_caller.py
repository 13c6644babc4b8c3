"""Calls instances over the reference's TCP request plane: its workers and ours."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections import deque
from collections.abc import AsyncGenerator
from typing import Any
from uuid import uuid4

from serinus.errors import RequestError, excerpt
from serinus.request_plane import tcp_wire as wire
from serinus.request_plane.faults import Fault
from serinus.request_plane.keepalive import keep_alive
from serinus.request_plane.tcp_ingress import listen

__all__ = ["TcpCaller"]

logger = logging.getLogger("serinus")

_CONNECT = 3.0
"""Seconds to connect to an instance, to hear that it took a request, and that it calls back."""
_LARGEST = 32 << 20
_MOST_ANNOUNCED = 4096


class TcpCaller:
    """Opened by its first call. `host` is where this process can be reached by the instances."""

    def __init__(self, *, bind: str, host: str, port: int = 0) -> None:
        self._bind = bind
        self._host = host
        self._port = port
        self._server: asyncio.Server | None = None
        self._opening = asyncio.Lock()
        self._awaited: dict[str, asyncio.Future[_Stream]] = {}
        self._streams: set[_Stream] = set()
        """Answers that have begun."""
        self._lines: dict[tuple[str, int], _Line] = {}
        self._connecting: dict[tuple[str, int], asyncio.Lock] = {}

    async def close(self) -> None:
        """Close every connection; calls under way fail."""
        if self._server is not None:
            self._server.close()
        for line in self._lines.values():
            line.close()
        for stream in tuple(self._streams):
            stream.close()
        for answer in self._awaited.values():
            answer.cancel()
        self._awaited.clear()

    async def call(
        self,
        place: str,
        request: Any,
        *,
        request_id: str,
        seconds: float | None = None,  # noqa: ARG002 - this plane has no word for it
    ) -> AsyncGenerator[Any, None]:
        """Yield the items of an answer; `place` is `host:port/id/namespace/component/endpoint`.

        Raises RequestError. Closed early, the instance is told that the rest is not wanted.
        `seconds` are the caller's to keep: this plane has no word for them.
        """
        address, _, path = place.partition("/")
        host, _, port = address.rpartition(":")
        if not (host and path and port.isdigit()):
            told = f"{excerpt(place, limit=100)!r} is no place to call over TCP"
            raise RequestError(told, fault=Fault.TRANSPORT)
        await self._open()
        subject = str(uuid4())
        answer = asyncio.get_running_loop().create_future()
        self._awaited[subject] = answer
        stream = None
        try:
            async with asyncio.timeout(_CONNECT):
                line = await self._line(host.strip("[]"), int(port))
                reply = wire.Reply(self._host, self._port, subject)
                await line.send(wire.request(path, request, request_id=request_id, reply=reply))
                stream = await line.outliving(answer)
                self._streams.add(stream)
            async for item in stream.items():
                yield item
        except TimeoutError as error:
            told = f"{address} took no request within {_CONNECT:g} s"
            raise RequestError(told, fault=Fault.TRANSPORT) from error
        except (OSError, EOFError) as error:
            told = f"{address}: {excerpt(error) or type(error).__name__}"
            raise RequestError(told, fault=Fault.TRANSPORT) from error
        except (ValueError, KeyError) as error:
            told = f"{address} broke the protocol: {excerpt(error)}"
            raise RequestError(told, fault=Fault.SERVER) from error
        finally:
            self._awaited.pop(subject, None)
            if stream is not None:
                self._streams.discard(stream)
                stream.close()

    # --- connections -------------------------------------------------------------------------

    async def _open(self) -> None:
        async with self._opening:
            if self._server is None:
                self._server = await listen(
                    self._called_back, self._bind, self._port, called="the port for answers"
                )
                self._port = self._server.sockets[0].getsockname()[1]

    async def _called_back(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Take the connection that an instance made to answer, and give it to whom it is for."""
        subject = ""
        with contextlib.suppress(EOFError, OSError, ValueError, TimeoutError):
            async with asyncio.timeout(_CONNECT):
                said = await wire.read_frame(reader.readexactly, limit=_MOST_ANNOUNCED)
            told = json.loads(said.head)
            subject = str(told.get("subject")) if isinstance(told, dict) else ""
        answer = self._awaited.pop(subject, None)
        if answer is None or answer.done():
            writer.close()
        else:
            keep_alive(writer)
            answer.set_result(_Stream(reader, writer))

    async def _line(self, host: str, port: int) -> _Line:
        at = (host, port)
        async with self._connecting.setdefault(at, asyncio.Lock()):
            line = self._lines.get(at)
            if line is None or line.lost.done():
                self._forget()
                reader, writer = await asyncio.open_connection(host, port)
                keep_alive(writer)
                line = self._lines[at] = _Line(reader, writer)
            return line

    def _forget(self) -> None:
        """Forget connections that are closed, and the locks of those that nobody opens."""
        for at, line in tuple(self._lines.items()):
            if line.lost.done():
                del self._lines[at]
        for at, lock in tuple(self._connecting.items()):
            if at not in self._lines and not lock.locked():
                del self._connecting[at]


class _Line:
    """A connection to an instance over which requests go, and their acknowledgements come."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._writer = writer
        self._unheard: deque[asyncio.Future[bytes]] = deque()
        self._task = asyncio.create_task(self._hear(reader), name="acknowledgements")

    async def send(self, data: bytes) -> None:
        """Send a request, and wait until it was taken. Raises RequestError if it was not."""
        if self.lost.done():
            raise ConnectionResetError("the connection was closed")
        heard: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._unheard.append(heard)
        self._writer.write(data)
        await self._writer.drain()
        said = await heard
        if said != wire.TAKEN:
            fault = Fault.UNAVAILABLE if said.startswith(wire.UNAVAILABLE) else Fault.SERVER
            fault = Fault.OVERLOADED if said.startswith(wire.OVERLOADED) else fault
            raise RequestError(excerpt(said.decode(errors="replace")), fault=fault)

    async def outliving(self, answer: asyncio.Future[_Stream]) -> _Stream:
        """Wait for an answer to begin, but no longer than the connection lasts."""
        ends: set[asyncio.Future[Any]] = {answer, self.lost}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            raise ConnectionResetError("the instance is gone before it answered")
        return answer.result()

    def close(self) -> None:
        """Close it; whoever waits for a word is told."""
        self._task.cancel()

    async def _hear(self, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                said = await wire.read_ack(reader.readexactly)
                heard = self._unheard.popleft()
                if not heard.done():
                    heard.set_result(said)
        except (EOFError, OSError, ValueError, IndexError):
            pass
        finally:
            self.lost.set_result(None)
            self._writer.close()
            for heard in self._unheard:
                if not heard.done():
                    heard.set_exception(ConnectionResetError("closed before it took the request"))


class _Stream:
    """The connection over which one answer comes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._whole = False

    async def items(self) -> AsyncGenerator[Any, None]:
        """Yield the items. Raises RequestError for an error that it carries, EOFError if cut."""
        began = json.loads((await self._read()).head)
        if began.get("error") is not None:
            raise RequestError(excerpt(began["error"]), fault=Fault.SERVER)
        while True:
            body = (await self._read()).body
            if not body:
                continue
            told = json.loads(body)
            if told.get("complete_final"):
                self._whole = True
                return
            data = told.get("data") or {}
            if data.get("event") == "error":
                self._whole = True
                raise _error(data)
            if "data" in data:  # else an annotation, which is no output
                yield data["data"]

    def close(self) -> None:
        """Close it; the instance is told if there was more."""
        if not self._whole and not self._writer.is_closing():
            self._writer.write(wire.frame(head=wire.KILL))
        self._writer.close()

    async def _read(self) -> wire.Frame:
        return await wire.read_frame(self._reader.readexactly, limit=_LARGEST)


def _error(data: dict[str, Any]) -> RequestError:
    error = data.get("error")
    if isinstance(error, dict):
        return RequestError(excerpt(error.get("message")), fault=wire.fault_in(error))
    return RequestError(excerpt(data.get("comment") or "failed"), fault=Fault.SERVER)
