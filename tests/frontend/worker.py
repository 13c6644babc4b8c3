"""A worker of the tests: announces itself, and answers over HTTP until it is killed.

    python worker.py NAMESPACE.COMPONENT.ENDPOINT ID [FACT=VALUE …]

The settings of discovery are in its environment. It says `ready PORT` when it is announced.
"""

from __future__ import annotations

import asyncio
import logging
import sys

from serinus.core.address import EndpointAddress
from serinus.core.instance import Instance
from serinus.core.status import HealthStatus
from serinus.discovery import Discovery
from serinus.discovery.choice import backend_of
from serinus.discovery.records import encode, key_of
from serinus.settings import load


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer one request."""
    await reader.readline()
    writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
    await writer.drain()
    writer.close()


async def main(address: str, number: str, *facts: str) -> None:
    """Serve until killed."""
    logging.basicConfig(level=logging.INFO)
    settings = load().settings
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    told = dict(fact.split("=", 1) for fact in facts)
    one = Instance(
        EndpointAddress.parse(address),
        int(number),
        {"http": f"http://127.0.0.1:{port}"},
        HealthStatus.READY,
        owner=f"{number}-{port}",
        facts=told,
    )
    backend = backend_of(settings)
    assert backend is not None
    async with Discovery(backend, lease=settings.discovery_lease, owner=one.owner) as discovery:
        discovery.announce(key_of(one), encode(one))
        await discovery.settled()
        print(f"ready {port}", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
