"""A worker of Dynamo's released wheel, which runs in that wheel's own environment.

It is told the backend of discovery (file, etcd) and a directory to call a model's.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from importlib import import_module
from typing import Any


async def handler(_request: Any, _context: Any) -> AsyncIterator[dict[str, list[int]]]:
    """Answer with one token."""
    yield {"token_ids": [1]}


async def main(backend: str, directory: str) -> None:
    """Serve a decode worker that needs prefill."""
    llm = import_module("dynamo.llm")
    runtime = import_module("dynamo.runtime").DistributedRuntime(
        asyncio.get_running_loop(), backend, "tcp"
    )
    endpoint = runtime.endpoint("demo.backend.generate")
    await llm.register_model(
        llm.ModelInput.Tokens,
        llm.ModelType.Chat,
        endpoint,
        directory,
        "tiny",
        worker_type=llm.WorkerType.Decode,
        needs=[[llm.WorkerType.Prefill]],
        skip_model_assets=True,
    )
    await endpoint.serve_endpoint(handler)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
