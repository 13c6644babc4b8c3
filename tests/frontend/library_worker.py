"""A worker of the library, which hangs and goes on as it is told on its standard input."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

from serinus import Runtime


async def main() -> None:
    """Serve until killed."""
    going = asyncio.Event()
    going.set()

    async def generate(_request: Any, _context: Any) -> AsyncIterator[dict[str, list[int]]]:
        await going.wait()
        yield {"token_ids": [1]}

    async def listen() -> None:
        while word := (await asyncio.to_thread(sys.stdin.readline)).strip():
            (going.set if word == "go" else going.clear)()

    async with Runtime() as runtime, asyncio.TaskGroup() as group:
        group.create_task(listen())
        endpoint = runtime.endpoint("demo.backend.generate")
        payload = {"token_ids": [1]}
        await endpoint.serve_endpoint(generate, health_check_payload=payload)


if __name__ == "__main__":
    asyncio.run(main())
