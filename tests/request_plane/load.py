"""A client of ours under load: requests begin at a steady pace, and each tells how it went.

python load.py INSTANCES REQUESTS_A_SECOND [REQUEST]

It waits for so many instances, and goes on until it is killed.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import time
from typing import Any

from serinus import Runtime
from serinus.errors import RequestError
from serinus.request_plane.client import Client


def tell(event: str, **more: Any) -> None:
    """Tell of an event, now: by one write, so that no line of a log gets into it."""
    os.write(1, json.dumps({"event": event, "at": time.time(), **more}).encode() + b"\n")


async def ask(client: Client, request: dict[str, Any]) -> None:
    """Send a request, and tell how it went."""
    began, items, by = time.time(), 0, 0
    try:
        answer = await client.round_robin(request)
        by = answer.instance.instance_id
        async for _ in answer:
            items += 1
    except RequestError as error:
        tell("failed", began=began, started=error.started, why=str(error))
    else:
        tell("answered", began=began, by=by, items=items)


async def main(instances: int, pace: float, request: dict[str, Any]) -> None:
    """Ask until killed."""
    logging.basicConfig(level=logging.INFO)
    async with Runtime() as runtime, runtime.endpoint("demo.backend.generate").client() as client:
        await client.wait_for_instances(instances)
        tell("begins", ids=client.instance_ids())
        async with asyncio.TaskGroup() as group:
            due = time.monotonic()
            while True:
                group.create_task(ask(client, request), name="a request")
                due += 1 / pace
                await asyncio.sleep(max(due - time.monotonic(), 0))


if __name__ == "__main__":
    asyncio.run(
        main(int(sys.argv[1]), float(sys.argv[2]), json.loads(sys.argv[3]) if sys.argv[3:] else {})
    )
