"""The worker of ``worker.py``, served by Serinus."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from typing import Any

from handlers import Behaviour, Request
from worker import work

from serinus import Runtime


class Serinus:
    """Serinus with its settings from the environment, as Dynamo has them."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._endpoints: dict[str, Any] = {}

    async def serve(self, address: str, handler: Behaviour, payload: Request) -> None:
        """Serve until the runtime shuts down."""
        endpoint = self._runtime.endpoint(address)
        self._endpoints[address] = endpoint
        await endpoint.serve_endpoint(handler, health_check_payload=payload)

    async def request(self, address: str, request: Request) -> AsyncIterator[Any]:
        """Through the endpoint, with its accounting."""
        async for item in self._endpoints[address].stream(request):
            yield item

    def shut_down(self) -> None:
        """What Kubernetes does."""
        os.kill(os.getpid(), signal.SIGTERM)


async def main() -> None:
    """Serve."""
    async with Runtime() as runtime:
        await work(Serinus(runtime))


if __name__ == "__main__":
    asyncio.run(main())
