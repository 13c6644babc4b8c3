"""Many instances in a store, of which some change every second: the load of `fleet_scale.py`.

    python fleet_load.py INSTANCES CHANGES_A_SECOND

The settings of discovery are in its environment. It says `full` when all are there.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from typing import Protocol

from serinus.core.address import EndpointAddress
from serinus.core.instance import Instance
from serinus.core.status import HealthStatus
from serinus.discovery.choice import backend_of
from serinus.discovery.records import encode, key_of
from serinus.settings import load

POOLS = 20
"""Endpoints that the instances are of."""


class Store(Protocol):
    """What is put into."""

    async def put(self, key: str, value: bytes) -> None:
        """Store an entry."""


def instance(number: int, *, changed: int = 0) -> Instance:
    """The record of a worker as large as a real one; `changed` is when it last was, in ns."""
    pool = number % POOLS
    mark = f"/changed/{changed}" if changed else ""
    return Instance(
        EndpointAddress("fleet", f"{'prefill' if pool % 2 else 'decode'}{pool // 2}", "generate"),
        (1 << 62) + number,
        {"http": f"http://10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}:8000{mark}"},
        HealthStatus.READY,
        "canary",
        "2026-01-01T00:00:00.000Z",
        f"{number:016x}",
        {
            "worker_type": "prefill" if pool % 2 else "decode",
            "model": f"org/model-{pool // 2}",
            "lease": 10.0,
            "status_address": f"http://10.0.0.{pool}:9090",
        },
    )


async def fill(store: Store, count: int) -> None:
    """Put all of them."""
    numbers = iter(range(count))

    async def some() -> None:
        for number in numbers:
            one = instance(number)
            await store.put(key_of(one), encode(one))

    await asyncio.gather(*(some() for _ in range(16)))


async def churn(store: Store, count: int, changes: int) -> None:
    """Change so many a second, each with the time of its change."""
    began = time.monotonic()
    for done in itertools.count():
        one = instance(done * 7919 % count, changed=time.monotonic_ns())
        await store.put(key_of(one), encode(one))
        await asyncio.sleep(max(began + (done + 1) / changes - time.monotonic(), 0.0))


async def main(count: int, changes: int) -> None:
    """Fill and change until killed."""
    backend = backend_of(load().settings)
    assert backend is not None
    async with backend.session(lease=60.0) as session, asyncio.TaskGroup() as group:
        group.create_task(session.keep())
        await fill(session, count)
        print("full", flush=True)
        await churn(session, count, changes)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
