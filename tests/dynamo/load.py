"""A client of Dynamo's released wheel under load, in that wheel's own environment.

python load.py file|etcd INSTANCES REQUESTS_A_SECOND REQUEST [ITEMS_TO_READ]

It waits for so many instances and asks at a steady pace until it is killed; with a pace of 0 once.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from importlib import import_module
from typing import Any


def tell(event: str, **more: Any) -> None:
    """Tell of an event, now: by one write, so that no line of a log gets into it."""
    os.write(1, json.dumps({"event": event, "at": time.time(), **more}).encode() + b"\n")


async def ask(client: Any, request: dict[str, Any], most: int) -> None:
    """Send a request, and tell how it went."""
    began, items, by = time.time(), 0, None
    try:
        async for item in await client.round_robin(request):
            by = item.data()["by"]
            items += 1
            if items == most:
                break
    except Exception as error:  # noqa: BLE001 - whatever comes out of it
        why = f"{type(error).__name__}: {error}"
        tell("failed", began=began, started=items > 0, items=items, why=why)
    else:
        tell("answered", began=began, by=by, items=items)


async def watch(client: Any) -> None:
    """Tell of every change of who is listed."""
    known: list[int] = []
    while True:
        if (now := sorted(client.instance_ids())) != known:
            known = now
            tell("listed", ids=known)
        await asyncio.sleep(0.02)


async def main(backend: str, instances: int, pace: float, request: Any, most: int) -> None:
    """Ask until killed, or once."""
    runtime = import_module("dynamo.runtime").DistributedRuntime(
        asyncio.get_running_loop(), backend, "tcp"
    )
    client = await runtime.endpoint("demo.backend.generate").client()
    watching = asyncio.create_task(watch(client), name="watches who is listed")
    while len(client.instance_ids()) < instances:  # noqa: ASYNC110 - it has no event
        await asyncio.sleep(0.02)
    if not pace:
        await ask(client, request, most)
        await asyncio.sleep(1)
        watching.cancel()
        return
    asked: set[asyncio.Task[None]] = set()
    due = time.monotonic()
    while True:
        task = asyncio.create_task(ask(client, request, most), name="a request")
        asked.add(task)
        task.add_done_callback(asked.discard)
        due += 1 / pace
        await asyncio.sleep(max(due - time.monotonic(), 0))


if __name__ == "__main__":
    asyncio.run(
        main(
            sys.argv[1],
            int(sys.argv[2]),
            float(sys.argv[3]),
            json.loads(sys.argv[4]),
            int(sys.argv[5]) if sys.argv[5:] else -1,
        )
    )
