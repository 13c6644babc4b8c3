"""A process of Dynamo's released wheel, which runs in that wheel's own environment.

python dynamo_process.py (serve | watch) BACKEND

`watch` writes the ids of the instances that Dynamo's client lists, a line of JSON for each change.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from importlib import import_module
from typing import Any


async def handler(_request: Any, _context: Any) -> AsyncIterator[dict[str, list[int]]]:
    """Answer with one token."""
    yield {"token_ids": [1]}


async def main(what: str, backend: str) -> None:
    """Serve an endpoint, or watch who serves it."""
    loop = asyncio.get_running_loop()
    runtime = import_module("dynamo.runtime").DistributedRuntime(loop, backend, "tcp")
    endpoint = runtime.endpoint("demo.backend.generate")
    if what == "serve":
        await endpoint.serve_endpoint(handler)
        return
    client = await endpoint.client()
    before = None
    while True:
        now = sorted(client.instance_ids())
        if now != before:
            print(json.dumps({"ids": now}), flush=True)
        before = now
        await asyncio.sleep(0.05)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
