"""A frontend whose store is memory of its own process, with its load: for `fleet_scale.py`.

python fleet_memory.py INSTANCES CHANGES_A_SECOND
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time

import uvloop
from fleet_load import churn, fill

from serinus.discovery.memory import Memory
from serinus.frontend.frontend import Frontend
from serinus.settings import Settings


async def main(count: int, changes: int) -> None:
    """Serve until killed."""
    store = Memory()
    settings = Settings(
        discovery_backend="memory", http_port=0, http_host="127.0.0.1", outside_interval=0.0
    )
    async with store.session(lease=1e6) as session, asyncio.TaskGroup() as group:
        await fill(session, count)
        began, worked = time.monotonic(), time.process_time()
        async with Frontend(settings, backend=store) as frontend:
            await frontend.listed()
            took, worked = time.monotonic() - began, time.process_time() - worked
            gc.collect()
            gc.freeze()  # as `serinus frontend` does
            if changes:
                group.create_task(churn(session, count, changes))
            print(
                f"on {frontend.address}: complete after {took:.3f} s, {worked:.3f} s of CPU",
                flush=True,
            )
            await frontend.stopped()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), int(sys.argv[2])))
