"""A service whose handler does what its request says, and the planes that serve it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from serinus.core.address import EndpointAddress
from serinus.errors import RequestError
from serinus.request_plane.client import Caller
from serinus.request_plane.faults import Fault
from serinus.request_plane.gate import Gate
from serinus.request_plane.http_caller import HttpCaller
from serinus.request_plane.http_ingress import HttpIngress
from serinus.request_plane.http_wire import path_of
from serinus.request_plane.tcp_caller import TcpCaller
from serinus.request_plane.tcp_ingress import TcpIngress

ADDRESS = EndpointAddress("demo", "backend", "generate")
LIMIT = 65536
_ERRORS: dict[str, type[Exception]] = {
    "ValueError": ValueError,
    "RuntimeError": RuntimeError,
    "TimeoutError": TimeoutError,
    "ConnectionResetError": ConnectionResetError,
}


class Call:
    """One request in the hands of the handler."""

    def __init__(self, service: Service, request: dict[str, Any]) -> None:
        self.stopped = False
        self.read = 0
        self.ended = asyncio.Event()
        self.stream = self._stream(request)
        service.calls.append(self)

    def stop(self) -> None:
        """Be told that the answer is not wanted."""
        self.stopped = True

    async def _stream(self, request: dict[str, Any]) -> AsyncGenerator[Any, None]:
        try:
            for number in range(request.get("items", 0)):
                await asyncio.sleep(request.get("gap", 0))
                yield {"number": number, "text": request.get("text", "")}
                self.read += 1
            if (error := request.get("raise")) is not None:
                raise _ERRORS[error]("as it was told")
            if request.get("hang"):
                await asyncio.sleep(3600)
        finally:
            self.ended.set()


class Service:
    """Serves one endpoint."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.ids: list[str | None] = []
        self.draining = False

    def call(self, address: EndpointAddress, request: Any, *, request_id: str | None) -> Call:
        """Begin a request."""
        if address != ADDRESS:
            raise RequestError(f"unknown endpoint {address}", fault=Fault.UNAVAILABLE)
        self.ids.append(request_id)
        return Call(self, request)


class Plane(NamedTuple):
    """A plane that is served, and what calls over it."""

    name: str
    service: Service
    gate: Gate
    port: int
    caller: Caller

    def place(self, address: EndpointAddress = ADDRESS) -> str:
        """Return where an endpoint is called."""
        if self.name == "http":
            return f"http://127.0.0.1:{self.port}{path_of(address)}"
        return f"127.0.0.1:{self.port}/1f/{'/'.join(address)}"

    def call(self, request: Any, **options: Any) -> AsyncGenerator[Any, None]:
        """Call the endpoint."""
        return self.caller.call(self.place(), request, request_id="a-request", **options)


@asynccontextmanager
async def plane_of(name: str, *, most: int = 16, queue: int = 16) -> AsyncIterator[Plane]:
    """Serve a plane."""
    service, gate = Service(), Gate(most=most, queue=queue)
    ingress: HttpIngress | TcpIngress
    caller: Caller
    if name == "http":
        ingress = HttpIngress(
            service,
            gate,
            host="127.0.0.1",
            port=0,
            limit=LIMIT,
            overload_code=529,
            draining=lambda: service.draining,
        )
        caller = HttpCaller()
    else:
        ingress = TcpIngress(service, gate, host="127.0.0.1", port=0, limit=LIMIT)
        caller = TcpCaller(bind="127.0.0.1", host="127.0.0.1")
    await ingress.start()
    try:
        yield Plane(name, service, gate, ingress.port, caller)
    finally:
        await caller.close()
        await ingress.close()


async def until(true: Any, *, within: float = 20.0) -> None:
    """Wait until something is true."""
    loop = asyncio.get_running_loop()
    end = loop.time() + within
    while not true():
        assert loop.time() < end, "never came true"
        await asyncio.sleep(0.005)
