"""What does the accounting of real traffic cost a chunk?

In one process: a handler's stream read bare, and read through ``endpoint.stream``, in turn; and an
ASGI app called bare, and with the middleware around it. The
difference of the fastest of each, as the standard library's timeit advises: what else runs on the
machine can only add to either. The endpoint has been proven by a canary before. The app's server
takes each event at once, as uvicorn does unless the client is slow. Dynamo's accounting
is inside its network path and cannot be had alone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import report

from serinus import HealthStatus, Runtime
from serinus.asgi import HealthMiddleware
from serinus.settings import Settings

CHUNKS = 2_000
REPEATS = 1_500
TARGET = 0.5e-6
"""For both ways, though a message of an app goes through a coroutine more, which alone takes
0.12 µs."""
TOKEN = {"token_ids": [1]}
LARGER = {"token_ids": [1], "index": 0, "text": "x", "finish_reason": None}


async def generate(request: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    """As many chunks as asked for, as fast as they can be made."""
    chunk = request.get("chunk", TOKEN)
    for _ in range(request.get("chunks", 1)):
        yield chunk


async def read(stream: AsyncIterator[Any]) -> float:
    """Seconds to read a stream to its end."""
    began = time.perf_counter()
    async for _ in stream:
        pass
    return time.perf_counter() - began


async def cost(chunk: dict[str, Any]) -> tuple[list[float], list[float]]:
    """Seconds a chunk: bare, and through the endpoint."""
    request = {"chunks": CHUNKS, "chunk": chunk}
    bare, through = [], []
    settings = Settings(system_port=-1, health_check_enabled=True)
    async with Runtime(settings, handle_signals=False) as runtime:
        endpoint = runtime.endpoint("bench.backend.generate")
        await endpoint.register(generate, health_check_payload={"token_ids": [1]})
        await asyncio.sleep(0.2)
        if runtime.report().readiness.status is not HealthStatus.READY:
            raise RuntimeError("the endpoint was not proven by its first canary")
        for _ in range(REPEATS):
            bare.append(await read(generate(request)) / CHUNKS)
            through.append(await read(endpoint.stream(request)) / CHUNKS)
            await asyncio.sleep(0)
    return bare, through


EVENT = b'data: {"choices":[{"index":0,"text":"x"}]}\n\n'


async def app(scope: Any, _receive: Any, send: Any) -> None:
    """An ASGI app that sends so many events, as fast as they can be made."""
    if scope["type"] == "lifespan":
        raise NotImplementedError
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(CHUNKS):
        await send({"type": "http.response.body", "body": EVENT, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def call(around: Any) -> float:
    """Seconds to have an app answer a request of a server that takes everything at once."""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(_message: Any) -> None:
        return

    scope = {"type": "http", "method": "POST", "path": "/v1/completions", "headers": []}
    began = time.perf_counter()
    await around(scope, receive, send)
    return time.perf_counter() - began


async def cost_in_an_app() -> tuple[list[float], list[float]]:
    """Seconds a body message: bare, and with the middleware around the app."""
    bare, through = [], []
    async with Runtime(Settings(system_port=-1), handle_signals=False) as runtime:
        wrapped = HealthMiddleware(app, runtime=runtime)
        for _ in range(REPEATS):
            bare.append(await call(app) / CHUNKS)
            through.append(await call(wrapped) / CHUNKS)
            await asyncio.sleep(0)
    return bare, through


def measure() -> report.Table:
    """The fastest of each, and what is usual on this machine."""
    rows: list[report.Row] = []
    ways = (
        ("endpoint.stream, a token", cost(TOKEN)),
        ("endpoint.stream, four keys", cost(LARGER)),
        ("serinus.asgi, an event", cost_in_an_app()),
    )
    for name, measured in ways:
        bare, through = asyncio.run(measured)
        judged = row(f"{name}, the fastest", min(bare), min(through))
        met = min(through) - min(bare) <= TARGET
        figures = {"bare": bare, "through": through}
        rows.append(report.Row(judged, f"≤ {1e6 * TARGET:.1f} µs", met, figures))
        usual = row(f"{name}, the median", report.middle(bare), report.middle(through))
        rows.append(report.Row(usual))
    return report.Table(
        "The accounting of a chunk of real traffic, µs",
        ("", "bare", "accounted for", "added"),
        tuple(rows),
        f"{CHUNKS:,} chunks, {REPEATS:,} times each in turn.",
    )


def row(what: str, bare: float, through: float) -> tuple[str, ...]:
    """Cells in microseconds, from seconds."""
    return (what, *(f"{1e6 * seconds:.2f}" for seconds in (bare, through, through - bare)))


if __name__ == "__main__":
    report.main(measure)
