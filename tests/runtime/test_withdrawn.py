"""What was withdrawn is no longer judged, and its users' streams are not forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from serinus.runtime.runtime import Runtime
from serinus.settings import Settings

ADDRESS = "demo.backend.generate"


async def slow(request: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    """One token a second, as many as are asked for."""
    for token in range(request["tokens"]):
        await asyncio.sleep(1)
        yield {"token_ids": [token]}


def runtime() -> Runtime:
    """Without a port, on the loop's clock."""
    clock = asyncio.get_running_loop().time
    return Runtime(Settings(drain_timeout=60.0), handle_signals=False, clock=clock)


async def read(stream: AsyncIterator[Any]) -> int:
    """Read a stream to its end; return how many items it had."""
    return len([item async for item in stream])


async def test_draining_waits_for_the_streams_of_an_endpoint_that_was_withdrawn_before() -> None:
    """Withdrawing means no new work; what is in flight goes on to its end, also into a drain."""
    loop = asyncio.get_running_loop()
    async with runtime() as worker:
        endpoint = worker.endpoint(ADDRESS)
        await endpoint.register(slow)
        reading = asyncio.create_task(read(endpoint.stream({"tokens": 10})))
        await asyncio.sleep(2.5)
        await endpoint.withdraw()
        assert worker.in_flight() == 1
        began = loop.time()
        await worker.drain()
        assert loop.time() - began == pytest.approx(7.5, abs=0.05)
        assert await reading == 10
        assert worker.in_flight() == 0


async def test_both_lives_of_an_address_are_waited_for() -> None:
    """A handler that is served anew does not hide the streams of the one before it."""
    async with runtime() as worker:
        endpoint = worker.endpoint(ADDRESS)
        readings = []
        for _ in range(3):
            await endpoint.register(slow)
            readings.append(asyncio.create_task(read(endpoint.stream({"tokens": 5}))))
            await asyncio.sleep(0.5)
            await endpoint.withdraw()
        assert worker.in_flight() == 3
        await worker.drain()
        assert await asyncio.gather(*readings) == [5, 5, 5]


async def test_an_endpoint_that_is_not_to_be_waited_for_stays_so_when_it_is_withdrawn() -> None:
    """`graceful_shutdown=False` means its requests, whenever they end."""
    async with runtime() as worker:
        endpoint = worker.endpoint(ADDRESS)
        await endpoint.register(slow, graceful_shutdown=False)
        reading = asyncio.create_task(read(endpoint.stream({"tokens": 10})))
        await asyncio.sleep(2.5)
        await endpoint.withdraw()
        assert worker.in_flight() == 0
        reading.cancel()
        await asyncio.wait([reading])


async def test_what_has_ended_is_forgotten() -> None:
    """An endpoint that comes and goes all day leaves nothing behind."""
    async with runtime() as worker:
        endpoint = worker.endpoint(ADDRESS)
        for _ in range(100):
            await endpoint.register(slow)
            reading = asyncio.create_task(read(endpoint.stream({"tokens": 1})))
            await asyncio.sleep(0.1)
            await endpoint.withdraw()
            await reading
        assert len(worker._workings._leaving) <= 1
