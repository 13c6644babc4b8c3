"""The smallest worker served by Dynamo, for ``startup.py``."""

from __future__ import annotations

from collections.abc import AsyncIterator

import uvloop
from dynamo.runtime import DistributedRuntime, dynamo_worker  # type: ignore[import-not-found]


async def generate(_: dict[str, object]) -> AsyncIterator[dict[str, list[int]]]:
    """One token."""
    yield {"token_ids": [1]}


@dynamo_worker()  # type: ignore[untyped-decorator]
async def main(runtime: DistributedRuntime) -> None:
    """Serve until killed."""
    endpoint = runtime.endpoint("bench.backend.generate")
    await endpoint.serve_endpoint(generate, health_check_payload={"token_ids": [1]})


uvloop.run(main())
