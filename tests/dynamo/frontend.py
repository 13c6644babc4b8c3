"""The frontend of Dynamo's released wheel, in that wheel's own environment.

python frontend.py file|etcd PORT
"""

from __future__ import annotations

import asyncio
import sys
from importlib import import_module


async def main(backend: str, port: int) -> None:
    """Serve until killed."""
    llm = import_module("dynamo.llm")
    runtime = import_module("dynamo.runtime").DistributedRuntime(
        asyncio.get_running_loop(), backend, "tcp"
    )
    arguments = llm.EntrypointArgs(llm.EngineType.Dynamic, http_host="127.0.0.1", http_port=port)
    await llm.run_input(runtime, "http", await llm.make_engine(runtime, arguments))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
