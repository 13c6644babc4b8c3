"""A fleet in the memory of one process, under load: requests go where they are wanted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any, Literal

import pytest

from serinus import Runtime, Settings

pytestmark = pytest.mark.real_time

ADDRESS = "demo.backend.generate"
SOON = 0.25


def handler(number: int, asked: list[tuple[int, float]]) -> Callable[..., AsyncIterator[Any]]:
    """Return a handler that notes when it was asked."""

    async def generate(_: Any) -> AsyncIterator[dict[str, int]]:
        asked.append((number, asyncio.get_running_loop().time()))
        for item in range(3):
            await asyncio.sleep(0.01)
            yield {"by": number, "item": item}

    return generate


@pytest.mark.parametrize("plane", ["tcp", "http"])
async def test_an_instance_that_is_not_ready_gets_no_more_requests(
    plane: Literal["tcp", "http"],
) -> None:
    """Within 250 ms, but for what a busy machine adds once or twice; and it is asked again."""
    loop = asyncio.get_running_loop()
    asked: list[tuple[int, float]] = []
    answered, asks = 0, 60 + 3 * 60

    async with AsyncExitStack() as stack:
        runtimes = []
        for number in (1, 2, 3):
            settings = Settings(discovery_backend="memory", request_plane=plane, instance_id=number)
            runtime = await stack.enter_async_context(Runtime(settings, handle_signals=False))
            await runtime.endpoint(ADDRESS).register(handler(number, asked))
            runtimes.append(runtime)
        client = await stack.enter_async_context(runtimes[2].endpoint(ADDRESS).client())
        await client.wait_for_instances(3)

        async def ask() -> None:
            nonlocal answered
            answer = await client.round_robin({})
            assert len([item async for item in answer]) == 3
            answered += 1

        async with asyncio.TaskGroup() as group:

            async def load(requests: int) -> None:
                for _ in range(requests):
                    group.create_task(ask())
                    await asyncio.sleep(0.01)

            await load(60)
            late = []
            for _ in range(3):
                with runtimes[0].hold("the test"):
                    turned = loop.time()
                    await load(60)
                    after = [at - turned for number, at in asked if number == 1 and at > turned]
                    late.append(max(after, default=0.0))
                back = loop.time()
                async with asyncio.timeout(20):
                    while not any(number == 1 and at > back for number, at in asked):
                        await load(10)
                        asks += 10
        assert answered == asks
        assert min(late) <= SOON
