"""The smallest worker served by Serinus, for ``startup.py``: the port first, then the imports."""

from __future__ import annotations

from serinus import Runtime

runtime = Runtime()
runtime.open()  # answers from here on: live, and not ready

import asyncio  # noqa: E402 - as an engine would be, which takes far longer
from collections.abc import AsyncIterator  # noqa: E402


async def generate(_: dict[str, object]) -> AsyncIterator[dict[str, list[int]]]:
    """One token."""
    yield {"token_ids": [1]}


async def main() -> None:
    """Serve until killed."""
    async with runtime:
        endpoint = runtime.endpoint("bench.backend.generate")
        await endpoint.serve_endpoint(generate, health_check_payload={"token_ids": [1]})


asyncio.run(main())
