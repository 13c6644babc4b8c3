"""The worker of ``worker.py``, served by Dynamo's released runtime, in Dynamo's environment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import uvloop
from dynamo.runtime import DistributedRuntime  # type: ignore[import-not-found]
from handlers import Behaviour, Request
from worker import work


class Dynamo:
    """Dynamo without a server beside it: discovery in memory, requests over loopback TCP."""

    def __init__(self) -> None:
        self._runtime = DistributedRuntime(asyncio.get_running_loop(), "mem", "tcp")
        self._clients: dict[str, Any] = {}

    async def serve(self, address: str, handler: Behaviour, payload: Request) -> None:
        """Serve until the runtime shuts down."""
        await self._runtime.endpoint(address).serve_endpoint(handler, health_check_payload=payload)

    async def request(self, address: str, request: Request) -> AsyncIterator[Any]:
        """Through Dynamo's own client, over its request plane."""
        if address not in self._clients:
            client = await self._runtime.endpoint(address).client()
            await client.wait_for_instances()
            self._clients[address] = client
        async for item in await self._clients[address].generate(request):
            yield item.data()

    def shut_down(self) -> None:
        """Cancel the runtime's token, as Dynamo's own workers do on SIGTERM."""
        self._runtime.shutdown()


async def main() -> None:
    """Serve."""
    await work(Dynamo())


if __name__ == "__main__":
    uvloop.run(main())
