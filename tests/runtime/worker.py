"""A worker for the tests of the runtime: its engine streams for as long as it is told.

    python tests/runtime/worker.py SECONDS_OF_STREAM

It prints `address URL`, then `served` when its endpoint is up, `streaming` when a user's stream has
brought its first chunk, `stream ended N` with the number of chunks, and `left` at its very end.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

from serinus import Runtime

TICK = 0.05


async def generate(request: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    """Yield a token each tick."""
    for token in request["token_ids"]:
        await asyncio.sleep(TICK)
        yield {"token_ids": [token]}


async def main(seconds: float) -> None:
    """Serve with one user's stream in flight, until SIGTERM."""
    async with Runtime() as runtime:
        say("address", runtime.address)
        endpoint = runtime.endpoint("test.worker.generate")

        async def user() -> None:
            chunks = 0
            async for _ in endpoint.stream({"token_ids": [1] * int(seconds / TICK)}):
                chunks += 1
                if chunks == 1:
                    say("streaming")
            say("stream ended", chunks)

        await endpoint.register(generate, health_check_payload={"token_ids": [1]})
        say("served")
        stream = asyncio.create_task(user())
        await runtime.wait_drained()
        stream.cancel()
    say("left")


def say(*words: object) -> None:
    """Print a line at once."""
    print(*words, flush=True)


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1])))
