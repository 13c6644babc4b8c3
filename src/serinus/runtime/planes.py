"""The request planes of this process: what is served through them, and where they listen."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from importlib import import_module
from typing import Any, NamedTuple

from serinus.core.address import EndpointAddress
from serinus.core.marker import HEALTH_CHECK_KEY
from serinus.errors import RequestError
from serinus.request_plane.faults import Fault
from serinus.request_plane.gate import Gate
from serinus.request_plane.http_wire import path_of
from serinus.request_plane.service import Call
from serinus.request_plane.tcp_ingress import TcpIngress
from serinus.runtime.board import Board
from serinus.runtime.context import Context
from serinus.runtime.served import Served
from serinus.settings import Settings

__all__ = ["Planes", "advertised", "listened_on"]

_HTTP = "serinus.request_plane.http_ingress"
_OF_ONE_MACHINE = ("off", "memory", "mem", "file")
_ELSEWHERE = ("192.0.2.1", 9)
"""An address that exists nowhere (RFC 5737): a UDP socket is connected to it, and sends nothing, to
learn which of our own addresses others would see."""


class Planes:
    """The planes that the settings ask for, from `open` to `close`."""

    def __init__(self, board: Board, served: Mapping[EndpointAddress, Served]) -> None:
        settings = board.settings
        self.gate = Gate(most=settings.rpc_concurrency, queue=settings.rpc_queue)
        host = listened_on(settings)
        service = _Service(served)
        self.tcp: TcpIngress | None = None
        self.http: Any = None
        """An HttpIngress, whose module is imported where it is asked for: it needs an extra."""
        if _wanted(settings, "tcp", settings.tcp_rpc_port):
            self.tcp = TcpIngress(
                service,
                self.gate,
                host=host,
                port=max(settings.tcp_rpc_port, 0),
                limit=settings.rpc_request_bytes,
            )
        if _wanted(settings, "http", settings.http_rpc_port):
            self.http = import_module(_HTTP).HttpIngress(
                service,
                self.gate,
                host=host,
                port=max(settings.http_rpc_port, 0),
                limit=settings.rpc_request_bytes,
                overload_code=settings.overload_status_code,
                draining=lambda: board.system.draining,
            )

    @property
    def served(self) -> bool:
        """Whether there is any."""
        return self.tcp is not None or self.http is not None

    async def open(self) -> None:
        """Listen. Raises SettingsError if a port cannot be had."""
        try:
            for plane in (self.tcp, self.http):
                if plane is not None:
                    await plane.start()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Stop to listen, and cancel what is still in flight."""
        for plane in (self.tcp, self.http):
            if plane is not None:
                await plane.close()

    def tcp_place(self, address: EndpointAddress, instance_id: int, host: str) -> str | None:
        """Return where an endpoint is called over TCP, as the reference writes it."""
        if self.tcp is None:
            return None
        return f"{_bracketed(host)}:{self.tcp.port}/{instance_id:x}/{'/'.join(address)}"

    def http_place(self, address: EndpointAddress, host: str) -> str | None:
        """Return the URL of an endpoint."""
        if self.http is None:
            return None
        return f"http://{_bracketed(host)}:{self.http.port}{path_of(address)}"


def listened_on(settings: Settings) -> str:
    """Return the address that is listened on."""
    if settings.rpc_host != "auto":
        return settings.rpc_host
    return "127.0.0.1" if settings.discovery_backend in _OF_ONE_MACHINE else "0.0.0.0"


def advertised(settings: Settings) -> str:
    """Return the host by which others reach what is listened on."""
    if settings.advertised_host != "auto":
        return settings.advertised_host
    host = listened_on(settings)
    if host not in ("0.0.0.0", "::"):
        return host
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(_ELSEWHERE)
        return str(probe.getsockname()[0])
    return "127.0.0.1"


def _wanted(settings: Settings, kind: str, port: int) -> bool:
    named = settings.request_plane in (kind, "both")
    return port >= 0 or (named and settings.discovery_backend != "off")


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


class _Service:
    """Requests from elsewhere go the way of all others, and are evidence like them."""

    def __init__(self, served: Mapping[EndpointAddress, Served]) -> None:
        self._served = served

    def call(self, address: EndpointAddress, request: Any, *, request_id: str | None) -> Call:
        """Begin a request; see `Service`."""
        served = self._served.get(address)
        if served is None or not served.has_handler:
            raise RequestError(f"unknown endpoint {address}", fault=Fault.UNAVAILABLE)
        if isinstance(request, Mapping) and request.get(HEALTH_CHECK_KEY) is True:
            context = Context(request_id=request_id, is_canary=True)
            return _Call(_closing(served.canary(request, context)), context)
        context = Context(request_id=request_id)
        return _Call(served.stream(request, context), context)


class _Call(NamedTuple):
    stream: AsyncGenerator[Any, None]
    context: Context

    def stop(self) -> None:
        self.context.stop_generating()


async def _closing(stream: AsyncIterator[Any]) -> AsyncGenerator[Any, None]:
    """Pass a stream on, and close it with this one."""
    try:
        async for item in stream:
            yield item
    finally:
        if isinstance(stream, AsyncGenerator):
            with contextlib.suppress(asyncio.CancelledError):
                await stream.aclose()
