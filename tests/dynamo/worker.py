"""A worker of Dynamo's released wheel, which runs in that wheel's own environment.

python worker.py file|etcd
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from importlib import import_module
from typing import Any


def tell(event: str, **more: Any) -> None:
    """Tell of an event, now: by one write, so that no line of a log gets into it."""
    os.write(1, json.dumps({"event": event, "at": time.time(), **more}).encode() + b"\n")


async def generate(request: dict[str, Any], context: Any) -> AsyncIterator[dict[str, Any]]:
    """Answer a request."""
    tell("asked", id=context.id())
    for item in range(request.get("items", 1)):
        await asyncio.sleep(request.get("gap", 0.0))
        if context.is_stopped():
            tell("stopped", id=context.id())
            return
        yield {"by": "dynamo", "item": item}
    if request.get("raise") == "ValueError":
        raise ValueError("as it was told")
    if request.get("raise") == "RuntimeError":
        raise RuntimeError("as it was told")


async def main(backend: str) -> None:
    """Serve until killed."""
    runtime = import_module("dynamo.runtime").DistributedRuntime(
        asyncio.get_running_loop(), backend, "tcp"
    )
    tell("served")
    await runtime.endpoint("demo.backend.generate").serve_endpoint(generate)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
